"""What Redis does in one step, in its own language.

An entry is a hash of ``v`` (the bytes), ``g`` (the generation) and ``t`` (tags with their tokens).
It counts only as long as the generation and every token are those that are there now: a tag is
removed by removing its token, everything by removing the generation, and a token that Redis evicted
takes its entries with it. A removal needs no memory, so that it works on a Redis that is full.
"""

from __future__ import annotations

__all__ = ["ACQUIRE", "CLEAR", "DELETE", "DELETE_TAG", "RELEASE", "RENEW", "SET"]

# Somebody else may have put something else under a key of ours.
_COMMON = """
local function text(key)
  local kind = redis.call('TYPE', key).ok
  if kind == 'string' then return redis.call('GET', key) end
  if kind ~= 'none' then redis.call('UNLINK', key) end
  return false
end
local function token(key, fresh, lasts)
  local known = text(key)
  if known then return known end
  if lasts then redis.call('SET', key, fresh, 'PX', lasts) else redis.call('SET', key, fresh) end
  return fresh
end
-- A command that its sender gave up may arrive after later ones of the same sender.
local function outdated(key, mine)
  mine = tonumber(mine)
  local known = tonumber(text(key) or '0') or 0
  if known > mine then return true end
  if known < mine then redis.pcall('SET', key, ARGV[1], 'PX', 86400000) end
  return false
end
"""

#: How long a token of a tag lasts that no entry has yet: as long as a computation may take.
_TOKEN = "86400000"

#: KEYS: lease, entry, generation, tags. ARGV: token, milliseconds, fresh.
ACQUIRE = (
    _COMMON
    + f"""
local holder = text(KEYS[1])
if holder and holder ~= ARGV[1] then
  return {{0, redis.call('PTTL', KEYS[1])}}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local answer = {{1, 0, false, false, false, -2, token(KEYS[3], ARGV[3], false)}}
if redis.call('TYPE', KEYS[2]).ok == 'hash' then
  local entry = redis.call('HMGET', KEYS[2], 'v', 'g', 't')
  answer[3], answer[4], answer[5], answer[6] = entry[1], entry[2], entry[3], redis.call('PTTL', KEYS[2])
end
for place = 4, #KEYS do
  answer[#answer + 1] = token(KEYS[place], ARGV[3], {_TOKEN})
end
return answer
"""
)

#: Answers -1 where it is outdated.
#: KEYS: epoch, entry, lease, generation, tags.
#: ARGV: epoch, bytes, milliseconds or 0, lease or '', fresh, channel, message, tags, their tokens and the generation.
SET = (
    _COMMON
    + f"""
if outdated(KEYS[1], ARGV[1]) then return -1 end
local tags = #KEYS - 4
local leased = ARGV[4] ~= ''
if leased then
  if text(KEYS[3]) ~= ARGV[4] then return 0 end
  redis.call('UNLINK', KEYS[3])
end
local generation = leased and ARGV[8 + 2 * tags] or token(KEYS[4], ARGV[5], false)
local stale = leased and text(KEYS[4]) ~= generation
local lasts = tonumber(ARGV[3])
local packed = {{}}
for place = 1, tags do
  local key = KEYS[4 + place]
  local mine = leased and ARGV[7 + tags + place] or token(key, ARGV[5], {_TOKEN})
  stale = stale or (leased and text(key) ~= mine)
  packed[#packed + 1] = ARGV[7 + place]
  packed[#packed + 1] = mine
end
if stale then
  redis.call('PUBLISH', ARGV[6], ARGV[7])
  return 0
end
local kind = redis.call('TYPE', KEYS[2]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('UNLINK', KEYS[2]) end
redis.call('HSET', KEYS[2], 'v', ARGV[2], 'g', generation, 't', tags > 0 and cmsgpack.pack(packed) or '')
if lasts > 0 then redis.call('PEXPIRE', KEYS[2], lasts) else redis.call('PERSIST', KEYS[2]) end
-- A token outlives what hangs on it.
for place = 1, tags do
  local key = KEYS[4 + place]
  if lasts <= 0 then redis.call('PERSIST', key)
  else
    local left = redis.call('PTTL', key)
    if left >= 0 and left < lasts + 60000 then redis.call('PEXPIRE', key, lasts + 60000) end
  end
end
if not leased then redis.call('UNLINK', KEYS[3]) end
redis.call('PUBLISH', ARGV[6], ARGV[7])
return 1
"""
)

#: KEYS: epoch, entry, lease. ARGV: epoch, channel, message.
DELETE = (
    _COMMON
    + """
outdated(KEYS[1], ARGV[1])
local count = redis.call('UNLINK', KEYS[2])
redis.call('UNLINK', KEYS[3])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return count
"""
)

#: KEYS: epoch, token or generation. ARGV: epoch, channel, message.
DELETE_TAG = CLEAR = (
    _COMMON
    + """
outdated(KEYS[1], ARGV[1])
redis.call('UNLINK', KEYS[2])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
"""
)

#: KEYS: lease. ARGV: token, milliseconds.
RENEW = (
    _COMMON
    + """
if text(KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
)

#: KEYS: lease. ARGV: token, channel, message.
RELEASE = (
    _COMMON
    + """
if text(KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
"""
)
