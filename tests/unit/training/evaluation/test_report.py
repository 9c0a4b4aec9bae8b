import io
import json

import pytest
from rich.console import Console

from tests.unit.training.evaluation.builders import small_report
from training.evaluation.plots import draw
from training.evaluation.report import Report, as_json
from training.evaluation.tables import show


@pytest.fixture(scope="module")
def report() -> Report:
    """A small report, made once."""
    return small_report()


def test_every_variant_has_every_figure_of_the_aims(report: Report) -> None:
    """Under the names that the aims are stated in, by variant and by set."""
    content = json.loads(json.dumps(as_json(report)))
    assert set(content["variants"]) == {"words", "blind"}
    variant = content["variants"]["words"]
    for name in ("size_mb", "texts_per_s", "label_flips", "max_probability_difference", "batch_dependence"):
        assert name in variant
    assert variant["checklist_failure_rate"] == {"Vocabulary": 0.5}
    for name in ("macro_f1", "macro_f1_ci95", "accuracy", "ece", "per_class", "confusion", "sources", "lengths", "reliability"):
        assert name in variant["sets"]["icwsm"]
    assert content["sets"]["films"] == {"rows": 3, "left_out_as_trained_on": 1, "accuracy_ceiling": 1.0}


def test_abroad_is_all_but_the_first_set(report: Report) -> None:
    """Its mean macro-F1; its mean calibration error only where there is one."""
    words, blind = report.variants["words"], report.variants["blind"]
    assert words.abroad["macro_f1"] == words.sets["films"].overall.macro_f1
    assert words.abroad["ece"] == words.sets["films"].overall.ece
    assert blind.abroad == {"macro_f1": 0.0, "ece": None}


def test_two_labels_tell_what_a_choice_between_them_scores(report: Report) -> None:
    """A list that always says neutral gets one of two right when it may not."""
    films = report.variants["blind"].sets["films"]
    assert films.overall.accuracy == 0.0
    assert films.forced is not None
    assert films.forced.accuracy == pytest.approx(1 / 3)


def test_tables_show_all_variants_and_what_was_left_out(report: Report) -> None:
    """On 80 columns, with the sets, CheckList, fairness and cost."""
    console = Console(file=io.StringIO(), width=80)
    show(report, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for words in ("icwsm", "mean abroad", "Vocabulary", "plain words", "nationality", "by neighbours", "blind", "≤16"):
        assert words in shown
    assert "Rows left out because they were trained on: 1 of icwsm, 1 of films." in shown
    assert "3 cases are no texts" in shown
    assert max(len(line) for line in shown.splitlines()) <= 80


def test_pictures_are_drawn(report: Report, tmp_path) -> None:
    """One diagram a set, titled with its calibration error, and a disc a variant with its size."""
    reliability, variants = (path.read_text() for path in draw(report, tmp_path))
    assert "<svg" in reliability
    assert reliability.count("ECE") == 2
    assert "words, 1 MB" in variants
    assert "blind" in variants
