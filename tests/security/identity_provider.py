"""A small OpenID Connect provider on loopback: signs client-credentials tokens, and publishes the key to check them with.

RFC 6749 section 4.4 (client credentials), RFC 7517 (JSON Web Key), RFC 7519 (JSON Web Token).
"""

import base64
import json
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

AUDIENCE = "kafka"
ISSUER = "https://issuer.test"
CLIENT_ID = "worker"
CLIENT_SECRET = "client-secret-of-the-test"  # noqa: S105 - no secret: it opens nothing but this session's broker
SCOPE = "events"
_KEY_ID = "the-only-one"


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


class IdentityProvider:
    """Knows one client. `requests` counts the tokens that were asked for, with whatever credentials."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65_537, 2_048)
        self.requests = 0
        self.url = ""

    @property
    def token_url(self) -> str:
        """Where clients ask for tokens."""
        return f"{self.url}/token"

    @property
    def keys_url(self) -> str:
        """Where brokers find the public key."""
        return f"{self.url}/keys"

    def token(self, subject: str = CLIENT_ID, lifetime_s: float = 300) -> str:
        """Sign a token for this subject that is good for so many seconds from now; it may be over already."""
        now = int(time.time())
        claims = {
            "sub": subject,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "scope": SCOPE,
            "iat": min(now, int(now + lifetime_s)) - 1,
            "exp": int(now + lifetime_s),
        }
        head = _encoded(json.dumps({"alg": "RS256", "kid": _KEY_ID, "typ": "JWT"}).encode())
        body = _encoded(json.dumps(claims).encode())
        signature = self._key.sign(f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{head}.{body}.{_encoded(signature)}"

    def keys(self) -> dict[str, Any]:
        """The JSON Web Key set."""
        numbers = self._key.public_key().public_numbers()
        modulus = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8, "big")
        key = {"kty": "RSA", "kid": _KEY_ID, "alg": "RS256", "use": "sig", "n": _encoded(modulus), "e": "AQAB"}
        return {"keys": [key]}

    def answer(self, authorization: str) -> tuple[int, dict[str, Any]]:
        """Answer a request for a token with this header: status and body."""
        self.requests += 1
        given = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        if urllib.parse.unquote(given) != f"{CLIENT_ID}:{CLIENT_SECRET}":
            return 401, {"error": "invalid_client"}
        return 200, {"access_token": self.token(), "token_type": "Bearer", "expires_in": 300}


@contextmanager
def serving(provider: IdentityProvider) -> Iterator[IdentityProvider]:
    """Serve it on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, provider.keys())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self._send(*provider.answer(self.headers.get("authorization") or ""))

        def _send(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    provider.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
