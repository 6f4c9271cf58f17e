"""Blinded sheets, win rates with intervals, power."""

import numpy as np
import pytest
from scipy import stats

from course_utils.evaluation import (
    blind_comparison,
    distinct_n,
    length_controlled_win_rate,
    position_bias,
    power_of_win_rate,
    win_rate,
)


def test_the_interval_is_wilsons():
    rate, low, high = win_rate(["a"] * 60 + ["b"] * 40)
    expected = stats.binomtest(60, 100).proportion_ci(method="wilson")
    assert (rate, low, high) == pytest.approx((0.6, expected.low, expected.high), abs=1e-12)


def test_a_tie_counts_half_and_stays_in_the_count():
    assert win_rate(["a"] * 40 + ["b"] * 30 + ["tie"] * 30)[0] == pytest.approx(0.55)
    few, many = win_rate(["tie"] * 10), win_rate(["tie"] * 1000)
    assert few[0] == many[0] == 0.5 and many[2] - many[1] < few[2] - few[1]


@pytest.mark.parametrize("judgements", [["a"], ["b"] * 7])
def test_an_interval_stays_within_0_and_1(judgements):
    rate, low, high = win_rate(judgements)
    assert 0 <= low <= rate <= high <= 1 and low < high


@pytest.mark.parametrize("judgements", [[], ["a", "c"]])
def test_what_is_no_judgement_is_refused(judgements):
    with pytest.raises(ValueError, match="^judgements "):
        win_rate(judgements)


def test_a_sheet_shows_both_responses_and_the_key_says_whose_is_first():
    sheet = blind_comparison(["p", "q", "r"], ["a0", "a1", "a2"], ["b0", "b1", "b2"], seed=3)
    assert list(sheet.columns) == ["prompt", "response_1", "response_2"]
    for i, (letter, row) in enumerate(zip(sheet.attrs["key"], sheet.itertuples(), strict=True)):
        assert row.response_1 == f"{letter}{i}"
        assert {row.response_1, row.response_2} == {f"a{i}", f"b{i}"}


def test_the_coins_are_fair_and_the_seeds_own():
    texts = [str(i) for i in range(4000)]
    keys = [blind_comparison(texts, texts, texts, seed).attrs["key"] for seed in (0, 0, 1)]
    assert keys[0] == keys[1] != keys[2]
    assert abs(keys[0].count("a") / 4000 - 0.5) < 0.04


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (([], [], []), "prompts"),
        ((["p"], ["a", "b"], ["c"]), "responses_a"),
        ((["p"], ["a"], []), "responses_b"),
    ],
)
def test_lists_that_do_not_match_are_refused(arguments, name):
    with pytest.raises(ValueError, match=f"^{name} "):
        blind_comparison(*arguments)


def test_a_preference_for_a_place_is_seen():
    rate, low, _ = position_bias([1] * 70 + [2] * 20 + ["tie"] * 10)
    assert rate == 0.75 and low > 0.5
    with pytest.raises(ValueError, match="^chosen_positions "):
        position_bias([1, 3])
    with pytest.raises(ValueError, match="^chosen_positions "):
        position_bias([])


def test_the_power_is_how_often_the_interval_leaves_out_a_half():
    rng = np.random.default_rng(0)
    wins = rng.binomial(100, 0.6, 2000)
    intervals = [win_rate(["a"] * w + ["b"] * (100 - w)) for w in range(101)]
    decided = [intervals[w][1] > 0.5 or intervals[w][2] < 0.5 for w in wins]
    assert power_of_win_rate(100, 0.6) == pytest.approx(np.mean(decided), abs=0.04)
    assert power_of_win_rate(100, 0.5) < 0.06
    with pytest.raises(ValueError, match="^n "):
        power_of_win_rate(0, 0.5)
    with pytest.raises(ValueError, match="^rate "):
        power_of_win_rate(10, 1.5)


def test_distinct_n_is_pooled_over_the_sequences():
    assert distinct_n([[1, 2, 3], [1, 2, 4]], 2) == 0.75
    assert distinct_n([[1, 2, 3], [1, 2, 3]], 2) == 0.5  # each by itself would have 1
    assert distinct_n([["ab", "c"], ["a", "bc"], ["x"]], 2) == 1.0
    assert distinct_n([np.array([1, 1, 1])], 1) == pytest.approx(1 / 3)
    assert distinct_n([[1, 2], []], 3) == distinct_n([], 1) == 0.0
    with pytest.raises(ValueError, match="^n "):
        distinct_n([[1]], 0)


def test_the_length_controlled_rate_solves_the_likelihood_equations():
    rng = np.random.default_rng(0)
    difference = rng.normal(120, 200, 400).round()
    wins = rng.random(400) < 1 / (1 + np.exp(-(-0.3 + difference / 150)))
    rate = length_controlled_win_rate(wins.astype(int).tolist(), difference.tolist())
    assert rate == pytest.approx(1 / (1 + np.exp(0.3)), abs=0.08) and wins.mean() > 0.55
    # at the maximum, with its intercept at a raw difference of 0, the residuals sum to 0 and do not know of length
    intercept = np.log(rate / (1 - rate))
    slopes = np.linspace(0, 0.02, 20_001)
    residuals = np.array([(wins - 1 / (1 + np.exp(-(intercept + s * difference)))).sum() for s in slopes])
    slope = slopes[np.abs(residuals).argmin()]
    fitted = 1 / (1 + np.exp(-(intercept + slope * difference)))
    assert abs((wins - fitted) @ difference) < 1e-3 * np.abs(difference).sum()


def test_without_an_effect_of_length_the_controlled_rate_is_the_raw_one():
    wins, difference = [1, 0, 1, 1, 1, 0, 1, 1], [10, 10, 10, 10, 40, 40, 40, 40]
    assert length_controlled_win_rate(wins, difference) == pytest.approx(0.75, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "wins", "difference"),
    [
        ("length_difference", [1, 0, 1, 0], [2, 1, 3, 0]),
        ("length_difference", [1, 0, 1, 0], [1, 1, 1, 1]),
        ("length_difference", [1, 1, 1, 1], [1, 2, 3, 4]),
        ("length_difference", [1, 0], [1, 2, 3]),
        ("wins", [1, 0.5, 0, 1], [1, 2, 3, 0]),
        ("wins", [1], [1]),
    ],
)
def test_comparisons_without_a_maximum_are_refused(name, wins, difference):
    with pytest.raises(ValueError, match=f"^{name} "):
        length_controlled_win_rate(wins, difference)
