import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.faults import CATALOGUE
from tests.chaos.record import FaultDone, Progress, RunRecord, Sample
from tests.chaos.report import MATURE_S, figures, growth, write_report
from tests.chaos.timeline import family, restarts
from tests.chaos.verify import FAULTY, Counts, Verdict

KEYS = {
    "faults",
    "faults_total",
    "messages",
    "lost",
    "duplicates",
    "predictions_differing",
    "alerts_lost",
    "alerts_duplicated",
    "alerts_out_of_order",
    "alerts_differing",
    "dead_letters_wrong",
    "orphans",
    "rss_growth_ratio",
    "open_files_growth_ratio",
    "stream_repeats",
    "seed",
    "minutes",
    "versions",
    "machine",
    "verdict",
}


def samples(role: str = "score", early: int = 100, late: int = 100, age_s: float = MATURE_S) -> list[Sample]:
    """Six samples of one process in each of three minutes, its memory rising from `early` to `late` for the third."""
    sizes = {0: early, 1: (early + late) // 2, 2: late}
    return [Sample(60.0 * third + 10 * n, f"{role}-1", 7, age_s, sizes[third], 9) for third in range(3) for n in range(1, 7)]


def run(**fields: Any) -> RunRecord:
    """A good run of a minute with one fault that came about and one that did not."""
    faults = [FaultDone("score_kill", "score-1", 1, 2, "", True), FaultDone("burst", "input", 3, 9, "<b>", False)]
    known: dict[str, Any] = {
        "seed": 1,
        "minutes": 1,
        "verdict": Verdict(Counts(messages=9), {}),
        "faults": faults,
        "samples": samples(),
        "progress": [Progress(2, 4, 1), Progress(4, 9, 9, 2)],
        "versions": {"kafka": "4"},
    }
    return RunRecord(**{**known, **fields})


def counted(**counts: int) -> RunRecord:
    """A run of whose verdict these counts are not 0."""
    return run(verdict=Verdict(Counts(messages=9, **counts), {}))


def test_report_has_every_figure(tmp_path: Path) -> None:
    """As JSON, and the same comes back from `write_report`; faults that did not come about are not counted among them."""
    report = write_report(tmp_path, run())
    assert report.keys() >= KEYS
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert (report["verdict"], report["messages"], report["faults_total"]) == ("green", 9, 1)
    assert (report["faults"], report["not_injected"]) == ({"score_kill": 1}, {"burst": 1})
    assert report["longest_lag_messages"] == 3
    assert report["machine"].keys() == {"cores", "memory_gib", "system", "python"}


def test_page_stands_alone_and_says_what_was_found(tmp_path: Path) -> None:
    """The picture is in it, and what a part said is text, not markup."""
    found = Verdict(Counts(messages=9, lost=1), {"lost": ("m-1 <i>",)})
    write_report(tmp_path, run(verdict=found, planted="no_fence"))
    page = (tmp_path / "report.html").read_text()
    assert 'src="data:image/png;base64,' in page
    assert "http" not in page.replace("http-equiv", "")
    assert "m-1 &lt;i&gt;" in page
    assert "&lt;b&gt;" in page
    assert "no_fence" in page
    assert (tmp_path / "timeline.png").read_bytes().startswith(b"\x89PNG")


def test_an_empty_run_has_a_report_too(tmp_path: Path) -> None:
    """One that broke off at once: nothing to draw, too short to tell of growth."""
    report = write_report(tmp_path, RunRecord(1, 1, Verdict(Counts(), {}, ("nothing came",))))
    assert (report["verdict"], report["problems"], report["rss_growth_ratio"]) == ("red", ["void: nothing came"], None)


@pytest.mark.parametrize("count", FAULTY)
def test_every_count_turns_the_report_red(count: str) -> None:
    """One is enough."""
    report = figures(counted(**{count: 1}))
    assert (report["verdict"], report["problems"], report[count]) == ("red", [f"{count}: 1"], 1)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"verdict": Verdict(Counts(), {}, ("the reference is wrong",))}, "void: the reference is wrong"),
        ({"orphans": ["12 java"]}, "orphan: 12 java"),
        ({"stuck": ["the relay"]}, "stuck: the relay"),
        ({"forced": ["score-1"]}, "score-1 did not leave when it was asked to"),
        ({"samples": samples(late=151)}, "memory of score grew 1.51-fold"),
    ],
)
def test_what_else_turns_the_report_red(fields: dict[str, Any], problem: str) -> None:
    """A void run, a process that outlived it or would not leave, an end that did not come, growth."""
    report = figures(run(**fields))
    assert (report["verdict"], report["problems"]) == ("red", [problem])


def test_repeats_on_the_stream_leave_it_green() -> None:
    """They are what a Redis that lost its data must lead to."""
    assert figures(counted(stream_repeats=3))["verdict"] == "green"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], {}),
        (samples(), {"score": 1.0}),
        (samples(early=100, late=130), {"score": 1.3}),
        (samples(age_s=MATURE_S - 1), {}),
        (samples()[:6], {}),
        ([*samples(late=120), *samples("alert", late=90)], {"alert": 0.9, "score": 1.2}),
    ],
)
def test_growth_is_late_over_early_of_mature_processes(given: Sequence[Sample], expected: dict[str, float]) -> None:
    """By role; a process that is still warming up and a run too short to tell give none."""
    assert growth(given, lambda sample: sample.rss_bytes) == expected


def test_restarts_are_where_another_process_took_the_place() -> None:
    """And only there."""
    lives = [("score-1", 7), ("alert-1", 8), ("score-1", 7), ("score-1", 9), ("alert-1", 8)]
    assert restarts([Sample(at, name, pid, 1, 1, 1) for at, (name, pid) in enumerate(lives)]) == [3]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("score_kill", "workers"),
        ("worker_added", "workers"),
        ("point:relay.before_commit", "commit points"),
        ("broker_kill", "Kafka"),
        ("disk_full", "Kafka"),
        ("kafka_cut", "network"),
        ("redis_latency", "network"),
        ("redis_emptied", "Redis"),
        ("model_replaced", "Triton"),
        ("clock_jump", "clock"),
        ("burst", "input"),
        ("something_new", "other"),
    ],
)
def test_family_of_a_kind(kind: str, expected: str) -> None:
    """Faults of one family have one colour."""
    assert family(kind) == expected


def test_every_kind_in_the_catalogue_has_a_family() -> None:
    """`other` is for what nobody thought of."""
    assert [kind for kind in CATALOGUE if family(kind) == "other"] == []
