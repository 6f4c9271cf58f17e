"""Holding an observation against the reference's, with tolerances that scale with the values."""

import math
import numbers
from dataclasses import dataclass

import numpy as np
import torch

from course_utils.words import type_of

# What a right answer computed in another order may be off by, relative to the value.
RTOL = {torch.float64: 1e-6, torch.float32: 2e-4}
# How many float spacings of the *inputs* a result may be off by.
SPACINGS = 16


@dataclass(frozen=True)
class Missing:
    """Stands in an observation for what a result lacks; says so in words."""

    words: str


def difference(expected, seen, case, key="result", reveal=True):
    """How an observation differs from the reference's, in words; None where it agrees.

    Args:
        expected, seen: trees of tensors, numbers, strings, lists and dicts.
        case: gives the tolerance.
        key: the observation's name; gradients are held to the largest component.
        reveal: whether the message may show the wanted numbers (visible checks only); None where it is only
            asked whether there is a difference, which is told faster.
    """
    rtol, atol = case.tolerance
    return _tree(expected, seen, rtol, atol, "", key, reveal)


def with_nan_of(seen, expected):
    """`expected` with nan in the places where `seen` has nan; None counts as a tensor of zeros, as in a gradient."""
    if isinstance(seen, torch.Tensor) and seen.is_floating_point():
        expected = torch.zeros_like(seen) if expected is None else expected
        same = isinstance(expected, torch.Tensor) and expected.shape == seen.shape
        if not same or not expected.is_floating_point():  # whole numbers hold no nan
            return expected
        return expected.masked_fill(torch.isnan(seen), math.nan)
    if isinstance(seen, float) and math.isnan(seen):
        return seen
    if isinstance(seen, dict) and isinstance(expected, dict):
        return {k: with_nan_of(seen.get(k), v) for k, v in expected.items()}
    if isinstance(seen, list) and isinstance(expected, list) and len(seen) == len(expected):
        return [with_nan_of(s, e) for s, e in zip(seen, expected, strict=True)]
    return expected


def tolerance(case):
    """(relative, absolute) tolerance of a case, from the dtype and the size of its float inputs."""
    floats = [
        t for t in _leaves((case.args, case.kwargs)) if isinstance(t, torch.Tensor) and t.is_floating_point()
    ]
    dtype = torch.float32 if any(t.dtype == torch.float32 for t in floats) else torch.float64
    scale = case.scale
    if scale is None:
        scale = max((t.abs().max().item() for t in floats if t.numel()), default=1.0)
    return case.rtol or RTOL[dtype], SPACINGS * torch.finfo(dtype).eps * scale


def _leaves(tree):
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in _leaves(value)]
    if isinstance(tree, (list, tuple)):
        return [leaf for value in tree for leaf in _leaves(value)]
    return [tree]


def _tree(expected, seen, rtol, atol, path, key, reveal):
    where = f"{path}: " if path else ""
    if isinstance(seen, Missing) or isinstance(expected, Missing):
        both = type(seen) is type(expected)
        lacks = seen if isinstance(seen, Missing) else expected
        return None if both and seen == expected else f"{where}{lacks.words}"
    if isinstance(expected, torch.Tensor) or (
        expected is None and key.startswith(("gradient", "no gradient"))
    ):
        return _tensor(expected, seen, rtol, atol, where, key, reveal)
    if isinstance(expected, dict):
        if not isinstance(seen, dict):
            return f"{where}{_kind(seen)} where a dict is wanted"
        for name in expected:
            if name not in seen:
                return f"{where}the key {name!r} is missing"
        if extra := [name for name in seen if name not in expected]:
            return f"{where}unexpected key {extra[0]!r}"
        found = (_tree(expected[n], seen[n], rtol, atol, f"{path}[{n!r}]", key, reveal) for n in expected)
        return next((f for f in found if f), None)
    if isinstance(expected, (list, tuple)):
        if not isinstance(seen, (list, tuple)):
            return f"{where}{_kind(seen)} where {len(expected)} values are wanted"
        if len(seen) != len(expected):
            return f"{where}{len(seen)} values where {len(expected)} are wanted"
        pairs = enumerate(zip(expected, seen, strict=True))
        found = (_tree(e, s, rtol, atol, f"{path}[{i}]", key, reveal) for i, (e, s) in pairs)
        return next((f for f in found if f), None)
    if isinstance(expected, numbers.Real) and not isinstance(expected, bool):
        if isinstance(seen, bool) or not isinstance(seen, numbers.Real):
            return f"{where}{_kind(seen)} where a Python float is wanted"
        return _numbers(
            torch.tensor(float(expected), dtype=torch.float64),
            torch.tensor(_as_float(seen), dtype=torch.float64),
            rtol, atol, where, key, reveal,
        )  # fmt: skip
    if _equal(expected, seen):
        return None
    if key == "inputs":
        return str(seen)
    if key == "dtype":
        return f"{where}dtype {seen}, wanted {expected}"
    return f"{where}{seen!r}" + (f", wanted {expected!r}" if reveal else " is not what is wanted")


