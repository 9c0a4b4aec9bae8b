"""How the stack looks on a terminal and as JSON."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import psutil
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deploy.local.report import Health, PartReport
from deploy.local.state import StackState

_COLOURS = {
    Health.READY: "green",
    Health.STARTING: "yellow",
    Health.NOT_READY: "yellow",
    Health.DEAD: "red",
}


def memory_mib(pids: Sequence[int]) -> int:
    """Resident memory of some processes together, in MiB; pages that they share count for each."""
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            total += psutil.Process(pid).memory_info().rss
    return total // 2**20


def as_json(state: StackState | None, settings_file: str) -> dict[str, Any]:
    """What `tidings status --json` prints; `up` is false and nothing else is there when no stack is up."""
    if state is None:
        return {"up": False}
    parts = [{**part.to_dict(), "memory_mib": memory_mib(part.pids)} for part in state.parts]
    return {
        "up": True,
        "ready": state.ready and all(part.health is Health.READY for part in state.parts),
        "pid": state.pid,
        "logs": state.logs,
        "settings_file": settings_file,
        "parts": parts,
    }


def table(parts: Sequence[PartReport]) -> RenderableType:
    """A table of the parts, and under it what is to be known of stand-ins and failures."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("part", "health", "software", "where", "processes", "memory"):
        grid.add_column(heading, no_wrap=heading in {"part", "health", "where", "memory"})
    for part in parts:
        grid.add_row(*_row(part))
    notes = [Text(f"{part.name}: {part.note}", style="yellow") for part in parts if part.note]
    return Group(grid, *notes)


def _row(part: PartReport) -> list[str | Text]:
    ports = "\n".join(f"{name} {port}" for name, port in part.ports.items())
    pids = " ".join(map(str, part.pids))
    memory = f"{memory_mib(part.pids)} MiB" if part.pids else ""
    health = Text(part.health, style=_COLOURS[part.health])
    return [part.name, health, f"{part.software} ({part.kind})", ports or Text(part.address, overflow="fold"), pids, memory]
