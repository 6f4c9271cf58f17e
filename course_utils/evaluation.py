"""Measurements on trained policies."""

import numpy as np
from scipy import stats

# Two-sided 95 % of a standard normal variable.
Z95 = float(stats.norm.ppf(0.975))


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


def win_rate(judgements):
    """How often a beats b, a tie counting half, with Wilson's 95 % interval (Wilson 1927).

    The interval is that of a share of the same size among all judgements, ties included: a tie is less
    noisy than a coin, so with many ties the interval is somewhat too wide.

    Args:
        judgements: a list of "a", "b" and "tie", at least one.

    Returns:
        (rate, low, high), Python floats from 0 to 1.

    Raises:
        ValueError: `judgements` is empty or holds another word.
    """
    n = len(judgements)
    if n == 0:
        raise ValueError("judgements is empty")
    worth = {"a": 1.0, "b": 0.0, "tie": 0.5}
    if unknown := [j for j in judgements if j not in worth]:
        raise ValueError(f'judgements may hold "a", "b" and "tie", not {unknown[0]!r}')
    rate = sum(worth[j] for j in judgements) / n
    centre = rate + Z95**2 / (2 * n)
    spread = Z95 * (rate * (1 - rate) / n + Z95**2 / (4 * n**2)) ** 0.5
    low, high = (centre - spread) / (1 + Z95**2 / n), (centre + spread) / (1 + Z95**2 / n)
    return rate, min(max(low, 0.0), rate), max(min(high, 1.0), rate)  # rounding must not leave the range


def _numbers(name, values):
    """The values as a float64 array; a tensor is taken from its graph and device."""
    values = values.detach().cpu() if hasattr(values, "detach") else values
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"{name} must be a list of at least two numbers, not of shape {array.shape}")
    return array
