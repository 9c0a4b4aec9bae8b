"""What a check says."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its name, and what is wrong, a sentence each. `not_run` says why it could not be made, where it could not."""

    name: str
    faults: tuple[str, ...] = ()
    detail: str = ""
    not_run: str = ""

    @property
    def ok(self) -> bool:
        """Whether it was made and found nothing."""
        return not self.faults and not self.not_run


def finding(name: str, faults: Iterable[str], detail: str = "") -> Finding:
    """Return what was found, each fault once."""
    return Finding(name, tuple(dict.fromkeys(faults)), detail)
