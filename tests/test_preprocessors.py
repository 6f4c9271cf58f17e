"""What the course adds to nbgrader's release: find-the-bug cells keep their bug, others their stub."""

import nbformat
import pytest

from course_utils.grading.preprocessors import ClearSolutionsButShowBugs

CELL = '''def share(votes):
    """The share of thumbs-up."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # if votes:
    #     # all of them
    #     return votes.count("up")
    #
    # return 0.0
    ### MENDED
    return votes.count("up") / len(votes)
    ### END SOLUTION


print(share(["up"]))'''
RELEASED = '''def share(votes):
    """The share of thumbs-up."""
    if votes:
        # all of them
        return votes.count("up")

    return 0.0


print(share(["up"]))'''


def released(source, solution=True):
    mark = {
        "grade": False, "grade_id": "bug-99", "locked": False, "schema_version": 3,
        "solution": solution, "task": False,
    }  # fmt: skip
    cell = nbformat.v4.new_code_cell(source, metadata={"nbgrader": mark})
    notebook = nbformat.v4.new_notebook(cells=[cell])
    return ClearSolutionsButShowBugs().preprocess(notebook, {})[0].cells[0].source


def test_the_code_with_the_bug_stands_in_the_place_of_the_region():
    assert released(CELL) == RELEASED


def test_a_whole_function_can_be_shown():
    whole = "### BEGIN SOLUTION\n### AS FOUND\n# def f(x):\n#     return x\n### MENDED\ndef f(x):\n    return -x\n### END SOLUTION"
    assert released(whole) == "def f(x):\n    return x"


def test_other_solutions_are_cleared_as_always():
    plain = "def f(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION"
    assert released(plain) == "def f(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"


@pytest.mark.parametrize(
    "source",
    [
        CELL.replace("    ### MENDED\n", ""),
        CELL.replace("    ### END SOLUTION\n", ""),
        CELL.replace("    # return 0.0", "    return 0.0"),
        CELL + "\n### BEGIN SOLUTION\n### END SOLUTION",
    ],
)
def test_a_misformed_region_stops_the_release(source):
    with pytest.raises(RuntimeError, match="AS FOUND"):
        released(source)


def test_nothing_is_shown_from_a_cell_that_is_no_solution():
    with pytest.raises(RuntimeError, match="solution cell"):
        released(CELL, solution=False)
