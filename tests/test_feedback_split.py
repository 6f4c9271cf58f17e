"""Splits: nobody on two sides, the sizes, and the price where that cannot be had for nothing."""

import numpy as np
import pandas as pd
import pytest

from course_utils.feedback import (
    connected_groups,
    largest_group,
    simulate_feedback,
    split_by_time,
    split_by_user,
    split_feedback,
)

SIDES = ("train", "validation", "test")


@pytest.fixture(scope="module")
def log():
    return simulate_feedback(12_000, seed=5)[0]


def shared(frames, column):
    sets = [set(frames[side][column]) for side in SIDES]
    return sum(map(len, sets)) - len(set().union(*sets))


def test_nobody_is_on_two_sides_and_the_sizes_are_right(log):
    for seed in range(5):
        frames = split_feedback(log, seed=seed)
        assert list(frames) == list(SIDES)
        assert sorted(np.concatenate([f.index for f in frames.values()])) == list(log.index)
        assert shared(frames, "user_id") == shared(frames, "prompt") == 0
        for side, fraction in zip(SIDES, (0.8, 0.1, 0.1), strict=True):
            assert len(frames[side]) / len(log) == pytest.approx(fraction, abs=0.1)
            pd.testing.assert_frame_equal(frames[side], log.loc[frames[side].index])


def test_the_seed_decides(log):
    one, same, other = (split_feedback(log, seed=seed) for seed in (1, 1, 2))
    assert one["test"].equals(same["test"])
    assert not one["test"].equals(other["test"])


def test_groups_follow_chains():
    log = pd.DataFrame(
        {"user_id": ["a", "b", "b", "c", "d", "e"], "prompt": ["1", "1", "2", "2", "3", "a"]}, index=[7] * 6
    )
    groups = connected_groups(log)
    assert len(set(groups[:4])) == 1
    assert len(set(groups)) == 3  # a user is not a prompt of the same name
    assert largest_group(log) == pytest.approx(4 / 6)


def test_a_side_without_a_share_stays_empty(log):
    frames = split_feedback(log, fractions=(0.9, 0.0, 0.1))
    assert len(frames["validation"]) == 0


def test_a_log_that_hangs_together(log):
    common = log.copy()
    common.loc[common.index % 10 == 0, "prompt"] = "hi"
    assert largest_group(common) > 0.9
    frames = split_by_user(common, seed=1)
    assert shared(frames, "user_id") == shared(frames, "prompt") == 0
    cut = sum(frame.attrs["cut"] for frame in frames.values())
    assert cut == len(common) - sum(map(len, frames.values()))
    assert 0 < cut < len(common)


def test_split_by_user_cuts_nothing_where_prompts_are_one_users():
    log = pd.DataFrame(
        {"user_id": [f"u{i // 3}" for i in range(300)], "prompt": [f"p{i}" for i in range(300)]}
    )
    frames = split_by_user(log)
    assert [frame.attrs["cut"] for frame in frames.values()] == [0, 0, 0]
    assert sum(map(len, frames.values())) == 300
    assert len(frames["test"]) == pytest.approx(30, abs=5)


def test_by_time_the_future_is_not_trained_on(log):
    log = log.sample(frac=1, random_state=0)
    frames = split_by_time(log)
    assert frames["train"]["timestamp"].max() < frames["validation"]["timestamp"].min()
    assert frames["validation"]["timestamp"].max() < frames["test"]["timestamp"].min()
    assert sum(map(len, frames.values())) == len(log)
    assert len(frames["train"]) / len(log) == pytest.approx(0.8, abs=0.01)
    assert frames["train"].attrs["known_users"] == 0
    assert 0 < frames["test"].attrs["known_users"] <= 1


def test_by_time_a_moment_is_not_parted():
    log = pd.DataFrame(
        {"user_id": ["a"] * 10, "timestamp": pd.to_datetime(["2026-01-05"] * 9 + ["2026-01-06"])}
    )
    frames = split_by_time(log)
    assert [len(frames[side]) for side in SIDES] == [9, 0, 1]


@pytest.mark.parametrize("split", [split_feedback, split_by_user, split_by_time])
def test_errors(log, split):
    for fractions in ((0.8, 0.1), (0.8, 0.3, 0.1), (1.2, -0.1, -0.1), (float("nan"),) * 3):
        with pytest.raises(ValueError, match="fractions"):
            split(log, fractions)
    with pytest.raises(ValueError, match="'user_id'"):
        split(log.drop(columns="user_id"))
    with pytest.raises(ValueError, match="empty"):
        split(log.iloc[:0])


def test_users_and_prompts_must_be_known(log):
    broken = log.copy()
    broken.loc[4, "user_id"] = None
    with pytest.raises(ValueError, match="lacks the user_id in row 4"):
        split_feedback(broken)
