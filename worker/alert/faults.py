"""What is wrong in a rule file, in words that say what to write instead: from pydantic's errors and the models. Pure."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from worker.alert.yaml_lines import Lines, Path

_VALUES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_BOUNDS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
_BOUND_ERRORS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
_LONGEST_VALUE = 60
Models = Sequence[type[BaseModel]]


class Fault(NamedTuple):
    """One thing that is wrong: the file, the line from 1 on (0: the whole file), the field's path, what should be there."""

    file: str
    line: int
    field: str
    problem: str

    def __str__(self) -> str:
        """Return one line."""
        line, field = f":{self.line}" if self.line else "", f"{self.field}: " if self.field else ""
        return f"{self.file}{line}: {field}{self.problem}"


class _Place(NamedTuple):
    """Where an error is.

    `path` is as the file has it: pydantic puts the type of a detector before its fields, and `[key]` behind a wrong key.
    `models` are what the innermost mapping may be, `field` is the innermost field that is known.
    """

    path: Path
    models: Models
    field: FieldInfo | None


def faults_of(error: ValidationError, root: type[BaseModel], file: str, lines: Lines) -> list[Fault]:
    """Return a fault for each error in a document that was held against `root`; `lines` are the document's."""
    return [_fault(item, root, file, lines) for item in error.errors()]


def did_you_mean(name: object, known: Sequence[str]) -> str:
    """Return a question with the nearest of what is known, or nothing if none is near."""
    close = difflib.get_close_matches(name, known, n=1) if isinstance(name, str) else []
    return f"; did you mean `{close[0]}`?" if close else ""


def _fault(item: Any, root: type[BaseModel], file: str, lines: Lines) -> Fault:
    place = _place(item["loc"], root)
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{_printable(part)}" for part in place.path).lstrip(".")
    if item["type"] == "extra_forbidden":
        problem = _unknown(str(item["loc"][-1]), place.models, root)
    else:
        problem = _problem(item, place.field)
    return Fault(file, lines.line_of(place.path), field, problem)


def _place(loc: Sequence[int | str], root: type[BaseModel]) -> _Place:
    path: list[int | str] = []
    inner: Models = [root]
    models, field = inner, None
    for part in loc:
        if field and (tagged := [model for model in inner if _type_of(model) == part]):
            inner = tagged
            continue
        if isinstance(part, str):
            models = inner
            if found := _field(models, part):
                field, inner = found, _models(found.annotation)
        if part != "[key]":
            path.append(part)
    return _Place(tuple(path), models, field)


def _unknown(name: str, models: Models, root: type[BaseModel]) -> str:
    known = sorted({alias for model in models for alias in _fields(model)})
    homes = [home for home, model in _reachable(root, "the file") if name in _fields(model)]
    remedy = f"; it belongs into {homes[0]}." if homes else did_you_mean(name, known) or "."
    return f"no such field{remedy} Known here: {', '.join(known)}"


def _problem(item: Any, field: FieldInfo | None) -> str:
    kind, value = item["type"], _short(item["input"])
    if kind in _VALUES:
        return f"expected {_VALUES[kind]}, not {value}"
    if kind in _BOUND_ERRORS:
        return f"expected {_bounds(field)}, not {value}"
    tell = _TELLERS.get(kind)
    return tell(item, field) if tell else str(item["msg"]).removeprefix("Value error, ")


def _missing(_item: Any, field: FieldInfo | None) -> str:
    return f"missing{_meaning(field) or '.'}{_types(field)}"


def _wrong_choice(item: Any, field: FieldInfo | None) -> str:
    choices = _choices(field.annotation) if field else []
    return f"expected {_one_of(choices)}, not {_short(item['input'])}{did_you_mean(item['input'], choices)}"


def _wrong_form(item: Any, field: FieldInfo | None) -> str:
    return f"expected text that matches {item['ctx']['pattern']}, not {_short(item['input'])}{_meaning(field)}"


def _no_text(item: Any, _field: FieldInfo | None) -> str:
    return f"expected text, not {_short(item['input'])}: put it in quotes"


def _no_type(_item: Any, field: FieldInfo | None) -> str:
    return f"`type` is missing.{_types(field)}"


def _wrong_type(item: Any, field: FieldInfo | None) -> str:
    tag = item["ctx"]["tag"]
    return f"no such type as {_short(tag)}{did_you_mean(tag, _type_names(field)) or '.'}{_types(field)}"


_TELLERS: dict[str, Callable[[Any, FieldInfo | None], str]] = {
    "missing": _missing,
    "literal_error": _wrong_choice,
    "string_pattern_mismatch": _wrong_form,
    "string_type": _no_text,
    "union_tag_not_found": _no_type,
    "union_tag_invalid": _wrong_type,
    "too_short": lambda *_: "expected at least one",
    "string_too_short": lambda *_: "expected text that is not empty",
}


def _types(field: FieldInfo | None) -> str:
    names = _type_names(field)
    return f" Types: {', '.join(names)}; for example `{{type: {names[0]}}}`" if names else ""


def _type_names(field: FieldInfo | None) -> list[str]:
    return [name for model in _models(field.annotation if field else None) if (name := _type_of(model))]


def _bounds(field: FieldInfo | None) -> str:
    limits = [f"{_BOUNDS[name]} {limit}" for one in (field.metadata if field else []) for name, limit in _limits(one)]
    return " and ".join(limits)


def _limits(metadata: object) -> Iterator[tuple[str, object]]:
    return ((name, getattr(metadata, name)) for name in _BOUNDS if getattr(metadata, name, None) is not None)


def _meaning(field: FieldInfo | None) -> str:
    return f" ({field.description.rstrip('.')})" if field and field.description else ""


def _one_of(choices: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1]))) if choices else "another value"


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    return [choice for inner in get_args(annotation) for choice in _choices(inner)]


def _models(annotation: Any) -> Models:
    """Every model that stands in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]


def _reachable(model: type[BaseModel], home: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield home, model
    for name, field in _fields(model).items():
        for inner in _models(field.annotation):
            if inner is model:  # a part that holds parts of its own kind, as a route does
                continue
            yield from _reachable(inner, "the rule" if name == "rules" else f"`{name}`")


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _field(models: Models, name: str) -> FieldInfo | None:
    return next((field for model in models if (field := _fields(model).get(name))), None)


def _type_of(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("type")
    return _choices(field.annotation)[0] if field else None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _printable(name: str) -> str:
    return name if name.isprintable() else repr(name)
