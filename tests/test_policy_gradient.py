"""Rewards, advantages and the clipped loss against values worked by hand, exact enumeration, and what they refuse."""

import math

import pytest
import torch

from course_utils.policy_gradient import (
    centred_advantages,
    gae,
    group_advantages,
    kl_estimators,
    kl_shaped_rewards,
    mean_over_tokens,
    ppo_loss,
    rloo_advantages,
)

NAN, INF = math.nan, math.inf


def tensor(*numbers, dtype=torch.float64):
    return torch.tensor(numbers, dtype=dtype)


def near(*numbers):
    return pytest.approx(list(numbers), abs=1e-5)


# ------------------------------------------------------------------------------- rewards and advantages

POLICY, REF = (-1.0, -2.0, -0.5), (-1.2, -1.5, -0.7)


@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.float64])
def test_shaped_rewards_worked_by_hand(kind):
    mask = torch.ones(1, 3, dtype=kind)
    rewards = kl_shaped_rewards(tensor(1.0), tensor(*POLICY)[None], tensor(*REF)[None], mask, 0.1)
    assert rewards[0].tolist() == near(-0.02, 0.05, 0.98)
    assert rewards.sum().item() == pytest.approx(1.01, abs=1e-5)


def test_shaped_rewards_after_a_prompt_and_before_padding():
    policy = tensor(NAN, -INF, *POLICY, 7.0)[None].repeat(2, 1)
    ref = tensor(-INF, NAN, *REF, NAN)[None].repeat(2, 1)
    mask = torch.tensor([[0, 0, 1, 1, 1, 0], [0, 0, 1, 0, 0, 0]])
    rewards = kl_shaped_rewards(tensor(1.0, 3.0), policy, ref, mask, 0.1)
    assert rewards[0].tolist() == near(0, 0, -0.02, 0.05, 0.98, 0)
    assert rewards[1].tolist() == near(0, 0, 2.98, 0, 0, 0)


ROLLOUT = tensor(0.0, 0.0, 1.0)[None], tensor(0.5, 0.6, 0.7)[None], torch.ones(1, 3)


@pytest.mark.parametrize(
    ("lam", "advantages"),
    [(0.95, (0.46575, 0.385, 0.3)), (1.0, (0.5, 0.4, 0.3)), (0.0, (0.1, 0.1, 0.3))],
)
def test_gae_worked_by_hand(lam, advantages):
    found, returns = gae(*ROLLOUT, lam=lam)
    assert found[0].tolist() == near(*advantages)
    assert (returns - found)[0].tolist() == near(0.5, 0.6, 0.7)


def test_gae_defaults_and_returns_worked_by_hand():
    advantages, returns = gae(*ROLLOUT)
    assert advantages[0].tolist() == near(0.46575, 0.385, 0.3)
    assert returns[0].tolist() == near(0.96575, 0.985, 1.0)


@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.float32])
def test_gae_after_a_prompt_and_before_padding(kind):
    rewards, values = tensor(9, NAN, 0, 0, 1, NAN, INF)[None], tensor(NAN, 5, 0.5, 0.6, 0.7, -INF, NAN)[None]
    mask = torch.tensor([[0, 0, 1, 1, 1, 0, 0]], dtype=kind)
    advantages, returns = gae(rewards, values, mask)
    assert advantages[0].tolist() == near(0, 0, 0.46575, 0.385, 0.3, 0, 0)
    assert returns[0].tolist() == near(0, 0, 0.96575, 0.985, 1.0, 0, 0)


def test_gae_is_the_discounted_sum_of_the_errors():
    generator = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, 3, 6, generator=generator, dtype=torch.float64)
    gamma, lam = 0.9, 0.7
    following = torch.cat([values[:, 1:], torch.zeros(3, 1)], 1)
    errors = rewards + gamma * following - values
    by_sum = torch.stack(
        [sum((gamma * lam) ** k * errors[:, t + k] for k in range(6 - t)) for t in range(6)], 1
    )
    torch.testing.assert_close(gae(rewards, values, torch.ones(3, 6), gamma, lam)[0], by_sum)


