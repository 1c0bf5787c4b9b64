#!/usr/bin/env node
// A browser signs in to Gatehouse with a passkey, by a virtual authenticator.
//
//     run.mjs --gatehouse BINARY [--chromium PROGRAM] [--modules FOLDER] [--shots FOLDER] [--keep]
//
// Starts Gatehouse on loopback and drives Chromium with playwright-core (npm; `npm install` in this folder, or the folder
// with it by --modules). With --shots it makes pictures of every page, in three languages and two widths. Needs Node 20.
// Closes with `N passed, N failed`.
import { spawn, spawnSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { createServer as listener } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values: given } = parseArgs({
  options: {
    gatehouse: { type: "string" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
    modules: { type: "string", default: join(import.meta.dirname, "node_modules") },
    shots: { type: "string" },
    keep: { type: "boolean" },
  },
});
const { chromium } = createRequire(join(given.modules, "x"))("playwright-core");
const work = mkdtempSync(join(tmpdir(), "gatehouse-passkey-"));
const PASSWORD = "correct horse battery staple";
const LANGUAGES = ["en", "zh-Hans", "zh-Hant"];

const check = (true_, ...what) => {
  if (!true_) throw new Error(what.map((w) => (typeof w === "string" ? w : JSON.stringify(w))).join(" "));
};
const pause = (ms) => new Promise((go) => setTimeout(go, ms));
const wait = async (what, test) => {
  for (let tries = 0; tries < 600; tries++) {
    try {
      const found = await test();
      if (found) return found;
    } catch {}
    await pause(100);
  }
  throw new Error(`waited in vain for ${what}; see ${work}`);
};
const freePort = () =>
  new Promise((go) => {
    const server = listener().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => go(port));
    });
  });

// --- Gatehouse ------------------------------------------------------------------------------------------------------

const children = [];

const serve = async (name, identity) => {
  const port = await freePort();
  const data = join(work, name);
  const url = `http://localhost:${port}`;
  mkdirSync(data);
  writeFileSync(`${data}.toml`, `[listen]
gateway = "127.0.0.1:${port}"
admin = "127.0.0.1:0"
public_url = "${url}"
[identity]
${identity}
[[provider]]
name = "none"
kind = "anthropic"
base_url = "http://127.0.0.1:9"
api_key = "env:STUB_KEY"
`);
  const child = spawn(given.gatehouse, ["serve", "--config", `${data}.toml`, "--data-dir", data], {
    env: { ...process.env, STUB_KEY: "x", GATEHOUSE_LOG: "info" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log = [];
  child.stdout.on("data", (text) => log.push(text));
  child.stderr.on("data", (text) => log.push(text));
  children.push(child);
  await wait("gatehouse", () => existsSync(join(data, "listen.json")) && fetch(`http://127.0.0.1:${port}/protocol`));
  const cli = (args, input = "") => {
    const done = spawnSync(given.gatehouse, ["--data-dir", data, "--json", ...args], { input, encoding: "utf8" });
    check(done.status === 0, `gatehouse ${args.join(" ")}: ${done.stderr}${log.join("")}`);
    return JSON.parse(done.stdout);
  };
  const person = (email) => {
    cli(["user", "add", email]);
    cli(["user", "password", email], `${PASSWORD}\n`);
  };
  const ask = async (path, fields) => {
    const reply = await fetch(`http://127.0.0.1:${port}${path}`, { method: "POST", body: new URLSearchParams(fields) });
    return { status: reply.status, ...(await reply.json()) };
  };
  const begin = () => ask("/oauth/device_authorization", { surface: "claude_code" });
  const poll = (grant) =>
    ask("/oauth/token", { grant_type: "urn:ietf:params:oauth:grant-type:device_code", device_code: grant.device_code });
  return { url, port, cli, person, begin, poll, log };
};

// --- the browser ----------------------------------------------------------------------------------------------------

let browser;
const complaints = [];

const tab = async (options = {}) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-US", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  page.on("console", (said) => said.type() === "error" && /content security|refused/i.test(said.text()) && complaints.push(said.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  return page;
};

const authenticator = async (page) => {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("WebAuthn.enable");
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true,
      isUserVerified: true, automaticPresenceSimulation: true,
    },
  });
  return {
    credentials: async () => (await cdp.send("WebAuthn.getCredentials", { authenticatorId })).credentials,
    add: (credential) => cdp.send("WebAuthn.addCredential", { authenticatorId, credential }),
    unverified: () => cdp.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: false }),
  };
};

