import pytest
from peft import PeftModel

from tests.unit.training.builders import tokenizer_file
from tests.unit.training.finetune.builders import TINY, encoder, score, texts
from training.errors import TrainingError
from training.finetune.fewshot import fewshot
from training.finetune.zeroshot import DESCRIPTIONS, zeroshot
from training.quiet import quiet_libraries

SHORT = {"negative": ["bad", "very bad"], "neutral": ["plain", "very plain"], "positive": ["good", "very good"]}


def test_descriptions_do_where_the_encoder_knows_the_language(tmp_path) -> None:
    """An encoder that has learned what the words mean needs no label of the texts that it is to judge."""
    with quiet_libraries():
        knowing = fewshot(TINY, encoder(tmp_path), tokenizer_file(), texts()[:24], pairs=320).encoder
    background = [one.text for one in texts()]
    assert isinstance(knowing, PeftModel)
    merged = knowing.merge_and_unload()
    assert score(zeroshot(TINY, merged, tokenizer_file(), background, SHORT), texts()) > 0.9


def test_every_label_needs_a_description(tmp_path) -> None:
    """The message says which has none."""
    with pytest.raises(TrainingError, match="no description of neutral"):
        zeroshot(TINY, encoder(tmp_path), tokenizer_file(), ["a text"], {**DESCRIPTIONS, "neutral": ()})


def test_there_must_be_texts_to_take_the_mean_of(tmp_path) -> None:
    """Without them, all descriptions point the same way."""
    with pytest.raises(TrainingError, match="texts of the kind to be judged"):
        zeroshot(TINY, encoder(tmp_path), tokenizer_file(), [])
