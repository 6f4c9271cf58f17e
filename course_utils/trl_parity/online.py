"""Trainers on samples: GRPO and its relatives, RLOO, online DPO. Both sides get the same samples and rewards.

Our side draws the samples. On trl's, the one method that would draw them hands them out instead, and the
reward function hands out the rewards; reference log-probabilities, KL, advantages and loss are trl's own.
"""

import torch

from course_utils.logprobs import IGNORE, token_logprobs
from course_utils.losses import ipo_loss
from course_utils.methods.online import train_grpo, train_online_dpo
from course_utils.methods.start import completions, scores
from course_utils.policy_gradient import (
    centred_advantages,
    group_advantages,
    kl_estimators,
    kl_shaped_rewards,
    mean_over_tokens,
    ppo_loss,
    rloo_advantages,
)
from course_utils.preferences import online_pairs
from course_utils.testbed import models, text
from course_utils.trl_parity import rig

GROUPS, SIZE, KL_COEF, CLIP, BETA = 3, 4, 0.3, 0.2, 0.3


def grpo(aligned=True):
    """`train_grpo` and GRPOTrainer with loss_type "grpo" and k3 in the loss.

    Args:
        aligned: False leaves use_bias_correction_kl at its default, True: the same loss, another gradient.
    """
    settings = {"loss_type": "grpo", "scale_rewards": "group", "use_bias_correction_kl": not aligned}
    return _grpo_loop(group_advantages, "sequence", settings)


def dr_grpo():
    """`train_grpo` with Dr. GRPO's advantages and constant, and GRPOTrainer with loss_type "dr_grpo"."""
    settings = {"loss_type": "dr_grpo", "scale_rewards": "none", "use_bias_correction_kl": False}
    return _grpo_loop(centred_advantages, "constant", settings)


def dapo():
    """`train_grpo` with a mean over all tokens, and GRPOTrainer with loss_type "dapo"."""
    settings = {"loss_type": "dapo", "scale_rewards": "group", "use_bias_correction_kl": False}
    return _grpo_loop(group_advantages, "token", settings)


def grpo_again():
    """`ppo_loss` with ratios off 1, some clipped, and GRPOTrainer when it uses its samples a second time.

    The KL term is weighted as trl's default has it: k3 times the ratio, which carries a gradient.
    """
    stage, (ids, labels, mask) = _staged()
    later = rig.moved(stage.policy)
    old, ref = _token_logprobs(stage, ids, labels)
    logp = token_logprobs(later(ids).logits, labels)
    gain = group_advantages(stage.rewards, SIZE)[:, None].expand_as(logp)
    ratio = (logp - old).exp()
    _must_clip(ratio[mask], gain[mask])
    loss = ppo_loss(logp, old, gain, CLIP) + KL_COEF * ratio * kl_estimators(logp, ref)["k3"]
    ours = rig.backward(mean_over_tokens(loss, mask, "sequence"), later)
    settings = {"loss_type": "grpo", "scale_rewards": "group", "num_iterations": 2}
    return rig.compared(ours, _group_trainer("GRPO", stage, settings, later))


def rloo():
    """RLOO (Ahmadian et al. 2024) out of our functions, and RLOOTrainer when it uses its samples a second time.

    At the first use the loss is 0 whatever the rewards, since the advantages of a group sum to 0.
    """
    stage, (ids, labels, mask) = _staged()
    later = rig.moved(stage.policy)
    old, ref = _token_logprobs(stage, ids, labels)
    rewards = kl_shaped_rewards(stage.rewards, old, ref, mask, KL_COEF).sum(1)
    gain = rloo_advantages(rewards, SIZE)
    logp = scores(later, ids, labels)
    _must_clip((logp - old.sum(1)).exp(), gain)
    ours = rig.backward(ppo_loss(logp, old.sum(1), gain, CLIP).mean(), later)
    return rig.compared(ours, _group_trainer("RLOO", stage, {"num_iterations": 2}, later))


def online_dpo():
    """`train_online_dpo` and the experimental OnlineDPOTrainer."""
    stage = rig.Stage(*rig.policy_and_reference())
    ours = rig.first_update(train_online_dpo, stage, stage.reward, beta=BETA, iterations=1, pairs=rig.PAIRS)
    return rig.compared(ours, _pairs_trainer(stage, "sigmoid"))


