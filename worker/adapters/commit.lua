-- The effects of a run of signals of one partition, all or nothing: every check comes before the first write, because Redis
-- does not undo what a script wrote before it failed.
--
-- KEYS  meta, due, stream, open, suppression, then one per state   (all in one hash slot)
-- ARGV  1 expected offset ("" if nothing is stored)  2 next offset  3 max event time  4 digest of this commit
--       5 time to live of states, ms  6 pub/sub channel  7 count of timers  8 count of events  9 count of alerts
--       10 suppression ("" to leave it as it is), then
--       per alert: its id, its last event ("" if it has ended)
--       the states, in the order of their KEYS
--       per timer: alert key, due time ("" to remove it)
--       per event: id's first part, id's second part, event, hint
-- Answers "done" (now, or by an earlier try of this very commit) or "fenced".

local meta, due, stream, open, suppression = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local stored = redis.call('HMGET', meta, 'next_offset', 'digest')

if stored[1] == ARGV[2] and stored[2] == ARGV[4] then
  return 'done'
end
if (stored[1] or '') ~= ARGV[1] then
  return 'fenced'
end

-- Where the stream outlived the rest (evicted, or lost in part), a replay comes to events that it holds already: they are the
-- same ones, and XADD would refuse them.
local last_ms, last_seq = 0, 0
if redis.call('EXISTS', stream) == 1 then
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      local ms, seq = string.match(info[i + 1], '(%d+)-(%d+)')
      last_ms, last_seq = tonumber(ms), tonumber(seq)
    end
  end
end

-- A Redis that is full refuses a script at its first write that needs room, and at no later one: so one that needs room comes
-- first, and changes nothing that counts. Then the commands that older versions did not need: where the user may not use them,
-- nothing of the commit has been written yet.
redis.call('HSET', meta, 'digest', '')
if not stored[1] then
  redis.call('DEL', open, suppression)
end
local at = 11
for _ = 1, tonumber(ARGV[9]) do
  if ARGV[at + 1] == '' then
    redis.call('HDEL', open, ARGV[at])
  else
    redis.call('HSET', open, ARGV[at], ARGV[at + 1])
  end
  at = at + 2
end
if ARGV[10] ~= '' then
  redis.call('SET', suppression, ARGV[10])
end
redis.call('HSET', meta, 'next_offset', ARGV[2], 'max_event_time_ms', ARGV[3], 'digest', ARGV[4])
for i = 6, #KEYS do
  redis.call('SET', KEYS[i], ARGV[at], 'PX', ARGV[5])
  at = at + 1
end
for _ = 1, tonumber(ARGV[7]) do
  if ARGV[at + 1] == '' then
    redis.call('ZREM', due, ARGV[at])
  else
    redis.call('ZADD', due, ARGV[at + 1], ARGV[at])
  end
  at = at + 2
end
for _ = 1, tonumber(ARGV[8]) do
  local ms, seq = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  if ms > last_ms or (ms == last_ms and seq > last_seq) then
    redis.call('XADD', stream, ARGV[at] .. '-' .. ARGV[at + 1], 'event', ARGV[at + 2])
    redis.call('PUBLISH', ARGV[6], ARGV[at + 3])
  end
  at = at + 4
end
return 'done'
