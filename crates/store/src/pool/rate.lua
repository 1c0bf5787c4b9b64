-- Nodes tell each other what they have taken of limits on rates.
-- KEYS: nodes, active, then one of each limit. ARGV: node, run, after how long without a beat a node is away; then for each
-- limit what this run has taken, what is under way, what is missing, and 1 if somebody used it here lately.
-- Answers, for each limit, what others have taken, what is under way there, and the most that is missing there.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local node, away = ARGV[1], tonumber(ARGV[3])
local me = node .. ':' .. ARGV[2]
local answer = {}
for i = 3, #KEYS do
  local at = 4 * i - 8
  redis.call('HSET', KEYS[i], me, ARGV[at] .. ' ' .. ARGV[at + 1] .. ' ' .. ARGV[at + 2])
  redis.call('EXPIRE', KEYS[i], 3600)
  if ARGV[at + 3] == '1' then redis.call('ZADD', KEYS[2], now, KEYS[i]) end
  local taken, under, missing = 0, 0, 0
  local all = redis.call('HGETALL', KEYS[i])
  for j = 1, #all, 2 do
    if all[j] ~= me then
      local other = string.match(all[j], '^(.*):')
      local seen = now - tonumber(redis.call('HGET', KEYS[1], other) or '0')
      if seen > away or other == node then
        redis.call('HDEL', KEYS[i], all[j])
      else
        local t, u, m = string.match(all[j + 1], '^(%S+) (%S+) (%S+)$')
        taken, under = taken + tonumber(t), under + tonumber(u)
        missing = math.max(missing, tonumber(m))
      end
    end
  end
  table.insert(answer, string.format('%.0f', taken))
  table.insert(answer, string.format('%.0f', under))
  table.insert(answer, string.format('%.0f', missing))
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - 120000)
redis.call('EXPIRE', KEYS[2], 3600)
return answer
