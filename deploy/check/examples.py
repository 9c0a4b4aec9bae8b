"""What is given for the operators of Kafka and Redis, and for a claim: `deploy/helm/examples`."""

from pathlib import Path

import yaml

from deploy.check.chart import CHART, Object

FOLDER = CHART.parent / "examples"


def objects(folder: Path = FOLDER) -> list[Object]:
    """Return the objects of all files there."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yaml")))
    return [item for text in texts for item in yaml.safe_load_all(text) if item]
