"""Measurements on trained policies."""

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

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


def blind_comparison(prompts, responses_a, responses_b, seed=0):
    """A sheet for judges who must not know which model wrote what; the key is kept apart.

    For each row an independent fair coin decides whose response stands first: what a judge who prefers
    the first place gives to one model, he gives to the other as often.

    Args:
        prompts, responses_a, responses_b: lists of texts, equally long, at least one.
        seed: what the coins are drawn from; the same seed, the same sheet.

    Returns:
        A DataFrame with `prompt`, `response_1`, `response_2`, rows in order. `attrs["key"]`: a list of
        "a" or "b", whose response `response_1` is. (Files such as CSV do not keep it: write it apart.)

    Raises:
        ValueError: `prompts` is empty; `responses_a` or `responses_b` differs from it in length.
    """
    if len(prompts) == 0:
        raise ValueError("prompts is empty")
    for name, responses in (("responses_a", responses_a), ("responses_b", responses_b)):
        if len(responses) != len(prompts):
            raise ValueError(f"{name} has {len(responses)} values where {len(prompts)} are wanted")
    a_first = np.random.default_rng(seed).random(len(prompts)) < 0.5
    pairs = [
        (a, b) if first else (b, a) for a, b, first in zip(responses_a, responses_b, a_first, strict=True)
    ]
    sheet = pd.DataFrame(
        {
            "prompt": list(prompts),
            "response_1": [first for first, _ in pairs],
            "response_2": [second for _, second in pairs],
        }
    )
    sheet.attrs["key"] = ["a" if first else "b" for first in a_first]
    return sheet


def position_bias(chosen_positions):
    """How often the judges chose the first place, with Wilson's 95 % interval.

    With a fair coin for the order, 0.5 lies outside the interval in 5 % of the sheets of judges without a
    preference for a place; where it does, look at the judges (or show every pair both ways round).

    Args:
        chosen_positions: a list of 1, 2 and "tie", one for each row of the sheet, at least one.

    Returns:
        (rate, low, high), as `win_rate`; a tie counts half.

    Raises:
        ValueError: `chosen_positions` is empty or holds something else.
    """
    if len(chosen_positions) == 0:
        raise ValueError("chosen_positions is empty")
    words = {1: "a", 2: "b", "tie": "tie"}
    if unknown := [p for p in chosen_positions if p not in words]:
        raise ValueError(f'chosen_positions may hold 1, 2 and "tie", not {unknown[0]!r}')
    return win_rate([words[p] for p in chosen_positions])


def power_of_win_rate(n, rate):
    """The chance that the 95 % interval of `win_rate` lies wholly over 0.5, or wholly under it.

    Exact, from the binomial distribution: n judgements without ties, each won with probability `rate`.

    Args:
        n: the number of judgements, an int, at least 1.
        rate: the true win rate, 0 to 1.

    Returns:
        A Python float.

    Raises:
        ValueError: `n` is below 1; `rate` is not from 0 to 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must be from 0 to 1, not {rate}")
    # Wilson's interval leaves out 0.5 where the score test at 0.5 rejects
    wins = np.arange(n + 1)
    outside = np.abs(wins - n / 2) > Z95 * np.sqrt(n) / 2
    return float(stats.binom.pmf(wins[outside], n, rate).sum())


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


def distinct_n(sequences, n):
    """The mode-collapse meter: distinct n-grams over all n-grams, counted over all sequences together.

    Li et al. 2016 ("distinct-1" and "distinct-2"). 1: no n-gram comes twice; near 0: the same few again and again.
    It falls as a sample grows, so compare samples of one size.

    Args:
        sequences: lists of token ids or strings; an n-gram lies within one of them, and one shorter than n has none.
        n: length of the n-grams, an int of at least 1.

    Returns:
        A Python float from 0 to 1; 0.0 if there are no n-grams.

    Raises:
        ValueError: `n` is not an int of at least 1.
    """
    if not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n must be an int of at least 1, not {n!r}")
    # a tensor's elements are all different objects to a set
    rows = [row.tolist() if hasattr(row, "tolist") else list(row) for row in sequences]
    grams = [tuple(row[i : i + n]) for row in rows for i in range(len(row) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def length_controlled_win_rate(wins, length_difference):
    """The win rate that remains at equal length: a logistic regression's prediction at a length difference of 0.

    P(win) = sigmoid(a + b z), z the standardised length difference, a and b by maximum likelihood without a penalty.
    After Dubois et al. 2024 ("Length-Controlled AlpacaEval"), whose model also has a term for each model and each
    prompt. It takes the effect of length out only as far as it is linear in the logit.

    Args:
        wins: 1 where the model won the comparison, 0 where it lost.
        length_difference: its length minus the other's, in any unit; both lists, arrays or 1-D tensors, equally long.

    Returns:
        A Python float from 0 to 1.

    Raises:
        ValueError: `wins` holds something else than 0 and 1, or `length_difference` separates wins from losses (or is
            constant), so that there is no maximum; the two are not one-dimensional, have fewer than two values, or
            differ in length.
    """
    wins, difference = _numbers("wins", wins), _numbers("length_difference", length_difference)
    if len(difference) != len(wins):
        raise ValueError(f"length_difference has {len(difference)} values where {len(wins)} are wanted")
    if not np.isin(wins, (0, 1)).all():
        raise ValueError("wins must be 0 or 1")
    won, lost = difference[wins == 1], difference[wins == 0]
    if not (len(won) and len(lost) and won.min() < lost.max() and lost.min() < won.max()):
        raise ValueError("length_difference separates wins from losses: the likelihood has no maximum")
    z = (difference - difference.mean()) / difference.std()
    x = np.stack([np.ones_like(z), z], axis=1)
    sign = 1 - 2 * wins

    def loss(w):
        return np.logaddexp(0, sign * (x @ w)).mean()

    def slope(w):
        return x.T @ (special.expit(x @ w) - wins) / len(wins)

    def curvature(w):
        p = special.expit(x @ w)
        return (x.T * (p * (1 - p))) @ x / len(wins)

    fitted = optimize.minimize(loss, np.zeros(2), method="trust-exact", jac=slope, hess=curvature, tol=1e-10)
    at_zero = np.array([1.0, -difference.mean() / difference.std()])
    return float(special.expit(at_zero @ fitted.x))


def _numbers(name, values):
    """The values as a float64 array; a tensor is taken from its graph and device."""
    values = values.detach().cpu() if hasattr(values, "detach") else values
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"{name} must be a list of at least two numbers, not of shape {array.shape}")
    return array
