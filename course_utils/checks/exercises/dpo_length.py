"""02-dpo-from-scratch: the length bias of the implicit reward."""

import math

import numpy as np
import torch
from scipy import stats

from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.evaluation import length_bias


def _as_lists(rewards, lengths):
    return rewards.tolist(), lengths.tolist()


def _related(draw, n):
    """Rewards that grow with length, steeply and with noise; no ties."""
    lengths = torch.tensor(draw.permutation(5 * n)[:n]) + 3
    rewards = (lengths / n).exp() * 0.05 + draw.normal(n, scale=0.6)
    return rewards, lengths


def _untied_cases(draw):
    falling = _related(draw, 11)
    cases = [
        (([0.1, 0.2, 0.4, 0.3, 3.0], [5, 6, 7, 8, 9]), "five responses"),
        (_as_lists(*_related(draw, 9)), "nine responses"),
        (_as_lists(-falling[0] + 0.3, falling[1]), "eleven responses, the long ones with lower rewards"),
        (
            _as_lists(draw.normal(14), torch.tensor(draw.permutation(40)[:14])),
            "fourteen responses, unrelated",
        ),
    ]
    return _correlations(cases)


def _correlations(cases):
    """Held to 1e-4: ranks and sums may be in float32; the absolute part is for a correlation near 0."""
    return [Case(args, label=label, rtol=1e-4, scale=1e9) for args, label in cases]


def _tied(draw, n):
    """Ties in both lists, some of them long, in no particular order."""
    lengths = torch.tensor([4, 9, 9, 9, 15, 15] + [20 + i for i in range(n - 6)])
    rewards = lengths / 10 + draw.normal(n)
    rewards[-3:] = rewards[0]
    order = draw.permutation(n)
    return _as_lists(rewards[order], lengths[order])


def _tied_cases(draw):
    cases = [
        (([0.5, 0.5, 1.0, -1.0, 2.0], [10, 12, 12, 12, 8]), "five responses, with ties"),
        (_tied(draw, 10), "ten responses, with ties in both lists"),
        (_tied(draw, 13), "thirteen responses, with ties in both lists"),
        (([0.0, -1.0, 2.0, 1.5, 0.0, 0.7], [7, 3, 9, 4, 12, 9]), "six responses, two of them of reward 0"),
    ]
    return _correlations(cases)


def _kinds(draw):
    rewards, lengths = _related(draw, 8)
    kinds = [
        ((tuple(rewards.tolist()), tuple(lengths.tolist())), "tuples"),
        ((rewards.numpy(), lengths.numpy()), "arrays"),
        ((rewards, lengths), "1-D tensors"),
    ]
    return _correlations([*kinds, (_as_lists(rewards, lengths), "lists")])


def _ranks(values, method="average"):
    return stats.rankdata(np.asarray(values, dtype=float), method)


def _pearson(a, b):
    return float(np.corrcoef(np.asarray(a, dtype=float), np.asarray(b, dtype=float))[0, 1])


def _shortcut(a, b):
    n = len(a)
    return float(1 - 6 * np.sum((np.asarray(a) - np.asarray(b)) ** 2) / (n * (n**2 - 1)))


def _order(values):
    return np.argsort(np.asarray(values, dtype=float), kind="stable")


def _sorted_in_place(rewards, lengths):
    right = length_bias(rewards, lengths)
    if isinstance(rewards, list):
        rewards.sort()
    return right


def _ranked_by_hand(values):
    values = [float(v) for v in values]
    return [sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 for x in values]


def _by_hand(rewards, lengths):
    a, b = _ranked_by_hand(rewards), _ranked_by_hand(lengths)
    mean = (len(a) + 1) / 2
    cov = sum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True))
    spread = math.sqrt(sum((x - mean) ** 2 for x in a)) * math.sqrt(sum((y - mean) ** 2 for y in b))
    return cov / spread


def _by_pandas(rewards, lengths):
    import pandas as pd

    return pd.Series(np.asarray(rewards)).corr(pd.Series(np.asarray(lengths)), method="spearman")


def _by_torch(rewards, lengths):
    def ranks(values):
        x = torch.as_tensor(values, dtype=torch.float64)
        return (x[:, None] > x).sum(1) + ((x[:, None] == x).sum(1) + 1) / 2

    return torch.corrcoef(torch.stack([ranks(rewards), ranks(lengths)]))[0, 1].item()


