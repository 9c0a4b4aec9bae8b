import pytest
import torch

from tests.unit.training.compress.builders import VOCABULARY, rated, tiny_sentiment, word_pieces
from training.compress.compact import Compact
from training.compress.pruning import layers_of, plain_bert
from training.compress.student import Cut, Narrow, cut_student, narrow_student, principal, spread, trim_student
from training.compress.transfer import MASK, transfer_texts
from training.data import Split
from training.errors import TrainingError

TEXTS = [snippet.text for snippet in rated(Split.VALIDATION)]
IDS = torch.tensor([[2, 80, 81, 3], [2, 85, 3, 0]])
ONES = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def teacher(layers: int = 4) -> Compact:
    """A teacher whose weights are frozen, as they are after an adapter was merged."""
    model = tiny_sentiment(layers=layers)
    model.encoder.requires_grad_(False)
    return Compact(model, word_pieces(), 1.5)


def test_a_student_of_all_layers_is_its_teacher() -> None:
    """Nothing is lost but what is cut; the teacher itself stays whole, and the student can learn."""
    whole = teacher()
    student = cut_student(whole, Cut((0, 1, 2, 3)), [])
    with torch.inference_mode():
        assert torch.equal(student.model(IDS, ONES), whole.model(IDS, ONES))
    assert all(weights.requires_grad for weights in student.model.parameters())
    assert not plain_bert(whole.model.encoder).embeddings.word_embeddings.weight.requires_grad


def test_a_cut_student_has_the_shape_that_was_asked_for() -> None:
    """So many layers, heads and neurons; each kept layer chose its own parts by what mattered there."""
    whole = teacher()
    student = cut_student(whole, Cut((0, 3), heads=2, neurons=16), rated(Split.VALIDATION))
    layers = layers_of(student.model.encoder)
    assert [(layer.attention.self.num_attention_heads, layer.output.dense.in_features) for layer in layers] == [(2, 16)] * 2
    rows = {tuple(row) for row in layers_of(whole.model.encoder)[3].intermediate.dense.weight.tolist()}
    assert {tuple(row) for row in layers[1].intermediate.dense.weight.tolist()} <= rows
    assert len(layers_of(whole.model.encoder)) == 4


def test_what_matters_is_told_by_texts_of_all_sources() -> None:
    """The first so many would be of one source."""
    ordered = sorted(rated(Split.TRAIN), key=lambda snippet: snippet.source)
    assert {snippet.source for snippet in spread(ordered, 8)} == {snippet.source for snippet in ordered}
    assert len(spread(ordered[:3], 8)) == 3


def test_a_narrow_student_knows_the_teachers_words() -> None:
    """Its embeddings are the teacher's in fewer dimensions: at the full width, all angles between words are kept."""
    whole = teacher()
    student = narrow_student(whole, Narrow(layers=1, hidden=32, heads=4, neurons=64))
    old, new = (plain_bert(m.model.encoder).embeddings.word_embeddings.weight.detach() for m in (whole, student))
    assert torch.allclose(old @ old.T, new @ new.T, atol=1e-4)
    narrow = narrow_student(whole, Narrow(layers=1, hidden=16, heads=4, neurons=24))
    assert narrow.model(IDS, ONES).shape == (2, 3)
    assert layers_of(narrow.model.encoder)[0].intermediate.dense.weight.shape == (24, 16)


def test_principal_directions_keep_what_varies_most() -> None:
    """Of a matrix of rank two, two directions keep everything."""
    torch.manual_seed(0)
    matrix = torch.randn(50, 2) @ torch.randn(2, 8)
    directions = principal(matrix, 2)
    assert torch.allclose(matrix @ directions @ directions.T, matrix, atol=1e-4)
    assert torch.allclose(directions.T @ directions, torch.eye(2), atol=1e-5)


@pytest.mark.parametrize("shape", [Narrow(hidden=64, heads=8), Narrow(hidden=30, heads=4)])
def test_an_impossible_width_is_refused(shape: Narrow) -> None:
    """Wider than the teacher, or not shared out evenly among heads."""
    with pytest.raises(TrainingError, match="must be a multiple"):
        narrow_student(teacher(), shape)


def test_a_trimmed_student_answers_the_same() -> None:
    """On the texts whose vocabulary it kept."""
    student = trim_student(cut_student(teacher(), Cut((0, 1)), []), TEXTS)
    assert plain_bert(student.model.encoder).config.vocab_size < len(VOCABULARY)
    assert "harbour" not in student.tokenizer


def test_transfer_texts_are_new_and_the_same_for_a_seed() -> None:
    """None is among those that they are made from; another seed makes others."""
    made = transfer_texts(TEXTS, 100)
    assert len(made) == len(set(made)) == 100
    assert not set(made) & set(TEXTS)
    assert made == transfer_texts(TEXTS, 100) != transfer_texts(TEXTS, 100, seed=8)


def test_transfer_texts_hide_words_cut_pieces_and_join_texts() -> None:
    """All three happen, and only words of the texts occur."""
    made = [text.split() for text in transfer_texts(TEXTS, 200)]
    lengths = {len(words) for words in made}
    assert any(MASK in words for words in made)
    assert min(lengths) < 5 < max(lengths)
    assert {word for words in made for word in words} <= {MASK, *" ".join(TEXTS).split()}


def test_texts_too_short_to_vary_give_none() -> None:
    """And the search for more ends."""
    assert transfer_texts(["good"], 10) == []
    assert len(transfer_texts(["good day"], 1000)) < 1000
