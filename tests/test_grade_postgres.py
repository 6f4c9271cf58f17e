"""The gradebook on PostgreSQL: the same grades, read by nbgrader's own means."""

import nbgrader.api
from grading_class import NAME, POINTS, answered, grade_here, hand_in, one_thread, released
from nbgrader.api import Gradebook
from test_service_postgres import postgres  # noqa: F401 - a fixture

from course_utils.grading import run
from course_utils.grading.run import Plan, grade_class


def test_a_gradebook_on_postgresql(tmp_path, monkeypatch, postgres):  # noqa: F811
    monkeypatch.setattr(run, "process_pools", one_thread)
    hand_in(tmp_path / "submitted", "perfect", answered())
    hand_in(tmp_path / "submitted", "blank ☃", released())
    url = postgres.replace("+psycopg", "")  # as an instructor writes it
    plan = Plan(NAME, str(tmp_path / "submitted"), url, str(tmp_path / "out"))
    first = grade_class(plan, work=grade_here)[0].entries
    assert {s: e["score"] for s, e in first.items()} == {"perfect": POINTS, "blank ☃": 0}

    def twice(job):
        raise AssertionError("it is graded already")

    assert grade_class(plan, work=twice)[0].entries == first
    with Gradebook(postgres, "beyond-rlhf") as book:
        kept = {s.student.id: s.score for s in book.assignment_submissions(NAME)}
        assert kept == {"perfect": POINTS, "blank ☃": 0}
        assert book.db.execute(nbgrader.api.text("select count(*) from grade")).scalar() == 4
