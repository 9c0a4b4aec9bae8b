"""Every query of the dashboards, asked of a real Prometheus that scrapes a real worker: each answers, or is known not to."""

import json
import os
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest

from deploy.local.errors import LocalStackError
from deploy.local.stack import LocalStack
from deploy.prometheus import picture
from deploy.prometheus.promtool import find
from deploy.prometheus.queries import filled_in
from tests.conftest import Names
from tests.integration.flow import ROOT, Flow, make_flow
from tests.integration.test_examples import BAD, FILES
from tests.unit.deploy.test_prometheus import RULES, queries

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

EMPTY = ("nv_inference", "tidings_shadow", "tidings_notif", "ratio_rate30d", "tidings_model_failures_total{", "dead_letters")
"""Triton is not scraped here, there is no second model and nobody to notify, no month has passed, and nothing has failed."""

SLOW_MACHINE = "Tidings(Freshness|AlertDelay)BudgetBurn"
"""They fire, and rightly, where other work on the machine keeps the worker from its own for ten seconds."""


@pytest.fixture
def flow(stack: LocalStack, names: Names, tmp_path: Path) -> Flow:
    """Topics of this test's own."""
    return make_flow(names, stack.settings_env(), tmp_path, FILES)


@contextmanager
def prometheus(port: int, folder: Path) -> Iterator[str]:
    """A Prometheus with our rules that scrapes this worker every second; gives its address."""
    try:
        program = find("prometheus", Path(os.environ.get("TIDINGS_CACHE_DIR") or ROOT / ".cache"))
    except LocalStackError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(error.message, pytrace=False)
        pytest.skip(error.message)
    scraped = {"job_name": "tidings", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
    intervals = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config = {"global": intervals, "rule_files": [str(path) for path in RULES], "scrape_configs": [scraped]}
    (folder / "prometheus.yml").write_text(json.dumps(config))
    own = free_port()
    options = [f"--web.listen-address=127.0.0.1:{own}", f"--storage.tsdb.path={folder / 'tsdb'}"]
    with (folder / "prometheus.log").open("wb") as log:
        command = [str(program), f"--config.file={folder / 'prometheus.yml'}", *options]
        process = subprocess.Popen(command, cwd=folder, stderr=log, stdout=log)
    try:
        yield f"http://127.0.0.1:{own}"
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port that nobody has."""
    import socket  # noqa: PLC0415 - here alone

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def ask(address: str, query: str) -> list[Any]:
    """The series that a query answers with."""
    url = f"{address}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own address
        told = json.load(answer)
    assert told["status"] == "success"
    return list(told["data"]["result"])


def until(address: str, query: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait until a query has an answer; `meanwhile` something goes on, as a rate needs a growth between two looks."""
    deadline = time.monotonic() + 60
    while True:
        try:
            if ask(address, query):
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, query
        meanwhile()
        time.sleep(0.3)


def draw(address: str, folder: Path, more: Callable[[], None]) -> None:
    """Go on for two minutes, faster and slower, and draw the dashboards for docs/observability.md."""
    began = time.time()
    while (gone := time.time() - began) < 120:
        more()
        time.sleep(0.1 if gone % 60 < 30 else 0.5)
    list(picture.write(address, folder, picture.Range(began, time.time())))


def test_every_panel_shows_something(flow: Flow, tmp_path: Path) -> None:
    """Its queries are answered with series, but those that have nothing to say here; the rules' recorded ones too."""
    with flow.worker() as worker:
        (serving,) = worker.until(lambda: worker.lines("serving health and metrics"))
        with prometheus(serving["port"], tmp_path) as address:
            worker.until(worker.ready)
            numbers = count()

            def more() -> None:
                flow.send_messages("chat", [{"text": f"{BAD} {n}", "id": f"n{n}"} for n in islice(numbers, 10)])

            until(address, "sum(rate(tidings_predictions_total[30s])) > 0", more)
            until(address, "sum(rate(tidings_alert_signals_total[30s])) > 0", more)
            until(address, 'tidings:slo_errors:ratio_rate5m{slo="freshness"} >= 0')
            asked = {(title, query): ask(address, filled_in(query)) for title, query in queries()}
            if folder := os.environ.get("PICTURES"):
                draw(address, Path(folder), more)
            assert ask(address, f'ALERTS{{alertstate="firing",alertname!~"{SLOW_MACHINE}"}}') == []
    silent = {title: query for (title, query), series in asked.items() if not series}
    assert {title: query for title, query in silent.items() if not any(word in query for word in EMPTY)} == {}
    assert len(asked) - len(silent) > 30
