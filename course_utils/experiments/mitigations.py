"""What is said to help against over-optimisation, each tried on one start and one set of proxies.

Most are judged by best-of-n on one pool of samples, since rules can be compared there sample by sample; those that
change what a *policy* does are judged by reinforcement learning too.
"""

import torch
from torch.nn import functional as F

from course_utils.experiments.overoptimisation import (
    NS,
    best_of_n_curve,
    fit_proxy,
    label_by,
    make_pool,
    more_pairs,
    push,
)
from course_utils.goodhart import best_of_n_reward
from course_utils.methods import make_start
from course_utils.methods.start import batches
from course_utils.reward_models import ScalarModel, ensemble_reward
from course_utils.testbed import models, text

FORM = {"filler", "further filler", "repeat", "malformed"}


# --- proxies that are asked something else -----------------------------------------------------


def correctness(prompt, response):
    """The part of the gold reward that is about what is true: claims and verdicts."""
    return sum(text.POINTS[c.kind] for c in text.parse(prompt, response) if c.kind not in FORM)


def form(prompt, response):
    """The rest of the gold reward: repeats, fillers, malformed clauses, words beyond the seventeenth."""
    return text.gold_reward(prompt, response) - correctness(prompt, response)


def fit_process_reward(model, judgements, seed, steps=200, batch_size=64, lr=2e-3):
    """A process reward model: raters mark single *clauses* as good or bad, and a response scores the sum of its clauses' logits.

    P(good) = sigmoid(points / text.NOISE), where points are the clause's in the gold reward: the same noise as for pairs.

    Args:
        model: whose samples are marked.
        judgements: how many clauses are marked.
        seed, steps, batch_size, lr: of prompts, raters and training.

    Returns:
        (score, read): score from (prompts, responses) to (B,), and how many responses the raters read.
    """
    generator = torch.Generator().manual_seed(seed)
    prompts = text.make_prompts(judgements, seed=8000 + seed)
    responses = models.sample(model, prompts, text.MAX_RESPONSE, 80_000 + seed)
    ids, ends, good, read = [], [], [], 0
    for prompt, response in zip(prompts.tolist(), responses, strict=True):
        row, at, targets = [*prompt, *response], [], []
        stops = [i for i, token in enumerate(response) if token == text.IDS["."]]
        for stop, clause in zip(stops, text.parse(prompt, response), strict=False):
            chance = torch.sigmoid(torch.tensor(text.POINTS[clause.kind] / text.NOISE))
            at.append(len(prompt) + stop)
            targets.append(float(torch.rand((), generator=generator) < chance))
        ids.append(row), ends.append(at), good.append(targets)
        read += 1
        if sum(map(len, ends)) >= judgements:
            break
    wide = models.pad_rows(ids, text.PAD_ID)
    mask, target = torch.zeros(wide.shape), torch.zeros(wide.shape)
    for i, (at, targets) in enumerate(zip(ends, good, strict=True)):
        mask[i, at], target[i, at] = 1.0, torch.tensor(targets)
    scalar = ScalarModel(models.small_model(len(text.VOCABULARY), 32, seed=seed).model, seed)
    optimizer = torch.optim.AdamW(scalar.parameters(), lr=lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, steps)
    for rows in batches(len(wide), min(batch_size, len(wide)), steps, seed):
        logits = scalar(wide[rows])
        loss = F.binary_cross_entropy_with_logits(logits, target[rows], reduction="none")
        loss = (loss * mask[rows]).sum() / mask[rows].sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(scalar.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    scalar.eval()

    @torch.no_grad()
    def score(prompts, responses):
        whole = torch.cat([prompts, models.pad_rows(responses, text.PAD_ID)], dim=1)
        stops = whole == text.IDS["."]
        stops[:, : prompts.shape[1]] = False
        return (scalar(whole) * stops).sum(1)

    return score, read


# --- rewards made of rewards -------------------------------------------------------------------


def combined(proxies, rule, coef=1.0):
    """A reward from several reward models by `ensemble_reward`."""

    def reward(prompts, responses):
        return ensemble_reward(torch.stack([p.score(prompts, responses) for p in proxies]), rule, coef)

    return reward


def saturated(proxy, at=1.0):
    """log sigmoid(r - at): gains beyond `at` hardly count any more, losses count in full."""
    return lambda prompts, responses: F.logsigmoid(proxy.score(prompts, responses) - at)


# --- all of it, for one seed -------------------------------------------------------------------

ENSEMBLE = 4
RL_STEPS, SHORTER = 90, 60


def measure_seed(seed, thorough=True, prompts=96, samples=256, steps=RL_STEPS, say=print):
    """Every mitigation on one seed: a list of rows "part", "name" and what was measured.

    part "bon": "n", "kl", "gold", "gold_se", "proxy" for each proxy or rule, all on one pool of samples; "more" and
    "more_se": the difference in gold to the single proxy at the same n, and its standard error over the prompts.
    part "quantile": "share" of the pool, by proxy, from which a sample is drawn at random, "gold".
    part "rl": the checkpoints of a run: "step", "kl", "gold", "proxy", "length"; "held_out", the score by a second
    proxy fitted to other pairs; and "audit", the mean gold of 64 of the checkpoint's samples.
    part "accuracy": share of 1,000 fresh pairs that a proxy ranks as the gold reward does.

    Where it is not `thorough`, only the single proxy is fitted and pushed, by best-of-n and by reinforcement learning.
    """
    start = make_start(seed)
    rows = []
    single = fit_proxy(start.pairs, seed)
    held_out = fit_proxy(more_pairs(start.model, 1000, 10 * seed + 1), seed + 1)
    pool = make_pool(start, prompts, samples, seed)

    plain = pool.score(single.score)

    def best_of_n(name, score):
        curve = zip(best_of_n_curve(score, pool.gold), _differences(score, plain, pool.gold), strict=True)
        rows.extend({"part": "bon", "name": name, **row, **more} for row, more in curve)

    def run(name, reward, **settings):
        settings = {"steps": steps, "seed": seed} | settings
        done = push(start, reward, watch={"held_out": held_out.score}, **settings)
        for row, gold in zip(done.rows, done.gold, strict=True):
            rows.append({"part": "rl", "name": name, **row, "audit": sum(gold[:64]) / len(gold[:64])})
        say(f"seed {seed}: {name}: end at KL {done.rows[-1]['kl']:.1f}, gold {done.rows[-1]['gold']:.2f}")
        return done

    best_of_n("1,000 comparisons", plain)
    pushed = run("one proxy", single.score)
    if thorough:
        more = _Thorough(seed, start, single, held_out, pool, plain, say)
        for name, score in more.scores.items():
            best_of_n(name, score)
        rows += more.rows
        _runs(run, best_of_n, more, pushed)
    return [{"seed": seed, **row} for row in rows]


def _differences(score, plain, gold):
    """For each n of `NS`: the mean over prompts of best-of-n's gold by a score minus by the plain one, and its standard error."""
    found = []
    for n in [n for n in NS if n <= gold.shape[1]]:
        gaps = torch.tensor(
            [
                best_of_n_reward(a.tolist(), g.tolist(), n) - best_of_n_reward(b.tolist(), g.tolist(), n)
                for a, b, g in zip(score, plain, gold, strict=True)
            ]
        )
        found.append({"more": gaps.mean().item(), "more_se": gaps.std().item() / len(gaps) ** 0.5})
    return found


class _Thorough:
    """The further proxies of a seed, their scores of the pool, and rows on their accuracy.

    Attributes:
        members: the ensemble of one data set.
        rules: {name: from (prompts, responses) to scores}.
        scores: {name: (P, S)}, of the pool, without the plain proxy's.
        rows: of the parts "accuracy" and "quantile".
    """

    def __init__(self, seed, start, single, held_out, pool, plain, say):
        self.seed, self.start, self.pool = seed, start, pool
        self.members = [single] + [fit_proxy(start.pairs, 100 * (i + 1) + seed) for i in range(ENSEMBLE - 1)]
        third = fit_proxy(more_pairs(start.model, 1000, 10 * seed + 2), seed + 2)
        many = start.pairs + more_pairs(start.model, 3000, 10 * seed + 5)
        aspects = [
            fit_proxy(more_pairs(start.model, 500, 10 * seed + 7 + i, aspect), seed, steps=150)
            for i, aspect in enumerate((correctness, form))
        ]
        self.process, read = fit_process_reward(start.model, 1000, seed)
        rules = {
            "250 comparisons": fit_proxy(start.pairs[:250], seed, steps=150).score,
            "4,000 comparisons": fit_proxy(many, seed, steps=350).score,
            "4,000, width 8": fit_proxy(many, seed, steps=350, width=8, lr=4e-3).score,
            "4,000, width 64": fit_proxy(many, seed, steps=350, width=64, lr=7e-4).score,
            "process reward, 1,000 judgements": self.process,
        }
        say(f"seed {seed}: all proxies fitted")
        self.scores = {name: pool.score(rule) for name, rule in rules.items()}
        groups = {
            "4 of one data set": (
                [plain] + [pool.score(p.score) for p in self.members[1:]],
                ("mean", "min", "uwo"),
            ),
            "3 of three data sets": (
                [plain, pool.score(held_out.score), pool.score(third.score)],
                ("mean", "min"),
            ),
        }
        for group, (scores, names) in groups.items():
            for rule in names:
                score = ensemble_reward(torch.stack(scores).flatten(1), rule).view_as(plain)
                self.scores[f"{group}, {rule}"] = score
        both = torch.stack([pool.score(p.score) for p in aspects])
        self.scores["two objectives, 500 comparisons each"] = both.mean(0)
        self.rows = self._accuracy({"1,000 comparisons": single.score} | rules, read)
        ranked = pool.gold.gather(1, plain.argsort(1, descending=True))
        for share in (1.0, 0.5, 0.25, 0.1, 0.05, 0.02, 1 / ranked.shape[1]):
            gold = ranked[:, : max(1, round(share * ranked.shape[1]))].mean().item()
            self.rows.append({"part": "quantile", "name": "1,000 comparisons", "share": share, "gold": gold})

    def _accuracy(self, rules, read):
        # raters without noise: the better one is always chosen
        fresh = more_pairs(
            self.start.model, 1000, 10 * self.seed + 9, lambda p, r: 1e6 * text.gold_reward(p, r)
        )
        asked = torch.tensor([pair["prompt"] for pair in fresh])
        good, bad = ([pair[side] for pair in fresh] for side in ("chosen", "rejected"))
        differ = text.gold_rewards(asked, good) != text.gold_rewards(asked, bad)
        return [
            {
                "part": "accuracy",
                "name": name,
                "accuracy": (rule(asked, good) > rule(asked, bad))[differ].float().mean().item(),
                "responses": read,
            }
            for name, rule in rules.items()
        ]


def _runs(run, best_of_n, more, pushed):
    """The runs of reinforcement learning beside that against the single proxy; all but the priced one are shorter."""
    single, seed, start = more.members[0], more.seed, more.start
    run("KL price 0.3", single.score, kl_coef=0.3)
    for rule in ("min", "uwo"):
        run(f"ensemble, {rule}", combined(more.members, rule), steps=SHORTER)
    run("saturated", saturated(single), steps=SHORTER)
    run("process reward", more.process, steps=SHORTER)

    # relabelling: 250 of the pushed policy's samples, each against one of the start, judged by the same raters
    asked = text.make_prompts(250, seed=9000 + seed)
    theirs = models.sample(pushed.policy, asked, text.MAX_RESPONSE, 95_000 + seed)
    ours = models.sample(start.model, asked, text.MAX_RESPONSE, 96_000 + seed)
    for name, extra in (
        ("250 pairs of the pushed policy added", label_by(text.gold_reward, asked, theirs, ours, seed)),
        ("250 ordinary pairs added", more_pairs(start.model, 250, 10 * seed + 6)),
    ):
        proxy = fit_proxy(start.pairs + extra, seed)
        run(name, proxy.score, steps=SHORTER)
        best_of_n(name, more.pool.score(proxy.score))
