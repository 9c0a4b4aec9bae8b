import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import grpc  # type: ignore[import-untyped]
import msgspec
import numpy as np
import pytest
from tritonclient.grpc import service_pb2  # type: ignore[import-untyped]

from tests.support.batches import batch_of, rows
from tests.support.kserve import Kserve, fails, logits_answer, row_sums, serving
from worker.adapters.triton import TritonModel
from worker.errors import ContractError, ModelError, RetryableError, SettingsError
from worker.messages import ModelRef
from worker.ports import TokenBatch
from worker.tls import TlsFiles

REF = ModelRef("sentiment", "1")
WAIT_S = 20
"""Far longer than anything here takes: a future that hangs fails its test."""


@pytest.fixture
def server() -> Kserve:
    """The server's side, to be told what to answer."""
    return Kserve()


@pytest.fixture
def model(server: Kserve) -> Iterator[TritonModel]:
    """A client of that server."""
    with serving(server) as url:
        model = TritonModel(url, REF, timeout_s=10)
        yield model
        model.close()


def failure(future: "Future[Any]") -> BaseException | None:
    """Return how a future failed."""
    return future.exception(WAIT_S)


def test_logits_come_back_row_by_row(model: TritonModel) -> None:
    """Ids and mask arrive as they were sent, and the answer as it was given."""
    texts = rows(5)
    logits = model.submit(batch_of(texts)).result(WAIT_S)
    assert logits.dtype == np.float32
    assert logits.tolist() == [[sum(ids), len(ids), place] for place, ids in enumerate(texts)]


def test_what_is_sent_along_arrives(server: Kserve, model: TritonModel) -> None:
    """A trace's context is in the request's metadata, where Triton looks for it; without one nothing is there."""
    told: list[str | None] = []

    def listening(request: Any, context: grpc.ServicerContext) -> Any:
        told.append(dict(context.invocation_metadata()).get("traceparent"))
        return row_sums(request, context)

    server.answer = listening
    batch = batch_of(rows(1))
    for one in (batch, msgspec.structs.replace(batch, headers={"traceparent": "00-a-b-01"})):
        model.submit(one).result(WAIT_S)
    assert told == [None, "00-a-b-01"]


def test_several_outputs_stand_side_by_side(server: Kserve) -> None:
    """In the order they were asked for, whatever the order they come in."""

    def both(request: Any, context: grpc.ServicerContext) -> Any:
        answer = logits_answer(np.array([[9.0, 8.0]], np.float32), name="vector")
        logits = row_sums(request, context)
        answer.outputs.extend(logits.outputs)
        answer.raw_output_contents.extend(logits.raw_output_contents)
        return answer

    server.answer = both
    with serving(server) as url:
        model = TritonModel(url, REF, outputs=("logits", "vector"))
        answer = model.submit(batch_of([[1, 2]])).result(WAIT_S)
        model.close()
    assert answer.tolist() == [[3, 2, 0, 9, 8]]
    assert [tensor.name for tensor in server.last.outputs] == ["logits", "vector"]


def test_an_output_that_is_missing_is_another_model(server: Kserve) -> None:
    """Though the other one is there."""
    with serving(server) as url:
        model = TritonModel(url, REF, outputs=("logits", "vector"))
        error = failure(model.submit(batch_of([[1, 2]])))
        model.close()
    assert isinstance(error, ContractError)
    assert "vector" in str(error)


def test_the_request_names_model_version_and_output(model: TritonModel, server: Kserve) -> None:
    """Nothing is left to the server's defaults."""
    model.submit(batch_of(rows(3))).result(WAIT_S)
    assert (server.last.model_name, server.last.model_version) == ("sentiment", "1")
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in server.last.inputs] == [
        ("input_ids", "INT64", [3, 32]),
        ("attention_mask", "INT64", [3, 32]),
    ]
    assert [tensor.name for tensor in server.last.outputs] == ["logits"]


def test_arrays_that_are_views_are_sent_right(model: TritonModel) -> None:
    """A batch cut from a larger array arrives as what it shows."""
    whole = np.arange(64, dtype=np.int64).reshape(4, 16)
    part = TokenBatch(whole[::2, :5], np.ones((4, 10), np.int64)[:2, ::2])
    assert model.submit(part).result(WAIT_S)[:, 0].tolist() == whole[::2, :5].sum(axis=1).tolist()


def test_info_leaves_out_the_batch_axis(model: TritonModel) -> None:
    """What the server says, in the port's terms: every ready version, shapes without the batch axis."""
    info = model.info()
    assert (info.name, info.versions, info.server) == ("sentiment", ("1", "2"), "triton 2.51.0")
    assert (info.platform, info.max_batch_size) == ("onnxruntime_onnx", 64)
    assert info.inputs == {"input_ids": ("INT64", (-1,)), "attention_mask": ("INT64", (-1,))}
    assert info.outputs == {"logits": ("FP32", (3,))}


