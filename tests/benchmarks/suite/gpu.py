"""On a machine with a GPU: the model at each bucket and batch against what the GPU could do; elsewhere skipped, and it says so.

torch in float16, as it is and compiled with CUDA graphs (`mode="reduce-overhead"`), and ONNX Runtime on CUDA or TensorRT where
those are installed. The limit is the larger of the time that the arithmetic takes at the GPU's own measured rate for large
products, and the time that the weights take to come from its memory. Then the whole worker, by turns with a bare loop, against
the Triton on that GPU which TIDINGS_TRITON__URL names: our own Triton is one for CPUs.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from deploy.local.config import TRITON_VARIABLE
from deploy.local.stack import LocalStack
from tests.benchmarks.suite import models
from tests.benchmarks.suite.ceiling import TEXTS, triton_pace
from tests.benchmarks.suite.figures import figure, ratio
from tests.benchmarks.suite.result import Result
from tests.benchmarks.suite.stage import Site, running
from tests.benchmarks.suite.texts import bodies, some

BATCHES = (1, 8, 32, 64, 256)
_TIMED_S = 0.3
_OF_SHAPES = 0.5
"""Of the scenario's time the shapes take so much at most; the rest is the worker's."""
_BATCH_TOKENS = 8_192
"""Padded tokens of a batch that keeps a GPU busy."""


def run(result: Result, folder: Path) -> None:
    """Measure, or say why not."""
    if why := missing():
        result.details["skipped"] = why
        return
    result.details["gpu"] = _gpu()
    _shapes(result)
    if not os.environ.get(TRITON_VARIABLE):
        result.say(f"the worker is not measured: let {TRITON_VARIABLE} name a Triton that serves the model on this GPU")
        return
    with running({"kafka", "triton"}, folder) as stack:
        whole_worker(result, stack, folder)


def _shapes(result: Result) -> None:
    rows: list[dict[str, Any]] = []
    result.details["shapes"] = rows
    for name, opened in _engines().items():
        forward = opened()
        for bucket in models.contract().buckets:
            for batch in BATCHES:
                if result.left_s <= result.options.limit_s * (1 - _OF_SHAPES):
                    return
                rows.append({"engine": name, "bucket": bucket, "batch": batch, **_measure(forward, batch, bucket)})
        best = [row["texts_per_s"] for row in rows if row["engine"] == name]
        result.figures.setdefault("gpu", {})[name] = {"texts_per_s": figure([max(best)]).as_json()}
        result.save()


def whole_worker(result: Result, stack: LocalStack, folder: Path) -> None:
    """Measure what a worker does with the stack's Triton, by turns with a bare loop on batches such as the worker makes."""
    url, count, made = stack.settings_env()[TRITON_VARIABLE], result.options.messages, models.contract()
    batches = models.bucket_batches(models.tokenised(TEXTS), made.buckets, _BATCH_TOKENS, made.max_batch_size)
    result.details["parts"] = stack.versions()
    alone, whole = list[float](), list[float]()
    for _ in result.rounds():
        alone.append(triton_pace(url, batches))
        site = Site(stack, folder / f"site-{len(whole)}", more={"TIDINGS_SCORE__BATCH_TOKENS": str(_BATCH_TOKENS)})
        site.fill(bodies(some(count)))
        with site.watching() as watcher, site.worker() as worker:
            whole.append(watcher.until(count, result.left_s, worker.require_alive).per_s)
        result.figures.setdefault("gpu", {})["worker"] = {
            "messages_per_s": figure(whole).as_json(),
            "triton_texts_per_s": figure(alone).as_json(),
            "efficiency": ratio(whole, alone).as_json(),
        }
        result.save()


def missing() -> str:
    """Return why nothing can be measured here; empty where a GPU is."""
    if shutil.which("nvidia-smi") is None:  # known without the seconds that torch takes to load
        return "there is no NVIDIA GPU on this machine"
    try:
        import torch  # noqa: PLC0415 - an extra
    except ImportError:
        return "torch is not installed: pip install 'tidings[train]'"
    return "" if torch.cuda.is_available() else "torch finds no GPU: is it built for CUDA, and the driver new enough?"


def _gpu() -> dict[str, Any]:
    import torch  # noqa: PLC0415 - an extra

    about = torch.cuda.get_device_properties(0)
    return {"name": about.name, "memory_gb": round(about.total_memory / 1e9, 1), **_limits()}


def _limits() -> dict[str, float]:
    """Return what the GPU does at best: float16 operations a second in a large product, and bytes a second of a large copy."""
    import torch  # noqa: PLC0415 - an extra

    size = 8_192
    one = torch.randn(size, size, device="cuda", dtype=torch.float16)
    flops = 2 * size**3 / _timed(lambda: one @ one)
    return {"flops_per_s": flops, "bytes_per_s": 2 * one.nbytes / _timed(one.clone)}


def _engines() -> dict[str, Callable[[], Callable[[Any, Any], Any]]]:
    return {"torch-fp16": _torch, "torch-fp16-compiled": lambda: _compiled(_torch()), **_onnx()}


def _torch() -> Callable[[Any, Any], Any]:
    import torch  # noqa: PLC0415 - an extra

    from training.paths import adapter_dir  # noqa: PLC0415 - heavy
    from training.trained import load_trained  # noqa: PLC0415 - heavy

    model = load_trained(adapter_dir()).model.half().cuda().eval()

    @torch.inference_mode()
    def forward(ids: Any, mask: Any) -> Any:
        return model(ids, mask)

    return forward


def _compiled(forward: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    import torch  # noqa: PLC0415 - an extra

    compiled: Callable[[Any, Any], Any] = torch.compile(forward, mode="reduce-overhead", dynamic=False)
    return compiled


def _onnx() -> dict[str, Callable[[], Callable[[Any, Any], Any]]]:
    import onnxruntime as ort  # type: ignore[import-untyped] # noqa: PLC0415 - an extra

    found = {}
    for provider in ("CUDAExecutionProvider", "TensorrtExecutionProvider"):
        if provider in ort.get_available_providers():
            found[f"onnxruntime-{provider.removesuffix('ExecutionProvider').lower()}"] = _opener(provider)
    return found


def _opener(provider: str) -> Callable[[], Callable[[Any, Any], Any]]:
    def opened() -> Callable[[Any, Any], Any]:
        import onnxruntime as ort  # noqa: PLC0415 - an extra

        session = ort.InferenceSession(models.onnx_file(), providers=[provider])
        return lambda ids, mask: session.run(None, {"input_ids": ids.cpu().numpy(), "attention_mask": mask.cpu().numpy()})

    return opened


def _measure(forward: Callable[[Any, Any], Any], batch: int, bucket: int) -> dict[str, float]:
    import torch  # noqa: PLC0415 - an extra

    ids = torch.randint(1_000, 2_000, (batch, bucket), device="cuda")
    mask = torch.ones_like(ids)
    seconds = _timed(lambda: forward(ids, mask))
    return {"ms": seconds * 1_000, "texts_per_s": batch / seconds, "tokens_per_s": batch * bucket / seconds}


def _timed(work: Callable[[], Any]) -> float:
    """Return the seconds of one call, warm."""
    for _ in range(3):
        work()
    return min(_calls(work))


def _calls(work: Callable[[], Any]) -> Iterator[float]:
    import torch  # noqa: PLC0415 - an extra

    deadline_s = time.perf_counter() + _TIMED_S
    while time.perf_counter() < deadline_s:
        torch.cuda.synchronize()
        began_s = time.perf_counter()
        work()
        torch.cuda.synchronize()
        yield time.perf_counter() - began_s
