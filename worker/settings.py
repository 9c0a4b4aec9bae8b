"""The one reader of the environment: typed settings, each with its unit in its name and a line of documentation.

Precedence, highest first: environment (`TIDINGS_KAFKA__BOOTSTRAP_SERVERS`), `.env`, the running local stack
(`.tidings/stack.env`, written by `tidings up`), the YAML file (`TIDINGS_CONFIG`, else `tidings.yaml`), defaults.
"""

import difflib
import fcntl
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

import yaml
from dotenv import dotenv_values
from pydantic import BaseModel, BeforeValidator, Field, NonNegativeFloat, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from worker.wire import KafkaWire, RedisWire, Section, TracingSettings, TritonWire

PREFIX = "TIDINGS_"
_STACK_ENV = Path(".tidings/stack.env")
_STACK_LOCK = Path(".tidings/stack.lock")
"""Held by the supervisor of the stack for as long as it lives; see `deploy/local/state.py`."""
_ODD_YAML = (ValueError, LookupError, AttributeError, RecursionError)
"""What PyYAML raises besides its own error; see `worker/alert/yaml_lines.py`."""
_ALSO_KNOWN = ("CONFIG", "CACHE_DIR", "DATA_DIR", "RUN_DIR")
_ALSO_KNOWN_PREFIXES = ("TEST_", "LOCAL_")

Seconds = Annotated[float, Field(gt=0, le=10**9)]
Count = Annotated[int, Field(gt=0)]
PersonalData = Literal["email", "phone", "card", "handle"]


def _none_if_off(value: object) -> object:
    """YAML 1.1 reads a bare `off` as false."""
    return None if value is False or (isinstance(value, str) and value.lower() in {"off", "null", "none"}) else value


class Topics(Section):
    """Names of the topics that Tidings writes."""

    predictions: str = "sentiment.predictions"
    signals: str = "sentiment.signals"
    alerts: str = "sentiment.alerts"
    dead_letters: str = "sentiment.dead-letters"
    review: str = "sentiment.review"
    feedback: str = "sentiment.feedback"
    shadow: str = "sentiment.shadow"


class KafkaSettings(KafkaWire):
    """Where Kafka is and how to behave there."""

    bootstrap_servers: str = "127.0.0.1:9092"
    """Comma-separated host:port list."""
    input_topics: Annotated[dict[str, Literal["news", "chat"]], Field(min_length=1)] = {  # noqa: RUF012 - pydantic copies it
        "news": "news",
        "chat": "chat",
    }
    """Topics to read, each with the kind that its messages have by default."""
    topics: Topics = Topics()
    partitions: Count = 6
    """Partitions of a topic that `tidings check --create-topics` creates."""
    replication_factor: Count = 1
    """Replicas of a topic that `tidings check --create-topics` creates."""
    group_prefix: str = "tidings"
    """Consumer groups are named <prefix>-score, <prefix>-alert and <prefix>-notify."""
    transactional_id: str | None = None
    """Prefix of the transactional ids; by default the host name and process id, unique per process."""
    transaction_timeout_s: Seconds = 30
    """The broker aborts a transaction that is open for longer."""
    session_timeout_s: Seconds = 15
    """A member that is silent for longer loses its partitions."""
    max_poll_interval_s: Seconds = 90
    """A member that does not poll for longer leaves the group."""
    group_protocol: Literal["classic", "consumer"] = "classic"
    """`consumer` is KIP-848, brokers from 4.0 on."""
    message_max_bytes: Count = 16 * 1024 * 1024
    """The largest record that can be read or produced."""


class RedisSettings(RedisWire):
    """Where Redis is and how its keys are named."""

    cluster: bool = False
    """Whether the URL names a node of a Redis Cluster."""
    prefix: str = "tidings"
    """All keys and channels begin with it."""
    state_ttl_s: Seconds = 14 * 86_400
    """State of an alert key that has been silent for longer is forgotten; must not be shorter than what the rules look back."""
    stream_max_events: Count = 10_000
    """Relayed alert events kept in a partition's stream."""
    timeout_s: Seconds = 5
    """Connecting and answering take at most this long."""


