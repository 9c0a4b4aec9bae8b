import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import training.command_line
import training.commands
import training.evaluation.run
from tests.unit.training.builders import snippets, tiny_adapter, tiny_world

SETS = {
    "tweeteval/val.tsv": "label\ttext\nneg\tthe vote is bad\npos\tgood\nneu\tthe film\n",
    "twitter_financial/train.tsv": "label\ttext\nneg\tbad\npos\tvery good\nneu\tplain\n",
    "newsmtsc/train.tsv": "label\ttext\ttarget\nneg\tthe bad vote\tvote\nneu\tthe bad vote\tday\npos\tthe good day\tday\n",
    "newsmtsc/mt.tsv": "label\ttext\ttarget\nneg\tthe bad vote\tvote\npos\tgood\tday\nneu\tday\tday\n",
    "sst2/dev.tsv": "label\ttext\nneg\tthe film is bad\npos\tthe film is very very good\n",
    "airline/tweets.csv": "airline_sentiment,airline,text\nnegative,United,bad\npositive,Delta,good\nneutral,Delta,plain\n",
    "agnews/test.tsv": "".join(
        f"the {topic} day {n}\t{topic}\n" for topic in ("World", "Sports", "Business") for n in range(3)
    ),
}


@pytest.fixture
def evaluate(tmp_path, monkeypatch):
    """Runs `tidings evaluate` on a random adapter of the tiny encoder; returns what was shown and the report, if any."""
    encoder = tiny_world(monkeypatch, tmp_path / "encoder")
    run = training.evaluation.run
    monkeypatch.setattr(run, "load_snippets", snippets)
    monkeypatch.setattr(run, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(training.command_line, "build_dir", lambda: tmp_path / "build")
    monkeypatch.setenv("TIDINGS_DATA_DIR", str(tmp_path / "data"))
    adapter = tiny_adapter(encoder, tmp_path / "adapter")
    app = typer.Typer()
    training.commands.register(app)
    app.command("other")(lambda: None)  # with one command alone typer would leave out its name

    def evaluated(*arguments: str):
        shown = CliRunner().invoke(app, ["evaluate", "--model", "torch", "--adapter", str(adapter), *arguments])
        path = tmp_path / "build" / "report.json"
        return shown, json.loads(path.read_text()) if path.is_file() else None

    return evaluated


def write_sets(folder: Path) -> None:
    """Write tiny files of the measuring data."""
    for name, content in SETS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, "utf-8")


def test_everything_is_measured_in_one_run_with_the_baselines_beside(evaluate, tmp_path) -> None:
    """All sets, the topics, fairness; what is printed as JSON is what is written; pictures where they were asked for."""
    write_sets(tmp_path / "data")
    shown, report = evaluate("--outside", "--topics", "--fairness", "--plot", str(tmp_path / "plots"), "--json")
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout) == report
    assert set(report["variants"]) == {"torch", "vader", "textblob", "head-only"}
    assert next(iter(report["sets"])) == "icwsm"
    assert len(report["sets"]) == 7
    assert report["sets"]["newsmtsc"]["accuracy_ceiling"] == pytest.approx(2 / 3)
    assert report["topics"]["rows"] == 9
    assert set(report["variants"]["torch"]["fairness"]) >= {"names", "religion"}
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"reliability.svg", "variants.svg"}


def test_rows_that_were_trained_on_are_left_out(evaluate, tmp_path) -> None:
    """A sentence of the training split, with other spaces and punctuation, is not measured on."""
    write_sets(tmp_path / "data")
    trained_on = next(s.text for s in snippets() if s.split.value == "train")
    (tmp_path / "data" / "sst2" / "dev.tsv").write_text(f"label\ttext\npos\t{trained_on} .\nneg\tthe bad film\npos\tgood\n")
    _, report = evaluate("--outside", "--no-baselines", "--json")
    assert report["sets"]["sst2"] == {"rows": 2, "left_out_as_trained_on": 1, "accuracy_ceiling": 1.0}


def test_a_set_that_was_trained_on_whole_is_left_out_with_a_word(evaluate, tmp_path) -> None:
    """There is nothing to measure on it, and the others are measured."""
    write_sets(tmp_path / "data")
    trained_on = next(s.text for s in snippets() if s.split.value == "train")
    (tmp_path / "data" / "sst2" / "dev.tsv").write_text(f"label\ttext\npos\t{trained_on}\n")
    shown, report = evaluate("--outside", "--no-baselines")
    assert "sst2" not in report["sets"]
    assert "Leaving out sst2: every text of it was trained on" in shown.stderr


def test_a_persons_own_file_is_the_home_set(evaluate, tmp_path) -> None:
    """Under its own name, sampled as the others are."""
    (tmp_path / "mine.tsv").write_text("text\tlabel\n" + "the day is good\tpositive\nthe film is bad\tnegative\n" * 5)
    _, report = evaluate("--fairness", "--no-baselines", "--rows", "4", "--input", str(tmp_path / "mine.tsv"))
    assert {name: note["rows"] for name, note in report["sets"].items()} == {"mine": 4}
    _, report = evaluate("--fairness", "--no-baselines", "--split", "validation")
    assert set(report["sets"]) == {"icwsm validation"}
    assert report["variants"]["torch"]["abroad"] == {}


@pytest.mark.parametrize("option", ["--outside", "--behaviour", "--topics"])
def test_without_the_measuring_data_the_error_is_one_line(evaluate, option: str) -> None:
    """Before any minute of work; it says what to set."""
    shown, report = evaluate(option)
    assert shown.exit_code == 1
    assert len(shown.stderr.strip().splitlines()) == 1
    assert "set TIDINGS_DATA_DIR" in shown.stderr
    assert report is None


def test_a_precision_that_no_confidence_holds_is_an_error(evaluate) -> None:
    """A random model is never right nine times of ten: the line cannot be drawn, and nothing is written."""
    shown, report = evaluate("--review", "0.9", "--no-baselines")
    assert shown.exit_code == 1
    assert "no confidence holds a precision of 0.9" in shown.stderr
    assert report is None
