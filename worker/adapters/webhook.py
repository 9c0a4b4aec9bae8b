"""Notifications over HTTP: the real `Messenger`, on urllib3.

Every wait is bounded, certificates and host names are checked, no redirect is followed and no proxy of the environment is
used: what is sent goes to the address of notify.yaml or nowhere. Secrets are read from their files for each notification, so
that they can be changed at any time, and nothing that an error or a log says is taken from them.
"""

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import urllib3
from urllib3 import exceptions as http_errors
from urllib3.util import Timeout

from worker import __version__
from worker.errors import SettingsError
from worker.notify.config import Target
from worker.notify.parts import HttpConfig, Integration, TlsConfig, check_url
from worker.notify.ports import Notification, Outcome
from worker.notify.signing import HEADER as SIGNATURE
from worker.notify.signing import sign

IDEMPOTENCY_KEY = "Idempotency-Key"
_MAX_SECRET_BYTES = 65_536
_NO_CONNECTION = (http_errors.NewConnectionError, http_errors.ConnectTimeoutError, http_errors.NameResolutionError)


class WebhookMessenger:
    """A `Messenger` for these integrations; may be used from several threads.

    Args:
        targets: the integrations by name.
        wall_clock: seconds since the epoch, for signatures and `Retry-After`.
    """

    def __init__(self, targets: Mapping[str, Target], wall_clock: Callable[[], float] = time.time) -> None:
        self._targets = targets
        self._wall_clock = wall_clock

    def send(self, notification: Notification) -> Outcome:
        """See `Messenger.send`."""
        config = self._targets[notification.group.target].config
        try:
            url, headers = _address(config), self._headers(config, notification)
            pool = _pool(config.http_config.tls_config)
        except SettingsError as error:
            return Outcome("failed", "setup", str(error))
        with pool:
            return self._post(pool, config, url, headers, notification.body)

    def _post(
        self, pool: urllib3.PoolManager, config: Integration, url: str, headers: Mapping[str, str], body: bytes
    ) -> Outcome:
        timeout = Timeout(connect=config.timeout / 1_000, read=config.timeout / 1_000)
        try:
            answer = pool.request(
                "POST", url, body=body, headers=headers, timeout=timeout, retries=False, redirect=False, preload_content=False
            )
        except http_errors.HTTPError as error:
            return _not_answered(error)
        try:
            return self._judged(answer.status, answer.headers.get("Retry-After"))
        finally:
            answer.close()

    def _judged(self, status: int, retry_after: str | None) -> Outcome:
        said = f"the receiver answered {status}"
        if 200 <= status < 300:
            return Outcome("sent", "ok", said)
        if 300 <= status < 400:
            return Outcome("refused", "redirect", f"{said}: redirects are not followed, give its real address in notify.yaml")
        if status in {429, 503}:
            return Outcome("failed", "rate_limited" if status == 429 else "server_error", said, self._seconds(retry_after))
        if status >= 500 or status == 408:
            return Outcome("failed", "server_error" if status >= 500 else "timeout", said)
        return Outcome("refused", "client_error", said)

    def _seconds(self, retry_after: str | None) -> float | None:
        """Read RFC 9110, 10.2.3: seconds, or a date."""
        if retry_after is None:
            return None
        if re.fullmatch(r"\d{1,9}", retry_after.strip()):
            return float(retry_after)
        try:
            at = parsedate_to_datetime(retry_after)
        except ValueError:
            return None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return max(0.0, (at - datetime.fromtimestamp(self._wall_clock(), UTC)).total_seconds())

    def _headers(self, config: Integration, notification: Notification) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"Tidings/{__version__}",
            IDEMPOTENCY_KEY: notification.key,
            **_authorization(config.http_config),
        }
        if config.signing is not None:
            secret = _secret(config.signing.secret_file, "signing.secret_file")
            headers[SIGNATURE] = sign(secret.encode(), int(self._wall_clock()), notification.body)
        return headers


def _authorization(http: HttpConfig) -> dict[str, str]:
    if http.authorization is not None:
        secret = _secret(http.authorization.credentials_file, "authorization.credentials_file")
        return {"Authorization": f"{http.authorization.type} {secret}"}
    if http.basic_auth is not None:
        password = _secret(http.basic_auth.password_file, "basic_auth.password_file")
        return urllib3.make_headers(basic_auth=f"{http.basic_auth.username}:{password}")
    return {}


def _address(config: Integration) -> str:
    address = config.address
    if isinstance(address, Path):
        try:
            address = check_url(_secret(address, f"{config.url_field}_file"))
        except ValueError as error:
            raise SettingsError(f"{config.url_field}_file: {error}") from None
    return address.get_secret_value()


def _secret(path: Path, field: str) -> str:
    """Read a secret, without the line's end.

    Raises:
        SettingsError: it cannot be read, or cannot stand in a header.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_SECRET_BYTES).decode().rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"{field}: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{field}: {path} is no text") from None
    if not text or not text.isprintable() or not text.isascii():
        raise SettingsError(f"{field}: {path} should hold one line of printable ASCII")
    return text


def _pool(tls: TlsConfig) -> urllib3.PoolManager:
    for field, path in (("ca_file", tls.ca_file), ("cert_file", tls.cert_file), ("key_file", tls.key_file)):
        if path is not None and not path.is_file():
            raise SettingsError(f"tls_config.{field}: there is no file {path}")
    return urllib3.PoolManager(
        num_pools=1,
        cert_reqs="CERT_REQUIRED",
        ca_certs=tls.ca_file and str(tls.ca_file),
        cert_file=tls.cert_file and str(tls.cert_file),
        key_file=tls.key_file and str(tls.key_file),
    )


def _not_answered(error: http_errors.HTTPError) -> Outcome:
    """Say what happened in words of our own: urllib3's repeat the path of the URL, which may be a secret."""
    if isinstance(error, _NO_CONNECTION):
        return Outcome("failed", "no_connection", f"no connection: {_cause(error)}")
    if isinstance(error, http_errors.SSLError):
        return Outcome("failed", "tls", f"TLS failed: {_cause(error)}; look at tls_config and at the receiver's certificate")
    if isinstance(error, http_errors.TimeoutError):
        return Outcome("unknown", "timeout", "no answer in time")
    return Outcome("unknown", "no_connection", f"the connection broke: {type(error).__name__}")


def _cause(error: BaseException) -> str:
    """The system's or OpenSSL's own words for it."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, OSError) and found.strerror:
            return getattr(found, "verify_message", None) or found.strerror
        arguments = [one for one in getattr(found, "args", ()) if isinstance(one, BaseException)]
        found = found.__cause__ or found.__context__ or (arguments[0] if arguments else None)
    return type(error).__name__
