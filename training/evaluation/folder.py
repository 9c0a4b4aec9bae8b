"""Where the measuring data lies: a folder that is no part of the repository, and may not be there."""

from __future__ import annotations

import os
from pathlib import Path

from training.errors import TrainingError
from training.paths import project_root


class MissingDataError(TrainingError):
    """A file to measure on is not on this machine; the message says where it was looked for."""


def data_dir() -> Path:
    """Return the folder of the measuring data: `TIDINGS_DATA_DIR`, else `shared/data` beside the checkout."""
    named = os.environ.get("TIDINGS_DATA_DIR")
    return Path(named).expanduser() if named else project_root().parent / "shared" / "data"


def data_file(folder: Path, name: str) -> Path:
    """Return a file of the measuring data.

    Raises:
        MissingDataError: it is not there.
    """
    path = folder / name
    if not path.is_file():
        raise MissingDataError(f"{path} is not here: set TIDINGS_DATA_DIR to the folder of the measuring data")
    return path
