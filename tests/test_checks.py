"""The tests of the grader itself: every wrong answer rejected and named, every right one accepted."""

import pytest

from course_utils.checks import catalogue
from course_utils.checks.judge import judge

SEEDS = (0, 1, 2026)
EXERCISES = [e for name in catalogue.MODULES for e in catalogue.assignment(name).values()]
WRONG = [(e, m) for e in EXERCISES for m in e.misconceptions]
RIGHT = [(e, style, f) for e in EXERCISES for style, f in e.alternatives.items()]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)
def test_the_reference_earns_full_points(exercise, record_property):
    reports = _reports(exercise, exercise.reference)
    record_property("kill", (exercise.id, "reference", "reference", all(r.passed for r in reports)))
    for report in reports:
        assert report.passed, report


@pytest.mark.parametrize(("exercise", "style", "answer"), RIGHT, ids=[f"{e.id}/{s}" for e, s, _ in RIGHT])
def test_right_answers_in_another_style_earn_full_points(exercise, style, answer, record_property):
    reports = _reports(exercise, answer)
    record_property("kill", (exercise.id, "right", style, all(r.passed for r in reports)))
    for report in reports:
        assert report.passed, report


@pytest.mark.parametrize(("exercise", "wrong"), WRONG, ids=[f"{e.id}/{m.name}" for e, m in WRONG])
def test_wrong_answers_are_rejected_and_named(exercise, wrong, record_property):
    reports = _reports(exercise, wrong.function)
    record_property("kill", (exercise.id, "wrong", wrong.name, all(r.points < r.max_points for r in reports)))
    record_property(
        "kill", (exercise.id, "named", wrong.name, all(r.misconception == wrong.name for r in reports))
    )
    for report in reports:
        assert report.points < report.max_points, report
        assert report.misconception == wrong.name, report


BUGS = [(e, m) for e, m in WRONG if m.visible]


@pytest.mark.parametrize(("exercise", "shown"), BUGS, ids=[e.id for e, _ in BUGS])
def test_a_bug_left_as_shown_is_diagnosed_when_it_is_graded_and_not_before(exercise, shown):
    before = judge(exercise, _as_students(shown.function))
    graded = judge(exercise, _as_students(shown.function), seed=SEEDS[1], reveal=False)
    assert before.misconception == graded.misconception == "as-shown"
    assert before.sentence == shown.visible
    assert graded.sentence == shown.sentence


def test_every_bug_has_something_else_to_say_before_it_is_graded():
    assert [e.id for e, _ in BUGS] == [e.id for e in EXERCISES if e.id.startswith("bug-")]


def _reports(exercise, function):
    """The verdicts on an answer, one a seed."""
    return [judge(exercise, _as_students(function), seed=seed) for seed in SEEDS]


def _as_students(function):
    """The function as if it had been written in a notebook (the lists live in an answer module)."""

    def answer(*args, **kwargs):
        return _HIDDEN[id(function)](*args, **kwargs)

    _HIDDEN[id(function)] = function
    return answer


_HIDDEN = {}
