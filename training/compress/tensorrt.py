"""TensorRT: Triton's configurations, the optimisation profiles, and engines cached by what they are made for.

An engine is compiled for one GPU, one version of TensorRT and stated shapes. The shapes are those the worker sends: one profile
a bucket of tokens, with batches of one up to the largest. Two ways to serve it, both written through protobuf:

- `tensorrt_plan`: an engine built beforehand, here or by the script for Triton's own image, which has the right version.
- ONNX Runtime's TensorRT execution provider: the ONNX file as it is; the server builds the engines when it loads the model and
  keeps them in a cache of its own.

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/optimization.html
https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2 as pb  # type: ignore[import-untyped]

from training.contract import BUCKETS
from training.device import Device
from training.errors import TrainingError
from training.files import atomic_path, sha256_of
from training.repository import INPUTS, MODEL_FILE, ServingSpec, model_config

PLAN_FILE = "model.plan"
WORKSPACE_BYTES = 1 << 30


class Precision(StrEnum):
    """What the engine computes in; float32 weights are converted as it is built."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"


@dataclass(frozen=True, slots=True)
class Profile:
    """The shapes [batch, tokens] that a range of an engine is compiled for: least, most usual and largest."""

    least: tuple[int, int]
    usual: tuple[int, int]
    largest: tuple[int, int]

    @property
    def shapes(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """Return the three shapes in TensorRT's order: min, opt, max."""
        return self.least, self.usual, self.largest


@dataclass(frozen=True, slots=True)
class Target:
    """What an engine is compiled for: the GPU's name, its compute capability ("9.0") and TensorRT's version."""

    gpu: str
    capability: str
    version: str


def profiles(spec: ServingSpec, buckets: Sequence[int] = BUCKETS) -> tuple[Profile, ...]:
    """Return one profile a bucket, of exactly its tokens; the usual batch is the largest preferred one.

    The worker pads a batch to its bucket, so no length in between is ever asked for.
    """
    usual = max((size for size in spec.preferred_batch_sizes if size <= spec.max_batch_size), default=spec.max_batch_size)
    return tuple(Profile((1, tokens), (usual, tokens), (spec.max_batch_size, tokens)) for tokens in buckets)


def plan_config(spec: ServingSpec, precision: Precision = Precision.FP16, buckets: Sequence[int] = BUCKETS) -> pb.ModelConfig:
    """Return the configuration of a built engine: all its profiles in one instance, and warm-up at every bucket's shape.

    Raises:
        TrainingError: the spec is not for a GPU.
    """
    config = _for_gpu(spec)
    config.ClearField("backend")
    config.platform = "tensorrt_plan"
    config.default_model_filename = PLAN_FILE
    config.instance_group[0].profile.extend(str(number) for number in range(len(buckets)))
    config.parameters["precision"].string_value = precision.value
    config.model_warmup.extend(_warm_up(spec, tokens) for tokens in buckets)
    return config


def provider_config(
    spec: ServingSpec, cache: str, precision: Precision = Precision.FP16, buckets: Sequence[int] = BUCKETS
) -> pb.ModelConfig:
    """Return the configuration of the ONNX file on ONNX Runtime's TensorRT execution provider, its engines kept in `cache`.

    Raises:
        TrainingError: the spec is not for a GPU, or Triton's backend has no such precision for TensorRT.
    """
    if precision is Precision.BF16:
        raise TrainingError("ONNX Runtime's TensorRT provider under Triton has fp32 and fp16: for bf16 build an engine")
    config = _for_gpu(spec)
    config.backend = "onnxruntime"
    config.default_model_filename = MODEL_FILE
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="tensorrt")
    ranges = profiles(spec, buckets)
    accelerator.parameters.update(
        {
            "precision_mode": precision.value.upper(),
            "max_workspace_size_bytes": str(WORKSPACE_BYTES),
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": cache,
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": cache,
            "trt_profile_min_shapes": provider_shapes([profile.least for profile in ranges]),
            "trt_profile_opt_shapes": provider_shapes([profile.usual for profile in ranges]),
            "trt_profile_max_shapes": provider_shapes([profile.largest for profile in ranges]),
        }
    )
    config.model_warmup.extend(_warm_up(spec, tokens) for tokens in buckets)
    return config


def provider_shapes(shapes: Sequence[tuple[int, int]]) -> str:
    """Return shapes as the provider's options spell them: input by input, one shape a profile, `name:1x16,name:1x32,...`."""
    return ",".join(f"{name}:{batch}x{tokens}" for name in INPUTS for batch, tokens in shapes)


def as_text(config: pb.ModelConfig) -> str:
    """Return a configuration as the text Triton reads."""
    return str(text_format.MessageToString(config))


def trtexec_script(spec: ServingSpec, precision: Precision = Precision.FP16, buckets: Sequence[int] = BUCKETS) -> str:
    """Return a shell script that builds the engine inside Triton's own image, so that the versions fit.

    It takes the model's folder, builds each version's `model.plan` from its `model.onnx` unless the cache has an engine of that
    file for this GPU and this TensorRT, and puts the engine in place by a rename. Several may work on one cache.
    """
    flags = [f"--{precision.value}"] if precision is not Precision.FP32 else []
    for number, profile in enumerate(profiles(spec, buckets)):
        flags.append(f"--profile={number}")
        names = ("minShapes", "optShapes", "maxShapes")
        flags += [f"--{name}={_trtexec_shapes(shape)}" for name, shape in zip(names, profile.shapes, strict=True)]
    return _SCRIPT.format(
        name=spec.name,
        onnx=MODEL_FILE,
        plan=PLAN_FILE,
        mark=_mark(precision, profiles(spec, buckets)),
        flags=" \\\n    ".join(map(shlex.quote, flags)),
    )


