"""02-dpo-from-scratch, chunked log-probabilities: whether the logits of all rows were ever held, seen from outside.

What a script beside the function says of tensors is a claim of the student's process. So the function is called once
more, in a process of its own that is left too little room for them, and must give the right values there.
"""

from functools import lru_cache

import torch

from course_utils.checks.beside import Elsewhere
from course_utils.checks.compare import difference
from course_utils.checks.definition import Case
from course_utils.checks.draw import Draw
from course_utils.checks.observe import describe_error, quietly
from course_utils.logprobs import chunked_token_logprobs

WHOLE = "a float tensor as large as all logits was made"

_VOCABULARY, _WIDTH, _CHUNK = 1 << 14, 4, 8
_ROOM = 12 << 20  # bytes: 24 times a chunk's logits
_ROW = 2 * _VOCABULARY  # bytes of a row of logits in half precision, the least that can hold them
# the number of rows is a multiple of this, so that the reference is asked for few; more than these take too long
_STEP, _MOST = 128, 8192


def fault_in_little_room(function, seed):
    """What is wrong where there is little memory; None where nothing is.

    The first forward pass is free, and may keep what it likes (a right answer may leave each chunk's logits to autograd).
    The backward pass, and then another forward pass without gradients, have room for many chunks, but for the
    logits of all rows not even in half precision and written over all that the notebook holds besides.

    Args:
        function: a `StandIn`.
        seed: of the inputs.
    """
    try:
        with function.apart() as (inside, hold):
            return quietly(_fault, inside, hold, seed)
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return f"with many rows your function raised {describe_error(error)}"


def _fault(inside, hold, seed):
    _forward_and_backward(inside, seed, _CHUNK + 1)  # what is made at a first call only
    rows, fault = _rows(hold())
    if fault:
        return fault
    call = _inputs(seed, rows)
    result = inside(*call)
    hold(_ROOM)
    fault = _in_little_room(lambda: _backward(result, call), _expected(seed, rows))
    if fault:
        return fault
    rows, fault = _rows(hold(_ROOM))
    if fault:
        return fault
    call = [part.detach() if isinstance(part, torch.Tensor) else part for part in _inputs(seed, rows)]
    return _in_little_room(lambda: {"result": inside(*call)}, {"result": _expected(seed, rows)["result"]})


def _rows(held):
    """(how many rows' logits have no room in what the process holds and may take, what is wrong)."""
    if held["processes"] > 1:
        return 0, "a process that your notebook started still runs, and could hold the logits of all rows"
    rows = ((held["grown"] + _ROOM) // (_ROW * _STEP) + 1) * _STEP
    if rows > _MOST:
        size = f"{held['grown'] >> 20} MB"
        return 0, f"your notebook holds {size}: too much to tell whether all logits are among it"
    return max(rows, _STEP), None


def _in_little_room(act, expected):
    """What is wrong with what `act` gives."""
    try:
        found = act()
    except Elsewhere as error:
        short = isinstance(error, MemoryError) or "alloc" in error.words
        return WHOLE if short else f"with many rows your function raised {error.words}"
    except Exception:  # the process has ended
        return WHOLE
    args = _inputs(0, _STEP)
    off = any(
        difference(value, found.get(key), Case(args), key, reveal=None) for key, value in expected.items()
    )
    return "the values or gradients are wrong where there are many rows" if off else None


def _inputs(seed, rows):
    """float32: hidden and weight with gradients, labels of which some do not count, chunk_size."""
    draw = Draw(seed, "chunked-logprobs/many rows")
    weight = draw.normal(_VOCABULARY, _WIDTH, dtype=torch.float32)
    hidden, labels = draw.normal(rows, _WIDTH, dtype=torch.float32), draw.integers(0, _VOCABULARY - 1, rows)
    labels[:: 2 * _CHUNK + 1] = -100
    return hidden.requires_grad_(), weight.requires_grad_(), labels, _CHUNK


def _backward(result, call):
    (result * torch.cos(torch.arange(len(result)))).sum().backward()
    return {
        "result": result.detach(),
        "gradient into hidden": call[0].grad,
        "gradient into weight": call[1].grad,
    }


def _forward_and_backward(function, seed, rows):
    call = _inputs(seed, rows)
    return _backward(function(*call), call)


@lru_cache(maxsize=4)
def _expected(seed, rows):
    return _forward_and_backward(chunked_token_logprobs, seed, rows)
