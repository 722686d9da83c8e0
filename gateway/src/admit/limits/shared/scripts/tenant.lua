-- What all scripts share: the tenant's keys, exact amounts, and the ends of a request.
--
-- rates    `<node> 1`, `<node> 2`, `<node> 3`: level and time of requests/min, tokens/min, requests/day;
--          `<node> r`: how many run
-- amounts  `<amount>`: what is left of it; `<amount> limit`: the limit that is counted in what is left;
--          `<amount> held`: what running requests hold of it, which is said to those who are refused;
--          `<amount> debt`: charges that came before it was seeded; `generation`: this hash's own id
-- holds    request: what it holds
-- expired  request: what it held when its time ran out
-- places   request: the nodes it runs at
-- due      when something is to be swept: `h` holds, `p` places, `x` expired, `d` charged without a hold, `w` windows
local rates, amounts, holds, expired, places, due = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]

-- A level counts parts of a unit, so many to one: whole numbers below 2^53, which Lua's doubles hold exactly.
local PARTS = { 60000, 60000, 864000 }
-- Milliseconds in which as many parts drain as the limit has units.
local TICK = { 1, 1, 100 }
-- How long expired holds are remembered. Unit: milliseconds.
local MEMORY = 86400000
-- How long a charge waits for its window to be seeded: longer than any window. Unit: milliseconds.
local DEBT_MEMORY = 400 * 86400000
local LOWEST = '-9223372036854775808'

-- Amounts are never Lua numbers: a double holds 53 bits, a charge has 63. They travel as text, and Redis adds them.
local function negative(text)
  if text == '0' then return text end
  if string.sub(text, 1, 1) == '-' then return string.sub(text, 2) end
  return '-' .. text
end

-- The returned sum is rounded beyond 2^53, its sign is not. A sum below 64 bits stays at the lowest.
local function add(amount, text)
  local sum = redis.pcall('HINCRBY', amounts, amount, text)
  if type(sum) == 'table' then
    redis.call('HSET', amounts, amount, LOWEST)
    return -1
  end
  return sum
end

local function charge(amount, text)
  if text == '0' then return end
  if redis.call('HEXISTS', amounts, amount) == 1 then
    add(amount, negative(text))
  else
    add(amount .. ' debt', text)
    redis.call('ZADD', due, 'NX', now + DEBT_MEMORY, 'w ' .. amount)
  end
end

local function give_hold_back(amount, text)
  if text ~= '0' and redis.call('HEXISTS', amounts, amount) == 1 then
    add(amount, text)
    add(amount .. ' held', negative(text))
  end
end

-- What running requests hold of an amount. Where none runs, nothing is held, whatever was lost or counted otherwise.
local function held_of(amount)
  if redis.call('HLEN', holds) == 0 then
    redis.call('HDEL', amounts, amount .. ' held')
    return '0'
  end
  return redis.call('HGET', amounts, amount .. ' held') or '0'
end

-- When a hold runs out by itself; one that nothing would end has run out.
local function ends_of(id)
  return tonumber(redis.call('ZSCORE', due, 'h ' .. id) or now)
end

local function ticks(i, at)
  return math.floor(at / TICK[i])
end

local function rate_text(level, tick)
  return string.format('%.0f %.0f', level, tick)
end

local function read_rate(text)
  if not text then return 0, 0 end
  local level, tick = string.match(text, '^(%d+) (%d+)$')
  return tonumber(level), tonumber(tick)
end

-- What has drained since the taking counts as drained from this very taking, so that nothing frees room twice.
local function give_rates_back(hold, unused)
  local taken = { 1, tonumber(hold.tokens), 1 }
  for _, node in ipairs(hold.nodes) do
    for i = 1, 3 do
      local limit = node.limits[i]
      if limit and unused[i] > 0 then
        local field = node.id .. ' ' .. i
        local level, tick = read_rate(redis.call('HGET', rates, field))
        local drained = (ticks(i, now) - ticks(i, hold.taken)) * limit
        local left = math.max(0, taken[i] * PARTS[i] - drained)
        level = math.max(0, level - math.min(left, unused[i] * PARTS[i]))
        redis.call('HSET', rates, field, rate_text(level, tick))
      end
    end
  end
