"""Build everything that a role needs, run the roles, take them down in order."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
import structlog
from pydantic import ValidationError

from worker import __version__
from worker.adapters.kafka import AtLeastOnceSink, KafkaHistory, KafkaSink, KafkaSource, OffsetsSink, require_topics
from worker.adapters.notify_store import RedisNotifyStore
from worker.adapters.paired import PairedModel
from worker.adapters.redis import RedisAlertStore
from worker.adapters.triton import TritonModel
from worker.adapters.webhook import WebhookMessenger
from worker.alert.keeping import require_kept
from worker.alert.loading import AlertOptions, AlertPorts
from worker.alert.relay import Relay, RelayOptions
from worker.alert.role import AlertRole
from worker.alert.rules import RuleSet, parse_rules
from worker.errors import ContractError, RetryableError, SettingsError, TidingsError
from worker.notify.config import NotifyConfig, parse_notify
from worker.notify.delivery import Delivery, DeliveryLimits
from worker.notify.role import NotifyOptions, NotifyPorts, NotifyRole
from worker.ops.health import Health, stall_limit_s
from worker.ops.lifetime import Lifetime, Role
from worker.ops.metrics import WorkerCollector, metrics_page, registry
from worker.ops.notifying import ObservedMessenger, ObservedNotifyStore, ReceiversWatch
from worker.ops.observed import ObservedHistory, ObservedSink, ObservedSource, ObservedStore
from worker.ops.release import ReleaseFile
from worker.ops.reload import RulesFile
from worker.ops.server import pages, serving
from worker.ops.start import Start
from worker.ops.tracing import exporting, observed, observed_model
from worker.ops.watch import ModelWatch, RoleWatch
from worker.ports import Model
from worker.redact import Redactors
from worker.score.batching import BatchLimits
from worker.score.breaker import BreakerLimits
from worker.score.calibration import Calibration
from worker.score.contract import (
    AnyContract,
    Contract,
    EmbeddingContract,
    buckets_of,
    mismatches,
    onnx_mismatches,
    parse_contract,
    tokenizer_mismatches,
)
from worker.score.dedupe import DuplicateIndex
from worker.score.matching import Matcher, Watchlist, parse_watchlist
from worker.score.near import NearIndex, NearLimits
from worker.score.options import ScoreOptions
from worker.score.outputs import ReviewPolicy
from worker.score.release import Release
from worker.score.role import ScorePorts, ScoreRole, ScoreStages
from worker.score.tokenizer import Tokenizer
from worker.settings import Settings, problems, process_id, source_problems, unknown_variables
from worker.shadowing import shadowing
from worker.stores import connect_store, store_address
from worker.tls import TlsFiles
from worker.topics import Encoder, Tools, find_encoder, understand

log = structlog.get_logger(__name__)
RoleName = Literal["score", "alert", "notify"]
ROLES: tuple[RoleName, ...] = ("score", "alert", "notify")


def default_roles(settings: Settings) -> tuple[RoleName, ...]:
    """Return the roles of a worker that was not told which: score and alert, and notify where there is somebody to tell."""
    return ROLES if settings.notify.config else ("score", "alert")


def load_settings() -> Settings:
    """Read the settings.

    Raises:
        SettingsError: names every wrong setting, where it comes from and what was expected.
    """
    wrong = source_problems()
    if not wrong:
        try:
            settings = Settings()
        except ValidationError as error:
            wrong = problems(error)
    if wrong := [*wrong, *unknown_variables()]:
        raise SettingsError("wrong settings:\n  " + "\n  ".join(wrong))
    return settings


def load_watchlist(settings: Settings) -> Watchlist:
    """Read the watchlist; raises SettingsError, which names the file and what is wrong with it."""
    return parse_watchlist(_read_text(settings.score.watchlist, "score.watchlist"), str(settings.score.watchlist))


def load_rules(settings: Settings) -> RuleSet:
    """Read the alert rules; raises SettingsError, which names the file, the line and what is wrong."""
    rules = parse_rules(_rules_text(settings), str(settings.alert.rules))
    _require_kept(settings, rules)
    return rules


def _require_kept(settings: Settings, rules: RuleSet) -> None:
    require_kept(rules, int(settings.redis.state_ttl_s * 1000), int(settings.alert.allowed_lateness_s * 1000))


def load_notify(settings: Settings) -> NotifyConfig:
    """Read who is told of alerts; raises SettingsError, which names the file, the line and what is wrong."""
    path = settings.notify.config
    if path is None:
        raise SettingsError("notify.config (TIDINGS_NOTIFY__CONFIG) is not set: the role notify needs a notify.yaml")
    return parse_notify(_read_text(path, "notify.config"), str(path))


def _rules_text(settings: Settings) -> str:
    return _read_text(settings.alert.rules, "alert.rules")


def load_contract(settings: Settings) -> Contract:
    """Read the model's contract; raises ContractError."""
    return parse_contract(_read_model_file(settings, "contract.json"), str(_model_folder(settings) / "contract.json"))


