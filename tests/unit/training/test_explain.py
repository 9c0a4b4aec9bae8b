from dataclasses import replace

import pytest
import torch

from tests.unit.training.builders import tokenizer_file
from tests.unit.training.finetune.builders import TINY, encoder, texts
from training.errors import TrainingError
from training.evaluation.predictors import ModelPredictor
from training.explain import Explanation, occlusion, shown
from training.finetune.trainer import Material, finetune
from training.gradients import gradients
from training.predict import TorchModel
from training.quiet import quiet_libraries
from training.trained import Trained

TEXT = "the film 3 is good"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    """A model that has learned which word judges."""
    recipe = replace(TINY, epochs=3)
    with quiet_libraries():
        base = encoder(tmp_path_factory.mktemp("encoder"))
        model, _ = finetune(recipe, Material(base, tokenizer_file(), texts()[:96], texts()[96:]))
    return Trained(model, tokenizer_file(), recipe)


def strongest(explanation: Explanation) -> str:
    """The word that spoke for the label most."""
    return max(explanation.words, key=lambda word: word.weight).word


@pytest.mark.parametrize(("text", "word", "label"), [(TEXT, "good", "positive"), ("the day 4 is bad", "bad", "negative")])
def test_the_judging_word_is_found_by_both_methods(trained: Trained, text: str, word: str, label: str) -> None:
    """Left out, the label is less probable; and most of the logit flows back to it."""
    by_occlusion = occlusion(ModelPredictor("tiny", TorchModel(trained.model), trained.tokenizer, 1.0), text)
    by_gradients = gradients(trained, text, 1.0)
    assert by_occlusion.label == by_gradients.label == label
    assert strongest(by_occlusion) == strongest(by_gradients) == word
    assert by_occlusion.probabilities == pytest.approx(by_gradients.probabilities, abs=1e-5)


def test_the_weights_sum_to_what_the_text_says_beyond_nothing(trained: Trained) -> None:
    """Integrated gradients leave nothing out: together they are the logit's distance from that of padding."""
    ids = torch.tensor([[2, 12, 8, 1, 11, 4, 3]])
    nothing = torch.tensor([[2, 0, 0, 0, 0, 0, 3]])
    mask = torch.ones_like(ids)
    with torch.inference_mode():
        gap = (trained.model(ids, mask) - trained.model(nothing, mask))[0, 2].item()
    assert sum(word.weight for word in gradients(trained, TEXT, 1.0).words) == pytest.approx(gap, rel=0.1)


def test_words_are_where_they_stand(trained: Trained) -> None:
    """Each is cut from the text by its own span, punctuation too; the line for a terminal is the text itself."""
    explanation = gradients(trained, "Good, isn't it?!", 1.0)
    assert [word.word for word in explanation.words] == ["Good", ",", "isn't", "it", "?!"]
    assert all(explanation.text[word.start : word.end] == word.word for word in explanation.words)
    assert shown(explanation).plain == "Good, isn't it?!"


def test_a_text_without_words_cannot_be_explained(trained: Trained) -> None:
    """In one line, not by an empty table."""
    with pytest.raises(TrainingError, match="no word"):
        gradients(trained, " \n ", 1.0)