end

local function pull(from, kind, id)
  local text = redis.call('HGET', from, id)
  if not text then return nil end
  redis.call('HDEL', from, id)
  redis.call('ZREM', due, kind .. ' ' .. id)
  return cmsgpack.unpack(text)
end

-- Replaces a hold by its charge. A hold that ran out still counts; in neither place it was settled before, unless it
-- was taken before this tenant's amounts were lost: then the charge counts once.
local function settle(id, tokens, text, generation, names)
  local hold = pull(holds, 'h', id)
  if hold then
    for _, node in ipairs(hold.nodes) do
      for _, amount in ipairs(node.amounts) do
        give_hold_back(amount, hold.nanos)
        charge(amount, text)
      end
    end
    local unused = tonumber(hold.tokens) - tonumber(tokens)
    give_rates_back(hold, { 0, math.max(0, unused), 0 })
    return
  end
  hold = pull(expired, 'x', id)
  if hold then
    for _, node in ipairs(hold.nodes) do
      for _, amount in ipairs(node.amounts) do charge(amount, text) end
    end
    return
  end
  if generation == '' or generation == redis.call('HGET', amounts, 'generation') then return end
  if redis.call('ZADD', due, 'NX', now + MEMORY, 'd ' .. id) == 1 then
    for _, amount in ipairs(names) do charge(amount, text) end
  end
end

local function void(id)
  local hold = pull(holds, 'h', id)
  if hold then
    for _, node in ipairs(hold.nodes) do
      for _, amount in ipairs(node.amounts) do give_hold_back(amount, hold.nanos) end
    end
    give_rates_back(hold, { 1, tonumber(hold.tokens), 1 })
  else
    pull(expired, 'x', id)
  end
end

local function free(id)
  local nodes = pull(places, 'p', id)
  if not nodes then return end
  for _, node in ipairs(nodes) do
    if redis.call('HINCRBY', rates, node .. ' r', -1) <= 0 then redis.call('HDEL', rates, node .. ' r') end
  end
end

local function expire(id)
  local hold = pull(holds, 'h', id)
  if not hold then return end
  for _, node in ipairs(hold.nodes) do
    for _, amount in ipairs(node.amounts) do give_hold_back(amount, hold.nanos) end
  end
  redis.call('HSET', expired, id, cmsgpack.pack(hold))
  redis.call('ZADD', due, now + MEMORY, 'x ' .. id)
end

-- Ends what is due, at most so many; says how many there were.
local function sweep(most)
  local late = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, most)
  for _, member in ipairs(late) do
    local kind, id = string.sub(member, 1, 1), string.sub(member, 3)
    redis.call('ZREM', due, member)
    if kind == 'h' then
      expire(id)
    elseif kind == 'p' then
      free(id)
    elseif kind == 'x' then
      redis.call('HDEL', expired, id)
    elseif kind == 'w' then
      redis.call('HDEL', amounts, id, id .. ' limit', id .. ' held', id .. ' debt')
    end
  end
  return #late
end

local at = 0
local function argument()
  at = at + 1
  return ARGV[at]
end

-- `f` frees a place, `v` voids, `s` settles.
local function end_requests()
  for _ = 1, tonumber(argument()) do
    local act, id = argument(), argument()
    if act == 'f' then
      free(id)
    elseif act == 'v' then
      void(id)
    else
      local tokens, text, generation, names = argument(), argument(), argument(), {}
      for i = 1, tonumber(argument()) do names[i] = argument() end
      settle(id, tokens, text, generation, names)
    end
  end
end
