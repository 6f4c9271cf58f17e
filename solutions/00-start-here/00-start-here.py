# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 00 · Start here
#
# Ten minutes, two exercises, 10 points. You learn how the notebooks of this course work, and you
# write the two functions that everything later stands on: the log-softmax and the KL divergence.
#
# A language model is trained on human preferences with a *reward* to raise and a *reference model*
# to stay close to. "Close" is measured by a KL divergence between two distributions over tokens, and
# both distributions come out of a log-softmax. That is the whole of this notebook.
#
# ## How a notebook works
#
# 1. **Run** a cell with Shift+Enter, from top to bottom. *Run > Run All Cells* runs everything, also
#    while exercises are unsolved: no cell stops the others.
# 2. **Exercises** are cells with the comment `# YOUR CODE HERE`. Replace the comment and the line
#    `raise NotImplementedError()` below it.
# 3. **The check** in the cell after it says what holds, what was seen where something does not, and
#    names the mistake if it is a known one. It uses visible inputs; grading uses others.
# 4. **Stuck?** `hint("log-softmax")` gives one hint at a time, up to three.
# 5. **Experiments** use your functions. While one is unsolved, the experiment says so and goes on
#    with the course's own.
# 6. **`progress()`** shows your points and what is open.
#
# Your copy lies in the folder `work/`. Nothing overwrites it; a newer release of the course is laid
# beside it.

# %%
import torch

from course_utils import plots
from course_utils.checks import check, hint, progress

# %% [markdown]
# ## From logits to log-probabilities
#
# At each position a language model gives one number per token of its vocabulary, the *logits*. They
# may be any real numbers. The softmax turns them into probabilities:
#
# $$p_i = \frac{e^{x_i}}{\sum_j e^{x_j}}, \qquad \log p_i = x_i - \log \sum_j e^{x_j}.$$
#
# Take a vocabulary of four tokens. First the numbers, before any code of yours:

# %%
vocabulary = ["yes", "no", "maybe", "."]
logits = torch.tensor([2.0, 1.0, 0.5, -1.0])
weights = logits.exp()
probabilities = weights / weights.sum()
for token, x, p in zip(vocabulary, logits, probabilities):
    print(f"{token:>6}  logit {x:5.2f}   probability {p:.4f}   log-probability {p.log():7.4f}")
print(f"   sum  probabilities {probabilities.sum():.4f}")

# %% [markdown]
# The division is fine for small logits. For large ones it is not: `exp(1000)` is infinite, and
# infinity divided by infinity is *nan*, not a number.

# %%
large = torch.tensor([1000.0, 999.0])
print("exp:          ", large.exp())
print("exp / sum:    ", large.exp() / large.exp().sum())
print("log-softmax:  ", torch.log_softmax(large, dim=0))

# %% [markdown]
# The last line is right, and shows the way out. Subtracting the same number from all logits changes
# no probability, since $e^{x_i - c} = e^{x_i} e^{-c}$ and $e^{-c}$ cancels in the fraction. With
# $c = \max_j x_j$ the largest exponential is $e^0 = 1$, and nothing overflows.

# %% [markdown]
# ### Exercise: log-softmax
#
# `log-softmax` · difficulty 1/5 · about 3 minutes · 4 points
#
# Write `log_softmax(logits)`: the log-probabilities $x_i - \log \sum_j e^{x_j}$ over the **last** axis.
#
# | | |
# |---|---|
# | `logits` | float tensor with any number of axes; the last one is the vocabulary |
# | returns | tensor of the same shape and dtype |
# | graded | values, logits of ±10,000, gradients, dtype kept, `logits` itself unchanged |
#
# Source: Goodfellow, Bengio, Courville, *Deep Learning* (2016), section 4.1 (overflow and underflow).
# Any function of torch may be used. Stuck? Run `hint("log-softmax")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "log-softmax", "locked": false, "schema_version": 3, "solution": true, "task": false}
def log_softmax(logits):
    """Log-probabilities over the last axis."""
    ### BEGIN SOLUTION
    # logsumexp subtracts the maximum by itself; keepdim lets the subtraction broadcast
    return logits - torch.logsumexp(logits, dim=-1, keepdim=True)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-log-softmax", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("log-softmax", log_softmax)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("log-softmax", log_softmax)
### END HIDDEN TESTS

# %% [markdown]
# ### What a check says when an answer is wrong
#
# A check is worth reading most when it fails. Here is one on a wrong function: it sums over the first
# axis where the last is meant.


