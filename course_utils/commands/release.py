"""`make release`: the bundle for students, build/beyond-rlhf-students.tar.gz.

What goes in: the released notebooks and the package, so that notebooks, visible checks, experiments and JupyterLab work
without anything else. A visible check compares with a reference, and an experiment below an unsolved exercise goes on
with the course's own function; so those modules are in it, as they are in the package itself, and an answer that calls
them earns nothing. What stays here: solutions/ and the anchor answers in it, the hidden test cells, the grader, the
commands and the seed that build and grade, the tests. The audit's verdicts and figures, which only grading looks at,
are blanked.
"""

import ast
import io
import tarfile

from course_utils.checks.exercises.quiz_claims import Claim
from course_utils.commands.paths import NOTEBOOKS, ROOT

NAME = "beyond-rlhf"
BUNDLE = ROOT / "build" / f"{NAME}-students.tar.gz"
COMMANDS = ("__init__.py", "paths.py", "lab.py", "serve.py", "report.py", "retrain.py")  # those for students
FILES = ("LICENSE", "pyproject.toml", "constraints.txt", "environment.yml")
BLANK = {"verdict": "true", "why": "", "figure": 1.0, "tolerance": 1.0, "units": (), "slips": ()}

README = """# Beyond RLHF

A course in interactive notebooks on alignment beyond RLHF.

    make lab        # sets up .venv on the first call, then opens JupyterLab on your copies in work/

Without make: `python3 -m venv .venv`, `.venv/bin/python -m pip install -c constraints.txt -e .`, and
`.venv/bin/python -m course_utils lab`. Start with 00-start-here.
"""
MAKEFILE = """PYTHON ?= python3
.PHONY: lab
lab: .venv/installed
\t.venv/bin/python -m course_utils lab

.venv/installed: pyproject.toml constraints.txt
\t$(PYTHON) -m venv .venv
\t.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
\ttouch $@
"""
MAIN = '''"""python -m course_utils COMMAND: JupyterLab on your copies, and the service of notebook 04."""

import argparse
import sys

from course_utils.commands import lab, report, retrain, serve

parser = argparse.ArgumentParser(prog="python -m course_utils", description=__doc__)
commands = parser.add_subparsers(dest="command", required=True)
commands.add_parser("lab").add_argument("options", nargs="*")
for command in (serve, report, retrain):
    command.add_arguments(commands.add_parser(command.__name__.rpartition(".")[2]))
asked = parser.parse_args()
run = {"serve": serve.run_service, "report": report.run_report, "retrain": retrain.run_retraining}
sys.exit(lab.open_lab(asked.options) if asked.command == "lab" else run[asked.command](asked))
'''
CONFIG = """c = get_config()  # noqa: F821 - defined by traitlets when it loads this file

c.CourseDirectory.course_id = "beyond-rlhf"
"""


def run_release(exchange=None):
    """Write the bundle; returns 0. `exchange`: folder of nbgrader's exchange, for the students' settings."""
    files = bundle(exchange)
    BUNDLE.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(BUNDLE, "w:gz") as archive:
        for name in sorted(files):
            about = tarfile.TarInfo(f"{NAME}/{name}")
            about.size, about.mode = len(files[name]), 0o644
            archive.addfile(about, io.BytesIO(files[name]))
    print(f"{BUNDLE}: {len(files)} files")
    return 0


def bundle(exchange=None):
    """{path in the bundle: bytes}."""
    files = {name: (ROOT / name).read_bytes() for name in FILES}
    config = CONFIG + (f"c.Exchange.root = {exchange!r}\n" if exchange else "")
    for name, text in (("README.md", README), ("Makefile", MAKEFILE), ("nbgrader_config.py", config)):
        files[name] = text.encode()
    for path in sorted(NOTEBOOKS.glob("*/*.ipynb")):
        files[f"notebooks/{path.parent.name}/{path.name}"] = path.read_bytes()
    package = ROOT / "course_utils"
    for path in sorted(package.rglob("*")):
        inside = path.relative_to(package)
        if path.suffix not in (".py", ".json") or inside.parts[0] == "grading":
            continue
        if inside.parts[0] == "commands" and path.name not in COMMANDS:
            continue
        data = path.read_bytes()
        if path.name.startswith("quiz_claims_"):
            data = without_answers(data.decode()).encode()
        files[f"course_utils/{inside.as_posix()}"] = data
    files["course_utils/__main__.py"] = MAIN.encode()
    return files


def without_answers(source):
    """A module of claims with what decides them blanked; comments go too."""
    return ast.unparse(_Blank().visit(ast.parse(source))) + "\n"


class _Blank(ast.NodeTransformer):
    def visit_Call(self, node):
        if getattr(node.func, "id", "") != "Claim":
            return self.generic_visit(node)
        fields = list(Claim.__dataclass_fields__)
        given = dict(zip(fields, node.args, strict=False)) | {word.arg: word.value for word in node.keywords}
        for name, value in BLANK.items():
            if name in given:
                given[name] = ast.Constant(value) if value != () else ast.Tuple([], ast.Load())
        return ast.Call(node.func, [], [ast.keyword(name, value) for name, value in given.items()])