class ModelSettings(Section):
    """Which model scores, and where its contract lies."""

    backend: Literal["triton", "onnx"] = "triton"
    """`onnx` runs the model in this process, without Triton."""
    name: str = "sentiment"
    repository: Path = Path("triton_repo")
    """The folder with <name>/contract.json, as `tidings export` wrote it."""
    embedding: str = "embedding"
    """A second model there that says what texts mean, asked if the watchlist describes topics and the first one does not."""
    threads: Count | None = None
    """Threads of the in-process model; by default one per core."""


class TritonSettings(TritonWire):
    """Where Triton is."""

    url: str = "127.0.0.1:8001"
    """host:port of the gRPC endpoint, without a scheme."""
    timeout_s: Seconds = 10
    """A request that takes longer is cancelled."""
    max_attempts: Count = 8
    """A text that fails so often by itself, while the model answers others, goes to dead letters."""
    breaker_failures: Count = 5
    """After so many failures in a row the model is left alone and nothing is read."""
    breaker_max_pause_s: Seconds = 30
    """How long a failing model is left alone at most before it is asked again; 0.5 s at first."""


class ShadowSettings(Section):
    """A second version of the model, asked beside the one that serves and followed by nobody."""

    version: Annotated[int, Field(ge=1)] | None = None
    """Its number in the model's folder, where `tidings promote --beside` put it; unset, there is none."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Of this share of all messages it is asked."""
    in_flight: Count = 2
    """Batches at the second model at one time; what finds no room is passed over and counted."""


class ScoreSettings(Section):
    """How messages are batched and published."""

    watchlist: Path = Path("watchlist.yaml")
    """Entities and topics to watch."""
    background: Path | None = None
    """Texts like yours, one a line, that described topics are calibrated on; by default those that came with the model."""
    background_share: Annotated[float, Field(ge=0.0005, le=0.5)] = 0.02
    """A described topic takes in this share of the background, unless the watchlist gives it a threshold."""
    buckets: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    """Lengths in tokens that texts are padded to, rising to the model's maximum; by default, and on TensorRT only, its own."""
    batch_tokens: Count = 512
    """A batch is full at this many padded tokens. For CPUs, which more makes slower; a GPU does more at once."""
    batch_texts: Count = 64
    """A batch is full at this many texts; at most the model's own limit."""
    deadline_ms: Count = 50
    """A batch leaves when its oldest message has waited this long."""
    in_flight: Count = 3
    """Batches at the model at one time."""
    model_cost: tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat] | None = None
    """Seconds that the model takes for a batch, a token, and a pair of a text's tokens, at best: what `tidings tune` found."""
    max_pending: Count = 4_000
    """Messages in the worker; past it nothing more is read."""
    max_pending_bytes: Count = 64 * 1024 * 1024
    """Bytes of the messages in the worker; past it nothing more is read."""
    commit_interval_ms: Count = 100
    """Finished messages are published at least this often; a fifth as often while more comes than is done."""
    commit_messages: Count = 1_000
    """Finished messages are published when there are this many."""
    max_future_s: Seconds = 300
    """`published_at` further ahead of the clock than this is not believed, nor is a signal's time ahead of its record's own."""
    duplicate_cache: Count = 50_000
    """Texts remembered to recognise exact duplicates."""
    duplicate_window_s: Seconds = 12 * 60 * 60
    """A repeat is a duplicate if its event time is no further than this from the first's, before or after."""
    near_duplicate_cache: Annotated[int, Field(ge=0)] = 20_000
    """Stories remembered to recognise near-duplicates, about 2 kB each; 0 looks for exact ones only."""
    near_duplicate_similarity: Annotated[float, Field(ge=0.5, le=1)] = 0.6
    """A near-duplicate has this share of its pairs of neighbouring words in common with the first."""
    near_duplicate_min_words: Count = 8
    """A text of fewer words has exact duplicates only: greetings and the like are nobody's story."""
    review_share: Annotated[float, Field(ge=0, le=1)] = 0
    """At most this share of all messages goes to the topic of reviews, for a person to label; 0 asks nobody."""
    review_below: Annotated[float, Field(gt=0, le=1)] = 0.6
    """The model is unsure of a label whose calibrated probability is below this."""
    redact: frozenset[PersonalData] = frozenset({"email", "phone", "card", "handle"})
    """Personal data that is taken out of the texts in signals and alerts; an empty list takes out nothing."""
    redact_fields: frozenset[Literal["excerpt", "source"]] = frozenset({"excerpt"})
    """The fields that it is taken out of. With `source` among them, rules go by the source without it."""
    phone_regions: frozenset[Annotated[str, Field(pattern=r"^[A-Z]{2}$")]] = frozenset({"US", "GB"})
    """Countries whose phone numbers are recognised without their country code too."""


