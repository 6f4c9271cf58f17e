# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 06 · The final quiz
#
# **Goal.** You have derived, built, run and measured. Now judge what others say: audit 55 statements of the
# field's folklore, mend code that looks right, and answer five questions in your own words.
#
# | part | what | points | graded by |
# |---|---|---|---|
# | 1 | the claims audit: 55 statements, a verdict each, and a figure for about half of them | 82 | hidden tests: verdict and figure apart |
# | 2 | find the bug: 16 snippets of real pipelines | 46 | hidden tests |
# | 3 | five questions, in writing | 50 | a person, by the rubric that stands with each question |
#
# Allow about nine hours in all: three for the claims, nearly four for the bugs, half an hour for each question. The parts can be done on different days, in any order.
#
# **How it is graded.** As in the notebooks before, the cell under an exercise checks your answer, and the graded tests
# look again. One thing differs in part 1: with four verdicts to choose from, a check that told you which one is right
# would be answered by trying. So there the visible check looks at the *form* of your answer only, and notes that you
# have answered; the 0.0 that it returns is no verdict. Verdict and figure are decided when it is graded. In part 3 nothing is graded by a program: a
# self-check lists what your text has not mentioned, and that is all that it can do.
#
# If nobody grades you, decide first, then compare: the solved notebook in `solutions/06-final-quiz` has each verdict with its reason in a line,
# and anchor answers to the questions.
#
# Everything is open: the notebooks, your notes, Python. A figure that you computed in a cell is worth more than one that you remember.

# %% [markdown]
# ## Before you start
#
# Three questions on notebook 05. Run the import cell, then put a letter in the place of each question mark.

# %%
import math
import random
import re
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F

from course_utils import plots
from course_utils.checks import check, hint, points_page, progress, recall, self_check, write_points_page

# %% tags=["recall"]
recall("06-a", "a")

# %% tags=["recall"]
recall("06-b", "c")

# %% tags=["recall"]
recall("06-c", "d")

# %% [markdown]
# ## 1. The claims audit
#
# Each statement has been said or written, most of them often. Give one of four verdicts:
#
# | verdict | when | an example (not one of the claims) |
# |---|---|---|
# | `"true"` | it holds as it stands, under the conditions that it names | "Adding 3 to the rewards of all responses to a prompt changes no Bradley–Terry preference." |
# | `"imprecise"` | it is right in the case that is usually meant, and fails in another that it does not rule out: adding a condition, or several, makes it true, and nothing else has to change | "log σ(x) may be computed as the logarithm of the sigmoid." (Add: for moderate x. In float32 the sigmoid is 0 below about −89.) |
# | `"unsupported"` | no added condition makes it true, and nothing is known that refutes it: neither a derivation nor a count, an experiment or a source: a number that nobody measured, a number whose unit nobody names, a ranking without a comparison, a conclusion from a difference within its own error | "Most teams give up PPO within a year." |
# | `"false"` | no added condition saves it; something has to be taken back: a number, a direction, a cause, a quotation, an experiment. A quotation or an experiment that a named source does not hold is false, and not unsupported | "KL(π‖π_ref) and KL(π_ref‖π) are equal." |
#
# **To decide**, ask in this order. *Is there a derivation, a count, an experiment or a source that shows it, at least under the condition that is usually meant?*
# If it names that condition, or needs none, it is true; if it leaves the condition out, imprecise. *Otherwise, is there one that
# refutes it?* If so it is false; if there is nothing either way, unsupported.
#
# Where a statement says "As found", the words in brackets describe where it stood, and are correct. Judge the statement.
#
# **The answer** is a pair: `return "false", 0.25`. The second value is the figure that the statement asks for, a plain number in
# the unit that is named; how far it may be off stands with it. It is graded apart: a right figure earns its point whatever the
# verdict. (Figures are asked for with true statements too.) Where no figure is asked for, return `None` in its place.

# %% [markdown]
# ### Source cards
#
# What a few sources hold, as far as the statements need it and the notebooks have not shown it.
#
# | source | what it holds |
# |---|---|
# | Goodhart 1975, *Problems of monetary management* | "Any observed statistical regularity will tend to collapse once pressure is placed upon it for control purposes." |
# | Gao, Schulman, Hilton 2022, *Scaling laws for reward model overoptimization* (arXiv 2210.10760) | A reward model of 6B parameters plays the truth ("gold"). Proxies of 3M to 3B parameters are trained on labels that it gives (section 2.1). Policies of 1.2B and 6B are pushed by best-of-n and by reinforcement learning, in all runs but those of section 3.6 without a KL penalty. Results are measured points with fitted curves: gold as a function of d = √KL with two coefficients, α and β, for each method and each size of proxy. "Smooth decrease in β ... with increased RM size" (4.2.2). A KL penalty moves a run along the same curve of gold against KL, "akin to early stopping" (3.6). As a real case they name, in footnote 10, policies in the setting of InstructGPT that give very long answers where short ones are preferred. |
# | Li et al. 2022, *Competition-level code generation with AlphaCode* (arXiv 2203.07814) | A model is fine-tuned on solutions by people. For a new problem very many programs are sampled, those that fail the example tests are dropped, the rest is clustered, and at most ten are handed in. Of solutions that pass the tests of earlier data sets 30 to 60 % are wrong, in the authors' own set 4 %. |
# | Stiennon et al. 2020, *Learning to summarize from human feedback* (arXiv 2009.01325) | Summaries from policies pushed against a reward model to different KL: at first better than the start, far out nonsense with a high score. |
# | Bai et al. 2022, *Constitutional AI* (arXiv 2212.08073) | Stage 1: a model criticises and revises its answers, and is fine-tuned on the revisions. Stage 2: a model compares two answers by the principles; a preference model learns from these comparisons for harmlessness and, as in the authors' earlier work, from comparisons by people for helpfulness. Then reinforcement learning. |
# | Rafailov et al. 2024, *Scaling laws for reward model overoptimization in direct alignment algorithms* (arXiv 2406.02900) | DPO and its relatives, trained with more and more KL, show the same hump of quality as RLHF, often before one epoch over the data is done. |
# | Rice 1953, on classes of recursively enumerable sets | Take any property of what programs compute that some programs have and others lack. No program decides for every program whether it has the property. |

# %% [markdown]
# ## 1.1 The objective, its optimum and the DPO loss

# %% [markdown]
# ### Exercise: claim 01
#
# `claim-01` · difficulty 2/5 · about 3 minutes · 2 points (verdict 1, figure 1)
#
# > With π_ref = (0.5, 0.3, 0.2), r = (1, 0, 2) and β = 0.5, the policy that maximises E_π[r] − β KL(π‖π_ref) gives the third response a probability of more than 0.7.
#
# *Figure*: the probability of the third response, as a number between 0 and 1, to 0.002.
#
# Stuck? Run `hint("claim-01")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-01", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_01():
    """The verdict on claim 01, and the figure."""
    ### BEGIN SOLUTION
    # π_ref · exp(r/β), normalised, is (0.248, 0.020, 0.732)
    return "true", 0.7322
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-01", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-01", claim_01)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-01", claim_01)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 02
#
# `claim-02` · difficulty 2/5 · about 3 minutes · 2 points (verdict 1, figure 1)
#
# > Adding the same amount to the rewards of all responses to a prompt changes the optimal policy, since rewards and optimal policies correspond one to one.
#
# *Figure*: the probability of the first response under the optimal policy for π_ref = (0.5, 0.3, 0.2), r = (6, 5, 7) and β = 1, to 0.002.
#
# Stuck? Run `hint("claim-02")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-02", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_02():
    """The verdict on claim 02, and the figure."""
    ### BEGIN SOLUTION
    # exp(c/β) is a factor of every weight and cancels; r = (1, 0, 2) gives the same policy
    return "false", math.e / 2 / (math.e / 2 + 0.3 + 0.2 * math.e**2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-02", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-02", claim_02)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-02", claim_02)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 03
#
# `claim-03` · difficulty 2/5 · about 3 minutes · 1 point (verdict)
#
# > In r(x, y) = β log(π*(y|x)/π_ref(y|x)) + β log Z(x) the last term is the same for all responses to a prompt, and may differ from prompt to prompt. So it cancels from the difference of the rewards of two responses to the same prompt.
#
# Stuck? Run `hint("claim-03")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-03", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_03():
    """The verdict on claim 03, and None."""
    ### BEGIN SOLUTION
    # Z sums over the responses, so it depends on the prompt alone
    return "true", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-03", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-03", claim_03)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-03", claim_03)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 04
#
# `claim-04` · difficulty 3/5 · about 3 minutes · 1 point (verdict)
#
# > The policy that minimises the DPO loss is the policy that maximises the KL-regularised reward.
#
# Stuck? Run `hint("claim-04")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-04", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_04():
    """The verdict on claim 04, and None."""
    ### BEGIN SOLUTION
    # so it is if preferences follow Bradley–Terry with that reward, data is unlimited and covers
    # the responses, and the policy class contains the optimum
    return "imprecise", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-04", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-04", claim_04)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-04", claim_04)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 05
#
# `claim-05` · difficulty 1/5 · about 2 minutes · 1 point (verdict)
#
# > DPO's derivation assumes that annotators choose by Bradley–Terry with one reward: P(y_w ≻ y_l) = σ(r(x, y_w) − r(x, y_l)).
#
# Stuck? Run `hint("claim-05")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-05", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_05():
    """The verdict on claim 05, and None."""
    ### BEGIN SOLUTION
    # that step turns a difference of rewards into a likelihood; it is a model, and is named as one
    # here
    return "true", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-05", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-05", claim_05)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-05", claim_05)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 06
#
# `claim-06` · difficulty 3/5 · about 4 minutes · 2 points (verdict 1, figure 1)
#
# > Let h be a pair's margin: the log-ratio of the chosen response to the reference minus that of the rejected one. At β = 0.1 the derivative of DPO's loss −log σ(βh) with respect to log π(y_w) is −σ(−βh).
#
# *Figure*: the derivative at β = 0.1 and h = 2, to 0.0005.
#
# Stuck? Run `hint("claim-06")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-06", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_06():
    """The verdict on claim 06, and the figure."""
    ### BEGIN SOLUTION
    # the factor β is missing: −β σ(−βh)
    return "false", -0.1 / (1 + math.exp(0.1 * 2))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-06", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-06", claim_06)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-06", claim_06)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 07
#
# `claim-07` · difficulty 2/5 · about 3 minutes · 2 points (verdict 1, figure 1)
#
# > At β = 0.1 a pair whose margin h has reached 10 nats is as good as settled: the weight σ(−βh) in its gradient is below 0.05.
#
# *Figure*: σ(−βh), to 0.002.
#
# Stuck? Run `hint("claim-07")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-07", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_07():
    """The verdict on claim 07, and the figure."""
    ### BEGIN SOLUTION
    # σ(−1) is 0.27: the weight is small only where h is many times 1/β
    return "false", 1 / (1 + math.exp(0.1 * 10))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-07", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-07", claim_07)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-07", claim_07)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 08
#
# `claim-08` · difficulty 2/5 · about 3 minutes · 1 point (verdict)
#
# > DPO's loss on a pair cannot fall while the chosen response of this pair gets less likely.
#
# Stuck? Run `hint("claim-08")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-08", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_08():
    """The verdict on claim 08, and None."""
    ### BEGIN SOLUTION
    # only the margin has to grow, so the chosen response may get less likely too, as long as the
    # rejected one loses more
    return "false", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-08", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-08", claim_08)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-08", claim_08)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 09
#
# `claim-09` · difficulty 1/5 · about 2 minutes · 2 points (verdict 1, figure 1)
#
# > Before the first update, while the policy is a copy of the reference (no dropout), DPO's loss is the same for every pair and at every β.
#
# *Figure*: that loss, in nats, to 0.001.
#
# Stuck? Run `hint("claim-09")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-09", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_09():
    """The verdict on claim 09, and the figure."""
    ### BEGIN SOLUTION
    # all margins are 0, and −log σ(0) = log 2
    return "true", math.log(2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-09", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-09", claim_09)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-09", claim_09)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 10
#
# `claim-10` · difficulty 4/5 · about 5 minutes · 1 point (verdict)
#
# > When a preference loss is computed, log-probabilities may be summed over prompt and response together instead of the response alone: the prompt's part is the same for both responses and cancels.
#
# Stuck? Run `hint("claim-10")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-10", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_10():
    """The verdict on claim 10, and None."""
    ### BEGIN SOLUTION
    # it cancels in losses that see a pair only by the difference of sums (DPO, right padded); not
    # in KTO, nor where one divides by length (SimPO, ORPO)
    return "imprecise", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-10", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-10", claim_10)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-10", claim_10)
### END HIDDEN TESTS

# %% [markdown]
# ## 1.2 Losses and their parts

