import json
import random
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from training.commands import register
from training.data.prepare import Plan, prepare
from training.data.rows import Row, content_hash
from training.errors import TrainingError

LABELS = ("negative", "neutral", "positive")
STARTS, ENDS = ("am", "bi", "ce", "du", "em", "fjo", "gro", "hea"), ("ber", "dar", "let", "nol", "rry", "tty")
WORDS = [f"{first}{second}" for first in STARTS for second in ENDS]


def some_rows(count: int = 90) -> list[Row]:
    """Rows unlike each other, in groups of three."""
    some = random.Random(5)
    texts = [" ".join(some.choices(WORDS, k=14)) for _ in range(count)]
    return [Row(f"r{n}", text, LABELS[n % 3], "some", f"g{n // 3}", float(n)) for n, text in enumerate(texts)]


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def run(*arguments: str) -> Any:
    """`tidings data ...`, as it is called."""
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, ["data", *arguments])


def csv_of(path: Path, rows: list[Row]) -> Path:
    """The rows as somebody else would have written them."""
    names = {"negative": "Bad", "neutral": "So-so", "positive": "Good"}
    path.write_text("body,mood,thread\n" + "".join(f"{row.text},{names[row.label]},{row.group}\n" for row in rows), "utf-8")
    return path


MINE = ("--column", "text=body", "--column", "label=mood", "--column", "group=thread")
MOODS = ("--label", "Bad=negative", "--label", "So-so=neutral", "--label", "Good=positive")


def test_every_row_is_in_one_part_or_dropped_with_its_reason(tmp_path) -> None:
    """Two more, one a repeat and one empty: they are told apart from what is kept, by id."""
    rows = some_rows()
    more = [*rows, Row("again", rows[0].text, rows[0].label, "some", "g0", 1.0), Row("none", " ", "neutral", "some", "g1", 2.0)]
    report = prepare(more, Plan(), tmp_path / "out")
    parts = {part: read(tmp_path / "out" / f"{part}.jsonl") for part in ("train", "validation", "test")}
    assert {part: len(found) for part, found in parts.items()} == {part: report["parts"][part]["rows"] for part in parts}
    kept = [row["id"] for found in parts.values() for row in found]
    dropped = {one["id"]: one["reason"] for one in read(tmp_path / "out" / "dropped.jsonl")}
    assert dropped == {"again": "duplicate", "none": "empty"}
    assert sorted([*kept, *dropped]) == sorted(row.id for row in more)


def test_the_report_counts_and_holds_no_text(tmp_path) -> None:
    """What was read, kept and dropped adds up, nothing crosses, and the hash is that of the rows kept."""
    rows = some_rows()
    report = prepare(rows, Plan(), tmp_path / "out")
    assert (report["rows_read"], report["rows_kept"], sum(report["dropped"].values())) == (90, 90, 0)
    assert report["content_sha256"] == content_hash(rows)
    words = report["parts"]["train"]["words"]
    assert 0 < words["median"] <= words["p95"] <= words["max"]
    assert (report["crossing"]["groups_in_two_parts"], report["crossing"]["near_pairs_in_two_parts"]) == (0, 0)
    assert sum(sum(part["labels"].values()) for part in report["parts"].values()) == 90
    written = (tmp_path / "out" / "report.json").read_text("utf-8")
    assert json.loads(written) == report
    assert not any(row.text in written for row in rows)


def test_by_time_each_part_is_later_than_the_one_before(tmp_path) -> None:
    """And groups that reach over a border are left out of the later part, and counted."""
    report = prepare(some_rows(), Plan(in_time=True), tmp_path / "out")
    times = [[row["at"] for row in read(tmp_path / "out" / f"{part}.jsonl")] for part in ("train", "validation", "test")]
    assert max(times[0]) < min(times[1])
    assert max(times[1]) < min(times[2])
    assert report["left_out_of_the_split"] == 90 - sum(map(len, times))


def test_what_fails_leaves_the_folder_as_it_was(tmp_path) -> None:
    """A part that comes out empty is an error, and what was prepared before stays."""
    prepare(some_rows(), Plan(), tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(TrainingError, match="part is empty"):
        prepare(some_rows(3), Plan(), tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_the_command_prepares_a_file_of_ones_own(tmp_path) -> None:
    """Columns and labels by the options that the errors name; the report as JSON."""
    source = csv_of(tmp_path / "mine.csv", some_rows())
    done = run("prepare", str(source), "-o", str(tmp_path / "out"), *MINE, *MOODS, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["parts"]["train"]["labels"].keys() == set(LABELS)
    assert (tmp_path / "out" / "train.jsonl").is_file()


def test_the_command_shows_a_table(tmp_path) -> None:
    """Parts, labels, and where it all is."""
    source = csv_of(tmp_path / "mine.csv", some_rows())
    done = run("prepare", str(source), "-o", str(tmp_path / "out"), *MINE, *MOODS)
    assert done.exit_code == 0
    assert "validation" in done.stdout
    assert "90 of 90 rows" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (MINE, "Say it: --label Bad=negative"),
        (MOODS, "name it, as --column"),
        ((*MINE, "--label", "Bad"), "--label takes NAME=VALUE"),
        ((*MINE, *MOODS, "--by-time"), "has no time"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(tmp_path, options: tuple[str, ...], said: str) -> None:
    """And nothing is written."""
    done = run("prepare", str(csv_of(tmp_path / "mine.csv", some_rows())), "-o", str(tmp_path / "out"), *options)
    assert done.exit_code == 1
    assert said in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()