def test_what_does_not_count_gets_no_gradient_and_no_nan():
    rewards, values = (
        tensor(NAN, 1, 2, NAN)[None].requires_grad_(),
        tensor(INF, 0.5, 1, NAN)[None].requires_grad_(),
    )
    advantages, _ = gae(rewards, values, torch.tensor([[0, 1, 1, 0]]), 0.5, 0.5)
    advantages.sum().backward()
    assert rewards.grad[0].tolist() == near(0, 1, 1.25, 0)
    assert values.grad[0].tolist() == near(0, -1, -0.75, 0)  # 0.5 - 1 - 0.25 for the second


# ------------------------------------------------------------------------------------------- the loss


def test_ppo_loss_worked_by_hand():
    logp = tensor(1.5, 1.5, 0.5, 0.5).log().requires_grad_()
    loss = ppo_loss(logp, torch.zeros(4, dtype=torch.float64), tensor(1, -1, -1, 1))
    assert (-loss).tolist() == near(1.2, -1.5, -0.8, 0.5)
    loss.sum().backward()
    # 0 where clipped; else -rho A
    assert logp.grad.tolist() == near(0, 1.5, 0, -0.5)


def test_the_first_step_of_ppo_is_the_policy_gradient():
    logp = tensor(-1.0, -2.0, -3.0).requires_grad_()
    advantages = tensor(1.0, -0.5, 2.0).requires_grad_()
    loss = ppo_loss(logp, logp, advantages)
    assert loss.tolist() == near(-1.0, 0.5, -2.0)
    loss.sum().backward()
    assert logp.grad.tolist() == near(-1.0, 0.5, -2.0)  # none through old_logp, though it is the same tensor
    assert advantages.grad is None


# --------------------------------------------------------------------------------------------- groups


def test_group_advantages_worked_by_hand():
    rewards = tensor(1, 0, 0, 0)
    assert group_advantages(rewards, 4).tolist() == near(1.49970, -0.49990, -0.49990, -0.49990)
    assert group_advantages(rewards, 4, eps=1e-12).tolist() == near(1.5, -0.5, -0.5, -0.5)
    assert centred_advantages(rewards, 4).tolist() == near(0.75, -0.25, -0.25, -0.25)
    assert rloo_advantages(rewards, 4).tolist() == near(1, -1 / 3, -1 / 3, -1 / 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1, 0.7, -123.456])
def test_a_constant_group_has_no_signal_at_all(reward, dtype):
    rewards = torch.full((6,), reward, dtype=dtype)
    assert group_advantages(rewards, 3).tolist() == [0.0] * 6


def test_groups_do_not_mix():
    first, second = tensor(1, 2, 5), tensor(100, 90, 70)
    for advantages in (group_advantages, rloo_advantages, centred_advantages):
        together = advantages(torch.cat([first, second]), 3)
        torch.testing.assert_close(together, torch.cat([advantages(first, 3), advantages(second, 3)]))


