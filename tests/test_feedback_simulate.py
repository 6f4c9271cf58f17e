"""The simulated log: its columns, what is in it, and that its truth is the truth."""

import numpy as np
import pandas as pd
import pytest

from course_utils.feedback import (
    largest_group,
    prompt_ids,
    response_ids,
    response_pool,
    simulate_feedback,
    text_pool,
)
from course_utils.testbed import text

ROWS = 6_000


@pytest.fixture(scope="module")
def log():
    return simulate_feedback(ROWS, seed=3)


def test_the_log_has_the_columns_of_the_contract(log):
    feedback, truth = log
    assert list(feedback.columns) == [
        "conversation_id", "prompt", "response", "user_id", "feedback", "timestamp", "content_warning",
    ]  # fmt: skip
    assert len(feedback) == len(truth) == ROWS
    assert set(feedback["feedback"]) == {"thumbs_up", "thumbs_down"}
    assert feedback["content_warning"].dtype == bool
    assert feedback["timestamp"].is_monotonic_increasing
    assert feedback["timestamp"].max() - feedback["timestamp"].min() < pd.Timedelta(weeks=12)
    assert not set(truth.columns) & set(feedback.columns)


def test_about_as_many_up_as_asked_for():
    for rate in (0.4, 0.65, 0.8):
        feedback, _ = simulate_feedback(ROWS, seed=1, up_rate=rate)
        assert (feedback["feedback"] == "thumbs_up").mean() == pytest.approx(rate, abs=0.05)


def test_the_same_seed_gives_the_same_log(log):
    again, truth = simulate_feedback(ROWS, seed=3)
    pd.testing.assert_frame_equal(again, log[0])
    pd.testing.assert_frame_equal(truth, log[1])
    assert not simulate_feedback(ROWS, seed=4)[0].equals(log[0])


def test_users_are_of_all_kinds_and_long_tailed(log):
    feedback, truth = log
    assert set(truth["kind"]) == {"honest", "always up", "always down", "careless", "bot"}
    assert (truth.groupby(feedback["user_id"])["kind"].nunique() == 1).all()
    votes = feedback["user_id"].value_counts()
    assert (votes == 1).mean() > 0.15
    assert votes.head(len(votes) // 100).sum() > 0.05 * ROWS
    assert votes.max() < 0.02 * ROWS
    up = feedback["feedback"] == "thumbs_up"
    assert up[truth["kind"] == "always up"].mean() > 0.95
    assert up[truth["kind"] == "always down"].mean() < 0.05


def test_honest_votes_follow_the_gold_reward_and_careless_ones_do_not(log):
    feedback, truth = log
    up = feedback["feedback"] == "thumbs_up"
    honest, careless = truth["kind"] == "honest", truth["kind"] == "careless"
    assert up[honest].corr(truth["gold"][honest]) > 0.5
    assert abs(up[careless].corr(truth["gold"][careless])) < 0.3


def test_the_gold_is_that_of_the_text_world(log):
    feedback, truth = log
    for place in range(0, 300, 7):
        response = feedback["response"].iloc[place]
        if isinstance(response, str) and response.strip():
            wanted = text.gold_reward(prompt_ids(feedback["prompt"].iloc[place]), response_ids(response))
            assert truth["gold"].iloc[place] == pytest.approx(wanted)
        else:
            assert np.isnan(truth["gold"].iloc[place])


def test_duplicates_are_copies_and_contradictions_are_there(log):
    feedback, truth = log
    columns = ["conversation_id", "prompt", "response", "user_id", "feedback"]
    assert truth["duplicate"].sum() == round(0.02 * ROWS)
    originals = feedback[~truth["duplicate"]].set_index("conversation_id")
    copies = feedback[truth["duplicate"]]
    assert copies["conversation_id"].isin(originals.index).all()
    assert feedback.duplicated(columns).sum() >= truth["duplicate"].sum()
    verdicts = feedback.groupby(["prompt", "response"])["feedback"].transform("nunique")
    assert 0.01 < (verdicts > 1).mean() < 0.2
    assert truth["repeated"].mean() == pytest.approx(0.08, abs=0.03)


def test_users_and_prompts_stay_in_their_community(log):
    feedback, truth = log
    assert (truth["community"].groupby(feedback["user_id"]).nunique() == 1).all()
    assert (truth["community"].groupby(feedback["prompt"]).nunique() == 1).all()
    assert largest_group(feedback) < 0.12


def test_a_pool_of_the_callers_own():
    pool = pd.DataFrame(
        {
            "prompt": [f"p{i // 10}" for i in range(400)],
            "response": [f"r{i}" for i in range(400)],
            "gold": np.linspace(-1, 1, 400),
        }
    )
    feedback, truth = simulate_feedback(1_000, seed=0, pool=pool, communities=10)
    known = pool.set_index("response")
    rows = feedback[feedback["response"].isin(pool["response"])]
    assert len(rows) > 980
    assert (known.loc[rows["response"], "prompt"].to_numpy() == rows["prompt"].to_numpy()).all()
    assert np.allclose(known.loc[rows["response"], "gold"], truth.loc[rows.index, "gold"])


def test_kinds_of_the_callers_own():
    _, truth = simulate_feedback(1_000, seed=0, kinds={"honest": 1.0})
    assert set(truth["kind"]) == {"honest"}


def test_the_pool_of_the_text_world():
    pool = text_pool(5, seed=2)
    assert len(pool) == 5 * 96
    assert not pool.duplicated(["prompt", "response"]).any()
    ids = [prompt_ids(p) for p in pool["prompt"]], [response_ids(r) for r in pool["response"]]
    pd.testing.assert_frame_equal(response_pool(*ids), pool)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"n": 10}, "n"),
        ({"n": 200.5}, "n must be a whole number"),
        ({"kinds": {"honest": 0.5}}, "kinds: the shares"),
        ({"kinds": {"robot": 1.0}}, "kinds: 'robot' is not one of"),
        ({"up_rate": 1.5}, "up_rate"),
        ({"votes_per_user": 0}, "votes_per_user"),
        ({"communities": 97}, "communities"),
        ({"weeks": 0}, "weeks"),
        ({"pool": pd.DataFrame({"prompt": ["a"]})}, "pool"),
    ],
)
def test_errors_name_the_argument(arguments, name):
    with pytest.raises(ValueError, match=name):
        simulate_feedback(**{"n": 200} | arguments)