LENGTH_BIAS = Exercise(
    id="length-bias",
    function="length_bias",
    reference=length_bias,
    parts=(
        Part("values", 1.5, _untied_cases),
        Part("tied values share the mean of their ranks", 1, _tied_cases),
        Part("tuples, arrays and tensors", 0.5, _kinds, ("result", "inputs")),
    ),
    misconceptions=(
        Misconception(
            "pearson",
            _pearson,
            "this is Pearson's correlation of the values themselves; Spearman's is that of their ranks",
        ),
        Misconception(
            "absolute", lambda a, b: abs(length_bias(a, b)), "the sign was dropped; a bias may go either way"
        ),
        Misconception(
            "sign",
            lambda a, b: -length_bias(a, b),
            "the sign is turned: longer with higher reward is positive",
        ),
        Misconception(
            "squared", lambda a, b: length_bias(a, b) ** 2, "this is the square of the correlation"
        ),
        Misconception(
            "kendall",
            lambda a, b: float(stats.kendalltau(np.asarray(a), np.asarray(b)).statistic),
            "this is Kendall's tau, which counts pairs in the same order; Spearman's correlates ranks",
        ),
        Misconception(
            "p-value",
            lambda a, b: float(stats.spearmanr(np.asarray(a), np.asarray(b)).pvalue),
            "this is the p-value, not the correlation",
        ),
        Misconception(
            "whole-result",
            lambda a, b: stats.spearmanr(np.asarray(a), np.asarray(b)),
            "correlation and p-value are returned together; only the correlation is wanted",
        ),
        Misconception(
            "argsort-once",
            lambda a, b: _pearson(_order(a), _order(b)),
            "argsort gives the places of the sorted values in the list, not the rank of each value",
        ),
        Misconception(
            "one-list-ranked",
            lambda a, b: _pearson(_ranks(a), b),
            "only the rewards were ranked; rank the lengths too",
        ),
        Misconception(
            "lengths-only-ranked",
            lambda a, b: _pearson(a, _ranks(b)),
            "only the lengths were ranked; rank the rewards too",
        ),
        Misconception(
            "covariance",
            lambda a, b: float(np.cov(_ranks(a), _ranks(b))[0, 1]),
            "this is the covariance of the ranks; divide by both standard deviations",
        ),
        Misconception(
            "mixed-deviations",
            lambda a, b: float(np.cov(_ranks(a), _ranks(b))[0, 1] / (_ranks(a).std() * _ranks(b).std())),
            "the covariance divides by n - 1 and the standard deviations by n (numpy's std); use the same in both",
        ),
        Misconception(
            "slope",
            lambda a, b: float(np.polyfit(np.asarray(b, dtype=float), np.asarray(a, dtype=float), 1)[0]),
            "this is the slope of a line through the points; a correlation of ranks is wanted",
        ),
        Misconception(
            "ordinal-ranks",
            lambda a, b: _pearson(_order(_order(a)), _order(_order(b))),
            "equal values got different ranks, by their place in the list; they share the mean of their ranks",
        ),
        Misconception(
            "zeros-left-out",
            lambda a, b: length_bias(*zip(*[(x, y) for x, y in zip(a, b, strict=True) if x], strict=True)),
            "responses of reward 0 were left out; 0 is a reward like any other",
        ),
        Misconception(
            "lowest-rank",
            lambda a, b: _pearson(_ranks(a, "min"), _ranks(b, "min")),
            "equal values got the lowest of their ranks; they share the mean of their ranks",
        ),
        Misconception(
            "highest-rank",
            lambda a, b: _pearson(_ranks(a, "max"), _ranks(b, "max")),
            "equal values got the highest of their ranks; they share the mean of their ranks",
        ),
        Misconception(
            "dense-ranks",
            lambda a, b: _pearson(_ranks(a, "dense"), _ranks(b, "dense")),
            "equal values share one rank, but the next value follows without a gap; "
            "three values that share a rank use up three ranks",
        ),
        Misconception(
            "shortcut",
            lambda a, b: _shortcut(_ranks(a), _ranks(b)),
            "1 - 6 Σd²/(n(n² - 1)) holds only without ties; with ties take Pearson's correlation of the ranks",
        ),
        Misconception(
            "tensor",
            lambda a, b: torch.tensor(length_bias(a, b), dtype=torch.float64),
            "the number is right but a tensor; return a Python float (.item())",
        ),
        Misconception(
            "sorted-in-place",
            _sorted_in_place,
            "the list of rewards was sorted in place; work on a copy",
        ),
    ),
    alternatives={
        "scipy": lambda rewards, lengths: stats.spearmanr(np.asarray(rewards), np.asarray(lengths)).statistic,
        "by hand": _by_hand,
        "pandas": _by_pandas,
        "torch": _by_torch,
        "numpy": lambda rewards, lengths: _pearson(_ranks(rewards), _ranks(lengths)),
    },
    hints=(
        "Replace each value by its rank in its own list, then take Pearson's correlation of the two lists of ranks.",
        "Values that are equal share a rank: the mean of the ranks they would take up together.",
        "scipy.stats has both the ranks (rankdata) and the whole correlation; mind what it returns beside the number.",
    ),
)
