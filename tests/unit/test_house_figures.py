"""The measurable part of the house style, see CONTRIBUTING.md: code that stays small enough to read."""

import ast
from collections.abc import Callable, Iterator
from statistics import median, quantiles

import pytest

from tests.unit.source_tree import PACKAGES, Module, read_modules

MAX_BODY_LINES = 40
MAX_PARAMETERS = 7
MAX_FILE_LINES = 420
MAX_BROAD_EXCEPTS = 1
"""In the worker: the top loop, which turns what nobody foresaw into a log line and an exit code."""


def long_bodies(module: Module) -> Iterator[str]:
    """Functions whose body has too many lines of code."""
    for function in module.functions:
        if (lines := module.body_lines(function)) > MAX_BODY_LINES:
            yield f"{module.name}.{function.name} has {lines} lines, at most {MAX_BODY_LINES}"


def many_parameters(module: Module) -> Iterator[str]:
    """Functions with too many parameters, self and cls not counted; commands are let off, their options are their users'."""
    if module.name.endswith(".commands") or ".commands." in module.name:
        return
    for function in module.functions:
        arguments = function.args
        names = [item.arg for item in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        count = len([name for name in names if name not in {"self", "cls"}])
        if count > MAX_PARAMETERS:
            yield f"{module.name}.{function.name} has {count} parameters, at most {MAX_PARAMETERS}"


def long_files(module: Module) -> Iterator[str]:
    """Files with too many lines, of whatever kind."""
    if (lines := len(module.source.splitlines())) > MAX_FILE_LINES:
        yield f"{module.name} has {lines} lines, at most {MAX_FILE_LINES}"


def broad_excepts(module: Module) -> Iterator[str]:
    """Handlers that catch everything: `except:`, `except Exception`, `except BaseException`, alone or in a tuple."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type):
            yield f"{module.name}:{node.lineno} catches everything"


def _is_broad(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(_is_broad(item) for item in caught.elts)
    return caught is None or (isinstance(caught, ast.Name) and caught.id in {"Exception", "BaseException"})


CHECKS = [long_bodies, many_parameters, long_files]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("package", PACKAGES)
def test_code_is_small_enough(package: str, check: Callable[[Module], Iterator[str]]) -> None:
    """No function and no file outgrows the limit."""
    modules = [module for name, module in read_modules().items() if name.split(".")[0] == package]
    assert [line for module in modules for line in check(module)] == []


def test_worker_has_one_broad_except() -> None:
    """Errors have names; only the top loop may catch the rest."""
    found = [line for name, module in read_modules().items() if name.startswith("worker") for line in broad_excepts(module)]
    assert len(found) <= MAX_BROAD_EXCEPTS, found


def test_most_functions_are_short() -> None:
    """Half of all bodies have 8 lines of code or fewer, nine of ten have 20 or fewer."""
    lines = [module.body_lines(function) for module in read_modules().values() for function in module.functions]
    assert median(lines) <= 8
    assert quantiles(lines, n=10)[-1] <= 20


@pytest.mark.parametrize(
    ("check", "source"),
    [
        (long_bodies, "def f():\n" + "    x = 1\n" * 41),
        (many_parameters, "def f(a, b, c, d, /, e, f, *, g, h): ..."),
        (long_files, "#\n" * 421),
        (broad_excepts, "try:\n    f()\nexcept (OSError, Exception):\n    pass"),
        (broad_excepts, "try:\n    f()\nexcept:\n    pass"),
    ],
)
def test_checks_notice(check: Callable[[Module], Iterator[str]], source: str) -> None:
    """Each check catches the smallest thing that it forbids."""
    assert list(check(Module("worker.planted", source)))


@pytest.mark.parametrize(
    ("check", "source"),
    [
        (long_bodies, 'def f():\n    """One.\n\n    Two.\n    """\n' + "    x = 1\n\n    # why\n" * 40),
        (many_parameters, "class A:\n    def f(self, a, b, c, d, e, f, g): ..."),
        (long_files, "#\n" * 420),
        (broad_excepts, "try:\n    f()\nexcept (OSError, ValueError):\n    pass"),
    ],
)
def test_checks_count_right(check: Callable[[Module], Iterator[str]], source: str) -> None:
    """What is exactly at the limit passes; docstrings, comments, blank lines and self do not count."""
    assert list(check(Module("worker.planted", source))) == []
