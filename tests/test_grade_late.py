"""Late submissions: the penalty in the gradebook is the one that nbgrader's own step gives, by the course's plugin."""

import shutil
from dataclasses import replace
from datetime import datetime, timedelta

import nbformat
import pytest
from grading_class import (
    LOAD,
    LOG_SOFTMAX,
    NAME,
    POINTS,
    REVERSE,
    answered,
    grade_here,
    grade_quickly,
    hand_in,
    released,
)
from nbgrader.api import Gradebook
from nbgrader.plugins import LateSubmissionPlugin
from nbgrader.preprocessors import AssignLatePenalties, SaveAutoGrades
from traitlets.config import Config

from course_utils.commands.paths import kernel_environment
from course_utils.grading import gradebook, run
from course_utils.grading.class_page import page
from course_utils.grading.run import Plan, grade_class
from course_utils.grading.student_page import page_file

DUE = datetime(2030, 1, 2, 12)
LATE = {"in-time": -60, "by-little": 60, "by-much": 90_000, "half": 9000, "blank": 9000, "no-date": None}


class AnHour(LateSubmissionPlugin):
    """A point for each hour begun."""

    def late_submission_penalty(self, student_id, score, total_seconds_late):
        return -(-total_seconds_late // 3600)


class Odd(LateSubmissionPlugin):
    """What no plugin should give, and for some nothing."""

    def late_submission_penalty(self, student_id, score, total_seconds_late):
        return {"by-much": -3.0, "by-little": 1e9}.get(student_id)


class Broken(LateSubmissionPlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        raise KeyError(student_id)


def config_of(kind):
    config = Config()
    config.CourseDirectory.course_id = "beyond-rlhf"
    if isinstance(kind, str):
        config.LateSubmissionPlugin.penalty_method = kind
    else:
        config.AssignLatePenalties.plugin_class = kind
    return config


@pytest.fixture
def classroom(tmp_path, monkeypatch):
    """From (a kind of penalty, changes of the plan) to ({student: entry}, the report's file), of a class of `LATE`."""
    grade_quickly(monkeypatch)
    monkeypatch.setenv("PATH", kernel_environment()["PATH"])  # a new gradebook calls alembic by its bare name
    wrong = answered(answers={"kl-divergence": REVERSE, "log-softmax": LOG_SOFTMAX})
    for student, late in LATE.items():
        notebook = {"blank": released(), "in-time": answered(), "by-little": answered()}.get(student, wrong)
        path = hand_in(tmp_path / "submitted", student, notebook)
        if late is not None:
            path.with_name("timestamp.txt").write_text(f"{DUE + timedelta(seconds=late)} UTC")
    with Gradebook(f"sqlite:///{tmp_path}/gradebook.db", "beyond-rlhf") as book:
        book.update_or_create_assignment(NAME, duedate=DUE)

    def grade(kind, work=grade_here, **changes):
        monkeypatch.setattr(gradebook, "course_config", lambda: config_of(kind))
        plan = {
            "assignment": NAME, "submitted": str(tmp_path / "submitted"), "gradebook": str(tmp_path / "gradebook.db"),
            "out": str(tmp_path / "out"), "report": str(tmp_path / "report.json"),
        }  # fmt: skip
        report, _ = grade_class(Plan(**plan | changes), say=lambda line: None, work=work)
        return report.entries, report.file

    return grade


def ours(folder):
    """{student: (score, penalty)} in the gradebook."""
    with Gradebook(f"sqlite:///{folder}/gradebook.db", "beyond-rlhf") as book:
        return {s.student.id: (s.score, s.late_submission_penalty) for s in book.assignment_submissions(NAME)}


def nbgraders(folder, kind):
    """The same after nbgrader's own steps on the graded notebooks, in a copy of the gradebook."""
    copy = folder / "nbgraders"
    copy.mkdir(exist_ok=True)
    shutil.copy(folder / "gradebook.db", copy)
    for student in LATE:
        notebook = nbformat.read(folder / "out" / student / NAME / f"{NAME}.ipynb", as_version=4)
        about = {
            "assignment": NAME,
            "notebook": NAME,
            "student": student,
            "db_url": f"sqlite:///{copy}/gradebook.db",
        }
        for step in (SaveAutoGrades, AssignLatePenalties):
            step(config=config_of(kind)).preprocess(notebook, {"nbgrader": about})
    return ours(copy)


@pytest.mark.parametrize("kind", ["none", "zero", AnHour, Odd])
def test_the_gradebook_is_that_of_nbgrader(tmp_path, classroom, kind):
    entries, file = classroom(kind)
    assert ours(tmp_path) == nbgraders(tmp_path, kind)
    penalties = {student: entry["late_penalty"] for student, entry in entries.items()}
    assert {student: (e["score"], e["late_penalty"]) for student, e in entries.items()} == ours(tmp_path)
    half = entries["half"]["score"]
    assert half == 4
    wanted = {
        "none": dict.fromkeys(LATE, 0),
        "zero": dict.fromkeys(LATE, 0) | {"by-little": POINTS, "by-much": half, "half": half},
        AnHour: dict.fromkeys(LATE, 0) | {"by-little": 1, "by-much": half, "half": 3},
        Odd: dict.fromkeys(LATE, 0) | {"by-little": POINTS},
    }
    assert penalties == wanted[kind]
    text = page_file(file, "by-little").read_text()
    assert "by 1 minute: " in text and "by 1 day: " not in text
    assert ("no points are taken off" in text) == (kind == "none")


def test_the_class_page_tells_who_was_late_and_what_it_cost(tmp_path, classroom):
    entries, file = classroom(AnHour)
    chosen = [entries[student] for student in ("in-time", "by-little")]
    text = page(chosen, [], LOAD(NAME), b"", file)
    assert "<td class=n>10 of 10</td><td></td>" in text and "<td class=n>10 of 10</td><td>-1</td>" in text
    text = page([chosen[1] | {"late_penalty": 0.0}], [], LOAD(NAME), b"", file)
    assert "<td class=n>10 of 10</td><td>yes</td>" in text


def test_regrading_and_never_lower_change_the_penalty_with_the_score(tmp_path, classroom, monkeypatch):
    classroom("zero")
    before = ours(tmp_path)
    monkeypatch.setattr(run, "checks_version", lambda assignment: "mended")

    def halved(job):
        result = grade_here(job)
        return replace(result, verdicts=[replace(v, score=v.score / 2) for v in result.verdicts])

    classroom("zero", halved, regrade="kl-divergence", never_lower=True)
    assert ours(tmp_path) == before
    classroom("zero", halved, regrade="kl-divergence")
    assert ours(tmp_path) == nbgraders(tmp_path, "zero")
    assert ours(tmp_path)["by-little"] == (7, 7)
    with Gradebook(f"sqlite:///{tmp_path}/gradebook.db", "beyond-rlhf") as book:  # an extension
        book.update_or_create_assignment(NAME, duedate=DUE + timedelta(hours=1))
        book.find_grade("test-log-softmax", NAME, NAME, "half").manual_score = 1
        book.db.commit()
    classroom("zero", regrade="kl-divergence", never_lower=True)
    assert ours(tmp_path) == nbgraders(tmp_path, "zero")
    assert ours(tmp_path)["by-little"] == (POINTS, 0)
    score, penalty = ours(tmp_path)["half"]
    assert score == penalty == before["half"][0] - 4 + 1


def test_a_plugin_that_fails_is_the_graders_fault(tmp_path, classroom):
    entries, _ = classroom(Broken)
    assert entries["in-time"]["score"] == POINTS
    assert entries["half"]["status"] == "ungraded" and "late penalty's plugin" in entries["half"]["reason"]
    assert ours(tmp_path).get("half", (0, 0))[0] == 0
