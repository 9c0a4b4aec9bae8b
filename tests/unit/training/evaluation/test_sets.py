from pathlib import Path

import pytest

from training.errors import TrainingError
from training.evaluation.folder import MissingDataError, data_dir
from training.evaluation.sets import READERS, EvaluationSet, fingerprint, read_set, read_sets, sample, unseen
from training.examples import Example

REAL = data_dir()
"""Read here, because a test's own environment names no folder."""


def write(folder: Path, name: str, content: str) -> Path:
    """Write one file of the measuring data and return the folder."""
    path = folder / READERS[name].file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")
    return folder


def rows(*texts: str) -> EvaluationSet:
    """A set of neutral texts."""
    return EvaluationSet("mine", [Example(text, "neutral", "mine", fingerprint(text)) for text in texts])


def test_tab_separated_sets_keep_their_quotation_marks(tmp_path) -> None:
    """Tweets begin with a quotation mark and never close it; a row is a line."""
    folder = write(tmp_path, "tweeteval", 'label\ttext\nneg\t"Never again\npos\tYes!\n')
    read = read_set("tweeteval", folder)
    assert [(e.text, e.label, e.source) for e in read.examples] == [
        ('"Never again', "negative", "tweeteval"),
        ("Yes!", "positive", "tweeteval"),
    ]


def test_airline_tweets_are_broken_down_by_airline(tmp_path) -> None:
    """They come as CSV with whole words for labels, and a text may run over lines."""
    header = "tweet_id,airline_sentiment,negativereason,airline,text,tweet_created\n"
    folder = write(tmp_path, "airline", header + '1,positive,,United,"thanks,\nall",2/24/2015 11:42\n')
    (example,) = read_set("airline", folder).examples
    assert (example.text, example.label, example.source) == ("thanks,\nall", "positive", "United")


def test_one_sentence_about_two_people_is_one_group(tmp_path) -> None:
    """So the bootstrap draws it whole, and the ceiling says that one answer cannot be right for both."""
    lines = ("neg\tA blames B.\tA", "neu\tA blames B.\tB", "pos\tC won.\tC", "pos\tD won.\tD")
    read = read_set("newsmtsc", write(tmp_path, "newsmtsc", "label\ttext\ttarget\n" + "\n".join(lines)))
    assert len(read.examples) == 4
    assert len({example.group for example in read.examples}) == 3
    assert read.ceiling == 0.75


def test_what_was_trained_on_is_left_out_and_counted() -> None:
    """SST-2 writes "it 's", the ICWSM data "it's": letters and digits decide. A text without any is kept."""
    of = unseen(rows("it 's a charming journey .", "bleak", "..."), ["It's a charming journey.", "!!!"])
    assert of.texts == ["bleak", "..."]
    assert of.seen == 1


def test_a_sample_is_the_same_each_time_and_in_order() -> None:
    """Of a seed; and all rows where fewer are there than asked for."""
    of = rows(*(f"text {n}" for n in range(50)))
    drawn = sample(of, 10).texts
    assert drawn == sample(of, 10).texts == sorted(drawn, key=of.texts.index)
    assert len(drawn) == 10
    assert sample(of, 100) is of
    assert sample(of, None) is of


@pytest.mark.parametrize("line", ["sad\tThe day.", "neg\t ", "neg"])
def test_a_wrong_row_is_named(tmp_path, line: str) -> None:
    """By its file and number."""
    with pytest.raises(TrainingError, match=r"sst2/dev\.tsv: row 2"):
        read_set("sst2", write(tmp_path, "sst2", f"label\ttext\npos\tgood\n{line}\n"))


def test_errors_say_what_to_do(tmp_path) -> None:
    """A set that is not there, one that does not exist, one that is empty."""
    with pytest.raises(MissingDataError, match="set TIDINGS_DATA_DIR"):
        read_set("sst2", tmp_path)
    with pytest.raises(TrainingError, match="there are tweeteval"):
        read_set("imdb", tmp_path)
    with pytest.raises(TrainingError, match="no rows"):
        read_set("sst2", write(tmp_path, "sst2", "label\ttext\n"))


def test_the_folder_is_the_environments(monkeypatch) -> None:
    """Else it is beside the checkout."""
    monkeypatch.setenv("TIDINGS_DATA_DIR", "/elsewhere")
    assert data_dir() == Path("/elsewhere")
    monkeypatch.delenv("TIDINGS_DATA_DIR")
    assert data_dir().parts[-2:] == ("shared", "data")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the measuring data is not at {REAL}; it is no part of the repository")
def test_the_real_sets_have_the_rows_that_are_known_of_them() -> None:
    """Counts of the data folder's README; two labels in SST-2."""
    counts = {of.name: len(of.examples) for of in read_sets(REAL)}
    assert counts == {
        "tweeteval": 2000,
        "twitter_financial": 9543,
        "newsmtsc": 8739,
        "newsmtsc_mt": 1476,
        "sst2": 872,
        "airline": 8464,
    }
    assert {example.label for example in read_set("sst2", REAL).examples} == {"negative", "positive"}
