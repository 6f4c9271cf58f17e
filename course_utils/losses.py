"""Preference losses: pure functions, one value per example; the training loop takes the mean."""

import math

import torch
from torch.nn import functional as F


def dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    """-log sigmoid(beta · margin): direct preference optimisation (Rafailov et al. 2023, eq. 7).

    margin = [log pi(y_w|x) - log ref(y_w|x)] - [log pi(y_l|x) - log ref(y_l|x)]

    Args:
        policy_chosen, policy_rejected: (B,), log-probabilities of the responses under the policy,
            summed over their tokens.
        ref_chosen, ref_rejected: (B,), the same under the reference.
        beta: strength of the pull towards the reference, > 0.

    Returns:
        (B,), not reduced; log 2 where policy and reference agree. Stable for margins of ±1e4. A gradient
        into the policy's log-probabilities, none into the reference's.

    Raises:
        ValueError: the log-probabilities are not four float vectors of one length of at least 1, or beta <= 0.
    """
    _check_vectors(
        policy_chosen=policy_chosen,
        policy_rejected=policy_rejected,
        ref_chosen=ref_chosen,
        ref_rejected=ref_rejected,
    )
    _check_positive(beta=beta)
    chosen = policy_chosen - ref_chosen.detach()
    rejected = policy_rejected - ref_rejected.detach()
    return -F.logsigmoid(beta * (chosen - rejected))


@torch.no_grad()
def dpo_metrics(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    """What to watch beside the loss: implicit rewards, their margin, and how often it is positive.

    The implicit reward of a response is beta (log pi - log ref), without the part beta log Z(x) that
    depends on the prompt only (Rafailov et al. 2023, section 4).

    Args:
        policy_chosen, policy_rejected, ref_chosen, ref_rejected: (B,), as for `dpo_loss`.
        beta: > 0.

    Returns:
        A dict of Python floats: "chosen_reward" and "rejected_reward", the batch means of the implicit
        rewards; "margin", the mean of their difference; "accuracy", the share of pairs, 0 to 1, whose
        chosen reward is the larger (a tie counts as a miss). No gradient.

    Raises:
        ValueError: as for `dpo_loss`.
    """
    _check_vectors(
        policy_chosen=policy_chosen,
        policy_rejected=policy_rejected,
        ref_chosen=ref_chosen,
        ref_rejected=ref_rejected,
    )
    _check_positive(beta=beta)
    chosen = beta * (policy_chosen - ref_chosen)
    rejected = beta * (policy_rejected - ref_rejected)
    return {
        "chosen_reward": chosen.mean().item(),
        "rejected_reward": rejected.mean().item(),
        "margin": (chosen - rejected).mean().item(),
        "accuracy": (chosen > rejected).double().mean().item(),
    }


def _check_vectors(**named):
    """Each argument is a float vector, all of one length, which is not 0."""
    length = None
    for name, value in named.items():
        if not isinstance(value, torch.Tensor) or value.dim() != 1 or not value.is_floating_point():
            kind = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise ValueError(f"{name} must be a float tensor of shape (B,), not {kind}")
        length = len(value) if length is None else length
        if len(value) != length:
            raise ValueError(f"{name} has {len(value)} values where {length} are wanted")
        if length == 0:
            raise ValueError(f"{name} is empty")


def _check_positive(**named):
    for name, value in named.items():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be positive and finite, not {value!r}")
