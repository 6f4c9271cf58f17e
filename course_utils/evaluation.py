"""Measurements on trained policies."""

import numpy as np
from scipy import stats


def length_bias(rewards, lengths):
    """Spearman's rank correlation of implicit reward and response length.

    Pearson's correlation of the ranks, tied values sharing the mean of their ranks (Spearman 1904).
    1: the longer a response, the higher its reward; 0: no monotone relation.

    Args:
        rewards, lengths: lists, tuples, arrays or 1-D tensors of numbers, equally long, at least 2.

    Returns:
        A Python float from -1 to 1; nan where all rewards, or all lengths, are equal.

    Raises:
        ValueError: `rewards` or `lengths` is not one-dimensional or has fewer than two values; the two
            differ in length.
    """
    rewards, lengths = _numbers("rewards", rewards), _numbers("lengths", lengths)
    if len(lengths) != len(rewards):
        raise ValueError(f"lengths has {len(lengths)} values where {len(rewards)} are wanted")
    if np.ptp(rewards) == 0 or np.ptp(lengths) == 0:
        return float("nan")  # what scipy gives too, with a warning
    return float(stats.spearmanr(rewards, lengths).statistic)


def _numbers(name, values):
    """The values as a float64 array; a tensor is taken from its graph and device."""
    values = values.detach().cpu() if hasattr(values, "detach") else values
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"{name} must be a list of at least two numbers, not of shape {array.shape}")
    return array
