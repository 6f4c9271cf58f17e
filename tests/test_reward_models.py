"""The reward model's loss against values worked by hand, numerical gradients, and what it refuses."""

import math

import pytest
import torch

from course_utils.reward_models import (
    RewardModel,
    ScalarModel,
    ensemble_reward,
    reward_model_loss,
    train_reward_model,
)
from course_utils.testbed import models, text


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_loss_worked_by_hand_knows_only_differences(dtype):
    chosen, rejected = torch.tensor([2.0, 0.5], dtype=dtype), torch.tensor([1.0, 0.5], dtype=dtype)
    loss = reward_model_loss(chosen, rejected)
    assert loss.shape == (2,) and loss.dtype == dtype
    assert loss.tolist() == pytest.approx([0.313262, math.log(2)], abs=1e-6)
    torch.testing.assert_close(reward_model_loss(chosen + 5, rejected + 5), loss)


def test_the_gradient_is_the_numerical_one():
    generator = torch.Generator().manual_seed(0)
    args = [torch.randn(5, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)]
    assert torch.autograd.gradcheck(reward_model_loss, args)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_loss_is_stable_for_differences_of_1e4(dtype):
    chosen = torch.tensor([1e4, -1e4], dtype=dtype, requires_grad=True)
    rejected = torch.zeros(2, dtype=dtype, requires_grad=True)
    loss = reward_model_loss(chosen, rejected)
    assert loss.tolist() == [0.0, 1e4]
    loss.sum().backward()
    assert chosen.grad.tolist() == [0.0, -1.0] and rejected.grad.tolist() == [0.0, 1.0]


def test_wrong_rewards_are_refused_by_name():
    good = torch.zeros(2)
    for wrong in (torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64), [1.0, 2.0], torch.zeros(0)):
        with pytest.raises(ValueError, match="^chosen_rewards "):
            reward_model_loss(wrong, good)
    for wrong in (torch.zeros(3), torch.zeros(())):
        with pytest.raises(ValueError, match="^rejected_rewards "):
            reward_model_loss(good, wrong)


PROMPTS = text.make_prompts(64, seed=3)
GOOD, BAD = text.encode("yes right .") + [text.EOS_ID], text.encode("great .")


def test_a_reward_model_learns_a_preference_and_is_standardised():
    pairs = [{"prompt": p, "chosen": GOOD, "rejected": BAD} for p in PROMPTS.tolist()]
    losses = []
    model = train_reward_model(
        pairs, len(text.VOCABULARY), width=16, steps=40, progress=lambda step, loss: losses.append(loss)
    )
    assert losses[-1] < 0.3 * losses[0]
    scores = model.score(PROMPTS.repeat(2, 1), [GOOD] * 64 + [BAD] * 64)
    assert (scores[:64] > scores[64:]).all() and not scores.requires_grad and not model.training
    assert scores.mean().item() == pytest.approx(0, abs=1e-3)
    assert scores.std().item() == pytest.approx(1, abs=1e-3)


def test_a_score_counts_the_response_only_and_does_not_depend_on_padding():
    model = RewardModel(ScalarModel(models.small_model(len(text.VOCABULARY), width=16).model)).eval()
    alone = model.score(PROMPTS[:1], [BAD])
    together = model.score(PROMPTS[:2], [BAD, GOOD * 3])
    torch.testing.assert_close(together[:1], alone)
    numbers = model.scalar(torch.cat([PROMPTS[:1], torch.tensor([BAD])], dim=1))
    torch.testing.assert_close(alone, numbers[:, -len(BAD) :].sum(1).detach())


def test_no_pairs_are_refused():
    with pytest.raises(ValueError, match="^pairs "):
        train_reward_model([], 44)


@pytest.mark.parametrize(
    ("rule", "reward"), [("mean", 1.6), ("min", 1.0), ("percentile25", 1.1), ("uwo", 1.346667)]
)
def test_the_rules_of_an_ensemble_worked_by_hand(rule, reward):
    rewards = torch.tensor([[1.0, -1.0], [1.2, 2.0], [2.6, 0.5]], dtype=torch.float64)
    assert ensemble_reward(rewards, rule, 0.5)[0].item() == pytest.approx(reward, abs=1e-6)
    assert ensemble_reward(rewards.float(), rule).dtype == torch.float32
    assert torch.autograd.gradcheck(lambda r: ensemble_reward(r, rule, 0.5), rewards.requires_grad_())


def test_one_model_is_no_reason_for_caution():
    rewards = torch.tensor([[0.5, -2.0]])
    for rule in ("mean", "min", "percentile25", "uwo"):
        torch.testing.assert_close(ensemble_reward(rewards, rule, 3.0), rewards[0])


def test_wrong_ensembles_are_refused_by_name():
    good = torch.zeros(2, 3)
    for wrong in (torch.zeros(3), torch.zeros(2, 3, dtype=torch.int64), torch.zeros(0, 3)):
        with pytest.raises(ValueError, match="^rewards "):
            ensemble_reward(wrong, "mean")
    with pytest.raises(ValueError, match="^rule "):
        ensemble_reward(good, "median")
    with pytest.raises(ValueError, match="^coef "):
        ensemble_reward(good, "uwo", -1.0)
