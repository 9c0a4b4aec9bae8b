from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from tests.unit.worker.ops.builders import Clock
from worker.errors import ContractError, RetryableError
from worker.ops.release import EVERY_S, ReleaseFile
from worker.score.calibration import Calibration
from worker.score.contract import Contract
from worker.score.release import Release
from worker.testing.model import FakeModel, contract


def version(number: str, **fields: Any) -> Contract:
    """The contract of another version, with these fields changed."""
    first = contract()
    return msgspec.structs.replace(first, model=msgspec.structs.replace(first.model, version=number), **fields)


class Bench:
    """A contract file that a test writes, a server that serves what it is told to, and a clock."""

    def __init__(self) -> None:
        self.clock, self.served, self.opened = Clock(), {"1"}, list[FakeModel]()
        self.body = msgspec.json.encode(contract())
        self.file = ReleaseFile(self._read, self._open, contract(), self.clock, self.clock)

    def _read(self) -> bytes:
        if not self.body:
            raise ContractError("contract.json cannot be read")
        return self.body

    def _open(self, wanted: Contract) -> Release:
        if wanted.model.version not in self.served:
            raise RetryableError(f"version {wanted.model.version} is not served yet")
        self.opened.append(FakeModel())
        return Release(self.opened[-1], wanted.model.ref, Calibration.from_contract(wanted))

    def later(self, wanted: Contract | bytes | None = None) -> str | None:
        """Write the file and look at it when it is time; returns the version to go over to."""
        if wanted is not None:
            self.body = wanted if isinstance(wanted, bytes) else msgspec.json.encode(wanted)
        self.clock.now_s += EVERY_S
        release = self.file.changed()
        return release.ref.version if release else None


def test_a_version_is_given_once_it_is_served_and_back() -> None:
    """Named and not served yet, it is asked for again; then it is given, once; and the one before it after that."""
    bench = Bench()
    assert bench.later() is None
    assert (bench.later(version("2")), bench.file.successful) == (None, False)
    bench.served.add("2")
    assert (bench.later(), bench.file.successful, bench.file.version) == ("2", True, "2")
    assert bench.later() is None
    assert (bench.later(version("1")), bench.file.version) == ("1", "1")
    assert len(bench.opened) == 2


def test_it_is_looked_at_when_it_is_time_or_when_hurried() -> None:
    """Not in every round of the loop."""
    bench = Bench()
    bench.later()
    bench.served.add("2")
    bench.body = msgspec.json.encode(version("2"))
    assert bench.file.changed() is None
    bench.file.hurry()
    assert bench.file.changed() is not None


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (version("2", max_length=32, buckets=(16, 32)), "max_length is another one; buckets is another one"),
        (version("2", tokenizer=msgspec.structs.replace(contract().tokenizer, sha256="1" * 64)), "tokenizer is another one"),
        (version("2", max_batch_size=32), "32 texts at once"),
        (version("1", calibration=msgspec.structs.replace(contract().calibration, temperature=2.0)), "under the old number 1"),
        (b"{", "expected a JSON object"),
        (b"", "cannot be read"),
    ],
)
def test_what_does_not_match_is_refused_and_told_once(wanted: Contract | bytes, why: str) -> None:
    """The version before goes on, the log and the metric say so; when the file is right again, so is the metric."""
    bench = Bench()
    bench.served.add("2")
    with capture_logs() as lines:
        assert bench.later(wanted) is None
        assert bench.later() is None
    assert [line["log_level"] for line in lines] == ["error"]
    assert why in lines[0]["why"]
    assert (bench.file.successful, bench.file.version) == (False, "1")
    assert (bench.later(contract()), bench.file.successful) == (None, True)


def test_other_figures_under_the_same_number_are_no_other_version() -> None:
    """A contract with new metrics and the same model changes nothing."""
    bench = Bench()
    assert bench.later(version("1", metrics={"macro_f1": 0.7})) is None
    assert (bench.file.successful, bench.opened) == (True, [])


def test_what_was_opened_is_closed_with_it() -> None:
    """The connection of the last version is nobody else's to close."""
    bench = Bench()
    bench.served.add("2")
    bench.later(version("2"))
    bench.file.close()
    with pytest.raises(RetryableError):
        bench.opened[-1].info()
