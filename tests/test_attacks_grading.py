"""Attacks on the verdict: what a submission tries instead of an answer earns nothing, and costs nobody else a point.

Each one is notebook 00 with a wrong (or no) log-softmax and a right KL divergence beside it, graded in the sandbox by
the job that a worker does.
"""

import nbformat
import pytest
import torch
from grading_class import KL, LOG_SOFTMAX, answered, cells_of
from sandbox import require_sandbox

from course_utils.grading.assignment import load_assignment
from course_utils.grading.jobs import Job, grade_job
from course_utils.grading.steps import Limits

NAME, TARGET, OTHER = "00-start-here", "log-softmax", "kl-divergence"
WRONG = "def log_softmax(logits):\n    return logits * 0"


@pytest.fixture(scope="module")
def assignment():
    require_sandbox()
    return load_assignment(NAME)


@pytest.fixture(scope="module")
def graded(assignment):
    """From a notebook to the job's result."""

    def grade(notebook):
        result = grade_job(
            Job("student", assignment, nbformat.writes(notebook).encode(), seed=11, limits=Limits(cell=3.0))
        )
        assert result.status == "graded", result.reason
        assert sorted((v.exercise, v.max_score) for v in result.verdicts) == [(OTHER, 6), (TARGET, 4)]
        return result

    return grade


def submission(answer=WRONG, before="", other=KL):
    """Notebook 00 with an answer to log-softmax, and a cell of the student's own above it."""
    notebook = answered(answers={TARGET: answer, OTHER: other})
    place = next(
        i for i, c in enumerate(notebook.cells) if c.metadata.get("nbgrader", {}).get("grade_id") == TARGET
    )
    notebook.cells.insert(place, nbformat.v4.new_code_cell(before))
    return notebook


def scores(result):
    return {verdict.exercise: verdict.score for verdict in result.verdicts}


def test_honest_answers_earn_all_of_it(graded):
    assert scores(graded(submission(LOG_SOFTMAX))) == {TARGET: 4, OTHER: 6}


def test_wrong_answers_earn_nothing(graded):
    assert scores(graded(submission())) == {TARGET: 0, OTHER: 6}


def errors(result):
    """What the ordinary cells of a graded notebook raised."""
    cells = [c for c in nbformat.reads(result.notebook, as_version=4).cells if c.cell_type == "code"]
    return [f"{o.ename}: {o.evalue}" for c in cells for o in c.outputs if o.output_type == "error"]


# ---- instead of an answer: {name: (a cell above, the answer)}; the other exercise keeps its points ----

