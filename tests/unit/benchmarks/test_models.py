import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

import pytest

from tests.benchmarks.suite import models
from worker.ports import TokenBatch

ROWS = [[101, 7, 102], [101, 102], [101, 7, 8, 9, 102], [101, 7, 8, 102]] * 6


class Counting:
    """Takes a moment for each batch, and counts those out and those done."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(8)
        self._lock = Lock()
        self.out = self.most = self.done = 0

    def submit(self, batch: TokenBatch) -> Future[None]:
        """Begin a batch."""
        with self._lock:
            self.out += 1
            self.most = max(self.most, self.out)
        return self._pool.submit(self._take, batch)

    def _take(self, _batch: TokenBatch) -> None:
        time.sleep(0.01)
        with self._lock:
            self.out -= 1
            self.done += 1


@pytest.mark.parametrize("most", [1, 3])
def test_a_pace_is_over_when_nothing_is_out_any_more(most: int) -> None:
    """And no more are out at one time than asked for."""
    batches, counting = models.sorted_batches(ROWS, 2), Counting()
    assert models.pace(models.InFlight(counting.submit, most), batches) > 0
    assert (counting.done, counting.out) == (len(batches), 0)
    assert counting.most <= most


def test_each_core_has_a_batch_of_its_own_and_every_one_is_run() -> None:
    """No run is asked for two at once; what fails is heard of."""
    busy, seen = [False, False], list[int]()

    def run(number: int) -> Callable[[TokenBatch], None]:
        def one(batch: TokenBatch) -> None:
            assert not busy[number]
            busy[number] = True
            time.sleep(0.005)
            seen.append(len(batch.input_ids))
            busy[number] = False

        return one

    batches = models.sorted_batches(ROWS, 5)
    models.pace(models._per_core([run(0), run(1)]), batches)
    assert sorted(seen) == sorted(len(batch.input_ids) for batch in batches)

    def broken(_batch: TokenBatch) -> None:
        raise RuntimeError("no such shape")

    with pytest.raises(RuntimeError, match="no such shape"):
        models.pace(models._per_core([broken, broken]), batches)
