"""The batch of preferences, token by token; the length bias; online pairs."""

import copy

import numpy as np
import pytest
import torch
from scipy import stats

from course_utils.evaluation import length_bias
from course_utils.preferences import collate_preferences, online_pairs

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


def test_online_pairs_by_hand():
    rewards = torch.tensor([0.5, 2.0, -1.0, 1.0, 3.0, 3.0, 3.0, 3.0, 0.0, 1.0, 0.0, 1.0])
    kept = rewards.clone()
    chosen, rejected = online_pairs(rewards, 4)
    assert chosen.tolist() == [1, 9]  # the second group shows no preference
    assert rejected.tolist() == [2, 8]
    assert chosen.dtype == rejected.dtype == torch.int64
    assert torch.equal(kept, rewards)


def test_online_pairs_are_the_best_and_the_worst_of_every_group():
    rewards = torch.randn(60, generator=torch.Generator().manual_seed(3), requires_grad=True)
    for size in (2, 3, 5, 60):
        chosen, rejected = online_pairs(rewards, size)
        groups = rewards.detach().reshape(-1, size)
        assert torch.equal(rewards.detach()[chosen], groups.amax(1))
        assert torch.equal(rewards.detach()[rejected], groups.amin(1))
        assert (chosen // size).tolist() == (rejected // size).tolist() == list(range(60 // size))


def test_without_a_difference_there_is_no_online_pair():
    for chosen, rejected in (online_pairs(torch.ones(6), 3), online_pairs([0, 0], 2)):
        assert chosen.shape == rejected.shape == (0,)
        assert chosen.dtype == rejected.dtype == torch.int64


@pytest.mark.parametrize(
    ("rewards", "size", "named"),
    [
        (torch.zeros(0), 2, "rewards"),
        (torch.zeros(2, 4), 4, "rewards"),
        (torch.zeros(6), 4, "group_size"),
        (torch.zeros(6), 1, "group_size"),
        (torch.zeros(6), 0, "group_size"),
    ],
)
def test_online_pairs_refuse_by_name(rewards, size, named):
    with pytest.raises(ValueError, match=f"^{named} "):
        online_pairs(rewards, size)
