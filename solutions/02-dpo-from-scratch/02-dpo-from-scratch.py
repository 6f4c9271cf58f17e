# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · DPO from scratch
#
# Notebook 01 derived the loss of direct preference optimisation (DPO). This one builds everything
# that stands between the formula and a trained model: log-probabilities of tokens and sequences,
# a batch of pairs with its mask, the loss, the numbers to watch, one training step, and a version
# that does not need the memory for all logits at once.
#
# Then it runs: a small language model is trained here, in seconds, in a world where every answer has
# a known true reward. You will see what DPO improves, and what it makes worse.
#
# Eight exercises, a good two hours for them alone and about three and a half in all. Each has a check that explains
# what it found. Imports may stand above a solution cell; helpers belong into it, since each is graded by itself.
# Cells that train or simulate go on with the course's own function where yours is not written yet.

# %% [markdown]
# ## Before you start
#
# Three questions on notebook 01. Put a letter in the place of the question mark.

# %% tags=["recall"]
from course_utils.checks import recall

recall("02-a", "c")

# %% tags=["recall"]
recall("02-b", "b")

# %% tags=["recall"]
recall("02-c", "b")

# %% [markdown]
# ## 1. A world with a known truth
#
# Human preferences are noisy, and nobody knows the reward behind them. Here we make a world in which
# we do. It has 44 words and 24 facts about six animals. A prompt states something about an animal,
# true half the time. A good response makes true claims about that animal, judges the prompt
# correctly, does not repeat itself, and stops.

# %%
import copy
import math
import random

import matplotlib.pyplot as plt
import pandas as pd
import torch

from course_utils import plots
from course_utils.checks import hint, progress, use
from course_utils.scale import at_scale, scale
from course_utils.testbed import models, text

print(len(text.VOCABULARY), "words:", *text.VOCABULARY)
for animal in text.ANIMALS[:3]:
    print(animal, {relation: text.TRUTH[animal, relation] for relation in text.RELATIONS})

# %% [markdown]
# The **gold reward** of a response is the sum over its clauses. A parser reads them, so the reward is
# exact, for any response that a model may come up with.

# %%
prompt = text.make_prompts(1, seed=1)[0]
animal, relation, value = text.statement(prompt)
claim = f"{animal} {relation} {text.TRUTH[animal, relation]} ."
response = text.encode(f"yes right . {claim} great question . {claim} {animal} fears . <eos>")

print("prompt:  ", text.decode(prompt))
print("response:", text.decode(response))
for clause in text.parse(prompt, response):
    print(f"   {text.POINTS[clause.kind]:+.1f}  {clause.kind:15} {' '.join(clause.words)}")
print(f"gold reward {text.gold_reward(prompt, response):.1f}")

# %% [markdown]
# ## 2. A small Llama, trained in seconds
#
# The model has the architecture of Llama, from `transformers`: two layers of width 64 in place of 32
# of width 4,096 (Llama-2-7B). Everything below works on the large one in the same way.
#
# It is first trained on example answers by careless writers (supervised fine-tuning, SFT). They
# look up 70 % of their claims and guess the rest.

# %% tags=["experiment", "nbval-ignore-output"]
import time

SFT_STEPS = at_scale(fast=30, default=300)
prompts = text.make_prompts(6000, seed=0)
answers = text.example_answers(prompts, seed=0)
sft = models.small_model(len(text.VOCABULARY), seed=0)


