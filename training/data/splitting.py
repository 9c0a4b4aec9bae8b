"""Training, validation and test parts that share no group and no near duplicate, by chance or by time; and the proof of it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.data.icwsm import Split
from training.data.near import near_pairs
from training.data.roots import Roots
from training.data.rows import Row
from training.errors import TrainingError

Parts = Mapping[Split, tuple[Row, ...]]


@dataclass(frozen=True, slots=True)
class Shares:
    """How much of the rows each part is to have, nearly; what is left of 1 is the test part's."""

    train: float = 0.8
    validation: float = 0.1

    def __post_init__(self) -> None:
        """Refuse shares that leave a part with nothing."""
        if min(self.train, self.validation, 1 - self.train - self.validation) <= 0:
            raise TrainingError("the shares of train and validation must be above 0, and leave something of 1 for test")

    def part_at(self, place: float) -> Split:
        """Return the part that holds a place in [0, 1)."""
        if place < self.train:
            return Split.TRAIN
        return Split.VALIDATION if place < self.train + self.validation else Split.TEST


@dataclass(frozen=True, slots=True)
class Proof:
    """What was looked for across parts, and found: groups in two parts, pairs nearly alike in two, times out of order."""

    rows: dict[str, int]
    groups_in_two_parts: int
    near_pairs_in_two_parts: int
    out_of_order: bool | None

    @property
    def holds(self) -> bool:
        """Whether nothing crosses; order is asked of a split by time alone."""
        return not (self.groups_in_two_parts or self.near_pairs_in_two_parts or self.out_of_order)


@dataclass(frozen=True, slots=True)
class Divided:
    """The parts, how many rows had to be left out of them, and the proof that nothing crosses."""

    parts: Parts
    left_out: int
    proof: Proof


def by_group(rows: Sequence[Row], shares: Shares | None = None, seed: int = 7) -> Divided:
    """Return the rows in three parts, by a hash of seed and group, where near duplicates make one group of two.

    A group's part depends on nothing but the groups it is tied to: more data moves no row, unless it ties two groups.

    Raises:
        TrainingError: a part came out empty.
    """
    shares = shares or Shares()
    parts: dict[Split, list[Row]] = {part: [] for part in Split}
    for row, unit in zip(rows, units(rows), strict=True):
        parts[shares.part_at(_place(unit, seed))].append(row)
    return _divided(parts, 0, by_time=False)


def by_time(rows: Sequence[Row], shares: Shares | None = None) -> Divided:
    """Return the rows in three parts, each later than the one before, as a model meets the world.

    A row whose group, or near duplicate, is in an earlier part is left out: a model would have seen it.

    Raises:
        TrainingError: a row has no time, or a part came out empty.
    """
    shares = shares or Shares()
    times = sorted(_time(row) for row in rows)
    if not times:
        raise TrainingError("there are no rows to split")
    cuts = [times[min(int(share * len(times)), len(times) - 1)] for share in (shares.train, shares.train + shares.validation)]
    dated = [(row, unit, _part_by(cuts, _time(row))) for row, unit in zip(rows, units(rows), strict=True)]
    order = list(Split)
    first: dict[str, int] = {}
    for _, unit, part in dated:
        first[unit] = min(first.get(unit, len(order)), order.index(part))
    parts: dict[Split, list[Row]] = {part: [] for part in Split}
    for row, unit, part in dated:
        if order.index(part) == first[unit]:
            parts[part].append(row)
    return _divided(parts, len(rows) - sum(map(len, parts.values())), by_time=True)


def units(rows: Sequence[Row]) -> list[str]:
    """Return for each row the name of what must not be divided: the first, by name, of all groups that it is tied to."""
    names = sorted({row.group for row in rows})
    index = {name: place for place, name in enumerate(names)}
    roots = Roots(len(names))
    for one, other in near_pairs([row.text for row in rows]):
        roots.merge(index[rows[one].group], index[rows[other].group])
    return [names[roots.find(index[row.group])] for row in rows]


def prove(parts: Parts, *, by_time: bool) -> Proof:
    """Look through the parts as they are, whatever made them, for what must not be in two of them."""
    placed = [(part, row) for part in Split for row in parts[part]]
    homes: dict[str, set[Split]] = {}
    for part, row in placed:
        homes.setdefault(row.group, set()).add(part)
    pairs = near_pairs([row.text for _, row in placed])
    return Proof(
        rows={part.value: len(parts[part]) for part in Split},
        groups_in_two_parts=sum(len(found) > 1 for found in homes.values()),
        near_pairs_in_two_parts=sum(placed[one][0] is not placed[other][0] for one, other in pairs),
        out_of_order=_out_of_order(parts) if by_time else None,
    )


def _divided(parts: Mapping[Split, Sequence[Row]], left_out: int, *, by_time: bool) -> Divided:
    fixed = {part: tuple(found) for part, found in parts.items()}
    for part, found in fixed.items():
        if not found:
            raise TrainingError(f"the {part.value} part is empty: give it a larger share, or more rows of groups of their own")
    proof = prove(fixed, by_time=by_time)
    if not proof.holds:
        raise TrainingError(f"the parts are not apart ({proof}); this is a fault of the program, not of the data")
    return Divided(fixed, left_out, proof)


def _place(unit: str, seed: int) -> float:
    return int.from_bytes(hashlib.sha256(f"{seed}:{unit}".encode()).digest()[:8]) / 2**64


def _part_by(cuts: Sequence[float], at: float) -> Split:
    return list(Split)[sum(at >= cut for cut in cuts)]


def _time(row: Row) -> float:
    if row.at is None:
        raise TrainingError(f"{row.id} has no time, which a split by time needs: name its column, --column at=NAME")
    return row.at


def _out_of_order(parts: Parts) -> bool:
    latest = -math.inf
    for part in Split:
        if min(map(_time, parts[part])) <= latest:
            return True
        latest = max(map(_time, parts[part]))
    return False
