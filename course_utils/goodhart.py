"""Over-optimisation of a proxy: best-of-n, scaling laws and their peak, when to stop, and what guards against it."""

import functools
import math

import numpy as np
import torch
from scipy.special import xlogy

from course_utils import limits
from course_utils.arguments import check_positive, check_vectors
from course_utils.arguments import kind as kind_of

KINDS = ("bon", "rl")


def best_of_n_kl(n):
    """KL divergence of best-of-n from the policy it samples from, in nats: log n - (n - 1) / n.

    Stiennon et al. 2020, appendix G.3. Exact where no two samples have the same score; with ties (a score of 0 or 1,
    say) it is an upper bound (Beirami et al. 2024).

    Args:
        n: number of samples, an int of at least 1.

    Returns:
        A Python float; 0 for n = 1.

    Raises:
        ValueError: `n` is not an int of at least 1.
    """
    _check_count(n=n)
    return math.log(n) - (n - 1) / n


def best_of_n_reward(proxy, gold, n):
    """Expected gold score of the sample that the proxy likes best among n: the mean over all subsets of size n.

    Sorted by proxy, the sample of rank i (1 is the lowest of N) is the best of C(i - 1, n - 1) of the C(N, n)
    subsets. The estimate is unbiased; drawing n samples with replacement would give less than the truth where the
    proxy is any good, for the same sample may be drawn twice (Nakano et al. 2021, "WebGPT", appendix I).

    Args:
        proxy, gold: N scores of the same samples; lists, tuples, arrays or 1-D tensors. No ties in `proxy`.
        n: samples to choose from, an int from 1 to N.

    Returns:
        A Python float. n = 1 gives the mean of `gold`, n = N the gold score of the highest proxy.

    Raises:
        ValueError: `proxy` or `gold` is not one-dimensional or is empty, they differ in length, `proxy` has ties, or
            `n` is not an int from 1 to N.
    """
    proxy, gold = _numbers("proxy", proxy), _numbers("gold", gold, wanted=len(proxy))
    _check_count(n=n)
    size = len(proxy)
    if n > size:
        raise ValueError(f"n must be at most the number of samples, {size}, not {n}")
    if len(np.unique(proxy)) < size:
        raise ValueError("proxy has ties: which of several best samples is taken is not defined")
    # from the highest rank down, C(i - 1, n - 1) / C(N, n) as a product: the factorials would overflow
    below = np.arange(size - 1, 0, -1)
    weights = n / size * np.cumprod(np.concatenate([[1.0], (below - n + 1) / below]))
    return float(weights @ gold[np.argsort(-proxy)])


def fit_overoptimisation(kl, gold, kind):
    """The laws of Gao et al. (2023, section 3.1), fitted by least squares: gold against d = sqrt(KL).

    "bon", best-of-n: gold = d (alpha - beta d)
    "rl", reinforcement learning: gold = d (alpha - beta log d)

    Linear in alpha and beta. No intercept: `gold` is measured from the initial policy, so that it is 0 at KL = 0
    (there d log d is taken as its limit, 0).

    Args:
        kl: KL divergences from the initial policy, >= 0, in any order; a list, tuple, array or 1-D tensor.
        gold: gold score at each, minus that of the initial policy.
        kind: "bon" or "rl".

    Returns:
        (alpha, beta), Python floats of any sign. The squared error in `gold` is summed over the points, unweighted.

    Raises:
        ValueError: `kl` or `gold` is not one-dimensional or is empty, they differ in length, `kl` is negative
            somewhere or has fewer than two different values above 0, or `kind` is another word.
    """
    _check_kind(kind)
    kl = _numbers("kl", kl)
    gold = _numbers("gold", gold, wanted=len(kl))
    if (kl < 0).any():
        raise ValueError(f"kl must not be negative, but has {kl.min()}")
    if len(np.unique(kl[kl > 0])) < 2:
        raise ValueError("kl must have at least two different values above 0")
    d = np.sqrt(kl)
    falling = d**2 if kind == "bon" else xlogy(d, d)
    (alpha, beta), *_ = np.linalg.lstsq(np.stack([d, -falling], axis=1), gold, rcond=None)
    return float(alpha), float(beta)


def predicted_peak(alpha, beta, kind):
    """The d = sqrt(KL) at which a law of Gao et al. (2023, section 3.1) has its highest gold score.

    Where the derivative is 0: alpha / (2 beta) for "bon", exp(alpha / beta - 1) for "rl". The gold score there is
    alpha² / (4 beta), and beta d.

    Args:
        alpha, beta: as `fit_overoptimisation` gives them, both > 0.
        kind: "bon" or "rl".

    Returns:
        A Python float, in units of d; its square is the KL.

    Raises:
        ValueError: `alpha` or `beta` is not positive and finite (there is no peak then), or `kind` is another word.
    """
    _check_kind(kind)
    check_positive(alpha=alpha, beta=beta)
    return float(alpha / (2 * beta)) if kind == "bon" else math.exp(alpha / beta - 1)


