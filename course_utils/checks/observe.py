"""Running an answer once and noting everything that a check may look at."""

import contextlib
import copy
import io
import linecache
import sys
import sysconfig
import traceback
import warnings
from pathlib import Path

import torch

from course_utils.checks.beside import Elsewhere

_PACKAGE = str(Path(__file__).resolve().parent.parent)
_NOT_THE_CELL = (_PACKAGE, sysconfig.get_path("stdlib"), "<frozen ")


def quietly(function, *args, **kwargs):
    """Call `function` with its prints, warnings and log lines kept away from the notebook: they cost nothing.

    nbgrader gives no credit for a cell with a word on stderr, whoever wrote it.
    """
    with (
        warnings.catch_warnings(),
        _muted(sys.stdout),  # whoever holds the notebook's own streams, e.g. a log handler
        _muted(sys.stderr),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


@contextlib.contextmanager
def _muted(stream):
    """A notebook's output stream with a `write` that drops everything."""
    try:
        stream.write = lambda text: len(text)
    except AttributeError:  # a terminal's stream, written in C
        yield
        return
    try:
        yield
    finally:
        vars(stream).pop("write", None)  # gone already where both streams are one


def observe_call(function, case):
    """Call `function` on a case: what it returned, its dtypes, gradients, whether inputs were changed.

    Returns:
        A dict with "result" and "dtype", a "gradient of argument N" for each of `case.grads`, a
        "no gradient into argument N" for each of `case.no_grads`, and "inputs". Where the call
        raised, the dict has "error" alone (a one-line description with the student's line).
    """
    # each by itself: where two arguments are one tensor, an answer that overwrites one must not change the other,
    # or what it costs to change an input would be the values as well
    args = tuple(copy.deepcopy(argument) for argument in case.args)
    kwargs = {name: copy.deepcopy(argument) for name, argument in case.kwargs.items()}
    wanted = case.grads + case.no_grads
    leaves = [args[i].requires_grad_() for i in wanted]
    try:
        result = quietly(function, *args, **kwargs)
        seen = {"result": detached(result), "dtype": dtypes(result)}
        if wanted:
            gradients = _gradients(result, leaves)
            names = [f"gradient of argument {i + 1}" for i in case.grads]
            names += [f"no gradient into argument {i + 1}" for i in case.no_grads]
            seen |= dict(zip(names, gradients, strict=True))
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    seen["inputs"] = changed_inputs((case.args, case.kwargs), (args, kwargs))
    return seen


def changed_inputs(before, after):
    """ "unchanged", or which argument is no longer what it was."""
    for i, (old, new) in enumerate(zip(before[0], after[0], strict=True)):
        if not same(old, new):
            return f"argument {i + 1} was changed by your function; work on a copy"
    for name in before[1]:
        if not same(before[1][name], after[1][name]):
            return f"argument {name} was changed by your function; work on a copy"
    return "unchanged"


def same(a, b):
    """Whether two inputs are equal to the last bit (tensors, lists, dicts, models, anything with ==)."""
    if isinstance(a, torch.Tensor):
        return (
            isinstance(b, torch.Tensor)
            and a.shape == b.shape
            and a.dtype == b.dtype
            and bool(((a == b) | ((a != a) & (b != b))).all())
        )
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "__array__"):
        return same(torch.as_tensor(a), torch.as_tensor(b))
    return bool(a == b)


def detached(result):
    """A copy of a result without its graph: tensors cut out, containers kept."""
    if isinstance(result, torch.Tensor):
        return result.detach().clone()
    if isinstance(result, dict):
        return {key: detached(value) for key, value in result.items()}
    if isinstance(result, (list, tuple)):
        return [detached(value) for value in result]
    return result


def dtypes(result):
    """The dtypes of the tensors in a result, in its structure; the type's name for anything else."""
    if isinstance(result, torch.Tensor):
        return str(result.dtype).removeprefix("torch.")
    if isinstance(result, dict):
        return {key: dtypes(value) for key, value in result.items()}
    if isinstance(result, (list, tuple)):
        return [dtypes(value) for value in result]
    return type(result).__name__


def _gradients(result, leaves):
    """Gradients of a fixed weighted sum of all outputs; None where nothing flows."""
    outputs = [t for t in _tensors(result) if t.is_floating_point() and t.requires_grad]
    if not outputs:
        return [None] * len(leaves)
    # unequal weights, so that a gradient given to the wrong example is seen
    total = sum(
        (t * torch.cos(torch.arange(t.numel(), dtype=t.dtype)).reshape(t.shape)).sum() for t in outputs
    )
    # backward, as in training: autograd.grad cannot pass through every right answer (reentrant checkpoints)
    for leaf in leaves:
        leaf.grad = None
    torch.autograd.backward(total)
    return [leaf.grad for leaf in leaves]


def _tensors(result):
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, dict):
        return [t for value in result.values() for t in _tensors(value)]
    if isinstance(result, (list, tuple)):
        return [t for value in result for t in _tensors(value)]
    return []


def describe_error(error):
    """One line: the exception, and the line of the student's own code that it came from."""
    if isinstance(error, Elsewhere):
        return error.words
    text = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if "site-packages" not in frame.filename and not frame.filename.startswith(_NOT_THE_CELL):
            line = (frame.line or linecache.getline(frame.filename, frame.lineno)).strip()
            return f"{text} (line {frame.lineno} of your cell: {line})" if line else text
    return text
