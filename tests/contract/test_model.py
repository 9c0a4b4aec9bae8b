"""The rules of `worker.ports.Model`, held by the fake, by ONNX Runtime in this process and by a real Triton."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy.local.config import TRITON_VARIABLE, ModelChoice, StackConfig
from deploy.local.errors import LocalStackError
from deploy.local.stack import LocalStack
from tests.support.batches import batch_of, rows
from tests.support.tiny_onnx import write_repository
from worker.adapters.onnx import OnnxModel
from worker.adapters.paired import PairedModel
from worker.adapters.triton import TritonModel
from worker.errors import ContractError, ModelError, RetryableError, TidingsError
from worker.messages import ModelRef
from worker.ports import Model, TokenBatch
from worker.score.contract import mismatches
from worker.testing.model import FakeModel, contract, hashed_logits

REF = ModelRef("sentiment", "1")
TOLERANCE = 1e-3
WAIT_S = 60
"""Far longer than anything here takes: a future that hangs fails its test."""

real = pytest.mark.real
Maker = Callable[[], Model]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with the tiny model."""
    return write_repository(tmp_path_factory.mktemp("triton_repo"))


@pytest.fixture(scope="module")
def triton_alone(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A Triton that serves the tiny model and may be killed, or the one that `TIDINGS_TRITON__URL` names."""
    config = StackConfig.from_environment().but(
        state=tmp_path_factory.mktemp("state"),
        model_repository=repository,
        parts=frozenset({"triton"}),
        triton=ModelChoice.TRITON,
    )
    try:
        stack = LocalStack.start(config)
    except LocalStackError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"Triton is missing, and with CI=true it may not be: {error.message}", pytrace=False)
        pytest.skip(error.message)
    with stack:
        yield stack


def triton_url(stack: LocalStack) -> str:
    """Return host:port of its gRPC endpoint."""
    return stack.settings_env()[TRITON_VARIABLE]


@pytest.fixture(params=["fake", "paired", "onnx", pytest.param("triton", marks=real)])
def maker(request: pytest.FixtureRequest, repository: Path) -> Maker:
    """How to make one more of the kind under test."""
    if request.param == "fake":
        return FakeModel
    if request.param == "paired":  # the second gives no columns, so that the answers are of the shape that the rules speak of
        return lambda: PairedModel(FakeModel(), FakeModel(lambda _ids: []))
    if request.param == "onnx":
        return lambda: OnnxModel(repository / "sentiment" / "1" / "model.onnx", REF, threads=1, in_flight=3)
    url = triton_url(request.getfixturevalue("triton_alone"))
    return lambda: TritonModel(url, REF)


@pytest.fixture
def model(maker: Maker) -> Iterator[Model]:
    """One of the kind under test."""
    with closing(maker()) as model:
        yield model


def logits(model: Model, texts: list[list[int]], bucket: int = 32) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the model's answer for one batch."""
    return model.submit(batch_of(texts, bucket)).result(WAIT_S)


def test_what_the_server_says_keeps_the_contract(model: Model) -> None:
    """Tensors, versions and batch limit are told so that the contract can be held against them."""
    info = model.info()
    assert mismatches(contract(), info) == []
    assert info.server


def test_logits_are_float32_one_row_per_text(model: Model) -> None:
    """Shape (texts, labels), finite, and not the same for every text."""
    answer = logits(model, rows(7))
    assert answer.dtype == np.float32
    assert answer.shape == (7, 3)
    assert np.isfinite(answer).all()
    assert len(np.unique(answer.round(3), axis=0)) == 7


@pytest.mark.parametrize("bucket", [32, 64])
def test_neighbours_and_padding_change_nothing(model: Model, bucket: int) -> None:
    """A text gives the same logits alone, tightly padded, as in a full batch of a longer bucket."""
    texts = rows(64, seed=1)
    together = logits(model, texts, bucket)
    for index in (0, 13, 63):
        alone = logits(model, [texts[index]], len(texts[index]))
        np.testing.assert_allclose(alone[0], together[index], atol=TOLERANCE)


def test_rows_come_back_in_the_order_they_were_sent(model: Model) -> None:
    """Shuffled texts give the same rows, shuffled."""
    texts = rows(20, seed=3)
    order = np.random.default_rng(3).permutation(20)
    shuffled = logits(model, [texts[index] for index in order])
    np.testing.assert_allclose(shuffled, logits(model, texts)[order], atol=TOLERANCE)


def test_many_submits_at_one_time_keep_their_own_answers(model: Model) -> None:
    """Batches of several sizes and buckets from several threads: every future gets its own texts' logits."""
    batches = [(rows(1 + index % 9, seed=index), (32, 64)[index % 2]) for index in range(120)]
    expected = [logits(model, texts, bucket) for texts, bucket in batches]
    with ThreadPoolExecutor(4) as pool:
        futures = list(pool.map(lambda work: model.submit(batch_of(*work)), batches))
    for future, wanted in zip(futures, expected, strict=True):
        np.testing.assert_allclose(future.result(WAIT_S), wanted, atol=TOLERANCE)


@pytest.mark.parametrize("shapes", [((4,), (4,)), ((2, 4), (2, 5)), ((2, 4), (3, 4)), ((0, 4), (0, 4)), ((1, 2, 4), (1, 2, 4))])
def test_a_batch_of_no_shape_fails_clearly(model: Model, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """The future says what is wrong; the next batch is served."""
    ids, mask = (np.ones(shape, np.int64) for shape in shapes)
    with pytest.raises(ContractError, match="expected the shape"):
        model.submit(TokenBatch(ids, mask)).result(WAIT_S)
    assert logits(model, rows(2)).shape == (2, 3)


def test_more_texts_than_the_server_takes_fail_clearly(model: Model) -> None:
    """The limit that `info` tells is the one that holds."""
    limit = model.info().max_batch_size
    if limit > 4096:
        assert logits(model, rows(300)).shape == (300, 3)
        return
    assert logits(model, rows(limit)).shape == (limit, 3)
    with pytest.raises(ModelError, match=str(limit)) as refused:
        logits(model, rows(limit + 1))
    assert refused.value.reason == "refused"


def test_a_closed_model_fails_and_does_not_hang(maker: Maker) -> None:
    """What was in flight ends, with logits or as retryable; what comes after is retryable; closing again is harmless."""
    model = maker()
    before = [model.submit(batch_of(rows(3, seed=seed))) for seed in range(30)]
    model.close()
    model.close()
    after = model.submit(batch_of(rows(3)))
    assert {type(future.exception(WAIT_S)) for future in before} <= {type(None), ModelError}
    assert isinstance(after.exception(WAIT_S), RetryableError)


def test_closing_one_leaves_the_others(maker: Maker) -> None:
    """Two connections to one server share nothing."""
    with closing(maker()) as kept:
        closing_soon = maker()
        logits(closing_soon, rows(1))
        closing_soon.close()
        assert logits(kept, rows(2)).shape == (2, 3)


def test_the_fake_answers_in_the_order_it_is_told() -> None:
    """Released out of order, each batch still gets its own logits, and the others wait."""
    fake = FakeModel(manual=True)
    texts = [rows(count, seed=count) for count in (1, 2, 3)]
    futures = [fake.submit(batch_of(batch)) for batch in texts]
    assert fake.waiting == 3
    fake.release(2)
    assert [future.done() for future in futures] == [False, False, True]
    fake.release()
    assert [future.done() for future in futures] == [True, False, True]
    assert futures[2].result().tolist() == [hashed_logits(ids) for ids in texts[2]]
    assert fake.shapes == [(1, 32), (2, 32), (3, 32)]
    fake.close()
    assert isinstance(futures[1].exception(), RetryableError)


def test_the_fake_fails_where_it_is_told() -> None:
    """By the number of the call or by what is in the batch; the other calls are answered."""

    def failure(call: int, batch: TokenBatch) -> TidingsError | None:
        return RetryableError("told to") if call == 0 or 13 in batch.input_ids else None

    fake = FakeModel(failure=failure)
    outcomes = [fake.submit(batch_of([ids])).exception() for ids in ([1, 2], [1, 2], [1, 13], [1, 2])]
    assert [type(outcome) for outcome in outcomes] == [RetryableError, type(None), RetryableError, type(None)]


def test_the_fake_is_silent_where_it_is_told() -> None:
    """A call that hangs fails at its deadline and not before; others are answered meanwhile."""
    now_s = [100.0]
    fake = FakeModel(hangs=lambda _call, batch: 13 in batch.input_ids)
    fake.monotonic, fake.timeout_s = (lambda: now_s[0]), 5.0
    silent, answered = fake.submit(batch_of([[1, 13]])), fake.submit(batch_of([[1, 2]]))
    fake.expire()
    assert [silent.done(), answered.done()] == [False, True]
    now_s[0] += 5.0
    fake.expire()
    error = silent.exception()
    assert isinstance(error, ModelError)
    assert error.reason == "no_answer"


@pytest.fixture
def own_server(triton_alone: LocalStack) -> Iterator[LocalStack]:
    """A Triton that a test may kill or pause: it serves again afterwards."""
    if os.environ.get(TRITON_VARIABLE):
        pytest.skip("somebody else's Triton is not ours to kill")
    server = triton_alone.server("triton")
    try:
        yield triton_alone
    finally:
        server.resume()
        if not server.alive:
            server.restart()


@real
def test_a_killed_server_is_retryable_and_may_come_back(own_server: LocalStack) -> None:
    """Requests in flight and new ones fail as retryable; when the server is back, the same client goes on."""
    with closing(TritonModel(triton_url(own_server), REF, timeout_s=20)) as model:
        wanted = logits(model, rows(4))
        own_server.server("triton").pause()
        in_flight = model.submit(batch_of(rows(4)))
        own_server.server("triton").kill()
        assert isinstance(in_flight.exception(WAIT_S), RetryableError)
        assert isinstance(model.submit(batch_of(rows(4))).exception(WAIT_S), RetryableError)
        with pytest.raises(RetryableError):
            model.info()
        own_server.server("triton").restart()
        np.testing.assert_allclose(_eventually(model), wanted, atol=TOLERANCE)


@real
def test_a_server_that_does_not_answer_is_retryable_at_the_deadline(own_server: LocalStack) -> None:
    """A paused server accepts and never answers: the future ends by itself, and later requests are served."""
    with closing(TritonModel(triton_url(own_server), REF, timeout_s=1)) as model:
        logits(model, rows(1))
        own_server.server("triton").pause()
        with pytest.raises(RetryableError, match="did not answer within 1 s"):
            logits(model, rows(1))
        own_server.server("triton").resume()
        assert _eventually(model).shape == (4, 3)


@real
def test_a_version_that_is_not_served_is_retryable(triton_alone: LocalStack) -> None:
    """It may still be loading; `info` tells which versions are there."""
    with closing(TritonModel(triton_url(triton_alone), ModelRef("sentiment", "9"))) as model:
        with pytest.raises(RetryableError, match="sentiment"):
            logits(model, rows(1))
        assert "9" not in model.info().versions


def _eventually(model: Model) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the answer for `rows(4)`, asking again as a role would while the connection is being made anew."""
    for _ in range(200):
        future: Future[np.ndarray[Any, np.dtype[np.float32]]] = model.submit(batch_of(rows(4)))
        error = future.exception(WAIT_S)
        if error is None:
            return future.result()
        time.sleep(0.05)
    raise AssertionError(f"the server did not come back: {error}")
