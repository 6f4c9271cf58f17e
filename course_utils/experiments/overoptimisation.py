"""Over-optimisation on the text world: a gold reward, proxies fitted to noisy comparisons, and two ways to push.

After Gao et al. (2023, arXiv 2210.10760): the gold reward labels pairs with noise, a reward model is fitted to
them (the proxy), and a policy is optimised against the proxy by reinforcement learning or by best-of-n while the gold reward is
watched and never used.
"""

import math
from dataclasses import dataclass

import torch

from course_utils.goodhart import best_of_n_kl, best_of_n_reward
from course_utils.logprobs import IGNORE, token_logprobs
from course_utils.methods.meter import Meter
from course_utils.methods.start import completions, copies, updates
from course_utils.policy_gradient import rloo_advantages
from course_utils.reward_models import train_reward_model
from course_utils.testbed import models, text

NS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


# --- proxies -----------------------------------------------------------------------------------


def label_by(utility, prompts, first, second, seed):
    """Preference pairs by noisy raters who judge by `utility`: P(first) = sigmoid((u_1 - u_2) / text.NOISE).

    Args:
        utility: from (prompt, response) to a number, in units of the gold reward.
        prompts, first, second: N prompts and N responses each.
        seed: of the raters' noise.

    Returns:
        A list of N dicts "prompt", "chosen", "rejected", lists of token ids.
    """
    generator = torch.Generator().manual_seed(seed)
    pairs = []
    for prompt, a, b in zip(prompts, first, second, strict=True):
        chance = torch.sigmoid(torch.tensor((utility(prompt, a) - utility(prompt, b)) / text.NOISE))
        chosen, rejected = (a, b) if torch.rand((), generator=generator) < chance else (b, a)
        pairs.append({"prompt": [int(i) for i in prompt], "chosen": list(chosen), "rejected": list(rejected)})
    return pairs


def more_pairs(model, count, seed, utility=text.gold_reward):
    """`count` labelled pairs of fresh samples of a model, on prompts of their own."""
    prompts = text.make_prompts(count, seed=7000 + seed)
    first, second = (models.sample(model, prompts, text.MAX_RESPONSE, 70_000 + 2 * seed + i) for i in (0, 1))
    return label_by(utility, prompts, first, second, seed)


def fit_proxy(pairs, seed, steps=200, width=32, lr=2e-3):
    """A reward model fitted to pairs, see `train_reward_model`."""
    return train_reward_model(pairs, len(text.VOCABULARY), width=width, steps=steps, lr=lr, seed=seed)


