"""What becomes of a plan when a worker is lost: the group in steps of a tenth of a second, arrivals drawn. No I/O.

Each worker has as many partitions as any other. One that dies is missed once the group's session has timed out; until then what
comes to its partitions waits, and after that the others have it with their own.
"""

from typing import NamedTuple

import numpy as np

SESSION_S = 15.0
"""`kafka.session_timeout_s`."""
_STEP_S = 0.1
_GIVEN_UP_S = 600.0


class Loss(NamedTuple):
    """How many messages waited at most, and after how many seconds what waited was worked off; None: never."""

    most_waiting: int
    caught_up_s: float | None


def lose_one(rate: float, workers: int, per_worker: float, session_s: float = SESSION_S, seed: int = 0) -> Loss:
    """Let one of at least two workers die, with `rate` messages a second coming, of which each can do `per_worker`.

    Raises:
        ValueError: there is no other worker.
    """
    if workers < 2:
        raise ValueError("where there is one worker, nobody takes over")
    drawn, waiting, most = np.random.default_rng(seed), np.zeros(workers), 0.0
    for step in range(round(_GIVEN_UP_S / _STEP_S)):
        taken_over = step * _STEP_S >= session_s
        if taken_over and len(waiting) == workers:
            waiting = waiting[1:] + waiting[0] / (workers - 1)
        waiting += drawn.poisson(rate * _STEP_S / len(waiting), len(waiting))
        most = max(most, float(waiting.sum()))
        able = np.full(len(waiting), per_worker * _STEP_S)
        if not taken_over:
            able[0] = 0.0
        if taken_over and (waiting <= able).all():
            return Loss(round(most), round((step + 1) * _STEP_S, 1))
        waiting = np.maximum(waiting - able, 0.0)
    return Loss(round(most), None)
