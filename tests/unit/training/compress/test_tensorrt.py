import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from google.protobuf import text_format  # type: ignore[import-untyped]
from tritonclient.grpc import model_config_pb2 as pb  # type: ignore[import-untyped]

from tests.unit.training.compress.builders import tiny_sentiment
from training.compress import tensorrt
from training.compress.tensorrt import Precision, Profile, Target
from training.contract import BUCKETS
from training.device import Device
from training.errors import TrainingError
from training.onnx_file import write_onnx
from training.repository import ServingSpec

SPEC = ServingSpec(device=Device.GPU)
H200 = Target("NVIDIA H200", "9.0", "10.13.3")


def parsed(config: pb.ModelConfig) -> pb.ModelConfig:
    """The configuration as Triton reads it."""
    return text_format.Parse(tensorrt.as_text(config), pb.ModelConfig())


def warm_ups(config: pb.ModelConfig) -> list[tuple[int, list[int]]]:
    """The batch and tokens of each warm-up request, of both inputs."""
    return [(one.batch_size, sorted(value.dims[0] for value in one.inputs.values())) for one in config.model_warmup]


def test_profiles_are_the_workers_buckets() -> None:
    """Exactly its tokens, from one text to the largest batch, tuned for the batch that the batcher prefers."""
    assert [profile.largest[1] for profile in tensorrt.profiles(SPEC)] == list(BUCKETS)
    assert tensorrt.profiles(SPEC)[0] == Profile((1, 16), (64, 16), (64, 16))
    smaller = ServingSpec(device=Device.GPU, max_batch_size=48)
    assert tensorrt.profiles(smaller)[-1] == Profile((1, 256), (32, 256), (48, 256))


def test_a_plans_configuration_is_parsed_back() -> None:
    """An engine in all profiles on the GPU, with the batching and the tensors of the other variants, warmed at each bucket."""
    config = parsed(tensorrt.plan_config(SPEC))
    assert (config.platform, config.backend, config.default_model_filename) == ("tensorrt_plan", "", "model.plan")
    [group] = config.instance_group
    assert (group.kind, list(group.profile)) == (pb.ModelInstanceGroup.KIND_GPU, ["0", "1", "2", "3", "4"])
    assert [(i.name, i.data_type, list(i.dims)) for i in config.input] == [
        ("input_ids", pb.TYPE_INT64, [-1]),
        ("attention_mask", pb.TYPE_INT64, [-1]),
    ]
    assert list(config.dynamic_batching.preferred_batch_size) == [16, 32, 64]
    assert warm_ups(config) == [(64, [tokens, tokens]) for tokens in BUCKETS]


def test_the_providers_configuration_is_parsed_back() -> None:
    """The ONNX file on TensorRT through ONNX Runtime: precision, cache and the same profiles, in the provider's spelling."""
    config = parsed(tensorrt.provider_config(SPEC, "/cache"))
    assert (config.backend, config.platform, config.default_model_filename) == ("onnxruntime", "", "model.onnx")
    [accelerator] = config.optimization.execution_accelerators.gpu_execution_accelerator
    given = dict(accelerator.parameters)
    assert accelerator.name == "tensorrt"
    assert (given["precision_mode"], given["trt_engine_cache_enable"]) == ("FP16", "1")
    assert given["trt_engine_cache_path"] == given["trt_timing_cache_path"] == "/cache"
    ids = "input_ids:1x16,input_ids:1x32,input_ids:1x64,input_ids:1x128,input_ids:1x256"
    assert given["trt_profile_min_shapes"] == f"{ids},{ids.replace('input_ids', 'attention_mask')}"
    assert given["trt_profile_max_shapes"].startswith("input_ids:64x16,")
    assert warm_ups(config) == [(64, [tokens, tokens]) for tokens in BUCKETS]


def test_tensorrt_on_a_cpu_is_refused() -> None:
    """Better said at the export than by the server; and so is a precision that Triton's backend cannot pass on."""
    with pytest.raises(TrainingError, match="add --device gpu"):
        tensorrt.plan_config(ServingSpec())
    with pytest.raises(TrainingError, match="build an engine"):
        tensorrt.provider_config(SPEC, "/cache", Precision.BF16)


