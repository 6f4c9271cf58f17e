"""What the check of assign-variant sees of another process, in a real kernel."""

import nbformat
import pytest

from course_utils.checks.scripts.another_process import another_hash, cell_source, in_another_process
from course_utils.commands.execute import execute

IMPORTS = """
import hashlib
import hashlib as hl
import random
from hashlib import sha256
import numpy as np
SEPARATOR = "/"
"""
# {what it is: (source, is it right)}; each is a cell of its own
ANSWERS = {
    "imports above": (
        'def assign_variant(user_id, share, salt=""):\n'
        "    place = int(sha256((salt + SEPARATOR + user_id).encode()).hexdigest(), 16) / 16**64\n"
        '    return "treatment" if place < share else "control"\n',
        True,
    ),
    "helpers, classes, prints": (
        "class Place:\n"
        "    def __init__(self, text): self.value = int(hl.md5(text.encode()).hexdigest(), 16) % 10_000 / 10_000\n"
        "def below(place, share): return place.value < share\n"
        'def assign_variant(user_id, share, salt=""):\n'
        '    return "treatment" if below(Place(f"{user_id}-{salt}"), share) else "control"\n'
        'print("a try:", assign_variant("me", 0.5))\n',
        True,
    ),
    "cached": (
        "import functools\n"
        "@functools.lru_cache(None)\n"
        'def assign_variant(user_id, share, salt=""):\n'
        '    return "treatment" if random.Random(f"{user_id}|{salt}").random() < share else "control"\n',
        True,
    ),
    "does not run by itself elsewhere": (
        'made_above = globals()["hashlib"]\n'
        'def assign_variant(user_id, share, salt=""):\n'
        '    return "treatment" if made_above.sha256(f"{salt}:{user_id}".encode()).digest()[0] * 256 + made_above.sha256(f"{salt}:{user_id}".encode()).digest()[1] < share * 65536 else "control"\n',
        True,
    ),
    "hash": (
        'def assign_variant(user_id, share, salt=""):\n'
        '    return "treatment" if hash(salt + user_id) % 1000 < share * 1000 else "control"\n',
        False,
    ),
    "the hash of a text by its method": (
        'def assign_variant(user_id, share, salt=""):\n'
        '    return "treatment" if (salt + "." + user_id).__hash__() % 1000 < share * 1000 else "control"\n',
        False,
    ),
    "a salt of the process": (
        "KEY = str(random.random())\n"
        'def assign_variant(user_id, share, salt=""):\n'
        '    return "treatment" if random.Random(KEY + salt + user_id).random() < share else "control"\n',
        False,
    ),
    "by arrival": (
        "seen = {}\n"
        'def assign_variant(user_id, share, salt=""):\n'
        "    place = seen.setdefault(salt + user_id, random.random())\n"
        '    return "treatment" if place < share else "control"\n',
        False,
    ),
}


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """{answer: what the visible check printed}, from one kernel."""
    cells = [nbformat.v4.new_code_cell(IMPORTS)]
    for source, _ in ANSWERS.values():
        cells.append(nbformat.v4.new_code_cell(source))
        cells.append(
            nbformat.v4.new_code_cell(
                'from course_utils.checks import check\ncheck("assign-variant", assign_variant)'
            )
        )
    notebook = nbformat.v4.new_notebook(cells=cells)
    execute(notebook, tmp_path_factory.mktemp("kernel"), scale="fast")
    texts = ["".join(str(o) for o in cell.outputs) for cell in notebook.cells[2::2]]
    return dict(zip(ANSWERS, texts, strict=True))


@pytest.mark.parametrize("name", ANSWERS)
def test_what_differs_between_processes_is_found_in_a_notebook(points, name):
    right = ANSWERS[name][1]
    assert ("assign-variant: 5 of 5 points" in points[name]) == right, points[name]
    if not right:
        assert "another process" in points[name]


def test_where_there_is_no_cell_nothing_is_run():
    assert cell_source(execute, "execute") is None
    assert in_another_process(abs, "abs", [[1]]) is None


def test_another_hash_is_for_texts_and_for_the_answer_only():
    before = hash("text"), hash(("a", 1)), hash(7)
    with another_hash():
        assert hash("text") != before[0] and hash(("a", 1)) != before[1] and hash(7) == before[2]
        assert {"key": 1}["key"] == 1
    assert (hash("text"), hash(("a", 1)), hash(7)) == before
