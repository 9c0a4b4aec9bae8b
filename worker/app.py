"""Build everything that a role needs, run the roles, take them down in order."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import structlog
from pydantic import SecretStr, ValidationError

from worker.adapters.kafka import KafkaHistory, KafkaSink, KafkaSource
from worker.adapters.redis import RedisAlertStore, RedisIdentity, RedisStoreOptions
from worker.adapters.triton import TritonModel
from worker.alert.loading import AlertOptions, AlertPorts
from worker.alert.relay import Relay, RelayOptions
from worker.alert.role import AlertRole
from worker.alert.rules import RuleSet, parse_rules
from worker.errors import ContractError, RetryableError, SettingsError
from worker.ports import Model
from worker.score.batching import BatchLimits
from worker.score.calibration import Calibration
from worker.score.contract import Contract, mismatches, onnx_mismatches, parse_contract, tokenizer_mismatches
from worker.score.dedupe import DuplicateIndex
from worker.score.matching import Matcher, Watchlist, parse_watchlist
from worker.score.role import ScoreOptions, ScorePorts, ScoreRole, ScoreStages
from worker.score.tokenizer import Tokenizer
from worker.settings import Settings, problems, process_id, source_problems, unknown_variables
from worker.tls import TlsFiles

log = structlog.get_logger(__name__)
T = TypeVar("T")
RoleName = Literal["score", "alert"]
ROLES: tuple[RoleName, ...] = ("score", "alert")


class Role(Protocol):
    """A loop that works until it is told to stop, and then finishes what it has in hand."""

    def run(self, stop: threading.Event) -> None:
        """Work."""
        ...


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
    return parse_rules(_read_text(settings.alert.rules, "alert.rules"), str(settings.alert.rules))


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


def connect_model(settings: Settings, contract: Contract) -> Model:
    """Open the model: on Triton, or in this process."""
    if settings.model.backend == "triton":
        triton = settings.triton
        files = TlsFiles(triton.ssl_ca_location, triton.ssl_certificate_location, triton.ssl_key_location)
        tls = files if triton.tls else None
        return TritonModel(triton.url, contract.model.ref, timeout_s=triton.timeout_s, tls=tls, output=contract.output)
    return _in_process_model(settings, contract)


def connect_store(settings: Settings) -> RedisAlertStore:
    """Open the alert store; Redis itself need not be there yet."""
    redis = settings.redis
    options = RedisStoreOptions(
        prefix=redis.prefix,
        state_ttl_s=redis.state_ttl_s,
        stream_max_events=redis.stream_max_events,
        timeout_s=redis.timeout_s,
    )
    key_password = _revealed(redis.ssl_key_password)
    files = TlsFiles(redis.ssl_ca_location, redis.ssl_certificate_location, redis.ssl_key_location, key_password)
    identity = RedisIdentity(username=redis.username, password=_revealed(redis.password), files=files)
    return RedisAlertStore.connect(redis.url.get_secret_value(), options, identity, cluster=redis.cluster)


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def check_model(model: Model, contract: Contract) -> None:
    """Hold the served model to its contract; raises ContractError with every difference, RetryableError if it is not there."""
    if wrong := mismatches(contract, model.info()):
        raise ContractError("the served model is not the one of the contract: " + "; ".join(wrong))


def work(settings: Settings, roles: Sequence[RoleName]) -> None:
    """Run the roles until SIGTERM or SIGINT, each in a thread of its own.

    Raises:
        TidingsError: what stopped a role; the other roles have finished what they had in hand.
    """
    stop = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(_stopped_by_signals(stop))
        build: dict[RoleName, Callable[[Settings, ExitStack, threading.Event], Role]] = {
            "score": build_score,
            "alert": build_alert,
        }
        built = {name: build[name](settings, stack, stop) for name in roles}
        if not stop.is_set():
            log.info("working", roles=list(roles), kafka=settings.kafka.bootstrap_servers)
            _run(built, stop)
        log.info("leaving")
    log.info("stopped")


def build_score(settings: Settings, stack: ExitStack, stop: threading.Event) -> ScoreRole:
    """Build the score role. `stack` closes its parts, the source first, so that the sink can still commit as it leaves."""
    kafka, contract = settings.kafka, load_contract(settings)
    check_model_file(settings, contract)
    stages = ScoreStages(
        matcher=Matcher(load_watchlist(settings)),
        duplicates=DuplicateIndex(settings.score.duplicate_cache),
        tokenizer=load_tokenizer(settings, contract),
        calibration=Calibration.from_contract(contract),
        model=contract.model.ref,
        pad_id=contract.pad_id,
    )
    model = stack.enter_context(closing(connect_model(settings, contract)))
    _patiently("the model", lambda: check_model(model, contract), stop)
    sink = stack.enter_context(closing(_sink(settings, "score", stop)))
    source = stack.enter_context(closing(KafkaSource(kafka, f"{kafka.group_prefix}-score")))
    return ScoreRole(ScorePorts(source, sink, model), stages, _score_options(settings, contract))


def build_alert(settings: Settings, stack: ExitStack, stop: threading.Event) -> AlertRole:
    """Build the alert role; the order of closing is as for the score role."""
    kafka, alert = settings.kafka, settings.alert
    rules = load_rules(settings)
    store = stack.enter_context(closing(connect_store(settings)))
    _patiently("Redis", store.version, stop)
    sink = stack.enter_context(closing(_sink(settings, "alert", stop)))
    source = stack.enter_context(closing(KafkaSource(kafka, f"{kafka.group_prefix}-alert")))
    options = AlertOptions(
        topic=kafka.topics.signals,
        allowed_lateness_ms=int(alert.allowed_lateness_s * 1000),
        cached_keys=alert.cached_keys,
        max_records=alert.max_poll_records,
    )
    relay = Relay(sink, store, RelayOptions(topic=kafka.topics.alerts))
    return AlertRole(AlertPorts(source, store, KafkaHistory(kafka)), relay, rules, options)


def _score_options(settings: Settings, contract: Contract) -> ScoreOptions:
    score, kafka = settings.score, settings.kafka
    limits = BatchLimits(
        contract.buckets, score.batch_tokens, min(score.batch_texts, contract.max_batch_size), float(score.deadline_ms)
    )
    return ScoreOptions(
        inputs=kafka.input_topics,
        predictions=kafka.topics.predictions,
        signals=kafka.topics.signals,
        dead_letters=kafka.topics.dead_letters,
        limits=limits,
        in_flight=score.in_flight,
        max_pending=score.max_pending,
        commit_interval_s=score.commit_interval_ms / 1000,
        commit_messages=score.commit_messages,
        max_future_ms=int(score.max_future_s * 1000),
    )


def _sink(settings: Settings, role: RoleName, stop: threading.Event) -> KafkaSink:
    prefix = settings.kafka.transactional_id or process_id()
    name = f"{settings.kafka.group_prefix}-{role}-{prefix}"
    return _patiently("Kafka", lambda: KafkaSink(settings.kafka, name), stop)


def _in_process_model(settings: Settings, contract: Contract) -> Model:
    try:
        from worker.adapters.onnx import OnnxModel  # noqa: PLC0415 - an extra: onnxruntime is not in the worker's image
    except ModuleNotFoundError as error:
        raise SettingsError("model.backend: onnx needs the `onnx` extra: pip install 'tidings[onnx]'") from error
    path = _onnx_file(settings, contract)
    return OnnxModel(path, contract.model.ref, threads=settings.model.threads, output=contract.output)


def _onnx_file(settings: Settings, contract: Contract) -> Path:
    return _model_folder(settings) / contract.model.version / "model.onnx"


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


def _patiently(what: str, call: Callable[[], T], stop: threading.Event) -> T:
    """Call until it works, waiting 1 s doubling to 15 s in between; a stop ends the waiting with the last error."""
    pause_s = 1.0
    while True:
        try:
            return call()
        except RetryableError as error:
            log.warning("waiting", what=what, error=str(error), again_in_s=pause_s)
            if stop.wait(pause_s):
                raise
            pause_s = min(15.0, 2 * pause_s)


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Let SIGTERM and SIGINT set `stop` and nothing else."""
    previous = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _run(roles: dict[RoleName, Role], stop: threading.Event) -> None:
    failures: list[Exception] = []

    def guarded(role: Role) -> None:
        try:
            role.run(stop)
        except Exception as error:  # noqa: BLE001 - the top of the loop: one role's end must end the process, whatever it was
            failures.append(error)
            stop.set()

    threads = [threading.Thread(target=guarded, args=(role,), name=name) for name, role in roles.items()]
    for thread in threads:
        thread.start()
    stop.wait()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
