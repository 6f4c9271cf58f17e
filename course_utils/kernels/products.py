"""Float32 products of layers on CPUs where torch's first choice, MKL, is not the fastest: by oneDNN, which torch has too.

On AMD's processors with AVX-512 its products of SmolLM2's layers take 0.83 to 0.95 of MKL's time, forward and backward
(two cores of an EPYC of 2022, rows from 64 on). They are as exact: float32, sums in another order.
"""

import contextlib
from functools import cache
from pathlib import Path

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

LARGE = 2**24  # multiplications, from which on it was faster throughout


def faster_products():
    """A context in which large float32 products of `F.linear` are oneDNN's, where that is faster; else nothing changes.

    What runs again in the backward pass, outside the context, is not covered: no gradient checkpointing in it.
    """
    return _OneDNN() if _pays() else contextlib.nullcontext()


@cache
def _pays():
    """Whether this is an AMD processor with AVX-512, and torch has the product."""
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # no Linux
        return False
    there = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return there and "AuthenticAMD" in described and torch.backends.cpu.get_cpu_capability() == "AVX512"


class _OneDNN(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is F.linear and not kwargs and _suits(*args):
            hidden, weight, bias = (*args, None)[:3]
            made = _Linear.apply(hidden.flatten(0, -2), weight).unflatten(0, hidden.shape[:-1])
            return made if bias is None else made + bias
        return function(*args, **kwargs or {})


def _suits(hidden, weight, bias=None):
    return (
        hidden.dim() > 1
        and hidden.dtype == weight.dtype == torch.float32
        and hidden.device.type == weight.device.type == "cpu"
        and hidden.numel() * len(weight) >= LARGE
        and not torch.is_autocast_enabled("cpu")
    )


class _Linear(torch.autograd.Function):
    """hidden (N, d) @ weight (V, d).T"""

    @staticmethod
    def forward(ctx, hidden, weight):
        ctx.save_for_backward(hidden, weight)
        return _times_transposed(hidden, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream):
        hidden, weight = ctx.saved_tensors
        into_hidden, into_weight = ctx.needs_input_grad
        return (
            _times_transposed(upstream, weight.T) if into_hidden else None,
            _times_transposed(upstream.T, hidden.T) if into_weight else None,
        )


def _times_transposed(a, b):
    return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