# %% [markdown]
# ### Exercise: claim 11
#
# `claim-11` · difficulty 3/5 · about 5 minutes · 2 points (verdict 1, figure 1)
#
# > If one of two responses always wins, DPO's loss falls on with the margin without end, whatever β is, while IPO's is smallest at a finite margin, whatever τ > 0 is.
#
# *Figure*: the winner's probability where IPO's loss is smallest, for τ = 0.5, two responses in all, and a reference that gives each 1/2; to 0.002.
#
# Stuck? Run `hint("claim-11")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-11", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_11():
    """The verdict on claim 11, and the figure."""
    ### BEGIN SOLUTION
    # −log σ(βh) falls for ever, (h − 1/(2τ))² does not; at h = 1/(2τ) = 1 the winner has σ(1)
    return "true", 1 / (1 + math.exp(-1 / (2 * 0.5)))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-11", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-11", claim_11)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-11", claim_11)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 12
#
# `claim-12` · difficulty 2/5 · about 3 minutes · 1 point (verdict)
#
# > Azar et al. (2023) propose IPO as a remedy for noisy labels, and show on language models that it withstands them better than DPO.
#
# Stuck? Run `hint("claim-12")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-12", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_12():
    """The verdict on claim 12, and None."""
    ### BEGIN SOLUTION
    # their case is (nearly) deterministic preferences, and their experiments are bandits with two
    # or three actions
    return "false", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-12", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-12", claim_12)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-12", claim_12)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 13
#
# `claim-13` · difficulty 2/5 · about 3 minutes · 2 points (verdict 1, figure 1)
#
# > KTO's reference point z0 is a running average of the log-ratios of the batches seen so far.
#
# *Figure*: z0 of a batch whose mismatched pairs have the log-ratios 2.5, −1.0, 0.9 and −0.8, to 0.01.
#
# Stuck? Run `hint("claim-13")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-13", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_13():
    """The verdict on claim 13, and the figure."""
    ### BEGIN SOLUTION
    # it is made of the present batch alone: the mean log-ratio of mismatched pairs, clamped at 0
    # after the mean
    return "false", max(0.0, (2.5 - 1.0 + 0.9 - 0.8) / 4)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-13", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-13", claim_13)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-13", claim_13)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 14
#
# `claim-14` · difficulty 3/5 · about 3 minutes · 2 points (verdict 1, figure 1)
#
# > Before the first update KTO's loss is 0.5 for every example.
#
# *Figure*: the loss then of a desirable example, with λ_D = 1.5, λ_U = 1 and β = 0.1, to 0.005.
#
# Stuck? Run `hint("claim-14")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-14", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_14():
    """The verdict on claim 14, and the figure."""
    ### BEGIN SOLUTION
    # half of the example's weight: 0.5 with the default weights of 1, which the statement does not
    # name
    return "imprecise", 1.5 * 0.5
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-14", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-14", claim_14)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-14", claim_14)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 15
#
# `claim-15` · difficulty 1/5 · about 3 minutes · 2 points (verdict 1, figure 1)
#
# > A log with 65 % thumbs up, trained on with λ_D = λ_U = 1, lies outside the interval [1, 3/2] in which the KTO paper wants λ_D n_D/(λ_U n_U).
#
# *Figure*: λ_D n_D/(λ_U n_U), to 0.005.
#
# Stuck? Run `hint("claim-15")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-15", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_15():
    """The verdict on claim 15, and the figure."""
    ### BEGIN SOLUTION
    # 0.65/0.35 = 1.857
    return "true", 0.65 / 0.35
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-15", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-15", claim_15)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-15", claim_15)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 16
#
# `claim-16` · difficulty 3/5 · about 4 minutes · 2 points (verdict 1, figure 1)
#
# > A chosen response of 6 tokens has log π = −12, the rejected one of 10 tokens has −15. By summed log-probabilities the chosen one is likelier; by the mean per token, which SimPO and ORPO use, the rejected one is.
#
# *Figure*: SimPO's loss of this pair at β = 2 and γ = 1, to 0.002.
#
# Stuck? Run `hint("claim-16")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-16", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_16():
    """The verdict on claim 16, and the figure."""
    ### BEGIN SOLUTION
    # −12 > −15, but −2.0 < −1.5
    return "true", math.log1p(math.exp(-(2.0 * (-12 / 6 + 15 / 10) - 1.0)))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-16", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-16", claim_16)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-16", claim_16)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 17
#
# `claim-17` · difficulty 4/5 · about 5 minutes · 2 points (verdict 1, figure 1)
#
# > Over samples from π the estimator k3 has the mean KL(π‖π_ref). So its gradient, taken through log π on samples that are held fixed, is on average that of KL(π‖π_ref).
#
# *Figure*: k3 at log π − log π_ref = 0.5, to 0.0005.
#
# Stuck? Run `hint("claim-17")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-17", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_17():
    """The verdict on claim 17, and the figure."""
    ### BEGIN SOLUTION
    # the number is unbiased, its gradient is on average that of KL(π_ref‖π)
    return "false", math.exp(-0.5) - 1 + 0.5
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-17", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-17", claim_17)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-17", claim_17)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 18
#
# `claim-18` · difficulty 2/5 · about 3 minutes · 2 points (verdict 1, figure 1)
#
# > If all answers of a group get the same reward, their advantages in GRPO, with the usual small ε beside the standard deviation, are 0, whether all are right or all are wrong.
#
# *Figure*: the advantage of the first answer of a group with rewards (1, 0, 0, 0), with the sample standard deviation (n − 1) and no ε, to 0.01.
#
# Stuck? Run `hint("claim-18")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-18", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_18():
    """The verdict on claim 18, and the figure."""
    ### BEGIN SOLUTION
    # each reward is its group's mean, and 0 divided by ε is 0
    return "true", (1 - 1 / 4) / np.std([1, 0, 0, 0], ddof=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-18", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-18", claim_18)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-18", claim_18)
### END HIDDEN TESTS

# %% [markdown]
# ## 1.3 Methods compared

# %% [markdown]
# ### Exercise: claim 19
#
# `claim-19` · difficulty 2/5 · about 3 minutes · 1 point (verdict)
#
# > Training holds four models in memory with PPO, and two with DPO.
#
# Stuck? Run `hint("claim-19")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-19", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_19():
    """The verdict on claim 19, and None."""
    ### BEGIN SOLUTION
    # four and two roles, in a plain implementation: DPO's reference can be cached or be the policy
    # without its adapter, and models need not be of equal size
    return "imprecise", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-19", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-19", claim_19)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-19", claim_19)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 20
#
# `claim-20` · difficulty 3/5 · about 4 minutes · 2 points (verdict 1, figure 1)
#
# > For the same two responses a step of KTO, with its reference point, needs as many forward and backward passes as a step of DPO.
#
# *Figure*: the cost of KTO over that of DPO, for two responses: a forward pass of a sequence counts 1, a backward pass 2, nothing is cached, and for each response one mismatched completion is scored by both models, without gradient; to 0.01.
#
# Stuck? Run `hint("claim-20")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-20", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_20():
    """The verdict on claim 20, and the figure."""
    ### BEGIN SOLUTION
    # KTO also scores mismatched pairs: 2 · 6 against 8
    return "false", 2 * 6 / 8
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-20", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-20", claim_20)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-20", claim_20)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 21
#
# `claim-21` · difficulty 2/5 · about 3 minutes · 1 point (verdict)
#
# > Relative to PPO = 1.0, training costs 0.4 with DPO, 0.3 with ORPO and 0.7 with online DPO. (As found: no unit and no source.)
#
# Stuck? Run `hint("claim-21")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-21", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_21():
    """The verdict on claim 21, and None."""
    ### BEGIN SOLUTION
    # numbers without a unit or an origin: no count can confirm or refute them
    return "unsupported", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-21", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-21", claim_21)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-21", claim_21)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 22
#
# `claim-22` · difficulty 1/5 · about 2 minutes · 1 point (verdict)
#
# > As published, ORPO and SimPO do without a reference model, and IPO and KTO do not.
#
# Stuck? Run `hint("claim-22")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-22", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_22():
    """The verdict on claim 22, and None."""
    ### BEGIN SOLUTION
    # IPO's and KTO's losses contain π_ref, ORPO's and SimPO's do not
    return "true", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-22", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-22", claim_22)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-22", claim_22)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 23
#
# `claim-23` · difficulty 1/5 · about 3 minutes · 1 point (verdict)
#
# > A verifiable reward cannot be hacked, because a program gives it and not a learned model.
#
# Stuck? Run `hint("claim-23")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-23", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_23():
    """The verdict on claim 23, and None."""
    ### BEGIN SOLUTION
    # a program checks less than what is wanted: section 10 of notebook 03 shows one gamed
    return "false", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-23", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-23", claim_23)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-23", claim_23)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 24
#
# `claim-24` · difficulty 2/5 · about 3 minutes · 1 point (verdict)
#
# > IPO converges more slowly than DPO, and gains less from more data.
#
# Stuck? Run `hint("claim-24")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-24", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_24():
    """The verdict on claim 24, and None."""
    ### BEGIN SOLUTION
    # the paper says nothing on speed and measures no gain from more data, and no comparison is cited
    return "unsupported", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-24", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-24", claim_24)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-24", claim_24)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 25
#
# `claim-25` · difficulty 1/5 · about 2 minutes · 1 point (verdict)
#
# > KTO has been validated in production at a large scale. (As found: in a text that elsewhere calls KTO newer and less validated, without a source for either.)
#
# Stuck? Run `hint("claim-25")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-25", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_25():
    """The verdict on claim 25, and None."""
    ### BEGIN SOLUTION
    # no source
    return "unsupported", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-25", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-25", claim_25)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-25", claim_25)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 26
#
# `claim-26` · difficulty 3/5 · about 3 minutes · 1 point (verdict)
#
# > In Constitutional AI the preference labels come from a model.
#
# Stuck? Run `hint("claim-26")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-26", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_26():
    """The verdict on claim 26, and None."""
    ### BEGIN SOLUTION
    # those for harmlessness do; the ones for helpfulness come from people (see the source card)
    return "imprecise", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-26", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-26", claim_26)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-26", claim_26)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 27
#
# `claim-27` · difficulty 3/5 · about 3 minutes · 1 point (verdict)
#
# > KTO needs no supervised fine-tuning before it.
#
# Stuck? Run `hint("claim-27")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-27", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_27():
    """The verdict on claim 27, and None."""
    ### BEGIN SOLUTION
    # shown for the paper's larger base models (Llama-13B and 30B), which the statement does not say
    return "imprecise", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-27", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-27", claim_27)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-27", claim_27)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 28
#
# `claim-28` · difficulty 3/5 · about 4 minutes · 2 points (verdict 1, figure 1)
#
# > KTO on 72 % less data wins .631 ± .036 of its comparisons, DPO on all of it .600 ± .037 (intervals of 90 %, from the KTO paper). This makes KTO's policy the better of the two.
#
# *Figure*: how wide the range of win rates is that lies in both intervals, to 0.001.
#
# Stuck? Run `hint("claim-28")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-28", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_28():
    """The verdict on claim 28, and the figure."""
    ### BEGIN SOLUTION
    # the difference is 0.031, its own 90 % error √(.036² + .037²) = 0.052
    return "unsupported", (0.600 + 0.037) - (0.631 - 0.036)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-28", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-28", claim_28)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-28", claim_28)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 29
#
# `claim-29` · difficulty 2/5 · about 3 minutes · 1 point (verdict)
#
# > Among KTO, DPO and ORPO, KTO gives the best policy from noisy pairs, DPO from clean pairs, and ORPO where compute is short.
#
# Stuck? Run `hint("claim-29")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-29", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_29():
    """The verdict on claim 29, and None."""
    ### BEGIN SOLUTION
    # a rule of thumb: no comparison covers these cases, and the exercise says how weak its support
    # is
    return "unsupported", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-29", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-29", claim_29)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-29", claim_29)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 30
#
# `claim-30` · difficulty 3/5 · about 4 minutes · 2 points (verdict 1, figure 1)
#
# > On three seeds each, method A reaches a gold reward of .78 with a standard deviation of .09, and method B .74 with .24. Hence A is the better method in this world.
#
# *Figure*: the difference of the two means over its standard error √((.09² + .24²)/3), to 0.01.
#
# Stuck? Run `hint("claim-30")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-30", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_30():
    """The verdict on claim 30, and the figure."""
    ### BEGIN SOLUTION
    # a quarter of a standard error is no difference; nor would it show that they are equal
    return "unsupported", (0.78 - 0.74) / math.sqrt((0.09**2 + 0.24**2) / 3)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-30", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-30", claim_30)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-30", claim_30)
### END HIDDEN TESTS

# %% [markdown]
# ## 1.4 From thumbs to a service

