"""Trainers on fixed data: DPO, IPO, rDPO, KTO, SimPO, CPO, ORPO, and the reward model."""

import torch

from course_utils.logprobs import IGNORE, token_logprobs
from course_utils.losses import dpo_loss, ipo_loss, orpo_loss, rdpo_loss
from course_utils.methods.offline import train_dpo, train_kto, train_simpo
from course_utils.methods.start import batches, completions, scores
from course_utils.policy_gradient import mean_over_tokens
from course_utils.reward_models import RewardModel, ScalarModel, reward_model_loss
from course_utils.testbed import text
from course_utils.trl_parity import rig

BETA = 0.3


def dpo():
    """`train_dpo` and DPOTrainer."""
    ours, models = _dpo_loop(dpo_loss)
    return rig.compared(ours, _dpo_trainer(*models, "sigmoid"))


def rdpo():
    """`train_dpo` with `rdpo_loss`, and DPOTrainer with loss_type "robust"; the smoothing is 0.1."""
    ours, models = _dpo_loop(rdpo_loss)
    return rig.compared(ours, _dpo_trainer(*models, "robust", label_smoothing=0.1))


def ipo(aligned=True):
    """`ipo_loss` on means per token, and DPOTrainer with loss_type "ipo".

    Args:
        aligned: False takes `train_ipo`'s sums, as the paper does.
    """
    policy, reference = rig.policy_and_reference()
    batch = _pair_batch()
    with torch.no_grad():
        ref = scores(reference, *batch, average=aligned).chunk(2)
    losses = ipo_loss(*scores(policy, *batch, average=aligned).chunk(2), *ref, BETA)
    ours = rig.backward(losses.mean(), policy)
    return rig.compared(ours, _dpo_trainer(policy, reference, "ipo"))


def kto(aligned=True):
    """`train_kto` and KTOTrainer, on the two responses of each pair as votes, with unequal weights.

    Args:
        aligned: False gives trl the votes in the loop's order, in which its mismatched pairs are others.
    """
    from trl import KTOConfig, KTOTrainer

    policy, reference = rig.policy_and_reference()
    pairs, weights = rig.example_pairs(), (1.0, 1.5)
    votes = [
        (pair["prompt"], pair[side], side == "chosen") for pair in pairs for side in ("chosen", "rejected")
    ]
    stage = rig.Stage(policy, reference)
    ours = rig.first_update(
        train_kto, stage, beta=BETA, steps=1, batch_size=len(votes), seed=0, weights=weights
    )
    order = batches(len(votes), len(votes), 1, seed=0)[0]
    votes = [votes[row] for row in (reversed(order) if aligned else order)]
    columns = {
        "prompt": [text.decode(prompt) for prompt, _, _ in votes],
        "completion": [" " + text.decode(response) for _, response, _ in votes],
        "label": [desirable for _, _, desirable in votes],
    }
    settings = {
        "beta": BETA,
        "per_device_train_batch_size": len(votes),
        "desirable_weight": weights[0],
        "undesirable_weight": weights[1],
    }
    return rig.compared(
        ours, rig.computed(rig.trainer(KTOTrainer, KTOConfig, columns, policy, reference, settings))
    )


def simpo(aligned=True):
    """`train_simpo` and the experimental CPOTrainer with loss_type "simpo", at beta 2 and gamma 1.

    Args:
        aligned: False leaves cpo_alpha at its default of 1, which adds the chosen response's NLL.
    """
    policy, reference = rig.policy_and_reference()
    stage = rig.Stage(policy, reference)
    ours = rig.first_update(train_simpo, stage, beta=2.0, gamma=1.0, steps=1, batch_size=rig.PAIRS)
    own = {"cpo_alpha": 0.0} if aligned else {}
    return rig.compared(ours, _cpo_trainer(policy, beta=2.0, loss_type="simpo", simpo_gamma=1.0, **own))


