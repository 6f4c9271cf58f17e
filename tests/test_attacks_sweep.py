"""Hostile answers through the real sandbox, for every exercise of the notebooks whose answers are of many kinds.

Each exercise's function returns each of these values: none earns a point, none ends the process, and no check fails on
one. A longer list (150 values) was tried once on the same exercises; these are those that differ in what they try, so
that the file takes seconds. Kinds that never leave the sandbox unlike the others are in test_attacks_values.py.
"""

import pytest
from sandbox import require_sandbox

from course_utils.checks import catalogue
from course_utils.checks.judge import judge
from course_utils.grading import package
from course_utils.grading.remote import stand_in
from course_utils.grading.sealed import Limits, Zygote

ASSIGNMENTS = ("02-dpo-from-scratch", "04-kto-pipeline", "06-final-quiz")
CELL = '''
import numpy as np, pandas as pd, torch

def yes(*args, **kwargs):
    return True

class Number(float):
    __eq__ = __le__ = __lt__ = __ge__ = __gt__ = yes
    __hash__ = float.__hash__
    def __sub__(self, other): return 0.0
    def __repr__(self): return "1.0"

class Text(str):
    __eq__ = yes
    __hash__ = str.__hash__

class Keys(dict):
    __eq__ = __contains__ = yes
    def __getitem__(self, key): return Number(0)
    def __len__(self): return 3

class Twice(list):
    reads = 0
    def __iter__(self):
        self.reads += 1
        return iter([self.reads] * 3)

class Liar(torch.Tensor):
    __torch_function__ = classmethod(yes)

class Frame(pd.DataFrame):
    equals = __eq__ = yes

class Everything:
    def __getattr__(self, name): return Everything()
    def __call__(self, *args, **kwargs): return Everything()
    def __iter__(self): return iter([Number(0)])
    def __reduce__(self): return yes, ()
    __eq__ = __contains__ = __bool__ = yes

def stop(*args, **kwargs):
    raise StopIteration(1.0)

def emptied(*args, **kwargs):
    for thing in args:
        if isinstance(thing, torch.Tensor):
            thing.data = thing.data * 0
        elif hasattr(thing, "clear"):
            thing.clear()
    return args[0] if args else None

VALUES = {
    "a number": Number(1), "a text": Text("x"), "a dict": Keys(), "read twice": Twice([1, 2, 3]),
    "a tensor": torch.zeros(3).as_subclass(Liar), "everything": Everything(), "not a number": (float("nan"), float("nan")),
    "a frame": Frame({"prompt": ["a"], "response_1": ["b"], "response_2": ["c"]}),
    "columns of one name": pd.DataFrame([[1, 2]], columns=["prompt", "prompt"]), "rows": [(), [], [[], []]],
    "objects": np.array(["x", None, 1j], dtype=object), "long": "x" * 5_000,
}

def answering(name):
    def answer(*args, **kwargs):
        if current == "stop": return stop()
        if current == "emptied": return emptied(*args)
        return VALUES[current]
    return answer
'''  # fmt: skip
KINDS = (
    "a number", "a text", "a dict", "read twice", "a tensor", "everything", "not a number", "a frame", "columns of one name",
    "rows", "objects", "long", "stop", "emptied",
)  # fmt: skip


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """One process for all: what a value does to it would show in the next."""
    require_sandbox()
    folder = package.build(tmp_path_factory.mktemp("package") / "student")
    with Zygote(folder, limits=Limits(memory=2 << 30)) as zygote, zygote.session(seconds=900) as made:
        assert made.run_cell(CELL, 30).error is None
        yield made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_a_hostile_value_earns_nothing_and_stops_nothing(session, assignment, kind):
    session.run_cell(f"current = {kind!r}")
    earned = {}
    # claims are all of one form: two stand for them; one check calls an answer ten thousand times
    for exercise in catalogue.assignment(assignment).values():
        if exercise.id == "assign-variant" or exercise.id.startswith("claim") and exercise.id > "claim-02":
            continue
        session.run_cell(f"{exercise.function} = answering({exercise.function!r})")
        report = judge(exercise, stand_in(session, exercise.function), seed=5, reveal=False)
        earned[exercise.id] = report.points
        assert session.ended is None, exercise.id
    assert len(earned) > 5
    assert not any(earned.values()), earned
