"""Which solution cells of a class are too alike, with copydetect: a list to look at, never a verdict.

Names and layout do not matter to it (it compares fingerprints of the tokens), and the released cell, which everybody
has, is not counted. Short answers to the same exercise are alike by nature; so an exercise is left out where the
course's own answer is short, and everything below the threshold.
"""

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path

from course_utils.grading.reading import Unreadable, parse, read_submission, students_of, text_of
from course_utils.grading.sanitise import sanitise

THRESHOLD = 0.8  # share of a cell that stands in the other too
SHORTEST = 25  # tokens of an answer that can tell two people apart


@dataclass(frozen=True)
class Pair:
    """Two answers to one exercise; `share` is the smaller of the two shares that stand in the other."""

    exercise: str
    one: str
    other: str
    share: float


def answers_of_class(submitted, assignment, others=()):
    """{exercise id: {student: source}} of the solution cells that were changed; who cannot be read is left out."""
    answers = {}
    for name in students_of(submitted, assignment.name, others):
        try:
            cells, _ = parse(read_submission(submitted, name, assignment.name)[0])
            notebook, _ = sanitise(cells, assignment)
        except (Unreadable, ValueError):
            continue
        for cell in notebook.cells:
            id = cell.metadata.get("nbgrader", {}).get("grade_id")
            if id in assignment.points and cell.source != assignment.cells[id].source:
                answers.setdefault(id, {})[text_of(name)] = cell.source
    return answers


def similar_pairs(answers, assignment, threshold=THRESHOLD, shortest=SHORTEST):
    """[Pair] with at least `threshold` in common, the most alike first.

    Args:
        answers: from `answers_of_class`.
        assignment: the `Assignment`.
        threshold: 0 to 1.
        shortest: tokens that both answers must have.
    """
    from copydetect import CodeFingerprint, compare_files  # slow to import

    pairs = []
    with tempfile.TemporaryDirectory() as scratch:

        def fingerprint(source, number=itertools.count()):
            file = Path(scratch, f"{next(number)}.py")
            file.write_text(source, encoding="utf-8")
            return CodeFingerprint(str(file), k=12, win_size=1, boilerplate=boilerplate, language="python")

        for id, sources in answers.items():
            boilerplate = []
            boilerplate = fingerprint(assignment.cells[id].source).hashes
            prints = {student: fingerprint(source) for student, source in sources.items()}
            prints = {s: p for s, p in prints.items() if p.token_coverage >= shortest}
            for (one, a), (other, b) in itertools.combinations(prints.items(), 2):
                share = min(compare_files(a, b)[1])
                if share >= threshold:
                    pairs.append(Pair(id, one, other, round(float(share), 3)))
    return sorted(pairs, key=lambda p: (-p.share, p.exercise, p.one, p.other))
