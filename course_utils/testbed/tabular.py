"""Tabular worlds: a few prompts, a few responses, every probability a number in a table.

In such a world the optimal policy, the preferences and the distance to either are exact, so an
experiment can tell an error of the method from an error of sampling.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class World:
    """What is true in a tabular world.

    Attributes:
        reference: (X, Y) float64, the reference policy, a distribution over responses per prompt.
        reward: (X, Y) float64, the true reward, in the unit in which one is a log-odds of one.
    """

    reference: torch.Tensor
    reward: torch.Tensor


@dataclass(frozen=True)
class Pairs:
    """Comparisons of two responses to one prompt, each (N,) int64.

    Attributes:
        prompt: row of the tables.
        chosen, rejected: columns of the tables, never equal.
    """

    prompt: torch.Tensor
    chosen: torch.Tensor
    rejected: torch.Tensor


def make_world(prompts, responses, seed=0, reward_scale=1.0, reference_scale=0.7):
    """A random world: normal rewards, and a softmax of normal numbers as the reference.

    Args:
        prompts, responses: numbers of rows (at least 1) and columns (at least 2).
        seed: int.
        reward_scale: standard deviation of the rewards.
        reference_scale: standard deviation of the reference's logits; 0 gives a uniform reference.

    Raises:
        ValueError: naming the argument that is too small.
    """
    if prompts < 1:
        raise ValueError(f"prompts must be at least 1, but is {prompts}")
    if responses < 2:
        raise ValueError(f"responses must be at least 2, but is {responses}")
    generator = torch.Generator().manual_seed(seed)
    shape = (prompts, responses)
    reward = reward_scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    logits = reference_scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    return World(torch.softmax(logits, dim=-1), reward)


def pair_probabilities(reference):
    """How often each ordered pair is shown when two *different* responses are drawn from the reference.

    Args:
        reference: (X, Y) probabilities.

    Returns:
        (X, Y, Y): first response by second; a zero diagonal, each prompt sums to 1.
    """
    both = reference.unsqueeze(-1) * reference.unsqueeze(-2)
    both = both * (1 - torch.eye(reference.shape[-1], dtype=reference.dtype))
    return both / both.sum(dim=(-2, -1), keepdim=True)


def sample_pairs(world, n, seed=0, noise=1.0, flips=0.0):
    """Comparisons by one annotator with noisy utilities.

    Prompts are uniform; two different responses are drawn from the reference. The annotator adds
    Gumbel noise to each reward and prefers the larger sum: Bradley-Terry by construction (noise 1).

    Args:
        world: a `World`.
        n: number of comparisons, at least 1.
        seed: int.
        noise: scale of the Gumbel noise; 0 gives deterministic preferences.
        flips: share of the labels that are turned round afterwards.

    Returns:
        `Pairs` of n comparisons.

    Raises:
        ValueError: naming the argument that is out of range.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, but is {n}")
    if noise < 0:
        raise ValueError(f"noise must not be negative, but is {noise}")
    if not 0 <= flips <= 1:
        raise ValueError(f"flips must lie between 0 and 1, but is {flips}")
    generator = torch.Generator().manual_seed(seed)
    prompts, responses = world.reward.shape
    prompt = torch.randint(prompts, (n,), generator=generator)
    shown = pair_probabilities(world.reference).flatten(1)[prompt]
    drawn = torch.multinomial(shown, 1, generator=generator).squeeze(1)
    both = torch.stack([drawn // responses, drawn % responses], dim=1)  # (n, 2)
    uniform = torch.rand((n, 2), generator=generator, dtype=torch.float64).clamp_min(1e-300)
    utility = world.reward[prompt.unsqueeze(1), both] - noise * torch.log(-torch.log(uniform))
    first = utility[:, 0] > utility[:, 1]
    first ^= torch.rand(n, generator=generator) < flips
    chosen = torch.where(first, both[:, 0], both[:, 1])
    rejected = torch.where(first, both[:, 1], both[:, 0])
    return Pairs(prompt, chosen, rejected)


def pair_counts(pairs, prompts, responses):
    """How often each response beat each other one.

    Args:
        pairs: `Pairs`.
        prompts, responses: the size of the world.

    Returns:
        (X, Y, Y) float64: prompt, chosen, rejected.
    """
    place = (pairs.prompt * responses + pairs.chosen) * responses + pairs.rejected
    counts = torch.bincount(place, minlength=prompts * responses**2)
    return counts.reshape(prompts, responses, responses).double()


def total_variation(p, q):
    """Half the L1 distance over the last axis: the largest difference in probability of any event."""
    return (p - q).abs().sum(dim=-1) / 2
