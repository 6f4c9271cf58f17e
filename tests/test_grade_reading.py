"""Malformed submissions: each gets a line that says what is wrong, and nothing outside its folder is read."""

import base64
import json
import os

import nbformat
import pytest
from grading_class import NAME, answered, cells_of, hand_in, picture, released

from course_utils.grading.assignment import load_assignment
from course_utils.grading.outputs import ATTACHED_CAP
from course_utils.grading.reading import Unreadable, parse, read_submission, students_of, text_of
from course_utils.grading.sanitise import sanitise


@pytest.fixture(scope="module")
def assignment():
    return load_assignment(NAME)


def as_json(**changes):
    """A notebook's JSON with some keys changed."""
    return json.dumps(json.loads(nbformat.writes(released())) | changes)


BAD = {
    "cut": (nbformat.writes(released())[:5000], "invalid JSON"),
    "no-utf8": (b'{"cells": "\xff"}', "UTF-8"),
    "a-list": ("[]", "no list of cells"),
    "nbformat-3": (json.dumps({"nbformat": 3, "worksheets": []}), "nbformat 3"),
    "nbformat-99": (as_json(nbformat=99), "nbformat 99"),
    "deep": ("[" * 200_000 + "]" * 200_000, "nested too deep"),
    "long-number": ('{"cells": [], "nbformat": ' + "9" * 100_000 + "}", "number"),
    "cells-of-cells": (as_json(cells=[[]]), "cell 1"),
    "odd-source": (as_json(cells=[{"cell_type": "code", "source": {"a": 1}}]), "source of cell 1"),
    "many-cells": (as_json(cells=[{"cell_type": "code", "source": ""}] * 2001), "2001 cells"),
    "empty": ("", "invalid JSON"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_notebook_is_named(kind):
    data, reason = BAD[kind]
    with pytest.raises(Unreadable, match=reason):
        parse(data.encode() if isinstance(data, str) else data)


def test_a_notebook_of_50_megabytes_is_not_read(tmp_path):
    notebook = answered()
    notebook.cells[0].source = "x" * (50 * 2**20)
    hand_in(tmp_path, "large", notebook)
    with pytest.raises(Unreadable, match="50 MB, and at most 8 MB"):
        read_submission(tmp_path, "large", NAME)


def test_no_link_is_followed_on_any_level(tmp_path):
    theirs = hand_in(tmp_path / "class", "other", answered())
    there = tmp_path / "class"
    (there / "linked-home").symlink_to(there / "other")
    (there / "linked-folder").mkdir()
    (there / "linked-folder" / NAME).symlink_to(theirs.parent)
    (there / "linked-file" / NAME).mkdir(parents=True)
    (there / "linked-file" / NAME / f"{NAME}.ipynb").symlink_to(theirs)
    assert students_of(there, NAME) == ["linked-file", "linked-folder", "linked-home", "other"]
    for student in ("linked-home", "linked-folder", "linked-file"):
        with pytest.raises(Unreadable, match="link"):
            read_submission(there, student, NAME)
    assert read_submission(there, "other", NAME)[0] == theirs.read_bytes()


def test_a_pipe_or_a_folder_in_the_notebooks_place_keeps_nobody_waiting(tmp_path):
    for student, make in (("pipe", os.mkfifo), ("folder", os.mkdir)):
        path = hand_in(tmp_path, student, "")
        path.unlink()
        make(path)
        with pytest.raises(Unreadable, match="not a regular file"):
            read_submission(tmp_path, student, NAME)


def test_a_wrong_name_is_told_with_what_is_there(tmp_path):
    hand_in(tmp_path, "renamed", answered(), file="my homework.ipynb")
    hand_in(tmp_path, "moved", answered(), name="00-start-hear", file=f"{NAME}.ipynb")
    hand_in(tmp_path, "elsewhere", answered(), name="01-derivation")
    assert students_of(tmp_path, NAME, ["01-derivation"]) == ["moved", "renamed"]
    with pytest.raises(Unreadable, match=r"'my homework.ipynb'. Rename"):
        read_submission(tmp_path, "renamed", NAME)
    with pytest.raises(Unreadable, match="'00-start-hear'"):
        read_submission(tmp_path, "moved", NAME)


def test_names_of_any_bytes_are_read(tmp_path):
    name = os.fsdecode(b"Zo\xeb $(touch x); '\n")
    hand_in(tmp_path, name, answered())
    assert students_of(tmp_path, NAME) == [name]
    assert read_submission(tmp_path, name, NAME)[0]
    assert text_of(name) == "Zo\\xeb $(touch x); '\n"


def parsed(notebook):
    return parse(nbformat.writes(notebook).encode())


def graded(notebook, assignment):
    """(sanitised notebook, remarks)."""
    cells, _ = parsed(notebook)
    clean, remarks = sanitise(cells, assignment)
    nbformat.validate(clean)
    assert len({c.id for c in clean.cells}) == len(clean.cells)
    return clean, remarks


def test_an_honest_notebook_needs_no_remark_and_keeps_its_cells(assignment):
    clean, remarks = graded(answered(), assignment)
    assert not remarks
    assert [c.source for c in clean.cells] == [c.source for c in answered().cells]


def test_only_sources_are_taken_from_a_student(assignment):
    notebook = answered()
    for cell in notebook.cells:
        cell.metadata["tags"] = ["skip-execution", "experiment"]
        cell.metadata["slideshow"] = {"x": "<script>"}
        if cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "4"})]
    clean, _ = graded(notebook, assignment)
    own = {c.id: c.metadata for c in released().cells}
    for cell in clean.cells:
        assert cell.get("outputs", []) == []
        assert ("tags" in cell.metadata) == ("experiment" in own[cell.id].get("tags", []))
        assert set(cell.metadata) <= {"nbgrader", "tags", "deletable", "editable"}


