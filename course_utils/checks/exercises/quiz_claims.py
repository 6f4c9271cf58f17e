"""The claims audit of 06-final-quiz: from a claim, which is data, to an exercise."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.observe import describe_error, quietly
from course_utils.words import type_of

# What each verdict asserts, for the student who gives it where it does not hold.
VERDICTS = {
    "true": "then it has to hold as it stands, under no more than the conditions that it names",
    "imprecise": "then adding a condition, or several, has to make it true with nothing else changed, and without that the statement has to fail somewhere",
    "unsupported": "then no derivation, no count, no experiment and no source may be known that decides it",
    "false": "then no added condition may save it: a number, a direction, a cause, a quotation or an experiment has to be taken back",
}


@dataclass(frozen=True)
class Slip:
    """A wrong figure: what it comes from, its value, and a sentence that helps."""

    name: str
    value: float
    sentence: str


@dataclass(frozen=True)
class Claim:
    """A statement of the field's folklore, to be audited.

    Attributes:
        number: 1 for claim-01.
        statement: what is claimed; Markdown, as it stands in the notebook.
        verdict: one of `VERDICTS`.
        why: one line, for the solved notebook.
        ask: the question that decides it; must not give the verdict away.
        where: (assignment, heading or exercise id) pairs: what in the course decides it.
        asked: the figure that is asked for, with its unit; empty where none is.
        figure, tolerance: the figure, and how far off (absolutely) an answer may be.
        units: names of units that are not asked for, and the factor from the asked one to it.
        slips: wrong figures that are known.
        difficulty: 1 to 5.
        minutes: expected time.
    """

    number: int
    statement: str
    verdict: str
    why: str
    ask: str
    where: tuple[tuple[str, str], ...]
    asked: str = ""
    figure: float | None = None
    tolerance: float = 0.0
    units: tuple[tuple[str, float], ...] = ()
    slips: tuple[Slip, ...] = ()
    difficulty: int = 2
    minutes: int = 3

    @property
    def id(self):
        """The exercise id, e.g. "claim-01"."""
        return f"claim-{self.number:02}"


def build(claim):
    """The exercise of a claim: one point for the verdict, one for the figure where one is asked for.

    The visible check looks at the form only: with four verdicts to choose from, a check that said which
    is right would be answered by trying.
    """
    asks = claim.figure is not None

    def cases(draw):
        rtol = claim.tolerance / abs(claim.figure) if asks else None
        kind = "a share" if "between 0 and 1" in claim.asked else "a number"
        return [Case(rtol=rtol, extra=kind if asks else None)]

    form = "a verdict and a figure" if asks else "a verdict"
    parts = [
        Part(form, 0, cases, ("form",)),
        Part("verdict", 1, cases, ("verdict",), independent=True, graded_only=True),
    ]
    if asks:
        parts.append(Part("figure", 1, cases, ("figure",), independent=True, graded_only=True))
    return Exercise(
        id=claim.id,
        function=f"claim_{claim.number:02}",
        reference=answering(claim.verdict, claim.figure),
        parts=tuple(parts),
        misconceptions=tuple(_misconceptions(claim)),
        alternatives=_alternatives(claim),
        hints=_hints(claim),
        observe=observe_claim,
    )


def answering(verdict, figure=None):
    """An answer, as a function without arguments."""

    def answer():
        return verdict, figure

    return answer


def observe_claim(function, case):
    """What an answer says: "form", "verdict" (lower case) and "figure" (a float).

    A list will do for a tuple. Where no figure is asked for, the verdict alone will do as well: the None that would go
    with it says nothing, and an answer is judged by what it says; nor is a figure looked at there. Where one is asked
    for, the verdict alone has no figure, and earns what the verdict earns. A share beyond 0 and 1 is told before it is graded.
    """
    try:
        answer = quietly(function)
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    verdict, figure = _pair(answer)
    verdict = _verdict(verdict)
    figure = _figure(figure) if case.extra else "none asked for"
    faults = [thing for thing in (verdict, figure) if isinstance(thing, Missing)]
    if case.extra == "a share" and not faults and not 0 <= figure <= 1:
        faults = [Missing(f"a number between 0 and 1 is asked for; {figure:g} is none")]
    return {"form": faults[0] if faults else "as asked", "verdict": verdict, "figure": figure}


def _pair(answer):
    if isinstance(answer, (tuple, list)) and len(answer) in (1, 2):
        return answer[0], answer[1] if len(answer) == 2 else None
    return answer, None


def _verdict(given):
    names = ", ".join(f'"{name}"' for name in VERDICTS)
    if isinstance(given, str):
        word = given.strip().lower()
        return word if word in VERDICTS else Missing(f"{given!r} is not a verdict; write one of {names}")
    if given is None:
        return Missing(
            f"no verdict (is there a `return`?); return a verdict, one of {names}, and a figure or None"
        )
    return Missing(f"the verdict is {type_of(given)}; write a word in quotes, one of {names}")


def _figure(given):
    if given is None:
        return Missing("a figure is asked for, and there is none: return the verdict and a number")
    if isinstance(given, (torch.Tensor, np.ndarray)) and math.prod(given.shape) == 1:
        given = given.item()
    if isinstance(given, (str, bool, complex)) or not hasattr(given, "__float__"):
        return Missing(f"the figure is {type_of(given)}; return a plain number, without its unit")
    try:
        value = float(given)
    except (TypeError, ValueError, OverflowError):
        return Missing("the figure is not one number; return a plain number")
    return value if math.isfinite(value) else Missing(f"the figure is {value}; return a finite number")


def _misconceptions(claim):
    for verdict, asserts in VERDICTS.items():
        if verdict != claim.verdict:
            sentence = f'you say "{verdict}": {asserts}. {claim.ask} Look at {places(claim)}.'
            yield Misconception(f"verdict {verdict}", answering(verdict, claim.figure), sentence)
    for slip in claim.slips:
        yield Misconception(slip.name, answering(claim.verdict, slip.value), slip.sentence)
    for unit, factor in claim.units:
        sentence = f"this is the right quantity in {unit}; the statement asks for {claim.asked}."
        yield Misconception(f"in {unit}", answering(claim.verdict, claim.figure * factor), sentence)


def _alternatives(claim):
    if claim.figure is None:
        return {
            "a list": lambda: [claim.verdict, None],
            "the verdict alone": lambda: claim.verdict,
            "capitals": lambda: (claim.verdict.capitalize(), None),
            "with a figure that nobody asked for": lambda: (claim.verdict, 42.0),
        }
    near = claim.figure + 0.9 * claim.tolerance
    styles: dict[str, Callable] = {
        "a list": lambda: [claim.verdict, claim.figure],
        "capitals": lambda: (claim.verdict.upper() + " ", claim.figure),
        "a numpy scalar": lambda: (np.str_(claim.verdict), np.float32(claim.figure)),
        "a tensor without dimensions": lambda: (claim.verdict, torch.tensor(claim.figure)),
        "a fraction": lambda: (claim.verdict, Fraction(claim.figure)),
        "rounded, within the tolerance": lambda: (claim.verdict, near),
    }
    if float(claim.figure).is_integer():
        styles["a whole number"] = lambda: (claim.verdict, int(claim.figure))
    return styles


def places(claim):
    """What in the course decides a claim, in words."""
    return " and ".join(f"notebook {name}, {_place(spot)}" for name, spot in claim.where)


def _place(spot):
    return f"exercise `{spot}`" if spot == spot.lower() else f'"{spot}"'


def _hints(claim):
    texts = [f"Look at {places(claim)}.", claim.ask]
    if claim.figure is not None:
        texts.append(f"The figure is {claim.asked}. Write it as an expression and let Python work it out.")
    return tuple(texts)
