"""01-derivation, in symbols: the Lagrangian, its solution, and the partition function that cancels."""

import math

import numpy as np
import sympy
import torch

from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.symbolic import Points, observe_expression, observe_lagrangian

NAMES = ("p{} q{} r{} beta lambda", "u{} v{} w{} b mu", "pi_{} ref_{} reward_{} tau nu")


def _symbols(n, names=0, assumed=True):
    """Symbols for p, q, r (n each), beta and lam; with their assumptions or without."""
    p, q, r, beta, lam = NAMES[names].split()
    positive = {"positive": True} if assumed else {}
    real = {"real": True} if assumed else {}

    def row(pattern, assumptions):
        return [sympy.Symbol(pattern.format(i + 1), **assumptions) for i in range(n)]

    return (
        row(p, positive), row(q, positive), row(r, real),
        sympy.Symbol(beta, **positive), sympy.Symbol(lam, **real),
    )  # fmt: skip


def _total(terms):
    return sum(terms, sympy.Integer(0))


_NUMBERS_ONLY = "math.log, math.exp and float() take numbers; for symbols there are sympy.log and sympy.exp"
_NUMPY = "numpy's functions do not know symbols; take sympy.log and sympy.exp"
_TORCH = "torch's functions take tensors, not symbols; write the sigmoid out with sympy.exp"


# --- lagrangian ------------------------------------------------------------------------------


def lagrangian(p, q, r, beta, lam):
    """J(p) - lam (sum of p - 1) of one prompt."""
    reward = _total(a * c for a, c in zip(p, r, strict=True))
    kl = _total(a * sympy.log(a / b) for a, b in zip(p, q, strict=True))
    return reward - beta * kl - lam * (_total(p) - 1)


def _lagrangian_case(draw, n, label, names=0, assumed=True):
    p, q, r, beta, lam = args = _symbols(n, names, assumed)
    points = []
    for i in range(4):
        # neither p nor q sums to 1 here, or a constraint would not be seen; p sums to more, then to less
        policy = draw.probabilities(n) * (draw.uniform(1.3, 2.5) if i % 2 == 0 else draw.uniform(0.3, 0.7))
        point = dict(zip(p, policy.tolist(), strict=True))
        point |= dict(zip(q, draw.uniform(0.2, 0.9, n).tolist(), strict=True))
        point |= dict(zip(r, draw.normal(n, scale=1.5).tolist(), strict=True))
        points.append(point | {beta: draw.uniform(0.2, 0.7), lam: draw.uniform(0.5, 2.0)})
    return Case(args, label=label, extra=Points(tuple(points)))


def _three_responses(draw):
    return [_lagrangian_case(draw, 3, "three responses, at random points")]


def _other_lengths(draw):
    return [
        _lagrangian_case(draw, 2, "two responses, other names, at random points", 1),
        _lagrangian_case(draw, 5, "five responses, no assumptions, at random points", 2, assumed=False),
    ]


def _lagrangian_changed(reward=None, kl=None, constraint=None, price=lambda beta: beta):
    """The Lagrangian with one of its terms replaced."""

    def answer(p, q, r, beta, lam):
        expected = (reward or (lambda p, q, r: _total(a * c for a, c in zip(p, r, strict=True))))(p, q, r)
        divergence = (kl or _kl)(p, q)
        term = (constraint or (lambda p, q, lam: lam * (_total(p) - 1)))(p, q, lam)
        return expected - price(beta) * divergence - term

    return answer


def _kl(p, q):
    return _total(a * sympy.log(a / b) for a, b in zip(p, q, strict=True))


def _lagrangian_averaged(p, q, r, beta, lam):
    constraint = lam * (_total(p) - 1)
    return (lagrangian(p, q, r, beta, lam) + constraint) / len(p) - constraint


def _lagrangian_consuming(p, q, r, beta, lam):
    total = lagrangian(p, q, r, beta, lam)
    r.pop()
    return total


def _lagrangian_own_symbols(p, q, r, beta, lam):
    p1, p2, p3, q1, q2, q3, r1, r2, r3, b, m = sympy.symbols("p1:4 q1:4 r1:4 beta lambda")
    return lagrangian([p1, p2, p3], [q1, q2, q3], [r1, r2, r3], b, m)


