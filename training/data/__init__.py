"""Labelled texts, from a file to parts fit to train on.

    records ─▶ columns ─▶ reading ─▶ cleaning ─▶ splitting ─▶ prepare (three parts, what was dropped, a report)

`icwsm` holds the data set of the shipped adapter; its names are this package's own, since they came first, and need nothing
but the standard library, so that the demo can replay the snippets without torch.
"""

from training.data.icwsm import (
    ARCHIVE_NAME,
    ARCHIVE_SHA256,
    DATASET_NAME,
    LABELS,
    SDIST,
    SPLIT_RULE,
    THRESHOLD,
    RawSnippet,
    Snippet,
    Source,
    Split,
    assign,
    committed_manifest,
    fetch_archive,
    label_of,
    load_snippets,
    manifest,
    merge_groups,
    normalise,
    of_split,
    parse,
    read_archive,
    split_of,
)

__all__ = [
    "ARCHIVE_NAME",
    "ARCHIVE_SHA256",
    "DATASET_NAME",
    "LABELS",
    "SDIST",
    "SPLIT_RULE",
    "THRESHOLD",
    "RawSnippet",
    "Snippet",
    "Source",
    "Split",
    "assign",
    "committed_manifest",
    "fetch_archive",
    "label_of",
    "load_snippets",
    "manifest",
    "merge_groups",
    "normalise",
    "of_split",
    "parse",
    "read_archive",
    "split_of",
]
