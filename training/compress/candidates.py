"""What `tidings compress --sweep` measures: the model in every precision, made smaller in each way, and the students."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training import gates
from training.compress.compact import Compact, load_compact
from training.compress.int8 import as_variant
from training.compress.pruning import importance, least, prune_heads
from training.compress.rows import labelled_batches
from training.compress.student import spread, trim_student
from training.compress.sweep import Candidate
from training.contract import MAX_LENGTH
from training.data import Snippet
from training.model import SentimentModel
from training.onnx_file import write_onnx
from training.predict import exported_model
from training.steps import Say, silent
from training.tokens import load_tokenizer, token_ids
from training.variant import Variant

HEADS_PRUNED = 0.25
FP32_FILE = "model.onnx"


@dataclass(frozen=True, slots=True)
class Kitchen:
    """What candidates are made with: texts to learn from, and a folder for their files that outlives their measuring."""

    snippets: Sequence[Snippet]
    folder: Path
    say: Say = silent

    @property
    def texts(self) -> list[str]:
        """Return the snippets' texts."""
        return [snippet.text for snippet in self.snippets]


def candidates(teacher: Compact, students: Sequence[Path], kitchen: Kitchen) -> list[Candidate]:
    """Return the variants, float32 first: each precision, a trimmed vocabulary, pruned heads, and the students of `students`.

    The pruned model is not trained afterwards: its point is what pruning alone costs.

    Raises:
        TrainingError: a folder holds no student.
    """
    loaded = [(folder.name, load_compact(folder)) for folder in students]
    kitchen.say("Writing the model as ONNX")
    write_onnx(teacher.model, kitchen.folder / FP32_FILE)
    made = [_precision(teacher, variant, kitchen) for variant in Variant]
    made.append(_own("vocabulary", _trimmed(teacher, kitchen), kitchen, allowed=0.0))
    made.append(_own("heads", _without_heads(teacher, kitchen), kitchen))
    made.extend(_own(name, student, kitchen) for name, student in loaded)
    return made


def _precision(teacher: Compact, variant: Variant, kitchen: Kitchen) -> Candidate:
    path = kitchen.folder / f"{variant}.onnx"
    kitchen.say(f"Making {variant}")
    shutil.copyfile(kitchen.folder / FP32_FILE, path)
    as_variant(path, variant, _calibration(teacher, kitchen))
    model = exported_model(path, variant)
    bounds = gates.PARITY[variant]
    return Candidate(variant.value, model, teacher.tokenizer, teacher.temperature, path.stat().st_size, bounds.flips)


def _calibration(teacher: Compact, kitchen: Kitchen) -> Callable[[], list[list[int]]]:
    return lambda: token_ids(load_tokenizer(teacher.tokenizer, MAX_LENGTH), kitchen.texts)


def _own(name: str, compact: Compact, kitchen: Kitchen, allowed: float | None = None) -> Candidate:
    path = kitchen.folder / f"own-{name}.onnx"
    kitchen.say(f"Writing {name}")
    write_onnx(compact.model, path)
    model = exported_model(path, Variant.FP32)
    return Candidate(name, model, compact.tokenizer, compact.temperature, path.stat().st_size, allowed)


def _trimmed(teacher: Compact, kitchen: Kitchen) -> Compact:
    return trim_student(Compact(copy.deepcopy(teacher.model), teacher.tokenizer, teacher.temperature), kitchen.texts)


def _without_heads(teacher: Compact, kitchen: Kitchen) -> Compact:
    model: SentimentModel = copy.deepcopy(teacher.model)
    found = importance(model, labelled_batches(spread(kitchen.snippets), teacher.tokenizer))
    prune_heads(model.encoder, least(found.heads, HEADS_PRUNED))
    return Compact(model, teacher.tokenizer, teacher.temperature)
