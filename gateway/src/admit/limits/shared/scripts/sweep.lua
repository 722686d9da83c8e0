-- Ends what is due; says how many there were, so that a long row is swept in several goes.
local SWEPT_MAX = 1000

return sweep(SWEPT_MAX)
