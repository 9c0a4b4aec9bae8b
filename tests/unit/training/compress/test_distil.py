import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.unit.training.compress.builders import rated, tiny_sentiment, word_pieces
from training.compress import distil as module
from training.compress.compact import Compact, load_compact, save_compact
from training.compress.distil import Answers, Distillation, Lessons, ask, distil, distillation_loss, write_run
from training.compress.student import Cut, Narrow, cut_student, narrow_student, trim_student
from training.compress.transfer import transfer_texts
from training.data import Split

QUICK = Distillation(epochs=5, patience=9, batch_size=16, learning_rate=1e-2, dropout=0.0, label_share=0.5)
RATED = rated(Split.TRAIN, 160)
LESSONS = Lessons(RATED, rated(Split.VALIDATION, 160), transfer_texts([snippet.text for snippet in RATED], 32))


def teacher() -> Compact:
    """An untrained teacher: what it says of a text follows from nothing but its weights."""
    return Compact(tiny_sentiment(), word_pieces())


@pytest.fixture(scope="module")
def knowing() -> Compact:
    """A teacher that learned its labels, by the same loss with the labels alone."""
    untaught = teacher()
    student = cut_student(untaught, Cut((0, 1)), [])
    by_labels = replace(QUICK, epochs=3, learning_rate=5e-3, label_share=1.0, embedding_weight=0.0)
    return distil(untaught, student, LESSONS, by_labels)[0]


@pytest.fixture(scope="module")
def taught(knowing: Compact) -> tuple[Compact, module.DistillationRun]:
    """A narrow student with a trimmed vocabulary, after its lessons."""
    texts = [*(snippet.text for snippet in LESSONS.rated), *LESSONS.unrated]
    student = trim_student(narrow_student(knowing, Narrow(1, 32, 4, 48)), texts)
    return distil(knowing, student, LESSONS, QUICK)


def test_a_student_comes_to_answer_as_its_teacher(knowing, taught) -> None:
    """On texts that neither learned from: the same labels, from a model of another shape."""
    texts = [snippet.text for snippet in rated(Split.TEST)]
    said, heard = (ask(who, texts, 128).logits.argmax(dim=1) for who in (taught[0], knowing))
    assert (said == heard).float().mean() >= 0.95
    assert taught[1].validation_macro_f1 >= taught[1].teacher_macro_f1 - 0.02
    assert taught[1].teacher_macro_f1 > 0.9
    assert 0 < taught[1].epochs <= 5


def test_a_student_is_calibrated_and_comes_back_from_its_folder(taught, tmp_path) -> None:
    """With its own tokenizer, temperature, and a record of how it came to be."""
    save_compact(taught[0], tmp_path)
    write_run(tmp_path, QUICK, taught[1])
    again = load_compact(tmp_path)
    assert again.temperature == taught[0].temperature != 1.0
    texts = [snippet.text for snippet in LESSONS.validation]
    assert torch.equal(ask(again, texts, 64).logits, ask(taught[0], texts, 64).logits)
    record = json.loads((tmp_path / "distillation.json").read_text())
    assert record["choices"]["temperature"] == 2.0
    assert record["run"]["validation_macro_f1"] == taught[1].validation_macro_f1


def test_the_same_seed_makes_the_same_student(knowing) -> None:
    """To the bit, on one thread; another seed makes another."""
    few = Lessons(LESSONS.rated[:40], LESSONS.validation, LESSONS.unrated[:8])

    def weights(seed: int) -> torch.Tensor:
        student = narrow_student(knowing, Narrow(1, 16, 2, 32), seed)
        return distil(knowing, student, few, replace(QUICK, epochs=1, seed=seed))[0].model.head.weight.detach()

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_ctrl_c_leaves_nothing_behind(knowing, monkeypatch, tmp_path) -> None:
    """The checkpoints' folder is gone, and the interrupt goes through."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def interrupted(*_: object, **__: object) -> None:
        assert list(Path(tmp_path).iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(module.DistillationTrainer, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        distil(knowing, cut_student(knowing, Cut((0,)), []), LESSONS, QUICK)
    assert list(tmp_path.iterdir()) == []


def batch(rated_texts: float) -> dict[str, torch.Tensor]:
    """What two texts are to be answered."""
    return {
        "teacher": torch.tensor([[2.0, 0.0, -2.0], [0.0, 1.0, 0.0]]),
        "embedding": torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
        "targets": torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        "rated": torch.full((2,), rated_texts),
    }


def test_the_loss_is_zero_where_the_student_is_the_teacher() -> None:
    """For texts that nobody rated; a rated one has its label to answer for as well."""
    unrated, people = batch(0.0), batch(1.0)
    logits, embedding = unrated["teacher"] + 3.0, unrated["embedding"] * 7
    assert distillation_loss(logits, embedding, unrated, QUICK).item() == pytest.approx(0.0, abs=1e-6)
    expected = 0.5 * torch.nn.functional.cross_entropy(logits, people["targets"])
    assert distillation_loss(logits, embedding, people, QUICK).item() == pytest.approx(expected.item(), abs=1e-6)


def test_the_softened_gradient_keeps_its_size() -> None:
    """At a high temperature the squared factor makes the divergence about the squared distance of the logits (Hinton)."""
    taught = batch(0.0)
    logits = taught["teacher"] + torch.tensor([[0.3, -0.3, 0.0], [0.0, 0.2, -0.2]])
    hot = replace(QUICK, temperature=100.0, embedding_weight=0.0)
    distance = ((logits - taught["teacher"]) ** 2).sum(dim=1) / 6
    assert distillation_loss(logits, taught["embedding"], taught, hot).item() == pytest.approx(distance.mean().item(), rel=0.05)


def test_opposite_embeddings_cost_their_angle() -> None:
    """Two, of which the weight is taken."""
    taught = batch(0.0)
    found = distillation_loss(taught["teacher"], -taught["embedding"], taught, QUICK)
    assert found.item() == pytest.approx(2 * QUICK.embedding_weight)


def test_a_teacher_is_asked_in_the_texts_order() -> None:
    """However they were batched; and each text's answer is its own."""
    texts = ["good", "the very good day is plain", "bad film"] * 20
    answers = ask(teacher(), texts, 128)
    assert isinstance(answers, Answers)
    alone = [ask(teacher(), [text], 128).logits for text in texts[:3]]
    assert torch.allclose(answers.logits[:3], torch.cat(alone), atol=1e-5)
    assert torch.allclose(answers.embeddings[:3], answers.embeddings[3:6], atol=1e-6)