# %%
def over_the_first_axis(logits):
    return torch.log_softmax(logits, dim=0)


check("log-softmax", over_the_first_axis)

# %% [markdown]
# The line marked *no* gives the inputs it was tried on, what was seen and what was wanted. The lines marked
# `--` wait until it holds. The sentence below the table names the mistake. The number at the end
# is what the answer has earned on the visible inputs.

# %% [markdown]
# ## How far apart are two distributions?
#
# The Kullback–Leibler divergence from $q$ to $p$ is the expected log-ratio, with the expectation
# under the **first** one:
#
# $$\mathrm{KL}(p \,\|\, q) = \sum_y p(y) \log \frac{p(y)}{q(y)} .$$
#
# Three facts are used in every later notebook:
#
# - It is never negative, and zero only where $p = q$.
# - It is not symmetric. $\mathrm{KL}(p\|q)$ is large where $p$ puts mass and $q$ does not; the
#   reverse is barely concerned about such places.
# - With natural logarithms its unit is the *nat*. One nat is $1/\log 2 \approx 1.44$ bits.
#
# Again the numbers first: $p$ from above, and a $q$ that finds all four tokens equally likely.

# %%
p, q = probabilities, torch.full((4,), 0.25)
for token, a, b in zip(vocabulary, p, q):
    print(
        f"{token:>6}  p {a:.4f}   q {b:.4f}   log-ratio {(a / b).log():7.4f}   weighted by p {a * (a / b).log():7.4f}"
    )
print(f"KL(p || q) = {(p * (p / q).log()).sum():.4f} nats")
print(f"KL(q || p) = {(q * (q / p).log()).sum():.4f} nats")

# %% [markdown]
# ### Exercise: KL divergence
#
# `kl-divergence` · difficulty 2/5 · about 5 minutes · 6 points
#
# Write `kl_divergence(p_logits, q_logits)`: $\mathrm{KL}(p\|q)$ in nats over the last axis. Both
# distributions are given by their **logits**, which need not be normalised.
#
# | | |
# |---|---|
# | `p_logits`, `q_logits` | float tensors of equal shape; the last axis is the vocabulary |
# | returns | one value per row: the shape without its last axis |
# | graded | values (zero where $p = q$), $p$ so peaked that logits are ±10,000, gradients into **both**, dtype, inputs unchanged |
#
# Source: Kullback and Leibler (1951); Cover and Thomas, *Elements of Information Theory*, section 2.3.
# Where $p(y) = 0$ the term counts as 0. Stuck? Run `hint("kl-divergence")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "kl-divergence", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kl_divergence(p_logits, q_logits):
    """KL(p || q) over the last axis, in nats."""
    ### BEGIN SOLUTION
    log_p = torch.log_softmax(p_logits, dim=-1)
    log_q = torch.log_softmax(q_logits, dim=-1)
    # a probability that rounds to 0 multiplies a finite number, so no 0 * infinity
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-kl-divergence", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("kl-divergence", kl_divergence)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("kl-divergence", kl_divergence)
### END HIDDEN TESTS

# %% [markdown]
# ## Experiment: the two directions
#
# An experiment uses your function. This one moves $q$: its token "yes" gets a logit from −6 to 10,
# the other three stay at 0, while $p$ stays fixed.

# %% tags=["experiment", "readme"]
from course_utils.checks import use

kl = use("kl-divergence", kl_divergence)
yes = torch.linspace(-6, 10, 161)
q_logits = torch.zeros(161, 4)
q_logits[:, 0] = yes
p_logits = logits.expand(161, 4)
forward, backward = kl(p_logits, q_logits), kl(q_logits, p_logits)

fig, ax = plots.figure()
ax.plot(yes, forward, label="KL(p ‖ q)")
ax.plot(yes, backward, label="KL(q ‖ p)")
ax.set_xlabel("logit of “yes” in q")
ax.set_ylabel("divergence (nats)")
ax.legend()
plots.show(
    fig,
    "KL(p||q) and KL(q||p) against the logit of 'yes' in q: both are smallest near the same place, "
    "but KL(p||q) grows without bound on both sides while KL(q||p) levels off.",
)

# %% [markdown]
# Where $q$ leaves out what $p$ says often, $\mathrm{KL}(p\|q)$ rises in a straight line: the log-ratio
# is weighted by $p$. $\mathrm{KL}(q\|p)$ is an average under $q$; once $q$ puts almost all its
# mass on one token, nothing more can change, and the curve levels off.
#
# RLHF penalises $\mathrm{KL}(\pi \| \pi_{\mathrm{ref}})$, with the *policy* first. So a policy pays for saying what the
# reference would not say; it pays little for falling silent about things that the reference says.

