"""Cleaning a feedback log: which users say nothing about the responses, which rows go, and how many of each.

Two rules for users stand here. `flag_biased_users` is the one that can be written in ten lines: a rate that
is extreme and a binomial tail. It takes all honest users to have one rate. `biased_user_posterior` fits how
honest rates spread and asks which group a user is likelier from. `naive_clean` is what people often write,
kept to show what it loses.
"""

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit, gammaln, logit
from scipy.stats import binom

from course_utils.feedback.columns import UP, WARNING, check_feedback, check_warnings

LOW, HIGH = 0.1, 0.9
STEPS = ("biased_user", "empty_response", "content_warning", "duplicate", "contradiction")
# Users who press one button: BetaBinomial with this sum of parameters and this mean (mirrored for "down").
# A point mass at .98 would call a bot with 4 misses in 100 honest.
BIASED_SUM, BIASED_MEAN = 30.6, 30 / 30.6


def flag_biased_users(feedback, level=0.001):
    """Users whose rate of thumbs-up is credibly extreme.

    Flagged is a user with k of n votes up whose rate k/n is above 0.9 and for whom P(X >= k) < level, or
    below 0.1 and P(X <= k) < level, X ~ Binomial(n, rate of the whole frame). So a few votes never flag
    (at 65 % overall it takes 17 of 17 up, or 7 of 7 down), and neither do many votes at an ordinary rate.
    With U users, about level · U honest ones of that very rate could be flagged by chance.

    Args:
        feedback: a log; "user_id" and "feedback" are read, every row counts once.
        level: the largest tail probability that is still called chance, between 0 and 1.

    Returns:
        A set of user ids.

    Raises:
        ValueError: a column is missing, the frame is empty, a verdict is unknown, or `level` is no probability.
    """
    check_feedback(feedback, ("user_id", "feedback"))
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    up = feedback["feedback"] == UP
    votes = up.groupby(feedback["user_id"]).agg(up="sum", count="size")
    rate, overall = votes["up"] / votes["count"], up.mean()
    high = (rate > HIGH) & (binom.sf(votes["up"] - 1, votes["count"], overall) < level)
    low = (rate < LOW) & (binom.cdf(votes["up"], votes["count"], overall) < level)
    return set(votes.index[high | low])


def clean_feedback(feedback):
    """The rows of a log that can be trained on, and how many were dropped at each step.

    Dropped, in this order: rows of biased users (`flag_biased_users`, rates from the whole frame); responses
    that are missing, or empty after stripping; rows with a content warning, if there is that column; exact
    duplicates (same prompt, response, user and verdict), the first kept; all rows of a (prompt, response)
    that still has both verdicts, whoever gave them. The last step loses what an average of the votes would
    keep; for labels of yes and no, a disputed response has none.

    Args:
        feedback: a log, any index.

    Returns:
        A new frame: the kept rows with their index, unaltered and in order. `attrs["dropped"]` counts the rows
        dropped, ints by "biased_user", "empty_response", "content_warning", "duplicate", "contradiction".

    Raises:
        ValueError: a column is missing, the frame is empty, a verdict is unknown, or a warning is no bool.
    """
    check_feedback(feedback, ("prompt", "response", "user_id", "feedback"))
    check_warnings(feedback)
    drops = (_of_biased_users, _empty, _warned, _duplicate, _contradicted)
    kept, dropped = feedback.copy(), {}
    for step, drop in zip(STEPS, drops, strict=True):
        gone = np.asarray(drop(kept), dtype=bool)
        dropped[step] = int(gone.sum())
        kept = kept[~gone]
    kept = kept.copy()
    kept.attrs["dropped"] = dropped
    return kept


def _of_biased_users(feedback):
    return feedback["user_id"].isin(flag_biased_users(feedback))


def _empty(feedback):
    return feedback["response"].isna() | (feedback["response"].str.strip() == "")


def _warned(feedback):
    return feedback[WARNING] if WARNING in feedback.columns else np.zeros(len(feedback), dtype=bool)


def _duplicate(feedback):
    return feedback.duplicated(["prompt", "response", "user_id", "feedback"])


def _contradicted(feedback):
    return feedback.groupby(["prompt", "response"])["feedback"].transform("nunique") > 1


