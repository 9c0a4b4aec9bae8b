import numpy as np
import pytest

import training.evaluation.baselines
from tests.unit.training.builders import tiny_encoder, tiny_model, tokenizer_file
from tests.unit.training.evaluation.stand_ins import WordPredictor, by_word
from training.evaluation.baselines import ScorePredictor, cached_probe, fit_probe, textblob, vader
from training.evaluation.predictors import ModelPredictor, answer
from training.evaluation.topics import TorchEmbedder
from training.predict import TorchModel, vader_labels

PLAIN = ["This is horrible!", "The box is on the table.", "I love it!"]


@pytest.mark.parametrize("make", [vader, textblob])
def test_word_lists_say_the_plain_cases(make) -> None:
    """Their numbers are no probabilities, but rows of them sum to 1 and the largest is the label."""
    predictor = make()
    answers = predictor.probabilities(PLAIN)
    assert answers.argmax(axis=1).tolist() == [0, 1, 2]
    assert answers.sum(axis=1) == pytest.approx(1.0)
    assert not predictor.calibrated


def test_vader_here_is_vader_elsewhere() -> None:
    """On the thresholds too: 0.05 is positive and -0.05 is negative, as its authors say."""
    texts = [*PLAIN, "good but bad", "fine", "not good", "", "meh :(", "The best of the worst."]
    assert vader().probabilities(texts).argmax(axis=1).tolist() == vader_labels(texts).tolist()
    edges = ScorePredictor("edges", float, 0.05).probabilities(["-0.05", "-0.0499", "0.0499", "0.05"])
    assert edges.argmax(axis=1).tolist() == [0, 1, 1, 2]


def test_confidence_rises_with_the_score() -> None:
    """Which the rules about confidence ask for."""
    rising = ScorePredictor("scores", float, 0.05).probabilities(["0.1", "0.3", "0.9"])[:, 2]
    assert (np.diff(rising) > 0).all()


def test_the_probe_learns_a_word_and_leaves_the_encoder_alone(tmp_path) -> None:
    """A head on frozen embeddings; probabilities in the order of the labels."""
    encoder = tiny_encoder(tmp_path)
    before = [weights.clone() for weights in encoder.parameters()]
    texts = [f"the {noun} is {word}" for noun in ("day", "film", "phone", "vote") for word in ("bad", "plain", "good")]
    probe = fit_probe(TorchEmbedder(encoder, tokenizer_file()), texts, np.arange(len(texts)) % 3)
    answers = probe.probabilities(["the very day is bad", "the very film is good"])
    assert answers.argmax(axis=1).tolist() == [0, 2]
    assert answers.sum(axis=1) == pytest.approx(1.0)
    assert all((now == then).all() for now, then in zip(encoder.parameters(), before, strict=True))


def test_a_probe_is_fitted_once_for_its_data_and_encoder(tmp_path, monkeypatch) -> None:
    """Embedding the training texts takes minutes; other data or another encoder is another probe."""
    embedder = TorchEmbedder(tiny_encoder(tmp_path / "encoder"), tokenizer_file())
    texts, labels = ["bad", "plain", "good", "very good"], np.array([0, 1, 2, 2])
    first = cached_probe(embedder, texts, labels, tmp_path, "tiny")
    with monkeypatch.context() as patched:
        patched.setattr(training.evaluation.baselines, "fit_probe", None)
        again = cached_probe(embedder, texts, labels, tmp_path, "tiny")
    assert again.probabilities(texts) == pytest.approx(first.probabilities(texts))
    cached_probe(embedder, texts, np.array([0, 1, 2, 1]), tmp_path, "tiny")
    cached_probe(embedder, texts, labels, tmp_path, "another")
    assert len(list(tmp_path.glob("head-only-*.npz"))) == 3


def test_a_model_answers_each_text_as_alone(tmp_path) -> None:
    """Padded to its bucket with whatever others, in the order of the texts; no texts have no answers."""
    predictor = ModelPredictor("tiny", TorchModel(tiny_model(tmp_path)), tokenizer_file(), 1.5)
    texts = ["good", "the day is bad " * 9, "", "the film is very good"] * 12
    alone = np.concatenate([predictor.probabilities([text]) for text in texts])
    assert predictor.probabilities(texts) == pytest.approx(alone, abs=1e-5)
    assert predictor.probabilities([]).shape == (0, 3)


def test_a_text_is_asked_for_once() -> None:
    """However often it is there; the answers are in the texts' order."""
    predictor = WordPredictor(by_word)
    assert answer(predictor, ["good", "bad", "good", "day"]).argmax(axis=1).tolist() == [2, 0, 2, 1]
    assert predictor.asked == 3
    assert answer(predictor, []).shape == (0, 3)
