"""For tests of grading: a class's folders, and a session that runs a student's cells in this very process."""

import base64
import concurrent.futures
import contextlib
import functools
import io
from pathlib import Path
from types import SimpleNamespace

import nbformat
import nbgrader.api
from PIL import Image

from course_utils.commands.paths import NOTEBOOKS, SOLUTIONS
from course_utils.grading import run
from course_utils.grading.jobs import run_job

NAME = "00-start-here"
POINTS = 10
LOG_SOFTMAX = "def log_softmax(logits):\n    return logits.log_softmax(-1)"
KL = (
    "def kl_divergence(p_logits, q_logits):\n    p, q = p_logits.log_softmax(-1), q_logits.log_softmax(-1)\n"
    "    return (p.exp() * (p - q)).sum(-1)"
)
REVERSE = (  # a known mistake: the reverse direction
    "def kl_divergence(p_logits, q_logits):\n    p, q = p_logits.log_softmax(-1), q_logits.log_softmax(-1)\n"
    "    return (q.exp() * (q - p)).sum(-1)"
)


# What takes a second each time, and is the same each time.
LOAD = functools.cache(run.load_assignment)
_ALEMBIC = functools.cache(nbgrader.api.get_alembic_version)


def grade_quickly(monkeypatch):
    """Grade in one thread of this process, and do once what is the same for every class."""
    monkeypatch.setattr(run, "process_pools", one_thread)
    monkeypatch.setattr(run, "load_assignment", LOAD)
    monkeypatch.setattr(nbgrader.api, "get_alembic_version", _ALEMBIC)


@functools.cache
def _text(folder, name):
    return Path(folder, name, f"{name}.ipynb").read_text()


def released(name=NAME):
    """A fresh copy of a released notebook."""
    return nbformat.reads(_text(NOTEBOOKS, name), as_version=4)


def answered(name=NAME, answers=None):
    """A released notebook with the solutions' answers, or with {grade_id: source}."""
    notebook = released(name)
    solved = cells_of(nbformat.reads(_text(SOLUTIONS, name), as_version=4))
    for grade_id, cell in cells_of(notebook).items():
        if cell.metadata.nbgrader.solution and cell.cell_type == "code":
            cell.source = (answers or {}).get(grade_id, solved[grade_id].source)
    return notebook


def cells_of(notebook):
    """{grade_id: cell}."""
    return {c.metadata.nbgrader.grade_id: c for c in notebook.cells if "nbgrader" in c.metadata}


def hand_in(folder, student, notebook, name=NAME, file=None):
    """Lay a submission (a notebook, text or bytes) into `folder`; returns its path."""
    path = Path(folder, student, name, file or f"{name}.ipynb")
    path.parent.mkdir(parents=True, exist_ok=True)
    data = notebook if isinstance(notebook, (str, bytes)) else nbformat.writes(notebook)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def picture(kind):
    """A picture of two by three pixels, in base64."""
    file = io.BytesIO()
    Image.new("RGB", (2, 3), "red").save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


class SessionHere:
    """A session without a sandbox, in this process: a cell that raises SystemExit ends it."""

    def __init__(self):
        self.names, self.ended, self.ran = {"__name__": "__main__"}, None, []
        self.memory = 0

    def run_cell(self, source, seconds):
        self.ran.append(source)
        text, error = io.StringIO(), None
        try:
            with contextlib.redirect_stdout(text):
                exec(source, self.names)
        except SystemExit:
            self.ended = "the process left by itself"
        except Exception as raised:
            error = str(raised)
        outputs = (
            [{"output_type": "stream", "name": "stdout", "text": text.getvalue()}] if text.getvalue() else []
        )
        return SimpleNamespace(outputs=outputs, error=error)


def function_of(session, name, seconds):
    """The stand-in for a function: here the function itself."""
    if name not in session.names:
        raise NameError(name)

    def call(*args, **kwargs):
        return session.names[name](*args, **kwargs)

    return call


def grade_here(job):
    """`grade_job` without a sandbox."""
    return run_job(job, lambda job, work: work(SessionHere(), function_of))


@contextlib.contextmanager
def one_thread(workers):
    """In the place of `process_pools`: a thread."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        yield lambda: pool, 1
