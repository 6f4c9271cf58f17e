"""How far a student has come: the lines behind `progress()`, and a page of points that prints well."""

import time
from dataclasses import dataclass
from html import escape
from pathlib import Path

from course_utils.checks import catalogue, record
from course_utils.checks.display import show_as

# What a person grades, ten points each: the practice question of a notebook, and the questions of the quiz.
BY_HAND = {f"0{n}": (f"practice-{n}",) for n in range(1, 6)} | {
    "06": tuple(f"question-{n}" for n in range(1, 6))
}
BY_HAND_POINTS = 10

_DONE, _PART, _OPEN, _ANSWERED, _HAND = "done", "in part", "open", "answered", "by hand"
_LISTED = 8  # open exercises that are named in a line


@dataclass(frozen=True)
class Line:
    """One exercise: points reached in visible checks, points possible, and where it stands.

    `reached` is None where the visible check does not decide: claims, and what a person grades.
    """

    assignment: str
    id: str
    reached: float | None
    possible: float
    state: str


def standing():
    """A `Line` for every exercise of the course, in the order of the notebooks."""
    noted = record.load()
    lines = []
    for name in catalogue.MODULES:
        lines += [_line(name, exercise, noted) for exercise in catalogue.assignment(name).values()]
        by_hand = BY_HAND.get(name.split("-")[0], ())
        lines += [Line(name, id, None, BY_HAND_POINTS, _HAND) for id in by_hand]
    return lines


def _line(name, exercise, noted):
    reached = min(noted["exercises"].get(exercise.id, 0), exercise.points)
    if any(part.graded_only for part in exercise.parts):
        state = _ANSWERED if noted["answered"].get(exercise.id) else _OPEN
        return Line(name, exercise.id, None, exercise.points, state)
    state = _DONE if reached >= exercise.points else _PART if reached else _OPEN
    return Line(name, exercise.id, reached, exercise.points, state)


def totals(lines):
    """(reached, possible in visible checks, possible when graded, possible by hand) of some lines."""
    visible = [line for line in lines if line.reached is not None]
    later = sum(line.possible for line in lines if line.state in (_ANSWERED, _OPEN) and line.reached is None)
    by_hand = sum(line.possible for line in lines if line.state == _HAND)
    return sum(line.reached for line in visible), sum(line.possible for line in visible), later, by_hand


def assignment_row(name, lines):
    """A row of `progress()`: mark, points, what is open."""
    reached, possible, later, _ = totals(lines)
    unfinished = [line.id for line in lines if line.state in (_OPEN, _PART)]
    text = f"{name}: {reached:g} of {possible:g} points"
    if later:
        told = [line for line in lines if line.reached is None and line.state != _HAND]
        answered = sum(line.state == _ANSWERED for line in told)
        text += f", {later:g} more when graded ({answered} of {len(told)} answered)"
    named = ", ".join(unfinished[:_LISTED])
    rest = len(unfinished) - _LISTED
    note = f"open: {named}" + (f" and {rest} more" if rest > 0 else "") if unfinished else ""
    return "--" if unfinished else "ok", text, note


def points_page():
    """Show all exercises of the course with points reached and possible."""
    lines = standing()
    show_as(_text(lines), _style(".points") + _body(lines))


def write_points_page(file="points.html", name=""):
    """Write the page of points as a file of its own, for printing or as a PDF from the browser.

    Args:
        file: where; an existing file is overwritten.
        name: of the student, printed at the top; by default a line to write on.

    Returns:
        The path of the file.
    """
    file = Path(file)
    heading = f"<p>Name: {escape(name) or '_' * 32} &emsp; Date: {time.strftime('%Y-%m-%d')}</p>"
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Beyond RLHF: page of points</title>'
        f"{_style('body')}</head>\n<body><h1>Beyond RLHF: page of points</h1>{heading}{_body(standing())}</body></html>\n"
    )
    file.write_text(page, encoding="utf-8")
    print(f"written: {file}. Open it in a browser and print it.")
    return file


def _by_assignment(lines):
    grouped = {}
    for line in lines:
        grouped.setdefault(line.assignment, []).append(line)
    return grouped


def _summary(lines):
    """Rows (notebook, reached, possible, when graded, by hand), and one for the whole course."""
    rows = [(name, *totals(own)) for name, own in _by_assignment(lines).items()]
    return [*rows, ("all", *totals(lines))]


_HEADS = ("notebook", "reached", "of", "more when graded", "by hand")
_NOTE = (
    "Reached: points of the visible checks; the graded tests use other inputs. More when graded: statements whose "
    "verdicts the visible check does not tell. By hand: practice questions, and the questions of the quiz."
)


def _text(lines):
    """The page in plain text: the summary, then a line for each notebook."""
    out = ["Page of points", f"{_HEADS[0]:22}" + "".join(f"{head:>18}" for head in _HEADS[1:])]
    out += [f"{row[0]:22}" + "".join(f"{number:>18g}" for number in row[1:]) for row in _summary(lines)]
    for name, own in _by_assignment(lines).items():
        out += ["", name] + [
            f"  {line.id:26} {_reached(line):>6} of {line.possible:<4g} {line.state}" for line in own
        ]
    return "\n".join([*out, "", _NOTE, record.told()]).rstrip()


def _reached(line):
    return "-" if line.reached is None else f"{line.reached:g}"


def _body(lines):
    head = "".join(f"<th>{escape(text)}</th>" for text in _HEADS)
    rows = "".join(
        f"<tr{' class=total' if name == 'all' else ''}><td>{escape(name)}</td>"
        + "".join(f"<td class=n>{number:g}</td>" for number in numbers)
        + "</tr>"
        for name, *numbers in _summary(lines)
    )
    parts = "".join(_section(name, own) for name, own in _by_assignment(lines).items())
    return (
        f"<div class=points><table class=summary><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        f"{parts}<p class=note>{escape(' '.join((_NOTE, record.told())).strip())}</p></div>"
    )


def _section(name, lines):
    cells = "".join(
        f"<div class=line><span>{escape(line.id)}</span><span class=state>{line.state}</span>"
        f"<span class=n>{_reached(line)} / {line.possible:g}</span></div>"
        for line in lines
    )
    return f"<h3>{escape(name)}</h3><div class=lines>{cells}</div>"


def _style(scope):
    """Black on white, no colour that carries a meaning; no row is torn by the end of a page."""
    return f"""<style>
@page {{ size: A4; margin: 18mm 15mm; }}
{scope} {{ font-family: sans-serif; font-size: 10pt; color: #000; background: #fff; }}
.points table {{ border-collapse: collapse; margin: 0 0 1em 0; }}
.points th, .points td {{ border: 1px solid #777; padding: 2px 8px; text-align: left; }}
.points td.n, .points th:not(:first-child) {{ text-align: right; }}
.points td:first-child, .points th:first-child {{ text-align: left !important; }}
.points tr.total td {{ font-weight: bold; border-top: 2px solid #000; }}
.points h3 {{ margin: 1em 0 .3em 0; font-size: 11pt; break-after: avoid; }}
.points .lines {{ columns: 3 15em; column-gap: 1.5em; }}
.points .line {{ display: flex; gap: .6em; border-bottom: 1px dotted #999; break-inside: avoid; line-height: 1.5; }}
.points .line span:first-child {{ flex: 1; }}
.points .line .state {{ font-style: italic; }}
.points .line .n {{ min-width: 4em; text-align: right; }}
.points .note {{ font-size: 9pt; }}
</style>"""
