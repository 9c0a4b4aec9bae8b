"""Small real parts for the training tests: a tiny BERT, a tokenizer of whole words, and rated texts it can learn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, PreTrainedModel

import training.build
import training.command_line
import training.makers
import training.meaning
import training.tokens
import training.train
import training.trained
from training.calibrate import write_temperature
from training.data import RawSnippet, Snippet, Source, assign
from training.model import SentimentModel, load_encoder, new_model, save_adapter
from training.quiet import quiet_libraries
from training.recipe import Recipe

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "plain", "day", "film", "phone", "vote", "is", "the", "very")
RATINGS = {"good": 2.0, "bad": -2.0, "plain": 0.0}


def tokenizer_file() -> str:
    """Return the content of a tokenizer.json that knows `WORDS` and frames a text by [CLS] and [SEP]."""
    special = {"single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}
    special["single"].append({"SpecialToken": {"id": "[SEP]", "type_id": 0}})
    tokens = {name: {"id": name, "ids": [WORDS.index(name)], "tokens": [name]} for name in ("[CLS]", "[SEP]")}
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": {"type": "Lowercase"},
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {"type": "TemplateProcessing", "pair": [], "special_tokens": tokens, **special},
            "decoder": None,
            "model": {"type": "WordLevel", "vocab": {w: i for i, w in enumerate(WORDS)}, "unk_token": "[UNK]"},
        }
    )


def snippets(count: int = 120) -> list[Snippet]:
    """Return texts whose rating follows from one word, in all four sources and, by their groups' hash, all splits."""
    nouns, words, sources = ("day", "film", "phone", "vote"), tuple(RATINGS), tuple(Source)
    rows = [
        RawSnippet(f"s-{n}", sources[n % 4], f"g-{n}", f"the {nouns[n % 4]} {n} is {words[n % 3]}", RATINGS[words[n % 3]])
        for n in range(count)
    ]
    return assign(rows)


def tiny_encoder(folder: Path, seed: int = 0) -> PreTrainedModel:
    """Write a BERT of two layers and 32 dimensions to `folder`, and return it as the real encoder is loaded."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=512,
    )
    with quiet_libraries():
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
        return load_encoder(folder)


def tiny_model(folder: Path, seed: int = 0) -> SentimentModel:
    """Return an untrained model on the tiny encoder, with a head strong enough to tell texts apart."""
    model = SentimentModel(tiny_encoder(folder, seed), 32)
    torch.nn.init.normal_(model.head.weight, std=2.0)
    return model.eval()


def tiny_world(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Put the tiny encoder, its tokenizer and the learnable texts in place of the real ones; return the encoder's folder."""
    tiny_encoder(folder)
    (folder / "tokenizer.json").write_text(tokenizer_file(), "utf-8")
    for module in (training.makers, training.meaning, training.tokens, training.trained):
        monkeypatch.setattr(module, "fetch_encoder", lambda _name="": folder)
    glosses = [f"{word}: the very {word}" for word in WORDS[4:]]
    monkeypatch.setattr(training.meaning, "load_glosses", lambda _count, _seed: glosses)
    for module in (training.build, training.makers, training.train, training.command_line):
        monkeypatch.setattr(module, "load_snippets", snippets)
    return folder


def tiny_adapter(encoder: Path, folder: Path, seed: int = 5) -> Path:
    """Write a random adapter whose updates matter, with its calibration, and return its folder."""
    recipe = Recipe(lora_rank=2, lora_alpha=4, head_dropout=0.0)
    with quiet_libraries():
        model = new_model(load_encoder(encoder), recipe)
    torch.manual_seed(seed)
    torch.nn.init.normal_(model.head.weight, std=2.0)
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.2)
    save_adapter(model, recipe, folder)
    write_temperature(folder, 1.5)
    return folder
