"""Who may import whom, as ARCHITECTURE.md tells it; and that the checker itself would notice."""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.unit.source_tree import Module, own_imports, read_modules

LEAVES = frozenset({"worker.messages", "worker.errors", "worker.settings", "worker.wire", "worker.backoff"})
ROLES = frozenset(
    {
        "worker.score.role",
        "worker.score.committing",
        "worker.score.inference",
        "worker.score.shadow",
        "worker.alert.role",
        "worker.alert.loading",
        "worker.alert.relay",
        "worker.alert.sources",
        "worker.notify.role",
        "worker.notify.delivery",
    }
)
"""What runs the ports, on a clock, and decides nothing of its own."""
IMPURE = ROLES | {"worker.score.tokenizer", "worker.notify.commands"}
"""Modules of `score`, `alert` and `notify` that are not pure: the roles, what holds a file, and commands."""
PURE_OF_BACKTEST = frozenset(
    f"worker.backtest.{name}" for name in ("comparing", "incidents", "moments", "rows", "scoring", "trace")
)
"""What of the backtest decides and does nothing else; the rest reads, shows and draws."""
OPTIONAL = {"matplotlib": "worker.backtest.plot", "pyarrow": "worker.backtest.parquet"}
"""Libraries of an extra, and the one module of the worker that may import each, so that the others load without it."""
CLIENTS = {"confluent_kafka": "kafka", "tritonclient": "triton", "redis": "redis", "onnxruntime": "onnx", "urllib3": "webhook"}
"""Each client library and the one adapter that may import it."""
ENVIRONMENT_READERS = frozenset(
    {
        "worker.settings",
        "worker.score.tokenizer",  # sets TOKENIZERS_PARALLELISM: the library has no other switch
    }
)
Modules = Mapping[str, Module]
May = Callable[[str, str], bool]


@dataclass(frozen=True)
class Rule:
    """`who` tells which modules it is about; `allows(importer, imported)` judges one import.

    The rule looks at imports of our own modules, or of everybody else's when `foreign`.
    """

    name: str
    who: Callable[[str], bool]
    allows: May
    foreign: bool = False


def within(name: str, *packages: str) -> bool:
    """Tell whether a dotted name is one of the packages or inside one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def is_pure(name: str) -> bool:
    """Tell whether a module decides and does nothing else."""
    if name in PURE_OF_BACKTEST:
        return True
    pure_packages = within(
        name, "worker.codec", "worker.schema", "worker.redact", "worker.score", "worker.alert", "worker.notify"
    )
    return pure_packages and name not in IMPURE


def adapter(name: str) -> str | None:
    """The adapter that a module belongs to: `kafka` for `worker.adapters.kafka.sink`."""
    parts = name.split(".")
    return parts[2] if parts[:2] == ["worker", "adapters"] and len(parts) > 2 else None


def client_is_at_home(importer: str, imported: str) -> bool:
    """Tell whether an import of a client library is by its own adapter; others are nobody's business."""
    home = CLIENTS.get(imported.split(".", maxsplit=1)[0])
    return home is None or adapter(importer) == home


def adapter_stays_at_home(importer: str, imported: str) -> bool:
    """Tell whether an adapter imports no other adapter."""
    return adapter(imported) in {None, adapter(importer)}


def pure_may_use(imported: str) -> bool:
    """Tell whether a pure module may import it; `ports` holds values (a batch, a model's description) besides protocols."""
    return imported in LEAVES or imported == "worker.ports" or is_pure(imported)


def role_may_use(imported: str) -> bool:
    """Tell whether a role may import it: it constructs nothing, so no adapter, no app, no fake."""
    return pure_may_use(imported) or imported in IMPURE or within(imported, "worker.ops")


def is_config_pb2(imported: str) -> bool:
    """Tell whether it is the one part of tritonclient that training may use: the schema of config.pbtxt."""
    return within(imported, "tritonclient.grpc.model_config_pb2")


RULES = (
    Rule(
        "a leaf imports nothing of ours",
        LEAVES.__contains__,
        lambda importer, imported: imported == "worker" or (importer, imported) == ("worker.settings", "worker.wire"),
    ),
    Rule(
        "ports import messages alone",
        "worker.ports".__eq__,
        lambda _, imported: imported in {"worker.messages", "worker.errors"},
    ),
    Rule("pure modules import leaves and each other", is_pure, lambda _, imported: pure_may_use(imported)),
    Rule(
        "pure modules know no client, clock or system",
        is_pure,
        lambda _, imported: not within(imported, *CLIENTS, "os", "time", "socket", "random", "threading", "subprocess"),
        foreign=True,
    ),
    Rule("roles construct nothing", ROLES.__contains__, lambda _, imported: role_may_use(imported)),
    Rule("a client has one adapter", lambda name: within(name, "worker"), client_is_at_home, foreign=True),
    Rule(
        "a library of an extra has one home",
        lambda name: within(name, "worker"),
        lambda importer, imported: OPTIONAL.get(imported.split(".", maxsplit=1)[0], importer) == importer,
        foreign=True,
    ),
    Rule("adapters do not import each other", lambda name: adapter(name) is not None, adapter_stays_at_home),
    Rule(
        "worker stands alone",
        lambda name: within(name, "worker"),
        lambda _, imported: not within(imported, "training", "deploy"),
    ),
    Rule(
        "training stands alone",
        lambda name: within(name, "training"),
        lambda _, imported: not within(imported, "worker", "deploy"),
    ),
    Rule(
        "training knows the model's config, not the server",
        lambda name: within(name, "training"),
        lambda _, imported: not within(imported, "tritonclient", "confluent_kafka", "redis") or is_config_pb2(imported),
        foreign=True,
    ),
    Rule(
        "fakes stay out of the product",
        lambda name: within(name, "worker", "training") and not within(name, "worker.testing"),
        lambda _, imported: not within(imported, "worker.testing"),
    ),
)


