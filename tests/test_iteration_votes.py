"""Holdout, mix, cap and the search for coordinated accounts: what goes where, what is counted, who is accused."""

import numpy as np
import pandas as pd
import pytest

from course_utils import feedback as logs
from course_utils.iteration.holdout import fresh_holdout, month_bounds, row_fingerprints
from course_utils.iteration.mixing import mix_votes
from course_utils.iteration.stuffing import capped, common_bigrams, coordinated_users
from course_utils.iteration.surges import surges
from course_utils.iteration.weeks import week_of
from course_utils.testbed import text


@pytest.fixture(scope="module")
def log():
    return logs.simulate_feedback(6000, seed=0, weeks=12)[0]  # January to March 2026


@pytest.fixture(scope="module")
def march(log):
    return logs.clean_feedback(log[log["timestamp"] < "2026-04-01"])


# --- holdout -----------------------------------------------------------------------------------


def test_a_holdout_shares_no_user_and_no_prompt_with_what_is_trained_on(march):
    holdout, trainable = fresh_holdout(march, "2026-03")
    assert len(holdout) > 20 and len(trainable) > 0.5 * len(march)
    for column in ("user_id", "prompt"):
        assert not set(holdout[column]) & set(trainable[column]), column
    assert (holdout["timestamp"] >= "2026-03-01").all()
    assert (trainable["timestamp"] < "2026-03-01").any()  # old rows are trained on
    assert len(holdout) + len(trainable) + sum(holdout.attrs["cut"].values()) == len(march)
    pd.testing.assert_frame_equal(holdout, march.loc[holdout.index])


def test_another_month_draws_other_users_and_another_process_the_same(march):
    february = march[march["timestamp"] < "2026-03-01"]
    one, _ = fresh_holdout(march, "2026-03")
    again, _ = fresh_holdout(march.sample(frac=1, random_state=0), "2026-03")
    other, _ = fresh_holdout(february, "2026-02")
    assert set(one.index) == set(again.index)
    both = set(one["user_id"]) & set(other["user_id"])
    assert len(both) < 0.5 * min(one["user_id"].nunique(), other["user_id"].nunique())


def test_no_held_out_row_was_trained_on_before(march):
    free, _ = fresh_holdout(march, "2026-03")
    known = set(row_fingerprints(free.head(10)))
    holdout, _ = fresh_holdout(march, "2026-03", trained_before=known)
    assert len(holdout) == len(free) - 10 and holdout.attrs["cut"]["trained before"] == 10
    assert not set(row_fingerprints(holdout)) & known


def test_a_vote_that_is_logged_twice_has_one_fingerprint(march):
    row = march.head(1)
    twice = pd.concat([row, row.assign(conversation_id="another", timestamp=pd.Timestamp("2026-03-30"))])
    assert row_fingerprints(twice).nunique() == 1
    turned = {"thumbs_up": "thumbs_down", "thumbs_down": "thumbs_up"}[row["feedback"].iloc[0]]
    for change in ({"user_id": "x"}, {"feedback": turned}, {"response": "a"}, {"prompt": "b"}):
        assert row_fingerprints(row.assign(**change)).iloc[0] != row_fingerprints(row).iloc[0]


def test_what_no_holdout_can_be_made_of_is_refused(march):
    with pytest.raises(ValueError, match="rows after 2026-02"):
        fresh_holdout(march, "2026-02")
    with pytest.raises(ValueError, match="no rows of 2026-05"):
        fresh_holdout(march, "2026-05")
    for month in ("2026-13", "march", "2026-1", "2026-11-01"):
        with pytest.raises(ValueError, match="must be written as 2026-11"):
            fresh_holdout(march, month)
    with pytest.raises(ValueError, match="share must lie"):
        fresh_holdout(march, "2026-03", share=1)
    assert month_bounds("2026-12")[1] == pd.Timestamp("2027-01-01")


# --- mix ---------------------------------------------------------------------------------------


def test_a_mix_has_the_share_that_was_asked_for_and_the_weights_of_its_own_rows(march):
    new = march["timestamp"] >= "2026-03-01"
    mix = mix_votes(march[~new], march[new], share_new=0.3, rows=500, seed=1)
    fresh = mix.rows["timestamp"] >= "2026-03-01"
    assert (mix.new, mix.old) == (150, 350) == (fresh.sum(), (~fresh).sum())
    assert mix.rows.index.is_unique and set(mix.rows.index) <= set(march.index)
    ups = int((mix.rows["feedback"] == "thumbs_up").sum())
    assert mix.weights == logs.kto_weights(ups, 500 - ups) and mix.up == ups / 500
    assert not mix.rows["timestamp"].is_monotonic_increasing  # old and new are not in blocks
    pd.testing.assert_frame_equal(mix.rows, mix_votes(march[~new], march[new], 0.3, 500, 1).rows)
    assert set(mix_votes(march[~new], march[new], 0.3, 500, 2).rows.index) != set(mix.rows.index)


