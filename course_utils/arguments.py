"""Checks of arguments that the losses share; each error names the argument."""

import math

import torch

from course_utils.words import type_of


def check_vectors(**named):
    """Each argument is a float vector, all of one length, which is not 0.

    Raises:
        ValueError: naming the first argument that is not.
    """
    length = None
    for name, value in named.items():
        if not isinstance(value, torch.Tensor) or value.dim() != 1 or not value.is_floating_point():
            raise ValueError(f"{name} must be a float tensor of shape (B,), not {kind(value)}")
        length = len(value) if length is None else length
        if len(value) != length:
            raise ValueError(f"{name} has {len(value)} values where {length} are wanted")
        if length == 0:
            raise ValueError(f"{name} is empty")


def check_positive(**named):
    """Each argument is a finite number above 0."""
    for name, value in named.items():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be positive and finite, not {value!r}")


def check_not_negative(**named):
    """Each argument is a finite number, 0 or above."""
    for name, value in named.items():
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be finite and not negative, not {value!r}")


def kind(value):
    """What an argument is, for a message: the dtype and shape of a tensor, else its type."""
    if not isinstance(value, torch.Tensor):
        return type_of(value)
    return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
