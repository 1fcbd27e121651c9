/**
 * What runs inside Redis, each script as one step that nobody sees half of, by its clock. Keys are handed in, so
 * that an account can be held to the prefix. Called by
 * `redis-store.ts`, `redis-board.ts` and `shared-hash.ts`.
 */

const NOW = `local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
`;

/**
 * A bucket that drains, as `MemoryStore.take`. KEYS: bucket. ARGV: size, period in ms, amount.
 * Answers: ms to wait (0: taken, -1: never), used.
 */
export const TAKE = `${NOW}
local size, per, amount = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local b = redis.call('HMGET', KEYS[1], 'used', 'at', 'size', 'per')
local used = tonumber(b[1]) or 0
local passed = math.max(0, now - (tonumber(b[2]) or now))
used = math.max(0, used - passed * (tonumber(b[3]) or size) / (tonumber(b[4]) or per))
used = math.min(used, size)
local over = used + amount - size
local wait = 0
if over > 1e-6 then
  wait = amount > size and -1 or math.ceil(over * per / size)
else
  used = used + amount
end
redis.call('HSET', KEYS[1], 'used', tostring(used), 'at', now, 'size', size, 'per', per)
redis.call('PEXPIRE', KEYS[1], per + 1000)
return { wait, tostring(used) }`;

/** A window of UTC, as `MemoryStore.spend`. KEYS: window. ARGV: size, period in ms, amount. Answers: left, ms that the window lasts. */
export const SPEND = `${NOW}
local size, per, amount = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local w = redis.call('HMGET', KEYS[1], 'used', 'ends', 'per')
local used, ends = tonumber(w[1]) or 0, tonumber(w[2]) or 0
if now >= ends or tonumber(w[3]) ~= per then
  used, ends = 0, now + per - now % per
end
used = used + amount
redis.call('HSET', KEYS[1], 'used', tostring(used), 'ends', ends, 'per', per)
redis.call('PEXPIRE', KEYS[1], ends - now + 1000)
return { tostring(size - used), ends - now }`;

/**
 * Places that replicas hold, each telling its own number: an answer that was lost is put right by the next.
 * KEYS: places, replicas alive. ARGV: replica, its places with this one, how many there are. Answers: 1 or 0, open in all.
 */
export const HOLD = `${NOW}
local mine, max, others = tonumber(ARGV[2]), tonumber(ARGV[3]), 0
local held = redis.call('HGETALL', KEYS[1])
for i = 1, #held, 2 do
  if held[i] ~= ARGV[1] then
    local till = tonumber(redis.call('ZSCORE', KEYS[2], held[i])) or 0
    if till > now then others = others + (tonumber(held[i + 1]) or 0) else redis.call('HDEL', KEYS[1], held[i]) end
  end
end
if others + mine > max then return { 0, others + mine - 1 } end
redis.call('HSET', KEYS[1], ARGV[1], mine)
redis.call('PEXPIRE', KEYS[1], 3600000)
return { 1, others + mine }`;

/** KEYS: places. ARGV: replica, its places. */
export const PLACES = `
if tonumber(ARGV[2]) > 0 then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) else redis.call('HDEL', KEYS[1], ARGV[1]) end
redis.call('PEXPIRE', KEYS[1], 3600000)
return 1`;

/**
 * This replica is alive. KEYS: alive, what each says, marks. ARGV: replica, what it says, for how many ms, how many at
 * most, bytes that one may say, kinds of entries … Answers: [mark of each kind], replica, what it says, … of those alive.
 */
export const BEAT = `${NOW}
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1000)) do
  redis.call('ZREM', KEYS[1], dead)
  redis.call('HDEL', KEYS[2], dead)
end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
local marks = {}
for i = 6, #ARGV do
  local mark = redis.call('HGET', KEYS[3], ARGV[i]) or ''
  marks[#marks + 1] = #mark <= 64 and mark or ''
end
local said = { marks }
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, ARGV[4] - 1)) do
  local words = redis.call('HGET', KEYS[2], id)
  if words and #id <= 64 and #words <= tonumber(ARGV[5]) then
    said[#said + 1] = id
    said[#said + 1] = words
  end
end
return said`;

/** This replica goes. KEYS: alive, what each says. ARGV: replica. */
export const LEAVE = `
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('HDEL', KEYS[2], ARGV[1])`;

/**
 * All of a hash within its bounds. KEYS: hash. ARGV: entries at most, bytes of each at most, bytes of all at most.
 * Answers: field, value, …; `*` stands for a value that is too long.
 */
export const READ = `
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[1]) then return redis.error_reply('ERR more entries than there can be') end
local all, out, bytes = redis.call('HGETALL', KEYS[1]), {}, 0
for i = 1, #all, 2 do
  if #all[i] <= 256 then
    local value = #all[i + 1] <= tonumber(ARGV[2]) and all[i + 1] or '*'
    bytes = bytes + #all[i] + #value
    if bytes > tonumber(ARGV[3]) then return redis.error_reply('ERR more bytes than there can be') end
    out[#out + 1] = all[i]
    out[#out + 1] = value
  end
end
return out`;

/**
 * Replaces what is still as the writer saw it. KEYS: hash, marks. ARGV: kind, new mark, channel, bytes of a value at
 * most, then field, what was seen ('': nothing, '*': too long), new value ('': none), … Answers: how many were replaced.
 */
export const WRITE = `
local done = 0
for i = 5, #ARGV, 3 do
  local there = redis.call('HGET', KEYS[1], ARGV[i]) or ''
  if there == ARGV[i + 1] or (ARGV[i + 1] == '*' and #there > tonumber(ARGV[4])) then
    if ARGV[i + 2] == '' then redis.call('HDEL', KEYS[1], ARGV[i]) else redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2]) end
    done = done + 1
  end
end
if done > 0 then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  redis.call('PUBLISH', ARGV[3], 'changed')
end
return done`;

/** What can be had once. KEYS: its mark. ARGV: for how many ms it stays. Answers: 1: it is the asker's, 0: another was first. */
export const CLAIM = `
if redis.call('HGET', KEYS[1], 'taken') then return 0 end
redis.call('HSET', KEYS[1], 'taken', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1`;

/** KEYS: none. ARGV: channel, message. Answers: how many heard it. */
export const SAY = `return redis.call('PUBLISH', ARGV[1], ARGV[2])`;
