"""What values may cross into the sandbox and out of it, how large, and as what: a tree for JSON, and tensors by name.

A tree is None, a bool, a text, an int of 63 bits, or a list that begins with a tag: ["float", "0.5"],
["list", [...]], ["tensor", "t0", True]. Nothing in it is ever run. encoder.py makes trees and decoder.py reads
them, on both sides.
"""

import functools
import re

import torch

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
SCALARS = (
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
TIMES = re.compile(r"[mM]8\[(D|h|m|s|ms|us|ns)\]\Z")
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


def same(one, other, tensors, others):
    """Whether two trees stand for the same values, to the last bit; their tensors may have other names."""
    if type(one) is not list or type(other) is not list:
        return one == other and type(one) is type(other)
    if one[:1] == other[:1] and one[:1] in (["tensor"], ["array"], ["times"]):
        # of a tensor the rest says whether a gradient is wanted
        alike = one[0] == "tensor" or one[2:] == other[2:]
        return alike and _same_bits(tensors[one[1]], others[other[1]])
    return len(one) == len(other) and all(
        same(a, b, tensors, others) for a, b in zip(one, other, strict=True)
    )


def _same_bits(a, b):
    a, b = a.contiguous(), b.contiguous()
    bits = [t.reshape(-1).view(torch.uint8) for t in (a, b)]
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(*bits)
