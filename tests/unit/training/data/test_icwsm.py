import hashlib
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data import (
    ARCHIVE_SHA256,
    LABELS,
    RawSnippet,
    Source,
    Split,
    assign,
    committed_manifest,
    fetch_archive,
    label_of,
    load_snippets,
    manifest,
    merge_groups,
    normalise,
    of_split,
    parse,
    read_archive,
    split_of,
)
from training.errors import TrainingError


def row(group: str = "nyt-1", text: str = "a text", rating: float = 0.0, number: str = "1") -> RawSnippet:
    """One sentence of an article."""
    return RawSnippet(f"{group}_{number}", Source.NYT, group, text, rating)


@pytest.mark.parametrize(
    ("rating", "label"),
    [(-4.0, "negative"), (-0.5, "negative"), (-0.49, "neutral"), (0.0, "neutral"), (0.49, "neutral"), (0.5, "positive")],
)
def test_the_thresholds_belong_to_the_outer_labels(rating: float, label: str) -> None:
    """A mean rating at ±0.5 is not neutral."""
    assert label_of(rating) == label


def test_ids_of_sentences_name_their_article() -> None:
    """`12_3` is sentence 3 of article 12, which is its group."""
    [snippet] = parse(Source.NYT, "12_3\t-1.5\tTaxes &amp; death.\r\n")
    assert (snippet.id, snippet.group, snippet.rating) == ("nyt-12_3", "nyt-12", -1.5)


def test_html_entities_are_decoded() -> None:
    """A text reaches the model as its author wrote it."""
    [snippet] = parse(Source.TWEETS, "7\t3.0\tI &lt;3 you &amp; me\r\n")
    assert snippet.text == "I <3 you & me"


def test_a_tweet_is_a_group_of_its_own() -> None:
    """Sources without article numbers split by text."""
    assert [r.group for r in parse(Source.TWEETS, "1\t0\ta\r\n2\t0\tb\r\n")] == ["tweets-1", "tweets-2"]


@pytest.mark.parametrize("line", ["1\t0.5", "1\tgood\ttext", "1\t4.5\ttext", "1\tnan\ttext", "1\t0\ta\tb"])
def test_a_line_that_is_not_a_rated_text_is_refused(line: str) -> None:
    """Bad data is named, not skipped."""
    with pytest.raises(TrainingError, match="tweets: "):
        parse(Source.TWEETS, line)


def test_normalised_texts_ignore_case_punctuation_and_width() -> None:
    """Two spellings of one text are one text; a text of signs alone keeps its signs."""
    assert normalise("Don't  WASTE your money!") == normalise("don t waste your money")
    assert normalise("\uff26\uff35\uff2c\uff2c") == "full"
    assert normalise(" :) ") == ":)"


def test_groups_that_share_a_text_are_one_group() -> None:
    """The tie holds over a chain: a and b by one text, b and c by another."""
    rows = [row("nyt-a", "Yes."), row("nyt-b", "yes"), row("nyt-b", "No"), row("nyt-c", "no!"), row("nyt-d", "maybe")]
    assert merge_groups(rows) == {"nyt-a": "nyt-a", "nyt-b": "nyt-a", "nyt-c": "nyt-a", "nyt-d": "nyt-d"}


texts = st.sampled_from(["Yes.", "yes", "NO", "no!", "perhaps", "a b", "A-B", ":)", "I see", "well"])
rows_of_groups = st.lists(st.builds(row, group=st.integers(0, 12).map("nyt-{}".format), text=texts), max_size=40)


@given(rows_of_groups)
def test_no_group_and_no_text_is_in_two_splits(rows: list[RawSnippet]) -> None:
    """The rule that keeps the test split honest, for any data."""
    splits_of: dict[str, set[Split]] = {}
    for snippet in assign(rows):
        splits_of.setdefault(snippet.group, set()).add(snippet.split)
        splits_of.setdefault("text " + normalise(snippet.text), set()).add(snippet.split)
    assert all(len(splits) == 1 for splits in splits_of.values())


@given(rows_of_groups, st.randoms(use_true_random=False))
def test_the_split_does_not_depend_on_the_order_of_the_rows(rows: list[RawSnippet], random: object) -> None:
    """The same data in another order splits the same way."""
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    by_group = {s.group: s.split for s in assign(rows)}
    assert {s.group: s.split for s in assign(shuffled)} == by_group


def test_the_hash_splits_about_80_10_10() -> None:
    """Over many groups, the shares are those that the rule states."""
    splits = [split_of(f"group-{number}") for number in range(20_000)]
    shares = [splits.count(split) / len(splits) for split in Split]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.01)


def test_an_archive_without_a_source_is_refused(tmp_path) -> None:
    """A release that lost a file is not half a dataset."""
    (tmp_path / "folder").mkdir()
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "folder", "folder")
    with pytest.raises(TrainingError, match="amazonReviewSnippets"):
        read_archive(tmp_path / "a.tar.gz")


def test_the_archive_is_the_pinned_one() -> None:
    """What the cache holds is what was pinned."""
    assert hashlib.sha256(fetch_archive().read_bytes()).hexdigest() == ARCHIVE_SHA256


def test_the_data_and_its_split_are_the_committed_ones() -> None:
    """The committed manifest pins every count and the identity of the test split."""
    assert manifest(load_snippets()) == committed_manifest()


def test_the_real_data_leaks_nothing() -> None:
    """No article, review or normalised text of the test split occurs in another."""
    snippets = load_snippets()
    test = of_split(snippets, Split.TEST)
    others = [s for s in snippets if s.split is not Split.TEST]
    assert not {s.group for s in test} & {s.group for s in others}
    assert not {normalise(s.text) for s in test} & {normalise(s.text) for s in others}


def test_the_real_data_is_whole() -> None:
    """All 23,703 snippets, each with an id of its own and a label of its rating."""
    snippets = load_snippets()
    assert len(snippets) == len({s.id for s in snippets}) == 23_703
    assert {s.label for s in snippets} == set(LABELS)
    assert all(s.label == label_of(s.rating) for s in snippets)
