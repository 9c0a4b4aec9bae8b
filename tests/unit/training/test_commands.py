import importlib
import importlib.util
import json
import random
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

import training.all_models
import training.command_line
import training.commands
import training.compress.command_line
import training.evaluation.run
import training.makers
from tests.unit.training.builders import snippets, tiny_adapter, tiny_world
from training.compress.student import Cut
from training.errors import TrainingError


@pytest.fixture
def app() -> typer.Typer:
    """A command line with the commands of training alone."""
    app = typer.Typer()
    training.commands.register(app)
    return app


@pytest.fixture
def adapter(tmp_path, monkeypatch):
    """A random adapter of the tiny encoder, in a world of learnable texts."""
    monkeypatch.setattr(training.command_line, "build_dir", lambda: tmp_path / "build")
    return tiny_adapter(tiny_world(monkeypatch, tmp_path / "encoder"), tmp_path / "adapter")


@pytest.mark.parametrize("command", ["train", "evaluate", "export"])
def test_help_shows_examples(app: typer.Typer, command: str) -> None:
    """Each command's help ends in lines to copy."""
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert f"tidings {command}" in shown.output


def test_the_commands_load_without_torch() -> None:
    """`tidings --help` must not wait for heavy libraries."""
    code = "import sys, training.commands; print([m for m in ('torch', 'transformers', 'onnx') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_fresh_export_loads_without_torch() -> None:
    """The demo asks on every start; nothing heavy is loaded to answer that all is there."""
    code = "import sys, training.export; print('torch' in sys.modules or 'onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_data_loads_without_torch() -> None:
    """The demo replays the snippets where training is not installed."""
    code = "import sys; sys.modules.update(torch=None, numpy=None); import training.data"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_extra_the_commands_are_left_out(monkeypatch) -> None:
    """ImportError is how the command line learns of it; the message says what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "peft" else object())
    with pytest.raises(ImportError, match=r"tidings\[train\]"):
        importlib.reload(training.commands)
    monkeypatch.undo()
    importlib.reload(training.commands)


def test_evaluate_prints_json_and_writes_it(app: typer.Typer, adapter, tmp_path) -> None:
    """The same object on standard output and in build/training/evaluation.json."""
    arguments = ["evaluate", "--model", "torch", "--adapter", str(adapter), "--json"]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    printed = json.loads(shown.stdout)
    assert printed == json.loads((tmp_path / "build" / "evaluation.json").read_text())
    assert set(printed["parts"]) == {"overall", "amazon", "movies", "nyt", "tweets"}


def test_evaluate_takes_a_persons_file(app: typer.Typer, adapter, tmp_path) -> None:
    """In place of the split, with the file's name as its source, on the exported model."""
    (tmp_path / "mine.tsv").write_text("text\tlabel\nthe day is good\tpositive\nthe film is bad\tnegative\n")
    shown = CliRunner().invoke(app, ["evaluate", "--adapter", str(adapter), "--input", str(tmp_path / "mine.tsv")])
    assert shown.exit_code == 0, shown.output
    assert "mine" in shown.stdout


def test_export_says_what_it_wrote(app: typer.Typer, adapter, tmp_path) -> None:
    """And the second time that there was nothing to do."""
    arguments = ["export", "--adapter", str(adapter), "--model-repository", str(tmp_path / "repo")]
    first, second = (CliRunner().invoke(app, arguments) for _ in range(2))
    assert "was written" in first.stdout
    assert "is up to date" in second.stdout


def test_a_mistake_is_one_line_and_exit_code_1(app: typer.Typer, tmp_path) -> None:
    """No traceback for a wrong path."""
    shown = CliRunner().invoke(app, ["export", "--adapter", str(tmp_path), "-m", str(tmp_path / "repo")])
    assert shown.exit_code == 1
    assert len(shown.stderr.strip().splitlines()) == 1
    assert shown.stderr.startswith("tidings: ")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A recipe for the tiny world, in a file."""
    monkeypatch.setattr(training.command_line, "build_dir", lambda: tmp_path / "build")
    tiny_world(monkeypatch, tmp_path / "encoder")
    file = tmp_path / "small.json"
    file.write_text('{"epochs": 1, "batch_size": 8, "lora_rank": 2, "lora_alpha": 4, "bf16": false}')
    return file


def test_ctrl_c_is_exit_code_130(app: typer.Typer, small, monkeypatch, tmp_path) -> None:
    """And nothing is left of the run."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training.makers, "finetune", interrupted)
    shown = CliRunner().invoke(app, ["train", "--recipe", str(small), "--out", str(tmp_path / "out" / "adapter")])
    assert shown.exit_code == 130
    assert list((tmp_path / "out").iterdir()) == []


