"""What all tests share: in which order and where they run, a warm sandbox, and the kill table at the end."""

import pytest

from course_utils.grading.mutants import Outcome, table

PARTED = ("tests/test_checks.py", "tests/test_notebooks.py")  # the longest, by exercise and by notebook
# Minutes in few tests: a worker that came to one of these last would work on alone.
FIRST = (
    "tests/test_notebooks.py",
    "tests/test_nbgrader.py",
    "tests/test_training.py",
    "tests/test_attacks_sandbox.py",
    "tests/test_attacks_grading.py",
    "tests/test_service_schemathesis.py",
    "tests/test_service_postgres.py",
    "tests/test_iteration_retrain.py",
    "tests/test_service.py",
)
# Exercises of tests/test_checks.py in which programs run into time limits.
WAITING = ("overfit-verifier", "bug-06")


def pytest_xdist_make_scheduler(config, log):
    """A file stays with one worker, so that what its tests share is made once; the longest two are parted."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        # not by the mark xdist_group: pytest 9.2 lets no plugin rename a test, so xdist 3.8 ignores it silently
        def _split_scope(self, nodeid):
            file, _, test = nodeid.partition("::")
            _, parameters, values = test.partition("[")
            return f"{file} {values.rstrip(']').split('/')[0]}" if parameters and file in PARTED else file

    return ByFile(config, log)


def pytest_collection_modifyitems(items):
    """The long ones first and the small parts of test_checks.py last, so that the workers end together."""

    def place(item):
        file = item.nodeid.partition("::")[0]
        if file == "tests/test_checks.py":
            return 1 if any(f"[{exercise}" in item.nodeid for exercise in WAITING) else 3
        return 0 if file in FIRST else 2

    items.sort(key=place)


def pytest_terminal_summary(terminalreporter):
    """The tests of the grader itself as a table: for each exercise how many of its right answers the check
    accepts, and how many of its wrong ones it rejects and names, on all seeds."""
    outcomes = [
        Outcome(*value, words="see its test")
        for result in ("passed", "failed")
        for report in terminalreporter.stats.get(result, [])
        for key, value in getattr(report, "user_properties", ())
        if key == "kill"
    ]
    if outcomes:
        terminalreporter.section("kill table")
        for line in table(outcomes):
            terminalreporter.write_line(line)


@pytest.fixture(scope="module")
def zygote(tmp_path_factory):
    """A warm parent of sandboxes with the package that students get, its usual limits and imports."""
    from sandbox import require_sandbox

    from course_utils.grading import package
    from course_utils.grading.sealed import Zygote

    require_sandbox()
    with Zygote(package.build(tmp_path_factory.mktemp("package") / "student")) as made:
        yield made
