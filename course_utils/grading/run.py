"""Grade a class: read, fan out, write. Everything that a stopped run needs to go on is on disk after each submission.

For each submission first the graded notebook is written, then the gradebook, then its page, then the report: a run
that is killed in between does that submission once more, and every one of the four is written over, never added to.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
from nbgrader.utils import parse_utc
from sqlalchemy.exc import SQLAlchemyError

from course_utils.commands.paths import assignments
from course_utils.grading.assignment import checks_version, load_assignment
from course_utils.grading.fanout import dask_cluster, fan_out, process_pools
from course_utils.grading.gradebook import Writer, database_url
from course_utils.grading.jobs import Job, Result, grade_job
from course_utils.grading.reading import Unreadable, read_submission, students_of, text_of
from course_utils.grading.report import Report, entry
from course_utils.grading.steps import Limits
from course_utils.grading.student_page import page_file, write_student_page


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Attributes:
        assignment: its name.
        submitted, out: folders, as nbgrader's `submitted` and `autograded`.
        gradebook: file or URL.
        report: the report's file; by default one in `out`.
        students: folder names; by default all.
        workers: processes.
        scheduler: address of a Dask scheduler, instead of processes.
        seed: of the hidden inputs; by default the report's, else drawn.
        sandbox: False runs student code without one.
        limits: the `Limits`.
        regrade: an exercise that alone is decided again, or None.
        never_lower: whether a score that is there stays where the new one is lower.
    """

    assignment: str
    submitted: str
    gradebook: str
    out: str
    report: str | None = None
    students: tuple[str, ...] | None = None
    workers: int = 1
    scheduler: str | None = None
    seed: int | None = None
    sandbox: bool = True
    limits: Limits = Limits()
    regrade: str | None = None
    never_lower: bool = False


def grade_class(plan, say=print, progress=None, work=grade_job):
    """Grade all submissions that are not graded yet.

    Args:
        plan: the `Plan`.
        say: called with a line for each submission that is odd, failed, ungraded, or has changed.
        progress: called with (done, all) after each submission.
        work: from a `Job` to a `Result`; another one in tests.

    Returns:
        (the `Report`, the `Assignment`).

    Raises:
        ValueError: the plan cannot be followed (a missing folder, a gradebook that cannot be opened, ...).
        RuntimeError: another run is at work on the same report.
    """
    assignment = load_assignment(plan.assignment)
    if plan.regrade is not None and plan.regrade not in assignment.points:
        raise ValueError(f"regrade: {plan.assignment} has no exercise {plan.regrade!r}")
    names = _names(plan)
    file = Path(plan.report or Path(plan.out, f"{plan.assignment}-report.json"))
    file.parent.mkdir(parents=True, exist_ok=True)
    with _alone(file), Writer(database_url(plan.gradebook), assignment) as writer:
        report = Report(file, {"assignment": plan.assignment, "seed": plan.seed})
        if report.head["seed"] is None:
            report.head["seed"] = secrets.randbits(32)
        run = _Run(plan, assignment, writer, report, say, checks_version(assignment))
        run.go(names, progress or (lambda done, total: None), work)
    return report, assignment


def _names(plan):
    others = [name for name in assignments() if name != plan.assignment]
    if plan.students is None:
        return students_of(plan.submitted, plan.assignment, others)
    students_of(plan.submitted, plan.assignment)
    for name in plan.students:
        if name in ("", ".", "..") or "/" in name:
            raise ValueError(f"student: {name!r} is no name of a folder")
    return list(dict.fromkeys(plan.students))


