"""The face of the checks, for notebooks: check, grade, hint, recall, progress, use, and for the quiz self_check and points_page.

check("dpo-loss", dpo_loss)     a table of what holds, on visible inputs; gives the points
grade("dpo-loss", dpo_loss)     the hidden tests: the same check on inputs from another seed
hint("dpo-loss")                the next hint
recall("01-a", "b")             a recall question, answered
progress()                      points, what is open, which recall questions were missed
self_check(1)                   what the answer to question 1 has not mentioned; no grade
points_page()                   all points of the course; write_points_page() writes a page for the printer
use("dpo-loss", dpo_loss)       for experiments: your function, or the course's while it is unsolved
"""

import os
import secrets

from course_utils.checks import catalogue
from course_utils.checks import record as _record
from course_utils.checks.display import show, show_report
from course_utils.checks.judge import judge, values_hold
from course_utils.checks.points import assignment_row, points_page, standing, write_points_page
from course_utils.checks.selfcheck import self_check

__all__ = [
    "check", "grade", "hint", "points_page", "progress", "recall", "self_check", "use", "write_points_page",
]  # fmt: skip


def check(id, function):
    """Hold `function` against exercise `id` on visible inputs, show the table, return the points."""
    exercise = catalogue.exercise(id)
    report = judge(exercise, function, graded=False)
    show_report(report, exercise)
    _record.save("exercises", id, max(report.points, _record.load()["exercises"].get(id, 0)))
    if report.answered:
        _record.save("answered", id, True)
    return float(report.points)


def grade(id, function):
    """The hidden tests: inputs from the seed in COURSE_GRADING_SEED, else from one drawn now.

    The seed is shown with the points, so that a verdict can be repeated.
    """
    seed = int(os.environ.get("COURSE_GRADING_SEED") or secrets.randbits(32))
    exercise = catalogue.exercise(id)
    report = judge(exercise, function, seed=seed, reveal=False)
    show_report(report, exercise, hidden_seed=seed)
    return float(report.points)


def hint(id):
    """Show the next hint for exercise `id`; after the last one, all of them again."""
    hints = catalogue.exercise(id).hints
    shown = _record.load()["hints"].get(id, 0)
    count = min(shown + 1, len(hints))
    _record.save("hints", id, count)
    for number, text in enumerate(hints[:count], start=1):
        if number == count or shown >= len(hints):
            print(f"Hint {number} of {len(hints)}: {text}")


def recall(id, answer="?"):
    """Answer recall question `id` with a letter; says whether it is right, and why.

    With "?" (as the notebook comes) it shows the question only.
    """
    number = id.split("-")[0]
    name = next((n for n in catalogue.MODULES if n.startswith(number)), None)
    questions = catalogue.recall_questions(name) if name else {}
    if id not in questions:
        raise ValueError(f"there is no recall question {id!r}")
    question = questions[id]
    rows = [("--", letter, text) for letter, text in question.choices.items()]
    given = str(answer).strip().lower()
    if given not in question.choices:
        letters = ", ".join(question.choices)
        return show(
            f"Recall {id}: {question.text}",
            rows,
            [f"Put a letter ({letters}) in the place of the question mark."],
        )
    right = given == question.right
    _record.save("recall", id, right)
    rows = [
        (("ok" if right else "no") if letter == given else "--", letter, text) for _, letter, text in rows
    ]
    verdict = "Right. " if right else f"Not {given}. "
    return show(f"Recall {id}: {question.text}", rows, [verdict + question.why])


def progress():
    """Show the points of the visible checks, what is open, and which recall questions were missed."""
    rows, missed, noted = [], [], _record.load()["recall"]
    lines = standing()
    for name in catalogue.MODULES:
        rows.append(assignment_row(name, [line for line in lines if line.assignment == name]))
        missed += [q for q in catalogue.recall_questions(name) if noted.get(q) is False]
    last = [
        f"Recall questions to look at again: {', '.join(missed)}." if missed else "No recall question missed."
    ]
    last.append("Points of the visible checks; the graded ones use other inputs.")
    if nothing_kept := _record.told():
        last.append(nothing_kept)
    show("Your progress", rows, last)


def use(id, function):
    """For experiments: `function` where its values are right, else the course's own, with a line that says so.

    Right values: the first part of the check holds, and every independent one.
    """
    exercise = catalogue.exercise(id)
    if values_hold(exercise, function):
        return function
    print(
        f"({exercise.function} is not solved yet: this experiment goes on with the course's own; it earns no points.)"
    )
    return exercise.reference
