"""The project's own source as data: which module imports what, how long functions are. Reads files, imports none of them."""

import ast
import io
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("worker", "training", "deploy")


@dataclass(frozen=True)
class Module:
    """One source file. `name` is dotted; a package's `__init__.py` has the package's own name."""

    name: str
    source: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.source)

    @cached_property
    def imports(self) -> frozenset[str]:
        """Absolute dotted names of all it imports, in functions too; `from a import b` gives `a.b`."""
        return frozenset(self._imports())

    def _imports(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (f"{self._base(node)}.{alias.name}" for alias in node.names)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.name.split(".")
        kept = parts[: len(parts) - node.level + self.is_package]
        return ".".join([*kept, *(node.module or "").split(".")]).rstrip(".")

    @cached_property
    def functions(self) -> tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...]:
        """Every function and method, nested ones too."""
        return tuple(node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))

    @cached_property
    def code_lines(self) -> frozenset[int]:
        """Line numbers that hold code: neither blank nor a comment nor a docstring."""
        skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
        tokens = tokenize.generate_tokens(io.StringIO(self.source).readline)
        lines = {line for token in tokens if token.type not in skipped for line in range(token.start[0], token.end[0] + 1)}
        return frozenset(lines - self._docstring_lines())

    def _docstring_lines(self) -> set[int]:
        texts = [
            node.value for node in ast.walk(self.tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ]
        return {
            line for text in texts if isinstance(text.value, str) for line in range(text.lineno, (text.end_lineno or 0) + 1)
        }

    def body_lines(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        """Lines of code in the function's body."""
        return len(self.code_lines & set(range(function.body[0].lineno, (function.end_lineno or 0) + 1)))


@cache
def read_modules() -> dict[str, Module]:
    """Every module of the project's packages by name."""
    paths = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {module.name: module for module in map(_read, paths)}


def _read(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    return Module(".".join(parts[:-1] if is_package else parts), path.read_text(encoding="utf-8"), is_package)


def own_imports(module: Module, modules: Mapping[str, Module]) -> frozenset[str]:
    """The modules of ours that it imports: `worker.errors` for `from worker import errors`, `worker` for a value in it."""
    found = {_owner(name, modules) for name in module.imports}
    return frozenset(found - {None, module.name})  # type: ignore[arg-type] # None is taken out


def _owner(name: str, modules: Mapping[str, Module]) -> str | None:
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None
