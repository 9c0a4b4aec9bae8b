"""Nothing that Tidings reads can run code; and the checker would notice."""

import pytest

from tests.security.unsafe_calls import unsafe_calls
from tests.unit.source_tree import Module, read_modules


def test_nothing_read_can_run_code() -> None:
    """No pickle and its kin, no loader that builds objects, no eval, no shell: in the worker, training, local stack."""
    modules = read_modules()
    assert {"worker", "training", "deploy"} <= {name.split(".")[0] for name in modules}
    assert [line for module in modules.values() for line in unsafe_calls(module)] == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "def f():\n    import cloudpickle as c",
        "import joblib",
        "import shelve",
        "import marshal",
        "eval(text)",
        "exec(text)",
        "import yaml\nyaml.load(text)",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "import yaml\nyaml.load(text, yaml.UnsafeLoader)",
        "from yaml import load, FullLoader\nload(text, FullLoader)",
        "import yaml\nyaml.full_load(text)",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "from torch import load as read\nread(path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import numpy as np\nnp.load(path, allow_pickle=option)",
        "import pandas as pd\npd.read_pickle(path)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
        "import subprocess\nsubprocess.run(line, shell=True)",
        "import os\nos.system(line)",
    ],
)
def test_each_is_noticed(source: str) -> None:
    """The smallest thing that is forbidden, under whatever name."""
    assert list(unsafe_calls(Module("worker.planted", source)))


@pytest.mark.parametrize(
    "source",
    [
        "import yaml\nyaml.safe_load(text)",
        "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)",
        "from yaml import load, CSafeLoader\nload(text, CSafeLoader)",
        "import torch\ntorch.load(path, weights_only=True)",
        "import numpy as np\nnp.load(path)\nnp.load(path, allow_pickle=False)",
        "import json\njson.load(file)",
        "model.eval()",
        "import re\nre.compile('a')",
    ],
)
def test_what_is_safe_passes(source: str) -> None:
    """What only reads values is let through."""
    assert list(unsafe_calls(Module("worker.planted", source))) == []
