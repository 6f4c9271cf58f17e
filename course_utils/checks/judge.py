"""From an exercise and a student's function to a report: which parts hold, and why the others do not."""

import contextlib
import inspect
import re
from dataclasses import dataclass
from functools import lru_cache

import torch

from course_utils.checks.compare import difference, with_nan_of
from course_utils.checks.definition import Case, Part
from course_utils.checks.draw import Draw
from course_utils.checks.provenance import course_calls
from course_utils.words import type_of

VISIBLE_SEED = 0
_MESSAGE = 600  # characters; an answer that is shown in it may be of any length


@dataclass(frozen=True)
class Row:
    """The verdict on one part. `passed` is None where it was not reached, or is left to the graded tests."""

    part: str
    points: float
    passed: bool | None
    message: str = ""
    pending: bool = False


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

    @property
    def answered(self):
        """Whether all that a visible check may look at holds, and the rest is left to the graded tests."""
        seen = [row.passed for row in self.rows if not row.pending]
        return len(seen) < len(self.rows) and all(seen) and not self.refused and not self.unsolved


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
def judge(exercise, function, seed=VISIBLE_SEED, reveal=True, graded=True):
    """Hold a student's function against an exercise.

    Args:
        exercise: the `Exercise`.
        function: the student's function.
        seed: what the inputs are drawn from.
        reveal: whether messages may show the wanted numbers (visible checks only).
        graded: whether the parts that only the graded tests decide are judged too.
    """
    rest = [Row(part.name, part.points, None) for part in exercise.parts]
    if not callable(function):
        refused = f"{exercise.function} is {type_of(function)}, not a function"
        return Report(exercise.id, tuple(rest), refused=refused)
    if modules := course_calls(function):
        return Report(
            exercise.id,
            tuple(rest),
            refused=f"your answer calls the course's own implementation ({', '.join(modules)}). "
            "That earns nothing: write the steps yourself, with torch or any other library",
        )
    rows, outcomes = [], []
    for part in exercise.parts:
        if part.graded_only and not graded:
            rows.append(Row(part.name, part.points, None, "decided when it is graded", pending=True))
            continue
        if rows and not rows[0].passed and not part.independent:
            rows.append(Row(part.name, part.points, None, "looked at when the first line holds"))
            continue
        row, seen = _judge_part(exercise, part, function, seed, reveal)
        if "NotImplementedError" in row.message:
            return Report(exercise.id, tuple(rest), unsolved=True)
        rows.append(row)
        outcomes += seen
    named = _misconception(exercise, outcomes)
    if named is None:
        return Report(exercise.id, tuple(rows))
    sentence = (reveal and named.visible) or named.sentence
    return Report(exercise.id, tuple(rows), named.name, sentence)


def values_hold(exercise, function):
    """Whether the first part and every independent one hold on visible inputs: enough for an experiment."""
    if not callable(function):
        return False
    needed = [part for i, part in enumerate(exercise.parts) if i == 0 or part.independent]
    return all(_judge_part(exercise, part, function, VISIBLE_SEED, reveal=True)[0].passed for part in needed)


def _cases(exercise, part, seed):
    return part.cases(Draw(seed, f"{exercise.id}/{part.name}"))


@lru_cache(maxsize=16)  # the parts of one exercise, while its misconceptions are tried one after the other
def _own_cases(exercise, part, seed):
    """Cases for functions of ours: drawing a frame takes ten times as long as looking at it."""
    return _cases(exercise, part, seed)


@lru_cache(maxsize=10_000)
def _own(exercise, function, part, seed, i):
    """What the reference or a misconception does on case `i`: asked for again and again, never different."""
    return exercise.observe(function, _own_cases(exercise, part, seed)[i])


@dataclass(frozen=True)
class _Outcome:
    """What an answer did on one case."""

    case: Case
    part: Part
    seed: int
    number: int
    seen: dict
    right: bool


