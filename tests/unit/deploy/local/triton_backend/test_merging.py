import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.triton_backend.shared.merging import batch_size, group_by_shape, merge, split

shapes = st.lists(st.tuples(st.integers(1, 4), st.sampled_from([8, 16, 32])), min_size=1, max_size=12)


def request(rows: int, length: int, first: int = 0) -> dict[str, np.ndarray]:
    """The inputs of one request, every number different."""
    ids = np.arange(first, first + rows * length).reshape(rows, length)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


@given(shapes)
def test_every_request_is_in_one_group_of_its_shape(sizes: list[tuple[int, int]]) -> None:
    """No request is lost or run twice, and a group can be concatenated."""
    groups = group_by_shape(enumerate(request(*size) for size in sizes))
    assert sorted(index for group in groups for index in group) == list(range(len(sizes)))
    assert all(len({sizes[index][1] for index in group}) == 1 for group in groups)
    assert len(groups) == len({length for _, length in sizes})


@given(shapes)
def test_split_undoes_merge(sizes: list[tuple[int, int]]) -> None:
    """Each request gets its own rows back, in its own order."""
    requests = [request(rows, 8, first=100 * index) for index, (rows, _) in enumerate(sizes)]
    parts = split(merge(requests), [batch_size(one) for one in requests])
    for part, one in zip(parts, requests, strict=True):
        assert all(np.array_equal(part[name], one[name]) for name in one)


def test_types_are_not_mixed() -> None:
    """Concatenation would silently change one of them."""
    one, other = request(1, 8), request(1, 8)
    other["input_ids"] = other["input_ids"].astype(np.int32)
    assert group_by_shape([(0, one), (1, other)]) == [[0], [1]]


def test_an_optional_input_that_is_absent_makes_another_group() -> None:
    """A request without it cannot share a run with one that has it."""
    assert group_by_shape([(0, request(1, 8)), (1, {"input_ids": request(1, 8)["input_ids"]})]) == [[0], [1]]


def test_one_request_is_not_copied() -> None:
    """The common case costs nothing."""
    one = request(2, 8)
    assert merge([one])["input_ids"] is one["input_ids"]


def test_inputs_that_disagree_about_the_batch_are_an_error() -> None:
    """The message has the sizes."""
    with pytest.raises(ValueError, match="'a': 1, 'b': 2"):
        batch_size({"a": np.zeros((1, 3)), "b": np.zeros((2, 3))})


@pytest.mark.parametrize("output", [np.zeros(()), np.zeros((2, 3))])
def test_an_output_without_the_batch_cannot_be_split(output: np.ndarray) -> None:
    """Giving every request the same rows would be wrong without a sign of it."""
    with pytest.raises(ValueError, match='output "sum" has shape'):
        split({"sum": output}, [1, 2])
