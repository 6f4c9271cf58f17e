"""The bundle for students: unpacked, searched for what must not be in it, and used."""

import json
import subprocess
import sys
import tarfile

import nbformat
import pytest

from course_utils.checks import catalogue
from course_utils.checks.exercises import final_quiz
from course_utils.commands import release
from course_utils.commands.execute import SEED
from course_utils.commands.paths import SOLUTIONS, assignments


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The folder of an unpacked bundle."""
    folder = tmp_path_factory.mktemp("student")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "BUNDLE", folder / "bundle.tar.gz")
        assert release.run_release("/srv/exchange") == 0
    with tarfile.open(folder / "bundle.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "beyond-rlhf"


@pytest.fixture(scope="module")
def texts(unpacked):
    """{path: text} of all files in it."""
    return {
        str(path.relative_to(unpacked)): path.read_text(encoding="utf-8")
        for path in unpacked.rglob("*")
        if path.is_file()
    }


def test_solutions_grader_builder_and_tests_are_not_in_it(texts):
    assert sorted(p for p in texts if p.startswith("notebooks/")) == [
        f"notebooks/{n}/{n}.ipynb" for n in assignments()
    ]
    away = ("solutions/", "tests/", "course_utils/grading/", ".ci/", ".git")
    assert not [path for path in texts if path.startswith(away)]
    assert not [path for path in texts if path.startswith("course_utils/commands/") and "grade" in path]
    assert not [
        path for path, text in texts.items() if "course_utils.grading" in text or "import grading" in text
    ]
    assert not [path for path, text in texts.items() if SEED["COURSE_GRADING_SEED"] in text]


def test_the_notebooks_hold_no_hidden_test_and_no_solution(texts):
    for name in assignments():
        text = texts[f"notebooks/{name}/{name}.ipynb"]
        released = {c.id: c.source for c in nbformat.reads(text, as_version=4).cells}
        assert "HIDDEN" not in text and "BEGIN SOLUTION" not in text and 'grade(\\"' not in text
        for cell in nbformat.read(SOLUTIONS / name / f"{name}.ipynb", as_version=4).cells:
            if "BEGIN SOLUTION" in cell.source:
                assert released[cell.id] != cell.source


def test_anchor_answers_and_the_audits_verdicts_are_nowhere(texts):
    everything = "\n".join(texts.values())
    for name in assignments():
        for cell in nbformat.read(SOLUTIONS / name / f"{name}.ipynb", as_version=4).cells:
            if cell.cell_type == "markdown" and "### BEGIN SOLUTION" in cell.source:
                answer = cell.source.split("### BEGIN SOLUTION")[1].split("### END SOLUTION")[0]
                lines = [line for line in answer.splitlines() if len(line) > 60]
                assert lines and not [
                    line for line in lines if json.dumps(line)[1:-1] in everything or line in everything
                ]
    assert len(final_quiz.CLAIMS) >= 40
    claims = "\n".join(text for path, text in texts.items() if "quiz_claims" in path)
    assert not [claim.id for claim in final_quiz.CLAIMS if len(claim.why) > 20 and claim.why in claims]
    assert not [slip for claim in final_quiz.CLAIMS for slip in claim.slips if slip.sentence in everything]


USE = """
import torch
from course_utils.checks import check, hint, use, catalogue
from course_utils.checks.exercises.final_quiz import CLAIMS
print(check("log-softmax", lambda logits: logits.log_softmax(-1)))
print(check("claim-01", lambda: ("imprecise", 3.0)))
hint("claim-01")
def log_softmax(logits):
    raise NotImplementedError
print(use("log-softmax", log_softmax)(torch.zeros(2)).tolist())
print({claim.verdict for claim in CLAIMS}, {claim.figure for claim in CLAIMS})
print(sum(len(catalogue.assignment(name)) for name in catalogue.MODULES))
"""


def test_checks_hints_and_experiments_work_in_it(unpacked, tmp_path):
    def run(*words):
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path, env={"PYTHONPATH": str(unpacked), "PATH": ""}, capture_output=True, text=True,
        )  # fmt: skip

    done = run("-c", USE)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "4.0\n" in done.stdout and "log-softmax: 4 of 4 points" in done.stdout
    assert "decided when it is graded" in done.stdout
    assert "goes on with the course's own" in done.stdout
    assert "{'true'} {None, 1.0}" in done.stdout or "{'true'} {1.0, None}" in done.stdout
    count = sum(len(catalogue.assignment(name)) for name in catalogue.MODULES)
    assert done.stdout.splitlines()[-1] == str(count)
    helped = run("-m", "course_utils", "--help")
    assert helped.returncode == 0 and "lab" in helped.stdout, helped.stderr
    assert run("-m", "course_utils", "grade").returncode == 2
