-- Says what was spent of amounts, for those that nobody has said it of: the first one wins.
redis.call('HSETNX', amounts, 'generation', argument())
for _ = 1, tonumber(argument()) do
  local name, spent = argument(), argument()
  if redis.call('HEXISTS', amounts, name) == 0 then
    local debt = redis.call('HGET', amounts, name .. ' debt') or '0'
    redis.call('HSET', amounts, name, negative(spent), name .. ' limit', '0')
    if debt ~= '0' then add(name, negative(debt)) end
    redis.call('HDEL', amounts, name .. ' debt')
    redis.call('ZREM', due, 'w ' .. name)
  end
end
return 1
