-- Which requests hold what, after one, by id: request, tokens, amount, age and time left, five for each. What is overdue
-- and not yet swept holds nothing.
local SWEPT_MAX = 1000

sweep(SWEPT_MAX)
local after, most = argument(), tonumber(argument())
local ids = {}
for _, id in ipairs(redis.call('HKEYS', holds)) do
  if id > after and ends_of(id) > now then ids[#ids + 1] = id end
end
table.sort(ids)
local rows = {}
for i = 1, math.min(most, #ids) do
  local hold = cmsgpack.unpack(redis.call('HGET', holds, ids[i]))
  rows[#rows + 1] = ids[i]
  rows[#rows + 1] = hold.tokens
  rows[#rows + 1] = hold.nanos
  rows[#rows + 1] = math.max(0, now - hold.taken)
  rows[#rows + 1] = ends_of(ids[i]) - now
end
return rows
