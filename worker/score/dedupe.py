"""Recognise a text that was seen before, and take its score from memory."""

import hashlib
from collections import OrderedDict

import msgspec

from worker.messages import Message, Origin, Sentiment


class Known(msgspec.Struct):
    """A text's first message, and its sentiment once that is there."""

    first_id: str
    first_origin: Origin
    sentiment: Sentiment | None = None

    def duplicate_of(self, message: Message) -> str | None:
        """Return the first message's id if `message` is a later one; a record that is read again is no duplicate of itself."""
        return None if message.origin == self.first_origin else self.first_id


class DuplicateIndex:
    """The last `capacity` distinct texts, by the hash of what the model sees of them.

    The index lives with the process: after a restart or on another worker a repeat may pass for a first. Sentiment does not
    depend on that, `duplicate_of` does.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    def look_up(self, message: Message) -> Known:
        """Return what is known of the message's text, remembering the message if the text is new.

        White space is folded first, as the tokenizer does.
        """
        digest = _digest(message)
        known = self._known.get(digest)
        if known is None:
            known = self._known[digest] = Known(message.id, message.origin)
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
        self._known.move_to_end(digest)
        return known

    def forget(self, message: Message) -> None:
        """Forget the message's text: there is no prediction that a repeat of it could point to."""
        self._known.pop(_digest(message), None)


def _digest(message: Message) -> bytes:
    return hashlib.blake2b(" ".join(message.content.split()).encode(), digest_size=16).digest()
