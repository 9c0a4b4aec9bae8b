"""What keeps alerts of one partition quiet: silences and inhibitors, as the control records in its log have them. Pure.

A silence is in force in the event time `[starts_at_ms, ends_at_ms)`. Inhibition is Alertmanager's
(https://prometheus.io/docs/alerting/latest/alertmanager/#inhibition): a firing alert, the source, keeps those that a rule calls
its targets quiet where the labels in `equal` agree, an absent one being as good as an empty one; that it is quiet itself makes
no difference. An alert that is both source and target of a rule is not inhibited by another of that kind, itself included.

Who reads the log from its middle does not know all, until a `Standing` comes by. Numbers are bounded: past the bounds silences
that are over go first, then those that end first, and the oldest inhibitors. So nobody is kept quiet who should not be.
"""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from worker.alert.lifecycle import Muted
from worker.alert.matchers import admit
from worker.alert.rules import InhibitRule
from worker.errors import FatalError
from worker.messages import Expire, Inhibitor, Silence, Standing

MAX_SILENCES = 500
MAX_INHIBITORS = 2_000
SCHEMA = 1
"""Raised with every change to `_Kept` that older workers could not read."""
_STANDING_BYTES = 500_000
"""Of one control record: topics take a megabyte by default."""
_SILENCE, _INHIBITION = "silence:", "inhibition:"


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    silences: tuple[Silence, ...]
    inhibitors: tuple[Inhibitor, ...]
    ended: tuple[str, ...]
    is_whole: bool


class _Place(NamedTuple):
    """Which rule, the labels that must agree, and whether who inhibits there is a target of the rule too."""

    rule: int
    agreed: tuple[str, ...]
    is_target: bool


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Kept)
_sizer = msgspec.json.Encoder()