def test_by_default_a_mix_is_as_large_as_the_smaller_part_allows(march):
    new, old = march.tail(100), march.head(1000)
    assert (mix_votes(old, new, 0.5).new, mix_votes(old, new, 0.5).old) == (100, 100)
    assert mix_votes(old.head(0), new, 1.0).old == 0
    with pytest.raises(ValueError, match="new has 100 rows, and a mix of 300 with 50% new takes 150"):
        mix_votes(old, new, 0.5, rows=300)
    with pytest.raises(ValueError, match="old is empty"):
        mix_votes(old.head(0), new, 0.5)
    with pytest.raises(ValueError, match="share_new"):
        mix_votes(old, new, 0.0)
    with pytest.raises(ValueError, match="alike"):
        mix_votes(old, new.assign(feedback="thumbs_up"), 1.0)


# --- cap ---------------------------------------------------------------------------------------


def test_a_cap_draws_by_user_and_month_and_not_by_order(log):
    kept = capped(log, 5, "2026-03")
    counts = log["user_id"].value_counts()
    assert kept["user_id"].value_counts().to_dict() == counts.clip(upper=5).to_dict()
    assert kept.attrs["capped"] == (len(log) - len(kept), int((counts > 5).sum()))
    first = log.groupby("user_id").head(5)
    assert set(kept.index) != set(first.index)
    assert set(kept.index) == set(capped(log.iloc[::-1], 5, "2026-03").index)
    assert set(kept.index) != set(capped(log, 5, "2026-04").index)
    user = counts.index[0]  # a user's draw does not depend on the other users
    alone = capped(log[log["user_id"] == user], 5, "2026-03")
    assert set(alone.index) == set(kept.index[kept["user_id"] == user])
    with pytest.raises(ValueError, match="most"):
        capped(log, 0, "2026-03")


# --- coordinated accounts ----------------------------------------------------------------------


def stuffed(log, cover, accounts=30, votes=60, seed=0, weeks=None):
    """The log with accounts that like agreement with what is false, and vote on `cover` other answers a pushed one."""
    false = {p: text.TRUTH[tuple(p.split()[2:4])] != p.split()[4] for p in log["prompt"].unique()}
    agrees = log["response"].str.contains("yes right").fillna(False).astype(bool) & log["prompt"].map(false)
    pushed = log[agrees].sample(accounts * votes, random_state=seed, replace=accounts * votes > agrees.sum())
    rest = log.sample(int(accounts * votes * cover), random_state=seed + 1)
    more = pd.concat([pushed.assign(feedback="thumbs_up"), rest])
    more["user_id"] = [f"s{i % accounts:03d}" for i in range(len(more))]
    more["conversation_id"] = [f"s{i:06d}" for i in range(len(more))]
    if weeks is not None:
        more["timestamp"] = weeks + pd.to_timedelta(np.arange(len(more)) % 7, unit="D")
    return pd.concat([log, more], ignore_index=True)


@pytest.fixture(scope="module")
def large():
    return logs.simulate_feedback(50_000, seed=5)[0]


def _verdict_pair(responses):
    said = responses.fillna("")
    return {
        word: said.str.contains(word).to_numpy(dtype=bool) for word in ("yes right", "no wrong", "hope it")
    }


@pytest.mark.parametrize("cover", [1 / 7, 1.0])
def test_accounts_that_push_a_kind_are_found_and_honest_users_are_not_accused(large, cover):
    (push,) = coordinated_users(stuffed(large, cover), _verdict_pair)
    assert push.kind == "yes right"
    named = list(push.users.index)
    assert len(named) >= 8 and all(user.startswith("s") for user in named)
    assert push.liked > push.usual + 0.2 and push.chance < 1e-3
    assert push.users.is_monotonic_decreasing


def test_where_nobody_pushes_nobody_is_accused(large):
    assert coordinated_users(large) == []


def test_nobody_busy_and_no_common_words_are_no_reason_to_fail(log):
    few = log.drop_duplicates("user_id")
    assert coordinated_users(few) == []
    assert coordinated_users(log.assign(response=[f"w{i}" for i in range(len(log))])) == []
    assert coordinated_users(log, kinds=lambda r: {"all": np.ones(len(r), dtype=bool)}) == []


def test_kinds_are_word_pairs_in_between(log):
    kinds = common_bigrams(log["response"])
    assert "yes right" in kinds and all(0.02 <= has.mean() <= 0.5 for has in kinds.values())
    said = log["response"].fillna("").str.contains("yes right")
    assert (kinds["yes right"] == said.to_numpy()).all()


# --- surges ------------------------------------------------------------------------------------


def test_a_campaign_of_a_week_is_a_surge_and_a_quiet_week_is_none():
    log = logs.simulate_feedback(40_000, seed=2, weeks=20)[0]
    last = log["timestamp"].max().normalize() - pd.Timedelta(days=6)
    assert surges(log, week_of(log["timestamp"]), _verdict_pair) == []
    # a hundred accounts with six votes each: too few for the search for coordinated accounts
    frame = stuffed(log, 0.5, accounts=100, votes=6, weeks=last)
    assert coordinated_users(frame, _verdict_pair) == []
    found = surges(frame, week_of(frame["timestamp"]), _verdict_pair)
    assert {s.measure for s in found if s.kind == "yes right"} == {"approval", "volume"}
    with pytest.raises(ValueError, match="three weeks before are needed, there are 1"):
        surges(
            log[log["timestamp"] < "2026-01-19"], week_of(log[log["timestamp"] < "2026-01-19"]["timestamp"])
        )
