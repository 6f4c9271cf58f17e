"""Over-optimisation: best-of-n by counting subsets, laws recovered, the walk of early stopping, programs that misbehave."""

import itertools
import math
import os
import sys
import threading
import time

import pytest
import torch

from course_utils import limits
from course_utils.checks.draw import Draw
from course_utils.checks.exercises.goodhart_verifier import OVERFIT_VERIFIER
from course_utils.goodhart import (
    best_of_n_kl,
    best_of_n_reward,
    early_stop,
    fit_overoptimisation,
    pareto_front,
    predicted_peak,
    robust_value,
    verifier_gap,
)


@pytest.mark.parametrize(
    ("n", "kl"),
    [(1, 0), (2, 0.1931), (4, 0.6363), (16, 1.8351), (64, 3.1745), (1000, 5.9088), (60_000, 10.0021)],
)
def test_the_kl_of_best_of_n(n, kl):
    assert best_of_n_kl(n) == pytest.approx(kl, abs=1e-4) and isinstance(best_of_n_kl(n), float)


def test_the_kl_of_best_of_n_is_that_of_ranks():
    # the best of 3 of very many samples has the density 3 u² of its rank u
    u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    assert best_of_n_kl(3) == pytest.approx((3 * u**2 * (3 * u**2).log()).mean().item(), abs=1e-6)


def test_best_of_n_is_the_mean_over_all_subsets():
    draw = Draw(0)
    proxy, gold = draw.normal(9).tolist(), draw.normal(9).tolist()
    for n in range(1, 10):
        picks = [gold[max(s, key=lambda i: proxy[i])] for s in itertools.combinations(range(9), n)]
        assert best_of_n_reward(proxy, gold, n) == pytest.approx(sum(picks) / len(picks), abs=1e-12)


def test_best_of_n_does_not_overflow():
    scores = torch.linspace(0, 1, 3000)
    # the expected highest of n of 1..N is n (N + 1)/(n + 1)
    rank = 1500 * 3001 / 1501
    assert best_of_n_reward(scores, scores, 1500) == pytest.approx((rank - 1) / 2999, abs=1e-6)


@pytest.mark.parametrize("kind", ["bon", "rl"])
def test_a_law_is_recovered_from_its_own_curve_and_peaks_where_it_says(kind):
    alpha, beta = 1.0, 0.1 if kind == "bon" else 0.35

    def gold(d):
        return d * (alpha - beta * (d if kind == "bon" else math.log(d)))

    kl = [4.0, 0.0, 1.0, 25.0, 9.0]
    fitted = fit_overoptimisation(kl, [gold(k**0.5) if k else 0.0 for k in kl], kind)
    assert fitted == pytest.approx((alpha, beta), abs=1e-9)
    peak = predicted_peak(alpha, beta, kind)
    assert peak == pytest.approx(5.0 if kind == "bon" else 6.4054, abs=1e-4)
    assert gold(peak) == pytest.approx(2.5 if kind == "bon" else 2.2419, abs=1e-4)
    assert gold(peak) > max(gold(0.99 * peak), gold(1.01 * peak))


@pytest.mark.parametrize(
    ("gold", "patience", "best"),
    [
        ([0.1, 0.5, 0.5, 0.4, 0.9], 1, 1),
        ([0.1, 0.5, 0.5, 0.4, 0.9], 2, 1),
        ([0.1, 0.5, 0.5, 0.4, 0.9], 3, 4),
        ([3, 2, 1], 5, 0),
        ([1, 2, 3], 1, 2),
        ([2.0], 1, 0),
    ],
)
def test_early_stopping_keeps_the_first_best_seen(gold, patience, best):
    assert early_stop(gold, patience) == best
    assert early_stop(torch.tensor(gold), patience) == best


def _misbehaving(x):
    if x == "loop":
        while True:
            try:
                time.sleep(0.001)
            except BaseException:  # not even a timer's exception gets through
                continue
    if x == "raise":
        raise ValueError(x)
    if x == "exit":
        sys.exit(0)
    if x == "die":
        os._exit(0)
    print(x)
    return x


def _tests(*inputs):
    return [((x,), x) for x in inputs]


def test_a_gap_survives_whatever_a_program_does(capfd):
    gap = verifier_gap(
        _misbehaving, _tests("a", "raise"), _tests("loop", "b", "exit", "die", "c"), timeout=0.5
    )
    assert gap == pytest.approx(1 / 2 - 2 / 5)
    assert capfd.readouterr() == ("", "")


