"""What one scenario found, written after every round: whoever is stopped has what was finished until then."""

import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.suite import machine


class Options(NamedTuple):
    """How much of everything: messages of a filled topic, rounds, seconds of one open-loop run, and where results go."""

    messages: int = 20_000
    rounds: int = 3
    seconds: float = 20.0
    limit_s: float = 600.0
    out: Path = Path("build/bench")

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> "Options":
        """Return what `as_json` made."""
        return cls(**{**fields, "out": Path(fields["out"])})

    def as_json(self) -> dict[str, Any]:
        """Return them as JSON has them."""
        return {**self._asdict(), "out": str(self.out)}


class Result:
    """The file of one scenario. Figures go in by their name in the report, everything else into `details`."""

    def __init__(self, scenario: str, options: Options) -> None:
        self.options = options
        self.figures: dict[str, Any] = {}
        self.details: dict[str, Any] = {}
        self._scenario = scenario
        self._about = machine.describe()
        self._began_s = time.monotonic()

    @property
    def left_s(self) -> float:
        """How much of the limit is left: a round that would not fit is not begun."""
        return self.options.limit_s - (time.monotonic() - self._began_s)

    def rounds(self) -> Iterator[int]:
        """Yield the rounds that were asked for, as long as there is time for one more like the longest so far."""
        longest_s, asked = 0.0, self.options.rounds
        for number in range(asked):
            left_s = self.left_s
            if left_s <= longest_s:
                self.say(f"there was time for {number} of {asked} rounds")
                return
            yield number
            longest_s = max(longest_s, left_s - self.left_s)

    def say(self, note: str) -> None:
        """Say in plain words what was left out or made smaller for want of time; once."""
        notes = self.details.setdefault("notes", [])
        if note not in notes:
            notes.append(note)

    def save(self, *, complete: bool = False) -> None:
        """Write what there is so far, all or nothing."""
        content = {
            "scenario": self._scenario,
            "complete": complete,
            "options": self.options.as_json(),
            "seconds": round(time.monotonic() - self._began_s, 1),
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **self._about,
            "figures": self.figures,
            "details": self.details,
        }
        write(path_of(self.options.out, self._scenario), content)


def path_of(out: Path, scenario: str) -> Path:
    """Return where a scenario's result lies."""
    return out / f"{scenario}.json"


def write(path: Path, content: object) -> None:
    """Write JSON, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(_finite(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    unfinished.replace(path)


def _finite(content: Any) -> Any:
    """Return it with null for what is no finite number, which JSON does not know."""
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read(out: Path, scenario: str) -> dict[str, Any] | None:
    """Return a scenario's last result, None if there is none that can be read."""
    try:
        found: dict[str, Any] = json.loads(path_of(out, scenario).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found
