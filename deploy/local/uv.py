"""Find uv, which makes the environments in the cache."""

from __future__ import annotations

import importlib.util
import shutil
import sys

from deploy.local.errors import MissingPackageError


def uv() -> list[str]:
    """The start of a uv command line: the `uv` on the PATH, else the module beside this Python.

    Raises:
        MissingPackageError: there is neither.
    """
    if path := shutil.which("uv"):
        return [path]
    if importlib.util.find_spec("uv") is not None:
        return [sys.executable, "-m", "uv"]
    raise MissingPackageError("uv is missing; install it with: python -m pip install uv")