def show_loss(step, loss):
    if step == 1 or step % (SFT_STEPS // 5) == 0:
        print(f"step {step:4}   loss {loss:.3f}")


started = time.perf_counter()
sft_losses = models.train_on_examples(sft, prompts, answers, SFT_STEPS, seed=0, progress=show_loss)
print(f"{time.perf_counter() - started:.1f} seconds")


# %% tags=["experiment"]
def conclude(claim, holds):
    """Print whether a claim holds for this run; at the fast scale the run is too short to say."""
    print(f"{claim}: {'too short a run to say' if scale() == 'fast' else 'yes' if holds else 'no'}")


print(f"{sum(p.numel() for p in sft.parameters()):,} parameters")
print(f"a guess at random among 44 words costs log 44 = {math.log(44):.3f} nats a token")
conclude("the trained model needs less than 0.8 nats a token", sum(sft_losses[-20:]) / 20 < 0.8)

# %% [markdown]
# Four of its answers, with the gold reward of each. They are drawn from the model's distribution, so
# they differ from draw to draw. The model knows the facts, but says false things too, as its teachers did. Its
# verdicts ("yes right", "no wrong") are coin flips: comparing a claim with a fact is too hard at this size.

# %% tags=["experiment", "nbval-ignore-output"]
EVALUATION = text.make_prompts(at_scale(100, 1000), seed=2)


def answer(model, prompts, seed=0):
    """Sampled responses of a model, lists of token ids."""
    return models.sample(model, prompts, text.MAX_RESPONSE, seed)


def show_answers(model, count=4):
    few = EVALUATION[:count]
    rows = [
        {"prompt": text.decode(p[3:7]), "response": text.decode(r), "gold": round(text.gold_reward(p, r), 2)}
        for p, r in zip(few, answer(model, few), strict=True)
    ]
    with pd.option_context("display.max_colwidth", None):
        display(pd.DataFrame(rows))


show_answers(sft)

# %% [markdown]
# ## 3. The log-probability of a response
#
# A causal language model reads tokens 0 to t and gives logits for token t + 1. So the logits at
# position t are scored against the label at position **t + 1**, and the first token is never scored.
#
# Not every token counts. The prompt was given, not chosen by the policy, and padding is no text at
# all. By convention their label is −100.

# %% [markdown]
# ### Exercise: log-probabilities of tokens
#
# `token-logprobs` · difficulty 2/5 · about 15 minutes · 5 points
#
# $$\texttt{out}[b, t] = \log \pi_\theta\big(y_{t+1} \mid y_{\le t}\big)
# = z_{t,\,y_{t+1}} - \log \sum_v e^{z_{t,v}}$$
#
# where $z_t$ are the logits at position $t$ and $y$ the labels of row $b$ (the factors of
# $\log \pi(y \mid x) = \sum_t \log \pi(y_t \mid x, y_{<t})$ in Rafailov et al. 2023, eq. 7).
#
# | | shape | |
# |---|---|---|
# | `logits` | (B, T, V) | float |
# | `labels` | (B, T) | int64; −100 where a token does not count |
# | result | (B, T − 1) | exactly 0 where label t + 1 is −100 |
#
# Graded: the values (also where every label counts), their stability for logits of ±1e4, the gradient,
# that dtype and inputs stay as they are (float32 in, float32 out: no cast inside).
#
# Stuck? Run `hint("token-logprobs")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "token-logprobs", "locked": false, "schema_version": 3, "solution": true, "task": false}
def token_logprobs(logits, labels):
    """log p of label t+1 given the logits at t; 0 where the label is -100."""
    ### BEGIN SOLUTION
    logits, labels = logits[:, :-1], labels[:, 1:]  # position t is scored against token t + 1
    counted = labels != -100
    logp = torch.log_softmax(logits, dim=-1)
    # gather needs a valid index everywhere; what it picks at masked places is thrown away
    picked = logp.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return picked.masked_fill(~counted, 0.0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-token-logprobs", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("token-logprobs", token_logprobs)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("token-logprobs", token_logprobs)
### END HIDDEN TESTS

# %% [markdown]
# **What the model knows, token by token.** The relation of a claim is a free choice among four. The
# value then follows from the facts, and the full stop from the grammar. The probabilities show it.

# %% tags=["experiment", "nbval-ignore-output"]
token_lp = use("token-logprobs", token_logprobs)

with torch.no_grad():
    ids = torch.tensor([prompt.tolist() + text.encode(f"{claim} <eos>")])
    probabilities = token_lp(sft(ids).logits, ids)[0].exp()
words = text.decode(ids[0]).split()
pd.DataFrame({"after": words[7:-1], "token": words[8:], "probability": probabilities[7:].round(decimals=2)})

# %% [markdown]
# **What goes wrong: bfloat16.** Training frameworks run models in bfloat16, which keeps 8 significant
# bits. Rounding the logits costs something that no later step gets back. A bfloat16 log-softmax and sum add an
# error of their own, and it grows with the sum: near 400 the next number in bfloat16 is 2 away. This second error is
# free to avoid: convert the logits to float32 *before* the log-softmax, as trainers do. (The exercise's rule "no cast
# inside" is about its interface.) The cell separates the two, on responses of a dozen tokens.

# %% tags=["experiment", "nbval-ignore-output"]
texts = [p.tolist() + r for p, r in zip(prompts[:200], answers[:200], strict=True)]
ids = models.pad_rows(texts, text.PAD_ID)
labels = models.pad_rows([[-100] * text.PROMPT_LENGTH + t[text.PROMPT_LENGTH :] for t in texts], -100)
with torch.no_grad():
    logits = sft(ids).logits
    half = logits.bfloat16()
    true = token_lp(logits.double(), labels).sum(-1)
    rounded_logits = token_lp(half.double(), labels).sum(-1)
    variants = {
        "bfloat16 logits, float32 log-softmax and sum": token_lp(half.float(), labels).sum(-1),
        "everything in bfloat16": token_lp(half, labels).sum(-1).double(),
    }
rounding = pd.DataFrame(
    {
        name: {
            "off from the exact sum by, at most": (sums - true).abs().max().item(),
            "of which after the rounding of the logits": (sums - rounded_logits).abs().max().item(),
        }
        for name, sums in variants.items()
    }
).T
display(rounding.map("{:.1e}".format))

# %% tags=["experiment"]
print("-405.08 in bfloat16:", torch.tensor(-405.08).bfloat16().item())
added = rounding["of which after the rounding of the logits"]
print(
    "a float32 log-softmax adds less than a hundredth of what a bfloat16 one adds:",
    bool(added.iloc[0] * 100 < added.iloc[1]),
)

# %% [markdown]
# ### Exercise: the log-probability of a sequence
#
# `sequence-logprob` · difficulty 2/5 · about 10 minutes · 5 points
#
# $$\log \pi_\theta(y \mid x) = \sum_{t} \log \pi_\theta(y_t \mid x, y_{<t})
# \qquad\text{or, with } \texttt{average}, \quad \frac{1}{|y|} \sum_{t} \log \pi_\theta(y_t \mid x, y_{<t})$$
#
# DPO uses the sum, since the reward and the KL divergence of notebook 01 belong to whole responses.
# Other methods use the mean (SimPO, ORPO).
#
# - `logits` (B, T, V), `labels` (B, T) as before; each row has at least one token that counts.
# - `average`: divide by the number of counted tokens of **that row**. A token of probability 1 has
#   log-probability 0 and counts too.
# - result (B,).
#
# Graded: sums, means, stability for logits of ±1e4, the gradient, that dtype and inputs stay as they are.
#
# Stuck? Run `hint("sequence-logprob")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "sequence-logprob", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sequence_logprob(logits, labels, average=False):
    """Log-probability of each row's counted tokens: the sum, or the mean over them."""
    ### BEGIN SOLUTION
    logits, labels = logits[:, :-1], labels[:, 1:]
    counted = labels != -100
    logp = torch.log_softmax(logits, dim=-1).gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    total = logp.masked_fill(~counted, 0.0).sum(-1)
    # the count comes from the mask: a log-probability of 0 may be a token of probability 1
    return total / counted.sum(-1) if average else total
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-sequence-logprob", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("sequence-logprob", sequence_logprob)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("sequence-logprob", sequence_logprob)
### END HIDDEN TESTS

# %% [markdown]
# Each factor of $\pi(y \mid x)$ is at most 1. So a longer response has, other things equal, a *lower*
# probability. Keep that in mind when length bias comes up: it is often explained as "a longer
# response is likelier", which is the wrong way round.

# %% tags=["experiment"]
sequence_lp = use("sequence-logprob", sequence_logprob)

with torch.no_grad():
    total, mean = sequence_lp(logits, labels), sequence_lp(logits, labels, average=True)
counts = (labels != -100).sum(-1)
short, long = counts <= counts.median(), counts > counts.median()
conclude("the longer half has the lower mean sum", total[long].mean() < total[short].mean())
print("sum = mean x number of tokens:", bool(torch.allclose(mean * counts, total, atol=1e-4)))

# %% [markdown]
# ## 4. A batch of pairs, and its mask
#
# A preference pair is a prompt, a chosen and a rejected response. The model needs rectangles: rows of
# equal length, filled up with padding, and labels that say which tokens count.

# %% [markdown]
# ### Exercise: collate preferences
#
# `collate-preferences` · difficulty 3/5 · about 20 minutes · 6 points
#
# - `examples`: a list of B dicts, each with `prompt`, `chosen` and `rejected`: lists of token ids.
# - `pad_id`: the id that fills a row.
# - result: a dict of three int64 tensors of shape (2B, T), T the longest row. The B chosen rows come
#   first, then the B rejected rows, in the order of the examples.
#
# | key | holds |
# |---|---|
# | `input_ids` | prompt + completion exactly as given, then `pad_id` |
# | `attention_mask` | 1 on prompt and completion, 0 on padding |
# | `labels` | the ids of the completion; −100 on prompt and padding |
#
# Beware: `pad_id` may also be a genuine token. Many models pad with their end-of-sequence token, and
# then a mask made by comparing ids with `pad_id` deletes the end of every answer: the model never
# learns to stop. Go by lengths, not by ids. (Convention of the DPO authors' code and of `trl`: one
# batch, chosen first.)
#
# Graded: each of the three tensors, also with a `pad_id` that occurs in the text; their dtype; that the examples stay
# as they are.
#
# Stuck? Run `hint("collate-preferences")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "collate-preferences", "locked": false, "schema_version": 3, "solution": true, "task": false}
def collate_preferences(examples, pad_id):
    """One batch: chosen rows first, then rejected; labels -100 on prompt and padding."""
    ### BEGIN SOLUTION
    pairs = [(e["prompt"], e["chosen"]) for e in examples] + [(e["prompt"], e["rejected"]) for e in examples]
    longest = max(len(prompt) + len(completion) for prompt, completion in pairs)
    rows = {"input_ids": [], "attention_mask": [], "labels": []}
    for prompt, completion in pairs:
        prompt, completion = list(prompt), list(completion)
        used = len(prompt) + len(completion)
        padding = longest - used
        rows["input_ids"].append(prompt + completion + [pad_id] * padding)
        rows["attention_mask"].append([1] * used + [0] * padding)
        rows["labels"].append([-100] * len(prompt) + completion + [-100] * padding)
    return {key: torch.tensor(value, dtype=torch.int64) for key, value in rows.items()}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-collate-preferences", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("collate-preferences", collate_preferences)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("collate-preferences", collate_preferences)
### END HIDDEN TESTS

# %% [markdown]
# **Look at the mask before you train.** Most silent bugs in preference training are off-by-one or
# masking errors, and a table of decoded tokens shows them at once. Here is the rejected row of a pair
# whose chosen response is longer. "Counted" must begin with the response's first word and end with
# `<eos>`.

# %% tags=["experiment"]
collate = use("collate-preferences", collate_preferences)

pair = {
    "prompt": prompt.tolist(),
    "chosen": text.encode(f"{claim} hope it helps . <eos>"),
    "rejected": text.encode("yes right . <eos>"),
}
batch = collate([pair], text.PAD_ID)
row = {key: value[1] for key, value in batch.items()}
counted = row["labels"] != -100
mask_table = pd.DataFrame(
    {
        "token": text.decode(row["input_ids"]).split(),
        "attention": row["attention_mask"].tolist(),
        "label": [text.VOCABULARY[label] if label >= 0 else "-100" for label in row["labels"].tolist()],
        "counted?": ["yes" if c else "" for c in counted.tolist()],
        "scored by the logits at": [t - 1 if c else "" for t, c in enumerate(counted.tolist())],
    }
)
mask_table

# %% [markdown]
# ## 5. The loss
#
# Notebook 01 ended with
#
# $$\mathcal{L}_{\text{DPO}} = -\log \sigma\!\left(\beta\left[
# \log\frac{\pi_\theta(y_w \mid x)}{\pi_{\text{ref}}(y_w \mid x)} -
# \log\frac{\pi_\theta(y_l \mid x)}{\pi_{\text{ref}}(y_l \mid x)}\right]\right)$$
#
# (Rafailov et al. 2023, eq. 7), for a chosen response $y_w$ and a rejected one $y_l$. The bracket is
# the **margin**, in nats. It does not say that the policy prefers $y_w$: it says that, *compared with
# the reference*, $y_w$ has gained on $y_l$.

# %% [markdown]
# ### Exercise: the DPO loss
#
# `dpo-loss` · difficulty 2/5 · about 10 minutes · 6 points
#
# - `policy_chosen`, `policy_rejected`, `ref_chosen`, `ref_rejected`: (B,), summed log-probabilities.
# - `beta`: a float > 0.
# - result: (B,), one loss per pair, **not** reduced; the training step takes the mean.
#
# Graded: the values, stability for margins of ±1e4 (no NaN, no infinity, no lost gradient), the
# gradient into the policy and none into the reference, that dtype and inputs stay as they are.
#
# Stuck? Run `hint("dpo-loss")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "dpo-loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    """-log sigmoid(beta * margin), one value per pair."""
    ### BEGIN SOLUTION
    chosen = policy_chosen - ref_chosen.detach()  # the reference is a constant
    rejected = policy_rejected - ref_rejected.detach()
    # logsigmoid, not log(sigmoid): the latter is log(0) for a very negative margin
    return -torch.nn.functional.logsigmoid(beta * (chosen - rejected))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-dpo-loss", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("dpo-loss", dpo_loss)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("dpo-loss", dpo_loss)
### END HIDDEN TESTS

# %% [markdown]
# The gradient of the loss with respect to the margin is $-\beta\,\sigma(-\beta \cdot \text{margin})$. A
# pair pulls hardest while it is still wrong and lets go slowly once it is right: how slowly is
# set by $\beta$. At $\beta = 0.1$ a margin of 10 nats still has 54 % of the pull that it had at 0.

# %% tags=["experiment"]
loss_of = use("dpo-loss", dpo_loss)


def weight_curve(beta):
    """|dL / dmargin| on a grid of margins, by autograd."""
    margin = torch.linspace(-20, 20, 161, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros_like(margin)
    (slope,) = torch.autograd.grad(loss_of(margin, zero, zero, zero, beta).sum(), margin)
    return margin.detach(), -slope


fig, ax = plots.figure()
for beta in (0.1, 0.5, 1.0):
    ax.plot(*weight_curve(beta), label=f"β = {beta}")
ax.set(xlabel="margin (nats)", ylabel="pull of the pair, β σ(−β·margin)")
ax.legend()
plots.show(
    fig,
    "The pull of a pair against its margin: it tends to β for wrong pairs and to 0 for right ones, over a width of 1/β.",
)

# %% tags=["experiment", "nbval-ignore-output"]
from ipywidgets import FloatLogSlider, VBox, interactive_output


def draw_weight(beta):
    fig, ax = plots.figure()
    margin, pull = weight_curve(beta)
    ax.plot(margin, pull / beta)
    ax.set(xlabel="margin (nats)", ylabel="pull, as a share of β", ylim=(0, 1.05), title=f"β = {beta:.2f}")
    plt.show()


slider = FloatLogSlider(value=0.1, base=10, min=-2, max=1, step=0.1, description="β")
VBox([slider, interactive_output(draw_weight, {"beta": slider})])

# %% [markdown]
# **The loss at step 0 is log 2.** Before the first update the policy *is* the reference, every margin
# is exactly 0, and −log σ(0) = log 2 ≈ 0.693. This is the cheapest test in preference training: with dropout
# off, and up to rounding, any other number at step 0 means a bug.
#
# We need pairs. As in practice, both responses are sampled from the SFT model; noisy raters then prefer one
# of them, $P(a \succ b) = \sigma\big((u_a - u_b)/0.5\big)$ with $u$ the gold reward.

# %% tags=["experiment"]
PAIRS = at_scale(fast=100, default=1000)


def make_pairs(count, seed, length_bias=0.0):
    """Pairs of responses sampled from the SFT model, labelled by noisy raters."""
    prompts = text.make_prompts(count, seed=1000 + seed)
    first, second = answer(sft, prompts, 2 * seed), answer(sft, prompts, 2 * seed + 1)
    return text.label_pairs(prompts, first, second, seed, length_bias)


def summed(model, batch):
    """Summed log-probabilities of a batch's responses: (chosen, rejected), each (B,)."""
    logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return sequence_lp(logits, batch["labels"]).chunk(2)


pairs, unseen = make_pairs(PAIRS, seed=0), make_pairs(at_scale(50, 300), seed=500)
batch = collate(pairs[:32], text.PAD_ID)
with torch.no_grad():
    policy_logps, reference_logps = summed(sft, batch), summed(copy.deepcopy(sft), batch)
margins = (policy_logps[0] - reference_logps[0]) - (policy_logps[1] - reference_logps[1])
at_start = loss_of(*policy_logps, *reference_logps, beta=0.5)
print("largest margin at step 0:", margins.abs().max().item())
print(f"loss at step 0: {at_start.mean().item():.6f}    log 2: {math.log(2):.6f}")

# %% [markdown]
# **What goes wrong: a reference with dropout on.** A reference in training mode is another
# distribution at every step. Here is one with 10 % attention dropout: margins are no longer 0
# and the loss is no longer log 2, although policy and reference have the same weights.

# %% tags=["experiment", "nbval-ignore-output"]
noisy = copy.deepcopy(sft)
for layer in noisy.model.layers:
    layer.self_attn.attention_dropout = 0.1
torch.manual_seed(0)
with torch.no_grad():
    scored = {"train": summed(noisy.train(), batch), "eval": summed(noisy.eval(), batch)}
start_losses = {
    mode: loss_of(*policy_logps, *logps, beta=0.5).mean().item() for mode, logps in scored.items()
}
for mode, loss in start_losses.items():
    print(f"reference in {mode} mode: loss at step 0 is {loss:.4f}")

# %% tags=["experiment"]
for mode, loss in start_losses.items():
    print(f"reference in {mode} mode: log 2 to 1e-6:", "yes" if abs(loss - math.log(2)) < 1e-6 else "no")

# %% [markdown]
# ### Exercise: the numbers to watch
#
# `dpo-metrics` · difficulty 2/5 · about 10 minutes · 5 points
#
# The implicit reward of a response is $\hat r(x, y) = \beta \log \frac{\pi_\theta(y \mid x)}{\pi_{\text{ref}}(y \mid x)}$
# (Rafailov et al. 2023, section 4, without the part $\beta \log Z(x)$ that depends on the prompt only).
#
# Arguments as for `dpo_loss`. Return a dict of Python floats:
#
# | key | meaning |
# |---|---|
# | `chosen_reward` | batch mean of the implicit reward of the chosen responses |
# | `rejected_reward` | the same for the rejected |
# | `margin` | batch mean of chosen minus rejected reward: β times the margin of section 5 |
# | `accuracy` | share of pairs, 0 to 1, whose chosen reward is the larger (a tie is not) |
#
# Graded: the four numbers, that they are Python floats, that inputs stay as they are.
#
# Stuck? Run `hint("dpo-metrics")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "dpo-metrics", "locked": false, "schema_version": 3, "solution": true, "task": false}
def dpo_metrics(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    """Mean implicit rewards, their margin, and the share of pairs in the right order."""
    ### BEGIN SOLUTION
    chosen = beta * (policy_chosen - ref_chosen)
    rejected = beta * (policy_rejected - ref_rejected)
    return {
        "chosen_reward": chosen.mean().item(),
        "rejected_reward": rejected.mean().item(),
        "margin": (chosen - rejected).mean().item(),
        "accuracy": (chosen > rejected).float().mean().item(),
    }
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-dpo-metrics", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("dpo-metrics", dpo_metrics)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("dpo-metrics", dpo_metrics)
### END HIDDEN TESTS

# %% [markdown]
# ## 6. Training
#
# ### Exercise: one training step
#
# `train-step` · difficulty 3/5 · about 25 minutes · 8 points
#
# - `policy`, `reference`: models, called as `model(input_ids, attention_mask=attention_mask)`; the
#   result has `.logits` (2B, T, V).
# - `batch`: what `collate_preferences` returns: B chosen rows, then B rejected rows.
# - `optimizer`: holds the policy's parameters.
# - result: the loss **before** the update, a Python float.
#
# Make one update of the policy on the batch mean of the DPO loss, with summed log-probabilities.
# Gradients that are left from earlier must not count. The reference gets no gradient (computing one would
# also hold its activations in memory), and is put, and left, in eval mode. The policy is not switched to eval mode:
# it is being trained.
#
# Graded: the policy after the update, the returned loss, that the attention mask reaches both models, leftover gradients,
# no gradient into the reference, the reference's mode.
#
# Stuck? Run `hint("train-step")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "train-step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def train_step(policy, reference, batch, optimizer, beta=0.1):
    """One update of the policy on a batch of preference pairs; returns the loss before it."""

    ### BEGIN SOLUTION
    def score(model):
        """Summed log-probability of each response: chosen (B,), rejected (B,)."""
        logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
        labels = batch["labels"][:, 1:]
        logp = torch.log_softmax(logits, dim=-1).gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        return logp.masked_fill(labels == -100, 0.0).sum(-1).chunk(2)

    reference.eval()  # no dropout: the reference is one fixed distribution
    with torch.no_grad():
        ref_chosen, ref_rejected = score(reference)
    chosen, rejected = score(policy)
    margin = (chosen - ref_chosen) - (rejected - ref_rejected)
    loss = -torch.nn.functional.logsigmoid(beta * margin).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-train-step", "locked": true, "points": 8, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("train-step", train_step)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("train-step", train_step)
### END HIDDEN TESTS

# %% [markdown]
# **The whole of DPO training** is now a loop around your step. We take β = 0.5, a learning rate of
# 2e-4 with ten steps of warm-up, and 150 steps of 32 pairs. (The β of 0.1 that is common for large models
# lets this small one run far away from its reference.) Every 15 steps we look at training pairs, at pairs
# the policy has never seen, and at what it now answers: the gold reward, and the exact KL divergence of each
# next-token distribution from the reference's, summed over the response.
#
# At step 0 every pair is a tie, and a tie is no success: accuracy starts at 0, not at one half.

# %% tags=["experiment"]
metrics_of, step_of = use("dpo-metrics", dpo_metrics), use("train-step", train_step)
BETA, STEPS, EVERY = 0.5, at_scale(fast=8, default=150), at_scale(fast=4, default=15)


def train_dpo(start, pairs, seed=0, watch=None):
    """DPO from `start`, which is also the reference. Calls watch(step, policy) now and then. Returns the policy."""
    policy, reference = copy.deepcopy(start), copy.deepcopy(start)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=2e-4, weight_decay=0.0)
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 10))
    batches = random.Random(seed)
    for step in range(STEPS + 1):
        if watch and step % EVERY == 0:
            watch(step, policy)
        if step < STEPS:
            step_of(policy, reference, collate(batches.sample(pairs, 32), text.PAD_ID), optimizer, BETA)
            warm_up.step()
    return policy.eval()


@torch.no_grad()
def score_pairs(policy, pairs):
    """Policy and reference log-probabilities of pairs: four vectors, in the order of the loss's arguments."""
    batch = collate(pairs, text.PAD_ID)
    return *summed(policy, batch), *summed(sft, batch)


log = []


def watch(step, policy):
    seen, new = score_pairs(policy, pairs[:300]), score_pairs(policy, unseen)
    few = EVALUATION[:300]
    responses = answer(policy, few, seed=step)
    gold = text.gold_rewards(few, responses)
    log.append(
        {
            "step": step,
            "loss": loss_of(*seen, BETA).mean().item(),
            "unseen loss": loss_of(*new, BETA).mean().item(),
            "reward margin": metrics_of(*seen, BETA)["margin"],
            "accuracy": metrics_of(*seen, BETA)["accuracy"],
            "unseen accuracy": metrics_of(*new, BETA)["accuracy"],
            "chosen": seen[0].mean().item(),
            "rejected": seen[1].mean().item(),
            "gold": gold.mean().item(),
            "gold error": gold.std().item() / len(few) ** 0.5,
            "KL": models.exact_kl(policy, sft, few, responses).mean().item(),
        }
    )


started = time.perf_counter()
policy = train_dpo(sft, pairs, watch=watch)
seconds = time.perf_counter() - started
log = pd.DataFrame(log).set_index("step")
print(f"loss at step 0: {log.loss.iloc[0]:.4f}, reward margin: {log['reward margin'].iloc[0]:.4f}")

# %% tags=["experiment", "nbval-ignore-output"]
print(f"{STEPS} steps in {seconds:.1f} seconds")
display(log.round(3))


def gold_of(which):
    """Gold rewards of one side of the training pairs."""
    return text.gold_rewards([torch.tensor(p["prompt"]) for p in pairs], [p[which] for p in pairs])


# the raters are noisy: even the true reward does not order all pairs as they did
ceiling = (gold_of("chosen") > gold_of("rejected")).double().mean().item()
print(f"the gold reward orders {ceiling:.0%} of the training pairs as the raters did")
fig, (left, right) = plots.figure(columns=2)
left.plot(log["loss"], label="training pairs")
left.plot(log["unseen loss"], label="unseen pairs")
left.axhline(math.log(2), color="grey", linewidth=1, linestyle=":")
left.set(xlabel="step", ylabel="DPO loss (nats), dotted: log 2")
left.legend()
moved = log.iloc[1:]  # at step 0 all pairs are ties
right.plot(moved["accuracy"], label="training pairs")
right.plot(moved["unseen accuracy"], label="unseen pairs")
right.axhline(ceiling, color="grey", linewidth=1, linestyle=":")
right.set(xlabel="step", ylabel="accuracy, dotted: the gold reward's", ylim=(0.5, 1))
right.legend(loc="upper left")
plots.show(
    fig,
    "Left, the DPO loss falls on training pairs and on unseen ones. Right, the accuracy of the implicit reward from "
    "the first look on, below that of the gold reward.",
)

# %% tags=["experiment"]
start, end = log.iloc[0], log.iloc[-1]
conclude("the loss on training pairs is below 0.6 at the end", end["loss"] < 0.6)
conclude("the implicit reward orders more than 65 % of the training pairs rightly", end["accuracy"] > 0.65)
conclude("and more than 55 % of the unseen ones", end["unseen accuracy"] > 0.55)

# %% [markdown]
# ## 7. What got better, and what got worse
#
# The loss fell. That is a statement about pairs; the question is what the *policy* now says. We know the
# gold reward, so we can look: new prompts, sampled answers, along the run and, with more samples, before and after.


# %% tags=["experiment", "nbval-ignore-output"]
def look(model):
    """What a policy does on the evaluation prompts: means per response."""
    responses = answer(model, EVALUATION, seed=3)
    gold = text.gold_rewards(EVALUATION, responses)
    kinds = [c.kind for p, r in zip(EVALUATION, responses, strict=True) for c in text.parse(p, r)]
    count = len(EVALUATION)
    return {
        "gold reward": gold.mean().item(),
        "(standard error)": gold.std().item() / count**0.5,
        "KL from the SFT model": models.exact_kl(model, sft, EVALUATION, responses).mean().item(),
        "words": sum(map(text.length, responses)) / count,
        "right verdicts": kinds.count("right verdict") / count,
        "wrong verdicts": kinds.count("wrong verdict") / count,
        "true claims": kinds.count("true claim") / count,
        "false claims": kinds.count("false claim") / count,
        "repeats": kinds.count("repeat") / count,
        "malformed clauses": kinds.count("malformed") / count,
    }


fig, (left, right) = plots.figure(columns=2)
left.errorbar(log.index, log["gold"], yerr=2 * log["gold error"], marker="o", capsize=3)
left.set(xlabel="step", ylabel="gold reward (bars: ±2 s.e.)")
right.plot(log["KL"], marker="o")
right.set(xlabel="step", ylabel="KL from SFT (nats)")
plots.show(fig, "Gold reward and KL divergence of the policy's own samples during DPO: both rise.")

before, after = look(sft), look(policy)
display(pd.DataFrame({"SFT": before, "DPO": after}).round(2))
show_answers(policy)

# %% tags=["experiment"]
conclude("gold reward rose", after["gold reward"] > before["gold reward"])
conclude("fewer false claims", after["false claims"] < before["false claims"])
conclude("but more malformed clauses", after["malformed clauses"] > before["malformed clauses"])
conclude("and a policy that has moved more than half a nat", after["KL from the SFT model"] > 0.5)

# %% [markdown]
# So the answers are better on average, and damaged in a way that the labels spoke *against*: count the malformed
# clauses in the training pairs.

# %% tags=["experiment", "nbval-ignore-output"]
malformed = {
    which: sum(c.kind == "malformed" for p in pairs for c in text.parse(torch.tensor(p["prompt"]), p[which]))
    for which in ("chosen", "rejected")
}
print("malformed clauses in the training pairs:", malformed)

# %% tags=["experiment"]
conclude(
    "the rejected responses hold more than twice as many", malformed["rejected"] > 2 * malformed["chosen"]
)

# %% [markdown]
# The loss never looks at what the policy samples; it only compares the responses in the data. There is no KL term
# on the policy's own samples that would hold the rest in place. (This is one run. With other seeds the gain in gold
# differs by a few tenths; what is printed above as "yes" is what to remember.)

# %% [markdown]
# **Likelihood displacement.** "DPO raises the probability of the chosen response and lowers that of the
# rejected one" is a common reading of the gradient, and false. Only their *difference* must rise. Look at
# the two log-probabilities separately.

# %% tags=["experiment", "nbval-ignore-output", "readme"]
fig, ax = plots.figure()
ax.plot(log["chosen"] - log["chosen"].iloc[0], label="chosen")
ax.plot(log["rejected"] - log["rejected"].iloc[0], label="rejected")
ax.axhline(0, color="grey", linewidth=1, linestyle=":")
ax.set(xlabel="step", ylabel="change of the mean log-probability (nats)")
ax.legend()
plots.show(
    fig,
    "Change of log-probability of the chosen and the rejected training responses: both fall, the rejected further.",
)

chosen, rejected, ref_chosen, ref_rejected = score_pairs(policy, pairs)
print(f"chosen responses that became less likely: {(chosen < ref_chosen).float().mean():.0%}")
print(
    f"pairs that the implicit reward orders rightly:      {(chosen - ref_chosen > rejected - ref_rejected).float().mean():.0%}"
)
print(
    f"pairs in which the policy gives the chosen response more probability than the rejected one: "
    f"{(chosen > rejected).float().mean():.0%} (the reference: {(ref_chosen > ref_rejected).float().mean():.0%})"
)
share = [(c.exp() + r.exp()).mean().item() for c, r in ((ref_chosen, ref_rejected), (chosen, rejected))]
print(f"probability that both responses of a pair hold together: {share[0]:.2%} before, {share[1]:.2%} after")

# %% tags=["experiment"]
conclude("the mean log-probability of chosen responses fell", end["chosen"] < start["chosen"])
conclude(
    "more than half of the chosen responses became less likely", (chosen < ref_chosen).float().mean() > 0.5
)
conclude("the margin rose all the same", end["reward margin"] > start["reward margin"])
ranked = (chosen > rejected).float().mean()
rewarded = (chosen - ref_chosen > rejected - ref_rejected).float().mean()
conclude("the implicit reward is right more often than the policy's own ranking", rewarded > ranked)

# %% [markdown]
# Where does the probability go? The two responses of a pair hold about one per cent of it, before and after. What
# matters is how the rest shifts: here mostly to true claims, but also to malformed clauses and repeats. Nothing in
# the loss decides which. In a large model this can be serious: Razin et al. (2024, arXiv 2410.08847) report that DPO
# on preferences for *refusals* lowered the refusal rate of Llama-3-8B-Instruct from 74.4 % to 33.4 %.
#
# The two kinds of pairs counted under the figure deserve a thought too. "Accuracy" in DPO logs is that of the implicit
# reward, a statement relative to the reference. It is not the share of pairs in which the policy would
# rather produce the chosen response.

# %% [markdown]
# **What goes wrong: the prompt in the sum, padding on the left.** Many hand-written versions add up the
# log-probabilities of prompt *and* response. With padding on the right this cancels in DPO, as both
# responses share the prompt; so the bug sleeps. It wakes with left padding, where the first prompt token
# is scored from a padding position, and with anything that is not a difference of sums: one response's
# reward, or a mean over tokens.


# %% tags=["experiment", "nbval-ignore-output"]
def place(pairs, side, with_prompt):
    """A batch padded on one side, with the prompt's tokens counted or not."""
    rows = [(p["prompt"], p[which]) for which in ("chosen", "rejected") for p in pairs]
    head = [prompt if with_prompt else [-100] * len(prompt) for prompt, _ in rows]
    return {
        "input_ids": models.pad_rows([p + r for p, r in rows], text.PAD_ID, side),
        "attention_mask": models.pad_rows([[1] * len(p + r) for p, r in rows], 0, side),
        "labels": models.pad_rows([h + r for h, (_, r) in zip(head, rows, strict=True)], -100, side),
    }


@torch.no_grad()
def log_ratios(batch, average=False):
    scores = [
        sequence_lp(
            m(batch["input_ids"], attention_mask=batch["attention_mask"]).logits, batch["labels"], average
        )
        for m in (policy, sft)
    ]
    return (scores[0] - scores[1]).chunk(2)


some = pairs[:200]
variants = {}
for side in ("right", "left"):
    for with_prompt in (False, True):
        batch = place(some, side, with_prompt)
        (chosen_sum, rejected_sum), (chosen_mean, rejected_mean) = (
            log_ratios(batch),
            log_ratios(batch, average=True),
        )
        counted = "prompt and response" if with_prompt else "response only"
        name = f"{counted}, padded on the {side}"
        variants[name] = (chosen_sum - rejected_sum, BETA * chosen_sum, chosen_mean - rejected_mean)
truth = variants["response only, padded on the right"]
off = pd.DataFrame(
    {
        name: {
            "margin off by, at most": (margin - truth[0]).abs().max().item(),
            "chosen reward off by, at most": (reward - truth[1]).abs().max().item(),
            "pairs whose mean-based margin turns its sign": (mean.sign() != truth[2].sign())
            .double()
            .mean()
            .item(),
        }
        for name, (margin, reward, mean) in variants.items()
    }
).T
display(off.round(4))

# %% tags=["experiment"]
error = off["margin off by, at most"]
print(
    "response only: the margin is the same under both paddings:",
    bool(error["response only, padded on the left"] < 1e-3),
)
print(
    "with the prompt, right padding: it cancels in the margin:",
    bool(error["prompt and response, padded on the right"] < 1e-3),
)
conclude(
    "with the prompt, left padding: it does not", error["prompt and response, padded on the left"] > 0.01
)
wrong_prompt = off.loc["prompt and response, padded on the right"]
conclude("with the prompt, one response's reward is off, even right padded", wrong_prompt.iloc[1] > 0.01)
conclude("and some mean-based margins turn their sign", wrong_prompt.iloc[2] > 0)

# %% [markdown]
# ## 8. Is it right? The same numbers from `trl`
#
# A check can be wrong in the same way as the code. So here is an independent implementation: the
# `DPOTrainer` of Hugging Face's `trl`. It gets the pairs as *text*, tokenises them, collates its own
# batch and computes its own loss. Same weights in, loss and gradient must agree.
#
# Some of its defaults matter on a laptop: bfloat16 and gradient checkpointing are on unless told
# otherwise. And `trl` appends `<eos>` to a response that does not end in it.

# %% tags=["experiment", "nbval-ignore-output"]
import tempfile

import datasets
from trl import DPOConfig, DPOTrainer

datasets.disable_progress_bars()
# a sample that ran into the length limit has no <eos>; trl would add one
some = [p for p in pairs if p["chosen"][-1] == p["rejected"][-1] == text.EOS_ID][:16]
as_text = datasets.Dataset.from_list(
    [
        {
            "prompt": text.decode(p["prompt"]),
            "chosen": " " + text.decode(p["chosen"]),
            "rejected": " " + text.decode(p["rejected"]),
        }
        for p in some
    ]
)
with tempfile.TemporaryDirectory() as folder:
    trainer = DPOTrainer(
        model=copy.deepcopy(policy),
        ref_model=copy.deepcopy(sft),
        args=DPOConfig(
            output_dir=folder, beta=BETA, report_to="none", use_cpu=True, bf16=False,
            gradient_checkpointing=False, save_strategy="no", disable_tqdm=True,
        ),
        train_dataset=as_text,
        processing_class=models.word_tokenizer(text.VOCABULARY),
    )  # fmt: skip
    their_batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(some))])
    their_loss = trainer.compute_loss(trainer.model, their_batch)
    their_loss.backward()
