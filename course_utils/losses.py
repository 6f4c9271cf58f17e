"""Preference losses: pure functions, one value per example; the training loop takes the mean."""

import torch
from torch.nn import functional as F

from course_utils.arguments import check_not_negative, check_positive, check_vectors, kind


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
    check_vectors(
        policy_chosen=policy_chosen,
        policy_rejected=policy_rejected,
        ref_chosen=ref_chosen,
        ref_rejected=ref_rejected,
    )
    check_positive(beta=beta)
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
    check_vectors(
        policy_chosen=policy_chosen,
        policy_rejected=policy_rejected,
        ref_chosen=ref_chosen,
        ref_rejected=ref_rejected,
    )
    check_positive(beta=beta)
    chosen = beta * (policy_chosen - ref_chosen)
    rejected = beta * (policy_rejected - ref_rejected)
    return {
        "chosen_reward": chosen.mean().item(),
        "rejected_reward": rejected.mean().item(),
        "margin": (chosen - rejected).mean().item(),
        "accuracy": (chosen > rejected).double().mean().item(),
    }


def cdpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1, smoothing=0.1):
    """Conservative DPO: the cross-entropy of labels that are wrong with probability `smoothing`.

    (1 - e) l(margin) + e l(-margin), with l the DPO loss and e the smoothing (Mitchell 2023, "A note on DPO
    with noisy preferences & relationship to IPO", eq. 3 and 4).

    Args:
        policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta: as for `dpo_loss`.
        smoothing: assumed share of flipped labels, 0 or more and below 1/2.

    Returns:
        (B,), not reduced. Smallest, with no gradient, at a margin of logit(1 - e) / beta, so that the
        margin stays finite. No gradient into the reference. With smoothing=0 it is `dpo_loss`.

    Raises:
        ValueError: as for `dpo_loss`, or a smoothing outside [0, 1/2).
    """
    _check_smoothing(smoothing)
    right = dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta)
    flipped = dpo_loss(policy_rejected, policy_chosen, ref_rejected, ref_chosen, beta)
    return (1 - smoothing) * right + smoothing * flipped


def rdpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1, smoothing=0.1):
    """Robust DPO: an unbiased estimate of the DPO loss of the clean labels, from labels that may be flipped.

    [(1 - e) l(margin) - e l(-margin)] / (1 - 2e), with l the DPO loss and e the smoothing
    (Chowdhury et al. 2024, arXiv 2403.00409).

    Args:
        policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta: as for `dpo_loss`.
        smoothing: the probability that a label is flipped, whatever the pair; 0 or more and below 1/2.

    Returns:
        (B,), not reduced; may be negative. Its mean over flips is `dpo_loss` of the clean label, so it
        does not bound the margin: that is cDPO's doing. No gradient into the reference.

    Raises:
        ValueError: as for `dpo_loss`, or a smoothing outside [0, 1/2).
    """
    _check_smoothing(smoothing)
    right = dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta)
    flipped = dpo_loss(policy_rejected, policy_chosen, ref_rejected, ref_chosen, beta)
    return ((1 - smoothing) * right - smoothing * flipped) / (1 - 2 * smoothing)


def ipo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, tau=0.1):
    """(h - 1/(2 tau))^2: identity preference optimisation (Azar et al. 2023, arXiv 2310.12036, eq. 17).

    h = [log pi(y_w|x) - log ref(y_w|x)] - [log pi(y_l|x) - log ref(y_l|x)]

    Args:
        policy_chosen, policy_rejected: (B,), log-probabilities of the responses under the policy. Summed over
            tokens they give the paper's loss; the means per token are the other convention, that of `trl`.
            The target 1/(2 tau) is the same for both, so the two are different losses.
        ref_chosen, ref_rejected: (B,), the same under the reference, by the same convention.
        tau: strength of the pull towards the reference, > 0.

    Returns:
        (B,), not reduced; 1/(2 tau)^2 where policy and reference agree. The gradient turns round where h is
        above 1/(2 tau), which that of `dpo_loss` never does. None into the reference.

    Raises:
        ValueError: the log-probabilities are not four float vectors of one length of at least 1, or tau <= 0.
    """
    check_vectors(
        policy_chosen=policy_chosen,
        policy_rejected=policy_rejected,
        ref_chosen=ref_chosen,
        ref_rejected=ref_rejected,
    )
    check_positive(tau=tau)
    h = (policy_chosen - ref_chosen.detach()) - (policy_rejected - ref_rejected.detach())
    return (h - 1 / (2 * tau)) ** 2


@torch.no_grad()
def kto_reference_point(policy_kl_logp, ref_kl_logp):
    """z0 of KTO: the mean log-ratio of mismatched pairs, and 0 where that is negative (section 4.1).

    A rough estimate of KL(policy || reference) from a batch: each prompt is scored with the response of
    another example. The clamp comes after the mean, so z0 is biased upwards in small batches.

    Args:
        policy_kl_logp, ref_kl_logp: (B,), summed log-probabilities of mismatched responses y' to the prompts
            x, under policy and reference.

    Returns:
        A tensor without dimensions, in units of the log-ratio (no beta in it), >= 0. No gradient.

    Raises:
        ValueError: the log-probabilities are not two float vectors of one length of at least 1.
    """
    check_vectors(policy_kl_logp=policy_kl_logp, ref_kl_logp=ref_kl_logp)
    return (policy_kl_logp - ref_kl_logp).mean().clamp(min=0)