# %% [markdown]
# ### Move it yourself
#
# The slider sets the same logit. Bars are the probabilities; the title has both divergences. (Drag it,
# or focus it and press an arrow key.)

# %% tags=["experiment", "nbval-ignore-output"]
import ipywidgets


def draw(yes_logit=0.0):
    q_row = torch.tensor([yes_logit, 0.0, 0.0, 0.0])
    fig, ax = plots.figure(size=(6.4, 3.0))
    plots.bars(ax, vocabulary, log_softmax_(logits).exp(), label="p", offset=-0.2, width=0.4)
    plots.bars(
        ax,
        vocabulary,
        log_softmax_(q_row).exp(),
        label="q",
        offset=0.2,
        width=0.4,
        colour=plots.COLOURS[1],
        hatch="//",
    )
    ax.set_ylim(0, 1)
    ax.set_ylabel("probability")
    ax.set_title(f"KL(p‖q) = {kl(logits, q_row):.3f} nats,  KL(q‖p) = {kl(q_row, logits):.3f} nats")
    ax.legend()
    plots.show(fig, "probabilities of four tokens under p and q, with both divergences in the title")


log_softmax_ = use("log-softmax", log_softmax)
slider = ipywidgets.FloatSlider(value=0.0, min=-6.0, max=10.0, step=0.5, description="“yes” in q")
ipywidgets.VBox([slider, ipywidgets.interactive_output(draw, {"yes_logit": slider})])

# %% [markdown]
# ## Experiment: a divergence from samples
#
# A policy over whole answers has far too many answers to sum over. But KL is an expectation under
# $p$, so it can be estimated: draw answers from $p$ and average their log-ratios. Trainers do just this.

# %% tags=["experiment"]
from course_utils.scale import at_scale

samples = at_scale(fast=2_000, default=200_000, full=2_000_000)
generator = torch.Generator().manual_seed(0)
log_p = log_softmax_(logits.double())
log_q = log_softmax_(torch.zeros(4, dtype=torch.float64))
drawn = torch.multinomial(log_p.exp(), samples, replacement=True, generator=generator)
ratios = (log_p - log_q)[drawn]
exact = kl(logits.double(), torch.zeros(4, dtype=torch.float64))
error = (ratios.std() / samples**0.5).item()
print(f"the exact KL is {exact:.4f} nats")
print(
    "the estimate lies within four standard errors of it:",
    "yes" if abs(ratios.mean() - exact) < 4 * error else "no",
)
print("some single log-ratios are negative, though KL never is:", "yes" if ratios.min() < 0 else "no")

# %% [markdown]
# The dial `COURSE_SCALE` says how much an experiment computes: `fast` for automatic grading, `default`
# on your machine, `full` for more seeds or a GPU. It never changes a check.

# %% [markdown]
# ## How you are graded
#
# - The check you see uses fixed inputs. Grading runs the same check on **other** inputs, drawn from a seed
#   that is noted with your grade. An answer that only fits the visible numbers loses its points.
# - Separate parts earn separate points: a right value that overflows for large logits keeps most of them.
# - You may use torch, numpy, or any other installed library. An answer that calls the course's own
#   implementation earns nothing, and the check says so.
# - Do not delete or edit the check cells. The **Validate** button of the toolbar runs the whole notebook
#   afresh and says which checks are not yet at full points.
# - Free-text questions at the end of a notebook are graded by a person, with the rubric that stands beside them.

# %% tags=["nbval-ignore-output"]
progress()

# %% [markdown]
# ## Where to go
#
# | notebook | you will |
# |---|---|
# | 01 · derivation | derive DPO, every line executed in symbols and in numbers |
# | 02 · DPO from scratch | train a small language model on preferences by hand, and see what gets worse |
# | 03 · eight methods | write the core of seven more methods, and compare all eight in one world |
# | 04 · from thumbs to a service | turn a log of thumbs up and down into a trained, served and watched model; find eight bugs |
# | 05 · Goodhart, measured | push proxies of a known reward until they break, and try what is said to help |
# | 06 · final quiz | audit claims, mend bugs, answer five questions |
#
# Next: [01 · derivation](../01-derivation/01-derivation.ipynb).