def test_a_model_that_does_not_batch_has_no_batch_axis_to_leave_out(model: TritonModel, server: Kserve) -> None:
    """With max_batch_size 0 the first dimension is the model's own."""
    server.max_batch_size = 0
    assert model.info().inputs["input_ids"] == ("INT64", (-1,))


def test_a_model_that_is_not_there_may_still_come() -> None:
    """An unknown model is retryable: Triton may still be loading it."""
    with serving(Kserve()) as url:
        model = TritonModel(url, ModelRef("other", "1"))
        with pytest.raises(RetryableError, match="does not serve other: Request for unknown model"):
            model.info()
        model.close()


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (grpc.StatusCode.UNAVAILABLE, RetryableError, "is not available: because"),
        (grpc.StatusCode.NOT_FOUND, RetryableError, "does not serve sentiment: because"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, RetryableError, "did not answer within 10 s"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, RetryableError, r"failed \(RESOURCE_EXHAUSTED\): because"),
        (grpc.StatusCode.INTERNAL, RetryableError, r"failed \(INTERNAL\): because"),
        (grpc.StatusCode.CANCELLED, RetryableError, r"failed \(CANCELLED\): because"),
        (grpc.StatusCode.INVALID_ARGUMENT, RetryableError, r"failed \(INVALID_ARGUMENT\): because"),
        (grpc.StatusCode.UNIMPLEMENTED, ContractError, "refused the request to sentiment: because"),
        (grpc.StatusCode.PERMISSION_DENIED, ContractError, "refused the request to sentiment: because"),
    ],
)
def test_each_status_is_one_sentence(
    model: TritonModel, server: Kserve, code: grpc.StatusCode, kind: type[Exception], says: str
) -> None:
    """What may pass is retryable, what will not is a breach of contract; one line says which server and why."""
    server.answer = fails(code, "because\nof a long story")
    with pytest.raises(kind, match=f"^Triton at 127[^ ]+ {says}$"):
        model.submit(batch_of(rows(1))).result(WAIT_S)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, "unavailable"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "unavailable"),
        (grpc.StatusCode.CANCELLED, "unavailable"),
        (grpc.StatusCode.NOT_FOUND, "not_loaded"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "no_answer"),
        (grpc.StatusCode.INVALID_ARGUMENT, "refused"),
        (grpc.StatusCode.OUT_OF_RANGE, "refused"),
        (grpc.StatusCode.INTERNAL, "refused"),
        (grpc.StatusCode.UNKNOWN, "refused"),
        (grpc.StatusCode.FAILED_PRECONDITION, "refused"),
        (grpc.StatusCode.DATA_LOSS, "refused"),
    ],
)
def test_each_status_says_whether_the_model_was_there(
    model: TritonModel, server: Kserve, code: grpc.StatusCode, reason: str
) -> None:
    """Away, without the model, silent, or there and unwilling: what is retried, and what may be a message's fault."""
    server.answer = fails(code)
    with pytest.raises(ModelError) as failed:
        model.submit(batch_of(rows(1))).result(WAIT_S)
    assert failed.value.reason == reason


@pytest.mark.parametrize("details", ["", "  \n "])
def test_a_status_without_words_is_still_a_sentence(model: TritonModel, server: Kserve, details: str) -> None:
    """An error with nothing to say must not end in one of our own."""
    server.answer = fails(grpc.StatusCode.UNKNOWN, details)
    with pytest.raises(RetryableError, match=r"failed \(UNKNOWN\)"):
        model.submit(batch_of(rows(1))).result(WAIT_S)


def test_a_slow_answer_fails_at_its_deadline_and_is_cancelled(server: Kserve) -> None:
    """The future ends by itself, and the server learns that nobody waits any more."""
    server.answer = server.never
    with serving(server) as url:
        model = TritonModel(url, REF, timeout_s=0.2)
        with pytest.raises(RetryableError, match=r"did not answer within 0\.2 s"):
            model.submit(batch_of(rows(1))).result(WAIT_S)
        assert server.cancelled.wait(WAIT_S)
        model.close()


def test_closing_fails_what_is_in_flight(model: TritonModel, server: Kserve) -> None:
    """Every future has failed when `close` returns, and the server's work is cancelled."""
    server.answer = server.never
    futures = [model.submit(batch_of(rows(1))) for _ in range(3)]
    assert server.waiting.wait(WAIT_S)
    model.close()
    assert all(future.done() for future in futures)
    assert all(isinstance(failure(future), RetryableError) for future in futures)
    assert server.cancelled.wait(WAIT_S)


def test_a_closed_model_answers_with_failures(model: TritonModel) -> None:
    """Neither hangs nor raises anything of gRPC's; closing twice does no harm."""
    model.close()
    model.close()
    assert isinstance(failure(model.submit(batch_of(rows(1)))), RetryableError)
    with pytest.raises(RetryableError, match="closed"):
        model.info()


