"""Online methods: the policy's own samples, judged while it trains."""

import torch

from course_utils.logprobs import IGNORE, token_logprobs
from course_utils.losses import dpo_loss
from course_utils.methods.meter import Meter
from course_utils.methods.start import completions, copies, scores, updates
from course_utils.policy_gradient import (
    gae,
    group_advantages,
    kl_estimators,
    kl_shaped_rewards,
    mean_over_tokens,
    ppo_loss,
)
from course_utils.preferences import online_pairs
from course_utils.reward_models import ScalarModel
from course_utils.testbed.text import MAX_RESPONSE


def train_ppo(
    start,
    reward,
    kl_coef=0.5,
    lr=3e-4,
    critic_lr=1e-3,
    iterations=50,
    rollouts=64,
    epochs=2,
    minibatch=32,
    clip=0.2,
    lam=0.95,
    seed=0,
    meter=None,
    progress=None,
):
    """RLHF with PPO (Ouyang et al. 2022; Schulman et al. 2017): a clipped policy gradient and a critic.

    Args:
        start: a `Start`.
        reward: from (prompts, responses) to a tensor (B,); a model inside it may be watched by the meter.
        kl_coef: price of the KL penalty, per token, inside the reward.
        lr, critic_lr: of the policy, and of the critic, which has a trunk of its own.
        iterations, rollouts: rounds of sampling, and samples in each.
        epochs, minibatch: how often each sample is used, and in what portions.
        clip, lam: of the PPO loss and of the advantages (GAE).
        seed: of prompts, samples and minibatches.
        meter: a `Meter`, or None.
        progress: called with (iteration, mean score), or None.

    Returns:
        The trained policy.
    """
    meter = meter or Meter()
    policy, reference = copies(start, meter)
    critic = meter.watch("critic", ScalarModel.with_trunk_of(start.model, seed))
    update, update_critic = updates(policy, lr), updates(critic, critic_lr)
    generator = torch.Generator().manual_seed(seed)
    for iteration in range(iterations):
        prompts, responses = _rollouts(start, policy, rollouts, 1, generator, meter)
        ids, labels = completions(prompts, responses)
        mask = labels[:, 1:] != IGNORE
        with torch.no_grad():
            old = token_logprobs(policy(ids).logits, labels)
            ref = token_logprobs(reference(ids).logits, labels)
            score = reward(prompts, responses)
            rewards = kl_shaped_rewards(score, old, ref, mask, kl_coef)
            # the value before a token is read where that token is predicted
            advantages, returns = gae(rewards, critic(ids)[:, :-1], mask, lam=lam)
            advantages = (advantages - advantages[mask].mean()) / (advantages[mask].std() + 1e-6)
        for _ in range(epochs):
            for rows in torch.randperm(rollouts, generator=generator).split(minibatch):
                logp = token_logprobs(policy(ids[rows]).logits, labels[rows])
                loss = ppo_loss(logp, old[rows], advantages[rows], clip)
                update(mean_over_tokens(loss, mask[rows], "token"))
                error = (critic(ids[rows])[:, :-1] - returns[rows]) ** 2 / 2
                update_critic(mean_over_tokens(error, mask[rows], "token"))
        meter.examples += rollouts
        if progress:
            progress(iteration + 1, score.mean().item())
    return policy


def train_online_dpo(
    start, reward, beta=0.5, lr=2e-4, iterations=50, pairs=32, seed=0, meter=None, progress=None
):
    """Online DPO (Guo et al. 2024): pairs of the policy's own samples, ranked by an annotator, then DPO.

    The reference stays the start. Nothing is differentiated through sampling or the annotator. A pair
    whose two rewards are equal is dropped.

    Args:
        start, lr, iterations, seed, meter, progress: as for `train_ppo`.
        reward: the annotator: the higher of its two scores is the chosen response.
        beta: of the DPO loss.
        pairs: prompts in each round, two samples each.
    """
    meter = meter or Meter()
    policy, reference = copies(start, meter)
    update = updates(policy, lr)
    generator = torch.Generator().manual_seed(seed)
    for iteration in range(iterations):
        prompts, responses = _rollouts(start, policy, pairs, 2, generator, meter)
        score = reward(prompts, responses)
        chosen_rows, rejected_rows = online_pairs(score, 2)
        ids, labels = completions(prompts, responses)
        with torch.no_grad():
            ref = scores(reference, ids, labels)
        logp = scores(policy, ids, labels)
        loss = dpo_loss(logp[chosen_rows], logp[rejected_rows], ref[chosen_rows], ref[rejected_rows], beta)
        update(loss.mean())
        meter.examples += pairs
        if progress:
            progress(iteration + 1, score.mean().item())
    return policy


def train_grpo(
    start,
    reward,
    kl_coef=0.5,
    lr=2e-4,
    iterations=60,
    groups=8,
    group_size=8,
    advantages=group_advantages,
    average="sequence",
    seed=0,
    meter=None,
    progress=None,
):
    """GRPO (Shao et al. 2024, eq. 3 and 4): advantages within a group of samples, no critic.

    One update for each round of samples, so that the ratio of new and old policy is 1, and clipping never
    acts. RLOO and Dr. GRPO are other values of `advantages` and `average`.

    Args:
        start, lr, iterations, seed, meter, progress: as for `train_ppo`.
        reward: from (prompts, responses) to a tensor (B,): a reward model or a verifier.
        kl_coef: weight of the KL estimate k3 in the loss (the paper's beta).
        groups, group_size: prompts in each round, and samples for each.
        advantages: from (rewards, group_size) to (B,): `group_advantages`, `rloo_advantages` or
            `centred_advantages`.
        average: how tokens are averaged, see `mean_over_tokens`.
    """
    meter = meter or Meter()
    policy, reference = copies(start, meter)
    update = updates(policy, lr)
    generator = torch.Generator().manual_seed(seed)
    for iteration in range(iterations):
        prompts, responses = _rollouts(start, policy, groups, group_size, generator, meter)
        score = reward(prompts, responses)
        ids, labels = completions(prompts, responses)
        mask = labels[:, 1:] != IGNORE
        with torch.no_grad():
            ref = token_logprobs(reference(ids).logits, labels)
        logp = token_logprobs(policy(ids).logits, labels)
        gain = advantages(score, group_size)[:, None].expand_as(logp)
        loss = ppo_loss(logp, logp.detach(), gain) + kl_coef * kl_estimators(logp, ref)["k3"]
        update(mean_over_tokens(loss, mask, average, MAX_RESPONSE))
        meter.examples += len(responses)
        if progress:
            progress(iteration + 1, score.mean().item())
    return policy


def _rollouts(start, policy, count, copies_each, generator, meter):
    """`count` random prompts, each `copies_each` times in a row, and a sample for every one."""
    rows = torch.randint(len(start.prompts), (count,), generator=generator)
    prompts = start.prompts[rows].repeat_interleave(copies_each, dim=0)
    seed = int(torch.randint(2**31, (), generator=generator))
    return prompts, meter.sample(policy, prompts, MAX_RESPONSE, seed)
