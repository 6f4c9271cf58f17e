"""The rule of thumb for choosing a method, over every situation there is."""

import itertools

import pytest

from course_utils.decisions import COMPUTE, FEEDBACK, RULES, recommend_method

SITUATIONS = [
    {"feedback": f, "compute": c, "noisy": n, "fresh_data": d}
    for f, c, n, d in itertools.product(FEEDBACK, COMPUTE, (False, True), (False, True))
]


def test_feedback_that_decides_alone():
    direct = {"verifiable": "grpo", "reward_model": "ppo", "principles": "constitutional", "thumbs": "kto"}
    for situation in SITUATIONS:
        if situation["feedback"] != "pairs":
            assert recommend_method(situation) == direct[situation["feedback"]]


@pytest.mark.parametrize(
    ("compute", "noisy", "fresh_data", "method"),
    [
        ("high", False, True, "online-dpo"),
        ("high", True, True, "online-dpo"),
        ("high", False, False, "dpo"),
        ("high", True, False, "kto"),
        ("low", False, True, "orpo"),
        ("low", False, False, "orpo"),
        ("low", True, True, "kto"),
        ("low", True, False, "kto"),
    ],
)
def test_pairs(compute, noisy, fresh_data, method):
    situation = {"feedback": "pairs", "compute": compute, "noisy": noisy, "fresh_data": fresh_data}
    kept = dict(situation)
    assert recommend_method(situation) == method
    assert situation == kept


def test_the_domain_and_other_keys_change_nothing():
    for situation in SITUATIONS:
        for more in ({"domain": "code"}, {"domain": "safety", "budget": 3}):
            assert recommend_method(situation | more) == recommend_method(situation)


def test_every_rule_decides_somewhere():
    deciding = {next(i for i, rule in enumerate(RULES) if rule.holds(s)) for s in SITUATIONS}
    assert deciding == set(range(len(RULES)))


@pytest.mark.parametrize("key", ["feedback", "compute", "noisy", "fresh_data"])
def test_a_missing_key_is_refused_by_name(key):
    with pytest.raises(ValueError, match=f"^situation .*'{key}'"):
        recommend_method({k: v for k, v in SITUATIONS[0].items() if k != key})


@pytest.mark.parametrize(("key", "value"), [("feedback", "stars"), ("compute", "medium"), ("compute", True)])
def test_an_unknown_value_is_refused_by_name(key, value):
    with pytest.raises(ValueError, match=f"^situation.*'{key}'"):
        recommend_method(SITUATIONS[-1] | {key: value})
