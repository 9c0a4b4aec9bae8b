"""Proof that an exported model may ship: its gates, and its figures on the same texts in the same pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training import gates
from training.contract import BUCKETS, FINE_BUCKETS, MAX_LENGTH
from training.evaluate import Comparison, Predictions, compare, label_indices
from training.examples import Example
from training.gates import Agreement, Lengths
from training.predict import LogitsModel, logits_of, probabilities, vader_labels
from training.steps import Say, silent
from training.tokens import load_tokenizer, token_ids
from training.variant import Variant


@dataclass(frozen=True, slots=True)
class Proof:
    """What the exported model was found to do: figures overall and per source, and the gates by name."""

    figures: Mapping[str, Comparison]
    gates: Mapping[str, Agreement]


@dataclass(frozen=True, slots=True)
class Subject:
    """The texts to prove a model on, the content of its tokenizer's file, its temperature, and which variant it is."""

    examples: Sequence[Example]
    tokenizer: str
    temperature: float
    variant: Variant = Variant.FP32


def prove(exported: LogitsModel, reference: LogitsModel, subject: Subject, say: Say = silent) -> Proof:
    """Hold the exported model to its gates on the subject's texts and return what was found.

    The gate over neighbours comes first: it is the cheaper one.

    Raises:
        GateError: the exported model differs from the reference, or a text's answer depends on its neighbours.
    """
    texts = [example.text for example in subject.examples]
    rows = token_ids(load_tokenizer(subject.tokenizer, MAX_LENGTH), texts)
    say("Checking that no answer depends on its neighbours in a batch")
    # In float32 a text is held to its own answer unpadded, at lengths far apart: so no length between them can differ.
    exact = subject.variant is Variant.FP32
    lengths = Lengths(BUCKETS if exact else FINE_BUCKETS, alone_padded=not exact)
    alone = gates.neighbours(exported, rows, lengths, subject.temperature)
    say("Checking parity with the torch model")
    logits = logits_of(exported, rows)
    same = gates.parity(logits_of(reference, rows), logits, subject.temperature, gates.PARITY[subject.variant])
    probs = probabilities(logits, subject.temperature)
    predictions = Predictions(label_indices(subject.examples), probs, vader_labels(texts))
    return Proof(compare(subject.examples, predictions), {"torch": same, "neighbours": alone})
