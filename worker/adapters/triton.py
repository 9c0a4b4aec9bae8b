"""The model on Triton Inference Server, over gRPC; the one module that knows tritonclient.

One client per process, reused (Triton client guide). The caller bounds what is in flight.
"""

import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

import numpy as np
import tritonclient.grpc as triton  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]

from worker.errors import ContractError, ModelError, ModelErrorReason, SettingsError, TidingsError
from worker.messages import ModelRef
from worker.ports import ModelInfo, TokenBatch
from worker.score.contract import INPUTS, batch_problem
from worker.tls import TlsFiles, certificate_problem, refuses_us, speaks_tls

Logits = NDArray[np.float32]

_CHANNEL_ARGS: list[tuple[str, int | str]] = [
    # gRPC keeps one connection and so sticks to one pod; behind a headless service the name resolves to every pod, and this
    # spreads requests over them (triton-inference-server/server issue 4036).
    ("grpc.lb_policy_name", "round_robin"),
    # A pod that vanished without a word is noticed after 30 s. More frequent pings would make Triton close the connection.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # The default grows to two minutes, long after a restarted Triton is back.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    # Triton is a neighbour: a proxy set for the way out of the cluster does not lead to it.
    ("grpc.enable_http_proxy", 0),
]
_TARGET_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:")
_NOT_FOR_US = ("UNIMPLEMENTED", "UNAUTHENTICATED", "PERMISSION_DENIED")
_REASONS: dict[str, ModelErrorReason] = {
    "DEADLINE_EXCEEDED": "no_answer",
    "NOT_FOUND": "not_loaded",
    "UNAVAILABLE": "unavailable",
    "RESOURCE_EXHAUSTED": "unavailable",
    "CANCELLED": "unavailable",
    "ABORTED": "unavailable",
}
"""What each gRPC status says of the server; any other is an answer to this very request, an error."""
_CLOSED = "the connection to Triton was closed"


class TritonModel:
    """A model that Triton serves; the `worker.ports.Model` of production.

    Args:
        url: host:port of the gRPC endpoint; the name may resolve to several servers, which then share the requests. A gRPC
            target such as `ipv4:10.0.0.1:8001,10.0.0.2:8001` is taken as it is.
        ref: name and version to ask for.
        timeout_s: a request that takes longer is cancelled and fails.
        tls: encrypt, and check the server's certificate and host name; None for plain text. Without an authority, the roots are
            those in `GRPC_DEFAULT_SSL_ROOTS_FILE_PATH`, else gRPC's own.
        outputs: names of the output tensors, from the contract; an answer has their columns side by side.

    Raises:
        SettingsError: the URL is of another kind.
    """

    def __init__(
        self,
        url: str,
        ref: ModelRef,
        *,
        timeout_s: float = 10,
        tls: TlsFiles | None = None,
        outputs: Sequence[str] = ("logits",),
    ) -> None:
        self._client = _client(url, tls)
        self._url = url
        self._tls = tls
        self._ref = ref
        self._timeout_s = timeout_s
        self._outputs = tuple(outputs)
        self._lock = threading.Lock()
        self._in_flight: set[Future[Logits]] = set()
        self._closed = False

    def info(self) -> ModelInfo:
        """Ask the server; see `worker.ports.Model`. Names every version that is ready, not only the one of `ref`."""
        server = self._ask(self._client.get_server_metadata)
        model = self._ask(self._client.get_model_metadata, self._ref.name)
        config = self._ask(self._client.get_model_config, self._ref.name).config
        batch_axes = 1 if config.max_batch_size > 0 else 0
        return ModelInfo(
            name=model.name,
            versions=tuple(model.versions),
            platform=model.platform,
            max_batch_size=config.max_batch_size,
            inputs=_tensors(model.inputs, batch_axes),
            outputs=_tensors(model.outputs, batch_axes),
            server=f"{server.name} {server.version}",
        )

    def submit(self, batch: TokenBatch) -> Future[Logits]:
        """Start inference; every failure comes with the future, which always ends, at `timeout_s` at the latest.

        The future gives answers of shape (texts, columns), or raises ModelError (unreachable, too slow, overloaded, model not
        loaded, closed; or the server answered this batch with an error) or ContractError (an answer in another shape, or we
        may not ask). At the deadline gRPC cancels the request, and an answer that still comes finds nobody.
        """
        future: Future[Logits] = Future()
        problem = batch_problem(batch)
        if problem:
            _fail(future, ContractError(problem))
        elif not self._enlist(future):
            _fail(future, ModelError("unavailable", _CLOSED))
        else:
            self._send(batch, future)
        return future

    def close(self) -> None:
        """Drop the connection, which cancels the calls in flight; their futures fail before this returns. May be repeated."""
        with self._lock:
            self._closed = True
            abandoned = tuple(self._in_flight)
            self._in_flight.clear()
        self._client.close()
        for future in abandoned:
            _fail(future, ModelError("unavailable", _CLOSED))

    def _enlist(self, future: "Future[Logits]") -> bool:
        with self._lock:
            if not self._closed:
                self._in_flight.add(future)
            return not self._closed

    def _send(self, batch: TokenBatch, future: "Future[Logits]") -> None:
        def answered(result: Any, error: InferenceServerException | None) -> None:
            with self._lock:
                self._in_flight.discard(future)
            if error is None:
                _settle(future, lambda: _answers(result, self._outputs, len(batch.input_ids)))
            else:
                _fail(future, self._translated(error))

        try:
            self._client.async_infer(
                self._ref.name,
                _inputs(batch),
                answered,
                model_version=self._ref.version,
                outputs=[triton.InferRequestedOutput(output) for output in self._outputs],
                client_timeout=self._timeout_s,
                headers=batch.headers,
            )
        except InferenceServerException as error:
            answered(None, error)
        except ValueError:  # gRPC's way to say that another thread has closed the channel
            _fail(future, ModelError("unavailable", _CLOSED))

    def _ask(self, question: Callable[..., Any], *names: str) -> Any:
        try:
            return question(*names, client_timeout=self._timeout_s)
        except InferenceServerException as error:
            if problem := self._tls_problem(str(error.message() or "")):
                raise SettingsError(f"Triton at {self._url} refuses us, or we it: {problem}") from error
            raise self._translated(error) from error
        except ValueError as error:
            raise ModelError("unavailable", _CLOSED) from error

    def _translated(self, error: InferenceServerException) -> TidingsError:
        """Make one sentence of a gRPC status (https://grpc.io/docs/guides/status-codes/)."""
        code = str(error.status() or "").removeprefix("StatusCode.")
        said = (error.message() or "no reason given").strip().partition("\n")[0]
        if code in _NOT_FOR_US:
            return ContractError(f"Triton at {self._url} refused the request to {self._ref.name}: {said}")
        return ModelError(_REASONS.get(code, "refused"), self._sentence(code, said))

    def _sentence(self, code: str, said: str) -> str:
        server = f"Triton at {self._url}"
        if code == "DEADLINE_EXCEEDED":
            return f"{server} did not answer within {self._timeout_s:g} s"
        if code == "UNAVAILABLE":
            return f"{server} is not available: {said}"
        if code == "NOT_FOUND":
            return f"{server} does not serve {self._ref.name}: {said}"
        if code == "CANCELLED" and self._closed:
            return _CLOSED
        return f"{server} failed ({code or 'no status'}): {said}"

    def _tls_problem(self, said: str) -> str | None:
        """Say what is wrong with TLS between us and the server, None if nothing is known to be."""
        address = self._url.removeprefix("dns:///")
        if self._tls is None:
            return "it speaks TLS; set triton.tls" if speaks_tls(address) else None
        if re.search("CERTIFICATE_VERIFY_FAILED|not in peer certificate|[Hh]ostname [Vv]erification", said):
            problem = certificate_problem(address, self._tls.authority) or "its certificate cannot be verified"
            return f"{problem}; look at triton.ssl_ca_location, at its certificate, and at the host in triton.url"
        if re.search("WRONG_VERSION_NUMBER", said):
            return "it does not speak TLS; unset triton.tls"
        if re.search("ALERT|alert", said) or refuses_us(address, self._tls):
            return "look at triton.ssl_certificate_location: it wants a certificate of ours, or another one"
        return None


