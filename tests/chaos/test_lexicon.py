from tests.chaos import lexicon
from training.data import LABELS, load_snippets


def test_labels_follow_what_people_said() -> None:
    """On the rated snippets: more than half of the labels agree, all three are used, and praise is seldom taken for blame."""
    snippets = load_snippets()
    labels = [LABELS[at] for at in lexicon.expected_logits([snippet.text for snippet in snippets]).argmax(axis=1)]
    pairs = list(zip(snippets, labels, strict=True))
    assert sum(snippet.label == label for snippet, label in pairs) / len(pairs) > 0.5
    assert all(0.1 < labels.count(label) / len(labels) < 0.7 for label in LABELS)
    blamed = [label == "negative" for snippet, label in pairs if snippet.rating <= -2]
    praised = [label == "negative" for snippet, label in pairs if snippet.rating >= 1.5]
    assert sum(blamed) / len(blamed) > 0.45
    assert sum(praised) / len(praised) < 0.1