their_gradient = {name: p.grad for name, p in trainer.model.named_parameters()}

ours = copy.deepcopy(policy)
batch = collate(some, text.PAD_ID)
with torch.no_grad():
    reference_logps = summed(sft, batch)
our_loss = loss_of(*summed(ours, batch), *reference_logps, BETA).mean()
our_loss.backward()

loss_gap = abs(our_loss.item() - their_loss.item())
gradient_gap = max((p.grad - their_gradient[name]).abs().max().item() for name, p in ours.named_parameters())
print(
    f"loss: ours {our_loss.item():.6f}, trl {their_loss.item():.6f}; largest difference in the gradient {gradient_gap:.1e}"
)

# %% tags=["experiment"]
same_labels = their_batch["input_ids"].masked_fill(their_batch["completion_mask"] == 0, -100)
print("the same token ids:", torch.equal(batch["input_ids"], their_batch["input_ids"]))
print("the same tokens counted:", torch.equal(batch["labels"], same_labels))
print("losses agree to 1e-5:", loss_gap < 1e-5)
print("gradients of all", len(their_gradient), "weight tensors agree to 1e-5:", gradient_gap < 1e-5)

# %% [markdown]
# ## 9. The reference for nothing
#
# DPO needs two roles, policy and reference, but not two models in memory.
#
# **LoRA with the adapter off.** A low-rank adapter adds $\frac{\alpha}{r} BA$ to some weight matrices; only A
# and B are trained. Switched off, what remains is the model you started from. So one set of weights plays both
# roles. Nothing of your code changes but the line that asks the reference.

