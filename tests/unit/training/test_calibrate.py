import numpy as np
import pytest

from training.calibrate import fit_hardest, fit_temperature, read_temperature, write_temperature
from training.errors import TrainingError
from training.predict import probabilities


def drawn(temperature: float, rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Random logits, and labels drawn from their softmax at the temperature."""
    generator = np.random.default_rng(3)
    logits = generator.normal(0, 2, (rows, 3)).astype(np.float32)
    cumulated = probabilities(logits, temperature).cumsum(axis=1)
    return logits, (generator.random((rows, 1)) > cumulated).sum(axis=1).clip(max=2)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_that_made_the_labels_is_found(temperature: float) -> None:
    """Labels drawn from the softmax of logits over T are most likely at T."""
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.05)


def test_the_hardest_source_decides() -> None:
    """One source makes the model too sure of itself; the mean of both would go on claiming too much there."""
    (easy, easy_labels), (hard, hard_labels) = drawn(1.0), drawn(2.0)
    logits, labels = np.concatenate([easy, hard]), np.concatenate([easy_labels, hard_labels])
    sources = ["easy"] * len(easy) + ["hard"] * len(hard)
    assert fit_hardest(logits, labels, sources) == pytest.approx(2.0, rel=0.05)
    assert fit_temperature(logits, labels) < 1.8


def test_a_small_source_decides_nothing() -> None:
    """A hundred rows that ask for a temperature of 2 may do so by chance."""
    (many, many_labels), (few, few_labels) = drawn(1.0), drawn(2.0, rows=100)
    logits, labels = np.concatenate([many, few]), np.concatenate([many_labels, few_labels])
    assert fit_hardest(logits, labels, ["many"] * len(many) + ["few"] * len(few)) == fit_temperature(logits, labels)


def test_a_temperature_changes_no_label() -> None:
    """Calibration moves confidence only."""
    logits, _ = drawn(1.0, rows=100)
    assert (probabilities(logits, 3.0).argmax(axis=1) == logits.argmax(axis=1)).all()


def test_the_temperature_is_read_as_it_was_written(tmp_path) -> None:
    """The file round-trips."""
    write_temperature(tmp_path, 1.2345)
    assert read_temperature(tmp_path) == 1.2345


@pytest.mark.parametrize("content", ["", "{}", '{"temperature": "warm"}'])
def test_an_unusable_calibration_is_named(tmp_path, content: str) -> None:
    """An adapter without a temperature is not exported with a guessed one."""
    (tmp_path / "calibration.json").write_text(content)
    with pytest.raises(TrainingError, match="tidings train"):
        read_temperature(tmp_path)
