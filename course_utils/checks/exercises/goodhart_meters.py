"""05-goodhart: meters of mode collapse and of the win rate at equal length."""

import math
from collections import Counter

import numpy as np
import torch
from scipy import optimize, special, stats

from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.evaluation import distinct_n, length_controlled_win_rate

# --- diversity: cases -------------------------------------------------------------------------


def _tokens(draw, lengths, top=4):
    return [draw.integers(0, top, length).tolist() if length else [] for length in lengths]


def _lengths(draw, count, low, high):
    return [draw.integer(low, high) for _ in range(count)]


def _diverse_cases(draw):
    return [
        Case(([[1, 2, 1, 2, 3]], 2), label="one sequence, n = 2"),
        Case(([[1, 2, 3], [1, 2, 4], [1, 2, 3]], 2), label="three sequences, n = 2"),
        Case((_tokens(draw, _lengths(draw, 6, 5, 12)), 1), label="six sequences, n = 1"),
        Case((_tokens(draw, _lengths(draw, 7, 5, 14)), 2), label="seven sequences, n = 2"),
        Case((_tokens(draw, _lengths(draw, 5, 8, 20), 1), 3), label="five sequences of two tokens, n = 3"),
        Case((_tokens(draw, [30, 4, 9], 2), 4), label="three sequences of unequal length, n = 4"),
        Case(([[7] * 9, [7] * 5], 2), label="one token, for ever"),
        Case(([[3, 4, 5, 6], [7, 8, 9]], 2), label="no n-gram twice"),
        Case(([[5, 6, 5, 6, 5], [6, 5, 6]], 2), label="two tokens in turn"),
    ]


def _word_cases(draw):
    words = ("yes", "no", "right", "great question", "a", "aa")
    drawn = [[words[i] for i in row] for row in _tokens(draw, _lengths(draw, 6, 4, 9), 5)]
    return [
        Case((drawn, 2), label="strings, n = 2"),
        Case(([["ab", "c"], ["a", "bc"], ["abc", ""]], 2), label="strings that run together alike"),
        Case(([["a b", "c"], ["a", "b c"]], 2), label="strings with spaces"),
        Case(([[1, 12], [11, 2], [112, 1]], 2), label="numbers whose digits run together alike"),
        Case(([["x"], ["x"], ["y"]], 1), label="strings, n = 1"),
        Case(
            ([["The", "end"], ["the", "end"], [" the", "end"], ["the ", "end"]], 2),
            label="strings that differ in case or by a space",
        ),
    ]


def _short_cases(draw):
    mixed = _tokens(draw, [2, 6, 1, 5, 0, 2, 7], 2)
    return [
        Case((mixed, 3), label="some sequences shorter than n, one empty"),
        Case((mixed, 1), label="an empty sequence among others"),
        Case(([[1, 2, 3], [1, 2, 3], [4]], 3), label="sequences of length n"),
        Case(([[1, 2], [3]], 3), label="all sequences shorter than n"),
        Case(([[], []], 1), label="empty sequences"),
        Case(([], 2), label="no sequences"),
    ]


def _diversity_form(draw):
    rows = _tokens(draw, [6, 8, 7], 3)
    return [Case((rows, 2), label="lists"), Case((tuple(map(tuple, rows)), 2), label="tuples")]


# --- diversity: answers -----------------------------------------------------------------------


def _grams(row, n):
    return [tuple(row[i : i + n]) for i in range(len(row) - n + 1)]


def _all(sequences, n):
    return [gram for row in sequences for gram in _grams(row, n)]


def _share(part, whole):
    return part / whole if whole else 0.0


def _mean_of_rows(sequences, n):
    rows = [row for row in (_grams(row, n) for row in sequences) if row]
    return _share(sum(len(set(row)) / len(row) for row in rows), len(rows))


def _of_grams(value):
    """An answer from the list of all n-grams."""
    return lambda sequences, n: value(_all(sequences, n))


def _joined(separator):
    return _of_grams(lambda grams: _share(len({separator.join(map(str, g)) for g in grams}), len(grams)))


