"""Certificates made for one session: an authority that everybody trusts, another that nobody does, and what both issue."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.primitives import serialization

LOOPBACK = ("127.0.0.1", "localhost")
KEY_PASSWORD = "key-password-of-the-test"  # noqa: S105 - no secret: made and thrown away with the session


@dataclass(frozen=True)
class Pair:
    """Files of one certificate: its chain, its key (PKCS 8), both in one file, and the key under `KEY_PASSWORD`."""

    certificate: Path
    key: Path
    both: Path
    locked_key: Path


class Certificates:
    """What the listeners show and the clients hold, as files under `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ours, self._theirs = trustme.CA(organization_name="Ours"), trustme.CA(organization_name="Theirs")
        self.authority = self._authority("ours", self._ours)
        self.other_authority = self._authority("theirs", self._theirs)
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        self.server = self._pair("server", self._ours.issue_cert(*LOOPBACK, common_name="server"))
        self.expired_server = self._pair("expired", self._ours.issue_cert(*LOOPBACK, not_after=yesterday))
        self.elsewhere_server = self._pair("elsewhere", self._ours.issue_cert("elsewhere.test"))
        self.client = self._pair(
            "client", self._ours.issue_cert("worker.test", common_name="worker", key_type=trustme.KeyType.RSA)
        )
        self.expired_client = self._pair(
            "late", self._ours.issue_cert("worker.test", common_name="worker", not_after=yesterday)
        )
        self.foreign_client = self._pair("foreign", self._theirs.issue_cert("worker.test", common_name="worker"))

    def _authority(self, name: str, authority: trustme.CA) -> Path:
        path = self._folder / f"{name}-ca.pem"
        authority.cert_pem.write_to_path(path)
        return path

    def _pair(self, name: str, issued: trustme.LeafCert) -> Pair:
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
        plain = self._key(key, serialization.NoEncryption())
        locked = self._key(key, serialization.BestAvailableEncryption(KEY_PASSWORD.encode()))
        return Pair(
            self._file(f"{name}.crt", chain),
            self._file(f"{name}.key", plain),
            self._file(f"{name}.pem", plain + chain),
            self._file(f"{name}.locked.key", locked),
        )

    @staticmethod
    def _key(key: Any, lock: serialization.KeySerializationEncryption) -> bytes:
        return bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock))

    def _file(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(content)
        return path
