"""Win rates with intervals."""

import pytest
from scipy import stats

from course_utils.evaluation import win_rate


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
