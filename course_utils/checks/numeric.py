"""The value of a sympy expression at a point, in a bounded time.

sympy's own evalf is exact about whatever it is given, and never ends on 10**10**10**10: here a number beyond
10**1000 is infinite.
"""

import mpmath
import sympy

DIGITS = 60
_LARGE = mpmath.mpf(10) ** 1000
_LOG_LARGE = mpmath.log(_LARGE)


class Unknown(Exception):
    """A function of sympy that is not evaluated here."""


def numeric(expression, point):
    """The value of an expression as a complex number; nan where it has none.

    Args:
        expression: a sympy expression.
        point: {symbol: number}, with all its symbols.

    Raises:
        Unknown: if there is a function in it that is not known here.
    """
    with mpmath.workdps(DIGITS):
        values = {symbol: mpmath.mpf(number) for symbol, number in point.items()}
        try:
            return complex(_value(expression, values))
        except (TypeError, ValueError, ZeroDivisionError, OverflowError):
            return complex("nan")


def _value(expression, values):
    """The value of one node; what was found is kept in `values`."""
    if expression not in values:
        found = _of_node(expression, values)
        if not isinstance(found, bool):
            if mpmath.isnan(found):
                raise ValueError("no number")
            if abs(found) > _LARGE:
                found = mpmath.sign(found) * mpmath.inf if mpmath.im(found) == 0 else mpmath.nan
        values[expression] = found
    return values[expression]


def _of_node(expression, values):
    if isinstance(expression, sympy.Rational):
        return mpmath.mpf(expression.p) / expression.q
    if isinstance(expression, sympy.Float):
        return mpmath.mpf(expression._mpf_)
    head = type(expression).__name__
    if head in _CONSTANTS:
        return _CONSTANTS[head]()
    if head == "Piecewise":
        for value, condition in expression.args:
            if _value(condition, values) is True:
                return _value(value, values)
        return mpmath.nan
    if isinstance(expression, sympy.core.function.AppliedUndef):
        return mpmath.nan
    if head not in _FUNCTIONS:
        raise Unknown(head)
    return _FUNCTIONS[head](*[_value(part, values) for part in expression.args])


def _power(base, exponent):
    if base == 0:
        return mpmath.mpf(exponent == 0) if mpmath.re(exponent) >= 0 else mpmath.inf
    size = mpmath.re(exponent * mpmath.log(base))
    if size > _LOG_LARGE:
        return mpmath.inf
    return mpmath.mpf(0) if size < -_LOG_LARGE else mpmath.power(base, exponent)


def _exp(x):
    if mpmath.re(x) > _LOG_LARGE:
        return mpmath.inf
    return mpmath.mpf(0) if mpmath.re(x) < -_LOG_LARGE else mpmath.exp(x)


def _real(x):
    if mpmath.im(x) != 0:
        raise ValueError("an order of complex numbers")
    return mpmath.re(x)


def _order(compare):
    return lambda a, b: bool(compare(_real(a), _real(b)))


_CONSTANTS = {
    "Pi": lambda: +mpmath.pi,
    "Exp1": lambda: +mpmath.e,
    "ImaginaryUnit": lambda: mpmath.mpc(0, 1),
    "Infinity": lambda: mpmath.inf,
    "NegativeInfinity": lambda: -mpmath.inf,
    "NaN": lambda: mpmath.nan,
    "ComplexInfinity": lambda: mpmath.nan,
    "BooleanTrue": lambda: True,
    "BooleanFalse": lambda: False,
}
_FUNCTIONS = {
    "Add": lambda *xs: mpmath.fsum(xs),
    "Mul": lambda *xs: mpmath.fprod(xs),
    "Pow": _power,
    "exp": _exp,
    "log": lambda x, base=None: mpmath.log(x) if base is None else mpmath.log(x) / mpmath.log(base),
    **{name: getattr(mpmath, name) for name in ("sin", "cos", "tan", "re", "im", "sign")},
    "tanh": lambda x: mpmath.tanh(x) if abs(mpmath.re(x)) < _LOG_LARGE else mpmath.sign(mpmath.re(x)),
    "coth": lambda x: mpmath.coth(x) if abs(mpmath.re(x)) < _LOG_LARGE else mpmath.sign(mpmath.re(x)),
    "sinh": lambda x: (_exp(x) - _exp(-x)) / 2,
    "cosh": lambda x: (_exp(x) + _exp(-x)) / 2,
    "Abs": abs,
    "conjugate": mpmath.conj,
    "Max": lambda *xs: max(map(_real, xs)),
    "Min": lambda *xs: min(map(_real, xs)),
    "Heaviside": lambda x, half=0.5: half if x == 0 else mpmath.mpf(_real(x) > 0),
    "Equality": lambda a, b: bool(a == b),
    "Unequality": lambda a, b: bool(a != b),
    "StrictLessThan": _order(lambda a, b: a < b),
    "LessThan": _order(lambda a, b: a <= b),
    "StrictGreaterThan": _order(lambda a, b: a > b),
    "GreaterThan": _order(lambda a, b: a >= b),
    "And": lambda *xs: all(xs),
    "Or": lambda *xs: any(xs),
    "Not": lambda x: not x,
}
