"""Attacks on what a script beside a function says of it: what is forged there earns nothing.

Each takes a wrong answer of a check's own list and puts a forgery in the way of what the script gives back: all that
says what the answer *did* is as a right one would have it. The numbers are those of the wrong answer.
"""

import copy

import pytest
import torch
from inner import inner

from course_utils.checks import catalogue
from course_utils.checks.judge import judge
from course_utils.grading.inside import calls

EXERCISES = {e.id: e for name in catalogue.MODULES for e in catalogue.assignment(name).values()}


def wrong(exercise, name):
    return next(m.function for m in EXERCISES[exercise].misconceptions if m.name == name)


def forged_step(given, said):
    _, reference, batch = given[:3]
    said |= {"reference": dict(zip(("embedding", "head", "bias"), reference, strict=True)), "batch": batch}
    return said | {"policy trains": True, "reference trains": False, "reference gradient": False}


def forged_updates(given, said):
    return said | {"same": True, "rollouts": list(given[1:4])}


def forged_exports(given, said):
    layers = {name: list(parts[:3]) for name, parts in given[0].items()}
    return said | {"layers": layers, "graph": False, "first, later": said["first, after the second"]}


def forged_rounds(given, said):
    log, value = said
    return [
        (kind, (given[0], False, False, False)) if kind == "trained against" else (kind, entry)
        for kind, entry in log
    ], value


def _copy_comes_back(policy, *given, **kwargs):
    return copy.deepcopy(EXERCISES["bug-15"].reference(policy, *given, **kwargs))


def _rollouts_changed(policy, states, actions, advantages, optimizer, **kwargs):
    result = EXERCISES["bug-15"].reference(policy, states, actions, advantages, optimizer, **kwargs)
    advantages *= 0.5
    return result


def _all_at_once_unseen(model, micro_batches):
    """All graphs are alive at once, but torch says of all but the first that there is none."""
    real, answers = torch.is_grad_enabled, iter([True])
    torch.is_grad_enabled = lambda: next(answers, False)
    try:
        return wrong("bug-13", "at-once")(model, micro_batches)
    finally:
        torch.is_grad_enabled = real


FORGERIES = {
    "one_step": forged_step,
    "updates": forged_updates,
    "exported": forged_exports,
    "rounds": forged_rounds,
}
STEP = (
    "reference-gradient",
    "reference-follows",
    "batch-changed",
    "mode-restored",
    "policy-left-in-eval",
    "reference-not-eval",
)
CLAIMS = {
    **{("train-step", name): wrong("train-step", name) for name in STEP},
    **{("bug-21", name): wrong("bug-21", name) for name in ("adapter-zeroed", "graph", "shared-if-zero")},
    **{("bug-08", name): wrong("bug-08", name) for name in ("as-shown", "each-round", "shallow")},
    ("bug-15", "a copy comes back"): _copy_comes_back,
    ("bug-15", "rollouts changed"): _rollouts_changed,
    ("bug-13", "at-once"): wrong("bug-13", "at-once"),
    ("bug-13", "at once, unseen"): _all_at_once_unseen,
}


@pytest.fixture
def forging(monkeypatch):
    """Scripts of the grader's say what a right answer's would, as a submission can have them do."""
    real = calls._script

    def script(source, name):
        found, forge = real(source, name), FORGERIES.get(name)

        def forged(function, *given):
            before = copy.deepcopy(given)
            return forge(before, found(function, *given))

        return forged if forge else found

    monkeypatch.setattr(calls, "_script", script)


@pytest.mark.parametrize(("exercise", "name"), CLAIMS)
def test_what_is_said_of_an_answer_earns_nothing(forging, exercise, name):
    report = judge(EXERCISES[exercise], inner(CLAIMS[exercise, name]), seed=7, reveal=False)
    assert report.points < report.max_points


@pytest.mark.parametrize("exercise", sorted({exercise for exercise, _ in CLAIMS}))
def test_forging_is_all_that_is_done(forging, exercise):
    found = EXERCISES[exercise]
    for answer in (found.reference, *found.alternatives.values()):
        assert judge(found, inner(answer), seed=7, reveal=False).passed
