"""Where a consumer stood is kept by the worker's process and told by the harness."""

import json
from pathlib import Path
from typing import Any

import confluent_kafka as ck
import pytest

from tests.chaos.fetching import consumer_that_tells, fetching

ONE = {"desired": True, "fetch_state": "active", "broker": 1, "leader": 1, "next_offset": 7, "app_offset": 7, "ls_offset": 9}
STRAY = {**ONE, "broker": 3, "app_offset": -1001, "fetchq_cnt": 2}
TOLD = {"topics": {"news": {"partitions": {"1": ONE, "2": {**ONE, "desired": False}, "3": STRAY}}}}


def test_what_librdkafka_last_said_is_told_and_its_owner_hears_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the partitions that are the consumer's own; what is as it should be is passed over."""
    heard: list[str] = []
    given: dict[str, Any] = {}
    monkeypatch.setattr(ck, "Consumer", type("Consumer", (), {"__init__": lambda _self, config: given.update(config)}))
    consumer_that_tells(tmp_path)({"group.id": "g", "stats_cb": heard.append})
    given["stats_cb"](json.dumps(TOLD))
    assert heard == [json.dumps(TOLD)]
    assert given["group.id"] == "g"
    assert fetching("score-1", tmp_path) == [
        "score-1 fetches news-1 at 7 of 9; news-3 at 7 of 9, given out -1001, 2 waiting, active at broker 3, leader 1"
    ]


def test_a_worker_that_has_told_nothing_is_passed_over(tmp_path: Path) -> None:
    """It has just begun, or was killed while it wrote."""
    assert fetching("score-1", tmp_path) == []
    (tmp_path / "consumer.json").write_text('[{"partition": "ne')
    assert fetching("score-1", tmp_path) == []
