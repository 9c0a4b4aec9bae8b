"""A half of a benchmark that is made for another machine, on this one: so that it runs when it is there."""

from pathlib import Path

import pytest

from deploy.local.stack import LocalStack
from tests.benchmarks.suite import gpu
from tests.benchmarks.suite.result import Options, Result


@pytest.mark.timeout(240)
def test_the_whole_worker_is_measured_against_the_triton_that_is_there(
    stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the scenario `gpu` does with a Triton on a GPU, with ours on the CPU: a bare loop and a worker by turns."""
    monkeypatch.setattr(gpu, "TEXTS", 64)
    result = Result("gpu", Options(out=tmp_path, messages=200, rounds=1, limit_s=200))
    gpu.whole_worker(result, stack, tmp_path)
    found = result.figures["gpu"]["worker"]
    assert found["messages_per_s"]["value"] > 0
    assert found["triton_texts_per_s"]["value"] > 0
    assert found["efficiency"]["value"] > 0
