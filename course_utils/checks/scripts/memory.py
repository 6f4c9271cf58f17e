"""The largest tensor that a function makes."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class _Watch(TorchDispatchMode):
    """Notes the largest float tensor that any operation makes, in the forward and in the backward pass.

    A view that repeats a smaller memory (expand) counts with what it really holds.
    """

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for made in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(made, torch.Tensor) and made.is_floating_point():
                held = made.untyped_storage().nbytes() // made.element_size()
                self.largest = max(self.largest, min(made.numel(), held))
        return result


def watched(function, args, grads):
    """A call, with a backward pass where gradients are wanted: result, gradients, the largest tensor's elements."""
    leaves = [args[i].requires_grad_() for i in grads]
    with _Watch() as watch:
        result = function(*args)
        if leaves:
            total = (
                result * torch.cos(torch.arange(result.numel(), dtype=result.dtype)).reshape(result.shape)
            ).sum()
            torch.autograd.backward(total)
    return {"result": result, "gradients": [leaf.grad for leaf in leaves], "largest": watch.largest}
