"""Keep the training libraries' notices about themselves off a person's terminal."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from transformers.utils import logging as transformers_logging

LIBRARIES = ("torch", "transformers", "peft", "accelerate", "onnxscript", "onnx_ir", "copyreg")


@contextmanager
def quiet_libraries(*, bars: bool = False) -> Iterator[None]:
    """Silence warnings raised in torch, transformers, peft and onnxscript.

    transformers' progress bars, over loading weights and over training, are shown only if `bars`.
    """
    verbosity = transformers_logging.get_verbosity()
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    with warnings.catch_warnings():
        for library in LIBRARIES:
            warnings.filterwarnings("ignore", module=rf"{library}(\..*)?$")
        transformers_logging.set_verbosity(logging.ERROR)
        if not bars:
            transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        exporter.setLevel(logging.ERROR)
        try:
            yield
        finally:
            exporter.setLevel(level)
            transformers_logging.set_verbosity(verbosity)
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
