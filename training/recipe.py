"""The recipe of a fine-tuning run: one frozen value, saved with its result."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from training.encoder import MINILM
from training.errors import TrainingError


class Method(StrEnum):
    """What is trained beside the head, which always is."""

    FULL = "full"
    LORA = "lora"
    ADALORA = "adalora"
    ADAPTERS = "adapters"
    PROMPT = "prompt"
    HEAD = "head"


class Task(StrEnum):
    """What a model says of a text: how it sounds, which topics it is about, or which entities are in it (`training.tasks`)."""

    SENTIMENT = "sentiment"
    TOPICS = "topics"
    ENTITIES = "entities"


class Loss(StrEnum):
    """What is made small: the cross-entropy, or it and the squared distance of cumulative shares, which knows the order."""

    CROSS_ENTROPY = "cross-entropy"
    ORDINAL = "ordinal"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every choice of a run. The defaults are a plain LoRA on MiniLM; the shipped model's are in `training.recipes`."""

    task: Task = Task.SENTIMENT
    """What the head on the encoder learns to say."""
    encoder: str = MINILM.name
    """A name of `training.encoder`, or the folder of a BERT of your own."""
    layers: int = 0
    """Layers of the encoder that are kept, from the first; 0 keeps all."""
    method: Method = Method.LORA
    """What is trained."""
    seed: int = 7
    """Seeds the initial weights, dropout and the order of the data."""
    epochs: float = 4.0
    """Most passes over the training split; early stopping may end sooner."""
    patience: int = 2
    """Evaluations (one an epoch) without a better validation macro-F1 before the run stops."""
    batch_size: int = 32
    """Texts a step; batches hold texts of similar length."""
    learning_rate: float = 5e-4
    """Peak of the linear schedule. LoRA takes about ten times what a full fine-tune does."""
    head_learning_rate: float = 0.0
    """Peak for the head, which starts from nothing; 0 takes that of the rest."""
    layer_decay: float = 1.0
    """By how much the learning rate shrinks from one layer to the one below it (Howard and Ruder, 2018)."""
    warmup_share: float = 0.06
    """Share of the steps over which the learning rate rises."""
    weight_decay: float = 0.05
    """AdamW's decay of the trained weights."""
    frozen_layers: int = 0
    """Layers, from the first, that are left as they are, and the embeddings with them."""
    lora_rank: int = 12
    """Rank of each update; 12 on all linear layers makes the adapter one megabyte at half precision."""
    lora_alpha: int = 24
    """Scale of the updates: alpha / rank."""
    lora_dropout: float = 0.0
    """Dropout before each low-rank update; on a processor it takes a third of the time of a step."""
    adapter_size: int = 48
    """Width of a bottleneck adapter."""
    prompt_tokens: int = 16
    """Trained tokens before each text, for prompt tuning."""
    encoder_dropout: float = 0.1
    """Dropout on the hidden states inside the frozen encoder; without it the second epoch is the best."""
    head_dropout: float = 0.1
    """Dropout on the pooled embedding."""
    loss: Loss = Loss.CROSS_ENTROPY
    """What is made small."""
    label_sigma: float = 0.35
    """Rating points of noise around a mean rating, which turns it into soft labels (see `training.model`)."""
    label_smoothing: float = 0.05
    """Share of a label without a rating that is given to all labels alike."""
    class_weights: bool = False
    """Weigh each label by how rare it is, so that all count the same together."""
    prior_strength: float = 0.0
    """How much of the labels' shares in the training data is taken off the logits (Menon et al., 2021); 1 takes all."""
    disturbed: float = 0.0
    """Copies with typos, other names and the like (see `training.augment`), as a share of the texts."""
    behavioural: int = 0
    """Sentences from templates that teach negation, time and the like (see `training.augment`)."""
    preserve: float = 0.0
    """Weight of the term that keeps a text's embedding where the untouched encoder has it."""
    embedding: bool = False
    """Learn a second head that says what a text means as the whole untouched encoder does (see `training.meaning`)."""
    adversary: float = 0.0
    """Length of the step that disturbs each batch's embeddings for a second look (FGM, Miyato et al., 2017); 0 takes none."""
    average: float = 0.0
    """Decay of the running average of the weights that is evaluated and kept in their place; 0 takes none."""
    max_length: int = 128
    """Tokens a text is cut to while training; the average is 25."""
    gradient_checkpointing: bool = False
    """Compute activations again instead of keeping them: slower, for encoders that do not fit otherwise."""
    bf16: bool = True
    """Compute in bfloat16 where the processor has units for it; the weights stay in float32."""

    def __post_init__(self) -> None:
        """Take the names of tasks, methods and losses as strings too, and refuse what no run can do.

        Raises:
            TrainingError: a value is out of its range; the message names it.
        """
        object.__setattr__(self, "task", _one_of(Task, "task", self.task))
        object.__setattr__(self, "method", _one_of(Method, "method", self.method))
        object.__setattr__(self, "loss", _one_of(Loss, "loss", self.loss))
        for name, low, high in _RANGES:
            if not low <= getattr(self, name) <= high:
                raise TrainingError(f"{name} is {getattr(self, name)!r}, where {low:g} to {high:g} makes sense")

    def write(self, path: Path) -> None:
        """Write the recipe as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", "utf-8")

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Read a recipe that `write` wrote, or a part of one: what is not there is as by default.

        Raises:
            TrainingError: it cannot be read, or has a field this version does not know.
        """
        try:
            values = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise TrainingError(f"cannot read the recipe {path}: {error}") from error
        return cls.of(values, path.name)

    @classmethod
    def of(cls, values: dict[str, Any], name: str = "recipe") -> Recipe:
        """Return the recipe of these values; `name` is what an error calls it.

        Raises:
            TrainingError: there is no such field, or a value is of another type or out of range.
        """
        types = {field.name: field.type for field in fields(cls)}
        unknown = sorted(set(values) - set(types))
        if unknown:
            raise TrainingError(f"{name}: unknown field {unknown[0]!r}; the fields are {', '.join(types)}")
        for field, value in values.items():
            _check_type(name, field, str(types[field]), value)
        return cls(**values)


