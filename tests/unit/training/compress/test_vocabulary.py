import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.training.builders import tokenizer_file
from tests.unit.training.compress.builders import LETTERS, SPECIALS, VOCABULARY, tiny_sentiment, word_pieces
from training.compress.pruning import plain_bert
from training.compress.vocabulary import Trimmed, trim, trim_embeddings, used_tokens
from training.errors import TrainingError
from training.model import SentimentModel
from training.tokens import load_tokenizer, pad, token_ids

TEXTS = ("the day is good", "a plain, plainer film", "badly")
words = st.lists(st.sampled_from(("the", "day", "is", "good", "plain", "plainer", "film", "badly", "xyz", "9")), max_size=12)


def rows(tokenizer: str, *texts: str) -> list[list[int]]:
    """Token ids as a model gets them."""
    return token_ids(load_tokenizer(tokenizer, 64), texts)


@torch.inference_mode()
def logits(model: SentimentModel, row: list[int]) -> torch.Tensor:
    """The logits of one text."""
    ids, mask = map(torch.from_numpy, pad([row]))
    found: torch.Tensor = model(ids, mask)
    return found


@pytest.fixture(scope="module")
def trimmed() -> Trimmed:
    """The vocabulary of three texts."""
    return trim(word_pieces(), TEXTS)


def test_tokens_of_the_texts_single_characters_and_specials_are_kept(trimmed: Trimmed) -> None:
    """And nothing else: `harbour` occurs nowhere, `est` neither."""
    vocabulary = json.loads(trimmed.tokenizer)["model"]["vocab"]
    kept = {"the", "day", "is", "good", "plain", "##er", "film", "bad", "##ly"}
    assert set(vocabulary) == {*SPECIALS, *LETTERS, *(f"##{letter}" for letter in LETTERS), *kept}
    assert sorted(vocabulary.values()) == list(range(len(trimmed.kept)))
    assert [VOCABULARY[old] for old in trimmed.kept] == sorted(vocabulary, key=vocabulary.__getitem__)


def test_padding_stays_zero_and_texts_are_framed(trimmed: Trimmed) -> None:
    """The worker pads by 0, and the special tokens have their new ids everywhere in the file."""
    [row] = rows(trimmed.tokenizer, "good")
    new = json.loads(trimmed.tokenizer)
    assert new["model"]["vocab"]["[PAD]"] == 0
    assert row == [new["model"]["vocab"][token] for token in ("[CLS]", "good", "[SEP]")]
    assert {token["content"]: token["id"] for token in new["added_tokens"]} == {
        name: new["model"]["vocab"][name] for name in SPECIALS
    }


@pytest.fixture(scope="module")
def models(trimmed: Trimmed) -> tuple[SentimentModel, SentimentModel]:
    """A model, and the same one with the trimmed matrix."""
    model, smaller = tiny_sentiment(), tiny_sentiment()
    trim_embeddings(smaller.encoder, trimmed.kept)
    return model, smaller


@settings(max_examples=40)
@given(chosen=words)
def test_a_text_whose_tokens_are_kept_gets_the_same_logits(trimmed: Trimmed, models, chosen: list[str]) -> None:
    """To the bit: the same rows of the same matrix, in the same order."""
    [before], [after] = (rows(tokenizer, " ".join(chosen)) for tokenizer in (word_pieces(), trimmed.tokenizer))
    assert after == trimmed.translate(before)
    assert torch.equal(logits(models[1], after), logits(models[0], before))


def test_a_text_with_a_dropped_token_is_spelled(trimmed: Trimmed) -> None:
    """Shorter pieces take its place; nothing becomes unknown that was not."""
    [row] = rows(trimmed.tokenizer, "harbour")
    names = sorted(json.loads(trimmed.tokenizer)["model"]["vocab"].items(), key=lambda item: item[1])
    assert [names[index][0] for index in row[1:-1]] == ["h", "##a", "##r", "##b", "##o", "##u", "##r"]


def test_the_matrix_is_really_smaller(trimmed: Trimmed) -> None:
    """Its rows are those of the kept tokens, and the configuration says how many."""
    model, original = tiny_sentiment(), tiny_sentiment()
    trim_embeddings(model.encoder, trimmed.kept)
    weight, before = (plain_bert(one.encoder).embeddings.word_embeddings.weight for one in (model, original))
    assert weight.shape == (len(trimmed.kept), 32)
    assert plain_bert(model.encoder).config.vocab_size == len(trimmed.kept) < len(VOCABULARY)
    assert torch.equal(weight, before[list(trimmed.kept)])
    assert weight.requires_grad


def test_a_rare_token_can_be_left_out() -> None:
    """`at_least` counts occurrences over all texts."""
    texts = ("good day", "good film")
    good, day = (VOCABULARY.index(word) for word in ("good", "day"))
    assert {good, day} <= used_tokens(word_pieces(), texts)
    assert used_tokens(word_pieces(), texts, at_least=2) & {good, day} == {good}


def test_long_texts_are_counted_whole() -> None:
    """A file's own truncation and padding have no say in which tokens are used."""
    tokenizer = load_tokenizer(word_pieces(), 8)
    tokenizer.enable_padding(length=8)
    used = used_tokens(tokenizer.to_str(), ["the " * 50 + "harbour"] * 1500)
    assert VOCABULARY.index("harbour") in used
    assert VOCABULARY.index("[PAD]") not in used


def test_a_vocabulary_of_whole_words_can_be_trimmed_too() -> None:
    """It has no prefix and lists no added tokens; what frames a text is kept by the post-processor's word."""
    trimmed = trim(tokenizer_file(), ["the good day"])
    assert set(json.loads(trimmed.tokenizer)["model"]["vocab"]) == {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "day", "the"}
    assert rows(trimmed.tokenizer, "good vote") == [trimmed.translate([2, 4, 1, 3])]


@pytest.mark.parametrize(
    ("part", "value", "named"),
    [("model", {"type": "BPE", "vocab": {}}, "BPE"), ("post_processor", {"type": "BertProcessing"}, "BertProcessing")],
)
def test_another_kind_of_tokenizer_is_refused(part: str, value: object, named: str) -> None:
    """In one line that names it, rather than by a wrong id somewhere."""
    content = json.loads(word_pieces())
    content[part] = value
    with pytest.raises(TrainingError, match=named):
        trim(json.dumps(content), [])
