-- What running requests hold: the text of each hold's amount. What is overdue and not yet swept holds nothing.
local SWEPT_MAX = 1000

sweep(SWEPT_MAX)
local sums = {}
local pairs_of = redis.call('HGETALL', holds)
for i = 1, #pairs_of, 2 do
  if ends_of(pairs_of[i]) > now then sums[#sums + 1] = cmsgpack.unpack(pairs_of[i + 1]).nanos end
end
return sums
