"""Cleaning: who is flagged, what goes, and what the naive pipeline loses."""

import numpy as np
import pandas as pd
import pytest

from course_utils.feedback import (
    biased_user_posterior,
    clean_feedback,
    flag_biased_users,
    naive_clean,
    simulate_feedback,
)


def log_of(users):
    """A log from {user: (ups, downs)}, each vote on a prompt of its own."""
    rows = [(user, up) for user, (ups, downs) in users.items() for up in [True] * ups + [False] * downs]
    return pd.DataFrame(
        {
            "conversation_id": [f"c{i}" for i in range(len(rows))],
            "prompt": [f"p{i}" for i in range(len(rows))],
            "response": [f"r{i}" for i in range(len(rows))],
            "user_id": [user for user, _ in rows],
            "feedback": ["thumbs_up" if up else "thumbs_down" for _, up in rows],
            "timestamp": pd.date_range("2026-01-05", periods=len(rows), freq="min"),
        }
    )


def test_the_contracts_examples():
    log = log_of(
        {"up": (40, 0), "down": (0, 30), "busy": (300, 100), "crowd": (3_000, 1_700)}
        | {f"few{k}up": (k, 0) for k in (1, 2, 3)}
        | {f"few{k}down": (0, k) for k in (1, 2, 3)}
    )
    assert flag_biased_users(log) == {"up", "down"}


def test_the_borders_that_the_docstring_names():
    log = log_of({"crowd": (6_500, 3_500), "u16": (16, 0), "u17": (17, 0), "d6": (0, 6), "d7": (0, 7)})
    assert flag_biased_users(log) == {"u17", "d7"}
    assert flag_biased_users(log, level=1e-12) == set()


def test_the_steps_in_their_order():
    log = pd.concat(
        [log_of({"crowd": (65, 35), "up": (40, 0)}), log_of({"x": (1, 0)})], ignore_index=True
    ).assign(content_warning=False)
    extra = [
        ("p", "r", "x1", "thumbs_up", False), ("p", "r", "x1", "thumbs_up", False),  # a duplicate
        ("q", "r", "x1", "thumbs_up", False), ("q", "r", "x2", "thumbs_down", False),  # a contradiction
        ("s", "r", "x1", "thumbs_up", False), ("s", "r", "x2", "thumbs_down", True),  # settled by a warning
        ("t", "r", "x1", "thumbs_down", False), ("t", "r", "up", "thumbs_up", False),  # settled by a biased user
        ("u", " ", "x1", "thumbs_down", False), ("v", None, "x1", "thumbs_down", False), ("w", "42", "x1", "thumbs_up", False),
    ]  # fmt: skip
    names = ["prompt", "response", "user_id", "feedback", "content_warning"]
    log = pd.concat([log, pd.DataFrame(extra, columns=names)], ignore_index=True)
    before = log.copy()
    cleaned = clean_feedback(log)
    pd.testing.assert_frame_equal(log, before)
    assert cleaned.attrs["dropped"] == {
        "biased_user": 41, "empty_response": 2, "content_warning": 1, "duplicate": 1, "contradiction": 2,
    }  # fmt: skip
    kept = cleaned[cleaned["prompt"].isin(list("pqstuvw"))]
    assert kept["prompt"].tolist() == ["p", "s", "t", "w"]
    pd.testing.assert_frame_equal(cleaned, log.loc[cleaned.index], check_names=False)
    assert sum(cleaned.attrs["dropped"].values()) == len(log) - len(cleaned)


def test_any_index_and_no_warning_column():
    log = log_of({"crowd": (65, 35), "up": (40, 0)})
    for index in (np.zeros(len(log), dtype=int), [f"r{i}" for i in range(len(log))]):
        cleaned = clean_feedback(log.set_axis(index))
        assert cleaned["user_id"].tolist() == ["crowd"] * 100
        assert cleaned.attrs["dropped"]["content_warning"] == 0


@pytest.fixture(scope="module")
def simulated():
    return simulate_feedback(20_000, seed=0)


