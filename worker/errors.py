"""Every error that Tidings raises on purpose: one base, one line each. Adapters translate their library's errors into these."""

from typing import Literal

ModelErrorReason = Literal["unavailable", "not_loaded", "no_answer", "refused"]


class TidingsError(Exception):
    """The base. Its message is one sentence for the person who has to act on it; `exit_code` is what the process ends with."""

    exit_code = 1


class SettingsError(TidingsError):
    """A setting, rule file or watchlist is wrong; the message names the path and what was expected."""


class ContractError(TidingsError):
    """The served model does not match its contract; the message says in what."""


class RetryableError(TidingsError):
    """A neighbour failed in a way that may pass: try again after a pause."""


class ModelError(RetryableError):
    """The model gave no logits; the message says more.

    `reason` is a fixed word: `unavailable` (nobody there, or busy), `not_loaded`, `no_answer` (too slow), or `refused` (it
    answered with an error, which may be the fault of what it was asked).
    """

    def __init__(self, reason: ModelErrorReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class AbortedError(RetryableError):
    """A Kafka transaction was rolled back; nothing of it is visible: rewind to the committed offsets."""


class FencedError(TidingsError):
    """Another worker owns this partition now; none of this commit's effects took place."""


class FatalError(TidingsError):
    """This process cannot go on; its supervisor should start another."""


class StoppedError(TidingsError):
    """The process was told to leave, and what was being waited for is given up."""


class UnfinishedError(TidingsError):
    """The process left with work in hand that another worker will do again; nothing is lost."""

    exit_code = 3


class SelectionError(TidingsError):
    """What was asked for is not there; the message says what to ask instead."""


class DecodeError(TidingsError):
    """A record cannot become a message. `reason` is a fixed word for headers and metrics, the message says more.

    The record itself, raw bytes and all, is held by whoever called the codec, so that the dead letter is complete.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