class AlertSettings(Section):
    """How signals become alerts."""

    rules: Path = Path("rules.yaml")
    """The alert rules."""
    allowed_lateness_s: Annotated[float, Field(ge=0, le=10**9)] = 5
    """How far behind the newest signal of a partition one may still count."""
    idle_after_s: Seconds = 600
    """A partition of signals that is silent for longer makes its firing alerts stale."""
    cached_keys: Count = 100_000
    """Alert keys whose state is held in memory."""
    max_poll_records: Count = 2_000
    """Signals handled in one cycle."""
    max_unrelayed: Count = 100_000
    """Signals decided whose events Kafka has not taken yet; past it the partitions are paused."""


class NotifySettings(Section):
    """Who is told of alerts, and how hard to try."""

    config: Path | None = None
    """notify.yaml, with routes and receivers; where it is set, `tidings work` runs the role notify too."""
    external_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    """What notifications name as the place where alerts can be looked at."""
    lease_s: Annotated[float, Field(ge=3, le=3600)] = 15
    """One notifier works at a time; if it dies, another takes over after so long."""
    max_in_flight: Count = 16
    """Notifications on their way at one time, one for each integration."""
    max_per_minute: Count = 60
    """Notifications to one integration."""
    max_pause_s: Seconds = 300
    """How long a receiver that fails is left alone at most; 1 s at first."""
    max_open_alerts: Count = 100_000
    """Open alerts kept; further ones are counted, logged, and told to nobody."""


class OpsSettings(Section):
    """What operators see of a worker, and how long it may take to leave."""

    host: str = "127.0.0.1"
    """Where `/healthz`, `/readyz` and `/metrics` are served; in a container 0.0.0.0, so that its network reaches them."""
    port: Annotated[Annotated[int, Field(ge=0, le=65535)] | None, BeforeValidator(_none_if_off)] = 9464
    """0 takes any free port, `off` serves nothing. Set to a port that is taken, the worker does not start; only where it is
    not set at all does a second worker on the same machine take any free port instead, and say which."""
    shutdown_timeout_s: Seconds = 25
    """From SIGTERM on a worker has so long to finish what it has in hand; then it leaves anyway. Kubernetes gives 30 s."""


class LogSettings(Section):
    """What is logged and how."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"
    """`auto`: readable on a terminal, JSON otherwise."""


class Settings(BaseSettings):
    """All settings of a worker."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    """`at_least_once` writes without transactions: nothing is lost, but after a fault some of it comes twice."""
    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    model: ModelSettings = ModelSettings()
    triton: TritonSettings = TritonSettings()
    score: ScoreSettings = ScoreSettings()
    shadow: ShadowSettings = ShadowSettings()
    alert: AlertSettings = AlertSettings()
    notify: NotifySettings = NotifySettings()
    ops: OpsSettings = OpsSettings()
    tracing: TracingSettings = TracingSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - and this
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings passes it by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the YAML file behind the environment; see the module's docstring."""
        dotenv = DotEnvSettingsSource(settings_cls, env_file=_env_files())
        yaml = YamlConfigSettingsSource(settings_cls, yaml_file=config_file())
        return init_settings, env_settings, dotenv, yaml


def _env_files() -> tuple[Path, ...]:
    """Return the dotenv files, the stronger last. What a crashed stack left behind names ports that are nobody's now."""
    return (Path(".env"),) if _is_free(_STACK_LOCK) else (_STACK_ENV, Path(".env"))