def load_tokenizer(settings: Settings, contract: Contract) -> Tokenizer:
    """Read the tokenizer that the contract names; raises ContractError if it is another one."""
    body = _read_model_file(settings, contract.tokenizer.file)
    if wrong := tokenizer_mismatches(contract, body):
        raise ContractError("; ".join(wrong))
    return Tokenizer(body, contract.max_length)


def check_model_file(settings: Settings, contract: Contract) -> None:
    """Hold the ONNX file beside the contract to it, where there is one to see; it is built, and may be older.

    Raises:
        ContractError: it is not the file that was exported with this contract.
    """
    path = _onnx_file(settings, contract)
    if path.is_file() and (wrong := onnx_mismatches(contract, path.read_bytes())):
        raise ContractError(f"{path.parent.parent}: {'; '.join(wrong)}")


def connect_model(settings: Settings, contract: AnyContract, outputs: Sequence[str] | None = None) -> Model:
    """Open the model, on Triton or in this process, for its main output or for these."""
    outputs = outputs or tuple(contract.outputs)[:1]
    if settings.model.backend == "triton":
        triton = settings.triton
        files = TlsFiles(triton.ssl_ca_location, triton.ssl_certificate_location, triton.ssl_key_location)
        tls = files if triton.tls else None
        return TritonModel(triton.url, contract.model.ref, timeout_s=triton.timeout_s, tls=tls, outputs=outputs)
    return _in_process_model(settings, contract, outputs)


def connect_models(settings: Settings, contract: Contract, encoder: Encoder | None) -> Model:
    """Open what a message needs: the model that scores, and what says what it means if anything has to."""
    if encoder is None:
        return connect_model(settings, contract)
    if encoder.second is None:
        return connect_model(settings, contract, (contract.output, encoder.embedding.output))
    return PairedModel(connect_model(settings, contract), connect_model(settings, encoder.second))


def check_model(model: Model, contract: AnyContract) -> None:
    """Hold the served model to its contract; raises ContractError with every difference, RetryableError if it is not there."""
    if wrong := mismatches(contract, model.info()):
        raise ContractError("the served model is not the one of the contract: " + "; ".join(wrong))


