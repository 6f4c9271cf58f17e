# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 · Goodhart, measured
#
# **Goal.** Every method of this course optimises something that stands in for what is wanted. In this notebook you push
# such a stand-in, the **proxy**, until it breaks, in a world where the true reward, **gold**, is known. You measure
# when it breaks, fit the two published laws, and then try what is said to help. Some of it does not help here. That is a result too.
#
# | section | what happens | exercises |
# |---|---|---|
# | 1 | what the law says, and what one paper measured | – |
# | 2 | proxies, really fitted to noisy comparisons | – |
# | 3 | best-of-n | `best-of-n-kl`, `best-of-n-reward` |
# | 4 | reinforcement learning; you register a stopping rule, then see gold | `early-stop` |
# | 5 | two laws and their peaks | `fit-overoptimisation`, `predicted-peak` |
# | 6 | what changes it | `ensemble-reward`, `pareto-front`, `worst-case-reward` |
# | 7 | length, agreement, an artefact, collapse: gaming made visible | `length-control`, `diversity` |
# | 8 | DPO is not immune | – |
# | 9 | verifiable rewards are not immune | `overfit-verifier` |
# | 10 | twelve mitigations in one table; incidents; open questions | – |
#
# Eleven exercises (46 points) and a practice question (10 points, graded by hand). Allow three hours for the
# exercises and about five in all. After section 5 is a good place for a break.
#
# *Notation.* $\pi$ is the policy, $\pi_0$ the model that it starts from, KL is $\mathrm{KL}(\pi\|\pi_0)$ in nats for a whole response, and
# $d = \sqrt{\mathrm{KL}}$. $\alpha$ and $\beta$ are the coefficients of the laws in section 5; DPO's $\beta$ returns in section 8.

# %% [markdown]
# ## Before you start
#
# Three questions on notebooks 03 and 04. Run the import cell, then put a letter in the place of each question mark.

# %%
import math
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from course_utils import plots
from course_utils.checks import hint, progress, recall, use
from course_utils.scale import at_scale, scale
from course_utils.testbed import models, programs, text

pd.set_option("display.width", 130)
pd.set_option("display.max_columns", 20)

# %% tags=["recall"]
recall("05-a", "d")

# %% tags=["recall"]
recall("05-b", "a")

# %% tags=["recall"]
recall("05-c", "c")

# %% [markdown]
# ## 1. What the law says
#
# Goodhart (1975), on monetary policy: *"Any observed statistical regularity will tend to collapse once pressure is placed upon it
# for control purposes."* The form that is mostly quoted, "when a measure becomes a target, it ceases to be a good measure", is a
# paraphrase by Hoskin and by Strathern.
#
# Four ways in which a proxy fails under pressure (the names are those of Manheim and Garrabrant 2018, arXiv 1803.04585):
#
# | | what happens | in this notebook |
# |---|---|---|
# | regressional | proxy = gold + noise, and selection also selects noise | best-of-n gains less gold than proxy, in standard deviations, from n = 2 on (section 3) |
# | extremal | far from the data the relation is another one | gold falls although the proxy rises (sections 3 and 4) |
# | causal | the proxy is raised by something that does not cause gold | words and flattery bought by biased raters (section 7) |
# | adversarial | somebody games the measure on purpose | a policy that tabulates the visible tests (section 9) comes near it, though it has no purpose |
#
# **One paper measured it**: Gao, Schulman and Hilton (2023, arXiv 2210.10760). Four facts that are often told wrongly:
#
# - *There are no humans in the loop.* The gold reward is a reward model of 6 billion parameters; it labels comparisons, and the proxies,
#   3 million to 3 billion parameters, are fitted to those labels (section 2.1).
# - *Two optimisers*: best-of-n and PPO, with a KL price of 0 but for one section.
# - *A larger proxy and more comparisons make it better*, not worse (sections 3.2 and 3.3).
# - *A KL price did not change gold as a function of KL.* It acted like stopping early, with a larger gap between proxy and gold
#   (section 3.6).
#
# This notebook repeats the design on a model of 85,056 parameters. What comes out alike, and what does not, you will see. Nothing here
# says what happens at another size.

# %% [markdown]
# ## 2. A gold reward, and proxies of it
#
# The world is the text world of notebooks 02 and 03: 44 words, 24 facts, and a parser that scores every answer. Raters prefer the better of two answers with
# probability $\sigma(\text{difference}/0.5)$. A small reward model is fitted to 1,000 of their labels: **proxy A**, which will be optimised. A
# second one, **proxy B**, is fitted to 1,000 *other* pairs, and only watched.

# %% tags=["experiment", "nbval-ignore-output"]
from course_utils.experiments import overoptimisation as over
from course_utils.methods import make_start

torch.set_num_threads(at_scale(1, 2))
SEED = 2  # one of the five of the kept runs
start = make_start(SEED, sft_steps=at_scale(25, 300), pairs=at_scale(100, 1000))
proxy_a = over.fit_proxy(start.pairs, SEED, steps=at_scale(10, 200))
proxy_b = over.fit_proxy(
    over.more_pairs(start.model, at_scale(100, 1000), 10 * SEED + 1), SEED + 1, steps=at_scale(10, 200)
)


def agreement(proxy, pairs):
    """How often a proxy ranks a pair as the gold reward does (pairs with a difference in gold only)."""
    asked = torch.tensor([p["prompt"] for p in pairs])
    sides = [[p[side] for p in pairs] for side in ("chosen", "rejected")]
    gold = text.gold_rewards(asked, sides[0]) - text.gold_rewards(asked, sides[1])
    guess = proxy.score(asked, sides[0]) - proxy.score(asked, sides[1])
    return ((guess > 0) == (gold > 0))[gold != 0].float().mean().item()


fresh = over.more_pairs(start.model, at_scale(100, 1000), seed=999)
accuracy = {name: agreement(proxy, fresh) for name, proxy in (("A", proxy_a), ("B", proxy_b))}
for name, share in accuracy.items():
    print(f"proxy {name} ranks {share:.0%} of {len(fresh):,} fresh pairs as gold does")


# %% tags=["experiment"]
def conclude(claim, holds):
    """Print whether a claim holds for this run; at the fast scale the run is too short to say."""
    print(f"{claim}: {'too short a run to say' if scale() == 'fast' else 'yes' if holds else 'no'}")


conclude(
    "both proxies are better than a coin and far from perfect",
    all(0.55 < v < 0.85 for v in accuracy.values()),
)

# %% [markdown]
# That is the situation of every reward model: right more often than not **on samples of the start**. The question is
# what happens to it where the policy goes.
#
# ## 3. Best-of-n
#
# Draw $n$ answers, keep the one that the proxy likes best. Nothing is trained, and $n$ says how hard you push.

# %% [markdown]
# ### Exercise: how far best-of-n moves
#
# `best-of-n-kl` · difficulty 1/5 · about 5 minutes · 2 points
#
# $$\mathrm{KL}(\pi_n \| \pi_0) = \log n - \frac{n-1}{n}$$
#
# (Stiennon et al. 2020, arXiv 2009.01325, appendix G.3.) It is exact if no two draws can tie (a continuous score); for discrete answers it is an upper bound (Beirami et al. 2024, arXiv
# 2401.01879). The reason: the rank $u$ of the kept answer, between 0 and 1, has the density $n u^{n-1}$, and $\int_0^1 n u^{n-1} \log(n u^{n-1})\,du$
# is this number.
#
# - `n`: an int ≥ 1. Returns a float, in nats.
#
# Graded: n up to 64 (1.5), n up to a million (0.5).
#
# Stuck? Run `hint("best-of-n-kl")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "best-of-n-kl", "locked": false, "schema_version": 3, "solution": true, "task": false}
def best_of_n_kl(n):
    """KL of best-of-n from the model that it samples from."""
    ### BEGIN SOLUTION
    return math.log(n) - (n - 1) / n
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-best-of-n-kl", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("best-of-n-kl", best_of_n_kl)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("best-of-n-kl", best_of_n_kl)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: what best-of-n gets, without luck
#
# `best-of-n-reward` · difficulty 3/5 · about 20 minutes · 6 points
#
# You have $N$ answers to one prompt with their proxy and gold scores. What gold does best-of-n expect? Drawing $n$ of them again and again is noisy;
# drawing **with** replacement is biased besides. The exact mean over **all subsets** of size $n$ is
#
# $$\sum_{i=1}^{N} \frac{\binom{i-1}{n-1}}{\binom{N}{n}}\; g_{(i)}$$
#
# where $g_{(i)}$ is the gold score of the answer whose proxy is the $i$-th lowest (Nakano et al. 2021, "WebGPT", arXiv 2112.09332, appendix I).
#
# - `proxy`, `gold`: N numbers each (list, tuple, array or tensor), no ties in `proxy`; `n`: an int, 1 ≤ n ≤ N.
# - returns a float. No Monte Carlo. N may be in the thousands: mind that factorials overflow floats.
#
# Graded: values (3.5), n = 1 and n = N (1), many samples (1), kinds of input (0.5).
#
# Stuck? Run `hint("best-of-n-reward")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "best-of-n-reward", "locked": false, "schema_version": 3, "solution": true, "task": false}
def best_of_n_reward(proxy, gold, n):
    """Mean gold of the proxy's pick, over all subsets of size n."""
    ### BEGIN SOLUTION
    ranked = sorted(zip([float(p) for p in proxy], [float(g) for g in gold]))
    total = math.comb(len(ranked), n)  # Python's ints do not overflow
    # with i answers below it, an answer is the best of C(i, n - 1) subsets
    return sum(math.comb(i, n - 1) / total * g for i, (_, g) in enumerate(ranked))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-best-of-n-reward", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("best-of-n-reward", best_of_n_reward)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("best-of-n-reward", best_of_n_reward)
### END HIDDEN TESTS

# %% [markdown]
# **Push.** 256 answers to each of the world's 96 prompts, scored by proxy A. Your function gives the curve for all n from the same pool.

# %% tags=["experiment", "nbval-ignore-output"]
pick = use("best-of-n-reward", best_of_n_reward)
kl_of = use("best-of-n-kl", best_of_n_kl)

pool = over.make_pool(start, prompts=at_scale(6, 96), samples=at_scale(16, 256), seed=SEED)
scores_a = pool.score(proxy_a.score)
bon = pd.DataFrame(over.best_of_n_curve(scores_a, pool.gold, reward=pick))
bon["kl"] = [kl_of(int(n)) for n in bon["n"]]
print(bon.round(2).to_string(index=False))

fig, ax = plots.figure()
ax.errorbar(
    bon["kl"], bon["gold"] - bon["gold"][0], 1.96 * bon["gold_se"], marker="o", capsize=3, label="gold"
)
ax.plot(bon["kl"], bon["proxy"] - bon["proxy"][0], marker="s", label="proxy A")
for kl, gain, n in zip(bon["kl"], bon["proxy"] - bon["proxy"][0], bon["n"]):
    ax.annotate(f"{n}", (kl, gain), textcoords="offset points", xytext=(0, 6), ha="center", fontsize=8)
ax.set(
    xlabel="KL from the start (nats); n stands at the points",
    ylabel="gain over the start (each in its own units)",
)
ax.legend()
plots.show(
    fig,
    "Best-of-n: gain in proxy and in gold against KL. The proxy rises all the way, ever less steeply; gold rises less, flattens and, for large n, "
    "turns down. Bars are 95 % intervals over prompts.",
)

# %% tags=["experiment"]
top = int(bon["gold"].argmax())
conclude("the proxy rises at every step", (bon["proxy"].diff().dropna() > 0).all())
spread = pool.gold.std(dim=1).mean().item()  # the proxy's is about 1
conclude(
    "in standard deviations of the start's answers, gold gains less than the proxy at every n",
    ((bon["gold"] - bon["gold"][0])[1:] / spread < (bon["proxy"] - bon["proxy"][0])[1:]).all(),
)
conclude("gold is highest before the largest n", top < len(bon) - 1)

# %% [markdown]
# *Two effects in one curve.* The gap opens at once: the best of few by a noisy score is partly lucky (regressional). The **fall** is something else:
# among many answers there are some that the proxy has never been taught about, and it likes a few of them very much (extremal). Gold and proxy are
# in units of their own, so the *distance* of the two lines means nothing unless both are divided by their spread; that one falls while the other rises means something in any unit.
#
# ## 4. Reinforcement learning, and a rule that you register
#
# Now the policy is trained: REINFORCE with the leave-one-out baseline of notebook 03, 16 prompts with four samples each a step, no KL price. A checkpoint is the
# mean of three steps, 192 samples. Here is what you would see in practice: proxy A, which is optimised, proxy B, which is not, and the KL. Gold stays
# hidden for now.

# %% tags=["experiment", "nbval-ignore-output"]
from course_utils.experiments import mitigations


def truth_of(prompts, answers):
    """The part of the gold reward that is about what is true, for section 6."""
    return torch.tensor([mitigations.correctness(p, a) for p, a in zip(prompts, answers)])


watched = {"held_out": proxy_b.score, "truth": truth_of}
run = over.push(start, proxy_a.score, steps=at_scale(12, 90), seed=SEED, watch=watched)
walk = pd.DataFrame(run.rows)
walk["audit"] = [sum(gold[:64]) / len(gold[:64]) for gold in run.gold]

fig, axes = plots.figure(1, 2)
axes[0].plot(walk["step"], walk["proxy"], label="proxy A (optimised)")
axes[0].plot(walk["step"], walk["held_out"], label="proxy B (watched)")
axes[0].set(xlabel="step", ylabel="mean score (start: about 0)")
axes[0].legend()
axes[1].plot(walk["step"], walk["kl"], color="black", linestyle="-")
axes[1].set(xlabel="step", ylabel="KL from the start (nats)", yscale="log")
plots.show(
    fig,
    "Left: scores of proxy A and proxy B against training step, first rising together; then proxy A goes on, and proxy B falls. Right: KL from the start on a logarithmic axis, growing by "
    "orders of magnitude.",
)