def _is_free(lock: Path) -> bool:
    """Whether the lock file is there and nobody holds it."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def config_file() -> Path:
    """The YAML file that settings come from; it need not exist unless `TIDINGS_CONFIG` names it."""
    return Path(os.environ.get("TIDINGS_CONFIG", "tidings.yaml"))


def process_id() -> str:
    """What tells this process from others in transactional ids and logs: host name and process id."""
    return f"{socket.gethostname()}-{os.getpid()}"


def problems(error: ValidationError) -> list[str]:
    """One line per wrong setting: its path, what was expected, and the environment variable that sets it."""
    return [_problem(tuple(str(part) for part in item["loc"]), item["msg"]) for item in error.errors(include_input=False)]


def _problem(path: tuple[str, ...], expected: str) -> str:
    variable = PREFIX + "__".join(path).upper()
    return f"{'.'.join(path)} ({variable}): {expected.removeprefix('Value error, ')}{_suggestion(path)}"


def _suggestion(path: tuple[str, ...]) -> str:
    section = Settings.model_fields.get(path[0]) if len(path) == 2 else None
    model = section.annotation if section else None
    if not (isinstance(model, type) and issubclass(model, BaseModel)) or path[1] in model.model_fields:
        return ""
    return _did_you_mean(path[1], list(model.model_fields))


def source_problems() -> list[str]:
    """One line for each source that cannot be read at all: the YAML file, a variable that should hold JSON and does not."""
    return [*_file_problems(config_file()), *_json_problems()]


def _file_problems(path: Path) -> list[str]:
    """What is wrong with the YAML file as a whole: the wrong values in it are pydantic's to find."""
    if not path.exists():
        return [f"TIDINGS_CONFIG: there is no file {path}"] if "TIDINGS_CONFIG" in os.environ else []
    try:
        with path.open(encoding="utf-8") as file:  # from a file, YAML's errors quote no line of it, which may hold a secret
            content = yaml.safe_load(file) or {}
    except yaml.MarkedYAMLError as error:  # what it says may quote a name or a tag, which a secret without quotes can pass for
        mark = error.problem_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        return [f"{path} cannot be read: it is no valid YAML{where}"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, *_ODD_YAML) as error:
        return [f"{path} cannot be read: {error}"]
    if not isinstance(content, dict):
        return [f"{path}: expected sections ({', '.join(Settings.model_fields)}), got {type(content).__name__}"]
    known = list(Settings.model_fields)
    unknown = [str(name) for name in content if name not in known]
    return [f"{path}: {name}: no such section{_did_you_mean(name, known)}" for name in unknown]


def _json_problems() -> list[str]:
    values = {name: (value, _json_of(name)) for name, value in sorted(_variables().items()) if value is not None}
    return [f"{PREFIX}{name}: expected {kind}" for name, (value, kind) in values.items() if kind and not _is_json(value)]


def _json_of(name: str) -> str | None:
    """What JSON the variable holds, if it sets a whole section, mapping or list at once."""
    annotation: Any = Settings
    for part in name.lower().split("__"):
        fields = annotation.model_fields if isinstance(annotation, type) and issubclass(annotation, BaseModel) else {}
        if part not in fields:
            return None
        annotation = fields[part].annotation
    if get_origin(annotation) is frozenset:
        return "a JSON list"
    is_section = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return "a JSON object" if is_section or get_origin(annotation) is dict else None


def _is_json(value: str) -> bool:
    try:
        json.loads(value)
    except ValueError:
        return False
    return True


def unknown_variables() -> list[str]:
    """One line per `TIDINGS_` variable that nothing reads, with the likely intended one."""
    known = [name.upper() for name in Settings.model_fields]
    unknown = [
        name
        for name in _variables()
        if name.split("__")[0] not in known and name not in _ALSO_KNOWN and not name.startswith(_ALSO_KNOWN_PREFIXES)
    ]
    return [f"{PREFIX}{name}: no such setting{_intended(name, known)}" for name in sorted(unknown)]


def _intended(name: str, known: list[str]) -> str:
    section, _, field = name.partition("_")
    if section in known and not field.startswith("_"):
        return f"; did you mean {PREFIX}{section}__{field}?"
    return _did_you_mean(name.split("__", maxsplit=1)[0], known)


def _variables() -> dict[str, str | None]:
    """Every `TIDINGS_` variable of the environment and the files that stand in for it, without the prefix."""
    sources: list[Mapping[str, str | None]] = [
        *(dotenv_values(path) for path in _env_files() if path.is_file()),
        os.environ,
    ]
    return {
        name.upper()[len(PREFIX) :]: value
        for source in sources
        for name, value in source.items()
        if name.upper().startswith(PREFIX)
    }


def _did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
