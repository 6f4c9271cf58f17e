"""The notebooks as products: fresh, whole, in step with their checks."""

import re

import nbformat
import pytest

from course_utils.checks import catalogue
from course_utils.commands.build import stale
from course_utils.commands.course import points
from course_utils.commands.execute import execute
from course_utils.commands.paths import NOTEBOOKS, SOLUTIONS, assignments


def solved(name):
    return nbformat.read(SOLUTIONS / name / f"{name}.ipynb", as_version=4)


def released(name):
    return nbformat.read(NOTEBOOKS / name / f"{name}.ipynb", as_version=4)


@pytest.mark.parametrize("name", assignments())
def test_the_products_belong_to_their_source(name):
    assert stale(name) == []


@pytest.mark.parametrize("name", assignments())
def test_points_in_the_notebook_are_those_of_the_checks(name):
    cells = {c.metadata.nbgrader.grade_id: c for c in solved(name).cells if "nbgrader" in c.metadata}
    for exercise in catalogue.assignment(name).values():
        assert cells[f"test-{exercise.id}"].metadata.nbgrader.points == exercise.points, exercise.id
    tests = {
        i.removeprefix("test-")
        for i, c in cells.items()
        if c.cell_type == "code" and c.metadata.nbgrader.grade
    }
    assert tests == set(catalogue.assignment(name))


@pytest.mark.parametrize("name", assignments())
def test_the_committed_solutions_earn_all_points_and_hold_no_error(name):
    _, earned, possible, _ = points(solved(name))
    assert earned == possible > 0
    outputs = [o for c in solved(name).cells if c.cell_type == "code" for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]


@pytest.mark.parametrize("name", assignments())
def test_a_stuck_student_can_call_for_a_hint(name):
    """The statements say: run hint("...") in a new cell. So the name must be there."""
    notebook = released(name)
    assert any("hint(" in c.source for c in notebook.cells if c.cell_type == "markdown")
    imports = [c.source for c in notebook.cells if c.cell_type == "code" and not c.metadata.get("tags")]
    assert any(re.search(r"^from course_utils.checks import .*\bhint\b", source, re.M) for source in imports)


@pytest.mark.parametrize("name", assignments())
def test_every_figure_has_a_text_alternative(name):
    outputs = [o for c in solved(name).cells if c.cell_type == "code" for o in c.outputs]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert pictures
    for picture in pictures:
        assert len(picture.metadata["image/png"]["alt"]) > 20


@pytest.mark.parametrize("name", assignments())
def test_the_solved_notebook_runs_whole(name):
    notebook = solved(name)
    execute(notebook, SOLUTIONS / name, scale="fast")
    _, earned, possible, _ = points(notebook)
    assert earned == possible


@pytest.mark.parametrize("name", assignments())
def test_the_released_notebook_runs_whole_and_earns_nothing(name, tmp_path):
    notebook = released(name)
    execute(notebook, tmp_path, scale="fast")
    _, earned, _, _ = points(notebook)
    assert earned == 0
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade") and cell.cell_type == "code":
            assert "Not yet" in str(cell.outputs), cell.id
