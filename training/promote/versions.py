"""The versions of a model in its folder: each with a contract of its own, and a memory of which served when.

sentiment/config.pbtxt         names the versions that the server is to have loaded
sentiment/contract.json        that of the version that serves
sentiment/2/model.onnx, contract.json
sentiment/promotions.jsonl     what was promoted and rolled back
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2 as pb  # type: ignore[import-untyped]

from training.errors import TrainingError
from training.files import atomic_folder, atomic_path, sha256_of
from training.repository import CONTRACT_FILE, HISTORY_FILE, MODEL_FILE

_ALIKE = ("labels", "inputs", "output", "max_length", "buckets", "pad_id", "tokenizer")
"""What a running worker cannot change between two batches; it refuses a contract that differs here."""


@dataclass(frozen=True, slots=True)
class Version:
    """A built version: the folder that `model.onnx` lies in, and its contract as bytes."""

    folder: Path
    body: bytes

    @property
    def contract(self) -> dict[str, Any]:
        """The contract's fields."""
        return dict(json.loads(self.body))

    @property
    def number(self) -> str:
        """The version that the contract names."""
        return str(self.contract["model"]["version"])


def serving(folder: Path) -> Version:
    """Return the version that serves; raises TrainingError if the folder holds no model with a contract."""
    return _version(folder, folder / CONTRACT_FILE)


def known(folder: Path, number: str) -> Version:
    """Return a version by its number; raises TrainingError if it is not there, or has no contract of its own."""
    found = _version(folder, folder / number / CONTRACT_FILE)
    if found.number != number:
        raise TrainingError(f"{folder / number / CONTRACT_FILE} is of version {found.number}, not {number}")
    return found


def _version(folder: Path, contract: Path) -> Version:
    try:
        found = Version(folder, contract.read_bytes())
        found = Version(folder / found.number, found.body)
    except OSError as error:
        raise TrainingError(f"{contract} cannot be read ({error.strerror}); `tidings export` makes it") from error
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{contract} is no contract of a model: {error}") from error
    model = found.folder / MODEL_FILE
    if not model.is_file():
        raise TrainingError(f"there is no {model}: build it with `tidings export`")
    if sha256_of(model) != found.contract["model"]["onnx_sha256"]:
        raise TrainingError(f"{model} is not the file that its contract promises; export it again")
    return found


def require_alike(before: Version, after: Version, config: Path, other_config: Path) -> None:
    """See that a worker and the server can go from one version to the other while they run.

    Raises:
        TrainingError: names what differs: of the contract, or of the configuration, which all versions share.
    """
    was, now = before.contract, after.contract
    differing = [name for name in _ALIKE if was[name] != now[name]]
    if was["model"]["name"] != now["model"]["name"]:
        differing.append("the model's name")
    if now["max_batch_size"] < was["max_batch_size"]:
        differing.append("max_batch_size")
    if differing:
        raise TrainingError(f"it cannot take the place of version {before.number} while workers run: {', '.join(differing)}")
    if _without_policy(config) != _without_policy(other_config):
        raise TrainingError(
            f"{other_config} differs from {config}, which all versions share: export it for the same device and variant"
        )


def _without_policy(config: Path) -> bytes:
    parsed = _parsed(config.read_text("utf-8"))
    parsed.ClearField("version_policy")
    return bytes(parsed.SerializeToString(deterministic=True))


def with_versions(config: str, numbers: Sequence[str]) -> str:
    """Return the text of a `config.pbtxt` that has these versions loaded and no others, and all else as it was."""
    parsed = _parsed(config)
    specific = pb.ModelVersionPolicy.Specific(versions=sorted({int(number) for number in numbers}))
    parsed.version_policy.CopyFrom(pb.ModelVersionPolicy(specific=specific))
    return str(text_format.MessageToString(parsed))


def _parsed(config: str) -> pb.ModelConfig:
    return text_format.Parse(config, pb.ModelConfig())


def keep_contract(version: Version) -> None:
    """Put the contract into the version's own folder, so that the way back to it is byte for byte."""
    write_bytes(version.folder / CONTRACT_FILE, version.body)


def add(folder: Path, candidate: Version) -> Version:
    """Copy a candidate into `folder` as its next version, whole or not at all."""
    contract = candidate.contract
    taken = [int(path.name) for path in folder.iterdir() if path.is_dir() and path.name.isdecimal()]
    number = str(max(taken, default=0) + 1)
    contract["model"]["version"] = number
    body = (json.dumps(contract, indent=2) + "\n").encode()
    with atomic_folder(folder / number, beside=folder.parent) as fresh:
        shutil.copyfile(candidate.folder / MODEL_FILE, fresh / MODEL_FILE)
        (fresh / CONTRACT_FILE).write_bytes(body)
    return Version(folder / number, body)


def write_bytes(path: Path, body: bytes) -> None:
    """Write a file in one step: a reader sees the old one or the new one. Nothing is done where it holds that already."""
    if not path.is_file() or path.read_bytes() != body:
        with atomic_path(path) as unfinished:
            unfinished.write_bytes(body)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the model's folder for one promotion; raises TrainingError if another one is under way."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise TrainingError(f"another promotion or rollback of {folder.name} is under way") from error
    finally:
        os.close(held)


def remember(folder: Path, action: str, change: tuple[str, str], figures: Mapping[str, object]) -> None:
    """Add a line to the model's history: what was done, from which version to which, and on what grounds."""
    line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "action": action, "from": change[0], "to": change[1]}
    with (folder / HISTORY_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps({**line, "figures": dict(figures)}) + "\n")


def history(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of the model's history, the oldest first; none where nothing was ever promoted."""
    path = folder / HISTORY_FILE
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def before(lines: Sequence[Mapping[str, Any]], number: str) -> str | None:
    """Return the version that served before `number` by this history: each rollback takes one promotion back."""
    path: list[tuple[str, str]] = []
    for line in lines:
        if line["action"] == "promote":
            path.append((line["from"], line["to"]))
        elif path:
            path.pop()
    return path[-1][0] if path and path[-1][1] == number else None