# %% [markdown]
# ### Exercise: claim 31
#
# `claim-31` · difficulty 1/5 · about 3 minutes · 1 point (verdict)
#
# > A first model trained by KTO on thumbs wins 60 to 70 % of blind comparisons against the old one and earns 65 to 75 % thumbs up. (As found: in a list of goals, without a source.)
#
# Stuck? Run `hint("claim-31")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-31", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_31():
    """The verdict on claim 31, and None."""
    ### BEGIN SOLUTION
    # numbers that nobody measured; they depend on both models, the judges and who votes
    return "unsupported", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-31", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-31", claim_31)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-31", claim_31)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 32
#
# `claim-32` · difficulty 2/5 · about 3 minutes · 1 point (verdict)
#
# > About 90 % of the rows of a feedback log are left after cleaning. (As found: for a log that nobody had cleaned yet.)
#
# Stuck? Run `hint("claim-32")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-32", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_32():
    """The verdict on claim 32, and None."""
    ### BEGIN SOLUTION
    # a number that nobody measured; what is left depends on how active users are and on the rule
    return "unsupported", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-32", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-32", claim_32)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-32", claim_32)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 33
#
# `claim-33` · difficulty 3/5 · about 6 minutes · 2 points (verdict 1, figure 1)
#
# > LoRA of rank 64 on the seven projections of each layer of Mistral-7B trains 200 million parameters or more. (As found: in an answer key, without a calculation.)
#
# *Figure*: the number of trained parameters in millions, to 0.5. Hidden size 4,096; q and o project to 4,096, k and v to 1,024; gate and up go to 14,336, down comes back from there; 32 layers.
#
# Stuck? Run `hint("claim-33")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-33", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_33():
    """The verdict on claim 33, and the figure."""
    ### BEGIN SOLUTION
    # 64 · (2 · 8,192 + 2 · 5,120 + 3 · 18,432) · 32 layers, 2.3 % of the model
    return "false", 64 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336)) * 32 / 1e6
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-33", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-33", claim_33)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-33", claim_33)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 34
#
# `claim-34` · difficulty 3/5 · about 5 minutes · 2 points (verdict 1, figure 1)
#
# > Without speculative decoding, a model of 7.24 billion parameters in bfloat16 writes 256 tokens for one user in under 500 ms on one GPU with a memory bandwidth of 2.04 TB/s. (As found: as a target, without a measurement.)
#
# *Figure*: the time, in seconds, that reading all 7.24 billion weights once per token takes for 256 tokens, to 0.04 (1 TB = 10¹² bytes).
#
# Stuck? Run `hint("claim-34")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-34", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_34():
    """The verdict on claim 34, and the figure."""
    ### BEGIN SOLUTION
    # each token reads all weights once: 14.48 GB / 2.04 TB/s is 7.1 ms, 256 times
    return "false", 256 * 2 * 7.24e9 / 2.04e12
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-34", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-34", claim_34)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-34", claim_34)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 35
#
# `claim-35` · difficulty 1/5 · about 3 minutes · 2 points (verdict 1, figure 1)
#
# > A batch of 2 on a device and 8 steps of gradient accumulation make an effective batch of 16.
#
# *Figure*: the number of examples of one optimiser step with these settings on 4 GPUs in data parallel.
#
# Stuck? Run `hint("claim-35")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-35", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_35():
    """The verdict on claim 35, and the figure."""
    ### BEGIN SOLUTION
    # on one device; times the number of devices that train in parallel
    return "imprecise", 2 * 8 * 4
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-35", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-35", claim_35)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-35", claim_35)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 36
#
# `claim-36` · difficulty 3/5 · about 4 minutes · 2 points (verdict 1, figure 1)
#
# > Wilson's 95 % interval for 58 wins in 100 blind comparisons, without ties, lies above one half.
#
# *Figure*: the lower end of Wilson's interval, as a number between 0 and 1, to 0.0005.
#
# Stuck? Run `hint("claim-36")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-36", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_36():
    """The verdict on claim 36, and the figure."""
    ### BEGIN SOLUTION
    # it reaches from 0.482 to 0.672, and so holds 0.5
    return "false", (0.58 + 1.96**2 / 200 - 1.96 * math.sqrt(0.58 * 0.42 / 100 + 1.96**2 / 40_000)) / (
        1 + 1.96**2 / 100
    )
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-36", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-36", claim_36)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-36", claim_36)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 37
#
# `claim-37` · difficulty 3/5 · about 3 minutes · 1 point (verdict)
#
# > A test at the 5 % level announces a winner between two equal models in 5 % of the experiments. (As found: above a dashboard, without a word on when, or how often, it is looked at.)
#
# Stuck? Run `hint("claim-37")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-37", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_37():
    """The verdict on claim 37, and None."""
    ### BEGIN SOLUTION
    # so it is if it is looked at once, at an end fixed before; with each further look the share grows
    return "imprecise", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-37", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-37", claim_37)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-37", claim_37)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 38
#
# `claim-38` · difficulty 2/5 · about 4 minutes · 2 points (verdict 1, figure 1)
#
# > In a log in which most of the honest users have cast a single vote, dropping all users whose rate of thumbs up is below 10 % or above 90 % leaves most of the honest users in.
#
# *Figure*: the share dropped of users with two votes each, all honest, whose votes are up with a probability of 0.65 independently; as a number between 0 and 1, to 0.002.
#
# Stuck? Run `hint("claim-38")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-38", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_38():
    """The verdict on claim 38, and the figure."""
    ### BEGIN SOLUTION
    # a user with one vote always goes, and of honest users with two votes more than half
    return "false", 0.65**2 + 0.35**2
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-38", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-38", claim_38)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-38", claim_38)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 39
#
# `claim-39` · difficulty 2/5 · about 4 minutes · 2 points (verdict 1, figure 1)
#
# > A random split by rows can put votes of one user both into the training and into the test set, so that the test also rewards what was learned of that user.
#
# *Figure*: the probability that a user with 3 votes has some on both sides, if each vote goes to the test set with a probability of 0.2 independently; to 0.002.
#
# Stuck? Run `hint("claim-39")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-39", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_39():
    """The verdict on claim 39, and the figure."""
    ### BEGIN SOLUTION
    # rows are drawn one by one, whoever gave them; a split by groups prevents it
    return "true", 1 - 0.8**3 - 0.2**3
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-39", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-39", claim_39)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-39", claim_39)
### END HIDDEN TESTS

# %% [markdown]
# ## 1.5 Goodhart's law

# %% [markdown]
# ### Exercise: claim 40
#
# `claim-40` · difficulty 1/5 · about 3 minutes · 1 point (verdict)
#
# > Gao et al. (2022) find that the larger the proxy reward model is, the more it is over-optimised. (As found: in an answer key, without a page number.)
#
# Stuck? Run `hint("claim-40")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-40", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_40():
    """The verdict on claim 40, and None."""
    ### BEGIN SOLUTION
    # the other way round: with the proxy's size β falls and the highest gold reward rises
    return "false", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-40", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-40", claim_40)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-40", claim_40)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 41
#
# `claim-41` · difficulty 2/5 · about 3 minutes · 2 points (verdict 1, figure 1)
#
# > Let the gold reward of best-of-n follow R = d(α − βd), d = √KL, with α = 1 and β = 0.1. Then gold falls again once KL is larger than about 25 nats.
#
# *Figure*: the KL, in nats, at which R is highest, to 0.1.
#
# Stuck? Run `hint("claim-41")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-41", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_41():
    """The verdict on claim 41, and the figure."""
    ### BEGIN SOLUTION
    # R is highest at d = α/(2β) = 5, and KL = d²
    return "true", (1 / (2 * 0.1)) ** 2
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-41", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-41", claim_41)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-41", claim_41)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 42
#
# `claim-42` · difficulty 3/5 · about 3 minutes · 2 points (verdict 1, figure 1)
#
# > Under the law for reinforcement learning in Gao et al., R = d(α − β log d), d = √KL, gold is highest at d = α/(2β).
#
# *Figure*: the d at which R is highest for α = 1 and β = 0.35, to 0.02.
#
# Stuck? Run `hint("claim-42")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-42", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_42():
    """The verdict on claim 42, and the figure."""
    ### BEGIN SOLUTION
    # that is best-of-n's; here the derivative vanishes at d = exp(α/β − 1)
    return "false", math.exp(1 / 0.35 - 1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-42", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-42", claim_42)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-42", claim_42)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 43
#
# `claim-43` · difficulty 4/5 · about 6 minutes · 2 points (verdict 1, figure 1)
#
# > Sampling 4 responses and keeping the one with the highest score gives a policy whose KL divergence from the policy sampled from is log 4 − 3/4 = 0.636 nats (the formula of Stiennon et al. 2020).
#
# *Figure*: that divergence, in nats, where the policy gives two responses the probability 1/2 each and one of them has the higher score, to 0.002.
#
# Stuck? Run `hint("claim-43")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-43", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_43():
    """The verdict on claim 43, and the figure."""
    ### BEGIN SOLUTION
    # exact where the score is continuous, so that no two samples ever tie; an upper bound for every
    # policy over finitely many responses, since the same one can be drawn twice
    return "imprecise", 15 / 16 * math.log(15 / 8) + 1 / 16 * math.log(1 / 8)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-43", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-43", claim_43)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-43", claim_43)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 44
#
# `claim-44` · difficulty 2/5 · about 3 minutes · 2 points (verdict 1, figure 1)
#
# > The uncertainty-weighted optimisation (UWO) of Coste et al. takes the mean of the ensemble's rewards minus λ times their standard deviation.
#
# *Figure*: the UWO reward of three members that say 1, 1.2 and 2.6, with λ = 0.5 and the population's measure of spread (n), to 0.002.
#
# Stuck? Run `hint("claim-44")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-44", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_44():
    """The verdict on claim 44, and the figure."""
    ### BEGIN SOLUTION
    # minus λ times their variance (equation 5)
    return "false", np.mean([1, 1.2, 2.6]) - 0.5 * np.var([1, 1.2, 2.6])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-44", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-44", claim_44)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-44", claim_44)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 45
#
# `claim-45` · difficulty 2/5 · about 3 minutes · 1 point (verdict)
#
# > Reward models that are trained on the same data from different seeds can share their errors; where they do, their ensemble does not see that a policy exploits them.
#
# Stuck? Run `hint("claim-45")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-45", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_45():
    """The verdict on claim 45, and None."""
    ### BEGIN SOLUTION
    # an ensemble sees only what its members disagree on
    return "true", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-45", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-45", claim_45)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-45", claim_45)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 46
#
# `claim-46` · difficulty 3/5 · about 3 minutes · 1 point (verdict)
#
# > Rice's theorem implies that no complete specification of what a program is to do can be written.
#
# Stuck? Run `hint("claim-46")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-46", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_46():
    """The verdict on claim 46, and None."""
    ### BEGIN SOLUTION
    # the theorem is about deciding: a non-trivial property of what programs do can be stated
    # exactly, yet not decided for all programs
    return "false", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-46", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-46", claim_46)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-46", claim_46)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 47
#
# `claim-47` · difficulty 1/5 · about 3 minutes · 1 point (verdict)
#
# > A policy trained on unit tests typically passes 95 % of the training tests and 75 % of held-out ones, and is right on 60 % of the tasks. (As found: under the heading "quantitative analysis", marked as hypothetical.)
#
# Stuck? Run `hint("claim-47")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-47", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_47():
    """The verdict on claim 47, and None."""
    ### BEGIN SOLUTION
    # invented numbers; such gaps exist, and their size has to be measured
    return "unsupported", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-47", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-47", claim_47)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-47", claim_47)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 48
#
# `claim-48` · difficulty 2/5 · about 3 minutes · 1 point (verdict)
#
# > Gao et al. (2022) give a table of proxy and gold rewards at KL = 0, 10, 20, 50, 100 and 200, in which over-optimisation begins at KL = 50.
#
# Stuck? Run `hint("claim-48")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-48", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_48():
    """The verdict on claim 48, and None."""
    ### BEGIN SOLUTION
    # there is no such table, and no one such KL: results are fitted curves, whose peak depends on
    # the method and on the proxy's size
    return "false", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-48", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-48", claim_48)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-48", claim_48)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 49
#
# `claim-49` · difficulty 1/5 · about 3 minutes · 1 point (verdict)
#
# > DPO optimises human preferences themselves, so unlike RLHF it has no proxy that could be over-optimised.
#
# Stuck? Run `hint("claim-49")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-49", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_49():
    """The verdict on claim 49, and None."""
    ### BEGIN SOLUTION
    # the labels are a proxy, the policy is a fitted reward model, and such policies over-optimise
    # (Rafailov et al. 2024)
    return "false", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-49", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-49", claim_49)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-49", claim_49)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 50
