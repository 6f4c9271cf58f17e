"""What the grader knows of an assignment, all of it from solutions/: its cells, tests, points and experiments."""

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nbformat

from course_utils.checks import catalogue
from course_utils.commands.paths import ROOT, SOLUTIONS

TEST = "test-"


@dataclass(frozen=True)
class Assignment:
    """An assignment in the two forms that nbgrader knows.

    Attributes:
        name: its name, that of its folder and notebook.
        stored: the notebook as nbgrader's gradebook stores its cells: solutions cleared, hidden tests still there.
        released: the notebook as a student gets it.
    """

    name: str
    stored: nbformat.NotebookNode
    released: nbformat.NotebookNode

    def __reduce__(self):  # what is derived from the two forms stays at home
        return Assignment, (self.name, self.stored, self.released)

    @cached_property
    def cells(self):
        """{grade_id: released cell} of all cells that nbgrader knows, in the notebook's order."""
        return {c.metadata.nbgrader.grade_id: c for c in self.released.cells if "nbgrader" in c.metadata}

    @cached_property
    def tests(self):
        """{grade_id of a test cell: its exercise's id}."""
        return {
            name: name.removeprefix(TEST)
            for name, cell in self.cells.items()
            if cell.metadata.nbgrader.grade and not cell.metadata.nbgrader.solution
        }

    @cached_property
    def by_hand(self):
        """The grade_ids of what a person grades."""
        marks = {name: cell.metadata.nbgrader for name, cell in self.cells.items()}
        return [name for name, mark in marks.items() if mark.grade and mark.solution]

    @cached_property
    def points(self):
        """{exercise id: points} of the tests."""
        return {id: float(self.cells[name].metadata.nbgrader.points) for name, id in self.tests.items()}

    @cached_property
    def experiments(self):
        """The ids and the sources of the cells that grading skips."""
        found = [c for c in self.released.cells if "experiment" in c.metadata.get("tags", [])]
        return {c.id for c in found} | {c.source for c in found}

    @cached_property
    def texts(self):
        """The sources of the course's own texts."""
        return {c.source for c in self.released.cells if c.cell_type == "markdown"}

    @cached_property
    def exercises(self):
        """{exercise id: its check}."""
        known = catalogue.assignment(self.name)
        return {id: known[id] for id in self.tests.values()}


def load_assignment(name, solutions=SOLUTIONS):
    """The assignment `name`, put through the steps of nbgrader's release in memory.

    Raises:
        ValueError: there is none, or a test cell is not named for an exercise.
    """
    # slow to import, and not needed by a worker
    from nbgrader.preprocessors import SaveCells
    from traitlets.config.loader import PyFileConfigLoader

    file = Path(solutions, name, f"{name}.ipynb")
    if not file.is_file():
        raise ValueError(f"there is no {file}: build it with `make notebooks`")
    notebook = nbformat.read(file, as_version=4)
    config = PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config()
    stored, resources = None, {"nbgrader": {"assignment": name, "notebook": name, "student": "."}}
    for step in config.GenerateAssignment.preprocessors:
        if step is SaveCells:
            stored = nbformat.reads(nbformat.writes(notebook), as_version=4)
        else:
            notebook, resources = step(config=config).preprocess(notebook, resources)
    loaded = Assignment(name, stored, notebook)
    unknown = sorted(set(loaded.tests.values()) - set(catalogue.assignment(name)))
    if unknown:
        raise ValueError(f"{name}: there is no exercise for the test cell {TEST}{unknown[0]}")
    return loaded


def checks_version(assignment):
    """A digest of all that decides a verdict: the checks, the course's modules that they use, and the notebook."""
    digest = hashlib.sha256(nbformat.writes(assignment.stored).encode())
    package = Path(catalogue.__file__).parents[1]
    for folder, _, files in sorted(os.walk(package)):
        for file in sorted(files):
            if file.endswith(".py") and Path(folder).name not in ("commands", "grading"):
                digest.update(Path(folder, file).read_bytes())
    return digest.hexdigest()[:16]