def early_stop(gold, patience):
    """The checkpoint that early stopping keeps, walking through the scores as they come.

    A checkpoint is a new best only where it is above all before it. After `patience` in a row without a new best the
    walk ends, whatever comes later (Prechelt 1998 compares such rules).

    Args:
        gold: scores of the checkpoints in order; a list, tuple, array or 1-D tensor.
        patience: an int of at least 1.

    Returns:
        An int, the position (from 0) of the best checkpoint seen; the first of several equal ones.

    Raises:
        ValueError: `gold` is not one-dimensional or is empty; `patience` is not an int of at least 1.
    """
    gold = _numbers("gold", gold)
    _check_count(patience=patience)
    best = 0
    for at, score in enumerate(gold):
        if score > gold[best]:
            best = at
        elif at - best >= patience:
            break
    return best


def verifier_gap(program, visible_tests, hidden_tests, timeout=1.0):
    """By how much a program's visible tests flatter it: share of visible tests passed minus share of hidden ones.

    0 for an honest program, right or wrong alike everywhere; near 1 for one that special-cases the tests it was
    rewarded for. A test is passed if `program(*args) == expected`, within the time.

    The tests run in a forked process that can be killed (see `course_utils.limits` for the reasons), so a program
    may loop for ever, raise, call sys.exit() or print without harm; it is no sandbox against malice.

    Args:
        program: a function.
        visible_tests, hidden_tests: lists of (args, expected), args a tuple; at least one each.
        timeout: seconds of wall time for each test, > 0.

    Returns:
        A Python float from -1 to 1.

    Raises:
        ValueError: `program` cannot be called, `visible_tests` or `hidden_tests` is empty or holds something else,
            or `timeout` is not positive and finite.
    """
    if not callable(program):
        raise ValueError(f"program must be a function, not {kind_of(program)}")
    check_positive(timeout=timeout)
    for name, tests in (("visible_tests", visible_tests), ("hidden_tests", hidden_tests)):
        if len(tests) == 0:
            raise ValueError(f"{name} is empty")
        if not all(len(test) == 2 and isinstance(test[0], tuple) for test in tests):
            raise ValueError(f"{name} must hold pairs (args, expected) with args a tuple")
    tests = [*visible_tests, *hidden_tests]
    passed = limits.outcomes([functools.partial(_passes, program, *test) for test in tests], timeout)
    visible = passed[: len(visible_tests)]
    hidden = passed[len(visible_tests) :]
    return sum(visible) / len(visible) - sum(hidden) / len(hidden)


def pareto_front(points):
    """Which points no other one dominates: equals or beats in every objective and beats in at least one.

    Args:
        points: (N, K), K objectives of N policies, larger is better. Nothing is averaged or weighed.

    Returns:
        (N,), bool, on the device of `points`; copies of a point on the front are all on it. No gradient.

    Raises:
        ValueError: `points` is not a real tensor with two axes of at least 1.
    """
    if not isinstance(points, torch.Tensor) or points.dim() != 2 or points.is_complex():
        raise ValueError(f"points must be a tensor of shape (N, K), not {kind_of(points)}")
    if points.numel() == 0:
        raise ValueError("points is empty")
    one, other = points.unsqueeze(1), points.unsqueeze(0)
    dominated = (other >= one).all(-1) & (other > one).any(-1)
    return ~dominated.any(1)


def robust_value(policy, rewards):
    """Worst-case value of a policy: the lowest of its *expected* rewards under M rewards that might be the true one.

    min over m of sum_y policy(y) rewards[m, y]. One adversary chooses the reward before the policy acts; the expected
    minimum, with another reward for each response, is lower still.

    Args:
        policy: (Y,), probabilities of the responses.
        rewards: (M, Y), plausible rewards of the responses.

    Returns:
        A scalar tensor. Gradients flow into both, through the reward that is the lowest.

    Raises:
        ValueError: `policy` is not a float vector of at least 1, or `rewards` not a float tensor of shape (M, Y).
    """
    check_vectors(policy=policy)
    if not isinstance(rewards, torch.Tensor) or rewards.dim() != 2 or not rewards.is_floating_point():
        raise ValueError(f"rewards must be a float tensor of shape (M, Y), not {kind_of(rewards)}")
    if rewards.shape[0] == 0 or rewards.shape[1] != len(policy):
        raise ValueError(f"rewards has shape {tuple(rewards.shape)} where (M, {len(policy)}) is wanted")
    return (rewards @ policy).min()


def _passes(program, args, expected):
    return program(*args) == expected


def _numbers(name, values, wanted=None):
    """One-dimensional numbers as a float64 array; a tensor is taken from its graph and device."""
    values = values.detach().cpu() if isinstance(values, torch.Tensor) else values
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must be a list of numbers, not of shape {array.shape}")
    if len(array) == 0:
        raise ValueError(f"{name} is empty")
    if wanted is not None and len(array) != wanted:
        raise ValueError(f"{name} has {len(array)} values where {wanted} are wanted")
    return array


def _check_count(**named):
    for name, value in named.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} must be an int of at least 1, not {value!r}")


def _check_kind(word):
    if word not in KINDS:
        raise ValueError(f'kind must be "bon" or "rl", not {word!r}')
