"""What every "find the bug" exercise has in common.

The misconception "as-shown" is the code that the notebook shows. It fails the part that gates the others, so that an
untouched cell earns nothing; it stands behind half fixes, so that those are named that fail in the
same way, but less often. Its sentence is the diagnosis, so it is kept for the graded feedback: the visible check
of an untouched cell says what was seen, and leaves the finding to the reader. Any right fix passes: the checks look at
what comes back only.
"""

import functools

from course_utils.checks.definition import Exercise, Misconception
from course_utils.checks.observe import describe_error, observe_call

_NOT_YET = "Not yet mended: "
_STILL = _NOT_YET + (
    "the code as the notebook shows it, in all that was looked at here. Make the smallest input of which you know the "
    "answer by hand, call the function on it, and read from there."
)


def find_the_bug(number, function, reference, parts, wrong, alternatives, hints, observe=observe_call):
    """An exercise; `wrong`: (name, function, sentence), the code as it is shown under "as-shown"."""
    names = [
        Misconception(name, f, _NOT_YET + sentence, _STILL)
        if name == "as-shown"
        else Misconception(name, f, sentence)
        for name, f, sentence in wrong
    ]
    return Exercise(
        id=f"bug-{number:02d}",
        function=function,
        reference=reference,
        parts=parts,
        misconceptions=tuple(names),
        alternatives=alternatives,
        hints=hints,
        observe=observe,
    )


def guarded(observe):
    """An observation in which whatever a student's code raises is a finding, not a crash."""

    @functools.wraps(observe)
    def safe(function, case):
        try:
            return observe(function, case)
        except Exception as error:
            return {"error": describe_error(error)}

    return safe


def number(value):
    """A Python float of a number in any wrapping: float, int, numpy scalar, tensor with one element."""
    return float(value.detach() if hasattr(value, "detach") else value)