def _judge_part(exercise, part, function, seed, reveal):
    message, outcomes = "", []
    for i, case in enumerate(_cases(exercise, part, seed)):
        expected = _own(exercise, exercise.reference, part, seed, i)
        seen = _observed(exercise, function, case)
        found = _first_difference(expected, seen, case, part.looks_at, reveal)
        outcomes.append(_Outcome(case, part, seed, i, seen, not found))
        if found:
            found = f"{case.label}: {found}" if case.label else found
            message = message or _by_name(found, exercise.reference)[:_MESSAGE]
    return Row(part.name, part.points, all(o.right for o in outcomes), message), outcomes


def _observed(exercise, function, case):
    """What a student's function does on a case; "odd" alone where it gave back what the observation cannot take apart."""
    try:
        return exercise.observe(function, case)
    except (MemoryError, OSError):  # a fault of ours, never of the student
        raise
    except Exception as error:  # a result like no other; the reference's was looked at before
        return {"odd": f"what came back cannot be looked at ({type(error).__name__})"}


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
    if "odd" in seen:
        return seen["odd"]
    for key in expected:
        if key.startswith(looks_at):
            found = difference(expected[key], seen.get(key), case, key, reveal)
            if found:
                return f"{key}: {found}" if key.startswith(("gradient", "no gradient")) else found
    return None


def _misconception(exercise, outcomes):
    """The misconception that gives the student's results where they are wrong, if there is one."""
    failures = [o for o in outcomes if not o.right]
    # nothing has more votes than what explains every failure; most are out of this race after one look
    full = [c for c in exercise.misconceptions if failures and all(_shared(exercise, c, o) for o in failures)]
    if full:  # the one that is right most often where the student is; the first of equals
        return max(full, key=lambda c: _right_too(exercise, c, outcomes))
    best, named = (0, False), None
    for candidate in exercise.misconceptions:
        votes = _votes(exercise, candidate, outcomes)
        # of those with most votes one that is right wherever the student is
        if votes >= max(best[0], 1):
            score = votes, _consistent(exercise, candidate, outcomes)
            best, named = (score, candidate) if score > best else (best, named)
    return named


def _votes(exercise, candidate, outcomes):
    """In how many cases a misconception explains what went wrong.

    Of the failures in a part it must explain all; or some of them, in numbers and not by a nan or an exception,
    which have many causes, and be right wherever the student is.
    """
    votes = 0
    failures = [o for o in outcomes if not o.right]
    for part in {o.part: None for o in failures}:
        failed = [o for o in failures if o.part is part]
        shared = [how for o in failed if (how := _shared(exercise, candidate, o))]
        if len(shared) == len(failed) or ("numbers" in shared and _consistent(exercise, candidate, outcomes)):
            votes += len(shared)
    return votes


def _shared(exercise, candidate, outcome):
    """Whether a misconception does the same wrong thing on a case: by "numbers", by "nan" or "error", or None."""
    o, looks_at = outcome, outcome.part.looks_at
    expected = _own(exercise, exercise.reference, o.part, o.seed, o.number)
    wrong = _own(exercise, candidate.function, o.part, o.seed, o.number)
    if not _agree(wrong, o.seen, o.case, looks_at) or _agree(expected, wrong, o.case, looks_at):
        return None
    if "error" in wrong:
        return "error"
    return "nan" if _agree(with_nan_of(wrong, expected), wrong, o.case, looks_at) else "numbers"


def _consistent(exercise, candidate, outcomes):
    """Whether a misconception is right wherever the student is."""
    return all(_right(exercise, candidate, o) for o in outcomes if o.right)


def _right_too(exercise, candidate, outcomes):
    """In how many of the cases that the student has right a misconception is right too."""
    return sum(_right(exercise, candidate, o) for o in outcomes if o.right)


def _right(exercise, candidate, o):
    """Whether a misconception is right on a case."""
    expected = _own(exercise, exercise.reference, o.part, o.seed, o.number)
    own = _own(exercise, candidate.function, o.part, o.seed, o.number)
    return _agree(expected, own, o.case, o.part.looks_at)


def _agree(a, b, case, looks_at):
    if "error" in a or "error" in b:
        # the same exception, wherever it was raised
        return a.get("error", "a").split(" (line")[0] == b.get("error", "b").split(" (line")[0]
    return _first_difference(a, b, case, looks_at, reveal=None) is None
