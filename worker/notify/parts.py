"""The parts of notify.yaml, in the vocabulary of Prometheus Alertmanager, as checked, frozen values. Pure.

https://prometheus.io/docs/alerting/latest/configuration/ has the originals; `signing` is ours. A secret is named by its file;
where it may be written down all the same, in a URL, no error repeats it.
"""

from pathlib import Path
from typing import Annotated, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema, model_validator

from worker.alert.matchers import parse_matchers
from worker.alert.parameters import Duration, Part

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
ALL_LABELS = "..."
_EXAMPLE = "expected a URL such as https://example.org/hook"


def check_url(value: object) -> SecretStr:
    """Return the URL.

    Raises:
        ValueError: it is none for HTTP; what it is, is not repeated.
    """
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str) or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(_EXAMPLE)
    try:
        url = urlsplit(text)
        is_whole = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ValueError(_EXAMPLE)
    if "@" in url.netloc:
        raise ValueError("no user and password in the URL: give them as `http_config: {basic_auth: {username, password_file}}`")
    return SecretStr(text)


def is_plain(url: SecretStr) -> bool:
    """Whether what goes there can be read on the way: http, and not to this machine."""
    parts = urlsplit(url.get_secret_value())
    return parts.scheme == "http" and parts.hostname not in LOOPBACK


def _matcher(text: str) -> str:
    parse_matchers(text)
    return text


def _positive(milliseconds: int) -> int:
    if milliseconds <= 0:
        raise ValueError("expected a duration of more than nothing")
    return milliseconds


Url = Annotated[SecretStr, BeforeValidator(check_url), WithJsonSchema({"type": "string", "pattern": "^https?://[^@ ]+$"})]
Positive = Annotated[Duration, AfterValidator(_positive)]
Matcher = Annotated[str, AfterValidator(_matcher)]
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_. -]{0,99}$")]
Label = Annotated[str, Field(pattern=r"^([a-zA-Z_][a-zA-Z0-9_]*|\.\.\.)$")]
Flag = Annotated[bool, Field(strict=True)]


class Authorization(Part):
    """The header `Authorization`, its secret in a file."""

    type: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")] = "Bearer"
    """The scheme, the first word of the header."""
    credentials_file: Path
    """The file with what comes behind it; read for each notification."""


class BasicAuth(Part):
    """User and password, the latter in a file."""

    username: Annotated[str, Field(pattern=r"^[!-9;-~]+$")]
    """The user, printable ASCII without a colon."""
    password_file: Path
    """The file with the password; read for each notification."""


class TlsConfig(Part):
    """Whom to trust, and who we are. The certificate and the host name are always checked."""

    ca_file: Path | None = None
    """Certificate authority of the receiver, PEM; by default those that the system trusts."""
    cert_file: Path | None = None
    """Our certificate for mTLS, PEM."""
    key_file: Path | None = None
    """Its key, PEM."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("`cert_file` and `key_file` go together")
        return self


class HttpConfig(Part):
    """How the receiver knows us, and we it. Redirects are never followed."""

    authorization: Authorization | None = None
    """A header `Authorization`."""
    basic_auth: BasicAuth | None = None
    """User and password."""
    tls_config: TlsConfig = TlsConfig()
    """For https."""

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        if self.authorization and self.basic_auth:
            raise ValueError("`authorization` or `basic_auth`, not both: they are the same header")
        return self


class Signing(Part):
    """A header that proves a notification to be ours and whole: HMAC-SHA256 over its time and body."""

    secret_file: Path
    """The file with the secret that the receiver shares; read for each notification."""


class Integration(Part):
    """What all ways to notify have in common."""

    kind: ClassVar[str] = ""
    url_field: ClassVar[str] = "url"

    http_config: HttpConfig = HttpConfig()
    """How the receiver knows us, and we it."""
    signing: Signing | None = None
    """By default notifications are not signed."""
    timeout: Positive = 10_000
    """Connecting and answering take at most this long, each."""

    @property
    def address(self) -> SecretStr | Path:
        """Where to send to, or the file that says so."""
        address: SecretStr | Path = getattr(self, self.url_field) or getattr(self, f"{self.url_field}_file")
        return address

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        name = self.url_field
        if (getattr(self, name) is None) == (getattr(self, f"{name}_file") is None):
            raise ValueError(f"give one of `{name}` and `{name}_file`")
        return self


class WebhookConfig(Integration):
    """A program that takes Alertmanager's JSON."""

    kind: ClassVar[str] = "webhook"

    url: Url | None = None
    """Where to send to."""
    url_file: Path | None = None
    """The file that holds the URL, if it is a secret; read for each notification."""
    send_resolved: Flag = True
    """Whether to tell of the end too."""
    max_alerts: Annotated[int, Field(ge=0, strict=True)] = 0
    """Alerts in one notification, the firing ones first; 0 is all of them."""


class SlackConfig(Integration):
    """A channel that takes Slack's incoming webhooks: Slack, Mattermost, Rocket.Chat and others."""

    kind: ClassVar[str] = "slack"
    url_field: ClassVar[str] = "api_url"

    api_url: Url | None = None
    """The webhook's URL, which is a secret: better give `api_url_file`."""
    api_url_file: Path | None = None
    """The file that holds the URL; read for each notification."""
    send_resolved: Flag = False
    """Whether to tell of the end too."""
    channel: Annotated[str, Field(min_length=1)] | None = None
    """By default the webhook's own."""
    title: Annotated[str, Field(min_length=1)] = "[{status}] {group}"
    """`{status}`, `{group}`, `{firing}`, `{resolved}`, `{receiver}` and every label that the alerts share are filled in."""
    text: Annotated[str, Field(min_length=1)] | None = None
    """By default summary and evidence of each alert."""


class Receiver(Part):
    """Whom to tell; without any integration it is told nothing."""

    name: Name
    """Unique."""
    webhook_configs: Annotated[tuple[WebhookConfig, ...], Field(max_length=20)] = ()
    """Programs."""
    slack_configs: Annotated[tuple[SlackConfig, ...], Field(max_length=20)] = ()
    """Channels."""


class Route(Part):
    """Which alerts go where, and when. What is left out is as in the route around it."""

    receiver: str | None = None
    """The name of a receiver."""
    group_by: tuple[Label, ...] | None = None
    """Alerts that agree in these labels are told of together; `...` tells of each by itself. By default all are one group."""
    group_wait: Duration | None = None
    """How long to wait for more before news are told; 30s."""
    group_interval: Positive | None = None
    """The least time between two notifications of a group; 5m."""
    repeat_interval: Positive | None = None
    """After how long what still fires, and that nobody has acknowledged, is told again; 4h."""
    matchers: tuple[Matcher, ...] = ()
    """What an alert's labels must be, all of it: `severity="critical"`, `!=`, `=~`, `!~`. The outermost route takes all."""
    continue_: Annotated[Flag, Field(alias="continue")] = False
    """Whether the routes behind this one are asked too, though this one takes the alert."""
    routes: tuple["Route", ...] = ()
    """Asked in order; if none of them takes an alert, this route does."""


class NotifyFile(Part):
    """Who is told of which alerts, and how."""

    route: Route
    """The outermost route, which takes every alert; it names a receiver."""
    receivers: Annotated[tuple[Receiver, ...], Field(min_length=1)]
    """Their names differ."""
