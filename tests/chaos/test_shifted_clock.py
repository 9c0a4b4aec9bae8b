"""A worker whose clock was set off still asks the model, and still gives up on one that does not answer.

For long it did not, for a fault of the harness: a clock that was set back made each request too late before it was sent.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.kserve import Kserve, row_sums, serving

ROOT = Path(__file__).parents[2]
ASK = """
import sys, time
from pathlib import Path
import numpy as np
from tests.chaos.failpoints import shift_clock

began_s = time.time()
shift_clock(Path(sys.argv[1]))
from worker.adapters.triton import TritonModel
from worker.errors import ModelError
from worker.messages import ModelRef
from worker.ports import TokenBatch

print(round((time.time() - began_s) / 60))
model = TritonModel(sys.argv[2], ModelRef("sentiment", "1"), timeout_s=float(sys.argv[3]))
try:
    print(model.submit(TokenBatch(np.ones((1, 4), np.int64), np.ones((1, 4), np.int64))).result(15)[0].tolist())
except ModelError as error:
    print(error.reason)
"""


def ask(folder: Path, minutes: int, url: str, timeout_s: float) -> list[str]:
    """Ask from a process whose clock is off; returns by how many minutes it is, and what was answered."""
    (folder / "clock").write_text(str(minutes * 60))
    command = [sys.executable, "-c", ASK, str(folder), url, str(timeout_s)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()


@pytest.mark.parametrize("minutes", [-10, 60, -20 * 24 * 60, 20 * 24 * 60])
def test_the_model_answers_a_worker_whose_clock_was_set_off(tmp_path: Path, minutes: int) -> None:
    """However far, and both ways."""
    with serving(Kserve(row_sums)) as url:
        assert ask(tmp_path, minutes, url, 10) == [str(minutes), "[4.0, 4.0, 0.0]"]


def test_a_model_that_does_not_answer_is_given_up_in_time_whatever_the_clock(tmp_path: Path) -> None:
    """One hour ahead is not one hour of waiting."""
    silent = Kserve()
    silent.answer = silent.never
    with serving(silent) as url:
        assert ask(tmp_path, 60, url, 0.5) == ["60", "no_answer"]
