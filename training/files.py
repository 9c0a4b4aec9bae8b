"""Writing that is whole or not there, and the SHA-256 of what is."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as lower-case hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_text(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8 as lower-case hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a path beside `target`; on success it takes the target's name, on any error nothing is left."""
    with _unfinished(target) as folder:
        yield folder / target.name
        (folder / target.name).replace(target)


@contextmanager
def atomic_folder(target: Path, beside: Path | None = None) -> Iterator[Path]:
    """Yield a new folder; on success it takes the place of `target`, on any error `target` is what it was.

    `beside` is the path next to which the new folder is made, on the same file system, if something watches the
    target's own parent. Two renames change the folders; if the second fails, the first is undone.
    """
    with _unfinished(beside or target) as folder:
        fresh, old = folder / "new", folder / "old"
        fresh.mkdir()
        yield fresh
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rename(old)
        _rename_or_undo(fresh, target, old)


@contextmanager
def _unfinished(target: Path) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        yield Path(folder)


def _rename_or_undo(fresh: Path, target: Path, old: Path) -> None:
    try:
        fresh.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
