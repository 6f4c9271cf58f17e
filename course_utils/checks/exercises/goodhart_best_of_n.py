"""05-goodhart: best-of-n, how far it goes from the policy and what it earns."""

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import torch

from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.goodhart import best_of_n_kl, best_of_n_reward

# --- best-of-n-kl -----------------------------------------------------------------------------


def _small_n_cases(draw):
    few = [1, 2, 3, 4, 16, 64]
    few += [n for n in dict.fromkeys(draw.integer(5, 60) for _ in range(6)) if n not in few]
    return [_count_case(n) for n in few]


def _large_n_cases(draw):
    return [_count_case(n) for n in (1000, 60_000, draw.integer(100_000, 900_000))]


def _count_case(n):
    """Held to 1e-5: the logarithm may be in float32."""
    return Case((n,), label=f"n = {n}", rtol=1e-5, scale=1e8)


def _by_integral(n):
    """KL of the density n u^(n-1) from the uniform one: E[log n + (n - 1) log u], and E[log u] = -1/n."""
    from scipy import stats

    return -float(stats.beta(n, 1).entropy())


def _by_sympy(n):
    import sympy

    return float((sympy.log(n) - sympy.Rational(n - 1, n)).evalf(30))


def _by_tensor(n):
    n = torch.tensor(float(n))
    return (n.log() - 1 + n.reciprocal()).item()


BEST_OF_N_KL = Exercise(
    id="best-of-n-kl",
    function="best_of_n_kl",
    reference=best_of_n_kl,
    parts=(
        Part("n up to 64", 1.5, _small_n_cases),
        Part("n up to a million", 0.5, _large_n_cases),
    ),
    misconceptions=(
        Misconception(
            "log-n",
            lambda n: math.log(n),
            "this is log n (the fraction is missing, or // made it 0); the best of n is not one sample picked out of n known ones, and its KL is lower",
        ),
        Misconception(
            "fraction-upside-down-but-for-1",
            lambda n: math.log(n) - n / (n - 1) if n > 1 else 0.0,
            "the fraction is upside down: no KL is negative, but this is for n = 2",
        ),
        Misconception(
            "fraction-upside-down",
            lambda n: math.log(n) - n / (n - 1),
            "the fraction is upside down: no KL is negative, but this is for n = 2",
        ),
        Misconception(
            "minus-1",
            lambda n: math.log(n) - 1,
            "1 was taken off, its limit for many samples; for n = 1 best-of-n is the policy itself, and the KL 0",
        ),
        Misconception(
            "minus-1-clamped",
            lambda n: max(math.log(n) - 1, 0.0),
            "1 was taken off, its limit for many samples; look at n = 2",
        ),
        Misconception(
            "plus",
            lambda n: math.log(n) + (n - 1) / n,
            "the fraction was added; the KL is below log n",
        ),
        Misconception(
            "one-over-n",
            lambda n: math.log(n) - 1 / n,
            "1/n was taken off; for n = 1 that is not 0",
        ),
        Misconception(
            "n-not-less-1",
            lambda n: math.log(n) - n / (n + 1),
            "the fraction is n/(n + 1); for n = 1 it must be 0",
        ),
        Misconception(
            "n-plus-1-below",
            lambda n: math.log(n) - (n - 1) / (n + 1),
            "the fraction's denominator is n + 1 here",
        ),
        Misconception(
            "n-minus-1-inside",
            lambda n: math.log(max(n - 1, 1)) - (n - 1) / n,
            "the logarithm is of n - 1 here",
        ),
        Misconception(
            "not-divided",
            lambda n: math.log(n) - (n - 1),
            "n - 1 was taken off undivided",
        ),
        Misconception(
            "times-n",
            lambda n: n * math.log(n) - (n - 1),
            "this is n times the KL",
        ),
        Misconception(
            "n-plus-1-inside",
            lambda n: math.log(n + 1) - (n - 1) / n,
            "the logarithm is of n + 1 here; for n = 1 the KL is 0",
        ),
        Misconception(
            "everything-divided",
            lambda n: (math.log(n) - (n - 1)) / n,
            "the division by n takes in the logarithm too: mind the brackets",
        ),
        Misconception(
            "brackets",
            lambda n: math.log(n) - n - 1 / n,
            "brackets are missing around n - 1",
        ),
        Misconception(
            "log-2",
            lambda n: math.log2(n) - (n - 1) / n,
            "the logarithm is to base 2; nats are wanted",
        ),
        Misconception(
            "bits",
            lambda n: best_of_n_kl(n) / math.log(2),
            "this is the KL in bits; nats are wanted",
        ),
        Misconception(
            "log-10",
            lambda n: math.log10(n) - (n - 1) / n,
            "the logarithm is to base 10; nats are wanted",
        ),
        Misconception(
            "sign",
            lambda n: (n - 1) / n - math.log(n),
            "the sign is turned; a KL divergence is never negative",
        ),
        Misconception(
            "other-direction",
            lambda n: n - 1 - math.log(n),
            "this is the KL of the policy from best-of-n; the other direction is wanted",
        ),
        Misconception(
            "root",
            lambda n: math.sqrt(best_of_n_kl(n)),
            "this is d = √KL; the KL itself is wanted",
        ),
        Misconception(
            "harmonic",
            lambda n: sum(1 / k for k in range(1, n + 1)) - 1,
            "this is a harmonic sum minus 1, where a logarithm is wanted",
        ),
        Misconception(
            "fraction-only",
            lambda n: (n - 1) / n,
            "this is the second term alone",
        ),
        Misconception(
            "tensor",
            lambda n: torch.tensor(best_of_n_kl(n), dtype=torch.float64),
            "the number is right but a tensor; return a Python float (.item())",
        ),
        Misconception(
            "text",
            lambda n: f"{best_of_n_kl(n):.4f}",
            "a text came back; return the number",
        ),
        Misconception(
            "cut-to-an-int",
            lambda n: int(best_of_n_kl(n)),
            "the number was cut to an int; return a float",
        ),
        Misconception(
            "rounded",
            lambda n: round(best_of_n_kl(n), 2),
            "the number was rounded; return it as it is",
        ),
    ),
    alternatives={
        "numpy": lambda n: np.log(n) + 1 / n - 1,
        "tensor, float32": _by_tensor,
        "entropy of a beta distribution": _by_integral,
        "sympy": _by_sympy,
        "log1p": lambda n: math.log1p(n - 1) - (1 - 1 / n),
        "exact fraction": lambda n: float(math.log(n) - Fraction(n - 1, n)),
    },
    hints=(
        "The formula has two terms; try n = 1, where best-of-n is the policy itself. What must come out?",
        "math.log is the natural logarithm. Mind / and //, and the brackets.",
    ),
)