LAGRANGIAN = Exercise(
    id="lagrangian",
    function="lagrangian",
    reference=lagrangian,
    observe=observe_lagrangian,
    parts=(
        Part("the objective", 2, _three_responses, ("kind", "symbols", "objective")),
        Part("the constraint", 1, _three_responses, ("kind", "symbols", "constraint"), independent=True),
        Part(
            "any number of responses, any symbols",
            1,
            _other_lengths,
            ("kind", "symbols", "objective", "constraint", "inputs"),
        ),
    ),
    misconceptions=(
        Misconception(
            "no-constraint",
            _lagrangian_changed(constraint=lambda p, q, lam: 0),
            "the constraint is missing: without it p could grow beyond a distribution",
        ),
        Misconception(
            "constraint-without-one",
            _lagrangian_changed(constraint=lambda p, q, lam: lam * _total(p)),
            "the multiplier stands with Σp; it belongs with Σp - 1, which is zero where the constraint holds",
        ),
        Misconception(
            "constraint-plus-one",
            _lagrangian_changed(constraint=lambda p, q, lam: lam * (_total(p) + 1)),
            "Σp + 1 is held at zero; a constraint is written as what is zero where it holds, and Σp is to be 1",
        ),
        Misconception(
            "constraint-on-reference",
            _lagrangian_changed(constraint=lambda p, q, lam: lam * (_total(q) - 1)),
            "the constraint is on the reference; the unknown is the policy p",
        ),
        Misconception(
            "constraint-squared",
            _lagrangian_changed(constraint=lambda p, q, lam: lam * (_total(p) - 1) ** 2),
            "a squared constraint is a penalty; a Lagrangian is linear in it",
        ),
        Misconception(
            "constraint-times-beta",
            lambda p, q, r, beta, lam: _lagrangian_changed(
                constraint=lambda p, q, m: beta * m * (_total(p) - 1)
            )(p, q, r, beta, lam),
            "the multiplier has got beta in front; it stands alone",
        ),
        Misconception(
            "constraint-per-response",
            _lagrangian_changed(constraint=lambda p, q, lam: lam * _total(a - 1 for a in p)),
            "each p is held at 1; it is their *sum* that must be 1",
        ),
        Misconception(
            "constraint-as-distance",
            _lagrangian_changed(constraint=lambda p, q, lam: lam * sympy.Abs(_total(p) - 1)),
            "the absolute value of Σp - 1 is a penalty; a Lagrangian is linear in it",
        ),
        Misconception(
            "constraint-as-inequality",
            _lagrangian_changed(constraint=lambda p, q, lam: lam * sympy.Max(_total(p) - 1, 0)),
            "Σp = 1 is an equality: Σp - 1 counts on both sides of 0",
        ),
        Misconception(
            "constraint-against-reference",
            _lagrangian_changed(constraint=lambda p, q, lam: lam * (_total(p) - _total(q))),
            "the constraint compares Σp with Σq; it must be 1, whatever q is",
        ),
        Misconception(
            "constraint-product",
            _lagrangian_changed(constraint=lambda p, q, lam: lam * (sympy.Mul(*p) - 1)),
            "the *product* of p is held at 1; it is their sum that must be 1",
        ),
        Misconception(
            "log-base-2",
            _lagrangian_changed(
                kl=lambda p, q: _total(a * sympy.log(a / b, 2) for a, b in zip(p, q, strict=True))
            ),
            "the logarithm is to base 2; the course uses the natural one, sympy.log(x)",
        ),
        Misconception(
            "squared-distance",
            _lagrangian_changed(kl=lambda p, q: _total((a - b) ** 2 for a, b in zip(p, q, strict=True))),
            "the penalty is a squared distance; the KL is Σ p log(p/q)",
        ),
        Misconception(
            "ratio-without-logarithm",
            _lagrangian_changed(kl=lambda p, q: _total(a * a / b for a, b in zip(p, q, strict=True))),
            "the logarithm of the ratio p/q is missing",
        ),
        Misconception(
            "averaged",
            _lagrangian_averaged,
            "the objective is divided by the number of responses; the weights p already make it an expectation",
        ),
        Misconception(
            "divided-by-beta",
            lambda p, q, r, beta, lam: lagrangian(p, q, [c / beta for c in r], 1, lam),
            "the objective is divided by beta; that has the same optimum, but J is E[r] - beta KL itself",
        ),
        Misconception(
            "lists-changed",
            _lagrangian_consuming,
            "a list that was handed in is changed (pop, append, +=); work on a copy",
        ),
        Misconception(
            "bare-multiplier",
            _lagrangian_changed(constraint=lambda p, q, lam: lam),
            "the multiplier stands alone; it multiplies the constraint Σp - 1",
        ),
        Misconception(
            "reversed-kl",
            _lagrangian_changed(kl=lambda p, q: _kl(q, p)),
            "the KL is turned round: it is an expectation under the policy p",
        ),
        Misconception(
            "kl-added",
            _lagrangian_changed(price=lambda beta: -beta),
            "the KL is added; moving away from the reference must cost",
        ),
        Misconception("no-beta", _lagrangian_changed(price=lambda beta: 1), "the KL has lost its price beta"),
        Misconception(
            "beta-divides",
            _lagrangian_changed(price=lambda beta: 1 / beta),
            "the KL is divided by beta, not multiplied",
        ),
        Misconception(
            "beta-on-reward",
            lambda p, q, r, beta, lam: lagrangian(p, q, [beta * c for c in r], 1, lam),
            "beta stands before the reward; it is the price of the KL",
        ),
        Misconception(
            "no-reference",
            _lagrangian_changed(kl=lambda p, q: _total(a * sympy.log(a) for a in p)),
            "only the policy's entropy is there; the KL compares with the reference q",
        ),
        Misconception(
            "cross-entropy",
            _lagrangian_changed(kl=lambda p, q: -_total(a * sympy.log(b) for a, b in zip(p, q, strict=True))),
            "the penalty is the cross-entropy -Σ p log q; the term Σ p log p is missing",
        ),
        Misconception(
            "kl-unweighted",
            _lagrangian_changed(kl=lambda p, q: _total(sympy.log(a / b) for a, b in zip(p, q, strict=True))),
            "the log-ratios are summed without weights; the KL is their expectation under p",
        ),
        Misconception(
            "ratio-of-logs",
            _lagrangian_changed(
                kl=lambda p, q: _total(a * sympy.log(a) / sympy.log(b) for a, b in zip(p, q, strict=True))
            ),
            "log p was divided by log q; the logarithm of the ratio p/q is wanted",
        ),
        Misconception(
            "weights-apart",
            _lagrangian_changed(
                kl=lambda p, q: _total(a * sympy.log(a) - b * sympy.log(b) for a, b in zip(p, q, strict=True))
            ),
            "log q is weighted by q; the whole log-ratio is weighted by p",
        ),
        Misconception(
            "reward-under-reference",
            _lagrangian_changed(lambda p, q, r: _total(b * c for b, c in zip(q, r, strict=True))),
            "the expected reward is taken under the reference; the policy p draws the responses",
        ),
        Misconception(
            "reward-unweighted",
            _lagrangian_changed(lambda p, q, r: _total(r)),
            "the rewards are summed without weights; the expectation weighs each by p",
        ),
        Misconception(
            "negated",
            lambda p, q, r, beta, lam: -lagrangian(p, q, r, beta, lam),
            "the objective has the wrong sign: J is maximised (the multiplier's sign is free, that of J is not)",
        ),
        Misconception(
            "own-symbols",
            _lagrangian_own_symbols,
            "symbols are made inside the function; use those that are handed in, and as many as there are",
        ),
        Misconception(
            "fixed-length",
            lambda p, q, r, beta, lam: lagrangian(p[:3], q[:3], r[:3], beta, lam),
            "only three responses are looked at; sum over as many as there are",
        ),
        Misconception("math-log", _lagrangian_changed(kl=lambda p, q: math.log(p[0] / q[0])), _NUMBERS_ONLY),
        Misconception("numpy-log", _lagrangian_changed(kl=lambda p, q: np.log(p[0] / q[0])), _NUMPY),
        Misconception("numpy-log-of-a-symbol", _lagrangian_changed(kl=lambda p, q: np.log(p[0])), _NUMPY),
        Misconception(
            "gradient",
            lambda p, q, r, beta, lam: [sympy.diff(lagrangian(p, q, r, beta, lam), a) for a in p],
            "these are the derivatives; the Lagrangian itself is wanted",
        ),
    ),
    alternatives={
        "plus the multiplier": lambda p, q, r, beta, lam: (
            sum(pi * (ri - beta * sympy.log(pi / qi)) for pi, qi, ri in zip(p, q, r, strict=True))
            + lam * (sum(p) - 1)
        ),
        "split logarithm": lambda p, q, r, beta, lam: (
            sympy.Add(
                *[a * c - beta * a * (sympy.log(a) - sympy.log(b)) for a, b, c in zip(p, q, r, strict=True)]
            )
            + lam * (1 - sympy.Add(*p))
        ),
        "matrices": lambda p, q, r, beta, lam: (
            sympy.Matrix(p).dot(sympy.Matrix(r))
            - beta * sympy.Matrix(p).dot(sympy.Matrix([sympy.log(a / b) for a, b in zip(p, q, strict=True)]))
            - lam * (sum(p) - 1)
        ),
        "expanded": lambda p, q, r, beta, lam: sympy.expand_log(
            sympy.expand(lagrangian(p, q, r, beta, lam)), force=True
        ),
        "loop": lambda p, q, r, beta, lam: _lagrangian_loop(p, q, r, beta, lam),
    },
    hints=(
        "Two expectations under p: the reward, and the log-ratio with the factor -beta. Then the constraint.",
        "sum(a * c for a, c in zip(p, r)) is the expected reward; sympy.log(a / b) is a log-ratio.",
        "The constraint Σp = 1 enters as lam · (Σp - 1), added or subtracted.",
    ),
)