# %% [markdown]
# ### Exercise: early stopping
#
# `early-stop` · difficulty 2/5 · about 15 minutes · 4 points
#
# Walk through the scores of the checkpoints as they come. A checkpoint is a **new best** if it is strictly above all before it (a tie is none). Stop once
# `patience` checkpoints in a row brought no new best, and return the index of the best one seen. What comes after the stop is never looked at. (Prechelt 1998, "Early stopping – but when?",
# compares such rules.)
#
# - `gold`: numbers, at least one (list, tuple, array or 1-D tensor); `patience`: an int ≥ 1. Returns an int, from 0; the first of equal bests.
#
# Graded: humps (1.5), patience counts on until there is a new best (0.5), ties (1), first and last checkpoint (0.5), kinds (0.5).
#
# Stuck? Run `hint("early-stop")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "early-stop", "locked": false, "schema_version": 3, "solution": true, "task": false}
def early_stop(gold, patience):
    """The index of the best checkpoint seen before patience ran out."""
    ### BEGIN SOLUTION
    best, waited = 0, 0
    for i in range(1, len(gold)):
        if gold[i] > gold[best]:
            best, waited = i, 0
        else:
            waited += 1
        if waited == patience:  # what comes later is not looked at
            break
    return best
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-early-stop", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("early-stop", early_stop)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("early-stop", early_stop)
### END HIDDEN TESTS

# %% [markdown]
# **Register your rule now**, before you run the cell after it. A rule chosen after seeing the gold curve is worth nothing. Write one of
#
# - `("proxy", 4)`: patience 4 on the proxy that is optimised,
# - `("held_out", 4)`: patience 4 on proxy B,
# - `("kl", 1.0)`: the last checkpoint with at most this KL,
# - `("audit", 4)`: patience 4 on 64 answers a checkpoint with gold labels, paid for.
#
# and a sentence on why.

# %%
my_rule = ("held_out", 4)
my_reason = "a second reward model has not been optimised, so it should notice"

# %% [markdown]
# Each signal but the KL is averaged with its two neighbours (so smoothing looks one checkpoint ahead: a rule that stops at checkpoint *i* has seen *i* + 1), then the rule is applied. Its **score** is the gold reward, averaged likewise, at the checkpoint that it keeps.

# %% tags=["experiment", "nbval-ignore-output"]
stop = use("early-stop", early_stop)


def keeps(rule, rows):
    """The checkpoint that a rule keeps; gold is not looked at, but for the audit's 64 labels."""
    signal, setting = rule
    if signal not in ("proxy", "held_out", "kl", "audit"):
        raise ValueError(f"my_rule: {signal!r} is none of the signals 'proxy', 'held_out', 'kl' and 'audit'")
    if signal == "kl":
        return max((i for i, kl in enumerate(rows["kl"]) if kl <= setting), default=0)
    return stop(over.smooth(list(rows[signal])), setting)


rules = [("proxy", 4), ("held_out", 4), ("kl", 0.5), ("kl", 1.0), ("kl", 2.0), ("audit", 4)]
gold_seen = over.smooth(list(walk["gold"]))
mine = keeps(my_rule, walk)

fig, ax = plots.figure()
ax.plot(walk["kl"], walk["gold"], ".", color=plots.COLOURS[3], label="gold, each checkpoint")
ax.plot(walk["kl"], gold_seen, "-", color=plots.COLOURS[0], label="gold, smoothed")
ax.plot(walk["kl"], over.smooth(list(walk["proxy"])), "--", color=plots.COLOURS[1], label="proxy A")
ax.plot(walk["kl"], over.smooth(list(walk["held_out"])), ":", color=plots.COLOURS[2], label="proxy B")
ax.axvline(walk["kl"][mine], color="black", linewidth=1)
ax.annotate("your rule", (walk["kl"][mine], ax.get_ylim()[0]), xytext=(4, 4), textcoords="offset points")
ax.set(xlabel="KL from the start (nats)", ylabel="score (each in its own units)", xscale="symlog")
ax.set_xlim(0, None)
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
plots.show(
    fig,
    "The same run against KL, with gold: gold rises for the first nat or so, then falls far below its start while proxy A goes on rising. Proxy B stays nearly flat until gold has long turned, then falls too. A vertical line "
    "marks the checkpoint that the registered rule keeps.",
)
print(
    f"your rule {my_rule} keeps checkpoint {mine} of {len(walk)}: KL {walk['kl'][mine]:.2f}, gold {gold_seen[mine]:.2f}"
)
print(
    f"start {bon['gold'][0]:.2f} (all samples of section 3), best {max(gold_seen):.2f}, end {walk['gold'].iloc[-1]:.2f}"
)

# %% tags=["experiment"]
late = walk["gold"].iloc[-3:].mean()
conclude("gold rises first", max(gold_seen) > bon["gold"][0] + 0.15)
conclude("and ends far below its start", late < bon["gold"][0] - 0.5)
conclude("while proxy A ends far above its start", walk["proxy"].iloc[-3:].mean() > walk["proxy"][0] + 0.5)

# %% [markdown]
# What does a policy write that the proxy likes and gold does not? The start, the best checkpoint and the last one, on a few prompts:

# %% tags=["experiment", "nbval-ignore-output"]
peak = int(np.argmax(gold_seen))
for name, at in (("start", 0), ("best by gold", peak), ("last", len(walk) - 1)):
    print(f"{name} (KL {walk['kl'][at]:.1f}):")
    for prompt, answer in run.samples[walk["step"][at]][:3]:
        said, gold = " ".join(text.words_of(answer)), text.gold_reward(prompt, answer)
        print(f"   {text.decode(prompt[3:6]):20} {gold:+.1f}  {said}")

# %% [markdown]
# The last policy lists claims, true or not, and repeats them. A reward model that sums over clauses learned that claims are good, since in its data a claim is mostly true.
#
# **One run is an anecdote**: the same on five seeds, other starts, data and raters, kept from `make full`. Every rule is
# applied to every seed.

# %% tags=["experiment"]
from course_utils import measured

kept, origin = measured.read("overoptimisation")
pushed = {
    seed: rows.reset_index(drop=True)
    for seed, rows in kept[(kept.part == "rl") & (kept.name == "one proxy")].groupby("seed")
}
# one sample of each prompt (n = 1): the start's gold from 24,576 samples, where a checkpoint has 192
single = kept[(kept.part == "bon") & (kept.name == "1,000 comparisons")]
begins = single[single.n == 1].set_index("seed")["gold"]
table = {}
for rule in rules:
    table[f"{rule[0]} {rule[1]:g}"] = [
        over.smooth(list(rows["gold"]))[keeps(rule, rows)] for rows in pushed.values()
    ]
table["(best in hindsight)"] = [max(over.smooth(list(rows["gold"]))) for rows in pushed.values()]
table["(start)"] = [begins[seed] for seed in pushed]
table["(end)"] = [rows["gold"].iloc[-1] for rows in pushed.values()]
scored = pd.DataFrame(table, index=[f"seed {s}" for s in pushed]).T
scored["mean"] = scored.mean(axis=1)
print(scored.round(2).to_string())
print(measured.told(origin))

# %% tags=["experiment"]
print(
    "the proxy ends above its start in every kept run:",
    all(rows["proxy"].iloc[-3:].mean() > rows["proxy"][0] + 0.5 for rows in pushed.values()),
)
for rule in ("held_out 4", "kl 1", "audit 4"):
    less = int((scored.loc[rule] < scored.loc["(start)"]).drop("mean").sum())
    print(f"the rule {rule!r} keeps less gold than the start had on {less} of {len(pushed)} seeds")
for seed, rows in pushed.items():
    tops = [int(np.argmax(over.smooth(list(rows[name])))) for name in ("gold", "held_out")]
    kl = [rows["kl"][top] for top in tops]
    both = np.corrcoef(rows["proxy"], rows["held_out"])[0, 1]
    print(
        f"seed {seed}: gold is highest at KL {kl[0]:.1f}, proxy B at KL {kl[1]:.1f} of {rows['kl'].iloc[-1]:.1f}; "
        f"correlation of proxies A and B {both:+.2f}"
    )

# %% [markdown]
# - *Patience on the optimised proxy* stops where noise makes a plateau, or never. It knows nothing of gold.
# - *A second proxy is no safeguard by itself.* It was fitted by the same recipe to pairs of the same start. On seeds 0 and 1 its score follows proxy A's (correlations above) and is highest at the very end, where gold is far below the start; only a noise dip stopped the rule early. On the other three it turns, but after gold has.
#   On average patience on it keeps no more gold than the start had, and on two of five seeds less.
# - *A KL budget and a small audit with gold labels* do best. The audit alone keeps more than the start had on every seed, and costs 64 labels a checkpoint. **Two cautions.** The menu, budgets and patience, was written by people who had seen such curves; you chose from it blindly, on this run. And the audit's 64 labels are among
#   the 192 samples that then score it, so it looks better than it is.
#
# ### Is the rise real?
#
# A checkpoint's 192 samples leave its gold a standard error of 0.1, as much as the weakest seed seems to gain, and the best of thirty noisy checkpoints is flattered.
# So the same five runs were made again and **looked at** with 1,536 fresh samples, after every third of the first thirty updates. These looks only *choose* where gold peaks (a running mean over three); the policy there was then
# sampled anew, 6,144 answers, and that is what the table holds. All gains are over the start's gold from 24,576 samples.

# %% tags=["experiment"]
looks, looks_origin = measured.read("frontier")
anew = looks[looks.samples == looks.samples.max()].set_index("seed")
looks = looks[looks.samples < looks.samples.max()]
free = {seed: rows.reset_index(drop=True) for seed, rows in looks[looks.price == 0].groupby("seed")}
rises = pd.DataFrame(
    {
        f"seed {seed}": {
            "updates": anew["step"][seed],
            "KL": anew["kl"][seed],
            "gain at the peak": anew["gain"][seed],
            "± 95 %": 1.96 * anew["gain_se"][seed],
            "KL at the end": rows["kl"].iloc[-1],
            "gain at the end": rows["gain"].iloc[-1],
            "± 95 % ": 1.96 * rows["gain_se"].iloc[-1],
        }
        for seed, rows in free.items()
    }
).T
print(rises.round(2).to_string())
print(measured.told(looks_origin))

# %% tags=["experiment"]
clear = rises["gain at the peak"] > rises["± 95 %"]
below = rises["gain at the end"] < -rises["± 95 % "]
print(f"gold rises, with an interval above 0, on {clear.sum()} of {len(rises)} seeds")
print(f"and ends below its start, with an interval below 0, on {below.sum()} of {len(rises)}")

# %% [markdown]
# So the hump is there on all five, also on seed 4, where it is small and early: its proxy is the one whose best of 256 ends below the start (section 5). A poor proxy does not only fall deeper, it has less to give before. What looked like noise was a matter of samples, not of luck.
#
# ## 5. Two laws
#
# Gao et al. (section 3.1) fit gold, as a gain over the start, with two curves in $d = \sqrt{\mathrm{KL}}$:
#
# $$R_{\mathrm{bon}}(d) = d\,(\alpha - \beta d), \qquad R_{\mathrm{RL}}(d) = d\,(\alpha - \beta \log d).$$
#
# They are empirical: no derivation stands behind them, and the proxy's own score does not follow them.

# %% [markdown]
# ### Exercise: fit the laws
#
# `fit-overoptimisation` · difficulty 3/5 · about 20 minutes · 6 points
#
# - `kl`, `gold`: numbers of equal length (list, tuple, array or 1-D tensor), KL ≥ 0 in any order; `gold` is the gain over the start.
# - `kind`: `"bon"` or `"rl"`.
# - returns `(alpha, beta)`, floats: least squares in `gold` over all points, unweighted, **no intercept**.
# - a point at KL = 0 may be among them; there $d \log d$ is its limit, 0.
#
# Graded: the law of best-of-n (2), of RL (2), a point at KL = 0 (1), kinds of input (0.5), two Python floats (0.5).
#
# Stuck? Run `hint("fit-overoptimisation")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "fit-overoptimisation", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fit_overoptimisation(kl, gold, kind):
    """(alpha, beta) of Gao's law, by least squares."""
    ### BEGIN SOLUTION
    d = np.sqrt(np.array([float(k) for k in kl]))
    target = np.array([float(g) for g in gold])
    # d log d is 0 at d = 0, its limit
    falling = d**2 if kind == "bon" else d * np.log(np.where(d > 0, d, 1.0))
    (alpha, beta), *_ = np.linalg.lstsq(np.column_stack([d, -falling]), target, rcond=None)
    return float(alpha), float(beta)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-fit-overoptimisation", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("fit-overoptimisation", fit_overoptimisation)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("fit-overoptimisation", fit_overoptimisation)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: where the law peaks
#
# `predicted-peak` · difficulty 2/5 · about 10 minutes · 3 points
#
# For $\alpha, \beta > 0$, return the $d$ at which gold is highest. Differentiate each law and put the derivative to 0. (RL's law has a peak for any $\alpha$, as long as $\beta > 0$.)
#
# - `kind`: `"bon"` or `"rl"`. Returns a float, in units of $d$ (its square is the KL).
#
# Graded: best-of-n (1.5), RL (1.5).
#
# Stuck? Run `hint("predicted-peak")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "predicted-peak", "locked": false, "schema_version": 3, "solution": true, "task": false}
def predicted_peak(alpha, beta, kind):
    """The d of the highest gold."""
    ### BEGIN SOLUTION
    if kind == "bon":
        return float(alpha / (2 * beta))  # alpha - 2 beta d = 0
    return float(math.exp(alpha / beta - 1))  # alpha - beta log d - beta = 0
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-predicted-peak", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("predicted-peak", predicted_peak)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("predicted-peak", predicted_peak)
### END HIDDEN TESTS

