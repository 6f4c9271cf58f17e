"""Attacks by what a function returns and how: through the stand-in none earns what it should not, none breaks a check."""

import math
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import sympy
import torch
from inner import inner

from course_utils.checks import catalogue
from course_utils.checks.judge import judge
from course_utils.grading import remote

EXERCISES = [e for name in catalogue.MODULES for e in catalogue.assignment(name).values()]
LOG_SOFTMAX, REVISE = catalogue.exercise("log-softmax"), catalogue.exercise("constitutional-revision")


class Agreeable:
    """Equal to everything, a number, a list, callable, true."""

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    __lt__ = __le__ = __gt__ = __ge__ = __eq__

    def __hash__(self):
        return 0

    def __float__(self):
        return 1.0

    def __iter__(self):
        return iter([self])

    def __len__(self):
        return 1

    def __getitem__(self, key):
        return self

    def __call__(self, *args, **kwargs):
        return self


NAN = math.nan
ODD = {
    "agreeable": lambda *args: Agreeable(),
    "agreeable, twice": lambda *args: (Agreeable(), Agreeable()),
    "agreeable keys": lambda *args: defaultdict(Agreeable, dict.fromkeys(("k1", "labels", "train"), Agreeable())),
    "agreeable entries": lambda *args: np.array([Agreeable()] * 3, dtype=object),
    "nothing": lambda *args: None,
    "nan": lambda *args: NAN,
    "nan everywhere": lambda *args: torch.full_like(args[0], NAN) if args and isinstance(args[0], torch.Tensor) else [NAN] * 3,
    "infinity": lambda *args: math.inf,
    "too large for a float": lambda *args: 10**400,
    "a fraction too large for a float": lambda *args: Fraction(10**500, 7),
    "pair too large for a float": lambda *args: (10**400, 10**400),
    "a decimal that is none": lambda *args: Decimal("sNaN"),
    "a complex number": lambda *args: 1j,
    "no entries": lambda *args: np.array([]),
    "an empty tensor": lambda *args: torch.zeros(0, 3),
    "an empty frame": lambda *args: pd.DataFrame(),
    "a frame of nothing": lambda *args: pd.DataFrame({"prompt": [None], "response_1": [1], "timestamp": [pd.NaT]}),
    "frames of nothing": lambda *args: {"train": pd.DataFrame({"timestamp": ["x"]}), "validation": 3, "test": None},
    "the arguments": lambda *args: args,
    "a view of a dict": lambda *args: {"a": 1}.items(),
    "no expression": lambda *args: [sympy.nan, sympy.zoo],
    "three times nothing": lambda *args: (None, None, None),
    "strange keys": lambda *args: {None: NAN, 3: {}},
    "a long range": lambda *args: range(10**12),
    "too deep": lambda *args: [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]],
    "a huge expanded tensor": lambda *args: torch.zeros(1).expand(10**12),
    "a gradient from nowhere": lambda *args: torch.ones(3, requires_grad=True),
}  # fmt: skip


def _some(i, count=2):
    """Some of the odd results, others for each exercise."""
    names = list(ODD)
    return [names[(count * i + k) % len(names)] for k in range(count)]


CASES = [(e, name) for i, e in enumerate(EXERCISES) for name in _some(i)]


@pytest.mark.parametrize(("exercise", "name"), CASES, ids=[f"{e.id}/{name}" for e, name in CASES])
def test_odd_results_earn_nothing_and_break_nothing(exercise, name):
    answer = ODD[name]
    if len(exercise.misconceptions) > 8:  # it takes long to name what is of no kind that is known
        exercise = replace(exercise, misconceptions=exercise.misconceptions[:2])
    report = judge(
        exercise, inner(lambda *args, **kwargs: answer(*args, *kwargs.values())), seed=3, reveal=False
    )
    assert report.points == 0


@pytest.mark.parametrize("name", ODD)
def test_odd_results_where_a_float_is_wanted(name):
    report = judge(
        catalogue.exercise("length-bias"), inner(lambda *args: ODD[name](*args)), seed=3, reveal=False
    )
    assert report.points == 0


def _lost(answer, exercise=LOG_SOFTMAX):
    report = judge(exercise, inner(answer), seed=3, reveal=False)
    return {row.part for row in report.rows if not row.passed}


def test_a_result_written_into_the_input_is_seen():
    def answer(logits):
        with torch.no_grad():
            logits.copy_(torch.log_softmax(logits, -1))
        return logits

    assert "dtype kept, inputs unchanged" in _lost(answer)


def test_a_result_that_is_a_view_of_the_input_is_judged_by_its_numbers():
    def answer(logits):
        return torch.log_softmax(logits, -1).view_as(logits)

    assert _lost(answer) == set()
    assert len(_lost(lambda logits: logits.view_as(logits))) == len(LOG_SOFTMAX.parts)


def test_right_on_the_first_call_only_is_not_right():
    calls = []

    def answer(logits):
        calls.append(1)
        return torch.log_softmax(logits, -1) if len(calls) == 1 else torch.zeros_like(logits)

    assert len(_lost(answer)) == len(LOG_SOFTMAX.parts)


def test_right_numbers_with_a_graph_of_their_own_lose_the_gradient():
    def answer(logits):
        return torch.log_softmax(logits.detach(), -1).requires_grad_()

    assert _lost(answer) == {"gradients", "stable for logits of ±1e4"}


def test_a_gradient_hook_cannot_make_a_gradient_right():
    def answer(logits):
        result = torch.log_softmax(logits, -1)
        if result.requires_grad:
            result.register_hook(lambda gradient: gradient * math.nan)
        return result

    assert _lost(answer) == {"gradients", "stable for logits of ±1e4"}


def test_an_exception_that_calls_itself_a_fault_of_the_grader_is_the_students():
    kinds = [
        type(name, (BaseException,), {})
        for name in ("GraderFault", "KeyboardInterrupt", "SessionEnded", "Elsewhere")
    ]
    for kind in kinds:

        def answer(logits, kind=kind):
            raise kind("not mine")

        assert len(_lost(answer)) == len(LOG_SOFTMAX.parts)


def test_a_function_given_by_the_check_is_not_asked_without_end(monkeypatch):
    monkeypatch.setattr(remote, "ASKED", 100_000)
    most = 0

    def answer(response, principles, max_rounds=3):
        nonlocal most
        for count in range(10**6):
            most = max(most, count)
            principles[0]("long " * 1000)
        return response, []

    assert len(_lost(answer, REVISE)) == len(REVISE.parts)
    assert 10 < most < 30


def test_the_largest_tensor_is_looked_at_in_the_call_that_is_judged():
    """An answer that is thrifty where memory is watched, by giving up on the numbers, earns nothing for it."""
    exercise = catalogue.exercise("chunked-logprobs")

    def answer(hidden, weight, labels, chunk_size):
        if len(hidden) >= 24:
            return hidden.sum(-1) * 0 + weight.sum() * 0
        return torch.where(
            labels == -100,
            0.0,
            (hidden @ weight.T).log_softmax(-1).gather(1, labels.clamp(min=0)[:, None])[:, 0],
        )

    assert _lost(answer, exercise) == {"never a float tensor of N·V elements"}
