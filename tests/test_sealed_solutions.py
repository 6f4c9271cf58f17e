"""The solved notebooks in the sandbox: every answer of the course earns full points there, and no graded cell needs an experiment."""

import pytest
from test_another_process import ANSWERS, IMPORTS

from course_utils.checks import catalogue
from course_utils.checks.judge import judge
from course_utils.commands.paths import SOLUTIONS, assignments
from course_utils.grading.assignment import load_assignment
from course_utils.grading.jobs import Job, run_job
from course_utils.grading.remote import stand_in


@pytest.mark.parametrize("name", assignments())
def test_a_solved_notebook_earns_all_points(zygote, name):
    def with_session(job, work):
        return zygote.attempt(lambda session: work(session, stand_in), seconds=job.limits.notebook)

    data = (SOLUTIONS / name / f"{name}.ipynb").read_bytes()
    result = run_job(Job("solved", load_assignment(name), data, seed=4), with_session)
    assert result.status == "graded"
    assert result.reason == ""
    lost = {v.exercise: v.message for v in result.verdicts if v.score < v.max_score}
    assert lost == {}


def _report(zygote, id, *cells):
    """The verdict on an answer that stands in cells of a notebook."""
    exercise = catalogue.exercise(id)
    with zygote.session() as session:
        for source in cells:
            assert session.run_cell(source).error is None
        return judge(exercise, stand_in(session, exercise.function), seed=4, reveal=False)


@pytest.mark.parametrize("name", ["cached", "the hash of a text by its method", "a salt of the process"])
def test_another_process_is_looked_at_inside(zygote, name):
    source, right = ANSWERS[name]
    report = _report(zygote, "assign-variant", IMPORTS, source)
    assert report.passed == right
    lost = [row for row in report.rows if row.passed is False]
    assert right or any("another process" in row.message for row in lost)


STOPS = {
    "a forked process": """
import multiprocessing as mp
def run(program, args, expected, pipe):
    try:
        pipe.send(program(*args) == expected)
    except Exception:
        pipe.send(False)
def passed(program, args, expected, timeout):
    here, there = mp.get_context("fork").Pipe()
    process = mp.get_context("fork").Process(target=run, args=(program, args, expected, there))
    process.start()
    found = here.recv() if here.poll(timeout) else False
    process.kill()
    process.join()
    return found
""",
    "a timer": """
import signal
class Late(Exception): pass
def late(*_): raise Late
def passed(program, args, expected, timeout):
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, timeout)
    try:
        return program(*args) == expected
    except Exception:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
""",
    "a thread": """
import threading
def passed(program, args, expected, timeout):
    found = [False]
    def run():
        try:
            found[0] = program(*args) == expected
        except Exception:
            pass
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(timeout)
    return found[0] and not thread.is_alive()
""",
}
GAP = """
def verifier_gap(program, visible_tests, hidden_tests, timeout=1.0):
    v, h = ([passed(program, args, expected, timeout) for args, expected in tests] for tests in (visible_tests, hidden_tests))
    return sum(v) / len(v) - sum(h) / len(h)
"""


@pytest.mark.parametrize("way", STOPS)
def test_programs_can_be_stopped_inside(zygote, way):
    assert _report(zygote, "overfit-verifier", STOPS[way] + GAP).passed


def test_a_program_that_is_not_stopped_is_seen_inside(zygote):
    never = "def passed(program, args, expected, timeout):\n    try: return program(*args) == expected\n    except Exception: return False"
    assert not _report(zygote, "overfit-verifier", never + GAP).passed
