// The features of the matrix, asked by the official JavaScript SDKs. Reads what to ask from its arguments:
//   matrix.mjs MODULES GATEWAY KEY MODEL...   prints one JSON line a cell: [sdk, model, feature, "ok" | what went wrong]
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';

const [modules, gateway, key, ...models] = process.argv.slice(2);
const require = createRequire(modules + '/');
const { Anthropic } = require('@anthropic-ai/sdk');
const { AnthropicBedrock } = require('@anthropic-ai/bedrock-sdk');
const { AnthropicVertex } = require('@anthropic-ai/vertex-sdk');

const settings = { maxRetries: 0, timeout: 20000 };
const authClient = { getRequestHeaders: async () => new Headers({ authorization: `Bearer ${key}` }), projectId: 'p' };
const clients = {
  messages: () => new Anthropic({ baseURL: gateway, apiKey: key, ...settings }),
  bedrock: () => new AnthropicBedrock({ baseURL: gateway, apiKey: key, awsRegion: 'us-east-1', ...settings }),
  vertex: () => new AnthropicVertex({ baseURL: gateway + '/v1', authClient, region: 'us-east5', projectId: 'p', ...settings }),
};
const names = { messages: (m) => m, bedrock: (m) => `us.anthropic.${m}`, vertex: (m) => m };

const say = (scenario, more = '') => `scenario:sdk-${scenario} run:js ${more}`;
const user = (content) => ({ role: 'user', content });
const equal = (got, wanted) => {
  const [g, w] = [JSON.stringify(got), JSON.stringify(wanted)];
  if (g !== w) throw new Error(`${g} instead of ${w}`);
};
const tools = [{ name: 'add', description: 'adds', input_schema: { type: 'object' } }];
const features = {
  async plain(client, model) {
    const reply = await client.messages.create({ model, max_tokens: 50, messages: [user(say('plain'))] });
    equal([reply.content[0].text, reply.usage.cache_read_input_tokens], ['forty-two – 四十二', 1200]);
  },
  async stream(client, model) {
    const stream = client.messages.stream({ model, max_tokens: 50, messages: [user(say('stream'))] });
    let pieces = 0;
    stream.on('text', () => pieces++);
    const reply = await stream.finalMessage();
    equal([reply.content[0].text, reply.stop_reason, pieces > 5], ['one two three four five six seven eight', 'end_turn', true]);
  },
  async tools(client, model) {
    const messages = [user(say('tools'))];
    const first = await client.messages.stream({ model, max_tokens: 50, tools, messages }).finalMessage();
    const uses = first.content.filter((block) => block.type === 'tool_use');
    const results = uses.map((use) => ({ type: 'tool_result', tool_use_id: use.id, content: '3' }));
    messages.push({ role: 'assistant', content: first.content }, user(results));
    const reply = await client.messages.create({ model, max_tokens: 50, tools, messages });
    equal(reply.content[0].text, 'TOOLS-KEPT');
  },
  async thinking(client, model) {
    const messages = [user(say('thinking'))];
    const thinking = { type: 'enabled', budget_tokens: 1024 };
    const first = await client.messages.stream({ model, max_tokens: 2000, thinking, messages }).finalMessage();
    messages.push({ role: 'assistant', content: first.content }, user('and now?'));
    const reply = await client.messages.create({ model, max_tokens: 2000, thinking, messages });
    equal(reply.content[0].text, 'THINKING-KEPT');
  },
  async cache(client, model) {
    const reply = await client.messages.create({
      model, max_tokens: 50,
      system: [{ type: 'text', text: 'long', cache_control: { type: 'ephemeral', ttl: '1h' } }],
      messages: [user([{ type: 'text', text: say('cache'), cache_control: { type: 'ephemeral' } }])],
    });
    equal([reply.content[0].text, reply.usage.cache_creation.ephemeral_1h_input_tokens], ['CACHE-KEPT', 20]);
  },
  async image(client, model) {
    const data = Buffer.from('not really a picture'.repeat(5000)).toString('base64');
    const reply = await client.messages.create({
      model, max_tokens: 50,
      messages: [user([
        { type: 'text', text: say('image') },
        { type: 'image', source: { type: 'base64', media_type: 'image/png', data } },
        { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0xLjQ=' } },
      ])],
    });
    const hash = (text) => createHash('sha256').update(text).digest('hex').slice(0, 8);
    equal(reply.content[0].text, `${hash(data)} ${hash('JVBERi0xLjQ=')}`);
  },
  async count_tokens(client, model) {
    // The JavaScript SDK for Bedrock has no such call; `run` asks by boto3.
    if (client instanceof AnthropicBedrock) return 'not in this SDK';
    const counted = await client.messages.countTokens({ model, messages: [user('how many?')] });
    equal(counted.input_tokens > 0, true);
  },
  async error(client, model) {
    for (const status of [400, 429, 529]) {
      const messages = [user(say('error', `status=${status}`))];
      const failed = await client.messages.create({ model, max_tokens: 50, messages }).then(() => null, (error) => error);
      const expected = status === 529 && !(client.constructor === Anthropic) ? 503 : status;
      equal([failed?.status, failed?.message.includes(`what was wrong: ${status}`)], [expected, true]);
    }
    const stream = client.messages.stream({ model, max_tokens: 50, messages: [user(say('break'))] });
    const failed = await stream.finalMessage().then(() => null, (error) => error);
    equal(failed?.message.includes('in the middle'), true);
  },
};

for (const [sdk, make] of Object.entries(clients)) {
  for (const model of models) {
    for (const [feature, ask] of Object.entries(features)) {
      let outcome;
      try {
        outcome = (await ask(make(), names[sdk](model))) ?? 'ok';
      } catch (error) {
        outcome = String(error?.stack ?? error).slice(0, 400);
      }
      console.log(JSON.stringify([sdk, model, feature, outcome]));
    }
  }
}
