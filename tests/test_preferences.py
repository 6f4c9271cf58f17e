"""The batch of preferences, token by token; the length bias."""

import copy

import numpy as np
import pytest
import torch
from scipy import stats

from course_utils.evaluation import length_bias
from course_utils.preferences import collate_preferences

PAIRS = [
    {"prompt": [5, 0], "chosen": [7, 8, 0], "rejected": [9]},
    {"prompt": [6], "chosen": [3], "rejected": [4, 0]},
]


def test_a_batch_token_by_token():
    kept = copy.deepcopy(PAIRS)
    batch = collate_preferences(PAIRS, pad_id=0)
    assert batch["input_ids"].tolist() == [[5, 0, 7, 8, 0], [6, 3, 0, 0, 0], [5, 0, 9, 0, 0], [6, 4, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [
        [1, 1, 1, 1, 1],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 0, 0],
    ]
    assert batch["labels"].tolist() == [
        [-100, -100, 7, 8, 0],
        [-100, 3, -100, -100, -100],
        [-100, -100, 9, -100, -100],
        [-100, 4, 0, -100, -100],
    ]
    assert list(batch) == ["input_ids", "attention_mask", "labels"]
    assert all(tensor.dtype == torch.int64 for tensor in batch.values())
    assert kept == PAIRS


def test_tuples_arrays_and_tensors_of_ids():
    for kind in (tuple, np.array, torch.tensor):
        pairs = [{key: kind(ids) for key, ids in pair.items()} for pair in PAIRS]
        expected = collate_preferences(PAIRS, pad_id=1)
        assert all(
            torch.equal(expected[key], value) for key, value in collate_preferences(pairs, pad_id=1).items()
        )


@pytest.mark.parametrize("key", ["prompt", "chosen", "rejected"])
def test_missing_and_empty_parts_are_refused_by_name(key):
    for wrong in ({k: v for k, v in PAIRS[1].items() if k != key}, PAIRS[1] | {key: []}):
        with pytest.raises(ValueError, match=rf"^examples\[1\].*'{key}'"):
            collate_preferences([PAIRS[0], wrong], pad_id=0)


def test_an_empty_list_of_examples_is_refused():
    with pytest.raises(ValueError, match="^examples "):
        collate_preferences([], pad_id=0)


def test_length_bias_is_spearmans_correlation_with_ties():
    generator = np.random.default_rng(0)
    for _ in range(20):
        rewards = generator.integers(-3, 4, 12) / 2
        lengths = generator.integers(3, 9, 12)
        expected = stats.spearmanr(rewards, lengths).statistic
        for kind in (list, tuple, np.asarray, torch.as_tensor):
            seen = length_bias(kind(rewards), kind(lengths))
            assert type(seen) is float
            assert seen == pytest.approx(expected, abs=1e-12)


def test_length_bias_is_that_of_ranks():
    assert length_bias([0.1, 0.2, 30.0], [5, 6, 7]) == pytest.approx(1.0)
    assert length_bias(torch.tensor([3.0, 2.0, 1.0], requires_grad=True), [5, 6, 7]) == pytest.approx(-1.0)


def test_length_bias_where_it_is_not_defined():
    assert np.isnan(length_bias([1.0, 1.0, 1.0], [5, 6, 7]))


@pytest.mark.parametrize(
    ("rewards", "lengths", "named"),
    [
        ([1.0], [2], "rewards"),
        ([], [], "rewards"),
        ([[1.0, 2.0]], [1, 2], "rewards"),
        ([1.0, 2.0], [1, 2, 3], "lengths"),
    ],
)
def test_length_bias_refuses_by_name(rewards, lengths, named):
    with pytest.raises(ValueError, match=f"^{named} "):
        length_bias(rewards, lengths)