def engine_path(cache: Path, onnx: Path, target: Target, precision: Precision, ranges: Sequence[Profile]) -> Path:
    """Return where an engine is cached: a name that changes with the GPU, the version, the model, the precision or a shape."""
    gpu = re.sub(r"[^a-z0-9]+", "-", target.gpu.lower()).strip("-")
    where = f"{gpu}-sm{target.capability.replace('.', '')}-trt{target.version}"
    return cache / where / f"{sha256_of(onnx)[:16]}-{_mark(precision, ranges)}.plan"


def cached_engine(onnx: Path, spec: ServingSpec, cache: Path, precision: Precision = Precision.FP16) -> Path:
    """Return the engine of an ONNX file for the GPU of this machine, built by TensorRT's Python API if the cache has none.

    Raises:
        TrainingError: there is no GPU or no TensorRT here, or TensorRT cannot build the model.
    """
    ranges = profiles(spec)
    path = engine_path(cache, onnx, this_target(), precision, ranges)
    if not path.is_file():
        with atomic_path(path) as unfinished:
            unfinished.write_bytes(_build(onnx, precision, ranges))
    return path


def this_target() -> Target:
    """Return what engines of this machine are compiled for.

    Raises:
        TrainingError: there is no GPU, or no TensorRT.
    """
    import torch  # noqa: PLC0415 - configurations are written without it

    if not torch.cuda.is_available() or importlib.util.find_spec("tensorrt") is None:
        raise TrainingError(
            "building an engine needs an NVIDIA GPU and the package tensorrt: run the trtexec script in Triton's image instead"
        )
    import tensorrt  # type: ignore[import-not-found] # noqa: PLC0415 - as above

    major, minor = torch.cuda.get_device_capability()
    return Target(torch.cuda.get_device_name(), f"{major}.{minor}", tensorrt.__version__)


def _for_gpu(spec: ServingSpec) -> pb.ModelConfig:
    if spec.device is not Device.GPU:
        raise TrainingError("TensorRT is for GPUs: add --device gpu")
    return model_config(spec)


def _warm_up(spec: ServingSpec, tokens: int) -> pb.ModelWarmup:
    """A request of the largest batch, so that no message waits for a first run's memory and kernels."""
    zeros = {name: pb.ModelWarmup.Input(data_type=pb.TYPE_INT64, dims=[tokens], zero_data=True) for name in INPUTS}
    return pb.ModelWarmup(name=f"bucket-{tokens}", batch_size=spec.max_batch_size, inputs=zeros)


def _trtexec_shapes(shape: tuple[int, int]) -> str:
    return ",".join(f"{name}:{shape[0]}x{shape[1]}" for name in INPUTS)


def _mark(precision: Precision, ranges: Sequence[Profile]) -> str:
    shapes = hashlib.sha256(repr([profile.shapes for profile in ranges]).encode()).hexdigest()[:8]
    return f"{precision.value}-{shapes}"


def _build(onnx: Path, precision: Precision, ranges: Sequence[Profile]) -> bytes:
    """https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/python-api-docs.html."""
    import tensorrt as trt  # noqa: PLC0415 - only where there is a GPU

    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
    if not parser.parse_from_file(str(onnx)):
        raise TrainingError(f"TensorRT cannot read {onnx.name}: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    if precision is not Precision.FP32:
        config.set_flag(getattr(trt.BuilderFlag, precision.name))
    for found in ranges:
        config.add_optimization_profile(_trt_profile(builder, found))
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise TrainingError(f"TensorRT could not build an engine of {onnx.name} in {precision}")
    return bytes(engine)


def _trt_profile(builder: Any, found: Profile) -> Any:
    profile = builder.create_optimization_profile()
    for name in INPUTS:
        profile.set_shape(name, *found.shapes)
    return profile


_SCRIPT = """#!/usr/bin/env bash
# Written by Tidings (training/compress/tensorrt.py). Builds a TensorRT engine of each version of the model {name}.
# Run it in the Triton image that will serve the model, on the GPU that will run it:
#   docker run --rm --gpus 1 -v REPOSITORY/{name}:/model -v CACHE:/cache TRITON_IMAGE bash /model/build-engine.sh /model /cache
set -euo pipefail
model=$1
cache=$2
trtexec=$(command -v trtexec || echo /usr/src/tensorrt/bin/trtexec)
gpu=$(nvidia-smi --query-gpu=name,compute_cap --format=csv,noheader --id=0 | tr 'A-Z' 'a-z' | tr -cs 'a-z0-9\\n' '-')
version=$("$trtexec" --help 2>&1 | sed -n 's/.*TensorRT v\\([0-9]*\\).*/\\1/p;T;q' || true)
for onnx in "$model"/[0-9]*/{onnx}; do
    file=$(sha256sum "$onnx" | cut -c1-16)
    engine="$cache/$gpu-trt${{version:-unknown}}/$file-{mark}.plan"
    if [[ ! -s "$engine" ]]; then
        mkdir -p "$(dirname "$engine")"
        unfinished=$(mktemp "$engine.XXXXXX")  # its own: others may build the same into this cache
        trap 'rm -f "$unfinished"' EXIT
        "$trtexec" --onnx="$onnx" --saveEngine="$unfinished" --skipInference \\
    {flags}
        mv "$unfinished" "$engine"
    fi
    plan=$(dirname "$onnx")/{plan}
    cp "$engine" "$plan.unfinished"
    mv "$plan.unfinished" "$plan"
    echo "{name}: $engine"
done
"""
