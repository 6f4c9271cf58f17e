"""KTO rows, pairs and weights."""

from collections import Counter

import pandas as pd
import pytest

from course_utils.feedback import kto_weights, to_kto, to_pairs


def log_of(rows):
    frame = pd.DataFrame(rows, columns=["prompt", "response", "feedback"], index=[3] * len(rows))
    return frame.replace({"feedback": {"+": "thumbs_up", "-": "thumbs_down"}})


def test_kto_rows():
    log = log_of([("p", " r ", "+"), ("p", "s", "-"), ("p", " r ", "+")])
    rows = to_kto(log)
    assert rows.to_dict() == {
        "prompt": ["p"] * 3,
        "completion": [" r ", "s", " r "],
        "label": [True, False, True],
    }
    assert rows.features["label"].dtype == "bool"


def test_pairs_are_capped_for_each_prompt():
    sizes = {"a": (27, 37), "b": (40, 40), "c": (1, 1), "d": (0, 4), "e": (1, 3)}
    log = log_of(
        [(p, f"up {i}", "+") for p, (u, _) in sizes.items() for i in range(u)]
        + [(p, f"down {i}", "-") for p, (_, d) in sizes.items() for i in range(d)]
    )
    for cap in (1, 4, 100, 10_000):
        pairs = to_pairs(log, cap)
        wanted = {p: min(cap, u * d) for p, (u, d) in sizes.items() if u * d}
        assert dict(Counter(pairs["prompt"])) == wanted
        rows = list(zip(pairs["prompt"], pairs["chosen"], pairs["rejected"], strict=True))
        assert len(set(rows)) == len(rows)
        assert all(c.startswith("up") and r.startswith("down") for _, c, r in rows)


def test_pairs_spread_over_the_responses():
    log = log_of([("p", f"up {i}", "+") for i in range(6)] + [("p", f"down {i}", "-") for i in range(4)])
    pairs = to_pairs(log, 12)
    assert set(Counter(pairs["chosen"]).values()) == {2}
    assert set(Counter(pairs["rejected"]).values()) == {3, 4} or set(Counter(pairs["rejected"]).values()) == {
        3
    }


def test_a_text_is_not_paired_with_itself():
    log = log_of([("p", "both", "+"), ("p", "both", "-"), ("p", "bad", "-"), ("p", "both", "+")])
    assert to_pairs(log).to_list() == [{"prompt": "p", "chosen": "both", "rejected": "bad"}]
    for cap in range(1, 5):
        rows = [("p", t, v) for t in "abc" for v in "+-"]
        assert len(to_pairs(log_of(rows), cap)) == cap  # six in all


def test_no_pair_at_all_still_has_its_columns():
    pairs = to_pairs(log_of([("p", "a", "+")]))
    assert len(pairs) == 0
    assert pairs.column_names == ["prompt", "chosen", "rejected"]


@pytest.mark.parametrize(
    "counts", [(65, 35), (35, 65), (1, 1), (3, 2), (2, 3), (10_000, 1), (1, 10_000), (149, 100)]
)
def test_weights_keep_the_papers_ratio(counts):
    desirable, undesirable = kto_weights(*counts)
    assert 1 in (desirable, undesirable)
    assert min(desirable, undesirable) >= 1
    ratio = desirable * counts[0] / (undesirable * counts[1])
    assert 1 <= ratio <= 1.5


def test_errors():
    log = log_of([("p", "a", "+"), ("p", None, "-")])
    for function in (to_kto, to_pairs):
        with pytest.raises(ValueError, match="no text in the column 'response' in row 1"):
            function(log)
        with pytest.raises(ValueError, match="'prompt'"):
            function(log.drop(columns="prompt"))
    for cap in (0, -1, 1.5):
        with pytest.raises(ValueError, match="max_pairs_per_prompt"):
            to_pairs(log.iloc[:1], cap)
    with pytest.raises(ValueError, match="n_undesirable"):
        kto_weights(3, 0)
    with pytest.raises(ValueError, match="n_desirable"):
        kto_weights(-1, 3)
