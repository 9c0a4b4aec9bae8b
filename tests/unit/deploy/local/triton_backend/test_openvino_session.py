from typing import Any

import pytest

from deploy.local.triton_backend.openvino import session


def options(**parameters: str) -> dict[str, Any]:
    """OpenVINO's properties for these parameters of config.pbtxt."""
    chosen: dict[str, Any] = session.options({"parameters": {key: {"string_value": text} for key, text in parameters.items()}})
    return chosen


def test_the_precision_is_stated_and_not_left_to_the_processor() -> None:
    """OpenVINO would take bfloat16 by itself where it can, and the same model would answer otherwise elsewhere."""
    assert options()["INFERENCE_PRECISION_HINT"] == "f32"
    assert options(HINT_BF16="yes")["INFERENCE_PRECISION_HINT"] == "bf16"


def test_documented_parameters_are_passed_on() -> None:
    """By the names that Triton's own backend gives them."""
    chosen = options(PERFORMANCE_HINT="throughput", INFERENCE_NUM_THREADS="2", NUM_STREAMS="AUTO")
    assert chosen == {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_NUM_THREADS": 2,
        "NUM_STREAMS": "AUTO",
    }
    assert options(NUM_STREAMS="3")["NUM_STREAMS"] == 3


@pytest.mark.parametrize("parameter", ["HINT_BF16", "PERFORMANCE_HINT", "INFERENCE_NUM_THREADS", "NUM_STREAMS"])
def test_a_value_out_of_range_is_named(parameter: str) -> None:
    """With what it was."""
    with pytest.raises(session.ConfigError, match=f'"{parameter}".*"some"'):
        options(**{parameter: "some"})


def test_a_type_that_triton_cannot_carry_is_named() -> None:
    """Rather than a model that Triton refuses without saying why."""
    with pytest.raises(session.ConfigError, match=r"words.*string"):
        session.describe(session.Tensor("words", "string", (-1,)), batched=False)


def test_open_dimensions_tell_whether_a_model_can_batch() -> None:
    """Every first dimension must be open; the rest is described without it."""
    tensor = session.Tensor("ids", "i64", (-1, -1, 3))
    assert session.describe(tensor, batched=True) == {"name": "ids", "data_type": "TYPE_INT64", "dims": [-1, 3]}
