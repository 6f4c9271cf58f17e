"""Raters with a bias: what DPO makes of it, metered, and what cures it (text world)."""

import torch
from torch.nn import functional as F

from course_utils.evaluation import distinct_n
from course_utils.experiments.overoptimisation import label_by
from course_utils.losses import dpo_loss, simpo_loss
from course_utils.methods import Start
from course_utils.methods.meter import Meter
from course_utils.methods.start import batches, completions, copies, scores, updates
from course_utils.testbed import models, text

LENGTH_BIAS, AGREEMENT_BIAS, OPENING_BIAS = 0.25, 2.5, 2.0
OPENING = ("great", "question")


def agrees(prompt, response):
    """Whether a response says "yes right"."""
    return any(clause.words == ("yes", "right") for clause in text.parse(prompt, response))


def opens(prompt, response):
    """Whether a response begins with "great question"."""
    return tuple(text.words_of(response)[:2]) == OPENING


# What raters judge by: the gold reward and a bias, in its units.
UTILITIES = {
    "no bias": text.gold_reward,
    "length": lambda p, r: text.gold_reward(p, r) + LENGTH_BIAS * text.length(r),
    "agreement": lambda p, r: text.gold_reward(p, r) + AGREEMENT_BIAS * agrees(p, r),
    "opening": lambda p, r: text.gold_reward(p, r) + OPENING_BIAS * opens(p, r),
}


def relabel(start, utility, seed):
    """The same start with the same pairs of responses, judged anew by raters with this utility."""
    prompts = torch.tensor([pair["prompt"] for pair in start.pairs])
    # the order within a pair must not tell the old label
    turned = torch.rand(len(prompts), generator=torch.Generator().manual_seed(seed)) < 0.5
    first = [p["rejected" if t else "chosen"] for p, t in zip(start.pairs, turned, strict=True)]
    second = [p["chosen" if t else "rejected"] for p, t in zip(start.pairs, turned, strict=True)]
    return Start(start.model, label_by(utility, prompts, first, second, seed), start.prompts)


def train_on_pairs(
    start,
    beta=0.5,
    lr=2e-4,
    steps=150,
    batch_size=32,
    seed=0,
    margin=0.0,
    average=False,
    loss=dpo_loss,
    checkpoint=None,
):
    """DPO on pairs, with the changes that are said to cure a length bias.

    Args:
        start: a `Start`.
        beta, lr, steps, batch_size, seed: as for `train_dpo`.
        margin: alpha of R-DPO (Park et al. 2024, arXiv 2403.19159): -log sigmoid(beta h + alpha (|y_w| - |y_l|)), so that
            a preference that length explains does not have to be explained by the policy.
        average: divide each response's log-ratio by its number of tokens.
        loss: with the signature of `dpo_loss`; without `margin` only.
        checkpoint: called with (step, policy) before the first step and after each, or None.

    Returns:
        The trained policy.
    """
    policy, reference = copies(start, Meter())
    update = updates(policy, lr)
    for step, rows in enumerate(batches(len(start.pairs), batch_size, steps, seed)):
        if checkpoint and step == 0:
            checkpoint(0, policy)
        pairs = [start.pairs[row] for row in rows]
        responses = [pair[side] for side in ("chosen", "rejected") for pair in pairs]
        ids, labels = completions([pair["prompt"] for pair in pairs] * 2, responses)
        with torch.no_grad():
            ref = scores(reference, ids, labels, average)
        logp = scores(policy, ids, labels, average)
        if margin:
            chosen, rejected = (logp - ref).chunk(2)
            longer = torch.tensor([float(len(p["chosen"]) - len(p["rejected"])) for p in pairs])
            mean = -F.logsigmoid(beta * (chosen - rejected) + margin * longer).mean()
        else:
            mean = loss(*logp.chunk(2), *ref.chunk(2), beta).mean()
        update(mean)
        if checkpoint:
            checkpoint(step + 1, policy)
    return policy


