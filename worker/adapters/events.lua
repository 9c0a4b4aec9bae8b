-- A part of a partition's stream of alert events, and the offset that the partition stood at then, in one step.
--
-- KEYS  meta, stream   (in one hash slot)
-- ARGV  1 first id  2 last id  3 how many at most, 0 for all
-- Answers {next offset, or nil if nothing is stored; {{id, {field, value}}, ...}}.

local next_offset = redis.call('HGET', KEYS[1], 'next_offset')
if ARGV[3] == '0' then
  return {next_offset, redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[2])}
end
return {next_offset, redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[2], 'COUNT', ARGV[3])}
