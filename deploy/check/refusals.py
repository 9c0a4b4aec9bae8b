"""What Helm must refuse, with the values' schema or the chart's own words: a fault found at `helm install` is found in time."""

from collections.abc import Iterator
from typing import Any

from deploy.check.chart import Helm, RenderError


def _signed_in(mechanism: str) -> dict[str, Any]:
    kafka = {"security_protocol": "SASL_SSL", "sasl_mechanism": mechanism}
    return {"autoscaling": {"mode": "keda"}, "settings": {"kafka": kafka}}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt setting": ({"settings": {"score": {"deadline": 20}}}, "deadline"),
    "a setting of the wrong type": ({"settings": {"score": {"batch_texts": "many"}}}, "batch_texts"),
    "a section that is not there": ({"settings": {"kafak": {}}}, "kafak"),
    "a secret for no setting": ({"secretSettings": {"redis.passwort": {"name": "a", "key": "b"}}}, "redis.passwort"),
    "a misspelt value": ({"scroe": {}}, "scroe"),
    "a file of the chart's own": ({"settings": {"alert": {"rules": "/mine.yaml"}}}, "alert.rules"),
    "scaling by something else": ({"autoscaling": {"mode": "magic"}}, "mode"),
    "scaling to nothing": ({"score": {"autoscaling": {"minReplicas": 0}}}, "minReplicas"),
    "engines without a GPU": ({"triton": {"tensorrt": {"enabled": True}}}, "triton.gpus"),
    "a pod that runs as root": ({"podSecurity": {"runAsUser": 0}}, "runAsUser"),
    "a model from nowhere": ({"model": {"source": "image"}}, "model.image.reference"),
    "a background of one's own": ({"settings": {"score": {"background": "/mine.txt"}}}, "score.background"),
    "KEDA and OAUTHBEARER": (_signed_in("OAUTHBEARER"), "OAUTHBEARER"),
    "KEDA and a user that is no Secret": (_signed_in("SCRAM-SHA-512"), "kafka.sasl_username"),
    "half a digest": ({"image": {"digest": "sha256:12"}}, "digest"),
}
"""Values, and a word that the refusal must have in it."""


def accepted(helm: Helm) -> Iterator[str]:
    """What of it Helm takes all the same, or refuses for another reason."""
    for name, (values, word) in WRONG.items():
        try:
            helm.render((), values)
        except RenderError as error:
            if word not in str(error):
                yield f"{name}: refused for another reason: {str(error)[:300]}"
        else:
            yield f"{name}: taken"
