"""The report for the class: per exercise how many pass, and which mistakes they make; a table, a picture, a page."""

import base64
import io
from collections import Counter
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

import matplotlib.pyplot as plt

from course_utils import plots
from course_utils.grading.documents import document, table
from course_utils.grading.student_page import page_file, sentence_of

_SHOWN = 3  # misconceptions that are named for an exercise


@dataclass(frozen=True)
class Row:
    """One exercise over the class.

    Attributes:
        exercise: its id.
        graded: submissions that were graded.
        passed, partly, nothing: shares of them with all points, some, none; they sum to 1.
        points: mean share of the points.
        mistakes: ((name, how many), ...) of the named misconceptions, most frequent first.
    """

    exercise: str
    graded: int
    passed: float
    partly: float
    nothing: float
    points: float
    mistakes: tuple


def class_rows(entries, assignment):
    """A `Row` for each exercise, in the notebook's order.

    Args:
        entries: the report's entries.
        assignment: the `Assignment`.
    """
    rows = []
    for id in assignment.points:
        got = [e["exercises"][id] for e in entries if e["status"] == "graded" and id in e["exercises"]]
        if not got:
            continue
        shares = [g["score"] / g["max_score"] if g["max_score"] else 0.0 for g in got]
        n = len(got)
        passed, nothing = sum(s >= 1 for s in shares) / n, sum(s <= 0 for s in shares) / n
        mistakes = Counter(g["misconception"] for g in got if g.get("misconception"))
        ordered = tuple(sorted(mistakes.items(), key=lambda kv: (-kv[1], kv[0])))
        rows.append(Row(id, n, passed, 1 - passed - nothing, nothing, sum(shares) / n, ordered))
    return rows


def rich_table(rows, title):
    """The rows as a table for a terminal."""
    from rich.table import Table

    table = Table(title=title)
    for column in ("exercise", "passed", "in part", "nothing", "mean", "most frequent mistakes"):
        table.add_column(
            column, justify="right" if column in ("passed", "in part", "nothing", "mean") else "left"
        )
    for row in rows:
        named = ", ".join(f"{name} ({count})" for name, count in row.mistakes[:_SHOWN])
        shares = (row.passed, row.partly, row.nothing, row.points)
        table.add_row(row.exercise, *(f"{share:.0%}" for share in shares), named or "-")
    return table


def picture(rows, title):
    """The shares as bars, a PNG's bytes: who has all points, some, none, for each exercise."""
    fig, ax = plots.figure(size=(7.6, 1.4 + 0.34 * len(rows)))
    names = [row.exercise for row in rows]
    left = [0.0] * len(rows)
    kinds = (("all points", "passed", plots.COLOURS[0], ""), ("some", "partly", plots.COLOURS[1], "//"),
             ("none", "nothing", "#d9d9d9", ".."))  # fmt: skip
    for label, key, colour, hatch in kinds:
        shares = [100 * getattr(row, key) for row in rows]
        ax.barh(names, shares, left=left, label=label, color=colour, hatch=hatch, edgecolor="white")
        left = [a + b for a, b in zip(left, shares, strict=True)]
    ax.invert_yaxis()
    ax.set_xlim(0, 100)
    ax.set_xlabel("% of the submissions")
    ax.grid(axis="y", visible=False)
    ax.set_title(title, loc="left", pad=28)
    ax.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", metadata={"Software": None})
    plt.close(fig)
    return buffer.getvalue()


def page(entries, rows, assignment, png, file):
    """One HTML page without scripts: summary, picture, table, sentences on the mistakes, and everybody's own page.

    Args:
        entries: the report's entries.
        rows: from `class_rows`.
        assignment: the `Assignment`.
        png: from `picture`.
        file: the report's, beside which the submissions' pages lie.
    """
    scores = [e["score"] for e in entries if e["status"] == "graded"]
    counts = Counter(e["status"] for e in entries)
    mean = f", {sum(scores) / len(scores):.1f} points in the mean" if scores else ""
    head = ", ".join(f"{counts[s]} {s}" for s in ("graded", "failed", "ungraded")) + mean
    alt = "; ".join(f"{row.exercise}: {row.passed:.0%} all, {row.nothing:.0%} none" for row in rows)
    by_hand = sum(bool(e.get("by_hand")) for e in entries)
    shares = ("exercise", "all points", "some", "none", "mean", "mistakes that the check knows")
    to_look_at = [e for e in entries if e["reason"]]
    return document(
        f"{assignment.name}: the class",
        f"<p>{head}. {by_hand} have answers that a person grades.</p>"
        f'<img alt="{escape(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        + table(shares, [_shares(row) for row in rows])
        + _submissions("To look at", to_look_at, file)
        + _submissions("Each submission", entries, file),
    )


def _shares(row):
    shares = "".join(f"<td class=n>{s:.0%}</td>" for s in (row.passed, row.partly, row.nothing, row.points))
    mistakes = "<br>".join(
        f"{count} × {escape(name)}: {escape(sentence_of(row.exercise, name))}" for name, count in row.mistakes
    )
    return f"<td>{escape(row.exercise)}</td>{shares}<td class=text>{mistakes or '-'}</td>"


def _submissions(title, entries, file):
    """A table of submissions with links to their pages; nothing where there is none."""
    head = ("submission", "result", "points", "late", "remarks")
    return f"<h2>{title}</h2>" + table(head, [_submission(e, file) for e in entries]) if entries else ""


def _submission(entry, file):
    own = page_file(file, entry["student"])
    link = escape(quote(f"{own.parent.name}/{own.name}"))
    name = escape(entry["student"])
    name = f'<a href="{link}">{name}</a>' if own.is_file() else name
    points = "-" if entry["score"] is None else f"{entry['score']:g} of {entry['max_score']:g}"
    penalty = entry.get("late_penalty", 0.0)
    late = f"-{penalty:g}" if penalty else "yes" if entry.get("late_seconds") else ""
    return (
        f"<td>{name}</td><td>{entry['status']}</td><td class=n>{points}</td><td>{late}</td>"
        f"<td class=text>{escape(entry['reason'])}</td>"
    )


def write_class_report(entries, assignment, file):
    """Write the page and the picture beside the report `file`; returns (rows, paths)."""
    rows = class_rows(entries, assignment)
    if not rows:
        return rows, []
    png = picture(rows, f"{assignment.name}: {rows[0].graded} submissions")
    paths = [file.with_name(f"{file.stem}-class.png"), file.with_name(f"{file.stem}-class.html")]
    paths[0].write_bytes(png)
    paths[1].write_text(page(entries, rows, assignment, png, file), encoding="utf-8")
    return rows, paths