#
# `claim-50` · difficulty 1/5 · about 2 minutes · 2 points (verdict 1, figure 1)
#
# > A program that passes all visible tests may still be wrong on most other inputs.
#
# *Figure*: the verifier gap of the course of a program that passes 3 of 3 visible tests and 1 of 4 hidden ones.
#
# Stuck? Run `hint("claim-50")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-50", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_50():
    """The verdict on claim 50, and the figure."""
    ### BEGIN SOLUTION
    # a lookup table of the visible tests is one
    return "true", 3 / 3 - 1 / 4
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-50", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-50", claim_50)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-50", claim_50)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 51
#
# `claim-51` · difficulty 1/5 · about 2 minutes · 1 point (verdict)
#
# > Goodhart (1975) wrote: "When a measure becomes a target, it ceases to be a good measure."
#
# Stuck? Run `hint("claim-51")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-51", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_51():
    """The verdict on claim 51, and None."""
    ### BEGIN SOLUTION
    # a later paraphrase by others; his sentence is about statistical regularities under control
    return "false", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-51", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-51", claim_51)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-51", claim_51)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 52
#
# `claim-52` · difficulty 1/5 · about 2 minutes · 1 point (verdict)
#
# > In the experiments of Gao et al. (2022) the labels on which proxies are trained, and the measure of true quality, come from a reward model and not from people.
#
# Stuck? Run `hint("claim-52")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-52", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_52():
    """The verdict on claim 52, and None."""
    ### BEGIN SOLUTION
    # the set-up is synthetic: a 6B model plays the truth
    return "true", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-52", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-52", claim_52)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-52", claim_52)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 53
#
# `claim-53` · difficulty 2/5 · about 3 minutes · 1 point (verdict)
#
# > In Gao et al. (2022) reinforcement learning with a KL penalty reached no more gold at the same KL than reinforcement learning without one.
#
# Stuck? Run `hint("claim-53")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-53", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_53():
    """The verdict on claim 53, and None."""
    ### BEGIN SOLUTION
    # it moved along the same curve of gold against KL, and acted like stopping earlier
    return "true", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-53", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-53", claim_53)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-53", claim_53)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 54
#
# `claim-54` · difficulty 1/5 · about 2 minutes · 2 points (verdict 1, figure 1)
#
# > Gao et al. (2022) find the same over-optimisation with proxy reward models from 1 to 175 billion parameters. (As found: in an answer key, without a page number.)
#
# *Figure*: the number of parameters of their largest proxy, in billions.
#
# Stuck? Run `hint("claim-54")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-54", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_54():
    """The verdict on claim 54, and the figure."""
    ### BEGIN SOLUTION
    # their proxies have 3 million to 3 billion parameters
    return "false", 3.0
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-54", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-54", claim_54)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-54", claim_54)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: claim 55
#
# `claim-55` · difficulty 2/5 · about 3 minutes · 1 point (verdict)
#
# > AlphaCode drops samples that fail a problem's example tests before it hands anything in. This use of tests is selection among samples, as in best-of-n, and not reinforcement learning.
#
# Stuck? Run `hint("claim-55")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "claim-55", "locked": false, "schema_version": 3, "solution": true, "task": false}
def claim_55():
    """The verdict on claim 55, and None."""
    ### BEGIN SOLUTION
    # the example tests filter samples of a finished model; no update follows from them
    return "true", None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-claim-55", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("claim-55", claim_55)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("claim-55", claim_55)
### END HIDDEN TESTS

# %% [markdown]
# ## 2. Find the bug
#
# Sixteen more pieces of alignment code, after the eight of notebook 04. Each is made from a mistake that is made in earnest. Each runs, looks
# right, and is not. You get what it is for and what was seen; the rest is yours: reproduce it on the smallest input that shows it, say why, mend it.
#
# The cell under each text comes with the code as it was found. Change it there. **Any right fix passes**: the tests look at what the function
# returns, not at how. As everywhere but in part 1, the visible check says what it has seen.

# %% [markdown]
# ### Bug 09: the meter of the KL
#
# `bug-09` · difficulty 2/5 · about 10 minutes · 3 points
#
# **What it is for.** How far the policy has gone from the reference: $\mathrm{KL}(\pi\,\|\,\pi_\mathrm{ref})$ of the next token, summed over the whole vocabulary, and averaged over the counted positions of the batch. `logits` and `ref_logits` are (B, T, V), `mask` is bool (B, T), True where a position counts. The result is a scalar with a gradient into `logits`.
#
# **What was seen.** The policy gives one half to a word to which the reference gives one chance in a million, and shares the other half out as the reference would. By hand that is 6.2 nats. The panel shows 0.69, and so does the penalty in the loss.
#
# Graded: values (2), gradient into the policy's logits and inputs unchanged (1).
#
# Stuck? Run `hint("bug-09")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-09", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kl_to_reference(logits, ref_logits, mask):
    """KL(policy || reference) of the next token over the vocabulary, mean over the counted positions."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # logp = F.log_softmax(logits, dim=-1)
    # ref_logp = F.log_softmax(ref_logits, dim=-1)
    # kl = F.kl_div(logp, ref_logp, reduction="none", log_target=True).sum(-1)
    # return (kl * mask).sum() / mask.sum()
    ### MENDED
    logp = F.log_softmax(logits, dim=-1)
    ref_logp = F.log_softmax(ref_logits, dim=-1)
    # F.kl_div(input, target) is KL(target || input): the expectation is taken under its second argument
    kl = F.kl_div(ref_logp, logp, reduction="none", log_target=True).sum(-1)
    return (kl * mask).sum() / mask.sum()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-09", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-09", kl_to_reference)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-09", kl_to_reference)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 10: a model that does not stop
#
# `bug-10` · difficulty 2/5 · about 10 minutes · 3 points
#
# **What it is for.** Labels for fine-tuning. `input_ids` (B, T) hold prompt and completion of each row, right padded with `pad_id`; `attention_mask` (B, T) is 1 on prompt and completion, 0 on padding; `prompt_lengths` (B,) counts the prompt's tokens. The labels are the ids, with −100 on the prompt and on padding, **and nowhere else**. `pad_id` may also occur as a real token: many tokenizers have no pad token, and the end token is taken for it. A completion may hold several turns, each with an end token, or may have been cut off before its end.
#
# **What was seen.** After training the model answers well, and then goes on: it asks itself the next question and answers that, until `max_new_tokens`. The training loss looks as always. With another tokenizer, which has a pad token of its own, the same code trains a model that stops.
#
# Graded: labels (2.5), inputs unchanged (0.5).
#
# Stuck? Run `hint("bug-10")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-10", "locked": false, "schema_version": 3, "solution": true, "task": false}
def completion_labels(input_ids, attention_mask, prompt_lengths, pad_id):
    """Labels: `input_ids`, with -100 on the prompt and on padding, and nowhere else."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # labels = input_ids.clone()
    # labels[input_ids == pad_id] = -100
    # positions = torch.arange(input_ids.shape[1])
    # labels[positions < prompt_lengths[:, None]] = -100
    # return labels
    ### MENDED
    labels = input_ids.clone()
    labels[attention_mask == 0] = -100  # the place says what is padding; the id may be a real end token
    positions = torch.arange(input_ids.shape[1])
    labels[positions < prompt_lengths[:, None]] = -100
    return labels
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-10", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-10", completion_labels)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-10", completion_labels)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 11: the reward of a padded row
#
# `bug-11` · difficulty 2/5 · about 10 minutes · 2 points
#
# **What it is for.** A reward model gives a score at each position, `scores` (B, T); the reward of a row is the score at its last real token. `attention_mask` (B, T) is 1 on real tokens, which stand together, and 0 on padding. **Padding may stand on the left of a row, on its right, or on both sides**, in one batch too. The result is (B,), with a gradient into `scores`.
#
# **What was seen.** The reward model has an accuracy of 0.74 on held-out pairs. During RL, where prompts are padded on the left so that generation can go on at the right, answers to short prompts get rewards that do not depend on how they end. A batch of one row is scored rightly.
#
# Graded: scores (1.5), gradient and inputs unchanged (0.5).
#
# Stuck? Run `hint("bug-11")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-11", "locked": false, "schema_version": 3, "solution": true, "task": false}
def last_token_scores(scores, attention_mask):
    """The score at the last real token of each row: (B,)."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # last = attention_mask.sum(dim=1) - 1
    # return scores[torch.arange(len(scores)), last]
    ### MENDED
    # a position, not a count: the largest one at which the mask is 1
    positions = torch.arange(scores.shape[1])
    last = torch.where(attention_mask == 1, positions, -1).max(dim=1).values
    return scores[torch.arange(len(scores)), last]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-11", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-11", last_token_scores)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-11", last_token_scores)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 12: the cached reference
#
# `bug-12` · difficulty 2/5 · about 10 minutes · 3 points
#
# **What it is for.** Reference log-probabilities for DPO are computed once and kept, since the reference does not change. `pairs` is a list of different tuples (prompt, chosen, rejected), in which prompts can repeat; `reference(pair)` is slow and gives a number. The function gives the batches of all epochs, a list of (batch of pairs, the reference's values of these pairs). Each epoch has every pair once, in a **new random order** drawn from `seed`; its last batch may be smaller. The reference is called once for each pair, whatever the number of epochs.
#
# **What was seen.** With the cache the run is a third faster. Its loss starts at 4.1 instead of log 2 = 0.69, which was put down to "a hard data set", and the margins of the trained model do not predict which answer people like.
#
# Graded: each pair has the reference's value of its own (2), a new order each epoch, one call a pair, and pairs unchanged (1).
#
# Stuck? Run `hint("bug-12")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-12", "locked": false, "schema_version": 3, "solution": true, "task": false}
def batches_with_reference(pairs, reference, batch_size, epochs, seed):
    """Batches of all epochs: a list of (batch of pairs, the reference's values of these pairs)."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # values = [reference(pair) for pair in pairs]
    # rng, batches = random.Random(seed), []
    # order = list(pairs)
    # for _ in range(epochs):
    #     rng.shuffle(order)
    #     for i in range(0, len(order), batch_size):
    #         batches.append((order[i : i + batch_size], values[i : i + batch_size]))
    # return batches
    ### MENDED
    rows = [(pair, reference(pair)) for pair in pairs]  # a value travels with its pair
    rng, batches = random.Random(seed), []
    for _ in range(epochs):
        rng.shuffle(rows)
        for i in range(0, len(rows), batch_size):
            batch = rows[i : i + batch_size]
            batches.append(([pair for pair, _ in batch], [value for _, value in batch]))
    return batches
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-12", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-12", batches_with_reference)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-12", batches_with_reference)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 13: many small batches for a big one
#
# `bug-13` · difficulty 3/5 · about 15 minutes · 3 points
#
# **What it is for.** A batch that does not fit into memory is cut into micro-batches, whose gradients add up. `model(batch)` gives the loss of each token, (B, T); `batch["mask"]` (B, T) is 1.0 where a token counts and 0.0 elsewhere; micro-batches differ in shape, and one may hold no counted token. Afterwards the gradients of the model's parameters (None before) are to be those of **the mean loss over all counted tokens of all micro-batches together**, and that mean is returned, as a float. The optimiser's step is made elsewhere. One micro-batch's graph is alive at a time: `backward()` comes before the next one is computed.
#
# **What was seen.** The same data in the same order, with 1 × 32 and with 8 × 4 rows a step, give two different models. The one with 8 × 4 is worse on long answers and better on one-word answers. Now and then the loss is `nan`.
#
# Graded: loss and gradient of the big batch (2), a micro-batch without counted tokens (0.5), one graph at a time and batches unchanged (0.5).
#
# Stuck? Run `hint("bug-13")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-13", "locked": false, "schema_version": 3, "solution": true, "task": false}
def accumulate(model, micro_batches):
    """Fill the gradients as one big batch would; return the mean loss over all counted tokens."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # total = 0.0
    # for batch in micro_batches:
    #     mask = batch["mask"]
    #     loss = (model(batch) * mask).sum() / mask.sum() / len(micro_batches)
    #     loss.backward()
    #     total += loss.item()
    # return total
    ### MENDED
    # one divisor for all: a mean of means lets a token in a short micro-batch count more than one in a long one
    counted = sum(batch["mask"].sum() for batch in micro_batches)
    total = 0.0
    for batch in micro_batches:
        loss = (model(batch) * batch["mask"]).sum() / counted
        loss.backward()
        total += loss.item()
    return total
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-13", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-13", accumulate)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-13", accumulate)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 14: better than whom?
#
# `bug-14` · difficulty 2/5 · about 10 minutes · 2 points
#
# **What it is for.** Rollouts for GRPO. `sample(prompt)` draws an answer, `score(prompt, answer)` gives its reward, a float. For each of the `prompts`, which differ, `group_size` (at least 2) answers are drawn, and each gets its advantage: (reward − mean) / (standard deviation + `eps`), mean and sample standard deviation (n − 1) over the answers **to the same prompt**. The result is a list of (prompt, answer, advantage), in any order.
#
# **What was seen.** Easy prompts have positive advantages and hard ones negative, whatever the answers. The policy has become longer-winded on hard prompts and no better. With `prompts` of length 1, as in the unit test, all is well.
#
# Graded: advantages (1.5), as many rows as wanted and prompts unchanged (0.5).
#
# Stuck? Run `hint("bug-14")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-14", "locked": false, "schema_version": 3, "solution": true, "task": false}
def group_rollouts(prompts, group_size, sample, score, eps=1e-4):
    """`group_size` answers for each prompt, each with its advantage: a list of (prompt, answer, advantage)."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # batch = list(prompts) * group_size
    # answers = [sample(prompt) for prompt in batch]
    # rewards = torch.tensor([score(p, a) for p, a in zip(batch, answers)], dtype=torch.float64)
    # groups = rewards.view(-1, group_size)
    # mean, std = groups.mean(1, keepdim=True), groups.std(1, keepdim=True)
    # advantages = ((groups - mean) / (std + eps)).flatten()
    # return list(zip(batch, answers, advantages.tolist()))
    ### MENDED
    # p, p, q, q instead of p, q, p, q: now a row of `groups` belongs to one prompt
    batch = [prompt for prompt in prompts for _ in range(group_size)]
    answers = [sample(prompt) for prompt in batch]
    rewards = torch.tensor([score(p, a) for p, a in zip(batch, answers)], dtype=torch.float64)
    groups = rewards.view(-1, group_size)
    mean, std = groups.mean(1, keepdim=True), groups.std(1, keepdim=True)
    advantages = ((groups - mean) / (std + eps)).flatten()
    return list(zip(batch, answers, advantages.tolist()))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-14", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-14", group_rollouts)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-14", group_rollouts)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 15: a clip that never clips
