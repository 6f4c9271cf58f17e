"""nbgrader's exchange from end to end as two users: release, fetch, submit, collect, grade, feedback back.

Skipped, with the reason, where the tests do not run as root, who alone can become a second user, or where that user
cannot reach this Python.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from classroom import nbgrader
from grading_class import NAME, POINTS, answered, grade_here, one_thread
from nbgrader.api import Gradebook

from course_utils.commands.exchange import run_exchange
from course_utils.commands.paths import ROOT, SOLUTIONS, kernel_environment
from course_utils.grading import run
from course_utils.grading.run import Plan, grade_class

STUDENT = "nobody"
BECOME = ["setpriv", f"--reuid={STUDENT}", "--clear-groups", "--regid=65534", "--bounding-set=-all"]


@pytest.fixture(scope="module")
def place():
    """(course folder of the instructor, home of the student, exchange), all reachable for both."""
    if os.geteuid() != 0:
        pytest.skip("only root can become a second user")
    probe = subprocess.run([*BECOME, sys.executable, "-c", "import nbgrader"], capture_output=True, cwd="/")
    if probe.returncode != 0:
        pytest.skip("a second user cannot run this Python")
    # not pytest's own folder: only its owner may enter that
    folder = Path(tempfile.mkdtemp(prefix="exchange-", dir="/tmp"))
    folder.chmod(0o755)
    course, home = folder / "course", folder / "home"
    (course / "solutions").mkdir(parents=True)
    course.chmod(0o700)
    home.mkdir()
    shutil.chown(home, STUDENT)
    shutil.copy(ROOT / "nbgrader_config.py", course)
    shutil.copytree(SOLUTIONS / NAME, course / "solutions" / NAME)
    yield course, home, folder / "exchange"
    shutil.rmtree(folder, ignore_errors=True)


def test_a_notebook_goes_out_and_its_feedback_comes_back(place, monkeypatch, capsys):
    course, home, exchange = place
    roster = course / "roster.csv"
    roster.write_text(f"id,first_name,last_name\n{STUDENT},No,Body\n")
    asked = SimpleNamespace(folder=str(exchange), roster=str(roster), gradebook=str(course / "gradebook.db"))
    assert (
        run_exchange(asked, course) == 0 and run_exchange(asked, course) == 0
    )  # a second time changes nothing
    assert "1 students" in capsys.readouterr().out

    def as_student(*words, fails=False):
        environment = {
            k: v
            for k, v in kernel_environment().items()
            if k.startswith(("PATH", "OMP", "PYTHONPATH", "LANG"))
        }
        environment |= {"HOME": str(home), "JUPYTER_CONFIG_PATH": str(exchange / "settings")}
        done = subprocess.run([*BECOME, *words], cwd=home, env=environment, capture_output=True, text=True)
        assert fails or done.returncode == 0, done.stderr[-2000:]
        return done

    def students_nbgrader(*words):
        return as_student(sys.executable, "-m", "nbgrader", *words)

    nbgrader(course, "generate_assignment", NAME)
    nbgrader(course, "release_assignment", NAME)
    students_nbgrader("fetch_assignment", NAME)
    notebook = home / NAME / f"{NAME}.ipynb"
    assert "NotImplementedError" in notebook.read_text()
    assert sorted(path.name for path in notebook.parent.iterdir()) == [f"{NAME}.ipynb"]

    import nbformat

    nbformat.write(answered(), notebook)
    shutil.chown(notebook, STUDENT)
    students_nbgrader("submit", NAME)
    # nobody sees what others handed in, or the instructor's folder
    assert as_student("ls", str(exchange / "beyond-rlhf" / "inbound"), fails=True).returncode != 0
    assert as_student("ls", str(course), fails=True).returncode != 0

    nbgrader(course, "collect", NAME)
    monkeypatch.setattr(run, "process_pools", one_thread)
    plan = Plan(NAME, str(course / "submitted"), str(course / "gradebook.db"), str(course / "autograded"))
    report, _ = grade_class(plan, work=grade_here)
    assert report.entries[STUDENT]["score"] == POINTS
    with Gradebook(f"sqlite:///{course}/gradebook.db", "beyond-rlhf") as book:
        submission = book.find_submission(NAME, STUDENT)
        assert submission.timestamp is not None and submission.student.last_name == "Body"
    nbgrader(course, "generate_feedback", NAME)
    nbgrader(course, "release_feedback", NAME)
    students_nbgrader("fetch_feedback", NAME)
    (page,) = (home / NAME / "feedback").rglob("*.html")
    assert "Score: 10.0 / 10.0" in page.read_text()


def test_a_folder_in_the_way_is_not_touched(tmp_path, capsys):
    (tmp_path / "exchange").mkdir()
    asked = SimpleNamespace(folder=str(tmp_path / "other"), roster=None, gradebook="")
    assert run_exchange(asked, tmp_path) == 1
    assert "in the way" in capsys.readouterr().out and not (tmp_path / "other").exists()
