"""Two more ways to look at an answer: a gradient along the simplex, and a verdict of either truth."""

import numpy as np
import torch

from course_utils.checks.observe import changed_inputs, describe_error, observe_call, quietly
from course_utils.words import type_of, with_article


def observe_on_simplex(function, case):
    """As `observe_call`, with the gradient into the first argument, a policy, taken along the simplex.

    A policy can only move so that it still sums to 1. The component of the gradient that is the same
    for all responses has no meaning there: it depends on whether an answer normalises once more.
    """
    seen = observe_call(function, case)
    slope = seen.get("gradient of argument 1")
    if slope is not None:
        seen["gradient of argument 1"] = slope - slope.mean(-1, keepdim=True)
    return seen


def observe_verdict(function, case):
    """The verdict as a Python bool, what kind of thing it came in ("form"), and "inputs"."""
    args = tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in case.args)
    try:
        result = quietly(function, *args, **case.kwargs)
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    return {
        "result": _verdict(result),
        "form": _form(result),
        "inputs": changed_inputs((case.args, case.kwargs), (args, case.kwargs)),
    }


def _verdict(result):
    """True or False, or what else there is, in words."""
    if result is None:
        return "None (is there a `return`?)"
    if isinstance(result, torch.Tensor):
        result = result.detach().cpu().numpy()
    if not isinstance(result, (bool, int, float, np.ndarray, np.generic)):
        return type_of(result)
    result = np.asarray(result)
    return bool(result.item()) if result.size == 1 else f"a verdict for each of {result.shape}"


def _form(result):
    if not isinstance(result, torch.Tensor):
        return f"{type_of(result)}, not a tensor"
    return f"{with_article(str(result.dtype).removeprefix('torch.'))} tensor with {result.dim()} dimensions"