def test_an_engine_is_cached_by_all_that_it_depends_on(tmp_path) -> None:
    """GPU, version, model, precision and shapes: any other one is another file."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    ranges = tensorrt.profiles(SPEC)
    first = tensorrt.engine_path(tmp_path, tmp_path / "a", H200, Precision.FP16, ranges)
    assert first.parent.name == "nvidia-h200-sm90-trt10.13.3"
    others = [
        tensorrt.engine_path(tmp_path, tmp_path / "b", H200, Precision.FP16, ranges),
        tensorrt.engine_path(tmp_path, tmp_path / "a", H200, Precision.BF16, ranges),
        tensorrt.engine_path(tmp_path, tmp_path / "a", H200, Precision.FP16, ranges[:2]),
        tensorrt.engine_path(tmp_path, tmp_path / "a", Target("NVIDIA L4", "8.9", "10.13.3"), Precision.FP16, ranges),
        tensorrt.engine_path(tmp_path, tmp_path / "a", Target("NVIDIA H200", "9.0", "10.14.1"), Precision.FP16, ranges),
    ]
    assert len({first, *others}) == 6
    assert first == tensorrt.engine_path(tmp_path, tmp_path / "a", H200, Precision.FP16, ranges)


def tool(folder: Path, name: str, body: str) -> None:
    """A program on the path."""
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def machine(tmp_path) -> dict[str, str]:
    """A path with stand-ins for NVIDIA's two programs: trtexec writes its arguments into the engine's file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    tool(folder, "nvidia-smi", 'echo "NVIDIA H200, 9.0"')
    tool(
        folder,
        "trtexec",
        'echo "=== TensorRT.trtexec [TensorRT v101303] $@"\n'
        'for word in "$@"; do case "$word" in --saveEngine=*) echo "$@" > "${word#--saveEngine=}";; esac; done',
    )
    (tmp_path / "model" / "1").mkdir(parents=True)
    (tmp_path / "model" / "1" / "model.onnx").write_text("weights")
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def run(folder: Path, script: str, environment: dict[str, str]) -> str:
    """Run the script on the folder's model and cache."""
    (folder / "build.sh").write_text(script)
    command = ["bash", str(folder / "build.sh"), str(folder / "model"), str(folder / "cache")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_script_builds_every_profile_and_caches_the_engine(tmp_path, machine) -> None:
    """Run for real with a trtexec that notes what it was asked for; the second run takes the engine from the cache."""
    script = tensorrt.trtexec_script(SPEC)
    run(tmp_path, script, machine)
    [engine] = (tmp_path / "cache").rglob("*.plan")
    asked = engine.read_text()
    assert (tmp_path / "model" / "1" / "model.plan").read_text() == asked
    assert engine.parent.name == "nvidia-h200-9-0-trt101303"
    assert "--fp16" in asked
    for number, tokens in enumerate(BUCKETS):
        shapes = f"--minShapes=input_ids:1x{tokens},attention_mask:1x{tokens}"
        assert f"--profile={number} {shapes} " in asked
        assert f"--maxShapes=input_ids:64x{tokens},attention_mask:64x{tokens}" in asked
    tool(tmp_path / "bin", "trtexec", 'case "$1" in --help) echo "[TensorRT v101303]";; *) exit 9;; esac')
    (tmp_path / "model" / "1" / "model.plan").unlink()
    run(tmp_path, script, machine)
    assert (tmp_path / "model" / "1" / "model.plan").read_text() == asked


def test_each_version_has_an_engine_of_its_own(tmp_path, machine) -> None:
    """A version put beside the serving one is built too: Triton does not start with one that has no engine."""
    (tmp_path / "model" / "2").mkdir()
    (tmp_path / "model" / "2" / "model.onnx").write_text("other weights")
    run(tmp_path, tensorrt.trtexec_script(SPEC), machine)
    one, two = ((tmp_path / "model" / version / "model.plan").read_text() for version in "12")
    assert ("/1/model.onnx" in one, "/2/model.onnx" in two) == (True, True)
    assert sorted(path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()) == [".plan", ".plan"]


def test_a_build_that_fails_leaves_no_engine(tmp_path, machine) -> None:
    """Neither in the cache nor in the model's folder."""
    tool(tmp_path / "bin", "trtexec", 'case "$1" in --help) echo "[TensorRT v101303]";; *) exit 9;; esac')
    with pytest.raises(subprocess.CalledProcessError):
        run(tmp_path, tensorrt.trtexec_script(SPEC, Precision.FP32), machine)
    assert list(tmp_path.rglob("*.plan*")) == []


def test_without_a_gpu_the_builder_names_the_script(tmp_path) -> None:
    """A person on a laptop learns what to run instead."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here: its own test builds an engine")
    with pytest.raises(TrainingError, match="trtexec script"):
        tensorrt.cached_engine(tmp_path / "model.onnx", SPEC, tmp_path / "cache")


@pytest.mark.gpu
def test_an_engine_is_built_and_found_again(tmp_path) -> None:
    """For real, by TensorRT's Python API: every bucket a profile of it, and the second call builds nothing."""
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU: TensorRT compiles an engine on the GPU that runs it")
    trt = pytest.importorskip("tensorrt", reason="needs the package tensorrt beside the GPU")
    write_onnx(tiny_sentiment(), tmp_path / "model.onnx")
    path = tensorrt.cached_engine(tmp_path / "model.onnx", SPEC, tmp_path / "cache", Precision.FP32)
    engine = trt.Runtime(trt.Logger(trt.Logger.ERROR)).deserialize_cuda_engine(path.read_bytes())
    found = [tuple(engine.get_tensor_profile_shape("input_ids", n)[2]) for n in range(engine.num_optimization_profiles)]
    assert found == [(64, tokens) for tokens in BUCKETS]
    shutil.copy(path, tmp_path / "before")
    assert tensorrt.cached_engine(tmp_path / "model.onnx", SPEC, tmp_path / "cache", Precision.FP32) == path
    assert path.read_bytes() == (tmp_path / "before").read_bytes()
