"""`python -m course_utils doctor`: what is missing on this machine, and how to mend it."""

import re
import shutil
import sys
from importlib import metadata

from course_utils.commands import offline
from course_utils.commands.paths import ROOT, assignments
from course_utils.scale import scale

GIB = 2**30


def examine():
    """Print one line a finding; returns 1 where something needed is missing, else 0."""
    findings = [
        python_version(sys.version_info),
        *packages(installed, (ROOT / "constraints.txt").read_text()),
        torch_build(installed("torch") or ""),
        memory(total_memory()),
        dial(),
        program("chromium", "the browser tests (make test-browser)", "apt-get install chromium"),
        program(
            "bwrap",
            "sealed grading, and tests without network for a normal user",
            "apt-get install bubblewrap",
        ),
        network(offline.namespace()),
        *notebooks(),
    ]
    words = {"ok": "ok      ", "note": "note    ", "missing": "MISSING "}
    for level, text in findings:
        print(words[level] + text)
    return int(any(level == "missing" for level, _ in findings))


def installed(name):
    """The installed version of a distribution, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def python_version(version):
    """Python 3.11 or 3.12."""
    text = f"Python {version[0]}.{version[1]}"
    if (3, 11) <= tuple(version[:2]) <= (3, 12):
        return "ok", text
    return (
        "missing",
        f"{text}: the course needs 3.11 or 3.12. Install one, then `make course PYTHON=python3.12`",
    )


def packages(version_of, constraints):
    """Each package of the constraints, with its exact version."""
    wanted = dict(re.findall(r"^([\w.-]+)==(\S+)$", constraints, flags=re.M))
    wrong = []
    for name, version in wanted.items():
        seen = version_of(name)
        if seen is None or seen.split("+")[0] != version:
            wrong.append(f"{name} {seen or 'is absent'}, wanted {version}")
    if not wrong:
        return [("ok", f"{len(wanted)} packages as in constraints.txt")]
    mend = "run `make setup`, or pip install -c constraints.txt -e '.[test]'"
    if len(wrong) > 5:
        wrong = [f"{len(wrong)} of {len(wanted)} packages ({wrong[0]}; ...)"]
    return [("missing", f"{text}: {mend}") for text in wrong]


def torch_build(version):
    """A CUDA build of torch works on a CPU but takes gigabytes."""
    if not version:
        return "missing", "torch is not installed: run `make setup`"
    if "+cu" in version and not shutil.which("nvidia-smi"):
        return "note", (
            f"torch {version} is a CUDA build and this machine shows no GPU: it works, but takes gigabytes. "
            "For the small one: pip install torch --index-url of PyTorch's CPU wheels (see README)"
        )
    return "ok", f"torch {version}"


def total_memory():
    """The machine's memory in bytes, or None where psutil is not installed."""
    try:
        import psutil
    except ImportError:
        return None
    return psutil.virtual_memory().total


def memory(total):
    """Notebook 02 peaks at about 1.2 GiB; JupyterLab and a browser want as much again."""
    if total is None:
        return "note", "memory not looked at: psutil is not installed"
    text = f"{total / GIB:.0f} GiB of memory"
    if total < 3.5 * GIB:
        return "missing", f"{text}: at least 4 GiB are needed; close other programs, or set COURSE_SCALE=fast"
    return "ok", text


def dial():
    """COURSE_SCALE is one of its three words."""
    try:
        return "ok", f"COURSE_SCALE is {scale()}"
    except ValueError as error:
        return "missing", f"{error}: unset it"


def program(name, purpose, mend):
    """An optional program."""
    if shutil.which(name):
        return "ok", f"{name} found"
    return "note", f"no {name}: {purpose} will be skipped. On Debian or Ubuntu: {mend}"


def network(prefix):
    """Whether the tests can be run without network."""
    if prefix:
        return "ok", f"tests run without network ({prefix[0]})"
    return (
        "note",
        "no network namespace can be made here: the tests run, but do not prove that no network is needed",
    )


def notebooks():
    """Whether each product belongs to its source."""
    try:
        from course_utils.commands.build import stale  # slow to import
    except ImportError as error:
        return [("note", f"notebooks not looked at: {error}")]
    found = [
        ("missing", f"stale notebook: {text}. Run `make notebooks`")
        for n in assignments()
        for text in stale(n)
    ]
    return found or [("ok", f"{len(assignments())} notebooks belong to their sources")]
