"""The page of one submission: what each part earned and why, to be given to the student or talked over with them.

It is made from what is stored, the report's entry and the graded notebook, so that a run that was stopped can make
it later. Everything in it is something the student may read: their points, and the messages of their own feedback;
the seed of the hidden inputs stays in the report.
"""

import hashlib
import json
import os
import re
from html import escape

from course_utils.checks import catalogue
from course_utils.grading.documents import document, table

_FOR_STUDENT = (
    "For the student: no hidden input and no reference answer stands here, so the page may be handed out."
)
_FOR_TEACHER = (
    "For the instructor, not for the student: this submission has no grade yet, by a fault of the grader's."
)
_MARKS = {"ok": "holds", "no": "fails", "--": "not judged"}
_ERRORS = 20  # cells with errors that are listed


def page_file(report_file, student):
    """Where a student's page lies: in a folder beside the report; names that make no good file name get a digest."""
    name = re.sub(r"[^\w.@+, -]", "_", student, flags=re.ASCII).lstrip(".")[:80]
    if name != student:
        name = f"{name}-{hashlib.sha256(student.encode()).hexdigest()[:16]}"
    return report_file.with_name(f"{report_file.stem}-students") / f"{name}.html"


def write_student_page(entry, assignment, notebook_file, report_file):
    """Write a submission's page, whole or not at all.

    Args:
        entry: its entry in the report.
        assignment: the `Assignment`.
        notebook_file: the graded notebook, where there is one.
        report_file: the report.

    Raises:
        OSError: it cannot be written; then there is none, and no older one either.
    """
    file = page_file(report_file, entry["student"])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    cells = []
    if entry["status"] == "graded" and notebook_file.is_file():
        cells = json.loads(notebook_file.read_text(encoding="utf-8"))["cells"]
    new = file.with_name(file.name + ".new")
    new.write_text(student_page(entry, assignment, cells), encoding="utf-8")
    os.replace(new, file)


def student_page(entry, assignment, cells=()):
    """The page as text.

    Args:
        entry: the submission's entry in the report.
        assignment: the `Assignment`.
        cells: of the graded notebook, as JSON has them.
    """
    ungraded = entry["status"] == "ungraded"
    parts = _parts(cells, assignment)
    sections = [
        _exercise(id, got, parts.get(id, []), entry.get("manual", {}).get(_test_of(id, assignment)))
        for id, got in entry["exercises"].items()
    ]
    body = [
        f"<p class=note>{_FOR_TEACHER if ungraded else _FOR_STUDENT}</p>",
        table((), _summary(entry)),
        *sections,
        _by_hand(entry, assignment),
        _errors(cells),
    ]
    return document(f"{assignment.name}: {entry['student']}", "".join(body))


def sentence_of(id, name):
    """The sentence that goes with a misconception of an exercise; its name where it has none any more."""
    known = {m.name: m.sentence for m in catalogue.exercise(id).misconceptions}
    return known.get(name, name)


def _summary(entry):
    rows = [("result", entry["status"] + (f": {entry['reason']}" if entry["reason"] else ""))]
    if entry["score"] is not None:
        rows.append(("points", f"{entry['score']:g} of {entry['max_score']:g}{_still_waiting(entry)}"))
    if entry["score"] is not None and (late := entry.get("late_seconds")):
        penalty = entry["late_penalty"]
        left = max(0.0, entry["score"] - penalty)
        cost = (
            f"{penalty:g} points are taken off, {left:g} are left" if penalty else "no points are taken off"
        )
        rows.append(("late", f"by {_duration(late)}: {cost}"))
    if entry["status"] == "graded":
        memory = entry.get("memory", 0)
        seen = f", up to {memory / 2**20:.0f} MB of memory, shared pages included" if memory else ""
        rows.append(("took", f"{entry['seconds']:.1f} s{seen}"))
    return [f"<th>{name}</th><td class=text>{escape(text)}</td>" for name, text in rows]


def _still_waiting(entry):
    waiting = sum(one["waits"] and one["score"] is None for one in entry.get("manual", {}).values())
    return f"; {waiting} answer{'s wait' if waiting > 1 else ' waits'} for a person" if waiting else ""


def _duration(seconds):
    units = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
    size, unit = next((one for one in units if seconds >= one[0]), units[-1])
    number = round(seconds / size, 1)
    return f"{number:g} {unit}" + ("" if number == 1 else "s")


def _test_of(id, assignment):
    return next((name for name, exercise in assignment.tests.items() if exercise == id), None)


def _exercise(id, got, parts, person):
    points = f"{got['score']:g} of {got['max_score']:g} points"
    if person:
        points += f"; a person gave {person['score']:g}"
    said = [part["message"] for part in parts]
    rows = [
        f"<td class=mark>{_MARKS[part['mark']]}</td><td>{escape(part['part'])}</td><td class=n>{part['points']:g}</td>"
        + (f"<td class=text>{escape(part['message'])}</td>" if any(said) else "")
        for part in parts
    ]
    head = ("", "part", "points", "what was seen")[: 4 if any(said) else 3]
    named, sentence = got.get("misconception"), ""
    if named:
        sentence = sentence_of(id, named)
        known = f"<p>Looks like <b>{escape(named)}</b>: {escape(sentence)}</p>"
    else:
        known = ""
    message = got["message"]
    if message and message not in (*said, sentence):
        known += f"<p>{escape(message)}</p>"
    shown = table(head, rows) if rows else ""
    return f"<h2>{escape(id)}: {points}</h2>{shown}{known}"


def _parts(cells, assignment):
    """{exercise: its parts} from the outputs of the graded notebook's tests."""
    found = {}
    for cell in cells:
        id = assignment.tests.get(cell.get("metadata", {}).get("nbgrader", {}).get("grade_id"))
        for output in cell.get("outputs", []) if id else []:
            found[id] = output.get("metadata", {}).get("parts", found.get(id, []))
    return found


def _by_hand(entry, assignment):
    rows = []
    for name in assignment.by_hand:
        one = entry.get("manual", {}).get(name)
        if one is None:
            continue
        if one["score"] is None:
            words = "waits for a person"
        else:
            words = f"{one['score']:g} of {one['max_score']:g} points"
            words += "; a person looks at it again" if one["waits"] else ""
        rows.append(f"<td>{escape(name)}</td><td>{words}</td>")
    return "<h2>Graded by a person</h2>" + table((), rows) if rows else ""


def _errors(cells):
    """The student's own cells that raised, by their place in the notebook."""
    rows = []
    for number, cell in enumerate(cells, start=1):
        for output in cell.get("outputs", []):
            if output.get("output_type") == "error" and len(rows) < _ERRORS:
                named = cell.get("metadata", {}).get("nbgrader", {}).get("grade_id")
                place = f"cell {number}" + (f" ({named})" if named else "")
                rows.append(
                    f"<td>{escape(place)}</td><td class=text>{escape(output['ename'])}: {escape(output['evalue'])}</td>"
                )
    return "<h2>Cells that raised an error</h2>" + table((), rows) if rows else ""
