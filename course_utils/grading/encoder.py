"""From values to trees (see values.py)."""

from decimal import Decimal
from fractions import Fraction
from itertools import islice

import numpy as np
import torch

from course_utils.grading import expressions, tables
from course_utils.grading.values import (
    BITS,
    BYTES,
    DEPTH,
    DTYPES,
    NODES,
    NUMBERS,
    SCALARS,
    TENSORS,
    TIMES,
    TooLarge,
)


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
        if TIMES.match(code):
            return ["times", self.tensor(torch.from_numpy(value.astype(f"={code}").view(np.int64))), code]
        if value.dtype.name not in (*SCALARS, "bool"):
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
        if name not in SCALARS:
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