const says = async (page, text) => {
  await page.waitForFunction((text) => document.body.innerText.includes(text), text).catch(async () => {
    throw new Error(`the page does not say "${text}" but: ${await page.innerText("body")}`);
  });
};
const signIn = async (page, gate, email, path = "/account") => {
  await page.goto(gate.url + path);
  await page.fill('input[name="email"]', email);
  await page.fill('input[name="password"]', PASSWORD);
  await page.click('form:has(input[name="password"]) button');
};
const press = (page, name) => page.getByRole("button", { name, exact: true }).click();
const codes = (page) => page.locator(".codes li").allInnerTexts();
const totp = (secret, step) => {
  const bits = [...secret.replace(/ /g, "")].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const count = Buffer.alloc(8);
  count.writeBigUInt64BE(BigInt(step));
  const mac = createHmac("sha1", key).update(count).digest();
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1000000).padStart(6, "0");
};
const now = () => Math.floor(Date.now() / 30000);

// --- the cases ------------------------------------------------------------------------------------------------------

let gate, kept;

const cases = {
  async "a passkey is added and signs a terminal in without the password"() {
    gate.person("ada@example.com");
    const page = await tab();
    const device = await authenticator(page);
    await signIn(page, gate, "ada@example.com");
    await press(page, "Add a passkey");
    await says(page, "They are shown only now");
    check((await codes(page)).length === 10, "not ten recovery codes");
    await press(page, "I have kept them");
    await says(page, "Codes left: 10");
    await press(page, "Done");
    await says(page, "All is saved");

    const grant = await gate.begin();
    await page.goto(grant.verification_uri_complete);
    await press(page, "Sign in with a passkey");
    await says(page, "You are signed in");
    const tokens = await gate.poll(grant);
    check(tokens.email === "ada@example.com" && tokens.access_token, "no session", tokens);
    [kept] = await device.credentials();
    check(kept.isResidentCredential && kept.signCount > 0, "the device keeps another passkey", kept);
    const has = gate.cli(["user", "factor", "list", "ada@example.com"]);
    check(has.factors[0].kind === "passkey" && has.factors[0].used_at, "not listed as used", has);
  },

  async "it is the second factor of who gives the password"() {
    const page = await tab();
    await (await authenticator(page)).add(kept);
    const grant = await gate.begin();
    await signIn(page, gate, "ada@example.com", `/device?user_code=${grant.user_code}`);
    await says(page, "Confirm that it is you");
    check((await gate.poll(grant)).error === "authorization_pending", "the password alone signed in");
    await press(page, "Sign in with a passkey");
    await says(page, "You are signed in");
    check((await gate.poll(grant)).access_token, "no session");
  },

  async "a copied authenticator is refused"() {
    const page = await tab();
    // What the device was before: by now the device itself has counted on.
    await (await authenticator(page)).add({ ...kept, signCount: 1 });
    const grant = await gate.begin();
    await page.goto(grant.verification_uri_complete);
    await press(page, "Sign in with a passkey");
    await says(page, "This was not accepted");
    check((await gate.poll(grant)).error === "authorization_pending", "the copy signed in");
    check(gate.log.join("").includes("may be a copy"), "the log says nothing of it");
  },

  async "an answer made for another origin is refused"() {
    // The same name, so that the browser lets the page ask for the passkey; but another port, so another origin.
    const evil = createServer((_, reply) => reply.setHeader("content-type", "text/html").end("<p>Evil")).listen(0, "127.0.0.1");
    await new Promise((go) => evil.once("listening", go));
    const page = await tab();
    await (await authenticator(page)).add({ ...kept, signCount: 1000 });
    const grant = await gate.begin();
    await page.route("**/passkey.js", (route) => route.abort());
    await page.goto(grant.verification_uri_complete);
    await page.evaluate(() => document.querySelector('input[value="passkey"]').form.submit());
    await page.waitForSelector("form[data-asked]", { state: "attached" });
    const asked = JSON.parse(await page.getAttribute("form[data-asked]", "data-asked"));
    const other = await page.context().newPage();
    await (await authenticator(other)).add({ ...kept, signCount: 1000 });
    await other.goto(`http://localhost:${evil.address().port}/`);
    const answer = await other.evaluate(async (asked) => {
      const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
      const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
      const { rawId, response } = await navigator.credentials.get({
        publicKey: { challenge: bytes(asked.challenge), rpId: asked.party, userVerification: "required" },
      });
      return {
        credential: text(rawId), client_data: text(response.clientDataJSON),
        authenticator_data: text(response.authenticatorData), signature: text(response.signature),
      };
    }, asked);
    evil.close();
    await page.evaluate((answer) => {
      const form = document.querySelector("form[data-asked]");
      for (const [name, value] of Object.entries(answer)) form.elements[name].value = value;
      form.submit();
    }, answer);
    await says(page, "This was not accepted");
    check((await gate.poll(grant)).error === "authorization_pending", "another origin signed in");
    check(gate.log.join("").includes("made for another site"), "the log says nothing of it");
  },

  async "a device that has not verified the person is refused"() {
    const page = await tab();
    const device = await authenticator(page);
    await device.add({ ...kept, signCount: 2000 });
    await device.unverified();
    const grant = await gate.begin();
    await page.goto(grant.verification_uri_complete);
    await press(page, "Sign in with a passkey");
    await says(page, "No passkey was used");
    check((await gate.poll(grant)).error === "authorization_pending", "signed in");
  },

  async "without a script everything but passkeys works"() {
    gate.person("bob@example.com");
    const page = await tab({ javaScriptEnabled: false });
    await signIn(page, gate, "bob@example.com");
    check(!(await page.getByRole("button", { name: "Add a passkey" }).isVisible()), "a button that does nothing");
    await press(page, "Add an authenticator app");
    const secret = await page.innerText(".secret");
    await page.fill('input[name="code"]', totp(secret, now()));
    await press(page, "Confirm");
    const spare = await codes(page);
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByText("Download as a text file").click()]);
    check(readFileSync(await file.path(), "utf8").trim().split("\n").join() === spare.join(), "another file");
    const grant = await gate.begin();
    await page.goto(grant.verification_uri_complete);
    check(!(await page.getByRole("button", { name: "Sign in with a passkey" }).isVisible()), "a button that does nothing");
    await signIn(page, gate, "bob@example.com", `/device?user_code=${grant.user_code}`);
    await page.fill('input[name="code"]', spare[0]);
    await press(page, "Confirm");
    check((await page.innerText("body")).includes("You are signed in"), await page.innerText("body"));
    check((await gate.poll(grant)).access_token, "no session");
  },

  async "who must have one adds a passkey before there is a session"() {
    const strict = await serve("strict", 'local_second_factor = "required"');
    strict.person("eve@example.com");
    const page = await tab();
    await authenticator(page);
    const grant = await strict.begin();
    await signIn(page, strict, "eve@example.com", `/device?user_code=${grant.user_code}`);
    await says(page, "Your organization asks for a second factor");
    await press(page, "Add a passkey");
    await says(page, "They are shown only now");
    check((await strict.poll(grant)).error === "authorization_pending", "a session before it was confirmed");
    await press(page, "I have kept them");
    await says(page, "You are signed in");
    check((await strict.poll(grant)).access_token, "no session");
  },

  async "an administrator's link adds a passkey once"() {
    gate.cli(["user", "add", "kim@example.com"]);
    const { url } = gate.cli(["user", "factor", "link", "kim@example.com"]);
    const page = await tab();
    await authenticator(page);
    await page.goto(url);
    await press(page, "Next");
    await press(page, "Add a passkey");
    await says(page, "They are shown only now");
    const grant = await gate.begin();
    await page.goto(grant.verification_uri_complete);
    await press(page, "Sign in with a passkey");
    await says(page, "You are signed in");
    check((await gate.poll(grant)).email === "kim@example.com", "somebody else");
    await page.goto(url);
    await press(page, "Next");
    await says(page, "This link was used before");
  },

  async "the pages break none of their own rules"() {
    check(complaints.length === 0, "the browser complains:", complaints);
  },
};