_RANGES = (
    ("layers", 0, 1000),
    ("epochs", 0.001, 1000),
    ("patience", 1, 1000),
    ("batch_size", 1, 100_000),
    ("learning_rate", 1e-8, 1),
    ("head_learning_rate", 0, 1),
    ("layer_decay", 0.1, 1),
    ("warmup_share", 0, 1),
    ("weight_decay", 0, 1),
    ("frozen_layers", 0, 1000),
    ("lora_rank", 1, 4096),
    ("adapter_size", 1, 4096),
    ("prompt_tokens", 1, 128),
    ("encoder_dropout", 0, 0.9),
    ("head_dropout", 0, 0.9),
    ("label_sigma", 0.01, 4),
    ("label_smoothing", 0, 0.9),
    ("prior_strength", 0, 1),
    ("disturbed", 0, 1),
    ("behavioural", 0, 100_000),
    ("preserve", 0, 100),
    ("adversary", 0, 10),
    ("average", 0, 0.99999),
    ("max_length", 4, 512),
)
_NAMED = {"int": (int,), "float": (int, float), "bool": (bool,), **dict.fromkeys(("str", "Task", "Method", "Loss"), (str,))}


def _check_type(name: str, field: str, expected: str, value: object) -> None:
    is_wrong = not isinstance(value, _NAMED[expected]) or (isinstance(value, bool) and expected != "bool")
    if is_wrong:
        raise TrainingError(f"{name}: {field} is {value!r}, where a {expected} belongs")


def _one_of(kind: type[StrEnum], name: str, value: str) -> StrEnum:
    try:
        return kind(value)
    except ValueError:
        raise TrainingError(f"{name} is {value!r}, where one of {', '.join(kind)} belongs") from None
