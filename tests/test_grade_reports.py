"""The class report, the exports for learning platforms, and the roster."""

import csv
import os
import re
import struct
from html import unescape
from urllib.parse import unquote

import pytest
from grading_class import NAME, POINTS, REVERSE, answered, grade_here, hand_in, one_thread, released
from nbgrader.api import Gradebook

from course_utils.checks import catalogue
from course_utils.grading import run
from course_utils.grading.class_page import class_rows, page, picture, write_class_report
from course_utils.grading.exports import Canvas, Moodle
from course_utils.grading.roster import enter_roster, read_roster
from course_utils.grading.run import Plan, grade_class
from course_utils.grading.student_page import page_file, sentence_of, student_page


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
    assert 'emil.html">emil</a></td><td>failed' in text and "4 graded, 1 failed" in text
    linked = {unquote(link) for link in re.findall('href="([^"]*)"', text)}
    assert len(linked) == 5 and all((report.file.parent / link).is_file() for link in linked)
    hostile = [e | {"student": "<script>x", "reason": "<img onerror=x>"} for e in entries]
    made = page(hostile, rows, assignment, picture(rows, "x"), report.file)
    assert "<script" not in made and "<img onerror" not in made
    width, height = struct.unpack(">II", paths[0].read_bytes()[16:24])
    assert width > 400 and height > 100


def words_of(html):
    """What a reader sees of a page."""
    return " ".join(unescape(re.sub("<[^>]*>", " ", html.partition("</style>")[2])).split())


def test_a_submissions_page_says_what_each_part_earned_and_why(graded):
    _, report, _ = graded
    text = page_file(report.file, "<i>carl").read_text()
    assert "<i>" not in text and "<script" not in text
    words = words_of(text)
    assert "<i>carl" in words and "the page may be handed out" in words[:300]
    got = report.entries["<i>carl"]["exercises"]["kl-divergence"]
    assert f"kl-divergence: {got['score']:g} of 6 points" in words and "log-softmax: 4 of 4 points" in words
    assert "Looks like reversed : this is" in words and sentence_of("kl-divergence", "reversed") in words
    first = catalogue.exercise("kl-divergence").parts[0]
    assert re.search(rf"fails {re.escape(first.name)} {first.points:g} \S+", words)
    assert str(report.head["seed"]) not in text  # who knows it can draw the hidden inputs
    assert "log_softmax is unsolved" in words_of(page_file(report.file, "dora").read_text())
    cut = words_of(page_file(report.file, "emil").read_text())
    assert "failed: not a notebook" in cut and "points" not in cut


def test_a_page_shows_errors_and_what_a_person_gave_and_escapes_all_of_it(graded):
    _, report, assignment = graded
    raised = {"output_type": "error", "ename": "<b>Name", "evalue": "<script>x"}
    mark = {"nbgrader": {"grade_id": "log-softmax"}}
    cells = [{"cell_type": "markdown"}, {"cell_type": "code", "metadata": mark, "outputs": [raised]}]
    part = {"part": "<script>p", "points": 2, "mark": "no", "message": "<script>m"}
    test = {
        "metadata": {"nbgrader": {"grade_id": "test-log-softmax"}},
        "outputs": [{"metadata": {"parts": [part]}}],
    }
    manual = {"test-log-softmax": {"score": 3.5, "max_score": 4.0, "waits": False}}
    hostile = report.entries["anna"] | {
        "student": "<script>s", "reason": "<script>r", "manual": manual, "late_seconds": 90000.0, "late_penalty": 4.0,
        "memory": 300 << 20,
    }  # fmt: skip
    text = student_page(hostile, assignment, [*cells, test])
    assert "<script" not in text and "<b>Name" not in text
    words = words_of(text)
    assert "cell 2 (log-softmax) <b>Name: <script>x" in words
    assert "a person gave 3.5" in words and "300 MB" in words
    assert "by 1 day: 4 points are taken off, 6 are left" in words
    assert "<script>m" in words and "<script>p" in words
    told = student_page(hostile | {"status": "ungraded", "score": None}, assignment)
    assert "not for the student" in words_of(told)[:400]


def test_every_student_has_a_page_of_their_own(tmp_path):
    file = tmp_path / "x-report.json"
    names = ["anna", "a/b", "a_b", "..", ".anna", "Zoë", "ä" * 200, "a" * 250, "a" * 251, "", "con:1"]
    pages = [page_file(file, name) for name in names]
    assert len(set(pages)) == len(names)
    assert {p.parent for p in pages} == {tmp_path / "x-report-students"}
    assert pages[0].name == "anna.html" and all(len(os.fsencode(p.name)) < 200 for p in pages)


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


def test_a_name_is_no_formula(graded):
    folder = graded[0]
    names = ["=cmd|' /C calc'!A0", "@SUM(1)", "+1+cmd", "-2+3", "\t=1", "＝1+1"]
    files = [folder / "canvas.csv", folder / "moodle.csv"]
    with Gradebook(f"sqlite:///{folder}/gradebook.db", "beyond-rlhf") as book:
        for name in names:
            book.add_student(name, first_name=name, last_name=name, email=name, lms_user_id=name)
        book.add_student("+49 170 1", first_name="Jean-Luc", last_name="O'Neill")
        for kind, file in zip((Canvas, Moodle), files, strict=True):
            kind(to=str(file)).export(book)
        for name in [*names, "+49 170 1"]:
            book.remove_student(name)
    cells = {cell for file in files for row in rows_of(file) for cell in row}
    assert {cell for cell in cells if cell[:1] in "=@+-\t＝" and cell} == {"+49 170 1"}
    assert {"Jean-Luc", *("'" + name for name in names)} <= cells


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
