"""Promotion and rollback: load beside, prove, switch, drain, unload.

Until the switch everything is undone if anything fails; from then on the new version serves, whatever happens.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.errors import GateError, TrainingError
from training.promote import versions
from training.promote.answering import FileModel
from training.promote.server import Server
from training.promote.versions import Version
from training.repository import CONFIG_FILE, CONTRACT_FILE
from training.steps import Say, silent
from training.tokens import pad

_PROBES = ("The weather is fine today.", "This is good.", "A bad day for the market, and the forecast is worse.")
_ALIKE = 0.05
"""How far the server's probabilities may be from those of the same file here: bfloat16 may be that far from float32."""


@dataclass(frozen=True, slots=True)
class Drain:
    """When the version before is out of use: not asked for `quiet_s`. After `patience_s` it stays loaded and that is told."""

    quiet_s: float = 10.0
    patience_s: float = 120.0
    every_s: float = 0.5
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class _Change:
    """What is to be done in a model's folder, and on what grounds."""

    folder: Path
    action: str
    before: Version
    after: Version
    figures: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Moved:
    """What happened: which version served before, which serves now, and whether the one before was unloaded."""

    before: str
    now: str
    unloaded: bool


def promote(
    folder: Path, candidate: Version, servers: Sequence[Server], drain: Drain, figures: Mapping[str, object], say: Say = silent
) -> Moved:
    """Put `candidate`, which has passed its gates, into service in the model's `folder`; see `_move` for the steps.

    A candidate that lies elsewhere becomes the next version; one that is a version of the folder already keeps its number.

    Raises:
        TrainingError: the server refused it, or answers otherwise than its file; all is as it was.
    """
    now = versions.serving(folder)
    with versions.alone(folder), ExitStack() as undo:
        is_there = candidate.folder.parent == folder
        fresh = candidate if is_there else versions.add(folder, candidate)
        if not is_there:
            undo.callback(_remove, fresh.folder)
        return _move(_Change(folder, "promote", now, fresh, figures), servers, drain, say, undo)


def load_beside(folder: Path, candidate: Version, servers: Sequence[Server], say: Say = silent) -> Version:
    """Make a candidate the next version and have the servers load it beside the one that serves; nobody goes over to it.

    Raises:
        TrainingError: the server refused it, or answers otherwise than its file; all is as it was.
    """
    now, config = versions.serving(folder), folder / CONFIG_FILE
    with versions.alone(folder), ExitStack() as undo:
        fresh = versions.add(folder, candidate)
        undo.callback(_remove, fresh.folder)
        undo.callback(_restore, config, config.read_bytes(), servers)
        say(f"Loading version {fresh.number} beside version {now.number}")
        _serve(config, servers, (now.number, fresh.number))
        _prove(fresh, servers)
        undo.pop_all()
    return fresh


def rollback(folder: Path, servers: Sequence[Server], drain: Drain, say: Say = silent) -> Moved:
    """Put the version that served before the one that serves now back into service, with the very contract it had.

    Raises:
        TrainingError: nothing was promoted, the version is gone, or the server refuses it; all is as it was.
    """
    now = versions.serving(folder)
    number = versions.before(versions.history(folder), now.number)
    if number is None:
        raise TrainingError(f"no version served before {now.number}: nothing to roll back to")
    target = versions.known(folder, number)
    with versions.alone(folder), ExitStack() as undo:
        return _move(_Change(folder, "rollback", now, target, {}), servers, drain, say, undo)


def _move(change: _Change, servers: Sequence[Server], drain: Drain, say: Say, undo: ExitStack) -> Moved:
    """Go from one version to another while requests come in.

    1. The contract that serves is kept beside its model.
    2. The servers load the new version beside the old one, and answer for it as its file does here.
    3. The contract is exchanged in one step: workers go over within seconds, each between two batches. `undo` ends here, and
       the history remembers.
    4. When the old version is not asked any more, the servers let it go.
    """
    before, after, config = change.before, change.after, change.folder / CONFIG_FILE
    versions.keep_contract(before)
    was = config.read_bytes()
    undo.callback(_restore, config, was, servers)
    say(f"Loading version {after.number} beside version {before.number}")
    _serve(config, servers, (before.number, after.number))
    _prove(after, servers)
    versions.write_bytes(change.folder / CONTRACT_FILE, after.body)
    undo.pop_all()
    versions.remember(change.folder, change.action, (before.number, after.number), change.figures)
    say(f"Version {after.number} serves; waiting until version {before.number} is not asked any more")
    return Moved(before.number, after.number, _let_go(change, servers, drain, say))


def _let_go(change: _Change, servers: Sequence[Server], drain: Drain, say: Say) -> bool:
    """Unload the version before once it is not asked any more; tells whether it was.

    What goes wrong here, Ctrl-C included, leaves it loaded and undoes nothing: the new version serves already.
    """
    try:
        if not _drained(servers, change.before.number, drain):
            return False
        _serve(change.folder / CONFIG_FILE, servers, (change.after.number,))
    except (TrainingError, KeyboardInterrupt) as error:
        say(f"Version {change.before.number} was not unloaded: {str(error) or 'interrupted'}")
        return False
    return True


def _serve(config: Path, servers: Sequence[Server], numbers: Sequence[str]) -> None:
    versions.write_bytes(config, versions.with_versions(config.read_text("utf-8"), numbers).encode())
    for server in servers:
        server.load()
        for number in numbers:
            if not server.serves(number):
                raise TrainingError(f"Triton at {server.url} does not serve version {number}, and says no reason")


def _prove(version: Version, servers: Sequence[Server]) -> None:
    """Hold each server's answers to those of the file on this machine."""
    model, contract = FileModel(version), version.contract
    batch = pad(model.rows(_PROBES), contract["max_length"])
    expected = model.probabilities(model.logits(*batch))
    for server in servers:
        answered = model.probabilities(server.logits(version.number, contract["output"], batch))
        gap = float(np.abs(answered - expected).max())
        if not gap <= _ALIKE:
            raise GateError(
                f"Triton at {server.url} answers for version {version.number} otherwise than its file: a probability is "
                f"{gap:.2g} off, at most {_ALIKE:g} is allowed; does it see the same model repository?"
            )


def _drained(servers: Sequence[Server], number: str, drain: Drain) -> bool:
    """Wait until no server has been asked for the version for as long as it takes; False if that does not come."""
    began_s = quiet_since_s = drain.monotonic()
    asked = [server.asked(number) for server in servers]
    while (now_s := drain.monotonic()) - quiet_since_s < drain.quiet_s:
        if now_s - began_s >= drain.patience_s:
            return False
        drain.sleep(drain.every_s)
        if (now := [server.asked(number) for server in servers]) != asked:
            asked, quiet_since_s = now, drain.monotonic()
    return True


def _restore(config: Path, was: bytes, servers: Sequence[Server]) -> None:
    """Put the configuration back and have the servers follow it, as far as they answer."""
    versions.write_bytes(config, was)
    for server in servers:
        with suppress(TrainingError):
            server.load()


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
