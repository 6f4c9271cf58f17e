# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03 · Eight methods, one world, one table
#
# **Goal.** You know DPO. Here are seven more ways to turn feedback into a better policy. You write the part of each
# that is its own, run all eight from one starting model in one world with a known true reward, and read the result
# without fooling yourself.
#
# | method | the feedback that it eats | where responses come from | models held in training | its loss, in one line | section |
# |---|---|---|---|---|---|
# | RLHF with PPO | pairs, by way of a reward model | the policy | policy and critic (trained), reference and reward model (frozen) | $-\min(\rho A, \mathrm{clip}(\rho) A)$, the KL price inside the reward | 5 |
# | DPO | pairs | a fixed set | policy, reference | $-\log\sigma(\beta h)$ | notebook 02 |
# | IPO | pairs | a fixed set | policy, reference | $(h - \frac{1}{2\tau})^2$ | 2 |
# | KTO | votes on single answers | a fixed set | policy, reference | $\lambda - \lambda\,\sigma(\pm\beta(r - z_0))$ | 3 |
# | ORPO | pairs | a fixed set | policy | NLL $- \lambda \log\sigma(\log \text{odds ratio})$ | 4 |
# | GRPO with a verifiable reward | a program that checks answers | the policy | policy, reference | PPO's, $A$ from a group of answers, $+\,\beta\,k_3$ | 6 |
# | online DPO | a judge of fresh answers | the policy | policy, reference, judge | DPO's, on pairs made just now | 7 |
# | Constitutional AI | written principles, and a model that applies them | the policy | first the policy alone, then those of the second stage's method | fine-tuning on revised answers, then one of the above | 8 |
#
# SimPO, cDPO, rDPO, RLOO and Dr. GRPO stand beside them where they belong.
#
# Fourteen exercises (58 points) and a practice question (10 points, graded by hand). Allow three hours for the
# exercises and about five in all. After section 4 is a good place for a break.
#
# *Letters* are the papers' own, so some mean several things: λ, γ, ε, β and, from section 5 on, $r$. Each section says which.
#
# *Notation.* $x$ is a prompt, $y_w$ and $y_l$ are the chosen and the rejected response, $\pi$ is the policy,
# $\pi_{\mathrm{ref}}$ the reference. $r = \log\frac{\pi(y\mid x)}{\pi_{\mathrm{ref}}(y\mid x)}$ is the **log-ratio**
# of a response, and $h = r(y_w) - r(y_l)$ the **margin** of a pair. Logarithms are natural.

# %% [markdown]
# ## Before you start
#
# Three questions on notebook 02. Run the import cell, then put a letter in the place of each question mark.

# %%
import math
import random
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from course_utils import plots
from course_utils.checks import hint, progress, recall, use
from course_utils.scale import at_scale, scale
from course_utils.testbed import models, text, verifiers

pd.set_option("display.max_colwidth", None)

# %% tags=["recall"]
recall("03-a", "b")

# %% tags=["recall"]
recall("03-b", "a")

# %% tags=["recall"]
recall("03-c", "c")

# %% [markdown]
# ## 1. One world, one start
#
# **A sentence to test.** The choice of algorithm matters far less than the initial model and the data: you
# will meet that often, for instance in the RLHF Book (chapter 8). It is a reported opinion, not a theorem.
# What supports it, and what speaks against it, is in section 12. This notebook can test one corner of it: one small
# model, one small world.
#
# **The world** is that of notebook 02: 44 words, 24 facts, and a parser that gives every answer its **gold reward**.
# Here is a prompt, an answer, and its clauses with their points.

# %%
prompt = text.make_prompts(1, seed=3)[0]
animal, relation, value = text.statement(prompt)
fact = text.TRUTH[animal, relation]
other = next(r for r in text.RELATIONS if r != relation)
false_value = next(v for v in text.RELATIONS[other] if v != text.TRUTH[animal, other])
answer = f"great question . {animal} {relation} {fact} . {animal} {other} {false_value} . {animal} {relation} {fact} ."

print("prompt:", text.decode(prompt))
print("answer:", answer)
for clause in text.parse(prompt, text.encode(answer)):
    print(f"   {text.POINTS[clause.kind]:+.1f}  {clause.kind:14} {' '.join(clause.words)}")
print(f"gold reward {text.gold_reward(prompt, text.encode(answer)):.1f}")

# %% [markdown]
# No method sees the gold reward. What each does see differs, and that matters more than any formula:
#
# - **pairs**: noisy raters, who prefer the better of two answers most of the time;
# - **votes**: the same pairs, taken apart;
# - **a reward model**: a small network fitted to the same pairs;
# - **a verifier**: a program that reads the table of facts, so it knows things that no pair contains;
# - **principles**: critics that know what a well-made answer looks like, and ask a model what is true.
#
# **The same for all**: the starting model, 3,000 prompts with a pair each, and the optimiser. Each method is given a
# number of responses that pass backward through its policy; section 9 states it, with the settings.
#
# ### Losses of different methods cannot be compared
#
# Before the first update the policy is the reference. Three pairs, with log-probabilities written by hand, and
# each method's loss on them; then again after the policy has moved: each chosen response one nat likelier, each
# rejected one nat less likely. (These are the course's own losses; you write four of them below.)

# %% tags=["experiment"]
from course_utils import losses

tokens_chosen, tokens_rejected = torch.tensor([6.0, 4.0, 9.0]), torch.tensor([10.0, 4.0, 7.0])
ref_chosen, ref_rejected = torch.tensor([-13.0, -7.0, -16.0]), torch.tensor([-14.0, -9.0, -15.0])


def losses_of(chosen, rejected):
    """The mean loss of each method on the three pairs, for summed log-probabilities of the policy."""
    four = (chosen, rejected, ref_chosen, ref_rejected)
    votes, ref_votes = torch.cat([chosen, rejected]), torch.cat([ref_chosen, ref_rejected])
    up = torch.arange(6) < 3
    mean_chosen, mean_rejected = chosen / tokens_chosen, rejected / tokens_rejected
    return {
        "DPO, β = 0.1": losses.dpo_loss(*four).mean().item(),
        "IPO, τ = 0.1": losses.ipo_loss(*four).mean().item(),
        "KTO, β = 0.1, z0 = 0": losses.kto_loss(votes, ref_votes, up, torch.tensor(0.0)).mean().item(),
        "ORPO, λ = 0.1": losses.orpo_loss(mean_chosen, mean_rejected, -mean_chosen).mean().item(),
        "SimPO, β = 2, γ = 1": losses.simpo_loss(mean_chosen, mean_rejected).mean().item(),
    }


step0, moved = losses_of(ref_chosen, ref_rejected), losses_of(ref_chosen + 1, ref_rejected - 1)
print(pd.DataFrame({"at step 0": step0, "margin 2": moved}).round(3).to_string())
print(f"log 2 = {math.log(2):.3f}, 1/2 of the weight = 0.5, (1 / (2 τ))² = {(1 / 0.2) ** 2:g}")

# %% [markdown]
# DPO starts at log 2, KTO at half its weight, IPO at $(1/2\tau)^2 = 25$, whatever the data are. ORPO and SimPO have no
# reference, so their start depends on the model. A KTO loss of 0.5 is no better than an IPO loss of 25: both say
# "nothing has happened yet". **Comparing methods by their loss, or choosing a checkpoint across methods by
# `eval_loss`, means nothing.** Gold reward, KL and win rate are common units; section 9 uses those.

# %% [markdown]
# ## 2. Pairs: IPO, and what to do about noisy labels
#
# DPO's loss falls for ever as a pair's margin grows. Notebook 01 (section 8) showed what follows when a preference is
# **deterministic**, when the same response always wins: the margin has no finite optimum, at any β. IPO (identity
# preference optimisation) replaces the logistic loss by a square with a target.

# %% [markdown]
# ### Exercise: the IPO loss
#
# `ipo-loss` · difficulty 2/5 · about 10 minutes · 4 points
#
# $$\mathcal{L}_{\mathrm{IPO}} = \Big(h - \frac{1}{2\tau}\Big)^2, \qquad
# h = \log\frac{\pi(y_w\mid x)}{\pi_{\mathrm{ref}}(y_w\mid x)} - \log\frac{\pi(y_l\mid x)}{\pi_{\mathrm{ref}}(y_l\mid x)}$$
#
# (Azar et al. 2023, arXiv 2310.12036, equation 17.)
#
# - `policy_chosen`, `policy_rejected`, `ref_chosen`, `ref_rejected`: `(B,)`, log-probabilities of whole responses.
# - `tau`: a float > 0; larger means closer to the reference.
# - returns `(B,)`, one loss per pair, not reduced.
#
# *Two conventions.* In the paper's equation the log-probabilities are those of responses: **sums** over tokens.
# `trl` (and the KTO authors' code, HALOs) divides each response's log-ratio by its number of tokens first, with the
# same target $1/(2\tau)$, so that is another loss. Your function takes the log-probabilities **as they are given**
# and divides nothing; whoever calls it decides.
#
# Graded: values (2.5), gradient into the policy (1), dtype kept and inputs unchanged (0.5).
#
# Stuck? Run `hint("ipo-loss")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "ipo-loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ipo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, tau=0.1):
    """(h - 1/(2 tau))^2, one value per pair."""
    ### BEGIN SOLUTION
    chosen = policy_chosen - ref_chosen.detach()  # the reference is a constant
    rejected = policy_rejected - ref_rejected.detach()
    # a target, not a direction: beyond 1/(2 tau) the gradient pulls the margin back
    return (chosen - rejected - 1 / (2 * tau)) ** 2
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-ipo-loss", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("ipo-loss", ipo_loss)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("ipo-loss", ipo_loss)
### END HIDDEN TESTS

# %% [markdown]
# **The two conventions in numbers.** One pair, used again below: the chosen response has 6 tokens and log-probability
# −12 (reference −13), the rejected one 10 tokens and −15 (reference −14).

# %% tags=["experiment"]
ipo = use("ipo-loss", ipo_loss)

pair_logps = [torch.tensor([v], dtype=torch.float64) for v in (-12.0, -15.0, -13.0, -14.0)]
pair_tokens = (6, 10, 6, 10)
per_token = [logp / n for logp, n in zip(pair_logps, pair_tokens)]
for name, four in (("sums (the paper)", pair_logps), ("means per token (trl)", per_token)):
    h = (four[0] - four[2] - four[1] + four[3]).item()
    print(f"{name:22} h = {h:6.3f}   target {1 / 0.2:.1f}   loss {ipo(*four, 0.1).item():7.3f}")

# %% [markdown]
# With means the margin here is 0.27 nats a token, and a target of 5 is out of reach in any sane policy. So
# the same τ means two different things, and a τ from a paper is worth nothing without its convention. This course
# uses sums.
#
# **What IPO is for, and what not.**
#
# - *It is for preferences that are nearly deterministic*, or were observed once each, so that they look deterministic.
#   Then $h^* = 1/(2\tau)$ is finite, where DPO's optimum is not (Azar et al., section 4.2; their experiments
#   are bandits with two and three actions, not language models).
# - *It is not a method for label noise.* Where a label is right with probability $p$ and the pair is seen again and
#   again, IPO's optimum is $(2p-1)/(2\tau)$ and DPO's is $\operatorname{logit}(p)/\beta$: noise itself keeps DPO's finite.
# - Its gradient **turns round** beyond the target; DPO's never does.
#
# ### Two losses that are about noise
#
# Let a label be turned round with probability ε, and $\ell(h) = -\log\sigma(\beta h)$ be DPO's loss.
#
# | | loss of a pair | what it does |
# |---|---|---|
# | cDPO, "conservative" (Mitchell 2023, note on noisy preferences, equations 3 and 4) | $(1-ε)\,\ell(h) + ε\,\ell(-h)$ | believes the label only so far: smallest at $h = \operatorname{logit}(1-ε)/\beta$, and no further |
# | rDPO, "robust" (Chowdhury et al. 2024, arXiv 2403.00409) | $\dfrac{(1-ε)\,\ell(h) - ε\,\ell(-h)}{1-2ε}$ | averaged over the flips it *is* the DPO loss of the clean label: unbiased, and as unbounded |
#
# The figure shows each with ε = 0.1. On the left the loss of one label. On the right what training minimises if
# the clean label is always the same and a tenth of the labels are turned round.

# %% tags=["experiment"]
zero, flip = torch.zeros(1, dtype=torch.float64), 0.1
margins = torch.linspace(-30, 60, 9001, dtype=torch.float64)
curves = {
    "DPO": lambda h: losses.dpo_loss(h, zero.expand_as(h), zero.expand_as(h), zero.expand_as(h), 0.1),
    "cDPO, ε = 0.1": lambda h: losses.cdpo_loss(
        h, zero.expand_as(h), zero.expand_as(h), zero.expand_as(h), 0.1, flip
    ),
    "rDPO, ε = 0.1": lambda h: losses.rdpo_loss(
        h, zero.expand_as(h), zero.expand_as(h), zero.expand_as(h), 0.1, flip
    ),
}

fig, axes = plots.figure(1, 2)
for ax, share, title in zip(axes, (0.0, flip), ("one label", "a tenth of the labels is turned round")):
    for name, loss in curves.items():
        curve = (1 - share) * loss(margins) + share * loss(-margins)
        (line,) = ax.plot(margins, curve, label=name)
        lowest = int(curve.argmin())
        if lowest < len(margins) - 1:
            ax.plot(margins[lowest], curve[lowest], "o", color=line.get_color(), markersize=7)
        where = f"h = {margins[lowest]:.2f}" if lowest < len(margins) - 1 else "none, it falls for ever"
        print(f"{title:38} {name:14} minimum: {where}")
    ax.set(title=title, xlabel="margin h (nats)", ylim=(-1, 3))
