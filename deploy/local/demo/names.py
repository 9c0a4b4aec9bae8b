"""What the demo's run calls its topics, groups and keys, and the settings that tell its worker. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ALLOWED_LATENESS_S = 120
"""The replay squeezes 40 minutes into one: two minutes of event time are some three seconds of the clock."""


@dataclass(frozen=True, slots=True)
class Names:
    """Names of topics, consumer groups and Redis keys; `prefix` is empty in a stack of the demo's own."""

    prefix: str = ""

    @property
    def inputs(self) -> dict[str, str]:
        """The input topic of each kind of message."""
        return {kind: f"{self.prefix}{kind}" for kind in ("news", "chat")}

    @property
    def outputs(self) -> dict[str, str]:
        """The topics that the worker writes, by what the settings call them."""
        words = ("predictions", "signals", "alerts", "dead-letters", "review", "feedback", "shadow")
        return {word.replace("-", "_"): f"{self.prefix}sentiment.{word}" for word in words}

    @property
    def owner(self) -> str:
        """The prefix of consumer groups and Redis keys."""
        return f"{self.prefix}tidings"


def names_for(run: str, *, shared: bool) -> Names:
    """Return names that nobody else uses where a part of the stack is `shared`, the plain ones otherwise."""
    return Names(f"demo-{run}.") if shared else Names()


def worker_settings(names: Names, files: Path, repository: Path) -> Mapping[str, str]:
    """Return the `TIDINGS_*` settings of the demo's worker, less the addresses; `files` holds watchlist and rules."""
    topics = {f"TIDINGS_KAFKA__TOPICS__{name.upper()}": topic for name, topic in names.outputs.items()}
    return {
        **topics,
        "TIDINGS_KAFKA__INPUT_TOPICS": json.dumps({topic: kind for kind, topic in names.inputs.items()}),
        "TIDINGS_KAFKA__GROUP_PREFIX": names.owner,
        "TIDINGS_REDIS__PREFIX": names.owner,
        "TIDINGS_SCORE__WATCHLIST": str(files / "watchlist.yaml"),
        "TIDINGS_ALERT__RULES": str(files / "rules.yaml"),
        "TIDINGS_ALERT__ALLOWED_LATENESS_S": str(ALLOWED_LATENESS_S),
        "TIDINGS_MODEL__REPOSITORY": str(repository),
        "TIDINGS_LOG__FORMAT": "json",
        "TIDINGS_OPS__PORT": "0",
    }
