"""YAML with the line of every field, so that an error can point at it. Pure."""

from typing import Any, NamedTuple

import yaml

Path = tuple[int | str, ...]
UNREADABLE = (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError)
"""What PyYAML raises for what it cannot read: its own error, and others for a date such as 2001-99-99, for `!!int ""`, for
`!!bool x`, and for lists nested too deeply. Found by fuzzing."""


_MOST_FIELDS = 100_000
"""More than any file of rules has: aliases of aliases multiply, nine lines can say a billion fields."""


class Lines(NamedTuple):
    """Where each part of a document stands, lines counted from 1."""

    by_path: dict[Path, int]

    def line_of(self, path: Path) -> int:
        """Return the line of `path`, or of the innermost part of it that the document has."""
        return next(self.by_path[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self.by_path)


def load_with_lines(text: str) -> tuple[Any, Lines]:
    """Read one YAML document with the safe loader, and note its lines.

    Raises:
        yaml.YAMLError: not YAML, a mapping has a key twice, or there are too many fields; mostly with a `problem_mark`. Or one
            of the other UNREADABLE.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    by_path: dict[Path, int] = {(): 1}
    if root is not None:
        _note(root, (), by_path)
    return yaml.safe_load(text), Lines(by_path)


def _note(node: yaml.Node, path: Path, by_path: dict[Path, int]) -> None:
    by_path.setdefault(path, node.start_mark.line + 1)
    if len(by_path) > _MOST_FIELDS:
        problem = f"more than {_MOST_FIELDS:,} fields, those that aliases repeat among them"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _note(item, (*path, index), by_path)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _note_field(key, value, (*path, str(key.value)), by_path)


def _note_field(key: yaml.Node, value: yaml.Node, path: Path, by_path: dict[Path, int]) -> None:
    if path in by_path:
        raise yaml.MarkedYAMLError(problem=f"`{path[-1]}` is given twice", problem_mark=key.start_mark)
    by_path[path] = key.start_mark.line + 1
    _note(value, path, by_path)