def _entropy(grams):
    counts = np.array(list(Counter(grams).values()), dtype=float)
    if len(counts) < 2:
        return 0.0
    return float(stats.entropy(counts) / math.log(len(grams)))


def _simpson(grams):
    n = len(grams)
    return 1 - _share(sum(c * (c - 1) for c in Counter(grams).values()), n * (n - 1))


def _across(sequences, n):
    row = [token for sequence in sequences for token in sequence]
    return _share(len(set(_grams(row, n))), len(_grams(row, n)))


def _padded(sequences, n):
    return distinct_n([[None] * (n - 1) + list(row) + [None] * (n - 1) for row in sequences if len(row)], n)


def _short_as_one(sequences, n):
    grams = [g for row in sequences for g in (_grams(row, n) or [tuple(row)])]
    return _share(len(set(grams)), len(grams))


def _last_missing(sequences, n):
    grams = [tuple(row[i : i + n]) for row in sequences for i in range(len(row) - n)]
    return _share(len(set(grams)), len(grams))


def _tails(sequences, n):
    grams = [tuple(row[i : i + n]) for row in sequences for i in range(len(row))]
    return _share(len(set(grams)), len(grams))


def _tokens_changed(change):
    def answer(sequences, n):
        return distinct_n([[change(t) if isinstance(t, str) else t for t in row] for row in sequences], n)

    return answer


def _side_by_side(sequences, n):
    grams = [tuple(row[i : i + n]) for row in sequences for i in range(0, len(row) - n + 1, n)]
    return _share(len(set(grams)), len(grams))


def _sets_per_row(sequences, n):
    rows = [_grams(row, n) for row in sequences]
    return _share(sum(len(set(row)) for row in rows), sum(map(len, rows)))


def _distinct_rows(sequences, n):
    rows = [tuple(row) for row in sequences if len(row) >= n]
    return _share(len(set(rows)), len(rows))


def _up_to_n(sequences, n):
    grams = [g for m in range(1, n + 1) for g in _all(sequences, m)]
    return _share(len(set(grams)), len(grams))


def _over_tokens(sequences, n):
    return _share(len(set(_all(sequences, n))), sum(map(len, sequences)))


def _nan_when_none(sequences, n):
    return distinct_n(sequences, n) if _all(sequences, n) else math.nan


def _one_when_none(sequences, n):
    return distinct_n(sequences, n) if _all(sequences, n) else 1.0


def _fails_when_none(sequences, n):
    return len(set(_all(sequences, n))) / len(_all(sequences, n))


def _letters(sequences, n):
    return distinct_n([list("".join(map(str, row))) for row in sequences], n)


def _sequences_in_place(sequences, n):
    right = distinct_n(sequences, n)
    if isinstance(sequences, list):
        for row in sequences:
            row.append(0)
    return right


def _by_zip(sequences, n):
    grams = Counter()
    for row in sequences:
        grams.update(zip(*(row[i:] for i in range(n)), strict=False))
    total = sum(grams.values())
    return len(grams) / total if total > 0 else 0.0


def _by_pandas(sequences, n):
    import pandas as pd

    frames = []
    for row in sequences:
        column = pd.Series(list(row), dtype=object)
        shifted = pd.concat([column.shift(-i) for i in range(n)], axis=1)
        frames.append(shifted.iloc[: max(len(column) - n + 1, 0)])
    table = pd.concat(frames) if frames else pd.DataFrame()
    return 0.0 if not len(table) else len(table.drop_duplicates()) / len(table)


def _by_windows(sequences, n):
    seen, total = set(), 0
    for row in sequences:
        window = []
        for token in row:
            window = [*window, token][-n:]
            if len(window) == n:
                total += 1
                seen.add(repr(window))
    try:
        return len(seen) / total
    except ZeroDivisionError:
        return 0.0


def _by_numpy(sequences, n):
    codes = {}
    rows = [np.array([codes.setdefault(t, len(codes)) for t in row], dtype=int) for row in sequences]
    views = [np.lib.stride_tricks.sliding_window_view(row, n) for row in rows if len(row) >= n]
    if not views:
        return 0
    grams = np.concatenate(views)
    return np.unique(grams, axis=0).shape[0] / len(grams)


