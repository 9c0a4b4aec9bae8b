"""What lies in the chart and is made by the code of training: the script that builds TensorRT engines, and Triton's file."""

from collections.abc import Iterator
from pathlib import Path

from deploy.check.chart import CHART

_FOLDER = Path("files") / "tensorrt"


def files() -> dict[Path, str]:
    """Return each file's place in the chart and its content. Imported here: training takes torch along, and its time."""
    from training.compress.tensorrt import as_text, plan_config, trtexec_script  # noqa: PLC0415 - as said above
    from training.device import Device  # noqa: PLC0415 - as said above
    from training.repository import ServingSpec  # noqa: PLC0415 - as said above

    spec = ServingSpec(device=Device.GPU)
    return {_FOLDER / "build-engine.sh": trtexec_script(spec), _FOLDER / "config.pbtxt": as_text(plan_config(spec))}


def outdated(chart: Path = CHART) -> Iterator[str]:
    """The files that are not as they would be written now."""
    for path, text in files().items():
        if not (chart / path).is_file() or (chart / path).read_text(encoding="utf-8") != text:
            yield f"{path} is not what training/compress/tensorrt.py writes: python -m deploy.check --write"