@pytest.mark.parametrize("size", [2, 3, 8])
def test_rloo_is_a_multiple_of_the_centred_advantages(size):
    rewards = torch.randn(4 * size, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    torch.testing.assert_close(
        rloo_advantages(rewards, size), size / (size - 1) * centred_advantages(rewards, size)
    )


# --------------------------------------------------------------------------------------------- the KL


def two_distributions():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(5, generator=generator, dtype=torch.float64).requires_grad_()
    ref = torch.randn(5, generator=generator, dtype=torch.float64).log_softmax(0)
    return logits, ref


def kl(p, q):
    """KL of two vectors of log-probabilities."""
    return (p.exp() * (p - q)).sum()


def test_estimators_worked_by_hand():
    found = kl_estimators(tensor(*POLICY), tensor(*REF))
    assert found["k1"].tolist() == near(0.2, -0.5, 0.2)
    assert found["k2"].tolist() == near(0.02, 0.125, 0.02)
    assert found["k3"].tolist() == near(0.018731, 0.148721, 0.018731)


def test_k1_and_k3_are_unbiased_and_k2_is_not():
    logits, ref = two_distributions()
    logp = logits.detach().log_softmax(0)
    means = {name: (logp.exp() * k).sum().item() for name, k in kl_estimators(logp, ref).items()}
    exact = kl(logp, ref).item()
    assert means["k1"] == pytest.approx(exact, abs=1e-12)
    assert means["k3"] == pytest.approx(exact, abs=1e-12)
    assert abs(means["k2"] - exact) > 0.01
    assert all((k >= 0).all() for name, k in kl_estimators(logp, ref).items() if name != "k1")


def test_as_losses_the_estimators_have_the_gradients_of_other_things():
    """The expectation over samples of the autograd gradient, by enumeration: the sampling carries no gradient."""
    logits, ref = two_distributions()

    def gradient(scalar):
        return torch.autograd.grad(scalar, logits, retain_graph=True)[0]

    logp = logits.log_softmax(0)
    frequencies = logp.exp().detach()
    losses = {name: (frequencies * k).sum() for name, k in kl_estimators(logp, ref).items()}
    torch.testing.assert_close(gradient(losses["k1"]), torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(gradient(losses["k2"]), gradient(kl(logp, ref)))
    torch.testing.assert_close(gradient(losses["k3"]), gradient(kl(ref, logp)))
    assert not torch.allclose(gradient(kl(logp, ref)), gradient(kl(ref, logp)), rtol=0.1)


# ------------------------------------------------------------------------------------- mean over tokens

# A short row and a long one, after a prompt of one token.
LOSSES = tensor(NAN, 1, 3, INF, NAN, 9), tensor(7, 2, 2, 4, 4, 3)
COUNTED = torch.tensor([[0, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 1]])


@pytest.mark.parametrize(
    ("rule", "value", "shares"),
    [
        ("sequence", (4 / 2 + 15 / 5) / 2, (1 / 4, 1 / 10)),
        ("token", 19 / 7, (1 / 7, 1 / 7)),
        ("constant", 19 / (2 * 8), (1 / 16, 1 / 16)),
    ],
)
def test_three_ways_to_average(rule, value, shares):
    losses = torch.stack(LOSSES).requires_grad_()
    mean = mean_over_tokens(losses, COUNTED, rule, max_length=8)
    assert mean.shape == () and mean.item() == pytest.approx(value, abs=1e-12)
    mean.backward()
    assert losses.grad[0].tolist() == near(0, shares[0], shares[0], 0, 0, 0)
    assert losses.grad[1].tolist() == near(0, *[shares[1]] * 5)


def test_a_long_wrong_answer_is_punished_less_per_token_by_grpo():
    mask = torch.arange(100) < torch.tensor([[10], [100]])
    for rule, short, long in (("sequence", 0.1, 0.01), ("token", 1 / 110, 1 / 110)):
        losses = torch.ones(2, 100, dtype=torch.float64, requires_grad=True)
        mean_over_tokens(losses, mask, rule).backward()
        rows = 2 if rule == "sequence" else 1  # the rule's own mean over rows
        assert (rows * losses.grad[:, 0]).tolist() == near(short, long)


# ---------------------------------------------------------------------------------- dtype, purity, errors

CALLS = {
    "kl_shaped_rewards": lambda t, mask: kl_shaped_rewards(t[0, :2], t[:2], t[2:], mask, 0.1),
    "advantages": lambda t, mask: gae(t[:2], t[2:], mask)[0],
    "returns": lambda t, mask: gae(t[:2], t[2:], mask)[1],
    "ppo_loss": lambda t, mask: ppo_loss(t[:2], t[2:], t[:2]),
    "group_advantages": lambda t, mask: group_advantages(t[0], 3),
    "rloo_advantages": lambda t, mask: rloo_advantages(t[0], 3),
    "centred_advantages": lambda t, mask: centred_advantages(t[0], 3),
    "k3": lambda t, mask: kl_estimators(t[:2], t[2:])["k3"],
    "mean_over_tokens": lambda t, mask: mean_over_tokens(t[:2], mask, "sequence"),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept_and_inputs_are_unchanged(name, dtype):
    values = torch.randn(4, 6, generator=torch.Generator().manual_seed(1)).to(dtype)
    before, mask = values.clone(), torch.tensor([[0, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1]])
    assert CALLS[name](values, mask).dtype == dtype
    assert torch.equal(values, before)


T = torch.zeros(2, 3)
M = torch.ones(2, 3)
S = torch.zeros(2)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("score", lambda: kl_shaped_rewards(torch.zeros(3), T, T, M, 0.1)),
        ("score", lambda: kl_shaped_rewards(T, T, T, M, 0.1)),
        ("policy_logp", lambda: kl_shaped_rewards(S, S, S, M, 0.1)),
        ("policy_logp", lambda: kl_shaped_rewards(S, T.long(), T, M, 0.1)),
        ("ref_logp", lambda: kl_shaped_rewards(S, T, T[:, :2], M, 0.1)),
        ("mask", lambda: kl_shaped_rewards(S, T, T, M[:, :2], 0.1)),
        ("mask", lambda: kl_shaped_rewards(S, T, T, M * tensor(0, 1)[:, None], 0.1)),
        ("kl_coef", lambda: kl_shaped_rewards(S, T, T, M, -0.1)),
        ("kl_coef", lambda: kl_shaped_rewards(S, T, T, M, NAN)),
        ("rewards", lambda: gae(S, S, M)),
        ("rewards", lambda: gae(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0, 3))),
        ("values", lambda: gae(T, T[:1], M)),
        ("mask", lambda: gae(T, T, [[1, 1, 1], [1, 1, 1]])),
        ("gamma", lambda: gae(T, T, M, 1.1)),
        ("lam", lambda: gae(T, T, M, 1.0, -0.1)),
        ("logp", lambda: ppo_loss([0.1], T, T)),
        ("old_logp", lambda: ppo_loss(T, S, T)),
        ("advantages", lambda: ppo_loss(T, T, S)),
        ("clip", lambda: ppo_loss(T, T, T, 0.0)),
        ("clip", lambda: ppo_loss(T, T, T, 1.5)),
        ("rewards", lambda: group_advantages(torch.zeros(5), 2)),
        ("rewards", lambda: group_advantages(torch.zeros(0), 2)),
        ("rewards", lambda: rloo_advantages(T, 2)),
        ("rewards", lambda: centred_advantages(torch.zeros(4).long(), 2)),
        ("group_size", lambda: group_advantages(torch.zeros(4), 1)),
        ("group_size", lambda: rloo_advantages(torch.zeros(4), 1)),
        ("group_size", lambda: centred_advantages(torch.zeros(4), 2.0)),
        ("eps", lambda: group_advantages(torch.zeros(4), 2, 0.0)),
        ("logp", lambda: kl_estimators(torch.zeros(0), torch.zeros(0))),
        ("ref_logp", lambda: kl_estimators(T, S)),
        ("per_token", lambda: mean_over_tokens(S, M, "token")),
        ("mask", lambda: mean_over_tokens(T, M[:1], "token")),
        ("rule", lambda: mean_over_tokens(T, M, "mean")),
        ("max_length", lambda: mean_over_tokens(T, M, "constant")),
        ("max_length", lambda: mean_over_tokens(T, M, "constant", 0)),
    ],
)
def test_errors_name_the_argument(name, call):
    with pytest.raises(ValueError, match=f"^{name} "):
        call()
