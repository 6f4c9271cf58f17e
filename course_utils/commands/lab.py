"""`make lab`: JupyterLab on the student's own copies in work/, which nothing overwrites."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

from course_utils.commands.paths import NOTEBOOKS, ROOT, WORK, kernel_environment

START = "00-start-here"


def open_lab(options=()):
    """Lay the copies, then start JupyterLab on the start page; returns its exit status."""
    for line in lay_copies():
        print(line)
    return subprocess.run(lab_command(ROOT, options), cwd=ROOT, env=kernel_environment()).returncode


def lab_command(root, options=()):
    """The command that starts JupyterLab in a course folder, on the start page."""
    page = f"/lab/tree/work/{START}/{START}.ipynb"
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return [
        sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}", f"--LabApp.default_url={page}",
        *(["--allow-root"] if as_root else []), *options,
    ]  # fmt: skip


def lay_copies(notebooks=NOTEBOOKS, work=WORK):
    """Copy each released notebook to work/ once; a newer release is laid beside the student's copy.

    Returns:
        What was done, a line each.
    """
    work.mkdir(exist_ok=True)
    record = work / "releases.json"
    laid = json.loads(record.read_text()) if record.exists() else {}
    lines = []
    for release in sorted(notebooks.glob("*/*.ipynb")):
        name, digest = release.stem, hashlib.sha256(release.read_bytes()).hexdigest()
        own = work / name / f"{name}.ipynb"
        own.parent.mkdir(exist_ok=True)
        if not own.exists():
            shutil.copyfile(release, own)
        elif laid.get(name) != digest:
            beside = own.with_name(f"{name}.newer-{digest[:8]}.ipynb")
            shutil.copyfile(release, beside)
            lines.append(
                f"a newer release of {name} lies beside your copy: {beside.relative_to(work.parent)}"
            )
        laid[name] = digest
    record.write_text(json.dumps(laid, indent=1))
    return lines
