"""Grade one notebook: its ordinary cells run in the sandbox, its tests are decided here.

Of a test cell nothing is run. The course's own check draws inputs, asks the sandbox for calls of the student's
function, and compares the answers; the verdict is written into the cell the way nbgrader reads it.
"""

from dataclasses import dataclass, replace

import nbformat

from course_utils.checks.display import MARKS, as_text, lines
from course_utils.checks.judge import judge
from course_utils.grading.reading import clean

MAX_OUTPUT = 6 * 2**20  # characters of all outputs of a notebook; pictures are text here
_ENDED = "your program ended before: "


@dataclass(frozen=True)
class Limits:
    """Seconds a cell or a call may take, and a notebook as a whole."""

    cell: float = 10.0
    notebook: float = 60.0


@dataclass(frozen=True)
class Verdict:
    """What a test has decided.

    Attributes:
        exercise: its id.
        score, max_score: points.
        message: the main thing that is wrong, for the student; "" where nothing is.
        misconception: the name of the known mistake, or "".
        parts: [{"part", "points", "mark", "message"}] of what was looked at, in `checks.display`'s marks.
    """

    exercise: str
    score: float
    max_score: float
    message: str = ""
    misconception: str = ""
    parts: tuple = ()


def grade_cells(notebook, assignment, session, stand_in, seed, limits=Limits(), only=None):
    """Run a sanitised notebook in `session`; fills in its outputs.

    A session that ends (the student's process died, stalled or went over a limit) ends the running of cells;
    what was earned before stands, and the remaining tests earn 0, with the reason.

    Args:
        notebook: from `sanitise`; changed in place.
        assignment: the `Assignment`.
        session: a sandbox's session: `run_cell(source, seconds)`, and `ended`, the reason why it ended or None.
        stand_in: from (session, function's name, seconds a call) to a callable that asks the session; raises
            NameError where the notebook has no such name.
        seed: what the hidden inputs are drawn from.
        limits: the `Limits`.
        only: the exercises to decide; by default all.

    Returns:
        [Verdict] in the notebook's order.
    """
    verdicts, left = [], MAX_OUTPUT
    for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), start=1):
        id = assignment.tests.get(cell.metadata.get("nbgrader", {}).get("grade_id"))
        if id is not None:
            if only is None or id in only:
                verdict, text = _decide(assignment.exercises[id], session, stand_in, seed, limits.cell)
                verdict = _worth(verdict, assignment.points[id])
                verdicts.append(verdict)
                cell.execution_count = count
                cell.outputs = verdict_outputs(verdict.score, text, count, verdict.parts)
        elif not session.ended and "experiment" not in cell.metadata.get("tags", []):
            cell.execution_count = count
            outputs = _run(session, cell.source, limits.cell)
            size = len(str(outputs))
            left -= size
            cell.outputs = (
                outputs if left > 0 else [_stream("(outputs over the limit of a notebook were dropped)")]
            )
    return verdicts


def verdict_outputs(score, text, count=None, parts=()):
    """The outputs of a test cell: the table, and the points as the one result, which is what nbgrader reads.

    The parts stand beside the points as metadata, which no page shows: a submission's own page is made from them.
    """
    result = nbformat.v4.new_output(
        "execute_result",
        {"text/plain": repr(float(score))},
        execution_count=count,
        metadata={"parts": [dict(part) for part in parts]},
    )
    return [_stream(clean(text)), result]


def nothing_earned(assignment, reason):
    """A verdict of 0 with one reason for every test of an assignment."""
    return [Verdict(id, 0.0, points, reason) for id, points in assignment.points.items()]


def _stream(text):
    return nbformat.v4.new_output("stream", name="stdout", text=text.rstrip("\n") + "\n")


def _run(session, source, seconds):
    """The outputs of one ordinary cell. One that fails does not matter here: tests tell what it costs."""
    try:
        outputs = list(session.run_cell(source, seconds).outputs)
    except Exception:
        if not session.ended:  # no verdict of the sandbox: the grader's own fault
            raise
        return [_stream(f"({session.ended})")]
    return [nbformat.from_dict(output) for output in outputs]


def _decide(exercise, session, stand_in, seed, seconds):
    """(Verdict, table in words) of one exercise."""
    if session.ended:
        return _nothing(exercise, f"{_ENDED}{session.ended}")
    try:
        function = stand_in(session, exercise.function, seconds)
    except NameError:
        return _nothing(exercise, f"there is no {exercise.function} in the notebook")
    except Exception:
        if not session.ended:
            raise
        return _nothing(exercise, f"{_ENDED}{session.ended}")
    report = judge(exercise, function, seed=seed, reveal=False)
    rows, last = lines(report, exercise)
    # the last sentence is about what to do next in the notebook
    sentences = last[:1] if report.unsolved or report.refused or report.sentence else []
    if report.unsolved:
        message = f"{exercise.function} is unsolved"
        sentences = [f"Not yet: {message}."]
    elif report.refused:
        message = report.refused
    else:
        message = report.sentence or next((row.message for row in report.rows if row.message), "")
    if session.ended:
        message = session.ended
        sentences = [f"Your program ended here: {session.ended}."]
    title = f"{exercise.id}, graded: {report.points:g} of {report.max_points:g} points"
    parts = tuple(
        {"part": row.part, "points": row.points, "mark": MARKS[row.passed], "message": clean(row.message)}
        for row in (report.rows if rows else ())
    )
    verdict = Verdict(
        exercise.id, report.points, report.max_points, clean(message), report.misconception, parts
    )
    return verdict, as_text(title, rows, sentences)


def _nothing(exercise, message):
    return Verdict(exercise.id, 0.0, exercise.points, message), f"{exercise.id}, graded: 0 points\n{message}"


def _worth(verdict, points):
    """The verdict in the points of the notebook, finite and within them: nbgrader takes nothing else."""
    share = verdict.score / verdict.max_score if verdict.max_score else 0.0
    score = round(min(max(share, 0.0), 1.0) * points, 2)
    worth = points / verdict.max_score if verdict.max_score else 0.0
    parts = tuple(part | {"points": round(part["points"] * worth, 2)} for part in verdict.parts)
    return replace(verdict, score=score, max_score=points, parts=parts)
