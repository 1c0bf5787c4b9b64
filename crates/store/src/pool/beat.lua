-- A node says that it is there. KEYS: nodes, hot. ARGV: node, after how long without a beat a node is away.
-- Answers how many nodes are there, then the hot pools.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], now)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local seen = redis.call('HGETALL', KEYS[1])
local there = 0
for i = 1, #seen, 2 do
  local ago = now - tonumber(seen[i + 1])
  if ago <= tonumber(ARGV[2]) then there = there + 1 end
  if ago > 86400000 then redis.call('HDEL', KEYS[1], seen[i]) end
end
local answer = redis.call('ZRANGE', KEYS[2], 0, 999)
table.insert(answer, 1, tostring(there))
return answer
