"""Parts that many exercises share: gradient, stability, dtype and purity over given inputs."""

import torch

from course_utils.checks.definition import Case, Part


def cast(args, dtype):
    """The arguments with every float tensor in another dtype."""
    return tuple(a.to(dtype) if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in args)


def form(points, arguments):
    """The part on dtype and purity: float32 in, float32 out; float64 too; inputs unchanged.

    Args:
        points: what it is worth.
        arguments: from a `Draw` to the arguments of one call, float64.
    """

    def cases(draw):
        args = arguments(draw)
        return [Case(args=cast(args, torch.float32), label="float32"), Case(args=args, label="float64")]

    return Part("dtype kept, inputs unchanged", points, cases, ("dtype", "inputs"))


def gradient(points, cases, name="gradients"):
    """The part on gradients: those that must arrive, and those that must not."""
    return Part(name, points, cases, ("gradient", "no gradient"))
