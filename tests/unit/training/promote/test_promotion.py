"""Promotion with a server that does as it is told; the real one is in tests/integration/test_promotion.py."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.tiny_versions import write_model
from training.errors import TrainingError
from training.promote import versions
from training.promote.answering import FileModel
from training.promote.promotion import Drain, load_beside, promote, rollback
from training.promote.server import Server
from training.tokens import Ids


class FakeServer:
    """Loads what the configuration names, as Triton does, and answers with the files; may refuse or answer wrongly."""

    url = "fake"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.loaded: list[set[str]] = []
        self.refuses = self.is_wrong = False
        self.asks = 0
        """How many requests the old version still gets, one each time it is looked for."""
        self.seen_when_loading: list[bytes] = []

    def load(self) -> None:
        """See `Server`."""
        config = versions._parsed((self._folder / "config.pbtxt").read_text())
        wanted = {str(number) for number in config.version_policy.specific.versions} or {"1"}
        if self.refuses and "2" in wanted:
            raise TrainingError("Triton refuses")
        self.seen_when_loading.append((self._folder / "contract.json").read_bytes())
        self.loaded.append(wanted)

    def serves(self, number: str) -> bool:
        """See `Server`."""
        return number in self.loaded[-1]

    def asked(self, _number: str) -> int:
        """See `Server`."""
        self.asks = max(0, self.asks - 1)
        return self.asks

    def logits(self, number: str, _output: str, batch: tuple[Ids, Ids]) -> NDArray[np.float32]:
        """See `Server`."""
        return FileModel(versions.known(self._folder, number)).logits(*batch) * np.float32(-1 if self.is_wrong else 1)


class Bench:
    """A repository, its server, a candidate, and a clock that a wait turns."""

    def __init__(self, folder: Path) -> None:
        self.folder = write_model(folder / "repo" / "sentiment")
        self.candidate = versions.serving(write_model(folder / "elsewhere" / "sentiment", 1.5, 1.2))
        self.server, self.now_s = FakeServer(self.folder), 0.0
        self.servers = [cast("Server", self.server)]
        self.drain = Drain(10, 60, 1, lambda: self.now_s, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def files(self) -> dict[str, bytes]:
        """All there is in the model's folder."""
        found = self.folder.rglob("*")
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found if path.is_file()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """One of it."""
    return Bench(tmp_path)


def test_there_and_back(bench: Bench) -> None:
    """Loaded beside, exchanged, drained, unloaded; the way back is the same, and ends with the very bytes of before."""
    first = (bench.folder / "contract.json").read_bytes()
    moved = promote(bench.folder, bench.candidate, bench.servers, bench.drain, {})
    assert (moved.before, moved.now, moved.unloaded) == ("1", "2", True)
    assert bench.server.loaded == [{"1", "2"}, {"2"}]
    assert bench.server.seen_when_loading[0] == first
    second = (bench.folder / "contract.json").read_bytes()
    assert versions.serving(bench.folder).number == "2"
    assert rollback(bench.folder, bench.servers, bench.drain).now == "1"
    assert bench.server.loaded[2:] == [{"1", "2"}, {"1"}]
    assert (bench.folder / "contract.json").read_bytes() == first
    again = promote(bench.folder, versions.known(bench.folder, "2"), bench.servers, bench.drain, {})
    assert (again.now, (bench.folder / "contract.json").read_bytes()) == ("2", second)


@pytest.mark.parametrize("fault", ["refuses", "is_wrong"])
def test_a_server_that_does_not_take_it_leaves_all_as_it_was(bench: Bench, fault: str) -> None:
    """It refuses the file, or serves another one: nothing has changed, and it has loaded what it had before."""
    before = bench.files()
    setattr(bench.server, fault, True)
    with pytest.raises(TrainingError):
        promote(bench.folder, bench.candidate, bench.servers, bench.drain, {})
    after = bench.files()
    assert {name: body for name, body in after.items() if name != "1/contract.json"} == before
    assert bench.server.loaded[-1] == {"1"}


def test_a_version_that_is_still_asked_stays_loaded(bench: Bench) -> None:
    """Past the patience it is told, and nobody is cut off."""
    bench.server.asks = 1_000
    moved = promote(bench.folder, bench.candidate, bench.servers, bench.drain, {})
    assert (moved.unloaded, bench.server.loaded) == (False, [{"1", "2"}])
    assert 60 <= bench.now_s <= 62


def test_one_that_falls_silent_late_is_unloaded_then(bench: Bench) -> None:
    """The quiet time counts from the last request."""
    bench.server.asks = 8
    moved = promote(bench.folder, bench.candidate, bench.servers, bench.drain, {})
    assert (moved.unloaded, bench.server.loaded) == (True, [{"1", "2"}, {"2"}])
    assert 16 <= bench.now_s <= 18


@pytest.mark.parametrize("fault", [TrainingError("Triton does not answer"), KeyboardInterrupt()])
def test_what_goes_wrong_after_the_switch_leaves_both_loaded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    """The new version serves and is remembered; the old one is there for the way back."""

    def asked(_number: str) -> int:
        raise fault

    monkeypatch.setattr(bench.server, "asked", asked)
    moved = promote(bench.folder, bench.candidate, bench.servers, bench.drain, {})
    assert (moved.now, moved.unloaded, bench.server.loaded) == ("2", False, [{"1", "2"}])
    assert versions.before(versions.history(bench.folder), "2") == "1"


@pytest.mark.parametrize("fault", [TrainingError("Triton does not answer"), KeyboardInterrupt()])
def test_what_goes_wrong_before_it_undoes_all(bench: Bench, monkeypatch: pytest.MonkeyPatch, fault: BaseException) -> None:
    """Ctrl-C while the server loads, say."""
    before = bench.files()

    def serves(_number: str) -> bool:
        raise fault

    monkeypatch.setattr(bench.server, "serves", serves)
    with pytest.raises(type(fault)):
        promote(bench.folder, bench.candidate, bench.servers, bench.drain, {})
    assert {name: body for name, body in bench.files().items() if name != "1/contract.json"} == before


def test_beside_changes_nothing_for_workers(bench: Bench) -> None:
    """Loaded, with a number; promoted by that number later."""
    contract = (bench.folder / "contract.json").read_bytes()
    beside = load_beside(bench.folder, bench.candidate, bench.servers)
    assert (beside.number, bench.server.loaded) == ("2", [{"1", "2"}])
    assert (bench.folder / "contract.json").read_bytes() == contract
    assert versions.history(bench.folder) == []
    assert promote(bench.folder, versions.known(bench.folder, "2"), bench.servers, bench.drain, {}).now == "2"


def test_nothing_to_roll_back_to_is_told(bench: Bench) -> None:
    """In one sentence."""
    with pytest.raises(TrainingError, match="no version served before 1"):
        rollback(bench.folder, bench.servers, bench.drain)


def test_a_version_whose_files_are_gone_is_told(bench: Bench) -> None:
    """Before anything is changed."""
    promote(bench.folder, bench.candidate, bench.servers, bench.drain, {})
    before: dict[str, Any] = bench.files()
    (bench.folder / "1" / "contract.json").unlink()
    with pytest.raises(TrainingError, match="cannot be read"):
        rollback(bench.folder, bench.servers, bench.drain)
    assert bench.files() == {name: body for name, body in before.items() if name != "1/contract.json"}