class Suppression:
    """The silences and inhibitors of a partition, and what `rules` make of them. Changes with the log alone.

    Inhibitors are found by an index, so that asking takes as long with many as with few.
    """

    def __init__(self, rules: Sequence[InhibitRule] = ()) -> None:
        self._rules = tuple(rules)
        self._silences: dict[str, Silence] = {}
        self._inhibitors: dict[str, Inhibitor] = {}
        self._ended: dict[str, None] = {}
        """What ended while not all was known: a `Standing` may have been written before that."""
        self._is_whole = False
        self._edges: list[int] = []
        self._sources: dict[_Place, list[str]] = defaultdict(list)

    @property
    def silences(self) -> tuple[Silence, ...]:
        """All that were not taken back, in force or not."""
        return tuple(self._silences.values())

    def knows(self, alert_id: str) -> bool:
        """Tell whether the alert is known to be firing."""
        return alert_id in self._inhibitors

    def replace_rules(self, rules: Sequence[InhibitRule]) -> None:
        """Let these rules say from now on who inhibits whom."""
        self._rules = tuple(rules)
        self._index()

    def take(self, control: Silence | Expire | Inhibitor | Standing, watermark_ms: int) -> None:
        """Do what a control record says."""
        if isinstance(control, Standing):
            self._complete(control)
        elif isinstance(control, Inhibitor):
            self._take_inhibitor(control)
        else:
            self._take_silence(control)
        self._prune(watermark_ms)
        self._edges = sorted(at for one in self._silences.values() for at in (one.starts_at_ms, one.ends_at_ms))

    def by(self, alert_id: str, labels: Mapping[str, str], at_ms: int) -> tuple[str, ...]:
        """Return what keeps an alert quiet at that time, in order; of its inhibitors the first by id."""
        in_force = (one for one in self._silences.values() if one.starts_at_ms <= at_ms < one.ends_at_ms)
        silences = sorted(_SILENCE + one.id for one in in_force if admit(one.matchers, labels))
        inhibitor = min(self._inhibitors_of(alert_id, labels), default=None) if self._inhibitors else None
        return (*silences, *([_INHIBITION + inhibitor] if inhibitor else []))

    def edges(self, after_ms: int, upto_ms: int) -> Sequence[int]:
        """Return the times in `(after_ms, upto_ms]` at which a silence begins or ends, in order."""
        return self._edges[bisect_right(self._edges, after_ms) : bisect_right(self._edges, upto_ms)]

    def standing(self) -> Standing | None:
        """Return what is in force, to be said again, None where there is nothing; as much of it as a record takes."""
        if not (self._silences or self._inhibitors):
            return None
        room, silences, inhibitors = _STANDING_BYTES, list[Silence](), list[Inhibitor]()
        for silence in self._silences.values():
            if (room := room - len(_sizer.encode(silence))) > 0:
                silences.append(silence)
        for inhibitor in self._inhibitors.values():
            if (room := room - len(_sizer.encode(inhibitor))) > 0:
                inhibitors.append(inhibitor)
        return Standing(tuple(silences), tuple(inhibitors))

    def encode(self) -> bytes:
        """Encode for the store."""
        kept = _Kept(self.silences, tuple(self._inhibitors.values()), tuple(self._ended), self._is_whole)
        return bytes([SCHEMA]) + _encoder.encode(kept)

    def restore(self, body: bytes) -> None:
        """Go on from what `encode` made.

        Raises:
            FatalError: written by another version of Tidings, or damaged.
        """
        kept = _kept(body)
        self._silences = {silence.id: silence for silence in kept.silences}
        self._inhibitors = {inhibitor.alert_id: inhibitor for inhibitor in kept.inhibitors}
        self._ended, self._is_whole = dict.fromkeys(kept.ended), kept.is_whole
        self._edges = sorted(at for one in kept.silences for at in (one.starts_at_ms, one.ends_at_ms))
        self._index()

    def _take_silence(self, control: Silence | Expire) -> None:
        self._silences.pop(control.id, None)
        if isinstance(control, Silence):
            self._silences[control.id] = control
            self._ended.pop(control.id, None)
        else:
            self._note_end(control.id)

    def _take_inhibitor(self, control: Inhibitor) -> None:
        self._forget_inhibitor(control.alert_id)
        if control.firing:
            self._inhibitors[control.alert_id] = control
            self._ended.pop(control.alert_id, None)
            for place in self._places(control):
                insort(self._sources[place], control.alert_id)
        else:
            self._note_end(control.alert_id)

    def _forget_inhibitor(self, alert_id: str) -> None:
        if known := self._inhibitors.pop(alert_id, None):
            for place in self._places(known):
                found = self._sources[place]
                del found[bisect_left(found, alert_id)]
                if not found:
                    del self._sources[place]

    def _note_end(self, name: str) -> None:
        if not self._is_whole:
            self._ended[name] = None
            while len(self._ended) > MAX_INHIBITORS:
                del self._ended[next(iter(self._ended))]

    def _complete(self, control: Standing) -> None:
        """Take what is not known yet of what was in force when the record was written; who knows all, learns nothing."""
        if self._is_whole:
            return
        unknown = [
            one for one in control.inhibitors if one.alert_id not in self._ended and one.alert_id not in self._inhibitors
        ]
        silences = {one.id: one for one in control.silences if one.id not in self._ended}
        self._silences = silences | self._silences
        for inhibitor in unknown:
            self._take_inhibitor(inhibitor)
        self._ended, self._is_whole = {}, True

    def _prune(self, watermark_ms: int) -> None:
        """Keep to the bounds."""
        if (excess := len(self._silences) - MAX_SILENCES) > 0:
            by_use = sorted(self._silences.values(), key=lambda one: (one.ends_at_ms > watermark_ms, one.ends_at_ms, one.id))
            for silence in by_use[:excess]:
                del self._silences[silence.id]
        while len(self._inhibitors) > MAX_INHIBITORS:
            self._forget_inhibitor(next(iter(self._inhibitors)))

    def _index(self) -> None:
        self._sources.clear()
        for inhibitor in self._inhibitors.values():
            for place in self._places(inhibitor):
                insort(self._sources[place], inhibitor.alert_id)

    def _places(self, inhibitor: Inhibitor) -> list[_Place]:
        labels = inhibitor.labels
        return [
            _Place(number, _agreed(rule, labels), admit(rule.target_matchers, labels))
            for number, rule in enumerate(self._rules)
            if admit(rule.source_matchers, labels)
        ]

    def _inhibitors_of(self, alert_id: str, labels: Mapping[str, str]) -> Iterator[str]:
        for number, rule in enumerate(self._rules):
            if not admit(rule.target_matchers, labels):
                continue
            for is_target in (False,) if admit(rule.source_matchers, labels) else (False, True):
                found = self._sources.get(_Place(number, _agreed(rule, labels), is_target), ())
                yield from [one for one in found[:2] if one != alert_id][:1]


def muted_by(names: Sequence[str]) -> Muted | None:
    """Return what kind of thing keeps an alert quiet, by what `Suppression.by` says; None where nothing does."""
    if not names:
        return None
    return "silence" if names[0].startswith(_SILENCE) else "inhibition"


def _agreed(rule: InhibitRule, labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in rule.equal)


def _kept(body: bytes) -> _Kept:
    if body[:1] != bytes([SCHEMA]):
        found = body[0] if body else "none"
        raise FatalError(f"stored silences have schema {found}, this version reads {SCHEMA}: run the version that wrote them")
    try:
        return _decoder.decode(memoryview(body)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FatalError(f"stored silences are damaged ({error}): delete that key to do without them") from error
