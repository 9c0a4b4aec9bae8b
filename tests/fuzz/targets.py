"""Every parser of outside input as a plain function of bytes.

A target returns if the parser gave a value or refused with its own error, and raises on anything else: an error of another
kind, or a value that does not survive its round trip. Each is run by pytest on its corpus and by `guided` under atheris.
"""

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from rich.console import Console

from deploy.local.triton_backend.shared.merging import batch_size, group_by_shape, merge, split
from worker.alert.matchers import parse_matchers
from worker.alert.parameters import parse_duration
from worker.alert.rules import parse_rules
from worker.alert.state import KeyState, RuleState, decode_state, encode_state
from worker.alert.suppression import Suppression
from worker.alert.windows import add
from worker.app import load_settings
from worker.codec import (
    Clock,
    control_record,
    dead_letter,
    decode_alert_event,
    decode_message,
    decode_placed,
    decode_prediction,
    decode_signal,
    encode_alert_event,
    encode_prediction,
    encode_signal,
)
from worker.dead_letters.filters import parse_moment, parse_offsets, parse_pattern, parse_place
from worker.dead_letters.letter import read_letter, sent_again
from worker.dead_letters.showing import as_json, table, whole
from worker.errors import ContractError, DecodeError, FatalError, SettingsError
from worker.messages import (
    Expire,
    Headers,
    Inhibitor,
    Matches,
    ModelRef,
    Probabilities,
    Record,
    Sentiment,
    Signal,
    Silence,
    Standing,
    TopicPartition,
)
from worker.redact import Redactor, Redactors
from worker.score.contract import parse_contract, parse_embedding_contract
from worker.score.matching import Matcher, parse_watchlist
from worker.score.outputs import Scored, prediction_record, signal_records
from worker.score.tokenizer import Tokenizer
from worker.tail import line_of

Target = Callable[[bytes], None]
NOW_MS = 1_760_000_000_000
ROOT = Path(__file__).parents[2]
_INHIBIT = """
rules: [{name: a, detector: {type: share}}]
inhibit: [{source_matchers: [severity=critical], target_matchers: [topic=film], equal: [entity]}]
"""
GOOD = Sentiment("positive", Probabilities(0.1, 0.2, 0.7), 0.6)


def message(data: bytes) -> None:
    """A producer's message: refused, or its prediction and its signals can be read again and hold what came."""
    try:
        found = decode_message(Record("news", 0, 5, None, data, NOW_MS), "news", Clock(NOW_MS, 300_000))
    except DecodeError:
        return
    scored = Scored(found, Matches(("acme",), ("film",)), GOOD, None, ModelRef("sentiment", "1"))
    again = decode_prediction(prediction_record(scored, "p").value or b"")
    assert (again.id, again.origin, again.event_time_ms) == (found.id, found.origin, found.event_time_ms)
    assert {name: bytes(raw) for name, raw in again.extra.items()} == {name: bytes(raw) for name, raw in found.extra.items()}
    assert all(decode_signal(record.value).message_id == found.id for record in signal_records(scored, "s", Redactors()))
    _matcher().match(found.content, found.entities)


def prediction(data: bytes) -> None:
    """A record of the predictions topic."""
    with contextlib.suppress(DecodeError):
        found = decode_prediction(data)
        assert encode_prediction(decode_prediction(encode_prediction(found))) == encode_prediction(found)


def signal(data: bytes) -> None:
    """A record of the signals topic."""
    with contextlib.suppress(DecodeError):
        found = decode_signal(data)
        assert decode_signal(encode_signal(found)) == found
        kept = KeyState(found.alert_key, {"rule": RuleState("v", 0, buckets=add((), found, 60_000))})
        assert decode_state(encode_state(kept)) == kept


def alert_event(data: bytes) -> None:
    """A record of the alerts topic, or of the Redis stream."""
    try:
        found = decode_alert_event(data)
    except DecodeError:
        return
    assert decode_alert_event(encode_alert_event(found)) == found


def control(data: bytes) -> None:
    """A control record among the signals: the kind on the first line, the body behind it. What is taken can be acted on."""
    kind, _, body = data.partition(b"\n")
    partition = TopicPartition("signals", 0)
    try:
        found = decode_placed(Record(*partition, 1, None, body, NOW_MS, (("tidings.control", kind),)))
    except DecodeError:
        return
    assert not isinstance(found, Signal)
    again = control_record(partition, found)
    assert decode_placed(Record(*partition, 1, None, again.value, NOW_MS, again.headers)) == found
    if isinstance(found, Silence | Expire | Inhibitor | Standing):
        suppression = Suppression(parse_rules(_INHIBIT).inhibit)
        suppression.take(found, NOW_MS)
        suppression.by("one", {"topic": "film"}, NOW_MS)
        restored = Suppression()
        restored.restore(suppression.encode())
        assert restored.encode() == suppression.encode()


def matchers(data: bytes) -> None:
    """Matchers of labels, as people write them."""
    with contextlib.suppress(ValueError):
        for matcher in parse_matchers(_text(data)):
            matcher.admits({matcher.name: "film"})


def state(data: bytes) -> None:
    """What Redis holds of an alert key."""
    for body in (data, b"\x01" + data):
        with contextlib.suppress(FatalError):
            found = decode_state(body)
            assert decode_state(encode_state(found)) == found


def watchlist(data: bytes) -> None:
    """watchlist.yaml, and matching with it."""
    with contextlib.suppress(SettingsError):
        Matcher(parse_watchlist(_text(data), "watchlist.yaml")).match("ACME corp shows a film, ﬁlm and İstanbul", ("acme",))


