import pytest

from tests.unit.training.builders import snippets
from training.errors import TrainingError
from training.examples import Example, from_snippets, read_examples


def file(tmp_path, content: str):
    """A file of this content."""
    path = tmp_path / "mine.tsv"
    path.write_text(content, encoding="utf-8")
    return path


def test_labels_and_sources_are_read(tmp_path) -> None:
    """The columns may come in any order."""
    path = file(tmp_path, 'label\tsource\ttext\tgroup\nnegative\tdesk\tA "bad" day\td-1\n')
    assert read_examples(path) == [Example('A "bad" day', "negative", "desk", "d-1")]


def test_ratings_become_labels(tmp_path) -> None:
    """With the threshold of the training data; the file's name is the source, each line a group."""
    path = file(tmp_path, "text\trating\nfine\t0.5\nso so\t0.4\n")
    assert [(e.label, e.source) for e in read_examples(path)] == [("positive", "mine"), ("neutral", "mine")]
    assert len({e.group for e in read_examples(path)}) == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no rows"),
        ("words\tlabel\na\tneutral\n", ":2: no column holds the text.*an option of `tidings data prepare`"),
        ("text\tlabel\n", "no rows"),
        ("text\tlabel\na\tawful\n", ":2, column label: what does 'awful' mean"),
        ("text\trating\na\tawful\n", ":2, column rating: a rating must be a number"),
        ("text\tlabel\nfine\tpositive\n \tneutral\n", "the text of row 2 is empty"),
        ("text\tlabel\nfine\n", ":2: 1 fields, where the header names 2"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path, content: str, reason: str) -> None:
    """A person can put it right from the message."""
    with pytest.raises(TrainingError, match=reason):
        read_examples(file(tmp_path, content))


def test_a_missing_file_is_an_error_of_one_line(tmp_path) -> None:
    """No traceback for a typing mistake."""
    with pytest.raises(TrainingError, match=r"cannot read .*none\.tsv"):
        read_examples(tmp_path / "none.tsv")


def test_snippets_keep_source_and_group() -> None:
    """What the breakdown and the bootstrap go by."""
    [first, *_] = snippets(4)
    assert from_snippets([first]) == [Example(first.text, first.label, first.source.value, first.group)]


def test_other_formats_are_read_too(tmp_path) -> None:
    """Whatever `tidings data prepare` reads can be evaluated on, by the same names of labels."""
    path = tmp_path / "mine.jsonl"
    path.write_text('{"sentence": "fine", "sentiment": "pos", "thread": 7}\n')
    assert read_examples(path) == [Example("fine", "positive", "mine", "7")]
