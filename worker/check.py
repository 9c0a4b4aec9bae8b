"""Look at everything a worker needs, and say of each fault what to do about it."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import TypeVar

import msgspec
import numpy as np

from worker import app
from worker.adapters.kafka import ClusterReport, inspect
from worker.errors import RetryableError, SettingsError, TidingsError
from worker.ports import Model, TokenBatch
from worker.score.contract import Contract, mismatches
from worker.settings import Settings
from worker.stores import connect_store
from worker.topics import Tools, find_encoder, understand

T = TypeVar("T")
_READABLE_REDIS = (6, 2)
_PROBE_TIMEOUT_S = 60.0
_EXPORT_EMBEDDING = "tidings export --embedding, then have Triton load it; or give the topics keywords and no description"
_HEADER_ROOM = 4_096
"""What a dead letter has in headers of ours, at most."""


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at: what it is, how it stands, and, if it is not well, what to do."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def findings(settings: Settings) -> Iterator[Finding]:
    """Look at files, Kafka, Redis and the model; one finding at a time, as soon as it is known."""
    yield _attempt(
        "watchlist",
        lambda: _watchlist(settings),
        "write it as in deploy/compose/watchlist.yaml, or point score.watchlist at yours",
    )
    yield _attempt("rules", lambda: _rules(settings), "write it as in deploy/compose/rules.yaml, or point alert.rules at yours")
    if settings.notify.config is not None:
        remedy = "write it as docs/notifications.md says, or leave notify.config unset to tell nobody"
        yield _attempt("notifications", lambda: _receivers(settings), remedy)
    yield from _kafka(settings)
    yield from _redis(settings)
    yield from _model(settings)


def _attempt(name: str, look: Callable[[], str], remedy: str) -> Finding:
    try:
        return Finding(name, True, look())
    except TidingsError as error:
        return Finding(name, False, str(error), remedy)


def _watchlist(settings: Settings) -> str:
    watchlist = app.load_watchlist(settings)
    described = f" ({len(watchlist.described)} known by their meaning)" if watchlist.described else ""
    return f"{len(watchlist.entities)} entities, {len(watchlist.topics)} topics{described} in {settings.score.watchlist}"


def _rules(settings: Settings) -> str:
    return f"{len(app.load_rules(settings).rules)} rules in {settings.alert.rules}"


def _receivers(settings: Settings) -> str:
    config = app.load_notify(settings)
    return "; ".join([f"{len(config.targets)} receivers in {settings.notify.config}", *config.warnings()])


def _kafka(settings: Settings) -> Iterator[Finding]:
    servers = settings.kafka.bootstrap_servers
    try:
        report = inspect(settings.kafka)
    except TidingsError as error:
        remedy = (
            "start Kafka (`tidings up` on one machine), or set TIDINGS_KAFKA__BOOTSTRAP_SERVERS and its TLS and SASL settings"
        )
        yield Finding("kafka", False, str(error), remedy)
        return
    yield Finding("kafka", True, f"{report.brokers} brokers at {servers}")
    yield from _topics(report, _unused(settings))
    yield from _dead_letter_room(report, settings.kafka.topics.dead_letters)


def _unused(settings: Settings) -> set[str]:
    """The topics that no worker of these settings writes: nothing is wrong where they are missing."""
    topics = settings.kafka.topics
    unused = {topics.feedback: True, topics.review: not settings.score.review_share, topics.shadow: not settings.shadow.version}
    return {name for name, is_unused in unused.items() if is_unused}


def _topics(report: ClusterReport, unused: set[str]) -> Iterator[Finding]:
    for topic in report.topics:
        if topic.spec.name in unused:
            continue
        name = f"topic {topic.spec.name}"
        operations = [word for word, needed in (("read", topic.spec.reads), ("write", topic.spec.writes)) if needed]
        if topic.denied:
            wanted = ", ".join(topic.denied)
            yield Finding(name, False, f"not allowed to {wanted}", f"grant the worker's principal {wanted} on this topic")
        elif topic.partitions == 0:
            yield Finding(name, False, "does not exist", "tidings check --create-topics")
        else:
            yield Finding(name, True, f"{topic.partitions} partitions, to {' and '.join(operations)}")


def _dead_letter_room(report: ClusterReport, name: str) -> Iterator[Finding]:
    """Whatever the input topics take must fit the dead letters, or one record too large for them would stop its partition."""
    room = next((topic.max_message_bytes for topic in report.topics if topic.spec.name == name), None)
    largest = max((topic.max_message_bytes or 0 for topic in report.topics if topic.spec.is_input), default=0)
    if room is not None and room < largest + _HEADER_ROOM:
        detail = f"max.message.bytes is {room}, the input topics take records of {largest}"
        yield Finding(f"topic {name}", False, detail, f"set max.message.bytes of {name} to {largest + _HEADER_ROOM} or more")


def _redis(settings: Settings) -> Iterator[Finding]:
    start = "start Redis (`tidings up` on one machine), or set TIDINGS_REDIS__URL; look at its user, password and TLS"
    finding = _attempt("redis", lambda: _redis_version(settings), start)
    if finding.ok and _release(finding.detail) < _READABLE_REDIS:
        finding = Finding("redis", False, finding.detail, "use Redis 6.2 or later, or Valkey")
    yield finding


def _redis_version(settings: Settings) -> str:
    with closing(connect_store(settings)) as store:
        return f"version {store.version()}"


def _release(version: str) -> tuple[int, ...]:
    """Return major and minor number of a text such as `version 7.4-rc1`."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _model(settings: Settings) -> Iterator[Finding]:
    try:
        contract = app.load_contract(settings)
        app.load_tokenizer(settings, contract)
        app.check_model_file(settings, contract)
    except TidingsError as error:
        yield Finding("model contract", False, str(error), "tidings export, or point model.repository at the model repository")
        return
    ref = contract.model.ref
    yield Finding(
        "model contract", True, f"{ref.name} version {ref.version}, {contract.model.precision}, its tokenizer matches"
    )
    served = _served_model(settings, contract)
    yield served
    if served.ok:
        yield from _meaning(settings, contract)


