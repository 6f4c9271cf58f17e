"""Rows of hidden states, an output layer and labels: what is refused, and which rows count."""

import math

import torch

# The label of a position that does not count: a prompt token, or padding.
IGNORE = -100


def prepared(hidden, weight, labels, bias):
    """The arguments checked, in the dtype in which they are multiplied, and the rows that count alone.

    Under autocast hidden states and layer are multiplied in autocast's dtype, as torch does.

    Returns:
        hidden (M, d), weight, labels (M,), bias, and the positions (M,) of these rows; None where all N count.

    Raises:
        ValueError: naming the argument.
    """
    device = hidden.device.type if isinstance(hidden, torch.Tensor) else "cpu"
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight, bias = (_cast(x, dtype) for x in (hidden, weight, bias))
    _check(hidden, weight, labels, bias)
    counted = labels != IGNORE
    if bool(counted.all()):
        return hidden, weight, labels, bias, None
    at = counted.nonzero()[:, 0]
    labels = labels[at]
    return hidden.index_select(0, at), weight, labels, bias, at


def spread(values, at, count):
    """Values (M,) of the rows that count among all `count` rows; exactly 0 for the others."""
    return values if at is None else values.new_zeros(count).index_copy(0, at, values)


def counted_tokens(labels):
    """How many tokens of each row count, (B,), for labels (B, T); the one at position 0 never does.

    Raises:
        ValueError: a row has none.
    """
    count = (labels[:, 1:] != IGNORE).sum(1)
    if (count == 0).any():
        raise ValueError("labels has a row in which no token after position 0 counts")
    return count


def check_chunk_size(chunk_size):
    """An int of at least 1, or ValueError."""
    if isinstance(chunk_size, bool) or not isinstance(chunk_size, int) or chunk_size < 1:
        raise ValueError(f"chunk_size must be an int of at least 1, not {chunk_size!r}")


def check_temperature(temperature):
    """A finite number above 0, or ValueError."""
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature must be positive and finite, not {temperature!r}")


def _cast(x, dtype):
    """As autocast does: float64 stays."""
    plain = isinstance(x, torch.Tensor) and x.is_floating_point() and x.dtype != torch.float64
    return x.to(dtype) if plain else x


def _check(hidden, weight, labels, bias):
    if hidden.dim() != 2 or len(hidden) == 0 or not hidden.is_floating_point():
        raise ValueError(
            f"hidden must be (N, d) floats, N at least 1, not {tuple(hidden.shape)} {hidden.dtype}"
        )
    if weight.dim() != 2 or weight.shape[1] != hidden.shape[1] or weight.dtype != hidden.dtype:
        raise ValueError(
            f"weight must be (V, {hidden.shape[1]}) {hidden.dtype}, not {tuple(weight.shape)} {weight.dtype}"
        )
    if labels.shape != hidden.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(f"labels must be ({len(hidden)},) int64, not {tuple(labels.shape)} {labels.dtype}")
    if bias is not None and (bias.shape != weight.shape[:1] or bias.dtype != weight.dtype):
        raise ValueError(
            f"bias must be ({len(weight)},) {weight.dtype}, not {tuple(bias.shape)} {bias.dtype}"
        )
    if bool((((labels < 0) & (labels != IGNORE)) | (labels >= len(weight))).any()):
        raise ValueError(f"labels must be {IGNORE} or from 0 to {len(weight) - 1}")
