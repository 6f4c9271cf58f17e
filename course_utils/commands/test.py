"""`make test`: the suite, then nbval over the solved notebooks, all without network.

The suite executes every released notebook too, and any error in it fails: nbval without outputs to compare adds nothing.
"""

import os
import sys

from course_utils.commands import kernel_sockets, offline
from course_utils.commands.execute import SEED
from course_utils.commands.paths import ROOT, assignments, kernel_environment

NBVAL_TIMEOUT = "400"  # seconds a cell, enough on a busy machine


def run_tests(browser=False):
    """Run the tests; returns 0 where all passed. `browser`: only those that drive Chromium."""
    solved = [f"solutions/{name}/{name}.ipynb" for name in assignments()]
    nbval = ["--nbval-cell-timeout", NBVAL_TIMEOUT, "-p", "no:cacheprovider", "-p", kernel_sockets.__name__]
    workers = ["-n", "2", "--dist"]  # tests/conftest.py says what stays together; a notebook is one file
    phases = (
        [("the browser", ["tests", "-m", "browser"], "fast")]
        if browser
        else [
            ("the suite", ["tests", "-m", "not browser", *workers, "loadscope"], "fast"),
            (
                "solved notebooks, outputs compared",
                ["--nbval", *nbval, *workers, "loadfile", *solved],
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