def work(settings: Settings, roles: Sequence[RoleName]) -> None:
    """Run the roles until SIGTERM or SIGINT, each built, run and taken down on a thread of its own; see `ops.lifetime`.

    Health and metrics are served from the first moment, so that they tell what the start waits for. SIGHUP has the rule file
    looked at at once.

    Raises:
        UnfinishedError: not everything in hand could be finished in time; nothing is lost.
        TidingsError: what stopped a role; the other roles have finished what they had in hand.
    """
    health = Health(stall_limit_s(settings), time.time, time.monotonic)
    model, watches = ModelWatch(), {name: RoleWatch(name, health) for name in roles}
    build: dict[RoleName, Callable[[Settings, ExitStack, Start], ScoreRole | AlertRole | NotifyRole]] = {
        "score": build_score,
        "alert": build_alert,
        "notify": build_notify,
    }

    def built(name: RoleName, stack: ExitStack, stop: threading.Event) -> Role:
        watches[name].role = role = build[name](settings, stack, Start(watches[name], model, stop))
        return role

    def reload() -> None:
        for watch in watches.values():
            for file in filter(None, (watch.rules, watch.release)):
                file.hurry()

    collector = WorkerCollector(watches.values(), model, health, __version__)
    log.info("starting", roles=list(roles), kafka=settings.kafka.bootstrap_servers)
    with exporting(settings.tracing) as tracer, serving(settings.ops, pages(health, metrics_page(registry(collector)))):
        for watch in watches.values():
            watch.tracer = tracer
        lifetime = Lifetime(health, settings.ops.shutdown_timeout_s, on_hangup=reload)
        lifetime.run({name: partial(built, name) for name in roles})


def build_score(settings: Settings, stack: ExitStack, start: Start) -> ScoreRole:
    """Build the score role. `stack` closes its parts, the source first, so that the sink can still commit as it leaves."""
    contract = load_contract(settings)
    check_model_file(settings, contract)
    watchlist = load_watchlist(settings)
    encoder = find_encoder(settings, contract) if watchlist.described else None
    stages = ScoreStages(
        matcher=Matcher(watchlist),
        duplicates=_duplicates(settings),
        tokenizer=load_tokenizer(settings, contract),
        calibration=Calibration.from_contract(contract),
        model=contract.model.ref,
        pad_id=contract.pad_id,
        redactors=Redactors.of(settings.score),
    )
    model = stack.enter_context(closing(connect_models(settings, contract, encoder)))
    start.until("model", _model_place(settings, contract), lambda: check_model(model, contract), "is triton.url right?")
    if encoder is not None:
        ask = partial(start.until, "model", _model_place(settings, encoder.contract), remedy="does Triton serve it?")
        tools = Tools(stages.tokenizer, partial(connect_model, settings), ask)
        meaning = understand(settings, encoder, watchlist.described, tools)
        for topic in meaning.thresholds:
            log.info("topic calibrated", **msgspec.to_builtins(topic))
        stages = msgspec.structs.replace(stages, meaning=meaning)
    read, take = partial(_read_model_file, settings, "contract.json"), partial(_release, settings, encoder, start)
    file = start.watch.release = stack.enter_context(closing(ReleaseFile(read, take, contract)))
    sink, source = _kafka(settings, "score", stack, start)
    ports = ScorePorts(source, sink, observed_model(settings, start, model, contract.model.ref))
    shadow = shadowing(settings, contract, connect_model, stack, start)
    return ScoreRole(ports, stages, _score_options(settings, contract, encoder), changed=file.changed, shadow=shadow)


def _release(settings: Settings, encoder: Encoder | None, start: Start, contract: Contract) -> Release:
    """Open another version of the model; raises ContractError, or RetryableError if it is not served yet."""
    if encoder is not None and encoder.second is None:
        raise ContractError("topics are known by the embeddings of the version before: start the worker again to take this one")
    check_model_file(settings, contract)
    model = connect_models(settings, contract, encoder)
    try:
        if contract.model.version not in model.info().versions:
            raise RetryableError(f"version {contract.model.version} is not served yet")
        check_model(model, contract)
    except TidingsError:
        model.close()
        raise
    ref, freely = contract.model.ref, contract.model.pads_freely
    return Release(observed_model(settings, start, model, ref), ref, Calibration.from_contract(contract), freely)