@contextlib.contextmanager
def _alone(file):
    """One run at a time on a report."""
    with open(file.with_name(file.name + ".lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RuntimeError(f"another run is at work on {file}") from None
        yield


class _Run:
    """One run's state: what is written where."""

    def __init__(self, plan, assignment, writer, report, say, version):
        self.plan, self.assignment, self.writer, self.report = plan, assignment, writer, report
        self.say, self.version, self.seed = say, version, report.head["seed"]
        cells = (
            assignment.cells[name].metadata.nbgrader for name in (*assignment.tests, *assignment.by_hand)
        )
        self.most = float(sum(mark.points for mark in cells))
        self.read = {}  # what is under way: student -> (folder name, digest, exchange's files, whether whole)

    def go(self, names, progress, work):
        done = 0

        def count():
            nonlocal done
            done += 1
            progress(done, len(names))

        progress(0, len(names))
        self.report.write()
        pools = dask_cluster(self.plan.scheduler) if self.plan.scheduler else process_pools(self.plan.workers)
        with pools as (open_executor, workers):
            for result in fan_out(self._jobs(names, count), work, open_executor, workers):
                self._record(result)
                count()

    def _jobs(self, names, count):
        for name in names:
            student = text_of(name)
            try:
                data, beside = read_submission(self.plan.submitted, name, self.plan.assignment)
            except (Unreadable, OSError) as error:
                status = "failed" if isinstance(error, Unreadable) else "ungraded"
                self.read[student] = name, "", {}, True
                self._record(Result(student, status, str(error)))
                count()
                continue
            digest = hashlib.sha256(data).hexdigest()
            old = self.report.entries.get(student)
            same = old is not None and self._is_finished(name, student, old, digest)
            only = frozenset([self.plan.regrade]) if same and self.plan.regrade else None
            if same and only is None and old["checks"] == self.version:
                self._bring_up_to_date(old, name)
                count()
                continue
            self.read[student] = name, digest, beside, only is None
            yield Job(student, self.assignment, data, self.seed, self.plan.limits, self.plan.sandbox, only)

    def _bring_up_to_date(self, old, name):
        """Take over what a person graded since, or an instructor changed, into the report and the submission's page."""
        new = old
        if old["exercises"]:
            score, most = self.writer.total(old["student"])
            new = old | {"score": score, "max_score": most} | self.writer.beside_tests(old["student"])
            self.writer.forget()
        if new != old or not page_file(self.report.file, old["student"]).is_file():
            self._write_page(new, name)
        if new != old:
            self.report.put(new)

    def _is_finished(self, name, student, old, digest):
        """Whether all three places hold this very notebook's grade."""
        if old["status"] not in ("graded", "failed") or (old["notebook"], old["seed"]) != (digest, self.seed):
            return False
        if not old["exercises"]:  # nothing could be read
            return not self.plan.regrade
        if old["status"] == "graded" and not self._file(name).is_file():
            return False
        return self.writer.scores(student) == {id: e["score"] for id, e in old["exercises"].items()}

    def _file(self, name):
        return Path(self.plan.out, name, self.plan.assignment, f"{self.plan.assignment}.ipynb")

    def _write_page(self, made, name):
        """The submission's own page; one that cannot be written costs nothing but itself, and is made by the next run."""
        try:
            write_student_page(made, self.assignment, self._file(name), self.report.file)
        except OSError as error:
            self.say(f"{made['student']}: its page could not be written: {error}")

    def _record(self, result):
        """Write a result to the four places."""
        name, digest, beside, whole = self.read.pop(result.student)
        about = {"seed": self.seed, "notebook": digest, "checks": self.version}
        try:
            made = self._written(result, name, beside, whole, digest) | about
        except (OSError, SQLAlchemyError, ValueError) as error:  # a full disk, a database that went away
            self.writer.book.db.rollback()
            lost = Result(result.student, "ungraded", f"it could not be written: {error}"[:500])
            made = entry(lost, None, self.most, []) | about
        self._write_page(made, name)
        self.report.put(made)
        if made["reason"]:
            self.say(f"{result.student}: {made['status']}: {made['reason']}")
        self.writer.forget()

    def _written(self, result, name, beside, whole, digest):
        old = self.writer.scores(result.student)
        if not result.verdicts:
            if result.status == "failed":
                self.writer.book.update_or_create_student(result.student)
            if old is None or result.status == "ungraded":
                return entry(result, None, self.most, [])
            kept = replace(result, reason=f"{result.reason}; the gradebook keeps the earlier grade")
            return entry(kept, *self.writer.total(result.student), [])
        verdicts = [self._never_lower(v, old) for v in result.verdicts] if old else result.verdicts
        reason, when = result.reason, None
        if "timestamp.txt" in beside:
            try:
                when = parse_utc(beside["timestamp.txt"])
            except (ValueError, OverflowError, AttributeError):
                beside = {key: text for key, text in beside.items() if key != "timestamp.txt"}
                reason = "; ".join(filter(None, [reason, "timestamp.txt holds no date"]))
        result = replace(result, verdicts=verdicts, reason=reason)
        self._tell_changes(result, old or {})
        before = {} if whole else self.report.entries[result.student]["exercises"]
        if result.notebook:
            self._write_notebook(result, self._file(name), before, beside)
        new = self.report.entries.get(result.student, {}).get("notebook") != digest
        self.writer.write(result.student, verdicts, result.untouched, when, whole, new)
        waiting = [name for name in self.assignment.by_hand if name not in result.untouched]
        made = entry(
            result, *self.writer.total(result.student), waiting, **self.writer.beside_tests(result.student)
        )
        return made | {"exercises": before | made["exercises"]}

    def _never_lower(self, verdict, old):
        before = old.get(verdict.exercise)
        if not self.plan.never_lower or before is None or before <= verdict.score:
            return verdict
        message = f"kept from an earlier grading (now {verdict.score:g}): {verdict.message}"
        return replace(verdict, score=before, message=message)

    def _tell_changes(self, result, old):
        for verdict in result.verdicts:
            before = old.get(verdict.exercise)
            if before is not None and before != verdict.score:
                self.say(f"{result.student}: {verdict.exercise} {before:g} -> {verdict.score:g}")

    def _write_notebook(self, result, file, before, beside):
        """Write the graded notebook; tests that were not decided now keep what stands in the file."""
        text = result.notebook
        if before or self.plan.never_lower:
            text = self._merged(result, file, before)
        _replace(file, text)
        for name, content in beside.items():  # nbgrader's feedback finds its way by them
            _replace(file.with_name(name), content)

    def _merged(self, result, file, before):
        notebook = nbformat.reads(result.notebook, as_version=4)
        tests = {
            self.assignment.tests[c.metadata.nbgrader.grade_id]: c
            for c in notebook.cells
            if c.metadata.get("nbgrader", {}).get("grade_id") in self.assignment.tests
        }
        decided = {verdict.exercise: verdict for verdict in result.verdicts}
        if before:
            kept = nbformat.read(file, as_version=4)
            outputs = {c.id: c.outputs for c in kept.cells if "nbgrader" in c.metadata and "outputs" in c}
            for id in set(tests) - set(decided):
                tests[id].outputs = outputs[tests[id].id]
        for id, verdict in decided.items():
            # a score that was kept from before must stand in the file as well
            tests[id].outputs[-1].data["text/plain"] = repr(float(verdict.score))
        return nbformat.writes(notebook)


def _replace(file, text):
    """Write a file of ours whole; a link that stands in its place is replaced, not followed."""
    for folder in (file.parent.parent, file.parent):
        if folder.is_symlink():
            folder.unlink()
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    new.write_text(text, encoding="utf-8")
    os.replace(new, file)
