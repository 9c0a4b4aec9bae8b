"""Where a consumer stood is kept by the worker's process and told by the harness."""

import json
from pathlib import Path
from typing import Any

import confluent_kafka as ck
import pytest

from tests.chaos.fetching import consumer_that_tells, fetching

ONE = {"desired": True, "fetch_state": "active", "broker": 1, "leader": 2, "next_offset": 7, "ls_offset": 9, "fetchq_cnt": 0}
TOLD = {"topics": {"news": {"partitions": {"1": ONE, "2": {**ONE, "desired": False}}}}}


def test_what_librdkafka_last_said_is_told_and_its_owner_hears_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the partitions that are the consumer's own."""
    heard: list[str] = []
    given: dict[str, Any] = {}
    monkeypatch.setattr(ck, "Consumer", type("Consumer", (), {"__init__": lambda _self, config: given.update(config)}))
    consumer_that_tells(tmp_path)({"group.id": "g", "stats_cb": heard.append})
    given["stats_cb"](json.dumps(TOLD))
    assert heard == [json.dumps(TOLD)]
    assert given["group.id"] == "g"
    (line,) = fetching("score-1", tmp_path)
    assert line.startswith("score-1 fetches partition news-1, fetch_state active, broker 1, leader 2, next_offset 7")
    assert "ls_offset 9" in line


def test_a_worker_that_has_told_nothing_is_passed_over(tmp_path: Path) -> None:
    """It has just begun, or was killed while it wrote."""
    assert fetching("score-1", tmp_path) == []
    (tmp_path / "consumer.json").write_text('[{"partition": "ne')
    assert fetching("score-1", tmp_path) == []
