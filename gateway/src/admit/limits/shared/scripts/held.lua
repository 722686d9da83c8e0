-- What running requests hold: the text of each hold's amount.
local SWEPT_MAX = 1000

while sweep(SWEPT_MAX) == SWEPT_MAX do end
local sums = {}
for _, text in ipairs(redis.call('HVALS', holds)) do sums[#sums + 1] = cmsgpack.unpack(text).nanos end
return sums
