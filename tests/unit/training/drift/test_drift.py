import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.support.tiny_versions import write_model
from tests.unit.training.builders import snippets
from training.data.records import Record
from training.drift import commands, snapshot
from training.drift.features import compare, sample
from training.drift.statistics import Limits
from training.errors import TrainingError
from worker.cli import build

WORDS = ("the", "market", "is", "calm", "and", "nobody", "sells", "today", "as", "far", "we", "know")


def rows(count: int, words: int = 8, negative: float = 0.3, seed: int = 0, **fields: Any) -> list[dict[str, Any]]:
    """Texts of about so many words, of which this share is said to be negative."""
    draw = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        text = " ".join(draw.choice(WORDS, size=words + int(draw.integers(0, 4))))
        label = "negative" if draw.random() < negative else "neutral"
        confidence = float(draw.uniform(0.5, 0.9))
        probabilities = dict.fromkeys(("negative", "neutral", "positive"), (1 - confidence) / 2) | {label: confidence}
        made.append({"text": text, "lang": "en", "label": label, "probabilities": probabilities, **fields})
    return made


def write(path: Path, lines: list[dict[str, Any]]) -> str:
    """Write JSONL; returns the path for the command line."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def drifted(live: list[dict[str, Any]]) -> set[str]:
    """The features that have drifted from plain rows."""
    parts = [sample(Record(f"row {n}", n, line) for n, line in enumerate(side)) for side in (rows(400), live)]
    return {one.feature for one in compare(parts[0], parts[1], Limits()) if one.drifted}


@pytest.mark.parametrize(
    ("live", "features"),
    [
        (rows(400, seed=1), set()),
        (rows(400, seed=1, words=20), {"words", "characters"}),
        (rows(400, seed=1, negative=0.7), {"label"}),
        (rows(400, seed=1, lang="de"), {"language"}),
        ([row | {"probabilities": [0.34, 0.33, 0.33]} for row in rows(400, seed=1)], {"confidence"}),
        ([row | {"text": row["text"].upper()} for row in rows(400, seed=1)], {"share of capitals"}),
    ],
)
def test_what_moved_is_found_and_nothing_else(live: list[dict[str, Any]], features: set[str]) -> None:
    """Each change by the feature that it is of."""
    assert drifted(live) == features


def test_a_new_subject_is_seen_by_its_embeddings() -> None:
    """Where both sides have them."""
    draw = np.random.default_rng(0)
    near = [{"embedding": (np.eye(8)[0] + draw.normal(0, 0.2, 8)).tolist()} for _ in range(200)]
    far = [{"embedding": (np.eye(8)[1] + draw.normal(0, 0.2, 8)).tolist()} for _ in range(200)]
    known, other, same = (sample(Record("row", 1, line) for line in part) for part in (near[:100], far, near[100:]))
    assert [one.drifted for one in compare(known, other, Limits())] == [True]
    assert [one.drifted for one in compare(known, same, Limits())] == [False]


def test_a_wrong_field_and_nothing_in_common_are_told() -> None:
    """With the line; and too few rows are nothing in common."""
    with pytest.raises(TrainingError, match="row 7: a field is not what its name says"):
        sample([Record("row 7", 7, {"probabilities": "high"})])
    few = sample(Record("row", 1, line) for line in rows(20))
    with pytest.raises(TrainingError, match="no field in common of which each has 30 rows"):
        compare(few, few, Limits())


def test_the_command_says_so_by_table_json_and_exit_code(tmp_path: Path) -> None:
    """0 when all is as it was, 3 when something moved, 1 for an error in one line."""
    before = write(tmp_path / "before.jsonl", rows(200))
    same, moved = write(tmp_path / "same.jsonl", rows(200, seed=3)), write(tmp_path / "moved.jsonl", rows(200, negative=0.8))
    run = CliRunner().invoke
    assert run(build(), ["drift", same, "--reference", before]).exit_code == 0
    told = run(build(), ["drift", moved, "--reference", before, "--json"])
    assert told.exit_code == commands.DRIFTED
    report = json.loads(told.stdout)
    assert (report["drifted"], report["features"][0]["feature"]) == (True, "label")
    table = run(build(), ["drift", moved, "--reference", before])
    assert "label" in table.stdout
    assert run(build(), ["drift", str(tmp_path / "none.jsonl"), "--reference", before]).exit_code == 1


def test_the_snapshot_is_the_validation_split_as_the_model_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made once for a model, without a text in it."""
    folder = write_model(tmp_path / "sentiment")
    said: list[str] = []
    monkeypatch.setattr(snapshot, "load_snippets", lambda: snippets(600))
    monkeypatch.setattr(snapshot, "build_dir", lambda: tmp_path / "build")
    made = snapshot.read_or_make(folder, said.append)
    again = snapshot.read_or_make(folder, said.append)
    assert again == made
    assert len(said) == 1
    assert made.numbers.keys() >= {"words", "confidence"}
    (file,) = (tmp_path / "build" / "snapshots").iterdir()
    assert "film" not in file.read_text()
