import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import training.compress.command_line as module
import training.compress.serving
import training.compress.teacher
from tests.unit.training.builders import snippets, tiny_adapter, tiny_world
from training import gates
from training.adapter import adapter_sha256
from training.compress import commands
from training.compress.compact import load_compact
from training.compress.pruning import plain_bert
from training.compress.student import Cut, Narrow
from training.export import export, is_fresh
from training.gates import Bounds
from training.repository import ServingSpec
from training.variant import Variant


@pytest.fixture
def app() -> typer.Typer:
    """A command line with the commands of compression alone."""
    app = typer.Typer()
    commands.register(app)
    return app


@pytest.fixture
def adapter(tmp_path, monkeypatch) -> Path:
    """A random adapter of the tiny encoder, in a world of learnable texts."""
    encoder = tiny_world(monkeypatch, tmp_path / "encoder")
    for where in (module, training.compress.serving):
        monkeypatch.setattr(where, "load_snippets", snippets)
    monkeypatch.setattr(module, "build_dir", lambda: tmp_path / "build")
    return tiny_adapter(encoder, tmp_path / "adapter")


@pytest.mark.parametrize("command", ["compress", "distil"])
def test_help_shows_examples(app: typer.Typer, command: str) -> None:
    """Each command's help ends in lines to copy."""
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert f"tidings {command}" in shown.output


@pytest.fixture
def student(app: typer.Typer, adapter, tmp_path) -> Path:
    """A student of the adapter, as the command makes it, after one short lesson."""
    out: Path = tmp_path / "fast"
    extra = tmp_path / "more.txt"
    extra.write_text("the very good film\n\nthe bad vote\n")
    shape = ["--adapter", str(adapter), "--layers", "1", "--heads", "2", "--neurons", "16", "--epochs", "1"]
    arguments = ["-o", str(out), *shape, "--unrated", str(extra), "--transfer", "8"]
    made = CliRunner().invoke(app, ["distil", *arguments], catch_exceptions=False)
    assert "The student is at" in made.stdout
    assert plain_bert(load_compact(out).model.encoder).config.num_hidden_layers == 1
    return out


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_variant_is_a_point_and_a_student_is_served(app: typer.Typer, adapter, student, tmp_path) -> None:
    """Printed, written and drawn; each precision, the trimmed vocabulary, the pruned heads and the student, by its own file."""
    picture, repository = tmp_path / "plot.svg", tmp_path / "repo"
    sweeping = ["--sweep", "--adapter", str(adapter), "--student", str(student), "--rounds", "1", "--limit", "6", "--json"]
    serving = ["--plot", str(picture), "--serve", str(student), "-m", str(repository)]
    shown = CliRunner().invoke(app, ["compress", *sweeping, *serving], catch_exceptions=False)
    printed, _ = json.JSONDecoder().raw_decode(shown.stdout)
    assert printed == json.loads((tmp_path / "build" / "sweep.json").read_text())
    assert printed["texts"] == 6
    points = {point["name"]: point for point in printed["points"]}
    assert list(points) == [*(variant.value for variant in Variant), "vocabulary", "heads", "fast"]
    assert points["fp16"]["size_mb"] < points["fp32"]["size_mb"] == points["bf16"]["size_mb"]
    assert points["vocabulary"]["label_flips"] == points["fp16"]["batch_dependence"] == 0
    assert points["vocabulary"]["max_probability_difference"] < 1e-5
    assert "<svg" in picture.read_text()

    assert "fast was written" in shown.stdout
    contract = json.loads((repository / "fast" / "contract.json").read_text())
    assert (contract["model"]["name"], contract["parity"]["torch"]["labels_changed"]) == ("fast", 0)
    assert (repository / "fast" / "tokenizer.json").read_text() == load_compact(student).tokenizer


def test_int8_is_exported_if_it_passes(adapter, tmp_path, monkeypatch) -> None:
    """Through the same gates as every export; another variant in the same place is not taken for it."""
    spec = ServingSpec(variant=Variant.INT8)
    monkeypatch.setitem(gates.PARITY, Variant.INT8, Bounds(flips=0.2, gap=0.5))  # what passes for a random tiny model
    made = export(adapter, tmp_path / "repo", spec)
    sha256 = adapter_sha256(adapter)
    assert made.contract["model"]["precision"] == "int8"
    assert is_fresh(made.folder, made.contract, sha256, spec)
    for other in set(Variant) - {Variant.INT8}:
        assert not is_fresh(made.folder, made.contract, sha256, ServingSpec(variant=other))


def test_ctrl_c_keeps_the_old_student(app: typer.Typer, adapter, tmp_path, monkeypatch) -> None:
    """And leaves with 130."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "teach", interrupted)
    out = tmp_path / "students" / "fast"
    out.mkdir(parents=True)
    (out / "old").write_text("old")
    shown = CliRunner().invoke(app, ["distil", "-o", str(out), "--adapter", str(adapter), "--layers", "0", "--transfer", "0"])
    assert shown.exit_code == 130
    assert [path.name for path in out.parent.rglob("*")] == ["fast", "old"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["compress"], "--sweep"),
        (["compress", "--sweep", "--student", "nowhere"], "has no config.json"),
        (["distil", "--layers", "one"], "--layers takes numbers"),
        (["distil", "--kind", "narrow", "--layers", "0,1"], "number of layers"),
        (["distil", "--unrated", "nowhere.txt"], "cannot read nowhere.txt"),
    ],
)
def test_a_mistake_is_one_line(app: typer.Typer, adapter, arguments: list[str], named: str) -> None:
    """It names the option and, where there is one, the remedy."""
    given = [*arguments, "--adapter", str(adapter)]
    shown = CliRunner().invoke(app, given)
    assert shown.exit_code == 1
    assert named in shown.stderr.strip().splitlines()[-1]


def test_options_name_a_shape() -> None:
    """The same option is a list of layers for one kind and a number for the other."""
    assert module.student_shape("cut", "0,11", 6, 384, 256) == Cut((0, 11), 6, 384)
    assert module.student_shape("narrow", "2", 8, 1024, 256) == Narrow(2, 256, 8, 1024)
