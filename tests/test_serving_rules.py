"""The service's rules: routing, roll-out, detectors; how often they are wrong, measured."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from course_utils.checks.draw import Draw
from course_utils.checks.exercises import pipeline_monitoring, pipeline_rollout
from course_utils.serving.monitor import cusum, detect_failures, p95, prediction_limit, repetition
from course_utils.serving.rollout import (
    always_valid_decision,
    obrien_fleming,
    planned_looks_decision,
    ratio_of_sums,
    rollout_decision,
)
from course_utils.serving.routing import assign_variant
from course_utils.serving.trials import detector_trials, look_trials

USERS = [f"user-{i}" for i in range(5000)]


def treated(share, salt=""):
    return {u for u in USERS if assign_variant(u, share, salt) == "treatment"}


# --- routing


def test_the_share_is_met_and_a_ramp_only_adds():
    before = set()
    for share in (0, 0.05, 0.3, 0.301, 0.9, 1):
        now = treated(share)
        assert before <= now
        assert abs(len(now) / len(USERS) - share) < 0.03
        before = now
    assert treated(0) == set() and treated(1) == set(USERS)


def test_salts_draw_independently():
    assert abs(len(treated(0.5) & treated(0.5, "next")) / len(USERS) - 0.25) < 0.04


def test_another_process_routes_alike():
    code = "from course_utils.serving.routing import assign_variant as a; print([a(f'user-{i}', .3) for i in range(50)])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([assign_variant(f"user-{i}", 0.3) for i in range(50)])


@pytest.mark.parametrize(
    ("arguments", "name"), [(("u", 1.2), "share"), ((7, 0.5), "user_id"), (("u", 0.5, 3), "salt")]
)
def test_routing_refuses(arguments, name):
    with pytest.raises(ValueError, match=f"^{name} "):
        assign_variant(*arguments)


# --- roll-out


def test_the_decision_is_the_z_test_s():
    rng = np.random.default_rng(1)
    for _ in range(200):
        n = rng.integers(50, 3000, 2)
        ups = rng.binomial(n, rng.uniform(0.5, 0.8, 2))
        p = stats.chi2_contingency([ups, n - ups], correction=False).pvalue
        better = ups[1] / n[1] > ups[0] / n[0]
        wanted = "hold" if p > 0.05 else "ramp" if better else "roll back"
        assert rollout_decision(*zip(ups.tolist(), n.tolist(), strict=True)) == wanted
    assert rollout_decision((5, 5), (7, 7)) == "hold"


def test_a_decision_without_votes_is_refused():
    with pytest.raises(ValueError, match="^control "):
        rollout_decision((0, 0), (1, 2))
    with pytest.raises(ValueError, match="^treatment "):
        rollout_decision((1, 2), (3, 2))


def test_the_variance_of_a_ratio_is_that_of_many_samples():
    rng = np.random.default_rng(2)

    def draw():
        votes = rng.poisson(3, 400) + 1
        return rng.binomial(votes, rng.beta(3.9, 2.1, 400)), votes

    rates, variances = zip(*(ratio_of_sums(*draw()) for _ in range(600)), strict=True)
    assert np.mean(variances) == pytest.approx(np.var(rates), rel=0.2)


def test_the_valid_rule_by_users_decides_clear_cases_and_holds_with_few_users():
    rng = np.random.default_rng(3)
    good, bad = (np.column_stack([rng.binomial(4, p, 600), np.full(600, 4)]) for p in (0.75, 0.6))
    assert always_valid_decision(bad, good) == "ramp"
    assert always_valid_decision(good, bad) == "roll back"
    assert always_valid_decision(good, good) == "hold"
    assert always_valid_decision(bad[:20], good[:20]) == "hold"
    assert always_valid_decision([], []) == "hold"


def test_the_valid_rule_is_that_of_the_paper():
    """The bound in z against the likelihood ratio as it is printed."""
    rng = np.random.default_rng(4)
    for _ in range(100):
        arms = [np.column_stack([rng.binomial(3, p, 300), np.full(300, 3)]) for p in rng.uniform(0.6, 0.7, 2)]
        (c, vc), (t, vt) = (ratio_of_sums(*arm.T) for arm in arms)
        s, d = vc + vt, t - c
        ratio = (s / (s + 9e-4)) ** 0.5 * np.exp(9e-4 * d * d / (2 * s * (s + 9e-4)))
        assert (always_valid_decision(*arms) != "hold") == (ratio >= 20)


@pytest.mark.parametrize(
    ("keywords", "name"),
    [
        ({"tau": 0}, "tau"),
        ({"alpha": 1}, "alpha"),
        ({"control_totals": [[3, 2]]}, "control_totals"),
        ({"control_totals": [[1, float("nan")]]}, "control_totals"),
        ({"treatment_totals": [1, 2, 3]}, "treatment_totals"),
    ],
)
def test_the_valid_rule_refuses(keywords, name):
    with pytest.raises(ValueError, match=f"^{name} "):
        always_valid_decision(
            **{"control_totals": [[1, 2]] * 40, "treatment_totals": [[1, 2]] * 40} | keywords
        )


@pytest.mark.parametrize(("looks", "c"), [(1, 1.960), (2, 1.977), (5, 2.040), (10, 2.087)])
def test_the_planned_bounds_are_those_of_the_tables(looks, c):
    """Jennison and Turnbull (1999), table 2.3."""
    assert obrien_fleming(looks) == pytest.approx(c, abs=6e-4)


def test_a_planned_rule_asks_more_of_an_early_look():
    control, treatment = [[12, 20]] * 99 + [[0, 20]], [[13, 20]] * 99 + [[0, 20]]
    assert planned_looks_decision(control, treatment, 12, 12) == "ramp"
    assert planned_looks_decision(treatment, control, 12, 12) == "roll back"
    assert planned_looks_decision(control, treatment, 1, 12) == "hold"
    assert planned_looks_decision(control[:20], treatment, 12, 12) == "hold"  # too few users


@pytest.mark.parametrize(
    ("look", "looks", "alpha", "name"),
    [(0, 3, 0.05, "look "), (4, 3, 0.05, "look "), (1, 3, 1.0, "alpha ")],
)
def test_the_planned_rule_refuses(look, looks, alpha, name):
    with pytest.raises(ValueError, match=f"^{name}"):
        planned_looks_decision([[1, 2]] * 40, [[1, 2]] * 40, look, looks, alpha)


def test_looks_by_votes_cry_wolf_and_looks_by_users_do_not():
    decided = look_trials(users=300, repeats=150, seed=1)
    assert decided["votes, every look"] > 0.4
    assert decided["users, always valid"] <= 0.05
    assert decided["users, planned looks"] <= 0.12
    effect = look_trials(users=2000, lift=0.12, repeats=30, seed=2)
    assert effect["users, planned looks"] >= effect["users, always valid"] > 0.8


# --- detectors


def frame(responses, down=0, warned=0):
    n = len(responses)
    return pd.DataFrame(
        {
            "response": responses,
            "feedback": ["thumbs_down"] * down + ["thumbs_up"] * (n - down),
            "content_warning": [True] * warned + [False] * (n - warned),
        }
    )


def test_each_failure_is_found_by_its_name():
    quiet = frame(["one two three four", "five six seven"] * 100, down=60, warned=4)
    assert detect_failures(quiet, quiet) == []
    assert detect_failures(frame(["one two three four, and more"] * 200, 60, 4), quiet) == [
        "length_explosion"
    ]
    assert detect_failures(frame(["one two one two"] * 200, 60, 4), quiet) == ["repetition"]
    bad = frame(["one two three four", "five six seven"] * 100, down=120, warned=40)
    assert detect_failures(bad, quiet) == ["safety_spike", "feedback_drop"]
    assert detect_failures(quiet, bad) == []


def test_detectors_refuse():
    good = frame(["a b"] * 3)
    with pytest.raises(ValueError, match="^window lacks the column response"):
        detect_failures(good.drop(columns="response"), good)
    with pytest.raises(ValueError, match="^baseline has 1 rows"):
        detect_failures(good, good[:1])


def test_repetition_of_a_text():
    assert repetition("a b a b") == pytest.approx(1 / 3)
    assert repetition("alone") == repetition("") == 0.0


@pytest.mark.parametrize("n", [1, 2, 20, 21, 100])
def test_p95_is_numpys(n):
    values = np.random.default_rng(n).lognormal(size=n)
    assert p95(values.tolist()) == np.percentile(values, 95)


def test_p95_refuses():
    with pytest.raises(ValueError, match="^latencies "):
        p95([])


def test_the_limit_holds_its_level_for_normal_logs():
    rng = np.random.default_rng(5)
    weeks = np.exp(0.03 * rng.standard_normal((4000, 27))) * 80
    alarms = [prediction_limit(row[:26], row[26], "amount", alpha=0.01)[0] for row in weeks[:1500]]
    assert 0.003 < np.mean(alarms) < 0.02
    alarm, limit = prediction_limit([0.3, 0.31, 0.29, 0.3], 0.9, "share")
    assert alarm and 0.31 < limit < 0.9


def test_a_creeping_rise_is_summed_up():
    history = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0]
    assert cusum(history, [1.0] * 50, "amount") == []
    assert cusum(history, [1.12] * 30, "amount")[0] < 10


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: prediction_limit([1, 2], 1, "amount"), "history"),
        (lambda: prediction_limit([1, 2, 3], 0, "amount"), "value"),
        (lambda: prediction_limit([0.1, 0.2, 1.3], 0.2, "share"), "history"),
        (lambda: prediction_limit([1, 2, 3], 1, "length"), "kind"),
        (lambda: prediction_limit([1, 2, 3], 1, "amount", alpha=0), "alpha"),
        (lambda: cusum([1, 1, 1], [1], "amount"), "history"),
        (lambda: cusum([1, 2, 3], [], "amount"), "values"),
    ],
)
def test_better_detectors_refuse(call, name):
    with pytest.raises(ValueError, match=f"^{name} "):
        call()


def test_false_alarms_and_misses_over_200_quiet_weeks():
    found = detector_trials({"length": 92.0, "repetition": 0.05, "safety": 0.006}, repeats=100, seed=0)
    limit, naive = found["prediction limit"], found["sampling error"]
    assert limit["false alarms"] < 1.5 < 15 < naive["false alarms"]
    assert found["cusum"]["false alarms"] < 5
    assert limit["missed in 4 weeks"]["length"] < 0.1
    assert limit["missed in 4 weeks"]["repetition"] < 0.35


# --- what the checks rely on


@pytest.mark.parametrize("seed", range(20))
def test_graded_cases_stay_out_of_the_grey(seed):
    draw = Draw(seed, "grey")
    for case in pipeline_rollout._decision_cases(draw):
        z = [abs(pipeline_rollout._z(*case.args[0], *case.args[1], pooled)) for pooled in (True, False)]
        assert max(z) < 1.5 or min(z) > 2.5, case.label
    parts = {part.looks_at[0]: part.cases for part in pipeline_monitoring.DETECT_FAILURES.parts}
    for name, cases in parts.items():
        for case in cases(draw) if name != "inputs" else ():
            for measure, z in pipeline_monitoring._measured(case).items():
                assert name not in (measure, "list") or not 2 <= z <= 6, (name, case.label, measure, z)
