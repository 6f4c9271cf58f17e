"""notebooks/README.md says where each statement of the old answer key is shown: are those places there?"""

import re
from functools import cache

import jupytext
import pytest

from course_utils.checks.exercises import final_quiz, goodhart, kto_pipeline
from course_utils.commands.paths import NOTEBOOKS, ROOT, SOLUTIONS

PAGE = NOTEBOOKS / "README.md"
STATEMENTS = 70  # of the old answer key
LINK = r"\[(\d\d)\]\(([\w-]+)/([\w-]+)\.ipynb\)"
# Exercises of notebooks that are planned, by number.
PLANNED = {"04": kto_pipeline.EXERCISES, "05": goodhart.EXERCISES}


def rows():
    """(number of the statement, or of the code as B and a number; the cell that says where it is shown)."""
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("|") and re.fullmatch(r"B?\d+", cells[0]):
            yield cells[0], cells[-1].removesuffix("|").strip()


def places():
    """(statement, notebook number, its name, heading or None, id or None)."""
    for number, shown in rows():
        parts = re.split(LINK, shown)
        for nb, folder, file, spots in zip(*(parts[i::4] for i in range(1, 5)), strict=True):
            assert folder == file and folder.startswith(nb), shown
            for heading, id in re.findall(r'"([^"]+)"|`([^`]+)`', spots):
                yield number, nb, folder, heading or None, id or None


@cache
def contents(name):
    """(headings, grade_ids) of a notebook's source, or None while it has none."""
    source = SOLUTIONS / name / f"{name}.py"
    if not source.exists():
        return None
    cells = jupytext.read(source, fmt="py:percent").cells
    headings = {
        line.lstrip("# ").strip()
        for cell in cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("#")
    }
    ids = {cell.metadata["nbgrader"]["grade_id"] for cell in cells if "nbgrader" in cell.metadata}
    return headings, ids


def is_there(name, heading, id):
    """Whether a notebook has this heading, or this cell; of one that is not written yet only exercises are known."""
    found = contents(name)
    if found is None:
        return heading is not None or id in {e.id for e in PLANNED[name[:2]]}
    return heading in found[0] if heading else id in found[1]


def test_every_statement_has_a_row_and_every_row_a_place():
    numbers = [number for number, _ in rows()]
    assert [n for n in numbers if n.isdigit()] == [str(n) for n in range(1, STATEMENTS + 1)]
    assert {number for number, *_ in places()} == set(numbers)


@pytest.mark.parametrize("name", sorted({place[2] for place in places()}))
def test_what_the_map_names_exists(name):
    wrong = [p for p in places() if p[2] == name and not is_there(name, p[3], p[4])]
    assert not wrong


@pytest.mark.parametrize("claim", final_quiz.CLAIMS, ids=lambda c: c.id)
def test_the_hints_of_a_claim_name_places_that_exist(claim):
    assert claim.where
    for name, spot in claim.where:
        heading, id = (None, spot) if spot == spot.lower() else (spot, None)
        assert is_there(name, heading, id), (name, spot)


def test_links_to_notebooks_that_exist_lead_somewhere():
    for _, _, name, _, _ in places():
        if (SOLUTIONS / name).is_dir():
            assert (NOTEBOOKS / name / f"{name}.ipynb").is_file()
    assert (ROOT / "solutions").is_dir()