# %% [markdown]
# **Both laws on the live run**, with $R^2$ (the share of the variance of gold, about its mean, that the fit accounts for), the peak that they predict and the
# peak that was seen. RL's checkpoints are taken up to KL 10: farther out the long fall alone would decide the fit (the next table has both).

# %% tags=["experiment", "nbval-ignore-output", "readme"]
fit, peak_of = use("fit-overoptimisation", fit_overoptimisation), use("predicted-peak", predicted_peak)


def fitted(kl, gold, kind):
    """A dict: alpha, beta, R² and the KL of the predicted and the seen peak, for gains in gold."""
    kl, gold = list(kl), list(gold)
    alpha, beta = fit(kl, gold, kind)
    if alpha > 0 and beta > 0:
        peak = peak_of(alpha, beta, kind) ** 2
    elif kind == "rl" and beta > 0:  # RL's law has its peak for every α; the exercise asks for α > 0 only
        peak = math.exp(alpha / beta - 1) ** 2
    else:
        peak = float("nan")
    seen = kl[int(np.argmax(gold if kind == "bon" else over.smooth(gold)))]
    quality = over.r_squared(kl, gold, alpha, beta, kind)
    return {"α": alpha, "β": beta, "R²": quality, "KL of the peak, predicted": peak, "seen": seen}


near_part = walk[walk["kl"] <= 10]
curves = {
    "bon": (bon["kl"], bon["gold"] - bon["gold"][0], "best-of-n"),
    # the start from all samples of section 3: the first checkpoint alone is too noisy a zero
    "rl": (near_part["kl"], near_part["gold"] - bon["gold"][0], "reinforcement learning, KL ≤ 10"),
}
laws = {kind: fitted(kl, gold, kind) for kind, (kl, gold, _) in curves.items()}

fig, axes = plots.figure(1, 2)
for ax, (kind, (kl, gold, name)) in zip(axes, curves.items()):
    d = np.sqrt(np.linspace(0, max(kl), 300))
    ax.plot(np.sqrt(kl), gold, "o", color=plots.COLOURS[0], markersize=4, label="measured")
    line = over.law(torch.tensor(d), laws[kind]["α"], laws[kind]["β"], kind)
    ax.plot(d, line, "-", color=plots.COLOURS[1], label=f"fit, R² = {laws[kind]['R²']:.2f}")
    ax.axvline(
        laws[kind]["KL of the peak, predicted"] ** 0.5, color="black", linestyle=":", label="predicted peak"
    )
    ax.set(title=name, xlabel="d = √KL", ylabel="gain in gold")
    ax.legend(fontsize=9)
plots.show(
    fig,
    "Gain in gold against the square root of KL, measured points and fitted law. Left, best-of-n: a flat arch. Right, reinforcement learning: a short rise and a "
    "long fall. A dotted line marks the predicted peak.",
)
print(pd.DataFrame(laws).T.round(2).to_string())

# %% tags=["experiment"]
conclude(
    "each law accounts for more than half of the variance", all(row["R²"] > 0.5 for row in laws.values())
)

# %% tags=["experiment"]
rows = []
for seed, run_rows in free.items():
    rows.append({"seed": seed, "law": "rl", **fitted(run_rows["kl"], run_rows["gain"], "rl")})
    early = run_rows["kl"] <= 10
    rows.append(
        {"seed": seed, "law": "rl, KL ≤ 10", **fitted(run_rows["kl"][early], run_rows["gain"][early], "rl")}
    )
for seed, curve in single.groupby("seed"):
    rows.append(
        {"seed": seed, "law": "bon", **fitted(curve["kl"], curve["gold"] - curve["gold"].iloc[0], "bon")}
    )
five = pd.DataFrame(rows).sort_values(["law", "seed"])
print(five.round(2).to_string(index=False))

# %% tags=["experiment"]
fig, axes = plots.figure(1, 2)
curves_of = {seed: (c["kl"], c["gold"] - c["gold"].iloc[0]) for seed, c in single.groupby("seed")}
looked = {seed: (rows["kl"], rows["gain"]) for seed, rows in free.items()}
for ax, (name, lines) in zip(axes, (("best-of-n", curves_of), ("reinforcement learning", looked))):
    styles = zip("os^Dv", ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1))), lines.items())
    for marker, style, (seed, (kl, gain)) in styles:
        near_start = kl <= 9
        ax.plot(
            np.sqrt(kl)[near_start],
            gain[near_start],
            marker=marker,
            markersize=4,
            linestyle=style,
            color="black" if marker == "v" else None,
            linewidth=0.8,
            label=f"seed {seed}",
        )
    ax.set(title=name, xlabel="d = √KL", ylabel="gain in gold", ylim=(-1.5, 1.3))
    ax.axhline(0, color="black", linewidth=0.8)
axes[0].legend(fontsize=8, loc="lower left")
plots.show(
    fig,
    "The five kept seeds up to d = 3: gain in gold against the square root of KL, on one scale. Left, best-of-n: five arches that all turn down, one to below zero. Right, reinforcement learning: every "
    "seed rises less, peaks before d = 1.5 and falls through zero.",
)

# %% tags=["experiment"]
falls = []
for _, curve in single.groupby("seed"):
    curve = curve.set_index("n")
    falls.append(bool(curve["gold"].idxmax() < 256))
print(f"kept best-of-n curves with their peak before n = 256: {sum(falls)} of {len(falls)}")
by_law = five.groupby("law")["R²"]
for kind, values in by_law:
    print(f"R² of the law {kind!r}: {values.min():.2f} to {values.max():.2f}")
at_two = []
for seed, rows in free.items():
    kl, gain = curves_of[seed]
    in_rl = rows["gain"][(rows["kl"] > 1.2) & (rows["kl"] < 2.6)].mean()
    at_two.append(gain[(kl > 1.2) & (kl < 2.6)].mean() - in_rl)
print(f"near KL 2, best-of-n has more gold than RL on {sum(a > 0 for a in at_two)} of {len(at_two)} seeds")
for law in ("rl", "rl, KL ≤ 10", "bon"):
    own = five[five.law == law]
    humps = own["KL of the peak, predicted"].notna()
    late = (own["seen"] > own["KL of the peak, predicted"])[humps].sum()
    print(f"the fit {law!r} has a peak on {humps.sum()} of {len(own)} seeds, before the one seen on {late}")

# %% [markdown]
# - *All five rise and fall*, under both optimisers, and the seed with the lowest peak is the same for both: seed 4.
# - *The laws describe the shape* with two numbers each. Best-of-n's peak comes out a little early. RL's law puts its peak too early on all five seeds. Fitted to the whole walk it may be far off, on seed 0 at a KL of less than 0.01, with an R² that looks fine: that is earned on the long fall, not on the peak that you would want to predict. Fitted to the part up to KL 10 it is nearer.
# - *At equal KL best-of-n is ahead.* That does not make RL worse: KL measures distance, and RL spends it on things that change no reward. Gao et al. warn against comparing
#   the two by KL; at equal *proxy* reward they find them close together (section 4.4).
# - *Do not extrapolate.* Refitting to half of a curve gives other coefficients; try `fitted(bon["kl"][:5], (bon["gold"] - bon["gold"][0])[:5], "bon")`.

# %% [markdown]
# ## 6. What changes it
#
# Most of this section reads the kept runs: three seeds, each with its own start, data and raters. Every mitigation shares start and samples with the plain proxy of its seed (one reward model, 1,000 comparisons), so it is compared seed by seed.
#
# Columns "n = 16", "n = 256" and "at its best n" are differences to that plain proxy: the mean of three seeds and its 95 % t interval. Three seeds make a wide one (4.3 standard errors), and where it holds 0 the result is "not told apart". So look at the two columns "at 256" too: on how many seeds a row is ahead or behind there,
# and on how many of them *clearly*, by an interval over that seed's own 96 prompts. "From its best n to 256" is a row's own fall.

# %% tags=["experiment"]
from scipy import stats


def interval(differences):
    """Mean and 95 % t interval over the seeds that have a number, as text; a seed alone is named as such."""
    x = np.asarray(differences, dtype=float)
    x = x[~np.isnan(x)]
    if len(x) < 2:
        return f"{x[0]:+.2f}, one seed" if len(x) else "-"
    half = stats.t.ppf(0.975, len(x) - 1) * x.std(ddof=1) / len(x) ** 0.5
    return f"{x.mean():+.2f} ± {half:.2f}"


bon_rows = kept[kept.part == "bon"].astype({"n": int})
bon_kept = bon_rows.pivot_table(index=["name", "n"], columns="seed", values="gold")
all_proxies = sorted(
    bon_rows[bon_rows.name == "4,000 comparisons"]["seed"].unique()
)  # seeds with all mitigations


def bon_against(name):
    """Best-of-n by a proxy, minus best-of-n by the plain one: at n = 16, at n = 256, and each one's best n."""
    ours, plain = bon_kept.loc[name][all_proxies], bon_kept.loc["1,000 comparisons"][all_proxies]
    rows = bon_rows[(bon_rows.name == name) & (bon_rows.n == 256) & bon_rows.seed.isin(all_proxies)]
    more, clear = rows["more"], 1.96 * rows["more_se"]  # over the prompts of a seed
    return {
        **{f"n = {n}": interval(ours.loc[n] - plain.loc[n]) for n in (16, 256)},
        "ahead at 256": f"{(more > 0).sum()}, clearly {(more > clear).sum()}",
        "behind at 256": f"{(more < 0).sum()}, clearly {(more < -clear).sum()}",
        "at its best n": interval(ours.max() - plain.max()),
        "from its best n to 256": interval(ours.loc[256] - ours.max()),
    }


def told_apart(name, column="n = 256"):
    """-1, 0 or 1: whether the interval of a difference lies under, over or around 0."""
    words = bon_against(name)[column]
    if "±" not in words:
        return 0
    middle, half = (float(v) for v in words.split(" ± "))
    return 0 if abs(middle) <= half else int(math.copysign(1, middle))


plain = bon_kept.loc["1,000 comparisons"]
print("the plain proxy: gold by n (rows) and seed (columns)")
print(plain.loc[[1, 4, 16, 64, 256]].round(2).to_string())
fallen = (plain.loc[256] - plain.max())[all_proxies]
print(f"seeds with all mitigations: {len(all_proxies)}; from its best n to 256, on these: {interval(fallen)}")

# %% [markdown]
# ### More comparisons, a larger proxy
#
# The plain proxy has width 32 (22,081 parameters). Training steps grow with the data (150, 200, 350), and the learning rate falls with width (0.004, 0.002, 0.0007): in trials that were not kept the widest learned nothing at 0.002, which would have looked like "larger is worse".

# %% tags=["experiment"]
sizes = ["250 comparisons", "4,000 comparisons", "4,000, width 8", "4,000, width 64"]
table = pd.DataFrame({name: bon_against(name) for name in sizes}).T
right = kept[kept.part == "accuracy"].groupby("name")["accuracy"].mean().round(2)
table.insert(0, "ranks right", right[sizes])
print(f"the plain proxy ranks {right['1,000 comparisons']:.2f} of fresh pairs as gold does")
print(table.to_string())

fig, ax = plots.figure()
for name, style in zip(
    ["250 comparisons", "1,000 comparisons", "4,000 comparisons", "4,000, width 64"],
    ("o:", "s--", "^-.", "D-"),
):
    mean = bon_kept.loc[name][all_proxies].mean(axis=1)
    ax.plot(
        [kl_of(int(n)) for n in mean.index],
        mean,
        style,
        label=name,
        color="black",
        markersize=4,
        linewidth=1.2,
    )
ax.set(xlabel="KL from the start (nats)", ylabel="gold, mean over the seeds", ylim=(None, 2.7))
ax.legend(ncols=2, loc="upper left")
plots.show(
    fig,
    "Best-of-n gold against KL for proxies of 250, 1,000 and 4,000 comparisons and for a wider one: the curves of the proxies with 4,000 comparisons lie far above the "
    "others.",
)

# %% tags=["experiment"]
best = bon_kept[all_proxies].groupby(level="name").max()
print("gold at the best n, by seed")
print(best.loc[sizes[:1] + ["1,000 comparisons"] + sizes[1:]].round(2).to_string())
steps_up = ["250 comparisons", "1,000 comparisons", "4,000 comparisons", "4,000, width 64"]
for low, high in zip(steps_up, steps_up[1:]):
    wins = int((best.loc[high] > best.loc[low]).sum())
    print(f"{high:18} peaks above {low:18} on {wins} of {best.shape[1]} seeds")

# %% [markdown]
# More comparisons are ahead at n = 256 on all three seeds, with an interval that holds 0; with a wider proxy on them it excludes 0. Width *alone*, at 4,000 comparisons, is not told apart: 64 peaks above 32 on two seeds of three. That is the direction of Gao et al., not a confirmation. Width 8 with four times the data ranks hardly more pairs right than the plain proxy, and is not told apart from it.
# (1,000 comparisons are ahead of 250 on seeds 1 and 2; on seed 0 they are level.)
#
# "The gap grows with the capacity of the reward model" is the wrong way round in Gao et al., section 3.2.
#
# ### A KL price, or stopping early: one frontier?
#
# With a price $\lambda$ in the reward, $r - \lambda \log(\pi/\pi_0)$, a run drifts less. Late in the run, does it have more gold than a run without a price that was **stopped at the same KL**? Five seeds, prices of 0.1 and 0.3, all looked at with 1,536 samples.

# %% tags=["experiment"]
rl = kept[kept.part == "rl"]


