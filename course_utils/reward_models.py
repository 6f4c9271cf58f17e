"""Reward models: models that score responses, fitted to comparisons."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from course_utils.arguments import check_not_negative, check_vectors, kind
from course_utils.testbed import models


def reward_model_loss(chosen_rewards, rejected_rewards):
    """-log sigmoid(r_w - r_l): the Bradley-Terry negative log-likelihood of the comparisons.

    Ouyang et al. 2022 ("InstructGPT"), eq. 1, and Rafailov et al. 2023, eq. 2. Only differences count: a number
    added to all rewards of a prompt changes nothing, so the zero of a reward model is arbitrary.

    Args:
        chosen_rewards, rejected_rewards: (B,), the scores of the two responses of each pair.

    Returns:
        (B,), not reduced; log 2 for equal rewards. Stable for differences of ±1e4. A gradient into both.

    Raises:
        ValueError: the rewards are not two float vectors of one length of at least 1.
    """
    check_vectors(chosen_rewards=chosen_rewards, rejected_rewards=rejected_rewards)
    return -F.logsigmoid(chosen_rewards - rejected_rewards)


ENSEMBLE_RULES = ("mean", "min", "percentile25", "uwo")


def ensemble_reward(rewards, rule, coef=1.0):
    """One reward from those of M reward models, response by response (Coste et al. 2023, eq. 3-5).

    "mean" (eq. 3) averages noise out, but is not conservative: it trusts responses that the models disagree on.
    "min" (eq. 4, worst-case optimisation) takes the lowest.
    "percentile25" takes the 25th percentile, between two models by linear interpolation; not in that paper.
    "uwo" (eq. 5, uncertainty-weighted optimisation) takes the mean minus coef times the variance over the models,
    the population's (divided by M). No rule sees an error that all models share.

    Args:
        rewards: (M, B), reward of each of B responses under each of M models.
        rule: one of the four words.
        coef: weight of the variance in "uwo", finite and >= 0; not used by the others.

    Returns:
        (B,), not reduced over responses. Gradients flow into `rewards` ("min" and "percentile25": into the models
        that give the value).

    Raises:
        ValueError: `rewards` is not a float tensor of shape (M, B) with M, B >= 1; `rule` is another word; `coef` is
            negative or not finite.
    """
    if not isinstance(rewards, torch.Tensor) or rewards.dim() != 2 or not rewards.is_floating_point():
        raise ValueError(f"rewards must be a float tensor of shape (M, B), not {kind(rewards)}")
    if rewards.numel() == 0:
        raise ValueError("rewards is empty")
    check_not_negative(coef=coef)
    if rule == "mean":
        return rewards.mean(0)
    if rule == "min":
        return rewards.amin(0)
    if rule == "percentile25":
        return rewards.quantile(0.25, dim=0)
    if rule == "uwo":
        return rewards.mean(0) - coef * rewards.var(0, correction=0)
    raise ValueError(f"rule must be one of {', '.join(ENSEMBLE_RULES)}, not {rule!r}")


class ScalarModel(nn.Module):
    """A transformer with one number at each position in place of a distribution over tokens.

    Args:
        trunk: a `transformers` base model (no output layer), which is used and not copied.
        seed: of the head's initialisation; torch's global generator is left as it was.
    """

    def __init__(self, trunk, seed=0):
        super().__init__()
        self.trunk = trunk
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Linear(trunk.config.hidden_size, 1)

    @classmethod
    def with_trunk_of(cls, model, seed=0):
        """With a copy of the trunk of a causal language model."""
        return cls(copy.deepcopy(model.model), seed)

    def forward(self, ids):
        """(B, T) numbers for (B, T) token ids; each sees the tokens up to its own."""
        return self.head(self.trunk(ids).last_hidden_state).squeeze(-1)


class RewardModel(nn.Module):
    """Scores whole responses: the sum of a `ScalarModel`'s numbers over the response's tokens.

    A sum over tokens suits a reward that is a sum over clauses. Scores are standardised by `standardise`,
    since only differences of a fitted reward mean anything.
    """

    def __init__(self, scalar):
        super().__init__()
        self.scalar, self.mean, self.spread = scalar, 0.0, 1.0

    def forward(self, ids, counted):
        """(B,) scores of token ids (B, T); `counted` (B, T) is 1 on the response's tokens."""
        return ((self.scalar(ids) * counted).sum(-1) - self.mean) / self.spread

    @torch.no_grad()
    def score(self, prompts, responses):
        """(B,) scores of responses (lists of token ids) to prompts (B, P), without a gradient."""
        return self(*_tokens(prompts, responses))

    def standardise(self, prompts, responses):
        """From now on scores have mean 0 and standard deviation 1 over these responses."""
        scores = self.score(prompts, responses)
        self.mean += self.spread * scores.mean().item()
        self.spread *= scores.std().item()


def train_reward_model(
    pairs, vocabulary, width=32, steps=200, batch_size=64, lr=2e-3, seed=0, watch=None, progress=None
):
    """A small reward model from scratch, fitted to preference pairs by `reward_model_loss`.

    AdamW, the learning rate falling linearly to a tenth, gradient norm clipped at 1. Prompts must be
    equally long. Scores are standardised on the responses of the pairs.

    Args:
        pairs: dicts "prompt", "chosen", "rejected" of token ids.
        vocabulary: number of tokens.
        width: of the 2-layer transformer.
        steps, batch_size, lr: of the training; batches are drawn with replacement.
        seed: of initialisation and batches.
        watch: called with the model before it is trained, or None; a meter counts from there.
        progress: called with (step, loss), or None.

    Returns:
        A `RewardModel` in eval mode.
    """
    if not pairs:
        raise ValueError("pairs is empty")
    model = RewardModel(ScalarModel(models.small_model(vocabulary, width, seed=seed).model, seed))
    if watch:
        watch(model)
    prompts = torch.tensor([pair["prompt"] for pair in pairs])
    sides = [_tokens(prompts, [pair[side] for pair in pairs]) for side in ("chosen", "rejected")]
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, steps)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        rows = torch.randint(len(pairs), (batch_size,), generator=generator)
        chosen, rejected = (model(ids[rows], counted[rows]) for ids, counted in sides)
        loss = reward_model_loss(chosen, rejected).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if progress:
            progress(step + 1, loss.item())
    model.eval()
    model.standardise(prompts.repeat(2, 1), [pair[side] for side in ("chosen", "rejected") for pair in pairs])
    return model


def _tokens(prompts, responses):
    """Token ids (B, T) of prompts with their responses, and a mask that is 1 on the responses' tokens."""
    prompts = torch.as_tensor(prompts)
    ids = torch.cat([prompts, models.pad_rows(responses, 0)], dim=1)
    counted = torch.cat(
        [torch.zeros_like(prompts), models.pad_rows([[1] * len(row) for row in responses], 0)], dim=1
    )
    return ids, counted
