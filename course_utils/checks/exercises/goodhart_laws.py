"""05-goodhart: the laws of over-optimisation, their peak, and when to stop."""

import contextlib
import itertools
import math
import operator
from numbers import Integral

import numpy as np
import torch
from scipy import optimize
from scipy.special import xlogy

from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.observe import observe_call
from course_utils.goodhart import early_stop, fit_overoptimisation, predicted_peak
from course_utils.words import type_of

# --- fit-overoptimisation: cases --------------------------------------------------------------


def _observe_fit(function, case):
    """(alpha, beta) in any container, and apart from that what they came in."""
    seen = observe_call(function, case)
    if "error" in seen:
        return seen
    result = seen["result"]
    form = "two numbers" if isinstance(result, list) else type_of(result)
    with contextlib.suppress(TypeError, ValueError, RuntimeError, OverflowError):
        values = np.asarray(result, dtype=np.float64)
        if values.shape == (2,):
            if isinstance(result, list) and not all(isinstance(v, float) for v in result):
                form = "two numbers, not both Python floats"
            names = {"alpha": float(values[0]), "beta": float(values[1])}
            return {"result": names, "form": form, "inputs": seen["inputs"]}
    kind = f"{len(result)} things" if isinstance(result, list) else form
    words = Missing(f"{kind} where (alpha, beta) is wanted")
    return {"result": words, "form": words, "inputs": seen["inputs"]}


def _curve(kl, alpha, beta, kind):
    d = np.sqrt(np.asarray(kl, dtype=float))
    return d * alpha - beta * (d**2 if kind == "bon" else xlogy(d, d))


def _noisy(draw, kind, size, alpha, beta, noise=0.3, start=None, top=30.0):
    """Points in no particular order, from below d = 1 to far beyond, with so much noise that every loss fits them
    differently."""
    kl = [draw.uniform(0.05, 0.8), *(math.exp(draw.uniform(-1.0, math.log(top))) for _ in range(size - 1))]
    gold = _curve(kl, alpha, beta, kind) + draw.normal(size, scale=noise).numpy()
    points = list(zip(kl, gold.tolist(), strict=True))
    points = [points[i] for i in draw.permutation(size)]
    if start is not None:
        points.insert(start, (0.0, 0.0))
    return [k for k, _ in points], [g for _, g in points], kind


def _fit(args, label):
    """Held to 1e-4, for a minimiser's result is right too."""
    return Case(args, label=label, rtol=1e-4, scale=1e10)


def _bon_cases(draw):
    return [
        _fit(([1.0, 4.0, 9.0], [1.0, 1.5, 1.0], "bon"), "best-of-n, three points"),
        _fit(_noisy(draw, "bon", 9, 1.0, 0.3), "best-of-n, nine noisy points"),
        _fit(_noisy(draw, "bon", 6, 0.4, -0.1), "best-of-n, gold that rises ever faster"),
        _fit(_noisy(draw, "bon", 12, 1.3, 0.5, top=8.0), "best-of-n, twelve noisy points"),
    ]


def _rl_cases(draw):
    return [
        _fit(([1.0, 4.0, 16.0], [1.0, 1.2, 0.5], "rl"), "RL, three points"),
        _fit(_noisy(draw, "rl", 9, 0.6, 0.4), "RL, nine noisy points"),
        _fit(_noisy(draw, "rl", 7, -0.3, 0.2), "RL, gold that falls from the start"),
        _fit(_noisy(draw, "rl", 14, 0.2, 0.5, noise=0.5), "RL, fourteen noisy points"),
    ]


def _zero_cases(draw):
    return [
        _fit(_noisy(draw, "bon", 8, 1.0, 0.3, start=0), "best-of-n, the first point at KL = 0"),
        _fit(_noisy(draw, "rl", 8, 0.6, 0.4, start=0), "RL, the first point at KL = 0"),
        _fit(_noisy(draw, "rl", 7, 0.5, 0.3, start=4), "RL, a later point at KL = 0"),
    ]


def _fit_kinds(draw):
    kl, gold, _ = _noisy(draw, "bon", 7, 1.0, 0.3)
    return [
        _fit((tuple(kl), tuple(gold), "bon"), "tuples"),
        _fit((np.array(kl), np.array(gold), "rl"), "arrays"),
        _fit((torch.tensor(kl).double(), torch.tensor(gold).double(), "bon"), "1-D tensors"),
        _fit((kl, gold, "rl"), "lists"),
    ]


# --- fit-overoptimisation: answers ------------------------------------------------------------


def _arrays(kl, gold):
    return np.array(_list(kl)), np.array(_list(gold))


def _list(values):
    return [float(v) for v in values]


def _columns(d, kind):
    return np.stack([d, -d * d if kind == "bon" else -xlogy(d, d)], axis=1)


def _solve(a, b):
    return tuple(map(float, np.linalg.lstsq(a, b, rcond=None)[0]))


def _in_d(distance=np.sqrt, columns=_columns, target=lambda gold, d: gold, keep=lambda d: d > -1):
    """Least squares with another distance, other columns, another target, or fewer points."""

    def answer(kl, gold, kind):
        kl, gold = _arrays(kl, gold)
        d = distance(kl)
        kept = keep(d)
        return _solve(columns(d, kind)[kept], target(gold, d)[kept])

    return answer


def _with_intercept(kl, gold, kind):
    kl, gold = _arrays(kl, gold)
    a = np.column_stack([_columns(np.sqrt(kl), kind), np.ones_like(kl)])
    return _solve(a, gold)[:2]


