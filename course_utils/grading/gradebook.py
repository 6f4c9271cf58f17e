"""The one writer of nbgrader's gradebook: a connection that stays open, one submission after the other.

The meaning is that of nbgrader's own SaveAutoGrades and AssignLatePenalties: a test gets its automatic score; what a
person graded by hand stays, and is marked for another look; a late submission gets the course's penalty.
"""

import contextlib
import os
import warnings
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry, SubmittedAssignment
from nbgrader.preprocessors import AssignLatePenalties, SaveCells
from sqlalchemy.exc import SAWarning
from traitlets.config.loader import PyFileConfigLoader

from course_utils.commands.paths import ROOT, kernel_environment


def database_url(given):
    """The URL of a gradebook that is given as a URL or as a file."""
    if "://" not in given:
        return f"sqlite:///{Path(given).absolute()}"
    return given.replace("postgresql://", "postgresql+psycopg://", 1)


def course_config():
    """The settings in nbgrader_config.py."""
    return PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config()


def course_id():
    """The course's name."""
    return course_config().CourseDirectory.course_id


class Writer:
    """Writes grades of one assignment; a context that closes the connection.

    Args:
        url: the gradebook's database (SQLAlchemy); created where it is missing.
        assignment: the `Assignment`; its cells are entered where they are missing or were changed.

    Raises:
        ValueError: the database cannot be opened, or the assignment's cells no longer fit the gradebook's.
    """

    def __init__(self, url, assignment):
        self.assignment, config = assignment, course_config()
        late = AssignLatePenalties(config=config)
        late.init_plugin()
        self.late_plugin = late.plugin_inst
        if url.startswith("sqlite:///"):
            Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        try:
            with programs_found():
                self.book = Gradebook(url, config.CourseDirectory.course_id)
        except Exception as error:
            raise ValueError(f"gradebook: {url} cannot be opened: {error}") from error
        if not self._is_entered():
            self._enter(url)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.book.close()

    def _is_entered(self):
        name = self.assignment.name
        try:
            kept = self.book.find_notebook(name, name)
        except MissingEntry:
            return False
        sources = {c.metadata.nbgrader.grade_id: c.source for c in self.assignment.stored.cells if _known(c)}
        worth = {c.name: c.max_score for c in kept.grade_cells}
        return sources == {c.name: c.source for c in kept.source_cells} and worth == {
            name: float(c.metadata.nbgrader.points)
            for name, c in self.assignment.cells.items()
            if c.metadata.nbgrader.grade
        }

    def _enter(self, url):
        name = self.assignment.name
        self.book.update_or_create_assignment(name)
        resources = {"nbgrader": {"assignment": name, "notebook": name, "student": ".", "db_url": url}}
        try:
            SaveCells().preprocess(self.assignment.stored, resources)
        except RuntimeError as error:
            raise ValueError(f"gradebook: {error}") from error
        self.book.db.expire_all()  # SaveCells wrote by a connection of its own

    def scores(self, student):
        """{exercise id: automatic score} of a student's submission, None where there is no submission."""
        try:
            notebook = self.book.find_submission_notebook(self.assignment.name, self.assignment.name, student)
        except MissingEntry:
            return None
        tests = self.assignment.tests
        return {tests[grade.name]: grade.auto_score for grade in notebook.grades if grade.name in tests}

    def write(self, student, verdicts, untouched=(), timestamp=None, whole=True, new=True):
        """Enter a submission's verdicts in one go.

        Args:
            student: their id.
            verdicts: [Verdict].
            untouched: ids of cells graded by hand that hold no answer; they get 0, the others wait for a person.
            timestamp: when it was handed in (a datetime or text), or None.
            whole: whether this is the whole submission; else only these verdicts are touched.
            new: whether the notebook is another one than at the last grading, so that a person has to look again
                at what they graded.
        """
        self.book.update_or_create_student(student)
        when = {} if timestamp is None else {"timestamp": timestamp}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # about nbgrader's own way to build a submission
            submission = self.book.update_or_create_submission(self.assignment.name, student, **when)
        (notebook,) = submission.notebooks
        names = {id: name for name, id in self.assignment.tests.items()}
        scores = {names[verdict.exercise]: verdict.score for verdict in verdicts}
        for grade in notebook.grades:
            if grade.name in scores:
                changed = grade.auto_score != scores[grade.name]
                grade.auto_score = scores[grade.name]
                grade.needs_manual_grade = grade.manual_score is not None and (new or changed)
            elif whole and grade.name in self.assignment.by_hand:
                grade.auto_score = 0 if grade.name in untouched else None
                if new or grade.manual_score is None:
                    grade.needs_manual_grade = grade.manual_score is not None or grade.auto_score is None
        if whole:
            for comment in notebook.comments:
                comment.auto_comment = "No response." if comment.name in untouched else None
        self._assign_late_penalty(student, submission, notebook)
        self.book.db.commit()

    def _assign_late_penalty(self, student, submission, notebook):
        """As nbgrader's AssignLatePenalties does, in the connection and the transaction that are open here."""
        notebook.late_submission_penalty = None
        late = submission.total_seconds_late
        if late <= 0:
            return
        self.book.db.flush()
        self.book.db.refresh(notebook, ["score"])
        try:
            penalty = self.late_plugin.late_submission_penalty(student, notebook.score, late)
            if penalty is not None:
                notebook.late_submission_penalty = min(max(0.0, float(penalty)), notebook.score)
        except Exception as error:
            raise ValueError(f"the late penalty's plugin failed: {type(error).__name__}: {error}") from error

    def total(self, student):
        """(score, max score) of a student's submission, what was graded by hand included."""
        score, most = (
            self.book.db.query(SubmittedAssignment.score, SubmittedAssignment.max_score)
            .filter(SubmittedAssignment.id == self.book.find_submission(self.assignment.name, student).id)
            .one()
        )
        return score, most

    def beside_tests(self, student):
        """What of a submission's grade no test decides, as the report has it.

        Returns:
            {"late_seconds", "late_penalty" (points, not yet taken off the score), "manual": {grade_id: {"score",
            "max_score", "waits"}}}, the last of what a person grades or has graded, with extra credit; `score` is None
            where nobody has yet.
        """
        name = self.assignment.name
        notebook = self.book.find_submission_notebook(name, name, student)
        manual = {}
        for grade in notebook.grades:
            given = [x for x in (grade.manual_score, grade.extra_credit) if x is not None]
            if given or grade.name in self.assignment.by_hand:
                known = given or grade.auto_score is not None
                manual[grade.name] = {
                    "score": grade.score if known else None,
                    "max_score": grade.cell.max_score,
                    "waits": grade.needs_manual_grade,
                }
        return {
            "late_seconds": notebook.assignment.total_seconds_late,
            "late_penalty": notebook.late_submission_penalty or 0.0,
            "manual": manual,
        }

    def forget(self):
        """Let go of what the session remembers of the submissions written so far, so that memory stays flat."""
        self.book.db.expunge_all()


@contextlib.contextmanager
def programs_found():
    """Within, the virtual environment's programs are in PATH: a new gradebook calls one, alembic, by its bare name."""
    before = os.environ.get("PATH")
    os.environ["PATH"] = kernel_environment()["PATH"]
    try:
        yield
    finally:
        os.environ.pop("PATH")
        if before is not None:
            os.environ["PATH"] = before


def _known(cell):
    return "nbgrader" in cell.metadata