@pytest.mark.parametrize("change", ["source", "points", "retype", "unmark", "solution", "no-metadata"])
def test_a_test_cell_is_the_courses_own_whatever_was_done_to_it(assignment, change):
    notebook = answered()
    cell = cells_of(notebook)["test-kl-divergence"]
    if change == "source":
        cell.source = "10"
    elif change == "points":
        cell.metadata.nbgrader.points = 1000
    elif change == "retype":
        cell.cell_type = "raw"
        del cell["outputs"], cell["execution_count"]
    elif change == "unmark":
        cell.metadata.nbgrader.grade = False
    elif change == "solution":
        cell.metadata.nbgrader.solution = True
    else:
        cell.metadata = nbformat.from_dict({})
    clean, _ = graded(notebook, assignment)
    assert cells_of(clean)["test-kl-divergence"] == assignment.cells["test-kl-divergence"]


def test_missing_tests_come_back_behind_their_solution_or_at_the_end(assignment):
    notebook = answered()
    known = cells_of(notebook)
    for name in ("test-log-softmax", "test-kl-divergence", "kl-divergence"):
        notebook.cells.remove(known[name])
    clean, remarks = graded(notebook, assignment)
    names = [c.metadata.get("nbgrader", {}).get("grade_id") for c in clean.cells]
    assert names.index("test-log-softmax") == names.index("log-softmax") + 1
    assert names[-1] == "test-kl-divergence"
    assert [r for r in remarks if "test-log-softmax" in r] == [
        "cell test-log-softmax was missing; it was put back"
    ]
    assert "cell kl-divergence was missing" in remarks


def test_of_copies_the_last_counts_and_the_others_stay_ordinary(assignment):
    notebook = answered()
    copy = nbformat.from_dict(cells_of(notebook)["log-softmax"])
    first = nbformat.v4.new_code_cell("first = True", metadata=copy.metadata)
    notebook.cells.insert(0, first)
    notebook.cells.append(
        nbformat.v4.new_code_cell("1", metadata=cells_of(notebook)["test-log-softmax"].metadata)
    )
    clean, remarks = graded(notebook, assignment)
    assert clean.cells[0].source == "first = True" and not clean.cells[0].metadata
    assert cells_of(clean)["log-softmax"].source == copy.source
    names = [c.metadata.nbgrader.grade_id for c in clean.cells if "nbgrader" in c.metadata]
    assert sorted(names) == sorted(assignment.cells)
    assert "cell log-softmax is there 2 times; the last one counts" in remarks


def test_another_notebook_is_told_from_an_empty_one(assignment):
    with pytest.raises(ValueError, match="another notebook"):
        graded(released("01-derivation"), assignment)


def test_another_kernel_is_a_remark(assignment):
    notebook = answered()
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}
    )
    assert "another kernel (ir)" in parsed(notebook)[1][0]
    notebook.metadata.kernelspec = {"name": "my-venv", "display_name": "mine", "language": "python"}
    assert not parsed(notebook)[1]


def test_lone_surrogates_are_replaced_and_pictures_that_can_hold_a_script_dropped():
    png, jpeg = picture("PNG"), picture("JPEG")
    huge = base64.b64encode(base64.b64decode(jpeg) + bytes(ATTACHED_CAP)).decode()
    cell = {
        "cell_type": "markdown", "source": "\ud800 \0",
        "attachments": {
            "a.png": {"image/png": png}, "b.svg": {"image/svg+xml": "<svg onload=x>"}, "c.jpg": {"image/jpeg": jpeg},
            "no.png": {"image/png": "aGk="}, "no.jpg": {"image/jpeg": png}, "huge.jpg": {"image/jpeg": huge},
            "cut.jpg": {"image/jpeg": jpeg[:40]}, "none": 7,
        },
    }  # fmt: skip
    (kept,), _ = parse(json.dumps({"cells": [cell], "nbformat": 4, "metadata": {}}).encode())
    assert kept.source == "? \N{REPLACEMENT CHARACTER}"
    assert kept.attachments == {"a.png": {"image/png": png}, "c.jpg": {"image/jpeg": jpeg}}
