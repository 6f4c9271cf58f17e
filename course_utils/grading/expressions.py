"""Expressions of sympy as trees: a whitelist of heads, taken apart on one side and put together on the other.

An expression travels as a list of nodes, each after those that it is made of, and is put together without
being evaluated: 10**10**10 would never end.
"""

import cmath
import math
import re
import sys
from fractions import Fraction

from course_utils.grading.values import Unreadable

NODES = 5_000  # of one expression
DEPTH = 300
DIGITS = 300  # of a whole number
POWER = 10_000  # the largest exponent that is a number
LARGEST = 1e300
_VARIES = "varies"
_ASSUMPTION = re.compile(r"[a-z_]{1,30}\Z")
_FLOAT = re.compile(r"(-?\d{1,20}\.?\d{0,20}(e[-+]?\d{1,3})?|-?inf|nan)\Z")
_WHOLE = re.compile(rf"-?\d{{1,{DIGITS}}}\Z")
_HEADS = frozenset(
    ["Add", "Mul", "Pow", "exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "coth", "Abs", "sign", "Max", "Min", "Piecewise", "ExprCondPair", "Heaviside", "Equality", "Unequality", "StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan", "And", "Or", "Not", "Tuple", "re", "im", "conjugate"]
)  # fmt: skip
_CONSTANTS = (
    "Pi", "Exp1", "Infinity", "NegativeInfinity", "ComplexInfinity", "NaN", "ImaginaryUnit", "BooleanTrue", "BooleanFalse",
)  # fmt: skip


def encode(encoder, value, depth):
    """The tree of an expression or of a matrix of them, or None where the value is none."""
    sympy = sys.modules.get("sympy")
    if sympy is None:
        return None
    if isinstance(value, sympy.MatrixBase):
        if value.rows * value.cols > 100:
            return ["other", "large Matrix"]
        items = [encode(encoder, x, depth) or ["other", type(x).__name__] for x in value]
        return ["matrix", not isinstance(value, sympy.ImmutableDenseMatrix), value.rows, value.cols, items]
    if not isinstance(value, sympy.Basic):
        return None
    if value.has(sympy.Derivative, sympy.Integral, sympy.Sum, sympy.Product):
        value = value.doit()
    nodes = []
    try:
        _take_apart(value, nodes)
    except _Strange as strange:
        return ["other", str(strange)]
    return ["expression", nodes]


class _Strange(Exception):
    """An expression that does not cross; the text says what it is."""


def _take_apart(value, nodes):
    """Append the nodes of an expression; the number of its own."""
    import sympy

    head = type(value).__name__
    if isinstance(value, (sympy.Dummy, sympy.Wild)):
        raise _Strange(head)
    if isinstance(value, sympy.Symbol):
        node = ["Symbol", value.name, value._assumptions_orig]
    elif isinstance(value, sympy.Rational):
        if max(value.p.bit_length(), value.q.bit_length()) > 3 * DIGITS:
            raise _Strange("huge number")
        node = ["Rational", str(value.p), str(value.q)]
    elif isinstance(value, sympy.Float):
        node = ["Float", repr(float(value))]
    elif head in _CONSTANTS:
        node = ["Constant", head]
    elif isinstance(value, sympy.core.function.AppliedUndef):
        node = ["Applied", value.func.__name__, [_take_apart(x, nodes) for x in value.args]]
    elif head in _HEADS:
        node = [head, [_take_apart(x, nodes) for x in value.args]]
    else:
        raise _Strange(head)
    nodes.append(node)
    if len(nodes) > NODES:
        raise _Strange(f"expression of more than {NODES} operations")
    return len(nodes) - 1


def _decode_expression(decoder, parts, depth):
    made, sizes, depths, worth = [], [], [], []
    decoder.count_operations(len(parts[0]))
    for head, *rest in parts[0]:
        children = rest[-1] if head in _HEADS or head == "Applied" else []
        if not all(type(k) is int and 0 <= k < len(made) for k in children):
            _refuse("a node of nodes that have not come")
        # a node may be used twice, so that few nodes make a large tree
        sizes.append(1 + sum(sizes[k] for k in children))
        depths.append(1 + max((depths[k] for k in children), default=0))
        if sizes[-1] > NODES or depths[-1] > DEPTH:
            _refuse("an expression too deep or too large")
        worth.append(_worth(head, rest, [worth[k] for k in children]))
        made.append(_put_together(head, rest, [made[k] for k in children]))
    return made[-1]


def _worth(head, rest, args):
    """A number of its own as a float, _VARIES where symbols are in it; one that is too large is refused.

    sympy may evaluate a number when it is only asked for its sign, and 10**10**10 has too many digits for that.
    """
    if head in ("Symbol", "Applied"):
        return _VARIES
    if head == "Pow" and args[1] is not _VARIES and not abs(args[1]) <= POWER:
        _refuse("a power that is too large")
    if any(arg is _VARIES for arg in args):
        return _VARIES
    known = {
        "Rational": lambda: (
            Fraction(int(rest[0]), int(rest[1])) if all(map(_WHOLE.match, rest)) else math.nan
        ),
        "Float": lambda: float(rest[0]),
        "Add": lambda: sum(args),
        "Mul": lambda: math.prod(args),
        "Pow": lambda: args[0] ** args[1],
        "exp": lambda: cmath.exp(args[0]),
        "sinh": lambda: cmath.sinh(args[0]),
        "cosh": lambda: cmath.cosh(args[0]),
    }
    try:
        found = complex(known[head]()) if head in known else 1.0  # others make no number large
    except (OverflowError, ZeroDivisionError):
        found = math.inf
    if abs(found) > LARGEST:
        _refuse("a number that is too large")
    return found


def _put_together(head, rest, args):
    import sympy
    from sympy.functions.elementary.piecewise import ExprCondPair

    if head == "Symbol":
        name, assumptions = rest
        if not all(_ASSUMPTION.match(k) and isinstance(v, bool) for k, v in assumptions.items()):
            _refuse("a symbol")
        return sympy.Symbol(name[:100], **assumptions)
    if head == "Rational":
        if not all(_WHOLE.match(text) for text in rest):
            _refuse("a number")
        return sympy.Rational(int(rest[0]), int(rest[1]))
    if head == "Float":
        if not _FLOAT.match(rest[0]):
            _refuse("a number")
        return sympy.Float(float(rest[0]))
    if head == "Constant" and rest[0] in _CONSTANTS:
        return getattr(sympy.S, rest[0].replace("BooleanTrue", "true").replace("BooleanFalse", "false"))
    if head == "Applied":
        return sympy.Function(rest[0][:100])(*args)
    if head not in _HEADS:
        _refuse("an expression")
    if head == "Tuple":
        return sympy.Tuple(*args)
    if head == "ExprCondPair":
        if args[1].has(sympy.Piecewise):  # which would be folded
            _refuse("a condition of cases")
        return ExprCondPair(*args)
    return getattr(sympy, head)(*args, evaluate=False)


def _decode_matrix(decoder, parts, depth):
    import sympy

    mutable, rows, cols, items = parts
    if not all(type(n) is int and 0 <= n <= 100 for n in (rows, cols)):
        _refuse("a matrix")
    decoder.count_operations(len(items))
    made = [decoder.decode(tree, depth + 1) for tree in items]
    return (sympy.Matrix if mutable else sympy.ImmutableMatrix)(rows, cols, made)


def _refuse(what):
    raise Unreadable(f"no value: {what}")


DECODERS = {"expression": _decode_expression, "matrix": _decode_matrix}
