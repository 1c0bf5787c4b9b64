-- Builds a pool, unless somebody else has. KEYS: pool, hot. ARGV: base, sum, how long to wait for the other nodes, how many
-- ends follow and these, by node and run; then the nodes to wait for.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = tonumber(ARGV[4])
redis.call('HSET', KEYS[1], 'base', ARGV[1], 'sum', ARGV[2], 'settles', 0)
for i = 0, ends - 1 do
  redis.call('HSET', KEYS[1], 'p:' .. ARGV[5 + 2 * i], ARGV[6 + 2 * i])
end
local first = 5 + 2 * ends
for i = first, #ARGV do redis.call('HSET', KEYS[1], 'w:' .. ARGV[i], 1) end
if #ARGV >= first then
  redis.call('HSET', KEYS[1], 'settles', now + tonumber(ARGV[3]))
  redis.call('ZADD', KEYS[2], now + tonumber(ARGV[3]), KEYS[1])
end
redis.call('EXPIRE', KEYS[1], 3888000)
return 1
