"""From a student's cells to a notebook that can be graded: known cells restored, everything else plain.

Nothing but sources and names is taken from the student. A test cell is the course's own, whatever was done to
it; a missing one comes back; of copies the last counts, as in a notebook that was run from top to bottom.
"""

import copy

import nbformat

from course_utils.grading.markup import inert

_KERNEL = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}}


def sanitise(cells, assignment):
    """(notebook, remarks) from what `reading.parse` kept.

    In the notebook the cells that nbgrader knows bear the release's metadata, once each, and tests the release's
    source; experiments bear their tag; no cell has an output.

    Args:
        cells: the student's `reading.Cell`s.
        assignment: the `Assignment`.

    Raises:
        ValueError: none of the assignment's cells is there, so that this is another notebook.
    """
    names = [_known_name(cell, assignment) for cell in cells]
    if cells and not any(names):
        raise ValueError(f"none of the cells of {assignment.name} is in it: it is another notebook")
    last = {name: place for place, name in enumerate(names) if name}
    remarks = [
        f"cell {name} is there {names.count(name)} times; the last one counts"
        for name in last
        if names.count(name) > 1
    ]
    built = []
    for place, (cell, name) in enumerate(zip(cells, names, strict=True)):
        if name and last[name] == place:
            built.append(_restored(cell, assignment.cells[name], assignment))
            if cell.kind != assignment.cells[name].cell_type:
                remarks.append(f"cell {name} was changed into {cell.kind}; it was changed back")
        elif name and _is_locked(assignment.cells[name]):
            continue  # an earlier copy of a test or of a text
        else:
            built.append(_plain(cell, assignment))
    for name, cell in assignment.cells.items():
        if name not in last and cell.metadata.nbgrader.grade:
            built.insert(_place_for(name, built, assignment), copy.deepcopy(cell))
            remarks.append(f"cell {name} was missing; it was put back")
        elif name not in last and cell.metadata.nbgrader.solution:
            remarks.append(f"cell {name} was missing")
    _number(built)
    return nbformat.from_dict(
        {"cells": built, "metadata": _KERNEL, "nbformat": 4, "nbformat_minor": 5}
    ), remarks


def _known_name(cell, assignment):
    """The grade_id that a cell goes by; where an editor dropped the metadata, its id tells as well."""
    return next((name for name in (cell.grade_id, cell.id) if name in assignment.cells), "")


def _is_locked(cell):
    return not cell.metadata.nbgrader.solution


def _restored(cell, own, assignment):
    restored = copy.deepcopy(own)
    if not _is_locked(own):
        restored.source = _safe(cell.source, own.cell_type, assignment)
        if cell.attachments and own.cell_type == "markdown":
            restored.attachments = nbformat.from_dict(cell.attachments)
    return restored


def _plain(cell, assignment):
    # by hand: nbformat's own makers validate each cell, which takes longer than all the rest here
    more = {"outputs": [], "execution_count": None} if cell.kind == "code" else {}
    source = _safe(cell.source, cell.kind, assignment)
    plain = nbformat.NotebookNode(
        cell_type=cell.kind, id=cell.id or "cell", metadata=nbformat.NotebookNode(), source=source, **more
    )
    if cell.attachments:
        plain.attachments = nbformat.from_dict(cell.attachments)
    if cell.kind == "code" and {cell.id, cell.source} & assignment.experiments:
        plain.metadata["tags"] = ["experiment"]
    return plain


def _safe(source, kind, assignment):
    """A source for a cell of `kind`; where a browser will show it as text, without anything that it would run."""
    return source if kind == "code" or source in assignment.texts else inert(source)


def _place_for(name, built, assignment):
    """Where a missing graded cell goes: behind its solution cell, else to the end, where all is defined."""
    wanted = assignment.tests.get(name)
    for place, cell in enumerate(built):
        if wanted and cell.metadata.get("nbgrader", {}).get("grade_id") == wanted:
            return place + 1
    return len(built)


def _number(cells):
    """Give each cell an id of its own; the known cells keep theirs."""
    taken = {cell.id for cell in cells if "nbgrader" in cell.metadata}
    for number, cell in enumerate(cells):
        if "nbgrader" not in cell.metadata:
            if cell.id in taken:
                cell.id = f"{cell.id[:48]}-copy-{number}"
            taken.add(cell.id)
