"""Every solved cell stands on its own and is as good as the package's function of its name."""

import ast
import importlib
import importlib.util

import jupytext
import pytest

from course_utils.checks import catalogue
from course_utils.checks.judge import judge
from course_utils.checks.provenance import ANSWERS
from course_utils.commands.paths import SOLUTIONS, assignments

# Modules of the package that offer what exercises ask for: those that an answer may not call.
OFFER = [name for name in ANSWERS if not name.startswith("checks.")]
SEEDS = (0, 7)


def solved_cells(name):
    """(grade_id, source of the solved cell, imports that stand above it in untagged cells)."""
    above = []
    for cell in jupytext.read(SOLUTIONS / name / f"{name}.py", fmt="py:percent").cells:
        if cell.cell_type != "code":
            continue
        marked = cell.metadata.get("nbgrader", {})
        if marked.get("solution"):
            yield marked["grade_id"], cell.source, "\n".join(above)
        elif not marked and not cell.metadata.get("tags"):
            above += [
                ast.unparse(n)
                for n in ast.parse(cell.source).body
                if isinstance(n, (ast.Import, ast.ImportFrom))
            ]


def offered(name):
    """The package's function of this name, or None."""
    for module in OFFER:
        if importlib.util.find_spec(f"course_utils.{module}"):
            function = getattr(importlib.import_module(f"course_utils.{module}"), name, None)
            if function is not None and function.__module__ == f"course_utils.{module}":
                return function
    return None


CELLS = [(name, *cell) for name in assignments() for cell in solved_cells(name)]


@pytest.mark.parametrize(
    ("assignment", "id", "source", "imports"), CELLS, ids=[f"{c[0]}/{c[1]}" for c in CELLS]
)
def test_a_solved_cell_earns_full_points_with_nothing_but_the_imports_above_it(
    assignment, id, source, imports
):
    exercise = catalogue.exercise(id)
    names = {"__name__": "__main__"}
    exec(imports, names)
    exec(source, names)
    for seed in SEEDS:
        report = judge(exercise, names[exercise.function], seed=seed)
        assert report.passed, report


@pytest.mark.parametrize("name", assignments())
def test_every_exercise_has_its_solved_cell(name):
    assert {cell[1] for cell in CELLS if cell[0] == name} == set(catalogue.assignment(name))


EXERCISES = [e for name in catalogue.MODULES for e in catalogue.assignment(name).values()]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)
def test_what_the_package_offers_under_an_exercises_name_is_what_the_check_goes_by(exercise):
    function = offered(exercise.function)
    assert function is None or exercise.reference is function
