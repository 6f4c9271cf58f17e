"""The losses against values worked by hand, numerical gradients, and what they refuse."""

import math

import pytest
import torch

from course_utils.losses import (
    cdpo_loss,
    dpo_loss,
    dpo_metrics,
    ipo_loss,
    kto_loss,
    kto_reference_point,
    orpo_loss,
    rdpo_loss,
    simpo_loss,
)

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


OF_PAIRS = [dpo_loss, dpo_metrics, cdpo_loss, rdpo_loss, ipo_loss]


@pytest.mark.parametrize("function", OF_PAIRS)
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


NOT_POSITIVE = (0.0, -0.1, float("nan"), float("inf"))


@pytest.mark.parametrize("function", OF_PAIRS)
def test_empty_batches_and_a_beta_that_is_not_positive_are_refused(function):
    with pytest.raises(ValueError, match="^policy_chosen "):
        function(*[torch.zeros(0)] * 4)
    name = "tau" if function is ipo_loss else "beta"
    for value in NOT_POSITIVE:
        with pytest.raises(ValueError, match=f"^{name} "):
            function(*pair(), **{name: value})


# --- labels that may be flipped --------------------------------------------------------------


def test_cdpo_and_rdpo_worked_by_hand():
    assert cdpo_loss(*pair()).item() == pytest.approx(0.618139, abs=1e-6)
    assert rdpo_loss(*pair()).item() == pytest.approx(0.573139, abs=1e-6)
    torch.testing.assert_close(cdpo_loss(*pair(), smoothing=0.0), dpo_loss(*pair()))
    torch.testing.assert_close(rdpo_loss(*pair(), smoothing=0.0), dpo_loss(*pair()))