# %% tags=["experiment", "nbval-ignore-output"]
from peft import LoraConfig, get_peft_model

torch.manual_seed(0)
adapted = get_peft_model(
    copy.deepcopy(sft), LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"])
)
optimizer = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=2e-3, weight_decay=0.0)
batches = random.Random(0)
lora_losses = []
for _ in range(at_scale(4, 30)):
    batch = collate(batches.sample(pairs, 32), text.PAD_ID)
    with torch.no_grad(), adapted.disable_adapter():
        reference_logps = summed(adapted, batch)
    loss = loss_of(*summed(adapted, batch), *reference_logps, BETA).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    lora_losses.append(loss.item())
print("loss, every fifth step:", [round(x, 3) for x in lora_losses[::5]])

# %% tags=["experiment"]
batch = collate(pairs[:64], text.PAD_ID)
with torch.no_grad():
    base_logps = torch.cat(summed(sft, batch))
    on_logps = torch.cat(summed(adapted, batch))
    with adapted.disable_adapter():
        off_logps = torch.cat(summed(adapted, batch))
print(f"loss at step 0: {lora_losses[0]:.4f}")
print(
    "adapter off: the log-probabilities of the SFT model:",
    bool(torch.allclose(off_logps, base_logps, atol=1e-5)),
)
print("adapter on: different log-probabilities:", not torch.allclose(on_logps, base_logps, atol=1e-2))
weights = sum(p.numel() for p in sft.parameters())
trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
print(
    f"two models hold {2 * weights:,} weights; one with an adapter holds {weights + trained:,}, of which {trained:,} are trained"
)

