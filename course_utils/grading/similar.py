"""Which solution cells of a class are too alike, with copydetect: a list to look at, never a verdict.

Names and layout do not matter to it (it compares fingerprints of the tokens), and the released cell, which everybody
has, is not counted. Short answers to the same exercise are alike by nature, and are left out.
"""

import io
import itertools
from dataclasses import dataclass

from course_utils.grading.reading import Unreadable, parse, read_submission, students_of, text_of
from course_utils.grading.sanitise import sanitise

THRESHOLD = 0.8  # share of a cell that stands in the other too
SHORTEST = 80  # characters, names and texts shortened to one, of an answer that can tell two people apart


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
        shortest: as SHORTEST, what both answers must have.
    """
    from copydetect import CodeFingerprint, compare_files  # slow to import

    def fingerprint(source, boilerplate):
        return CodeFingerprint("cell.py", 12, 1, boilerplate, language="python", fp=io.StringIO(source))

    pairs = []
    for id, sources in answers.items():
        released = sorted(fingerprint(assignment.cells[id].source, []).hashes)
        prints = {student: fingerprint(source, released) for student, source in sources.items()}
        prints = {student: made for student, made in prints.items() if made.token_coverage >= shortest}
        for (one, a), (other, b) in itertools.combinations(prints.items(), 2):
            # most pairs have little in common, and that is told a hundred times faster by their fingerprints
            if len(a.hashes & b.hashes) < threshold / 2 * min(len(a.hashes), len(b.hashes)):
                continue
            share = min(compare_files(a, b)[1])
            if share >= threshold:
                pairs.append(Pair(id, one, other, round(float(share), 3)))
    return sorted(pairs, key=lambda p: (-p.share, p.exercise, p.one, p.other))