def _ratio(kl, gold, kind):
    """A line fitted to gold / d."""
    kl, gold = _arrays(kl, gold)
    d = np.sqrt(kl)
    if not d.all():
        return math.nan, math.nan
    slope, start = np.polyfit(d if kind == "bon" else np.log(d), gold / d, 1)
    return float(start), float(-slope)


def _changed(change):
    """The right fit, changed: change(alpha, beta, kind)."""
    return lambda kl, gold, kind: change(*fit_overoptimisation(kl, gold, kind), kind)


def _weighted(weight):
    def answer(kl, gold, kind):
        kl, gold = _arrays(kl, gold)
        d = np.sqrt(kl)
        w = np.sqrt(weight(d, gold))[:, None]
        return _solve(w * _columns(d, kind), w[:, 0] * gold)

    return answer


def _absolute_errors(kl, gold, kind):
    kl, gold = _arrays(kl, gold)
    x = _columns(np.sqrt(kl), kind)
    # the best fit in absolute errors passes through two of the points
    found = []
    for i, j in itertools.combinations(range(len(kl)), 2):
        with contextlib.suppress(np.linalg.LinAlgError):
            w = np.linalg.solve(x[[i, j]], gold[[i, j]])
            found.append((np.abs(x @ w - gold).sum(), tuple(map(float, w))))
    return min(found)[1]


def _ridge(kl, gold, kind):
    kl, gold = _arrays(kl, gold)
    x = _columns(np.sqrt(kl), kind)
    return tuple(map(float, np.linalg.solve(x.T @ x + np.eye(2), x.T @ gold)))


def _one_at_a_time(kl, gold, kind):
    kl, gold = _arrays(kl, gold)
    x = _columns(np.sqrt(kl), kind)
    return tuple(float(c @ gold / (c @ c)) for c in x.T)