def test_cdpo_has_no_gradient_at_its_finite_margin():
    beta, smoothing = 0.1, 0.1
    margin = math.log(0.9 / 0.1) / beta
    assert margin == pytest.approx(21.972246, abs=1e-6)
    chosen = torch.tensor([margin - 1, margin, margin + 1], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(3, dtype=torch.float64)
    cdpo_loss(chosen, zero, zero, zero, beta, smoothing).sum().backward()
    below, at, above = chosen.grad.tolist()
    assert below < 0 < above and at == pytest.approx(0.0, abs=1e-12)


def test_rdpo_is_unbiased_under_flips():
    generator = torch.Generator().manual_seed(0)
    c, r, rc, rr = torch.randn(4, 6, generator=generator, dtype=torch.float64) * 5
    for smoothing in (0.1, 0.3, 0.45):
        seen = (1 - smoothing) * rdpo_loss(c, r, rc, rr, 0.5, smoothing)
        seen = seen + smoothing * rdpo_loss(r, c, rr, rc, 0.5, smoothing)
        torch.testing.assert_close(seen, dpo_loss(c, r, rc, rr, 0.5))


@pytest.mark.parametrize("function", [cdpo_loss, rdpo_loss])
def test_a_smoothing_of_a_half_or_more_is_refused_and_the_reference_gets_no_gradient(function):
    for smoothing in (-0.1, 0.5, 0.7, float("nan")):
        with pytest.raises(ValueError, match="^smoothing "):
            function(*pair(), smoothing=smoothing)
    args = [x.requires_grad_() for x in pair()]
    function(*args).sum().backward()
    assert args[0].grad is not None and args[2].grad is None and args[3].grad is None


# --- IPO -------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ipo_loss_worked_by_hand(dtype, device):
    loss = ipo_loss(*pair(dtype, device, copies=2))
    assert loss.shape == (2,) and loss.dtype == dtype and loss.device.type == device
    assert loss.tolist() == pytest.approx([9.0, 9.0], abs=1e-5)


def test_ipo_on_means_per_token_is_another_loss():
    lengths = (6, 10, 6, 10)
    means = [x / n for x, n in zip(pair(), lengths, strict=True)]
    assert ipo_loss(*means).item() == pytest.approx(22.404444, abs=1e-5)


def test_ipo_at_the_start_and_at_its_target():
    logp = torch.tensor([-3.0, -40.0], dtype=torch.float64)
    assert ipo_loss(logp, logp, logp, logp).tolist() == pytest.approx([25.0, 25.0])
    assert ipo_loss(logp + 5, logp, logp, logp).tolist() == pytest.approx([0.0, 0.0], abs=1e-12)


def test_the_gradient_of_ipo_turns_round_and_none_reaches_the_reference():
    args = [torch.tensor(x, dtype=torch.float64) for x in ([3.0, 7.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0])]
    args = [x.requires_grad_() for x in args]
    ipo_loss(*args).sum().backward()
    assert args[0].grad.tolist() == pytest.approx([-4.0, 4.0])
    assert args[1].grad.tolist() == pytest.approx([4.0, -4.0])
    assert args[2].grad is None and args[3].grad is None


@pytest.mark.parametrize(("p", "margin"), [(0.85, 3.5), (0.6, 1.0), (1.0, 5.0)])
def test_the_best_margin_of_ipo_for_a_known_preference_is_finite(p, margin):
    h = torch.tensor([margin], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, dtype=torch.float64)
    (p * ipo_loss(h, zero, zero, zero) + (1 - p) * ipo_loss(zero, h, zero, zero)).sum().backward()
    assert h.grad.item() == pytest.approx(0.0, abs=1e-9)


# --- KTO -------------------------------------------------------------------------------------


def vector(*numbers, dtype=torch.float64, device="cpu"):
    return torch.tensor(numbers, dtype=dtype, device=device)


KINDS = torch.tensor([True, False])


@pytest.mark.parametrize(("ratios", "point"), [((3.0, 1.0), 2.0), ((-3.0, 1.0), 0.0), ((-4.0, 6.0), 1.0)])
def test_the_reference_point_is_clamped_after_the_mean(ratios, point):
    ref = vector(-20.0, -30.0)
    policy = (ref + vector(*ratios)).requires_grad_()
    seen = kto_reference_point(policy, ref)
    assert seen.shape == () and seen.dtype == torch.float64 and not seen.requires_grad
    assert seen.item() == pytest.approx(point)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kto_loss_worked_by_hand(dtype, device):
    policy, ref = (
        vector(-10.0, -12.0, dtype=dtype, device=device),
        vector(-12.0, -13.0, dtype=dtype, device=device),
    )
    kinds = KINDS.to(device)
    point = torch.tensor(2.0, dtype=dtype, device=device)
    loss = kto_loss(policy, ref, kinds, point, beta=0.5)
    assert loss.shape == (2,) and loss.dtype == dtype and loss.device.type == device
    assert loss.tolist() == pytest.approx([0.5, 0.377541], abs=1e-6)
    weighted = kto_loss(policy, ref, kinds, point, beta=0.5, undesirable_weight=1.5)
    assert weighted.mean().item() == pytest.approx(0.533156, abs=1e-6)
    assert kto_loss(policy, ref, kinds, point * 0, 0.5).tolist() == pytest.approx(
        [0.268941, 0.622459], abs=1e-6
    )


@pytest.mark.parametrize("alike", [True, False])
def test_kto_loss_of_a_batch_of_one_kind_starts_at_half_the_weight(alike):
    logp = vector(-3.0, -40.0, -7.0)
    kinds = torch.full((3,), alike)
    loss = kto_loss(logp, logp, kinds, vector(0.0)[0], desirable_weight=1.4, undesirable_weight=0.6)
    assert loss.tolist() == pytest.approx([0.7 if alike else 0.3] * 3)


def test_kto_gradients():
    generator = torch.Generator().manual_seed(0)
    policy, ref = (torch.randn(2, 4, generator=generator, dtype=torch.float64) * 3).unbind()
    kinds, point = torch.tensor([True, False, False, True]), torch.tensor(0.7, dtype=torch.float64)
    policy.requires_grad_(), ref.requires_grad_(), point.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p: kto_loss(p, ref.detach(), kinds, point.detach(), 0.5, 1.3, 0.8), policy
    )
    kto_loss(policy, ref, kinds, point).sum().backward()
    assert (policy.grad[kinds] < 0).all() and (policy.grad[~kinds] > 0).all()
    assert ref.grad is None and point.grad is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kto_loss_saturates_without_nan(dtype):
    policy = vector(1e4, -1e4, 1e4, -1e4, dtype=dtype).requires_grad_()
    kinds = torch.tensor([True, True, False, False])
    loss = kto_loss(policy, torch.zeros_like(policy), kinds, torch.zeros((), dtype=dtype), 1.0, 1.2, 0.7)
    assert loss.tolist() == pytest.approx([0.0, 1.2, 0.7, 0.0])
    loss.sum().backward()
    assert policy.grad.tolist() == [0.0] * 4


def test_wrong_arguments_of_kto_are_refused_by_name():
    good = {
        "policy_logp": vector(-1.0, -2.0),
        "ref_logp": vector(-1.0, -2.0),
        "desirable": KINDS,
        "reference_point": torch.tensor(0.5, dtype=torch.float64),
    }
    kto_loss(**good)
    wrong = {
        "policy_logp": [torch.zeros(2, 1), [-1.0, -2.0], torch.zeros(0)],
        "ref_logp": [vector(-1.0), torch.zeros(2, dtype=torch.int64)],
        "desirable": [torch.tensor([1, 0]), torch.tensor([True]), [True, False], vector(1.0, 0.0)],
        "reference_point": [0.5, vector(0.5), torch.tensor(1)],
        "beta": NOT_POSITIVE,
        "desirable_weight": NOT_POSITIVE,
        "undesirable_weight": NOT_POSITIVE,
    }
    for name, values in wrong.items():
        for value in values:
            with pytest.raises(ValueError, match=f"^{name} "):
                kto_loss(**(good | {name: value}))
    with pytest.raises(ValueError, match="^policy_kl_logp "):
        kto_reference_point(torch.zeros(0), torch.zeros(0))
    with pytest.raises(ValueError, match="^ref_kl_logp "):
        kto_reference_point(vector(-1.0), vector(-1.0, -2.0))