def near(rows, kl, column="gold", factor=2.5):
    """Gold at this KL: a straight line in log KL through the checkpoints within a factor of it; nan where they do not enclose it."""
    some = rows[(rows["kl"] > kl / factor) & (rows["kl"] < kl * factor)]
    if len(some) < 4 or not some["kl"].min() < kl < some["kl"].max():
        return float("nan")
    return np.polyval(np.polyfit(np.log(some["kl"]), some[column], 1), math.log(kl))


def rl_against(name):
    """Gold of a run minus that of the plain one, seed by seed: at equal KL, at their best, after as many steps; and the last KL."""
    pairs = []
    for seed, rows in rl[rl.name == name].groupby("seed"):
        base = rl[(rl.name == "one proxy") & (rl.seed == seed) & (rl.step <= rows["step"].max())]
        pairs.append((rows, base))
    found = {f"KL {kl:g}": interval([near(a, kl) - near(b, kl) for a, b in pairs]) for kl in (1, 2)}
    found["best"] = interval(
        [max(over.smooth(list(a["gold"]))) - max(over.smooth(list(b["gold"]))) for a, b in pairs]
    )
    found["end"] = interval([a["gold"].iloc[-3:].mean() - b["gold"].iloc[-3:].mean() for a, b in pairs])
    found["last KL / the plain run's"] = ", ".join(
        f"{a['kl'].iloc[-1]:.1f} / {b['kl'].iloc[-1]:.1f}" for a, b in pairs
    )
    return found


# a priced run, late: the mean of its looks from update 60 on
priced = looks[(looks.price > 0) & (looks.step >= 60)]
print("KL of the priced runs by update, mean of the five seeds: do they come to rest?")
print(priced.pivot_table(index="price", columns="step", values="kl").round(1).to_string(), "\n")
rest = priced.groupby(["price", "seed"])[["kl", "gain", "proxy"]].mean()
for column in ("gain", "proxy"):  # the run without a price, stopped at the same KL
    rest[f"{column} stopped"] = [near(free[seed], kl, column) for (_, seed), kl in rest["kl"].items()]
rest["more gold"] = rest["gain"] - rest["gain stopped"]
rest["more proxy"] = rest["proxy"] - rest["proxy stopped"]
print(rest.round(2).to_string())
by_price = rest.groupby("price")
columns = ["kl", "gain", "gain stopped", "more gold", "more proxy"]
print("\nmean of the five seeds and its 95 % interval")
print(by_price[columns].agg(interval).to_string())
print(measured.told(looks_origin))

fig, axes = plots.figure(1, len(free), size=(11, 2.9))
for ax, (seed, rows) in zip(axes, free.items()):
    shown = rows[(rows["kl"] > 0.02) & (rows["kl"] < 9)]
    ax.plot(shown["kl"], shown["gain"], label="no price, stopped at this KL")
    for (price, marked), marker in zip(by_price, "sD"):
        if (price, seed) in marked.index:
            at = marked.loc[(price, seed)]
            ax.plot(at["kl"], at["gain"], marker, color="black", label=f"price {price:g}, late")
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(title=f"seed {seed}", xlabel="KL (nats)", xscale="log", xlim=(0.02, 9), ylim=(-1.2, 1.1))
axes[0].set_ylabel("gain in gold")
axes[0].legend(fontsize=7.5, loc="upper left")
plots.show(
    fig,
    "One frontier for each of five seeds: gain in gold against KL. The line is the run without a price, as it would be if stopped there; squares and diamonds are the runs with a price of 0.1 and of 0.3, late. The diamond lies above the line on four seeds, on seed 4 below it; the square lies farther right, a little above the line, and on seeds 3 and 4 outside the panel.",
)

# %% tags=["experiment"]
for price, rows in by_price:
    last = {seed: free[seed]["kl"].iloc[-1] for seed in rows.index.get_level_values("seed")}
    nearer = sum(kl < last[seed] for (_, seed), kl in rows["kl"].items())
    known = rows["more gold"].dropna()
    print(
        f"price {price:g}: nearer to the start than the end of the free run on {nearer} of {len(rows)} seeds; above the start's gold on {(rows['gain'] > 0).sum()}; "
        f"more gold at equal KL on {(known > 0).sum()} of the {len(known)} that can be compared, a higher proxy on {(rows['more proxy'] > 0).sum()}"
    )

# %% [markdown]
# What the price does first is **choose where the run goes**. With 0.3 it has about come to rest after 60 updates, at a KL of one or two. With 0.1 it drifts on, and on four of five seeds it has less gold than the start: too low a price is no protection. At equal KL the *proxy* is higher than in the free run stopped there, wherever the two can be compared:
# the priced run has trained for longer at the same distance. That much is as in Gao et al. (section 3.6).
#
# In *gold* they found no difference at equal KL. Here it depends on the proxy. With 0.3, four seeds have 0.2 to 0.4 more, more than the free run had anywhere, and seed 4, whose proxy is the poorest, has 0.2 less; with 0.1, farther out, all four that can be compared have a little more. Over the seeds neither is told apart from 0. So a price does not mend a proxy; it spends the same distance
# more thoroughly, for good or ill. One model of this size and two prices say nothing about others, and the same coefficient leads to another KL with another scale of the reward. Its practical side: a run that comes to rest needs nobody who stops it.

