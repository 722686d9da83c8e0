-- Which requests hold what, after one, by id: request, tokens, amount, age and time left, five for each.
local SWEPT_MAX = 1000

while sweep(SWEPT_MAX) == SWEPT_MAX do end
local after, most = argument(), tonumber(argument())
local ids = {}
for _, id in ipairs(redis.call('HKEYS', holds)) do
  if id > after then ids[#ids + 1] = id end
end
table.sort(ids)
local rows = {}
for i = 1, math.min(most, #ids) do
  local hold = cmsgpack.unpack(redis.call('HGET', holds, ids[i]))
  local ends = tonumber(redis.call('ZSCORE', due, 'h ' .. ids[i]) or now)
  rows[#rows + 1] = ids[i]
  rows[#rows + 1] = hold.tokens
  rows[#rows + 1] = hold.nanos
  rows[#rows + 1] = math.max(0, now - hold.taken)
  rows[#rows + 1] = math.max(0, ends - now)
end
return rows
