from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.suite import book, figures, latency, models, peers, pipeline, planning, result, run
from tests.benchmarks.suite.figures import figure
from tests.benchmarks.suite.result import Options, Result, path_of, write

ONE = {"value": 2.0, "spread": [1.0, 3.0], "rounds": 3}


def test_a_figure_is_the_median_with_its_range() -> None:
    """And ratios are taken within a round, so that what a whole round suffered drops out."""
    assert figure([3.0, 1.0, 2.0]).as_json() == ONE
    assert figures.ratio([10.0, 1.0, 4.0], [5.0, 0.5]).value == 2.0
    never = figure([1.0, float("inf"), float("inf")])
    assert never.as_json()["value"] is None
    assert figures.from_json(never.as_json()) == never
    with pytest.raises(ValueError, match="no round"):
        figure([])


@pytest.mark.parametrize(("share", "seen"), [(0.5, 2), (0.99, 4), (0.0, 1), (1.0, 4)])
def test_a_quantile_was_seen(share: float, seen: int) -> None:
    """It is one of the values, the least that so many do not exceed."""
    assert figures.quantile([1, 2, 3, 4], share) == seen


def test_arrivals_are_as_many_as_the_rate_says() -> None:
    """In order, within the time, the same each run, and irregular."""
    moments = list(latency.arrivals(100.0, 20.0, seed=1))
    assert moments == sorted(moments) == list(latency.arrivals(100.0, 20.0, seed=1))
    assert moments[-1] < 20.0
    assert len(moments) == pytest.approx(2_000, rel=0.1)


def test_what_was_never_seen_took_forever() -> None:
    """A message without a prediction is in the quantiles: to leave it out would flatter."""
    sent = {f"o{number}": float(number) for number in range(40)}
    seen = {"predictions": {f"o{number}": number + 0.5 for number in range(30)}, "alerts": {}}
    found = latency._quantiles(sent, seen, {})
    assert found["predictions"]["p50"] == pytest.approx(500)
    assert found["predictions"]["unseen"] == 10
    assert found["predictions"]["p99"] == float("inf")


def test_what_is_asked_of_p99_is_made_of_what_was_measured() -> None:
    """Deadline 50 ms, 20 texts a batch at 100 texts/s, commits of 30 ms: twice 280 ms; nothing is asked before it is known."""
    page = {"tidings_batches_total": 5.0, "tidings_batch_texts_total": 100.0}
    page |= {'tidings_commit_seconds_sum{role="score"}': 0.3, 'tidings_commit_seconds_count{role="score"}': 10.0}
    assert latency.asked_ms(page, 100.0, 50.0) == pytest.approx(560)
    assert latency.asked_ms({}, 100.0, 50.0) == float("inf")


def test_what_alerts_is_followed_by_something() -> None:
    """Each name alerts once, and none at the end: a window is looked at when a later signal has come."""
    moments = [number / 10 for number in range(200)]
    names = latency.alerting(moments, 20.0)
    assert list(names.values()) == list(range(0, 160, latency.EVERY))
    assert len(latency.alerting([0.0] * 10**5, 20.0)) == latency.NAMES


def test_what_does_not_fit_is_made_smaller_and_said(tmp_path: Path) -> None:
    """Rounds, messages of a round, and seconds of a load go by the time that is left; nothing is said where all fits."""
    plenty = Result("pipeline", Options(900, 3, 15.0, 10_000.0, tmp_path))
    assert list(plenty.rounds()) == [0, 1, 2]
    assert pipeline.messages_a_round(plenty, 90.0) == 300
    assert latency.sending_s(plenty, 8, 12.0) == 15.0
    assert "notes" not in plenty.details
    scarce = Result("pipeline", Options(20_000, 3, 15.0, 180.0, tmp_path))
    assert pipeline.messages_a_round(scarce, 100.0) == pytest.approx(75 * 35, rel=0.01)
    assert latency.sending_s(scarce, 10, 12.0) == pytest.approx(6, rel=0.1)
    assert latency.sending_s(scarce, 100, 12.0) == pytest.approx(6, rel=0.1), "as many as can be sent for five seconds"
    assert peers.messages_a_turn(scarce, 6) == 20_000
    write(path_of(tmp_path, "ceiling"), {"figures": {"ceiling": {"texts_per_s": figure([90.0]).as_json()}}})
    assert peers.messages_a_turn(scarce, 6) == pytest.approx(90 * 0.33 * 12, rel=0.05)
    scarce.options = scarce.options._replace(limit_s=0.0)
    assert list(scarce.rounds()) == []
    assert len(scarce.details["notes"]) == 4
    assert scarce.details["notes"][-1] == "there was time for 0 of 3 rounds"