def online_ipo():
    """`ipo_loss` on sums, as in the paper and in `train_ipo`, and OnlineDPOTrainer with loss_type "ipo".

    In float64: the gradients are large, and float32 would round them by more than 1e-5.
    """
    stage, (ids, labels, _) = _staged(groups=rig.PAIRS, size=2)
    for model in (stage.policy, stage.reference):
        model.double()
    with torch.no_grad():
        ref = scores(stage.reference, ids, labels)
    logp = scores(stage.policy, ids, labels)
    chosen, rejected = online_pairs(stage.rewards, 2)
    losses = ipo_loss(logp[chosen], logp[rejected], ref[chosen], ref[rejected], BETA)
    return rig.compared(rig.backward(losses.mean(), stage.policy), _pairs_trainer(stage, "ipo"))


def _grpo_loop(advantages, average, settings):
    """`train_grpo`'s first update against GRPOTrainer's."""
    stage = rig.Stage(*rig.policy_and_reference())
    ours = rig.first_update(
        train_grpo,
        stage,
        stage.reward,
        kl_coef=KL_COEF,
        iterations=1,
        groups=GROUPS,
        group_size=SIZE,
        advantages=advantages,
        average=average,
    )
    return rig.compared(ours, _group_trainer("GRPO", stage, settings))


def _staged(groups=GROUPS, size=SIZE):
    """(stage, (ids, labels, mask)) of `size` samples for each of `groups` prompts; the mask is (B, T-1).

    At most 8 tokens each: a sum of 26 log-probabilities is near -100, where float32 is good to 1e-5 only.
    """
    stage = rig.Stage(*rig.policy_and_reference())
    prompts = text.make_prompts(groups, seed=0).repeat_interleave(size, dim=0)
    stage.reward(prompts, stage.sample(stage.policy, prompts, 8, seed=0))
    ids, labels = completions(prompts, stage.responses)
    return stage, (ids, labels, labels[:, 1:] != IGNORE)


@torch.no_grad()
def _token_logprobs(stage, ids, labels):
    """(B, T-1) log-probabilities under the policy that drew the samples, and under the reference."""
    return [token_logprobs(model(ids).logits, labels) for model in (stage.policy, stage.reference)]


def _must_clip(ratio, gain):
    """The comparison must hold ratios that the clip stops on either side, and ratios that it leaves alone."""
    stopped = ((ratio > 1 + CLIP) & (gain > 0)).any() and ((ratio < 1 - CLIP) & (gain < 0)).any()
    if not stopped or not ((ratio - 1).abs() < CLIP).any():
        raise RuntimeError("the ratios do not test the clip on both sides")


@rig.alone()
def _group_trainer(name, stage, settings, later=None):
    """(loss, gradients) of GRPOTrainer or RLOOTrainer on a stage's samples.

    Args:
        name: "GRPO" or "RLOO".
        stage: its policy is the one that drew the samples.
        settings: of the config, beside what both share.
        later: the model whose loss is wanted, where it is not the policy.
    """
    import trl

    rows = [{"prompt": text.decode(prompt)} for prompt in stage.prompts]
    shared = {
        "beta": KL_COEF,
        "epsilon": CLIP,
        "num_generations": SIZE,
        "per_device_train_batch_size": GROUPS * SIZE,
        "max_completion_length": text.MAX_RESPONSE,
    }
    made = rig.trainer(
        getattr(trl, f"{name}Trainer"),
        getattr(trl, f"{name}Config"),
        {"prompt": [row["prompt"] for row in rows]},
        stage.policy,
        stage.reference,
        shared | settings,
        reward_funcs=lambda **_: stage.rewards.tolist(),
    )
    made._generate_single_turn = lambda *_: (stage.responses, None) if name == "GRPO" else stage.responses
    batch = made._generate_and_score_completions(rows)
    if later is not None:
        made.model.load_state_dict(later.state_dict())
    return rig.computed(made, batch)


@rig.alone()
def _pairs_trainer(stage, loss_type):
    """(loss, gradients) of OnlineDPOTrainer's `training_step` on a stage's samples, two for each prompt."""
    from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

    # trl keeps all first samples, then all second ones; ours stand side by side
    order = torch.arange(len(stage.rewards)).view(-1, 2).T.flatten()
    prompts, responses = stage.prompts[order], [stage.responses[i] for i in order]
    texts = [text.decode(prompt) for prompt in stage.prompts[::2]]
    made = rig.trainer(
        OnlineDPOTrainer,
        OnlineDPOConfig,
        {"prompt": texts},
        stage.policy,
        stage.reference,
        {"beta": BETA, "loss_type": loss_type},
        reward_funcs=lambda **_: stage.rewards[order].tolist(),
    )
    mask = models.pad_rows([[1] * len(row) for row in responses], 0)
    samples = prompts, torch.ones_like(prompts), models.pad_rows(responses, text.PAD_ID), mask, None
    made._generate = lambda *_: samples
    loss = made.training_step(made.model, {"prompt": texts})
    return loss.item(), rig.gradients(made.model)
