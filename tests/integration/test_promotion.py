"""A model is promoted, shadowed and rolled back on the real Triton, by the real command, while messages flow through Kafka."""

import dataclasses
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.local.config import TRITON_VARIABLE, ModelChoice, StackConfig
from deploy.local.stack import LocalStack
from tests.conftest import Names
from tests.integration.flow import Flow, WorkerProcess, make_flow
from tests.support.batches import batch_of, rows
from tests.support.tiny_versions import texts, write_model, write_set
from worker.adapters.kafka import PlainProducer
from worker.adapters.triton import TritonModel
from worker.cli import build
from worker.messages import ModelRef, OutRecord

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
WATCHLIST = "entities: [{name: w7}]\n"
PAUSE_S = 0.02


@dataclasses.dataclass
class Bench:
    """A worker's topics, a Triton of the test's own, its repository and a candidate."""

    flow: Flow
    triton: LocalStack
    folder: Path

    @property
    def model(self) -> Path:
        """The model's folder in the repository."""
        return self.folder / "repo" / "sentiment"

    def promote(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run `tidings promote` on this repository and this Triton; returns its exit code and what it tells."""
        address = f"127.0.0.1:{self.triton.server('triton').spec.ports['http']}"
        where = ["--model-repository", str(self.folder / "repo"), "--triton", address, "--quiet-s", "2", "--json"]
        done = CliRunner().invoke(build(), ["promote", *arguments, *where])
        return done.exit_code, json.loads(done.stdout) if done.stdout else {"said": done.output}


@pytest.fixture
def bench(names: Names, stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Version 1 serves; a surer version, and one that says the opposite, lie elsewhere. They know no word of CheckList's."""
    monkeypatch.setenv("TIDINGS_DATA_DIR", str(tmp_path / "nowhere"))
    write_model(tmp_path / "repo" / "sentiment")
    write_model(tmp_path / "surer", scale=1.3)
    write_model(tmp_path / "opposite", scale=-1.0)
    write_set(tmp_path / "set.tsv")
    config = StackConfig.from_environment().but(
        state=tmp_path / "state",
        model_repository=tmp_path / "repo",
        parts=frozenset({"triton"}),
        triton=ModelChoice.TRITON,
        external={},
    )
    with LocalStack.start(config) as triton:
        flow = make_flow(names, stack.settings_env(), tmp_path, {"watchlist.yaml": WATCHLIST, "rules.yaml": "rules: []\n"})
        own = {
            TRITON_VARIABLE: triton.settings_env()[TRITON_VARIABLE],
            "TIDINGS_MODEL__REPOSITORY": str(tmp_path / "repo"),
            "TIDINGS_LOG__FORMAT": "json",
            "TIDINGS_SHADOW__VERSION": "2",
            "TIDINGS_SHADOW__SHARE": "0.5",
        }
        yield Bench(dataclasses.replace(flow, env={**flow.env, **own}), triton, tmp_path)


class Load:
    """Messages to Kafka, and requests to Triton for the version that the contract names, without a pause longer than 10 ms."""

    def __init__(self, bench: Bench) -> None:
        self.sent: list[str] = []
        self.answered: Counter[str] = Counter()
        self.failed: list[str] = []
        self._bench = bench
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator["Load"]:
        """Keep it up."""
        threads = [threading.Thread(target=work, daemon=True) for work in (self._produce, self._ask, self._ask)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(60)

    def _produce(self) -> None:
        settings = self._bench.flow.settings.kafka
        producer, topic = PlainProducer(settings), self._bench.flow.input("news")
        for number, text in enumerate(texts(100_000, seed=1)):
            if self._stop.wait(PAUSE_S):
                break
            name = f"m{number}"
            producer.send(OutRecord(topic, name.encode(), json.dumps({"id": name, "text": text}).encode()))
            self.sent.append(name)
        producer.flush()

    def _ask(self) -> None:
        url = self._bench.triton.settings_env()[TRITON_VARIABLE]
        with ExitStack() as stack:
            models = {
                version: stack.enter_context(closing(TritonModel(url, ModelRef("sentiment", version)))) for version in "12"
            }
            while not self._stop.wait(PAUSE_S):
                version = json.loads((self._bench.model / "contract.json").read_bytes())["model"]["version"]
                error = models[version].submit(batch_of(rows(8), 32)).exception(60)
                self.answered[version] += 1
                if error is not None:
                    self.failed.append(f"version {version}: {error}")


def metric(worker: WorkerProcess, name: str) -> float:
    """A figure of the worker without labels."""
    found = [line.split()[-1] for line in worker.get("/metrics")[1].splitlines() if line.startswith(f"{name} ")]
    return float(found[0])


def test_promoted_shadowed_and_rolled_back_under_load_nothing_fails_and_nothing_is_lost(bench: Bench) -> None:
    """By the command, on the real server, with a worker at work on Kafka and others asking Triton all the while.

    No request fails; each message has one prediction, which carries the version that answered; shadowing compares a share and
    delays none; the contract after the rollback is byte for byte that of before; a worse model changes nothing.
    """
    first = (bench.model / "contract.json").read_bytes()
    labelled = ("--input", str(bench.folder / "set.tsv"), "--max-latency-ratio", "20")
    load = Load(bench)
    with bench.flow.worker("score") as worker:
        worker.until(worker.ready)
        with load.running():
            worker.until(lambda: metric(worker, "tidings_predictions_total") > 0)
            code, told = bench.promote("--model", str(bench.folder / "opposite"), *labelled)
            assert (code, told["moved"], len(told["skipped"])) == (1, None, 1)
            assert not (bench.model / "2").exists()
            assert bench.promote("--model", str(bench.folder / "surer"), "--beside") == (0, {"beside": "2"})
            worker.until(lambda: metric(worker, "tidings_shadow_compared_total") > 20)
            code, told = bench.promote("2", *labelled)
            assert (code, told["moved"]) == (0, {"before": "1", "now": "2", "unloaded": True})
            worker.until(lambda: metric(worker, "tidings_model_releases_total") == 1)
            code, told = bench.promote("--rollback", "--patience-s", "5")
            assert (code, told["moved"]) == (0, {"before": "2", "now": "1", "unloaded": False}), "the worker shadows it again"
            worker.until(lambda: metric(worker, "tidings_model_releases_total") == 2)
        found = bench.flow.predictions(len(load.sent))
        assert metric(worker, "tidings_model_failures_total") == 0
        assert metric(worker, "tidings_shadow_disagreed_total") == 0
        assert worker.terminate() == 0
    assert (load.failed, sorted(load.answered)) == ([], ["1", "2"])
    assert found.keys() == set(load.sent)
    versions = Counter(one["model"]["version"] for one in found.values())
    assert min(versions["1"], versions["2"]) > 50
    assert (bench.model / "contract.json").read_bytes() == first
    shadowed = [json.loads(record.value or b"") for record in bench.flow.records(bench.flow.settings.kafka.topics.shadow, 20)]
    assert {(one["serving"]["model"]["version"], one["shadow"]["model"]["version"]) for one in shadowed} == {("1", "2")}
    assert {one["id"] for one in shadowed} <= found.keys()