def test_batches_hold_every_text_once() -> None:
    """However they are cut; sorted ones are padded to their longest, the worker's to their bucket."""
    rows = [[7] * length for length in (3, 9, 5, 16, 2, 9)]
    for batches in (models.sorted_batches(rows, 4), models.bucket_batches(rows, (4, 16), 32, 64)):
        assert sorted(int(row.sum()) for batch in batches for row in batch.attention_mask) == sorted(map(len, rows))
    assert {batch.input_ids.shape[1] for batch in models.bucket_batches(rows, (4, 16), 32, 64)} == {4, 16}
    assert models.waste([[1] * 6, [1] * 8], (8, 16)) == pytest.approx(2 / 16)


def test_a_report_holds_what_was_finished(tmp_path: Path) -> None:
    """Figures of several scenarios under one name are put together; aims are held against what is there, and no others."""
    quix = {"messages_per_s": ONE, "tidings_to_it": ONE}
    measured: dict[str, dict[str, Any]] = {
        "overhead": {"overhead_messages_per_s": ONE},
        "peers": {"peers": {"quix": quix}},
    }
    for name, found in measured.items():
        one = Result(name, Options(out=tmp_path))
        one.figures = found
        one.save(complete=name == "overhead")
    report = book.assemble(tmp_path, ["overhead", "peers", "gpu"])
    assert {aim["path"]: aim["holds"] for aim in report["aims"]} == {
        "overhead_messages_per_s": False,
        "best_peer.tidings_to_it": True,
    }
    readme = tmp_path / "README.md"
    readme.write_text("before\n" + "\nold\n".join(book.MARKS) + "\nafter\n", encoding="utf-8")
    assert book.refresh(readme, report)
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "Tidings to the best peer, quix | 2.0 (1.0 to 3.0)" in text


def test_a_scenario_that_was_done_is_not_done_again(tmp_path: Path) -> None:
    """Unless it was not finished, or is asked for more."""
    options = Options(out=tmp_path, limit_s=60.0)
    assert not run.is_done("ceiling", options)
    Result("ceiling", options).save(complete=False)
    assert not run.is_done("ceiling", options)
    Result("ceiling", options).save(complete=True)
    assert run.is_done("ceiling", options._replace(limit_s=90.0))
    assert not run.is_done("ceiling", options._replace(rounds=9))


def test_options_survive_the_way_to_another_process() -> None:
    """As JSON."""
    options = Options(5, 2, 1.5, 60.0, Path("there"))
    assert Options.of(options.as_json()) == options


def test_a_plan_has_room_and_grows_with_the_rate() -> None:
    """Ten times the messages need ten times the workers, or one more where they are few; no part of it is nothing."""
    small, large = (planning.plan(planning.Measured(10_000, 5_000, 100), rate) for rate in (10_000, 100_000))
    assert small["score_workers"] == 3
    assert large["score_workers"] == 15
    assert all(one["simulated"]["one_worker_lost"]["caught_up_s"] < 30 for one in (small, large))
    assert min(value for value in small.values() if isinstance(value, int)) >= 1
    assert planning.plans({}) == []


def test_limits_of_all_scenarios_add_up_to_half_an_hour() -> None:
    """`make bench` is done in that time, whatever hangs."""
    assert sum(scenario.limit_s for scenario in run.SCENARIOS.values()) <= 1_860
    assert result.path_of(Path("out"), "ceiling") == Path("out/ceiling.json")


def test_a_ratio_to_nothing_is_infinite() -> None:
    """A pace of 0 is that of a round that was over before it was looked at: no reason to lose the others."""
    assert figures.ratio([1.0, 3.0], [0.0, 2.0]).as_json() == {"value": None, "spread": [1.5, None], "rounds": 2}
