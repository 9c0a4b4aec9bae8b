"""Make a watchlist's described topics ready: which model says what texts mean, its background, the topics' thresholds."""

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
import numpy as np

from worker.errors import ContractError, RetryableError, SettingsError
from worker.ports import Model, TokenBatch
from worker.score.batching import Batcher, BatchLimits, Tokenised, pad
from worker.score.contract import (
    AnyContract,
    Contract,
    Embedding,
    EmbeddingContract,
    file_mismatches,
    mismatches,
    onnx_mismatches,
    pairing_mismatches,
    parse_embedding_contract,
)
from worker.score.matching import WatchedTopic
from worker.score.meaning import Meaning, Vectors, calibrated, passages
from worker.score.tokenizer import Tokenizer
from worker.settings import Settings

T = TypeVar("T")
_FEWEST = 100
_PATIENCE_S = 60.0
_BATCH_TOKENS = 2_048
_REMEDY = "`tidings export --embedding` makes it; it is needed because the watchlist has topics with a description"


class Encoder(msgspec.Struct, frozen=True):
    """Who says what texts mean: a second model, or the one that scores."""

    contract: AnyContract
    embedding: Embedding
    folder: Path

    @property
    def second(self) -> EmbeddingContract | None:
        """The contract of the second model, where it takes one."""
        return self.contract if isinstance(self.contract, EmbeddingContract) else None


def find_encoder(settings: Settings, contract: Contract) -> Encoder:
    """Return the model that scores if it gives embeddings too, else the second one in the repository.

    Raises:
        ContractError: there is none, it is not whole, or it cannot be asked the same as the one that scores.
    """
    repository = settings.model.repository
    if contract.embedding:
        return Encoder(contract, contract.embedding, repository / settings.model.name)
    folder = repository / settings.model.embedding
    found = parse_embedding_contract(_read(folder / "contract.json"), str(folder / "contract.json"))
    onnx = folder / found.model.version / "model.onnx"
    wrong = pairing_mismatches(contract, found) + (onnx_mismatches(found, onnx.read_bytes()) if onnx.is_file() else [])
    if wrong:
        raise ContractError(f"{folder}: {'; '.join(wrong)}")
    return Encoder(found, found.embedding, folder)


def background(settings: Settings, encoder: Encoder) -> list[str]:
    """Return the texts that topics are calibrated on: yours, or those that came with the model.

    Raises:
        SettingsError: yours cannot be read, or are too few.
        ContractError: the model's own are not those that its contract names.
    """
    path = settings.score.background
    if path is None:
        body = _read(encoder.folder / encoder.embedding.background.file)
        if wrong := file_mismatches(encoder.embedding.background, body):
            raise ContractError(f"{encoder.folder}: {'; '.join(wrong)}")
        return _lines(body.decode())
    try:
        texts = _lines(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"score.background: {path} cannot be read: {error}") from error
    if len(texts) < _FEWEST:
        raise SettingsError(f"score.background: {path} has {len(texts)} texts, one a line; give it {_FEWEST} or more")
    return texts


class Until(Protocol):
    """Calls, again while what is called is not there, until there is an answer."""

    def __call__(self, call: Callable[[], T]) -> T:
        """Return the answer."""
        ...


class Tools(msgspec.Struct, frozen=True):
    """What it takes to ask a model at the start: `connect` opens one by its contract, for these outputs."""

    tokenizer: Tokenizer
    connect: Callable[[AnyContract, Sequence[str]], Model]
    until: Until


def understand(settings: Settings, encoder: Encoder, topics: Sequence[WatchedTopic], tools: Tools) -> Meaning:
    """Calibrate the described topics by the model that will be asked of messages.

    Raises:
        ContractError: the served model is not the one of its contract, or its background is another one.
        SettingsError: the background of one's own cannot be used.
    """
    contract, texts = encoder.contract, background(settings, encoder)
    with closing(tools.connect(contract, (encoder.embedding.output,))) as model:
        if wrong := mismatches(contract, tools.until(model.info)):
            raise ContractError(f"the served model {contract.model.name} is not the one of the contract: {'; '.join(wrong)}")
        own = [passages(topic) for topic in topics]
        vectors = _embed([*texts, *(text for some in own for text in some)], model, contract, tools)
    ends = np.cumsum([len(texts), *map(len, own)])
    of_topics = np.split(vectors[ends[0] :], ends[1:-1] - ends[0])
    return calibrated(topics, of_topics, vectors[: ends[0]], settings.score.background_share)


def _embed(texts: Sequence[str], model: Model, contract: AnyContract, tools: Tools) -> Vectors:
    batcher: Batcher[int] = Batcher(BatchLimits(contract.buckets, _BATCH_TOKENS, contract.max_batch_size, 0))
    for index, ids in enumerate(tools.tokenizer.encode(texts)):
        batcher.add(Tokenised(ids, 0, index))
    vectors: dict[int, Vectors] = {}
    while (batch := batcher.take(0, idle=True)) is not None:
        answer = tools.until(partial(_answer, model, pad(batch, contract.pad_id)))
        if not np.isfinite(answer).all():
            raise ContractError(f"{contract.model.name} answers with embeddings that are no numbers")
        vectors.update((text.item, row) for text, row in zip(batch.texts, answer, strict=True))
    return np.stack([vectors[index] for index in range(len(texts))])


def _answer(model: Model, batch: TokenBatch) -> Vectors:
    try:
        return model.submit(batch).result(_PATIENCE_S)
    except TimeoutError as error:
        raise RetryableError(f"the model took a request and did not answer within {_PATIENCE_S:.0f} s") from error


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ContractError(f"{path} cannot be read ({error.strerror}); {_REMEDY}") from error
