"""What an exercise's check is: data. One definition serves the visible check, the hidden tests and
the tests of the grader itself."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from course_utils.checks.compare import tolerance
from course_utils.checks.observe import observe_call


@dataclass(frozen=True)
class Case:
    """One call of the answer.

    Attributes:
        args, kwargs: what the function is called with; a fresh copy at every call.
        label: the inputs in words, for the message ("logits of ±1e4, float32").
        grads: positions of the arguments whose gradient is compared with the reference's.
        no_grads: positions of the arguments that must get no gradient.
        rtol: relative tolerance; by default what the dtype of the inputs allows.
        scale: size of the inputs, for the part of the tolerance that comes from float spacing;
            by default the largest absolute value among the float inputs.
        extra: whatever a custom `observe` needs beside the arguments.
    """

    args: tuple = ()
    kwargs: dict = field(default_factory=dict)
    label: str = ""
    grads: tuple[int, ...] = ()
    no_grads: tuple[int, ...] = ()
    rtol: float | None = None
    scale: float | None = None
    extra: Any = None

    @cached_property  # asked for with every candidate
    def tolerance(self):
        """(relative, absolute), by `compare.tolerance`."""
        return tolerance(self)


@dataclass(frozen=True, eq=False)  # known by identity, so that observations can be remembered by it
class Part:
    """A separable part of an exercise, with its points.

    Attributes:
        name: what is looked at, in the student's words ("values", "stable for logits of ±1e4").
        points: what it is worth.
        cases: from a `Draw` to the cases; the visible check and the graded one differ in the draw.
        looks_at: prefixes of the observation's keys that are compared ("result", "gradient", ...).
        independent: earns its points even where the first part failed.
        graded_only: decided by the graded tests alone, where a few tries would find the answer.
    """

    name: str
    points: float
    cases: Callable
    looks_at: tuple[str, ...] = ("result",)
    independent: bool = False
    graded_only: bool = False


@dataclass(frozen=True)
class Misconception:
    """A named wrong answer: a function with the exercise's signature, and one sentence on it that
    helps without giving the answer away.

    `visible` is what the visible check says instead, where the sentence would be too much before the grading.
    """

    name: str
    function: Callable
    sentence: str
    visible: str = ""


@dataclass(frozen=True, eq=False)
class Exercise:
    """Everything that is known about an exercise.

    Attributes:
        id: the exercise id of the contract, e.g. "dpo-loss".
        function: the name that the student's function must bear.
        reference: the right answer.
        parts: what is looked at; the first part gates the others unless they are independent.
        misconceptions: named wrong answers; each must be rejected and named.
        alternatives: right answers in another style, by a word on the style; each must pass.
        hints: up to three, asked for one at a time.
        observe: how an answer is run on a case; from (function, case) to a dict of observations.
    """

    id: str
    function: str
    reference: Callable
    parts: tuple[Part, ...]
    misconceptions: tuple[Misconception, ...]
    alternatives: dict[str, Callable]
    hints: tuple[str, ...]
    observe: Callable = observe_call

    @property
    def points(self):
        """The points of all parts together."""
        return sum(part.points for part in self.parts)