# --- best-of-n-reward: cases ------------------------------------------------------------------


def _scores(draw, size, slope=0.6):
    """Proxy and gold of the same samples; the proxy is right in part, and no two of its scores are near each other."""
    proxy = torch.tensor(draw.permutation(size), dtype=torch.float64) * (3.0 / size) - 1.0
    return (proxy + draw.uniform(0, 0.5 / size, size)).tolist(), (slope * proxy + draw.normal(size)).tolist()


def _reward_cases(draw):
    worked = ([0.2, 0.9, 0.5, 0.1], [1.0, -1.0, 2.0, 0.0])
    size = draw.integer(8, 11)
    return [
        _scored((*worked, 2), "four samples, n = 2"),
        _scored((*worked, 3), "four samples, n = 3"),
        _scored((*_scores(draw, size), 3), f"{size} samples, n = 3"),
        _scored((*_scores(draw, size + 1), 5), f"{size + 1} samples, n = 5"),
        _scored((*_scores(draw, 13, -1.0), 4), "13 samples, a proxy that misleads, n = 4"),
        _scored((*_scores(draw, 7), 6), "seven samples, n = 6"),
    ]


def _end_cases(draw):
    return [
        _scored((*_scores(draw, 9), 1), "nine samples, n = 1"),
        _scored((*_scores(draw, 5), 5), "five samples, n = 5"),
        _scored((*_scores(draw, 1), 1), "one sample"),
        _scored((*_scores(draw, 2), 2), "two samples, n = 2"),
    ]


def _many_cases(draw):
    """Few enough subsets to go through them one by one, and yet 180! is beyond any float."""
    return [
        _scored((*_scores(draw, 180), 2), "180 samples, n = 2"),
        _scored((*_scores(draw, 60), 3), "60 samples, n = 3"),
    ]


def _kind_cases(draw):
    proxy, gold = _scores(draw, 8)
    return [
        _scored((tuple(proxy), tuple(gold), 3), "tuples"),
        _scored((np.array(proxy), np.array(gold), 3), "arrays"),
        _scored((torch.tensor(proxy).double(), torch.tensor(gold).double(), 3), "1-D tensors"),
        _scored((proxy, gold, 3), "lists"),
    ]


