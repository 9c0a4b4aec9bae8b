"""A real Triton with the lexicon model, whose backend can be told to be slow or to fail, and whose model can be exchanged."""

from __future__ import annotations

import dataclasses
import datetime
import http.client
import json
from pathlib import Path
from typing import Any

from deploy.local import triton
from deploy.local.config import StackConfig
from deploy.local.paths import new_run
from deploy.local.ports import LOOPBACK
from deploy.local.process import Server, ServerSpec
from deploy.local.system import Say

MODEL = "sentiment"
_WRAPPER = Path(__file__).with_name("triton_backend") / "model.py"
_TIMEOUT_S = 60.0


class TritonServer:
    """The server and the handles on it. Handled by one fault at a time."""

    def __init__(self, config: StackConfig, folder: Path, say: Say) -> None:
        """Prepare it.

        Args:
            config: names the model repository.
            folder: for its files; `triton.json` in it is the control file.
            say: told of long steps.
        """
        self._control = folder / "triton.json"
        run = new_run(folder / "triton", None, datetime.datetime.now().astimezone())
        spec = triton.prepare(config, run, say)
        self.server = Server(self._with_faults(spec, folder))
        self._http = spec.ports["http"]
        self.grpc_port = spec.ports["grpc"]

    def order(self, **what: object) -> None:
        """Tell the backend to be slow (`delay_s`) or to fail (`fail_every`); nothing means to behave."""
        scratch = self._control.with_suffix(".new")
        scratch.write_text(json.dumps(what))
        scratch.replace(self._control)

    def unload(self) -> None:
        """Take the model out of service."""
        self._post(f"/v2/repository/models/{MODEL}/unload", {})

    def load(self, version: int) -> None:
        """Serve this version of the model and no other.

        Raises:
            OSError: Triton refused.
        """
        served = {**self._config, "version_policy": {"specific": {"versions": [version]}}}
        self._post(f"/v2/repository/models/{MODEL}/load", {"parameters": {"config": json.dumps(served)}})

    def revive(self) -> None:
        """Let it go on if it stands, start it if it is down, and have it serve version 1."""
        self.server.resume()
        if not self.server.alive:
            self.server.restart()
        self.load(1)

    def remember_config(self) -> None:
        """Take note of the model's configuration as it is now, for `load`."""
        answer = json.loads(self._ask("GET", f"/v2/models/{MODEL}/config", None))
        self._config: dict[str, Any] = {key: value for key, value in answer.items() if value not in (None, "", [], {})}

    def _with_faults(self, spec: ServerSpec, folder: Path) -> ServerSpec:
        own = spec.folder / "backends" / "onnxruntime"
        (own / "model.py").rename(own / "real_model.py")
        (own / "model.py").symlink_to(_WRAPPER)
        env = {**spec.env, "TIDINGS_CHAOS_TRITON": str(self._control)}
        log = folder / "logs" / "triton.log"
        return dataclasses.replace(spec, env=env, log=log, grace_s=6.0, ready_s=90.0)

    def _post(self, path: str, body: object) -> None:
        self._ask("POST", path, json.dumps(body))

    def _ask(self, method: str, path: str, body: str | None) -> bytes:
        connection = http.client.HTTPConnection(LOOPBACK, self._http, timeout=_TIMEOUT_S)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            answer = response.read()
        except http.client.HTTPException as error:
            raise OSError(f"Triton does not answer: {error}") from error
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise OSError(f"Triton refuses {path}: {answer.decode(errors='replace')}")
        return answer
