"""See that there is an exported model for Triton to load, and export it when there is none.

The export runs as a process of its own: it needs torch and a gigabyte of memory, the demo needs neither.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from deploy.local.system import Say, run_logged
from training.files import sha256_of
from training.paths import adapter_dir, cache_dir, project_root, repository_dir

EXPORT_LIMIT_S = 900.0


def ensure_model(say: Say) -> None:
    """Run `tidings export` unless the repository holds a whole model that is newer than the adapter.

    Raises:
        PreparationError: the export failed; the message names its log and shows the end of it.
    """
    if is_exported(repository_dir() / "sentiment", adapter_dir()):
        return
    say("exporting the model, which takes a minute or two the first time")
    command = [sys.executable, "-m", "worker", "export"]
    environment = {"PYTHONPATH": str(project_root())}
    run_logged(command, cache_dir() / "logs" / "export.log", "tidings export", env=environment, limit_s=EXPORT_LIMIT_S)


def is_exported(folder: Path, adapter: Path) -> bool:
    """Say whether `folder` holds the model that its contract names, made after the last change of the adapter.

    Times instead of contents, as make does it: to know better is up to `tidings export`, which takes its time.
    """
    try:
        contract = json.loads((folder / "contract.json").read_text("utf-8"))
        model = folder / contract["model"]["version"] / "model.onnx"
        made_s = model.stat().st_mtime
    except FileNotFoundError:
        return False
    if any(path.stat().st_mtime > made_s for path in adapter.glob("*")):
        return False
    return sha256_of(model) == str(contract["model"]["onnx_sha256"])