// --- pictures -------------------------------------------------------------------------------------------------------

const pictures = async () => {
  const strict = await serve("shots", 'local_second_factor = "required"');
  mkdirSync(given.shots, { recursive: true });
  for (const language of LANGUAGES) {
    for (const width of [1280, 390]) {
      const email = `${language.toLowerCase()}-${width}@example.com`;
      strict.person(email);
      const page = await tab({ viewport: { width, height: width === 390 ? 844 : 800 }, locale: language });
      await authenticator(page);
      const shot = (name) => page.screenshot({ path: join(given.shots, `${name}.${language}.${width}.png`), fullPage: true });
      const act = (name) => page.click(`form:has(input[name="act"][value="${name}"]) button`);
      const grant = await strict.begin();
      await page.goto(`${grant.verification_uri_complete}&lang=${language}`);
      await shot("choose");
      await page.goto(`${strict.url}/account?lang=${language}`);
      await shot("account");
      const { url } = strict.cli(["user", "factor", "link", email]);
      await page.goto(`${url}&lang=${language}`);
      await shot("link");
      await signIn(page, strict, email, `/device?user_code=${grant.user_code}`);
      await shot("required");
      await act("totp");
      await shot("totp");
      const secret = await page.innerText(".secret");
      await page.fill('input[name="code"]', "000000");
      await act("totp-code");
      await shot("totp-wrong");
      await page.fill('input[name="code"]', totp(secret, now()));
      await act("totp-code");
      await shot("codes");
      await act("finish");
      await shot("signed-in");
      await signIn(page, strict, email);
      await shot("factor");
      await page.fill('input[name="code"]', "000000");
      await act("code");
      await shot("factor-wrong");
      await page.fill('input[name="code"]', totp(secret, now() + 1));
      await act("code");
      await act("add-passkey");
      await page.waitForFunction(() => document.querySelector("input[value=remove-passkey]"));
      await shot("manage");
      await act("finish");
      await shot("finished");
      await page.goto(`${url}&lang=${language}`);
      await page.click("main button");
      await page.goto(`${url}&lang=${language}`);
      await page.click("main button");
      await shot("link-used");
      await page.route("**/passkey.js", (route) => route.abort());
      await page.goto(`${strict.url}/account`);
      await page.evaluate(() => document.querySelector('input[value="passkey"]').form.submit());
      await page.waitForSelector("form[data-asked]", { state: "attached" });
      await page.evaluate(() => document.querySelectorAll("[data-passkey]").forEach((part) => (part.hidden = false)));
      await shot("passkey");
      await page.context().close();
    }
  }
};

// --------------------------------------------------------------------------------------------------------------------

let passed = 0, failed = 0;
try {
  browser = await chromium.launch({ executablePath: given.chromium, args: ["--no-sandbox"] });
  gate = await serve("data", "");
  for (const [name, run] of Object.entries(cases)) {
    try {
      await run();
      passed++;
      console.log(`ok    ${name}`);
    } catch (error) {
      failed++;
      console.log(`FAILED ${name}: ${error.stack}`);
    }
  }
  if (given.shots) await pictures();
} catch (error) {
  failed++;
  console.log(`FAILED ${error.stack}`);
} finally {
  await browser?.close();
  for (const child of children) child.kill();
  if (given.keep) console.log(work);
  else rmSync(work, { recursive: true, force: true, maxRetries: 5 });
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
