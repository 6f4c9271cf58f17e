"""Grading a class: what is written where, on submissions whose cells run in this process."""

import contextlib
import json
import os
import time
from dataclasses import replace

import nbformat
import pytest
from grading_class import (
    KL,
    LOAD,
    LOG_SOFTMAX,
    NAME,
    POINTS,
    REVERSE,
    answered,
    cells_of,
    grade_here,
    grade_quickly,
    hand_in,
    released,
)
from nbgrader.api import Gradebook
from nbgrader.utils import determine_grade, is_grade

from course_utils.commands.grade import printable
from course_utils.grading import jobs, run
from course_utils.grading.jobs import run_job
from course_utils.grading.run import Plan, grade_class
from course_utils.grading.steps import Limits


@pytest.fixture
def classroom(tmp_path, monkeypatch):
    """From (changes of the plan) to (entries by student, lines said); the class's folders are in `tmp_path`."""
    grade_quickly(monkeypatch)
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


def test_a_malformed_submission_gets_a_line_and_stops_nobody(tmp_path, classroom):
    there = tmp_path / "submitted"
    good = hand_in(there, "good", answered())
    hand_in(there, "cut", nbformat.writes(answered())[:9000])
    hand_in(there, "renamed", answered(), file="homework.ipynb")
    hand_in(there, "another", released("01-derivation"))
    (there / "linked" / NAME).mkdir(parents=True)
    (there / "linked" / NAME / f"{NAME}.ipynb").symlink_to(good)
    deleted = answered()
    deleted.cells = [
        c for c in deleted.cells if c.metadata.get("nbgrader", {}).get("grade_id") != "test-log-softmax"
    ]
    hand_in(there, "deleted", deleted)
    entries, said = classroom()
    assert {s: e["status"] for s, e in entries.items()} == {
        "good": "graded", "deleted": "graded", "cut": "failed", "renamed": "failed", "another": "failed",
        "linked": "failed",
    }  # fmt: skip
    assert sorted(line.split(":")[0] for line in said) == ["another", "cut", "deleted", "linked", "renamed"]
    assert entries["deleted"]["score"] == entries["good"]["score"] == POINTS
    assert entries["another"]["score"] == 0
    assert all(
        entries[s]["score"] is None and not entries[s]["exercises"] for s in ("cut", "renamed", "linked")
    )
    assert gradebook_scores(tmp_path) == {"good": POINTS, "deleted": POINTS, "another": 0}


def test_a_program_that_ends_keeps_what_it_had_earned(tmp_path, classroom):
    notebook = answered()
    at = [c.id for c in notebook.cells].index("kl-divergence")
    notebook.cells.insert(at, nbformat.v4.new_code_cell("raise SystemExit"))
    hand_in(tmp_path / "submitted", "quits", notebook)
    entries, _ = classroom()
    (entry,) = entries.values()
    assert entry["status"] == "graded" and "left by itself" in entry["reason"]
    assert {id: e["score"] for id, e in entry["exercises"].items()} == {"log-softmax": 4, "kl-divergence": 0}
    assert "left by itself" in entry["exercises"]["kl-divergence"]["message"]
    assert gradebook_scores(tmp_path) == {"quits": 4}


def test_a_fault_of_the_graders_leaves_no_score(tmp_path, classroom):
    for student in ("a", "b"):
        hand_in(tmp_path / "submitted", student, answered())

    class Fault(BaseException):
        pass

    def faulty(job):
        def no_sandbox(job, work):
            raise Fault("the disk is full")

        return run_job(job, no_sandbox) if job.student == "a" else grade_here(job)

    entries, said = classroom(work=faulty)
    assert (entries["a"]["status"], entries["a"]["score"], entries["a"]["exercises"]) == (
        "ungraded",
        None,
        {},
    )
    assert "the disk is full" in entries["a"]["reason"]
    assert gradebook_scores(tmp_path) == {"b": POINTS}
    entries, _ = classroom()  # the next run does what is left
    assert entries["a"]["score"] == POINTS


def test_a_grader_that_does_not_get_on_is_woken(monkeypatch):
    """Not the submission's time, which the sandbox limits, but a comparison out here that never ends."""

    def judging_for_ever(job, work):
        with contextlib.suppress(Exception):  # as a check does
            while True:
                time.sleep(0.01)

    monkeypatch.setattr(jobs, "_zygote", lambda sandbox, thread: None)
    monkeypatch.setattr(jobs, "_with_sandbox", judging_for_ever)
    data = nbformat.writes(answered()).encode()
    result = jobs.grade_job(jobs.Job("a", LOAD(NAME), data, 0, Limits(notebook=0.05)))
    assert result.status == "ungraded" and "no verdict after 0.5 s" in result.reason


