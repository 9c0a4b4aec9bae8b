"""Recognise a text that was seen before, and take its score from memory."""

import hashlib
from collections import OrderedDict

import msgspec

from worker.messages import Sentiment


class Known(msgspec.Struct):
    """A text's first message, and its sentiment once that is there."""

    first_id: str
    sentiment: Sentiment | None = None


class DuplicateIndex:
    """The last `capacity` distinct texts, by the hash of what the model sees of them.

    The index lives with the process: after a restart or on another worker a repeat may pass for a first. Sentiment does not
    depend on that, `duplicate_of` does.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    def look_up(self, content: str, message_id: str) -> Known:
        """Return what is known of the text, remembering it under `message_id` if it is new.

        White space is folded first, as the tokenizer does.
        """
        digest = hashlib.blake2b(" ".join(content.split()).encode(), digest_size=16).digest()
        known = self._known.get(digest)
        if known is None:
            known = self._known[digest] = Known(message_id)
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
        self._known.move_to_end(digest)
        return known