def _as_float(number):
    """A number as a float; one that is too large for that is infinite."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _equal(expected, seen):
    """Whether two plain values are equal; an object that says so of itself is none."""
    plain = isinstance(seen, (str, numbers.Number, np.bool_)) or type(seen) is type(expected)
    return plain and bool(expected == seen)


def _tensor(expected, seen, rtol, atol, where, key, reveal):
    if key.startswith(("gradient", "no gradient")):
        return _gradient(expected, seen, rtol, where, key, reveal)
    if not isinstance(seen, torch.Tensor):
        return f"{where}{_kind(seen)} where a tensor is wanted"
    if seen.layout != torch.strided or seen.is_meta:
        return f"{where}a tensor without plain numbers ({'meta' if seen.is_meta else str(seen.layout)[6:]})"
    if seen.shape != expected.shape:
        return f"{where}shape {tuple(seen.shape)}, wanted {tuple(expected.shape)}"
    if expected.dtype == torch.bool or not expected.is_floating_point():
        if seen.dtype != expected.dtype and key == "result" and seen.is_floating_point():
            return f"{where}dtype {str(seen.dtype)[6:]}, wanted {str(expected.dtype)[6:]}"
        wrong = seen != expected
        return _worst(expected, seen, wrong, where, reveal) if wrong.any() else None
    if not seen.is_floating_point():
        return f"{where}dtype {str(seen.dtype)[6:]}, wanted {str(expected.dtype)[6:]}"
    if seen.dtype == torch.float32 and expected.dtype == torch.float64:
        # a dtype that was not kept is looked at by a part of its own; here only the numbers count
        atol *= torch.finfo(torch.float32).eps / torch.finfo(torch.float64).eps
        rtol = max(rtol, RTOL[torch.float32])
    return _numbers(expected, seen, rtol, atol, where, key, reveal)


def _gradient(expected, seen, rtol, where, key, reveal):
    """No gradient and a gradient of zeros are the same thing."""
    if expected is None and seen is None:
        return None
    zero = torch.zeros_like(seen if expected is None else expected)
    nothing, expected, seen = (
        seen is None,
        zero if expected is None else expected,
        zero if seen is None else seen,
    )
    finite = expected[torch.isfinite(expected)]
    largest = finite.abs().max().item() if finite.numel() else 0.0
    tiny = 1e-12 if expected.dtype == torch.float64 else 1e-6
    # float32 gradients are differences of rounded numbers: five times the value's tolerance
    slack = rtol * (5 if expected.dtype == torch.float32 else 1) * largest + tiny
    if not (seen - expected).abs().gt(slack).any() and not torch.isnan(seen).any():
        return None
    if key.startswith("no gradient"):
        return f"{where}a gradient flows where none must"
    if nothing:
        return f"{where}no gradient arrives (was the result cut from its graph by .item(), .detach(), .numpy() or torch.tensor?)"
    return _numbers(expected, seen, 0.0, slack, where, key, reveal)


def _numbers(expected, seen, rtol, atol, where, key, reveal):
    expected, seen = expected.to(torch.float64), seen.to(torch.float64)
    both = (expected == seen) | (torch.isnan(expected) & torch.isnan(seen))  # equal infinities, nan
    close = torch.isfinite(expected) & ((seen - expected).abs() <= rtol * expected.abs() + atol)
    wrong = ~both & ~close
    if not wrong.any():
        return None
    bad = wrong & ~torch.isfinite(seen) & torch.isfinite(expected)
    if reveal is not None and bad.any():
        kind = "nan" if torch.isnan(seen[bad]).any() else "infinity"
        return f"{where}{kind} in {int(bad.sum())} of {seen.numel()} values"
    return _worst(expected, seen, wrong, where, reveal)


def _worst(expected, seen, wrong, where, reveal):
    """The place that is furthest off, in numbers where they may be shown."""
    if reveal is None:
        return "other values"
    gap = torch.where(wrong, (seen.double() - expected.double()).abs(), -1.0).reshape(-1)
    at = int(gap.argmax())
    index = [int(i) for i in torch.unravel_index(torch.tensor(at), expected.shape)] if expected.dim() else []
    place = f" at {index}" if index else ""
    got, want = _show(seen.reshape(-1)[at].item(), expected.reshape(-1)[at].item())
    share = f"{int(wrong.sum())} of {wrong.numel()} values differ; " if wrong.numel() > 1 else ""
    if not reveal:
        return f"{where}{share}seen{place} {got}, which is not the right value"
    return f"{where}{share}seen{place} {got}, wanted {want}"


def _show(got, want):
    """Both numbers as text, with as many digits as it takes to tell them apart."""
    for digits in (6, 9, 12, 17):
        texts = tuple(
            f"{n:.{digits}g}" if isinstance(n, float) and math.isfinite(n) else str(n) for n in (got, want)
        )
        if texts[0] != texts[1]:
            break
    return texts


def _kind(value):
    return "None (is there a `return`?)" if value is None else type_of(value)