def test_closing_amid_submits_leaves_no_future_behind(server: Kserve) -> None:
    """Whoever comes first, each future ends: with logits or with RetryableError."""
    with serving(server) as url:
        model = TritonModel(url, REF, timeout_s=WAIT_S)
        futures: list[Future[Any]] = []
        started = threading.Event()

        def submit() -> None:
            for _ in range(200):
                futures.append(model.submit(batch_of(rows(2))))
                started.set()

        thread = threading.Thread(target=submit)
        thread.start()
        started.wait(WAIT_S)
        model.close()
        thread.join(WAIT_S)
        outcomes = [failure(future) for future in futures]
    assert len(outcomes) == 200
    assert {type(outcome) for outcome in outcomes} <= {type(None), ModelError}


def test_a_server_that_is_not_there_is_retryable() -> None:
    """Nobody listening fails at once, for both questions."""
    with serving(Kserve()) as url:
        pass
    model = TritonModel(url, REF, timeout_s=WAIT_S)
    assert isinstance(failure(model.submit(batch_of(rows(1)))), RetryableError)
    with pytest.raises(RetryableError, match="is not available"):
        model.info()
    model.close()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (logits_answer(np.zeros((2, 3), np.float32), name="scores"), r"nothing for logits, expected FP32 \[2, labels\]"),
        (logits_answer(np.zeros((2, 3), np.float64), datatype="FP64"), r"FP64 \[2, 3\] for logits"),
        (logits_answer(np.zeros((2, 3), np.uint8), datatype="BYTES"), r"BYTES \[2, 3\] for logits"),
        (logits_answer(np.zeros((1, 3), np.float32)), r"FP32 \[1, 3\] for logits"),
        (logits_answer(np.zeros((2,), np.float32)), r"FP32 \[2\] for logits"),
        (logits_answer(np.zeros((2, 2), np.float32), shape=(2, 3)), "cannot be read: cannot reshape"),
        (service_pb2.ModelInferResponse(), "nothing for logits"),
    ],
)
def test_an_answer_of_another_shape_is_refused(model: TritonModel, server: Kserve, answer: Any, says: str) -> None:
    """Whatever the server sends, the future ends, and never in logits of the wrong texts."""
    server.answer = lambda _request, _context: answer
    with pytest.raises(ContractError, match=f"^Triton answered with .*{says}"):
        model.submit(batch_of(rows(2))).result(WAIT_S)


def test_a_batch_of_no_shape_is_not_sent(model: TritonModel, server: Kserve) -> None:
    """The error names what is wrong with it."""
    flat = TokenBatch(np.ones(4, np.int64), np.ones(4, np.int64))
    with pytest.raises(ContractError, match=r"input_ids: expected the shape \(texts, tokens\)"):
        model.submit(flat).result(WAIT_S)
    assert server.requests == 0


def test_many_in_flight_come_back_to_their_own_futures(model: TritonModel) -> None:
    """Answers are told apart, whatever order they come in."""
    texts = [rows(1 + index % 5, seed=index) for index in range(100)]
    futures = [model.submit(batch_of(batch)) for batch in texts]
    for batch, future in zip(texts, futures, strict=True):
        assert future.result(WAIT_S)[:, 0].tolist() == [sum(ids) for ids in batch]


def test_a_cancelled_future_does_no_harm(model: TritonModel, server: Kserve) -> None:
    """The answer finds nobody, and the next request is served."""
    arrived, go = threading.Event(), threading.Event()

    def late(request: Any, context: grpc.ServicerContext) -> Any:
        arrived.set()
        go.wait(WAIT_S)
        return row_sums(request, context)

    server.answer = late
    future = model.submit(batch_of(rows(1)))
    assert arrived.wait(WAIT_S)
    assert future.cancel()
    go.set()
    assert model.submit(batch_of(rows(2))).result(WAIT_S).shape == (2, 3)


def test_requests_are_spread_over_all_servers() -> None:
    """GRPC alone would stay with the first; one name with many addresses serves round robin."""
    first, second = Kserve(), Kserve()
    with serving(first) as one, serving(second) as two:
        model = TritonModel(f"ipv4:{one},{two}", REF)
        while not (first.requests and second.requests):  # the second connection may take a moment
            model.submit(batch_of(rows(1))).result(WAIT_S)
        before = first.requests, second.requests
        for _ in range(10):
            model.submit(batch_of(rows(1))).result(WAIT_S)
        model.close()
    assert (first.requests - before[0], second.requests - before[1]) == (5, 5)


def test_tls_does_not_fall_back_to_plain_text(server: Kserve) -> None:
    """A server without TLS is not reachable with it."""
    with serving(server) as url:
        model = TritonModel(url, REF, tls=TlsFiles(), timeout_s=WAIT_S)
        assert isinstance(failure(model.submit(batch_of(rows(1)))), RetryableError)
        model.close()
    assert server.requests == 0


@pytest.mark.parametrize("url", ["http://triton:8000", "https://triton", "triton", ":8001", "triton:", "triton:8001/v2", ""])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    """The message says what a URL looks like here."""
    with pytest.raises(SettingsError, match=r"triton\.url: expected host:port of the gRPC endpoint, without a scheme"):
        TritonModel(url, REF)