axes[0].set_ylabel("loss")
axes[0].legend()
plots.show(
    fig,
    "Loss against margin for DPO, cDPO and rDPO, minima marked by dots. Left, one label: only cDPO has a minimum. "
    "Right, with a tenth of the labels flipped: DPO and cDPO have one, cDPO's nearer to 0, and rDPO still has none.",
)

# %% tags=["experiment"]
noisy = (1 - flip) * curves["rDPO, ε = 0.1"](margins) + flip * curves["rDPO, ε = 0.1"](-margins)
print(
    "rDPO's mean over the flips is DPO's loss on the clean label:",
    bool(torch.allclose(noisy, curves["DPO"](margins))),
)
for p in (1 - flip, (1 - flip) ** 2 + flip**2):
    print(f"logit({p:.2f}) / 0.1 = {math.log(p / (1 - p)) / 0.1:.2f}")

# %% [markdown]
# Read the minima in the lines that come with the figure: cDPO on clean labels ends where DPO ends on noisy ones. With
# noise it shrinks a second time. rDPO restores the clean loss, which for a deterministic pair has no minimum: the noise
# went, and the bound that it gave went with it. Being unbiased has a price in variance: at $h = 0$ each label, right or
# wrong, pulls with $1/(1-2ε)$ times DPO's gradient at $h = 0$, since $\ell'(0) = -\beta/2$ there makes the slope
# $-\tfrac{\beta}{2}\cdot\frac{(1-ε)+ε}{1-2ε}$: 1.25 times at ε = 0.1, 2.5 times at ε = 0.3. (`trl` calls rDPO `robust`. Its plain
# `sigmoid` loss no longer does label smoothing.)

# %% [markdown]
# ## 3. Single votes: KTO
#
# Products collect thumbs, not pairs. KTO (Kahneman–Tversky optimisation) needs one response and one bit: desirable or
# not. A pair tells which of two is better. A vote says only "good", and "good" compared with what? KTO's
# answer is a **reference point** $z_0$.

# %% [markdown]
# ### Exercise: the reference point
#
# `kto-reference-point` · difficulty 2/5 · about 10 minutes · 3 points
#
# $$z_0 = \max\Big(0,\; \frac{1}{m}\sum_{i=1}^{m} \log\frac{\pi(y'_i\mid x_i)}{\pi_{\mathrm{ref}}(y'_i\mid x_i)}\Big)$$
#
# where $y'_i$ is a response that belongs to **another** prompt of the batch (Ethayarajh et al. 2024, arXiv 2402.01306,
# section 4.1). It is a rough estimate of how far the policy has moved, KL$(\pi\|\pi_{\mathrm{ref}})$.
#
# - `policy_kl_logp`, `ref_kl_logp`: `(B,)`, summed log-probabilities of these mismatched pairs.
# - returns one tensor without dimensions. The clamp comes **after** the mean. No gradient flows through it.
#
# Graded: values (2), no gradient (0.5), dtype kept and inputs unchanged (0.5).
#
# Stuck? Run `hint("kto-reference-point")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "kto-reference-point", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kto_reference_point(policy_kl_logp, ref_kl_logp):
    """z0: the mean log-ratio of mismatched pairs, 0 where that is negative, without a gradient."""
    ### BEGIN SOLUTION
    # one number for the batch first, then the clamp: a KL is not negative, single log-ratios may be
    return (policy_kl_logp - ref_kl_logp).mean().clamp(min=0).detach()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-kto-reference-point", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("kto-reference-point", kto_reference_point)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("kto-reference-point", kto_reference_point)
### END HIDDEN TESTS

# %% [markdown]
# **It is not a running average.** Each batch computes its own $z_0$ and forgets it. That makes the batch size part of the
# method: the mean of $m$ noisy numbers is noisy, and the clamp turns noise into bias. Suppose that the policy has not
# moved on average and single log-ratios have a standard deviation of 5 nats. Then the mean is about
# $\mathcal{N}(0, 25/m)$, and the expected $z_0$ is $5/\sqrt{2\pi m}$ instead of 0.

# %% tags=["experiment"]
point = use("kto-reference-point", kto_reference_point)

generator = torch.Generator().manual_seed(0)
sizes = [2, 4, 8, 32, 128]
simulated = []
for m in sizes:
    ratios = 5 * torch.randn(2000, m, generator=generator, dtype=torch.float64)
    simulated.append(sum(point(row, torch.zeros_like(row)).item() for row in ratios) / len(ratios))
closed = [5 / math.sqrt(2 * math.pi * m) for m in sizes]
print(pd.DataFrame({"batch": sizes, "expected z0": closed}).round(2).to_string(index=False))
print("2,000 simulated batches agree to 0.2:", all(abs(a - b) < 0.2 for a, b in zip(simulated, closed)))

# %% [markdown]
# Gradient accumulation does not help, since each small batch has a $z_0$ of its own. (`trl` takes as $y'_i$ the
# previous response of the same device's batch, the course's loop the next one; it averages over devices and then clamps, and it refuses a
# batch of 1.)

# %% [markdown]
# ### Exercise: the KTO loss
#
# `kto-loss` · difficulty 3/5 · about 15 minutes · 6 points
#
# With $r = \log\frac{\pi(y\mid x)}{\pi_{\mathrm{ref}}(y\mid x)}$,
#
# $$\mathcal{L}_{\mathrm{KTO}} = \lambda_y - v(x, y), \qquad v(x, y) = \begin{cases}
# \lambda_D\,\sigma\big(\beta\,(r - z_0)\big) & y \text{ desirable}\\
# \lambda_U\,\sigma\big(\beta\,(z_0 - r)\big) & y \text{ undesirable}\end{cases}$$
#
# and $\lambda_y$ is $\lambda_D$ or $\lambda_U$ (Ethayarajh et al., equation 8; equation 7 in version 1 of the paper,
# which has β inside $r$ and $z_0$. It is applied **once**, here).
#
# | argument | shape | |
# |---|---|---|
# | `policy_logp`, `ref_logp` | `(B,)` | summed log-probabilities of the responses |
# | `desirable` | `(B,)` bool | all may be alike |
# | `reference_point` | scalar tensor | $z_0$, in units of the log-ratio: no β in it |
# | `beta`, `desirable_weight`, `undesirable_weight` | floats | > 0 |
# | returns | `(B,)` | not reduced |
#
# Graded: values (2.5), weights (1), batches of one kind (0.5), gradient into the policy (1), no gradient into the
# reference point (0.5), dtype kept and inputs unchanged (0.5).
#
# Stuck? Run `hint("kto-loss")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "kto-loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kto_loss(
    policy_logp,
    ref_logp,
    desirable,
    reference_point,
    beta=0.1,
    desirable_weight=1.0,
    undesirable_weight=1.0,
):
    """lambda - lambda sigmoid(±beta (log-ratio - z0)), one value per vote."""
    ### BEGIN SOLUTION
    gain = beta * (policy_logp - ref_logp.detach() - reference_point.detach())  # above z0 is a gain
    good = desirable_weight * (1 - torch.sigmoid(gain))
    bad = undesirable_weight * (1 - torch.sigmoid(-gain))
    return torch.where(desirable, good, bad)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-kto-loss", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("kto-loss", kto_loss)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("kto-loss", kto_loss)
### END HIDDEN TESTS

# %% [markdown]
# **A worked example.** β = 0.5; a desirable response with log-ratio 2, an undesirable one with 1. The mismatched pairs
# have log-ratios (3, 1), then (−3, 1).

# %% tags=["experiment"]
kto = use("kto-loss", kto_loss)

votes, none = torch.tensor([2.0, 1.0], dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
up = torch.tensor([True, False])
for mismatched in ([3.0, 1.0], [-3.0, 1.0]):
    z0 = point(torch.tensor(mismatched, dtype=torch.float64), none)
    good, bad = kto(votes, none, up, z0, 0.5).tolist()
    print(f"mismatched {mismatched}: z0 = {z0.item():.1f}, desirable {good:.4f}, undesirable {bad:.4f}")

# %% tags=["experiment"]
grid = torch.linspace(-14, 18, 321, dtype=torch.float64)
fig, axes = plots.figure(1, 2)
for wanted, name in ((True, "desirable"), (False, "undesirable")):
    x = grid.clone().requires_grad_()
    label = torch.full(x.shape, wanted)
    loss = kto(x, torch.zeros_like(x), label, torch.tensor(2.0, dtype=torch.float64), 0.5)
    (slope,) = torch.autograd.grad(loss.sum(), x)
    axes[0].plot(grid, loss.detach(), label=name)
    axes[1].plot(grid, slope.abs(), label=f"KTO, {name}")
x = grid.clone().requires_grad_()
four = (x, torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x))
(slope,) = torch.autograd.grad(losses.dpo_loss(*four, 0.5).sum(), x)
axes[1].plot(grid, slope.abs(), ":", color=plots.COLOURS[2], label="DPO, against its margin")
for ax in axes:
    ax.axvline(2, color=plots.COLOURS[3], linewidth=0.8, linestyle="-")
axes[0].set(xlabel="log-ratio (nats), z0 = 2", ylabel="loss", title="KTO's loss")
axes[1].set(xlabel="log-ratio, or margin (nats)", ylabel="size of the gradient", title="who pulls")
axes[0].legend()
axes[1].legend(fontsize=9)
plots.show(
    fig,
    "KTO with beta 0.5 and z0 = 2. Left: the loss is a falling sigmoid for desirable and a rising one for undesirable "
    "responses. Right: its gradient is a bump around z0 that vanishes on both sides, where DPO's stays for wrong pairs.",
)

# %% [markdown]
# The right-hand panel is KTO's character. A response far on the wrong side no longer pulls, where DPO pulls hardest.
# So KTO ignores what it cannot fit. If these are mislabelled votes, that is a blessing. If they are genuinely hard
# examples, it under-fits. (Ethayarajh et al., proposition 4.1; they recommend DPO where the preferences have little noise and
# few cycles.)
#
# The two curves of the bump are one: with equal weights both kinds pull alike. Four things that are said of KTO:
#
# - *"It is loss-averse, like people."* Not by default: $\lambda_D = \lambda_U = 1$, and the value is a logistic curve, not
#   Kahneman and Tversky's power law. Version 1 of the paper remarks that the settings that work point to a value function
#   more sensitive to gains than to losses.
# - *"Its reference point is a running average."* No: see above.
# - *"It needs no reference model."* It does, for $r$ and for $z_0$. $z_0$ is not the reference model.
# - *"It is more data-efficient."* A vote carries *less* information than a comparison. What the paper shows (version 1,
#   sections 4.2 and 4.3): KTO keeps level with DPO after up to 90 % of the desirable examples are dropped, with weights to match, and with one
#   response a prompt, on 72 % less data (overlapping intervals).
#
# **Weights.** If votes are unbalanced, the paper's rule is $\frac{\lambda_D\, n_D}{\lambda_U\, n_U} \in [1, \tfrac32]$
# (equation 9; version 1 has $[1, \tfrac43]$, which the documentation of `trl` still quotes). Change one weight and leave the
# other at 1.

# %%
n_up, n_down = 65, 35
print(f"65 up, 35 down, weights 1 and 1: the ratio is {n_up / n_down:.3f}, outside [1, 1.5]")
print(f"undesirable weight, the other 1: between {n_up / n_down / 1.5:.3f} and {n_up / n_down:.3f}")
print(f"or desirable weight, the other 1: between {n_down / n_up:.3f} and {1.5 * n_down / n_up:.3f}")

# %% [markdown]
# ## 4. Without a reference: SimPO and ORPO
#
# The reference costs memory and a pass. Two methods drop it, and both replace the *sum* of a response's token
# log-probabilities by their **mean**, $\ell(y) = \frac{1}{|y|}\log\pi(y\mid x)$. The reason shows on the pair of section 2.

# %%
for name, sums, tokens in (("chosen", -12.0, 6), ("rejected", -15.0, 10)):
    print(
        f"{name:9} sum {sums:6.1f}   probability {math.exp(sums):.1e}   mean {sums / tokens:5.2f}   exp(mean) {math.exp(sums / tokens):.3f}"
    )

# %% [markdown]
# - A sum mostly says how long a response is. With a reference that cancels: its sum is about as large. Without one it
#   does not: the chosen response has the higher sum (−12 against −15) *because it is shorter*; per token it is the less
#   likely one.
# - ORPO needs a probability $p$ for its odds $p/(1-p)$. As a probability of the whole response $p$ is about $10^{-6}$, and then
#   $1 - p$ is 1 in every practical sense. With the mean, $p$ is a typical probability of *one token*.