def cpo():
    """CPO (Xu et al. 2024, arXiv 2401.08417) out of `dpo_loss`, and the experimental CPOTrainer."""
    policy, _ = rig.policy_and_reference()
    ids, labels = _pair_batch()
    chosen, rejected = scores(policy, ids, labels).chunk(2)
    uniform = torch.zeros_like(chosen)
    loss = dpo_loss(chosen, rejected, uniform, uniform, BETA).mean()
    nll = _nll(policy, ids[: rig.PAIRS], labels[: rig.PAIRS])
    return rig.compared(
        rig.backward(loss + nll, policy), _cpo_trainer(policy, beta=BETA, loss_type="sigmoid")
    )


def orpo(aligned=True):
    """`orpo_loss` with trl's NLL, and the experimental ORPOTrainer.

    Args:
        aligned: False takes the NLL of `train_orpo`: of the chosen response alone, averaged over its tokens.
    """
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    policy, _ = rig.policy_and_reference()
    ids, labels = _pair_batch()
    chosen, rejected = scores(policy, ids, labels, average=True).chunk(2)
    nll = -chosen
    if aligned:
        rows = ids[: rig.PAIRS]
        nll = _nll(policy, rows, rows.masked_fill(rows == text.PAD_ID, IGNORE)).expand_as(chosen)
    ours = rig.backward(orpo_loss(chosen, rejected, nll, lam=1.0).mean(), policy)
    made = rig.trainer(ORPOTrainer, ORPOConfig, rig.pair_columns(), policy, settings={"beta": 1.0})
    return rig.compared(ours, rig.computed(made))


def reward(aligned=True):
    """`RewardModel` and `reward_model_loss`, and RewardTrainer.

    Args:
        aligned: False sums the numbers of all response tokens, as `train_reward_model` does.
    """
    from transformers import LlamaForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    ours = RewardModel(ScalarModel.with_trunk_of(rig.policy_and_reference()[0]))
    ids, labels = _pair_batch()
    counted = (labels != IGNORE).long()
    if aligned:
        counted *= counted.cumsum(1) == counted.sum(1, keepdim=True)
    loss, gradients = rig.backward(reward_model_loss(*ours(ids, counted).chunk(2)).mean(), ours)

    config = ours.scalar.trunk.config
    config.num_labels = 1
    theirs = LlamaForSequenceClassification(config)
    theirs.model.load_state_dict(ours.scalar.trunk.state_dict())
    theirs.score.weight.data.copy_(ours.scalar.head.weight)
    their_loss, others = rig.computed(rig.trainer(RewardTrainer, RewardConfig, rig.pair_columns(), theirs))
    renamed = {
        name.replace("scalar.trunk.", "model.").replace("scalar.head.", "score."): gradient
        for name, gradient in gradients.items()
    }
    # trl's head has no bias; of ours, which cancels in the difference, the gradient must be 0
    return rig.compared((loss, renamed), (their_loss, others | {"score.bias": torch.zeros(1)}))


def _dpo_loop(loss):
    """((loss, gradients) of `train_dpo`'s first update on all pairs, (policy, reference))."""
    policy, reference = rig.policy_and_reference()
    stage = rig.Stage(policy, reference)
    ours = rig.first_update(train_dpo, stage, beta=BETA, steps=1, batch_size=rig.PAIRS, loss=loss)
    return ours, (policy, reference)


def _dpo_trainer(policy, reference, loss_type, **own):
    from trl import DPOConfig, DPOTrainer

    settings = {"beta": BETA, "loss_type": [loss_type], **own}
    return rig.computed(rig.trainer(DPOTrainer, DPOConfig, rig.pair_columns(), policy, reference, settings))


def _cpo_trainer(policy, **settings):
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    return rig.computed(rig.trainer(CPOTrainer, CPOConfig, rig.pair_columns(), policy, settings=settings))


def _pair_batch():
    """(ids, labels): all chosen rows, then all rejected."""
    pairs = rig.example_pairs()
    prompts = [pair["prompt"] for pair in pairs]
    return completions(prompts * 2, [pair[side] for side in ("chosen", "rejected") for pair in pairs])


def _nll(policy, ids, labels):
    """The negative log-likelihood of the labels, averaged over all tokens of the batch, as trl's CPO and ORPO do."""
    per_token = -token_logprobs(policy(ids).logits, labels)
    return mean_over_tokens(per_token, labels[:, 1:] != IGNORE, "token")
