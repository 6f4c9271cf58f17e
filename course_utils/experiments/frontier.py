"""Reinforcement learning against a proxy, looked at closely: many fresh samples at each look, and several KL prices.

A checkpoint of training holds 192 samples, so its mean gold has a standard error of 0.1: as much as a weak proxy gains.
Here the same runs are looked at with 1,536 samples, after every second of the first thirty updates, where the rise is. What counts as a
rise was written down before the first run: of the two independent halves of the samples one chooses the step, the other measures there.
"""

import torch

from course_utils.experiments.overoptimisation import all_prompts, fit_proxy, push
from course_utils.methods import make_start
from course_utils.testbed import models, text

PRICES = (0.0, 0.1, 0.3)
STEPS = 90
# updates after which a run is looked at: without a price; and with one, which by then is about at rest
LOOKS = (*range(0, 30, 2), *range(30, STEPS + 1, 10))
PRICED_LOOKS = tuple(range(60, STEPS + 1, 6))
EACH = 8  # answers to each prompt in each half of a look


def look(policy, start, proxy, base, seed):
    """Two halves of fresh samples of a policy, `EACH` answers to each of the world's prompts.

    Args:
        policy: a model.
        start: a `Start`, from which KL is measured.
        proxy: a reward model.
        base: (P,) mean gold of the start by prompt.
        seed: of the samples.

    Returns:
        A dict: "kl" (nats) and "proxy", means over both halves; "gain", that of gold over the start, and "gain_se" over the
        prompts; "gain_a", "gain_b" and "gain_b_se", the same by halves.
    """
    prompts = all_prompts()
    asked = prompts.repeat_interleave(EACH, dim=0)
    halves, kl, score = [], [], []
    with torch.no_grad():
        for half in (0, 1):
            drawn = models.sample(policy, asked, text.MAX_RESPONSE, 2 * seed + half)
            halves.append(text.gold_rewards(asked, drawn).view(len(prompts), EACH).mean(1) - base)
            kl.append(models.exact_kl(policy, start.model, asked, drawn).mean().item())
            score.append(proxy.score(asked, drawn).mean().item())
    found = {"kl": sum(kl) / 2, "proxy": sum(score) / 2}
    for name, gains in (("gain", sum(halves) / 2), ("gain_a", halves[0]), ("gain_b", halves[1])):
        found[name] = gains.mean().item()
        found[f"{name}_se"] = gains.std().item() / len(gains) ** 0.5
    del found["gain_a_se"]
    return found


def begin(seed):
    """(start, proxy, base) of a seed; base is the start's mean gold by prompt, from so many samples that its noise hardly counts."""
    start = make_start(seed)
    proxy = fit_proxy(start.pairs, seed)
    prompts = all_prompts()
    asked = prompts.repeat_interleave(8 * EACH, dim=0)
    drawn = models.sample(start.model, asked, text.MAX_RESPONSE, 600_000 + seed)
    return start, proxy, text.gold_rewards(asked, drawn).view(len(prompts), -1).mean(1)


def walk(start, proxy, base, seed, price, steps=STEPS):
    """One run with a KL price: rows with "seed", "price", "step" (updates) and what `look` says."""
    rows = []

    def watch(step, policy):
        if step in (PRICED_LOOKS if price else LOOKS):
            found = look(policy, start, proxy, base, 300_000 + 1000 * seed + step)
            rows.append({"seed": seed, "price": price, "step": step, **found})

    push(start, proxy.score, steps=steps, kl_coef=price, seed=seed, checkpoint=watch)
    return rows


def measure_seed(seed, prices=PRICES, say=print):
    """One start and one proxy, pushed without a KL price and with several: the rows of `walk`."""
    begun, rows = begin(seed), []
    for price in prices:
        rows += walk(*begun, seed, price)
        say(f"seed {seed}, price {price}: ends at KL {rows[-1]['kl']:.1f}, gain {rows[-1]['gain']:+.2f}")
    return rows
