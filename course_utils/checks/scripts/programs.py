"""Programs made from source text, called by a function under test; whether it waited for one that takes too long."""

import functools
import itertools
import mmap
import time

# Three marks for each program: a wait has begun; it has ended; another call came in between. The memory is shared with
# forked processes.
_BOARD, _PLACES = mmap.mmap(-1, 4095), itertools.count()


def gap(function, source, names, visible, hidden, timeout, ours):
    """What `function` returns on a new program and its tests, and whether it waited for the program's end.

    Args:
        source, names: the program's text, and what it uses. It may call `wait(seconds)`, and `go_on()` where it does not
            wait: nothing here runs for ever, so that no answer is kept for ever.
        visible, hidden: lists of tests.
        timeout: [] or [seconds].
        ours: whether the program gets an `after`, for wrong answers of ours: it runs the program without waiting.

    Returns:
        {"result", "waited", "tests"}. Waited: a wait ended before the answer did, or before it called the program
        again. Not by the clock: a machine may be busy.
    """
    place = next(_PLACES) % (len(_BOARD) // 3) * 3
    _BOARD[place : place + 3] = bytes(3)
    program = _made(source, names, functools.partial(_wait, place), functools.partial(_go_on, place))
    if ours:
        program.after = functools.partial(_after, source, names)
        program.pretend_to_wait = functools.partial(_BOARD.__setitem__, place + 1, 1)
    result = function(program, visible, hidden, *timeout)
    _, ended, in_between = _BOARD[place : place + 3]
    return {"result": result, "waited": bool(ended and not in_between), "tests": [visible, hidden]}


def _made(source, names, wait, go_on):
    names = {"wait": wait, "go_on": go_on, **names}
    exec(source, names)
    return names["program"]


def _after(source, names, *args):
    """(value, error, seconds) of a call, without waiting."""
    waited = []
    try:
        return _made(source, names, waited.append, lambda: None)(*args), None, sum(waited)
    except Exception as error:
        return None, error, sum(waited)


def _wait(place, seconds):
    _BOARD[place] = 1
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.002)
    _BOARD[place + 1] = 1


def _go_on(place):
    begun, ended, _ = _BOARD[place : place + 3]
    if begun and not ended:
        _BOARD[place + 2] = 1
