import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import training.data.commands
from tests.unit.training.builders import tiny_encoder, tokenizer_file
from training.data import LABELS
from training.data.rows import Row, to_json
from training.data.suspects import out_of_fold, suspects
from training.errors import TrainingError


def world(count: int = 150, wrong: int = 6):
    """Rows in three clouds of embeddings, the first few of them under a label that is not their cloud's."""
    draw = np.random.default_rng(3)
    true = np.arange(count) % 3
    embeddings = (np.eye(3)[true] * 4 + draw.normal(size=(count, 3))).astype(np.float32)
    given = [LABELS[(label + 1) % 3] if n < wrong else LABELS[label] for n, label in enumerate(true)]
    rows = [Row(f"r{n}", f"text {n}", label, "here", f"g{n // 2}") for n, label in enumerate(given)]
    return rows, embeddings, [LABELS[label] for label in true]


def test_wrong_labels_are_found_and_named() -> None:
    """All that were turned, with the label they had before, and few others."""
    rows, embeddings, true = world()
    found = suspects(rows, embeddings)
    turned = {f"r{n}" for n in range(6)}
    assert turned <= {one.row.id for one in found[:8]}
    assert len(found) <= 16
    assert all(one.likely == true[int(one.row.id[1:])] for one in found if one.row.id in turned)


def test_the_most_doubtful_come_first() -> None:
    """By how probable the label that they have was found."""
    rows, embeddings, _ = world()
    confidences = [one.confidence for one in suspects(rows, embeddings)]
    assert confidences == sorted(confidences)


def test_a_row_is_judged_without_its_group() -> None:
    """Two copies in one group cannot vouch for each other's wrong label."""
    rows, embeddings, _ = world(wrong=0)
    labels = np.array([LABELS.index(row.label) for row in rows])
    embeddings[0] = embeddings[1] = np.array([40.0, 0.0, 0.0])
    labels[0] = labels[1] = 2
    together = out_of_fold(labels, embeddings, [row.group for row in rows])
    assert together[0, 2] < 0.1


@pytest.mark.parametrize("count", [3, 12])
def test_too_few_rows_to_judge_by_are_told(count: int) -> None:
    """Rather than doubted by chance."""
    rows, embeddings, _ = world(count, wrong=0)
    with pytest.raises(TrainingError, match="5 groups and 5 rows of each label"):
        suspects(rows, embeddings)


def test_the_command_writes_what_it_doubts_and_changes_nothing(tmp_path) -> None:
    """Into the folder itself; the terminal has the first of them."""
    (tmp_path / "encoder").mkdir()
    tiny_encoder(tmp_path / "encoder")
    (tmp_path / "encoder" / "tokenizer.json").write_text(tokenizer_file())
    words = {"bad": "negative", "plain": "neutral", "good": "positive"}
    told = [(word, label) for _ in range(12) for word, label in words.items()]
    rows = [Row(f"r{n}", f"the day {n} is {word}", label, "here", f"g{n}") for n, (word, label) in enumerate(told)]
    rows[4] = Row("r4", rows[4].text, "negative", "here", "g4")
    for part, some in (("train", rows[:24]), ("validation", rows[24:30]), ("test", rows[30:])):
        (tmp_path / f"{part}.jsonl").write_text("".join(to_json(row) + "\n" for row in some))
    before = (tmp_path / "train.jsonl").read_bytes()
    app = typer.Typer()
    training.data.commands.register(app)
    app.command("other")(lambda: None)
    command = ["data", "suspects", str(tmp_path), "--encoder", str(tmp_path / "encoder"), "--json"]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    lines = [json.loads(line) for line in (tmp_path / "suspects.jsonl").read_text().splitlines()]
    assert lines[0]["id"] == "r4"
    assert (lines[0]["label"], lines[0]["likely"]) == ("negative", "neutral")
    assert (tmp_path / "train.jsonl").read_bytes() == before