def _meaning(settings: Settings, contract: Contract) -> Iterator[Finding]:
    """Calibrate the described topics as a worker does at its start, and say what each takes in."""
    try:
        topics = app.load_watchlist(settings).described
    except SettingsError:
        return  # told already
    if not topics:
        return
    try:
        tools = Tools(app.load_tokenizer(settings, contract), partial(app.connect_model, settings), _once)
        meaning = understand(settings, find_encoder(settings, contract), topics, tools)
    except TidingsError as error:
        yield Finding("topics by meaning", False, str(error), _EXPORT_EMBEDDING)
        return
    for topic in meaning.thresholds:
        given = "as given" if topic.is_given else "calibrated"
        detail = f"threshold {topic.threshold:.3f} ({given}); {topic.share:.1%} of the background lies above it"
        yield Finding(f"topic {topic.topic} by meaning", True, detail)


def _once(call: Callable[[], T]) -> T:
    return call()


def _served_model(settings: Settings, contract: Contract) -> Finding:
    try:
        with closing(app.connect_model(settings, contract)) as model:
            if wrong := mismatches(contract, model.info()):
                return Finding("model", False, "; ".join(wrong), "serve the repository that the contract lies in, and reload")
            return Finding("model", True, f"{model.info().server}; {_probe(model)}")
    except SettingsError as error:
        return Finding("model", False, str(error), "set it right")
    except TidingsError as error:
        remedy = "start Triton (`tidings up` on one machine), or set TIDINGS_TRITON__URL to its gRPC host:port"
        return Finding("model", False, str(error), remedy)


def _probe(model: Model) -> str:
    batch = TokenBatch(np.full((1, 16), 101, dtype=np.int64), np.ones((1, 16), dtype=np.int64))
    try:
        logits = model.submit(batch).result(_PROBE_TIMEOUT_S)
    except TimeoutError as error:
        raise RetryableError(f"the model took a request and did not answer within {_PROBE_TIMEOUT_S:.0f} s") from error
    return f"answers with logits of shape {logits.shape}"
