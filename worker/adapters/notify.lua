-- All or nothing for the one notifier that holds the lease. KEYS: lease, offsets, groups, members. ARGV: token, number of the commit,
-- then for each of the three hashes how many fields are set and how many removed, the pairs, and the names.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'fenced' end
local at = 3
for hash = 2, 4 do
  local set, gone = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  at = at + 2
  for _ = 1, set do
    redis.call('HSET', KEYS[hash], ARGV[at], ARGV[at + 1])
    at = at + 2
  end
  for _ = 1, gone do
    redis.call('HDEL', KEYS[hash], ARGV[at])
    at = at + 1
  end
end
redis.call('HSET', KEYS[2], 'commits', ARGV[2])
return 'done'
