"""Holding a sympy answer against the reference's: by value at drawn points, so that any form will do."""

import cmath
from dataclasses import dataclass

import sympy
import torch

from course_utils.checks.numeric import Unknown, numeric
from course_utils.checks.observe import changed_inputs, describe_error, quietly
from course_utils.words import type_of

LARGEST = 20_000  # operations of an expression that is still evaluated
ELSEWHERE = 0.37  # the value of a symbol that does not belong in the answer


@dataclass(frozen=True)
class Points:
    """Where a symbolic answer is evaluated: the `extra` of a case.

    Attributes:
        values: one {symbol: number} per point; its symbols are those that the answer may hold.
        gone: symbols that are given to the function but must not be in its answer.
        count: how many expressions are wanted; None for a single one, not in a list.
    """

    values: tuple[dict, ...]
    gone: tuple = ()
    count: int | None = None


def observe_expression(function, case):
    """Call an answer on symbols and evaluate what it returns.

    Returns:
        "kind" (what came back, in words), "symbols" (whether others than the given ones are in it),
        "gone" (whether those that must cancel have), "inputs" (whether a list was changed), "result"
        (points x expressions, float64; nan where there is no real value) and "ratios" (the same, each
        point scaled to sum to 1).
        "error" alone where the call raised.
    """
    points = case.extra
    args = tuple(list(a) if isinstance(a, list) else a for a in case.args)
    try:
        result = quietly(function, *args)
        found = _expressions(result, points.count)
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    inputs = changed_inputs((case.args, {}), (args, {}))
    if isinstance(found, str):
        return {
            "kind": found,
            "symbols": found,
            "gone": found,
            "inputs": inputs,
            "result": found,
            "ratios": found,
        }
    values = torch.tensor([[_value(e, point) for e in found] for point in points.values], dtype=torch.float64)
    symbols = set().union(*(e.free_symbols for e in found))
    return {
        "kind": _wanted(points.count),
        "symbols": _foreign(symbols, points),
        "gone": _left(symbols, points.gone),
        "inputs": inputs,
        "result": values,
        "ratios": values / values.sum(-1, keepdim=True),
    }


def observe_lagrangian(function, case):
    """As `observe_expression`, for an expression in a multiplier (the last argument) of either sign.

    Adds "objective" (the part that is even in the multiplier, where it is the objective for a
    Lagrangian) and "constraint" (the odd part, with the sign for which the first point's is that of
    lam (sum of p - 1)), both over the points.
    """
    p, lam = case.args[0], case.args[-1]
    mirrored = tuple(point | {lam: -point[lam]} for point in case.extra.values)
    twice = Points(case.extra.values + mirrored, case.extra.gone, case.extra.count)
    seen = observe_expression(function, _with(case, twice))
    values = seen.get("result")
    if not isinstance(values, torch.Tensor):
        return seen if "error" in seen else seen | {"objective": values, "constraint": values}
    plus, minus = values.reshape(2, -1)
    first = case.extra.values[0]
    odd = (plus - minus) / 2
    turned = odd[0].item() * first[lam] * (sum(first[s] for s in p) - 1) < 0
    return seen | {"result": plus, "objective": (plus + minus) / 2, "constraint": -odd if turned else odd}


def _with(case, points):
    return type(case)(case.args, case.kwargs, case.label, extra=points)


def _wanted(count):
    return "one expression" if count is None else f"{count} expressions"


def _expressions(result, count):
    """The answer as a list of sympy expressions; words where it is something else."""
    if result is None:
        return "None (is there a `return`?)"
    if isinstance(result, (str, dict)):
        return type_of(result)
    if count is None:
        # a product of matrices comes as a matrix with one entry
        many = list(result) if getattr(result, "shape", None) == (1, 1) else [result]
    else:
        try:
            many = list(result)
        except TypeError:
            return "one expression"
    if count is not None and len(many) != count:
        return f"{len(many)} expressions"
    found = []
    for one in many:
        if hasattr(one, "__iter__") and not isinstance(one, (str, sympy.Basic)):
            return type_of(one)
        one = sympy.sympify(one)
        if not isinstance(one, sympy.Expr):
            return type_of(one)
        one = one.doit() if one.has(sympy.Derivative, sympy.Integral, sympy.Sum, sympy.Product) else one
        if one.count_ops() > LARGEST:
            return f"an expression with {one.count_ops()} operations"
        found.append(one)
    return found


def _foreign(symbols, points):
    names = sorted(str(s) for s in symbols - set(points.values[0]) - set(points.gone))
    return f"also {', '.join(names)}" if names else "only the given symbols"


def _left(symbols, gone):
    names = sorted(str(s) for s in symbols & set(gone))
    return f"{', '.join(names)} is still in it" if names else "cancelled"


def _value(expression, point):
    """The real value of an expression at a point, nan where it has none."""
    here = {s: point.get(s, ELSEWHERE) for s in expression.free_symbols}
    try:
        value = numeric(expression, here)
    except (Unknown, RecursionError):  # never for what came out of a sandbox
        try:
            value = complex(expression.xreplace({s: sympy.Float(x, 30) for s, x in here.items()}).evalf(20))
        except (TypeError, ValueError, OverflowError, ZeroDivisionError):
            return float("nan")
    if not cmath.isfinite(value):
        return float("nan")
    return value.real if abs(value.imag) <= 1e-9 * (1 + abs(value.real)) else float("nan")
