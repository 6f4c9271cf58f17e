"""A report as a small table in JupyterLab, and as plain text for a terminal or a screen reader."""

from html import escape

from IPython import get_ipython
from IPython.display import display

MARKS = {True: "ok", False: "no", None: "--"}


def lines(report, exercise, hidden_seed=None):
    """The report as (mark, part, note) rows, and the closing sentences."""
    rows = [(MARKS[row.passed], _with_points(row), row.message) for row in report.rows]
    last = []
    if report.unsolved:
        rows = []
        last.append(
            f'Not yet: {exercise.function} is unsolved. Write it in the cell above; hint("{exercise.id}") gives a first hint.'
        )
    elif report.refused:
        rows = []
        last.append(f"No points: {report.refused}.")
    elif report.sentence:
        last.append(f"Looks like: {report.sentence}")
    if hidden_seed is not None:
        last.append(
            f"Graded on inputs drawn with seed {hidden_seed}: {report.points:g} of {report.max_points:g} points."
        )
    elif report.answered:
        last.append(f'Noted. Look before you leave it: hint("{exercise.id}") says where.')
    elif report.passed:
        last.append("Visible checks passed; the graded ones use other inputs.")
    elif rows:
        first = "that" if report.sentence else 'the first line marked "no"'
        last.append(f'Next: mend {first}. hint("{exercise.id}") gives a hint.')
    return rows, last


def _with_points(row):
    return f"{row.part} ({row.points:g})" if row.points else row.part


def as_text(title, rows, last):
    """Plain text, one line a row."""
    body = [f"  {mark}  {part}" + (f": {note}" if note else "") for mark, part, note in rows]
    return "\n".join([title, *body, *last])


def as_html(title, rows, last):
    """A small table; everything that came from a student is escaped."""
    colours = {"ok": "#1a7f37", "no": "#b35900", "--": "#6e7781"}
    left = "text-align:left"
    body = "".join(
        f'<tr><td style="color:{colours[mark]};font-weight:bold;{left}">{mark}</td>'
        f'<td style="{left}">{escape(part)}</td><td style="{left}">{escape(note)}</td></tr>'
        for mark, part, note in rows
    )
    table = f"<table><tbody>{body}</tbody></table>" if rows else ""
    ends = "".join(f"<p>{escape(line)}</p>" for line in last)
    return f"<div><strong>{escape(title)}</strong>{table}{ends}</div>"


def show(title, rows, last):
    """Display a table: HTML where the front end has it, else the text."""
    show_as(as_text(title, rows, last), as_html(title, rows, last))


def show_as(text, page):
    """Display something in both its forms, text and HTML; in plain Python the text."""
    if get_ipython() is None:
        print(text)
    else:
        display({"text/plain": text, "text/html": page}, raw=True)


def show_report(report, exercise, hidden_seed=None):
    """Display the verdict on an answer."""
    rows, last = lines(report, exercise, hidden_seed)
    name = exercise.id if hidden_seed is None else f"{exercise.id}, hidden tests"
    earned = f"{report.points:g} of {report.max_points:g} points"
    show(f"{name}: answered" if report.answered else f"{name}: {earned}", rows, last)
