"""From an exercise and a student's function to a report: which parts hold, and why the others do not."""

import contextlib
import inspect
import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import torch

from course_utils.checks.compare import difference
from course_utils.checks.draw import Draw
from course_utils.checks.provenance import course_calls

VISIBLE_SEED = 0


@dataclass(frozen=True)
class Row:
    """The verdict on one part. `passed` is None where it was not reached."""

    part: str
    points: float
    passed: bool | None
    message: str = ""


@dataclass(frozen=True)
class Report:
    """The verdict on an answer."""

    exercise: str
    rows: tuple[Row, ...]
    misconception: str = ""
    sentence: str = ""
    unsolved: bool = False
    refused: str = ""

    @property
    def points(self):
        """What the answer has earned."""
        return round(sum(row.points for row in self.rows if row.passed), 2)

    @property
    def max_points(self):
        """What could be earned."""
        return round(sum(row.points for row in self.rows), 2)

    @property
    def passed(self):
        """Whether every part holds."""
        return all(row.passed for row in self.rows) and not self.refused


@contextlib.contextmanager
def _one_thread():
    """One thread for torch: a check's tensors are tiny, and waking a second thread costs more than it does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@_one_thread()
def judge(exercise, function, seed=VISIBLE_SEED, reveal=True):
    """Hold a student's function against an exercise.

    Args:
        exercise: the `Exercise`.
        function: the student's function.
        seed: what the inputs are drawn from.
        reveal: whether messages may show the wanted numbers (visible checks only).
    """
    rest = [Row(part.name, part.points, None) for part in exercise.parts]
    if not callable(function):
        kind = type(function).__name__
        return Report(exercise.id, tuple(rest), refused=f"{exercise.function} is a {kind}, not a function")
    if modules := course_calls(function):
        return Report(
            exercise.id,
            tuple(rest),
            refused=f"your answer calls the course's own implementation ({', '.join(modules)}). "
            "That earns nothing: write the steps yourself, with torch or any other library",
        )
    rows, failures = [], []
    for part in exercise.parts:
        if rows and not rows[0].passed and not part.independent:
            rows.append(Row(part.name, part.points, None, "looked at when the first line holds"))
            continue
        row, failed = _judge_part(exercise, part, function, seed, reveal)
        if "NotImplementedError" in row.message:
            return Report(exercise.id, tuple(rest), unsolved=True)
        rows.append(row)
        failures += failed
    named = _misconception(exercise, failures)
    return Report(exercise.id, tuple(rows), named.name if named else "", named.sentence if named else "")


def values_hold(exercise, function):
    """Whether the first part and every independent one hold on visible inputs: enough for an experiment."""
    if not callable(function):
        return False
    needed = [part for i, part in enumerate(exercise.parts) if i == 0 or part.independent]
    return all(_judge_part(exercise, part, function, VISIBLE_SEED, reveal=True)[0].passed for part in needed)


def _cases(exercise, part, seed):
    return part.cases(Draw(seed, f"{exercise.id}/{part.name}"))


@lru_cache(maxsize=10_000)
def _own(exercise, function, part, seed, i):
    """What the reference or a misconception does on case `i`: asked for again and again, never different."""
    return exercise.observe(function, _cases(exercise, part, seed)[i])


def _judge_part(exercise, part, function, seed, reveal):
    message, failed = "", []
    for i, case in enumerate(_cases(exercise, part, seed)):
        expected = _own(exercise, exercise.reference, part, seed, i)
        seen = exercise.observe(function, case)
        found = _first_difference(expected, seen, case, part.looks_at, reveal)
        if found:
            failed.append((case, part, seed, i, seen))
            message = message or _by_name(
                f"{case.label}: {found}" if case.label else found, exercise.reference
            )
    return Row(part.name, part.points, not failed, message), failed


def _by_name(message, reference):
    """The message with "argument N" replaced by the argument's name, but for an error's own words."""
    if "your function raised" in message:
        return message
    names = list(inspect.signature(reference).parameters)
    return re.sub(r"argument (\d+)", lambda found: f"`{names[int(found[1]) - 1]}`", message)


def _first_difference(expected, seen, case, looks_at, reveal=True):
    if "error" in expected:  # a fault of ours, never of the student
        raise RuntimeError(f"the reference failed on {case.label!r}: {expected['error']}")
    if "error" in seen:
        return f"your function raised {seen['error']}"
    for key in expected:
        if key.startswith(looks_at):
            found = difference(expected[key], seen.get(key), case, key, reveal)
            if found:
                return f"{key}: {found}" if key.startswith(("gradient", "no gradient")) else found
    return None


def _misconception(exercise, failures):
    """The misconception that gives the student's results where they are wrong, if there is one."""
    votes = Counter()
    for case, part, seed, i, seen in failures:
        expected = _own(exercise, exercise.reference, part, seed, i)
        for candidate in exercise.misconceptions:
            wrong = _own(exercise, candidate.function, part, seed, i)
            if _agree(wrong, seen, case, part.looks_at) and not _agree(expected, wrong, case, part.looks_at):
                votes[candidate.name] += 1
    if not votes:
        return None
    best = max(votes.values())
    return next(m for m in exercise.misconceptions if votes[m.name] == best)


def _agree(a, b, case, looks_at):
    if "error" in a or "error" in b:
        # the same exception, wherever it was raised
        return a.get("error", "a").split(" (line")[0] == b.get("error", "b").split(" (line")[0]
    return _first_difference(a, b, case, looks_at) is None
