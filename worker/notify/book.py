"""Every group of every receiver, and what of it must be put on record. Pure: the time is passed in.

Two hashes on record: `groups` holds each group without its alerts, `members` each alert of each group by itself, so that one
event writes one alert and not the whole group.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from worker.errors import FatalError
from worker.messages import AlertEvent
from worker.notify.config import NotifyConfig
from worker.notify.groups import Contents, Ending, Group, Manner, Member, begin, due_ms, finish, identity, take
from worker.notify.routing import GroupName, Membership, memberships

_groups = msgspec.msgpack.Decoder(tuple[GroupName, Group])
_members = msgspec.msgpack.Decoder(tuple[GroupName, str, Member])


class Changes(NamedTuple):
    """What is to be written, by field; None where the field is to go."""

    groups: dict[bytes, bytes | None]
    members: dict[bytes, bytes | None]


class Book:
    """The groups in memory. Not for use by several threads at once.

    Args:
        config: who is told what.
        max_alerts: so many alerts are kept at most; a new one past it is counted in `overflowed` and told to nobody.
    """

    def __init__(self, config: NotifyConfig, max_alerts: int = 100_000) -> None:
        self._config = config
        self._manners = {
            (target.name, place.key): Manner(place.timing, target.config.send_resolved)
            for place in config.places()
            for target in config.targets_of(place.receiver)
        }
        self._max_alerts = max_alerts
        self._groups: dict[GroupName, Group] = {}
        self._stored: dict[GroupName, Group] = {}
        self._changed: set[GroupName] = set()
        self._due: dict[GroupName, int] = {}
        self._homes: dict[str, set[GroupName]] = {}
        """The groups of each alert, by its identity: an event goes there whatever has become of labels and routes."""
        self.overflowed = 0

    def __len__(self) -> int:
        """How many groups there are."""
        return len(self._groups)

    def restore(self, groups: Iterable[bytes], members: Iterable[bytes], now_ms: int) -> None:
        """Take up what is on record. Groups of routes that are no more are dropped; open alerts go where they belong now.

        Raises:
            FatalError: this program cannot read it.
        """
        for name, group in map(_read_group, groups):
            self._stored[name] = group
        for name, one, member in map(_read_member, members):
            if name in self._stored:
                self._stored[name].members[one] = member
        for name, group in self._stored.items():
            if group.members and (name.target, group.place) in self._manners:
                self._put(name, group)
            else:
                self._changed.add(name)
        open_alerts = {one: m.event for group in self._stored.values() for one, m in group.members.items() if not m.is_over}
        self.take([event for one, event in open_alerts.items() if self._is_missing(one, event)], now_ms)

    def take(self, events: Sequence[AlertEvent], now_ms: int, *, known: bool = False) -> None:
        """Have the events go into their groups; where they are `known`, every receiver has long been told of them."""
        runs: dict[GroupName, tuple[Group, list[AlertEvent]]] = {}
        for event in events:
            for name, group in self._homes_of(event, runs):
                runs.setdefault(name, (group, []))[1].append(event)
        for name, (group, run) in runs.items():
            self._put(name, take(group, run, self._manner(name, group), now_ms, known=known))

    def due(self, now_ms: int) -> list[GroupName]:
        """Return the groups that have something to say by now, the longest due first."""
        return sorted((name for name, at_ms in self._due.items() if at_ms <= now_ms), key=lambda name: self._due[name])

    def waiting(self) -> dict[str, int]:
        """Return for each integration how many groups have news for it that are not told."""
        counts = dict.fromkeys(self._config.targets, 0)
        for name, group in self._groups.items():
            counts[name.target] += group.news_since_ms is not None
        return counts

    def begin(self, name: GroupName) -> tuple[Group, Contents]:
        """Begin to tell of a group; what `changes` gives then must be on record before anything is sent."""
        group, contents = begin(name, self._groups[name], self._manner(name, self._groups[name]))
        self._put(name, group)
        return group, contents

    def finish(self, name: GroupName, ending: Ending, now_ms: int) -> None:
        """Hear how telling of a group ended."""
        if (group := self._groups.get(name)) is not None:
            self._put(name, finish(group, ending, self._manner(name, group), now_ms))

    def changes(self) -> Changes:
        """Return what differs from what is on record."""
        groups: dict[bytes, bytes | None] = {}
        members: dict[bytes, bytes | None] = {}
        for name in self._changed:
            old, new = self._stored.get(name), self._groups.get(name)
            if old is None and new is None:  # it came and went
                continue
            if old is None or new is None or replace(old, members={}) != replace(new, members={}):
                groups[_field(name)] = None if new is None else _encoded((name, replace(new, members={})))
            members |= _member_changes(name, old, new)
        return Changes(groups, members)

    def settle(self) -> None:
        """What `changes` gave is on record."""
        for name in self._changed:
            if name in self._groups:
                self._stored[name] = self._groups[name]
            else:
                self._stored.pop(name, None)
        self._changed.clear()

    def _homes_of(
        self, event: AlertEvent, runs: Mapping[GroupName, tuple[Group, list[AlertEvent]]]
    ) -> Iterator[tuple[GroupName, Group]]:
        one = identity(event)
        known = self._homes.get(one, set())
        yield from ((name, self._groups[name]) for name in known)
        if not known and event.state != "resolved" and len(self._homes) >= self._max_alerts:
            self.overflowed += 1
            return
        for member in memberships(self._config, labels_of(event)):
            if member.name not in known:
                yield member.name, self._groups.get(member.name) or runs.get(member.name, (_new(member),))[0]

    def _is_missing(self, one: str, event: AlertEvent) -> bool:
        wanted = {member.name for member in memberships(self._config, labels_of(event))}
        return not wanted <= self._homes.get(one, set())

    def _manner(self, name: GroupName, group: Group) -> Manner:
        return self._manners[name.target, group.place]

    def _put(self, name: GroupName, group: Group) -> None:
        before = self._groups.get(name)
        self._move(name, before.members if before else {}, group.members)
        self._changed.add(name)
        self._due.pop(name, None)
        if not group.members and group.attempt is None:
            self._groups.pop(name, None)
            return
        self._groups[name] = group
        if (at_ms := due_ms(group, self._manner(name, group))) is not None:
            self._due[name] = at_ms

    def _move(self, name: GroupName, before: Mapping[str, Member], after: Mapping[str, Member]) -> None:
        for one in before.keys() - after.keys():
            self._homes[one].discard(name)
            if not self._homes[one]:
                del self._homes[one]
        for one in after.keys() - before.keys():
            self._homes.setdefault(one, set()).add(name)


def labels_of(event: AlertEvent) -> dict[str, str]:
    """Return an alert's labels; events of before there were any have the few that can be told."""
    scope, _, name = event.alert_key.partition(":")
    own = {"alertname": event.rule, "alert_key": event.alert_key, "severity": event.severity}
    return {**({scope: name} if name else {}), **own, **event.labels}


def _new(member: Membership) -> Group:
    return Group(member.place, member.labels)


def _field(name: GroupName, one: str = "") -> bytes:
    return msgspec.json.encode([*name, one] if one else name)


def _encoded(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


def _member_changes(name: GroupName, old: Group | None, new: Group | None) -> Iterator[tuple[bytes, bytes | None]]:
    before, after = old.members if old else {}, new.members if new else {}
    yield from ((_field(name, one), None) for one in before.keys() - after.keys())
    for one, member in after.items():
        if before.get(one) is not member:
            yield _field(name, one), _encoded((name, one, member))


def _read_group(stored: bytes) -> tuple[GroupName, Group]:
    try:
        return _groups.decode(stored)
    except msgspec.DecodeError as error:
        raise FatalError(_unreadable(error)) from error


def _read_member(stored: bytes) -> tuple[GroupName, str, Member]:
    try:
        return _members.decode(stored)
    except msgspec.DecodeError as error:
        raise FatalError(_unreadable(error)) from error


def _unreadable(error: Exception) -> str:
    return (
        f"the notifications' state in Redis cannot be read ({error}): was it written by another version? Remove the keys"
        " <redis.prefix>:{notify}:*, and it is made anew from the alerts' topic, without telling anybody again"
    )
