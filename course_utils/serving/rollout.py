"""Ramp, hold or roll back: one look at votes, and two rules for many looks, by users."""

import math
from functools import cache

import numpy as np
from scipy import optimize, stats

Z95 = 1.959964  # two-sided 5 % of a standard normal variable
LEAST_USERS = 30  # in each arm, before `always_valid_decision` trusts its normal approximation


def rollout_decision(control, treatment):
    """The two-proportion z test at 5 %, two-sided, pooled variance; for one look, planned beforehand.

    Each vote counts as independent, and the 5 % hold for a single look. Looked at every week, or with
    users who vote again and again, it is wrong far more often: see `always_valid_decision`.

    Args:
        control, treatment: (thumbs_up, votes), with 0 <= thumbs_up <= votes and at least one vote.

    Returns:
        "ramp" where the treatment's rate is significantly higher, "roll back" where it is lower,
        else "hold".

    Raises:
        ValueError: `control` or `treatment` holds no votes, or more thumbs-up than votes.
    """
    (up_c, n_c), (up_t, n_t) = _counts("control", control), _counts("treatment", treatment)
    pooled = (up_c + up_t) / (n_c + n_t)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n_c + 1 / n_t))
    if error == 0:  # all votes alike: no difference
        return "hold"
    return _decision((up_t / n_t - up_c / n_c) / error, Z95)


def always_valid_decision(control_totals, treatment_totals, tau=0.03, alpha=0.05):
    """The mixture sequential probability ratio test on users: valid however often it is looked at.

    A user who votes often is one user: the rate of an arm is a ratio of sums over its users, with the
    delta method's variance. The difference d with variance s is tested against a normal mixture of
    alternatives with standard deviation tau (Johari, Pekelis and Walsh, arXiv 1512.04922): stop where

        sqrt(s / (s + tau^2)) exp(tau^2 d^2 / (2 s (s + tau^2))) >= 1 / alpha.

    Valid up to the normal approximation (so not below LEAST_USERS users an arm, where it says "hold").

    Args:
        control_totals, treatment_totals: one row (thumbs_up, votes) for each user since the start, shape
            (users, 2); users without a vote may be left out.
        tau: the size of difference that it is tuned to, 0.03 for three points of a rate.
        alpha: the greatest chance of ever deciding where there is no difference.

    Returns:
        "ramp", "roll back" or "hold".

    Raises:
        ValueError: `control_totals` or `treatment_totals` is not of shape (users, 2), or has more
            thumbs-up than votes; `tau` is not positive; `alpha` is not between 0 and 1.
    """
    if tau <= 0:
        raise ValueError(f"tau must be positive, not {tau}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, not {alpha}")
    difference, s = _difference(control_totals, treatment_totals)
    if s == 0:
        return "hold"
    # the test in terms of z: log(s / (s + tau^2)) / 2 + (z^2 / 2) tau^2 / (s + tau^2) >= log(1 / alpha)
    bound = math.sqrt((1 + s / tau**2) * (2 * math.log(1 / alpha) + math.log1p(tau**2 / s)))
    return _decision(difference / math.sqrt(s), bound)


def planned_looks_decision(control_totals, treatment_totals, look, looks, alpha=0.05):
    """The group sequential test on users, for a number of looks that is fixed beforehand.

    The difference of the arms' rates over its standard error (as in `always_valid_decision`) is held against
    the bound of O'Brien and Fleming (1979), c sqrt(looks / look), which asks much of early looks. The 5 % hold
    for all looks together where each adds about as many votes.

    Args:
        control_totals, treatment_totals: as in `always_valid_decision`.
        look: which look this is, from 1.
        looks: how many there will be.
        alpha: the chance of ever deciding where there is no difference.

    Returns:
        "ramp", "roll back" or "hold".

    Raises:
        ValueError: `look` is not between 1 and `looks`; else as `always_valid_decision`.
    """
    if not 1 <= look <= looks:
        raise ValueError(f"look must be between 1 and looks = {looks}, not {look}")
    difference, s = _difference(control_totals, treatment_totals)
    bound = obrien_fleming(looks, alpha) * math.sqrt(looks / look)
    return _decision(difference / math.sqrt(s), bound) if s > 0 else "hold"


@cache
def obrien_fleming(looks, alpha=0.05):
    """O'Brien and Fleming's c, two-sided: a z beyond c sqrt(looks / k) at look k, of equal information, decides.

    In units of one look's information the bound on the running sum is the same at all looks, b = c sqrt(looks);
    the density of the sums that have stayed within is carried from look to look (Armitage, McPherson and Rowe
    1969), here on a grid.

    Raises:
        ValueError: `looks` is below 1, or `alpha` is not between 0 and 1.
    """
    if looks < 1:
        raise ValueError(f"looks must be at least 1, not {looks}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must be between 0 and 1, not {alpha}")

    def too_often(c):
        edge = c * math.sqrt(looks)
        nodes, weights = np.polynomial.legendre.leggauss(200)
        at, weights = edge * nodes, edge * weights
        density, step = stats.norm.pdf(at), stats.norm.pdf(at[:, None] - at)
        for _ in range(looks - 1):
            density = step @ (weights * density)
        return 1 - weights @ density - alpha

    return float(optimize.brentq(too_often, 0.01, 20))


def ratio_of_sums(ups, votes):
    """(rate, variance): thumbs-up over votes of all users, and its variance by the delta method.

    With residuals e_i = ups_i - rate * votes_i of n users: n / (n - 1) * sum(e_i^2) / (sum of votes)^2.
    """
    ups, votes = np.asarray(ups, dtype=float), np.asarray(votes, dtype=float)
    n, total = len(votes), votes.sum()
    rate = ups.sum() / total
    return float(rate), float(n / (n - 1) * ((ups - rate * votes) ** 2).sum() / total**2)


def rate_interval(sums, sizes):
    """(rate, low, high): `ratio_of_sums` of at least two units with its 95 % interval, Student's, within 0 and 1."""
    rate, variance = ratio_of_sums(sums, sizes)
    half = float(stats.t.isf(0.025, len(sizes) - 1)) * math.sqrt(variance)
    return rate, max(0.0, rate - half), min(1.0, rate + half)


def _difference(control_totals, treatment_totals):
    """(treatment's rate minus control's, its variance) by users; a variance of 0 where there are too few to say."""
    arms = [_totals("control_totals", control_totals), _totals("treatment_totals", treatment_totals)]
    if min(len(arm) for arm in arms) < LEAST_USERS:
        return 0.0, 0.0
    (rate_c, variance_c), (rate_t, variance_t) = (ratio_of_sums(*arm.T) for arm in arms)
    return rate_t - rate_c, variance_c + variance_t


def _decision(z, bound):
    return "ramp" if z >= bound else "roll back" if z <= -bound else "hold"


def _counts(name, counts):
    up, votes = counts
    if votes < 1:
        raise ValueError(f"{name} holds no votes")
    if not 0 <= up <= votes:
        raise ValueError(f"{name} has {up} thumbs-up in {votes} votes")
    return up, votes


def _totals(name, totals):
    """The rows of users with at least one vote."""
    totals = np.asarray(totals, dtype=float)
    if totals.size == 0:
        return np.empty((0, 2))
    if totals.ndim != 2 or totals.shape[1] != 2:
        raise ValueError(f"{name} must have the shape (users, 2), not {totals.shape}")
    if not (totals[:, 0] <= totals[:, 1]).all() or not (totals >= 0).all():  # "not", for nan
        raise ValueError(f"{name} has a user with more thumbs-up than votes, or less than none")
    return totals[totals[:, 1] > 0]
