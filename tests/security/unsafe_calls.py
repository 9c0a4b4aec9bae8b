"""What can run code that its input brings along, found in a source tree; Python's own and that of the libraries we have."""

import ast
from collections.abc import Iterator

from tests.unit.source_tree import Module

MODULES = frozenset({"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle"})
"""Loading what they wrote runs whatever it says."""
BUILTINS = frozenset({"eval", "exec", "compile", "__import__"})
YAML_LOADERS = frozenset({"SafeLoader", "CSafeLoader", "BaseLoader"})
LOADERS = frozenset({"yaml.unsafe_load", "yaml.unsafe_load_all", "yaml.full_load", "yaml.full_load_all", "pandas.read_pickle"})
SHELLS = frozenset({"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"})


def unsafe_calls(module: Module) -> Iterator[str]:
    """One line for each thing that is not allowed: where and what."""
    names = _imported_names(module.tree)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (f"{module.name}:{node.lineno} imports {name}" for name in _modules(node) if name in MODULES)
        elif isinstance(node, ast.Call) and (what := _unsafe(node, names)):
            yield f"{module.name}:{node.lineno} calls {what}"


def _modules(node: ast.Import | ast.ImportFrom) -> list[str]:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    return [name.split(".")[0] for name in names]


def _imported_names(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for: `np` for numpy, `load` for torch.load."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update({alias.asname: alias.name for alias in node.names if alias.asname})
        elif isinstance(node, ast.ImportFrom):
            found.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return found


def _unsafe(call: ast.Call, names: dict[str, str]) -> str | None:
    dotted = _dotted(call.func, names)
    options = {keyword.arg or "": keyword.value for keyword in call.keywords}
    if dotted in BUILTINS | SHELLS | LOADERS or (dotted in {"yaml.load", "yaml.load_all"} and not _is_safe_yaml(call, names)):
        return dotted
    if dotted == "torch.load" and not _is(options.get("weights_only"), True):
        return "torch.load without weights_only=True"
    if dotted == "numpy.load" and not _is(options.get("allow_pickle"), False) and "allow_pickle" in options:
        return "numpy.load with allow_pickle"
    if _is(options.get("trust_remote_code"), True) or _is(options.get("shell"), True):
        return f"{dotted} with trust_remote_code or shell"
    return None


def _is_safe_yaml(call: ast.Call, names: dict[str, str]) -> bool:
    loaders = [*(keyword.value for keyword in call.keywords if keyword.arg == "Loader"), *call.args[1:2]]
    return any(_dotted(loader, names).split(".")[-1] in YAML_LOADERS for loader in loaders)


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value
