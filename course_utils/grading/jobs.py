"""One submission as a job: bytes in, plain data out, so that it can run in any process on any machine.

Whoever runs jobs reads no submission and writes no result; that is done by the one process that also owns the
gradebook. A worker keeps one warm sandbox (in a Dask worker with threads, each of them).
"""

import atexit
import contextlib
import copy
import functools
import signal
import tempfile
import threading
import time
import traceback
from dataclasses import dataclass, field

import nbformat

from course_utils.grading.reading import Unreadable, parse
from course_utils.grading.sanitise import sanitise
from course_utils.grading.steps import Limits, Verdict, grade_cells, nothing_earned

_PATIENCE = 10  # times a notebook's limit; the sandbox itself ends it after five
MAX_OUTPUT_BYTES = 20 * 2**20  # of a graded notebook's file


@dataclass(frozen=True)
class Job:
    """A submission to grade.

    Attributes:
        student: folder name as text.
        assignment: the `Assignment`.
        data: bytes of the notebook.
        seed: what hidden inputs are drawn from.
        limits: the `Limits`.
        sandbox: False for --unsafe.
        only: the exercises to decide, or None for all.
    """

    student: str
    assignment: object
    data: bytes
    seed: int
    limits: Limits = Limits()
    sandbox: bool = True
    only: frozenset | None = None


@dataclass(frozen=True)
class Result:
    """What came of a job.

    Attributes:
        student: as in the job.
        status: "graded", "failed" (the submission's fault) or "ungraded" (ours).
        reason: what is wrong or odd, for a teacher; "" where nothing is.
        verdicts: [Verdict]; empty where nothing was decided.
        notebook: the executed notebook as text; "" where there is none.
        untouched: the ids of cells graded by hand that hold no answer.
        seconds: wall-clock time.
        memory: the most bytes that its processes were seen to hold, pages shared with others included.
    """

    student: str
    status: str
    reason: str = ""
    verdicts: list[Verdict] = field(default_factory=list)
    notebook: str = ""
    untouched: tuple[str, ...] = ()
    seconds: float = 0.0
    memory: int = 0


def grade_job(job):
    """Grade one submission in this process's sandbox; never raises for what a submission does."""
    with contextlib.suppress(BaseException):  # told below, as what it costs this submission
        _zygote(job.sandbox, threading.get_ident())  # the start is nobody's time
    with _alarm(_PATIENCE * job.limits.notebook):
        return run_job(job, _with_sandbox)


def run_job(job, with_session):
    """As `grade_job`, with the sandbox given: `with_session(job, work)` calls work(session, stand_in)."""
    start = time.perf_counter()
    try:
        result = _grade(job, with_session)
    except Exception as error:
        # whatever is raised here is our fault: what a submission may do ends in a verdict or in "failed"
        result = Result(job.student, "ungraded", f"the grader failed: {_words(error)}")
    except BaseException as error:  # a GraderFault, which no check may swallow
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        result = Result(job.student, "ungraded", f"the grader failed: {_words(error)}")
    fields = vars(result) | {"seconds": round(time.perf_counter() - start, 3)}
    return Result(**fields)


def _grade(job, with_session):
    try:
        cells, remarks = parse(job.data)
    except Unreadable as error:
        return Result(job.student, "failed", str(error))
    try:
        clean_notebook, more = sanitise(cells, job.assignment)
    except ValueError as error:
        return Result(job.student, "failed", str(error), nothing_earned(job.assignment, str(error)))
    remarks += more

    def work(session, stand_in):
        notebook = copy.deepcopy(clean_notebook)  # work may be done twice
        verdicts = grade_cells(notebook, job.assignment, session, stand_in, job.seed, job.limits, job.only)
        return notebook, verdicts, session.ended, session.memory

    notebook, verdicts, ended, memory = with_session(job, work)
    if ended:
        remarks.append(f"its program ended: {ended}")
    text = _written(notebook)
    untouched = _untouched(notebook, job.assignment)
    return Result(job.student, "graded", "; ".join(remarks), verdicts, text, untouched, memory=memory)


def _written(notebook):
    """The notebook as text (it was built here, and need not be validated), without the outputs of ordinary cells where it would be too large."""
    text = nbformat.v4.writes(notebook)
    if len(text.encode()) > MAX_OUTPUT_BYTES:
        for cell in notebook.cells:
            if cell.cell_type == "code" and not cell.metadata.get("nbgrader", {}).get("grade"):
                cell.outputs = []
        text = nbformat.v4.writes(notebook)
    return text


def _untouched(notebook, assignment):
    sources = {c.metadata.nbgrader.grade_id: c.source for c in notebook.cells if "nbgrader" in c.metadata}
    return tuple(
        name for name in assignment.by_hand if sources.get(name, "") in ("", assignment.cells[name].source)
    )


def _words(error):
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" ({last[0].filename.rsplit('/', 1)[-1]}, line {last[0].lineno})" if last else ""
    return f"{type(error).__name__}: {error}"[:500] + where


class _Stuck(BaseException):
    """The grader itself does not get on with a submission; no `Exception`, which a check would take for a finding."""


@contextlib.contextmanager
def _alarm(seconds):
    """Within, `_Stuck` is raised after so many seconds; only a main thread can be woken."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number, frame):
        raise _Stuck(f"no verdict after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ---- the sandbox of this process ----


def _with_sandbox(job, work):
    # imported here: reading and reporting need none of it
    from course_utils.grading.remote import stand_in

    zygote = _zygote(job.sandbox, threading.get_ident())
    return zygote.attempt(lambda session: work(session, stand_in), seconds=job.limits.notebook)


@functools.cache
def _zygote(sandbox, thread):
    """The warm sandbox of a thread of this process, started when it is first asked for."""
    from course_utils.grading import package
    from course_utils.grading.sealed import Zygote

    folder = tempfile.TemporaryDirectory(prefix="student-package-")
    package.build(folder.name)
    zygote = Zygote(folder.name, sandbox=sandbox)
    zygote.__enter__()

    @atexit.register
    def close():
        zygote.__exit__(None, None, None)
        folder.cleanup()

    return zygote