def violations(modules: Modules) -> list[str]:
    """Every breach of every rule, one line each."""
    return [*_forbidden(modules), *_environment_readers(modules), *_cycles(modules)]


def _forbidden(modules: Modules) -> Iterator[str]:
    for rule in RULES:
        for module in filter(lambda module: rule.who(module.name), modules.values()):
            own = own_imports(module, modules)
            looked_at: Iterable[str] = (name for name in module.imports if name not in modules) if rule.foreign else own
            yield from (
                f"{rule.name}: {module.name} imports {name}" for name in looked_at if not rule.allows(module.name, name)
            )


def _environment_readers(modules: Modules) -> Iterator[str]:
    for module in modules.values():
        if within(module.name, "worker") and module.name not in ENVIRONMENT_READERS and _reads_environment(module):
            yield f"settings is the only reader of the environment: {module.name} reads it"


def _reads_environment(module: Module) -> bool:
    readers = {"environ", "environb", "getenv"}
    dotted = {
        node.attr
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    return bool(readers & dotted or {f"os.{name}" for name in readers} & module.imports)


def _cycles(modules: Modules) -> Iterator[str]:
    graph = {name: own_imports(module, modules) for name, module in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"no import cycles: {' <- '.join(error.args[1])}"


def test_every_module_keeps_the_import_rules() -> None:
    """No module imports what design gives to another."""
    modules = read_modules()
    assert {"worker.messages", "worker.codec", "worker.ports", "training.data"} <= modules.keys()
    assert violations(modules) == []


@pytest.mark.parametrize(
    ("name", "source", "broken"),
    [
        ("worker.messages", "import worker.errors", "a leaf imports nothing of ours"),
        ("worker.ports", "from worker import codec", "ports import messages alone"),
        ("worker.score.planted", "from worker.adapters.kafka import sink", "pure modules import leaves and each other"),
        ("worker.score.planted", "def f():\n    import time", "pure modules know no client, clock or system"),
        ("worker.alert.planted", "from os import path", "pure modules know no client, clock or system"),
        (
            "worker.alert.backtest",
            "from worker.backtest.moments import moment\nimport threading",
            "pure modules know no client",
        ),
        ("worker.alert.backtest", "from worker.backtest import report", "pure modules import leaves and each other"),
        ("worker.backtest.scoring", "from worker.backtest.inputs import Fault", "pure modules import leaves and each other"),
        ("worker.backtest.rows", "import time", "pure modules know no client, clock or system"),
        ("worker.backtest.planted", "from confluent_kafka import Consumer", "a client has one adapter"),
        ("worker.backtest.planted", "def f():\n    import pyarrow.parquet", "a library of an extra has one home"),
        ("worker.backtest.report", "from matplotlib.figure import Figure", "a library of an extra has one home"),
        ("worker.codec", "import redis.asyncio", "pure modules know no client, clock or system"),
        ("worker.alert.role", "from worker.adapters import redis", "roles construct nothing"),
        ("worker.planted", "from confluent_kafka import Consumer", "a client has one adapter"),
        ("worker.adapters.triton", "import redis", "a client has one adapter"),
        ("worker.notify.delivery", "import urllib3", "a client has one adapter"),
        ("worker.notify.groups", "import time", "pure modules know no client, clock or system"),
        ("worker.adapters.triton", "from worker.adapters.kafka.config import x", "adapters do not import each other"),
        ("worker.planted", "import training.data", "worker stands alone"),
        ("worker.planted", "from deploy.local import stack", "worker stands alone"),
        ("training.planted", "from worker.errors import TidingsError", "training stands alone"),
        ("training.planted", "import tritonclient.grpc", "training knows the model's config, not the server"),
        ("worker.planted", "from worker.testing import alert_store", "fakes stay out of the product"),
        ("worker.planted", "import os\nHOME = os.environ['HOME']", "settings is the only reader of the environment"),
        ("worker.planted", "from os import getenv", "settings is the only reader of the environment"),
        ("worker.errors", "from worker import codec", "no import cycles"),
        ("worker.score.planted", "from .role import ScoreRole", "pure modules import leaves and each other"),
    ],
)
def test_checker_notices_a_planted_breach(name: str, source: str, broken: str) -> None:
    """Each rule catches the import that it is there for, in a function and in relative form too."""
    planted = {**read_modules(), name: Module(name, source)}
    assert any(line.startswith(broken) for line in violations(planted))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (
            "worker.backtest.planted",
            "from worker.adapters.kafka import TopicSnapshot\nfrom worker.backtest import plot, scoring",
        ),
        ("training.planted", "from tritonclient.grpc import model_config_pb2"),
        ("worker.adapters.kafka.planted", "from confluent_kafka import Consumer\nfrom worker.adapters.kafka import config"),
        ("worker.score.planted", "from worker.errors import DecodeError\nfrom worker.score import matching\nimport re"),
        ("worker.alert.role", "import time\nfrom worker.alert.decide import decide\nfrom worker.ports import Source"),
    ],
)
def test_checker_lets_the_rest_through(name: str, source: str) -> None:
    """What design allows is not called a breach."""
    planted = {**read_modules(), name: Module(name, source)}
    assert [line for line in violations(planted) if name in line] == []
