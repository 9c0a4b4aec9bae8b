"""The worker reads what the chart gives it: by its own settings and parsers, not by a copy of what they demand."""

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from deploy.check.chart import Object, containers, name_of, pods
from worker.alert.rules import parse_rules
from worker.app import load_settings
from worker.errors import TidingsError
from worker.notify.config import parse_notify
from worker.score.matching import parse_watchlist
from worker.settings import PREFIX, Settings

_STAND_IN = "stand-in"
"""For what a Secret would hold."""
_CONFIG = f"{PREFIX}CONFIG"
_PARSERS: dict[str, Callable[[str, str], object]] = {
    "rules.yaml": parse_rules,
    "watchlist.yaml": parse_watchlist,
    "notify.yaml": parse_notify,
}


def paths(model: type[BaseModel] = Settings, above: tuple[str, ...] = ()) -> Iterator[str]:
    """The path of every setting, such as `kafka.topics.alerts`."""
    for name, field in model.model_fields.items():
        section = _section(field.annotation)
        yield from paths(section, (*above, name)) if section else (".".join((*above, name)),)


def variable(path: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + path.replace(".", "__").upper()


def misread(objects: Sequence[Object]) -> Iterator[str]:
    """What the worker would say of its environment and its tidings.yaml, of every container that runs it."""
    known = {_CONFIG, *map(variable, paths())}
    for item, pod in pods(objects):
        for container in containers(pod):
            names = [entry["name"] for entry in container.get("env", ())]
            own = [name for name in names if name.startswith(PREFIX)]
            yield from (f"{name_of(item)}: {name} is no setting" for name in own if name not in known)
            if _CONFIG in own:
                yield from (f"{name_of(item)}: {fault}" for fault in _refusals(objects, pod, container))


def unreadable(objects: Sequence[Object]) -> Iterator[str]:
    """What the worker's parsers say of the rules, the watchlist and the receivers."""
    for name, text in _files(objects).items():
        if name in _PARSERS:
            try:
                _PARSERS[name](text, name)
            except TidingsError as error:
                yield str(error)


def _refusals(objects: Sequence[Object], pod: Object, container: Object) -> Iterator[str]:
    """Start as far as the settings: files are laid out as they would be mounted, under a folder of our own."""
    with tempfile.TemporaryDirectory() as folder:
        env = laid_out(objects, pod, container, Path(folder))
        with _environment(env):
            try:
                load_settings()
            except TidingsError as error:
                yield str(error).replace(folder, "")


def laid_out(objects: Sequence[Object], pod: Object, container: Object, root: Path) -> dict[str, str]:
    """Write what the container would find mounted under `root`; return its environment, paths put under `root` too.

    ConfigMaps are written as they are; Secrets, tokens and volumes are stand-ins, or empty folders.
    """
    maps = {item["metadata"]["name"]: item["data"] for item in objects if item["kind"] == "ConfigMap"}
    volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container.get("volumeMounts", ())}
    for path, volume in mounts.items():
        folder = root / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in maps.get(volume.get("configMap", {}).get("name"), {}).items():
            (folder / name).write_text(moved(text, list(mounts), root), encoding="utf-8")
        if "secret" in volume or "projected" in volume:
            for name in ("ca.crt", "tls.crt", "tls.key", "token"):
                (folder / name).write_text(_STAND_IN, encoding="utf-8")
    return {
        entry["name"]: moved(entry["value"], list(mounts), root) if "value" in entry else _STAND_IN
        for entry in container.get("env", ())
    }


def moved(text: str, mounts: Sequence[str], root: Path) -> str:
    """Put every path that begins with a mount under `root`."""
    ways = "|".join(re.escape(mount) for mount in sorted(mounts, key=len, reverse=True))
    return re.sub(rf"(?<![\w/.-])({ways})(?=[/\s\"']|$)", lambda found: f"{root}{found[1]}", text) if ways else text


@contextmanager
def _environment(env: Mapping[str, str]) -> Iterator[None]:
    """This environment and no other setting; and a folder without files of settings."""
    before, folder = dict(os.environ), Path.cwd()
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    os.environ.update(env)
    try:
        with tempfile.TemporaryDirectory() as empty:
            os.chdir(empty)
            yield
            os.chdir(folder)
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(before)


def _files(objects: Sequence[Object]) -> dict[str, str]:
    return {name: text for item in objects if item["kind"] == "ConfigMap" for name, text in item["data"].items()}


def _section(annotation: Any) -> type[BaseModel] | None:
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((option for option in options if isinstance(option, type) and issubclass(option, BaseModel)), None)
