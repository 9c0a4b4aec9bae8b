"""From a merged torch model to an ONNX file that depends on the weights alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from torch import nn

from training.quiet import quiet_libraries
from training.repository import INPUTS, OUTPUT

OPSET = 20


def write_onnx(model: nn.Module, path: Path, opset: int = OPSET, outputs: Sequence[str] = (OUTPUT,)) -> None:
    """Write the model to `path` with open batch and token axes and its answers named, checked, without traces of this machine.

    The exporter notes the source line and its path on every node, and shapes between nodes that ONNX Runtime's quantiser
    trips over; they are taken out, so that the same weights make the same bytes on another machine.
    """
    ids = torch.ones((2, 16), dtype=torch.int64)
    axes = {0: "batch", 1: "tokens"}
    with quiet_libraries():
        program = torch.onnx.export(
            model.eval(),
            (ids, torch.ones_like(ids)),
            input_names=INPUTS,
            output_names=outputs,
            dynamic_shapes=dict.fromkeys(INPUTS, axes),
            opset_version=opset,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("the exporter gave no program")
    proto = _without_traces(program.model_proto)
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)


def _without_traces(proto: onnx.ModelProto) -> onnx.ModelProto:
    del proto.metadata_props[:]
    graph = proto.graph
    del graph.value_info[:]
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return proto