# %% [markdown]
# ### Exercise: the SimPO loss
#
# `simpo-loss` · difficulty 1/5 · about 10 minutes · 3 points
#
# $$\mathcal{L}_{\mathrm{SimPO}} = -\log\sigma\big(\beta\,\ell(y_w) - \beta\,\ell(y_l) - \gamma\big)$$
#
# (Meng et al. 2024, arXiv 2405.14734, equations 4 to 6).
#
# - `chosen_mean_logp`, `rejected_mean_logp`: `(B,)`, log-probabilities averaged over the response's tokens: ℓ above.
# - `beta`: a float > 0, typically 2 or more (means are small numbers; 0.1 would flatten everything).
# - `gamma`: the margin by which the chosen reward is to win. β does not multiply it. (`trl`'s `simpo_gamma` is this
#   γ; other code asks for the ratio γ/β: the same function, another number to set.)
# - returns `(B,)`, not reduced.
#
# Graded: values (1.5), stable for means down to −1e3 (0.5), gradients (0.5), dtype kept and inputs unchanged (0.5).
#
# Stuck? Run `hint("simpo-loss")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "simpo-loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def simpo_loss(chosen_mean_logp, rejected_mean_logp, beta=2.0, gamma=1.0):
    """-log sigmoid(beta (chosen - rejected) - gamma), one value per pair."""
    ### BEGIN SOLUTION
    # logsigmoid as a whole: a sigmoid of -2000 would round to 0, and its logarithm to minus infinity
    return -torch.nn.functional.logsigmoid(beta * (chosen_mean_logp - rejected_mean_logp) - gamma)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-simpo-loss", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("simpo-loss", simpo_loss)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("simpo-loss", simpo_loss)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: the ORPO loss
#
# `orpo-loss` · difficulty 3/5 · about 20 minutes · 5 points
#
# With $p = e^{\ell(y)}$ and $\text{odds}(y) = \frac{p}{1-p}$,
#
# $$\mathcal{L}_{\mathrm{ORPO}} = \mathrm{NLL}(y_w) + \lambda \Big(-\log\sigma\Big(\log\frac{\text{odds}(y_w)}{\text{odds}(y_l)}\Big)\Big)$$
#
# (Hong et al. 2024, arXiv 2403.07691, equations 3 to 7). The first term is ordinary fine-tuning on the chosen response;
# the second pushes the odds apart.
#
# - `chosen_mean_logp`, `rejected_mean_logp`: `(B,)`, below 0; `chosen_nll`: `(B,)`, the chosen response's negative
#   log-likelihood, averaged over its tokens; `lam`: a float.
# - returns `(B,)`, not reduced.
#
# *Take care with $\log(1-p)$.* As a model gets sure of itself, $\ell \to 0$ and $p \to 1$.
#
# Graded: values (2.5), stable for means from −100 to −1e-6 (1), gradient into all three (1), dtype kept and inputs unchanged
# (0.5).
#
# Stuck? Run `hint("orpo-loss")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "orpo-loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def orpo_loss(chosen_mean_logp, rejected_mean_logp, chosen_nll, lam=0.1):
    """NLL + lam · (-log sigmoid(log odds ratio)), one value per pair."""

    ### BEGIN SOLUTION
    def log_odds(logp):
        # log p - log(1 - p); expm1 is exp(x) - 1 without the rounding that eats it where x is close to 0
        return logp - torch.log(-torch.expm1(logp))

    log_odds_ratio = log_odds(chosen_mean_logp) - log_odds(rejected_mean_logp)
    return chosen_nll - lam * torch.nn.functional.logsigmoid(log_odds_ratio)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-orpo-loss", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("orpo-loss", orpo_loss)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("orpo-loss", orpo_loss)
### END HIDDEN TESTS

# %% [markdown]
# **Why the care.** Three ways to $\log(1-p)$ in float32, and the two losses on the worked pair.

# %% tags=["experiment"]
for tiny in (-1e-3, -1e-6, -1e-8):
    x = torch.tensor(tiny)  # float32
    print(
        f"mean log-probability {tiny:g}:  log(1 - exp(x)) = {torch.log(1 - x.exp()).item():8.3f}   "
        f"log1p(-exp(x)) = {torch.log1p(-x.exp()).item():8.3f}   log(-expm1(x)) = {torch.log(-torch.expm1(x)).item():8.3f}"
    )
simpo, orpo = use("simpo-loss", simpo_loss), use("orpo-loss", orpo_loss)
means = [per_token[0], per_token[1]]
print(f"SimPO, β = 2, γ = 1: {simpo(*means).item():.4f}")
print(f"ORPO, λ = 0.1:       {orpo(*means, -means[0]).item():.4f}  (of which NLL {-means[0].item():.1f})")

# %% [markdown]
# `log1p(-exp(x))` does not help near 0, because `exp(x)` has rounded to 1 before it is called.
#
# Both losses are *above* their value at equal means ($-\log\sigma(-1) = 1.31$ for SimPO), since per token this pair is in the wrong order.
#
# **What got worse.** Without a reference nothing in the loss says "stay near where you were". In ORPO the NLL term holds the
# policy to the chosen responses. In SimPO only the learning rate and the number of steps do. Neither is "DPO, cheaper": the optimum
# is another one. ORPO was proposed to *replace* fine-tuning by one stage; here, for a fair start, it begins from the same
# fine-tuned model as the others.
#
# (`trl` differs from the papers: its ORPO takes the NLL over prompt and response, and its SimPO, loss type `simpo` of the
# CPO trainer, adds an NLL term of weight 1 unless `cpo_alpha=0`.)

# %% [markdown]
# ## 5. A reward model, and PPO
#
# The classical road (Ouyang et al. 2022, "InstructGPT", arXiv 2203.02155): fit a reward model to the pairs, then let the
# policy write, score what it wrote, and push it towards what scored well. Four parts, four exercises.

# %% [markdown]
# ### Exercise: the reward model's loss
#
# `reward-model-loss` · difficulty 1/5 · about 5 minutes · 3 points
#
# Bradley–Terry again, with $r_\phi$ a network of its own:
#
# $$\mathcal{L}_{\mathrm{RM}} = -\log\sigma\big(r_\phi(x, y_w) - r_\phi(x, y_l)\big)$$
#
# (Ouyang et al. 2022, equation 1, for one pair; Rafailov et al. 2023, equation 2).
#
# - `chosen_rewards`, `rejected_rewards`: `(B,)`; returns `(B,)`, not reduced.
#
# Graded: values (1.5), stable for differences of ±1e4 (0.5), gradients (0.5), dtype kept and inputs unchanged (0.5).
#
# Stuck? Run `hint("reward-model-loss")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "reward-model-loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def reward_model_loss(chosen_rewards, rejected_rewards):
    """The Bradley-Terry negative log-likelihood, one value per pair."""
    ### BEGIN SOLUTION
    return -torch.nn.functional.logsigmoid(chosen_rewards - rejected_rewards)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-reward-model-loss", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("reward-model-loss", reward_model_loss)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("reward-model-loss", reward_model_loss)
### END HIDDEN TESTS

# %% tags=["experiment"]
rm_loss = use("reward-model-loss", reward_model_loss)

for chosen, rejected in ((2.0, 1.0), (7.0, 6.0), (1.0, 2.0)):
    value = rm_loss(torch.tensor([chosen]), torch.tensor([rejected])).item()
    print(f"rewards {chosen:g} and {rejected:g}: loss {value:.4f}")

