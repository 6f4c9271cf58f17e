"""Answers of kinds that nobody asked for: each exercise's check finds them wrong, and never fails itself.

A check that raised would leave the submission ungraded.
"""

import dataclasses

import pytest

from course_utils.checks import catalogue
from course_utils.checks.judge import judge

EXERCISES = [
    e
    for name in catalogue.MODULES
    for e in catalogue.assignment(name).values()
    if not e.id.startswith("claim")
]


class Yes:
    """Equal to everything, has everything, can everything."""

    def __eq__(self, other):
        return True

    __le__ = __lt__ = __ge__ = __gt__ = __eq__

    def __hash__(self):
        return 0

    def __iter__(self):
        return iter([0.0])

    def __len__(self):
        return 1


ODD = {
    "infinity": float("inf"),
    "a wide integer": 10**400,
    "equal to all": Yes(),
    "an odd dict": {(1, 2): None, None: "x"},
    "an empty row": [(), []],
    "a text and a list": ("x", []),
    "a row of lists": [([], [], [])],
    "one word for all": "control",
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)
def test_an_odd_answer_is_wrong(exercise, kind):
    assert judge(exercise, lambda *args, **kwargs: ODD[kind], seed=5, reveal=False).points == 0


def _zero(rewards, lengths):
    return 0.0


def _failing_with(error):
    """An exercise whose observation fails with `error` on the answer `_zero`."""
    known = catalogue.exercise("length-bias")

    def observe(function, case):
        if function is _zero:
            raise error
        return known.observe(function, case)

    return dataclasses.replace(known, observe=observe)


def test_an_answer_that_an_observation_fails_on_is_a_finding():
    report = judge(_failing_with(IndexError("7")), _zero, seed=5, reveal=False)
    assert report.points == 0
    assert "what came back cannot be looked at (IndexError)" in report.rows[0].message


@pytest.mark.parametrize("error", [OSError("no room"), MemoryError()])
def test_a_fault_of_the_machine_is_no_finding(error):
    with pytest.raises(type(error)):
        judge(_failing_with(error), _zero, seed=5, reveal=False)
