"""Where training reads and writes: the checkout's own folders, found without touching the environment at import."""

from __future__ import annotations

import os
from pathlib import Path


def project_root() -> Path:
    """Return the checkout this package lies in, or the working directory when it is installed elsewhere."""
    checkout = Path(__file__).resolve().parents[1]
    return checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()


def cache_dir() -> Path:
    """Return the folder for downloads and derived files: `TIDINGS_CACHE_DIR`, else `.cache` in the project."""
    moved = os.environ.get("TIDINGS_CACHE_DIR")
    return Path(moved).expanduser() if moved else project_root() / ".cache"


def build_dir() -> Path:
    """Return the folder for reports and unfinished training output."""
    return project_root() / "build" / "training"


def adapter_dir() -> Path:
    """Return the folder of the committed sentiment adapter."""
    return Path(__file__).resolve().parent / "adapters" / "sentiment"


def repository_dir() -> Path:
    """Return Triton's model repository."""
    return project_root() / "triton_repo"
