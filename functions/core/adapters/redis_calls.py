"""The calls of all processes, counted in Upstash Redis by one script.

    calls:WORKSPACE:YYYYMMDD   ->   CALLS MINUTE CALLS_IN_IT   three integers; the minute is that of the day
    key:KEY:YYYYMMDD           ->   CALLS                      only of keys with a cap of their own
    credit:WORKSPACE           ->   CALLS                      used of the migration credit

The day's counters last three days, the credit's as long as a workspace may have one, so nothing outlives the workspace
for long. Redis bills the commands inside a script, so there are three at most:

    1  MGET   all that is needed, and the principal's entry when it is asked for
    2  SET    calls:...
    3  SET    key:..., or credit:..., or else principal:... when there is one to fill

A grant of a capped key or out of the credit leaves a fill out, and says so. A key with a cap therefore never draws on
the credit. What is asked for without `want` and `back` is one command, and so is what is refused.

Within a day, what `CALLS` is above the limit of the day was taken from the credit: so calls that come back go to the
credit first. Calls come back only to counters that are still there, and to a minute only while it is the newest. A
process whose clock is slow counts in the newest minute.

When Redis loses its data the day begins anew, and so does the credit of a workspace that is young enough to have one.
"""

from __future__ import annotations

from core.adapters.redis import Command, Upstash, encoded, held_entry, milliseconds, principal_name
from core.limits_pool import GRANT_MOST, GRANT_SHARE
from core.ports import Ask, Taken
from declarations import MIGRATION_CREDIT_DAYS

KEPT_SECONDS = 3 * 86_400
CREDIT_KEPT_SECONDS = (MIGRATION_CREDIT_DAYS + 1) * 86_400

_TAKE = f"""
local capped, asked = ARGV[3] ~= '', ARGV[9]
local held = redis.call('MGET', unpack(KEYS))
local calls, minute, recent = string.match(held[1] or '', '^(%d+) ?(%d*) ?(%d*)')
calls, minute, recent = tonumber(calls) or 0, tonumber(minute) or 0, tonumber(recent) or 0
local credit = tonumber(held[2] or '') or 0
local key = capped and tonumber(held[3] or '') or 0
local day, now, back = tonumber(ARGV[1]), tonumber(ARGV[5]), held[1] and tonumber(ARGV[7]) or 0
local function above() return math.max(0, calls - day) end
local drawn = above()

if minute < now then minute, recent = now, 0 end
calls, key = math.max(0, calls - back), math.max(0, key - back)
if minute == tonumber(ARGV[8]) then recent = math.max(0, recent - back) end

local left, limit = day - calls, 'day'
if left <= 0 and not capped then left = tonumber(ARGV[4]) - math.max(0, credit + above() - drawn) end
if capped and tonumber(ARGV[3]) - key < left then left, limit = tonumber(ARGV[3]) - key, 'key' end
local spare = tonumber(ARGV[2]) - recent
if left > 0 and spare < left then left, limit = spare, 'minute' end
local share = math.max(1, math.min({GRANT_MOST}, math.floor(left / {GRANT_SHARE})))
local granted = math.max(0, math.min(tonumber(ARGV[6]), share, left))

local writes = 0
if granted > 0 or back > 0 then
  calls, recent, key = calls + granted, recent + granted, key + granted
  redis.call('SET', KEYS[1], string.format('%d %d %d', calls, minute, recent), 'EX', {KEPT_SECONDS})
  writes = 1
  if capped then
    redis.call('SET', KEYS[3], string.format('%d', key), 'EX', {KEPT_SECONDS})
    writes = 2
  elseif above() ~= drawn then
    credit = math.max(0, credit + above() - drawn)
    redis.call('SET', KEYS[2], string.format('%d', credit), 'EX', {CREDIT_KEPT_SECONDS})
    writes = 2
  end
end

local entry, filled = '', 0
if asked == 'read' then
  entry = held[#KEYS] or ''
elseif asked ~= '' and writes < 2 then
  filled = 1
  if (tonumber(string.match(held[#KEYS] or '', '^%d+') or '') or 0) <= tonumber(asked) then
    redis.call('SET', KEYS[#KEYS], asked .. ':' .. ARGV[10], 'PX', ARGV[11])
  end
end
return {{granted, limit, calls, recent, key, credit, filled, entry}}
"""


class RedisCallCounter:
    """Implements `ports.CallCounter`.

    Args:
        redis: the database of the principal cache.
    """

    def __init__(self, redis: Upstash) -> None:
        self._redis = redis

    async def take(self, ask: Ask) -> Taken | None:
        # Calls that came back twice could be made twice; calls that are taken twice are only lost.
        again = _command(ask, back=0) if ask.back else None
        return await self._redis.attempt(
            _command(ask, back=ask.back), lambda value: _read(value, ask.want), again=again
        )


def _command(ask: Ask, *, back: int) -> Command:
    names = [f"calls:{ask.workspace_id}:{ask.day}", f"credit:{ask.workspace_id}"]
    if ask.key_calls is not None:
        names.append(f"key:{ask.key_id}:{ask.day}")
    if ask.name:
        names.append(principal_name(ask.name))
    asked, text, lasts = ("read" if ask.name else ""), "", ""
    if ask.fill:
        asked, text = str(ask.fill.version), encoded(ask.fill.entry)
        lasts = milliseconds(ask.fill.ttl_seconds)
    numbers = (
        ask.calls_per_day,
        ask.calls_per_minute,
        "" if ask.key_calls is None else ask.key_calls,
        ask.credit,
        ask.minute,
        ask.want,
        back,
        ask.back_minute,
    )
    return ("EVAL", _TAKE, str(len(names)), *names, *map(str, numbers), asked, text, lasts)


def _read(value: object, want: int) -> Taken:
    """Raises ValueError: it is not what the script answers."""
    match value:
        case [int(granted), str(limit), int(calls), int(recent), int(key), int(credit), int(filled), str(entry)] if (
            0 <= granted <= want
        ):
            return Taken(
                granted=granted,
                limit=limit,
                calls=calls,
                minute_calls=recent,
                key_calls=key,
                credit=credit,
                filled=bool(filled),
                entry=held_entry(entry),
            )
    raise ValueError
