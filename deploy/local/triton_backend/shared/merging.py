"""Merge requests along the batch dimension, so that one run serves many, and split the answers again.

Triton hands a backend a list of requests; its own backends run the list as one batch. Requests whose other
dimensions differ cannot share a run and form groups of their own. Pure numpy; runs inside Triton's environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Tensors = Mapping[str, Array]


def group_by_shape(requests: Iterable[tuple[int, Tensors]]) -> list[list[int]]:
    """Group request indices whose inputs agree in name, type and every dimension but the first.

    Args:
        requests: (index, inputs) pairs; each input has shape [batch, ...].

    Returns:
        Lists of indices, in order of first appearance; every index is in exactly one list.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, tensors in requests:
        key = tuple((name, array.dtype.str, array.shape[1:]) for name, array in sorted(tensors.items()))
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def batch_size(tensors: Tensors) -> int:
    """The common first dimension of a request's inputs.

    Raises:
        ValueError: the inputs disagree about it.
    """
    sizes: dict[str, int] = {name: array.shape[0] for name, array in tensors.items()}
    if len(set(sizes.values())) != 1:
        raise ValueError(f"inputs disagree about the batch size: {sizes}")
    return next(iter(sizes.values()))


def merge(group: Sequence[Tensors]) -> dict[str, Array]:
    """Concatenate the inputs of one group along the batch dimension; a group of one is passed on without a copy."""
    if len(group) == 1:
        return dict(group[0])
    return {name: np.concatenate([tensors[name] for tensors in group]) for name in group[0]}


def split(outputs: Tensors, sizes: Sequence[int]) -> list[dict[str, Array]]:
    """Cut merged outputs back into one dict per request.

    Args:
        outputs: name -> array of shape [sum(sizes), ...].
        sizes: the batch size of each request, in the order they were merged.

    Raises:
        ValueError: an output's first dimension is not the merged batch size, so it cannot be told apart.
    """
    total = sum(sizes)
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != total:
            raise ValueError(f'output "{name}" has shape {array.shape}, expected a batch of {total}')
    ends = np.cumsum(sizes)
    return [{name: array[end - size : end] for name, array in outputs.items()} for size, end in zip(sizes, ends, strict=True)]
