"""`make test`: the suite, then nbval over the solved notebooks, all without network.

The suite executes every released notebook too, and any error in it fails: nbval without outputs to compare adds nothing.
"""

import os
import sys

from course_utils.commands import kernel_sockets, offline
from course_utils.commands.execute import SEED
from course_utils.commands.paths import ROOT, SOLUTIONS, assignments, kernel_environment

NBVAL_TIMEOUT = "400"  # seconds a cell, enough on a busy machine


def run_tests(browser=False):
    """Run the tests; returns 0 where all passed. `browser`: only those that drive Chromium."""
    solved = [SOLUTIONS / name / f"{name}.ipynb" for name in assignments()]
    # the largest run longest: they begin first, so that the workers end together
    solved.sort(key=lambda file: -file.stat().st_size)
    nbval = ["--nbval-cell-timeout", NBVAL_TIMEOUT, "-p", "no:cacheprovider", "-p", kernel_sockets.__name__]
    # tests/conftest.py says what stays together and what comes first; a notebook is one file
    workers = ["-n", "2", "--no-loadscope-reorder", "--dist"]
    phases = (
        [("the browser", ["tests/test_browser.py"], "fast")]
        if browser
        else [
            ("the suite", ["tests", "-m", "not browser", *workers, "loadscope"], "fast"),
            (
                "solved notebooks, outputs compared",
                ["--nbval", *nbval, *workers, "loadfile", *map(str, solved)],
                "default",
            ),
        ]
    )
    os.chdir(ROOT)
    failed = []
    for title, options, scale in phases:
        print(f"== {title} (COURSE_SCALE={scale})", flush=True)
        environment = kernel_environment() | SEED | {"COURSE_SCALE": scale}
        if offline.run([sys.executable, "-m", "pytest", "-q", *options], environment):
            failed.append(title)
    print(f"failed: {'; '.join(failed)}" if failed else "all passed")
    return int(bool(failed))
