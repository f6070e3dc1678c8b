"""Permutations that are computed element by element: where an index goes depends on the index, the size and a key.

A Feistel network permutes the smallest range of 2ⁿ numbers that holds all indices, and is applied again to what falls
outside of them (cycle walking; Black and Rogaway 2002, "Ciphers with arbitrary finite domains"). Nothing is stored, and
no element needs another one. The round function is the finaliser of splitmix64, as in `keyed_random`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.data.keyed_random import FINALISER_MULTIPLIERS, FINALISER_SHIFTS, absorb_numbers

# Even, so that the halves have their own widths again. With 4 to 8, some permutations of 5 or 7 are too frequent.
_ROUNDS = 12


def permuted(indices: npt.NDArray[np.int64], size: int, *, key: int) -> npt.NDArray[np.int64]:
    """Returns where a permutation of 0 to `size` - 1 takes indices, of the same shape.

    Args:
        indices: 0 to `size` - 1, of any shape.
        size: At least 1.
        key: Chooses the permutation, 0 to 2⁶⁴ - 1.
    """
    bits = max(2, (size - 1).bit_length())
    widths = (bits // 2, bits - bits // 2)
    keys = [absorb_numbers(key, number) for number in range(_ROUNDS)]
    result = indices.astype(np.uint64).ravel()
    outside = np.arange(len(result))
    while len(outside) > 0:
        result[outside] = _encrypt(result[outside], widths, keys)
        outside = outside[result[outside] >= size]
    return result.astype(np.int64).reshape(indices.shape)


def _encrypt(values: Any, widths: tuple[int, int], keys: list[int]) -> Any:
    left_width, right_width = widths
    for key in keys:
        left, right = values >> np.uint64(right_width), values & _ones(right_width)
        values = right << np.uint64(left_width) | left ^ _finalise(right ^ np.uint64(key)) & _ones(left_width)
        left_width, right_width = right_width, left_width
    return values


def _finalise(values: Any) -> Any:
    *shifts, last = map(np.uint64, FINALISER_SHIFTS)
    for shift, multiplier in zip(shifts, FINALISER_MULTIPLIERS, strict=True):
        values = (values ^ values >> shift) * np.uint64(multiplier)
    return values ^ values >> last


def _ones(width: int) -> np.uint64:
    return np.uint64((1 << width) - 1)