# %% [markdown]
# ### Exercise: rules for an ensemble
#
# `ensemble-reward` · difficulty 2/5 · about 15 minutes · 5 points
#
# Several reward models, one reward (Coste et al. 2023, arXiv 2310.02743, equations 3 to 5):
#
# | `rule` | value for each response |
# |---|---|
# | `"mean"` | the mean over the models |
# | `"min"` | the lowest: worst-case optimisation, WCO |
# | `"percentile25"` | the 25th percentile, by linear interpolation (not from that paper) |
# | `"uwo"` | mean − `coef` · **variance** over the models; the population's, divided by M |
#
# - `rewards`: `(M, B)`, float. Returns `(B,)`.
#
# Graded: mean and worst case (1), percentile (1), UWO (1.5), one model or models that agree (0.5), gradient (0.5), dtype kept and inputs unchanged (0.5).
#
# Stuck? Run `hint("ensemble-reward")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "ensemble-reward", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ensemble_reward(rewards, rule, coef=1.0):
    """One reward for each response from those of M models."""
    ### BEGIN SOLUTION
    if rule == "mean":
        return rewards.mean(dim=0)
    if rule == "min":
        return rewards.min(dim=0).values
    if rule == "percentile25":
        return torch.quantile(rewards, 0.25, dim=0)
    return rewards.mean(dim=0) - coef * rewards.var(dim=0, correction=0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-ensemble-reward", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("ensemble-reward", ensemble_reward)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("ensemble-reward", ensemble_reward)
### END HIDDEN TESTS

# %% [markdown]
# ### Does an ensemble help?
#
# Live first: proxies A and B are an ensemble of two, fitted to different pairs. Best-of-n by each rule, on the same pool.

# %% tags=["experiment", "nbval-ignore-output"]
combine = use("ensemble-reward", ensemble_reward)

two = torch.stack([scores_a, pool.score(proxy_b.score)])
live = {"A alone": scores_a}
for rule in ("mean", "min", "uwo"):
    flat = combine(two.flatten(1), rule).view_as(pool.gold)
    live[f"A and B, {rule}"] = over.break_ties(flat)
curves_live = {
    name: pd.DataFrame(over.best_of_n_curve(score, pool.gold, reward=pick)).set_index("n")["gold"]
    for name, score in live.items()
}
print(pd.DataFrame(curves_live).T.round(2).to_string())

# %% [markdown]
# Kept: four models fitted to the **same** pairs from other initialisations, and three fitted to three **different** sets of pairs (three times the labels: compare it with more data, too).
#
# The second table is about RL. Each run is compared with the plain run of its seed: at equal KL ("KL 1", "KL 2"), each at its best checkpoint ("best"), and after as many steps ("end"). The last column has the KL at the end of both, seed by seed.

# %% tags=["experiment"]
ensembles = [f"4 of one data set, {rule}" for rule in ("mean", "min", "uwo")]
ensembles += [f"3 of three data sets, {rule}" for rule in ("mean", "min")]
print("best-of-n, difference in gold to the plain proxy")
print(pd.DataFrame({name: bon_against(name) for name in ensembles}).T.to_string())
print("\nreinforcement learning, four of one data set")
print(pd.DataFrame({f"ensemble, {r}": rl_against(f"ensemble, {r}") for r in ("min", "uwo")}).T.to_string())

# %% tags=["experiment"]
for name in ensembles:
    verdict = {
        1: "better than the plain proxy",
        0: "not told apart from it",
        -1: "worse than the plain proxy",
    }[told_apart(name)]
    print(f"n = 256, {name}: {verdict}")
at_256_by_seed = {
    name: bon_kept.loc[name].loc[256] - plain.loc[256] for name in (*ensembles, "250 ordinary pairs added")
}
print("\nthe differences at n = 256, by seed")
print(pd.DataFrame(at_256_by_seed).T[all_proxies].round(2).to_string())

# %% [markdown]
# *Mind the baseline.* One fit to 1,000 noisy pairs is itself a draw: on seed 0 the plain proxy is a bad one, and 250 ordinary pairs more gain about as much there as the ensembles do; on the other two seeds they gain nothing. What helps on one seed only may be no more than a luckier fit. And with a dozen rows and several columns, one interval that excludes 0 may be chance.
#
# - *The mean of four* models of one data set is ahead at n = 256 on all three seeds, clearly on each, at no label more; at its best n it is not told apart. It is not conservative by construction: it averages, and trusts what the models disagree on. Best-of-n does not punish that here: it falls no more after its best n than the others.
# - *The minimum and UWO* make rewards smaller where models disagree. A run that ends at a smaller KL was slowed, which a KL budget does too: look at the columns at **equal** KL before believing the last ones.
# - *An error that all models share* is invisible to every rule. Models that differ in initialisation only share more of theirs than models that differ in pretraining (Eisenstein et al. 2023, arXiv 2312.09244, find more help in different pretraining seeds). Here three data sets, with three times the labels, are not told apart from four models of one. Coste et al. report that the conservative rules nearly end over-optimisation for
#   best-of-n, and that PPO still needs a small KL price besides.
#
# ### Six more, one table
#
# | what was tried | how |
# |---|---|
# | reward transformation | $\log\sigma(r - 1)$: gains beyond one standard deviation hardly count. For best-of-n a monotone transformation of one reward changes nothing, so it is tried in RL only |
# | adversarial relabelling | 250 answers of the *pushed* policy, each against one of the start, labelled by the same raters, added to the 1,000 pairs; new proxy, new run |
# | – its control | 250 *ordinary* pairs added |
# | several objectives | two proxies with 500 comparisons each, one asked only what is true, one only about form; their mean |
# | process rewards | raters mark 1,000 single clauses as good or bad; the reward is the sum of the clauses' logits |
# | less pressure | a random draw from the proxy's best 10 % instead of its best answer |

# %% tags=["experiment"]
others = [
    "two objectives, 500 comparisons each",
    "process reward, 1,000 judgements",
    "250 pairs of the pushed policy added",
    "250 ordinary pairs added",
]
print("best-of-n, difference in gold to the plain proxy")
print(pd.DataFrame({name: bon_against(name) for name in others}).T.to_string())
in_rl = ["saturated", "process reward", "250 pairs of the pushed policy added", "250 ordinary pairs added"]
print("\nreinforcement learning, difference in gold to the plain proxy")
print(pd.DataFrame({name: rl_against(name) for name in in_rl}).T.to_string())
drawn = kept[kept.part == "quantile"]
quantile = drawn.pivot_table(index="share", columns="seed", values="gold").sort_index(ascending=False)
less_pressure = interval(quantile.iloc[3] - quantile.iloc[-1])
quantile.index = [f"a random one of the best {share:.1%}" for share in quantile.index]
print("\ngold of one of 256 answers, by the plain proxy (the last row is best-of-256)")
print(quantile.round(2).to_string())

# %% tags=["experiment"]
relabelled, ordinary = (
    rl[rl.name == name].groupby("seed")["gold"].apply(lambda g: g.iloc[-3:].mean()) for name in in_rl[2:]
)
print(
    "gold at the end, pushed pairs minus ordinary pairs:",
    interval(relabelled - ordinary),
    "seeds:",
    len(relabelled),
)
print(f"1,000 judgements of clauses came from {kept['responses'].mean():.0f} answers on average")

# %% [markdown]
# Read both tables with what each was *told*:
#
# - *Relabelling* looks where the policy **went**, and costs as many labels as its control. One round of it is **iterative deployment** in small. For best-of-n, which samples from the start, such pairs are behind on all three seeds, clearly on none; in RL, where the policy goes there, the new run ends higher, but it went less far: at equal KL it is not told apart, nor at the end from its control.
# - *Process marks* say where the fault is. But they are noisy marks of single clauses, made on far fewer answers than 1,000 comparisons read (2,000), and nobody marks length. At this budget they are not told apart from comparisons; the run ends higher, at a smaller KL.
# - *Two objectives* with half the labels each have two weak proxies, and an unweighted mean of standardised scores is a weighing, whether it was meant or not: behind on all three seeds.
# - *The transformation* changed nothing that we can see: at equal KL gold is the same to within 0.1, and the last KL is smaller than the plain run's on two seeds and larger on one.
# - *Less pressure*: a random one of the best 10 % has more gold than the best of 256, on all three seeds, and about as much as best-of-16, of which it is another form. The share takes the place of n, and somebody has to choose it too; here anything from 2 to 10 % does nearly the same.

# %% [markdown]
# ### Exercise: the Pareto front
#
# `pareto-front` · difficulty 2/5 · about 15 minutes · 4 points
#
# With several objectives there may be no best policy, only ones that no other dominates. One point **dominates** another if it is at least as good everywhere and better somewhere.
#
# - `points`: `(N, K)`, larger is better. Returns a bool tensor `(N,)`: True where no other row dominates. Copies of such a row are all True.
#
# Graded: values (1.5), equal coordinates and copies (1.5), one point or one objective (0.5), a bool tensor, points unchanged (0.5).
#
# Stuck? Run `hint("pareto-front")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "pareto-front", "locked": false, "schema_version": 3, "solution": true, "task": false}
def pareto_front(points):
    """True for the rows that no other row dominates."""
    ### BEGIN SOLUTION
    a, b = points[:, None, :], points[None, :, :]  # does b dominate a?
    dominates = (b >= a).all(dim=-1) & (b > a).any(dim=-1)
    return ~dominates.any(dim=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-pareto-front", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("pareto-front", pareto_front)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("pareto-front", pareto_front)
### END HIDDEN TESTS

# %% [markdown]
# **Gold has two parts here**: *truth* (claims and verdicts) and *form* (repeats, fillers, malformed clauses, length). Each point is a policy that you have already: best-of-n for nine n, and the checkpoints of the live run.

# %% tags=["experiment", "nbval-ignore-output"]
front_of = use("pareto-front", pareto_front)

repeated = pool.prompts.repeat_interleave(pool.gold.shape[1], dim=0)
truth = truth_of(repeated, pool.responses).double().view_as(pool.gold)
points, kinds = [], []
for n in bon["n"]:
    both = [
        float(np.mean([pick(p.tolist(), g.tolist(), int(n)) for p, g in zip(scores_a, part)]))
        for part in (truth, pool.gold - truth)
    ]
    points.append(both)
    kinds.append(f"best of {n}")
for _, row in walk.iterrows():
    points.append([row["truth"], row["gold"] - row["truth"]])
    kinds.append(f"RL, KL {row['kl']:.1f}")
points = torch.tensor(points)
front = front_of(points)

fig, ax = plots.figure()
is_rl = torch.tensor([kind.startswith("RL") for kind in kinds])
for mask, marker, label in ((~is_rl, "o", "best-of-n"), (is_rl, "^", "RL checkpoints (192 samples each)")):
    ax.plot(points[mask, 0], points[mask, 1], marker, color=plots.COLOURS[3], label=label)
order = points[front][points[front][:, 0].argsort()]
ax.plot(
    order[:, 0],
    order[:, 1],
    "-s",
    color="black",
    markerfacecolor="none",
    markersize=9,
    linewidth=1,
    label="not dominated",
)
ax.set(xlabel="truth: claims and verdicts", ylabel="form: repeats, fillers, length")
ax.legend()
plots.show(
    fig,
    "Policies by two parts of the gold reward, truth and form. Most of the checkpoints of the pushed run lie far below, with bad form; the points that no other "
    "dominates are joined.",
)
print("on the front:", ", ".join(k for k, f in zip(kinds, front.tolist()) if f))

# %% [markdown]
# The front does not say which of its points to take. It says which trade-offs are open, and that whatever lies inside is beaten by some point on it. Points are noisy: an RL checkpoint near KL 0 on the front is the start once more. "Several objectives" as a mitigation needs a good proxy for *each*.

# %% [markdown]
# ### Exercise: the worst case over a set of rewards
#
# `worst-case-reward` · difficulty 2/5 · about 10 minutes · 3 points
#
# Suppose that the true reward is one of $M$. A policy's worst-case value is $\min_m \sum_y \pi(y)\, r_m(y)$: the adversary picks **one** reward for all responses, so it is the minimum of
# expectations, not the expectation of the minimum.
#
# - `policy`: `(Y,)` probabilities; `rewards`: `(M, Y)`. Returns a scalar tensor.
#
# Graded: values (2), gradient (0.5), dtype kept and inputs unchanged (0.5).
#
# Stuck? Run `hint("worst-case-reward")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "worst-case-reward", "locked": false, "schema_version": 3, "solution": true, "task": false}
def robust_value(policy, rewards):
    """The lowest of the policy's expected rewards."""
    ### BEGIN SOLUTION
    return (rewards @ policy).min()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-worst-case-reward", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("worst-case-reward", robust_value)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("worst-case-reward", robust_value)
### END HIDDEN TESTS

# %% [markdown]
# **What is such a policy worth?** 200 worlds of 12 responses. Five plausible rewards each: a guess that they share, plus noise of their own. Two policies: the best for the *mean* of the five, and the one with the highest worst case, exactly, by a linear program. Then the
# true reward is drawn, **inside** the set (one of the five), or **outside** it: the guess itself is wrong on the response that it likes best.

# %% tags=["experiment"]
from scipy.optimize import linprog

robust = use("worst-case-reward", robust_value)


def maximin(rewards):
    """The policy with the highest worst-case value: maximise t with r_m · π >= t for all m (a linear program)."""
    m, y = rewards.shape
    solved = linprog(
        [0.0] * y + [-1.0],
        A_ub=np.hstack([-rewards.numpy(), np.ones((m, 1))]),
        b_ub=np.zeros(m),
        A_eq=[[1.0] * y + [0.0]],
        b_eq=[1.0],
        bounds=[(0, None)] * y + [(None, None)],
    )
    return torch.tensor(solved.x[:y])


generator = torch.Generator().manual_seed(0)
outcome = []
for _ in range(at_scale(40, 200)):
    guess = torch.randn(12, generator=generator, dtype=torch.float64)
    rewards = guess + 0.8 * torch.randn(5, 12, generator=generator, dtype=torch.float64)
    truth_outside = guess.clone()
    truth_outside[guess.argmax()] -= 4
    for name, policy in (
        ("best for the mean", torch.eye(12, dtype=torch.float64)[rewards.mean(0).argmax()]),
        ("worst-case optimal", maximin(rewards)),
    ):
        outcome.append(
            {
                "policy": name,
                "worst of the five": robust(policy, rewards).item(),
                "true one inside, mean": (rewards @ policy).mean().item(),
                "true one outside": (truth_outside @ policy).item(),
            }
        )
worlds = pd.DataFrame(outcome).groupby("policy")
print("mean over the worlds, with its 95 % interval")
print(worlds.agg(lambda x: f"{x.mean():+.1f} ± {1.96 * x.sem():.1f}").to_string())

# %% tags=["experiment"]
means = worlds.mean()
print(
    "a better worst case within the set:",
    bool(means.loc["worst-case optimal"].iloc[0] > means.loc["best for the mean"].iloc[0]),
)
print(
    "at the price of a lower mean:",
    bool(means.loc["worst-case optimal"].iloc[1] < means.loc["best for the mean"].iloc[1]),
)
print(
    "the guarantee holds outside the set:",
    bool(means.loc["worst-case optimal"].iloc[2] >= means.loc["worst-case optimal"].iloc[0]),
)

# %% [markdown]
# The guarantee is exactly as good as the set. What all plausible rewards get wrong, the worst case gets wrong too; it spreads its bets, which happens to soften the blow.

# %% [markdown]
# ## 7. Gaming made visible
#
# Now the raters have a **bias**, as raters do. The same 1,000 pairs, judged by gold plus something else: a quarter of a point for each word, 2.5 points for "yes right" (agreement), or 2 points for opening with "great question" (an artefact of the annotation guidelines, say). Then DPO,
# with notebook 03's β (0.5) and learning rate (0.0002): 100 steps live, 150 in the kept runs.

# %% [markdown]
# Columns of the next table: *agrees* and *opens* are shares of answers with "yes right", or that open with "great question"; *agrees when wrong* is, of the verdicts on false statements, the share that agree; *repeats* are repeated claims an answer.

# %% tags=["experiment", "nbval-ignore-output"]
from course_utils.experiments import bias

show = ["gold", "length", "agrees", "agrees when wrong", "opens", "repeats", "kl", "distinct-2"]
biased, decoded, policies = {}, {}, {}
biased["start"], asked, decoded["start"] = bias.meters(start.model, start, SEED, at_scale(60, 400))
for name in ("length", "agreement", "opening"):
    relabelled_start = bias.relabel(start, bias.UTILITIES[name], SEED)
    policies[name] = bias.train_on_pairs(relabelled_start, steps=at_scale(5, 100), seed=SEED)
    biased[f"bias: {name}"], _, decoded[f"bias: {name}"] = bias.meters(
        policies[name], start, SEED, at_scale(60, 400)
    )
print(f"standard deviation of gold over the start's answers to a prompt: {spread:.2f}\n")
print(pd.DataFrame(biased).T[show].round(2).to_string())
for i in range(2):
    print(f"\nabout: {text.decode(asked[i][3:6])}")
    for name, answers in decoded.items():
        print(
            f"   {name:16} {text.gold_reward(asked[i], answers[i]):+.1f}  {' '.join(text.words_of(answers[i]))}"
        )

# %% tags=["experiment"]
meter = pd.DataFrame(biased).T
conclude(
    "a bias for length makes answers at least a third longer",
    meter["length"]["bias: length"] > 1.33 * meter["length"]["start"],
)
conclude(
    "a bias for agreement makes most verdicts on false statements agree",
    meter["agrees when wrong"]["bias: agreement"] > 0.7,
)
conclude(
    "a bias for an opening more than doubles it",
    meter["opens"]["bias: opening"] > 2 * meter["opens"]["start"],
)

# %% [markdown]
# *Look at gold.* It may well have gone **up**: the pairs also taught something true, and an average hides the rest. Whoever watches one number sees progress. **Meter the thing itself**: length, agreement with false statements, openings.
#
# These are small versions of documented behaviour: sycophancy in trained assistants (Sharma et al. 2023, arXiv 2310.13548), and length, which accounts for much of the gain in some preference-trained models (Singhal et al. 2023, arXiv 2310.03716).

# %% [markdown]
# ### Exercise: a win rate at equal length
#
# `length-control` · difficulty 4/5 · about 25 minutes · 5 points
#
# A longer answer may win because it is longer. Fit, by maximum likelihood and without a penalty,
#
# $$P(\text{win}) = \sigma(a + b z), \qquad z = \frac{\Delta - \text{mean}(\Delta)}{\text{sd}(\Delta)},$$
#
# where $\Delta$ is the length difference of a comparison, and return the predicted win rate at a **raw** difference $\Delta = 0$, to $10^{-4}$. (After Dubois et al. 2024, arXiv 2404.04475, whose regression also has terms for the models and the prompts.)
#
# - `wins`: 0 or 1; `length_difference`: numbers in any unit; both lists, tuples, arrays or tensors of equal length.
# - returns a float. Wins and losses overlap in length, so that a maximum exists.
#
# Graded: values (3), differences far from 0, small, or without effect (1.5), kinds (0.5).
#
# Stuck? Run `hint("length-control")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "length-control", "locked": false, "schema_version": 3, "solution": true, "task": false}
def length_controlled_win_rate(wins, length_difference):
    """Predicted win rate at equal length, by a logistic regression."""
    ### BEGIN SOLUTION
    y = np.array([float(w) for w in wins])
    delta = np.array([float(v) for v in length_difference])
    mean, sd = delta.mean(), delta.std()
    x = np.column_stack([np.ones_like(delta), (delta - mean) / sd])
    w = np.zeros(2)
    for _ in range(100):  # Newton's method, the step halved while the likelihood would not grow
        p = 1 / (1 + np.exp(-(x @ w)))
        step = np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]) + 1e-12 * np.eye(2), x.T @ (y - p))
        loss = np.logaddexp(0, (1 - 2 * y) * (x @ w)).sum()
        while np.logaddexp(0, (1 - 2 * y) * (x @ (w + step))).sum() > loss + 1e-12:
            step = step / 2
        w = w + step
        if np.abs(step).max() < 1e-10:
            break
    return float(1 / (1 + np.exp(-(w[0] - w[1] * mean / sd))))  # z of a raw difference of 0
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-length-control", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("length-control", length_controlled_win_rate)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("length-control", length_controlled_win_rate)
### END HIDDEN TESTS

# %% [markdown]
# **Where it works, and where it does not.** The policy with the length bias against the start, on the same prompts, with two judges: one with the bias of the raters, and gold.

# %% tags=["experiment", "nbval-ignore-output"]
control = use("length-control", length_controlled_win_rate)


def controlled_rate(wins):
    """The win rate at equal length; nan where length separates wins from losses (in a run cut short), so that there is none."""
    try:
        return control(wins, longer)
    except (ValueError, ArithmeticError):
        return float("nan")


ours, theirs = decoded["bias: length"], decoded["start"]
longer = np.array([text.length(a) - text.length(b) for a, b in zip(ours, theirs)], dtype=float)
flip_coin = torch.Generator().manual_seed(0)
rows = {}
for judge, utility in (
    ("raters with the bias", bias.UTILITIES["length"]),
    ("raters without", bias.UTILITIES["no bias"]),
):
    gaps = torch.tensor([utility(p, a) - utility(p, b) for p, a, b in zip(asked, ours, theirs)]) / text.NOISE
    wins = (torch.rand(len(gaps), generator=flip_coin) < torch.sigmoid(gaps)).int().tolist()
    rows[judge] = {"raw win rate": np.mean(wins), "at equal length": controlled_rate(wins)}
controlled = pd.DataFrame(rows).T
print(controlled.round(2).to_string())
print(f"the policy's answers are {longer.mean():.1f} words longer on average")

# %% tags=["experiment"]
conclude("length control lowers the biased raters' win rate", controlled.iloc[0, 1] < controlled.iloc[0, 0])

