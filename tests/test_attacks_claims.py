"""Attacks on what a script beside a function says of it: what is forged there earns nothing.

Each takes a wrong answer of a check's own list and puts a forgery in the way of what the script gives back: all that
says what the answer *did* is as a right one would have it. The numbers are those of the wrong answer.
"""

import copy

import pytest
from inner import inner

from course_utils.checks import catalogue
from course_utils.checks.judge import judge
from course_utils.grading.inside import calls

EXERCISES = {e.id: e for name in catalogue.MODULES for e in catalogue.assignment(name).values()}


def wrong(exercise, name):
    return next(m.function for m in EXERCISES[exercise].misconceptions if m.name == name)


def forged_step(given, said):
    _, reference, batch = given[:3]
    said |= {"reference": dict(zip(("embedding", "head", "bias"), reference, strict=True)), "batch": batch}
    return said | {"policy trains": True, "reference trains": False, "reference gradient": False}


FORGERIES = {"one_step": forged_step}
CLAIMS = [
    ("train-step", name)
    for name in (
        "reference-gradient",
        "reference-follows",
        "batch-changed",
        "mode-restored",
        "policy-left-in-eval",
        "reference-not-eval",
    )
]


@pytest.fixture
def forging(monkeypatch):
    """Scripts of the grader's say what a right answer's would, as a submission can have them do."""
    real = calls._script

    def script(source, name):
        found, forge = real(source, name), FORGERIES.get(name)

        def forged(function, *given):
            before = copy.deepcopy(given)
            return forge(before, found(function, *given))

        return forged if forge else found

    monkeypatch.setattr(calls, "_script", script)


@pytest.mark.parametrize(("exercise", "name"), CLAIMS)
def test_what_is_said_of_an_answer_earns_nothing(forging, exercise, name):
    report = judge(EXERCISES[exercise], inner(wrong(exercise, name)), seed=7, reveal=False)
    assert report.points < report.max_points


@pytest.mark.parametrize("exercise", sorted({exercise for exercise, _ in CLAIMS}))
def test_forging_is_all_that_is_done(forging, exercise):
    found = EXERCISES[exercise]
    for answer in (found.reference, *found.alternatives.values()):
        assert judge(found, inner(answer), seed=7, reveal=False).passed