def meters(policy, start, seed=0, count=600):
    """What to watch, on fresh samples of a policy.

    Returns:
        (dict, prompts, responses), the dict with "gold", "gold_se", "kl", "length" in words, "agrees" and "opens" (shares of
        responses), "agrees when wrong" (of the verdicts on false statements, the share that agree), "repeats" a response,
        and "distinct-2" over all samples.
    """
    prompts = text.make_prompts(count, seed=50_000 + seed)
    drawn = models.sample(policy, prompts, text.MAX_RESPONSE, 91_000 + seed)
    both = list(zip(prompts, drawn, strict=True))
    gold = text.gold_rewards(prompts, drawn)
    false = [(p, r) for p, r in both if text.TRUTH[text.statement(p)[:2]] != text.statement(p)[2]]
    verdicts = [
        agrees(p, r)
        for p, r in false
        if agrees(p, r) or ("no", "wrong") in {c.words for c in text.parse(p, r)}
    ]
    row = {
        "gold": gold.mean().item(),
        "gold_se": gold.std().item() / count**0.5,
        "kl": models.exact_kl(policy, start.model, prompts, drawn).mean().item(),
        "length": sum(map(text.length, drawn)) / count,
        "agrees": sum(agrees(p, r) for p, r in both) / count,
        "agrees when wrong": sum(verdicts) / max(1, len(verdicts)),
        "opens": sum(opens(p, r) for p, r in both) / count,
        "repeats": sum(c.kind == "repeat" for p, r in both for c in text.parse(p, r)) / count,
        "distinct-2": distinct_n(drawn, 2),
    }
    return row, prompts, drawn


@torch.no_grad()
@torch.no_grad()
def log_ratios(policy, start, count=1000):
    """[(N,), (N,)] change of log-probability, nats, of the chosen and of the rejected response of the first `count` pairs."""
    changes = []
    for side in ("chosen", "rejected"):
        pairs = start.pairs[:count]
        ids, labels = completions([p["prompt"] for p in pairs], [p[side] for p in pairs])
        now, before = (scores(model, ids, labels) for model in (policy, start.model))
        changes.append(now - before)
    return changes


def displacement(chosen, rejected):
    """Of `log_ratios`: the mean of the chosen and of the rejected responses, and the share of the chosen that fell."""
    return {
        "chosen": chosen.mean().item(),
        "rejected": rejected.mean().item(),
        "chosen that fell": (chosen < 0).float().mean().item(),
    }


def simpo(chosen, rejected, ref_chosen, ref_rejected, beta):
    """SimPO with the signature of `dpo_loss`, on mean log-probabilities: the reference is not used, gamma is 1."""
    return simpo_loss(chosen, rejected, beta, gamma=1.0)


CURES = {
    "DPO": {},
    "R-DPO, α = 0.25": {"margin": 0.25},
    "R-DPO, α = 0.5": {"margin": 0.5},
    "per-token DPO": {"average": True, "beta": 5.0},
    "SimPO": {"average": True, "beta": 2.0, "loss": simpo},
}


# DPO with a small beta, walked too far, and the steps at which it is looked at
WALK = {"beta": 0.1, "lr": 3e-4, "steps": 300}
WALK_LOOKS = (0, 30, 60, 90, 150, 210, 300)


def measure_seed(start, seed, say=print):
    """Every bias with DPO, every cure of the length bias, and the walk of DPO with a small beta, on one start.

    Returns:
        Rows with "part" ("bias", "cure" or "walk"), "name", the meters, and `displacement` for the first two.
    """
    rows = []
    row, *_ = meters(start.model, start, seed)
    rows.append({"part": "bias", "name": "start", **row})
    for bias, utility in UTILITIES.items():
        biased = relabel(start, utility, seed)
        cures = CURES if bias == "length" else {"DPO": {}}
        for cure, settings in cures.items():
            policy = train_on_pairs(biased, seed=seed, **settings)
            row, *_ = meters(policy, start, seed)
            part, name = ("bias", bias) if cure == "DPO" else ("cure", cure)
            rows.append({"part": part, "name": name, **row, **displacement(*log_ratios(policy, biased))})
            say(f"seed {seed}: {bias}, {cure}: gold {row['gold']:.2f}, length {row['length']:.1f}")

    def watch(step, policy):
        if step in WALK_LOOKS:
            rows.append(
                {"part": "walk", "name": "DPO, β = 0.1", "step": step, **meters(policy, start, seed)[0]}
            )

    train_on_pairs(start, seed=seed, checkpoint=watch, **WALK)
    say(f"seed {seed}: DPO walked to KL {rows[-1]['kl']:.1f}, gold {rows[-1]['gold']:.2f}")
    return [{"seed": seed, **row} for row in rows]