def naive_clean(feedback):
    """What is often written, and what it loses: for comparison only.

    Drops users whose rate of thumbs-up lies outside [0.1, 0.9], however few their votes (a user with one
    vote has rate 0 or 1, so all of those go); responses of ten characters or fewer; all but the first row
    of a (prompt, response), so that the order of the file decides between two verdicts.

    Args:
        feedback: a log.

    Returns:
        A new frame; `attrs["dropped"]` counts rows by "biased_user", "short_response", "duplicate".

    Raises:
        ValueError: as `clean_feedback`.
    """
    check_feedback(feedback, ("prompt", "response", "user_id", "feedback"))
    rate = (feedback["feedback"] == UP).groupby(feedback["user_id"]).transform("mean")
    dropped, kept = {}, feedback[(rate >= LOW) & (rate <= HIGH)]
    dropped["biased_user"] = len(feedback) - len(kept)
    long = kept[kept["response"].str.len() > 10]
    dropped["short_response"] = len(kept) - len(long)
    first = long.drop_duplicates(["prompt", "response"])
    dropped["duplicate"] = len(long) - len(first)
    first = first.copy()
    first.attrs["dropped"] = dropped
    return first


def biased_user_posterior(feedback, iterations=50):
    """The probability that each user presses one button whatever the response says (empirical Bayes).

    Three groups of users: honest, with rates that are Beta(a, b) distributed among them, a and b fitted;
    always-up and always-down, BetaBinomial(30, 0.6) and its mirror. Expectation maximisation over the groups'
    shares and (a, b), on the distinct (ups, votes). In the simulated log of 100,000 votes (seed 0) 14 % of the
    users above 0.8 are honest or careless after all, and 6 % of those above 0.9: the honest group is fitted a
    little too narrow. Careless users, who toss a coin, cannot be seen in a rate.

    Args:
        feedback: a log; "user_id" and "feedback" are read.
        iterations: of the expectation maximisation.

    Returns:
        A Series by user id, between 0 and 1. `attrs["honest"]` holds (a, b), `attrs["shares"]` the groups'
        shares: honest, up, down.

    Raises:
        ValueError: a column is missing, the frame is empty, or a verdict is unknown.
    """
    check_feedback(feedback, ("user_id", "feedback"))
    up = feedback["feedback"] == UP
    votes = up.groupby(feedback["user_id"]).agg(up="sum", count="size")
    (k, n), place, users = _distinct(votes)
    up_a, up_b = BIASED_SUM * BIASED_MEAN, BIASED_SUM * (1 - BIASED_MEAN)
    biased = np.stack([_beta_binomial(k, n, up_a, up_b), _beta_binomial(k, n, up_b, up_a)])
    shares, mean = np.array([0.9, 0.05, 0.05]), min(max(up.mean(), 0.05), 0.95)
    theta = np.array([logit(mean), np.log(5.0)])  # mean and sum of a and b
    for _ in range(iterations):
        log = np.concatenate([_beta_binomial(k, n, *_ab(theta))[None], biased]) + np.log(shares)[:, None]
        posterior = np.exp(log - log.max(0))
        posterior /= posterior.sum(0)
        shares = np.maximum((posterior * users).sum(1) / users.sum(), 1e-12)
        theta = _fitted(theta, k, n, users * posterior[0])
    result = pd.Series((1 - posterior[0])[place], index=votes.index, name="posterior")
    result.attrs = {"honest": tuple(float(v) for v in _ab(theta)), "shares": tuple(map(float, shares))}
    return result


def _distinct(votes):
    """The distinct (ups, votes), each user's place among them, and how many users each has."""
    table, place, users = np.unique(
        votes[["up", "count"]].to_numpy(), axis=0, return_inverse=True, return_counts=True
    )
    return table.T.astype(float), place.reshape(-1), users


def _ab(theta):
    mean, size = expit(theta[0]), np.exp(theta[1])
    return mean * size, (1 - mean) * size


def _beta_binomial(k, n, a, b):
    """log P(k of n), the binomial coefficient left out: it is the same in every group."""
    return gammaln(k + a) + gammaln(n - k + b) - gammaln(n + a + b) + gammaln(a + b) - gammaln(a) - gammaln(b)


def _fitted(theta, k, n, weights):
    """One maximisation over the honest group's mean and size; a size above e^8 is a single rate."""

    def loss(t):
        return -(weights * _beta_binomial(k, n, *_ab(t))).sum() / weights.sum()

    return minimize(loss, theta, method="L-BFGS-B", bounds=[(-6, 6), (-2, 8)], options={"maxiter": 5}).x
