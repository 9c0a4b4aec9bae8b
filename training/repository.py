"""Triton's model repository: `config.pbtxt` from a typed spec through protobuf, and the folder, written whole or not.

Fields: https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2 as pb  # type: ignore[import-untyped]

from training.device import Device
from training.errors import TrainingError
from training.files import atomic_folder
from training.variant import Variant

CONFIG_FILE = "config.pbtxt"
CONTRACT_FILE = "contract.json"
TOKENIZER_FILE = "tokenizer.json"
MODEL_FILE = "model.onnx"
INPUTS = ("input_ids", "attention_mask")
OUTPUT = "logits"
EMBEDDING_OUTPUT = "sentence_embedding"
BACKGROUND_FILE = "background.txt"
VERSION = "1"
HISTORY_FILE = "promotions.jsonl"
"""Where `tidings promote` remembers what served; a folder that has one is changed by that command alone."""
ON_OPENVINO = frozenset({Variant.BF16, Variant.INT8})
_INSTANCES = 2
_MOST_INSTANCES = 4
"""On a CPU. Each holds the weights once more."""


@dataclass(frozen=True, slots=True)
class ServingSpec:
    """How Triton serves the model. Token dimensions are open: a batch is as long as the bucket it was padded to.

    `columns` is the width of the output: as many as there are labels; `per_token` says that each token has an answer.
    `embedding` is the width of a second output that says what the text means, 0 if there is none. `cores` is how many the
    server has, if it runs the model on its CPU and that is known.
    """

    name: str = "sentiment"
    output: str = OUTPUT
    columns: int = 3
    embedding: int = 0
    device: Device = Device.CPU
    cores: int | None = None
    max_batch_size: int = 64
    preferred_batch_sizes: tuple[int, ...] = (16, 32, 64)
    max_queue_delay_us: int = 2000
    per_token: bool = False
    variant: Variant = Variant.FP32

    @property
    def outputs(self) -> dict[str, int]:
        """The output tensors and their width."""
        return {self.output: self.columns, **({EMBEDDING_OUTPUT: self.embedding} if self.embedding else {})}

    def __post_init__(self) -> None:
        """Refuse what no backend of Triton's can serve."""
        if self.variant in ON_OPENVINO and self.device is Device.GPU:
            raise TrainingError(f"the {self.variant} variant is for CPUs: leave out --device gpu, or --variant {self.variant}")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What a model's folder holds; `contract` is written as JSON, `more` are other texts by their file's name."""

    config: str
    contract: dict[str, Any]
    tokenizer: str
    onnx: Path
    more: Mapping[str, str] = field(default_factory=dict)


def model_config(spec: ServingSpec) -> pb.ModelConfig:
    """Return Triton's configuration of the model: the backend of its variant, with dynamic batching."""
    return pb.ModelConfig(
        name=spec.name,
        max_batch_size=spec.max_batch_size,
        version_policy=pb.ModelVersionPolicy(latest=pb.ModelVersionPolicy.Latest(num_versions=1)),
        input=[pb.ModelInput(name=name, data_type=pb.TYPE_INT64, dims=[-1]) for name in INPUTS],
        output=[
            pb.ModelOutput(name=name, data_type=pb.TYPE_FP32, dims=[-1, width] if spec.per_token else [width])
            for name, width in spec.outputs.items()
        ],
        dynamic_batching=pb.ModelDynamicBatching(
            preferred_batch_size=spec.preferred_batch_sizes,
            max_queue_delay_microseconds=spec.max_queue_delay_us,
        ),
        **(_on_openvino(spec.variant) if spec.variant in ON_OPENVINO else _on_onnxruntime(spec)),
    )


def _on_openvino(variant: Variant) -> dict[str, Any]:
    """The parameters are those of the backend's own page: https://github.com/triton-inference-server/openvino_backend."""
    hints = {"HINT_BF16": "YES"} if variant is Variant.BF16 else {}
    return {"backend": "openvino", "default_model_filename": MODEL_FILE, **_parameters(hints), **_instances(Device.CPU, 1)}


def _on_onnxruntime(spec: ServingSpec) -> dict[str, Any]:
    """On a CPU more than one instance, up to one for each core, and the cores shared out among them.

    Cores that work on one batch wait for each other in every layer, and all of them for whatever else takes one of them:
    a broker, a worker. The parameters: https://github.com/triton-inference-server/onnxruntime_backend.
    """
    # No backend reads "weights": it tells people, and a fresh export from another variant's.
    parameters = {} if spec.variant is Variant.FP32 else {"weights": spec.variant.value}
    if spec.device is Device.GPU:
        return {"backend": "onnxruntime", **_parameters(parameters), **_instances(spec.device, 1)}
    count = _INSTANCES
    if cores := spec.cores:  # as few as can be have nothing to do, and of the ways to that the one with most instances
        count = max(range(min(cores, 2), min(cores, _MOST_INSTANCES) + 1), key=lambda count: (cores // count * count, count))
        parameters["intra_op_thread_count"] = str(cores // count)
    return {"backend": "onnxruntime", **_parameters(parameters), **_instances(spec.device, count)}


def _parameters(texts: Mapping[str, str]) -> dict[str, Any]:
    return {"parameters": {name: pb.ModelParameter(string_value=text) for name, text in texts.items()}}


def _instances(device: Device, count: int) -> dict[str, Any]:
    kind = pb.ModelInstanceGroup.KIND_GPU if device is Device.GPU else pb.ModelInstanceGroup.KIND_CPU
    return {"instance_group": [pb.ModelInstanceGroup(count=count, kind=kind)]}


def config_pbtxt(spec: ServingSpec) -> str:
    """Return the configuration as the text Triton reads."""
    return str(text_format.MessageToString(model_config(spec)))


def write_model(folder: Path, files: ModelFiles) -> None:
    """Put a model's folder in place of the old one, or leave the old one as it is if anything fails.

    The new folder grows outside the repository, so that a server polling it never sees half a model.

    Raises:
        TrainingError: versions were promoted there; replacing the folder would take away what serves, and the way back.
    """
    if (folder / HISTORY_FILE).exists():
        raise TrainingError(f"{folder} has promoted versions: use `tidings promote --adapter`, or export into another folder")
    with atomic_folder(folder, beside=folder.parent) as fresh:
        (fresh / VERSION).mkdir()
        shutil.copyfile(files.onnx, fresh / VERSION / MODEL_FILE)
        (fresh / CONFIG_FILE).write_text(files.config, "utf-8")
        for name, text in {TOKENIZER_FILE: files.tokenizer, **files.more}.items():
            (fresh / name).write_text(text, "utf-8")
        (fresh / CONTRACT_FILE).write_text(json.dumps(files.contract, indent=2) + "\n", "utf-8")


def read_contract(folder: Path) -> dict[str, Any] | None:
    """Return the contract in a model's folder, or None if there is none that can be read."""
    try:
        return dict(json.loads((folder / CONTRACT_FILE).read_text("utf-8")))
    except (OSError, ValueError):
        return None
