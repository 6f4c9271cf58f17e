"""The solved notebooks in the sandbox: every answer of the course earns full points there, experiments skipped."""

import pytest
from sandbox import require_sandbox

from course_utils.commands.paths import SOLUTIONS, assignments
from course_utils.grading import package
from course_utils.grading.assignment import load_assignment
from course_utils.grading.jobs import Job, run_job
from course_utils.grading.remote import stand_in
from course_utils.grading.sealed import Zygote


@pytest.fixture(scope="module")
def zygote(tmp_path_factory):
    require_sandbox()
    with Zygote(package.build(tmp_path_factory.mktemp("package") / "student")) as made:
        yield made


@pytest.mark.parametrize("name", assignments())
def test_a_solved_notebook_earns_all_points(zygote, name):
    def with_session(job, work):
        return zygote.attempt(lambda session: work(session, stand_in), seconds=job.limits.notebook)

    data = (SOLUTIONS / name / f"{name}.ipynb").read_bytes()
    result = run_job(Job("solved", load_assignment(name), data, seed=4), with_session)
    assert result.status == "graded"
    assert result.reason == ""
    lost = {v.exercise: v.message for v in result.verdicts if v.score < v.max_score}
    assert lost == {}
