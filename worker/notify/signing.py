"""What proves a notification to be ours, and whole: HMAC-SHA256 (RFC 2104) over its time and its body. Pure.

    X-Tidings-Signature: t=1767225600,v1=<64 hexadecimal digits>

The signed bytes are the time in seconds of the epoch, in decimal, a full stop, and the body as it was sent. A receiver compares
in constant time and does not take what is older than a few minutes, so that nothing that was overheard can be sent again.
"""

import hashlib
import hmac

HEADER = "X-Tidings-Signature"
TOLERANCE_S = 300


def sign(secret: bytes, at_s: int, body: bytes) -> str:
    """Return the value of the header."""
    return f"t={at_s},v1={_digest(secret, at_s, body)}"


def verify(secret: bytes, header: str, body: bytes, now_s: int, tolerance_s: int = TOLERANCE_S) -> bool:
    """Tell whether the header is of whoever knows the secret, and of this body and time. What a receiver does."""
    parts = [part.partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t" and value.isascii() and value.isdigit()]
    if len(times) != 1 or abs(now_s - int(times[0])) > tolerance_s:
        return False
    wanted = _digest(secret, int(times[0]), body).encode()
    return any(hmac.compare_digest(wanted, value.encode()) for name, _, value in parts if name == "v1")


def _digest(secret: bytes, at_s: int, body: bytes) -> str:
    return hmac.new(secret, str(at_s).encode() + b"." + body, hashlib.sha256).hexdigest()
