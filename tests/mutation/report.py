"""What mutmut found, counted: which mutants of which module no test noticed.

mutmut keeps a JSON file beside each mutated module, `<module>.py.meta`, with the exit status of the tests for each mutant.
"""

import json
from collections.abc import Iterable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from mutmut.stats import status_by_exit_code

MOST_ALIVE = 0.05
_ALIVE = frozenset({"survived", "no tests", "suspicious"})
_UNCHECKED = frozenset({"not checked", "check was interrupted by user"})


class Outcome(IntEnum):
    """What came of it; the number is the exit status."""

    ENOUGH_KILLED = 0
    TOO_MANY_ALIVE = 1
    UNFINISHED = 2


class Count(NamedTuple):
    """The mutants of a module, or of several: how many were tried, which lived (by name), how many were not tried yet."""

    tried: int
    alive: tuple[str, ...]
    unchecked: int

    @property
    def share(self) -> float:
        """The share of those tried that lived."""
        return len(self.alive) / self.tried if self.tried else 0.0


def count(statuses: Mapping[str, str]) -> Count:
    """Count mutants by what mutmut calls their status. A mutant that no test reaches lives; one that hangs is noticed."""
    unchecked = sum(status in _UNCHECKED for status in statuses.values())
    alive = tuple(name for name, status in statuses.items() if status in _ALIVE)
    return Count(len(statuses) - unchecked, alive, unchecked)


def total(counts: Iterable[Count]) -> Count:
    """Add them up."""
    every = list(counts)
    alive = tuple(name for one in every for name in one.alive)
    return Count(sum(one.tried for one in every), alive, sum(one.unchecked for one in every))


def read(mutants: Path) -> dict[str, Count]:
    """Return what was found for each module with mutants, by its path below `mutants`."""
    found = {}
    for meta in sorted(mutants.rglob("*.py.meta")):
        codes = json.loads(meta.read_bytes())["exit_code_by_key"]
        if codes:
            module = str(meta.relative_to(mutants)).removesuffix(".meta")
            found[module] = count({name: status_by_exit_code[code] for name, code in codes.items()})
    return found


def judge(whole: Count) -> Outcome:
    """Say what came of it. Nothing tried is not enough."""
    if whole.share > MOST_ALIVE:
        return Outcome.TOO_MANY_ALIVE
    return Outcome.UNFINISHED if whole.unchecked or not whole.tried else Outcome.ENOUGH_KILLED


def as_json(modules: Mapping[str, Count]) -> dict[str, Any]:
    """Return the report for machines."""
    return {"total": _figures(total(modules.values())), "modules": {name: _figures(one) for name, one in modules.items()}}


def _figures(one: Count) -> dict[str, Any]:
    return {
        "tried": one.tried,
        "killed": one.tried - len(one.alive),
        "alive": len(one.alive),
        "unchecked": one.unchecked,
        "alive_share": round(one.share, 4),
        "survivors": list(one.alive),
    }


def as_text(modules: Mapping[str, Count]) -> str:
    """Return the report for people: a line for each module, then all together."""
    lines = [_line(name, one) for name, one in modules.items()]
    return "\n".join([*lines, _line("together", total(modules.values()))])


def _line(name: str, one: Count) -> str:
    rest = f", {one.unchecked} not tried yet" if one.unchecked else ""
    return f"{name}: {len(one.alive)} of {one.tried} alive ({one.share:.1%}){rest}"
