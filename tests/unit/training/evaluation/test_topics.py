from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.builders import tiny_encoder, tokenizer_file
from training.errors import GateError, TrainingError
from training.evaluation.folder import data_dir
from training.evaluation.topics import DESCRIPTIONS, Article, TorchEmbedder, read_articles, require, topic_gate, zero_shot

REAL = data_dir()
TOPICS = tuple(DESCRIPTIONS)


class Meaning:
    """Knows a text by the topic its first word names; blind to the topics that it is told."""

    def __init__(self, *blind: str) -> None:
        self._blind = blind

    def embeddings(self, texts):
        """Return one axis a topic; what it is blind to lies on the first."""
        rows = [next(n for n, topic in enumerate(TOPICS) if text.startswith(topic.split("/")[0][:5])) for text in texts]
        return np.eye(4, dtype=np.float32)[[0 if TOPICS[row] in self._blind else row for row in rows]]


def articles(count: int) -> list[Article]:
    """So many articles of each topic, which begin as its description does."""
    return [Article(f"{DESCRIPTIONS[topic][:7]} {n}", topic) for n in range(count) for topic in TOPICS]


def write(folder: Path, content: str) -> Path:
    """Write the articles' file and return the data folder."""
    (folder / "agnews").mkdir()
    (folder / "agnews" / "test.tsv").write_text(content, "utf-8")
    return folder


def test_the_gate_holds_where_nothing_was_lost() -> None:
    """Both encoders know all topics."""
    found = topic_gate(Meaning(), Meaning(), articles(5))
    assert (found.tuned, found.untouched, found.points_lost, found.passed) == (1.0, 1.0, 0.0, True)
    assert require(found) is found


def test_the_gate_stops_an_encoder_that_forgot_a_topic() -> None:
    """And says by how much."""
    found = topic_gate(Meaning("Sports"), Meaning(), articles(5))
    assert found.points_lost == pytest.approx(0.25)
    with pytest.raises(GateError, match=r"from 1\.000 to 0\.750 on 20 articles"):
        require(found)


def test_the_nearest_description_is_the_topic() -> None:
    """By cosine, in the order in which the topics are described."""
    assert zero_shot(Meaning(), ["Sports: a game", "World: a war"]).tolist() == [TOPICS.index("Sports"), TOPICS.index("World")]


def test_embeddings_are_unit_vectors_in_the_order_of_the_texts(tmp_path) -> None:
    """Whatever the batch; a prefix is put before each text."""
    encoder = tiny_encoder(tmp_path)
    texts = ["the very good day is good", "bad", "the film"] * 15
    together = TorchEmbedder(encoder, tokenizer_file()).embeddings(texts)
    alone = np.concatenate([TorchEmbedder(encoder, tokenizer_file()).embeddings([text]) for text in texts])
    assert together == pytest.approx(alone, abs=1e-5)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=1e-5)
    prefixed = TorchEmbedder(encoder, tokenizer_file(), prefix="the ").embeddings(["film"])
    assert prefixed[0] == pytest.approx(together[2], abs=1e-5)


def test_articles_are_read_and_sampled(tmp_path) -> None:
    """Text and topic, without a header; a topic that is not described is an error."""
    folder = write(tmp_path, "".join(f"text {n}\tSports\n" for n in range(9)))
    assert read_articles(folder)[0] == Article("text 0", "Sports")
    assert len(read_articles(folder, 4)) == 4
    (folder / "agnews" / "test.tsv").write_text("text\tWeather\n")
    with pytest.raises(TrainingError, match="no topic 'Weather'"):
        read_articles(folder)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the measuring data is not at {REAL}; it is no part of the repository")
def test_the_real_articles_are_1900_of_each_topic() -> None:
    """As AG News has them."""
    found = [article.topic for article in read_articles(REAL)]
    assert {topic: found.count(topic) for topic in TOPICS} == dict.fromkeys(TOPICS, 1_900)