def counted(work=grade_here):
    """(work, list of the students it was asked for)."""
    asked = []

    def count(job):
        asked.append(job.student)
        return work(job)

    return count, asked


def test_a_second_run_does_only_what_is_new_or_lost(tmp_path, classroom):
    for student in ("a", "b", "c"):
        hand_in(tmp_path / "submitted", student, answered())
    first, _ = classroom()
    work, asked = counted()
    assert classroom(work=work)[0] == first and not asked
    hand_in(tmp_path / "submitted", "a", released())
    (tmp_path / "out" / "b" / NAME / f"{NAME}.ipynb").unlink()
    with Gradebook(f"sqlite:///{tmp_path}/gradebook.db", "beyond-rlhf") as book:
        book.remove_submission(NAME, "c")
    entries, said = classroom(work=work)
    assert sorted(asked) == ["a", "b", "c"]
    assert {s: e["score"] for s, e in entries.items()} == {"a": 0, "b": POINTS, "c": POINTS}
    assert "a: log-softmax 4 -> 0" in said


def test_each_submission_has_its_page_and_a_lost_one_is_made_again_without_grading(tmp_path, classroom):
    """A run that is killed leaves a page too few at most; an older run's report has none."""
    for student in ("a", "b"):
        hand_in(tmp_path / "submitted", student, answered())
    hand_in(tmp_path / "submitted", "cut", "{")
    seen = []

    def looking(job):
        seen.append({page.name for page in pages.glob("*")})
        return grade_here(job)

    pages = tmp_path / "report-students"
    classroom(work=looking)
    assert set(seen[0]) <= {"cut.html"} and sorted(p.name for p in pages.iterdir()) == [
        "a.html",
        "b.html",
        "cut.html",
    ]
    whole = {page.name: page.read_text() for page in pages.iterdir()}
    assert "4 of 4 points" in whole["a.html"]
    (pages / "a.html").unlink()
    work, asked = counted()
    classroom(work=work)
    assert not asked and {page.name: page.read_text() for page in pages.iterdir()} == whole
    hand_in(tmp_path / "submitted", "a", released())  # handed in again: the page too is another
    classroom()
    assert "is unsolved" in (pages / "a.html").read_text()


def test_a_page_that_cannot_be_written_costs_no_grade(tmp_path, classroom):
    hand_in(tmp_path / "submitted", "a", answered())
    (tmp_path / "report-students").write_text("no folder")
    entries, said = classroom()
    assert entries["a"]["score"] == POINTS and "its page could not be written" in said[0]
    (tmp_path / "report-students").unlink()
    work, asked = counted()
    classroom(work=work)
    assert not asked and (tmp_path / "report-students" / "a.html").is_file()


def test_a_resubmission_that_cannot_be_read_keeps_the_earlier_grade(tmp_path, classroom):
    hand_in(tmp_path / "submitted", "a", answered())
    classroom()
    hand_in(tmp_path / "submitted", "a", "{")
    entries, _ = classroom()
    assert entries["a"]["status"] == "failed" and "earlier grade" in entries["a"]["reason"]
    assert entries["a"]["score"] == POINTS and gradebook_scores(tmp_path) == {"a": POINTS}


def test_regrading_touches_one_exercise_and_says_what_changed(tmp_path, classroom, monkeypatch):
    hand_in(tmp_path / "submitted", "a", answered(answers={"kl-divergence": KL, "log-softmax": LOG_SOFTMAX}))
    hand_in(
        tmp_path / "submitted", "b", answered(answers={"kl-divergence": REVERSE, "log-softmax": LOG_SOFTMAX})
    )
    before, _ = classroom()
    monkeypatch.setattr(run, "checks_version", lambda assignment: "mended")

    def halved(job):
        """As after a mended check: this exercise gives half of its points."""
        result = grade_here(job)
        assert [v.exercise for v in result.verdicts] == ["kl-divergence"]
        return replace(result, verdicts=[replace(v, score=v.score / 2) for v in result.verdicts])

    entries, said = classroom(work=halved, regrade="kl-divergence")
    assert said[0] == "a: kl-divergence 6 -> 3" and entries["a"]["score"] == 7
    assert points_in_file(tmp_path, "a") == {"test-log-softmax": 4, "test-kl-divergence": 3}
    assert entries["b"]["exercises"]["log-softmax"] == before["b"]["exercises"]["log-softmax"]
    assert {s: e["score"] for s, e in entries.items()} == gradebook_scores(tmp_path)
    # with never_lower it stays
    entries, said = classroom(work=halved, regrade="kl-divergence", never_lower=True)
    assert entries["a"]["exercises"]["kl-divergence"]["score"] == 3 and not said
    entries, said = classroom(regrade="kl-divergence", never_lower=True)
    assert entries["a"]["score"] == POINTS and "a: kl-divergence 3 -> 6" in said