def _scored(args, label):
    """Held to 1e-4: sums may be in float32, and differences of logarithms of factorials lose some digits."""
    return Case(args, label=label, rtol=1e-4, scale=1e9)


# --- best-of-n-reward: answers ----------------------------------------------------------------


def _list(values):
    return [float(v) for v in values]


def _weighted(weight, order=lambda proxy, gold: proxy):
    """An answer that weighs the gold scores, sorted by `order` from low to high, by `weight(i, N, n)`, i from 0."""

    def answer(proxy, gold, n):
        proxy, gold = _list(proxy), _list(gold)
        ranked = [g for _, g in sorted(zip(order(proxy, gold), gold, strict=True))]
        return sum(weight(i, len(gold), n) * g for i, g in enumerate(ranked))

    return answer


def _right_weight(i, size, n):
    return math.comb(i, n - 1) / math.comb(size, n)


def _with_replacement(i, size, n):
    return ((i + 1) / size) ** n - (i / size) ** n


def _normalised(weight):
    return lambda i, size, n: weight(i, size, n) / sum(weight(j, size, n) for j in range(size))


def _of_groups(groups):
    """The mean gold of the proxy's pick over groups of positions."""

    def answer(proxy, gold, n):
        proxy, gold = _list(proxy), _list(gold)
        picks = [gold[max(g, key=lambda i: proxy[i])] for g in groups(len(gold), n)]
        return sum(picks) / len(picks)

    return answer


def _disjoint(size, n):
    return [range(i, i + n) for i in range(0, size - n + 1, n)]


def _windows(size, n):
    return [range(i, i + n) for i in range(size - n + 1)]


def _drawn(size, n):
    rng = random.Random(0)
    return [rng.sample(range(size), n) for _ in range(300)]


def _drawn_again(size, n):
    rng = random.Random(0)
    return [rng.choices(range(size), k=n) for _ in range(300)]


def _quantile(proxy, gold, n):
    ranked = [g for _, g in sorted(zip(_list(proxy), _list(gold), strict=True))]
    return ranked[round((len(ranked) - 1) * n / (n + 1))]


def _top(count):
    """The mean gold of the `count(N, n)` samples with the highest proxy."""

    def answer(proxy, gold, n):
        ranked = [g for _, g in sorted(zip(_list(proxy), _list(gold), strict=True))][::-1]
        kept = ranked[: max(1, count(len(ranked), n))]
        return sum(kept) / len(kept)

    return answer


def _proxy_of_pick(proxy, gold, n):
    return best_of_n_reward(proxy, proxy, n)


def _best_of_each(proxy, gold, n):
    return best_of_n_reward(gold, gold, n)


def _pairs_sorted_in_place(proxy, gold, n):
    right = best_of_n_reward(proxy, gold, n)
    if isinstance(gold, list):
        gold.sort()
    return right


def _float_factorials(i, size, n):
    choose = lambda a, b: math.gamma(a + 1) / math.gamma(b + 1) / math.gamma(a - b + 1) if a >= b else 0.0  # noqa: E731
    return choose(i, n - 1) / choose(size, n)


def _by_subsets(proxy, gold, n):
    pairs = list(zip(proxy, gold, strict=True))
    picks = [max(subset)[1] for subset in itertools.combinations(pairs, n)]
    return float(sum(picks) / len(picks))


def _by_logarithms(proxy, gold, n):
    from scipy.special import gammaln

    order = np.argsort(np.asarray(proxy))
    i = np.arange(n, len(order) + 1)
    log_weight = gammaln(i) - gammaln(n) - gammaln(i - n + 1)
    log_weight -= gammaln(len(order) + 1) - gammaln(n + 1) - gammaln(len(order) - n + 1)
    return float(np.exp(log_weight) @ np.asarray(gold)[order][n - 1 :])


def _by_fractions(proxy, gold, n):
    size, total = len(proxy), Fraction(0)
    for p, g in zip(proxy, gold, strict=True):
        below = sum(bool(q < p) for q in proxy)
        total += Fraction(math.comb(below, n - 1), math.comb(size, n)) * Fraction(float(g))
    return float(total)


def _by_recursion(proxy, gold, n):
    """From the top: the highest is in a subset with probability n/N; if not, the same with one sample less."""
    ranked = [float(g) for _, g in sorted(zip(proxy, gold, strict=True))]
    value = 0.0
    for size in range(n, len(ranked) + 1):
        value += (n / size) * (ranked[size - 1] - value)
    return value


