"""Offline methods: a fixed set of responses and labels, nothing sampled from the policy."""

import torch

from course_utils.losses import dpo_loss, ipo_loss, kto_loss, kto_reference_point, orpo_loss, simpo_loss
from course_utils.methods.meter import Meter
from course_utils.methods.start import batches, completions, copies, scores, updates


def train_dpo(
    start, beta=0.5, lr=2e-4, steps=150, batch_size=32, seed=0, loss=dpo_loss, meter=None, progress=None
):
    """DPO on pairs (Rafailov et al. 2023, eq. 7), on summed log-probabilities.

    Args:
        start: a `Start`.
        beta: the fifth argument of `loss`: DPO's beta, IPO's tau.
        lr, steps, batch_size: of the optimiser; a batch is so many pairs.
        seed: of the batches.
        loss: with the signature of `dpo_loss`: `cdpo_loss` and `rdpo_loss` fit.
        meter: a `Meter`, or None.
        progress: called with (step, loss), or None.

    Returns:
        The trained policy.
    """
    meter = meter or Meter()
    policy, reference = copies(start, meter)
    update = updates(policy, lr)
    for step, rows in enumerate(batches(len(start.pairs), batch_size, steps, seed)):
        ids, labels = _chosen_then_rejected(start, rows)
        with torch.no_grad():
            ref_chosen, ref_rejected = scores(reference, ids, labels).chunk(2)
        chosen, rejected = scores(policy, ids, labels).chunk(2)
        mean = loss(chosen, rejected, ref_chosen, ref_rejected, beta).mean()
        update(mean)
        meter.examples += batch_size
        if progress:
            progress(step + 1, mean.item())
    return policy


def train_ipo(start, tau=0.2, lr=3e-4, **settings):
    """IPO (Azar et al. 2023, eq. 17): DPO's loop with IPO's loss, on summed log-probabilities."""
    return train_dpo(start, tau, lr, loss=ipo_loss, **settings)


def train_kto(
    start,
    beta=0.5,
    lr=2e-4,
    steps=150,
    batch_size=64,
    seed=0,
    weights=(1.0, 1.0),
    meter=None,
    progress=None,
):
    """KTO (Ethayarajh et al. 2024, eq. 8): each response of the pairs is a vote of its own, up or down.

    The reference point z0 comes from mismatched pairs: each prompt of the batch with the response of the next.

    Args:
        start, lr, steps, seed, meter, progress: as for `train_dpo`.
        beta: of the loss.
        batch_size: votes in a batch, drawn from all votes without regard to pairs.
        weights: (lambda_D, lambda_U) of the desirable and the undesirable votes.
    """
    meter = meter or Meter()
    policy, reference = copies(start, meter)
    update = updates(policy, lr)
    votes = [
        (pair["prompt"], pair[side], side == "chosen")
        for pair in start.pairs
        for side in ("chosen", "rejected")
    ]
    for step, rows in enumerate(batches(len(votes), batch_size, steps, seed)):
        prompts, responses, desirable = zip(*(votes[row] for row in rows), strict=True)
        mean = kto_batch_loss(policy, reference, prompts, responses, torch.tensor(desirable), beta, weights)
        update(mean)
        meter.examples += batch_size
        if progress:
            progress(step + 1, mean.item())
    return policy


def kto_batch_loss(policy, reference, prompts, responses, desirable, beta, weights):
    """KTO's mean loss on a batch of votes; z0 from each prompt with the response of the next, without gradient."""
    ids, labels = completions(prompts, responses)
    mismatched = completions(prompts, responses[1:] + responses[:1])
    with torch.no_grad():
        ref = scores(reference, ids, labels)
        z0 = kto_reference_point(scores(policy, *mismatched), scores(reference, *mismatched))
    return kto_loss(scores(policy, ids, labels), ref, desirable, z0, beta, *weights).mean()


def train_orpo(start, lam=1.0, lr=3e-4, steps=150, batch_size=32, seed=0, meter=None, progress=None):
    """ORPO (Hong et al. 2024, eq. 6 and 7): the chosen response's NLL and an odds ratio; no reference model.

    Args:
        start, lr, steps, batch_size, seed, meter, progress: as for `train_dpo`.
        lam: weight of the odds-ratio term.
    """

    def loss(chosen, rejected):
        return orpo_loss(chosen, rejected, -chosen, lam)

    return _reference_free(start, loss, lr, steps, batch_size, seed, meter, progress)


def train_simpo(
    start, beta=2.0, gamma=1.0, lr=3e-4, steps=150, batch_size=32, seed=0, meter=None, progress=None
):
    """SimPO (Meng et al. 2024, eq. 6): averaged log-probabilities and a target margin; no reference model.

    Args:
        start, lr, steps, batch_size, seed, meter, progress: as for `train_dpo`.
        beta, gamma: scale of the log-probabilities, and the margin asked for.
    """

    def loss(chosen, rejected):
        return simpo_loss(chosen, rejected, beta, gamma)

    return _reference_free(start, loss, lr, steps, batch_size, seed, meter, progress)


def _reference_free(start, loss, lr, steps, batch_size, seed, meter, progress):
    """Training on pairs with a loss of the two averaged log-probabilities alone."""
    meter = meter or Meter()
    policy = meter.watch("policy", start.copy())
    update = updates(policy, lr)
    for step, rows in enumerate(batches(len(start.pairs), batch_size, steps, seed)):
        ids, labels = _chosen_then_rejected(start, rows)
        mean = loss(*scores(policy, ids, labels, average=True).chunk(2)).mean()
        update(mean)
        meter.examples += batch_size
        if progress:
            progress(step + 1, mean.item())
    return policy


def _chosen_then_rejected(start, rows):
    pairs = [start.pairs[row] for row in rows]
    prompts = [pair["prompt"] for pair in pairs]
    responses = [pair[side] for side in ("chosen", "rejected") for pair in pairs]
    return completions(prompts * 2, responses)