def _lagrangian_loop(p, q, r, beta, lam):
    total = -lam * (sum(p) - 1)
    for i in range(len(p)):
        total += p[i] * r[i]
        total -= beta * p[i] * sympy.log(p[i]) - beta * p[i] * sympy.log(q[i])
    return total


# --- solve-optimal-policy --------------------------------------------------------------------


def solve_optimal_policy(q, r, beta):
    """q exp(r / beta), normalised."""
    weights = [b * sympy.exp(c / beta) for b, c in zip(q, r, strict=True)]
    return [w / _total(weights) for w in weights]


def _policy_case(draw, n, label, names=0):
    _, q, r, beta, _ = _symbols(n, names)
    points = []
    for _ in range(4):
        point = dict(zip(q, draw.probabilities(n).tolist(), strict=True))
        point |= dict(zip(r, draw.normal(n, scale=1.5).tolist(), strict=True))
        points.append(point | {beta: draw.uniform(0.3, 0.7)})
    return Case((q, r, beta), label=label, extra=Points(tuple(points), count=n))


def _policy_three(draw):
    return [_policy_case(draw, 3, "three responses, at random points")]


def _policy_two(draw):
    return [_policy_case(draw, 2, "two responses, other names, at random points", 1)]


def _policy_four(draw):
    return [_policy_case(draw, 4, "four responses, at random points", 2)]


