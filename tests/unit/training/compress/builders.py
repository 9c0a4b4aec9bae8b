"""What the compression tests share: a tiny BERT with a head that tells texts apart, and a real WordPiece tokenizer."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

from tests.unit.training.builders import snippets
from training.data import Snippet, Split, of_split
from training.model import SentimentModel

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = ("good", "bad", "plain", "day", "film", "phone", "vote", "is", "the", "very", "##ly", "##er", "harbour", "##est")
VOCABULARY = (*SPECIALS, *LETTERS, *(f"##{letter}" for letter in LETTERS), *WORDS)


def word_pieces() -> str:
    """Return the content of a tokenizer.json of the encoder's kind, with whole words, endings and single characters."""
    model = models.WordPiece({token: index for index, token in enumerate(VOCABULARY)}, unk_token="[UNK]")  # noqa: S106
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(SPECIALS))
    frame = [(name, VOCABULARY.index(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=frame)
    return str(tokenizer.to_str())


def tiny_sentiment(seed: int = 0, layers: int = 2, words: int = len(VOCABULARY)) -> SentimentModel:
    """Return an untrained model on a BERT of 32 dimensions and 4 heads a layer, in evaluation mode."""
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=words,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=512,
    )
    model = SentimentModel(BertModel(config, add_pooling_layer=False), 32)
    torch.nn.init.normal_(model.head.weight, std=2.0)
    return model.eval()


def rated(split: Split, count: int = 240) -> list[Snippet]:
    """Return texts of one split whose rating follows from one word."""
    return of_split(snippets(count), split)