#
# `bug-15` · difficulty 3/5 · about 15 minutes · 3 points
#
# **What it is for.** PPO's inner loop. `actions` (N,) were drawn from the policy as it comes in; `policy(states)` gives logits (N, V), `advantages` is (N,). `epochs` updates are made, each on all the rollouts, with the loss mean of −min(ρA, clip(ρ, 1 − clip, 1 + clip)·A) (Schulman et al. 2017, equation 7). ρ is the policy's probability of the action now, divided by what it was **when the action was drawn**. `optimizer` holds the policy's parameters; its gradients are cleared before each update. The policy itself is returned.
#
# **What was seen.** The panel "share of clipped ratios" reads 0.000 in every run. With one epoch training is fine; with four, which should save rollouts, it falls apart, and a smaller `clip` does not help.
#
# Graded: weights after the updates (2.5), the policy itself comes back and rollouts unchanged (0.5).
#
# Stuck? Run `hint("bug-15")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-15", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ppo_updates(policy, states, actions, advantages, optimizer, epochs=4, clip=0.2):
    """`epochs` updates of the policy on one set of rollouts, each on all of them; returns the policy."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # for _ in range(epochs):
    #     logp = policy(states).log_softmax(-1).gather(-1, actions[:, None]).squeeze(-1)
    #     old_logp = logp.detach()
    #     ratio = (logp - old_logp).exp()
    #     clipped = ratio.clamp(1 - clip, 1 + clip)
    #     loss = -torch.minimum(ratio * advantages, clipped * advantages).mean()
    #     optimizer.zero_grad()
    #     loss.backward()
    #     optimizer.step()
    # return policy
    ### MENDED
    old_logp = None
    for _ in range(epochs):
        logp = policy(states).log_softmax(-1).gather(-1, actions[:, None]).squeeze(-1)
        if old_logp is None:  # those of the policy that drew the actions: taken once, before the first update
            old_logp = logp.detach()
        ratio = (logp - old_logp).exp()
        clipped = ratio.clamp(1 - clip, 1 + clip)
        loss = -torch.minimum(ratio * advantages, clipped * advantages).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return policy
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-15", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-15", ppo_updates)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-15", ppo_updates)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 16: blamed for the neighbour
#
# `bug-16` · difficulty 3/5 · about 15 minutes · 3 points
#
# **What it is for.** Generalised advantage estimation (Schulman et al. 2015). To waste no padding, several answers are packed into one row, one after the other. `rewards` and `values` are (T,), one a token; `ended` is bool (T,), True at the last token of each answer, so also at the last of all. The value after an answer's end is 0, and **answers do not know of each other**. The result is (T,).
#
# **What was seen.** Packing was to change nothing but speed. Since then the advantages of an answer depend on which answer happens to be packed behind it; most of all at its last tokens. A row with one answer gives the same numbers as before.
#
# Graded: advantages (2.5), inputs unchanged (0.5).
#
# Stuck? Run `hint("bug-16")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-16", "locked": false, "schema_version": 3, "solution": true, "task": false}
def packed_gae(rewards, values, ended, gamma=1.0, lam=0.95):
    """Generalised advantage estimation of answers packed into one row, one after the other: (T,)."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # advantages, carry = torch.zeros_like(rewards), 0.0
    # for t in reversed(range(len(rewards))):
    #     next_value = 0.0 if ended[t] else values[t + 1]
    #     delta = rewards[t] + gamma * next_value - values[t]
    #     carry = delta + gamma * lam * carry
    #     advantages[t] = carry
    # return advantages
    ### MENDED
    advantages, carry = torch.zeros_like(rewards), 0.0
    for t in reversed(range(len(rewards))):
        if ended[t]:
            carry = 0.0  # two things come from token t + 1, its value and this sum; both end with the answer
        next_value = 0.0 if ended[t] else values[t + 1]
        delta = rewards[t] + gamma * next_value - values[t]
        carry = delta + gamma * lam * carry
        advantages[t] = carry
    return advantages
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-16", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-16", packed_gae)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-16", packed_gae)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 17: rare words from a sharp sampler
#
# `bug-17` · difficulty 3/5 · about 15 minutes · 3 points
#
# **What it is for.** Top-p (nucleus) sampling (Holtzman et al. 2019). `logits` are (B, V), without ties. The softmax of `logits / temperature` is taken; of each row the smallest set of most likely tokens is kept whose probabilities sum to at least `p` (0 < p ≤ 1); all others get 0; what is kept is scaled to sum to 1. The result is (B, V), **in the order of the vocabulary**.
#
# **What was seen.** Greedy decoding is fine. With sampling at p = 0.9 the model writes words that it holds for next to impossible, and its log-probabilities of its own answers are far below those of any other text. In a unit test with two tokens all is right.
#
# Graded: probabilities (2.5), inputs unchanged (0.5).
#
# Stuck? Run `hint("bug-17")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-17", "locked": false, "schema_version": 3, "solution": true, "task": false}
def nucleus(logits, p, temperature=1.0):
    """The probabilities that top-p sampling draws from: (B, V), in the order of the vocabulary."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # probs, order = torch.softmax(logits / temperature, dim=-1).sort(dim=-1, descending=True)
    # before = probs.cumsum(dim=-1) - probs  # the sum of all that are more likely
    # kept = torch.where(before < p, probs, 0.0)
    # kept = kept / kept.sum(dim=-1, keepdim=True)
    # return kept.gather(-1, order)
    ### MENDED
    probs, order = torch.softmax(logits / temperature, dim=-1).sort(dim=-1, descending=True)
    before = probs.cumsum(dim=-1) - probs  # the sum of all that are more likely
    kept = torch.where(before < p, probs, 0.0)
    kept = kept / kept.sum(dim=-1, keepdim=True)
    # order[k] is where the k-th was taken from, so it must be written there; gather would read from there, once more
    return torch.zeros_like(kept).scatter(-1, order, kept)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-17", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-17", nucleus)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-17", nucleus)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 18: sixteen times the same answer
#
# `bug-18` · difficulty 3/5 · about 15 minutes · 3 points
#
# **What it is for.** Rollouts that can be repeated. `sample(prompt, rng)` draws an answer with a numpy `Generator`. For each of the `prompts` the function draws `group_size` answers: a list of lists, a list a prompt, in the order of the prompts. The same `seed` gives the same answers, in another process too (Python's `hash` of a text does not). A prompt may stand twice in a batch, and rounds differ in size, up to hundreds of prompts. A run calls it round by round with the seeds 0, 1, 2, …; **all answers are independent, within a group, across prompts, and across rounds**, so no two of them may be drawn from the same random numbers.
#
# **What was seen.** Every group of sixteen answers is sixteen times the same one, so the group's standard deviation is 0 and nothing is learned. A colleague has mended it with `seed + k`; since then the groups have different answers, but the random numbers of round 7 are those of round 6, moved by one place.
#
# Graded: independent within groups, across prompts and rounds (2), each prompt has its group and the same seed gives the same answers (1).
#
# Stuck? Run `hint("bug-18")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-18", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sample_groups(prompts, sample, group_size, seed):
    """`group_size` independent answers for each prompt: a list of lists. The same seed, the same answers."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # groups = []
    # for prompt in prompts:
    #     answers = []
    #     for _ in range(group_size):
    #         rng = np.random.default_rng(seed)  # so that a run can be repeated
    #         answers.append(sample(prompt, rng))
    #     groups.append(answers)
    # return groups
    ### MENDED
    rng = np.random.default_rng(seed)  # one generator for the round: it goes on from answer to answer
    groups = []
    for prompt in prompts:
        answers = []
        for _ in range(group_size):
            answers.append(sample(prompt, rng))
        groups.append(answers)
    return groups
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-18", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-18", sample_groups)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-18", sample_groups)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 19: mismatched pairs
#
# `bug-19` · difficulty 4/5 · about 25 minutes · 4 points
#
# **What it is for.** KTO's reference point is estimated on pairs of a prompt and a completion that was written for *another* prompt (Ethayarajh et al. 2024). `prompts` and `completions` are lists of equal length, a row each; prompts can repeat, side by side or not, and the completions differ. The function returns the completions rearranged, each used once, so that **none stands at a prompt for which it, or a row of equal prompt, was written**. Where there is no such rearrangement: `ValueError`.
#
# **What was seen.** On a log in which each prompt has one answer, the estimated KL stays small. On a new log, sorted by prompt with four answers to each, it grows as fast as the rewards of the liked answers do, and the loss hardly moves.
#
# Graded: no completion at a prompt it was written for and each used once (3), ValueError where there is no way (0.5), inputs unchanged (0.5).
#
# Stuck? Run `hint("bug-19")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-19", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mismatched(prompts, completions):
    """The completions rearranged so that none stands at a prompt for which it, or a row of equal prompt, was written."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # # each prompt gets the completion of the next row
    # return completions[1:] + completions[:1]
    ### MENDED
    n, largest = len(prompts), max(Counter(prompts).values())
    if 2 * largest > n:
        raise ValueError("more than half of the rows have the same prompt")
    # sorted, rows of one prompt stand together; a shift by the largest group passes over all of them,
    # and since that is at most half of the rows it does not come round to them from the other side
    order = sorted(range(n), key=lambda i: prompts[i])
    found = list(completions)
    for place, i in enumerate(order):
        found[i] = completions[order[(place + largest) % n]]
    return found
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-19", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-19", mismatched)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-19", mismatched)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 20: a row that is too long
#
# `bug-20` · difficulty 2/5 · about 10 minutes · 2 points
#
# **What it is for.** Prompt and completion, lists of ids, must fit into `max_length` ≥ 1 tokens together. The completion goes first: it keeps its first `max_length` tokens. The prompt then keeps **as many of its last tokens as there is room for**. Returned is (prompt, completion).
#
# **What was seen.** `max_length` is 1,024. After nine hours training stops for lack of memory: a row has 9,300 tokens. Its completion alone has 1,400; rows with short completions have never been too long.
#
# Graded: what is kept (1.5), inputs unchanged (0.5).
#
# Stuck? Run `hint("bug-20")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-20", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fit(prompt, completion, max_length):
    """(prompt, completion) cut to at most `max_length` tokens together."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # completion = completion[:max_length]
    # room = max_length - len(completion)
    # return prompt[-room:], completion
    ### MENDED
    completion = completion[:max_length]
    room = max_length - len(completion)
    # not prompt[-room:], which for a room of 0 is the whole prompt
    return prompt[max(len(prompt) - room, 0) :], completion
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-20", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-20", fit)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-20", fit)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 21: an export while training
#
# `bug-21` · difficulty 3/5 · about 15 minutes · 3 points
#
# **What it is for.** Every thousand steps the model is exported with its adapters merged in, and then training goes on. `layers` is a dict, name → layer with `layer.weight` (out, in), which is frozen, `layer.lora_A` (r, in), `layer.lora_B` (out, r) and `layer.alpha`, a number. The function returns a dict, name → weight + alpha / r · lora_B lora_A. **The layers stay as they are**, and what was returned does not change when they do, nor does it hang on a graph.
#
# **What was seen.** The first export is right. The loss jumps up at every thousandth step and comes down again. Merged by another tool from the stored adapter and the original base, the last model is quite another than our last export.
#
# Graded: two exports one after the other and layers as they were (2), fixed when training goes on and no graph (1).
#
# Stuck? Run `hint("bug-21")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-21", "locked": false, "schema_version": 3, "solution": true, "task": false}
def merged_weights(layers):
    """The weights with their adapters merged in, {name: tensor}, for an export; training then goes on."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # merged = {}
    # with torch.no_grad():
    #     for name, layer in layers.items():
    #         merged[name] = layer.weight.detach()
    #         merged[name] += layer.alpha / layer.lora_A.shape[0] * (layer.lora_B @ layer.lora_A)
    # return merged
    ### MENDED
    merged = {}
    with torch.no_grad():
        for name, layer in layers.items():
            # `detach` gives the same memory without a graph; `clone` gives memory of its own, which += may change
            merged[name] = layer.weight.detach().clone()
            merged[name] += layer.alpha / layer.lora_A.shape[0] * (layer.lora_B @ layer.lora_A)
    return merged
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-21", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-21", merged_weights)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-21", merged_weights)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 22: one half, always
#
# `bug-22` · difficulty 1/5 · about 10 minutes · 2 points
#
# **What it is for.** A model judges pairs of answers. Judges like the first place, or the last, so every pair is judged in both orders. `judge(prompt, first, second)` gives `"first"`, `"second"` or `"tie"`. Each of the 2n verdicts counts 1 if it is for *our* answer, ½ if it is a tie, 0 otherwise; the result is their mean, a float.
#
# **What was seen.** Since both orders are asked every comparison comes out near 50 %, even that of a 70B model with a 1B model. With a judge that likes the first place all are a little above, with another a little below.
#
# Graded: the rate, from each pair once in each order (1.5), inputs unchanged (0.5).
#
# Stuck? Run `hint("bug-22")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-22", "locked": false, "schema_version": 3, "solution": true, "task": false}
def judged_rate(judge, prompts, ours, theirs):
    """Our win rate by a judge that sees every pair in both orders; a float."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # points = {"first": 1.0, "tie": 0.5, "second": 0.0}
    # total = 0.0
    # for prompt, a, b in zip(prompts, ours, theirs):
    #     total += points[judge(prompt, a, b)]
    #     total += points[judge(prompt, b, a)]
    # return total / (2 * len(prompts))
    ### MENDED
    points = {"first": 1.0, "tie": 0.5, "second": 0.0}
    total = 0.0
    for prompt, a, b in zip(prompts, ours, theirs):
        total += points[judge(prompt, a, b)]
        total += 1.0 - points[judge(prompt, b, a)]  # ours is the second one here
    return total / (2 * len(prompts))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-22", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-22", judged_rate)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-22", judged_rate)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 23: a verifier that believes all