# %% [markdown]
# The control repairs a *measurement*, in either direction: where length as such costs gold, the raters without the bias see a better policy at equal length. It does not make the policy's answers shorter, and it takes length out only as far as the logit is linear in it. For the **training**, here are the cures on the biased labels, from the kept runs (with the number of seeds): a margin for length inside the sigmoid (R-DPO; Park et al. 2024, arXiv 2403.19159), and two that are often named: DPO on
# log-ratios averaged over tokens, and SimPO (Meng et al. 2024, arXiv 2405.14734; β = 2, γ = 1, not tuned), which averages too and has no reference.

# %% tags=["experiment"]
raters, raters_origin = measured.read("biased_raters")


def mean_over_seeds(frame, columns):
    """Means over the seeds, with the number of seeds."""
    grouped = frame.groupby("name", sort=False)
    return grouped[columns].mean().round(2).assign(seeds=grouped.size())


print("raters with a bias, DPO")
print(
    mean_over_seeds(
        raters[raters.part == "bias"], show + ["chosen", "rejected", "chosen that fell"]
    ).to_string()
)
print("\ncures of the length bias, on the same biased labels")
print(mean_over_seeds(raters[raters.part == "cure"], show).to_string())
print(measured.told(raters_origin))

# %% tags=["experiment"]
by_seed = raters[raters.part.isin(["bias", "cure"])].pivot_table(
    index="name", columns="seed", values=["length", "gold"], sort=False
)
print(by_seed.round(2).to_string())
lengths = by_seed["length"]
print(
    "R-DPO with α = 0.25 is shorter than DPO on the biased labels on every seed:",
    bool((lengths.loc["R-DPO, α = 0.25"] < lengths.loc["length"]).all()),
)
print(
    "per-token DPO is at most a word shorter than DPO, or longer, on",
    int((lengths.loc["per-token DPO"] > lengths.loc["length"] - 1).sum()),
    "of",
    lengths.shape[1],
    "seeds",
)
print(
    "SimPO is as long as DPO, or longer, on",
    int((lengths.loc["SimPO"] > lengths.loc["length"] - 1).sum()),
    "of",
    lengths.shape[1],
)

# %% [markdown]
# The mechanism: the *labels* prefer length, so a policy that fits them is long, however its log-probabilities are scaled. A margin of $\alpha_{\mathrm{len}}$ a word (α in the table) tells the loss how much of a preference length explains. With α = 0.25 it takes out most of the extra length. With the raters' own 0.25/0.5 = 0.5 it takes out more than all of it: on every seed
# answers become shorter than after unbiased labels, and than the start's. A likely reason: the margin is there in full from the first step, while the policy's log-ratios start at 0 and 150 steps do not fit the labels. In practice nobody knows that number.
#
# *What the bias costs in gold*: compare with DPO on unbiased labels (row "no bias"), not with the start. On average length costs most, about a third, agreement a quarter (on seed 2 more than length), an empty opening little. R-DPO brings a part of it back, with either margin. Per-token DPO, the supposed cure, is longer still, and below the start's gold on every seed. (Its β is 5, since averaged log-ratios are small, and it went twice as far in KL: its gold is not compared at equal KL.) SimPO is no cure either: it fills nearly all of the 26 tokens. At this learning rate nothing holds it near the start (mean KL over 50), so read nothing else off its row.
#
# (Columns "chosen" and "rejected": the mean change of their log-probabilities in training. **Likelihood displacement**: most chosen responses became *less* likely, as in notebook 02.)