def test_what_a_person_graded_stays(tmp_path, classroom, monkeypatch):
    name = "01-derivation"
    notebook = answered(name)
    cells_of(notebook)["practice-1"].source = "Because it cancels."
    hand_in(tmp_path / "submitted", "a", notebook, name)
    hand_in(tmp_path / "submitted", "blank", released(name), name)
    entries, _ = classroom(assignment=name)
    total = sum(e["score"] for e in entries["a"]["exercises"].values())
    assert total == entries["a"]["score"] == entries["a"]["max_score"] - 10
    worth = entries["a"]["exercises"]["optimal-policy"]["max_score"]
    assert entries["a"]["by_hand"] == ["practice-1"] and entries["blank"]["by_hand"] == []
    with Gradebook(f"sqlite:///{tmp_path}/gradebook.db", "beyond-rlhf") as book:
        grade = book.find_grade("practice-1", name, name, "a")
        assert grade.needs_manual_grade and grade.auto_score is None
        assert not book.find_grade("practice-1", name, name, "blank").needs_manual_grade
        grade.manual_score, grade.needs_manual_grade = 7.5, False
        test = book.find_grade("test-optimal-policy", name, name, "a")
        test.manual_score = 1.0
        book.db.commit()
    work, asked = counted()
    page = tmp_path / "report-students" / "a.html"
    assert "1 answer waits for a person" in page.read_text()
    entries, _ = classroom(assignment=name, work=work)  # another run takes it over, and grades nothing
    assert not asked and entries["a"]["score"] == total + 7.5 - worth + 1
    assert "7.5 of 10 points" in page.read_text() and "a person gave 1<" in page.read_text()
    monkeypatch.setattr(run, "checks_version", lambda assignment: "all mended")
    assert classroom(assignment=name)[0]["a"]["score"] == total + 7.5 - worth + 1  # graded anew as a whole
    entries, _ = classroom(assignment=name, regrade="optimal-policy")
    assert entries["a"]["score"] == total + 7.5 - worth + 1
    with Gradebook(f"sqlite:///{tmp_path}/gradebook.db", "beyond-rlhf") as book:
        assert not book.find_grade("practice-1", name, name, "a").needs_manual_grade
    notebook.cells[0].source += "!"  # another notebook: a person has to look again
    hand_in(tmp_path / "submitted", "a", notebook, name)
    classroom(assignment=name)
    with Gradebook(f"sqlite:///{tmp_path}/gradebook.db", "beyond-rlhf") as book:
        grade = book.find_grade("practice-1", name, name, "a")
        assert grade.needs_manual_grade and grade.manual_score == 7.5


def test_names_and_dates_of_any_kind(tmp_path, classroom):
    name = os.fsdecode(b"Zo\xeb; DROP TABLE student --")
    hand_in(tmp_path / "submitted", name, answered())
    path = hand_in(tmp_path / "submitted", "late", answered())
    (path.parent / "timestamp.txt").write_text("2030-01-02 03:04:05 UTC")
    path = hand_in(tmp_path / "submitted", "odd", answered())
    (path.parent / "timestamp.txt").write_text("yesterday, I swear")
    entries, _ = classroom()
    assert {e["score"] for e in entries.values()} == {POINTS} and len(entries) == 3
    assert "no date" in entries["odd"]["reason"]
    assert (tmp_path / "out" / name / NAME / f"{NAME}.ipynb").is_file()
    with Gradebook(f"sqlite:///{tmp_path}/gradebook.db", "beyond-rlhf") as book:
        assert book.find_submission(NAME, "late").timestamp.year == 2030


def test_no_name_moves_the_cursor_of_whoever_looks():
    assert printable("\x1b[2Ja\r\nb\ud800ü") == "\ufffd[2Ja\ufffd\ufffdb\ufffdü"


def test_two_runs_at_once_are_refused(tmp_path, classroom):
    hand_in(tmp_path / "submitted", "a", answered())

    def meanwhile(job):
        with pytest.raises(RuntimeError, match="another run"):
            classroom()
        return grade_here(job)

    entries, _ = classroom(work=meanwhile)
    assert entries["a"]["score"] == POINTS


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"submitted": "/nowhere"}, "submitted"),
        ({"assignment": "07-none"}, "07-none"),
        ({"students": ("../a",)}, "student"),
        ({"regrade": "dpo-loss"}, "regrade"),
        ({"gradebook": "nonsense://x"}, "gradebook"),
    ],
)
def test_a_plan_that_cannot_be_followed_names_what_is_wrong(classroom, changes, words):
    with pytest.raises(ValueError, match=words):
        classroom(**changes)
