"""The losses against values worked by hand, numerical gradients, and what they refuse."""

import math

import pytest
import torch

from course_utils.losses import dpo_loss, dpo_metrics

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
    ),
]


def pair(dtype=torch.float64, device="cpu", copies=1):
    """log π(w) = -12, log π(l) = -15, reference -13 and -14: a margin of 2."""
    return [torch.full((copies,), x, dtype=dtype, device=device) for x in (-12.0, -15.0, -13.0, -14.0)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dpo_loss_worked_by_hand(dtype, device):
    loss = dpo_loss(*pair(dtype, device))
    assert loss.shape == (1,) and loss.dtype == dtype and loss.device.type == device
    assert loss.item() == pytest.approx(0.598139, abs=1e-6)


def test_dpo_loss_is_per_pair_and_not_reduced():
    assert dpo_loss(*pair(copies=2)).tolist() == pytest.approx([0.598139, 0.598139], abs=1e-6)


def test_dpo_loss_at_the_start_is_log_2():
    logp = torch.tensor([-3.0, -40.0])
    torch.testing.assert_close(
        dpo_loss(logp, logp - 1, logp, logp - 1, beta=0.7), torch.full((2,), math.log(2))
    )


def test_dpo_gradient_worked_by_hand():
    chosen, rejected, *ref = pair()
    chosen.requires_grad_(), rejected.requires_grad_()
    dpo_loss(chosen, rejected, *ref).sum().backward()
    assert chosen.grad.item() == pytest.approx(-0.045017, abs=1e-6)
    assert rejected.grad.item() == pytest.approx(0.045017, abs=1e-6)


def test_dpo_gradient_is_the_numerical_one_and_none_reaches_the_reference():
    generator = torch.Generator().manual_seed(0)
    args = [torch.randn(4, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(4)]
    ref = [x.detach() for x in args[2:]]
    assert torch.autograd.gradcheck(lambda c, r: dpo_loss(c, r, *ref, beta=0.5), args[:2])
    dpo_loss(*args, beta=0.5).sum().backward()
    assert args[0].grad is not None and args[2].grad is None and args[3].grad is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dpo_loss_is_stable_for_margins_of_1e4(dtype):
    chosen = torch.tensor([1e4, -1e4], dtype=dtype, requires_grad=True)
    zero = torch.zeros(2, dtype=dtype)
    loss = dpo_loss(chosen, zero, zero, zero, beta=0.5)
    assert loss.tolist() == [0.0, 5000.0]
    loss.sum().backward()
    assert chosen.grad.tolist() == [0.0, -0.5]


@pytest.mark.parametrize("device", DEVICES)
def test_dpo_metrics_worked_by_hand(device):
    seen = dpo_metrics(*pair(device=device))
    assert seen == pytest.approx(
        {"chosen_reward": 0.1, "rejected_reward": -0.1, "margin": 0.2, "accuracy": 1.0}
    )
    assert all(type(value) is float for value in seen.values())


def test_dpo_metrics_of_a_batch_that_needs_a_gradient():
    chosen = torch.tensor([-1.0, -5.0, -2.0], requires_grad=True)
    rejected = torch.tensor([-2.0, -1.0, -2.5], requires_grad=True)
    ref = torch.tensor([-2.0, -2.0, -2.0])
    seen = dpo_metrics(chosen, rejected, ref, ref, beta=0.5)
    rewards = [0.5, -1.5, 0.0], [0.0, 0.5, -0.25]
    assert seen["chosen_reward"] == pytest.approx(sum(rewards[0]) / 3)
    assert seen["rejected_reward"] == pytest.approx(sum(rewards[1]) / 3)
    assert seen["margin"] == pytest.approx((0.5 - 2.0 + 0.25) / 3)
    assert seen["accuracy"] == pytest.approx(2 / 3)


NAMES = ("policy_chosen", "policy_rejected", "ref_chosen", "ref_rejected")


@pytest.mark.parametrize("function", [dpo_loss, dpo_metrics])
@pytest.mark.parametrize("at", range(4))
def test_wrong_vectors_are_refused_by_name(function, at):
    for wrong in (torch.zeros(1, 1), torch.zeros(()), torch.zeros(1, dtype=torch.int64), [-1.0]):
        args = pair()
        args[at] = wrong
        with pytest.raises(ValueError, match=f"^{NAMES[at]} "):
            function(*args)
    if at:
        args = pair()
        args[at] = torch.zeros(2, dtype=torch.float64)
        with pytest.raises(ValueError, match=f"^{NAMES[at]} "):
            function(*args)


@pytest.mark.parametrize("function", [dpo_loss, dpo_metrics])
def test_empty_batches_and_a_beta_that_is_not_positive_are_refused(function):
    with pytest.raises(ValueError, match="^policy_chosen "):
        function(*[torch.zeros(0)] * 4)
    for beta in (0.0, -0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="^beta "):
            function(*pair(), beta=beta)