#
# `bug-23` · difficulty 2/5 · about 15 minutes · 3 points
#
# **What it is for.** The reward of RLVR: is the final answer in `text` the number `answer`? The final answer is what stands after the **last** `Answer:`, up to the end of the text. It must be one number: digits, commas, perhaps a minus and a decimal point, without blanks within. Nothing may stand beside it but blanks and perhaps a full stop right behind it: "12 or 13", "12 apples", "about 12", "$12" and "1 2" are no answers. (What "12 ." is, with a blank before the full stop, is not tested.) Numbers are compared as numbers: `1,250.0` is 1250. A text without `Answer:` is not correct, nor is one whose final answer is not a number. The result is True or False.
#
# **What was seen.** The reward climbs to 0.97. The texts have become long; each ends in "Answer: 1 Answer: 2 Answer: 3" and so on up to a hundred.
#
# Graded: the final answer decides (2), numbers as numbers and texts without an answer (1).
#
# Stuck? Run `hint("bug-23")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-23", "locked": false, "schema_version": 3, "solution": true, "task": false}
def is_correct(text, answer):
    """Whether the final answer in `text`, after the last "Answer:", is the number `answer`."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # found = re.findall(r"Answer:\s*(-?\d[\d,]*(?:\.\d+)?)", text)
    # return any(float(number.replace(",", "")) == answer for number in found)
    ### MENDED
    _, mark, final = text.rpartition("Answer:")  # the last one; what stands before it may say anything
    final = final.strip().removesuffix(".").replace(",", "")
    if not mark or not re.fullmatch(r"-?\d+(\.\d+)?", final):  # the whole of it, not a part
        return False
    return float(final) == answer
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-23", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-23", is_correct)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-23", is_correct)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 24: the winner of forty
#
# `bug-24` · difficulty 4/5 · about 25 minutes · 4 points
#
# **What it is for.** Forty checkpoints (of other seeds, betas, steps) have been run on the same prompts. `scores` is an array (M, N), the score of each checkpoint on each prompt; the prompts are a random sample, in random order. The function returns a good checkpoint, as an int, and an estimate of its mean score over *all* prompts that users might ask, as a float. **The estimate must be unbiased**: over many samples of prompts it is right on average, although the checkpoint was chosen by the same sample. It is to be no less exact than a fifth of the prompts allow. The same `seed` gives the same report; any way of choosing does that finds a checkpoint that is clearly the best. `scores` is not changed.
#
# **What was seen.** "Best of the sweep: 57 %", says the report. In production it is 50 %, like all the others. The next sweep has more checkpoints; its winner has 59 % in the report, and 50 % in production.
#
# Graded: estimates right on average and a good choice (3), no further off than sampling allows (0.5), same seed same report and inputs unchanged (0.5). "On average" is a matter of 120 to 320 samples of 200 prompts each; a bias below half a standard error of a mean of all prompts passes, that of the code as found is about 2.2.
#
# Stuck? Run `hint("bug-24")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-24", "locked": false, "schema_version": 3, "solution": true, "task": false}
def report_best(scores, seed):
    """(checkpoint, estimate): a good checkpoint, and an unbiased estimate of its mean score."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # means = scores.mean(axis=1)
    # best = int(means.argmax())
    # return best, float(means[best])
    ### MENDED
    # the prompts that chose cannot judge: the largest of many means is large by luck, too
    order = np.random.default_rng(seed).permutation(scores.shape[1])
    choosing, judging = np.array_split(order, 2)
    best = int(scores[:, choosing].mean(axis=1).argmax())
    return best, float(scores[best, judging].mean())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-24", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-24", report_best)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-24", report_best)
### END HIDDEN TESTS

# %% [markdown]
# ## 3. Five questions
#
# They are those of the practice questions at the ends of notebooks 01 to 05. If you wrote them there, do not copy: write again from memory, then compare.
#
# The lengths that are asked for are what an answer needs; length itself is not graded, and some anchor answers are shorter.
#
# Write in the cell under each question, save the notebook (Ctrl+S), and run the cell below it: `self_check` reads your answer from the
# saved file and lists, line by line of the rubric, **what it has not mentioned**. It looks for words. It does not grade, it does not see
# whether a sentence is right, and an answer that mentions everything can still be wrong. Here it is with a short text:

# %% tags=["experiment"]
self_check(
    1,
    "DPO needs no reward model, since the optimal policy for the reward with a KL penalty is known: "
    "π_ref · exp(r/β)/Z(x). Rewards and policies are one to one.",
)

# %% [markdown] nbgrader={"grade": false, "grade_id": "question-1-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Question 1: how DPO eliminates the reward model
#
# Explain how DPO comes to train on preferences without a separate reward model. Answer in 250 to 400 words, with the formulas. Graded by hand, 10 points:
#
# | points | for |
# |---|---|
# | 1 | the KL-regularised objective, with β and π_ref |
# | 2 | the closed-form optimum with Z(x), and why Z(x) cannot be computed |
# | 1 | the reward solved for: r = β log(π*/π_ref) + β log Z(x) |
# | 2 | Bradley–Terry depends on differences only, so Z(x) cancels |
# | 2 | maximum likelihood gives the loss; the policy is an implicit reward model, determined up to f(x): equivalence classes |
# | 1 | what it saves: no separate reward model, critic or sampling; two roles in place of four, and the reference can be cached |
# | 1 | limits: coverage of the data, the Bradley–Terry assumption, over-optimisation persists, equivalence only under conditions |
#
# One point is taken off for each of these: rewards and policies "one to one"; "converges to RLHF's policy" without conditions; "no proxy" or "no reward error"; an invented speed-up.

# %% [markdown] nbgrader={"grade": true, "grade_id": "question-1", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# Three anchor answers for the grader.
#
# **About 3 points.** "RLHF maximises the reward minus β KL(π‖π_ref). The best policy for this is π_ref(y|x) exp(r(x,y)/β)/Z(x), where Z(x) is a sum over all possible texts, so nobody can compute it. DPO turns the formula around and gets the reward from the policy. Since every reward belongs to one policy, one to one, a preference loss can be put on the policy directly. The reward model is then not needed."
#
# *3 of 10.* Objective (1 of 1). Optimum and why Z(x) is out of reach (2 of 2). The reward is "got from the policy", without the formula (½ of 1). No Bradley–Terry, no cancellation (0 of 2). A loss is named and not written down; nothing on what it leaves open (½ of 2). Saved: the reward model, and nothing else (0 of 1). No limits (0 of 1). That is 4; minus 1 for "one to one": **3**.
#
# **About 6 points.** "RLHF looks for the policy that maximises E[r(x,y)] − β KL(π‖π_ref). For each prompt the maximum is at π*(y|x) = π_ref(y|x) exp(r(x,y)/β)/Z(x). Z(x) = Σ_y π_ref(y|x) exp(r(x,y)/β) has a term for every possible response, so it is intractable. Taking logarithms, r(x,y) = β log(π*(y|x)/π_ref(y|x)) + β log Z(x). Under Bradley–Terry the chosen response beats the rejected one with probability σ(r_w − r_l). Only the difference of the two rewards enters, both have the same x, and β log Z(x) cancels. So the negative log-likelihood of the preferences is −log σ(β log π(y_w)/π_ref(y_w) − β log π(y_l)/π_ref(y_l)), which is minimised over π. No reward model is trained. The solution is therefore the same as that of RLHF: both converge to π*."
#
# *6 of 10.* Objective (1), optimum with Z(x) and the reason (2), inversion (1), cancellation (2). The loss by maximum likelihood, but not that the policy is itself a reward model, and up to what (1 of 2). Of what is saved only the reward model (0 of 1). No limits (0 of 1). That is 7; minus 1 for "both converge to π*": **6**.
#
# **About 9 points.** "Training a reward model first, and a policy against it afterwards, is two fits where one may do; DPO writes the first in terms of the second. Start from the objective of RLHF, max over π of E_π[r(x,y)] − β KL(π(·|x)‖π_ref(·|x)): reward, at a price β for every nat away from the reference. For each prompt its maximiser is π*(y|x) = π_ref(y|x) exp(r(x,y)/β)/Z(x) with Z(x) = Σ_y π_ref(y|x) exp(r(x,y)/β). The sum runs over all responses, so Z(x) cannot be computed, and π* cannot be sampled from directly. Read backwards, the same equation gives the reward: r(x,y) = β log(π*(y|x)/π_ref(y|x)) + β log Z(x).
#
# Bradley–Terry says P(y_w ≻ y_l | x) = σ(r(x,y_w) − r(x,y_l)). It sees a difference of two rewards for one prompt, in which β log Z(x) stands twice with opposite signs and cancels. What is left contains policies only. Put π_θ in the place of π* and take the negative log-likelihood of the data: L = −E log σ(β log π_θ(y_w|x)/π_ref(y_w|x) − β log π_θ(y_l|x)/π_ref(y_l|x)). So the policy is itself the reward model, r̂ = β log π_θ/π_ref. Preferences fix it up to a function f(x) of the prompt: all rewards r + f(x) form one equivalence class, with one optimal policy. In the gradient each pair weighs as much as the current policy orders it wrongly, σ(r̂_l − r̂_w), times β.
#
# This saves the separate reward model, the critic and the sampling: two roles instead of four. It does not save what the reward model was wrong about. The labels remain a proxy that can be over-optimised; responses that the data does not cover are not held by anything; Bradley–Terry is an assumption."
#
# *9 of 10.* The first five lines in full (8 of 8). What is saved, without the cached reference (½ of 1). Three limits; that the equivalence with RLHF holds only under conditions is missing (½ of 1). Sum: **9**.
# ### END SOLUTION

# %% tags=["experiment", "nbval-ignore-output"]
self_check(1)

# %% [markdown] nbgrader={"grade": false, "grade_id": "question-2-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Question 2: derive the DPO loss
#
# Derive the loss from the KL-regularised objective, on about one page. Name each assumption where it is used. Give the gradient, and say what it promises and what not. End with what an implementation has to get right. Graded by hand, 10 points:
#
# | points | for |
# |---|---|
# | 2 | per-prompt Lagrangian or Gibbs argument, with the normalisation constraint |
# | 1 | why the stationary point is the unique maximum; positivity and support |
# | 1 | Z(x) identified; the multiplier depends on the prompt |
# | 1 | the reward solved for, with β log Z(x) named as a function of the prompt only |
# | 2 | substitution into Bradley–Terry, cancellation shown |
# | 1 | negative log-likelihood as an expectation over the data, π_θ in place of π*, assumptions named |
# | 1 | the gradient with its factor −β σ(r̂_l − r̂_w), read rightly: the margin, not the likelihoods |
# | 1 | implementation: completion mask, sum not mean, no gradient into the reference, log 2 at step 0 |
#
# A lost sign or a lost β in the final loss caps the answer at 6 points.

