"""Every exercise through the stand-in of sealed grading: answers fare as they do when they are called directly.

By default some of the answers of each exercise, so that it takes half a minute; with COURSE_SCALE=full all of them.
"""

import ast
import os
from pathlib import Path

import pytest
from inner import inner

from course_utils.checks import catalogue, scripts
from course_utils.checks.judge import judge

EXERCISES = [e for name in catalogue.MODULES for e in catalogue.assignment(name).values()]
FULL = os.environ.get("COURSE_SCALE") == "full"
SEED = 7


def _some(answers, i, one_in):
    """All answers, or one, for one in so many exercises."""
    answers = list(answers)
    if FULL or not answers:
        return answers
    return answers[i % len(answers) :][:1] if i % one_in == 0 else []


RIGHT = [(e, style, f) for i, e in enumerate(EXERCISES) for style, f in _some([("reference", e.reference), *e.alternatives.items()], i, 1)]  # fmt: skip
# to name a wrong answer takes all others of its exercise: some of the exercises are enough
WRONG = [(e, m) for i, e in enumerate(EXERCISES) for m in _some(e.misconceptions, i, 7)]
# those whose check runs a script beside the function: models, programs, event loops, another process
SCRIPTS = ("train-step", "chunked-logprobs", "overfit-verifier", "assign-variant", "bug-03", "bug-06", "bug-08", "bug-13", "bug-15", "bug-18")  # fmt: skip
SPECIAL = [(e, style, f) for e in EXERCISES if e.id in SCRIPTS for style, f in e.alternatives.items()]


@pytest.mark.parametrize(("exercise", "style", "answer"), RIGHT, ids=[f"{e.id}/{s}" for e, s, _ in RIGHT])
def test_right_answers_earn_full_points(exercise, style, answer):
    report = judge(exercise, inner(answer), seed=SEED, reveal=False)
    assert report.passed, report


@pytest.mark.parametrize(("exercise", "style", "answer"), SPECIAL, ids=[f"{e.id}/{s}" for e, s, _ in SPECIAL])
def test_right_answers_beside_a_script(exercise, style, answer):
    report = judge(exercise, inner(answer), seed=SEED, reveal=False)
    assert report.passed, report


@pytest.mark.parametrize(("exercise", "wrong"), WRONG, ids=[f"{e.id}/{m.name}" for e, m in WRONG])
def test_wrong_answers_are_rejected_and_named(exercise, wrong):
    report = judge(exercise, inner(wrong.function), seed=SEED, reveal=False)
    assert report.points < report.max_points
    assert report.misconception == wrong.name


@pytest.mark.parametrize(
    "file", sorted(Path(scripts.__file__).parent.glob("*.py")), ids=lambda file: file.stem
)
def test_a_script_can_travel_and_gives_nothing_away(file):
    """It imports nothing of the course, neither for its own sake (it runs where there is none) nor to show it."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported = [
        name.name if isinstance(node, ast.Import) else node.module or "."
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in node.names
    ]
    assert not [name for name in imported if name.startswith(("course_utils", "."))]
