"""The worker with a model that answers at once: the worker's own cost. Everything else is as it always is.

python -m tests.benchmarks.suite.worker_main work --roles score
"""

from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from worker import app
from worker.ports import Model, ModelInfo, TokenBatch
from worker.score.contract import AnyContract
from worker.settings import Settings
from worker.testing.model import info_of

LOGITS = (0.1, 0.2, 0.3)


class ConstantModel:
    """Keeps `worker.ports.Model`, and says the same of every text, at once."""

    def __init__(self, contract: AnyContract) -> None:
        self._contract = contract

    def info(self) -> ModelInfo:
        """Say what the contract wants to hear."""
        return info_of(self._contract)

    def submit(self, batch: TokenBatch) -> "Future[NDArray[np.float32]]":
        """Answer."""
        future: Future[NDArray[np.float32]] = Future()
        future.set_result(np.tile(np.array(LOGITS, np.float32), (len(batch.input_ids), 1)))
        return future

    def close(self) -> None:
        """Nothing is open."""


def connect(settings: Settings, contract: AnyContract, outputs: Sequence[str] | None = None) -> Model:
    """Take the place of `worker.app.connect_model`."""
    del settings, outputs
    return ConstantModel(contract)


def main() -> None:
    """Put the model in place, and run the worker's command line."""
    app.connect_model = connect
    from worker.cli import main as cli  # noqa: PLC0415 - after the model is in place

    cli()


if __name__ == "__main__":
    main()
