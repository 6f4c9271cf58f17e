"""The command as it is used: a class in the sandbox, then nbgrader's own feedback, export and formgrader on the result."""

import csv
import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from classroom import nbgrader
from grading_class import (
    KL,
    LOG_SOFTMAX,
    NAME,
    POINTS,
    REVERSE,
    answered,
    cells_of,
    hand_in,
    picture,
    released,
)
from nbgrader.api import Gradebook
from sandbox import require_sandbox

from course_utils.commands.paths import ROOT, SOLUTIONS, kernel_environment

SCRIPT = """<script>alert('mine')</script><img src=x onerror="alert('mine')">
[click](javascript:alert(1)) [click](java&#115;cript:alert(1)) [click][0] <a href="java\tscript:alert(1)">click</a>
<svg onload=alert(1)></svg> **strong** $a < b$ `c < d` ![pasted](attachment:a.png) ![lost](attachment:b.png)

[0]: JavaScript:alert(1)
"""


def both(log_softmax, kl):
    return answered(answers={"log-softmax": log_softmax, "kl-divergence": kl})


def submissions():
    scripted = both(LOG_SOFTMAX, KL)
    pasted = {"a.png": {"image/png": picture("PNG")}}
    scripted.cells.append(nbformat.v4.new_markdown_cell(SCRIPT, attachments=pasted))
    scripted.cells.append(
        nbformat.v4.new_code_cell(
            "from IPython.display import HTML, display\ndisplay(HTML('<script>alert(2)</script>'))"
        )
    )
    return {
        "perfect": both(LOG_SOFTMAX, KL),
        "blank": released(),
        "wrong": both(LOG_SOFTMAX, REVERSE),
        "endless": both(LOG_SOFTMAX, "def kl_divergence(p_logits, q_logits):\n    while True:\n        pass"),
        "leaves": both(LOG_SOFTMAX, "import os\nos._exit(0)"),
        "scripted": scripted,
        "cut": nbformat.writes(answered())[:8000],
    }


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course folder in which the command has graded a class."""
    require_sandbox()
    course = tmp_path_factory.mktemp("course")
    shutil.copy(ROOT / "nbgrader_config.py", course)
    shutil.copytree(SOLUTIONS / NAME, course / "solutions" / NAME)
    for student, notebook in submissions().items():
        hand_in(course / "submitted", student, notebook)
    done = grade(course)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "6 graded, 1 failed, 0 ungraded" in done.stdout and "reversed (1)" in done.stdout
    return course


def grade(course, *more):
    words = [
        "grade", NAME, "--submitted", "submitted", "--gradebook", "gradebook.db", "--out", "autograded",
        "--report", "report.json", "--workers", "1", *more,
    ]  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "course_utils", *words],
        cwd=course, env=kernel_environment() | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip


def test_everybody_gets_what_is_due(course):
    entries = {e["student"]: e for e in json.loads((course / "report.json").read_text())["submissions"]}
    assert {s: e["score"] for s, e in entries.items()} == {
        "perfect": POINTS, "blank": 0, "wrong": 4, "endless": 4, "leaves": 4, "scripted": POINTS, "cut": None,
    }  # fmt: skip
    assert "took more than" in entries["endless"]["exercises"]["kl-divergence"]["message"]
    assert entries["wrong"]["exercises"]["kl-divergence"]["misconception"]
    assert 50e6 < entries["endless"]["memory"] < 4e9  # it ran for ten seconds, so somebody has looked
    assert "ended" in entries["leaves"]["reason"] and "invalid JSON" in entries["cut"]["reason"]


def test_a_submissions_page_is_made_of_what_the_sandbox_gave(course):
    pages = course / "report-students"
    wrong = (pages / "wrong.html").read_text()
    assert "KL is not symmetric" in wrong and "4 of 4 points" in wrong and "MB of memory" in wrong
    assert "took more than" in (pages / "endless.html").read_text()
    seed = str(json.loads((course / "report.json").read_text())["seed"])
    for page in pages.iterdir():
        assert seed not in page.read_text() and "<script" not in page.read_text()


def test_nothing_is_run_twice(course):
    before = (course / "report.json").read_bytes()
    assert grade(course).returncode == 0
    assert (course / "report.json").read_bytes() == before


def test_the_graded_notebook_holds_neither_seed_nor_script(course):
    report = json.loads((course / "report.json").read_text())
    for student in ("perfect", "scripted"):
        text = (course / "autograded" / student / NAME / f"{NAME}.ipynb").read_text()
        assert str(report["seed"]) not in text
        assert "alert(2)</script>" not in json.dumps([c.get("outputs") for c in json.loads(text)["cells"]])
    graded = cells_of(nbformat.reads(text, as_version=4))
    assert graded["test-log-softmax"].outputs[-1].data["text/plain"] == "4.0"


def harmless(page):
    """No script of the student's is live in a page, and what is harmless is still there."""
    live = ("<script>alert", "<svg onload", "javascript:alert", "java&#115;cript", 'script:alert(1)">')
    assert not [words for words in live if words.lower() in page.lower()]
    assert not re.search(r"<[^>]*\sonerror=", page)
    assert re.search(r'<img (?=[^>]*alt="pasted")[^>]*src="data:image/png;base64,iVBOR', page)
    return "<strong>strong</strong>" in page and "<code>c &lt; d</code>" in page and "$a &lt; b$" in page


def test_feedback_and_export_of_nbgrader_work_on_the_result(course):
    nbgrader(course, "generate_feedback", NAME)
    nbgrader(course, "export")
    with open(course / "grades.csv", newline="") as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert scores["perfect"] == POINTS and scores["wrong"] == 4
    page = (course / "feedback" / "scripted" / NAME / f"{NAME}.html").read_text()
    assert harmless(page)
    assert "KL is not symmetric" in (course / "feedback" / "wrong" / NAME / f"{NAME}.html").read_text()


def test_formgrader_opens_it(course):
    with Gradebook(f"sqlite:///{course}/gradebook.db", "beyond-rlhf") as book:
        id = book.find_submission_notebook(NAME, NAME, "scripted").id
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["--no-browser", "--allow-root", f"--ServerApp.port={port}", "--IdentityProvider.token="]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyter", "server", *words, "--ServerApp.disable_check_xsrf=True"],
        cwd=course, env=kernel_environment(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        page, end = None, time.monotonic() + 60
        while page is None and time.monotonic() < end:
            try:
                address = f"http://127.0.0.1:{port}/formgrader/submissions/{id}/"
                page = urllib.request.urlopen(address, timeout=20).read().decode()
            except (OSError, TimeoutError):
                assert server.poll() is None, server.stderr.read()[-2000:]
                time.sleep(0.5)
        assert page and "test-kl-divergence" in page
        assert harmless(page)
    finally:
        server.terminate()
        server.wait()