def _by_pandas(proxy, gold, n):
    import pandas as pd
    from scipy.special import comb

    frame = pd.DataFrame({"proxy": np.asarray(proxy), "gold": np.asarray(gold)}).sort_values("proxy")
    weight = pd.Series(comb(np.arange(len(frame)), n - 1), index=frame.index)
    return (weight * frame.gold).sum() / weight.sum()


def _by_torch(proxy, gold, n):
    proxy, gold = torch.as_tensor(proxy, dtype=torch.float64), torch.as_tensor(gold, dtype=torch.float64)
    at = torch.arange(1, len(proxy) + 1, dtype=torch.float64)
    survival = torch.cat([torch.ones(1).double(), (1 - n / at.flip(0)).clamp(min=0).cumprod(0)])[:-1]
    weights = survival * torch.clamp(n / at.flip(0), max=1.0)
    return torch.dot(weights, gold[proxy.argsort(descending=True)]).item()


BEST_OF_N_REWARD = Exercise(
    id="best-of-n-reward",
    function="best_of_n_reward",
    reference=best_of_n_reward,
    parts=(
        Part("the mean over all subsets", 3.5, _reward_cases),
        Part("n = 1 and n = N", 1, _end_cases),
        Part("many samples", 1, _many_cases),
        Part("tuples, arrays and tensors; inputs unchanged", 0.5, _kind_cases, ("result", "inputs")),
    ),
    misconceptions=(
        Misconception(
            "with-replacement",
            _weighted(_with_replacement),
            "here the same sample may be drawn twice, (i/N)^n; a subset holds n different ones",
        ),
        Misconception(
            "one-rank-too-high",
            _weighted(lambda i, size, n: math.comb(i + 1, n - 1) / math.comb(size + 1, n)),
            "the ranks are off by one: how many samples lie *below* the i-th, if i counts from 0?",
        ),
        Misconception(
            "one-rank-too-high-unnormalised",
            _weighted(lambda i, size, n: math.comb(i + 1, n - 1) / math.comb(size, n)),
            "the ranks are off by one, and the weights do not sum to 1: how many samples lie *below* the i-th?",
        ),
        Misconception(
            "one-rank-too-low",
            _weighted(
                _normalised(lambda i, size, n: math.comb(max(i - 1, 0), n - 1) if size > n else i == size - 1)
            ),
            "the ranks are off by one the other way: how many samples lie *below* the i-th, if i counts from 0?",
        ),
        Misconception(
            "pick-counted-among-the-rest",
            _weighted(lambda i, size, n: math.comb(i, n) / math.comb(size, n)),
            "beside the pick there are n - 1 others in a subset, not n",
        ),
        Misconception(
            "pick-counted-among-the-rest-normalised",
            _weighted(_normalised(lambda i, size, n: math.comb(i, min(n, size - 1)))),
            "beside the pick there are n - 1 others in a subset, not n; the weights were made to sum to 1 afterwards",
        ),
        Misconception(
            "cumulative",
            _weighted(lambda i, size, n: math.comb(i + 1, n) / math.comb(size, n)),
            "this weight is the chance that the pick is the i-th *or a lower one*; the chance of the i-th itself is wanted",
        ),
        Misconception(
            "subsets-of-the-others",
            _weighted(lambda i, size, n: math.comb(i, n - 1) / math.comb(size - 1, n - 1)),
            "divided by the subsets that hold one given sample; all subsets of size n count",
        ),
        Misconception(
            "not-normalised",
            _weighted(lambda i, size, n: math.comb(i, n - 1)),
            "this is the sum over the subsets; divide by their number",
        ),
        Misconception(
            "worst-of-n",
            _weighted(lambda i, size, n: _right_weight(size - 1 - i, size, n)),
            "this is the proxy's *worst* of n; sort the other way round",
        ),
        Misconception(
            "best-by-gold",
            _best_of_each,
            "the pick is the one with the highest gold; the proxy chooses, and gold only judges",
        ),
        Misconception(
            "proxy-of-the-pick",
            _proxy_of_pick,
            "this is the pick's proxy score; its gold score is wanted",
        ),
        Misconception(
            "arguments-exchanged",
            lambda proxy, gold, n: best_of_n_reward(gold, proxy, n),
            "proxy and gold are exchanged: the first argument chooses, the second judges",
        ),
        Misconception(
            "unsorted",
            _weighted(_right_weight, lambda proxy, gold: range(len(gold))),
            "the weights belong to the ranks by proxy, and the samples were left in the order they came in",
        ),
        Misconception(
            "highest-of-all",
            _top(lambda size, n: 1),
            "this is the pick among all N samples; n of them are there to choose from",
        ),
        Misconception(
            "mean-of-the-top-n",
            _top(lambda size, n: n),
            "this is the mean gold of the n samples that the proxy likes best; one is picked out of n",
        ),
        Misconception(
            "mean-of-the-top-share",
            _top(lambda size, n: round(size / n)),
            "this is the mean gold of the best one in n by proxy; the best of n drawn ones is another matter",
        ),
        Misconception(
            "quantile",
            _quantile,
            "this is one sample, at the quantile where the best of n lies on average; the mean is over all subsets",
        ),
        Misconception(
            "first-n",
            _of_groups(lambda size, n: [range(n)]),
            "this is the pick among the first n samples only; the mean is over all subsets",
        ),
        Misconception(
            "disjoint-groups",
            _of_groups(_disjoint),
            "the samples were cut into groups of n; that is unbiased but noisy: the mean is over *all* subsets",
        ),
        Misconception(
            "groups-with-a-rest",
            _of_groups(lambda size, n: [range(i, min(i + n, size)) for i in range(0, size, n)]),
            "the samples were cut into groups of n, and the last may be smaller; the mean is over *all* subsets of size n",
        ),
        Misconception(
            "highest-left-out",
            _weighted(lambda i, size, n: _right_weight(i, size, n) if i < size - 1 else 0.0),
            "the sample with the highest proxy plays no part: range(n, N) ends before N",
        ),
        Misconception(
            "windows",
            _of_groups(_windows),
            "only neighbours were grouped; the mean is over *all* subsets",
        ),
        Misconception(
            "monte-carlo",
            _of_groups(_drawn),
            "these are some subsets drawn at random; the mean over all of them needs no drawing",
        ),
        Misconception(
            "bootstrap",
            _of_groups(_drawn_again),
            "these are samples drawn at random with replacement; the mean over all subsets needs no drawing",
        ),
        Misconception(
            "every-order",
            _of_groups(
                lambda size, n: (
                    itertools.product(range(size), repeat=min(n, 3)) if size < 12 else _drawn_again(size, n)
                )
            ),
            "tuples in which a sample may come twice were gone through; a subset holds n different ones",
        ),
        Misconception(
            "mean",
            _top(lambda size, n: size),
            "this is the mean of all gold scores, whatever n is",
        ),
        Misconception(
            "difference-to-mean",
            lambda proxy, gold, n: best_of_n_reward(proxy, gold, n) - sum(_list(gold)) / len(gold),
            "the mean of gold was taken off; the expected score itself is wanted",
        ),
        Misconception(
            "factorials-overflow",
            _weighted(lambda i, size, n: _float_factorials(i, size, n)),
            "a factorial of 180 is beyond any float; binomials can be had without it (math.comb, a product, logarithms)",
        ),
        Misconception(
            "factorials-nan",
            lambda proxy, gold, n: best_of_n_reward(proxy, gold, n) if len(gold) < 170 else math.nan,
            "a factorial of 180 is beyond any float; binomials can be had without it (math.comb, a product, logarithms)",
        ),
        Misconception(
            "tensor",
            lambda proxy, gold, n: torch.tensor(best_of_n_reward(proxy, gold, n), dtype=torch.float64),
            "the number is right but a tensor; return a Python float (.item())",
        ),
        Misconception(
            "lists-only",
            lambda proxy, gold, n: best_of_n_reward(proxy, gold, n) if proxy else 0.0,
            "a list of numbers may also come as an array or a tensor; those have no truth value of their own",
        ),
        Misconception(
            "sorted-in-place",
            _pairs_sorted_in_place,
            "the list of gold scores was changed; work on a copy",
        ),
    ),
    alternatives={
        "subset by subset": _by_subsets,
        "logarithms": _by_logarithms,
        "fractions": _by_fractions,
        "recursion": _by_recursion,
        "pandas": _by_pandas,
        "torch": _by_torch,
        "binomials": _weighted(_right_weight),
    },
    hints=(
        "Sort the samples by proxy. In how many of the subsets of size n is a given sample the highest?",
        "If i samples have a lower proxy, the other n - 1 members come from those: C(i, n - 1) subsets of C(N, n).",
        "Try by hand N = 3, n = 2: three subsets; the lowest is never picked, the middle one once, the highest twice.",
    ),
)
