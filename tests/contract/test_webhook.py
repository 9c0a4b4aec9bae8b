"""The real messenger against real HTTP servers: every outcome, and that no secret is told."""

import base64
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.contract.redis_servers import free_port
from tests.integration.receiver import Receiver, receiving
from worker.adapters.webhook import WebhookMessenger
from worker.notify.config import parse_notify
from worker.notify.ports import Notification, Outcome
from worker.notify.routing import GroupName
from worker.notify.signing import verify

MARK = "hunter2"
NOW_S = 1_760_000_000.0
Send = Callable[[str], Outcome]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that answers 200."""
    with receiving() as made:
        yield made


def send(part: str) -> Outcome:
    """Send to an integration that is configured so."""
    text = f"route: {{receiver: r}}\nreceivers: [{{name: r, webhook_configs: [{{{part}}}]}}]"
    messenger = WebhookMessenger(parse_notify(text).targets, lambda: NOW_S)
    outcome = messenger.send(Notification(GroupName("r/webhook/0", "{}"), "the-key", b'{"alerts": []}'))
    assert MARK not in repr(outcome)
    return outcome


def test_what_arrives_is_whole_and_names_its_key(receiver: Receiver) -> None:
    """The body byte for byte, as JSON, with the key by which a repeat is known."""
    assert send(f"url: '{receiver.url}'").result == "sent"
    (request,) = receiver.requests
    assert request.body == b'{"alerts": []}'
    assert (request.headers["content-type"], request.headers["idempotency-key"]) == ("application/json", "the-key")
    assert "authorization" not in request.headers


@pytest.mark.parametrize(
    ("status", "result", "reason"),
    [
        (204, "sent", "ok"),
        (302, "refused", "redirect"),
        (400, "refused", "client_error"),
        (404, "refused", "client_error"),
        (408, "failed", "timeout"),
        (429, "failed", "rate_limited"),
        (500, "failed", "server_error"),
        (503, "failed", "server_error"),
    ],
)
def test_an_answer_is_judged(receiver: Receiver, status: int, result: str, reason: str) -> None:
    """As Alertmanager does, but for 408 and 429, which may pass."""
    receiver.status = status
    outcome = send(f"url: '{receiver.url}'")
    assert (outcome.result, outcome.reason) == (result, reason)
    assert str(status) in outcome.detail


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """Not even to the same machine: what is sent goes where the file says."""
    with receiving() as elsewhere:
        receiver.status, receiver.answer_headers = 307, {"Location": elsewhere.url}
        assert send(f"url: '{receiver.url}'").reason == "redirect"
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7.0), ("Thu, 09 Oct 2025 08:54:00 GMT", 40.0), ("soon", None), ("Mon, 06 Jan 2020 00:00:00 GMT", 0.0)],
)
def test_retry_after_is_read(receiver: Receiver, said: str, seconds: float | None) -> None:
    """In seconds or as a date; what is neither is nothing."""
    receiver.status, receiver.answer_headers = 429, {"Retry-After": said}
    assert send(f"url: '{receiver.url}'").retry_after_s == seconds


def test_nobody_there_and_no_answer() -> None:
    """The first was certainly not told, the second may have been."""
    assert send(f"url: 'http://127.0.0.1:{free_port()}/{MARK}'").reason == "no_connection"
    with receiving() as silent:
        silent.status = None
        outcome = send(f"url: '{silent.url}', timeout: 200ms")
    assert (outcome.result, outcome.reason) == ("unknown", "timeout")


def test_a_signature_and_a_password_come_from_files(receiver: Receiver, tmp_path: Path) -> None:
    """Each read for each notification."""
    secret = tmp_path / "secret"
    for text in (f"{MARK}-1\n", f"{MARK}-2"):
        secret.write_text(text)
        assert send(f"url: '{receiver.url}', signing: {{secret_file: {secret}}}").result == "sent"
        signed = receiver.requests[-1]
        assert verify(text.strip().encode(), signed.headers["x-tidings-signature"], signed.body, int(NOW_S))
    send(f"url: '{receiver.url}', http_config: {{authorization: {{credentials_file: {secret}}}}}")
    assert receiver.requests[-1].headers["authorization"] == f"Bearer {MARK}-2"
    send(f"url: '{receiver.url}', http_config: {{basic_auth: {{username: me, password_file: {secret}}}}}")
    assert receiver.requests[-1].headers["authorization"] == "Basic " + base64.b64encode(f"me:{MARK}-2".encode()).decode()
    (tmp_path / "url").write_text(receiver.url + "\n")
    assert send(f"url_file: {tmp_path / 'url'}").result == "sent"


@pytest.mark.parametrize("content", [None, b"", b"\xff", f"{MARK}\r\nX-Evil: 1".encode(), b"a" * 10 + b"\x00"])
def test_a_secret_that_is_none_is_told_by_its_file(receiver: Receiver, tmp_path: Path, content: bytes | None) -> None:
    """Nothing is sent, and nothing of it repeated."""
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    outcome = send(f"url: '{receiver.url}', signing: {{secret_file: {secret}}}")
    assert (outcome.result, outcome.reason) == ("failed", "setup")
    assert "signing.secret_file" in outcome.detail
    (tmp_path / "url").write_text(f"ftp://{MARK}")
    assert send(f"url_file: {tmp_path / 'url'}").reason == "setup"
    assert receiver.requests == []


def test_certificate_and_host_name_are_checked(tmp_path: Path) -> None:
    """By the authority that is named; another one, or another host, is not trusted."""
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with receiving(wrap=lambda server: context.wrap_socket(server, server_side=True)) as secure:
        url = secure.url.replace("http:", "https:")
        trusting = f"http_config: {{tls_config: {{ca_file: {tmp_path / 'ca.pem'}}}}}"
        assert send(f"url: '{url}', {trusting}").result == "sent"
        assert send(f"url: '{url.replace('127.0.0.1', 'localhost')}', {trusting}").reason == "tls"
        assert send(f"url: '{url}', {trusting.replace('ca.pem', 'other.pem')}").reason == "tls"
        assert send(f"url: '{url}'").reason == "tls"
        assert send(f"url: '{url}', {trusting.replace('ca.pem', 'none.pem')}").reason == "setup"
    assert len(secure.requests) == 1
