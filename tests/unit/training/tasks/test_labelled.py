import json
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.tasks.builders import topic_file
from training.data import Split
from training.errors import TrainingError
from training.recipe import Task
from training.tasks.labelled import Labelled, TaskCorpus, read_labelled
from training.tasks.spans import Span
from training.tasks.topics import TopicHead, best_threshold


def everything(corpus: TaskCorpus) -> list[Labelled]:
    """The texts of all parts."""
    return [one for part in Split for one in corpus.parts[part]]


def test_topics_are_read_as_lists_and_as_names_with_something_between(tmp_path) -> None:
    """A CSV of people's own is read as JSONL is; repeated texts are dropped and counted, and no group crosses."""
    names = ["trade|politics", "trade; politics", "", "politics"]
    lines = [f'number {n} is told of,"{names[n % 4]}",{n // 4}' for n in range(80)]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["text,topics,group", *lines, lines[0]]) + "\n")
    corpus = read_labelled(path, Task.TOPICS)
    assert corpus.labels == ("politics", "trade")
    assert {one.topics for one in everything(corpus)} == {("politics", "trade"), (), ("politics",)}
    assert (len(everything(corpus)), corpus.manifest["dropped"]["duplicate"]) == (80, 1)
    homes = [{one.group for one in corpus.parts[part]} for part in Split]
    assert not homes[0] & homes[1] | homes[0] & homes[2] | homes[1] & homes[2]


def test_conll_is_read_by_documents(tmp_path) -> None:
    """Words and tags become texts with spans; the sentences of a document stay together."""
    sentence = "{n} O\nAngela B-PER\nMerkel I-PER\nasks O\n\n"
    text = "".join("-DOCSTART- O\n\n" * (n % 2 == 0) + sentence.replace("{n}", str(n)) for n in range(60))
    (tmp_path / "ner.conll").write_text(text)
    corpus = read_labelled(tmp_path / "ner.conll", Task.ENTITIES)
    [one] = [one for one in everything(corpus) if one.text.startswith("17 ")]
    assert (one.text, one.spans) == ("17 Angela Merkel asks", (Span(3, 16, "PER"),))
    assert len({one.group for one in everything(corpus)}) == 30
    assert corpus.labels == ("PER",)


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        (Task.TOPICS, {"text": "a day"}, "mine.jsonl:1: there is no topics or labels; there are text"),
        (Task.TOPICS, {"text": "a day", "topics": 3}, "mine.jsonl:1: topics must be a list of names"),
        (Task.ENTITIES, {"text": "a day", "entities": [{"start": 2, "end": 9, "label": "X"}]}, "outside of its text of 5"),
        (
            Task.ENTITIES,
            {"text": "a day", "entities": [{"start": 0, "end": 3, "label": "X"}, {"start": 2, "end": 5, "label": "Y"}]},
            "two entities overlap",
        ),
        (Task.ENTITIES, {"text": "a day", "entities": [{"start": 0}]}, "objects with start, end and label"),
        (Task.ENTITIES, {"tokens": ["a", "day"], "tags": ["O"]}, "objects with start, end and label"),
    ],
)
def test_a_wrong_record_is_named_by_its_line(tmp_path, task: Task, row: dict[str, object], message: str) -> None:
    """With what belongs there."""
    (tmp_path / "mine.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(TrainingError, match=message):
        read_labelled(tmp_path / "mine.jsonl", task)


def test_a_label_that_nothing_can_be_learned_of_is_refused(tmp_path: Path) -> None:
    """One that is in the test part alone would be measured and never said."""
    rows = topic_file(tmp_path).read_text().splitlines()
    held_out = read_labelled(tmp_path / "topics.jsonl", Task.TOPICS).parts[Split.TEST][0].text
    marked = [json.loads(row) for row in rows]
    for row in marked:
        row["topics"] += ["rare"] if row["text"] == held_out else []
    (tmp_path / "topics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in marked))
    with pytest.raises(TrainingError, match="'rare' is in no text of the training part"):
        read_labelled(tmp_path / "topics.jsonl", Task.TOPICS)


def test_a_threshold_is_where_f1_is_best() -> None:
    """Checked by trying every cut; a half where the topic is nowhere."""
    rng = np.random.default_rng(4)
    probabilities, there = rng.random(60), rng.random(60) < 0.2
    found = best_threshold(probabilities, there)

    def score(limit: float) -> float:
        said = probabilities >= limit
        return float(2 * (said & there).sum() / (said.sum() + there.sum()))

    assert score(found) >= max(map(score, [0.0, *probabilities])) - 1e-9
    assert best_threshold(probabilities, np.zeros(60, dtype=bool)) == 0.5


def test_thresholds_decide_what_is_said() -> None:
    """A topic with a low threshold is said at a probability that says no other."""
    head = TopicHead(("a", "b"), (0.2, 0.5))
    assert head.said([np.array([-1.0, -1.0], dtype=np.float32)]).tolist() == [[True, False]]
