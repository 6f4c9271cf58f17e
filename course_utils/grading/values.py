"""Values on their way into the sandbox and out of it: a tree for JSON, and tensors by name.

A tree is None, a bool, a text, an int of 63 bits, or a list that begins with a tag: ["float", "0.5"],
["list", [...]], ["tensor", "t0", True]. Nothing in it is ever run. Both sides use this module; what comes
from a student's process is checked node by node as it is read.
"""

import functools
import math
import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from itertools import islice

import numpy as np
import torch

from course_utils.grading import expressions, tables

DEPTH = 16  # levels of a tree
NODES = 1_000_000  # of one message
NUMBERS = 4_000_000  # of one tensor or array
BYTES = 48 << 20  # of all tensors of one message
TENSORS = 10_000  # of one message
BITS = 8192  # of an int
DTYPES = frozenset(
    getattr(torch, name)
    for name in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
)  # fmt: skip
_SCALARS = (
    "float64",
    "float32",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
)
_TIMES = re.compile(r"[mM]8\[(D|h|m|s|ms|us|ns)\]\Z")
_NAME = re.compile(r"[\w. -]{1,80}\Z")


class Unreadable(Exception):
    """What came is no value."""


class TooLarge(Exception):
    """A value is larger than what may cross."""


class Other:
    """Stands for an object of a kind that does not cross; its class has the kind's name."""

    def __repr__(self):
        return f"<{type(self).__name__} object>"


def other(kind):
    """An `Other` of that name."""
    return _class_of(kind if _NAME.match(kind) else "object")()


@functools.lru_cache(maxsize=256)
def _class_of(kind):
    return type(kind, (Other,), {})


class Encoder:
    """Turns values into trees.

    Attributes:
        tensors: {name: tensor}, to be sent with the trees; one that comes twice is there once.
        originals: the tensors themselves, by name.
        functions: the functions among the values, in the order in which they were met.
    """

    def __init__(self):
        self.tensors, self.originals, self.functions = {}, {}, []
        self._names, self._places, self._nodes, self._bytes = {}, {}, 0, 0

    def encode(self, value, depth=0):
        """The tree of a value.

        Raises:
            TooLarge: if it is too deep or too large.
        """
        self._nodes += 1
        if depth > DEPTH or self._nodes > NODES:
            raise TooLarge(
                "a value with more than a million entries" if depth <= DEPTH else "a value nested too deep"
            )
        kind = type(value)  # isinstance would ask the object
        if kind is str or kind is bool or value is None:
            return value
        for test, encode in _ENCODERS:
            if issubclass(kind, test):
                return encode(self, value, depth)
        for module in (tables, expressions):
            if (tree := module.encode(self, value, depth)) is not None:
                return tree
        if callable(getattr(kind, "__next__", None)):  # generators, map, zip
            return ["iterator", self.many(value, depth)]
        if callable(value) and not issubclass(kind, type):
            return self._function(value)
        return ["other", kind.__name__[:80]]

    def many(self, values, depth):
        """The trees of many values."""
        return [self.encode(value, depth + 1) for value in islice(values, NODES)]

    def tensor(self, tensor):
        """The name under which a plain tensor travels."""
        if tensor.numel() > NUMBERS:  # before a copy is made: an expanded tensor holds less than it says
            raise TooLarge(f"a tensor of {tensor.numel():,} numbers")
        if len(self.tensors) >= TENSORS:
            raise TooLarge(f"more than {TENSORS:,} tensors")
        self._bytes += tensor.numel() * tensor.element_size()
        if self._bytes > BYTES:
            raise TooLarge(f"tensors of more than {BYTES >> 20} MiB together")
        name = f"t{len(self.tensors)}"
        # a copy: two halves of one tensor must not share its memory
        self.tensors[name] = tensor.clone(memory_format=torch.contiguous_format)
        return name

    def _int(self, value, depth):
        value = int.__index__(value)
        if -(2**63) <= value < 2**63:
            return value
        return ["int", hex(value)] if value.bit_length() <= BITS else ["other", "huge int"]

    def _torch(self, value, depth):
        if id(value) in self._names:
            return list(self._names[id(value)])
        with torch._C.DisableTorchFunctionSubclass():
            if value.dtype not in DTYPES or value.layout != torch.strided or value.device.type != "cpu":
                return [
                    "other",
                    f"{str(value.layout)[6:]} {str(value.dtype)[6:]} Tensor on {value.device.type}",
                ]
            plain = torch.Tensor.detach(value).as_subclass(torch.Tensor)
            wanted = bool(value.requires_grad)
        name = self.tensor(plain)
        self.originals[name] = value
        self._names[id(value)] = ["tensor", name, wanted]
        return ["tensor", name, wanted]

    def _array(self, value, depth):
        value = np.asarray(value)
        if value.size > NUMBERS:
            raise TooLarge(f"an array of {value.size:,} entries")
        if value.dtype.kind in "OUS":
            return [
                "objects",
                list(value.shape),
                value.dtype.kind,
                self.many(value.reshape(-1).tolist(), depth),
            ]
        code = value.dtype.str[1:]
        if _TIMES.match(code):
            return ["times", self.tensor(torch.from_numpy(value.astype(f"={code}").view(np.int64))), code]
        if value.dtype.name not in (*_SCALARS, "bool"):
            return ["other", "ndarray"]
        return [
            "array",
            self.tensor(torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("="), order="C"))),
        ]

    def _scalar(self, value, depth):
        if isinstance(value, np.str_):
            return ["scalar", "str", str(value)]
        name = value.dtype.name
        if name == "bool":
            return ["scalar", name, bool(value)]
        if name not in _SCALARS:
            return tables.encode(self, value, depth) or ["other", type(value).__name__]
        return ["scalar", name, repr(value.item())]

    def _function(self, value):
        if id(value) not in self._places:
            self._places[id(value)] = len(self.functions)
            self.functions.append(value)  # keeps it, and with it its id
        return ["function", self._places[id(value)]]


