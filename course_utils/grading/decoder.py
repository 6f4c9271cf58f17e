"""From trees back to values (see values.py): what comes from a student's process is checked node by node as it is read."""

import math
from decimal import Decimal, InvalidOperation
from fractions import Fraction

import numpy as np

from course_utils.grading import expressions, tables
from course_utils.grading.values import BITS, BYTES, DEPTH, DTYPES, NODES, SCALARS, TIMES, Unreadable, other


class Decoder:
    """Turns trees back into values, and trusts none of them.

    Args:
        tensors: {name: tensor} that came with the trees.
        functions: from a number to the function that stands for it on this side.

    Attributes:
        differentiable: {name: tensor} of those that require a gradient where they come from.
    """

    def __init__(self, tensors, functions=None):
        self.tensors, self.functions, self.differentiable = tensors, functions, {}
        self._made, self._nodes, self._bytes, self._operations = {}, 0, 0, 0

    def decode(self, tree, depth=0):
        """The value of a tree.

        Raises:
            Unreadable: if it is none.
        """
        self._nodes += 1
        if depth > DEPTH or self._nodes > 2 * NODES:
            raise Unreadable("a value too deep or too large")
        kind = type(tree)
        if tree is None or kind in (bool, str, int):
            return tree
        if kind is not list or not tree or type(tree[0]) is not str:
            raise Unreadable("no value")
        decode = _DECODERS.get(tree[0]) or tables.DECODERS.get(tree[0]) or expressions.DECODERS.get(tree[0])
        if decode is None:
            raise Unreadable(f"no value of the kind {tree[0][:20]!r}")
        try:
            return decode(self, tree[1:], depth)
        except Unreadable:
            raise
        except Exception as error:  # whatever is wrong with the parts: too few, of other types, unhashable
            raise Unreadable(f"no {tree[0]}: {type(error).__name__}") from None

    def many(self, trees, depth):
        """The values of a list of trees, as a list."""
        if type(trees) is not list:
            raise Unreadable("no list")
        return [self.decode(tree, depth + 1) for tree in trees]

    def tensor(self, name):
        """A tensor that came along."""
        found = self.tensors.get(name) if type(name) is str else None
        if found is None or found.dtype not in DTYPES and "uint" not in str(found.dtype):
            raise Unreadable("a tensor that did not come")
        return found

    def array(self, name):
        """A copy of a tensor that came along, as an array."""
        found = self.tensor(name)
        self.make_room(found.numel() * found.element_size())
        return found.numpy().copy()

    def make_room(self, size):
        """Count bytes that are about to be taken: few words can ask for one tensor many times, or for wide texts.

        Raises:
            Unreadable: if all together are more than what may cross.
        """
        self._bytes += size
        if self._bytes > BYTES:
            raise Unreadable(f"arrays of more than {BYTES >> 20} MiB together")

    def count_operations(self, number):
        """Count operations of expressions.

        Raises:
            Unreadable: if all together are too many to be looked at.
        """
        self._operations += number
        if self._operations > 4 * expressions.NODES:
            raise Unreadable("expressions too large together")

    def _torch(self, parts, depth):
        name, wanted = parts
        if name not in self._made:
            # a copy: what came in one message lies in one piece of memory
            self._made[name] = self.tensor(name).clone()
            if wanted and self._made[name].is_floating_point():
                self.differentiable[name] = self._made[name]
        return self._made[name]

    def _function(self, parts, depth):
        if self.functions is None or type(parts[0]) is not int:
            return other("function")
        return self.functions(parts[0])


def _objects(decoder, parts, depth):
    shape, kind, trees = parts
    values = decoder.many(trees, depth)
    if kind not in ("O", "U", "S"):
        raise Unreadable("no array")
    if kind != "O":  # each entry takes the room of the widest
        decoder.make_room(4 * len(values) * max((len(str(value)) for value in values), default=0))
    found = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        found[i] = value
    return found.reshape(shape) if kind == "O" else found.reshape(shape).astype(kind)


def _scalar(decoder, parts, depth):
    name, text = parts
    if name == "bool":
        return np.bool_(text is True)
    if name == "str":
        return np.str_(text)
    if name not in SCALARS:
        raise Unreadable("no scalar")
    return np.dtype(name).type(number(text) if name.startswith("float") else int(text))


def number(text):
    """A float from its repr."""
    if type(text) is not str or len(text) > 40:
        raise Unreadable("no number")
    return float(text)


def _int(decoder, parts, depth):
    text = parts[0]
    if type(text) is not str or len(text) > BITS // 4 + 3:
        raise Unreadable("no int")
    return int(text, 16)


def _whole(decoder, tree):
    value = decoder.decode(tree)
    if type(value) is not int:
        raise Unreadable("no int")
    return value


def _range(decoder, parts, depth):
    found = range(*(_whole(decoder, tree) for tree in parts))
    return found if not found[NODES:] else other("huge range")


def _fraction(decoder, parts, depth):
    return Fraction(_whole(decoder, parts[0]), _whole(decoder, parts[1]))


def _decimal(decoder, parts, depth):
    text = parts[0]
    try:
        found = Decimal(text if len(text) <= 2000 else "none")
    except InvalidOperation:
        raise Unreadable("no decimal") from None
    if found.is_finite() and abs(found.adjusted()) > 2000:  # an int of it would fill the memory
        return other("huge Decimal")
    return math.nan if found.is_snan() else found


def _view(decoder, parts, depth):
    kind, trees = parts
    values = decoder.many(trees, depth)
    if kind == "keys":
        return dict.fromkeys(values).keys()
    return dict(values).items() if kind == "items" else dict(enumerate(values)).values()


def _times(decoder, parts, depth):
    name, code = parts
    if not TIMES.match(code):
        raise Unreadable("no times")
    return decoder.array(name).view(f"={code}")


_DECODERS = {
    "float": lambda d, p, n: number(p[0]),
    "int": _int,
    "complex": lambda d, p, n: complex(number(p[0]), number(p[1])),
    "tensor": Decoder._torch,
    "array": lambda d, p, n: d.array(p[0]),
    "objects": _objects,
    "times": _times,
    "scalar": _scalar,
    "list": lambda d, p, n: d.many(p[0], n),
    "tuple": lambda d, p, n: tuple(d.many(p[0], n)),
    "dict": lambda d, p, n: {d.decode(key, n + 1): d.decode(value, n + 1) for key, value in p[0]},
    "set": lambda d, p, n: set(d.many(p[0], n)),
    "frozenset": lambda d, p, n: frozenset(d.many(p[0], n)),
    "range": _range,
    "bytes": lambda d, p, n: bytes.fromhex(p[0]),
    "fraction": _fraction,
    "decimal": _decimal,
    "view": _view,
    "iterator": lambda d, p, n: (value for value in d.many(p[0], n)),
    "function": Decoder._function,
    "other": lambda d, p, n: other(p[0] if type(p[0]) is str else "object"),
}