def test_a_gap_can_be_taken_in_a_thread_from_a_closure():
    found, offset = [], 3
    thread = threading.Thread(
        target=lambda: found.append(verifier_gap(lambda x: x + offset, [((1,), 4)], [((1,), 5), ((2,), 5)]))
    )
    thread.start()
    thread.join()
    assert found == [0.5]


def test_torch_works_in_a_program():
    table = torch.randn(300, 300)
    (table @ table).sum()  # the parent's threads are at work before the fork
    assert (
        verifier_gap(lambda n: (table @ table).shape[0] == n, [((300,), True)], [((2,), True)], 20.0) == 1.0
    )


def test_without_forks_threads_do(monkeypatch):
    monkeypatch.delattr(os, "fork")
    began = time.monotonic()
    held = limits.outcomes(
        [lambda: True, lambda: time.sleep(60), lambda: 1 / 0, sys.exit, lambda: "yes"], 0.5
    )
    assert held == [True, False, False, False, True]
    assert time.monotonic() - began < 30


def test_a_check_may_take_the_gap_without_waiting():
    """The expected observation of the check is computed without running into time limits; it is the reference's."""

    def real(*args):
        return verifier_gap(*args)

    for part in OVERFIT_VERIFIER.parts:
        for case in part.cases(Draw(7, part.name)):
            seen = OVERFIT_VERIFIER.observe(real, case)
            assert seen == OVERFIT_VERIFIER.observe(verifier_gap, case), case.label


def test_a_front_has_all_copies_of_what_nothing_dominates():
    points = torch.tensor([[1.0, 2], [2, 1], [1, 2], [1, 1], [2, 0], [0, 3]])
    assert pareto_front(points).tolist() == [True, True, True, False, False, True]
    assert pareto_front(torch.tensor([[1.0], [2.0], [2.0]])).tolist() == [False, True, True]


def test_the_worst_case_is_of_expectations():
    policy = torch.tensor([0.5, 0.5], dtype=torch.float64, requires_grad=True)
    rewards = torch.tensor([[1.0, 0.0], [0.0, 0.8]], dtype=torch.float64, requires_grad=True)
    assert robust_value(policy, rewards).item() == pytest.approx(0.4)  # the expected minimum would be 0
    assert torch.autograd.gradcheck(robust_value, (policy, rewards))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("n", lambda: best_of_n_kl(0)),
        ("n", lambda: best_of_n_kl(1.5)),
        ("n", lambda: best_of_n_reward([1, 2], [1, 2], 3)),
        ("proxy", lambda: best_of_n_reward([1, 1], [1, 2], 1)),
        ("proxy", lambda: best_of_n_reward([], [], 1)),
        ("gold", lambda: best_of_n_reward([1, 2], [1], 1)),
        ("kind", lambda: fit_overoptimisation([1, 2], [1, 2], "ppo")),
        ("kl", lambda: fit_overoptimisation([0, 1, 1], [0, 1, 2], "rl")),
        ("kl", lambda: fit_overoptimisation([-1, 1, 2], [0, 1, 2], "rl")),
        ("gold", lambda: fit_overoptimisation([1, 2], [1], "bon")),
        ("kind", lambda: predicted_peak(1.0, 1.0, "")),
        ("alpha", lambda: predicted_peak(0.0, 1.0, "bon")),
        ("beta", lambda: predicted_peak(1.0, -1.0, "rl")),
        ("gold", lambda: early_stop([], 1)),
        ("patience", lambda: early_stop([1.0], 0)),
        ("program", lambda: verifier_gap(None, [((), 1)], [((), 1)])),
        ("visible_tests", lambda: verifier_gap(abs, [], [((1,), 1)])),
        ("hidden_tests", lambda: verifier_gap(abs, [((1,), 1)], [(1, 1)])),
        ("timeout", lambda: verifier_gap(abs, [((1,), 1)], [((1,), 1)], 0)),
        ("points", lambda: pareto_front(torch.zeros(3))),
        ("points", lambda: pareto_front(torch.zeros(0, 2))),
        ("policy", lambda: robust_value(torch.zeros(2, 2), torch.zeros(2, 2))),
        ("rewards", lambda: robust_value(torch.zeros(2), torch.zeros(2, 3))),
    ],
)
def test_wrong_arguments_are_refused_by_name(name, call):
    with pytest.raises(ValueError, match=f"^{name} "):
        call()