def _weights(exponent=lambda c, beta: c / beta, reference=lambda b, beta: b):
    """A normalised policy with another exponent or another use of the reference."""

    def answer(q, r, beta):
        weights = [reference(b, beta) * sympy.exp(exponent(c, beta)) for b, c in zip(q, r, strict=True)]
        return [w / _total(weights) for w in weights]

    return answer


def _stationary(q, r, beta):
    """The stationary point for a given multiplier, which is left in it."""
    lam = sympy.Symbol("lambda", real=True)
    return [b * sympy.exp((c - lam) / beta - 1) for b, c in zip(q, r, strict=True)]


def _policy_consuming(q, r, beta):
    policy = solve_optimal_policy(q, r, beta)
    q.clear()
    return policy


def _policy_own_symbols(q, r, beta):
    q1, q2, q3 = sympy.symbols("q1:4", positive=True)
    r1, r2, r3 = sympy.symbols("r1:4", real=True)
    return solve_optimal_policy([q1, q2, q3], [r1, r2, r3], sympy.Symbol("beta", positive=True))


def _solved_by_sympy(q, r, beta):
    p = sympy.symbols(f"p0:{len(q)}", positive=True)
    lam = sympy.Symbol("lam", real=True)
    stationary = [sympy.solve(sympy.diff(lagrangian(p, q, r, beta, lam), a), a)[0] for a in p]
    multiplier = sympy.solve(
        sympy.Eq(sympy.simplify(sum(stationary) * sympy.exp(lam / beta)), sympy.exp(lam / beta)), lam
    )[0]
    return [sympy.simplify(s.subs(lam, multiplier)) for s in stationary]


def _solved_at_once(q, r, beta):
    """Eliminate the multiplier with the first equation, then normalise."""
    first = sympy.Symbol("first", positive=True)
    others = [first * b / q[0] * sympy.exp((c - r[0]) / beta) for b, c in zip(q, r, strict=True)]
    size = sympy.solve(sympy.Eq(sum(others), 1), first)[0]
    return tuple(o.subs(first, size) for o in others)