def _client(url: str, tls: TlsFiles | None) -> triton.InferenceServerClient:
    target, files = _target(url), tls or TlsFiles()
    root, certificate, key = (path and str(path) for path in files[:3])
    return triton.InferenceServerClient(
        target,
        ssl=tls is not None,
        root_certificates=root,
        private_key=key,
        certificate_chain=certificate,
        channel_args=_CHANNEL_ARGS,
    )


def _target(url: str) -> str:
    """Return the gRPC target; see https://github.com/grpc/grpc/blob/master/doc/naming.md."""
    if url.startswith(_TARGET_SCHEMES):
        return url
    host, _, port = url.rpartition(":")
    if "/" in url or not host or not port.isdecimal():
        raise SettingsError(f"triton.url: expected host:port of the gRPC endpoint, without a scheme, got {url}")
    return f"dns:///{url}"


def _tensors(tensors: Any, batch_axes: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {tensor.name: (tensor.datatype, tuple(tensor.shape)[batch_axes:]) for tensor in tensors}


def _inputs(batch: TokenBatch) -> list[Any]:
    inputs = []
    for name in INPUTS:
        values = getattr(batch, name)
        tensor = triton.InferInput(name, values.shape, "INT64")
        inputs.append(tensor.set_data_from_numpy(values))
    return inputs


def _answers(result: Any, outputs: Sequence[str], texts: int) -> Logits:
    parts = [_logits(result, output, texts) for output in outputs]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _logits(result: Any, output: str, texts: int) -> Logits:
    tensor = result.get_output(output)
    shape = tuple(tensor.shape) if tensor else ()
    if tensor is None or tensor.datatype != "FP32" or len(shape) != 2 or shape[0] != texts:
        got = f"{tensor.datatype} {list(shape)}" if tensor else "nothing"
        raise ContractError(f"Triton answered with {got} for {output}, expected FP32 [{texts}, labels]")
    try:
        logits: Logits = result.as_numpy(output)
    except ValueError as error:
        raise ContractError(f"Triton answered with an output {output} that cannot be read: {error}") from error
    return logits


def _settle(future: "Future[Logits]", answer: Callable[[], Logits]) -> None:
    try:
        logits = answer()
    except TidingsError as error:
        _fail(future, error)
    else:
        with suppress(InvalidStateError):
            future.set_result(logits)


def _fail(future: "Future[Logits]", error: TidingsError) -> None:
    """Fail the future unless it is already done: `close` and gRPC's own thread may both come here."""
    with suppress(InvalidStateError):
        future.set_exception(error)
