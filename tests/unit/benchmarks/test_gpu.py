from pathlib import Path

import pytest

from tests.benchmarks.suite import gpu
from tests.benchmarks.suite.result import Options, Result


@pytest.mark.gpu
@pytest.mark.timeout(600)
def test_a_gpu_is_measured_at_every_shape(tmp_path: Path) -> None:
    """Each engine at each bucket and batch, with the limits of the GPU beside them."""
    if why := gpu.missing():
        pytest.skip(why)
    result = Result("gpu", Options(out=tmp_path, limit_s=500))
    gpu.run(result, tmp_path)
    assert result.details["gpu"]["flops_per_s"] > 0
    assert all(row["texts_per_s"] > 0 for row in result.details["shapes"])


def test_where_there_is_no_gpu_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scenario is skipped with its reason, and is no failure."""
    monkeypatch.setattr(gpu, "missing", lambda: "there is no NVIDIA GPU on this machine")
    result = Result("gpu", Options(out=tmp_path))
    gpu.run(result, tmp_path)
    assert result.details == {"skipped": "there is no NVIDIA GPU on this machine"}
    assert result.figures == {}
