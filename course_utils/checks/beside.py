"""Running a part of a check where the student's function is.

In a notebook that is here. At grading the function lives in a sandbox, and what stands for it out here is a
`StandIn`: plain calls of it cross with plain data, but a model, an optimiser or an event loop does not. So
what must be beside the function is a *script*: a function of a module in `checks.scripts`, called with the
function and with plain data, that gives back plain data. Its source travels; it says nothing of right answers.
"""


class StandIn:
    """What stands for a student's function that lives elsewhere: a callable, with `beside(script, args)`.

    What a script tells, a student can forge. Its `apart(elsewhere=False)` is there for what is to be seen from outside:
    in a `with` it is (stand-in, hold), the function in a process of its own, in which the notebook's cells have run
    again; with `elsewhere` one in which strings have other hashes. `hold(room)` leaves that process so many bytes
    more than it has now, for good, and hold() only looks; both tell {"grown": bytes that it has more than at its
    start, "processes": how many it consists of}.

    Attributes:
        ours: whether it stands for an answer of the checks' own lists, in tests.
    """

    ours = False


class Elsewhere(Exception):
    """An exception that was raised where a stand-in's function lives; `words` is the line that describes it."""

    words = ""


def beside(function, script, *args):
    """`script(function, *args)`, run where the function is."""
    if isinstance(function, StandIn):
        return function.beside(script, args)
    return script(function, *args)


def ours(function):
    """Whether a function may be an answer of the checks' own lists, which get help that a student's does not."""
    return not isinstance(function, StandIn) or function.ours


def each(function, calls):
    """The results of a function on many lists of arguments, asked for together."""
    from course_utils.checks.scripts.calls import each as script

    return beside(function, script, list(calls))