def kto_loss(
    policy_logp,
    ref_logp,
    desirable,
    reference_point,
    beta=0.1,
    desirable_weight=1.0,
    undesirable_weight=1.0,
):
    """lambda - lambda sigmoid(±beta (log-ratio - z0)): Kahneman-Tversky optimisation.

    Plus, and lambda the desirable weight, for a desirable response; minus, and the undesirable weight,
    for the others (Ethayarajh et al. 2024, arXiv 2402.01306, eq. 8; in version 1 of the paper eq. 7).

    Args:
        policy_logp, ref_logp: (B,), summed log-probabilities of the responses under policy and reference.
        desirable: (B,), bool; all may be alike.
        reference_point: z0, a float tensor without dimensions, in units of the log-ratio: see
            `kto_reference_point`. beta multiplies it here, together with the log-ratio.
        beta: > 0; how fast the loss saturates.
        desirable_weight, undesirable_weight: lambda_D and lambda_U, > 0.

    Returns:
        (B,), not reduced, between 0 and lambda; lambda/2 where the log-ratio is z0. A gradient into the
        policy's log-probabilities, none into the reference's and none into z0.

    Raises:
        ValueError: the log-probabilities are not two float vectors of one length of at least 1, `desirable` is
            not a bool vector of that length, `reference_point` has dimensions, or beta or a weight is <= 0.
    """
    check_vectors(policy_logp=policy_logp, ref_logp=ref_logp)
    if (
        not isinstance(desirable, torch.Tensor)
        or desirable.dtype != torch.bool
        or desirable.shape != policy_logp.shape
    ):
        raise ValueError(
            f"desirable must be a bool tensor of shape {tuple(policy_logp.shape)}, not {kind(desirable)}"
        )
    if (
        not isinstance(reference_point, torch.Tensor)
        or reference_point.dim()
        or not reference_point.is_floating_point()
    ):
        raise ValueError(
            f"reference_point must be a float tensor without dimensions, not {kind(reference_point)}"
        )
    check_positive(beta=beta, desirable_weight=desirable_weight, undesirable_weight=undesirable_weight)
    x = beta * (policy_logp - ref_logp.detach() - reference_point.detach())
    # 1 - sigmoid(x) = sigmoid(-x), which does not cancel where x is large
    return torch.where(desirable, desirable_weight * torch.sigmoid(-x), undesirable_weight * torch.sigmoid(x))


def orpo_loss(chosen_mean_logp, rejected_mean_logp, chosen_nll, lam=0.1):
    """NLL + lambda (-log sigmoid(log odds ratio)): odds-ratio preference optimisation, without a reference.

    odds(y) = p / (1 - p) with p = exp(mean log-probability of its tokens); the ratio is chosen over rejected
    (Hong et al. 2024, arXiv 2403.07691, eq. 3 to 7).

    Args:
        chosen_mean_logp, rejected_mean_logp: (B,), log-probabilities of the responses under the policy,
            averaged over their tokens, below 0. At 0 the odds are infinite.
        chosen_nll: (B,), the negative log-likelihood of the chosen response, averaged over its tokens.
        lam: weight of the odds-ratio term, >= 0.

    Returns:
        (B,), not reduced. Stable for mean log-probabilities from -100 to -1e-6. A gradient into all three.

    Raises:
        ValueError: the three are not float vectors of one length of at least 1, or lam < 0.
    """
    check_vectors(
        chosen_mean_logp=chosen_mean_logp, rejected_mean_logp=rejected_mean_logp, chosen_nll=chosen_nll
    )
    check_not_negative(lam=lam)
    log_odds_ratio = _log_odds(chosen_mean_logp) - _log_odds(rejected_mean_logp)
    return chosen_nll - lam * F.logsigmoid(log_odds_ratio)


def simpo_loss(chosen_mean_logp, rejected_mean_logp, beta=2.0, gamma=1.0):
    """-log sigmoid(beta (chosen - rejected) - gamma): simple preference optimisation, without a reference.

    Meng et al. 2024, arXiv 2405.14734, eq. 4 to 6. gamma is the target margin in units of the reward: beta does
    not multiply it. (`trl`'s simpo_gamma is the same number; HALOs asks for the ratio gamma/beta.)

    Args:
        chosen_mean_logp, rejected_mean_logp: (B,), log-probabilities of the responses under the policy,
            averaged over their tokens.
        beta: > 0.
        gamma: the margin by which the chosen reward is to win, >= 0.

    Returns:
        (B,), not reduced. Stable for mean log-probabilities down to -1e3. A gradient into both.

    Raises:
        ValueError: the two are not float vectors of one length of at least 1, beta <= 0, or gamma < 0.
    """
    check_vectors(chosen_mean_logp=chosen_mean_logp, rejected_mean_logp=rejected_mean_logp)
    check_positive(beta=beta)
    check_not_negative(gamma=gamma)
    return -F.logsigmoid(beta * (chosen_mean_logp - rejected_mean_logp) - gamma)


def _log_odds(logp):
    """log(p / (1 - p)) from log p < 0. expm1 keeps 1 - p exact where p is close to 1."""
    return logp - torch.log(-torch.expm1(logp))


def _check_smoothing(smoothing):
    if not 0 <= smoothing < 0.5:
        raise ValueError(f"smoothing must be at least 0 and below 1/2, not {smoothing!r}")