# --- reinforcement learning --------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A walk away from the start.

    Attributes:
        rows: a dict for each checkpoint: "step"; means over its samples of "kl" (nats), "gold", "proxy" (the
            reward that was optimised, without the KL price), "length" in words, and one for each watched reward.
        gold: the gold rewards of each checkpoint's samples, lists.
        policy: the last one.
        samples: {step: [(prompt, response)]}, eight of each checkpoint.
    """

    rows: list
    gold: list
    policy: torch.nn.Module
    samples: dict


def push(
    start,
    reward,
    steps=90,
    kl_coef=0.0,
    lr=1.5e-4,
    prompts=16,
    copies_each=4,
    every=3,
    seed=0,
    watch=None,
    checkpoint=None,
):
    """Reinforcement learning against a reward: REINFORCE with a leave-one-out baseline, and nothing that stops it.

    A checkpoint is the mean over `every` steps of the samples that were drawn for training, before each update:
    `every * prompts * copies_each` of them. KL is that of the whole distribution at each token, summed over a response.

    Args:
        start: a `Start`.
        reward: from (prompts, responses) to a tensor (B,); no gradient flows through it.
        steps: updates.
        kl_coef: price of a nat of log-ratio (the estimator k1), inside the reward.
        lr, prompts, copies_each, seed: of the training.
        every: steps to a checkpoint.
        watch: {name: reward} of more rewards to record; they are not optimised.
        checkpoint: called with (updates so far, policy) before the first update and after each, or None.

    Returns:
        A `Run`.
    """
    policy, reference = copies(start, Meter())
    update = updates(policy, lr)
    generator = torch.Generator().manual_seed(seed)
    rows, golds, samples, seen = [], [], {}, []
    for step in range(steps):
        if checkpoint and step == 0:
            checkpoint(0, policy)
        asked = start.prompts[torch.randint(len(start.prompts), (prompts,), generator=generator)]
        asked = asked.repeat_interleave(copies_each, dim=0)
        drawn = models.sample(
            policy, asked, text.MAX_RESPONSE, int(torch.randint(2**31, (), generator=generator))
        )
        ids, labels = completions(asked, drawn)
        mask = labels[:, 1:] != IGNORE
        with torch.no_grad():
            ref_logits = reference(ids).logits
            score = reward(asked, drawn)
        logits = policy(ids).logits
        logp = (token_logprobs(logits, labels) * mask).sum(1)
        with torch.no_grad():
            log_p, log_q = logits[:, :-1].log_softmax(-1), ref_logits[:, :-1].log_softmax(-1)
            kl = ((log_p.exp() * (log_p - log_q)).sum(-1) * mask).sum(1)
            ratio = logp - (token_logprobs(ref_logits, labels) * mask).sum(1)
            advantages = rloo_advantages(score - kl_coef * ratio, copies_each)
        update(-(advantages * logp).mean())
        if checkpoint:
            checkpoint(step + 1, policy)
        seen.append(
            {"kl": kl, "gold": text.gold_rewards(asked, drawn), "proxy": score}
            | {"length": torch.tensor([float(text.length(r)) for r in drawn])}
            | {name: other(asked, drawn) for name, other in (watch or {}).items()}
        )
        if len(seen) == every:
            joined = {key: torch.cat([s[key] for s in seen]) for key in seen[0]}
            at = step + 1 - (every - 1) / 2 - 1
            rows.append({"step": at} | {key: value.mean().item() for key, value in joined.items()})
            golds.append(joined["gold"].tolist())
            samples[at] = list(zip(asked[::8], drawn[::8], strict=True))
            seen = []
    return Run(rows, golds, policy, samples)


# --- best-of-n ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pool:
    """Many samples of the start for each of some prompts.

    Attributes:
        prompts: (P, 8).
        responses: P * S of them, those of a prompt in a row.
        gold: (P, S).
    """

    prompts: torch.Tensor
    responses: list
    gold: torch.Tensor

    def score(self, reward, seed=0):
        """(P, S) float64 scores by a reward; ties (equal responses) are broken at random, see `break_ties`."""
        size = self.gold.shape[1]
        asked = self.prompts.repeat_interleave(size, dim=0)
        parts = [
            reward(asked[i : i + 2048], self.responses[i : i + 2048])
            for i in range(0, len(self.responses), 2048)
        ]
        return break_ties(torch.cat(parts).double().view_as(self.gold), seed)


def break_ties(scores, seed=0):
    """Scores with uniform noise up to 1e-6 added, which decides at random between equal responses."""
    generator = torch.Generator().manual_seed(seed)
    return scores + 1e-6 * torch.rand(scores.shape, generator=generator, dtype=torch.float64)


def all_prompts():
    """The 96 different prompts of the text world, (96, 8)."""
    return torch.unique(text.make_prompts(5000, seed=0), dim=0)


def make_pool(start, prompts=96, samples=256, seed=0):
    """A `Pool` of a start's samples on the world's prompts (or the first of them, shuffled)."""
    asked = all_prompts()
    asked = asked[torch.randperm(len(asked), generator=torch.Generator().manual_seed(seed))[:prompts]]
    repeated = asked.repeat_interleave(samples, dim=0)
    responses = []
    for i, chunk in enumerate(repeated.split(4096)):
        responses += models.sample(start.model, chunk, text.MAX_RESPONSE, 40_000 + 10 * seed + i)
    gold = text.gold_rewards(repeated, responses).double().view(prompts, samples)
    return Pool(asked, responses, gold)


def best_of_n_curve(proxy, gold, ns=NS, reward=best_of_n_reward):
    """Best-of-n by a proxy, for several n: unbiased over all subsets of each prompt's samples, then the mean over prompts.

    Args:
        proxy, gold: (P, S) scores of the same samples.
        ns: the n's, at most S.
        reward: the estimator; `best_of_n_reward` or a student's.

    Returns:
        A list of dicts "n", "kl" (the bound log n - (n - 1) / n), "gold", "gold_se" (over prompts), "proxy".
    """
    rows = []
    for n in [n for n in ns if n <= gold.shape[1]]:
        golds = torch.tensor([reward(p.tolist(), g.tolist(), n) for p, g in zip(proxy, gold, strict=True)])
        proxies = torch.tensor([reward(p.tolist(), p.tolist(), n) for p in proxy])
        rows.append(
            {
                "n": n,
                "kl": best_of_n_kl(n),
                "gold": golds.mean().item(),
                "gold_se": golds.std().item() / math.sqrt(len(golds)),
                "proxy": proxies.mean().item(),
            }
        )
    return rows


# --- what a curve says -------------------------------------------------------------------------


def smooth(values, width=3):
    """Running mean over `width` neighbours, shorter at the ends."""
    half = width // 2
    return [
        sum(values[max(0, i - half) : i + half + 1]) / len(values[max(0, i - half) : i + half + 1])
        for i in range(len(values))
    ]


def r_squared(kl, gold, alpha, beta, kind):
    """The share of the variance of `gold` (about its mean) that a law of Gao et al. accounts for; may be negative."""
    d = torch.tensor(kl, dtype=torch.float64).sqrt()
    gold = torch.tensor(gold, dtype=torch.float64)
    left = (gold - law(d, alpha, beta, kind)).square().sum()
    return 1 - (left / (gold - gold.mean()).square().sum()).item()


def law(d, alpha, beta, kind):
    """gold(d): d (alpha - beta d) for "bon", d (alpha - beta log d) for "rl", 0 at d = 0."""
    return alpha * d - beta * (d * d if kind == "bon" else torch.special.xlogy(d, d))