def build_alert(settings: Settings, stack: ExitStack, start: Start) -> AlertRole:
    """Build the alert role; the order of closing is as for the score role."""
    kafka, alert = settings.kafka, settings.alert
    file = RulesFile(partial(_rules_text, settings), str(settings.alert.rules), check=partial(_require_kept, settings))
    rules, start.watch.rules = file.load(), file
    store = ObservedStore(_redis(settings, stack, start), start.watch)
    sink, source = _kafka(settings, "alert", stack, start)
    options = AlertOptions(
        topic=kafka.topics.signals,
        allowed_lateness_ms=int(alert.allowed_lateness_s * 1000),
        cached_keys=alert.cached_keys,
        max_future_ms=int(settings.score.max_future_s * 1000),
        max_records=alert.max_poll_records,
        max_unrelayed=alert.max_unrelayed,
        idle_after_s=alert.idle_after_s,
        restored_events=settings.redis.stream_max_events,
        relays_at_once=settings.delivery == "exactly_once",
    )
    relay = Relay(sink, store, RelayOptions(topic=kafka.topics.alerts))
    ports = AlertPorts(source, store, ObservedHistory(KafkaHistory(kafka), start.watch))
    return AlertRole(ports, relay, rules, options, file.changed)


def _duplicates(settings: Settings) -> DuplicateIndex:
    score, window_ms = settings.score, int(settings.score.duplicate_window_s * 1000)
    limits = NearLimits(score.near_duplicate_cache, score.near_duplicate_similarity, score.near_duplicate_min_words)
    return DuplicateIndex(score.duplicate_cache, window_ms, NearIndex(limits, window_ms) if limits.capacity else None)


def build_notify(settings: Settings, stack: ExitStack, start: Start) -> NotifyRole:
    """Build the notify role; its source is opened and closed by itself, each time that it becomes the active one."""
    kafka, notify, config = settings.kafka, settings.notify, load_notify(settings)
    for warning in config.warnings():
        log.warning("notifications are not safe", receiver=warning)
    shared = _redis(settings, stack, start)
    store = ObservedNotifyStore(RedisNotifyStore(shared.run, shared.close, settings.redis.prefix), start.watch)
    what, remedy = f"Kafka at {kafka.bootstrap_servers}", "is it up, and is kafka.bootstrap_servers right?"
    start.until("kafka", what, lambda: require_topics(kafka, _topics(settings, "notify")), remedy)

    def source() -> ObservedSource:
        opened = KafkaSource(kafka, f"{kafka.group_prefix}-notify")
        return ObservedSource(opened, start.watch, lambda: opened.statistics)

    history = ObservedHistory(KafkaHistory(kafka, "notify"), start.watch)
    ports = NotifyPorts(source, ObservedSink(OffsetsSink(), start.watch), store, history)
    limits = DeliveryLimits(
        max_in_flight=notify.max_in_flight, per_minute=notify.max_per_minute, max_pause_s=notify.max_pause_s
    )
    receivers = ReceiversWatch(config.targets)
    delivery = Delivery(ObservedMessenger(WebhookMessenger(config.targets), start.watch, receivers), limits)
    options = NotifyOptions(
        topic=kafka.topics.alerts,
        external_url=notify.external_url,
        lease_s=notify.lease_s,
        max_alerts=notify.max_open_alerts,
    )
    role = NotifyRole(ports, config, delivery, options)
    receivers.role, start.watch.receivers = role, receivers
    return role


def _score_options(settings: Settings, contract: Contract, encoder: Encoder | None = None) -> ScoreOptions:
    score, kafka, asked = settings.score, settings.kafka, [contract, *([encoder.contract] if encoder else [])]
    most = min(score.batch_texts, *(one.max_batch_size for one in asked))
    shape = (buckets_of(contract, score.buckets), score.batch_tokens, most, score.deadline_ms, score.model_cost)
    return ScoreOptions(
        inputs=kafka.input_topics,
        predictions=kafka.topics.predictions,
        signals=kafka.topics.signals,
        dead_letters=kafka.topics.dead_letters,
        limits=BatchLimits(*shape, fills_up=all(one.model.pads_freely for one in asked)),
        in_flight=score.in_flight,
        max_pending=score.max_pending,
        max_pending_bytes=score.max_pending_bytes,
        max_attempts=settings.triton.max_attempts,
        breaker=BreakerLimits(settings.triton.breaker_failures, settings.triton.breaker_max_pause_s),
        commit_interval_s=score.commit_interval_ms / 1000,
        commit_messages=score.commit_messages,
        max_future_ms=int(score.max_future_s * 1000),
        drain_timeout_s=settings.ops.shutdown_timeout_s,
        review=ReviewPolicy(kafka.topics.review, score.review_share, score.review_below) if score.review_share else None,
    )


