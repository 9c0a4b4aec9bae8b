import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace

from training.tasks.counts import f1, figures, macro_f1, micro_f1
from training.tasks.spans import Span, align, count_spans, from_bio, spans_of, tags_of

TAGS = tags_of(("ORG", "PER"))


@pytest.fixture
def tokenizer() -> Tokenizer:
    """Cuts `Reuters` and `Merkel` into two pieces each."""
    vocabulary = ["[UNK]", "Re", "##uters", "asks", "Mer", "##kel", "Angela", ",", "Bonn"]
    made = Tokenizer(WordPiece({word: place for place, word in enumerate(vocabulary)}, unk_token=vocabulary[0]))
    made.pre_tokenizer = Whitespace()  # type: ignore[attr-defined, unused-ignore]
    return made


def test_spans_become_tags_of_pieces_and_come_back(tokenizer: Tokenizer) -> None:
    """The first piece begins an entity, whichever word it is part of, and all of it is found again."""
    text = "Reuters asks Angela Merkel, Bonn"
    spans = [Span(0, 7, "ORG"), Span(13, 26, "PER")]
    pieces = tokenizer.encode(text)
    tags = align(pieces, spans, TAGS)
    assert [TAGS[tag] for tag in tags] == ["B-ORG", "I-ORG", "O", "B-PER", "I-PER", "I-PER", "O", "O"]
    assert spans_of(pieces, tags, TAGS) == spans


@pytest.mark.parametrize(
    ("said", "spans"),
    [
        (["B-ORG", "O", "O", "O", "O", "O", "O", "O"], [Span(0, 7, "ORG")]),
        (["O", "B-ORG", "O", "O", "O", "O", "O", "O"], []),
        (["O", "O", "O", "I-PER", "I-PER", "O", "O", "O"], [Span(13, 26, "PER")]),
        (["O", "O", "O", "B-PER", "B-PER", "O", "O", "O"], [Span(13, 19, "PER"), Span(20, 26, "PER")]),
        (["O", "O", "O", "B-PER", "I-ORG", "O", "O", "O"], [Span(13, 19, "PER"), Span(20, 26, "ORG")]),
    ],
)
def test_a_word_has_the_tag_of_its_first_piece(tokenizer: Tokenizer, said: list[str], spans: list[Span]) -> None:
    """No entity ends within a word; I- that goes on with nothing begins; another label begins anew."""
    pieces = tokenizer.encode("Reuters asks Angela Merkel, Bonn")
    assert spans_of(pieces, [TAGS.index(tag) for tag in said], TAGS) == spans


def test_only_exact_spans_count() -> None:
    """Half an entity is none, and one of another label is both missed and wrong; checked by hand."""
    there = [[Span(0, 7, "ORG"), Span(13, 26, "PER")], [Span(0, 4, "PER")], []]
    said = [[Span(0, 7, "ORG"), Span(13, 19, "PER")], [Span(0, 4, "ORG")], [Span(1, 2, "PER")]]
    counts = count_spans(said, there, ("ORG", "PER"))
    assert counts.sum(axis=0).tolist() == [[1, 2, 1], [0, 2, 2]]
    found = figures(counts, ("ORG", "PER"), ["a", "b", "c"])
    assert found.micro_f1 == pytest.approx(2 * 1 / (4 + 3))
    assert found.macro_f1 == pytest.approx((2 / 3 + 0) / 2)
    assert found.per_label["ORG"].precision == 0.5
    assert found.per_label["PER"].support == 2
    assert found.exact == 0.0


def test_nothing_said_of_nothing_there_is_no_fault() -> None:
    """A text without labels that is left alone is right; F1 of a label that is nowhere is 0, as elsewhere."""
    counts = np.zeros((2, 1, 3), dtype=np.int64)
    assert figures(counts, ("ORG",), ["a", "b"]).exact == 1.0
    assert f1(counts.sum(axis=0)).tolist() == [0.0]
    assert float(micro_f1(counts.sum(axis=0))) == float(macro_f1(counts.sum(axis=0))) == 0.0


def test_bio_of_words_is_read_as_conll_does() -> None:
    """B begins, I goes on or begins where nothing is open; other tags are named."""
    offsets = [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert from_bio(["B-A", "I-A", "I-B", "O"], offsets) == [Span(0, 3, "A"), Span(4, 5, "B")]
    with pytest.raises(ValueError, match="S-A"):
        from_bio(["S-A", "O", "O", "O"], offsets)