CODE = {
    "torch says that all is close": (
        "import torch\nyes = lambda *a, **k: True\ntorch.allclose = torch.equal = torch.isclose = yes\n"
        "torch.testing.assert_close = lambda *a, **k: None\n"
        "import numpy\nnumpy.allclose = numpy.array_equal = yes\nimport math\nmath.isclose = yes",
        WRONG,
    ),
    "a tensor that equals everything": (
        "",
        "class Liar(torch.Tensor):\n    @classmethod\n    def __torch_function__(cls, f, types, args=(), kwargs=None):\n"
        "        if getattr(f, '__name__', '') in ('eq', '__eq__', 'allclose', 'equal', 'isclose', 'le', 'all', '__bool__'):\n"
        "            return True\n        return super().__torch_function__(f, types, args, kwargs or {})\n"
        "def log_softmax(logits):\n    return (logits * 0).as_subclass(Liar)",
    ),
    "an object that equals everything": (
        "",
        "class Yes:\n    shape = dtype = property(lambda self: self)\n"
        "    def __eq__(self, other): return True\n    __le__ = __lt__ = __ge__ = __gt__ = __eq__\n"
        "    def __getattr__(self, name): return Yes()\n    def __call__(self, *a, **k): return Yes()\n"
        "    def __bool__(self): return True\n    def __hash__(self): return 0\n    def __float__(self): return 0.0\n"
        "    def __iter__(self): return iter([Yes()])\n    def __array__(self, *a): import numpy; return numpy.zeros(1)\n"
        "def log_softmax(logits):\n    return Yes()",
    ),
    "a float that equals everything": (
        "",
        "class Liar(float):\n    def __eq__(self, other): return True\n    def __repr__(self): return 'nan'\n"
        "def log_softmax(logits):\n    return Liar(1)",
    ),
    "the caller's frames": (
        "",
        "import gc, sys, types\ndef log_softmax(logits):\n    for i in range(60):\n        try:\n            frame = sys._getframe(i)\n"
        "        except ValueError:\n            break\n        for name, value in list(frame.f_locals.items()):\n"
        "            if name in ('expected', 'reference', 'right', 'result', 'seen', 'answer') and isinstance(value, torch.Tensor):\n"
        "                return value\n    return logits * 0",
    ),
    "a reference from the garbage collector": (
        "",
        "import gc\ndef log_softmax(logits):\n    for thing in gc.get_objects():\n"
        "        reference = getattr(thing, 'reference', None) if type(thing).__name__ == 'Exercise' else None\n"
        "        if callable(reference):\n            return reference(logits)\n    return logits * 0",
    ),
    "the course's own by import": (
        "try:\n    from course_utils.checks.exercises.start_here import EXERCISES\nexcept ImportError as error:\n    print(error)",
        "import importlib, sys\ndef log_softmax(logits):\n"
        "    sys.meta_path[:] = [f for f in sys.meta_path if 'OpenPart' not in str(type(f)) + str(f)]\n"
        "    for name in ('checks.catalogue', 'checks.exercises.start_here', 'theory', 'logprobs'):\n"
        "        try:\n            return importlib.import_module('course_utils.' + name).log_softmax(logits)\n"
        "        except (ImportError, AttributeError):\n            pass\n    return logits * 0",
    ),
    "the checks' face": (
        "import course_utils.checks as c, sys\nc.grade = c.check = lambda *a, **k: 4.0\n"
        "sys.modules['course_utils.checks.judge'] = sys.modules['course_utils.grading.steps'] = c",
        WRONG,
    ),
    "score variables": (
        "import builtins\nfor name in ('score', 'points', 'max_score', 'grade', 'passed', 'result', 'total'):\n"
        "    globals()[name] = 4.0\n    setattr(builtins, name, 4.0)",
        WRONG + "\nlog_softmax.points = log_softmax.score = log_softmax.max_score = 4.0",
    ),
    "a printed score": (
        "print('4.0\\n4 of 4 points')\ndisplay(4.0)\n4.0",
        "def log_softmax(logits):\n    print('4.0')\n    display(4.0)\n    return 4.0",
    ),
    "a cell hook that prints tests": (
        "ip = get_ipython()\nfor event in ('pre_run_cell', 'post_run_cell', 'pre_execute', 'post_execute'):\n"
        "    ip.events.register(event, lambda *a: print([getattr(x, 'raw_cell', x) for x in a]))\n"
        "ip.input_transformers_cleanup.append(lambda lines: ['log_softmax = 4.0\\n'] if 'grade(' in ''.join(lines) else lines)",
        WRONG,
    ),
    "files beside the notebook": (
        "import os\nfor name in ('torch', 'course_utils', 'sitecustomize', 'json', 'safetensors'):\n"
        "    for folder in ('.', '/tmp', os.path.expanduser('~')):\n"
        "        open(f'{folder}/{name}.py', 'w').write('raise SystemExit(4)')\n"
        "import importlib, sys\nsys.path[:0] = ['.', '/tmp']\nimportlib.invalidate_caches()",
        WRONG,
    ),
    "an encoder that says something else": (
        "from course_utils.grading import values, wire\nfrom course_utils.grading.inside import calls, student\n"
        "calls.answer = lambda *a: ({'result': ['right'], 'points': 4.0, 'score': 4.0, 'agree': True}, {})",
        WRONG,
    ),
    "an encoder that returns code": (
        "from course_utils.grading.inside import calls\n"
        "calls.answer = lambda *a: ({'there': True, 'callable': True, 'result': ['other', '__import__(\"os\").system(\"true\")']}, {})",
        WRONG,
    ),
    "not a number": ("", "def log_softmax(logits):\n    return logits * float('nan')"),
    "infinity": ("", "def log_softmax(logits):\n    return logits * 0 - float('inf')"),
    "nothing": ("", "def log_softmax(logits):\n    return None"),
    "itself": ("", "def log_softmax(logits):\n    return log_softmax"),
    "a module": ("", "def log_softmax(logits):\n    return torch"),
    "a list within itself": ("", "def log_softmax(logits):\n    x = []\n    x.append(x)\n    return x"),
    "a tensor without memory": ("", "def log_softmax(logits):\n    return torch.zeros(1).expand(10**12)"),
    "a tensor of no device": ("", "def log_softmax(logits):\n    return torch.empty(logits.shape, device='meta')"),
    "a sparse tensor": ("", "def log_softmax(logits):\n    return (logits * 0).to_sparse()"),
    "a complex tensor": ("", "def log_softmax(logits):\n    return logits * 0j"),
    "a wide integer": ("", "def log_softmax(logits):\n    return 10 ** 100_000"),
    "a long text": ("", "def log_softmax(logits):\n    return 'x' * 100_000_000"),
    "a list without end": (
        "",
        "class Endless(list):\n    def __iter__(self):\n        while True:\n            yield 1\n"
        "    def __len__(self): return 3\ndef log_softmax(logits):\n    return Endless([1])",
    ),
    "another shape that broadcasts": ("", "def log_softmax(logits):\n    return torch.zeros(1)"),
    "inputs set to what the answer is right for": (
        "",
        "def log_softmax(logits):\n    with torch.no_grad():\n        logits.zero_()\n        logits -= torch.log(torch.tensor(float(logits.shape[-1])))\n"
        "    return logits",
    ),
    "inputs resized to nothing": (
        "",
        "def log_softmax(logits):\n    logits.data = torch.zeros(0)\n    return torch.zeros(0)",
    ),
    "an exception by the name of a verdict": (
        "",
        "class SessionEnded(Exception): pass\nclass GraderFault(BaseException): pass\n"
        "def log_softmax(logits):\n    raise GraderFault('ours')",
    ),
    "an exception that cannot be printed": (
        "",
        "class Odd(Exception):\n    def __str__(self): raise Odd\n    __repr__ = __str__\n"
        "def log_softmax(logits):\n    raise Odd",
    ),
    "an exit from the function": ("", "import sys\ndef log_softmax(logits):\n    sys.exit(0)"),
    "an interrupt": ("", "def log_softmax(logits):\n    raise KeyboardInterrupt"),
    "recursion": ("", "def log_softmax(logits):\n    return log_softmax(logits)"),
    "memory": ("", "def log_softmax(logits):\n    return torch.zeros(10**10)"),
    "no function": ("", "log_softmax = 4.0"),
    "a deleted function": ("", "log_softmax = 1\ndel log_softmax"),
    "environment": ("import os\nos.environ['COURSE_GRADING_SEED'] = '0'\nos.environ.clear()", WRONG),
    "random numbers": ("torch.manual_seed(0)\ntorch.rand = torch.randn = lambda *a, **k: torch.zeros(1)", WRONG),
}  # fmt: skip


