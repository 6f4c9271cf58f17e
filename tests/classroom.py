"""A classroom for tests: a course folder with the eight submissions, and nbgrader's commands on it."""

import shutil
import subprocess
import sys

import nbformat

from course_utils.commands.paths import ROOT, SOLUTIONS, kernel_environment

NAME = "01-derivation"
MANUAL = "practice-1"
SPOILED = "implicit-reward"


def open_class(course):
    """Lay a course folder: settings, sources, a release by nbgrader's command, and eight submissions."""
    shutil.copy(ROOT / "nbgrader_config.py", course)
    shutil.copytree(SOLUTIONS / NAME, course / "solutions" / NAME)
    nbgrader(course, "generate_assignment", NAME)
    for student, file, text in submissions(course):
        folder = course / "submitted" / student / NAME
        folder.mkdir(parents=True)
        (folder / file).write_text(text)


def nbgrader(course, *arguments, fails=False):
    """Run one nbgrader command; `fails` where a bad submission makes it report an error at its end."""
    environment = dict(kernel_environment())
    environment.pop(
        "COURSE_GRADING_SEED", None
    )  # drawn for each submission, as in a class without a set seed
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert fails or done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def submissions(course):
    """(student, file name, text) of the eight."""
    released = (course / "notebooks" / NAME / f"{NAME}.ipynb").read_text()
    file = f"{NAME}.ipynb"

    def changed(change, start=None):
        notebook = nbformat.reads(start or perfect, as_version=4)
        cells = {c.metadata.nbgrader.grade_id: c for c in notebook.cells if "nbgrader" in c.metadata}
        change(notebook, cells)
        return nbformat.writes(notebook)

    def answer(notebook, cells):
        for cell in nbformat.read(SOLUTIONS / NAME / file, as_version=4).cells:
            if cell.metadata.get("nbgrader", {}).get("solution") and cell.cell_type == "code":
                cells[cell.metadata.nbgrader.grade_id].source = cell.source
        cells[MANUAL].source = "The reward is expressed by the policy, so the partition function cancels."

    def spoil(source):
        def change(notebook, cells):
            cells[SPOILED].source = source

        return change

    def delete_test(notebook, cells):
        notebook.cells.remove(cells[f"test-{SPOILED}"])

    perfect = changed(answer, released)
    signature = "def implicit_reward(policy_logp, ref_logp, beta):\n"
    return [
        ("perfect", file, perfect),
        ("blank", file, released),
        ("wrong-sign", file, changed(spoil(signature + "    return beta * (ref_logp - policy_logp)"))),
        (
            "wrong-dtype",
            file,
            changed(spoil(signature + "    return beta * (policy_logp - ref_logp).double()")),
        ),
        ("deleted", file, changed(delete_test)),
        ("renamed", "my homework.ipynb", perfect),
        ("invalid", file, perfect[: len(perfect) // 2]),
        ("endless", file, changed(spoil(signature + "    while True:\n        pass"))),
    ]
