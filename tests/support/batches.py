"""Padded batches of random tokens for tests of models."""

import numpy as np

from tests.support.tiny_onnx import VOCABULARY
from worker.ports import TokenBatch
from worker.score.batching import Batch, Tokenised, pad


def rows(count: int, *, seed: int = 0, longest: int = 30) -> list[list[int]]:
    """Return `count` lists of token ids of differing lengths, from 2 to `longest`."""
    random = np.random.default_rng(seed)
    lengths = random.integers(2, longest, size=count, endpoint=True)
    return [random.integers(1, VOCABULARY, size=length).tolist() for length in lengths]


def batch_of(texts: list[list[int]], bucket: int = 32) -> TokenBatch:
    """Pad to the bucket, as the score role does."""
    return pad(Batch(bucket, tuple(Tokenised(ids, 0, None) for ids in texts)), pad_id=0)
