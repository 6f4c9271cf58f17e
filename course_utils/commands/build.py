"""From the one hand-written source of a notebook to its two products.

    solutions/NN-name/NN-name.py     hand-written
    solutions/NN-name/NN-name.ipynb  the same cells, executed
    notebooks/NN-name/NN-name.ipynb  what a student gets (nbgrader's generate_assignment)

Both are reproducible byte for byte, apart from what a machine's arithmetic decides.
"""

import base64
import hashlib
import logging
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import jupytext
import nbformat

from course_utils.commands.execute import execute
from course_utils.commands.paths import NOTEBOOKS, PICTURES, ROOT, SOLUTIONS

KERNEL = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}


def solved_source(name):
    """The solved notebook of an assignment, not executed: the source's cells with derived ids."""
    notebook = jupytext.read(SOLUTIONS / name / f"{name}.py", fmt="py:percent")
    notebook.metadata = nbformat.from_dict(KERNEL)
    seen = Counter()
    for cell in notebook.cells:
        cell.metadata.pop("lines_to_next_cell", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        key = cell.metadata.get("nbgrader", {}).get("grade_id")
        if key is None:
            digest = hashlib.sha256(cell.source.encode()).hexdigest()[:12]
            seen[digest] += 1
            key = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        cell.id = key
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def build_solved(name, on_cell=None, scale="default"):
    """Execute an assignment's source and write its solved notebook."""
    notebook = solved_source(name)
    cost = execute(notebook, SOLUTIONS / name, on_cell, scale=scale)
    settle(notebook)
    write(notebook, SOLUTIONS / name / f"{name}.ipynb")
    for cell in notebook.cells:
        if "readme" in cell.metadata.get("tags", []):  # the README shows the figure of this cell
            (png,) = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
            PICTURES.mkdir(exist_ok=True)
            (PICTURES / f"{name}.png").write_bytes(base64.b64decode(png))
    return cost


def settle(notebook):
    """Take out of an executed notebook what differs from run to run: widget ids and the Python version."""
    notebook.metadata = nbformat.from_dict(KERNEL)
    for number, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            view = output.get("data", {}).get("application/vnd.jupyter.widget-view+json")
            if view:
                view["model_id"] = f"widget-of-cell-{number}"


def release(names, into=NOTEBOOKS):
    """Write the released notebooks of the assignments into a folder, by nbgrader's own converter."""
    from nbgrader.converters import GenerateAssignment  # slow to import, and needed here only
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config.loader import PyFileConfigLoader

    with tempfile.TemporaryDirectory() as scratch:
        # only the course's own settings, whatever else is configured on this machine
        config = PyFileConfigLoader("nbgrader_config.py", path=str(ROOT)).load_config()
        config.CourseDirectory.root = str(ROOT)
        config.CourseDirectory.release_directory = scratch
        config.GenerateAssignment.no_database, config.SaveCells.enabled = True, False
        for name in names:
            config.CourseDirectory.assignment_id = name
            converter = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config)
            converter.log.setLevel(logging.ERROR)
            converter.start()
            product = Path(scratch, name, f"{name}.ipynb")
            target = Path(into, name, f"{name}.ipynb")
            target.parent.mkdir(parents=True, exist_ok=True)
            notebook = nbformat.read(product, as_version=4)
            write(notebook, target)


def write(notebook, path):
    """Write a notebook the one way, so that equal notebooks are equal files; whole or not at all."""
    nbformat.validate(notebook)
    new = Path(f"{path}.new")
    new.write_text(nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n", encoding="utf-8")
    shutil.move(new, path)


def stale(name):
    """Why the products of an assignment do not belong to its source; an empty list where they do.

    Looks at cells and metadata, not at outputs (nbval compares those).
    """
    found = []
    solved = SOLUTIONS / name / f"{name}.ipynb"
    released = NOTEBOOKS / name / f"{name}.ipynb"
    if not solved.exists() or not released.exists():
        return [f"{name}: not built"]
    kept = nbformat.read(solved, as_version=4)
    for cell in kept.cells:
        if cell.cell_type == "code":
            if cell.execution_count is None and cell.source.strip():
                found.append(f"{name}: cell {cell.id} of the solved notebook was never executed")
            cell.outputs, cell.execution_count = [], None
    if kept != solved_source(name):
        found.append(f"{name}: the solved notebook is not that of its source")
    with tempfile.TemporaryDirectory() as fresh:
        release([name], into=fresh)
        if Path(fresh, name, f"{name}.ipynb").read_bytes() != released.read_bytes():
            found.append(f"{name}: the released notebook is not that of the solved one")
    return found