def test_cleaning_brings_the_log_nearer_to_honest_votes(simulated):
    feedback, truth = simulated
    up = feedback["feedback"] == "thumbs_up"
    cleaned = clean_feedback(feedback)
    honest = truth["kind"] == "honest"
    assert honest[cleaned.index].mean() > honest.mean() + 0.1
    assert up[cleaned.index].corr(truth["gold"][cleaned.index]) > up.corr(truth["gold"]) + 0.05
    assert abs(up[cleaned.index].mean() - up[honest].mean()) < 0.03


def test_what_the_naive_pipeline_loses(simulated):
    feedback, truth = simulated
    honest = truth["kind"] == "honest"
    naive, cleaned = naive_clean(feedback), clean_feedback(feedback)
    lost = {
        name: 1 - honest[frame.index].sum() / honest.sum()
        for name, frame in (("naive", naive), ("rule", cleaned))
    }
    assert lost["naive"] > 0.25 > lost["rule"]
    single = feedback["user_id"].map(feedback["user_id"].value_counts()) == 1
    assert not single[naive.index].any()
    up = feedback["feedback"] == "thumbs_up"
    assert up[naive.index].mean() < up[honest].mean() - 0.03
    assert sum(naive.attrs["dropped"].values()) == len(feedback) - len(naive)


def test_the_posterior_finds_the_biased_and_spares_the_honest(simulated):
    feedback, truth = simulated
    posterior = biased_user_posterior(feedback)
    kind = truth["kind"].groupby(feedback["user_id"]).first()[posterior.index]
    votes = feedback["user_id"].value_counts()[posterior.index]
    flagged = posterior > 0.8
    assert posterior.between(0, 1).all()
    assert flagged[kind == "honest"].mean() < 0.01
    biased = kind.isin(["always up", "always down", "bot"]) & (votes >= 10)
    assert flagged[biased].mean() > 0.6
    assert not flagged[votes == 1].any()
    assert len(posterior.attrs["honest"]) == 2 and sum(posterior.attrs["shares"]) == pytest.approx(1)


def test_the_posterior_flags_nobody_where_nobody_is_biased():
    rng = np.random.default_rng(0)
    votes = rng.geometric(0.2, 4_000)
    ups = rng.binomial(votes, 0.65)
    log = pd.DataFrame(
        {
            "user_id": np.repeat([f"u{i}" for i in range(4_000)], votes),
            "feedback": np.concatenate(
                [["thumbs_up"] * k + ["thumbs_down"] * (n - k) for k, n in zip(ups, votes, strict=True)]
            ),
        }
    )
    assert (biased_user_posterior(log) > 0.8).mean() < 0.002
    rate = (log["feedback"] == "thumbs_up").groupby(log["user_id"]).mean()
    assert ((rate < 0.1) | (rate > 0.9)).mean() > 0.3  # whom the naive rule drops


@pytest.mark.parametrize("function", [flag_biased_users, clean_feedback, naive_clean, biased_user_posterior])
def test_errors_name_the_column_and_the_row(function):
    log = log_of({"a": (3, 2)})
    with pytest.raises(ValueError, match="feedback has no column 'user_id'"):
        function(log.drop(columns="user_id"))
    with pytest.raises(ValueError, match="feedback is empty"):
        function(log.iloc[:0])
    log.loc[3, "feedback"] = "meh"
    with pytest.raises(ValueError, match="row 3: 'meh'"):
        function(log)
    with pytest.raises(ValueError, match="DataFrame"):
        function([1])


@pytest.mark.parametrize("warning", ["False", None, 2])
def test_a_warning_that_is_no_bool_drops_nothing_in_silence(warning):
    log = log_of({"a": (3, 2)})
    log["content_warning"] = pd.Series([False, True, warning, False, False], dtype=object)
    with pytest.raises(ValueError, match="content_warning that is neither True nor False in row 2"):
        clean_feedback(log)


def test_level_is_a_probability():
    with pytest.raises(ValueError, match="level"):
        flag_biased_users(log_of({"a": (3, 2)}), level=0)
