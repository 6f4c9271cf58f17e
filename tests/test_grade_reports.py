"""The class report, the exports for learning platforms, and the roster."""

import csv
import struct

import pytest
from grading_class import NAME, POINTS, REVERSE, answered, grade_here, hand_in, one_thread, released
from nbgrader.api import Gradebook

from course_utils.grading import run
from course_utils.grading.class_page import class_rows, page, picture, sentence_of, write_class_report
from course_utils.grading.exports import Canvas, Moodle
from course_utils.grading.roster import enter_roster, read_roster
from course_utils.grading.run import Plan, grade_class


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """(folder, report, assignment) of a class of four and one that cannot be read."""
    folder = tmp_path_factory.mktemp("class")
    for student in ("anna", "ben"):
        hand_in(folder / "submitted", student, answered())
    hand_in(folder / "submitted", "<i>carl", answered(answers={"kl-divergence": REVERSE}))
    hand_in(folder / "submitted", "dora", released())
    hand_in(folder / "submitted", "emil", "{")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "process_pools", one_thread)
        plan = Plan(NAME, str(folder / "submitted"), str(folder / "gradebook.db"), str(folder / "out"))
        report, assignment = grade_class(plan, work=grade_here)
    return folder, report, assignment


def test_rows_count_who_passes_and_name_the_mistakes(graded):
    _, report, assignment = graded
    first, second = class_rows(report.entries.values(), assignment)
    assert (first.exercise, first.graded, first.passed, first.nothing) == ("log-softmax", 4, 0.75, 0.25)
    assert second.passed == 0.5 and second.passed + second.partly + second.nothing == 1
    assert second.mistakes == (("reversed", 1),)
    assert "not symmetric" in sentence_of("kl-divergence", "reversed")


def test_the_page_shows_picture_table_and_what_to_look_at_and_runs_nothing(graded):
    folder, report, assignment = graded
    entries = list(report.entries.values())
    rows, paths = write_class_report(entries, assignment, report.file)
    text = paths[1].read_text()
    assert "75%" in text and "1 × reversed" in text and "not symmetric" in text
    assert "emil</td><td>failed" in text and "4 graded, 1 failed" in text
    hostile = [e | {"student": "<script>x", "reason": "<img onerror=x>"} for e in entries]
    made = page(hostile, rows, assignment, picture(rows, "x"))
    assert "<script" not in made and "<img onerror" not in made
    width, height = struct.unpack(">II", paths[0].read_bytes()[16:24])
    assert width > 400 and height > 100


def rows_of(file):
    with open(file, newline="", encoding="utf-8") as opened:
        return list(csv.reader(opened))


def test_canvas_and_moodle_get_final_grades_with_names(graded):
    folder = graded[0]
    roster = folder / "roster.csv"
    roster.write_text(
        'Username,First name,Surname,Email address\nanna,Anna,"Ångström, Jr.",a@example.org\nfritz,Fritz,F,\n'
    )
    url = f"sqlite:///{folder}/gradebook.db"
    assert enter_roster(roster, url, "beyond-rlhf") == 2
    with Gradebook(url, "beyond-rlhf") as book:
        Canvas(to=str(folder / "canvas.csv")).export(book)
        Moodle(to=str(folder / "moodle.csv"), student=["anna", "dora"]).export(book)
        submission = book.find_submission_notebook(NAME, NAME, "ben")
        submission.grades[0].needs_manual_grade = True
        book.db.commit()
        Canvas(to=str(folder / "later.csv"), assignment=["none"]).export(book)
        Canvas(to=str(folder / "waiting.csv")).export(book)
    canvas = rows_of(folder / "canvas.csv")
    assert canvas[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", NAME]
    assert canvas[1] == ["    Points Possible", "", "", "", "", f"{POINTS}"]
    by_login = {row[3]: row for row in canvas[2:]}
    assert by_login["anna"] == ["Ångström, Jr., Anna", "", "", "anna", "", "10"]
    assert by_login["fritz"][-1] == "" and by_login["dora"][-1] == "0" and by_login["emil"][-1] == ""
    moodle = rows_of(folder / "moodle.csv")
    assert moodle[0] == ["Username", "First name", "Last name", "Email address", "ID number", NAME]
    assert moodle[1:] == [
        ["dora", "", "", "", "", "0"],
        ["anna", "Anna", "Ångström, Jr.", "a@example.org", "", "10"],
    ]
    assert rows_of(folder / "later.csv")[0][-1] == "Section"
    assert {row[3]: row[-1] for row in rows_of(folder / "waiting.csv")[2:]}["ben"] == ""


def test_a_roster_of_canvas_is_read_and_a_bad_one_named(tmp_path):
    file = tmp_path / "roster.csv"
    file.write_text(
        'Student,ID,SIS Login ID,Section\n"Doe, Jane",77,jane,A\n    Points Possible,,,\n',
        encoding="utf-8-sig",
    )
    assert read_roster(file) == [
        {"id": "jane", "lms_user_id": "77", "last_name": "Doe", "first_name": "Jane"}
    ]
    file.write_text("id,first_name\na,A\na,B\n")
    with pytest.raises(ValueError, match="a is in .* more than once"):
        read_roster(file)
    file.write_text("name\nA\n")
    with pytest.raises(ValueError, match="no column"):
        read_roster(file)
