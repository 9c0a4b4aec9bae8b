import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from worker.cli import build
from worker.ops.catalogue import OURS, Described, catalogue, page, sample_names
from worker.ops.metrics import ALERT_COUNTS, NOTIFY_COUNTS, SCORE_COUNTS

ROOT = Path(__file__).parents[4]
FAMILIES = catalogue()
TIMES = re.compile(r"\bage\b|\bhow long\b|\bseconds\b|\bone try\b", re.IGNORECASE)


def test_the_page_is_current() -> None:
    """docs/metrics.md is what `tidings metrics` prints."""
    assert (ROOT / "docs/metrics.md").read_text() == page(), "make it again: tidings metrics > docs/metrics.md"
    assert CliRunner().invoke(build(), ["metrics"]).stdout == page()


def test_no_family_is_empty_or_told_twice() -> None:
    """Each has samples, so that its labels are known; two of one name would be refused by Prometheus."""
    names = [one.name for one in FAMILIES]
    assert [one.name for one in FAMILIES if not one.samples] == []
    assert sorted(set(names)) == sorted(names)


def test_every_count_is_on_the_page() -> None:
    """The roles' counts are all there, as counters."""
    counters = {one.name for one in FAMILIES if one.type == "counter"}
    assert {count.name for count in (*SCORE_COUNTS, *ALERT_COUNTS, *NOTIFY_COUNTS)} <= counters


@pytest.mark.parametrize("family", [one for one in FAMILIES if one.name.startswith(OURS)], ids=lambda one: one.name)
def test_names_follow_prometheus(family: Described) -> None:
    """Lower case, `_total` on counters alone, a help text that is a sentence, and seconds in the name of what is a time."""
    assert re.fullmatch(r"[a-z][a-z_]*[a-z]", family.name)
    assert all(name.endswith("_total") == (family.type == "counter") for name in family.samples)
    assert re.fullmatch(r"[A-Z].+\.", family.help)
    assert (family.unit.startswith("seconds")) == bool(TIMES.search(family.help) or "seconds" in family.name)


def test_the_names_that_a_query_may_use() -> None:
    """Samples, not families: a histogram's own name is none."""
    names = sample_names()
    assert {"tidings_commit_seconds_bucket", "tidings_messages_total", "tidings_build_info", "tidings_ready"} <= names
    assert not {"tidings_commit_seconds", "tidings_messages", "tidings_build"} & names


def test_a_program_reads_one_object_a_line() -> None:
    """With `--json`; lag says role, topic and partition."""
    told = [json.loads(line) for line in CliRunner().invoke(build(), ["metrics", "--json"]).stdout.splitlines()]
    lag = next(one for one in told if one["name"] == "tidings_consumer_lag_seconds")
    assert (lag["unit"], lag["labels"]) == ("seconds", ["role", "topic", "partition"])
    assert len(told) == len(FAMILIES)