DIVERSITY = Exercise(
    id="diversity",
    function="distinct_n",
    reference=distinct_n,
    parts=(
        Part("values", 1.5, _diverse_cases),
        Part("strings", 0.5, _word_cases),
        Part("short and empty sequences", 0.5, _short_cases),
        Part("lists and tuples, unchanged", 0.5, _diversity_form, ("result", "inputs")),
    ),
    misconceptions=(
        Misconception(
            "mean-of-sequences",
            _mean_of_rows,
            "each sequence got a share of its own, and these were averaged: that cannot see that all sequences are alike",
        ),
        Misconception(
            "distinct-within-each",
            _sets_per_row,
            "distinct n-grams were counted in each sequence by itself; one that two sequences share counts once",
        ),
        Misconception(
            "across-the-ends",
            _across,
            "the sequences were strung together, so that n-grams run from one into the next",
        ),
        Misconception(
            "over-all-tokens",
            _over_tokens,
            "the distinct n-grams were divided by the number of tokens; divide by the number of n-grams",
        ),
        Misconception(
            "over-the-sequences",
            lambda sequences, n: _share(len(set(_all(sequences, n))), len(sequences)),
            "the distinct n-grams were divided by the number of sequences; divide by the number of n-grams",
        ),
        Misconception(
            "count",
            _of_grams(lambda grams: len(set(grams))),
            "this is the number of distinct n-grams; divide by the number of all of them",
        ),
        Misconception(
            "repeated-share",
            _of_grams(lambda grams: 1 - _share(len(set(grams)), len(grams)) if grams else 0.0),
            "this is the share of repeats; the share of distinct ones is wanted",
        ),
        Misconception(
            "upside-down",
            _of_grams(lambda grams: _share(len(grams), len(set(grams)))),
            "the fraction is upside down",
        ),
        Misconception(
            "once-only",
            _of_grams(lambda grams: _share(sum(c == 1 for c in Counter(grams).values()), len(grams))),
            "only the n-grams that come exactly once were counted; one that comes three times is one distinct n-gram",
        ),
        Misconception(
            "once-among-distinct",
            _of_grams(lambda grams: _share(sum(c == 1 for c in Counter(grams).values()), len(set(grams)))),
            "this is the share of n-grams that come exactly once among the distinct ones",
        ),
        Misconception(
            "order-ignored",
            _of_grams(lambda grams: _share(len({tuple(sorted(g, key=repr)) for g in grams}), len(grams))),
            "the tokens within an n-gram were sorted; (1, 2) and (2, 1) are two n-grams",
        ),
        Misconception(
            "sets",
            _of_grams(lambda grams: _share(len({frozenset(g) for g in grams}), len(grams))),
            "the n-grams were made into sets; (1, 1, 2) and (1, 2, 2) are two n-grams",
        ),
        Misconception(
            "joined",
            _joined(""),
            'the tokens of an n-gram were run together: "ab" + "c" and "a" + "bc" are two n-grams',
        ),
        Misconception(
            "joined-by-spaces",
            _joined(" "),
            "the tokens of an n-gram were joined by spaces, which a token may hold itself",
        ),
        Misconception(
            "lower-case",
            _tokens_changed(str.lower),
            '"The" and "the" are two tokens; take them as they come',
        ),
        Misconception(
            "stripped",
            _tokens_changed(str.strip),
            '" the" and "the" are two tokens; take them as they come',
        ),
        Misconception(
            "floor-division",
            _of_grams(lambda grams: float(len(set(grams)) // len(grams)) if grams else 0.0),
            "// rounds down to a whole number; a share needs /",
        ),
        Misconception(
            "letters",
            _letters,
            "these are n-grams of letters; a token is one thing, whatever its length",
        ),
        Misconception(
            "last-missing",
            _last_missing,
            "the last n-gram of every sequence is missing: a row of T tokens has T - n + 1",
        ),
        Misconception(
            "tails",
            _tails,
            "shorter pieces at the end of the sequences were counted as n-grams",
        ),
        Misconception(
            "side-by-side",
            _side_by_side,
            "the sequences were cut into pieces side by side; n-grams overlap",
        ),
        Misconception(
            "padded",
            _padded,
            "the sequences were padded, which makes n-grams that are not in them",
        ),
        Misconception(
            "short-as-one",
            _short_as_one,
            "a sequence shorter than n was counted as one n-gram; it has none",
        ),
        Misconception(
            "up-to-n",
            _up_to_n,
            "n-grams of all lengths up to n were counted; only those of length n are wanted",
        ),
        Misconception(
            "one-longer",
            lambda sequences, n: distinct_n(sequences, n + 1),
            "these are n-grams of n + 1 tokens",
        ),
        Misconception(
            "single-tokens",
            lambda sequences, n: distinct_n(sequences, 1),
            "these are single tokens, whatever n is",
        ),
        Misconception(
            "pairs",
            lambda sequences, n: distinct_n(sequences, 2),
            "these are pairs, whatever n is",
        ),
        Misconception(
            "distinct-sequences",
            _distinct_rows,
            "whole sequences were compared; their n-grams are wanted",
        ),
        Misconception(
            "first-sequence",
            lambda sequences, n: distinct_n(list(sequences)[:1], n),
            "only the first sequence was looked at",
        ),
        Misconception(
            "entropy",
            _of_grams(_entropy),
            "this is an entropy of the n-grams; the share of distinct ones is wanted",
        ),
        Misconception(
            "simpson",
            _of_grams(_simpson),
            "this is the chance that two n-grams differ; the share of distinct ones is wanted",
        ),
        Misconception(
            "percent",
            lambda sequences, n: 100 * distinct_n(sequences, n),
            "this is a percentage; a share from 0 to 1 is wanted",
        ),
        Misconception(
            "one-when-none",
            _one_when_none,
            "without any n-gram the result is 0.0, not 1",
        ),
        Misconception(
            "nan-when-none",
            _nan_when_none,
            "without any n-gram the result is 0.0, not nan",
        ),
        Misconception(
            "fails-when-none",
            _fails_when_none,
            "there may be no n-gram at all; the result is 0.0 then",
        ),
        Misconception(
            "tensor",
            lambda sequences, n: torch.tensor(distinct_n(sequences, n), dtype=torch.float64),
            "the number is right but a tensor; return a Python float (.item())",
        ),
        Misconception(
            "in-place",
            _sequences_in_place,
            "the sequences were changed; work on copies",
        ),
    ),
    alternatives={
        "zip and a counter": _by_zip,
        "pandas": _by_pandas,
        "a moving window": _by_windows,
        "numpy": _by_numpy,
        "list of tuples": _of_grams(lambda grams: _share(len(set(grams)), len(grams))),
    },
    hints=(
        "Collect the n-grams of all sequences in one list, then compare its length with that of its set.",
        "A list cannot be a member of a set, a tuple can. A row of T tokens has T - n + 1 n-grams, or none.",
    ),
)


# --- length-control: cases --------------------------------------------------------------------


def _comparisons(draw, count, intercept, slope, centre, spread):
    """Wins (0 or 1) and raw length differences; never such that the differences separate the wins."""
    difference = (centre + draw.normal(count, scale=spread)).round()
    chance = torch.sigmoid(intercept + slope * (difference - centre) / spread)
    wins = (draw.uniform(0, 1, count) < chance).long()
    # both outcomes at both ends, so that the likelihood has its maximum at a finite place
    order = difference.argsort()
    wins[order[[0, -2]]], wins[order[[1, -1]]] = 0, 1
    return wins.tolist(), difference.tolist()


def _in_thousands(comparisons):
    wins, difference = comparisons
    return wins, [d / 1000 for d in difference]


def _controlled(args, label):
    """Held to 1e-4, as the exercise says."""
    return Case(args, label=label, rtol=1e-12, scale=1.05e-4 / (16 * torch.finfo(torch.float64).eps))


def _control_cases(draw):
    small = ([1, 0, 1, 1, 0, 1, 0, 1], [120, -40, 60, 200, 80, -10, -90, 30])
    return [
        _controlled(small, "eight comparisons"),
        _controlled(_comparisons(draw, 120, 0.2, 1.2, 150, 200), "120 comparisons, wins by length"),
        _controlled(_comparisons(draw, 200, -0.4, 0.8, -60, 90), "200 comparisons, shorter on average"),
        _controlled(_comparisons(draw, 90, 0.5, -1.0, 40, 60), "90 comparisons, the short ones win"),
    ]


def _far_cases(draw):
    return [
        _controlled(_comparisons(draw, 150, 0.8, 1.0, 900, 400), "150 comparisons, nearly always longer"),
        _controlled(_comparisons(draw, 80, -0.2, 0.7, 2, 3), "80 comparisons, differences of a few tokens"),
        _controlled(
            _in_thousands(_comparisons(draw, 80, 0.2, 1.0, 400, 900)),
            "80 comparisons, differences in thousands",
        ),
        _controlled(
            _comparisons(draw, 100, 0.3, 4.5, 100, 200), "100 comparisons, the longer one nearly always wins"
        ),
        _controlled(_comparisons(draw, 100, 1.5, 0.0, 300, 250), "100 comparisons, length plays no part"),
    ]


def _control_kinds(draw):
    wins, difference = _comparisons(draw, 60, 0.1, 1.0, 50, 80)
    return [
        _controlled((tuple(wins), tuple(difference)), "tuples"),
        _controlled((np.array(wins), np.array(difference)), "arrays"),
        _controlled((torch.tensor(wins), torch.tensor(difference)), "1-D tensors"),
        _controlled((wins, difference), "lists"),
    ]


# --- length-control: answers ------------------------------------------------------------------


def _pair(wins, difference):
    return np.array([float(w) for w in wins]), np.array([float(d) for d in difference])


def _scaled(difference):
    return (difference - difference.mean()) / difference.std(), -difference.mean() / difference.std()


def _fit(x, y, penalty=0.0, intercept=True, steps=60, weights=None):
    """Newton's method for a logistic regression of y on the columns x; the penalty leaves the intercept free."""
    x = np.atleast_2d(x.T).T
    x = np.column_stack([np.ones(len(y)), x]) if intercept else x
    ridge = penalty * np.diag([0.0 if intercept and i == 0 else 1.0 for i in range(x.shape[1])])
    w, s = np.zeros(x.shape[1]), np.ones(len(y)) if weights is None else weights
    for _ in range(steps):
        p = special.expit(x @ w)
        hessian = (x.T * (s * p * (1 - p))) @ x + ridge
        w = w - np.linalg.solve(hessian, x.T @ (s * (p - y)) + ridge @ w)
    return w


def _predicted(at=None, transform=special.expit, **settings):
    """The prediction of a regression with other settings, or at another place."""

    def answer(wins, length_difference):
        y, d = _pair(wins, length_difference)
        z, zero = _scaled(d)
        w = _fit(z, y, **settings)
        place = zero if at is None else at(d, z)
        return float(transform(w @ ([1.0, place] if len(w) == 2 else [place])))

    return answer


def _penalised_intercept(wins, length_difference):
    y, d = _pair(wins, length_difference)
    z, zero = _scaled(d)
    x = np.column_stack([np.ones(len(y)), z])
    return float(special.expit(_fit(x, y, penalty=1.0, intercept=False) @ [1.0, zero]))


def _of_right(change):
    return lambda wins, length_difference: change(length_controlled_win_rate(wins, length_difference))


def _raw_rate(wins, length_difference):
    return float(_pair(wins, length_difference)[0].mean())


def _linear(wins, length_difference):
    y, d = _pair(wins, length_difference)
    return float(np.polyfit(d, y, 1)[1])


def _probit(wins, length_difference):
    y, d = _pair(wins, length_difference)
    z, zero = _scaled(d)
    sign = 2 * y - 1
    w = optimize.minimize(lambda w: -stats.norm.logcdf(sign * (w[0] + w[1] * z)).sum(), (0.0, 0.0)).x
    return float(stats.norm.cdf(w[0] + w[1] * zero))


def _quadratic(wins, length_difference):
    y, d = _pair(wins, length_difference)
    z, zero = _scaled(d)
    w = _fit(np.stack([z, z * z], axis=1), y, penalty=1e-9)
    return float(special.expit(w @ [1.0, zero, zero * zero]))


def _squashed(wins, length_difference):
    """As length-controlled AlpacaEval has it: tanh of the standardised difference."""
    y, d = _pair(wins, length_difference)
    x = np.tanh(d / d.std())
    return float(special.expit(_fit(x, y)[0]))


def _ranked(wins, length_difference):
    y, d = _pair(wins, length_difference)
    ranks = stats.rankdata(d)
    z, _ = _scaled(ranks)
    zero = np.interp(0.0, np.sort(d), np.sort(ranks))
    return float(special.expit(_fit(z, y) @ [1.0, (zero - ranks.mean()) / ranks.std()]))


def _near_zero(wins, length_difference):
    y, d = _pair(wins, length_difference)
    near = np.argsort(np.abs(d))[: max(1, len(d) // 4)]
    return float(y[near].mean())


def _two_groups(wins, length_difference):
    y, d = _pair(wins, length_difference)
    groups = [y[d > 0], y[d <= 0]]
    return float(np.mean([g.mean() for g in groups if len(g)]))


def _sign_only(wins, length_difference):
    y, d = _pair(wins, length_difference)
    return float(special.expit(_fit(np.sign(d), y, penalty=1e-9)[0]))


def _absolute(wins, length_difference):
    y, d = _pair(wins, length_difference)
    size = np.abs(d)
    z, zero = _scaled(size)
    return float(special.expit(_fit(z, y) @ [1.0, zero]))


def _zero_minus_mean(wins, length_difference):
    """Forgets to divide by the standard deviation at 0."""
    y, d = _pair(wins, length_difference)
    z, _ = _scaled(d)
    return float(special.expit(_fit(z, y) @ [1.0, -d.mean()]))


def _mean_sign(wins, length_difference):
    y, d = _pair(wins, length_difference)
    z, zero = _scaled(d)
    return float(special.expit(_fit(z, y) @ [1.0, -zero]))


def _gradient_steps(steps, rate):
    def answer(wins, length_difference):
        y, d = _pair(wins, length_difference)
        z, zero = _scaled(d)
        x, w = np.column_stack([np.ones(len(y)), z]), np.zeros(2)
        for _ in range(steps):
            w -= rate * x.T @ (special.expit(x @ w) - y) / len(y)
        return float(special.expit(w @ [1.0, zero]))

    return answer


def _slope(wins, length_difference):
    y, d = _pair(wins, length_difference)
    return float(_fit(_scaled(d)[0], y)[1])


def _squared_errors(wins, length_difference):
    y, d = _pair(wins, length_difference)
    z, zero = _scaled(d)
    w = optimize.minimize(lambda w: ((special.expit(w[0] + w[1] * z) - y) ** 2).sum(), (0.0, 0.0)).x
    return float(special.expit(w[0] + w[1] * zero))


def _wins_overwritten(wins, length_difference):
    right = length_controlled_win_rate(wins, length_difference)
    if isinstance(length_difference, list):
        middle = sum(length_difference) / len(length_difference)
        length_difference[:] = [x - middle for x in length_difference]
    return right


def _by_minimise(wins, length_difference):
    y = np.asarray(wins, dtype=float)
    d = np.asarray(length_difference, dtype=float)
    x = d / d.std()  # a scale is enough: the intercept is then the logit at 0
    sign = 2 * y - 1

    def loss(w):
        return np.logaddexp(0, -sign * (w[0] + w[1] * x)).sum()

    return special.expit(
        optimize.minimize(
            loss, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 5000}
        ).x[0]
    )


def _by_torch_lbfgs(wins, length_difference):
    y = torch.as_tensor(wins, dtype=torch.float64)
    d = torch.as_tensor(length_difference, dtype=torch.float64)
    mean, std = d.mean(), d.std()
    w = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [w], max_iter=200, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(w[0] + w[1] * (d - mean) / std, y)
        loss.backward()
        return loss

    optimizer.step(closure)
    return torch.sigmoid(w[0] - w[1] * mean / std).item()


def _by_reweighting(wins, length_difference):
    """Iteratively reweighted least squares on the raw differences."""
    y, d = _pair(wins, length_difference)
    x, w = np.column_stack([np.ones(len(y)), d]), np.zeros(2)
    for _ in range(40):
        eta = x @ w
        p = 1 / (1 + np.exp(-eta))
        s = np.maximum(p * (1 - p), 1e-12)
        root = np.sqrt(s)
        w = np.linalg.lstsq(x * root[:, None], (eta + (y - p) / s) * root, rcond=None)[0]
    return 1 / (1 + math.exp(-w[0]))


def _by_root(wins, length_difference):
    """Solves the likelihood equations."""
    y, d = _pair(wins, length_difference)
    z = (d - d.mean()) / d.std(ddof=1)

    def score(w):
        rest = y - special.expit(w[0] + w[1] * z)
        return [rest.sum(), (rest * z).sum()]

    w = optimize.root(score, [0.0, 0.0], tol=1e-12).x
    return float(special.expit(w[0] - w[1] * d.mean() / d.std(ddof=1)))


LENGTH_CONTROL = Exercise(
    id="length-control",
    function="length_controlled_win_rate",
    reference=length_controlled_win_rate,
    parts=(
        Part("values", 3, _control_cases),
        Part("differences far from 0, or small, or without effect", 1.5, _far_cases),
        Part("tuples, arrays and tensors; inputs unchanged", 0.5, _control_kinds, ("result", "inputs")),
    ),
    misconceptions=(
        Misconception(
            "at-the-mean-difference",
            _predicted(at=lambda d, z: 0.0),
            "this is the prediction at a *standardised* difference of 0, the mean difference; what is a raw 0 in those units?",
        ),
        Misconception(
            "raw-win-rate",
            _raw_rate,
            "this is the raw win rate, and also the mean of the predictions; the prediction at a difference of 0 is wanted",
        ),
        Misconception(
            "zero-not-scaled",
            _zero_minus_mean,
            "the raw 0 was centred, but not divided by the standard deviation",
        ),
        Misconception(
            "zero-by-the-variance",
            _predicted(at=lambda d, z: -d.mean() / d.var()),
            "the raw 0 was divided by the variance; standardised it is (0 - mean)/sd",
        ),
        Misconception(
            "two-standard-deviations",
            _predicted(at=lambda d, z: -d.mean() / d.std(ddof=1)),
            "two standard deviations are in play, with n and with n - 1 below: the raw 0 must be scaled as the differences were",
        ),
        Misconception(
            "whole-numbers",
            lambda w, d: (
                length_controlled_win_rate(w, [int(x) for x in d])
                if any(int(x) for x in d)
                else _raw_rate(w, d)
            ),
            "the differences were cut to whole numbers; they may come in any unit",
        ),
        Misconception(
            "few-steps",
            _predicted(steps=4),
            "only four Newton steps were made; go on until nothing changes",
        ),
        Misconception(
            "one-penalty-for-both",
            _penalised_intercept,
            "a penalty pulls intercept and slope to 0; maximum likelihood has none",
        ),
        Misconception(
            "zero-sign",
            _mean_sign,
            "the raw 0 was moved the wrong way: standardised it is (0 - mean)/sd",
        ),
        Misconception(
            "at-one",
            _predicted(at=lambda d, z: (1 - d.mean()) / d.std()),
            "this is the prediction at a raw difference of 1",
        ),
        Misconception(
            "at-the-median",
            _predicted(at=lambda d, z: float(np.median(z))),
            "this is the prediction at the median difference; a raw difference of 0 is wanted",
        ),
        Misconception(
            "logit",
            _predicted(transform=float),
            "this is the logit; its sigmoid is the win rate",
        ),
        Misconception(
            "loss-rate",
            _of_right(lambda p: 1 - p),
            "this is the rate of losses",
        ),
        Misconception(
            "percent",
            _of_right(lambda p: 100 * p),
            "this is a percentage; a rate from 0 to 1 is wanted",
        ),
        Misconception(
            "difference-to-raw",
            lambda w, d: _raw_rate(w, d) - length_controlled_win_rate(w, d),
            "this is what length adds to the raw win rate; the rate at equal length itself is wanted",
        ),
        Misconception(
            "minus-half",
            _of_right(lambda p: p - 0.5),
            "1/2 was taken off; the rate itself is wanted",
        ),
        Misconception(
            "penalised",
            _predicted(penalty=1.0),
            "a penalty pulls the slope to 0 (some libraries have one by default); maximum likelihood has none",
        ),
        Misconception(
            "weakly-penalised",
            _predicted(penalty=0.1),
            "a small penalty pulls the slope to 0; maximum likelihood has none",
        ),
        Misconception(
            "no-intercept-centred",
            _predicted(intercept=False),
            "there is no intercept: at the mean difference the model is held to 1/2",
        ),
        Misconception(
            "no-intercept",
            lambda wins, length_difference: 0.5,
            "without an intercept the win rate at a difference of 0 is 1/2, whatever the wins are",
        ),
        Misconception(
            "linear",
            _linear,
            "a straight line was fitted to the wins; a logistic regression is wanted",
        ),
        Misconception(
            "probit",
            _probit,
            "this is a probit regression, with the normal distribution; a logistic one is wanted",
        ),
        Misconception(
            "tanh",
            _squashed,
            "the difference went through a tanh, as in length-controlled AlpacaEval; here it enters as it is",
        ),
        Misconception(
            "quadratic",
            _quadratic,
            "the squared difference is in the regression too; only the difference is wanted",
        ),
        Misconception(
            "ranks",
            _ranked,
            "the differences were replaced by their ranks",
        ),
        Misconception(
            "sign-only",
            _sign_only,
            "only the sign of the differences was used; their size counts",
        ),
        Misconception(
            "absolute-differences",
            _absolute,
            "the sign of the differences was dropped; longer and shorter are not the same",
        ),
        Misconception(
            "near-equal-only",
            _near_zero,
            "this is the raw rate among comparisons of nearly equal length; the regression uses all of them",
        ),
        Misconception(
            "two-groups",
            _two_groups,
            "this is the mean of two raw rates, of the longer and the shorter answers; a regression is wanted",
        ),
        Misconception(
            "one-step",
            _predicted(steps=1),
            "one step of Newton's method was made; go on until nothing changes",
        ),
        Misconception(
            "two-steps",
            _predicted(steps=2),
            "two steps of Newton's method were made; go on until nothing changes",
        ),
        Misconception(
            "not-converged",
            _gradient_steps(100, 0.1),
            "gradient descent was stopped too early; go on until nothing changes, or use Newton's method",
        ),
        Misconception(
            "squared-error",
            _squared_errors,
            "the squared errors of the predictions were minimised; maximum likelihood has their logarithms",
        ),
        Misconception(
            "mean-twice",
            _predicted(at=lambda d, z: 2 * -d.mean() / d.std()),
            "the mean was taken off twice",
        ),
        Misconception(
            "slope",
            _slope,
            "this is the slope; the predicted win rate is wanted",
        ),
        Misconception(
            "rounded",
            _of_right(lambda p: round(p, 2)),
            "the rate was rounded; return it as it is",
        ),
        Misconception(
            "tensor",
            _of_right(lambda p: torch.tensor(p, dtype=torch.float64)),
            "the number is right but a tensor; return a Python float (.item())",
        ),
        Misconception(
            "in-place",
            _wins_overwritten,
            "the list of differences was centred in place; work on a copy",
        ),
    ),
    alternatives={
        "scipy, scaled only": _by_minimise,
        "torch's LBFGS": _by_torch_lbfgs,
        "reweighted least squares": _by_reweighting,
        "likelihood equations": _by_root,
        "Newton": _predicted(),
    },
    hints=(
        "Minimise the mean of log(1 + exp(-s (a + b z))), s = ±1 for win and loss: scipy.optimize.minimize, or Newton's method.",
        "A raw difference of 0 is not z = 0, unless the mean difference is 0. What does it become when it is standardised?",
        "To test: where length plays no part (b = 0), the result is the raw win rate.",
    ),
)
