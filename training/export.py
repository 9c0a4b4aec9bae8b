"""Export: put an adapter's model into Triton's model repository, unless it is there already."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.adapter import adapter_sha256, is_of_a_task, meaning_width
from training.encoder import FILES
from training.files import sha256_of, sha256_of_text
from training.paths import adapter_dir, repository_dir
from training.repository import (
    BACKGROUND_FILE,
    CONFIG_FILE,
    EMBEDDING_OUTPUT,
    MODEL_FILE,
    TOKENIZER_FILE,
    VERSION,
    ServingSpec,
    config_pbtxt,
    read_contract,
)
from training.steps import Say, silent

EMBEDDING = ServingSpec(name="embedding", output=EMBEDDING_OUTPUT, columns=384)
"""How the second model is served; 384 is the encoder's width."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A model in the repository: its folder, its contract, and whether it was there already."""

    folder: Path
    contract: dict[str, Any]
    was_fresh: bool


def export(
    adapter: Path | None = None,
    repository: Path | None = None,
    spec: ServingSpec | None = None,
    *,
    force: bool = False,
    say: Say = silent,
) -> Exported:
    """Export `adapter` into `repository` and return what is there now; nothing is done if that is it already.

    The defaults are the committed adapter and `triton_repo/`. `say` hears each step as it starts. `force` exports even
    what is fresh.

    Raises:
        GateError: the exported model is not the model that was trained; the repository is left as it was.
        TrainingError: there is no adapter, or the data or the encoder could not be fetched.
    """
    adapter = adapter or adapter_dir()
    spec = replace(spec or ServingSpec(), embedding=meaning_width(adapter))
    if of_a_task := is_of_a_task(adapter):
        from training.tasks.serving import task_spec  # noqa: PLC0415 - seconds of imports that sentiment does not need

        spec = task_spec(adapter, spec)
    folder = (repository or repository_dir()) / spec.name
    made_of, known = adapter_sha256(adapter), read_contract(folder)
    if known and not force and is_fresh(folder, known, made_of, spec):
        return Exported(folder, known, was_fresh=True)
    if of_a_task:
        from training.tasks.serving import build_task as build  # noqa: PLC0415 - as above
    else:
        from training.build import build  # noqa: PLC0415 - seconds of imports that a fresh repository does not need

    return Exported(folder, build(adapter, folder, spec, say), was_fresh=False)


def export_embedding(
    repository: Path | None = None, like: ServingSpec | None = None, *, force: bool = False, say: Say = silent
) -> Exported:
    """Export the encoder itself as a second model, which says what texts mean; nothing is done if it is there already.

    It is for the device and cores of `like`.

    Raises:
        GateError: the exported model is not the encoder; the repository is left as it was.
        TrainingError: the data or the encoder could not be fetched.
    """
    spec = replace(EMBEDDING, device=like.device, cores=like.cores) if like else EMBEDDING
    folder, made_of = (repository or repository_dir()) / spec.name, FILES["model.safetensors"]
    known = read_contract(folder)
    if known and not force and _is_fresh_embedding(folder, known, made_of, spec):
        return Exported(folder, known, was_fresh=True)
    from training.embedding import build_embedding  # noqa: PLC0415 - as above

    return Exported(folder, build_embedding(folder, spec, made_of, say), was_fresh=False)


def _is_fresh_embedding(folder: Path, known: dict[str, Any], made_of: str, spec: ServingSpec) -> bool:
    if known["model"]["encoder_sha256"] != made_of:
        return False
    return _holds(folder, known, spec)


def is_fresh(folder: Path, known: dict[str, Any], made_of: str, spec: ServingSpec) -> bool:
    """Say whether `folder` holds, byte for byte, what its contract `known` promises, made of the adapter with this hash."""
    return known["model"]["adapter_sha256"] == made_of and _holds(folder, known, spec)


def _holds(folder: Path, known: dict[str, Any], spec: ServingSpec) -> bool:
    embedding = known.get("embedding")
    expected = {
        folder / VERSION / MODEL_FILE: known["model"]["onnx_sha256"],
        folder / TOKENIZER_FILE: known["tokenizer"]["sha256"],
        folder / CONFIG_FILE: sha256_of_text(config_pbtxt(spec)),
        **({folder / BACKGROUND_FILE: embedding["background"]["sha256"]} if embedding else {}),
    }
    return all(path.is_file() and sha256_of(path) == sha256 for path, sha256 in expected.items())
