"""nbgrader end to end, by its own commands, on eight submissions of which most are bad."""

import csv
import html
import json
import os
import re
from pathlib import Path

import nbformat
import pytest
from classroom import MANUAL, NAME, SPOILED, nbgrader, open_class

from course_utils.checks import catalogue
from course_utils.checks.judge import judge
from course_utils.commands.course import points

LIMIT = 15  # seconds a cell, for the endless loop


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course folder in which everything has been graded once."""
    course = tmp_path_factory.mktemp("course")
    open_class(course)
    nbgrader(course, "autograde", NAME, f"--Execute.timeout={LIMIT}", fails=True)
    return course


@pytest.fixture(scope="module")
def scores(course):
    """{student: total score}, read from nbgrader's own CSV after a manual grade."""
    give_manual_grade(course, "perfect", 7.5, "Rubric: points 1, 2, 4 and 5 are there; 3, 6 and 7 are not.")
    nbgrader(course, "generate_feedback", NAME, fails=True)
    nbgrader(course, "export")
    with open(course / "grades.csv", newline="") as file:
        return {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}


def give_manual_grade(course, student, score, comment):
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course}/gradebook.db", "beyond-rlhf") as gradebook:
        grade = gradebook.find_grade(MANUAL, NAME, NAME, student)
        assert grade.needs_manual_grade
        grade.manual_score = score
        gradebook.find_comment(MANUAL, NAME, NAME, student).manual_comment = comment
        gradebook.db.commit()


def total():
    """The points of all automatic tests."""
    return sum(e.points for e in catalogue.assignment(NAME).values())


def test_a_perfect_submission_gets_everything_and_its_manual_grade(scores):
    assert scores["perfect"] == total() + 7.5


def test_a_blank_submission_gets_nothing(scores):
    assert scores["blank"] == 0


def test_wrong_answers_lose_just_their_points(scores):
    worth = catalogue.exercise(SPOILED).points
    assert scores["wrong-sign"] == total() - worth
    assert total() - worth < scores["wrong-dtype"] < total()


def test_a_deleted_test_or_an_endless_loop_costs_that_exercise_only(scores):
    worth = catalogue.exercise(SPOILED).points
    assert scores["deleted"] == total() - worth
    assert scores["endless"] == total() - worth


def test_an_unreadable_or_renamed_submission_earns_nothing_and_stops_nobody(scores):
    assert scores.get("invalid", 0) == 0
    assert scores.get("renamed", 0) == 0
    assert {"perfect", "blank", "wrong-sign", "wrong-dtype", "deleted", "endless"} <= set(scores)


def test_the_misconception_stands_in_the_feedback(course, scores):
    page = (course / "feedback" / "wrong-sign" / NAME / f"{NAME}.html").read_text()
    report = judge(
        catalogue.exercise(SPOILED), lambda policy_logp, ref_logp, beta: beta * (ref_logp - policy_logp)
    )
    assert report.sentence
    assert report.sentence in html.unescape(page)
    manual = (course / "feedback" / "perfect" / NAME / f"{NAME}.html").read_text()
    assert "Rubric: points 1, 2, 4 and 5 are there" in manual


def test_the_seed_of_the_hidden_inputs_is_recorded_and_differs(course):
    seeds = {student: recorded_seeds(course, student) for student in ("perfect", "wrong-sign")}
    assert all(seeds.values())
    assert set(seeds["perfect"]) != set(seeds["wrong-sign"])


def recorded_seeds(course, student):
    text = (course / "autograded" / student / NAME / f"{NAME}.ipynb").read_text()
    return re.findall(r"drawn with seed (\d+)", text)


def test_experiments_are_skipped_and_tags_cannot_skip_a_test(course, tmp_path):
    """A test cell that does not run counts as a full mark, so a student's tag must not skip it."""
    graded = nbformat.read(course / "autograded" / "perfect" / NAME / f"{NAME}.ipynb", as_version=4)
    skipped = [c for c in graded.cells if "experiment" in c.metadata.get("tags", [])]
    assert skipped
    assert not any(c.outputs for c in skipped)

    text = (course / "notebooks" / NAME / f"{NAME}.ipynb").read_text()
    notebook = nbformat.reads(text, as_version=4)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.metadata["tags"] = ["experiment", "skip-execution"]
    folder = course / "submitted" / "tagged" / NAME
    folder.mkdir(parents=True)
    (folder / f"{NAME}.ipynb").write_text(nbformat.writes(notebook))
    nbgrader(course, "autograde", NAME, "--student=tagged")
    tagged = nbformat.read(course / "autograded" / "tagged" / NAME / f"{NAME}.ipynb", as_version=4)
    assert points(tagged)[1] == 0


def test_the_released_notebook_holds_nothing_hidden(course):
    text = (course / "notebooks" / NAME / f"{NAME}.ipynb").read_text()
    assert "HIDDEN" not in text
    assert "SOLUTION" not in text
    assert json.loads(text)["nbformat"] == 4
    assert Path(course / "gradebook.db").exists()
    assert os.listdir(course / "notebooks" / NAME) == [f"{NAME}.ipynb"]