_VIEWS = {type({}.keys()): "keys", type({}.values()): "values", type({}.items()): "items"}
_ENCODERS = (
    (np.generic, Encoder._scalar),
    (int, Encoder._int),
    (str, lambda e, v, d: str.__str__(v)),
    (float, lambda e, v, d: ["float", float.__repr__(v)]),
    (complex, lambda e, v, d: ["complex", repr(v.real), repr(v.imag)]),
    (torch.Tensor, Encoder._torch),
    (np.ndarray, Encoder._array),
    (list, lambda e, v, d: ["list", e.many(list.__iter__(v), d)]),
    (tuple, lambda e, v, d: ["tuple", e.many(tuple.__iter__(v), d)]),
    (
        dict,
        lambda e, v, d: ["dict", [[e.encode(key, d + 1), e.encode(x, d + 1)] for key, x in dict.items(v)]],
    ),
    # sorted, so that the same set has the same tree
    (set, lambda e, v, d: ["set", sorted(e.many(set.__iter__(v), d), key=repr)]),
    (frozenset, lambda e, v, d: ["frozenset", sorted(e.many(frozenset.__iter__(v), d), key=repr)]),
    (range, lambda e, v, d: ["range", e.encode(v.start), e.encode(v.stop), e.encode(v.step)]),
    (bytes, lambda e, v, d: ["bytes", v[:NODES].hex()]),
    (Fraction, lambda e, v, d: ["fraction", e.encode(v.numerator), e.encode(v.denominator)]),
    (Decimal, lambda e, v, d: ["decimal", str(v)]),
    (tuple(_VIEWS), lambda e, v, d: ["view", _VIEWS[type(v)], e.many(v, d)]),
)


def same(one, other, tensors, others):
    """Whether two trees stand for the same values, to the last bit; their tensors may have other names."""
    if type(one) is not list or type(other) is not list:
        return one == other and type(one) is type(other)
    if one[:1] == other[:1] and one[:1] in (["tensor"], ["array"], ["times"]):
        alike = (
            one[0] == "tensor" or one[2:] == other[2:]
        )  # of a tensor the rest says whether a gradient is wanted
        return alike and _same_bits(tensors[one[1]], others[other[1]])
    return len(one) == len(other) and all(
        same(a, b, tensors, others) for a, b in zip(one, other, strict=True)
    )


def _same_bits(a, b):
    a, b = a.contiguous(), b.contiguous()
    bits = [t.reshape(-1).view(torch.uint8) for t in (a, b)]
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(*bits)


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
    if name not in _SCALARS:
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
    if not _TIMES.match(code):
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