# %% [markdown]
# **Cached log-probabilities.** The reference never changes and neither do the pairs. So each response's
# reference log-probability can be computed once, before training, and looked up. The loss is the same;
# the reference may even leave the memory. `trl` calls this `precompute_ref_log_probs`. It pays when
# a pair is seen more than once, and it does not work where responses are sampled during training.
#
# The cell counts rows that pass through any model.

# %% tags=["experiment", "nbval-ignore-output"]
from collections import Counter


def short_run(pairs, cached, steps, batch_size=32):
    """A short DPO run: the loss of each step, the rows that passed through a model, seconds."""
    policy, reference, seen = copy.deepcopy(sft), copy.deepcopy(sft), Counter()
    for model in (policy, reference):
        model.register_forward_hook(lambda model, inputs, output: seen.update(rows=len(output.logits)))
    optimizer = torch.optim.AdamW(policy.parameters(), lr=2e-4, weight_decay=0.0)
    batches, losses, started = random.Random(1), [], time.perf_counter()
    if cached:
        with torch.no_grad():
            parts = [
                summed(reference, collate(pairs[i : i + 100], text.PAD_ID)) for i in range(0, len(pairs), 100)
            ]
        cache = [torch.cat(side) for side in zip(*parts, strict=True)]
    for _ in range(steps):
        rows = batches.sample(range(len(pairs)), batch_size)
        batch = collate([pairs[i] for i in rows], text.PAD_ID)
        with torch.no_grad():
            reference_logps = [side[rows] for side in cache] if cached else summed(reference, batch)
        loss = loss_of(*summed(policy, batch), *reference_logps, BETA).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, seen["rows"], time.perf_counter() - started


