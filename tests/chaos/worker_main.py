"""The worker as the harness runs it: failpoints, a clock to shift, perhaps a planted bug; then the real command line.

    CHAOS_SLOT=<folder> CHAOS_ROLE=score CHAOS_PLANTED= python -m tests.chaos.worker_main work --roles score

Production code is not touched: what is wrapped is wrapped in this process, before the worker is imported.
"""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

import confluent_kafka as ck

from tests.chaos import failpoints, planted
from tests.chaos.fetching import consumer_that_tells

_PR_SET_PDEATHSIG = 1


def install(folder: Path, role: str, bug: str) -> None:
    """Wrap what is to be wrapped in this process."""
    failpoints.shift_clock(folder)
    points = failpoints.Failpoints(folder)
    prefix = "relay" if role == "alert" else role
    producer = planted.producer_with(bug, role, failpoints.faulty_producer(points, prefix))
    setattr(ck, "Producer", producer)  # noqa: B010 - to mypy the name is a type, which nobody may assign
    setattr(ck, "Consumer", consumer_that_tells(folder))  # noqa: B010 - likewise
    from worker.adapters import redis  # noqa: PLC0415 - only once the clock and the producer are in place

    failpoints.wrap_store(points, redis.RedisAlertStore)
    if bug == "no_fence":
        planted.unfence_store(redis)


def main() -> None:
    """Die with the harness, wrap, and run the worker's command line."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    install(Path(os.environ["CHAOS_SLOT"]), os.environ["CHAOS_ROLE"], os.environ.get("CHAOS_PLANTED", ""))
    from worker.cli import main as cli  # noqa: PLC0415 - after the wrapping

    cli()


if __name__ == "__main__":
    main()
