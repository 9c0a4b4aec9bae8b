"""A model that answers at once, in a process of its own: Triton's protocol, the same logits for every text."""

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.kserve import Kserve, logits_answer, serving
from worker.score.contract import parse_contract

ROOT = Path(__file__).parents[2]
LOGITS = np.array([[1.5, 0.25, -0.5]], np.float32)


def constant(request: Any, _context: object) -> Any:
    """Answer each text with LOGITS."""
    return logits_answer(np.repeat(LOGITS, request.inputs[0].shape[0], axis=0))


def serve() -> None:
    """Serve until SIGTERM; the address is the one line on standard output."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends whoever started us, and that ends us
    servicer = Kserve(constant)
    servicer.keep(parse_contract((ROOT / "triton_repo" / "sentiment" / "contract.json").read_bytes()))
    with serving(servicer) as address:
        print(address, flush=True)  # noqa: T201 - how the address is told
        stop.wait()


@contextlib.contextmanager
def answering_at_once() -> Iterator[str]:
    """Run the model in a process of its own; yields host:port."""
    command = [sys.executable, "-m", "tests.fuzz.model"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        with process.stdout as said:
            yield said.readline().strip()
    finally:
        process.terminate()
        process.wait(20)


if __name__ == "__main__":
    serve()
