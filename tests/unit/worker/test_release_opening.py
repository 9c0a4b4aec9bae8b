"""How the app opens another version for a worker that is running."""

from threading import Event
from typing import Any

import msgspec
import pytest

from worker import app
from worker.errors import ContractError, RetryableError
from worker.ops.health import Health
from worker.ops.start import Start
from worker.ops.watch import ModelWatch, RoleWatch
from worker.score.contract import Contract
from worker.settings import Settings
from worker.testing.model import INFO, FakeModel, contract


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[FakeModel]:
    """The models that were opened; the server serves versions 1 and 2, of which 2 has room for 64 texts."""
    models: list[FakeModel] = []

    def connect(_settings: Settings, _contract: Contract, _encoder: Any) -> FakeModel:
        models.append(FakeModel(info=msgspec.structs.replace(INFO, versions=("1", "2"))))
        return models[-1]

    monkeypatch.setattr(app, "connect_models", connect)
    return models


def opening(number: str, **fields: Any) -> Any:
    """Open this version."""
    wanted = msgspec.structs.replace(contract(), **fields)
    wanted = msgspec.structs.replace(wanted, model=msgspec.structs.replace(wanted.model, version=number))
    health = Health(10, lambda: 0.0, lambda: 0.0)
    start = Start(RoleWatch("score", health), ModelWatch(), Event())
    return app._release(Settings(), None, start, wanted)


def test_a_served_version_is_opened(opened: list[FakeModel]) -> None:
    """With its own number and temperature."""
    release = opening("2", calibration=msgspec.structs.replace(contract().calibration, temperature=2.0))
    assert (release.ref.version, release.calibration.temperature, len(opened)) == ("2", 2.0, 1)


def test_one_that_is_not_served_yet_may_be_asked_for_again(opened: list[FakeModel]) -> None:
    """The connection is not kept meanwhile."""
    with pytest.raises(RetryableError, match="version 3 is not served yet"):
        opening("3")
    assert opened[0]._closed


def test_one_that_the_server_serves_otherwise_is_refused(opened: list[FakeModel]) -> None:
    """It promises more room than there is."""
    with pytest.raises(ContractError, match="max_batch_size"):
        opening("2", max_batch_size=128)
    assert opened[0]._closed