some, steps = pairs[:500], at_scale(fast=4, default=60)
online, with_cache = (short_run(some, cached, steps) for cached in (False, True))
largest = max(abs(a - b) for a, b in zip(online[0], with_cache[0], strict=True))
print(
    f"largest difference of a loss {largest:.1e}; {online[2]:.1f} seconds online, {with_cache[2]:.1f} cached"
)

# %% tags=["experiment"]
print(f"rows through a model in {steps} steps: {online[1]:,} online, {with_cache[1]:,} cached")
print(f"of these, {2 * len(some):,} filled the cache, once")
print("the losses of all steps agree to 1e-3:", largest < 1e-3)

# %% [markdown]
# ## 10. Log-probabilities without all the logits
#
# For a large vocabulary the logits are the largest tensor in training. A batch of 8 sequences of
# 2,048 tokens and a vocabulary of 128,256 has 2.1 billion logits: 8.4 GB in float32, and the
# log-softmax and its gradient are as large again. Yet of each row we want *one* number.
#
# The output layer is a matrix product, $z = h W^\top$, and $\log p(y) = z_y - \log\sum_v e^{z_v}$
# looks at one row at a time. So a few rows of logits can be formed, used, and dropped.

# %% [markdown]
# ### Exercise: log-probabilities in chunks
#
# `chunked-logprobs` · difficulty 4/5 · about 35 minutes · 7 points
#
# - `hidden` (N, d): the last hidden states, `weight` (V, d): the output layer, `labels` (N,): already
#   aligned, row i predicts label i; −100 where a row does not count.
# - `chunk_size`: how many rows of `hidden` are taken at a time; the last chunk may be smaller.
# - result (N,): the values of the full computation, exactly 0 at −100, with its gradients into
#   `hidden` and `weight`.
#
# For `chunk_size` < N no float tensor of N·V elements may exist, **neither in the forward nor in the
# backward pass**: that is what the check looks for. A plain loop over chunks meets this to the letter and misses
# its purpose, since autograd keeps every chunk's logits for the backward pass, and together they are as large as
# the full tensor (the table below shows it). Hint in one word: recompute.
#
# Graded: values, gradients, memory in both passes, stability for large logits, that dtype and inputs stay as they are.
#
# Stuck? Run `hint("chunked-logprobs")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "chunked-logprobs", "locked": false, "schema_version": 3, "solution": true, "task": false}
def chunked_token_logprobs(hidden, weight, labels, chunk_size):
    """log p of each label from hidden states, chunk_size rows of logits at a time."""
    ### BEGIN SOLUTION
    from torch.utils.checkpoint import checkpoint

    def one_chunk(rows, weight, targets):
        logp = torch.log_softmax(rows @ weight.T, dim=-1)
        picked = logp.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        return picked.masked_fill(targets == -100, 0.0)

    # checkpoint keeps a chunk's inputs only, and forms its logits again in the backward pass
    chunks = zip(hidden.split(chunk_size), labels.split(chunk_size), strict=True)
    return torch.cat(
        [checkpoint(one_chunk, rows, weight, targets, use_reentrant=False) for rows, targets in chunks]
    )
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-chunked-logprobs", "locked": true, "points": 7, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("chunked-logprobs", chunked_token_logprobs)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("chunked-logprobs", chunked_token_logprobs)
### END HIDDEN TESTS

# %% [markdown]
# On this model's own head (44 words, narrower than the hidden states) there is nothing to gain but the
# proof that the values are the same. With a vocabulary of 8,192 the logits dwarf everything else. The
# meter below notes the largest float tensor that any operation makes, forward and backward, and adds up
# what autograd keeps in between.

# %% tags=["experiment", "nbval-ignore-output"]
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

chunked = use("chunked-logprobs", chunked_token_logprobs)


class LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest float tensor made while it is active."""

    elements = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        made = [t for t in tree_leaves(result) if isinstance(t, torch.Tensor) and t.is_floating_point()]
        # a view that repeats a smaller memory counts with what it holds
        sizes = [min(t.numel(), t.untyped_storage().nbytes() // t.element_size()) for t in made]
        self.elements = max([self.elements, *sizes])
        return result


def measure(function, hidden, weight):
    """Largest tensor, floats kept for the backward pass, seconds; and the gradients."""
    hidden, weight = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    kept = {}

    def keep(tensor):
        if tensor.is_floating_point():
            kept[tensor.untyped_storage().data_ptr()] = (
                tensor.untyped_storage().nbytes() // tensor.element_size()
            )
        return tensor

    started = time.perf_counter()
    with LargestTensor() as meter:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            result = function(hidden, weight)
        result.sum().backward()
    return (
        meter.elements,
        sum(kept.values()),
        time.perf_counter() - started,
        (result.detach(), hidden.grad, weight.grad),
    )


batch = collate(pairs[:32], text.PAD_ID)
with torch.no_grad():
    states = sft.model(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    full_logits = sft(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    here = chunked(states[:, :-1].flatten(0, 1), sft.lm_head.weight, batch["labels"][:, 1:].flatten(), 64)
own_head_gap = (here.view(len(states), -1) - token_lp(full_logits, batch["labels"])).abs().max().item()

N, WIDTH, WORDS = 2048, 64, 8192
generator = torch.Generator().manual_seed(0)
hidden, weight = torch.randn(N, WIDTH, generator=generator), torch.randn(WORDS, WIDTH, generator=generator)
targets = torch.randint(WORDS, (N,), generator=generator)


def all_at_once(hidden, weight):
    return torch.log_softmax(hidden @ weight.T, dim=-1).gather(1, targets[:, None])[:, 0]


def plain_loop(hidden, weight, size=128):
    parts = zip(hidden.split(size), targets.split(size), strict=True)
    return torch.cat([torch.log_softmax(h @ weight.T, -1).gather(1, t[:, None])[:, 0] for h, t in parts])


runs = {"all at once": all_at_once, "a plain loop, 128 rows": plain_loop}
for size in (1024, 128, 16):
    runs[f"chunked, {size} rows"] = lambda hidden, weight, size=size: chunked(hidden, weight, targets, size)
measured = {name: measure(function, hidden, weight) for name, function in runs.items()}
columns = ["largest tensor", "kept for the backward pass", "seconds"]
memory = pd.DataFrame({name: run[:3] for name, run in measured.items()}, index=columns).T
display(
    memory.assign(
        **{c: memory[c].map("{:,.0f}".format) for c in columns[:2]}, seconds=memory["seconds"].round(2)
    )
)

# %% tags=["experiment"]
print(f"N x V = {N * WORDS:,} elements, {4 * N * WORDS / 1e6:.0f} MB in float32")
print("on this model's own head, the same values to 1e-4:", own_head_gap < 1e-4)
largest, kept = memory[columns[0]], memory[columns[1]]
small = measured["chunked, 128 rows"]
print("all at once makes a tensor of N x V:", bool(largest["all at once"] >= N * WORDS))
print(
    "the plain loop keeps as many for its backward pass:", bool(kept["a plain loop, 128 rows"] >= N * WORDS)
)
print(
    "chunked, the largest is more than ten times smaller:",
    bool(largest["chunked, 128 rows"] * 10 < N * WORDS),
)
print("and little is kept for the backward pass:", bool(kept["chunked, 128 rows"] * 10 < N * WORDS))
close = [torch.allclose(a, b, atol=1e-3) for a, b in zip(measured["all at once"][3], small[3], strict=True)]
print("values and both gradients agree:", all(close))

# %% [markdown]
# What the chunked version keeps is its inputs, hidden states and weight. Below a certain size smaller chunks gain
# nothing: the largest tensor is then the gradient of the weight, V × d elements, which no version can avoid.
#
# The price is one more matrix product with the output layer, in the backward pass. On a processor that
# may show in the seconds above or not: smaller tensors also stay in its caches.

# %% [markdown]
# **What each saving gains.** Chunks save memory and cost time. A DPO step offers more, and the rest saves time too:
#
# 1. *Completion rows only.* Prompt and padding need no logits, so their rows never meet the output layer.
# 2. *A cached reference* (section 9): one forward pass less in each step.
# 3. *The prompt read once.* Both responses of a pair follow the same prompt. Put prompt, chosen and rejected into
#    one row, let the positions begin again after the prompt, and block the rejected response from the chosen one:
#    every token sees what it saw before. P + 2L tokens in place of 2P + 2L.
# 4. *Gradients while the softmax is there.* What the loss asks of a token's log-probability,
#    $\partial L / \partial \log p_t$, is one number for each sequence, and with a cached reference it is known as soon as both
#    sequences of the pair are scored. So the gradients can be formed in the forward pass, pair by pair, and
#    nothing is computed twice: 6 products of size N·d·V in place of 8.
# 5. *A frozen output layer* (LoRA). $\partial \log p(y) / \partial h = w_y - \sum_v p_v w_v$ depends on nothing that comes
#    from above: form it in the forward pass, keep its d numbers, and the backward pass is one multiplication. 4 products.
#
# The first four leave the loss and every gradient as they are, the fifth trains less. Below, each is added to the ones before, for
# 8 pairs (prompt 96, responses 32 tokens) and a vocabulary of 8,192.

# %% tags=["experiment", "nbval-ignore-output"]
from functools import partial

from course_utils.logprobs import (
    completion_rows,
    preference_loss,
    score_preferences,
    sequence_logprob,
    sequence_logps,
)
from course_utils.losses import dpo_loss
from course_utils.preferences import collate_preferences

PROMPT, RESPONSE = 96, 32
generator = torch.Generator().manual_seed(0)


def random_ids(length):
    return torch.randint(3, WORDS, (length,), generator=generator).tolist()


wide, wide_reference = (models.small_model(WORDS, WIDTH, seed=seed, max_length=256) for seed in (0, 1))
random_pairs = [
    {"prompt": random_ids(PROMPT), "chosen": random_ids(RESPONSE), "rejected": random_ids(RESPONSE)}
    for _ in range(8)
]
wide_batch = collate_preferences(random_pairs, pad_id=0)
with torch.no_grad():
    cached_batch = wide_batch | {"reference_logps": sequence_logps(wide_reference, wide_batch)}


def all_logits():
    ids, mask, labels = (wide_batch[name] for name in ("input_ids", "attention_mask", "labels"))
    with torch.no_grad():
        ref = sequence_logprob(wide_reference(ids, attention_mask=mask).logits, labels)
    logps = sequence_logprob(wide(ids, attention_mask=mask).logits, labels)
    return dpo_loss(*logps.chunk(2), *ref.chunk(2), BETA).mean()


def completions_only():
    return dpo_loss(*score_preferences(wide, wide_batch, wide_reference), BETA).mean()


def cached_reference():
    return dpo_loss(*score_preferences(wide, cached_batch), BETA).mean()


def prompt_once():
    return dpo_loss(*score_preferences(wide, cached_batch, shared_prompt=True), BETA).mean()


def pair_by_pair():
    rows = completion_rows(wide, cached_batch, shared_prompt=True)
    loss = partial(dpo_loss, beta=BETA)
    return preference_loss(
        rows.hidden, rows.weight, rows.labels, rows.sequences, cached_batch["reference_logps"], loss
    )


LADDER = {
    "all logits": all_logits,
    "completion rows, in chunks": completions_only,
    "+ cached reference": cached_reference,
    "+ prompt read once": prompt_once,
    "+ gradients pair by pair": pair_by_pair,
    "+ frozen output layer": prompt_once,
}


def one_step(name):
    """Loss and gradients of one step; the tied embedding is frozen on the last rung."""
    wide.zero_grad(set_to_none=True)
    wide.lm_head.weight.requires_grad_(name != "+ frozen output layer")
    loss = LADDER[name]()
    loss.backward()
    return loss.item(), {n: p.grad for n, p in wide.named_parameters() if p.grad is not None}


tokens_read = Counter()
ladder = {}
for name in LADDER:
    hooks = [
        model.model.register_forward_hook(
            lambda module, args, output, name=name: tokens_read.update({name: output[0].shape[:2].numel()})
        )
        for model in (wide, wide_reference)
    ]
    with LargestTensor() as meter:
        loss, gradients = one_step(name)
    for hook in hooks:
        hook.remove()
    ladder[name] = {"loss": loss, "gradients": gradients, "largest": meter.elements, "seconds": math.inf}
for _ in range(at_scale(fast=1, default=6)):
    for name in LADDER:
        started = time.process_time()
        one_step(name)
        ladder[name]["seconds"] = min(ladder[name]["seconds"], time.process_time() - started)
wide.lm_head.weight.requires_grad_()

fig, axes = plots.figure(columns=2, size=(9.2, 3.2))
axes[1].sharey(axes[0])
for ax, (key, label, unit) in zip(
    axes,
    [("seconds", "CPU milliseconds per step", 1e-3), ("largest", "largest tensor (million numbers)", 1e6)],
):
    values = [run[key] / unit for run in ladder.values()]
    drawn = ax.barh(list(ladder), values, color=plots.COLOURS[0])
    ax.bar_label(drawn, [f"{v:.0f}" if v >= 10 else f"{v:.1f}" for v in values], padding=3)
    ax.set(xlabel=label, xlim=(0, 1.15 * max(values)))
    ax.grid(axis="y", visible=False)
axes[0].invert_yaxis()
axes[1].tick_params(labelleft=False)
plots.show(
    fig,
    "Time and largest tensor of one DPO step as savings are added one by one, from all logits at the top to a frozen "
    "output layer at the bottom.",
)

# %% tags=["experiment"]
first = ladder["all logits"]
print("the same loss on every rung:", all(abs(run["loss"] - first["loss"]) < 1e-5 for run in ladder.values()))
print(
    "and the same gradients, of all that is trained there:",
    all(
        torch.allclose(gradient, first["gradients"][n], rtol=1e-3, atol=1e-5)
        for run in ladder.values()
        for n, gradient in run["gradients"].items()
    ),
)
for name in ("all logits", "+ cached reference", "+ prompt read once"):
    print(f"{name}: {tokens_read[name]:,} tokens go through a model in each step")
print("all logits: a tensor of 16 x 128 x V:", bool(first["largest"] >= 16 * 128 * WORDS))
print(
    "completion rows in chunks: the largest tensor is at least 4 times smaller:",
    bool(4 * ladder["completion rows, in chunks"]["largest"] <= first["largest"]),
)

# %% [markdown]
# The seconds are those of the processor, over all its cores, so that other programs disturb them less; neighbouring rungs may
# still change places. The model here is tiny, so the output layer is most of the work, and fewer rows in chunks gain most. In a large model the
# layers below weigh more: then reading fewer tokens, by the cache and the shared prompt, is what shortens a step, and the
# output layer's savings are about memory. `make bench` in the course folder measures both sides at full size, beside `trl`.

# %% [markdown]
# ## 11. Length bias
#
# People often take the longer answer for the better one. What does DPO make of such labels? Two different
# things get mixed up here:
#
# - If the *data* prefer length, the implicit reward learns it, as it learns anything else.
# - Even without that, the implicit reward is a *sum* over tokens of log-ratios, so its size could
#   grow with length. The experiment below prints whether it does here. Park et al. (2024, arXiv 2403.19159) document the exploitation of length in DPO and
#   link it to out-of-distribution bootstrapping.
#
# It is **not** that the policy "makes $y_w$ longer to make it likelier": $y_w$ is data and does not change,
# and more tokens mean a lower probability.

# %% [markdown]
# ### Exercise: a meter for length bias
#
# `length-bias` · difficulty 2/5 · about 10 minutes · 3 points
#
# Spearman's rank correlation of implicit rewards and response lengths (Spearman 1904): replace each
# value by its rank, tied values by the mean of their ranks, and take Pearson's correlation of the ranks.
# With $a_i, b_i$ the ranks,
#
# $$\rho = \frac{\sum_i (a_i - \bar a)(b_i - \bar b)}{\sqrt{\sum_i (a_i - \bar a)^2 \sum_i (b_i - \bar b)^2}}$$
#
# - `rewards`, `lengths`: equally long lists of numbers (tuples, arrays and 1-D tensors come too).
# - result: a Python float, −1 to 1.
#
# Ranks, because one huge reward should not decide the verdict. Ties are the rule: lengths are whole
# numbers.
#
# Graded: values with and without ties, the other kinds of lists.
#
# Stuck? Run `hint("length-bias")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "length-bias", "locked": false, "schema_version": 3, "solution": true, "task": false}
def length_bias(rewards, lengths):
    """Spearman correlation of implicit reward and response length."""
    ### BEGIN SOLUTION
    from scipy.stats import rankdata

    def ranks(values):
        values = torch.as_tensor(values).tolist()
        return torch.tensor(rankdata(values), dtype=torch.float64)  # ties share their mean rank

    return torch.corrcoef(torch.stack([ranks(rewards), ranks(lengths)]))[0, 1].item()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-length-bias", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("length-bias", length_bias)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("length-bias", length_bias)
### END HIDDEN TESTS

# %% [markdown]
# **The experiment.** The same responses, the same training, but the raters now add 0.25 points of reward for
# each word. (A true claim, at 4 words, is worth 1.) Then both policies are asked for the implicit reward
# of fresh responses of the SFT model.

# %% tags=["experiment", "nbval-ignore-output"]
bias_of = use("length-bias", length_bias)

biased_pairs = make_pairs(PAIRS, seed=0, length_bias=0.25)
biased_policy = train_dpo(sft, biased_pairs)


@torch.no_grad()
def implicit_rewards(policy, responses):
    """beta times the log-ratio of each response to the evaluation prompts."""
    rows = [
        {"prompt": p.tolist(), "chosen": r, "rejected": r} for p, r in zip(EVALUATION, responses, strict=True)
    ]
    batch = collate(rows, text.PAD_ID)
    return BETA * (summed(policy, batch)[0] - summed(sft, batch)[0])


fresh = answer(sft, EVALUATION, seed=4)
lengths = [text.length(r) for r in fresh]
rewards = {
    "unbiased labels": implicit_rewards(policy, fresh),
    "labels that like length": implicit_rewards(biased_policy, fresh),
}
correlation = {name: bias_of(reward, lengths) for name, reward in rewards.items()}

fig, axes = plots.figure(columns=2)
axes[1].sharey(axes[0])
for ax, (name, reward) in zip(axes, rewards.items(), strict=True):
    ax.scatter(lengths, reward, s=6, alpha=0.4)
    ax.set(title=f"{name}: ρ = {correlation[name]:.2f}", xlabel="length of the response (words)")
axes[0].set_ylabel("implicit reward")
plots.show(
    fig,
    "Implicit reward against length: no trend with unbiased labels; longer responses get more with biased labels.",
)

for name, reward in rewards.items():
    print(
        f"{name}: correlation of length with the reward {correlation[name]:+.2f}, with its size {bias_of(reward.abs(), lengths):+.2f}"
    )
biased_metrics = metrics_of(*score_pairs(biased_policy, biased_pairs), BETA)
print(f"accuracy on its own training pairs: {biased_metrics['accuracy']:.2f}")
biased = look(biased_policy)
display(pd.DataFrame({"SFT": before, "DPO": after, "DPO, biased labels": biased}).round(2))
show_answers(biased_policy, count=3)

# %% tags=["experiment"]
plain, leaning = correlation["unbiased labels"], correlation["labels that like length"]
conclude("biased labels: the implicit reward follows length (correlation above 0.4)", leaning > 0.4)
conclude("unbiased labels: it does so less, by at least 0.2", plain < leaning - 0.2)
conclude("the biased policy writes longer answers, by at least 3 words", biased["words"] > after["words"] + 3)
conclude("its accuracy on its own training pairs is above 70 %", biased_metrics["accuracy"] > 0.7)
conclude("and it repeats itself more than the SFT model does", biased["repeats"] > before["repeats"])

# %% [markdown]
# Look at the right-hand picture again: what training has done is mostly to take reward *away* from short
# responses. So the *size* of the reward does not grow with length here (the second correlation in each line above):
# with unbiased labels it hardly depends on it, and with biased ones the large rewards are the negative ones of short
# responses. The extra words are partly true claims, partly repeats and ungrammatical clauses, and the accuracy looks
# healthy: the policy does what its labels say. No number in a DPO log shows this. You have to sample, and to
# measure what you did not ask for.
#
# Is the gold reward lower than with unbiased labels? Read the two columns with their standard errors, and with
# care: they describe these two runs. Another seed moves the end of such a run by more than the standard
# error of its evaluation, since each run drifts to another place.
#
# Two remedies from the literature, for notebook 03: a length term inside the sigmoid (R-DPO, Park et al.
# 2024) and per-token means (SimPO). They are not the same thing: dividing by length does not remove a
# preference for length from the labels.

# %% [markdown]
# ## 12. What you have now
#
# - Log-probabilities with the right shift and the right mask, in float32, also without all the logits.
# - A DPO step whose loss at step 0 is log 2 and whose loss and gradient agree with `trl`.
# - Two ways to have a reference without a second model.
# - A habit: read the chosen log-probability, the KL and the samples beside the loss.
#
# Run `progress()` in a new cell to see your points and what is open.

# %% [markdown] nbgrader={"grade": false, "grade_id": "practice-2-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## Practice question 2: derive the DPO loss
#
# Derive the DPO loss from the KL-regularised objective, in about one page. Name each assumption where you use
# it, give the gradient and say what it does and does not promise, and add what an implementation has to
# get right. Write in the cell below; formulas in LaTeX or plain text.
#
# | | points |
# |---|---|
# | per-prompt Lagrangian or Gibbs argument, with the normalisation constraint | 2 |
# | why the stationary point is the unique maximum; positivity and support | 1 |
# | Z(x) identified; the multiplier depends on the prompt | 1 |
# | the reward solved for, with β log Z(x) named as a function of the prompt only | 1 |
# | substitution into Bradley–Terry, cancellation shown | 2 |
# | negative log-likelihood as an expectation over the data, π_θ in place of π*, assumptions named | 1 |
# | the gradient with its factor −β σ(r̂_l − r̂_w), read rightly: the margin, not the likelihoods | 1 |
# | implementation: completion mask, sum not mean, no gradient into the reference, log 2 at step 0 | 1 |
#
# A lost sign or a lost β in the final loss caps the answer at 6 points.

# %% [markdown] nbgrader={"grade": true, "grade_id": "practice-2", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **About 3 points.** "RLHF maximises E[r(x, y)] − β KL(π‖π_ref). The solution is
# π*(y|x) = π_ref(y|x) exp(r(x, y)/β)/Z(x). Solving for the reward gives r = β log(π*/π_ref) + β log Z(x).
# DPO puts this into a logistic loss: L = −log σ(β log π(y_w)/π_ref(y_w) − β log π(y_l)/π_ref(y_l)). So DPO
# raises the probability of the chosen response and lowers that of the rejected one."
#
# *Points:* the optimum is stated, not derived (½ of 2); nothing on uniqueness (0 of 1); Z named, but not computed, no
# multiplier (½ of 1); inversion right, but not said that log Z depends on the prompt only (½ of 1); Bradley–Terry not
# named and the cancellation not shown, though the result is right (1 of 2); loss right, no expectation and no
# assumption (½ of 1); no gradient, and a false reading (0 of 1); no implementation (0 of 1). Sum: **3**.
#
# **About 6 points.** "For a prompt x maximise Σ_y π(y)[r(y) − β log(π(y)/π_ref(y))] with Σ_y π(y) = 1. Lagrangian:
# add λ(1 − Σπ). Derivative: r − β log(π/π_ref) − β − λ = 0, so π = π_ref exp(r/β) exp(−1 − λ/β); the constraint
# gives π* = π_ref exp(r/β)/Z(x), Z(x) = Σ_y π_ref(y|x) exp(r(x, y)/β). Hence r = β log(π*/π_ref) + β log Z(x).
# Bradley–Terry: P(y_w ≻ y_l) = σ(r_w − r_l). In the difference β log Z(x) appears twice with opposite signs and
# cancels, as both responses share x. Maximum likelihood: L = −E log σ(β log-ratio_w − β log-ratio_l). Gradient:
# −σ(r̂_l − r̂_w)(∇log π(y_w) − ∇log π(y_l)): wrongly ordered pairs count more."
#
# *Points:* Lagrangian with its constraint (2 of 2); no word on concavity or support (0 of 1); Z right, but λ treated as one
# number for all prompts (½ of 1); inversion right, log Z not called prompt-only, though used so (½ of 1); cancellation
# shown (2 of 2); likelihood without saying what replaces π* and what is assumed (½ of 1); the gradient lacks β, and
# nothing is said on the likelihoods (½ of 1); no implementation (0 of 1). Sum: **6**.
#
# **About 9 points.** The same derivation, and: "The objective is strictly concave in π (−β KL is; the rest is linear),
# so the stationary point is the unique maximum; it is positive wherever π_ref is, and π_ref(y|x) > 0 is needed for the
# responses that matter. There is one constraint per prompt, so λ = λ(x) and Z = Z(x) = exp(1 + λ(x)/β). β log Z(x) does
# not depend on y. Assumptions: preferences follow Bradley–Terry with one reward for all raters; π* is replaced
# by a parametric π_θ, so equality with the optimum needs a rich enough class and data with enough coverage.
# L(θ) = −E_D log σ(r̂_w − r̂_l), r̂ = β log(π_θ/π_ref). ∇L = −β E[σ(r̂_l − r̂_w)(∇log π_θ(y_w) − ∇log π_θ(y_l))]. A
# step raises the margin; both log-probabilities may fall. In code: labels −100 on the prompt and padding, sums of token
# log-probabilities, the reference without gradient."
#
# *Points:* everything, but for the support condition, which is vague (½ of 1), and the implementation, which lacks the
# test at step 0 (½ of 1). Sum: 2 + ½ + 1 + 1 + 2 + 1 + 1 + ½ = **9**.
# ### END SOLUTION
