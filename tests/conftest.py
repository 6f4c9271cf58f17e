"""What all tests share: which of them stay together in one worker, and the kill table at the end of a run."""

from collections import defaultdict

COLUMNS = ("reference", "accepted", "rejected", "named")


PARTED = ("tests/test_checks.py", "tests/test_notebooks.py")  # the longest, by exercise and by notebook


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


def pytest_terminal_summary(terminalreporter):
    """The tests of the grader itself as a table: for each exercise how many of its right answers the check
    accepts, and how many of its wrong ones it rejects and names, on all seeds."""
    counts = defaultdict(lambda: {column: [0, 0] for column in COLUMNS})
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for key, value in getattr(report, "user_properties", ()):
                if key == "kill":
                    exercise, column, holds = value
                    counts[exercise][column][0] += bool(holds)
                    counts[exercise][column][1] += 1
    if not counts:
        return
    total = {column: [sum(row[column][i] for row in counts.values()) for i in (0, 1)] for column in COLUMNS}
    width = max(map(len, counts))
    terminalreporter.section("kill table")
    terminalreporter.write_line(
        f"{'exercise':{width}}  reference   right answers  wrong answers  wrong answers"
    )
    terminalreporter.write_line(f"{'':{width}}  accepted    accepted       rejected       named")
    for name, row in [*counts.items(), ("all", total)]:
        cells = [f"{held}/{all_}" if all_ else "-" for held, all_ in (row[column] for column in COLUMNS)]
        terminalreporter.write_line(
            f"{name:{width}}  {cells[0]:10}  {cells[1]:13}  {cells[2]:13}  {cells[3]}"
        )
