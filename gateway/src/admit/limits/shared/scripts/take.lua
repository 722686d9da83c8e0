-- Takes what a request asks for from every node, or nothing from any.
-- Answers: { 'taken', levels, generation, lefts } or { 'full', levels, node, limiter } or { 'unseeded', levels, amounts… }
-- or { 'poor', levels, amount, left, held } or { 'repeated' }. Levels: three for each node, -1 where there is no limit.
local SWEPT_MAX = 64

sweep(SWEPT_MAX)
end_requests()

local id, ttl, tokens, nanos = argument(), tonumber(argument()), argument(), argument()
local costs = { 1, tonumber(tokens), 1 }
local nodes, fields, names, limits, ends = {}, {}, {}, {}, {}
for n = 1, tonumber(argument()) do
  local node = { id = argument(), limits = {}, amounts = {} }
  for i = 1, 3 do
    node.limits[i] = tonumber(argument()) or false
    fields[#fields + 1] = node.id .. ' ' .. i
  end
  fields[#fields + 1] = node.id .. ' r'
  node.places = tonumber(argument())
  for i = 1, tonumber(argument()) do
    local name = argument()
    node.amounts[i] = name
    names[#names + 1] = name
    limits[#limits + 1] = argument()
    ends[#ends + 1] = argument()
  end
  nodes[n] = node
end

if redis.call('HEXISTS', holds, id) == 1 or redis.call('HEXISTS', places, id) == 1
    or redis.call('HEXISTS', expired, id) == 1 then
  return { 'repeated' }
end

-- Limits over time and places.
local states = {}
if #fields > 0 then states = redis.call('HMGET', rates, unpack(fields)) end
local levels, full = {}, nil
for n, node in ipairs(nodes) do
  for i = 1, 3 do
    local limit, level = node.limits[i], -1
    if limit then
      local before, tick = read_rate(states[(n - 1) * 4 + i])
      -- A product beyond 2^53 is inexact, and larger than any level.
      level = math.max(0, before - math.max(0, ticks(i, now) - tick) * limit)
      states[(n - 1) * 4 + i] = math.max(tick, ticks(i, now))
      if not full and (costs[i] > limit or level + costs[i] * PARTS[i] > limit * PARTS[i]) then full = { n, i } end
    end
    levels[#levels + 1] = level
  end
  local running = tonumber(states[n * 4] or '0')
  if not full and node.places and running >= node.places then full = { n, 4 } end
end
if full then return { 'full', levels, full[1], full[2] } end

-- Amounts: what is left, after the hold.
local generation, lefts = '', {}
if #names > 0 then
  local wanted = { 'generation' }
  for i, name in ipairs(names) do
    wanted[#wanted + 1] = name
    wanted[#wanted + 1] = name .. ' limit'
  end
  local known = redis.call('HMGET', amounts, unpack(wanted))
  generation = known[1] or ''
  local unseeded = { 'unseeded', levels }
  for i in ipairs(names) do
    if not known[2 * i] then unseeded[#unseeded + 1] = i end
  end
  if #unseeded > 2 then return unseeded end
  for i, name in ipairs(names) do
    local before = known[2 * i + 1] or '0'
    if before ~= limits[i] then
      -- Two steps, each within 64 bits where their difference may not be.
      add(name, negative(before))
      add(name, limits[i])
      redis.call('HSET', amounts, name .. ' limit', limits[i])
      if ends[i] ~= '' then redis.call('ZADD', due, ends[i], 'w ' .. name) end
    end
  end
  for i, name in ipairs(names) do
    local left = redis.pcall('HINCRBY', amounts, name, negative(nanos))
    local is_taken = type(left) ~= 'table'
    if not is_taken or left < 0 then
      if is_taken then add(name, nanos) end
      for j = 1, i - 1 do add(names[j], nanos) end
      return { 'poor', levels, i, redis.call('HGET', amounts, name), held_of(name) }
    end
    lefts[i] = left
  end
end

-- It fits everywhere.
local changes, running_at = {}, {}
for n, node in ipairs(nodes) do
  running_at[n] = node.id
  redis.call('HINCRBY', rates, node.id .. ' r', 1)
  for i = 1, 3 do
    if node.limits[i] then
      local place = (n - 1) * 3 + i
      levels[place] = levels[place] + costs[i] * PARTS[i]
      changes[#changes + 1] = node.id .. ' ' .. i
      changes[#changes + 1] = rate_text(levels[place], states[(n - 1) * 4 + i])
    end
  end
  node.places = nil
end
if #changes > 0 then redis.call('HSET', rates, unpack(changes)) end
if nanos ~= '0' then
  for _, name in ipairs(names) do add(name .. ' held', nanos) end
end
redis.call('HSET', holds, id, cmsgpack.pack({ taken = now, tokens = tokens, nanos = nanos, nodes = nodes }))
redis.call('HSET', places, id, cmsgpack.pack(running_at))
redis.call('ZADD', due, now + ttl, 'h ' .. id, now + ttl, 'p ' .. id)
return { 'taken', levels, generation, lefts }