def _kafka(settings: Settings, role: RoleName, stack: ExitStack, start: Start) -> tuple[ObservedSink, ObservedSource]:
    """Wait for Kafka and for the role's topics; the source is closed before the sink."""
    kafka = settings.kafka
    what, remedy = f"Kafka at {kafka.bootstrap_servers}", "is it up, and is kafka.bootstrap_servers right?"
    start.until("kafka", what, lambda: require_topics(kafka, _topics(settings, role)), remedy)
    sink = stack.enter_context(closing(start.until("kafka", what, lambda: _sink(settings, role), remedy)))
    source = stack.enter_context(closing(KafkaSource(kafka, f"{kafka.group_prefix}-{role}")))
    return observed(settings, start.watch, sink, source)


def _topics(settings: Settings, role: RoleName) -> dict[str, Literal["Read", "Write"]]:
    topics = settings.kafka.topics
    if role == "alert":
        return {topics.signals: "Read", topics.alerts: "Write"}
    if role == "notify":
        return {topics.alerts: "Read"}
    reviews = (topics.review,) if settings.score.review_share else ()
    outputs = (topics.predictions, topics.signals, topics.dead_letters, *reviews)
    return {**dict.fromkeys(settings.kafka.input_topics, "Read"), **dict.fromkeys(outputs, "Write")}


def _sink(settings: Settings, role: RoleName) -> KafkaSink | AtLeastOnceSink:
    if settings.delivery == "at_least_once":
        log.warning("writing without transactions: after a fault some messages come twice", delivery=settings.delivery)
        return AtLeastOnceSink(settings.kafka)
    prefix = settings.kafka.transactional_id or process_id()
    return KafkaSink(settings.kafka, f"{settings.kafka.group_prefix}-{role}-{prefix}")


def _redis(settings: Settings, stack: ExitStack, start: Start) -> RedisAlertStore:
    """Wait for Redis; of a cluster, making the client asks a node already."""
    what, remedy = f"Redis at {store_address(settings)}", "is it up, and is redis.url right?"
    store = stack.enter_context(closing(start.until("redis", what, lambda: connect_store(settings), remedy)))
    start.until("redis", what, store.version, remedy)
    return store


def _model_place(settings: Settings, contract: AnyContract) -> str:
    where = f"Triton at {settings.triton.url}" if settings.model.backend == "triton" else "this process"
    return f"the model {contract.model.ref.name} on {where}"


def _in_process_model(settings: Settings, contract: AnyContract, outputs: Sequence[str]) -> Model:
    try:
        from worker.adapters.onnx import OnnxModel  # noqa: PLC0415 - an extra: onnxruntime is not in the worker's image
    except ModuleNotFoundError as error:
        raise SettingsError("model.backend: onnx needs the `onnx` extra: pip install 'tidings[onnx]'") from error
    path = _onnx_file(settings, contract)
    return OnnxModel(path, contract.model.ref, threads=settings.model.threads, outputs=outputs)


def _onnx_file(settings: Settings, contract: AnyContract) -> Path:
    second = settings.model.repository / settings.model.embedding
    folder = second if isinstance(contract, EmbeddingContract) else _model_folder(settings)
    return folder / contract.model.version / "model.onnx"


def _model_folder(settings: Settings) -> Path:
    return settings.model.repository / settings.model.name


def _read_model_file(settings: Settings, name: str) -> bytes:
    path = _model_folder(settings) / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise ContractError(
            f"{path} cannot be read ({error.strerror}); `tidings export` makes it, model.repository says where"
        ) from error


def _read_text(path: Path, setting: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{setting}: {path} cannot be read: {error}") from error