# --- ORPO and SimPO --------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_orpo_and_simpo_worked_by_hand(dtype, device):
    chosen, rejected, nll = (vector(x, dtype=dtype, device=device) for x in (-2.0, -1.5, 2.0))
    for loss, value in (
        (orpo_loss(chosen, rejected, nll), 2.104206),
        (orpo_loss(chosen, rejected, nll * 0, lam=1.0), 1.042058),
        (orpo_loss(chosen, rejected, nll, lam=0.0), 2.0),
        (simpo_loss(chosen, rejected), 2.126928),
        (simpo_loss(chosen, rejected, gamma=0.0), 1.313262),
    ):
        assert loss.shape == (1,) and loss.dtype == dtype and loss.device.type == device
        assert loss.item() == pytest.approx(value, abs=2e-6)


def test_orpo_is_the_odds_ratio_of_probabilities():
    p, q = vector(0.2, 0.6, 0.9), vector(0.5, 0.3, 0.95)
    odds_ratio = (p / (1 - p)) / (q / (1 - q))
    expected = 1.5 + 0.3 * torch.log1p(1 / odds_ratio)
    torch.testing.assert_close(orpo_loss(p.log(), q.log(), torch.full_like(p, 1.5), 0.3), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_orpo_is_stable_from_minus_100_to_minus_1e_6(dtype):
    chosen = vector(-100.0, -1e-6, -1e-6, -100.0, dtype=dtype).requires_grad_()
    rejected = vector(-1e-6, -100.0, -1.0, -99.0, dtype=dtype).requires_grad_()
    nll = torch.zeros(4, dtype=dtype, requires_grad=True)
    loss = orpo_loss(chosen, rejected, nll, lam=1.0)
    # log odds: -100; at -1e-6, log(p / (1 - p)) = 13.815510; at -1, log 0.581977
    assert loss.tolist() == pytest.approx([113.815510, 0.0, 5.81977e-7, 1.313262], rel=2e-5, abs=1e-9)
    loss.sum().backward()
    assert chosen.grad[0].item() == pytest.approx(-1.0)
    assert rejected.grad[0].item() == pytest.approx(1e6, rel=1e-5)
    assert all(torch.isfinite(x.grad).all() for x in (chosen, rejected, nll))
    assert nll.grad.tolist() == [1.0] * 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_simpo_is_stable_down_to_minus_1e3(dtype):
    chosen = vector(-1e3, -0.5, dtype=dtype).requires_grad_()
    rejected = vector(-0.5, -1e3, dtype=dtype).requires_grad_()
    loss = simpo_loss(chosen, rejected)
    assert loss.tolist() == pytest.approx([2000.0, 0.0])
    loss.sum().backward()
    assert chosen.grad.tolist() == [-2.0, 0.0] and rejected.grad.tolist() == [2.0, 0.0]


def test_gradients_of_orpo_and_simpo_are_the_numerical_ones():
    generator = torch.Generator().manual_seed(0)
    args = [
        (-torch.rand(4, generator=generator, dtype=torch.float64) - 0.1).requires_grad_() for _ in range(3)
    ]
    assert torch.autograd.gradcheck(lambda c, r, n: orpo_loss(c, r, n, lam=0.7), args)
    assert torch.autograd.gradcheck(lambda c, r: simpo_loss(c, r, beta=1.5, gamma=0.4), args[:2])


def test_wrong_arguments_of_orpo_and_simpo_are_refused_by_name():
    good = vector(-1.0, -2.0)
    for function, names in (
        (orpo_loss, ("chosen_mean_logp", "rejected_mean_logp", "chosen_nll")),
        (simpo_loss, ("chosen_mean_logp", "rejected_mean_logp")),
    ):
        for name in names:
            for wrong in (torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64), [-1.0, -2.0]):
                with pytest.raises(ValueError, match=f"^{name} "):
                    function(**(dict.fromkeys(names, good) | {name: wrong}))
        with pytest.raises(ValueError, match="^rejected_mean_logp "):
            function(**(dict.fromkeys(names, good) | {"rejected_mean_logp": vector(-1.0)}))
        with pytest.raises(ValueError, match="^chosen_mean_logp "):
            function(*[torch.zeros(0)] * len(names))
    for lam in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="^lam "):
            orpo_loss(good, good, good, lam)
        with pytest.raises(ValueError, match="^gamma "):
            simpo_loss(good, good, gamma=lam)
    for beta in NOT_POSITIVE:
        with pytest.raises(ValueError, match="^beta "):
            simpo_loss(good, good, beta=beta)