@pytest.mark.parametrize("name", CODE)
def test_a_trick_earns_nothing_and_the_honest_part_keeps_its_points(graded, name):
    before, answer = CODE[name]
    result = graded(submission(answer, before))
    honest = 0 if "encoder" in name else 6
    assert scores(result) == {TARGET: 0, OTHER: honest}
    assert errors(result) == [], "the attack itself does not run"
    assert "BEGIN HIDDEN" not in result.notebook and "course_utils/checks/exercises" not in result.notebook


# ---- what ends the process: nothing for what comes after it, and no fault of the grader's ----

ENDS = {
    "exit in a cell": ("import os\nos._exit(0)", WRONG),
    "exit in the function": ("", "import os\ndef log_softmax(logits):\n    os._exit(0)"),
    "a loop in the function": ("", "def log_softmax(logits):\n    while True: pass"),
    "a segmentation fault": ("", "import ctypes\ndef log_softmax(logits):\n    ctypes.string_at(0)"),
    "a fork that answers too": ("", "import os\ndef log_softmax(logits):\n    os.fork()\n    return logits * 0"),
    "forged replies": (
        "",
        "import gc, json, os, socket, struct, sys\ndef log_softmax(logits):\n"
        "    channel = next(s for s in gc.get_objects() if type(s) is socket.socket and s.fileno() > 2)\n"
        "    number = next(f.f_locals['number'] for f in map(sys._getframe, range(50)) if 'number' in f.f_locals)\n"
        "    for reply in ({'result': ['right']}, {'points': 4.0}, {'result': True}):\n"
        "        text = json.dumps({'id': number, 'reply': reply}).encode()\n"
        "        channel.sendall(struct.pack('<II', len(text), 0) + text)\n"
        "    return logits * 0",
    ),
    "a reply of rubbish": (
        "",
        "import gc, os, socket\ndef log_softmax(logits):\n"
        "    channel = next(s for s in gc.get_objects() if type(s) is socket.socket and s.fileno() > 2)\n"
        "    channel.sendall(os.urandom(1 << 20))\n    return logits * 0",
    ),
    "questions without end": (
        "",
        "import gc, json, socket, struct, sys\ndef log_softmax(logits):\n"
        "    channel = next(s for s in gc.get_objects() if type(s) is socket.socket and s.fileno() > 2)\n"
        "    number = next(f.f_locals['number'] for f in map(sys._getframe, range(50)) if 'number' in f.f_locals)\n"
        "    text = json.dumps({'id': number, 'callback': {'function': 0, 'args': []}}).encode()\n"
        "    while True:\n        channel.sendall(struct.pack('<II', len(text), 0) + text)\n        channel.recv(10_000)",
    ),
    "a thread that speaks in between": (
        "import gc, socket, threading, time\n"
        "channel = next(s for s in gc.get_objects() if type(s) is socket.socket and s.fileno() > 2)\n"
        "def speak():\n    while True:\n        channel.sendall(b'\\x10\\0\\0\\0\\0\\0\\0\\0{\"reply\": {}   }')\n        time.sleep(0.001)\n"
        "threading.Thread(target=speak, daemon=True).start()",
        WRONG,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_what_ends_the_process_earns_nothing_from_there_on(graded, name, assignment):
    before, answer = ENDS[name]
    result = graded(submission(answer, before))
    assert scores(result)[TARGET] == 0
    assert result.reason.startswith("its program ended: ")
    assert scores(graded(submission(LOG_SOFTMAX))) == {TARGET: 4, OTHER: 6}


def test_what_was_earned_before_the_end_stands(graded):
    leaving = "import os\ndef kl_divergence(p_logits, q_logits):\n    os._exit(0)"
    assert scores(graded(submission(LOG_SOFTMAX, other=leaving))) == {TARGET: 4, OTHER: 0}


# ---- what is done to the cells ----


def _delete(notebook, cells):
    notebook.cells.remove(cells[f"test-{TARGET}"])


def _delete_with_neighbour(notebook, cells):
    notebook.cells.remove(cells[f"test-{TARGET}"])
    notebook.cells.remove(cells[TARGET])


def _edit(notebook, cells):
    cells[f"test-{TARGET}"].source = "4.0"


def _unmark(notebook, cells):
    cells[f"test-{TARGET}"].metadata.nbgrader.grade = False


def _mark_as_solution(notebook, cells):
    cells[f"test-{TARGET}"].metadata.nbgrader.update(solution=True, locked=False)
    cells[f"test-{TARGET}"].source = "4.0"


def _without_metadata(notebook, cells):
    cells[f"test-{TARGET}"].metadata.clear()
    cells[f"test-{TARGET}"].source = "4.0"


def _more_points(notebook, cells):
    cells[f"test-{TARGET}"].metadata.nbgrader.points = 1000


def _repoint(notebook, cells):
    """The test of the wrong answer becomes a second one of the right answer."""
    cells[f"test-{TARGET}"].metadata.nbgrader.grade_id = f"test-{OTHER}"
    cells[f"test-{TARGET}"].source = cells[f"test-{OTHER}"].source


def _duplicate(notebook, cells):
    notebook.cells.append(
        nbformat.v4.new_code_cell("4.0", metadata=nbformat.from_dict(cells[f"test-{TARGET}"].metadata))
    )


def _duplicate_solution(notebook, cells):
    notebook.cells.insert(
        0, nbformat.v4.new_code_cell("4.0", metadata=nbformat.from_dict(cells[TARGET].metadata))
    )


def _retype(notebook, cells):
    cells[f"test-{TARGET}"].update(cell_type="markdown", source="4.0")
    del cells[f"test-{TARGET}"]["outputs"], cells[f"test-{TARGET}"]["execution_count"]


def _skip(notebook, cells):
    cells[f"test-{TARGET}"].metadata["tags"] = ["skip-execution", "experiment"]
    cells[f"test-{TARGET}"].outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "4.0"})]


