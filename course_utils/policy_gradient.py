"""Reinforcement learning on token log-probabilities: rewards, advantages, and the clipped loss.

Pure functions. Tokens lie in (B, T) tensors; a mask, bool, int or float, is 1 where a response token counts.
What stands elsewhere never matters, nan and infinity included, and results there are 0.
"""

import torch

from course_utils.arguments import check_not_negative, check_positive, check_vectors, kind

RULES = ("sequence", "token", "constant")


def kl_shaped_rewards(score, policy_logp, ref_logp, mask, kl_coef):
    """Rewards for PPO: a KL penalty on each token, the score of the whole response on its last one.

    -kl_coef · (log pi - log ref) on every counted token, and `score` besides on the last counted token of the
    row. Their sum over a row is the objective of Ouyang et al. (2022, eq. 2) for one sample, without the
    pretraining term.

    Args:
        score: (B,), what the reward model gives to each whole response.
        policy_logp, ref_logp: (B, T), log-probabilities of the sampled tokens.
        mask: (B, T), 1 where a response token counts; at least one in each row.
        kl_coef: weight of the penalty, finite and >= 0.

    Returns:
        (B, T), not summed; 0 where the mask is 0. Gradients flow into the three float tensors, but the
        policy gradient treats rewards as constants: compute them without gradients, or detach them.

    Raises:
        ValueError: a shape does not fit, a row has no counted token, or kl_coef is negative or not finite.
    """
    _check_tokens(policy_logp=policy_logp, ref_logp=ref_logp)
    counted = _counted(mask, policy_logp)
    check_vectors(score=score)
    if len(score) != len(policy_logp):
        raise ValueError(f"score has {len(score)} values where {len(policy_logp)} are wanted")
    check_not_negative(kl_coef=kl_coef)
    penalty = torch.where(counted, -kl_coef * (policy_logp - ref_logp), 0.0)
    place = torch.arange(counted.shape[1], device=counted.device)
    last = (place * counted).argmax(dim=1, keepdim=True)
    return penalty + torch.where(place == last, score.unsqueeze(1), 0.0)