# %% [markdown]
# Adding 5 to both changes nothing: **the zero of a reward model is arbitrary**, and so is a zero for each prompt. Scores are
# therefore standardised before they are used, and must not be compared between prompts. The reward model is also a *proxy*: it was fitted to the
# answers of the starting model, and PPO moves away from them. Notebook 05 is about what happens then.
#
# ### Exercise: rewards with a price for KL
#
# `kl-shaped-rewards` · difficulty 3/5 · about 15 minutes · 4 points
#
# The score comes once, for the whole response. The KL price is paid token by token:
#
# $$R_t = -c\,\big(\log\pi(y_t\mid x, y_{<t}) - \log\pi_{\mathrm{ref}}(y_t\mid x, y_{<t})\big) \;+\; \begin{cases} \text{score} & t \text{ is the last counted token}\\ 0 & \text{otherwise}\end{cases}$$
#
# (summed over a response, the objective of Ouyang et al. 2022, equation 2, for one sample and without its pretraining term; their
# section 3.5 describes the penalty per token).
#
# | argument | shape | |
# |---|---|---|
# | `score` | `(B,)` | one number a response |
# | `policy_logp`, `ref_logp` | `(B, T)` | of the sampled tokens |
# | `mask` | `(B, T)` | bool, int or float; 1 where a response token counts: contiguous in each row, at least one, perhaps after a masked prompt and before padding |
# | `kl_coef` | float | $c \ge 0$ |
# | returns | `(B, T)` | 0 where the mask is 0, whatever stands there in the arguments |
#
# Single terms may be positive or negative: do not clip them.
#
# Graded: values (2), a masked prompt in front (0.5), masks of ints and floats (0.5), that what stands where the mask is 0 does not matter
# (0.5), dtype kept and inputs unchanged (0.5). Gradients are not graded.
#
# Stuck? Run `hint("kl-shaped-rewards")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "kl-shaped-rewards", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kl_shaped_rewards(score, policy_logp, ref_logp, mask, kl_coef):
    """The KL penalty on each counted token, the score besides on the last one of each row."""
    ### BEGIN SOLUTION
    counted = mask != 0
    # where, not a product: a nan in the padding times 0 would still be nan
    penalty = torch.where(counted, -kl_coef * (policy_logp - ref_logp), 0.0)
    positions = torch.arange(counted.shape[1], device=counted.device)
    last = (positions * counted).argmax(dim=1, keepdim=True)  # the largest counted position
    return penalty + torch.where(positions == last, score[:, None], 0.0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-kl-shaped-rewards", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("kl-shaped-rewards", kl_shaped_rewards)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("kl-shaped-rewards", kl_shaped_rewards)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: generalised advantage estimation
#
# `gae` · difficulty 4/5 · about 25 minutes · 6 points
#
# Which *token* deserves the credit? A **critic** $V_t$ predicts, before each token, the sum of the rewards to come. A token is better than
# expected if reward and new prediction exceed the old prediction:
#
# $$\delta_t = R_t + \gamma V_{t+1} - V_t, \qquad A_t = \delta_t + \gamma\lambda\, A_{t+1}, \qquad \text{returns}_t = A_t + V_t$$
#
# (Schulman et al. 2016, arXiv 1506.02438, equation 16; Schulman et al. 2017, arXiv 1707.06347, equations 11 and 12.) It is computed from the back.
# **After the last counted token the response is over: $V$ and $A$ are 0 there**, whatever the arguments hold.
#
# - `rewards`, `values`: `(B, T)`; `mask`: as before; `gamma`, `lam`: floats from 0 to 1.
# - returns two tensors, `(advantages, returns)`, each `(B, T)`, both 0 where the mask is 0. No whitening: if you normalise advantages,
#   do it later, and not before the returns are made.
#
# Graded: advantages where every token counts (2), returns (1), a prompt in front and padding behind (1.5), masks of ints and floats
# (0.5), that what stands where the mask is 0 does not matter (0.5), dtype kept and inputs unchanged (0.5). Gradients are not graded.
#
# Stuck? Run `hint("gae")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "gae", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gae(rewards, values, mask, gamma=1.0, lam=0.95):
    """(advantages, returns) of each token, from the last one to the first."""
    ### BEGIN SOLUTION
    counted = mask != 0
    rewards, values = torch.where(counted, rewards, 0.0), torch.where(counted, values, 0.0)
    advantages = torch.zeros_like(rewards)
    next_value = next_advantage = torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        # in the padding everything stays 0, so that the last counted token sees the end of the response
        next_advantage = torch.where(counted[:, t], delta + gamma * lam * next_advantage, 0.0)
        next_value = values[:, t]
        advantages[:, t] = next_advantage
    return advantages, advantages + values
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-gae", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("gae", gae)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("gae", gae)
### END HIDDEN TESTS

# %% [markdown]
# **One response, followed through.** Three tokens, a score of 1, $c = 0.1$; the log-probabilities and the critic's predictions
# are made up.

# %% tags=["experiment"]
shaped_of, gae_of = use("kl-shaped-rewards", kl_shaped_rewards), use("gae", gae)

rollout = torch.tensor([[-1.0, -2.0, -0.5], [-1.2, -1.5, -0.7], [0.5, 0.6, 0.7]], dtype=torch.float64)
logp, ref_logp, values = (row[None] for row in rollout)
every = torch.ones(1, 3, dtype=torch.bool)
shaped = shaped_of(torch.ones(1, dtype=torch.float64), logp, ref_logp, every, 0.1)
advantages, returns = gae_of(shaped, values, every)
columns = {
    "log π": logp,
    "log π_ref": ref_logp,
    "reward": shaped,
    "V": values,
    "advantage": advantages,
    "return": returns,
}
print(
    pd.DataFrame({k: v[0].tolist() for k, v in columns.items()}, index=["yes", "right", "."])
    .round(4)
    .to_string()
)
print(f"sum of the rewards: {shaped.sum().item():.2f} = score - 0.1 · (log π - log π_ref of the response)")
plain = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
for lam in (0.0, 0.95, 1.0):
    print(
        f"rewards (0, 0, 1), λ = {lam:g}: advantages",
        [round(a, 3) for a in gae_of(plain, values, every, 1.0, lam)[0][0].tolist()],
    )

# %% [markdown]
# The second token has $\pi < \pi_{\mathrm{ref}}$, so its KL term is *positive*: only the sum is a price, in expectation. With λ = 0 a token is judged by the
# critic's next prediction alone (little noise, the critic's bias); with λ = 1 by everything that came after (no bias from the critic, all the
# noise). For three tokens 0.95 lies near the second; it looks about $1/(1-\lambda) = 20$ tokens ahead.

# %% [markdown]
# ### Exercise: the clipped loss
#
# `ppo-loss` · difficulty 3/5 · about 15 minutes · 4 points
#
# Samples are expensive, so each is used for several updates. After the first one the policy is no longer the one that wrote them; the ratio
# $\rho = \pi/\pi_{\mathrm{old}}$ corrects for it, and the clip takes away the incentive to drive it far:
#
# $$\mathcal{L}_{\mathrm{PPO}} = -\min\big(\rho A,\; \mathrm{clip}(\rho, 1-\epsilon, 1+\epsilon)\, A\big)$$
#
# (Schulman et al. 2017, equation 7, with the sign of a loss).
#
# - `logp`, `old_logp`, `advantages`: tensors of one shape, a number for each token. `old_logp` is the policy that *sampled*, not the
#   reference.
# - `clip`: the ε. Returns the shape of `logp`, not reduced.
#
# Graded: values (2), gradient into the policy and none where it is clipped (1.5), dtype kept and inputs unchanged (0.5).
#
# Stuck? Run `hint("ppo-loss")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "ppo-loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ppo_loss(logp, old_logp, advantages, clip=0.2):
    """-min(rho A, clip(rho) A), one value per token."""
    ### BEGIN SOLUTION
    old_logp, advantages = old_logp.detach(), advantages.detach()  # both are data
    ratio = torch.exp(logp - old_logp)
    # each term times A first, then the smaller: a negative A turns the order round
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-ppo-loss", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("ppo-loss", ppo_loss)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("ppo-loss", ppo_loss)
### END HIDDEN TESTS

# %% tags=["experiment"]
ppo = use("ppo-loss", ppo_loss)

ratios = torch.linspace(0.02, 2.0, 199, dtype=torch.float64)
fig, axes = plots.figure(1, 2)
for ax, sign in zip(axes, (1.0, -1.0)):
    gain = torch.full_like(ratios, sign)
    ax.plot(ratios, ratios * gain, "--", color=plots.COLOURS[3], label="ρA, not clipped")
    ax.plot(
        ratios,
        -ppo(ratios.log(), torch.zeros_like(ratios), gain),
        "-",
        color=plots.COLOURS[0],
        label="PPO's objective",
    )
    ax.axvspan(0.8, 1.2, color="#dddddd", zorder=0)
    ax.plot(1, sign, "o", color="black")
    ax.set(title=f"A = {sign:+g}", xlabel="ratio ρ", ylim=(-2.1, 2.1) if sign > 0 else (-2.1, 0.6))
axes[0].set(ylim=(-0.1, 2.1), ylabel="objective (minus the loss)")
axes[0].legend()
plots.show(
    fig,
    "PPO's objective against the ratio. For a positive advantage it is flat above 1.2; for a negative one it is flat below "
    "0.8 and keeps falling above. The grey band is 0.8 to 1.2.",
)
for ratio, gain in ((1.5, 1.0), (1.5, -1.0), (0.5, -1.0), (0.5, 1.0)):
    x = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    loss = ppo(x, torch.zeros(1, dtype=torch.float64), torch.tensor([gain], dtype=torch.float64))
    (slope,) = torch.autograd.grad(loss.sum(), x)
    print(
        f"ρ = {ratio:g}, A = {gain:+g}: objective {-loss.item():+.2f}, gradient {'flows' if slope.item() else 'is 0'}"
    )

# %% [markdown]
# The objective is flat where the policy has *already* moved in the wanted direction by more than ε. Where it has moved in the **wrong** direction
# (ρ = 1.5 with A = −1, ρ = 0.5 with A = +1) nothing is clipped: the full gradient brings it back. That is what the minimum is for. A clip without
# it would leave such a token where it is.
#
# The clip is measured from $\pi_{\mathrm{old}}$ and takes away a reason to move on; it is no bound. And it does not hold the policy near the *reference*: after ten rounds it can be anywhere.
# That is the job of the KL price in the reward.
#
# *PPO is on-policy; what goes off-distribution is the reward model.* Folklore says that RLHF suffers from distribution shift "if offline". It is the
# other way round: because training is online, the policy soon writes answers unlike those that the reward model was fitted to.

# %% [markdown]
# ## 6. Groups instead of a critic: GRPO
#
# PPO's critic is a second network that has to be trained. GRPO (Shao et al. 2024, DeepSeekMath, arXiv 2402.03300) samples several answers to one prompt and lets them be each
# other's baseline. Every token of an answer gets the answer's advantage; the loss is PPO's, and a KL estimate is added to the *loss*.
#
# **GRPO is an optimiser; a verifiable reward (RLVR) is a source of reward.** They are independent: DeepSeekMath ran GRPO with a *learned*
# reward model, and Tülu 3 (Lambert et al. 2024, arXiv 2411.15124) ran RLVR with *PPO*.

# %% [markdown]
# ### Exercise: advantages within a group
#
# `group-advantages` · difficulty 2/5 · about 10 minutes · 4 points
#
# $$A_i = \frac{r_i - \mathrm{mean}(r_1, \dots, r_G)}{\mathrm{std}(r_1, \dots, r_G) + \epsilon}$$
#
# (Shao et al. 2024, section 4.1.2.) The standard deviation is the sample one, $G-1$ in the denominator, which is torch's default; the ε is that of
# `trl`.
#
# - `rewards`: `(B,)`, the rewards of one prompt adjacent; `group_size` ≥ 2 divides B; `eps`: a float.
# - returns `(B,)`; **exactly** 0 for a group whose rewards are all equal: it teaches nothing. (The mean of eight times 0.1 is not quite 0.1 in
#   floating point, so $r - \mathrm{mean}$ alone is not exactly 0.)
#
# Graded: values (2.5), 0 for a group of equal rewards (1), dtype kept and inputs unchanged (0.5). Gradients are not graded.
#
# Stuck? Run `hint("group-advantages")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "group-advantages", "locked": false, "schema_version": 3, "solution": true, "task": false}
def group_advantages(rewards, group_size, eps=1e-4):
    """(r - mean) / (std + eps) within each group."""
    ### BEGIN SOLUTION
    groups = rewards.reshape(-1, group_size)
    advantages = (groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + eps)
    # the mean of equal numbers may be off in its last digit, and division by eps would blow that up
    constant = (groups == groups[:, :1]).all(1, keepdim=True)
    return advantages.masked_fill(constant, 0.0).reshape(-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-group-advantages", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("group-advantages", group_advantages)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("group-advantages", group_advantages)
### END HIDDEN TESTS

# %% [markdown]
# **Side by side.** One right answer among four, $r = (1, 0, 0, 0)$. *RLOO* (Ahmadian et al. 2024, arXiv 2402.14740) subtracts the mean of the
# *others*; *Dr. GRPO* (Liu et al. 2025, arXiv 2503.20783) subtracts the mean and divides by nothing.

# %% tags=["experiment"]
from course_utils.policy_gradient import centred_advantages, mean_over_tokens, rloo_advantages

grpo_advantages = use("group-advantages", group_advantages)

r = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
side_by_side = {
    "GRPO, sample std": grpo_advantages(r, 4),
    "GRPO, population std": (r - r.mean()) / r.std(correction=0),
    "RLOO": rloo_advantages(r, 4),
    "Dr. GRPO": centred_advantages(r, 4),
}
print(pd.DataFrame({k: v.tolist() for k, v in side_by_side.items()}, index=r.tolist()).round(4).T.to_string())
print(
    "RLOO = G/(G - 1) · Dr. GRPO:",
    bool(torch.allclose(side_by_side["RLOO"], side_by_side["Dr. GRPO"] * 4 / 3)),
)

print("\nright answers of 8   the right one's advantage: GRPO   Dr. GRPO   total |A|: GRPO   Dr. GRPO")
for right in (1, 4, 7):
    r = torch.tensor([1.0] * right + [0.0] * (8 - right), dtype=torch.float64)
    a, c = grpo_advantages(r, 8), centred_advantages(r, 8)
    print(
        f"{right:>18} {a[0].item():34.2f} {c[0].item():10.2f} {a.abs().sum().item():17.2f} {c.abs().sum().item():10.2f}"
    )

# %% [markdown]
# **Two biases** (Liu et al. 2025). Neither is a mistake in the code; both are choices that shift what is learned.
#
# 1. *Dividing by the standard deviation* weighs prompts by their difficulty. By Dr. GRPO's rule a prompt that is solved once in eight pulls 0.44 times as hard in total as one that is solved
#    half the time (1.75 against 4.00); by GRPO's, 0.66 times (4.95 against 7.48). Relative to plain policy gradient, nearly solved and nearly hopeless prompts are weighted up.
# 2. *Dividing each answer's loss by its length*, $1/|o_i|$, as GRPO's equation 3 does, makes a token of a long answer count less. For wrong answers that means: **be wrong at
#    length, and each token is punished less.** For right answers it is the reverse: a token of a short one is rewarded more.

# %% tags=["experiment"]
long_and_short = torch.zeros(2, 100)
long_and_short[0, :10] = 1  # a wrong answer of 10 tokens, and one of 100
for rule, source in (("sequence", "GRPO"), ("token", "DAPO"), ("constant", "Dr. GRPO")):
    per_token_loss = torch.ones(2, 100, requires_grad=True)  # A = -1: the loss of each token is +1
    mask = torch.stack([long_and_short[0], torch.ones(100)])
    mean_over_tokens(per_token_loss, mask, rule, 100).backward()
    short, long = per_token_loss.grad[0, 0].item(), per_token_loss.grad[1, 0].item()
    print(f"{source:9} weight of a token in the answer of 10: {short:.4f}, of 100: {long:.4f}")

# %% [markdown]
# (GRPO's rule and Dr. GRPO's also average over the two answers, hence 1/10/2 and 1/100/2. DAPO, Yu et al. 2025, arXiv 2503.14476, takes the mean over all 110 tokens of the batch.)
#
# ### The KL term

# %% [markdown]
# ### Exercise: three estimators of a KL divergence
#
# `kl-estimators` · difficulty 2/5 · about 10 minutes · 3 points
#
# From samples $y \sim \pi$, with $\delta = \log\pi(y) - \log\pi_{\mathrm{ref}}(y)$:
#
# $$k_1 = \delta, \qquad k_2 = \tfrac12\delta^2, \qquad k_3 = e^{-\delta} - 1 + \delta$$
#
# (Schulman 2020, "Approximating KL divergence"; $k_3$ is the KL term of Shao et al. 2024, equation 4).
#
# - `logp`, `ref_logp`: log-probabilities of the same samples, one shape.
# - returns a dict with keys `"k1"`, `"k2"`, `"k3"`: one value per element, nothing averaged.
#
# Graded: $k_1$ and $k_2$ (1), $k_3$ (1), gradient into the policy (0.5), dtype kept and inputs unchanged (0.5).
#
# Stuck? Run `hint("kl-estimators")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "kl-estimators", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kl_estimators(logp, ref_logp):
    """Schulman's k1, k2 and k3 for samples from pi, element by element."""
    ### BEGIN SOLUTION
    delta = logp - ref_logp
    # expm1(-delta) is exp(-delta) - 1 without rounding, which matters while the policy is near the reference
    return {"k1": delta, "k2": delta**2 / 2, "k3": torch.expm1(-delta) + delta}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-kl-estimators", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("kl-estimators", kl_estimators)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("kl-estimators", kl_estimators)
### END HIDDEN TESTS

# %% [markdown]
# **Right as numbers, different as losses.** With three responses every expectation is a sum of three terms, so nothing has to be sampled. Compare the *mean* of each
# estimator with the KL, and then its *gradient*, taken as training takes it: the samples are data, and only the log-probabilities inside $k$ depend on the parameters.

# %% tags=["experiment"]
estimators = use("kl-estimators", kl_estimators)

logits = torch.tensor([0.3, -0.4, 1.1], dtype=torch.float64, requires_grad=True)
reference = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
logp, log_ref = logits.log_softmax(-1), reference.log()
drawn = logp.exp().detach()  # how often each response is sampled


def gradient(value):
    return torch.autograd.grad(value, logits, retain_graph=True)[0]


reverse, forward = (logp.exp() * (logp - log_ref)).sum(), (reference * (log_ref - logp)).sum()
estimates = estimators(logp, log_ref)
print(f"KL(π‖π_ref) = {reverse.item():.4f}, KL(π_ref‖π) = {forward.item():.4f}")
for name, k in estimates.items():
    print(
        f"{name}: mean {(drawn * k).sum().item():.4f}, gradient",
        [round(g, 4) + 0.0 for g in gradient((drawn * k).sum()).tolist()],
    )
print("gradient of KL(π‖π_ref):    ", [round(g, 4) for g in gradient(reverse).tolist()])
print("gradient of KL(π_ref‖π):    ", [round(g, 4) for g in gradient(forward).tolist()])

# %% tags=["experiment"]
gradients = {name: gradient((drawn * k).sum()) for name, k in estimates.items()}
print("k1 pulls nowhere:", bool(gradients["k1"].abs().max() < 1e-9))
print("k2 pulls like KL(π‖π_ref):", bool(torch.allclose(gradients["k2"], gradient(reverse))))
print("k3 pulls like KL(π_ref‖π):", bool(torch.allclose(gradients["k3"], gradient(forward))))

# %% [markdown]
# So "GRPO's KL term is an unbiased estimate of KL$(\pi\|\pi_{\mathrm{ref}})$" is true of the number in the log and false of the force on the policy: $k_3$ in the loss pulls like the
# *other* KL. $k_1$ in the loss pulls nowhere; it works only **inside the reward**, where PPO has it, because there the policy gradient differentiates the sampling too.

# %% [markdown]
# ## 7. Online DPO
#
# DPO's pairs were written by another policy than the one in training, and more so with every step. Online DPO samples two (or more) answers from the policy *now*, has them judged *now*, and
# makes a DPO step on the best and the worst (Guo et al. 2024, OAIF, arXiv 2402.04792). What needs code is the making of pairs.

# %% [markdown]
# ### Exercise: pairs from fresh samples
#
# `online-pairs` · difficulty 3/5 · about 15 minutes · 4 points
#
# - `rewards`: `(N,)`, a float tensor; the samples of one prompt stand side by side, `group_size` ≥ 2 of them.
# - returns two int64 tensors `(chosen_idx, rejected_idx)`: **positions in `rewards`** of the best and the worst of each group, groups in order.
# - A group whose best equals its worst shows no preference: it is dropped. Of several best (or worst) any one is right.
#
# (The data step of Guo et al. 2024, who draw two samples, and of Xiong et al. 2024, arXiv 2312.11456, who take the best and the worst of more.)
#
# Graded: best and worst of each group (2), dropped groups, however small the difference of the others (1.5), two int64 tensors and inputs
# unchanged (0.5).
#
# Stuck? Run `hint("online-pairs")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "online-pairs", "locked": false, "schema_version": 3, "solution": true, "task": false}
def online_pairs(rewards, group_size):
    """Positions of the best and the worst sample of each group that has a difference."""
    ### BEGIN SOLUTION
    groups = torch.as_tensor(rewards).reshape(-1, group_size)
    first = torch.arange(len(groups), device=groups.device) * group_size  # where each group begins
    kept = groups.amax(1) > groups.amin(1)
    return (first + groups.argmax(1))[kept], (first + groups.argmin(1))[kept]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-online-pairs", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("online-pairs", online_pairs)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("online-pairs", online_pairs)
### END HIDDEN TESTS

# %% [markdown]
# A look at what it makes. The answers of the careless writers of notebook 02 stand in for samples, three a prompt, and the gold reward for the judge. (In section 9 the judge is a reward
# model.)

# %% tags=["experiment"]
pairs_of = use("online-pairs", online_pairs)

asked = text.make_prompts(3, seed=5).repeat_interleave(3, dim=0)
written = text.example_answers(asked, seed=5)
judged = text.gold_rewards(asked, written)
chosen_rows, rejected_rows = (rows.tolist() for rows in pairs_of(judged, 3))
print(
    pd.DataFrame(
        {
            "prompt": [text.decode(p[3:6]) for p in asked],
            "answer": [" ".join(text.words_of(a)) for a in written],
            "reward": judged.tolist(),
            "role": [
                "chosen" if i in chosen_rows else "rejected" if i in rejected_rows else "" for i in range(9)
            ],
        }
    )
    .round(1)
    .to_string(index=False)
)
print(
    "rewards (1, 1, 0, 2), groups of 2:",
    [rows.tolist() for rows in pairs_of(torch.tensor([1.0, 1.0, 0.0, 2.0]), 2)],
)

# %% [markdown]
# Two things to keep straight:
#
# - *"Online DPO needs no reward model."* It needs an **annotator** for samples that did not exist a second ago: a language model (OAIF), a reward model (Xiong et al. 2024), or a person who does
#   nothing else. What it does without is the critic.
# - *"The reference becomes the last policy."* Not in OAIF: it stays the start. With a moving reference each round starts its KL account anew, and the objective is another one.

# %% [markdown]
# ## 8. Constitutional AI
#
# What if there are no human labels, but principles that can be written down? Constitutional AI (Bai et al. 2022, arXiv 2212.08073) has **two stages** (not four, as is sometimes said):
#
# 1. *Supervised.* Sample answers, have a model criticise and revise them by the principles, fine-tune on the revised answers.
# 2. *Reinforcement learning.* Sample two answers, have a model say which follows the principles better, fit a preference model to these labels, train against it. (This part alone is called RLAIF.)
#
# The main differences between the paper and this notebook: Their critic is a language model that reads the principles; ours are six small programs. They start from a model trained
# for helpfulness on *human* labels, and only the labels for harmlessness come from a model; here no label is human. And stage 2 here uses GRPO.
#
# **The critics in plain sight.** Each takes a text and gives a revised one, or nothing if it is content. They know the *form* of a good answer. What is *true* they take from `beliefs`, a table that
# the judge brings along.

# %% tags=["experiment"]
from course_utils import constitution

for critic in constitution.principles(prompt, text.TRUTH):
    print(f"{critic.__name__:14} {critic.__doc__}")

# %% [markdown]
# ### Exercise: criticise and revise
#
# `constitutional-revision` · difficulty 3/5 · about 20 minutes · 5 points
#
# Write the loop of the first stage, `revise(response, principles, max_rounds=3)`. (Critique and revision: Bai et al. 2022, section 3.1. They draw a principle at random for each of a fixed
# number of revisions; going on until nobody objects is this course's convention.)
#
# - `response`: a text; `principles`: functions, text in, and out a revised text, or `None` (or the same text) where it does not object. An empty text is a revision like any other, and so
#   is the first text if it comes back: a round that ends with either does not end the rounds. Revisions are taken as they are, spaces included.
# - A **round** applies all principles in order, each to the text *as it stands by then*.
# - Rounds go on until one passes without an objection, or `max_rounds` were made. (One critic's edit can give another a reason: a claim that is put right may then stand there twice.)
# - returns `(text, trail)`: the last text, and the list of texts after each revision, in order, without the first.
#
# Graded: a round (2), further rounds and when they end (1.5), the trail, principles unchanged (1.5).
#
# Stuck? Run `hint("constitutional-revision")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "constitutional-revision", "locked": false, "schema_version": 3, "solution": true, "task": false}
def revise(response, principles, max_rounds=3):
    """The response after rounds of revision, and the texts on the way."""
    ### BEGIN SOLUTION
    trail = []
    for _ in range(max_rounds):
        before = len(trail)
        for principle in principles:
            revised = principle(response)
            if revised is not None and revised != response:
                response = revised
                trail.append(revised)
        if len(trail) == before:  # nobody objected
            break
    return response, trail
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-constitutional-revision", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("constitutional-revision", revise)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("constitutional-revision", revise)
### END HIDDEN TESTS

# %% [markdown]
# **Three drafts and their trails**, with the gold reward at each step (which the critics do not see), and with true beliefs.

# %% tags=["experiment"]
revising = use("constitutional-revision", revise)


def gold_of(prompt, words):
    return text.gold_reward(prompt, text.encode(words))


drafts = [
    f"{answer} hope it helps . {animal} eats .",
    f"yes right . no wrong . {animal} {other} {text.TRUTH[animal, other]} . {animal} {other} {false_value} .",
    "it helps .",
]
for draft in drafts:
    _, trail = revising(draft, constitution.principles(prompt, text.TRUTH))
    print(f"about: {text.decode(prompt[3:6])}")
    for words in [draft, *trail]:
        print(f"  {gold_of(prompt, words):+.1f}  {words or '(nothing)'}")

# %% [markdown]
# Read the trails for what the critics *cannot* do:
#
# - They change and delete; they never **add**. The third draft ends as nothing, with which every critic is content: an empty answer breaks no rule.
# - `short` drops true claims too, if they stand at the end.
# - `believed` puts in what the judge holds true. In the second draft that gives a repetition, which the next round deletes.
#
# So everything hangs on the beliefs. Take the answers of the careless writers, revise them, and let more and more of the judge's 24 beliefs be wrong.

# %% tags=["experiment"]
count, draws = at_scale(60, 150), at_scale(1, 2)
asked = text.make_prompts(count, seed=11)
drafts = [" ".join(text.words_of(a)) for a in text.example_answers(asked, seed=11)]


def wrong_beliefs(number, seed):
    """The table of facts with `number` entries replaced by another value of the same relation."""
    rng, table = random.Random(seed), dict(text.TRUTH)
    for key in rng.sample(sorted(table), number):
        table[key] = rng.choice([v for v in text.RELATIONS[key[1]] if v != text.TRUTH[key]])
    return table


def mean_gold(table, chosen=range(6)):
    """Mean gold reward of the drafts, revised by some of the six critics of a judge with these beliefs."""
    total = 0.0
    for p, draft in zip(asked, drafts):
        critics = constitution.principles(p, table)
        total += gold_of(p, revising(draft, [critics[i] for i in chosen])[0])
    return total / len(drafts)


before = sum(gold_of(p, draft) for p, draft in zip(asked, drafts)) / count
form_only = mean_gold(text.TRUTH, chosen=(0, 1, 4, 5))  # without `believed` and `right_verdict`
numbers = [0, 2, 4, 6, 8, 12]
after = [sum(mean_gold(wrong_beliefs(n, seed)) for seed in range(draws)) / draws for n in numbers]

fig, ax = plots.figure()
ax.plot(numbers, after, "o-", color=plots.COLOURS[0], label="all six critics")
ax.axhline(form_only, linestyle="--", color=plots.COLOURS[1], label="the four critics of form alone")
ax.axhline(before, linestyle=":", color=plots.COLOURS[2], label="the drafts")
ax.set(xlabel="wrong beliefs of the judge (of 24)", ylabel="mean gold reward")
ax.legend()
plots.show(
    fig,
    "Gold reward after revision against the number of wrong beliefs: with true beliefs far above the drafts, falling steadily, "
    "and below the drafts when a third of the beliefs is wrong. The critics of form alone gain little.",
)

# %% tags=["experiment"]
print("true beliefs more than double the gold reward of the drafts:", after[0] > 2 * before)
print("with a third of the beliefs wrong the revised answers are worse than the drafts:", after[4] < before)
print("the critics of form alone help, but less than true beliefs:", before < form_only < after[0])

# %% [markdown]
# The careless writers look up 70 % of their claims and guess the rest among four values, so 0.70 + 0.30/4 = 78 % are right. A judge who is right about 16 facts of 24, two thirds, makes them *worse*, and just as confidently. Revision spreads the judge's
# knowledge, errors included.
#
# A judge need not be a giant: Lee et al. (2023, arXiv 2309.00267) beat their fine-tuned baseline with a labeller of the policy's own size, and even with its own checkpoint. What it has to be is *right more often than the policy* on what the principles are about. The small model of notebook 02 knows the facts better than its
# samples show, since it learned to guess as its teachers did. That gap is what stage 1 uses: in section 9 the beliefs are read off the model itself.

# %% [markdown]
# ## 9. The comparison
#
# Eight methods, one start, one budget. Before a number is shown, here is what was decided, and how.
#
# - **The start** is the model of section 1 after fine-tuning on 6,000 example answers. Each method gets a copy of it, and
#   keeps it as its reference where it has one. (Constitutional AI's second stage takes the model after its first stage as
#   reference. KL is reported from the start for all.)
# - **The data** are 3,000 draws from the world's 96 prompts, with one labelled pair each. The reward model is fitted to the
#   same pairs.
# - **The budget** is 4,800 responses through the policy's backward pass. A pair is two responses; PPO's second epoch
#   counts again; Constitutional AI spends 1,600 on its first stage and 3,200 on its second. Outside the budget: fitting a
#   reward model for PPO and online DPO (300 steps of 64 pairs) and for Constitutional AI (200).
# - **The settings** were chosen on seeds 0 to 2 by looking at the gold reward, which no user of these methods could do. No
#   record was kept of how many were tried for each.
# - **A first round failed**, on seeds 3 to 5, with 1,000 pairs; the cell below shows it. Online DPO fell *below* its start on two seeds, and PPO gained
#   nothing on one. Both learn from the reward model, so that was the suspect. Now there are 3,000 pairs for everybody, and online DPO takes a smaller
#   step. What follows uses seeds 6 to 8, which had not been looked at.
#
# At the fast scale everything below is cut to about a twentieth, and claims nothing.

# %% tags=["experiment"]
from course_utils.methods.compare import BESIDE, BUDGET, GAMED, METHODS, compare, make_bench

for name, method in METHODS.items():
    words = ", ".join(f"{key} {value:g}" for key, value in method.settings.items())
    print(f"{name:18}", textwrap.fill(words, 76, subsequent_indent=" " * 19))

# %% tags=["experiment"]
from course_utils import measured

first, first_origin = measured.read("method_comparison_first")
first["gain"] = first["gold"] - first["seed"].map(first[first.method == "start"].set_index("seed")["gold"])
print("the first round, with 1,000 pairs: gain in gold over the start, by seed")
print(
    first[first.method.isin(METHODS)]
    .pivot(index="method", columns="seed", values="gain")
    .round(2)
    .to_string()
)
print(measured.told(first_origin))

# %% [markdown]
# The start first. Then the eight run in two processes, one thread each, and report as they finish.

# %% tags=["experiment", "nbval-ignore-output"]
torch.set_num_threads(1)  # on models this small a second thread gains nothing
bench = make_bench(
    seed=6,
    sft_steps=at_scale(30, 300),
    pairs=at_scale(100, 3000),
    reward_steps=at_scale(20, 300),
    evaluate=at_scale(60, 600),
)
for name, meter in bench.costs.items():
    print(f"{name:13} {meter.seconds:5.1f} CPU seconds")
print(f"gold reward of the start: {bench.base_gold.mean():.2f}")

# %% tags=["experiment", "nbval-ignore-output"]
finished = []


def report(row):
    """One line for each method that is done."""
    finished.append(row)
    print(f"{len(finished)} of {len(METHODS)}: {row['method']}, {row['seconds']:.1f} CPU seconds", flush=True)


rows = compare([(name, False) for name in METHODS], bench, share=at_scale(0.05, 1.0), progress=report)
table = pd.DataFrame(rows).set_index("method")

# %% [markdown]
# **What each cost.** The passes were counted by hooks on the running models, not typed in. They must agree with the
# derivations in section 13.

# %% tags=["experiment", "nbval-ignore-output"]
cost = pd.DataFrame(
    {
        "example": table["example"],
        "examples": table["examples"],
        "passes an example": table["passes"].round(1),
        "tokens written": table["generated"],
        "models": table["models"],
        "CPU seconds": table["seconds"].round(1),
        "peak MiB": (table["peak"] / 2**20).round(0),
    }
)
print(cost.to_string())
fit = bench.costs["reward model"]
print(f"\nthe fit of the given reward model: {fit.passes.total():,} passes, {fit.seconds:.1f} CPU seconds")

# %% [markdown]
# - *Passes* are forward-equivalents: a forward pass of one sequence 1, its backward pass 2, writing a response 1. All models
#   count alike, though the reward model is the smaller one.
# - *Constitutional AI's* examples are the responses of its second stage. On them are laid the passes of the first stage,
#   and those of the reward model that it fits for itself. PPO and online DPO are given theirs; the last line says what it cost.
# - *Models* are those that were held at some time.
# - *Peak* is the resident memory of a worker process, most of it the libraries. Two workers serve all eight, so it also holds
#   what earlier methods left: do not compare rows here. The kept runs below had a process each.

# %% tags=["experiment"]
counted = {"DPO": 8, "IPO": 8, "KTO": 6, "ORPO": 6, "PPO-RLHF": 17, "online DPO": 12, "GRPO, verifier": 5}
agree = {name: bool(abs(table["passes"][name] - passes) < 1e-9) for name, passes in counted.items()}
print("passes as derived:", agree)

# %% [markdown]
# **What each gave.** 600 prompts drawn anew, one sample each. The world has only 96 different prompts, and all were trained on:
# this measures the policy, not how it generalises to new prompts.

# %% tags=["experiment", "nbval-ignore-output"]
intervals = zip(table["win"], table["win_low"], table["win_high"])
result = pd.DataFrame(
    {
        "gold": [f"{g:.2f} ± {s:.2f}" for g, s in zip(table["gold"], table["gold_se"])],
        "KL from start (nats)": table["kl"].round(2),
        "win rate": [f"{win:.2f} [{low:.2f}, {high:.2f}]" for win, low, high in intervals],
        "words": table["length"].round(1),
        "variety": table["variety"].round(2),
    },
    index=table.index,
)
error = bench.base_gold.std() / len(bench.base_gold) ** 0.5
print(f"start: gold {bench.base_gold.mean():.2f} ± {error:.2f}")
print(result.to_string())

# %% [markdown]
# *Gold* is the mean with its standard error over the prompts. *Win rate* is against a sample of the start by gold reward, ties
# half, with Wilson's 95 % interval. *Variety* is the share of different answers among eight to one prompt.


# %% tags=["experiment"]
def conclude(claim, holds):
    """Print whether a claim holds for this run; at the fast scale the run is too short to say."""
    print(f"{claim}: {'too short a run to say' if scale() == 'fast' else 'yes' if holds else 'no'}")


conclude("gold above the start, each of the eight", (table["gold"] > bench.base_gold.mean().item()).all())
conclude("every policy has moved from the start", (table["kl"] > 0.05).all())

# %% [markdown]
# ### One seed is an anecdote
#
# The same on three seeds, with another start, other data and another reward model for each, takes some minutes. It was run
# beforehand by `make full` and is kept with its settings. The last line of the next cell's output says when and on what.

# %% tags=["experiment"]
from scipy import stats

kept, origin = measured.read("method_comparison")
starts = kept[kept.method == "start"].set_index("seed")
stated = kept[~kept.pushed & kept.kl.notna()].copy()
stated["gain"] = stated["gold"] - stated["seed"].map(starts["gold"])


def over_seeds(frame):
    """Mean and 95 % t interval over the seeds of the gain in gold, and means of the rest."""
    n = len(frame)
    half = stats.t.ppf(0.975, n - 1) * frame["gain"].std() / n**0.5
    return pd.Series(
        {
            "gain in gold": f"{frame['gain'].mean():.2f} ± {half:.2f}",
            "smallest": round(frame["gain"].min(), 2),
            "KL": round(frame["kl"].mean(), 2),
            "win rate": round(frame["win"].mean(), 2),
            "words": round(frame["length"].mean(), 1),
            "variety": round(frame["variety"].mean(), 2),
            "CPU s": round(frame["seconds"].mean(), 1),
        }
    )


order = [*METHODS, *BESIDE]
summary = pd.DataFrame({name: over_seeds(stated[stated.method == name]) for name in order}).T
print(summary.to_string())
print(f"\nthe start's gold by seed: {starts['gold'].round(2).to_dict()}")
peaks = {name: round(stated[stated.method == name]["peak"].mean() / 2**20) for name in METHODS}
print(textwrap.fill(f"peak memory, MiB: {peaks}", 100))
print(measured.told(origin))

# %% tags=["experiment"]
fig, ax = plots.figure(size=(6.8, 4.4))
for height, name in enumerate(reversed(METHODS)):
    gains = stated[stated.method == name]["gain"]
    ax.plot(gains, [height] * len(gains), "o", color=plots.COLOURS[0], markersize=5, alpha=0.7)
    ax.plot([gains.mean()], [height], "|", color="black", markersize=16, markeredgewidth=2)
ax.axvline(0, color="black", linewidth=1)
ax.set_yticks(range(len(METHODS)), list(reversed(METHODS)))
ax.set(xlabel="gold reward, gain over the start", xlim=(-0.1, None))
plots.show(
    fig,
    "Gain in gold reward of the eight methods over the same start: a dot for each of three seeds, a bar for their mean. "
    "All dots lie above zero. Those of the six methods that learn from the raters' pairs overlap; the two with another "
    "source of feedback lie higher in the mean, and GRPO's dots spread most.",
)

# %% tags=["experiment"]
eight = stated[stated.method.isin(METHODS)]
print(f"kept runs of the eight above their start: {(eight['gain'] > 0).sum()} of {len(eight)}")
gains = stated.pivot(index="seed", columns="method", values="gain")
against_dpo = {}
for name in ("PPO-RLHF", "IPO", "KTO", "ORPO", "online DPO"):
    gap = gains[name] - gains["DPO"]
    half = stats.t.ppf(0.975, len(gap) - 1) * gap.std() / len(gap) ** 0.5
    against_dpo[name] = {
        "gain over DPO's, by seed": gap.round(2).tolist(),
        "mean": f"{gap.mean():+.2f} ± {half:.2f}",
    }
print(pd.DataFrame(against_dpo).T.to_string())
judge = constitution.beliefs(bench.start.model)
right = sum(judge[fact] == value for fact, value in text.TRUTH.items())
conclude("the start's likeliest values are right for at least 22 of the 24 facts", right >= 22)

# %% [markdown]
# **What the table says.**
#
# - Every method improves on its start, in every seed.
# - *The six that learn from the raters' pairs* are not told apart: every interval against DPO contains zero, and three seeds make wide intervals. The
#   relatives in the lower half of the table do what their elders do; of these SimPO moves furthest and gains least.
# - *Constitutional AI and GRPO with a verifier gain most in the mean. They were **told more**.* The verifier reads the table of facts. The constitution knows the parser's rules of
#   form, and asks the start for facts, which it knows. GRPO with the *reward model* gains what PPO gains. That points to the source of the feedback; three seeds do not prove it.
#
# **What it does not say.**
#
# - *That thumbs are as good as pairs.* KTO's votes are the pairs taken apart. Real thumbs are given without a rival answer, and are seldom balanced.
# - *That one setting tells what a method can do.* The first round above had the same code and fewer pairs. There, the two methods that learn from a reward model while they sample were the worst.
# - *Anything about models ten thousand times larger.*
#
# ### Pushed too far
#
# The same methods with a weaker pull to the start, a larger learning rate or more steps, on the same seeds. Each was pushed by hand on
# one seed until its gold reward fell, or, for GRPO, until its answers became alike. The pushes are of different sizes, so the panels
# show *that* methods break and how, not which breaks first.

# %% tags=["experiment"]
for name in METHODS:
    both = origin["settings"][name]
    changed = {key: value for key, value in both["pushed"].items() if value != both["stated"].get(key)}
    print(
        f"{name:18}",
        ", ".join(f"{key} {both['stated'].get(key):g} → {value:g}" for key, value in changed.items()),
    )

# %% tags=["experiment", "readme"]
pushed = kept[kept.pushed.astype(bool)]
fig, axes = plots.figure(2, 4, size=(9.6, 5.2))
for ax, name in zip(axes.flat, METHODS):
    before, after = stated[stated.method == name], pushed[pushed.method == name]
    for seed in starts.index:
        points = [(0.0, starts["gold"][seed])]
        points += [tuple(f[f.seed == seed][["kl", "gold"]].iloc[0]) for f in (before, after)]
        ax.plot(*zip(*points), "-", color=plots.COLOURS[3], linewidth=1)
    ax.plot([0] * len(starts), starts["gold"], "s", color="black", markersize=4, label="start")
    ax.plot(before["kl"], before["gold"], "o", color=plots.COLOURS[0], markersize=6, label="stated settings")
    ax.plot(after["kl"], after["gold"], "X", color=plots.COLOURS[1], markersize=7, label="pushed")
    ax.set_title(name, fontsize=10)
    ax.set(xscale="symlog", xlim=(-0.1, 400), ylim=(-11.2, 3.3))
    ax.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
for ax in axes[1]:
    ax.set_xlabel("KL (nats)")
for ax in axes[:, 0]:
    ax.set_ylabel("gold reward")
axes[0, 0].legend(fontsize=8, loc="lower left")
plots.show(
    fig,
    "Gold reward against KL from the start, one panel a method and one line a seed: start, stated settings, pushed too far. "
    "Stated, gold rises. Pushed, all but GRPO with the verifier of whole answers fall, and most end far below the start.",
)

# %% tags=["experiment"]
by_seed = {}
for name in METHODS:
    for label, frame in (("stated", stated), ("pushed", pushed)):
        runs = frame[frame.method == name].set_index("seed")
        by_seed[name, label] = {
            "gold, by seed": runs["gold"].round(2).tolist(),
            "KL, by seed": runs["kl"].round(1).tolist(),
            "words": runs["length"].mean().round(1),
            "variety": runs["variety"].mean().round(2),
            "whole answers pass": runs["whole_answer"].mean().round(2),
            "below the start": int((runs["gold"] < starts["gold"]).sum()),
        }
print(pd.DataFrame(by_seed).T.to_string())

# %% [markdown]
# **Pushed hard enough, they fall, with or without a reward model.** Only GRPO with the verifier of whole answers keeps its gold, and ORPO stays above its start on one seed. How they end differs:
#
# - *Rewarded by a model and not held* (PPO, Constitutional AI's second stage): answers of 26 words, the limit. In four of the six runs gold is −2.08: 26 words without a full stop, which is one
#   malformed clause and nine words too many. *Online DPO*: nearly as long.
# - *On fixed data* (DPO, IPO, KTO, ORPO): no reward model to blame. IPO too: a small τ asks for a margin of $1/(2\tau) = 100$ nats. ORPO's likelihood term holds it longest.
# - *GRPO with the verifier* passes 94 % in place of 51 %, and gold stays where it was: what is lost is **variety**. Nearly all answers to one prompt are now the same. The verifier pays nothing for a
#   further true claim, so none is made. This too is a gap between checker and wish, only a smaller one.
#
# The settings of a method are as much a part of the result as its name.
#
# ### The cost column of the folklore
#
# The quiz that this course grew out of gives costs relative to PPO. Here they stand beside what was counted and timed in the live run
# above: whole runs, each with 4,800 responses through the policy's backward pass.

# %% tags=["experiment", "nbval-ignore-output"]
folklore = {
    "PPO-RLHF": 1.0,
    "DPO": 0.4,
    "IPO": 0.4,
    "KTO": 0.4,
    "ORPO": 0.3,
    "Constitutional AI": 0.8,
    "online DPO": 0.7,
    "GRPO, verifier": 0.5,
}
passes, seconds = table["passes"] * table["examples"], table["seconds"].copy()
alone = passes.copy()
# of the passes of its own reward model all but one for each response are the fit
alone["Constitutional AI"] -= (
    table["by_role"]["Constitutional AI"]["reward model"] - table["examples"]["Constitutional AI"]
)
for name in ("PPO-RLHF", "online DPO"):
    passes[name] += fit.passes.total()
    seconds[name] += fit.seconds
relative = {
    "folklore": pd.Series(folklore),
    "passes, without the reward model's fit": alone / alone["PPO-RLHF"],
    "passes, with it": passes / passes["PPO-RLHF"],
    "CPU seconds, with it": seconds / seconds["PPO-RLHF"],
}
print(pd.DataFrame(relative).loc[list(METHODS)].round(2).to_string())

# %% [markdown]
# Three columns, three orders. Some of the folklore's numbers lie within one of them, and that is all that can be said for them: they come with
# no unit and no source.
#
# - *KTO does not cost what DPO costs.* It makes four forward passes for a response where DPO makes two.
# - *What is counted decides.* With the fit of the reward model PPO and online DPO look alike; without it they do not. In seconds, writing weighs more than in passes, because
#   tokens are written one after the other.
# - The one published pair of times that we found, 28 hours on two nodes for PPO and 4 hours on one for DPO (Tülu 3, Lambert et al. 2024), differs in more than the method.
#
# ## 10. A verifiable reward is a reward, not a guarantee
#
# One optimiser, one start, one budget, three checkers. Each pays 1 or 0 for a whole answer:
#
# | verifier | pays if |
# |---|---|
# | fact stated | the true fact that the prompt asks about stands *anywhere* in the answer |
# | fact uncontradicted | the same, and no other value is given for that fact |
# | whole answer | the same, and no claim or verdict is false, nothing is repeated or malformed, and there are at most 17 words |

# %% tags=["experiment"]
names = {
    "GRPO, fact stated": "states_the_fact",
    "GRPO, fact uncontradicted": "contradicts_nothing",
    "GRPO, verifier": "whole_answer",
}
by_verifier = {}
for name, own in names.items():
    runs = stated[stated.method == name]
    by_verifier[name] = {
        "start passes": f"{starts[own].mean():.2f}",
        "after training": f"{runs[own].mean():.2f}",
        "gold": f"{runs['gold'].mean():.2f}",
        "words": f"{runs['length'].mean():.1f}",
        "gold below the start, seeds": int((runs["gain"] < 0).sum()),
    }
print(pd.DataFrame(by_verifier).T.to_string())
print(f"start: gold {starts['gold'].mean():.2f}")
print(measured.told(origin))

# %% [markdown]
# With the first two verifiers the policy passes its test more than twice as often as the start, and it answers with 24 words of the 26 that it may use: among many claims the right one is likely to stand, and
# rambling costs nothing. Gold falls below the start, in all seeds or in two of three. Forbidding contradictions about *that* fact does not cure it. Checking the whole answer does, at these settings.
#
# No label was noisy and no checker was learned. What failed is the specification: the first two check less than is wanted, and optimisation finds the difference. In the field this looks like tests that are
# skipped or `exit(0)` called by coding agents (Baker et al. 2025, arXiv 2503.11926).
#
# ## 11. The trainers of `trl`
#
# Nobody should train a product with the loops of this notebook. `trl` has trainers for most of these methods, and our losses were held against them: the same
# models, the same batch (for the on-policy ones the same completions and rewards), the loss and every gradient compared.

# %% tags=["experiment"]
parity, origin = measured.read("trl_parity")
columns = {
    "ours": "our loss",
    "trl": "trl's loss",
    "gradient": "largest difference of a gradient",
}
numbers = parity[["trainer", *columns]].rename(columns=columns)
print(numbers.to_string(index=False, float_format=lambda v: f"{v:.0e}" if abs(v) < 1e-3 else f"{v:.6f}"))
print(f"largest difference of a loss: {(parity['ours'] - parity['trl']).abs().max():.0e}")
print(measured.told(origin))

# %% [markdown]
# They agree, once the conventions do. These are the points where `trl` differs from the paper, or asks for something first:

# %% tags=["experiment"]
for row in parity.itertuples():
    print(textwrap.fill(f"{row.trainer}: {row.note}", 100, subsequent_indent="    "))

# %% [markdown]
# Two of these are worth a second look. GRPO's default in `trl` multiplies $k_3$ by the ratio of new to old policy. On fresh samples
# that ratio is 1, so the loss is the same number and only the gradient differs: it repairs what section 6 found about $k_3$'s
# pull, as the next cell shows with the three responses of that section. And `loss_type="dr_grpo"` alone still divides by the standard deviation.

# %% tags=["experiment"]
ratio = (logp - logp.detach()).exp()  # 1, but its gradient is that of log π
print(
    "k3 times the ratio pulls like KL(π‖π_ref):",
    bool(torch.allclose(gradient((drawn * ratio * estimates["k3"]).sum()), gradient(reverse))),
)

# %% [markdown]
# There is no PPO trainer in `trl` 1.16 any more, so PPO in this course is written by hand. Its clipped loss and its rewards were checked
# by way of GRPO and RLOO; nothing outside checks its critic and `gae` but the worked values.

# %% [markdown]
# ## 12. Which method, then?
#
# First the plain part: what a method can be *fed* with. Then what evidence there is for the rest.

# %% [markdown]
# ### Exercise: a rule of thumb
#
# `recommend-method` · difficulty 2/5 · about 10 minutes · 4 points
#
# `situation` is a dict:
#
# | key | values |
# |---|---|
# | `feedback` | `"verifiable"`, `"reward_model"`, `"principles"`, `"thumbs"` or `"pairs"` |
# | `compute` | `"low"` or `"high"` |
# | `noisy` | bool: are the labels noisy? |
# | `fresh_data` | bool: can the policy's new samples be judged? |
# | `domain` | a word, which never changes the answer |
#
# Return the first that holds:
#
# 1. `feedback` is verifiable: `"grpo"`
# 2. it is a reward model: `"ppo"`
# 3. it is principles: `"constitutional"`
# 4. it is thumbs: `"kto"`
# 5. (from here it is pairs) fresh data *and* high compute: `"online-dpo"`
# 6. noisy labels: `"kto"`
# 7. low compute: `"orpo"`
# 8. else: `"dpo"`
#
# (A convention of this course, not of a paper. Rules 1 to 4 follow from what a method can eat. Rules 5 to 8 are judgements, with weak support: see below.)
#
# Graded: feedback that is not pairs (1.5), pairs (2), the domain changes nothing and the situation is not changed (0.5).
#
# Stuck? Run `hint("recommend-method")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "recommend-method", "locked": false, "schema_version": 3, "solution": true, "task": false}
def recommend_method(situation):
    """The method that the first rule that holds names."""
    ### BEGIN SOLUTION
    alone = {"verifiable": "grpo", "reward_model": "ppo", "principles": "constitutional", "thumbs": "kto"}
    if situation["feedback"] in alone:
        return alone[situation["feedback"]]
    if situation["fresh_data"] and situation["compute"] == "high":
        return "online-dpo"
    if situation["noisy"]:
        return "kto"
    return "orpo" if situation["compute"] == "low" else "dpo"
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-recommend-method", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("recommend-method", recommend_method)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("recommend-method", recommend_method)
### END HIDDEN TESTS

# %% [markdown]
# **The rule as a picture**, drawn from the rules themselves, and every situation counted.

# %% tags=["experiment"]
from course_utils.decisions import RULES

fig, ax = plots.figure(size=(7.6, 6.2))
arrow, last = {"arrowstyle": "->", "color": "black"}, len(RULES) - 1
for i, rule in enumerate(RULES):
    condition = rule.condition.removeprefix("pairs; ").replace(", ", ",\n")
    for x, width, words, colour in ((0, 3.4, condition, "white"), (4.2, 1.9, rule.method, "#e6e6e6")):
        ax.add_patch(
            plt.Rectangle((x - width / 2, -i - 0.28), width, 0.56, facecolor=colour, edgecolor="black")
        )
        ax.text(x, -i, words, ha="center", va="center", weight="normal" if x == 0 else "bold")
    ax.annotate("", (3.25, -i), (1.7, -i), arrowprops=arrow)
    ax.text(2.45, 0.06 - i, "yes" if i < last else "then", ha="center", va="bottom", fontsize=9)
    if i < last:
        ax.annotate("", (0, -i - 0.73), (0, -i - 0.27), arrowprops=arrow)
        ax.text(0.1, -i - 0.5, "no", va="center", fontsize=9)
ax.text(-1.95, -1.5, "by the kind\nof feedback", ha="right", va="center", style="italic")
ax.text(-1.95, -5.5, "the feedback\nis pairs", ha="right", va="center", style="italic")
for top, bottom in ((0.28, -3.28), (-3.72, -last - 0.28)):
    ax.plot([-1.85, -1.85], [bottom, top], "-", color=plots.COLOURS[3], linewidth=1.5)
ax.set(xlim=(-3.4, 5.2), ylim=(-last - 0.4, 0.4))
ax.axis("off")
plots.show(
    fig,
    "A decision list read from the top: verifiable answers, GRPO; a reward model, PPO; principles, constitutional; thumbs, KTO; "
    "then with pairs: judged fresh samples and high compute, online DPO; noisy labels, KTO; low compute, ORPO; else DPO.",
)

# %% tags=["experiment"]
recommend = use("recommend-method", recommend_method)

counts = {}
for feedback in ("verifiable", "reward_model", "principles", "thumbs", "pairs"):
    for compute in ("low", "high"):
        for noisy_labels in (False, True):
            for fresh in (False, True):
                case = {
                    "feedback": feedback,
                    "compute": compute,
                    "noisy": noisy_labels,
                    "fresh_data": fresh,
                    "domain": "any",
                }
                counts.setdefault(feedback, {}).setdefault(recommend(case), 0)
                counts[feedback][recommend(case)] += 1
for feedback, found in counts.items():
    print(f"{feedback:13} {found}")

# %% [markdown]
# IPO and SimPO are never named. That is no verdict on them; the rule has no question whose answer would be one of them. Ask "are my preferences nearly deterministic?" and IPO has a case.
#
# ### When to choose it, and what says so
#
# | method | choose it when | evidence for | evidence against, or missing |
# |---|---|---|---|
# | PPO | a trusted reward model, engineers and compute | Xu et al. 2024 (arXiv 2404.10719): a well-tuned PPO beats the others in all their tests, above all in code. Ivison et al. 2024 (2406.09279): ahead of DPO by up to 2.5 % in mathematics and 1.2 % in general | the same papers: the tuning matters; data mattered more (next table) |
# | DPO | pairs, and nobody to judge new samples | the baseline of most comparisons; Tülu 3 used it (length-normalised) before RLVR | over-optimises like RLHF, often before one epoch is over (Rafailov et al. 2024, 2406.02900) |
# | IPO | few or nearly deterministic comparisons | Azar et al., section 4.2: theory, and bandits with 2 or 3 actions | no experiment with a language model in the paper; nothing on noise |
# | KTO | votes; or pairs whose labels are noisy | Ethayarajh et al.: matches or exceeds preference losses from 1B to 30B parameters on their data | they recommend DPO for clean, consistent pairs; "validated in production": no source found |
# | ORPO | one stage, one model, little memory | Hong et al.: half the forward passes of DPO per batch (section 7; 2 against 4, and with backward passes 6 against 8) | no independent comparison at equal budget is cited here |
# | online DPO | new samples can be judged | Guo et al.: by human evaluation ahead of offline DPO and of RLHF on several tasks | "best overall": no; in Xu et al. PPO is ahead of iterated DPO |
# | Constitutional AI | principles exist, labels do not, and the judge knows more than the samples show | Bai et al. 2022; Lee et al. 2023: on a par with human feedback in three tasks | inherits the judge's errors: section 8 |
# | GRPO with a verifier | answers can be checked by a program | DeepSeek-R1 (2501.12948): GRPO with rule-based rewards. For the halves alone: Shao et al. 2024 (GRPO, learned reward model), Tülu 3 (verifiable reward, PPO) | verifiers are gamed: section 10; Baker et al. 2025 (2503.11926), Helff et al. 2026 (2604.15149) |
#
# **And the opinion of section 1?** Ivison et al. varied four things in one set-up and found the largest gains from better preference data (up to 8 % in instruction following and truthfulness), then the
# algorithm (PPO over DPO), then the reward model, then the prompts. That supports "data first". It does not support "the algorithm does not matter". The base model was not among the four.
#
# ### A plan in four stages
#
# | stage | what to do | why, and what says so |
# |---|---|---|
# | baseline | fix a blinded evaluation with intervals and a control for length; fine-tune; then DPO on the pairs you have (KTO if you have votes) | Ivison et al.: look at the data first. That one should *begin* with the simplest method is prudence; no experiment is cited because none was found |
# | iteration | collect new pairs on the policy's own samples, retrain, compare; watch KL, length, and the log-probability of the chosen | Guo et al., Xu et al.: fresh samples beat a fixed set. Rafailov et al. 2024: more steps on old data over-optimise. For how often to go round: none |
# | scaling | a reward model with PPO, or a verifier with GRPO or PPO, if the evaluation shows that you are limited by the method and not by the data | Xu et al., Ivison et al.; Tülu 3 for SFT, then DPO, then RLVR. One measured price: Tülu 3 reports about 28 hours on two nodes for PPO, 4 on one for DPO, in one set-up |
# | production | votes from users, cleaned; KTO or a reward model on them; a canary, guardrails, a way back | for the order of these steps and for targets such as "65 % thumbs up": none. Notebook 04 builds it and measures what can be measured |
#
# ## 13. The table, rebuilt
#
# The quiz that this course grew out of has such a table, with numbers whose source we did not find. Here each row says where it can be read, and costs are counted, not guessed.
#
# ### What each method needs
#
# | method | separate reward model? | pairs needed? | samples | reference model | stages | where to read it |
# |---|---|---|---|---|---|---|
# | PPO (RLHF) | yes | customary for the reward model; a scalar from anywhere will do for PPO | on-policy | yes, in the KL price | SFT, reward model, RL | Ouyang et al. 2022, section 3.1, equations 1 and 2 |
# | DPO | no: the policy is one | yes | off-policy | yes; its log-probabilities can be cached | SFT, DPO | Rafailov et al. 2023, equation 7 |
# | IPO | no | yes | off-policy | yes; the same | SFT, IPO | Azar et al. 2023, equation 17 |
# | KTO | no | no: votes | off-policy | yes, for the log-ratio and $z_0$ | SFT (skipped for strong base models in the paper), KTO | Ethayarajh et al. 2024, equation 8, section 4.1 |
# | ORPO | no | yes | off-policy | **no** | one | Hong et al. 2024, equations 6 and 7 |
# | SimPO | no | yes | off-policy | **no** | SFT, SimPO | Meng et al. 2024, equation 6 |
# | online DPO | an annotator, which may be one | made on the way | on-policy | yes, fixed | SFT, (annotator,) online DPO | Guo et al. 2024; Xiong et al. 2024 |
# | Constitutional AI | yes, in stage 2, on AI labels | made by the judge; no human label for harmlessness | on-policy | in stage 2 | two, after a helpful model exists | Bai et al. 2022, abstract, sections 3 and 4 |
# | GRPO | verifier or reward model, as you like | no | on-policy | if the KL term is used | SFT (none in R1-Zero), RL | Shao et al. 2024, equations 3 and 4; DeepSeek-R1 |
#
# ### What an example costs
#
# Count one forward pass of one sequence as 1, its backward pass as 2, and writing a response as 1 (each token passes the model once; in seconds it is more, since tokens come one at a time).
#
# | method | derivation | forward-equivalents |
# |---|---|---|
# | DPO, IPO | 2 responses · (policy 3 + reference 1) | 8 a pair; 6 with a cached reference |
# | KTO | policy 3 + reference 1 + both once on the mismatched pair 2 | 6 a vote: 12 for two responses, 1.5 times DPO |
# | ORPO, SimPO | 2 responses · policy 3 | 6 a pair |
# | PPO, 2 epochs | write 1, old 1, reference 1, reward 1, value 1, and 2 · (policy 3 + critic 3) | 17 a response |
# | online DPO | 2 · (write 1 + judge 1 + reference 1 + policy 3) | 12 a pair |
# | GRPO, one update | write 1 + reference 1 + policy 3 (+ reward model 1) | 5 with a verifier, 6 with a reward model |
# | Constitutional AI | 1,000 drafts + 3 · 1,600 fine-tuned + 2,000 judged + 6 · 3,200 = 27,000; the fit of its reward model adds 2 · 3 · 12,800 = 76,800 passes of a smaller model, and 2 a pair to standardise it | 8.4 for a response of stage 2, about 33 with the fit |
#
# All models count alike, whatever their size. Section 9 has a meter that counts these passes in the running loops.
#
# ### How each fails
#
# | method | known failure | mechanism | source |
# |---|---|---|---|
# | PPO | reward over-optimisation | the policy leaves the region where the proxy was fitted | Gao et al. 2022 (2210.10760) |
# | DPO | the chosen response gets *less* likely; unseen responses gain | only the margin is trained; shared parameters | Razin et al. 2024 (2410.08847); Xu et al., theorem 4.1 |
# | DPO | length exploitation | out-of-distribution bootstrapping; the implicit reward is a sum over tokens | Park et al. 2024 (2403.19159) |
# | IPO | strong preferences under-fitted | margin bounded by $1/(2\tau)$ however clear the preference | by construction: $h^* = (2p-1)/(2\tau)$; section 2 |
# | KTO | hard examples ignored; $z_0$ biased in small batches | gradient vanishes on both sides; the clamp | Ethayarajh et al., proposition 4.1; section 3 |
# | ORPO | fine-tuning and preference pull at one set of weights with one λ | the two terms are coupled | by construction, Hong et al., equation 6 |
# | SimPO | drift | nothing in the loss refers to the start | by construction, Meng et al., equation 6 |
# | online DPO | over-optimises its annotator | as PPO does its reward model | by analogy with Gao et al. |
# | Constitutional AI | the judge's errors are learned | revision and labels come from it | section 8 |
# | GRPO + verifier | the verifier is gamed | it checks less than what is wanted | section 10; Baker et al. 2025; Helff et al. 2026 |
#
# ### What the folklore says
#
# | what is said | what is so | source |
# |---|---|---|
# | cost: PPO 1.0, DPO 0.4, IPO 0.4, KTO 0.4, ORPO 0.3, Constitutional AI 0.8, online DPO 0.7, RLVR 0.5 | **we found no source.** The unit is not given (an example? a run? seconds?). KTO costs 1.5 times DPO for the same responses. The one published pair of times is nearer 0.07 than 0.4 for DPO, in node-hours | counts above; Tülu 3 |
# | RLHF needs pairs | customary; a reward model can be fitted to ratings, and PPO needs a scalar | by construction: section 5 reads one number a response |
# | RLHF: distribution shift "if offline" | PPO is on-policy; its *reward model* is off-distribution as the policy moves | Gao et al. 2022 |
# | DPO makes $y_w$ longer to make it likelier | $y_w$ is fixed data, and more tokens make a product of probabilities smaller | notebook 02 |
# | IPO is for noisy labels | for nearly deterministic ones; for noise there are cDPO and rDPO | Azar et al., 4.2; section 2 |
# | IPO is slower, better calibrated, best for small data | nothing on speed or calibration in the paper; for small data an argument, no experiment | Azar et al. |
# | DPO fits 30 % random labels perfectly | only if each pair is seen once by a model large enough; repeated pairs calibrate it to the noise (30 % random is 15 % flipped: $\sigma(\beta h) = 0.85$) | notebook 01, section 8 |
# | KTO is more data-efficient, loss-averse, and its $z_0$ a running average | it uses data that pairs-only methods cannot; weights 1 and 1; a batch mean, clamped | section 3 |
# | KTO is robust to noise | it ignores extreme examples, noisy and hard ones alike | Ethayarajh et al., proposition 4.1 |
# | KTO is "production-validated" (and, in the same text, "newer, less validated") | no source; a contradiction | – |
# | ORPO needs a reference | its headline is that it needs none | Hong et al., equation 6 |
# | ORPO "may not match SFT quality" | no source; its loss contains SFT | Hong et al., equation 6 |
# | Constitutional AI has four phases and needs human pairs | two stages; labels for harmlessness come from a model | Bai et al. 2022, abstract |
# | Constitutional AI needs a judge like GPT-4 | the policy's own checkpoint served as a labeller | Lee et al. 2023, abstract |
# | online DPO has no reward model and the best results | it has an annotator; results depend on the comparison | Guo et al.; Xu et al. |
# | RLVR/GRPO as one method, with binary rewards and no learned model | an optimiser and a reward source; rewards may be graded; GRPO was introduced with a learned one | Shao et al. 2024 |
# | RLVR cannot be hacked | it can: exit codes, skipped tests, answers enumerated instead of a rule induced | Baker et al. 2025; Helff et al. 2026; section 10 |
# | noisy labels: IPO; clean: DPO; no data: Constitutional AI | unsupported as rules | section 12 |
# | (SimPO is left out) | it belongs beside ORPO | Meng et al. 2024 |
#
# ## 14. What you have now
#
# - The losses and the other parts of seven methods beside DPO, each checked.
# - A habit of asking: fed with what, sampled from whom, held near what, and paid how?
# - A table whose every row says where it comes from.
#
# ### Misconceptions met on the way
#
# | what is said | what is so | where |
# |---|---|---|
# | a lower loss means a better method | losses of methods have different zeros and units | 1 |
# | τ is τ | with sums and with means it is two different numbers | 2 |
# | rDPO bounds the margin | cDPO does; rDPO is unbiased, and as unbounded as DPO | 2 |
# | KTO's β belongs into $z_0$ too | once, around the difference | 3 |
# | reference-free is DPO made cheap | another optimum, and nothing that holds the policy | 4 |
# | a reward of 2 is good | only differences within a prompt mean anything | 5 |
# | the clip keeps the policy near the reference | it takes away a reason to leave the policy that sampled, for one round | 5 |
# | the KL penalty is positive on each token | only its expected sum is | 5 |
# | GRPO is RLVR | optimiser and reward source | 6 |
# | GRPO's KL term pulls like KL$(\pi\Vert \pi_{\mathrm{ref}})$ | like KL$(\pi_{\mathrm{ref}}\Vert \pi)$ | 6 |
# | online DPO moves the reference along | it stays the start | 7 |
# | a constitution makes answers true | it makes them agree with the judge | 8 |
# | the algorithm does not matter | data mattered more in one careful study; the algorithm mattered too | 12 |
#
# Run `progress()` in a new cell to see your points and what is open.

# %% [markdown] nbgrader={"grade": false, "grade_id": "practice-3-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## Practice question 3: compare the methods
#
# Compare RLHF with PPO, DPO, IPO, KTO, ORPO, Constitutional AI, online DPO and GRPO with a verifiable reward, in a table and about one page of text: what each needs, what it
# costs, how it fails and when you would choose it. Give a source or an argument for each claim. Write in the cell below.
#
# | | points |
# |---|---|
# | the table is right, cell by cell: reward model, pairs, on- or off-policy, stages, for each method | 4 |
# | which methods need a reference model: ORPO (and SimPO) none, KTO yes | 1 |
# | cost argued from forward passes, backward passes and sampling, or from a cited measurement | 1 |
# | failures with their mechanism: over-optimised reward models; displacement and out-of-distribution responses; IPO under-fitting strong preferences; KTO's $z_0$ and weights; ORPO's coupled terms; the judge's bias | 2 |
# | choice by kind of feedback, access to fresh samples and verifiability, with evidence, and the weight of the data named | 1 |
# | GRPO (an optimiser) told apart from a verifiable reward (a source of reward), and that such a reward can be hacked | 1 |
#
# One point is taken off for each of these: "IPO for label noise"; "verifiable rewards cannot be hacked"; a table of costs without a source.

# %% [markdown] nbgrader={"grade": true, "grade_id": "practice-3", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# Three anchor answers for the grader.
#
# **About 3 points.** "PPO: reward model yes, pairs yes, on-policy, three stages, cost 1.0. DPO: no reward model, pairs, off-policy, two stages, cost 0.4. IPO: like DPO, but robust to noisy labels. KTO: no
# reward model, thumbs instead of pairs, off-policy, two stages, cost 0.4. ORPO: no reward model, pairs, off-policy, one stage, cost 0.3. Constitutional AI: four phases, needs a strong judge such as GPT-4. Online DPO: no reward
# model, pairs, on-policy. GRPO: no reward model and no pairs, on-policy; rewards are verified, so they can be hacked if the checker is weak. ORPO needs no reference model, the others do, KTO
# included. PPO fails when the policy over-optimises the reward model, and DPO when it moves to responses outside its data. I would use KTO for thumbs, GRPO where answers can be checked, and DPO otherwise."
#
# *3 of 10.* Table: PPO, DPO, KTO and ORPO right; IPO's row right in the asked cells; Constitutional AI wrong in its stages, online DPO's annotator missing, GRPO tied to verified rewards (2½ of 4). Reference: right (1 of 1). Costs
# are numbers without a source (0 of 1). Two failures with a hint of a mechanism, four missing (½ of 2). Choice by kind of feedback, no evidence and nothing on data (½ of 1). Hackable is said, but optimiser and reward source
# are not told apart (½ of 1). That is 5; minus 1 for "IPO for label noise", minus 1 for the cost table.
#
# **About 6 points.** "PPO: separate reward model, fitted to pairs; on-policy; SFT, reward model, RL; policy, critic, reference and reward model in memory. DPO and IPO: no reward model, pairs, off-policy, SFT and one stage. KTO: votes, off-policy, no
# reward model, SFT and one stage. ORPO: pairs, off-policy, one stage. Constitutional AI: first fine-tuning on revised answers, then RL on a preference model trained on AI labels; on-policy. Online DPO: as DPO, but
# on fresh samples that an annotator judges, often a reward model. GRPO: no pairs, on-policy, SFT and RL. A reference is held by all but ORPO and SimPO; KTO needs it. Cost, with a forward pass as 1 and a backward pass as 2: DPO 8 a
# pair, ORPO 6, KTO 6 a vote; PPO and GRPO write their responses besides, which takes most of the time. PPO fails by over-optimising the reward model, since the policy leaves the data that it was fitted to. DPO can lower the chosen response's
# probability, because only the margin is trained. GRPO needs no reward model, because the reward is verified."
#
# *6 of 10.* Table: right but for GRPO, which may as well have a reward model (3½ of 4). Reference: right (1 of 1). Costs derived (1 of 1). Two failures with their mechanism; IPO, KTO, ORPO and the judge missing (½ of 2). No choice
# (0 of 1). GRPO and verifiable reward are confused, and nothing on hacking (0 of 1). Sum: **6**.
#
# **About 9 points.** The table and the costs as above, GRPO "with a verifier or a reward model, as in DeepSeekMath", and: "Failures. PPO and online DPO over-optimise their judge: the policy moves to where it was not fitted (Gao et al.). DPO raises
# margins, not likelihoods: the chosen response may lose, and mass may go to responses that nobody compared (Razin et al.; Xu et al.). IPO stops at a margin of 1/(2τ) however clear the preference is, which is its
# point for deterministic labels and its weakness for strong ones; it is not a remedy for flipped labels. KTO's z0 is a clamped batch mean: biased in small batches, and unbalanced votes need weights. Constitutional AI learns its judge's errors. GRPO is an
# optimiser; a verifiable reward is a source of reward, for any optimiser, and it is a proxy too: tests are skipped or tabulated (Baker et al.). Choice: by what feedback there is. Votes: KTO. A checker: GRPO or PPO on it. A judge for
# fresh samples: online DPO or PPO; Xu et al. and Guo et al. find fresh samples ahead of a fixed set. Only pairs: DPO. I would spend on data first: Ivison et al. gain more from better pairs than from the algorithm."
#
# *9 of 10.* Table (4 of 4), reference (1), costs (1), choice with evidence (1), GRPO and verifiable reward (1). Failures: ORPO's coupling of two terms is missing, and for KTO it is not said that
# its gradient vanishes for hard examples (1 of 2). Sum: **9**.
# ### END SOLUTION
