import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value  # type: ignore[import-untyped]

from training.data.columns import Columns, resolve
from training.data.reading import read_rows
from training.data.rows import content_hash
from training.errors import TrainingError

TEXTS = ["bad, bad day", 'a "plain" one', "good day 🎉"]
LABELS = ["negative", "neutral", "positive"]
SHORT = ["neg", "neu", "pos"]


def write(folder, kind: str):
    """The three texts in one format; the path to read."""
    path = folder / f"mine.{kind}"
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, SHORT, strict=True)]
    if kind == "csv":
        path.write_text(
            "text,label\n" + "".join('"' + t.replace('"', '""') + f'",{s}\n' for t, s in zip(TEXTS, SHORT, strict=True))
        )
    elif kind == "tsv":
        path.write_text("text\tlabel\n" + "".join(f"{t}\t{s}\n" for t, s in zip(TEXTS, SHORT, strict=True)))
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "saved":
        features = Features({"text": Value("string"), "label": ClassLabel(names=SHORT)})
        part = Dataset.from_dict({"text": TEXTS, "label": [0, 1, 2]}, features=features)
        DatasetDict({"train": part.select([0, 1]), "test": part.select([2])}).save_to_disk(path)
    else:
        path.mkdir()
        (path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "saved", "loadable"])
def test_every_format_gives_the_same_rows(kind: str, tmp_path) -> None:
    """Texts to the letter, labels under our names, whatever they were written in."""
    rows = read_rows(write(tmp_path, kind))
    assert [row.text for row in rows] == TEXTS
    assert [row.label for row in rows] == LABELS
    assert len({row.group for row in rows}) == 3


def test_columns_are_found_by_name_or_told(tmp_path) -> None:
    """A guess where it is plain, an option where it is not; times in three ways of writing."""
    path = tmp_path / "reviews.jsonl"
    rows = [
        {"Sentence": "one", "words": "fine", "stars": 5, "user": "u1", "date": "2024-05-01T00:00:00Z"},
        {"Sentence": "two", "words": "so", "stars": 3, "user": "u1", "date": "2024-05-01"},
        {"Sentence": "three", "words": "no", "stars": 1, "user": "u2", "date": 1714521600000},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    read = read_rows(path, Columns(middle=3))
    assert [(row.label, row.group, row.at) for row in read] == [
        ("positive", "u1", 1714521600.0),
        ("neutral", "u1", 1714521600.0),
        ("negative", "u2", 1714521600.0),
    ]
    assert [row.text for row in read_rows(path, Columns({"text": "words"}, middle=3))] == ["fine", "so", "no"]


def test_numbers_as_labels_must_be_explained(tmp_path) -> None:
    """0 is negative in one set and neutral in another: nobody guesses."""
    path = tmp_path / "mine.csv"
    path.write_text("text,label\nbad,0\ngood,1\n")
    with pytest.raises(TrainingError, match="--label 0=negative"):
        read_rows(path)
    assert [row.label for row in read_rows(path, Columns(labels={"0": "negative", "1": "positive"}))] == [
        "negative",
        "positive",
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "text,label\ngood,pos\nbad,odd\n", "a.csv:3, column label"),
        ("a.csv", "text,label\ngood,pos,more\n", "a.csv:2: 3 fields"),
        ("a.csv", 'text,label\n"good,pos\n', "a.csv:2: unexpected end"),
        ("a.csv", "words,label\ngood,pos\n", "--column text=NAME; there are words, label"),
        ("a.csv", "text,mood\ngood,pos\n", "--column label=NAME"),
        ("a.csv", "text,rating\ngood,pos\n", "a.csv:2, column rating: a rating must be a number"),
        ("a.csv", "text,rating\ngood,nan\n", "a rating must be a number"),
        ("a.csv", "text,label\ngood,\n", "there is no label"),
        ("a.csv", "text,label,date\ngood,pos,2/24/2015\n", "--time-format"),
        ("a.csv", "text,label\n", "has no rows"),
        ("a.jsonl", '{"text": "good", "label": "pos"}\n{"text"\n', "a.jsonl:2: not JSON"),
        ("a.jsonl", "[1]\n", "a.jsonl:1: a list"),
        ("a.parquet", "PAR0", "cannot be read as Parquet"),
        ("a.xls", "", "must end in .csv"),
    ],
)
def test_errors_name_line_field_and_remedy(name: str, content: str, said: str, tmp_path) -> None:
    """One line that says where and what to do."""
    (tmp_path / name).write_text(content)
    with pytest.raises(TrainingError) as caught:
        read_rows(tmp_path / name)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_utf8_or_not_there_is_said(tmp_path) -> None:
    """With what to do about it."""
    (tmp_path / "old.csv").write_bytes("text,label\ncafé,pos\n".encode("latin-1"))
    with pytest.raises(TrainingError, match=r"old\.csv is not UTF-8 .* iconv"):
        read_rows(tmp_path / "old.csv")
    with pytest.raises(TrainingError, match="No such file"):
        read_rows(tmp_path / "none.csv")


def test_options_that_cannot_be_are_refused() -> None:
    """A field or a label that there is not."""
    with pytest.raises(TrainingError, match="colour"):
        Columns(names={"colour": "x"})
    with pytest.raises(TrainingError, match="happy"):
        Columns(labels={"5": "happy"})
    with pytest.raises(TrainingError, match="no column 'x'"):
        resolve(Columns(names={"text": "x"}), ["text", "label"], "a.csv")


def test_the_hash_follows_the_content_not_the_order(tmp_path) -> None:
    """The same rows in another order are the same set; another label is another."""
    rows = read_rows(write(tmp_path, "csv"))
    assert content_hash(rows) == content_hash(rows[::-1])
    assert content_hash(rows) != content_hash(rows[1:])