# %% [markdown]
# ### Exercise: a meter for collapse
#
# `diversity` · difficulty 2/5 · about 10 minutes · 3 points
#
# *distinct-n* (Li et al. 2016, arXiv 1510.03055): the number of **different** n-grams over the number of all n-grams, counted over all sequences **together**.
#
# - `sequences`: a list or tuple of sequences, each a list or tuple of tokens (ints or strings); an n-gram lies within one sequence, and a sequence shorter than n has none. `n` ≥ 1.
# - returns a float from 0 to 1; 0.0 if there are no n-grams.
#
# Graded: values (1.5), strings (0.5), short and empty sequences (0.5), lists and tuples, unchanged (0.5).
#
# Stuck? Run `hint("diversity")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "diversity", "locked": false, "schema_version": 3, "solution": true, "task": false}
def distinct_n(sequences, n):
    """Different n-grams over all n-grams."""
    ### BEGIN SOLUTION
    grams = [tuple(row[i : i + n]) for row in sequences for i in range(len(row) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-diversity", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("diversity", distinct_n)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("diversity", distinct_n)
### END HIDDEN TESTS

# %% [markdown]
# ### Mode collapse
#
# The same proxy A, pushed with a learning rate of 0.001 instead of 0.00015. The same eight prompts, sixteen answers each, before and after.

# %% tags=["experiment", "nbval-ignore-output"]
distinct = use("diversity", distinct_n)

collapsed = over.push(start, proxy_a.score, steps=at_scale(6, 60), lr=1e-3, seed=SEED)
eight = over.all_prompts()[
    torch.randperm(96, generator=torch.Generator().manual_seed(1))[:8]
].repeat_interleave(16, dim=0)
collapse = {}
for name, model in (
    ("start", start.model),
    ("pushed (section 4)", run.policy),
    ("pushed hard", collapsed.policy),
):
    answers = models.sample(model, eight, text.MAX_RESPONSE, seed=5)
    collapse[name] = {
        "distinct-1": distinct(answers, 1),
        "distinct-2": distinct(answers, 2),
        "different answers": len({tuple(a) for a in answers}) / len(answers),
        "tokens an answer": sum(map(len, answers)) / len(answers),
        "proxy": proxy_a.score(eight, answers).mean().item(),
        "gold": text.gold_rewards(eight, answers).mean().item(),
    }
    print(f"{name}:")
    for answer in answers[::48]:
        print("   ", " ".join(text.words_of(answer)))
print(pd.DataFrame(collapse).T.round(3).to_string())

# %% tags=["experiment"]
table = pd.DataFrame(collapse).T
conclude(
    "pushed hard, the proxy is far above and gold far below the start's",
    table["proxy"]["pushed hard"] > table["proxy"]["start"] + 1.5
    and table["gold"]["pushed hard"] < table["gold"]["start"] - 1,
)
conclude(
    "distinct-2 is lower than the start's", table["distinct-2"]["pushed hard"] < table["distinct-2"]["start"]
)

# %% [markdown]
# *Two meters, two questions.* "Different answers" asks whether whole samples repeat, distinct-n whether pieces do. A policy may write a new list of the same five claims each time: many different answers, few different bigrams. Neither is gold: collapse onto one good answer would score as badly.
#
# And distinct-n is *not* free of length: longer answers repeat a vocabulary of 44 words more often. From the start to section 4's policy it falls mainly for that reason, as "different answers" tells you, which stays. For "pushed hard" both meters fall. Compare at equal numbers of tokens.

# %% [markdown]
# ## 8. DPO is not immune
#
# There is no reward model in DPO that could be over-optimised, it is said. There is: the policy's own log-ratio. Rafailov et al. (2024, arXiv 2406.02900) find for DPO and its relatives the same humps against KL as for RL, often before one pass over the data is done. DPO with a small β, kept, three seeds. A pass over the 1,000 pairs is 31 steps, so its best checkpoint comes after two to five passes: this is not yet the effect within one pass, and ordinary overfitting may be part of it, which these runs cannot separate.

# %% tags=["experiment"]
dpo = raters[raters.part == "walk"]
fig, ax = plots.figure()
for marker, (seed, rows) in zip("os^Dv", dpo.groupby("seed")):
    ax.errorbar(
        rows["kl"],
        rows["gold"],
        1.96 * rows["gold_se"],
        marker=marker,
        markersize=4,
        linestyle="-",
        linewidth=1,
        capsize=2,
        label=f"seed {seed}",
    )
ax.set(xlabel="KL from the start (nats)", ylabel="gold")
ax.legend()
plots.show(
    fig,
    "Gold against KL along DPO training with β = 0.1, one line a seed: up by half a point or a little more, then down: two seeds end clearly below the start, one about at it. Bars are 95 % intervals over "
    "prompts. KL itself does not grow at every step.",
)
print(dpo.pivot(index="step", columns="seed", values="gold").round(2).to_string())
print(measured.told(raters_origin))

# %% tags=["experiment"]
fell = [rows["gold"].iloc[-1] < rows["gold"].max() - 0.2 for _, rows in dpo.groupby("seed")]
print(f"kept DPO runs that end at least 0.2 below their best: {sum(fell)} of {len(fell)}")

# %% [markdown]
# ### The same in a table, without any network
#
# 200 responses with random true rewards, 300 pairs, each labelled once, 15 % of the labels turned round; 20 worlds. The policy is a table, so nothing generalises. What happens as training goes on?

# %% tags=["experiment", "nbval-ignore-output"]
import functools

from course_utils.experiments import noise

walks = {}
for name, loss, strength in (
    ("DPO, β = 0.1", "DPO", 0.1),
    ("cDPO, β = 0.1, ε = 0.15", "cDPO", 0.1),
    ("rDPO, β = 0.1, ε = 0.15", "rDPO", 0.1),
    ("IPO, τ = 0.1", "IPO", 0.1),
    ("IPO, τ = 0.5", "IPO", 0.5),
):
    steps = (0, 10, 30, 100, 300) if scale() == "fast" else (0, 10, 30, 100, 300, 1000)
    known = {"smoothing": 0.15} if loss in ("cDPO", "rDPO") else {}  # they are told the share of flips
    walks[name] = noise.walk(functools.partial(noise.LOSSES[loss], **known), strength, seeds=20, steps=steps)
print(
    f"mean true reward over 20 worlds, and its standard deviation over them, at step {', '.join(str(r['step']) for r in walks['DPO, β = 0.1'][1:])}"
)
for name, rows in walks.items():
    cells = [f"{np.mean(r['gold']):5.1f} ({np.std(r['gold'], ddof=1):.1f})" for r in rows[1:]]
    print(f"{name:24}", *cells)
    print(f"{'   its mean KL':24}", *(f"{np.mean(r['kl']):5.1f}      " for r in rows[1:]))

# %% tags=["experiment"]
middle = next(r for r in walks["DPO, β = 0.1"] if r["step"] == 100)
last = walks["DPO, β = 0.1"][-1]
conclude(
    "the spread of DPO's outcomes over the worlds grows at least fivefold from step 100 on",
    np.std(last["gold"]) > 5 * np.std(middle["gold"]),
)
loose, tight = walks["IPO, τ = 0.1"][-1], walks["IPO, τ = 0.5"][-1]
conclude(
    "IPO's target holds the policy near, where τ is large enough",
    np.mean(tight["kl"]) < 0.1 * np.mean(loose["kl"]),
)

# %% [markdown]
# Not a clean hump, but a **lottery**. Up to about step 100 every world gains alike. After that the policy concentrates on the few responses that won all of their comparisons (three each on average); in some worlds those are good, in others flipped labels put a bad one on top. The mean stops growing while
# the spread explodes. IPO's bound prevents it only if τ is large enough, and then it also learns less. cDPO and rDPO do not change the picture: each pair was labelled once, so the noise is in *which* labels were flipped, not in their share.
#
# ### When pairs repeat: noise and certainty
#
# One pair again and again, the better response preferred with probability $p$, a share $f$ of the labels flipped, so that it is observed to win with probability $q = p(1-f) + (1-p)f$. The optimum of the margin $h$, found numerically, against its closed form:
#
# | loss | optimum of $h$ |
# |---|---|
# | DPO | $\operatorname{logit}(q)/\beta$ |
# | IPO | $(2q-1)/(2\tau)$ |
# | cDPO | $\operatorname{logit}((1-ε)q + ε(1-q))/\beta$ |
# | rDPO | $\operatorname{logit}((q-ε)/(1-2ε))/\beta$ |

# %% tags=["experiment"]
rows, off = [], 0.0
for p in (0.7, 0.85, 0.95, 1.0):
    for flips in (0.0, 0.1):
        row = {"p": p, "flips": flips}
        for name in noise.LOSSES:
            found, formula = noise.optimum(name, p, flips), noise.closed_form(name, p, flips)
            row[name] = round(found, 2)
            off = max(off, 0.0 if found == formula else abs(found - formula))
        rows.append(row)
print("β = τ = ε = 0.1; inf: the margin grows for ever")
print(pd.DataFrame(rows).to_string(index=False))
print("found and formula agree to 0.001:", off < 1e-3)

# %% [markdown]
# - *Certain labels* ($p = 1$): DPO's margin has no finite optimum, whatever β is. IPO's does; that is what IPO is for. cDPO's does too.
# - *Noise itself bounds DPO*: with flips, its optimum at $p = 1$ is finite.
# - *rDPO with the right ε restores the clean optimum exactly*: compare its column with flips to DPO's without. So it is unbounded again where that is, and with ε above the observed minority share it has no minimum at all.
# - *cDPO shrinks*, and shrinks a second time when the labels are noisy.
#
# ### The same in a trained model
#
# In the table a pair repeats for ever and moves nothing else. Now the text world's model: 1,000 pairs, each labelled once, from three starts, with the better answer by gold chosen **for certain**, or with 20 % of these labels flipped. β = τ = 0.1 again, 300 steps (ten passes); cDPO and rDPO are told the share of flips (0.1 where there are none).

# %% tags=["experiment"]
judged, judged_origin = measured.read("trained_labels")
last = judged[judged.step == judged.step.max()]
columns = ["margin", "margin_sd", "kl", "gold", "chosen", "rejected", "chosen that fell"]
columns += ["optimum in the table"]
last = last.assign(
    **{
        "optimum in the table": [
            noise.closed_form(loss, 1.0, flips, smoothing=flips or 0.1)
            for loss, flips in zip(last["loss"], last["flips"])
        ]
    }
)
by_loss = last.groupby(["flips", "loss"], sort=False)
print(f"after {int(judged.step.max())} steps, means of the seeds; margin: over the training pairs, nats")
print(by_loss[columns].mean().round(2).assign(seeds=by_loss.size()).to_string())
print("\ngold by seed, after", " and ".join(str(int(step)) for step in sorted(judged.step.unique())), "steps")
print(
    judged.pivot_table(index=["flips", "loss"], columns=["step", "seed"], values="gold", sort=False)
    .round(2)
    .to_string()
)
print(measured.told(judged_origin))

# %% tags=["experiment"]
margin_of = last.pivot_table(index=["flips", "loss"], columns="seed", values="margin")
for flips, rows in margin_of.groupby("flips"):
    own = rows.droplevel("flips")
    for loss, more in (("rDPO", True), ("cDPO", False), ("IPO", False)):
        count = int(((own.loc[loss] > own.loc["DPO"]) == more).sum())
        print(
            f"flips {flips:g}: the margin of {loss} is {'larger' if more else 'smaller'} than DPO's on {count} of {own.shape[1]} seeds"
        )

# %% [markdown]
# 600 samples a row and seed (standard error 0.06). The *order* of the margins is the table's, rDPO over DPO over cDPO over IPO, on each seed, with and without flips; their size is not: shared weights and ten passes are far from an optimum, and margins spread by about as much as their mean, or more.
#
# - *Certain labels*: from 100 to 300 steps DPO and rDPO lose 0.4 to 1.1 of their gold, cDPO 0.1 to 0.6, IPO hardly any; it ends highest on all three seeds, at less than half of DPO's KL. That is what IPO's bound is for.
# - *20 % flipped*: all lose, IPO least. DPO, cDPO and rDPO end below the start's gold (0.46, 0.65, 0.57; section 7) on all three seeds, IPO above it. rDPO, unbiased where pairs repeat, is no better than DPO on any seed here, and far worse on seed 0: it amplifies each label, and each pair was labelled once. It pays for its unbiasedness in variance (KL 10 to 32). "Made for noise" is a statement on expectations.
#
# ### Likelihood displacement
#
# Column "chosen that fell" above, and "chosen" in section 7: the margin grows while *both* log-probabilities fall. The loss does not mind; it holds their difference only. Where does the probability go? In the smallest model that shows it, three responses share two weights, uniform at the start. One pair is trained
# on with DPO (β = 0.1). The third response stands in no pair, but its features lie along the direction in which the update moves. (Razin et al. 2024, arXiv 2410.08847, trace displacement to how alike the embeddings of the two responses are; notebook 02 has their measurement.)

# %% tags=["experiment"]
rows = []
for cosine in (0.9, 0.5, 0.0, -0.5):
    for row in noise.displace(cosine, (0, 30, 100, 300)):
        rows.append({"cosine of the pair": cosine, **row})
displaced = pd.DataFrame(rows)
print(displaced.round(3).to_string(index=False))
growing = displaced.groupby("cosine of the pair")["margin"].apply(
    lambda m: bool((m.diff().dropna() > 0).all())
)
print("the margin grows at every step shown, for every cosine:", bool(growing.all()))
end = displaced[displaced.step == 300].set_index("cosine of the pair")
print(
    "the chosen response ends less likely than it began for cosines",
    [c for c, p in end["chosen"].items() if p < 1 / 3],
)

# %% [markdown]
# The more alike the two responses are, the less their difference has to do with either, and the more freely the rest moves. Where they differ clearly (cosine −0.5) the same loss does what one expects. A curve of chosen log-probabilities beside the margin costs nothing and shows which case you are in.
#
# Fresh pairs from the current policy (online DPO, notebook 03) move the labels to where the policy is. They need an annotator at each round, who can be gamed too.
#
# So "more data" cures DPO of *variance* only. Its bias under flips stays, and a policy trained on pairs is only as good as what the raters meant.

# %% [markdown]
# ## 9. Verifiable rewards are not immune
#
# The verifiers here do not drift and make no random errors. But a verifier checks **something**, and what it does not check is free. In the program world a task shows two examples of a hidden function, and the answer is a small program: honest (`+ 3`), or a table of the examples (`case 1 4 case 2 5 end`), which is wrong everywhere else.

# %% [markdown]
# ### Exercise: visible and hidden tests
#
# `overfit-verifier` · difficulty 4/5 · about 30 minutes · 5 points
#
# How much do the tests that a program was rewarded for flatter it? Return the share of visible tests passed **minus** the share of hidden ones.
#
# - `program`: a function; a test: `(args, expected)`, args a tuple; passed if `program(*args) == expected`.
# - If the program raises, or takes longer than `timeout` seconds, it fails **that** test, and the others go on. A program that runs too long must be **stopped**, or at least be left behind: looking at the clock afterwards is not enough.
# - returns a float from −1 to 1. (No sandbox is asked for: notebook 03 and the course's own grader say what that would take.)
#
# Graded: difference of shares (1.5), arguments and equality (0.5), a program that raises (1), one that runs too long (1.5), a slow one within its time; inputs unchanged (0.5).
#
# Stuck? Run `hint("overfit-verifier")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "overfit-verifier", "locked": false, "schema_version": 3, "solution": true, "task": false}
def verifier_gap(program, visible_tests, hidden_tests, timeout=1.0):
    """Share of visible tests passed minus share of hidden ones."""
    ### BEGIN SOLUTION
    import threading

    def passes(test):
        args, expected = test
        outcome = []

        def attempt():
            try:
                outcome.append(bool(program(*args) == expected))
            except BaseException:  # also sys.exit() and the like
                outcome.append(False)

        worker = threading.Thread(target=attempt, daemon=True)
        worker.start()
        worker.join(timeout)  # a program that is not done by then is left behind
        return outcome == [True]

    def share(tests):
        return sum(passes(test) for test in tests) / len(tests)

    return float(share(visible_tests) - share(hidden_tests))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-overfit-verifier", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("overfit-verifier", verifier_gap)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("overfit-verifier", verifier_gap)
### END HIDDEN TESTS

# %% [markdown]
# **Train.** A small model is fine-tuned on 6,000 programs, **a quarter of them tables of the visible tests**: the exploit is seeded on purpose. GRPO then rewards passing tests. Three verifiers: the two visible tests; those and *one* test that is not in the prompt; the visible ones and a **property** that
# needs no further outputs: the program is run at one of the visible inputs $x$ and the two after it, and $f(x) - 2f(x+1) + f(x+2)$ must be 0 modulo 20. All honest programs pass; a table gives its entry at $x$ and then, mostly, zeros.

# %% tags=["experiment", "nbval-ignore-output"]
from course_utils.experiments import programs as coding

gap_of = use("overfit-verifier", verifier_gap)

coder = coding.make_programmer(SEED, steps=at_scale(20, 450), examples=at_scale(300, 6000))
chosen = ["the two visible tests", "and one that is not in the prompt", "visible tests, a property at a test"]
lengths = dict(zip(chosen, at_scale((2, 2, 2), (100, 60, 60))))
trained, curve = {}, []
row, tasks, before = coding.measure(coder, SEED, at_scale(60, 512))
trained["after fine-tuning"] = row
for name, count in lengths.items():
    watch = curve.append if name == chosen[0] else None
    policy = coding.train_on_tests(coder, programs.VERIFIERS[name], count, seed=SEED, progress=watch)
    trained[name], _, after = coding.measure(policy, SEED, at_scale(60, 512))
    if name == chosen[0]:
        special = after
print(pd.DataFrame(trained).T.round(2).to_string())

print(f"\nthe same tasks, before and after {lengths[chosen[0]]} rounds on the two visible tests:")
for task, old, new in list(zip(tasks, before, special))[:4]:
    gaps = [gap_of(programs.program_of(r), task.visible, task.hidden(), timeout=1.0) for r in (old, new)]
    shown = ", ".join(f"f({x}) = {y}" for (x,), y in task.visible)
    print(
        f"   {shown:24} {programs.decode(old):34} gap {gaps[0]:+.1f}   {programs.decode(new):34} gap {gaps[1]:+.1f}"
    )

# %% tags=["experiment", "nbval-ignore-output"]
record = pd.DataFrame(curve)
fig, ax = plots.figure()
for column, label in (
    ("visible", "visible tests: the reward"),
    ("hidden", "hidden tests"),
    ("tables", "share of tables"),
):
    ax.plot(record["iteration"], record[column].rolling(5, min_periods=1).mean(), label=label)
ax.set(xlabel="round of GRPO", ylabel="share of the programs", ylim=(0, 1))
ax.legend()
plots.show(
    fig,
    "Training on the two visible tests: the share of programs that pass them climbs towards one; the share that pass hidden tests falls, after a short rise, towards zero, as the share "
    "of tables rises.",
)

# %% tags=["experiment"]
report = pd.DataFrame(trained).T
conclude(
    "visible tests alone: more pass them than before, and fewer than half as many pass hidden ones",
    report["visible"][chosen[0]] > report["visible"].iloc[0]
    and report["hidden"][chosen[0]] < 0.5 * report["hidden"].iloc[0],
)
conclude(
    "one test outside the prompt ends the tables",
    report["tables"][chosen[1]] < 0.05 and report["gap"][chosen[1]] < 0.15,
)
conclude(
    "so does a property that is looked at where a visible test is",
    report["tables"][chosen[2]] < 0.05 and report["gap"][chosen[2]] < 0.15,
)

# %% [markdown]
# **The mechanism.** A table passes the visible tests nearly always, an honest try about two times in three. Within a group the table's advantage is positive, so it is reinforced. A test that is not in the prompt cannot be tabulated. A property must be looked at where it bites: a table is 0 at most places, and three zeros have second difference 0 ("anywhere" below); next to a visible test it is not.
#
# Kept, with three more verifiers, and with fewer tables in the examples:

# %% tags=["experiment"]
coded, coded_origin = measured.read("verifier_programs")
summary = (
    coded.groupby(["examples", "verifier"], sort=False)[["visible", "hidden", "tables", "gap"]]
    .mean()
    .round(2)
)
summary["rounds"] = coded.groupby(["examples", "verifier"], sort=False)["iterations"].first()
summary["seeds"] = coded.groupby(["examples", "verifier"], sort=False).size()
print(summary.to_string())
print(measured.told(coded_origin))

# %% tags=["experiment"]
for name in ("none: after fine-tuning", *chosen[1:], "visible tests, a property anywhere"):
    rows = coded[(coded.verifier == name) & (coded.examples == 0.25)]
    print(f"tables, by seed, {name}: {rows['tables'].round(2).tolist()}")
weak = coded[coded.verifier == "the two visible tests"]
for share, rows in weak.groupby("examples"):
    print(
        f"tables in {share:.0%} of the examples: hidden tests passed after training, by seed: {rows['hidden'].round(2).tolist()}"
    )

# %% [markdown]
# With 5 % tables in the examples the *same* weak verifier taught honest programs (in more rounds, see the table), on all three seeds; with 15 % their share at least tripled on each, and with 25 % nearly all programs were tables. The share that is there at the start matters. RL amplified an exploit that was there. Nothing here shows that it would have been invented; Baker et al. (2025, arXiv 2503.11926) report that capable coding agents find their own.
#
# **Three rewards under one optimiser.** Notebook 03 trained GRPO in the text world with three verifiers. From its kept runs (its seeds are 6 to 8; the start's length was not noted):

# %% tags=["experiment"]
compared, compared_origin = measured.read("method_comparison")
wanted = ["start", "GRPO, fact stated", "GRPO, fact uncontradicted", "GRPO, verifier"]
stated = compared[compared.method.isin(wanted) & ~compared.pushed]
columns = ["states_the_fact", "contradicts_nothing", "whole_answer", "gold", "length"]
by_method = stated.groupby("method")
print(by_method[columns].mean().loc[wanted].round(2).assign(seeds=by_method.size()).to_string())
print("\ngold by seed")
print(stated.pivot(index="method", columns="seed", values="gold").loc[wanted].round(2).to_string())
print(measured.told(compared_origin))

# %% [markdown]
# The first reward asks whether the fact is stated *anywhere*, the second also that nothing contradicts it, the third that the whole answer is clean. Same optimiser, same start. The pass rate that was rewarded rises every time. Gold rises on all three seeds only under the third reward; under the first it falls on all, under the second on two. **RLVR is a source of reward, not a guarantee.**
#
# A checker of final answers also has to *read* them: `1/2`, `0.5` and `\frac12` may be marked differently, so right answers fail and a format is learned. And a right answer is not a sound argument, nor a safe one.
#
# Outside small worlds, and without RL: AlphaCode samples many programs and keeps those that pass the tests. In the data sets before CodeContests, 30 to 60 % of what passed was wrong; with generated tests it was 4 % (Li et al. 2022, arXiv 2203.07814, section 3.2.1).

# %% [markdown]
# ## 10. Twelve mitigations, what each did here
#
# The next cell computes its numbers from the kept runs of this notebook. Each is the difference in gold to the plain proxy at best-of-256, unless another comparison is named: the mean of three seeds with its 95 % t interval (row 10: of five).


# %% tags=["experiment"]
def at_256(name):
    """The difference in gold to the plain proxy at n = 256."""
    return bon_against(name)["n = 256"]


def rule_gain(rule, than="(end)"):
    """Gold at the checkpoint that a rule keeps, minus that of the last checkpoint or of the start."""
    return interval(scored.loc[rule].drop("mean") - scored.loc[than].drop("mean"))


pushed_pairs, ordinary_pairs = (
    rl_against(f"250 {kind} added") for kind in ("pairs of the pushed policy", "ordinary pairs")
)
twelve = [
    (
        "robust, worst case",
        f"min of 3 proxies on 3 data sets: {at_256('3 of three data sets, min')}. A guarantee inside the set of rewards only (section 6)",
    ),
    (
        "uncertainty",
        f"UWO, 4 proxies: {at_256('4 of one data set, uwo')}; in RL at KL 2: {rl_against('ensemble, uwo')['KL 2']}",
    ),
    (
        "iterative deployment",
        f"one round, RL at KL 1 and 2: {pushed_pairs['KL 1']}, {pushed_pairs['KL 2']}; with ordinary pairs: {ordinary_pairs['KL 1']}, {ordinary_pairs['KL 2']}",
    ),
    ("several objectives", f"two proxies, 500 labels each: {at_256('two objectives, 500 comparisons each')}"),
    ("process rewards", f"1,000 marked clauses: {at_256('process reward, 1,000 judgements')}"),
    (
        "scalable oversight",
        "not shown: nothing in this world is too hard for a rater to judge, so help for raters would be an assumption, not a result",
    ),
    (
        "constitutions",
        "notebook 03, section 8: as good as the judge's beliefs; a third of them wrong made answers worse",
    ),
    (
        "adversarial training",
        "relabelling the pushed policy's answers: as under iterative deployment. The answers were found by optimisation, not by an attacker",
    ),
    (
        "ensembles",
        f"mean of 4: {at_256('4 of one data set, mean')}; mean of 3 data sets: {at_256('3 of three data sets, mean')}; 4,000 labels on one: {at_256('4,000 comparisons')}",
    ),
    (
        "early stopping, human evaluation",
        f"gold kept against the end of the run: audit {rule_gain('audit 4')}, KL 1 {rule_gain('kl 1')}, second proxy {rule_gain('held_out 4')}. "
        + "Against the start: "
        + ", ".join(rule_gain(rule, "(start)") for rule in ("audit 4", "kl 1", "held_out 4")),
    ),
    (
        "value learning",
        "not shown: learning what people want from what they do needs people who do something. Comparisons are its poorest form",
    ),
    (
        "capability control",
        f"less pressure: a random one of the best 10 % instead of the best of 256: {less_pressure}. It is about what best-of-16 gets, and with a better proxy it would cap the gain",
    ),
]
print(measured.told(origin))
for number, (name, words) in enumerate(twelve, start=1):
    print(textwrap.fill(f"{number:2}. {name}: {words}", 110, subsequent_indent="    "))

# %% [markdown]
# **Mechanism and limit**, in words:
#
# | mitigation | how it should work | its limit |
# |---|---|---|
# | robust and worst-case optimisation | no plausible reward may be bad | the truth must be in the set |
# | uncertainty | distrust where models disagree | they agree on shared errors; UWO subtracts the *variance* |
# | iterative deployment | labels from where the policy is now | each round opens new places; labels cost |
# | several objectives | a fault in one is seen in another | each needs a proxy, and a weighing |
# | process rewards | the fault is located | step labels are learned proxies too; steps can look right |
# | scalable oversight | helped raters judge what they could not | the helper has errors and incentives of its own |
# | constitutions | rules are written and readable | they are read by a model with its own beliefs |
# | adversarial training | look for exploits on purpose | only those that the search finds |
# | ensembles | average the noise out | not the bias |
# | early stopping with human evaluation | stop before the fall | needs gold labels at each checkpoint; plateaus are noisy |
# | value learning | keep the objective itself uncertain | needs a model of people's errors |
# | capability control | less optimisation, less exploitation | less of the good, too |
#
# ### Documented incidents
#
# | what happened | source |
# |---|---|
# | A boat-racing agent circled in a lagoon collecting targets, on fire, and never finished the race | Clark and Amodei 2016, OpenAI, "Faulty reward functions in the wild" |
# | Summaries optimised at KL 260 against a learned reward turned into text such as "28yo dude stubbornly postponees start pursuing gymnastics hobby" | Stiennon et al. 2020, arXiv 2009.01325 |
# | Optimised policies wrote very long answers even when a short one would be preferred | Gao et al. 2023, footnote 10, on an InstructGPT setting |
# | Over-trained harmless assistants answered with boilerplate such as "you are valid, valued, and cared for" | Bai et al. 2022, arXiv 2212.08073 |
# | Assistants trained on preferences agree with users' wrong beliefs | Sharma et al. 2023, arXiv 2310.13548 |
# | An update of GPT-4o was rolled back in April 2025 because it had become sycophantic | OpenAI 2025, "Sycophancy in GPT-4o" |
# | Coding agents in RL made tests pass by exiting early or skipping them; training against a monitor of their reasoning taught some to hide it | Baker et al. 2025, arXiv 2503.11926 |
#
# No transcript in this notebook is invented: the decoded samples above are what these runs wrote.
#
# ### Examples that are none
#
# What answer keys and talks offer as evidence, and what we found behind it. If you meet one of these, ask for the page.
#
# | what is offered | what is so |
# |---|---|
# | a table of Gao et al. with proxy and gold at KL 0, 10, 20, 50, 100, 200; "it begins at KL = 50" | the paper has no such table: its results are measured curves and the two laws of section 5. Where gold peaks depends on proxy and method |
# | InstructGPT rambling when asked for the capital of France | we found no such transcript in the paper. Documented: footnote 10 above |
# | an assistant that agrees to a flat earth; one that formats quantum entanglement to death | no source for either transcript. Documented: Sharma et al., and the update of GPT-4o |
# | code "from DeepSeek-R1" that checks mathematics, and its trouble with several right forms of an answer | the paper (arXiv 2501.12948) describes its rules in words: a boxed answer is compared, code is compiled and tested, a format is asked for. The trouble is real, but cite studies of verifiers for it |
# | AlphaCode as RL on tests | fine-tuning, then sampling and filtering: selection, as in section 3 |
# | Copilot's insecure code as a verifiable reward gamed | a model of the next token; no verifier's reward was optimised |
# | "95 % of the training tests, 75 % of held-out ones, 60 % truly right" | marked as hypothetical where it stands. A gap is measured, as in section 9, not assumed |
# | a `server()` that "passes basic tests", and a program hidden in base64 behind `eval` | the first returns at once and opens no socket. The second computes nothing, as the next cell shows |

# %%
hidden = compile("6 * 7", "hidden", "exec")  # compiled as statements, as in that example
print("eval of it:", eval(hidden), "   as an expression:", eval(compile("6 * 7", "shown", "eval")))

# %% [markdown]
# ### Limits and open questions
#
# - *This is one small world.* The gold reward is a program, all errors of the proxies come from few noisy labels and a small network. Nothing here measures persuasion, deception, or raters who cannot judge.
# - *The laws are fits.* Why $d(\alpha - \beta \log d)$ for RL? There is no accepted derivation, and no way to know $\beta$ before paying for gold labels.
# - *"No amount of data makes a proxy perfect, so optimisation must exploit it"* is a conjecture about practice, not a theorem. In section 6, 4,000 comparisons have a higher peak than 1,000 on three seeds of three.
# - *Rice's theorem is no argument here.* It says that non-trivial properties of what programs compute cannot be *decided* in general. It does not say that a specification cannot be written down; the trouble is to know what we want.
# - *A trade-off between capability and alignment* is not a law. Gao et al. (section 3.4) found that larger *policies* did not over-optimise a fixed proxy more.
# - *Open*: detecting over-optimisation without gold labels; ensembles whose errors are really different; oversight of what raters cannot check.
#
# ### Misconceptions met on the way
#
# | what is said | what is so | where |
# |---|---|---|
# | over-optimisation grows with the reward model's capacity | the other way round in Gao et al.; here size alone is not told apart, more data has a higher peak | 6 |
# | it begins at KL = 50 | it depends on proxy and method; no such table exists | 1, 5 |
# | a KL penalty is more than early stopping | it holds a run near a KL that depends on the reward's scale; Gao et al. found no more gold at equal KL; here a price of 0.3 had more gold at equal KL on four seeds and less on the one with the poorest proxy: not told apart on average, nor with 0.1 | 6 |
# | a second reward model is as good as gold | on three of five seeds it turned after gold had; on two it followed the optimised proxy to the end | 4 |
# | ensembles are conservative | the mean is not, by construction; at n = 256 it was ahead on all three seeds, at its best n not told apart | 6 |
# | UWO subtracts the standard deviation | the variance | 6 |
# | length normalisation, or SimPO, cures a length bias | not one that is in the labels | 7 |
# | gold went up, so nothing is being gamed | an average hides it: meter the thing itself | 7 |
# | DPO has no proxy | its labels are one, its log-ratio another | 8 |
# | IPO is for label noise | its motive is certainty; noise itself bounds DPO's optimum. In the trained comparison here its bound helped with both, on three seeds | 8 |
# | a verifier cannot be hacked | what it does not check is free | 9 |
#
# Run `progress()` in a new cell to see your points and what is open.

# %% [markdown] nbgrader={"grade": false, "grade_id": "practice-5-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## Practice question 5: Goodhart's law in preference learning
#
# In about one page: (1) What is reward over-optimisation, and what did Gao et al. measure? (2) Is DPO immune? (3) Are verifiable rewards immune? (4) Why is the problem hard, and what do mitigations achieve, with their mechanism and their limit? Give a source, a measurement or an argument for each claim.
# (Notebook 06 asks it again; there `self_check(5)` lists what an answer has not mentioned.)
# Write in the cell below.
#
# | | points |
# |---|---|
# | proxy and gold, the attribution of the law, at least two ways of failing; Gao et al. told correctly: a synthetic gold model, proxies of 3 million to 3 billion parameters, laws in $d = \sqrt{\mathrm{KL}}$, larger proxies and more data help, a KL price resembles early stopping, best-of-n and RL differ; one documented example | 3 |
# | DPO: the implicit reward is a proxy too; its own over-optimisation; displacement; certain preferences (IPO's motive); the right mechanism of length; online data help and need an annotator | 2.5 |
# | verifiers: a specification's proxy; false positives (AlphaCode); tampering with tests (Baker et al.); answer formats; correctness is not everything; under what conditions it works | 2 |
# | specification, measurement, shift, oversight; mitigations with mechanism **and** limit (shared errors, UWO's variance, early stopping, process rewards are learned, monitors can be evaded); no pseudo-theorems | 2.5 |
#
# Invented data or transcripts that are passed off as real: at most 6 points. The effect of the proxy's capacity the wrong way round: minus 1.5. Misuse of Rice's theorem: minus 0.5.

# %% [markdown] nbgrader={"grade": true, "grade_id": "practice-5", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# Three anchor answers for the grader.
#
# **About 3 points.** "When a measure becomes a target it ceases to be a good measure (Goodhart). Gao et al. trained reward models on human preferences and found that the true reward falls after a KL of about 50, and that the gap grows with the size of the reward model. DPO has no reward model, but its labels are a proxy, so it
# can be over-optimised too, and it can make answers longer. Verifiable rewards are harder to hack, but tests may be incomplete: AlphaCode's earlier data sets had 30 to 60 % false positives, and coding agents skip tests (Baker et al.). We can use ensembles, which average out noise, early stopping before the fall, KL penalties and process rewards. What we want is hard to specify; by Rice's theorem it cannot be written down at all."
#
# *3 of 10.* Part 1: the idea and nothing else right; humans, KL 50 and the direction are wrong (1 of 3). Part 2: labels and implicit proxy, no mechanism (1 of 2.5). Part 3: incomplete tests, both sources (1.5 of 2). Part 4: two mechanisms, no limit; specification is named (1.5 of 2.5). That is 5; minus 1.5 for capacity, minus 0.5
# for Rice. Sum: **3**.
#
# **About 6 points.** "A proxy that correlates with the goal stops doing so under pressure (Goodhart 1975; the aphorism is Strathern's). Part of it is selection of noise, part is leaving the data. Gao et al. used a 6-billion-parameter gold reward model to label comparisons and fitted smaller proxies. Gold first rises, then falls; d(α − βd) for best-of-n and d(α − β log d) for PPO, d the root of KL. Larger
# reward models and more data make it better. DPO fits an implicit reward to finitely many labels: Rafailov et al. (2406.02900) find humps against KL. Chosen responses can lose probability, since only the margin counts. A verifier checks tests, not the specification. In our program world a policy learned to tabulate the two visible tests; one hidden test ended it. Mitigations: early stopping needs gold labels; a KL price acts like early stopping; ensembles
# average noise, not shared errors."
#
# *6 of 10.* Part 1: right; sizes of the proxies, the difference of best-of-n and RL and a documented example missing (2 of 3). Part 2: implicit proxy, humps and displacement; certain preferences, length and online data missing (1.5 of 2.5). Part 3: proxy of a specification and a measured example; no false-positive figures, no tampering (1 of 2). Part 4: three mitigations with mechanism and limit, no account of why it is hard (1.5 of 2.5). Sum: **6**.
#
# **About 9 points.** The answer above, and: "Proxies had 3 million to 3 billion parameters; KL price 0 but for one section, where it did not change gold at equal KL. At equal KL best-of-n looks better, but KL is no common cost. Example: summaries at KL 260 in Stiennon et al. With certain preferences DPO's margin is unbounded at any β; IPO's target (2p − 1)/(2τ) is finite, which is its motive, not label noise. Length: biased labels prefer long answers; averaging log-ratios does
# not cure that, a margin for length does. Online data move the labels to where the policy is, and need an annotator, who can be gamed. Verifiers: 30 to 60 % of passing programs were wrong before CodeContests, 4 % after (Li et al.); agents skip tests (Baker et al.). They work where the check is close to the goal and cannot be seen. Why hard: what we want is not written down, raters see samples, the policy moves. UWO subtracts the variance; models of one recipe agree on
# their errors. Process rewards locate faults but are learned. A monitor of reasoning can teach hiding (Baker et al.). None is a guarantee."
#
# *9 of 10.* Part 1 (3). Part 2 (2.5). Part 3: answer formats and goals other than correctness missing (1.5 of 2). Part 4: scalable oversight is not named (2 of 2.5). Sum: **9**.
# ### END SOLUTION
