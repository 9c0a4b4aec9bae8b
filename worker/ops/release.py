"""The contract beside the model, looked at every few seconds: when it names another version, the worker goes over to it.

`tidings promote` has the server load a version first and then lets the contract name it. What does not go with the work in
hand never takes the place of what works; a version that the server does not serve yet is asked for again.
"""

import hashlib
import time
from collections.abc import Callable

import structlog

from worker.errors import ContractError, RetryableError, SettingsError
from worker.ports import Model
from worker.score.contract import Contract, parse_contract, succession_mismatches
from worker.score.release import Release

log = structlog.get_logger(__name__)
EVERY_S = 3.0


class ReleaseFile:
    """The contract as the score role's thread asks for it; see `ops.watch.HasReload` for the others.

    Args:
        read: gives the file's bytes, or raises ContractError.
        open_release: opens the version that a contract promises. Raises ContractError if it is another model than that,
            RetryableError if it is not served yet. It may take as long as one question to the server.
        contract: what is in force at the start.
        wall_clock: seconds since the epoch, for the metric.
        monotonic: seconds, for the distance between two looks.
    """

    def __init__(
        self,
        read: Callable[[], bytes],
        open_release: Callable[[Contract], Release],
        contract: Contract,
        wall_clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._open = open_release
        self._monotonic = monotonic
        self._wall_clock = wall_clock
        self._contract = contract
        self._settled = self._told = ""
        self._next_s = float("-inf")
        self._hurried = False
        self._opened: Model | None = None
        self.successful = True
        self.succeeded_at_s = wall_clock()

    @property
    def version(self) -> str:
        """The version in force; may be read from any thread."""
        return self._contract.model.version

    def hurry(self) -> None:
        """Have the file looked at when it is next asked for; a flag, so that any thread may set it."""
        self._hurried = True

    def changed(self) -> Release | None:
        """Return another version, open, if the contract names one and the server serves it; None if all is as before.

        What is refused is told once, and the version before goes on.
        """
        now_s = self._monotonic()
        if not self._hurried and now_s < self._next_s:
            return None
        self._hurried, self._next_s = False, now_s + EVERY_S
        digest = ""
        try:
            body = self._read()
            digest = hashlib.sha256(body).hexdigest()
            return None if digest == self._settled else self._take(body, digest)
        except RetryableError as error:
            self._refuse("the contract names a version that is not served yet, asking again", str(error))
        except (ContractError, SettingsError) as error:
            self._settled = digest
            self._refuse("the contract names what this worker cannot go over to, the version before goes on", str(error))
        return None

    def close(self) -> None:
        """Drop the connection of the version opened last."""
        if self._opened is not None:
            self._opened.close()

    def _take(self, body: bytes, digest: str) -> Release | None:
        contract = parse_contract(body)
        before = self._contract
        if wrong := succession_mismatches(before, contract):
            raise ContractError("; ".join(wrong))
        release = self._open(contract) if contract.model.version != before.model.version else None
        self._contract, self._settled, self._told = contract, digest, ""
        self.successful, self.succeeded_at_s = True, self._wall_clock()
        if release is not None:
            self._opened = release.model
        return release

    def _refuse(self, event: str, why: str) -> None:
        self.successful = False
        if why != self._told:
            log.error(event, version=self.version, why=why)
        self._told = why
