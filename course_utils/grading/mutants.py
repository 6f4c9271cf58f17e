"""The tests of the tests: right answers that a check must accept, and wrong ones that it must reject.

They come from the checks' own lists, and from a folder of files, each the source of a solution cell:

    ANSWERS/EXERCISE/right/NAME.py
    ANSWERS/EXERCISE/wrong/NAME.py      named for a misconception, if the check is to recognise one
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from course_utils.checks.judge import judge

COLUMNS = ("reference", "right", "wrong", "named")
_HEADS = (
    ("exercise", "reference", "right answers", "wrong answers", "wrong answers"),
    ("", "accepted", "accepted", "rejected", "named"),
)
_SECONDS = 10.0  # of one call


@dataclass(frozen=True)
class Outcome:
    """How one answer fared.

    Attributes:
        exercise: its id.
        column: what is counted: "reference" or "right" (accepted), "wrong" (rejected) or "named".
        name: the answer's.
        holds: whether the check does what it should.
        words: what it does instead.
    """

    exercise: str
    column: str
    name: str
    holds: bool
    words: str = ""


def own_outcomes(exercise, seeds):
    """The outcomes of the answers in a check's own lists."""
    yield _accepted(exercise, "reference", "reference", _reports(exercise, exercise.reference, seeds))
    for style, answer in exercise.alternatives.items():
        yield _accepted(exercise, "right", style, _reports(exercise, answer, seeds))
    for wrong in exercise.misconceptions:
        reports = _reports(exercise, wrong.function, seeds)
        yield _rejected(exercise, wrong.name, reports)
        yield _named(exercise, wrong.name, reports)


def own_count(exercise):
    """How many answers there are in a check's own lists."""
    return 1 + len(exercise.alternatives) + len(exercise.misconceptions)


def answers_in(folder, exercises):
    """[(exercise, "right" or "wrong", name, source)] of a folder of answers.

    Raises:
        ValueError: if there is something else in it, or no answer at all.
    """
    found = []
    for file in sorted(Path(folder).glob("*/*/*.py")):
        id, column = file.parts[-3:-1]
        if id not in exercises:
            raise ValueError(f"{file}: there is no exercise {id!r}; there are {', '.join(exercises)}")
        if column not in ("right", "wrong"):
            raise ValueError(f"{file}: answers lie in right/ or in wrong/, not in {column}/")
        found.append((exercises[id], column, file.stem, file.read_text(encoding="utf-8")))
    if not found:
        raise ValueError(
            f"{folder}: no answer is there; they are called EXERCISE/right/NAME.py, EXERCISE/wrong/NAME.py"
        )
    return found


def outcomes_of(answers, assignment, seeds, sandbox=True):
    """The outcomes of answers from a folder, each in a session of its own, below the notebook's ordinary cells.

    Args:
        answers: from `answers_in`.
        assignment: the `Assignment`.
        seeds: of the hidden inputs.
        sandbox: False to run them with all that this process may do.
    """
    from course_utils.grading import package
    from course_utils.grading.sealed import Zygote

    with tempfile.TemporaryDirectory() as folder, Zygote(package.build(folder), sandbox=sandbox) as zygote:
        for exercise, column, name, source in answers:
            with zygote.session() as session:
                reports, error = _judged(session, exercise, [*_above(assignment, exercise.id), source], seeds)
            if column == "right":
                yield _accepted(exercise, "right", name, reports, error)
                continue
            yield _rejected(exercise, name, reports)
            if name in {m.name for m in exercise.misconceptions}:
                yield _named(exercise, name, reports)


def table(outcomes):
    """The kill table as lines, and below it a line for each answer with which a check does not do what it should."""
    outcomes = list(outcomes)
    counts = {}
    for one in outcomes:
        row = counts.setdefault(one.exercise, {column: [0, 0] for column in COLUMNS})
        row[one.column][0] += one.holds
        row[one.column][1] += 1
    total = {column: [sum(row[column][i] for row in counts.values()) for i in (0, 1)] for column in COLUMNS}
    rows = [*_HEADS]
    for name, row in [*counts.items(), ("all", total)]:
        rows.append((name, *(f"{row[c][0]}/{row[c][1]}" if row[c][1] else "-" for c in COLUMNS)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return lines + [f"{o.exercise}/{o.name}: {o.words}" for o in outcomes if not o.holds]


def _judged(session, exercise, cells, seeds):
    """(reports, error): one report a seed; none, and the last cell's error, where the name is not defined."""
    from course_utils.grading.remote import stand_in

    result = None
    for source in cells:
        result = session.run_cell(source, _SECONDS)
    try:
        function = stand_in(session, exercise.function, _SECONDS)
    except NameError as error:
        return [], result.error or str(error)
    return [judge(exercise, function, seed=seed) for seed in seeds], None


def _above(assignment, id):
    """The sources of the notebook's ordinary cells above an exercise: imports and what is given."""
    found = []
    for cell in assignment.released.cells:
        mark = cell.metadata.get("nbgrader")
        if mark and mark.get("grade_id") == id:
            break
        if cell.cell_type == "code" and not mark and "experiment" not in cell.metadata.get("tags", []):
            found.append(cell.source)
    return found


def _reports(exercise, answer, seeds):
    # a function of this module, as if it came from a notebook: the lists lie in a module that answers may not use
    def function(*args, **kwargs):
        return _ANSWERS[exercise.id](*args, **kwargs)

    _ANSWERS[exercise.id] = answer
    return [judge(exercise, function, seed=seed) for seed in seeds]


_ANSWERS = {}


def _accepted(exercise, column, name, reports, error=None):
    lost = [report for report in reports if not report.passed]
    words = f"rejected: {error}"
    if lost:
        row = next((row for row in lost[0].rows if row.message), None)
        words = f"rejected: {lost[0].refused or (f'{row.part}: {row.message}' if row else 'unsolved')}"
    return Outcome(exercise.id, column, name, bool(reports) and not lost, words)


def _rejected(exercise, name, reports):
    accepted = [report for report in reports if report.points >= report.max_points]
    return Outcome(exercise.id, "wrong", name, not accepted, f"survives with {exercise.points:g} points")


def _named(exercise, name, reports):
    seen = [report.misconception for report in reports]
    other = next((one for one in seen if one != name), "")
    words = f"rejected, and called {other!r}" if other else "rejected, and not named"
    return Outcome(exercise.id, "named", name, bool(seen) and set(seen) == {name}, words)