SOLVE_OPTIMAL_POLICY = Exercise(
    id="solve-optimal-policy",
    function="solve_optimal_policy",
    reference=solve_optimal_policy,
    observe=observe_expression,
    parts=(
        Part("ratios between responses", 2, _policy_three, ("kind", "ratios")),
        Part("normalised, in q, r and beta only", 2, _policy_two, ("kind", "symbols", "result")),
        Part(
            "any number of responses, any symbols", 1, _policy_four, ("kind", "symbols", "result", "inputs")
        ),
    ),
    misconceptions=(
        Misconception(
            "multiplier-left",
            _stationary,
            "the multiplier is still in it: the constraint Σp = 1 determines it",
        ),
        Misconception(
            "partition-symbol",
            lambda q, r, beta: [
                b * sympy.exp(c / beta) / sympy.Symbol("Z") for b, c in zip(q, r, strict=True)
            ],
            "Z is a symbol of its own here; write out what it stands for, the sum of the numerators",
        ),
        Misconception(
            "not-normalised",
            lambda q, r, beta: [b * sympy.exp(c / beta) for b, c in zip(q, r, strict=True)],
            "the numerators only: the constraint says that they must sum to 1",
        ),
        Misconception(
            "multiplier-zero",
            lambda q, r, beta: [b * sympy.exp(c / beta - 1) for b, c in zip(q, r, strict=True)],
            "this is the stationary point for a multiplier of 0; the constraint decides its value",
        ),
        Misconception(
            "beta-multiplies",
            _weights(lambda c, beta: c * beta),
            "the reward is multiplied by beta; a dearer KL must keep the policy closer to the reference",
        ),
        Misconception(
            "no-beta",
            _weights(lambda c, beta: c),
            "beta is missing: in the slope it stands before log p, so solving for log p divides by it",
        ),
        Misconception(
            "no-reference",
            _weights(reference=lambda b, beta: 1),
            "the reference is missing: derive the KL again, log p - log q has two parts",
        ),
        Misconception(
            "sign",
            _weights(lambda c, beta: -c / beta),
            "the exponent has the wrong sign: better responses must gain",
        ),
        Misconception(
            "reference-tempered",
            _weights(reference=lambda b, beta: b ** (1 / beta)),
            "the reference is raised to the power 1/beta; beta multiplies log q and log p alike, so it drops out there",
        ),
        Misconception(
            "reference-divides",
            _weights(reference=lambda b, beta: 1 / b),
            "the reference stands in the denominator: a response that it likes must be likelier, not rarer",
        ),
        Misconception(
            "reference-squared", _weights(reference=lambda b, beta: b**2), "the reference is in it twice"
        ),
        Misconception(
            "base-two",
            lambda q, r, beta: [
                b * 2 ** (c / beta) / _total(e * 2 ** (f / beta) for e, f in zip(q, r, strict=True))
                for b, c in zip(q, r, strict=True)
            ],
            "this is a power of 2; the logarithm in the KL is the natural one",
        ),
        Misconception(
            "linear",
            lambda q, r, beta: [
                b * (1 + c / beta) / _total(e * (1 + f / beta) for e, f in zip(q, r, strict=True))
                for b, c in zip(q, r, strict=True)
            ],
            "the exponential has become its tangent; that holds for large beta only",
        ),
        Misconception(
            "normalised-without-reference",
            lambda q, r, beta: [
                b * sympy.exp(c / beta) / _total(sympy.exp(f / beta) for f in r)
                for b, c in zip(q, r, strict=True)
            ],
            "the normaliser leaves the reference out; it is the sum of the numerators",
        ),
        Misconception(
            "normaliser-plus-one",
            lambda q, r, beta: [
                b
                * sympy.exp(c / beta)
                / (1 + _total(e * sympy.exp(f / beta) for e, f in zip(q, r, strict=True)))
                for b, c in zip(q, r, strict=True)
            ],
            "there is a 1 in the denominator (a sigmoid?); the normaliser is the sum of the numerators and no more",
        ),
        Misconception(
            "relative-to-the-first",
            lambda q, r, beta: [b * sympy.exp((c - r[0]) / beta) / q[0] for b, c in zip(q, r, strict=True)],
            "these are ratios to the first response; the constraint Σp = 1 determines their size",
        ),
        Misconception(
            "reference-in-the-exponent",
            _weights(lambda c, beta: c / beta, lambda b, beta: sympy.exp(b)),
            "q stands in the exponent; log q does, and exp(log q) = q",
        ),
        Misconception(
            "reference-only",
            lambda q, r, beta: list(q),
            "this is the reference; the reward does not occur",
        ),
        Misconception(
            "beta-squared",
            _weights(lambda c, beta: c / beta**2),
            "the reward is divided by beta twice",
        ),
        Misconception(
            "others-only",
            lambda q, r, beta: [
                (n := b * sympy.exp(c / beta))
                / (_total(e * sympy.exp(f / beta) for e, f in zip(q, r, strict=True)) - n)
                for b, c in zip(q, r, strict=True)
            ],
            "these are odds: each numerator is divided by the sum of the others; its own belongs in the sum too",
        ),
        Misconception(
            "numerators-times-e",
            lambda q, r, beta: [w * sympy.exp(-1) for w in solve_optimal_policy(q, r, beta)],
            "a factor exp(-1) is left in the numerators and not in their sum; divide by the sum of what stands above",
        ),
        Misconception(
            "a-dict",
            lambda q, r, beta: dict(zip(q, solve_optimal_policy(q, r, beta), strict=True)),
            "this is a dict; a list in the order of q is wanted",
        ),
        Misconception("math-exp", lambda q, r, beta: [math.exp(r[0] / beta)], _NUMBERS_ONLY),
        Misconception("numpy-exp", lambda q, r, beta: [np.exp(r[0] / beta)], _NUMPY),
        Misconception("numpy-exp-of-a-sum", lambda q, r, beta: [np.exp(r[0] / beta - 1)], _NUMPY),
        Misconception(
            "text",
            lambda q, r, beta: [str(w) for w in solve_optimal_policy(q, r, beta)],
            "these are strings; return the sympy expressions themselves",
        ),
        Misconception(
            "lists-changed",
            _policy_consuming,
            "a list that was handed in is changed (pop, append, +=); work on a copy",
        ),
        Misconception(
            "averaged",
            lambda q, r, beta: [w / len(q) for w in solve_optimal_policy(q, r, beta)],
            "the policy is divided by the number of responses as well; it must sum to 1",
        ),
        Misconception(
            "log-policy",
            lambda q, r, beta: [sympy.log(w) for w in solve_optimal_policy(q, r, beta)],
            "these are log-probabilities; probabilities are wanted",
        ),
        Misconception(
            "reversed-order",
            lambda q, r, beta: solve_optimal_policy(q, r, beta)[::-1],
            "the order of the responses is turned round; keep that of q",
        ),
        Misconception(
            "partition-only",
            lambda q, r, beta: _total(b * sympy.exp(c / beta) for b, c in zip(q, r, strict=True)),
            "this is one expression, the normaliser; one per response is wanted",
        ),
        Misconception(
            "equations",
            lambda q, r, beta: [
                sympy.Eq(sympy.Symbol(f"p{i}"), w, evaluate=False)
                for i, w in enumerate(solve_optimal_policy(q, r, beta))
            ],
            "these are equations; return their right-hand sides",
        ),
        Misconception(
            "fixed-length",
            lambda q, r, beta: solve_optimal_policy(q[:3], r[:3], beta),
            "only three responses are looked at; take as many as there are",
        ),
        Misconception(
            "own-symbols",
            _policy_own_symbols,
            "symbols are made inside the function; use those that are handed in, and as many as there are",
        ),
    ),
    alternatives={
        "solved by sympy": _solved_by_sympy,
        "first response eliminated, a tuple": _solved_at_once,
        "softmax of logits": lambda q, r, beta: [
            1
            / sum(
                sympy.exp(sympy.log(e) + f / beta - sympy.log(b) - c / beta)
                for e, f in zip(q, r, strict=True)
            )
            for b, c in zip(q, r, strict=True)
        ],
        "a matrix": lambda q, r, beta: sympy.Matrix(solve_optimal_policy(q, r, beta)),
        "simplified": lambda q, r, beta: [sympy.simplify(w) for w in solve_optimal_policy(q, r, beta)],
        "log partition": lambda q, r, beta: [
            b
            * sympy.exp(c / beta - sympy.log(sum(e * sympy.exp(f / beta) for e, f in zip(q, r, strict=True))))
            for b, c in zip(q, r, strict=True)
        ],
    },
    hints=(
        "The derivative of the Lagrangian by one p holds no other p. Set it to zero and solve for log p.",
        "Some terms of log p(y) depend on the response, the others are the same for all. Exponentiated, those others "
        "are one common factor; the multiplier is in it.",
        "That factor need not be found by itself: leave it out, and divide by whatever makes Σp = 1.",
    ),
)