# %% [markdown] nbgrader={"grade": true, "grade_id": "question-2", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# Three anchor answers for the grader.
#
# **About 3 points.** "The optimal policy of RLHF is π* = π_ref exp(r/β)/Z with Z = Σ π_ref exp(r/β). So r = β log(π*/π_ref) + β log Z. The probability that y_w is preferred is σ(r_w − r_l), and log Z cancels, so L = −log σ(β log π(y_w)/π_ref(y_w) − β log π(y_l)/π_ref(y_l)). Its gradient is largest where the model is wrong. Minimising it makes the chosen answer more probable and the rejected one less. In code one takes log-softmax, gathers the tokens' log-probabilities and sums them."
#
# *3 of 10.* The optimum is stated and not derived (0 of 2). Nothing on its being unique (0 of 1). Z is named, as a number and not as a function of the prompt (½ of 1). The inversion is right; log Z is not called prompt-only (½ of 1). The cancellation is claimed and Bradley–Terry used without its name (1 of 2). The loss of one pair, no expectation, no assumption (½ of 1). A gradient in words, read as a statement on likelihoods (0 of 1). Sums are right; masks, reference and start are missing (½ of 1). Sum: **3**.
#
# **About 6 points.** "Fix a prompt x. Maximise F(π) = Σ_y π(y)(r(y) − β log(π(y)/π_ref(y))) under Σ_y π(y) = 1. With a multiplier λ: r(y) − β log(π(y)/π_ref(y)) − β + λ = 0, so log π(y) = log π_ref(y) + r(y)/β + const. The constraint makes the constant −log Z(x), Z(x) = Σ_y π_ref(y) exp(r(y)/β), hence π* = π_ref exp(r/β)/Z(x). Turned round, r(x,y) = β log(π*(y|x)/π_ref(y|x)) + C(x) with C(x) = β log Z(x), a function of the prompt alone. I assume Bradley–Terry: P = σ(r_w − r_l). C(x) occurs in both terms: β log(π*_w/ref_w) + C − β log(π*_l/ref_l) − C. It cancels. Over the data the loss is −E_D[log σ(β h)], h the difference of the log-ratios of π_θ. ∇L = −σ(−βh)(∇log π_w − ∇log π_l)."
#
# *6 of 10.* Lagrangian with its constraint (2 of 2). No concavity, no support (0 of 1). Z(x) right; that there is one λ for each prompt is only implied by "fix a prompt" (½ of 1). Inversion with a prompt-only C(x) (1 of 1). Cancellation shown (2 of 2). The expectation is there and π_θ appears without a word on why it may replace π* (½ of 1). The gradient lacks β and is not read (0 of 1). No implementation (0 of 1). Sum: **6**.
#
# **About 9 points.** "For each prompt x with its own constraint Σ_y π(y|x) = 1 and multiplier λ(x), the Lagrangian is Σ_y π(y)(r(y) − β log(π(y)/π_ref(y))) + λ(x)(Σ_y π(y) − 1). Setting the derivative to zero: r(y) − β log(π(y)/π_ref(y)) − β + λ(x) = 0, so π(y) = π_ref(y) exp(r(y)/β) exp(λ(x)/β − 1). Summing to 1: exp(1 − λ(x)/β) = Σ_y π_ref(y) exp(r(y)/β) = Z(x), and π* = π_ref exp(r/β)/Z(x). The objective is linear minus β times a strictly convex KL, so it is strictly concave and this stationary point is the only maximum.
#
# Solved for the reward: r(x,y) = β log(π*(y|x)/π_ref(y|x)) + β log Z(x); the last term depends on the prompt only. Assumption 1, Bradley–Terry with one reward for all raters: P(y_w ≻ y_l) = σ(r_w − r_l). Substituting, β log Z(x) − β log Z(x) = 0, and P = σ(β h*), h* the difference of the two log-ratios of π*. Assumption 2: π* lies in the class of the π_θ, and the data covers what matters; then maximum likelihood may look for it. L(θ) = −E_(x,y_w,y_l)∼D log σ(β h_θ).
#
# Gradient: ∇L = −β E[σ(r̂_l − r̂_w)(∇log π_θ(y_w) − ∇log π_θ(y_l))] with r̂ = β log(π_θ/π_ref). A small step raises the margin of the pair. It does not promise that log π_θ(y_w) rises: both can fall.
#
# Implementation: labels of prompt and padding are masked, log-probabilities of the completion's tokens are summed. The first loss must be log 2."
#
# *9 of 10.* Concavity and the unique maximum, without positivity and support (½ of 1). Implementation: mask, sum and log 2, without the reference that gets no gradient (½ of 1). All else in full (8 of 8). Sum: **9**.
# ### END SOLUTION

# %% tags=["experiment", "nbval-ignore-output"]
self_check(2)

# %% [markdown] nbgrader={"grade": false, "grade_id": "question-3-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Question 3: compare the methods
#
# Compare RLHF with PPO, DPO, IPO, KTO, ORPO, SimPO, Constitutional AI, online DPO and GRPO with verifiable rewards: what each needs, what it costs, how it fails, and when you would choose it. A table and one page of text. Graded by hand, 10 points:
#
# | points | for |
# |---|---|
# | 4 | the table, cell by cell: reward model, pairs, on- or off-policy, stages, for each method |
# | 1 | the reference model: none for ORPO and SimPO, needed by KTO |
# | 1 | costs from counts of passes, or from a cited measurement |
# | 2 | failures with their mechanism |
# | 1 | a choice by data, access to fresh samples and checkers, with evidence; data before algorithm |
# | 1 | GRPO is an optimiser, a verifiable reward a source of reward, and it can be hacked |
#
# One point is taken off for each of these: IPO as a remedy for label noise; verifiable rewards that cannot be hacked; a table of costs without a source or a count.

# %% [markdown] nbgrader={"grade": true, "grade_id": "question-3", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# Three anchor answers for the grader.
#
# **About 3 points.** "RLHF trains a reward model on pairs and runs PPO on fresh samples: three stages. DPO trains on pairs alone, off-policy, in two stages, and IPO does the same with a squared loss, which makes it robust to noisy labels. KTO takes thumbs. ORPO takes pairs and adds an odds-ratio term to fine-tuning: one stage and no reference model; all the others keep a reference, KTO as well, except that SimPO has none either. Constitutional AI has four phases and a large judge. Online DPO has no reward model. GRPO takes verified answers instead of pairs and samples in groups. PPO costs most, DPO 40 % of it, ORPO 30 %. PPO over-optimises its reward model because the policy moves away from where the model was trained. DPO can make the chosen response less likely, since it trains a difference only. I would take KTO for thumbs, GRPO for mathematics, DPO for pairs."
#
# *3 of 10.* Table: the rows of PPO, DPO, IPO and ORPO hold what is asked for, KTO's and SimPO's in part; Constitutional AI's stages, online DPO's annotator and GRPO's choice of rewards are wrong (2½ of 4). Reference column (1 of 1). Costs by unsourced percentages (0 of 1). Two failures with their mechanism (1 of 2). Choice by kind of data, no evidence (½ of 1). GRPO and its reward not told apart (0 of 1). That is 5; minus 1 for "robust to noisy labels", minus 1 for the costs: **3**.
#
# **About 6 points.** "PPO: a reward model fitted to pairs, samples of the policy itself, three stages, reference in the KL price. DPO: pairs, a fixed set, no reward model, two stages, reference. IPO: as DPO with a squared loss. KTO: single votes, a fixed set, no reward model, two stages, reference for the log-ratio and for z0. ORPO: pairs, one stage, no reference; SimPO has none either. Constitutional AI: fine-tuning on revised answers, then RL on a model of AI-labelled pairs. Online DPO: pairs made of fresh samples, which an annotator judges, two stages, with a fixed reference. GRPO: fresh samples in groups, no pairs and no critic, rewards from a program.
# Costs, with a forward pass as 1 and a backward pass as 2: DPO 2 · (3 + 1) = 8 a pair, 6 with a cached reference; ORPO 6; KTO 6 a vote because of the mismatched pairs. PPO and GRPO must also write responses.
# Failures: a policy trained by PPO leaves the region in which its reward model was fitted. DPO raises a difference, so the chosen response may get less likely. IPO stops at a margin of 1/(2τ) even for clear preferences. KTO's z0 is noisy in small batches.
# Choice: votes, KTO; pairs, DPO; a checker, GRPO, since a checker cannot be fooled."
#
# *6 of 10.* Table: all rows but GRPO's, which may have a learned reward, and SimPO's, of which only the reference is told (3½ of 4). Reference (1 of 1). Costs by counting (1 of 1). Four failures with a mechanism; ORPO's coupling and the judge of Constitutional AI are missing (1 of 2). Choice by kind of data, without evidence (½ of 1). Optimiser and reward source are not told apart (0 of 1). That is 7; minus 1 for the checker that cannot be fooled: **6**.
#
# **About 9 points.** "The table, row by row (reward model; feedback; samples; reference; stages). PPO: yes; pairs, customarily; its own; yes; SFT, reward model, RL. DPO, IPO: no, it is implicit; pairs; a fixed set; yes, can be cached; SFT and one. KTO: no; votes; a fixed set; yes; SFT and one. ORPO: no; pairs; a fixed set; none; one. SimPO: no; pairs; a fixed set; none; SFT and one. Constitutional AI: yes, on AI labels; principles; its own; in stage two; fine-tuning on revisions, then RL. Online DPO: an annotator, often a reward model; judgements of fresh pairs; its own; yes, fixed; SFT and one. GRPO: verifier or reward model; rewards of groups; its own; with the KL term; RL, often after SFT.
#
# Costs are counts, forward 1 and backward 2: DPO 8 a pair, 6 with a cache; ORPO and SimPO 6; KTO 6 a vote, so 1.5 times DPO for the same responses. PPO and GRPO write responses as well, one token after the other, and that dominates their wall-clock time. The only published pair of times I know (Tülu 3) differs in more than the method.
#
# Failures. PPO and online DPO over-optimise their judge, because the policy goes where it was not fitted. DPO trains a margin: likelihood may be displaced from both responses to unseen ones. IPO's margin is bounded, so strong preferences are under-fitted; its purpose are deterministic preferences and not noise. KTO: z0 depends on the batch, and unbalanced classes need weights. ORPO ties fine-tuning and preference together by one λ.
#
# Choice. By data first: votes, KTO; pairs and no way to judge new samples, DPO; a judge for new samples, online DPO or PPO (Xu et al. and Guo et al. find fresh samples ahead of fixed ones); programs that check, GRPO or PPO. Ivison et al. gain more from better data than from the algorithm, so I would spend on data before changing the method. GRPO is an optimiser and may run on a learned reward; RLVR is a source of rewards, and it is hacked where the verifier checks less than is meant."
#
# *9 of 10.* Table (4 of 4), reference (1), costs (1), choice with evidence (1), GRPO and RLVR (1). Failures: Constitutional AI's judge, whose errors are learned, is missing, and DPO's length exploitation (1 of 2). **9**.
# ### END SOLUTION

# %% tags=["experiment", "nbval-ignore-output"]
self_check(3)

# %% [markdown] nbgrader={"grade": false, "grade_id": "question-4-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Question 4: a pipeline for production
#
# A product has 100,000 conversations with thumbs, 65 % of them up, and no pairs. Design the way from this log to a better model that is served and watched: method, data, training, evaluation, deployment, iteration. About a page and a half; a reason for each choice, and what you would measure before you believe it. Graded by hand, 10 points:
#
# | points | for |
# |---|---|
# | 1 | method: why KTO, and which baseline or alternative it is held against |
# | 1.5 | what the votes are: self-selected, users' own standards, off-policy, several turns, personal data |
# | 1.5 | cleaning that does not delete users for having few votes; a split without shared users and prompts, or by time; duplicates and disputed answers |
# | 2 | training: chat template, weights from the cleaned counts, a batch large enough for z0, learning rate and β swept, the reference by switching the adapter off, KL watched |
# | 1.5 | evaluation: blind, random order, ties, interval and power, length, safety and over-refusal, other abilities |
# | 1.5 | deployment: stable salted assignment, votes joined to answer and model version, validated votes, a small start with guardrails and a way back, a test that fits how often it is looked at |
# | 1 | iteration: feedback loops and stuffing, a fresh holdout, which reference in each round, alarms against a baseline |
#
# One point is taken off for each of these: "production-validated" without a source; invented targets; code that cannot run.

