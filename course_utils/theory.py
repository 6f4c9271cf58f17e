"""The closed forms behind DPO, in numbers: objective, optimum, implicit reward, Bradley-Terry.

Policies are tables of probabilities whose last axis is the response; the axes before it (prompts,
seeds, anything) are a batch. All logarithms are natural, so a KL divergence is in nats. No function
changes its inputs; each keeps their dtype and device and lets gradients through to all of them.

Sources: Rafailov et al. 2023, "Direct Preference Optimization" (arXiv 2305.18290), equations 3 to 7
and section 5.1; Bradley and Terry 1952 for the preference model.
"""

import math

import torch


def kl_objective(pi, pi_ref, reward, beta):
    """J(pi) = E_pi[reward] - beta KL(pi || pi_ref), the expectation and the KL summed over responses.

    Args:
        pi: (..., Y) probabilities; a zero counts as the limit 0 log 0 = 0.
        pi_ref: (..., Y) probabilities, all positive.
        reward: (..., Y).
        beta: positive float, price of one nat in units of reward.

    Returns:
        (...), one value per distribution, in units of reward. Rafailov et al., equation 3.

    Raises:
        ValueError: naming the argument that has a wrong shape, is no distribution or is not positive.
    """
    _probabilities("pi", pi)
    _probabilities("pi_ref", pi_ref, positive=True)
    _like("pi_ref", pi_ref, "pi", pi)
    _like("reward", reward, "pi", pi)
    _positive("beta", beta)
    kl = (torch.xlogy(pi, pi) - pi * pi_ref.log()).sum(-1)
    return (pi * reward).sum(-1) - beta * kl


def log_partition(pi_ref, reward, beta):
    """log Z = log of the sum over responses of pi_ref exp(reward / beta), by log-sum-exp.

    Args:
        pi_ref: (..., Y) probabilities, all positive; may broadcast to the shape of `reward`.
        reward: (..., Y).
        beta: positive float.

    Returns:
        (...). beta log Z is the largest value of `kl_objective`. Rafailov et al., under equation 4.

    Raises:
        ValueError: naming the argument that is wrong.
    """
    return torch.logsumexp(_tilted(pi_ref, reward, beta), dim=-1)


def optimal_policy(pi_ref, reward, beta):
    """The maximiser of `kl_objective`: pi_ref exp(reward / beta) / Z, normalised over responses.

    Args:
        pi_ref: (..., Y) probabilities, all positive; may broadcast to the shape of `reward`.
        reward: (..., Y).
        beta: positive float; towards 0 the policy is greedy, towards infinity it is pi_ref.

    Returns:
        Probabilities in the shape of `reward`. Rafailov et al., equation 4.

    Raises:
        ValueError: naming the argument that is wrong.
    """
    return torch.softmax(_tilted(pi_ref, reward, beta), dim=-1)


def implicit_reward(policy_logp, ref_logp, beta):
    """beta (log pi - log pi_ref): the reward that a policy stands for, without beta log Z(x).

    Args:
        policy_logp, ref_logp: log-probabilities of the same responses, any equal shape.
        beta: positive float.

    Returns:
        The shape of the inputs, in units of reward; comparable within one prompt only, since the
        missing beta log Z depends on the prompt. Rafailov et al., equation 5 and theorem 1.

    Raises:
        ValueError: naming the argument that is wrong.
    """
    _filled("policy_logp", policy_logp)
    _like("ref_logp", ref_logp, "policy_logp", policy_logp)
    _positive("beta", beta)
    return beta * (policy_logp - ref_logp)


def bradley_terry(reward_chosen, reward_rejected):
    """P(chosen is preferred to rejected) = sigmoid(reward_chosen - reward_rejected), pair by pair.

    Args:
        reward_chosen, reward_rejected: any equal shape.

    Returns:
        Probabilities in that shape. An assumption about the people who compare, not a law:
        Bradley and Terry 1952; Rafailov et al., equation 1.

    Raises:
        ValueError: naming the argument that is wrong.
    """
    _filled("reward_chosen", reward_chosen)
    _like("reward_rejected", reward_rejected, "reward_chosen", reward_chosen)
    return torch.sigmoid(reward_chosen - reward_rejected)


def dpo_gradient_weight(margin, beta):
    """beta sigmoid(-beta margin): how strongly one pair pulls in the gradient of the DPO loss.

    The gradient of -log sigmoid(beta margin) is minus this weight times that of the margin.

    Args:
        margin: log-ratio of the chosen minus log-ratio of the rejected response, any shape.
        beta: positive float; the margin does not hold it yet.

    Returns:
        The shape of `margin`, between 0 and beta. Rafailov et al., section 4 (the DPO update).

    Raises:
        ValueError: naming the argument that is wrong.
    """
    _filled("margin", margin)
    _positive("beta", beta)
    return beta * torch.sigmoid(-beta * margin)


def same_policy(reward_a, reward_b, tol=1e-6):
    """Whether two reward tables have the same optimal policy at every beta and every reference.

    They do when in each prompt their difference is one number for all responses, a function of the
    prompt alone (Rafailov et al., definition 1 and lemma 2).

    Args:
        reward_a, reward_b: (X, Y), a row per prompt.
        tol: what the largest and smallest difference within a prompt may be apart, in units of reward.

    Returns:
        A bool tensor without dimensions. No gradient.

    Raises:
        ValueError: naming the argument that is wrong.
    """
    _filled("reward_a", reward_a)
    if reward_a.dim() != 2:
        raise ValueError(f"reward_a must be prompts x responses, not of shape {tuple(reward_a.shape)}")
    _like("reward_b", reward_b, "reward_a", reward_a)
    if not tol >= 0:
        raise ValueError(f"tol must not be negative, but is {tol}")
    difference = (reward_a - reward_b).detach()
    spread = difference.amax(dim=-1) - difference.amin(dim=-1)
    return (spread <= tol).all()


def _tilted(pi_ref, reward, beta):
    """log pi_ref + reward / beta: the optimal policy's logits."""
    _probabilities("pi_ref", pi_ref, positive=True)
    _filled("reward", reward)
    _positive("beta", beta)
    try:
        fits = torch.broadcast_shapes(pi_ref.shape, reward.shape) == reward.shape
    except RuntimeError:
        fits = False
    if not fits or pi_ref.shape[-1] != reward.shape[-1]:
        raise ValueError(f"pi_ref has shape {tuple(pi_ref.shape)}, reward {tuple(reward.shape)}")
    return pi_ref.log() + reward / beta


def _filled(name, tensor):
    if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
        raise ValueError(f"{name} must be a float tensor")
    if tensor.numel() == 0:
        raise ValueError(f"{name} is empty")


def _like(name, tensor, other_name, other):
    _filled(name, tensor)
    if tensor.shape != other.shape:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, {other_name} {tuple(other.shape)}")


def _positive(name, number):
    if not (number > 0 and math.isfinite(number)):
        raise ValueError(f"{name} must be positive and finite, but is {number}")


def _probabilities(name, tensor, positive=False):
    _filled(name, tensor)
    if tensor.dim() == 0:
        raise ValueError(f"{name} must have a last axis, the responses")
    values = tensor.detach()
    if (values < 0).any() or (positive and (values == 0).any()):
        raise ValueError(f"{name} must be {'positive' if positive else 'non-negative'}")
    if ((values.sum(-1) - 1).abs() > 1e-3).any():
        raise ValueError(f"{name} must sum to 1 over its last axis")
