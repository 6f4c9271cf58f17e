"""Grading a class: what is written where, on submissions whose cells run in this process."""

import json

import nbformat
import pytest
from grading_class import (
    LOG_SOFTMAX,
    NAME,
    POINTS,
    REVERSE,
    answered,
    grade_here,
    hand_in,
    one_thread,
    released,
)
from nbgrader.api import Gradebook
from nbgrader.utils import determine_grade, is_grade

from course_utils.grading import run
from course_utils.grading.run import Plan, grade_class


@pytest.fixture
def classroom(tmp_path, monkeypatch):
    """From (changes of the plan) to (entries by student, lines said); the class's folders are in `tmp_path`."""
    monkeypatch.setattr(run, "process_pools", one_thread)
    (tmp_path / "submitted").mkdir()

    def grade(work=grade_here, **changes):
        said = []
        plan = {
            "assignment": NAME, "submitted": str(tmp_path / "submitted"), "gradebook": str(tmp_path / "gradebook.db"),
            "out": str(tmp_path / "out"), "report": str(tmp_path / "report.json"),
        }  # fmt: skip
        grade_class(Plan(**plan | changes), say=said.append, work=work)
        kept = json.loads((tmp_path / "report.json").read_text())
        return {entry["student"]: entry for entry in kept["submissions"]}, said

    return grade


def gradebook_scores(tmp_path):
    with Gradebook(f"sqlite:///{tmp_path}/gradebook.db", "beyond-rlhf") as book:
        return {s.student.id: s.score for s in book.assignment_submissions(NAME)}


def points_in_file(tmp_path, student):
    notebook = nbformat.read(tmp_path / "out" / student / NAME / f"{NAME}.ipynb", as_version=4)
    nbformat.validate(notebook)
    return {c.metadata.nbgrader.grade_id: determine_grade(c)[0] for c in notebook.cells if is_grade(c)}


def test_report_gradebook_and_notebook_agree(tmp_path, classroom):
    hand_in(tmp_path / "submitted", "perfect", answered())
    hand_in(tmp_path / "submitted", "blank", released())
    wrong = answered(answers={"log-softmax": LOG_SOFTMAX, "kl-divergence": REVERSE})
    hand_in(tmp_path / "submitted", "wrong", wrong)
    entries, said = classroom()
    assert {s: e["score"] for s, e in entries.items()} == gradebook_scores(tmp_path)
    assert entries["perfect"]["score"] == POINTS and entries["blank"]["score"] == 0
    assert entries["perfect"]["max_score"] == POINTS
    assert 4 <= entries["wrong"]["score"] < POINTS
    assert (
        "direction" in entries["wrong"]["exercises"]["kl-divergence"]["message"]
        or (entries["wrong"]["exercises"]["kl-divergence"]["misconception"])
    )
    for student, entry in entries.items():
        assert entry["status"] == "graded"
        assert {"test-" + id: e["score"] for id, e in entry["exercises"].items()} == points_in_file(
            tmp_path, student
        )
    assert not said