def _two_points(kl, gold, kind):
    kl, gold = _arrays(kl, gold)
    ends = [int(np.argsort(kl)[-1]), int(np.argsort(kl)[len(kl) // 2])]
    return tuple(map(float, np.linalg.solve(_columns(np.sqrt(kl), kind)[ends], gold[ends])))


def _not_negative(kl, gold, kind):
    kl, gold = _arrays(kl, gold)
    return tuple(map(float, optimize.nnls(_columns(np.sqrt(kl), kind), gold)[0]))


def _log_plus_1(d, kind):
    return np.stack([d, -d * d if kind == "bon" else -d * np.log1p(d)], axis=1)


def _log_of_zero(d, kind):
    with np.errstate(all="ignore"):
        return np.stack([d, -d * d if kind == "bon" else -d * np.log(d)], axis=1)


def _nan_at_zero(kl, gold, kind):
    kl, gold = _arrays(kl, gold)
    x = _log_of_zero(np.sqrt(kl), kind)
    return tuple(map(float, np.linalg.inv(x.T @ x) @ x.T @ gold))


def _start_taken_off(kl, gold, kind):
    gold = np.array(_list(gold))
    return fit_overoptimisation(kl, gold - gold[0], kind)


def _dropping_first(kl, gold, kind):
    return fit_overoptimisation(_list(kl)[1:], _list(gold)[1:], kind)


def _kl_in_place(kl, gold, kind):
    right = fit_overoptimisation(kl, gold, kind)
    if isinstance(kl, (list, np.ndarray, torch.Tensor)):
        for i, value in enumerate(kl):
            kl[i] = value**0.5
    return right


def _by_curve_fit(kl, gold, kind):
    d = np.sqrt(np.asarray(kl, dtype=float))

    def law(d, alpha, beta):
        if kind == "bon":
            return d * (alpha - beta * d)
        return d * (alpha - beta * np.log(np.where(d > 0, d, 1.0)))

    (alpha, beta), _ = optimize.curve_fit(law, d, np.asarray(gold, dtype=float))
    return alpha, beta


def _by_normal_equations(kl, gold, kind):
    sums = [0.0] * 5
    for k, g in zip(kl, gold, strict=True):
        x = math.sqrt(k)
        y = x * x if kind == "bon" else (x * math.log(x) if x > 0 else 0.0)
        for i, term in enumerate((x * x, x * y, y * y, x * float(g), y * float(g))):
            sums[i] += term
    xx, xy, yy, xg, yg = sums
    det = xx * yy - xy * xy
    return [(xg * yy - yg * xy) / det, (xg * xy - yg * xx) / det]


def _by_torch(kl, gold, kind):
    kl, gold = torch.as_tensor(kl).double(), torch.as_tensor(gold).double()
    kl, gold = kl[kl > 0], gold[kl > 0]
    law = {"bon": -kl, "rl": -kl.sqrt() * kl.log() / 2}[kind]
    solution = torch.linalg.lstsq(torch.stack([kl.sqrt(), law], 1), gold[:, None]).solution
    return tuple(solution[:, 0].tolist())


def _by_minimiser(kl, gold, kind):
    kl, gold = _arrays(kl, gold)
    x = _columns(np.sqrt(kl), kind)
    found = optimize.minimize(lambda w: ((x @ w - gold) ** 2).sum(), (0.5, 0.1), method="BFGS", tol=1e-9)
    return float(found.x[0]), float(found.x[1])


def _by_pandas(kl, gold, kind):
    import pandas as pd

    frame = pd.DataFrame({"kl": np.asarray(kl), "gold": np.asarray(gold)}).sort_values("kl")
    frame["d"] = frame.kl**0.5
    frame["fall"] = frame.kl if kind == "bon" else (frame.d * np.log(frame.d)).fillna(0.0)
    x = frame[["d", "fall"]]
    alpha, minus_beta = np.linalg.pinv(x.to_numpy()) @ frame.gold.to_numpy()
    return float(alpha), -float(minus_beta)


FIT_OVEROPTIMISATION = Exercise(
    id="fit-overoptimisation",
    function="fit_overoptimisation",
    reference=fit_overoptimisation,
    observe=_observe_fit,
    parts=(
        Part("the law of best-of-n", 2, _bon_cases),
        Part("the law of RL", 2, _rl_cases, independent=True),
        Part("a point at KL = 0", 1, _zero_cases),
        Part("tuples, arrays and tensors; inputs unchanged", 0.5, _fit_kinds, ("result", "inputs")),
        Part("two Python floats", 0.5, lambda draw: _bon_cases(draw)[:1] + _rl_cases(draw)[:1], ("form",)),
    ),
    misconceptions=(
        Misconception(
            "intercept",
            _with_intercept,
            "an intercept was fitted too; gold is measured from the initial policy, and the law is 0 at d = 0",
        ),
        Misconception(
            "nan-at-zero",
            _nan_at_zero,
            "0 · log 0 is nan in floats; its limit is 0, and a point at KL = 0 may be among the others",
        ),
        Misconception(
            "fit-of-gold-over-d",
            _ratio,
            "a line was fitted to gold/d: that gives points near d = 0 far more weight. The squares are of errors in gold",
        ),
        Misconception(
            "d-is-kl",
            _in_d(distance=lambda kl: kl),
            "d is the square root of the KL, not the KL",
        ),
        Misconception(
            "d-is-kl-squared",
            _in_d(distance=np.square),
            "d is the square root of the KL, not its square",
        ),
        Misconception(
            "log-of-kl",
            _in_d(
                columns=lambda d, kind: np.stack([d, -d * d if kind == "bon" else -2 * xlogy(d, d)], axis=1)
            ),
            "in the law of RL stands log d, and log KL is twice that: beta comes out halved",
        ),
        Misconception(
            "best-of-n-for-both",
            lambda kl, gold, kind: fit_overoptimisation(kl, gold, "bon"),
            "both kinds were fitted with the law of best-of-n; the one of RL has a logarithm",
        ),
        Misconception(
            "rl-for-both",
            lambda kl, gold, kind: fit_overoptimisation(kl, gold, "rl"),
            "both kinds were fitted with the law of RL; the one of best-of-n has no logarithm",
        ),
        Misconception(
            "kinds-exchanged",
            lambda kl, gold, kind: fit_overoptimisation(kl, gold, {"bon": "rl", "rl": "bon"}[kind]),
            'the two laws are exchanged: "bon" has d², "rl" has d log d',
        ),
        Misconception(
            "sign-of-beta",
            _changed(lambda alpha, beta, kind: (alpha, -beta)),
            "beta has the wrong sign: the law subtracts it",
        ),
        Misconception(
            "exchanged",
            _changed(lambda alpha, beta, kind: (beta, alpha)),
            "alpha and beta are exchanged: alpha comes first",
        ),
        Misconception(
            "exchanged-and-sign",
            _changed(lambda alpha, beta, kind: (-beta, alpha)),
            "the highest power came first, as numpy's polyfit has it: alpha is the coefficient of d",
        ),
        Misconception(
            "half-beta",
            _changed(lambda alpha, beta, kind: (alpha, beta / 2)),
            "beta is half of what it should be",
        ),
        Misconception(
            "log-2",
            _changed(lambda alpha, beta, kind: (alpha, beta * (math.log(2) if kind == "rl" else 1))),
            "the logarithm is to base 2; the law has the natural one",
        ),
        Misconception(
            "log-10",
            _changed(lambda alpha, beta, kind: (alpha, beta * (math.log(10) if kind == "rl" else 1))),
            "the logarithm is to base 10; the law has the natural one",
        ),
        Misconception(
            "log-of-1-plus-d",
            _in_d(columns=_log_plus_1),
            "this is log(1 + d); the law has log d, and d log d is 0 at d = 0 by its limit",
        ),
        Misconception(
            "log-below-1-cut-off",
            _in_d(
                columns=lambda d, kind: np.stack(
                    [d, -d * d if kind == "bon" else -d * np.log(np.maximum(d, 1.0))], axis=1
                )
            ),
            "the logarithm was kept from going below 0; for d < 1 it is negative, and the law holds there too",
        ),
        Misconception(
            "logarithm-without-d",
            _in_d(
                columns=lambda d, kind: np.stack(
                    [d, -d if kind == "bon" else -np.log(np.maximum(d, 1e-9))], axis=1
                )
            ),
            "the second term has lost its factor d: the whole bracket is multiplied by d",
        ),
        Misconception(
            "bracket-without-d",
            _in_d(
                columns=lambda d, kind: np.stack(
                    [np.ones_like(d), -d if kind == "bon" else -np.log(np.maximum(d, 1e-9))], axis=1
                )
            ),
            "the bracket was fitted to gold without the factor d in front of it",
        ),
        Misconception(
            "first-point-taken-off",
            _start_taken_off,
            "the first gold score was taken off all of them; they are measured from the initial policy already, and "
            "the first point may lie anywhere",
        ),
        Misconception(
            "first-point-dropped",
            _dropping_first,
            "the first point was left out; all of them count",
        ),
        Misconception(
            "rise-only",
            _in_d(keep=lambda d: d <= np.sort(d)[(len(d) + 1) // 2]),
            "only the lower half of the points was used; all of them count",
        ),
        Misconception(
            "below-1-dropped",
            _in_d(keep=lambda d: (d >= 1) | (len(d) < 4)),
            "points with d < 1 were left out, where log d is negative; all of them count",
        ),
        Misconception(
            "weighted-by-1-over-d",
            _weighted(lambda d, gold: 1 / np.maximum(d, 1e-9)),
            "the errors were weighted by 1/d; each point counts the same",
        ),
        Misconception(
            "relative-errors",
            _weighted(lambda d, gold: 1 / np.maximum(gold * gold, 1e-12)),
            "the errors were taken relative to gold; each point counts the same",
        ),
        Misconception(
            "absolute-errors",
            _absolute_errors,
            "the sum of absolute errors was minimised; least *squares* are wanted",
        ),
        Misconception(
            "ridge",
            _ridge,
            "a penalty on the coefficients pulls them to 0; plain least squares has none",
        ),
        Misconception(
            "one-at-a-time",
            _one_at_a_time,
            "alpha and beta were fitted each alone; they must be fitted together",
        ),
        Misconception(
            "two-points",
            _two_points,
            "the law was drawn through two points; least squares takes all of them",
        ),
        Misconception(
            "not-negative",
            _not_negative,
            "the coefficients were kept above 0; plain least squares lets them have any sign",
        ),
        Misconception(
            "peak",
            _changed(lambda alpha, beta, kind: (alpha / (2 * beta), alpha**2 / (4 * beta))),
            "this is the peak of the law; its coefficients are wanted",
        ),
        Misconception(
            "dict",
            _changed(lambda alpha, beta, kind: {"alpha": alpha, "beta": beta}),
            "a dict came back; a pair (alpha, beta) is wanted",
        ),
        Misconception(
            "array",
            _changed(lambda alpha, beta, kind: np.array([alpha, beta])),
            "an array came back; two Python floats are wanted",
        ),
        Misconception(
            "tensors",
            _changed(lambda alpha, beta, kind: (torch.tensor(alpha), torch.tensor(beta))),
            "the coefficients are tensors or arrays of one number; two Python floats are wanted (.item())",
        ),
        Misconception(
            "kl-overwritten",
            _kl_in_place,
            "the KLs that were given are no longer the same (their roots, or sorted, in place); work on a copy",
        ),
    ),
    alternatives={
        "curve_fit": _by_curve_fit,
        "normal equations": _by_normal_equations,
        "torch": _by_torch,
        "minimiser": _by_minimiser,
        "pandas and the pseudo-inverse": _by_pandas,
    },
    hints=(
        "Both laws are linear in alpha and beta. Which two columns does gold consist of?",
        "Columns d and -d² for best-of-n, d and -d log d for RL; numpy.linalg.lstsq does the rest. No column of ones.",
        "At d = 0 the second column of RL is 0 by its limit, but a float gives nan: treat that point apart "
        "(scipy.special.xlogy does).",
    ),
)


# --- predicted-peak ---------------------------------------------------------------------------


def _peak_case(alpha, beta, kind):
    """Held to 1e-4, for a minimiser's result is right too."""
    return Case(
        (alpha, beta, kind), label=f"{kind}, alpha {alpha:.3g}, beta {beta:.3g}", rtol=1e-4, scale=1.0
    )


def _bon_peaks(draw):
    drawn = [(draw.uniform(0.4, 1.5), draw.uniform(0.1, 0.6), "bon") for _ in range(3)]
    far = (draw.uniform(2, 3), 0.01, "bon")  # beyond the end of a search that looks from 0 to 10, or to 100
    return [_peak_case(*args) for args in ((1.0, 0.1, "bon"), *drawn, (0.3, 0.7, "bon"), far)]


def _rl_peaks(draw):
    drawn = []
    for low, high in ((0.4, 0.9), (1.2, 2.5), (2.5, 3.6)):
        beta = draw.uniform(0.15, 0.5)
        drawn.append((beta * draw.uniform(low, high), beta, "rl"))
    far = (draw.uniform(1.2, 1.4), 0.2, "rl")
    return [_peak_case(*args) for args in ((1.0, 0.35, "rl"), *drawn, (0.3, 0.3, "rl"), far)]


def _bon_otherwise(bon):
    return lambda alpha, beta, kind: bon(alpha, beta) if kind == "bon" else predicted_peak(alpha, beta, kind)


def _rl_otherwise(rl):
    return lambda alpha, beta, kind: rl(alpha, beta) if kind == "rl" else predicted_peak(alpha, beta, kind)


def _of_peak(change):
    return lambda alpha, beta, kind: change(predicted_peak(alpha, beta, kind), alpha, beta, kind)


def _gold(d, alpha, beta, kind):
    return d * (alpha - beta * d) if kind == "bon" else d * (alpha - beta * math.log(d))


def _on_a_grid(alpha, beta, kind):
    return max((i * 0.05 for i in range(1, 2000)), key=lambda d: _gold(d, alpha, beta, kind))


def _searched_up_to(end):
    def answer(alpha, beta, kind):
        return min(predicted_peak(alpha, beta, kind), end)

    return answer


def _by_search(alpha, beta, kind):
    """Golden section in log d."""
    found = optimize.minimize_scalar(
        lambda x: -_gold(math.exp(x), alpha, beta, kind),
        bounds=(-8, 12),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return math.exp(found.x)


def _by_root(alpha, beta, kind):
    slope = {"bon": lambda d: alpha - 2 * beta * d, "rl": lambda d: alpha - beta * math.log(d) - beta}[kind]
    return optimize.brentq(slope, 1e-9, 1e6)


def _by_sympy(alpha, beta, kind):
    import sympy

    d = sympy.Symbol("d", positive=True)
    a, b = sympy.symbols("a b", positive=True)
    law = d * (a - b * (d if kind == "bon" else sympy.log(d)))
    (peak,) = sympy.solve(sympy.diff(law, d), d)
    return float(peak.subs({a: alpha, b: beta}))


PREDICTED_PEAK = Exercise(
    id="predicted-peak",
    function="predicted_peak",
    reference=predicted_peak,
    parts=(
        Part("the peak of best-of-n", 1.5, _bon_peaks),
        Part("the peak of RL", 1.5, _rl_peaks, independent=True),
    ),
    misconceptions=(
        Misconception(
            "best-of-n-for-both",
            lambda alpha, beta, kind: alpha / (2 * beta),
            "this is the peak of best-of-n's law for both; the derivative of d log d is another",
        ),
        Misconception(
            "rl-for-both",
            lambda alpha, beta, kind: math.exp(alpha / beta - 1),
            "this is the peak of RL's law for both; best-of-n's is a parabola in d",
        ),
        Misconception(
            "kinds-exchanged",
            lambda alpha, beta, kind: predicted_peak(alpha, beta, {"bon": "rl", "rl": "bon"}[kind]),
            "the two kinds are exchanged",
        ),
        Misconception(
            "product-rule",
            _rl_otherwise(lambda a, b: math.exp(a / b)),
            "for RL the derivative of d log d is log d + 1, by the product rule",
        ),
        Misconception(
            "no-2",
            _bon_otherwise(lambda a, b: a / b),
            "for best-of-n this is where gold is back at 0: the derivative of d² is 2d",
        ),
        Misconception(
            "zero",
            lambda alpha, beta, kind: alpha / beta if kind == "bon" else math.exp(alpha / beta),
            "this is where gold is back at 0, beyond the peak; the peak is where its derivative is 0",
        ),
        Misconception(
            "kl",
            _of_peak(lambda d, *_: d * d),
            "this is the KL at the peak; d, its square root, is wanted",
        ),
        Misconception(
            "log-of-kl-halved",
            _rl_otherwise(lambda a, b: math.exp((a / b - 1) / 2)),
            "this is the root of d for RL; the exponent needs no half",
        ),
        Misconception(
            "root",
            _of_peak(lambda d, *_: math.sqrt(d)),
            "a square root was taken of d, which is the root of the KL already",
        ),
        Misconception(
            "bon-height",
            _bon_otherwise(lambda a, b: a * a / (4 * b)),
            "for best-of-n this is the gold score at the peak; the d at which it is reached is wanted",
        ),
        Misconception(
            "height",
            _of_peak(_gold),
            "this is the gold score at the peak; the d at which it is reached is wanted",
        ),
        Misconception(
            "both",
            _of_peak(lambda d, *args: (d, _gold(d, *args))),
            "two numbers came back; only d is wanted",
        ),
        Misconception(
            "logarithm-of-the-peak",
            _rl_otherwise(lambda a, b: a / b - 1),
            "this is log d for RL; d itself is wanted",
        ),
        Misconception(
            "product-rule-lost-d",
            _rl_otherwise(lambda a, b: b / a),
            "for RL only the logarithm was differentiated; d stands in front of it",
        ),
        Misconception(
            "plus-1",
            _rl_otherwise(lambda a, b: math.exp(a / b + 1)),
            "for RL the 1 has the wrong sign: alpha - beta log d - beta = 0",
        ),
        Misconception(
            "one-minus",
            _rl_otherwise(lambda a, b: math.exp(1 - a / b)),
            "for RL the exponent has the wrong sign",
        ),
        Misconception(
            "outside-the-exponential",
            _rl_otherwise(lambda a, b: math.exp(a / b) - 1),
            "for RL the 1 belongs into the exponent",
        ),
        Misconception(
            "bracket",
            _rl_otherwise(lambda a, b: math.exp((a - 1) / b)),
            "for RL the whole of alpha - beta is divided by beta, not alpha - 1",
        ),
        Misconception(
            "beta-not-divided",
            _rl_otherwise(lambda a, b: math.exp(a - b)),
            "for RL alpha - beta must be divided by beta before the exponential",
        ),
        Misconception(
            "upside-down",
            _rl_otherwise(lambda a, b: math.exp(b / a - 1)),
            "for RL the fraction is upside down: a larger beta gives an earlier peak",
        ),
        Misconception(
            "log-of-kl",
            _rl_otherwise(lambda a, b: math.exp(a / (2 * b) - 1)),
            "this takes beta for the coefficient of log KL; the law has log d, half of that",
        ),
        Misconception(
            "base-10",
            _rl_otherwise(lambda a, b: 10 ** (a / b - 1)),
            "the logarithm in the law is the natural one, so that the power is one of e",
        ),
        Misconception(
            "base-2",
            _rl_otherwise(lambda a, b: 2 ** (a / b - 1)),
            "the logarithm in the law is the natural one, so that the power is one of e",
        ),
        Misconception(
            "half-of-beta",
            _bon_otherwise(lambda a, b: a / 2 * b),
            "for best-of-n a/2*b multiplies by beta: brackets are missing",
        ),
        Misconception(
            "twice",
            _bon_otherwise(lambda a, b: 2 * a / b),
            "for best-of-n the 2 belongs below",
        ),
        Misconception(
            "bon-upside-down",
            _bon_otherwise(lambda a, b: b / (2 * a)),
            "for best-of-n the fraction is upside down: a larger beta gives an earlier peak",
        ),
        Misconception(
            "quarter",
            _bon_otherwise(lambda a, b: a / (4 * b)),
            "for best-of-n 4 beta belongs to the height alpha²/(4 beta), not to the place",
        ),
        Misconception(
            "bon-sign",
            _bon_otherwise(lambda a, b: -a / (2 * b)),
            "for best-of-n the sign is turned; d is never negative",
        ),
        Misconception(
            "grid",
            _on_a_grid,
            "this is the best point of a grid; the derivative gives the peak exactly",
        ),
        Misconception(
            "search-up-to-10",
            _searched_up_to(10.0),
            "the peak was looked for up to d = 10 only; it may lie anywhere: put the derivative to 0",
        ),
        Misconception(
            "search-up-to-100",
            _searched_up_to(100.0),
            "the peak was looked for up to d = 100 only; it may lie anywhere: put the derivative to 0",
        ),
        Misconception(
            "tensor",
            lambda alpha, beta, kind: torch.tensor(predicted_peak(alpha, beta, kind), dtype=torch.float64),
            "the number is right but a tensor; return a Python float (.item())",
        ),
    ),
    alternatives={
        "search": _by_search,
        "root of the derivative": _by_root,
        "sympy": _by_sympy,
        "numpy": lambda alpha, beta, kind: {
            "bon": np.divide(alpha, beta) / 2,
            "rl": np.exp(alpha / beta) / np.e,
        }[kind],
    },
    hints=(
        "Differentiate each law in d and put the derivative to 0.",
        "The derivative of d log d is log d + 1.",
    ),
)


# --- early-stop -------------------------------------------------------------------------------


def _observe_stop(function, case):
    """The position as an int where it is one in any form, and what it came in."""
    seen = observe_call(function, case)
    if "error" in seen:
        return seen
    result = seen["result"]
    form = "an int" if isinstance(result, Integral) and not isinstance(result, bool) else type_of(result)
    if isinstance(result, list) or result is None:
        kind = "None (is there a `return`?)" if result is None else f"{len(result)} things"
        words = Missing(f"{kind} where a position is wanted")
        return {"position": words, "form": words, "inputs": seen["inputs"]}
    with contextlib.suppress(TypeError, ValueError, RuntimeError, OverflowError):
        value = result.item() if hasattr(result, "item") else result
        result = operator.index(int(value)) if float(value) == int(value) else float(value)
    return {"position": result, "form": form, "inputs": seen["inputs"]}


def _hump(draw, size, top, noise=0.0):
    """Rises to `top` and falls, with noise on a grid of eighths that leaves no ties at the best."""
    places = torch.arange(size, dtype=torch.float64)
    return ((-(places - top).abs() / 4) + draw.normal(size, scale=noise)).tolist()


def _plain_cases(draw):
    top = draw.integer(3, 5)
    high = draw.integer(4, 6)
    return [
        Case(([0.3, 0.5, 0.8, 0.7, 0.6, 0.5], 2), label="a hump, patience 2"),
        Case(([0.3, 0.8, 0.5, 0.4, 0.9, 1.0], 2), label="a second, higher hump after the stop"),
        Case(([0.3, 0.8, 0.5, 0.4, 0.9, 1.0], 3), label="the same with patience 3"),
        Case(([0.3, 0.8, 0.5, 0.4, 0.9, 0.2, 0.1, 0.0, 1.5], 2), label="ever higher humps, patience 2"),
        Case(([0.1, 0.4, 0.3, 0.5, 0.4, 0.6, 0.2, 0.7], 2), label="ups and downs, never two in a row"),
        Case((_hump(draw, 11, top), high - 2), label=f"a hump, patience {high - 2}"),
        Case((_hump(draw, 16, 8, 0.4), 3), label="a noisy hump, patience 3"),
        Case((draw.normal(14).tolist(), 4), label="14 unrelated scores, patience 4"),
        Case((draw.normal(10).tolist(), 1), label="ten unrelated scores, patience 1"),
        Case(([-1.0, -0.4, -0.6, -0.2, -0.5, -0.3, 0.1], 3), label="negative scores"),
        Case(([0.5, 0.50001, 0.50002, 0.50003, 0.4], 2), label="scores that rise by a hair"),
    ]


def _slow_recovery_cases(draw):
    """Better than the last one, but no new best: patience counts on."""
    return [
        Case(([0.5, 0.9, 0.2, 0.4, 0.6, 0.8, 1.5], 3), label="a slow recovery below the best"),
        Case(([0.0, 1.0, -1.0, 0.5, -0.5, 0.7, 2.0], 4), label="a zigzag below the best"),
    ]


def _tie_cases(draw):
    a = draw.integer(2, 9) / 8
    return [
        Case(([a, a + 1, a + 1, a, a + 2], 2), label="the best one again, then a stop"),
        Case(([a, a + 1, a, a + 1, a + 0.5, a + 3], 3), label="a tie inside the wait"),
        Case(([0.0, 0.5, 0.5, 0.5], 5), label="three equal best scores"),
        Case(([1.0, 1.0, 1.0, 1.0, 2.0], 3), label="no change, then a new best too late"),
        Case(([1.0, 1.0, 1.0, 2.0, 1.0], 3), label="no change, then a new best in time"),
    ]


def _end_cases(draw):
    up = sorted(draw.normal(6).tolist())
    return [
        Case((up, 2), label="scores that only rise"),
        Case((up[::-1], 2), label="scores that only fall"),
        Case((up[:3] + [up[2] - 1, up[2] - 2], 4), label="the scores end before patience does"),
        Case(([draw.uniform(-1, 1)], 3), label="one checkpoint"),
        Case((up + [up[0]], 1), label="a stop at the last checkpoint"),
        Case(
            ([up[3], up[0], up[1], up[2], up[5]], 3),
            label="the first is the best, and the wait ends before the last",
        ),
        Case(([up[3], up[0], up[1], up[5], up[2]], 3), label="the new best comes just in time"),
    ]


def _stop_kinds(draw):
    gold = [draw.integer(0, 40) / 8 for _ in range(9)]
    gold += [6.0, 5.0, 4.0, 3.0]  # what lies behind the best one must not be cut off the list given
    return [
        Case((tuple(gold), 3), label="a tuple"),
        Case((np.array(gold), 3), label="an array"),
        Case((torch.tensor(gold), 3), label="a 1-D tensor"),
        Case((gold, 3), label="a list"),
    ]


# --- early-stop: answers ----------------------------------------------------------------------


def _walk(
    better=operator.gt,
    limit=lambda patience: patience,
    result=lambda best, at, stopped, gold: best,
    reset=True,
    compare=lambda gold, best, at: gold[best],
    begin=0,
):
    """The walk with one thing changed."""

    def answer(gold, patience):
        gold = _list(gold)
        best, waited, at, stopped = 0, begin, 0, False
        for at in range(1, len(gold)):
            if better(gold[at], compare(gold, best, at)):
                waited = 0 if reset else waited
                best = at
            else:
                waited += 1
                if waited >= limit(patience):
                    stopped = True
                    break
        return result(best, at, stopped, gold)

    return answer


def _against_last(gold, patience):
    """Patience starts anew at every rise, though the best is kept."""
    gold = _list(gold)
    best = waited = 0
    for at in range(1, len(gold)):
        if gold[at] > gold[best]:
            best = at
        waited = waited + 1 if gold[at] <= gold[at - 1] else 0
        if waited >= patience:
            break
    return best


def _stop_minus_patience(gold, patience):
    gold = _list(gold)
    best = 0
    for at in range(1, len(gold)):
        best = at if gold[at] > gold[best] else best
        if at - best >= patience:
            break
    return max(at - patience, 0) if len(gold) > 1 else 0


def _last_max(gold, patience):
    seen = _list(gold)
    best = early_stop(gold, patience)
    stop = next((at for at in range(best + 1, len(seen)) if at - best >= patience), len(seen) - 1)
    return max(i for i in range(stop + 1) if seen[i] == seen[best])


def _argmax(gold, patience):
    return max(range(len(gold)), key=lambda i: float(gold[i]))


def _minimum(gold, patience):
    return early_stop([-g for g in _list(gold)], patience)


def _first_peak(gold, patience):
    gold = _list(gold)
    return next((i for i in range(len(gold) - 1) if gold[i + 1] <= gold[i]), len(gold) - 1)


def _from_zero(gold, patience):
    gold, best, at_best, waited = _list(gold), 0.0, 0, 0
    for at, g in enumerate(gold):
        if g > best:
            best, at_best, waited = g, at, 0
        else:
            waited += 1
        if waited >= patience:
            break
    return at_best


def _first_waits(gold, patience):
    """The first checkpoint counts as one without a new best."""
    gold, best, waited = _list(gold), 0, 0
    for at, g in enumerate(gold):
        if g > gold[best]:
            best, waited = at, 0
        else:
            waited += 1
        if waited >= patience:
            break
    return best


def _first_patience(gold, patience):
    gold = _list(gold)[: patience + 1]
    return gold.index(max(gold))


def _smoothed(gold, patience):
    gold = _list(gold)
    return early_stop(
        [sum(gold[max(0, i - 1) : i + 2]) / len(gold[max(0, i - 1) : i + 2]) for i in range(len(gold))],
        patience,
    )


def _with_margin(margin):
    return _walk(better=lambda a, b: a > b + margin)


def _sorted_in_place(gold, patience):
    right = early_stop(gold, patience)
    if isinstance(gold, list):
        gold.sort()
    return right


def _none_without_stop(gold, patience):
    return _walk(result=lambda best, at, stopped, gold: best if stopped else None)(gold, patience)


def _by_running_maximum(gold, patience):
    gold = np.asarray(gold, dtype=float)
    before = np.concatenate([[-np.inf], np.maximum.accumulate(gold)[:-1]])
    records = np.flatnonzero(gold > before)
    gaps = np.diff(np.append(records, len(gold) + patience + 1))
    return int(records[np.argmax(gaps > patience)])


def _by_recursion(gold, patience, best=0):
    ahead = _list(gold)[best + 1 : best + 1 + patience]
    for step, g in enumerate(ahead, start=1):
        if g > float(gold[best]):
            return _by_recursion(gold, patience, best + step)
    return best


def _by_iterator(gold, patience):
    best, best_score, left = -1, -math.inf, patience
    for at, score in enumerate(map(float, gold)):
        if score > best_score:
            best, best_score, left = at, score, patience
            continue
        left -= 1
        if not left:
            break
    return best


def _by_torch(gold, patience):
    scores = torch.as_tensor(gold)
    for stop in range(1, len(scores) + 1):
        seen = scores[:stop]
        first = int((seen == seen.max()).nonzero()[0, 0])
        if stop - 1 - first == patience:
            break
    return np.int64(first)


EARLY_STOP = Exercise(
    id="early-stop",
    function="early_stop",
    reference=early_stop,
    observe=_observe_stop,
    parts=(
        Part("humps", 1.5, _plain_cases, ("position",)),
        Part("patience counts on until there is a new best", 0.5, _slow_recovery_cases, ("position",)),
        Part("a tie is no new best", 1, _tie_cases, ("position",)),
        Part("the first and the last checkpoint", 0.5, _end_cases, ("position",)),
        Part(
            "tuples, arrays and tensors; an int, gold unchanged",
            0.5,
            _stop_kinds,
            ("position", "form", "inputs"),
        ),
    ),
    misconceptions=(
        Misconception(
            "against-the-last",
            _against_last,
            "the wait started anew when a score was above the one before it; only a new best does that",
        ),
        Misconception(
            "tie-counts-as-better-but-first-returned",
            _walk(better=operator.ge, result=lambda best, at, stopped, gold: gold.index(gold[best])),
            "the first of equal ones is returned, but a tie still started the wait anew; it is no new best",
        ),
        Misconception(
            "highest-of-all",
            _argmax,
            "this is the best of all checkpoints; the walk must not look beyond the stop",
        ),
        Misconception(
            "best-from-zero",
            _from_zero,
            "the best score was 0 to begin with; scores may all be negative",
        ),
        Misconception(
            "margin",
            _with_margin(0.15),
            "a new best had to be better by a margin; any improvement is one",
        ),
        Misconception(
            "small-margin",
            _with_margin(1e-3),
            "a new best had to be better by a small margin; any improvement is one",
        ),
        Misconception(
            "tie-is-a-new-best",
            _walk(better=operator.ge),
            "a score equal to the best was taken for a new best",
        ),
        Misconception(
            "last-of-equals",
            _last_max,
            "among equal best scores the first is wanted, not the last",
        ),
        Misconception(
            "patience-too-long",
            _walk(limit=lambda patience: patience + 1),
            "the walk went on one checkpoint too long: stop *after* `patience` without a new best, not after one more",
        ),
        Misconception(
            "patience-too-short",
            _walk(limit=lambda patience: max(patience - 1, 1)),
            "the walk ended one checkpoint too early",
        ),
        Misconception(
            "first-waits",
            _first_waits,
            "the first checkpoint was counted as one without a new best; it is the best so far",
        ),
        Misconception(
            "one-based",
            _walk(result=lambda best, at, stopped, gold: best + 1),
            "the positions are counted from 1; Python's begin at 0",
        ),
        Misconception(
            "stop-or-best",
            _walk(result=lambda best, at, stopped, gold: best if stopped else at),
            "where patience never ran out the last checkpoint came back; the best one seen is wanted",
        ),
        Misconception(
            "stop-position",
            _walk(result=lambda best, at, stopped, gold: at),
            "this is where the walk ended; the best checkpoint seen is wanted",
        ),
        Misconception(
            "stop-minus-patience",
            _stop_minus_patience,
            "going back by `patience` from the last checkpoint finds the best one only if patience ran out",
        ),
        Misconception(
            "no-result",
            lambda gold, patience: None,
            "nothing came back: is there a return at the end?",
        ),
        Misconception(
            "last-checkpoint",
            lambda gold, patience: len(gold) - 1,
            "this is the last checkpoint, whatever the scores are",
        ),
        Misconception(
            "last-not-looked-at",
            lambda gold, patience: early_stop(_list(gold)[:-1] or _list(gold), patience),
            "the last checkpoint was never looked at; it may be a new best",
        ),
        Misconception(
            "none-without-stop",
            _none_without_stop,
            "where patience never runs out the best one seen is wanted too",
        ),
        Misconception(
            "total-patience",
            _walk(reset=False),
            "a new best must set the count back to 0: `patience` in a row",
        ),
        Misconception(
            "last-rise",
            _walk(compare=lambda gold, best, at: gold[at - 1]),
            "each score was compared with the one before it; compare with the best so far",
        ),
        Misconception(
            "first-peak",
            _first_peak,
            "this stops at the first fall, whatever the patience",
        ),
        Misconception(
            "minimum",
            _minimum,
            "this looks for the lowest score, as for a loss; gold is better when higher",
        ),
        Misconception(
            "patience-from-the-start",
            _first_patience,
            "only the first patience + 1 checkpoints were looked at; patience starts anew at each new best",
        ),
        Misconception(
            "smoothed",
            _smoothed,
            "the scores were smoothed first; the rule is on the scores as they are",
        ),
        Misconception(
            "score",
            lambda gold, patience: _list(gold)[early_stop(gold, patience)],
            "this is the best score; its position is wanted",
        ),
        Misconception(
            "pair",
            lambda gold, patience: (early_stop(gold, patience), max(_list(gold))),
            "two things came back; only the position is wanted",
        ),
        Misconception(
            "float",
            lambda gold, patience: float(early_stop(gold, patience)),
            "the position is right but a float; return an int",
        ),
        Misconception(
            "tensor",
            lambda gold, patience: torch.tensor(early_stop(gold, patience)),
            "the position is right but a tensor; return an int (.item())",
        ),
        Misconception(
            "sorted-in-place",
            _sorted_in_place,
            "the list of scores was changed; work on a copy",
        ),
    ),
    alternatives={
        "running maximum": _by_running_maximum,
        "recursion": _by_recursion,
        "iterator": _by_iterator,
        "torch": _by_torch,
        "counter": _walk(),
    },
    hints=(
        "Walk once from the left and keep two things: where the best score so far is, and how many have passed since.",
        "A new best (strictly above) sets the count to 0; anything else adds 1; at `patience` the walk is over.",
        "Return the position of the best, also when the list ends before patience does.",
    ),
)
