"""Triton by TLS: the real server where it is to be had, and a gRPC server of the same protocol for what is wrong."""

import dataclasses
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
import pytest
from tritonclient.grpc import service_pb2_grpc  # type: ignore[import-untyped]

from deploy.local import triton
from deploy.local.config import StackConfig
from deploy.local.errors import LocalStackError
from deploy.local.paths import RunFolder
from deploy.local.process import Server
from tests.conftest import _unavailable
from tests.security.certificates import Certificates, Pair
from tests.support.kserve import Kserve
from tests.support.tiny_onnx import write_repository
from worker import app
from worker.errors import SettingsError
from worker.ports import Model, TokenBatch
from worker.settings import Settings, TritonSettings
from worker.testing.model import contract

BOUND_S = 8.0
Options = dict[str, Any]


@pytest.fixture(scope="module")
def server(
    secure_config: StackConfig, secure_run: RunFolder, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """host:port of a real Triton whose gRPC endpoint speaks TLS and wants a certificate of its clients."""
    config = secure_config.but(model_repository=write_repository(tmp_path_factory.mktemp("repository")))
    options = (
        "--grpc-use-ssl=1",
        "--grpc-use-ssl-mutual=1",
        f"--grpc-server-cert={certificates.server.certificate}",
        f"--grpc-server-key={certificates.server.key}",
        f"--grpc-root-cert={certificates.authority}",
    )
    try:
        spec = triton.prepare(config, secure_run, lambda _line: None)
        running = Server(dataclasses.replace(spec, command=(*spec.command, *options)))
        running.start()
        try:
            running.wait_ready()
            yield f"127.0.0.1:{spec.ports['grpc']}"
        finally:
            running.stop()
    except LocalStackError as error:
        _unavailable(error.message)


def connect(url: str, **options: Any) -> Model:
    """The model as the worker opens it."""
    return app.connect_model(Settings(triton=TritonSettings(url=url, timeout_s=5, **options)), contract())


def right(certificates: Certificates, pair: Pair | None = None) -> Options:
    """Settings for a server that wants a certificate."""
    shown = pair or certificates.client
    files = {"ssl_certificate_location": shown.certificate, "ssl_key_location": shown.key}
    return {"tls": True, "ssl_ca_location": certificates.authority, **files}


def works(model: Model) -> None:
    """The server says who it is, and answers a batch."""
    with closing(model):
        assert model.info().name == "sentiment"
        batch = TokenBatch(np.full((1, 16), 7, dtype=np.int64), np.ones((1, 16), dtype=np.int64))
        assert model.submit(batch).result(30).shape == (1, 3)


@pytest.mark.real
@pytest.mark.timeout(120)
def test_a_real_triton_by_mutual_tls(server: str, certificates: Certificates) -> None:
    """With our own authority and a certificate of ours; without one, or in plain text, it says what is wrong."""
    works(connect(server, **right(certificates)))
    works(connect(server.replace("127.0.0.1", "localhost"), **right(certificates)))
    ours = r"triton\.ssl_certificate_location"
    refused(server, {"tls": True, "ssl_ca_location": certificates.authority}, ours)
    refused(server, right(certificates, certificates.foreign_client), ours)
    refused(server, right(certificates) | {"ssl_ca_location": certificates.other_authority}, r"triton\.ssl_ca_location")
    refused(server, {}, r"triton\.tls")


def refused(url: str, options: Options, says: str) -> None:
    """It is told what is wrong, in time."""
    began = time.monotonic()
    with closing(connect(url, **options)) as model, pytest.raises(SettingsError, match=says):
        model.info()
    assert time.monotonic() - began < BOUND_S


@contextmanager
def serving(pair: Pair, authority: Path | None = None) -> Iterator[str]:
    """A gRPC server of Triton's protocol that shows this certificate; with an authority it wants one of its clients."""
    credentials = grpc.ssl_server_credentials(
        [(pair.key.read_bytes(), pair.certificate.read_bytes())],
        root_certificates=authority and authority.read_bytes(),
        require_client_auth=authority is not None,
    )
    server = grpc.server(ThreadPoolExecutor(4))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Kserve(), server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()


def test_tls_without_a_certificate_of_ours(certificates: Certificates) -> None:
    """The server alone proves who it is."""
    with serving(certificates.server) as url:
        works(connect(url, tls=True, ssl_ca_location=certificates.authority))


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        ("expired_server", r"expired.*triton\.ssl_ca_location"),
        ("elsewhere_server", r"mismatch.*triton\.url"),
    ],
)
def test_a_server_that_proves_nothing_is_refused(certificates: Certificates, shown: str, says: str) -> None:
    """An expired certificate, or one for another host, is as good as none."""
    with serving(getattr(certificates, shown)) as url:
        refused(url, {"tls": True, "ssl_ca_location": certificates.authority}, says)


def test_an_expired_certificate_of_ours_is_refused(certificates: Certificates) -> None:
    """The server looks at its date."""
    with serving(certificates.server, certificates.authority) as url:
        works(connect(url, **right(certificates)))
        refused(url, right(certificates, certificates.expired_client), r"triton\.ssl_certificate_location")
