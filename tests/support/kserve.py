"""A gRPC server of Triton's own protocol (KServe v2) in this process, whose answers a test decides."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc  # type: ignore[import-untyped]

from worker.score.contract import Contract

Answer = Callable[[Any, grpc.ServicerContext], Any]


def logits_answer(values: np.ndarray[Any, Any], *, name: str = "logits", datatype: str = "FP32", shape: Any = None) -> Any:
    """Return a response with one tensor."""
    response = service_pb2.ModelInferResponse(raw_output_contents=[values.tobytes()])
    response.outputs.add(name=name, datatype=datatype, shape=values.shape if shape is None else shape)
    return response


def row_sums(request: Any, _context: grpc.ServicerContext) -> Any:
    """Answer each text with the sum of its ids, its number of real tokens and its place in the batch."""
    ids, mask = (np.frombuffer(raw, np.int64).reshape(request.inputs[0].shape) for raw in request.raw_input_contents)
    columns = [(ids * mask).sum(axis=1), mask.sum(axis=1), np.arange(len(ids))]
    return logits_answer(np.stack(columns, axis=1).astype(np.float32))


def fails(code: grpc.StatusCode, details: str = "because") -> Answer:
    """Answer with an error."""

    def answer(_request: Any, context: grpc.ServicerContext) -> None:
        context.abort(code, details)

    return answer


class Kserve(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """`answer` decides every ModelInfer; `requests` counts them.

    `waiting` is set when a call has come that gets no answer, `cancelled` when the client gave up on one.
    """

    def __init__(self, answer: Answer = row_sums) -> None:
        self.answer = answer
        self.requests = 0
        self.last: Any = None
        self.waiting = threading.Event()
        self.cancelled = threading.Event()
        self.versions = ["1", "2"]
        self.max_batch_size = 64
        self.outputs = {"logits": 3}

    def keep(self, contract: Contract) -> None:
        """Be a model as the contract promises it; what is not asked of it, such as embeddings, is not answered."""
        self.max_batch_size = contract.max_batch_size
        self.versions = [contract.model.version]
        self.outputs = contract.outputs

    def never(self, _request: Any, context: grpc.ServicerContext) -> None:
        """Answer nothing until the client has gone."""
        context.add_callback(self.cancelled.set)
        self.waiting.set()
        self.cancelled.wait(30)

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802, D102 - the protocol's name
        self.requests += 1
        self.last = request
        return self.answer(request, context)

    def ServerMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802, D102, ARG002
        return service_pb2.ServerMetadataResponse(name="triton", version="2.51.0")

    def ModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802, D102
        if request.name != "sentiment":
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.name}' is not found")
        response = service_pb2.ModelMetadataResponse(name=request.name, versions=self.versions, platform="onnxruntime_onnx")
        batch = [-1] if self.max_batch_size else []
        response.inputs.add(name="input_ids", datatype="INT64", shape=[*batch, -1])
        response.inputs.add(name="attention_mask", datatype="INT64", shape=[*batch, -1])
        for name, width in self.outputs.items():
            response.outputs.add(name=name, datatype="FP32", shape=[*batch, width])
        return response

    def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802, D102, ARG002
        config = model_config_pb2.ModelConfig(name=request.name, max_batch_size=self.max_batch_size)
        return service_pb2.ModelConfigResponse(config=config)


@contextmanager
def serving(servicer: Kserve, address: str = "127.0.0.1:0") -> Iterator[str]:
    """Serve on the loopback interface, by default on a free port; yields host:port."""
    server = grpc.server(ThreadPoolExecutor(4))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port(address)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        servicer.cancelled.set()
        server.stop(grace=None).wait()