# --- cancel-partition ------------------------------------------------------------------------


def preference_probability(policy_logp, ref_logp, beta, log_z):
    """sigmoid of the difference of beta log-ratios; log_z is in both rewards and cancels."""
    (w, v), (ref_w, ref_v) = policy_logp, ref_logp
    return 1 / (1 + sympy.exp(-beta * ((w - ref_w) - (v - ref_v))))


def _preference_case(draw, label, names, assumed):
    real = {"real": True} if assumed else {}
    w, v, ref_w, ref_v, z = (sympy.Symbol(name, **real) for name in names[:5])
    beta = sympy.Symbol(names[5], **({"positive": True} if assumed else {}))
    points = []
    for _ in range(5):
        logps = draw.logprobs(4, low=-4.0, high=-1.0).tolist()
        point = dict(zip((w, v, ref_w, ref_v), logps, strict=True))
        points.append(point | {beta: draw.uniform(0.2, 0.8), z: draw.uniform(0.5, 1.5)})
    return Case(((w, v), (ref_w, ref_v), beta, z), label=label, extra=Points(tuple(points), gone=(z,)))


def _preference_cases(draw):
    names = ("policy_w", "policy_l", "ref_w", "ref_l", "log_z", "beta"), ("a", "b", "c", "d", "Z", "t")
    return [
        _preference_case(draw, "a pair, at random points", names[0], True),
        _preference_case(
            draw, "a pair with other symbols, no assumptions, at random points", names[1], False
        ),
    ]


def _of_margin(last):
    """From a function of (policy chosen, policy rejected, ref chosen, ref rejected, beta, log_z)."""
    return lambda policy_logp, ref_logp, beta, log_z: last(*policy_logp, *ref_logp, beta, log_z)


def _sigma(x):
    return 1 / (1 + sympy.exp(-x))


def _preference_own_symbols(policy_logp, ref_logp, beta, log_z):
    w, v, ref_w, ref_v, b = sympy.symbols("policy_w policy_l ref_w ref_l beta")
    return preference_probability((w, v), (ref_w, ref_v), b, log_z)


def _rewards(w, v, ref_w, ref_v, beta, z):
    return beta * (w - ref_w) + beta * z, beta * (v - ref_v) + beta * z


def _factored(policy_logp, ref_logp, beta, log_z):
    """The difference of the rewards with beta outside a bracket, where log_z does not cancel by itself."""
    (w, v), (a, b) = policy_logp, ref_logp
    return beta * (w - a + log_z) - beta * (v - b + log_z)


def _exponentials(policy_logp, ref_logp, beta, log_z):
    a, b = _rewards(*policy_logp, *ref_logp, beta, log_z)
    return sympy.exp(a) / (sympy.exp(a) + sympy.exp(b))


