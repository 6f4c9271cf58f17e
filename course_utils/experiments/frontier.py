"""Reinforcement learning against a proxy, looked at closely: many fresh samples at each look, and KL prices.

A checkpoint of training holds 192 samples, so its mean gold has a standard error of 0.1: as much as a weak proxy gains.
Here the same runs are looked at with 1,536 samples, after every third of the first thirty updates, where the rise is. The best of
many looks is flattered, so the looks only choose the step; what was gained there is measured anew, with 6,144 samples.
"""

import torch

from course_utils.experiments.overoptimisation import fit_proxy, make_pool, push, smooth
from course_utils.methods import make_start
from course_utils.testbed import models, text

PRICES = (0.0, 0.1, 0.3)
STEPS = 90
# updates after which a run is looked at: without a price; and with one, late in the run
LOOKS = (*range(0, 31, 3), 40, 50, 60, 75, 90)
PRICED_LOOKS = (60, 75, 90)
# answers to each prompt: at a look, and where the peak is measured anew
EACH, ANEW = 16, 64


def look(policy, start, proxy, prompts, base, seed, each=EACH):
    """Fresh samples of a policy, `each` answers to each of the world's prompts.

    Args:
        policy: a model.
        start: a `Start`, from which KL is measured.
        proxy: a reward model.
        prompts: (P, 8), those of the world.
        base: (P,), mean gold of the start for each.
        seed: of the samples.
        each: even.

    Returns:
        A dict: "samples"; means "kl" (nats), "proxy" and "gain", that of gold over the start, and "gain_se" over the prompts.
    """
    asked = prompts.repeat_interleave(each // 2, dim=0)
    golds, kl, score = [], [], []
    with torch.no_grad():
        for half in (0, 1):
            drawn = models.sample(policy, asked, text.MAX_RESPONSE, 2 * seed + half)
            golds.append(text.gold_rewards(asked, drawn).view(len(prompts), -1).mean(1))
            kl.append(models.exact_kl(policy, start.model, asked, drawn).mean().item())
            score.append(proxy.score(asked, drawn).mean().item())
    gain = sum(golds) / 2 - base
    return {
        "samples": len(prompts) * each,
        "kl": sum(kl) / 2,
        "proxy": sum(score) / 2,
        "gain": gain.mean().item(),
        "gain_se": gain.std().item() / len(gain) ** 0.5,
    }


def begin(seed):
    """(start, proxy, prompts, base) of a seed, for `look`; base from all samples of best-of-n's pool, whose noise hardly counts."""
    start = make_start(seed)
    pool = make_pool(start, seed=seed)
    return start, fit_proxy(start.pairs, seed), pool.prompts, pool.gold.mean(1).float()


def walk(start, proxy, prompts, base, seed, price, steps=STEPS):
    """One run with a KL price: rows with "seed", "price", "step" (updates) and what `look` says."""
    rows = []

    def watch(step, policy):
        if step in (PRICED_LOOKS if price else LOOKS):
            found = look(policy, start, proxy, prompts, base, 300_000 + 1000 * seed + step)
            rows.append({"seed": seed, "price": price, "step": step, **found})

    push(start, proxy.score, steps=steps, kl_coef=price, seed=seed, checkpoint=watch)
    return rows


def measure_anew(start, proxy, prompts, base, seed, rows):
    """The policy at the step at which the looks of a run without a price are best (running mean over three), made and sampled anew."""
    gains = smooth([row["gain"] for row in rows])
    best = rows[gains.index(max(gains))]["step"]
    found = []

    def watch(step, policy):
        if step == best:
            found.append(look(policy, start, proxy, prompts, base, 800_000 + 1000 * seed, ANEW))

    push(start, proxy.score, steps=max(1, best), seed=seed, checkpoint=watch)
    return {"seed": seed, "price": 0.0, "step": best, **found[0]}


def measure_seed(seed, prices=PRICES, say=print):
    """One start and one proxy, pushed without a KL price and with several: rows of `walk`, and that of `measure_anew`."""
    begun, rows = begin(seed), []
    for price in prices:
        walked = walk(*begun, seed, price)
        rows += walked + ([] if price else [measure_anew(*begun, seed, walked)])
        say(f"seed {seed}, price {price}: ends at KL {walked[-1]['kl']:.1f}, gain {walked[-1]['gain']:+.2f}")
    return rows
