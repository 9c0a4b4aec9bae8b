"""Where things lie: the folder of a run, and folders in the cache that are either whole or absent."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.local.errors import LocalStackError

KEPT_RUNS = 10


def content_key(*parts: bytes | str) -> str:
    """Twelve hexadecimal digits that change with the content, to name a folder in the cache."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.encode())
        digest.update(b"\0")
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def locked(path: Path, refusal: str = "") -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel lets go of it however the process ends.

    Args:
        path: the lock file, made when absent.
        refusal: raise LocalStackError with this message when another holds the lock; wait for it when empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if refusal else 0))
        except BlockingIOError:
            raise LocalStackError(refusal) from None
        yield


def is_locked(path: Path) -> bool:
    """True when another process holds the lock of `locked`."""
    if not path.exists():
        return False
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def building(target: Path) -> Iterator[Path | None]:
    """Make a folder of the cache all or nothing.

    Yields an empty scratch folder that becomes `target` when the block ends well, or None when `target` is there
    already. Two processes take turns; one that is killed leaves scratch behind, which the next one removes.
    """
    with locked(target.with_name(f"{target.name}.lock")):
        if target.is_dir():
            yield None
            return
        for leftover in target.parent.glob(f"{target.name}.making-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"{target.name}.making-", dir=target.parent))
        try:
            yield scratch
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The folder of one run: `logs/` stays, `data/` goes at the end unless it was named by the user."""

    root: Path
    data: Path
    keeps_data: bool

    @property
    def logs(self) -> Path:
        """Where every part's log lies."""
        return self.root / "logs"

    def log(self, part: str) -> Path:
        """A part's log file."""
        return self.logs / f"{part}.log"

    def scratch(self, part: str) -> Path:
        """A folder for a part's configuration and temporary files, made when absent."""
        path = self.root / part
        path.mkdir(parents=True, exist_ok=True)
        return path

    def clear(self) -> None:
        """Remove everything but the logs and data that the user keeps."""
        for path in self.root.iterdir():
            if path.is_dir() and path != self.logs:
                shutil.rmtree(path, ignore_errors=True)


def new_run(state: Path, data_dir: Path | None, now: datetime.datetime) -> RunFolder:
    """Make the folder of a new run under `<state>/runs` and forget all but the newest KEPT_RUNS finished ones."""
    runs = state / "runs"
    root = runs / f"{now:%Y%m%d-%H%M%S}-{os.getpid()}"
    number = 1
    while root.exists():
        number += 1
        root = runs / f"{now:%Y%m%d-%H%M%S}-{os.getpid()}-{number}"
    _forget_old(runs)
    (root / "logs").mkdir(parents=True)
    return RunFolder(root, data_dir or root / "data", keeps_data=data_dir is not None)


def _forget_old(runs: Path) -> None:
    finished = [path for path in runs.glob("*") if path.is_dir() and not is_locked(path / "lock")]
    for path in sorted(finished)[: -KEPT_RUNS + 1]:
        shutil.rmtree(path, ignore_errors=True)