def gae(rewards, values, mask, gamma=1.0, lam=0.95):
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16; PPO, Schulman et al. 2017, eq. 11-12).

    delta_t = r_t + gamma V_{t+1} - V_t
    A_t = delta_t + gamma lam A_{t+1}

    From the back. After the last counted token the response is over: V and A are 0 there.

    Args:
        rewards: (B, T), the reward of each token.
        values: (B, T), the critic's estimate before each token.
        mask: (B, T), 1 where a response token counts; in each row contiguous, at least one, perhaps after
            a masked prompt and before padding.
        gamma: discount, 0 to 1.
        lam: 0 is one-step bootstrapping, 1 the sum of rewards minus the value; 0 to 1.

    Returns:
        (advantages, returns), each (B, T). returns = advantages + values on counted tokens, the critic's target.
        Both 0 where the mask is 0, nothing averaged, no whitening. Gradients flow into rewards and values, but
        both results are constants of the losses that use them: compute them without gradients, or detach them.

    Raises:
        ValueError: a shape does not fit, a row has no counted token, or gamma or lam lies outside 0 to 1.
    """
    _check_tokens(rewards=rewards, values=values)
    counted = _counted(mask, rewards)
    for name, number in (("gamma", gamma), ("lam", lam)):
        if not 0 <= number <= 1:
            raise ValueError(f"{name} must be between 0 and 1, not {number!r}")
    # zeros first, not a product at the end: nan times 0 would still be nan
    rewards, values = torch.where(counted, rewards, 0.0), torch.where(counted, values, 0.0)
    next_value = next_advantage = torch.zeros_like(rewards[:, 0])
    advantages = []
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        next_advantage = torch.where(counted[:, t], delta + gamma * lam * next_advantage, 0.0)
        next_value = values[:, t]
        advantages.append(next_advantage)
    advantages = torch.stack(advantages[::-1], dim=1)
    return advantages, advantages + values


def ppo_loss(logp, old_logp, advantages, clip=0.2):
    """The clipped surrogate, as a loss (Schulman et al. 2017, eq. 7).

    -min(rho A, clip(rho, 1 - clip, 1 + clip) A),  rho = pi / pi_old

    Args:
        logp: log-probabilities of the sampled tokens under the policy in training, any shape.
        old_logp: the same under the policy that sampled them, the same shape; a constant.
        advantages: the same shape; a constant.
        clip: how far the ratio may go from 1 before its gradient ends, between 0 and 1.

    Returns:
        The shape of `logp`, not reduced (`mean_over_tokens` does that). A gradient into `logp` where the
        unclipped term is the smaller one, 0 where the clipped one is; none into `old_logp` and `advantages`.

    Raises:
        ValueError: not float tensors of one shape, or clip outside 0 to 1.
    """
    _check_same_shape(logp=logp, old_logp=old_logp, advantages=advantages)
    if not 0 < clip < 1:
        raise ValueError(f"clip must lie between 0 and 1, not {clip!r}")
    ratio = torch.exp(logp - old_logp.detach())
    advantages = advantages.detach()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def group_advantages(rewards, group_size, eps=1e-4):
    """GRPO: rewards relative to the other answers to the prompt (Shao et al. 2024, DeepSeekMath, section 4.1.2).

    (r - mean) / (std + eps) within each group, std with n - 1 in the denominator.

    Args:
        rewards: (B,), the rewards of one prompt adjacent.
        group_size: answers per prompt, >= 2; B is a multiple of it.
        eps: keeps groups of nearly equal rewards finite, > 0.

    Returns:
        (B,); exactly 0 for a group whose rewards are all equal.

    Raises:
        ValueError: rewards are not a float vector of a positive multiple of group_size, group_size < 2, or eps <= 0.
    """
    groups = _groups(rewards, group_size)
    check_positive(eps=eps)
    scaled = (groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + eps)
    # a mean of equal numbers may be off in its last digit, which eps would blow up
    constant = (groups == groups[:, :1]).all(1, keepdim=True)
    return torch.where(constant, 0.0, scaled).flatten()


def kl_estimators(logp, ref_logp):
    """Three estimators of KL(pi || ref) from samples of pi (Schulman 2020, "Approximating KL divergence").

    With delta = log pi - log ref: k1 = delta, k2 = delta² / 2, k3 = exp(-delta) - 1 + delta. The means of k1 and
    k3 are the KL; k2 is biased. k2 and k3 are never negative.

    As losses they are another matter, for the gradient does not pass through the sampling: in expectation that of k1
    is 0, that of k2 is the gradient of KL(pi || ref), that of k3 the gradient of KL(ref || pi) (samples from pi itself).

    Args:
        logp, ref_logp: log-probabilities of the same samples under pi and ref, one shape.

    Returns:
        A dict "k1", "k2", "k3", one value per element in the shape of `logp`, not reduced. Gradients into both.

    Raises:
        ValueError: not float tensors of one shape.
    """
    _check_same_shape(logp=logp, ref_logp=ref_logp)
    delta = logp - ref_logp
    return {"k1": delta, "k2": delta.square() / 2, "k3": torch.expm1(-delta) + delta}


def rloo_advantages(rewards, group_size):
    """RLOO: each reward minus the mean of the *other* rewards of its group (Ahmadian et al. 2024, 2402.14740).

    Args:
        rewards: (B,), the rewards of one prompt adjacent.
        group_size: answers per prompt, >= 2; B is a multiple of it.

    Returns:
        (B,). The baseline of an answer does not depend on that answer, so the policy gradient stays unbiased.

    Raises:
        ValueError: as for `centred_advantages`.
    """
    groups = _groups(rewards, group_size)
    others = (groups.sum(1, keepdim=True) - groups) / (group_size - 1)
    return (groups - others).flatten()


def centred_advantages(rewards, group_size):
    """Dr. GRPO: each reward minus the mean of its group, not divided by anything (Liu et al. 2025, 2503.20783).

    Args:
        rewards: (B,), the rewards of one prompt adjacent.
        group_size: answers per prompt, >= 2; B is a multiple of it.

    Returns:
        (B,); `rloo_advantages` times (group_size - 1) / group_size.

    Raises:
        ValueError: rewards are not a float vector of a positive multiple of group_size, or group_size < 2.
    """
    groups = _groups(rewards, group_size)
    return (groups - groups.mean(1, keepdim=True)).flatten()


def mean_over_tokens(per_token, mask, rule, max_length=None):
    """One loss from the losses of the tokens, by one of three rules.

    "sequence": the mean over the counted tokens of each row, then over rows (GRPO, Shao et al. 2024, eq. 3). A token
        of a long answer weighs less than one of a short answer.
    "token": the mean over all counted tokens of the batch (DAPO, Yu et al. 2025, eq. 8).
    "constant": the sum over counted tokens, divided by B · max_length (Dr. GRPO, Liu et al. 2025): no length
        of an answer changes the weight of any token.

    Args:
        per_token: (B, T), losses of tokens.
        mask: (B, T), 1 where a response token counts; at least one in each row.
        rule: "sequence", "token" or "constant".
        max_length: the longest answer the policy may give; used, and wanted, for "constant" only.

    Returns:
        A scalar. No gradient into places that do not count.

    Raises:
        ValueError: a shape does not fit, a row has no counted token, an unknown rule, or no positive max_length for
            "constant".
    """
    _check_tokens(per_token=per_token)
    counted = _counted(mask, per_token)
    losses = torch.where(counted, per_token, 0.0)
    if rule == "sequence":
        return (losses.sum(1) / counted.sum(1)).mean()
    if rule == "token":
        return losses.sum() / counted.sum()
    if rule == "constant":
        if max_length is None:
            raise ValueError('max_length is wanted for the rule "constant"')
        check_positive(max_length=max_length)
        return losses.sum() / (len(losses) * max_length)
    raise ValueError(f"rule must be one of {', '.join(RULES)}, not {rule!r}")


def _check_same_shape(**named):
    """Float tensors of one shape, which has elements."""
    shape = None
    for name, value in named.items():
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            raise ValueError(f"{name} must be a float tensor, not {kind(value)}")
        shape = value.shape if shape is None else shape
        if value.shape != shape:
            raise ValueError(f"{name} has shape {tuple(value.shape)} where {tuple(shape)} is wanted")
        if value.numel() == 0:
            raise ValueError(f"{name} is empty")


def _check_tokens(**named):
    """Float tensors of one shape (B, T)."""
    _check_same_shape(**named)
    for name, value in named.items():
        if value.dim() != 2:
            raise ValueError(f"{name} must have shape (B, T), not {tuple(value.shape)}")


def _counted(mask, like):
    """The mask as bool, of the shape of `like`, with a counted token in every row."""
    if not isinstance(mask, torch.Tensor) or mask.shape != like.shape:
        raise ValueError(f"mask must be a tensor of shape {tuple(like.shape)}, not {kind(mask)}")
    counted = mask != 0
    if not counted.any(1).all():
        raise ValueError("mask has a row without a counted token")
    return counted


def _groups(rewards, group_size):
    """rewards (B,) as (B / group_size, group_size)."""
    check_vectors(rewards=rewards)
    if not isinstance(group_size, int) or group_size < 2:
        raise ValueError(f"group_size must be an integer of at least 2, not {group_size!r}")
    if len(rewards) % group_size:
        raise ValueError(f"rewards has {len(rewards)} values where a multiple of {group_size} is wanted")
    return rewards.reshape(-1, group_size)
