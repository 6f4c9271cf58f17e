"""Grading over processes and over a Dask cluster: workers that die, runs that are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from grading_class import NAME, POINTS, answered, grade_here, hand_in
from nbgrader.api import Gradebook
from sandbox import require_sandbox

from course_utils.commands.paths import kernel_environment
from course_utils.grading.run import Plan, grade_class


def plan_for(folder, **more):
    return Plan(
        NAME, str(folder / "submitted"), str(folder / "gradebook.db"), str(folder / "out"),
        report=str(folder / "report.json"), **more,
    )  # fmt: skip


def entries_of(folder):
    return {e["student"]: e for e in json.loads((folder / "report.json").read_text())["submissions"]}


def gradebook_scores(folder):
    with Gradebook(f"sqlite:///{folder}/gradebook.db", "beyond-rlhf") as book:
        return {s.student.id: s.score for s in book.assignment_submissions(NAME)}


def grade_or_die(job):
    """A worker that dies on one submission, whenever it is asked, and on another the first time."""
    mark = Path(os.environ["GRADING_TEST_MARK"])
    if job.student == "deadly" or (job.student == "once" and not mark.exists()):
        mark.touch()
        os._exit(13)
    return grade_here(job)


def test_a_worker_that_dies_leaves_its_submission_ungraded_and_the_others_graded(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADING_TEST_MARK", str(tmp_path / "mark"))
    students = ["a", "b", "deadly", "once", "y", "z"]
    for student in students:
        hand_in(tmp_path / "submitted", student, answered())
    grade_class(plan_for(tmp_path, workers=2), work=grade_or_die)
    entries = entries_of(tmp_path)
    assert list(entries) == students
    assert entries["deadly"]["status"] == "ungraded" and "died, twice" in entries["deadly"]["reason"]
    assert entries["deadly"]["score"] is None
    assert {s: e["score"] for s, e in entries.items() if s != "deadly"} == gradebook_scores(tmp_path)
    assert set(gradebook_scores(tmp_path).values()) == {POINTS}


def grade_and_note(job):
    """`grade_here`, slow, with a line for each submission begun: process and student."""
    with open(os.environ["GRADING_TEST_MARK"], "a") as file:
        file.write(f"{os.getpid()} {job.student}\n")
    time.sleep(0.4)
    return grade_here(job)


RUN = """
import sys
from pathlib import Path
from course_utils.grading.run import grade_class
from test_grade_fanout import grade_and_note, plan_for
if __name__ == "__main__":
    grade_class(plan_for(Path(sys.argv[1]), workers=2), work=grade_and_note)
"""


def test_a_run_that_is_killed_goes_on_with_no_grade_lost_or_counted_twice(tmp_path):
    students = [f"student-{i:02d}" for i in range(8)]
    for student in students:
        hand_in(tmp_path / "submitted", student, answered())
    (tmp_path / "run.py").write_text(RUN)
    mark = tmp_path / "mark"
    here = Path(__file__).parent
    environment = kernel_environment() | {
        "GRADING_TEST_MARK": str(mark),
        "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]),
    }
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path)]
    running = subprocess.Popen(command, env=environment)
    end = time.monotonic() + 300  # a busy machine takes minutes to start
    while time.monotonic() < end and not (
        (tmp_path / "report.json").exists() and len(entries_of(tmp_path)) >= 3
    ):
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    before = entries_of(tmp_path)
    assert 2 <= len(before) < len(students)
    workers = {int(line.split()[0]) for line in mark.read_text().splitlines()}
    gone, alive = psutil.wait_procs([psutil.Process(p) for p in workers if psutil.pid_exists(p)], timeout=10)
    assert not alive
    mark.unlink()

    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    entries = entries_of(tmp_path)
    again = [line.split()[1] for line in mark.read_text().splitlines()]
    assert sorted(again) == sorted(set(students) - set(before))
    assert {s: entries[s] for s in before} == before
    assert gradebook_scores(tmp_path) == {s: POINTS for s in students}
    assert {s: e["score"] for s, e in entries.items()} == gradebook_scores(tmp_path)
    assert sorted(page.stem for page in (tmp_path / "report-students").glob("*")) == students


def test_a_dask_cluster_of_two_workers_grades_a_class(tmp_path):
    from distributed import LocalCluster

    require_sandbox()
    for student in ("a", "b", "c"):
        hand_in(tmp_path / "submitted", student, answered())
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=str(tmp_path / "dask")
    ) as cluster:
        grade_class(plan_for(tmp_path, scheduler=cluster.scheduler_address))
    assert {s: e["score"] for s, e in entries_of(tmp_path).items()} == dict.fromkeys("abc", POINTS)
    assert gradebook_scores(tmp_path) == dict.fromkeys("abc", POINTS)
