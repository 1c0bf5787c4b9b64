-- A node tells its share of a pool and asks for more.
-- KEYS: pool, nodes, hot, the node's pools. ARGV: see `Pools::tell`.
-- Answers 'missing'; or 'other', the base, its sum, the node's last end in it; or 'lost', when a node is gone that had a
-- share; or 'late', when something newer was told before; or 'is', what is granted, what others spent, what others hold, the verdict, the number of the recall.
local pool, nodes, hot, mine = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local node, run, base = ARGV[1], ARGV[2], ARGV[3]
local function arg(i) return tonumber(ARGV[i]) end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', nodes, node, now)
local stored = redis.call('HGETALL', pool)
local f = {}
for i = 1, #stored, 2 do f[stored[i]] = stored[i + 1] end
if not f.base then return {'missing'} end
if f.base ~= base then
  return {'other', f.base, f.sum, f['p:' .. node .. ':' .. run] or '0'}
end
-- A server that was paused may hear an old word after a newer one.
local before, number = string.match(f['n:' .. node] or '', '^(%d+):(%d+)$')
if before == run and tonumber(number) >= arg(15) then return {'late'} end
local limit, used, held, need, wanted = arg(4), arg(5), arg(6), arg(7), arg(8)
local slack, keep, yields, recall = arg(9), arg(10), ARGV[11] == '1', arg(12)
local alive, gone = arg(13), arg(14)
local sum = tonumber(f.sum)
local function num(name) return tonumber(f[name] or '0') end
local granted, spent, holds, spare, unheard, lost = 0, 0, 0, 0, false, false
for name, value in pairs(f) do
  if string.sub(name, 1, 2) == 'g:' then
    local other = string.sub(name, 3)
    if other ~= node then
      local g, u, h = tonumber(value), num('u:' .. other), num('h:' .. other)
      granted, spent, holds = granted + g, spent + u, holds + h
      if g > u then
        local seen = now - tonumber(redis.call('HGET', nodes, other) or '0')
        if seen > gone then
          lost = true
        elseif seen <= alive then
          spare = spare + math.max(0, g - u - h)
          if num('a:' .. other) < recall then unheard = true end
        end
      end
    end
  end
end
if lost then return {'lost'} end
redis.call('HSET', pool, 'n:' .. node, run .. ':' .. ARGV[15])
local settles = num('settles') > now
if settles then
  redis.call('HDEL', pool, 'w:' .. node)
  f['w:' .. node] = nil
  settles = false
  for name in pairs(f) do
    if string.sub(name, 1, 2) == 'w:' then settles = true end
  end
  if not settles then redis.call('HSET', pool, 'settles', 0) end
end
local count = num('recalls')
local room = limit - sum - granted - used - held
local grant, verdict = keep, 'granted'
if need > 0 then
  if settles then
    verdict = 'recalled'
    recall = 0
  elseif need <= room then
    local more = math.max(0, math.min(slack, math.floor((room - wanted) / 16)))
    grant = math.max(keep, math.min(room, wanted + more))
  elseif sum + spent + used + need > limit then
    verdict = 'full'
  elseif recall > 0 and not unheard and room + spare < need then
    verdict = 'full'
  else
    verdict = 'recalled'
    if recall == 0 then
      count = count + 1
      recall = count
      redis.call('HSET', pool, 'recalls', count)
    end
    redis.call('ZADD', hot, now + 1000, pool)
  end
end
local function text(number) return string.format('%.0f', number) end
redis.call('HSET', pool, 'g:' .. node, text(used + held + grant), 'u:' .. node, text(used), 'h:' .. node, text(held))
if yields then redis.call('HSET', pool, 'a:' .. node, count) end
redis.call('SADD', mine, pool)
redis.call('EXPIRE', pool, 3888000)
redis.call('EXPIRE', mine, 3888000)
return {'is', text(used + held + grant), text(spent), text(holds), verdict, text(recall)}