# %% [markdown] nbgrader={"grade": true, "grade_id": "question-4", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# Three anchor answers for the grader.
#
# **About 3 points.** "KTO fits, because thumbs are single votes; fine-tuning on the liked answers is the baseline. KTO is used in production by many. Data: remove users who always press the same button, remove duplicates, split at random into 80, 10 and 10 %. Users who are unhappy vote more often than others, so there is a selection bias. Training: Mistral-7B with LoRA in the chat template, weights such that λ_D n_D/(λ_U n_U) is at most 1.5; the adapter is switched off for the reference. Evaluation: three people compare answers of both models without knowing which is which, and ties count half. Deployment: 5 % of users by a hash of user and experiment, then 20 %, then all. If thumbs go down we go back. Each answer gets a request id that the vote carries. Goal: 70 % thumbs up. Every month the model is trained again on the new votes. An alarm compares each week with the weeks before."
#
# *3 of 10.* Method with a baseline (1 of 1). Self-selection (½ of 1½). Duplicates go; one-button users go without a minimum of votes, and the split is by rows (½ of 1½). Template, weights and adapter; no sweep, no batch size, no KL (1 of 2). Blind, ties; no interval and nothing beside the win rate (½ of 1½). Stable assignment, request id, a way back; no model version, no validated votes, no test (1 of 1½). An alarm against a baseline, and no more (½ of 1). That is 5; minus 1 for use "by many" without a source, minus 1 for the invented goal: **3**.
#
# **About 6 points.** "Method: KTO on votes, held against fine-tuning on liked answers alone; if KTO does not win, the simpler one stays. What the votes are: a small self-selected share of the turns; labels of answers that the old model wrote, so off-policy; each user has his own standard. Cleaning: a user is dropped only if the rate is extreme and a binomial test says so, so users with few votes stay; empty answers and warnings go; of duplicates one stays; answers with both verdicts are dropped and counted. Split by connected groups, no user and no prompt on two sides. Training: the model's chat template, weights from the cleaned counts within [1, 3/2], batches of 32 on the device because z0 is a batch mean. Evaluation: a blind sheet in random order, ties half, Wilson's interval, and enough comparisons that a 5-point difference would be seen; a set of harmful requests. Deployment: vote and answer are joined by request id and model version; start with 5 % of users."
#
# *6 of 10.* Method with a baseline (1 of 1). Votes: multi-turn and personal data are missing (1 of 1½). Cleaning and split (1½ of 1½). Training: template, weights and batch; no sweep, no word on the reference, and KL is not watched (1 of 2). Evaluation: blind, order, ties, interval and power; length, over-refusal and other abilities are missing (1 of 1½). Deployment: a join and a small start; no stable assignment, no guardrail or way back, no test (½ of 1½). Iteration is missing (0 of 1). Sum: **6**.
#
# **About 9 points.** "Method: KTO, since there are votes and no pairs; baselines are filtered fine-tuning on liked answers and a pointwise reward model with best-of-n. None is assumed to win.
# Votes: most turns are unrated, so raters are self-selected; the answers are the old model's, hence off-policy for the new one; each belongs to a conversation of several turns, which is kept as context; personal data is removed, and users must have agreed.
# Cleaning: a one-button user goes only if a binomial test makes it credible, never for having few votes; duplicates are merged, disputed answers dropped and counted; length is no criterion, "42" is an answer. Split by groups of users and prompts, the newest month as a second test set.
# Training: chat template, weights from cleaned counts so that the ratio lies in [1, 3/2], 32 or more examples a device for z0, LoRA whose adapter is switched off for the reference; β and learning rate swept; KL to the reference logged and bounded.
# Evaluation: blinded pairs in random order, ties half, 95 % interval, the number of comparisons from a power calculation; win rate at equal length; harmful requests and harmless ones that look harmful, for over-refusal; two benchmarks for other abilities.
# Deployment: SHA-256 of salt and user, so restarts move nobody; votes validated, idempotent and joined to request id and model version; 1 %, 5 %, 25 %, with guardrails on warnings, errors and latency that roll back; a sequential test, because it is looked at daily.
# Iteration: votes now judge the new model's answers, which closes a loop; a cap on votes a user, the reference stays the first base model, alarms compare a week with the weeks before."
#
# *9 of 10.* Method (1), cleaning (1½), training (2), evaluation (1½), deployment (1½). Votes: that users have standards of their own is missing (1 of 1½). Iteration: the loop, the cap, the reference and alarms with a baseline are there; a fresh holdout for each round, without which monthly comparisons wear out the test set, is missing (½ of 1). Sum: **9**.
# ### END SOLUTION

# %% tags=["experiment", "nbval-ignore-output"]
self_check(4)

# %% [markdown] nbgrader={"grade": false, "grade_id": "question-5-text", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Question 5: Goodhart's law
#
# Four parts, two pages at most. (a) How does optimising a proxy go wrong, and what did Gao et al. (2022) measure? (b) Does DPO escape? (c) Do verifiable rewards? (d) What is fundamental in this, and which counter-measures help, how, and how far? Graded by hand, 10 points:
#
# | points | for |
# |---|---|
# | 3 | (a) proxy and goal, Goodhart with at least two of the four kinds; Gao et al.: synthetic 6B gold, proxies 3M to 3B, laws in d = √KL, larger proxies and more data help, KL penalty like early stopping, best-of-n against RL; a documented example |
# | 2.5 | (b) the implicit reward is a proxy; over-optimisation, displacement, deterministic preferences, length by its right mechanism; online data helps and needs an annotator |
# | 2 | (c) a verifier is a proxy for a specification: false positives, tampering, answer extraction; correct is not harmless; when it works |
# | 2.5 | (d) sources: specification, measurement, shift, oversight; counter-measures with their mechanism and their limit |
#
# Invented data or "real" transcripts cap the answer at 6 points. Minus 1½ for reversing the effect of the proxy's size, minus ½ for Rice's theorem as a proof that rewards cannot be specified.

# %% [markdown] nbgrader={"grade": true, "grade_id": "question-5", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# Three anchor answers for the grader.
#
# **About 3 points.** "Goodhart's law says that a measure that becomes a target is no good measure any more. A reward model is a proxy for what people want; if the policy is optimised against it too far, the proxy goes on rising and the true quality falls. Gao et al. showed this with reward models of several sizes: the true reward rises, has a maximum and falls, as a function of the root of the KL divergence. The larger the reward model, the stronger the effect. DPO has no reward model, so it over-optimises less, but its answers get longer. RLVR has a correct reward, although programs may pass tests without being right: they can special-case them, or reach a right number by wrong steps. Counter-measures: a KL penalty, ensembles of reward models, early stopping, better data. Ensembles help because several models are hard to fool at once, but they cost more."
#
# *3 of 10.* (a) The law, proxy and truth, the curve against √KL; no kinds of Goodhart, no synthetic gold, no laws (1½ of 3). (b) Longer answers without a mechanism (½ of 2½). (c) Two ways to pass without being right (1 of 2). (d) Four measures, one of them with a mechanism and no limit (1½ of 2½). That is 4½; minus 1½ for the reversed effect of size: **3**.
#
# **About 6 points.** "(a) A proxy agrees with the goal where it was fitted. Selecting by it finds responses that are good, and responses where the proxy is wrong: by noise (regressional) and, further out, because the relation itself breaks (extremal). Gao et al. replaced people by a gold reward model of 6B and trained proxies of 3M to 3B on its labels. With d = √KL they fit R = d(α − βd) for best-of-n and d(α − β log d) for RL. β falls as the proxy grows: larger proxies are harder to over-optimise.
# (b) DPO fits a reward, r̂ = β log π/π_ref, to a fixed set of labels, so there is a proxy. Rafailov et al. (2024) find the same hump as in RLHF. Where a preference is deterministic its margin has no finite optimum. Only the margin is trained, so the chosen response may lose probability.
# (c) A verifier checks what its author wrote down. Tests can be passed by a lookup table, or by changing the tests; a right final answer does not show right reasoning.
# (d) Counter-measures: a KL penalty or early stopping; ensembles, with the minimum or the mean minus the variance, since they lower the reward where the members disagree; humans who look at samples. They help only in part."
#
# *6 of 10.* (a) Types, design, laws, direction; no documented example, nothing on the KL penalty (2 of 3). (b) Proxy, over-optimisation, deterministic pairs, displacement; length and the online variant are missing (1½ of 2½). (c) Three ways, no source or number, no conditions (1 of 2). (d) Three measures, one with a mechanism, no limits in detail; nothing on why it is fundamental (1½ of 2½). Sum: **6**.
#
# **About 9 points.** "(a) The proxy is fitted on one distribution, and optimisation leaves it. Regressional Goodhart: a high score is partly luck. Extremal: far out the relation between score and goal is another one. Causal and adversarial Goodhart come on top; the paper's model does not cover the last. The well-known sentence on measures and targets is a paraphrase; Goodhart wrote of statistical regularities under control. Gao et al. used a synthetic set-up: a 6B gold model labels, proxies of 3M to 3B learn from it, and policies are pushed by best-of-n and by PPO. In d = √KL gold follows d(α − βd) and d(α − β log d). Larger proxies lower β and raise the peak; more labels help too. A KL penalty behaved like early stopping: no better gold at equal KL. RL spends far more KL than best-of-n for the same proxy reward; at equal proxy reward the gold of both is similar, and the paper warns against comparing them by KL. Documented case: Stiennon et al. show summaries at a KL of 260 that are nonsense with a high score.
# (b) DPO's policy is a reward model fitted to finite labels. Such methods over-optimise as well, often within one epoch (Rafailov et al. 2024). With deterministic preferences the margin grows without bound at any β, which is what IPO was made for. Likelihood is displaced. Length: the implicit reward is a sum over tokens, chosen answers are longer in the data, and outside the data the effect bootstraps (Park et al.). Online data helps, and needs an annotator, which is a proxy again.
# (c) Tests are a proxy for a specification, and the specification for the goal. AlphaCode reports false-positive rates of 30 to 60 % in earlier sets of tests and 4 % in its own. Baker et al. saw policies that skip tests. Answer extraction can be gamed. What passes is at best correct, which is not the same as harmless. It works where tests are many, hidden and hard to tabulate.
# (d) Fundamental: what is wanted is never written down completely, what is written down is measured imperfectly, the policy shifts the distribution, and people cannot check everything. Measures: ensembles (minimum; mean minus variance) lower rewards where members disagree, but shared errors stay; a KL budget or early stopping limits the distance, and does not improve the frontier; held-out gold labels find the peak, and cost people's time; process rewards check steps, and are learned proxies themselves; watching a chain of thought helps until it is trained against, then it is hidden."
#
# *9 of 10.* (a) 3 of 3. (b) 2½ of 2½. (c) 2 of 2. (d) The four sources and five measures with mechanism and limit are there, more as a list than as an argument: which measure answers which source is not said, and nothing says which one would be tried first and how its success would be seen (1½ of 2½). Sum: **9**.
# ### END SOLUTION

# %% tags=["experiment", "nbval-ignore-output"]
self_check(5)

# %% [markdown]
# ## 4. Your page of points
#
# All exercises of the course, with the points of your visible checks. It shows what was run on this computer; the graded tests use other inputs.

# %% tags=["experiment", "nbval-ignore-output"]
points_page()

# %% tags=["experiment", "nbval-ignore-output"]
from course_utils.checks.points import standing, totals

lines = standing()
names = list(dict.fromkeys(line.assignment for line in lines))
parts = [totals([line for line in lines if line.assignment == name]) for name in names]
reached, possible, later, by_hand = (np.array(column) for column in zip(*parts))

fig, ax = plots.figure()
rows = np.arange(len(names))
ax.barh(rows, possible, color="white", edgecolor="black", label="visible checks")
ax.barh(rows, later, left=possible, color="white", edgecolor="black", hatch="///", label="told when graded")
ax.barh(rows, by_hand, left=possible + later, color="0.9", edgecolor="black", hatch="..", label="by hand")
ax.barh(rows, reached, height=0.4, color="black", label="reached")
ax.set(yticks=rows, yticklabels=names, xlabel="points")
ax.invert_yaxis()
ax.legend(loc="upper right")
plots.show(
    fig,
    "Points of each notebook as bars: those of visible checks, those told when graded, and those given by hand; inside each bar, in black, what was reached on this computer.",
)

# %% [markdown]
# To print it, write it to a file and open that in a browser (File, Print; a PDF is made there too). Run this in a new cell, with your name:
#
# `write_points_page("points.html", name="...")`
#
# The file lies beside this notebook, on white paper, with a line for name and date.
#
# **The end of the course.** What remains is a habit: ask of each sentence *what would show it*, of each number *who measured it, on what*, and of each metric
# *what it will do once somebody optimises it*.