def test_training_takes_a_recipe_and_single_values(app: typer.Typer, small, tmp_path) -> None:
    """The file first, then what is set; the whole recipe lies beside the result, and no checkpoint does."""
    command = ["train", "--recipe", str(small), "--set", "method=head", "--set", "seed=3", "--out", str(tmp_path / "out" / "a")]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    recipe = json.loads((tmp_path / "out" / "a" / "recipe.json").read_text())
    assert (recipe["method"], recipe["seed"], recipe["batch_size"]) == ("head", 3, 8)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def test_your_own_data_is_trained_on(app: typer.Typer, small, tmp_path) -> None:
    """What `tidings data prepare` made of a file, under its own name in the card; and on from there, telling of both."""
    draw = random.Random(3)
    words = {"good": "positive", "bad": "negative", "plain": "neutral"}
    lines = []
    for word, label in [pair for _ in range(40) for pair in words.items()]:
        text = " ".join([*(f"{draw.randrange(16**6):06x}" for _ in range(6)), "is", word])
        lines.append(json.dumps({"text": text, "label": label, "lang": "en"}))
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    prepared = CliRunner().invoke(app, ["data", "prepare", str(tmp_path / "mine.jsonl"), "--out", str(tmp_path / "mine")])
    assert prepared.exit_code == 0, prepared.output
    command = ["train", "--recipe", str(small), "--data", str(tmp_path / "mine"), "--out", str(tmp_path / "b")]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    card = (tmp_path / "b" / "README.md").read_text()
    assert "mine" in card
    assert "ICWSM" not in card

    shown = CliRunner().invoke(app, [*command[:-1], str(tmp_path / "c"), "--from", str(tmp_path / "b")])
    assert shown.exit_code == 0, shown.output
    measured = json.loads((tmp_path / "c" / "metrics.json").read_text())
    assert list(measured["changes"]) == ["icwsm-2014, old", "mine, new"]
    for name, change in measured["changes"].items():
        assert change["change"] == pytest.approx(change["after"] - change["before"])
        assert f"On {name} ({change['rows']:,} rows): macro-F1 {change['before']:.3f} before" in shown.stderr
        assert f"| {name} | {change['rows']:,} |" in (tmp_path / "c" / "README.md").read_text()
    assert measured["changes"]["mine, new"]["after"] == pytest.approx(measured["test"]["parts"]["overall"]["model"]["macro_f1"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "epochs"], "expected name=value"),
        (["--set", "epoch=2"], "unknown field 'epoch'"),
        (
            ["--recipe", "nowhere"],
            "no recipe nowhere: give the path of a JSON file, or one of entities, lora, sentiment, topics",
        ),
        (["--data", "nowhere"], "was not made by `tidings data prepare`"),
        (["--resume"], "leave out --resume"),
        (["--set", "task=topics"], "the task topics needs labelled texts of yours: --data FILE"),
        (["--set", "task=topics", "--data", "x.jsonl", "--shots", "8"], "are for sentiment; topics are learned from a whole"),
        (["--set", "task=mood"], "task is 'mood', where one of sentiment, topics, entities belongs"),
    ],
)
def test_what_cannot_be_trained_is_answered_in_one_line(app: typer.Typer, small, options: list[str], message: str) -> None:
    """Before the first step."""
    shown = CliRunner().invoke(app, ["train", "--recipe", str(small), *options])
    assert shown.exit_code == 1
    assert message in shown.output


def refuse(*_: object) -> None:
    """In place of what is not to be done again."""
    raise TrainingError("measured before")


def test_all_models_are_trained_once_and_measured_together(app: typer.Typer, small, tmp_path, monkeypatch) -> None:
    """The second time nothing is trained; the report has each model, all exports of the first, or why not, and its student."""
    monkeypatch.setenv("TIDINGS_DATA_DIR", str(tmp_path / "nowhere"))
    for module in (training.evaluation.run, training.all_models, training.compress.command_line):
        monkeypatch.setattr(module, "load_snippets", snippets)
    monkeypatch.setattr(training.all_models, "SHAPE", Cut((0, 1), heads=2, neurons=16))
    monkeypatch.setattr(training.all_models, "TRANSFER", 10)
    monkeypatch.setattr(training.evaluation.run, "cache_dir", lambda: tmp_path / "cache")
    (tmp_path / "other.json").write_text(small.read_text().replace("{", '{"method": "head", ', 1))
    command = [
        "train-all",
        str(small),
        str(tmp_path / "other.json"),
        "fast",
        "--out",
        str(tmp_path / "models"),
        "--rows",
        "12",
        "--json",
    ]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    with monkeypatch.context() as patch:  # to measure again would show nothing, and take as long again
        patch.setattr(training.all_models, "evaluate", refuse)
        second = CliRunner().invoke(app, command)
    assert "trained already" in second.output
    assert "taught already" in second.output
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["fast", "other", "small"]
    report = json.loads((tmp_path / "build" / "report.json").read_text())
    assert {"small, exported", "small", "other", "fast", "vader", "textblob", "head-only"} <= set(report["variants"])
    exports = {f"small, exported as {variant}" for variant in ("fp16", "bf16", "int8")}
    assert exports <= set(report["variants"]) | set(report["refused"])
    assert all("labels changed" in why for why in report["refused"].values())
    assert report["variants"]["small, exported"]["label_flips"] == 0.0


def test_runs_are_put_side_by_side(app: typer.Typer, small, tmp_path) -> None:
    """By their figures, with the choices in which they differ and no others."""
    for seed in (1, 2):
        command = ["train", "--recipe", str(small), "--set", f"seed={seed}", "--out", str(tmp_path / "runs" / f"seed-{seed}")]
        assert CliRunner().invoke(app, command).exit_code == 0
    shown = CliRunner().invoke(app, ["runs", str(tmp_path / "runs")])
    assert shown.exit_code == 0, shown.output
    assert "seed-1" in shown.output
    assert "batch_size" not in shown.output
    listed = json.loads(CliRunner().invoke(app, ["runs", str(tmp_path / "runs"), "--json"]).output)
    assert {run["recipe"]["seed"] for run in listed} == {1, 2}
    nothing = CliRunner().invoke(app, ["runs", str(tmp_path / "none")])
    assert "no finished run in" in nothing.output