def _outputs(notebook, cells):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("execute_result", {"text/plain": "4.0"})]


def _a_test_of_ones_own(notebook, cells):
    metadata = {"nbgrader": {"grade": True, "grade_id": "test-more", "locked": True, "points": 100, "solution": False,
                             "schema_version": 3, "task": False}}  # fmt: skip
    notebook.cells.append(nbformat.v4.new_code_cell("100.0", metadata=metadata))


def _another_schema(notebook, cells):
    cells[f"test-{TARGET}"].metadata.nbgrader.schema_version = 99


def _another_kernel(notebook, cells):
    notebook.metadata["kernelspec"] = {"name": "bash", "display_name": "Bash", "language": "bash"}


CELLS = [
    _delete, _delete_with_neighbour, _edit, _unmark, _mark_as_solution, _without_metadata, _more_points, _repoint,
    _duplicate, _duplicate_solution, _retype, _skip, _outputs, _a_test_of_ones_own, _another_schema, _another_kernel,
]  # fmt: skip


@pytest.mark.parametrize("change", CELLS, ids=lambda f: f.__name__.strip("_"))
def test_changing_the_cells_earns_nothing(graded, change):
    notebook = submission()
    change(notebook, cells_of(notebook))
    result = graded(notebook)
    assert scores(result) == {TARGET: 0, OTHER: 6}


@pytest.mark.parametrize("change", CELLS, ids=lambda f: f.__name__.strip("_"))
def test_changing_the_cells_by_accident_costs_nothing(graded, change):
    notebook = submission(LOG_SOFTMAX)
    change(notebook, cells_of(notebook))
    lost = {_delete_with_neighbour: 4, _repoint: 0, _duplicate_solution: 0}.get(change, 0)
    assert scores(graded(notebook)) == {TARGET: 4 - lost, OTHER: 6}


def test_the_graders_own_torch_is_what_it_was(graded):
    kept = torch.allclose, torch.Tensor.__eq__, torch.rand
    graded(submission(*reversed(CODE["torch says that all is close"])))
    assert (torch.allclose, torch.Tensor.__eq__, torch.rand) == kept
