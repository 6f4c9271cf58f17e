"""Grades as a learning platform imports them: plugins of `nbgrader export`.

    nbgrader export --exporter=course_utils.grading.exports.Canvas --to=canvas.csv
    nbgrader export --exporter=course_utils.grading.exports.Moodle --to=moodle.csv

One row a student, one column an assignment. A cell is empty where nothing was handed in, and where an answer still
waits for a person, so that no half of a grade is imported. Names and addresses come from the roster.
"""

import csv
import re

from nbgrader.api import MissingEntry
from nbgrader.plugins.export import ExportPlugin

# What a spreadsheet takes for a formula; a number with a sign is none. Names are often the students' own choice.
_FORMULA = re.compile(r"[=+@\t\r＝＋－＠-](?![\d .]*\Z)")


class _Wide(ExportPlugin):
    """One row a student; the platforms differ in the columns before the assignments'."""

    columns = {}  # heading: from a nbgrader Student to the cell
    name = "grades.csv"

    def export(self, gradebook):
        """Write the file."""
        assignments = [a for a in gradebook.assignments if not self.assignment or a.name in self.assignment]
        chosen = {str(id) for id in self.student}
        students = [s for s in gradebook.students if not chosen or s.id in chosen]
        with open(self.to or self.name, "w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow([*self.columns, *(a.name for a in assignments)])
            for row in self.before(assignments):
                rows.writerow(row)
            for student in sorted(students, key=lambda s: (s.last_name or "", s.first_name or "", s.id)):
                about = [_text(cell(student) or "") for cell in self.columns.values()]
                rows.writerow([*about, *(_score(gradebook, a.name, student.id) for a in assignments)])

    def before(self, assignments):
        """Rows between the heading and the students."""
        return []


class Canvas(_Wide):
    """For Canvas: Grades > Import. Students are known by their login, or by the roster's lms_user_id."""

    name = "canvas.csv"
    columns = {
        "Student": lambda s: ", ".join(filter(None, [s.last_name, s.first_name])) or s.id,
        "ID": lambda s: s.lms_user_id,
        "SIS User ID": lambda s: "",
        "SIS Login ID": lambda s: s.id,
        "Section": lambda s: "",
    }

    def before(self, assignments):
        return [["    Points Possible", "", "", "", "", *(f"{a.max_score:g}" for a in assignments)]]


class Moodle(_Wide):
    """For Moodle: Grades > Import > CSV file, identified by the user name or the e-mail address."""

    name = "moodle.csv"
    columns = {
        "Username": lambda s: s.id,
        "First name": lambda s: s.first_name,
        "Last name": lambda s: s.last_name,
        "Email address": lambda s: s.email,
        "ID number": lambda s: s.lms_user_id,
    }


def _text(cell):
    """A cell that a spreadsheet shows as it stands."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _score(gradebook, assignment, student):
    try:
        submission = gradebook.find_submission(assignment, student)
    except MissingEntry:
        return ""
    if submission.needs_manual_grade:
        return ""
    return f"{max(0.0, submission.score - (submission.late_submission_penalty or 0.0)):g}"