CANCEL_PARTITION = Exercise(
    id="cancel-partition",
    function="preference_probability",
    reference=preference_probability,
    observe=observe_expression,
    parts=(
        Part("the probability", 3, _preference_cases, ("kind", "symbols", "result")),
        Part("log_z has cancelled", 2, _preference_cases, ("gone",)),
    ),
    misconceptions=(
        Misconception(
            "not-cancelled",
            _exponentials,
            "the value does not depend on log_z any more, but it is still written there: form the difference "
            "of the two rewards first and expand it",
        ),
        Misconception(
            "partition-once",
            _of_margin(lambda w, v, a, b, beta, z: _sigma(beta * ((w - a) - (v - b)) + beta * z)),
            "log_z is in one of the two rewards only; both responses answer the same prompt, so it is in both",
        ),
        Misconception(
            "partition-added",
            _of_margin(lambda w, v, a, b, beta, z: _sigma(beta * ((w - a) - (v - b)) + 2 * beta * z)),
            "the two log_z have added up; a difference of rewards takes one from the other",
        ),
        Misconception(
            "no-beta",
            _of_margin(lambda w, v, a, b, beta, z: _sigma((w - a) - (v - b))),
            "beta is lost: a reward is beta times a log-ratio",
        ),
        Misconception(
            "beta-divides",
            _of_margin(lambda w, v, a, b, beta, z: _sigma(((w - a) - (v - b)) / beta)),
            "the log-ratios are divided by beta; a reward is beta *times* a log-ratio",
        ),
        Misconception(
            "swapped",
            _of_margin(lambda w, v, a, b, beta, z: _sigma(beta * ((v - b) - (w - a)))),
            "this is the probability that the rejected response is preferred",
        ),
        Misconception(
            "no-reference",
            _of_margin(lambda w, v, a, b, beta, z: _sigma(beta * (w - v))),
            "the reference is missing: it does not cancel, since it differs between the two responses",
        ),
        Misconception(
            "reference-added",
            _of_margin(lambda w, v, a, b, beta, z: _sigma(beta * ((w + a) - (v + b)))),
            "the reference's log-probabilities were added; a log-ratio subtracts them",
        ),
        Misconception(
            "beta-on-policy-only",
            _of_margin(lambda w, v, a, b, beta, z: _sigma(beta * (w - v) - (a - b))),
            "beta multiplies the policy's terms only; it multiplies the whole log-ratio",
        ),
        Misconception(
            "chosen-only",
            _of_margin(lambda w, v, a, b, beta, z: _sigma(beta * (w - a))),
            "the rejected response plays no part; Bradley-Terry compares two rewards",
        ),
        Misconception(
            "sum-of-ratios",
            _of_margin(lambda w, v, a, b, beta, z: _sigma(beta * ((w - a) + (v - b)))),
            "the two rewards were added; Bradley-Terry takes their difference",
        ),
        Misconception(
            "beta-on-reference-only",
            _of_margin(lambda w, v, a, b, beta, z: _sigma((w - v) - beta * (a - b))),
            "beta multiplies the reference's terms only; it multiplies the whole log-ratio",
        ),
        Misconception(
            "half-the-margin",
            _of_margin(lambda w, v, a, b, beta, z: _sigma(beta * ((w - a) - (v - b)) / 2)),
            "the margin is halved; e^a / (e^a + e^b) is the sigmoid of the whole difference a - b",
        ),
        Misconception(
            "ratio-of-rewards",
            _of_margin(lambda w, v, a, b, beta, z: (w - a) / ((w - a) + (v - b))),
            "the rewards themselves were divided; Bradley-Terry divides their exponentials",
        ),
        Misconception(
            "probability-ratios",
            _of_margin(lambda w, v, a, b, beta, z: _sigma(beta * (sympy.exp(w - a) - sympy.exp(v - b)))),
            "the ratios π/π_ref themselves were subtracted; a reward is beta times their *logarithm*",
        ),
        Misconception(
            "gradient-weight",
            _of_margin(lambda w, v, a, b, beta, z: beta * _sigma(beta * ((v - b) - (w - a)))),
            "this is the weight of the pair in the gradient; the probability itself is wanted",
        ),
        Misconception(
            "tanh-without-half",
            _of_margin(lambda w, v, a, b, beta, z: (1 + sympy.tanh(beta * ((w - a) - (v - b)))) / 2),
            "σ(x) = (1 + tanh(x/2)) / 2: the half inside the tanh is missing",
        ),
        Misconception(
            "both",
            _of_margin(lambda w, v, a, b, beta, z: ((s := _sigma(beta * ((w - a) - (v - b)))), 1 - s)),
            "there are two probabilities; that of the chosen response is wanted",
        ),
        Misconception(
            "equation",
            _of_margin(
                lambda w, v, a, b, beta, z: sympy.Eq(sympy.Symbol("P"), _sigma(beta * ((w - a) - (v - b))))
            ),
            "this is an equation; return its right-hand side",
        ),
        Misconception(
            "undefined-function",
            _of_margin(lambda w, v, a, b, beta, z: sympy.Function("sigma")(beta * ((w - a) - (v - b)))),
            "sigma is a function that sympy does not know; write it out as 1 / (1 + exp(-x))",
        ),
        Misconception(
            "torch-sigmoid",
            _of_margin(lambda w, v, a, b, beta, z: torch.sigmoid(beta * ((w - a) - (v - b)))),
            _TORCH,
        ),
        Misconception(
            "torch-sigmoid-of-a-sum",
            _of_margin(lambda w, v, a, b, beta, z: torch.sigmoid(beta * (w - a) - beta * (v - b))),
            _TORCH,
        ),
        Misconception(
            "math-exp", _of_margin(lambda w, v, a, b, beta, z: math.exp(beta * (w - a))), _NUMBERS_ONLY
        ),
        Misconception(
            "numpy-exp",
            _of_margin(lambda w, v, a, b, beta, z: 1 / (1 + np.exp(-beta * ((w - a) - (v - b))))),
            _NUMPY,
        ),
        Misconception(
            "numpy-exp-of-a-sum",
            _of_margin(lambda w, v, a, b, beta, z: 1 / (1 + np.exp(beta * (v - b) - beta * (w - a)))),
            _NUMPY,
        ),
        Misconception(
            "log-odds",
            _of_margin(lambda w, v, a, b, beta, z: beta * ((w - a) - (v - b))),
            "this is the difference of the rewards, the log-odds; a probability is wanted",
        ),
        Misconception(
            "loss",
            _of_margin(lambda w, v, a, b, beta, z: sympy.log(1 + sympy.exp(-beta * ((w - a) - (v - b))))),
            "this is the DPO loss, the negative log of the probability; the probability itself is wanted",
        ),
        Misconception(
            "log-probability",
            _of_margin(lambda w, v, a, b, beta, z: -sympy.log(1 + sympy.exp(-beta * ((w - a) - (v - b))))),
            "this is the log-probability; the probability itself is wanted",
        ),
        Misconception(
            "odds",
            _of_margin(lambda w, v, a, b, beta, z: sympy.exp(beta * ((w - a) - (v - b)))),
            "these are the odds; the probability is odds / (1 + odds)",
        ),
        Misconception(
            "logs-of-logs",
            _of_margin(lambda w, v, a, b, beta, z: _sigma(beta * (sympy.log(w / a) - sympy.log(v / b)))),
            "the arguments are log-probabilities already; a second logarithm is too many",
        ),
        Misconception(
            "ratio-of-logs",
            _of_margin(lambda w, v, a, b, beta, z: _sigma(beta * (w / a - v / b))),
            "the logarithms were divided; the logarithm of a ratio is their difference",
        ),
        Misconception(
            "pointwise-sigmoids",
            _of_margin(
                lambda w, v, a, b, beta, z: (
                    _sigma(beta * (w - a)) / (_sigma(beta * (w - a)) + _sigma(beta * (v - b)))
                )
            ),
            "each reward went through a sigmoid of its own; Bradley-Terry takes the sigmoid of the difference",
        ),
        Misconception(
            "own-symbols",
            _preference_own_symbols,
            "symbols are made inside the function; use those that are handed in",
        ),
        Misconception(
            "not-a-single-expression",
            _of_margin(lambda w, v, a, b, beta, z: list(_rewards(w, v, a, b, beta, z))),
            "these are the two rewards; one probability is wanted",
        ),
    ),
    alternatives={
        "cancelled exponentials": lambda policy_logp, ref_logp, beta, log_z: sympy.cancel(
            _exponentials(policy_logp, ref_logp, beta, log_z)
        ),
        "simplified difference": lambda policy_logp, ref_logp, beta, log_z: (
            1 / (1 + sympy.exp(-sympy.simplify(_factored(policy_logp, ref_logp, beta, log_z))))
        ),
        "expanded difference": lambda policy_logp, ref_logp, beta, log_z: (
            1 / (1 + sympy.exp(sympy.expand((r := _rewards(*policy_logp, *ref_logp, beta, log_z))[1] - r[0])))
        ),
        "tanh": _of_margin(lambda w, v, a, b, beta, z: (1 + sympy.tanh(beta * ((w - a) - (v - b)) / 2)) / 2),
        "powers of ratios": _of_margin(
            lambda w, v, a, b, beta, z: (
                (sympy.exp(w) / sympy.exp(a)) ** beta
                / ((sympy.exp(w) / sympy.exp(a)) ** beta + (sympy.exp(v) / sympy.exp(b)) ** beta)
            )
        ),
        "log_z set to zero": lambda policy_logp, ref_logp, beta, log_z: _exponentials(
            policy_logp, ref_logp, beta, log_z
        ).subs(log_z, 0),
    },
    hints=(
        "Write the two full rewards first: beta · (log π - log π_ref) + beta · log_z, for chosen and rejected.",
        "Bradley-Terry sees their difference only. What happens to log_z in it?",
        "If log_z is still written in the result, sympy.expand the difference before you put it into the exponential.",
    ),
)
