"""What is remembered of one alert key, and its bytes: a schema byte, then msgpack. Pure."""

import msgspec

from worker.alert.detectors import Memory
from worker.alert.lifecycle import OK, Life
from worker.alert.ring import EMPTY, Ring
from worker.alert.windows import Buckets
from worker.errors import FatalError
from worker.messages import AlertEvent

NEVER_MS = -(1 << 62)
"""An event time before all others."""
SCHEMA = 3
"""Raised with every change to the structs below that older workers could not read."""
_READABLE = frozenset({2, SCHEMA})
"""Of schema 2 closed buckets lie among the open ones, from where the next look takes them."""


class RuleState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One rule's view of a key.

    `evaluated_ms` is the last boundary that was looked at; the buckets before it are in `closed`, those from it on, which may
    still grow, in `buckets`. `late` counts signals that came after theirs, `fired` is the last
    event of the present alert, with all that was said of it. `seen_ms` is the end of the newest closed bucket that held
    messages, `memory` what the detector carries from bucket to bucket; `basis` is what all that was gathered under, see `Rule`,
    and `begun_ms` since when, where another basis was before.
    """

    version: str
    evaluated_ms: int
    life: Life = OK
    buckets: Buckets = ()
    late: int = 0
    fired: AlertEvent | None = None
    seen_ms: int = NEVER_MS
    memory: Memory = None
    basis: str = ""
    closed: Ring = EMPTY
    begun_ms: int = NEVER_MS


class KeyState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All rules' views of one alert key. `due_ms`: the watermark at which to look again even without a signal, if any."""

    alert_key: str
    rules: dict[str, RuleState] = {}
    due_ms: int | None = None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(KeyState)


def encode_state(state: KeyState) -> bytes:
    """Encode for the store."""
    return bytes([SCHEMA]) + _encoder.encode(state)


def decode_state(body: bytes) -> KeyState:
    """Decode what `encode_state` made.

    Raises:
        FatalError: written by another version of Tidings, or damaged. To guess would lose or double alerts.
    """
    if not body or body[0] not in _READABLE:
        found = body[0] if body else "none"
        raise FatalError(f"stored alert state has schema {found}, this version reads {SCHEMA}: run the version that wrote it")
    try:
        return _decoder.decode(memoryview(body)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FatalError(f"stored alert state is damaged ({error}): delete the key's state to start it afresh") from error