def rules(data: bytes) -> None:
    """rules.yaml."""
    with contextlib.suppress(SettingsError):
        parse_rules(_text(data))


def contract(data: bytes) -> None:
    """contract.json, of either model."""
    for parse in (parse_contract, parse_embedding_contract):
        with contextlib.suppress(ContractError):
            parse(data)


def settings(data: bytes) -> None:
    """The YAML file of settings, and one variable of the environment: the first line, up to a NUL."""
    first, _, rest = data.partition(b"\n")
    name, _, value = first.partition(b"=")
    path = _scratch() / "tidings.yaml"
    path.write_bytes(rest)
    environment = {"TIDINGS_CONFIG": str(path)}
    if name and b"\0" not in first:
        environment["TIDINGS_" + name.decode("utf-8", "replace").replace("=", "")] = value.decode("utf-8", "replace")
    with _environment(environment), contextlib.suppress(SettingsError):
        load_settings()


def durations(data: bytes) -> None:
    """What is written for a duration, a time, a range of offsets, a dead letter's name, a pattern."""
    text = _text(data)[:200]
    for parse in (parse_duration, parse_offsets, parse_place, parse_pattern, lambda text: parse_moment(text, NOW_MS)):
        with contextlib.suppress(ValueError):
            parse(text)


def letter(data: bytes) -> None:
    """A record of the dead-letter topic, ours or not: it can be read, shown, and sent again without piling headers up."""
    key, headers, value = _record_parts(data)
    found = read_letter(Record("dlq", 0, 1, key, value, NOW_MS, headers))
    Console(file=io.StringIO(), width=200).print(table([found]), whole(found))
    json.loads(as_json(found))
    again = sent_again(found, "news")
    refused = dead_letter("dlq", Record("news", 1, 2, again.key, again.value, NOW_MS, again.headers), DecodeError("r", "d"))
    second = read_letter(Record("dlq", 0, 2, refused.key, refused.value, NOW_MS, refused.headers))
    assert (second.headers, second.attempt, second.replayed_from) == (found.headers, found.attempt + 1, "dlq-0-1")
    assert sent_again(second, "news").headers[:-2] == again.headers[:-2]


def shown(data: bytes) -> None:
    """Any record on any topic, as `tail` shows it: nothing of it steers the terminal."""
    key, headers, value = _record_parts(data)
    record = Record("t", 0, 1, key, value, NOW_MS, headers)
    for stream in ("predictions", "signals", "alerts", "dead-letters"):
        for as_is in (False, True):
            said = line_of(stream, record, as_json=as_is).plain
            assert all(char.isprintable() or char == "\n" for char in said)


def tokens(data: bytes) -> None:
    """Any text through the tokenizer: at least the two special tokens, at most the maximum, whatever stands beside it."""
    tokenizer = _tokenizer()
    text = data.decode("utf-8", "surrogateescape")
    (ids,) = tokenizer.encode([text])
    assert 2 <= len(ids) <= 256
    assert tokenizer.encode(["beside", text])[1] == ids


def redacted(data: bytes) -> None:
    """Personal data out of any text: nothing that is found is left, however often it is looked for, nor by a cut."""
    text = data.decode("utf-8", "surrogateescape")[:2_000]
    found = _redactor().redact(text)
    assert _redactor().redact(found) == found
    assert len(_redactor().beginning(text, 160)) <= 160


def merged(data: bytes) -> None:
    """Requests of any shapes to our Triton backend: each gets its own rows back, or inputs that disagree are refused."""
    shapes = [(1 + one % 4, 1 + one // 4 % 8) for one in data[:16]]
    requests = [(index, {"ids": np.full(shape, index), "mask": np.ones(shape)}) for index, shape in enumerate(shapes)]
    for group in group_by_shape(requests):
        inputs = [requests[index][1] for index in group]
        whole_batch = merge(inputs)
        rows = split({"out": whole_batch["ids"]}, [batch_size(one) for one in inputs])
        assert all(
            (one["out"] == index).all() and len(one["out"]) == shapes[index][0] for index, one in zip(group, rows, strict=True)
        )


TARGETS: Mapping[str, Target] = {
    target.__name__: target
    for target in (
        message, prediction, signal, alert_event, control, matchers, state, watchlist, rules, contract, settings, durations,
        letter, shown, tokens,
        redacted, merged,
    )
}  # fmt: skip


def planted(data: bytes) -> None:
    """A parser with a fault, to see that one is found."""
    data.decode("ascii")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _record_parts(data: bytes) -> tuple[bytes | None, Headers, bytes | None]:
    """Cut bytes at lines of `--` into a key, headers (`name=value`, or `name` for one without) and a value."""
    key, _, rest = data.partition(b"\n--\n")
    lines, found, value = rest.partition(b"\n--\n")
    headers = [line.partition(b"=") for line in lines.split(b"\n") if line]
    pairs = tuple((name.decode("utf-8", "replace"), text if equals else None) for name, equals, text in headers)
    return key or None, pairs, value if found else None


@cache
def _matcher() -> Matcher:
    return Matcher(parse_watchlist("entities: [{name: acme}, {name: x}]\ntopics: [{name: film, keywords: [film]}]", "here"))


@cache
def _redactor() -> Redactor:
    return Redactor()


@cache
def _tokenizer() -> Tokenizer:
    return Tokenizer((ROOT / "triton_repo" / "sentiment" / "tokenizer.json").read_bytes(), 256)


@cache
def _scratch() -> Path:
    return Path(tempfile.mkdtemp(prefix="tidings-fuzz-"))


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Nothing of the environment but these, and no settings of the folder we run in."""
    before, folder = dict(os.environ), Path.cwd()
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(_scratch())
    try:
        yield
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(before)
