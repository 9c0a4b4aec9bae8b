import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel, WordPiece

from worker.errors import ContractError
from worker.score.tokenizer import Tokenizer

MAX_LENGTH = 16
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "news", "is", "bad", "##ly", "good", "!", "[", "]", "sep"]
VOCABULARY = {word: index for index, word in enumerate(WORDS)}
CLS, SEP, UNK = (VOCABULARY[word] for word in ("[CLS]", "[SEP]", "[UNK]"))


def bert_like() -> bytes:
    """Return tokenizer.json of BERT's kind with a few words, and with fixed padding and truncation as the hub ships them."""
    tokenizer = RustTokenizer(WordPiece(VOCABULARY, unk_token="[UNK]"))  # noqa: S106 - a word, no password
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    tokenizer.enable_padding(length=8)
    tokenizer.enable_truncation(8)
    return tokenizer.to_str().encode()


TOKENIZER = Tokenizer(bert_like(), MAX_LENGTH)


def ids(*words: str) -> list[int]:
    """Return what a text of these words should come to."""
    return [VOCABULARY[word] for word in ("[CLS]", *words, "[SEP]")]


def test_texts_become_ids_in_order_without_padding() -> None:
    """One list per text, in order, as long as the text needs; the file's own padding and truncation do not count."""
    assert TOKENIZER.encode(["The news", "badly GOOD !", "the"]) == [
        ids("the", "news"),
        ids("bad", "##ly", "good", "!"),
        ids("the"),
    ]
    assert TOKENIZER.encode([]) == []


def test_long_texts_are_cut_to_the_length_of_the_contract() -> None:
    """The special tokens count, and the last one stays."""
    [cut] = TOKENIZER.encode(["news " * 4_000])
    assert cut == ids(*["news"] * (MAX_LENGTH - 2))


@pytest.mark.parametrize(
    "text",
    ["", " ", "\x00", "\x00\x01\x1f\x7f\u200b\ufeff", "\n\t\r", "\ud800", "\udfff\ud83d", "\u0301" * 50],
    ids=ascii,
)
def test_text_of_nothing_gives_the_special_tokens(text: str) -> None:
    """Whatever cannot be read never raises, and the model still gets a text."""
    [tokens] = TOKENIZER.encode([text])
    assert tokens[0] == CLS
    assert tokens[-1] == SEP


@pytest.mark.parametrize("text", ["😀", "👩\u200d👩\u200d👧", "漢字", "zzz", "x" * 8_192])
def test_unknown_words_are_unknown_tokens(text: str) -> None:
    """Only-unknown texts are no error."""
    [tokens] = TOKENIZER.encode([text])
    assert set(tokens[1:-1]) == {UNK}


def test_a_special_token_in_a_text_is_plain_text() -> None:
    """A text cannot end itself early, nor pad itself."""
    assert TOKENIZER.encode(["[SEP] bad"]) == [ids("[", "sep", "]", "bad")]
    assert VOCABULARY["[PAD]"] not in TOKENIZER.encode(["[PAD] news"])[0]


def test_a_lone_surrogate_harms_no_neighbour() -> None:
    """The texts beside it come out as ever."""
    assert TOKENIZER.encode(["the news", "\ud800", "bad"])[::2] == [ids("the", "news"), ids("bad")]


@given(st.lists(st.text(st.characters(codec=None), max_size=200), max_size=5))
def test_any_text_is_tokenised_as_it_is_alone(texts: list[str]) -> None:
    """Never raises; between 2 and `max_length` tokens; the neighbours have no part in it."""
    batch = TOKENIZER.encode(texts)
    assert batch == [TOKENIZER.encode([text])[0] for text in texts]
    assert all(2 <= len(tokens) <= MAX_LENGTH and tokens[0] == CLS and tokens[-1] == SEP for tokens in batch)


LETTERS = "theNEWS is\u0301bad\n\t\x00\x1f!?[]'-.,\u00e9\u4e2d\u0130\ufb01 \u00a0\u2014"


@given(st.lists(st.text(st.sampled_from(LETTERS), max_size=60), max_size=4))
def test_words_read_one_by_one_are_the_text(texts: list[str]) -> None:
    """What is remembered of words comes to the very tokens that the library makes of the whole text."""
    whole = RustTokenizer.from_buffer(bert_like())
    whole.no_padding()
    whole.enable_truncation(MAX_LENGTH)
    whole.encode_special_tokens = True
    assert TOKENIZER.encode(texts) == [encoding.ids for encoding in whole.encode_batch_fast(texts)]


def test_the_memory_of_words_is_bounded() -> None:
    """Many words are forgotten again, long ones are never kept, and neither changes a token."""
    small = Tokenizer(bert_like(), MAX_LENGTH, known_words=3)
    for text in ("the news", "is bad", "good sep", "the " + "x" * 500):
        assert small.encode([text]) == TOKENIZER.encode([text])
        assert len(small._known) <= 3


def test_a_file_of_another_kind_is_read_as_a_whole() -> None:
    """Where tokens may span a space nothing is cut there."""
    of_words = RustTokenizer(WordLevel({"the news": 0, "[UNK]": 1}, unk_token="[UNK]"))  # noqa: S106 - a word, no password
    assert Tokenizer(of_words.to_str().encode(), MAX_LENGTH).encode(["the news"]) == [[0]]


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff\xfe\x00", b"[1]", json.dumps({"model": None}).encode()])
def test_what_is_no_tokenizer_is_refused(body: bytes) -> None:
    """The reason is a ContractError, before any text is read."""
    with pytest.raises(ContractError, match="the tokenizer file cannot be read"):
        Tokenizer(body, MAX_LENGTH)


def test_the_pool_is_left_alone_when_somebody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of the library are off by default, and only by default."""
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    Tokenizer(bert_like(), MAX_LENGTH)
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


def test_the_committed_tokenizer_is_of_this_kind() -> None:
    """The shipped model's own file, where it has been exported: known ids of BERT's vocabulary."""
    path = Path("triton_repo/sentiment/tokenizer.json")
    if not path.exists():
        pytest.skip(f"{path} has not been exported yet")
    assert Tokenizer(path.read_bytes(), 256).encode(["hello world", ""]) == [[101, 7592, 2088, 102], [101, 102]]
