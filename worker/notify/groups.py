"""What a group of alerts has to say to one receiver, and when. Pure: the time is passed in, in milliseconds of the epoch.

A group remembers of each alert what its receiver knows of it, and so finds by itself what is news: an alert that nobody was
told of, or the end of one that somebody was. News are told once, `group_wait` after they came and `group_interval` after the
last notification; what still fires is told again after `repeat_interval`, unless somebody has acknowledged it. What is told is
what is so at that moment, not what happened in between.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from worker.messages import AlertEvent
from worker.notify.config import Timing
from worker.notify.routing import GroupName

Told = Literal["no", "maybe", "firing", "refused"]
"""What the receiver knows of an alert: nothing; that it fires, if a notification arrived of which no answer came; that it
fires; or nothing, as it refused the notification."""
Result = Literal["sent", "refused", "failed", "unknown"]
"""How a notification ended: told; refused for good; certainly not told; or without an answer."""


class Manner(NamedTuple):
    """How a group is told of: when, and whether of the end too."""

    timing: Timing
    tells_end: bool


class Member(msgspec.Struct, frozen=True):
    """An alert of a group: its last event, and what the receiver knows of it."""

    event: AlertEvent
    told: Told = "no"

    @property
    def is_over(self) -> bool:
        """Whether the alert has resolved."""
        return self.event.state == "resolved"

    @property
    def is_loud(self) -> bool:
        """Whether the alert is open, and neither silenced nor inhibited."""
        return not self.is_over and not self.event.suppressed_by


class Attempt(msgspec.Struct, frozen=True):
    """The notification under way, or the last that came to nothing: its alerts, and what was known of them before.

    Alerts are told apart by `identity`; the id says which one of those that had the identity, one after the other.
    """

    key: str
    firing: dict[str, tuple[str, Told]]
    ended: dict[str, str]


class Group(msgspec.Struct, frozen=True):
    """The alerts of one group, for one integration. `sequence` counts what was told or given up; `sent_ms`: when last."""

    place: str
    labels: dict[str, str]
    members: dict[str, Member] = {}
    news_since_ms: int | None = None
    sent_ms: int | None = None
    sequence: int = 0
    attempt: Attempt | None = None


class Contents(NamedTuple):
    """What a notification says: the events of alerts that fire, and of such as have ended. Same contents, same key."""

    key: str
    firing: tuple[AlertEvent, ...]
    ended: tuple[AlertEvent, ...]


def identity(event: AlertEvent) -> str:
    """What an alert shares with those before and after it: there is at most one of a rule and key at a time."""
    return f"{event.rule} {event.alert_key}"


def take(group: Group, events: Sequence[AlertEvent], manner: Manner, now_ms: int, *, known: bool = False) -> Group:
    """Return the group after these events. Where they are `known`, the receiver has long been told of them."""
    members = dict(group.members)
    for event in events:
        name = identity(event)
        member = Member(event, _told_before(members.get(name), event))
        if known and (member.is_loud or member.is_over):
            member = Member(event, "refused" if member.is_over else "firing")
        members[name] = member
    sent_ms = now_ms if known and group.sent_ms is None else group.sent_ms
    return _settled(replace(group, members=members, sent_ms=sent_ms), manner, now_ms)


def _told_before(before: Member | None, event: AlertEvent) -> Told:
    """What the receiver knows at this event. What comes out of a silence is told again, unless somebody has it in hand."""
    if before is None:
        return "no"
    is_back = event.change == "unsuppressed" and event.acknowledgement is None
    return "maybe" if is_back and before.told == "firing" else before.told


def due_ms(group: Group, manner: Manner) -> int | None:
    """Return when the group has something to say, None if it has nothing."""
    timing = manner.timing
    if group.news_since_ms is not None:
        first_ms = group.news_since_ms + timing.group_wait_ms
        return first_ms if group.sent_ms is None else max(first_ms, group.sent_ms + timing.group_interval_ms)
    if group.sent_ms is not None and any(map(_repeats, group.members.values())):
        return group.sent_ms + timing.repeat_interval_ms
    return None


def begin(name: GroupName, group: Group, manner: Manner) -> tuple[Group, Contents]:
    """Return what the group has to say, and the group as it must be on record before that is said."""
    firing = {one: member for one, member in group.members.items() if member.is_loud}
    ended = {one: member for one, member in group.members.items() if member.is_over and manner.tells_end}
    told = {one: (member.event.alert_id, member.told) for one, member in firing.items()}
    over = {one: member.event.alert_id for one, member in ended.items()}
    attempt = Attempt(_key(name, group.sequence, told, over), told, over)
    tried = {one: replace(member, told="maybe") for one, member in firing.items() if member.told != "firing"}
    contents = Contents(attempt.key, _events(firing), _events(ended))
    return replace(group, members={**group.members, **tried}, attempt=attempt), contents


class Ending(NamedTuple):
    """How the notification with a key ended."""

    key: str
    result: Result


def finish(group: Group, ending: Ending, manner: Manner, now_ms: int) -> Group:
    """Return the group after its notification has ended so. What happened meanwhile is in it already."""
    attempt, result = group.attempt, ending.result
    if attempt is None or attempt.key != ending.key or result == "unknown":
        return group
    members = dict(group.members)
    for one, (_, before) in attempt.firing.items():
        if one in members:
            members[one] = _after_firing(members[one], before, result)
    if result == "failed":
        return _settled(replace(group, members=members, attempt=None), manner, now_ms)
    for one, alert_id in attempt.ended.items():
        if one in members and members[one].event.alert_id == alert_id:
            del members[one]
        elif one in members:  # another has begun, of which nobody knows
            members[one] = replace(members[one], told="no")
    done = replace(group, members=members, attempt=None, sent_ms=now_ms, sequence=group.sequence + 1, news_since_ms=None)
    return _settled(done, manner, now_ms)


def _after_firing(member: Member, before: Told, result: Result) -> Member:
    if result == "sent":
        return replace(member, told="firing")
    if member.told != "maybe":
        return member
    return replace(member, told="refused" if result == "refused" else before)


def _settled(group: Group, manner: Manner, now_ms: int) -> Group:
    """Forget the ends that nobody needs to hear of, and note since when there are news."""
    members = {one: member for one, member in group.members.items() if not member.is_over or _is_awaited(member, manner)}
    since_ms = group.news_since_ms if group.news_since_ms is not None else now_ms
    return replace(group, members=members, news_since_ms=since_ms if any(map(_is_news, members.values())) else None)


def _is_awaited(over: Member, manner: Manner) -> bool:
    return manner.tells_end and over.told in {"maybe", "firing"}


def _is_news(member: Member) -> bool:
    return member.is_over or (member.is_loud and member.told in {"no", "maybe"})


def _repeats(member: Member) -> bool:
    return member.is_loud and member.event.acknowledgement is None


def _events(members: Mapping[str, Member]) -> tuple[AlertEvent, ...]:
    events = (member.event for member in members.values())
    return tuple(sorted(events, key=lambda event: (event.started_at_ms, event.alert_id)))


def _key(name: GroupName, sequence: int, firing: Mapping[str, tuple[str, Told]], over: Mapping[str, str]) -> str:
    ids = sorted(alert_id for alert_id, _ in firing.values()), sorted(over.values())
    return hashlib.blake2b(msgspec.json.encode([name, sequence, *ids]), digest_size=16).hexdigest()
