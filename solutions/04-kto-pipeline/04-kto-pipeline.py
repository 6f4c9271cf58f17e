# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 · From thumbs to a monitored service
#
# **Goal.** Notebook 03 had losses, and data that somebody had prepared. Here you get what a product has: a log of
# 100,000 answers with a thumb up or down. You turn it into a trained model, and the model into a service that is
# watched, and back.
#
# | step | goes in | comes out | how it fails in silence | section |
# |---|---|---|---|---|
# | log | what users press | rows of prompt, response, user, vote, time | the vote cannot be joined to the answer | 1, 8 |
# | clean | 100,000 rows | fewer rows, and a count of what went | the rule deletes honest users | 2 |
# | split | clean rows | train, validation, test | users or prompts on two sides | 3 |
# | format | rows | what a trainer reads, and class weights | wrong labels, one prompt in all the pairs | 4 |
# | choose | a `config.json` | memory and time, worked out | the budget is a wish | 5 |
# | train | KTO rows, a base model | a LoRA, merged | the loss falls, and nothing is better | 6 |
# | evaluate | two models | win rate, safety, a decision | judges see the names, ties are losses | 7 |
# | serve | the merged model | answers, votes, metrics | users change sides at a restart | 8 |
# | watch | this week, earlier weeks | alarms | an alarm a week, which nobody reads | 9 |
# | again | new votes | the next model | the model trains on its own mistakes | 10 |
#
# The log is simulated, so that the truth about each user and answer is known and every step can be scored. No step
# may look at that truth; only our scoring does.
#
# Twelve exercises (54 points), eight bugs to find (26 points) and a practice question (10 points, graded by hand). Allow
# five and a half hours for exercises and bugs, and about seven and a half in all, in three sittings: after section 4 and after section 8 are good places for a break.
#
# *Words.* A **vote** is one thumb. A response is **desirable** if it got a thumb up. $n_D$ and $n_U$ count desirable and
# undesirable rows. $z_0$ is KTO's reference point (notebook 03, section 3).

# %% [markdown]
# ## Before you start
#
# Three questions on notebook 03. Run the import cell, then put a letter in the place of each question mark.

# %%
import asyncio
import contextlib
import copy
import hashlib
import math
import tempfile
import textwrap
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.stats import binom, norm

from course_utils import plots
from course_utils.checks import hint, progress, recall, use
from course_utils.scale import at_scale, scale
from course_utils.testbed import models, text

pd.set_option("display.max_colwidth", 60, "display.width", 160)

# %% tags=["recall"]
recall("04-a", "c")

# %% tags=["recall"]
recall("04-b", "a")

# %% tags=["recall"]
recall("04-c", "b")

# %% [markdown]
# ## 1. The log
#
# The world is that of notebooks 02 and 03: prompts such as "i think fox eats berries . :", answers of a few clauses, and a
# parser that gives each its gold reward. Careless writers wrote the answers; users voted on them over twelve weeks.

# %% tags=["experiment"]
from course_utils import feedback as logs

VOTES = at_scale(10_000, 100_000)
log, truth = logs.simulate_feedback(VOTES, seed=0)
shown = log.drop(columns="content_warning").head(5)
print(shown.assign(response=shown["response"].str[:45] + " ...").to_string())
print(f"\n{len(log):,} votes of {log['user_id'].nunique():,} users on {log['prompt'].nunique()} prompts")
print(f"thumbs up: {(log['feedback'] == 'thumbs_up').mean():.1%}")

# %% [markdown]
# **Who votes?** A few users give half of the votes; about half of the users give one or two.

# %% tags=["experiment"]
by_user = (log["feedback"] == "thumbs_up").groupby(log["user_id"]).agg(up="sum", n="size")
by_user["rate"] = by_user["up"] / by_user["n"]

fig, (left, right) = plots.figure(1, 2)
counts = np.sort(by_user["n"].to_numpy())[::-1]
left.plot(counts, np.arange(1, len(counts) + 1) / len(counts))
left.set(xscale="log", yscale="log", xlabel="votes n", ylabel="share of users with n votes or more")
groups = [by_user[by_user["n"] <= 3]["rate"], by_user[by_user["n"] >= 20]["rate"]]
_, _, drawn = right.hist(
    groups,
    bins=np.linspace(0, 1, 16),
    weights=[np.full(len(group), 1 / len(group)) for group in groups],
    label=["1 to 3 votes", "20 votes and more"],
    color=[plots.COLOURS[1], plots.COLOURS[0]],
)
for bar in drawn[0]:
    bar.set_hatch("//")
right.set(xlabel="a user's share of thumbs up", ylabel="share of those users")
right.legend()
plots.show(
    fig,
    "Left: the share of users with at least n votes falls along a straight line on logarithmic axes. Right: users of one "
    "to three votes stand mostly at a rate of 0 or 1, users of twenty and more are spread, with lower peaks at both ends.",
)

# %% tags=["experiment"]
top = by_user["n"].nlargest(len(by_user) // 100).sum() / len(log)
half = (by_user["n"].sort_values(ascending=False).cumsum() < len(log) / 2).mean()
print(
    f"users with one vote: {(by_user['n'] == 1).mean():.0%}, with one or two: {(by_user['n'] <= 2).mean():.0%}"
)
print(f"the busiest 1 % of the users gave {top:.0%} of the votes, the busiest {half:.0%} half of them")
extreme = by_user[(by_user["rate"] < 0.1) | (by_user["rate"] > 0.9)]
print(
    f"users whose rate is below 0.1 or above 0.9: {len(extreme) / len(by_user):.0%}, of whom {(extreme['n'] <= 3).mean():.0%} have three votes or fewer"
)

# %% [markdown]
# The right-hand panel is the trap of section 2. A rate of 1 from one vote is no news: one vote has no other rates than 0
# and 1. The lower peaks of the busy users at both ends are news.
#
# ### What a thumb is not
#
# | it is taken for | but |
# |---|---|
# | everybody's judgement | most turns get no vote; those who press a button differ from those who do not, and nothing in the log says how |
# | a comparison | it says "good", measured by that user's own standard; two users' thumbs are not on one scale |
# | a judgement of *your* model | the answers came from the model that ran then: for a new base model they are off-policy, in KTO as in DPO |
# | a judgement of this answer | in a dialogue it may be about the turn before, or about the whole |
# | timeless | last quarter's users, product and topics |
# | yours to use | prompts hold personal data; consent, deletion and how long a log is kept come before any training |
#
# Some of this can be shown here, since the simulator knows who is who. *Honest* users vote by gold reward, noise and
# their own standard; the others do not read.

# %% tags=["experiment"]
kinds = pd.DataFrame({"kind": truth["kind"], "up": log["feedback"] == "thumbs_up", "gold": truth["gold"]})
scores = kinds.groupby(["kind", "up"])["gold"].mean().unstack()
scores.columns = ["gold of their thumbs down", "gold of their thumbs up"]
scores.insert(0, "share of the votes", kinds["kind"].value_counts(normalize=True))
scores.insert(1, "thumbs up", kinds.groupby("kind")["up"].mean())
print(scores.sort_values("share of the votes", ascending=False).round(2).to_string())

# %% [markdown]
# Only the honest rows separate good answers from bad ones. About a fifth of the rows come from users whose thumb says
# nothing, and bots, one user in a hundred, give most of them.
#
# ### Loading
#
# Real logs arrive as files, and files are broken. A loader that skips what it cannot read, or lets pandas guess, loses
# rows in silence: an answer "NA" becomes a missing value, the user "007" becomes 7. `load_feedback` reads CSV, Parquet
# and JSON lines, and stops where something is wrong, with file, row and column.

# %% tags=["experiment"]
workshop = tempfile.TemporaryDirectory()
folder = Path(workshop.name)


def read_back(frame, name="log.csv"):
    """Write a frame as CSV and load it; the rows, or what the loader objects to."""
    frame.to_csv(folder / name, index=False)
    try:
        return logs.load_feedback(folder / name, keep_empty=True)
    except ValueError as error:
        return str(error).replace(f"{folder}/", "")


few = log.head(1000).fillna({"response": ""})  # a CSV file does not know the difference
print("read back as it was written:", bool((read_back(few) == few).all(axis=None)))
for row, column, value in ((41, "feedback", "banana"), (7, "timestamp", "yesterday"), (3, "prompt", " ")):
    broken = few.astype(object)
    broken.loc[row, column] = value
    print(read_back(broken))
print(read_back(few.rename(columns={"user_id": "user"})))

# %% [markdown]
# ## 2. Cleaning
#
# Two kinds of rows have to go: those that cannot be trained on, and those whose vote has nothing to do with the answer.
# The second kind is the dangerous one to remove, because the rule looks at the votes themselves.
#
# **How many one-sided votes are evidence?** Suppose that every user is alike and gives 65 % thumbs up. Then a user with $n$
# votes has only thumbs up with probability $0.65^n$, and only thumbs down with $0.35^n$.

# %%
n = np.array([1, 2, 3, 5, 10, 17, 20, 40])
print(
    pd.DataFrame({"votes": n, "all up": 0.65**n, "all down": 0.35**n}).to_string(
        index=False, float_format="{:.1e}".format
    )
)

# %% [markdown]
# At one in a thousand it takes 17 of 17 up, or 7 of 7 down. And sixteen thousand users are sixteen thousand tests: some ordinary ones will be hit.
#
# ### Exercise: users who press one button
#
# `flag-biased-users` · difficulty 3/5 · about 20 minutes · 5 points
#
# Return the users whose rate of thumbs up is *credibly* extreme; every row counts as a vote, also one on a missing, repeated or warned response. Both must hold:
#
# - the rate is below 0.1 or above 0.9, **and**
# - so one-sided a row of votes, or a more one-sided one, is improbable for an ordinary user. With $k$ of $n$ votes up and $p$ the
#   share of thumbs up among **all rows of the frame**, the binomial tail $P(X \ge k)$ (for a high rate) or $P(X \le k)$ (for a
#   low one), $X \sim \mathrm{Binomial}(n, p)$, is below `level`.
#
# | argument | |
# |---|---|
# | `feedback` | a DataFrame, a row a vote: `conversation_id`, `prompt`, `response`, `user_id` (str), `feedback` ("thumbs_up" or "thumbs_down"), `timestamp`, sometimes `content_warning`; any index, even with labels that repeat |
# | `level` | a float, the largest probability that still counts as chance |
# | returns | a `set` of user ids |
#
# At 65 % overall and the default level: up to 3 votes never flag, 40 of 40 up or 30 of 30 down do, 300 of 400 up does not, and mere activity does not. Graded on
# clear cases, so an interval of the user's rate by Wilson, or a Beta posterior, that excludes $p$ is right too.
#
# Graded: users of many votes (2), that a few votes are no evidence (1), another `level` (1), a set of user ids and the frame unchanged (1).
#
# Stuck? Run `hint("flag-biased-users")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "flag-biased-users", "locked": false, "schema_version": 3, "solution": true, "task": false}
def flag_biased_users(feedback, level=0.001):
    """The ids of users whose rate of thumbs up is credibly extreme."""
    ### BEGIN SOLUTION
    up = feedback["feedback"] == "thumbs_up"
    votes = up.groupby(feedback["user_id"]).agg(up="sum", n="size")
    rate, overall = votes["up"] / votes["n"], up.mean()
    as_many_up = binom.sf(votes["up"] - 1, votes["n"], overall)  # sf(k - 1) is P(X >= k)
    as_few_up = binom.cdf(votes["up"], votes["n"], overall)
    flagged = ((rate > 0.9) & (as_many_up < level)) | ((rate < 0.1) & (as_few_up < level))
    return set(votes.index[flagged])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-flag-biased-users", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("flag-biased-users", flag_biased_users)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("flag-biased-users", flag_biased_users)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: the rows that stay
#
# `clean-feedback` · difficulty 3/5 · about 30 minutes · 7 points
#
# Drop rows in this order, each step from what the steps before have left:
#
# | step, and its name in the count | what goes |
# |---|---|
# | `biased_user` | rows of biased users, by the rule above with its default `level`; rates from the whole frame |
# | `empty_response` | responses that are missing, or empty after stripping. A short answer such as "42" stays |
# | `content_warning` | rows where it is True, if there is that column |
# | `duplicate` | exact duplicates (same prompt, response, user and vote); the first in the order of the frame stays, whatever its time |
# | `contradiction` | **all** rows of a (prompt, response) that still has both verdicts, whoever gave them |
#
# - returns a DataFrame: the rows that stay, unaltered and in order. `result.attrs["dropped"]` is a dict of the five names with the
#   number of rows dropped (ints; all five always there, 0 where nothing went).
# - The frame given is not changed.
#
# Write the function so that it stands alone: repeat what you need of `flag_biased_users` inside the cell.
#
# Graded: all steps in their order (2), biased users (1), empty responses and content warnings (1), duplicates and contradictions (1), the
# counts (1), rows unaltered and in order and the frame unchanged (1).
#
# Stuck? Run `hint("clean-feedback")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "clean-feedback", "locked": false, "schema_version": 3, "solution": true, "task": false}
def clean_feedback(feedback):
    """The rows that can be trained on; attrs["dropped"] counts the others by reason."""

    ### BEGIN SOLUTION
    def biased(frame):
        up = frame["feedback"] == "thumbs_up"
        votes = up.groupby(frame["user_id"]).agg(up="sum", n="size")
        rate, overall = votes["up"] / votes["n"], up.mean()
        high = (rate > 0.9) & (binom.sf(votes["up"] - 1, votes["n"], overall) < 0.001)
        low = (rate < 0.1) & (binom.cdf(votes["up"], votes["n"], overall) < 0.001)
        return frame["user_id"].isin(votes.index[high | low])

    def empty(frame):
        return frame["response"].isna() | (frame["response"].str.strip() == "")

    def warned(frame):
        return frame["content_warning"] if "content_warning" in frame else pd.Series(False, frame.index)

    def duplicate(frame):
        return frame.duplicated(["prompt", "response", "user_id", "feedback"])

    def contradicted(frame):
        return frame.groupby(["prompt", "response"])["feedback"].transform("nunique") > 1

    steps = {
        "biased_user": biased,
        "empty_response": empty,
        "content_warning": warned,
        "duplicate": duplicate,
        "contradiction": contradicted,
    }
    kept, dropped = feedback, {}
    for name, rule in steps.items():
        gone = rule(kept).to_numpy(dtype=bool)  # by position: labels of the index may repeat
        dropped[name] = int(gone.sum())
        kept = kept[~gone]
    kept = kept.copy()  # before attrs is written, so that the frame given keeps its own
    kept.attrs["dropped"] = dropped
    return kept
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-clean-feedback", "locked": true, "points": 7, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("clean-feedback", clean_feedback)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("clean-feedback", clean_feedback)
### END HIDDEN TESTS

# %% [markdown]
# ### Three rules for biased users, against the truth
#
# - **naive**: everybody whose rate lies outside [0.1, 0.9]. This is what is often written.
# - **tail**: yours.
# - **posterior**: how honest rates spread is *fitted* to the log (a Beta distribution), and a user is dropped if the always-up or
#   always-down group explains the votes better, with a posterior above 0.8 (`biased_user_posterior`; empirical Bayes). The tail rule holds everybody
#   against one rate, as if all honest users were alike; this one does not.

# %% tags=["experiment"]
flag, clean = use("flag-biased-users", flag_biased_users), use("clean-feedback", clean_feedback)

posterior = logs.biased_user_posterior(log)
dropped_users = {
    "naive": set(extreme.index),
    "tail": flag(log),
    "posterior": set(posterior.index[posterior > 0.8]),
}
kind_of = truth["kind"].groupby(log["user_id"]).first()
one_button = kind_of.isin(["always up", "always down", "bot"])
busy = by_user["n"] >= 10
honest_rate = (log["feedback"] == "thumbs_up")[truth["kind"] == "honest"].mean()

rows = {}
for name, users in dropped_users.items():
    gone = kind_of.index.isin(users)
    kept = ~log["user_id"].isin(users)
    rows[name] = {
        "users dropped": f"{gone.mean():.1%}",
        "rows dropped": f"{(~kept).mean():.1%}",
        "honest users dropped": f"{gone[kind_of == 'honest'].mean():.1%}",
        "rows of honest users dropped": f"{(~kept)[truth['kind'] == 'honest'].mean():.1%}",
        "one-button users found, of those with 10 votes or more": f"{gone[one_button & busy].mean():.0%}",
        "thumbs up among the rows left": f"{(log['feedback'] == 'thumbs_up')[kept].mean():.1%}",
    }
print(pd.DataFrame(rows).to_string())
print(
    f"\nthumbs up: {(log['feedback'] == 'thumbs_up').mean():.1%} in the log, {honest_rate:.1%} in honest rows"
)

# %% tags=["experiment", "readme"]
order = ["honest", "careless", "always up", "always down", "bot"]
fig, ax = plots.figure(size=(7.2, 3.6))
for i, (name, users) in enumerate(dropped_users.items()):
    shares = log["user_id"].isin(users).groupby(truth["kind"]).mean()[order]
    plots.bars(ax, order, shares, name, (i - 1) * 0.27, 0.27, plots.COLOURS[i], ("//", "", "..")[i])
ax.set(ylabel="share of their rows that is dropped", ylim=(0, 1.05))
ax.legend(loc="upper left")
plots.show(
    fig,
    "Share of rows dropped by three rules, for five kinds of users. All three drop nearly all rows of bots. The naive rule drops nearly "
    "all of the other one-button users too, and about a quarter of the honest rows. The tail rule drops few honest rows, the "
    "posterior hardly any; both leave more than half of the always-up rows and about two fifths of the always-down ones.",
)

# %% [markdown]
# **What the naive rule does.** It deletes most of the *honest* users: everyone with one vote, and many with two or three. It moves the share of
# thumbs up *away* from the honest one, since most of those one-sided users are satisfied ones. This bias is made by the cleaning, so no later step can see it.
#
# **What the tail rule gets wrong.** It takes some honest users, few but busy ones, whose own rate is truly high: held against one rate for all they look
# impossible. The posterior rule knows that such users exist, and brings the share of thumbs up back to the honest one. The price is that it finds fewer one-button users in all.
#
# **What neither finds.** One-button users with few votes: the evidence is not there.
#
# **What none of the three sees.** Careless users toss a coin, and their rate looks ordinary. (The naive rule drops some of their rows too, for the wrong reason: one or two votes.) Agreement with others' votes might find them; that is not tried here.
#
# ### The other steps

# %% tags=["experiment"]
cleaned, naive = clean(log), logs.naive_clean(log)
print("ours: ", cleaned.attrs["dropped"], "->", f"{len(cleaned):,} rows")
print("naive:", naive.attrs["dropped"], "->", f"{len(naive):,} rows")
both = cleaned["prompt"].str.cat(cleaned["response"], sep="|")
print(
    "ours leaves a response with both verdicts:",
    bool((cleaned.groupby(both)["feedback"].nunique() > 1).any()),
)
disputed = log.groupby(["prompt", "response"])["feedback"].nunique() > 1
print(
    f"responses of the log with both verdicts, of which the naive rule keeps whichever comes first: {disputed.sum():,}"
)

# %% [markdown]
# - *Length is no filter for quality.* "Paris" and "42" are good answers to some prompts (this world has none so short). A minimum length tilts the data towards long answers; here the naive rule's hits only the empty ones.
# - *Keeping the first of several rows* lets the order of a file decide between two verdicts, and throws the count away.
# - *Dropping every disputed answer* is what the exercise does, and it has a price: an answer with 9 up and 1 down goes too, and popular
#   answers are the likeliest to be disputed. An average over the votes keeps them, as a soft label or a weight, where the trainer takes one. KTO's label is a bit.
# - *Cleaning reads the labels.* Rates and contradictions were computed on all rows, test rows included. For a test set that is to be believed to the
#   last digit, fit the rule on training rows; here users do not cross the split, so a user's rate is known on one side only.
#
# ## 3. Splitting
#
# A held-out set should answer: how will the model do on users and prompts that it has not seen? A random split of *rows* does not ask that.

# %% tags=["experiment"]
shuffled = cleaned.sample(frac=1, random_state=0)
cut = int(0.8 * len(shuffled))
row_train, row_test = shuffled[:cut], shuffled[int(0.9 * len(shuffled)) :]
for column in ("user_id", "prompt"):
    known = row_test[column].isin(set(row_train[column]))
    print(f"random split of rows: {known.mean():.1%} of the test rows have a {column} that is in train too")

# %% [markdown]
# ### Exercise: no user and no prompt on two sides
#
# `split-feedback` · difficulty 4/5 · about 30 minutes · 6 points
#
# Every row goes to exactly one of `train`, `validation`, `test`; **no prompt and no user is on two sides**.
#
# Keeping users apart does not keep prompts apart, nor the other way round: if user A and B share a prompt, and B and C another, then all three belong together. What must stay
# together are the **connected groups** of the graph that has users and prompts as its nodes and rows as its edges.
#
# | argument | |
# |---|---|
# | `feedback` | as before; any index |
# | `fractions` | three shares of the *rows* that sum to 1 |
# | `seed` | same seed, same split, in every process |
# | returns | a dict of three DataFrames, `"train"`, `"validation"`, `"test"`, rows unaltered |
#
# Sizes: none is empty, and each is within 0.1 of its share (so a share of 0.8 may come out between 0.7 and 0.9), where no connected group holds more than 5 % of the rows. (`scipy.sparse.csgraph.connected_components` is imported; a
# union-find of your own does as well.)
#
# Graded: every row in exactly one of three frames (1), no user and no prompt on two sides (2.5), sizes within 0.1 of the fractions (1.5), same seed same split, rows and frame unchanged (1).
#
# Stuck? Run `hint("split-feedback")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "split-feedback", "locked": false, "schema_version": 3, "solution": true, "task": false}
def split_feedback(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
    """Train, validation and test, no user and no prompt on two sides."""
    ### BEGIN SOLUTION
    user, users = pd.factorize(feedback["user_id"])
    prompt, prompts = pd.factorize(feedback["prompt"])
    nodes = len(users) + len(prompts)  # prompts are numbered after the users
    edges = coo_matrix((np.ones(len(user)), (user, prompt + len(users))), shape=(nodes, nodes))
    group = connected_components(edges, directed=False)[1][user]  # of each row
    # the groups in random order, each to the side that lacks most rows
    sizes = np.bincount(group)
    lacking = np.array(fractions) * len(feedback)
    side = np.zeros(len(sizes), dtype=int)
    for g in np.random.default_rng(seed).permutation(len(sizes)):
        side[g] = lacking.argmax()
        lacking[side[g]] -= sizes[g]
    return {name: feedback[side[group] == i] for i, name in enumerate(("train", "validation", "test"))}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-split-feedback", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("split-feedback", split_feedback)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("split-feedback", split_feedback)
### END HIDDEN TESTS

# %% tags=["experiment"]
split = use("split-feedback", split_feedback)

sides = split(cleaned)
for name, side in sides.items():
    print(
        f"{name:10} {len(side):6,} rows ({len(side) / len(cleaned):.1%}), {side['user_id'].nunique():6,} users, {side['prompt'].nunique()} prompts"
    )
pairs_of_sides = [("train", "validation"), ("train", "test"), ("validation", "test")]
print(
    "shared users:", sum(len(set(sides[a]["user_id"]) & set(sides[b]["user_id"])) for a, b in pairs_of_sides)
)
print(
    "shared prompts:", sum(len(set(sides[a]["prompt"]) & set(sides[b]["prompt"])) for a, b in pairs_of_sides)
)
print(f"largest connected group: {logs.largest_group(cleaned):.1%} of the rows")

# %% [markdown]
# **This log is kind.** Its users live in 32 communities, each with its own prompts; without that, everything would hang together, as it does in the log of a public assistant. One prompt
# that everybody sends is enough. Here one row in fifty becomes "hi".

# %% tags=["experiment"]
greeted = cleaned.copy()
greeted.loc[greeted.sample(frac=0.02, random_state=0).index, "prompt"] = "hi"
print(f"largest connected group: {logs.largest_group(greeted):.0%} of the rows")
rest = greeted[greeted["prompt"] != "hi"]
print(
    f"without 'hi', {len(greeted) - len(rest):,} rows fewer: the largest group is {logs.largest_group(rest):.1%}"
)
for kind, frame in (("with 'hi'", greeted), ("without", rest)):
    by_users = logs.split_by_user(frame)
    left = ", ".join(f"{name} {len(side):,}" for name, side in by_users.items())
    print(
        f"split by user {kind:9}: {left}; cut {sum(side.attrs['cut'] for side in by_users.values()):,} rows"
    )
past = logs.split_by_time(greeted)
print(
    f"split by time: {past['test'].attrs['known_users']:.0%} of the test rows have a user that is in an earlier side"
)

# %% [markdown]
# Three ways out, each with a price:
#
# - *Leave out* what everybody sends: 2 % of the rows here, and the groups are back. The first choice where it works.
# - *Split by user and cut* the rows whose prompt is on another side. A third of all rows goes, and nine tenths of the test side. It cuts about as much
#   without "hi": it does not know the communities, and a prompt's rows survive on one side only.
# - *Split by time*: train on the past, test on the future, as the model will be used. Nothing is cut, but most test rows have a user who is known, and no prompt is new.
#
# Say which one you chose, and how much it cut.
#
# ## 4. Formats and weights
#
# Trainers are particular about columns. KTO's rows first.

# %% [markdown]
# ### Exercise: rows for KTO
#
# `to-kto` · difficulty 1/5 · about 10 minutes · 3 points
#
# - `feedback`: a DataFrame as before, any index.
# - returns a `datasets.Dataset` with the columns `prompt`, `completion`, `label` and no other. `label` is a bool, True for a thumb up. Every row, in order, texts unaltered: no template, no separator, no stripping. (What
#   stands between prompt and answer is the tokenizer's business; see section 6.)
#
# Graded: prompt, completion and label of every row, in order (2); label is bool, no other column, frame unchanged (1).
#
# Stuck? Run `hint("to-kto")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "to-kto", "locked": false, "schema_version": 3, "solution": true, "task": false}
def to_kto(feedback):
    """A datasets.Dataset with prompt, completion and label, a row a vote."""
    ### BEGIN SOLUTION
    # lists, since Dataset.from_pandas would carry the index along as a column
    return Dataset.from_dict(
        {
            "prompt": feedback["prompt"].tolist(),
            "completion": feedback["response"].tolist(),
            "label": (feedback["feedback"] == "thumbs_up").tolist(),
        }
    )
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-to-kto", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("to-kto", to_kto)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("to-kto", to_kto)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: pairs for DPO
#
# `to-pairs` · difficulty 3/5 · about 20 minutes · 5 points
#
# To compare with DPO, pairs are *made*: a response with a thumb up beside one **to the same prompt** with a thumb down.
#
# - `feedback`: as before. `max_pairs_per_prompt`: the cap.
# - returns a `datasets.Dataset` with the columns `prompt`, `chosen`, `rejected`. For each prompt $\min(\text{cap}, \text{all there are})$ **different** pairs. A text is never paired with itself (a response may have both verdicts). Which pairs is up to you. Texts that differ by a space are two texts, and stay as they are.
#
# The cap is *per prompt*: 40 thumbs up and 40 down are 1,600 pairs, and one popular prompt must not become the data set.
#
# Graded: a thumb up and a thumb down of that prompt (1.5), min(cap, all there are) pairs of each prompt (1.5), all different and no text against itself (1), three columns and the frame unchanged (1).
#
# Stuck? Run `hint("to-pairs")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "to-pairs", "locked": false, "schema_version": 3, "solution": true, "task": false}
def to_pairs(feedback, max_pairs_per_prompt=4):
    """A datasets.Dataset of prompt, chosen and rejected, at most so many pairs a prompt."""
    ### BEGIN SOLUTION
    texts = {}  # prompt: (its liked texts, its disliked texts), each once and in order
    for prompt, response, vote in zip(feedback["prompt"], feedback["response"], feedback["feedback"]):
        side = 0 if vote == "thumbs_up" else 1
        texts.setdefault(prompt, ({}, {}))[side][response] = None
    rows = {"prompt": [], "chosen": [], "rejected": []}
    for prompt, (liked, disliked) in texts.items():
        ups, downs = list(liked), list(disliked)
        # shifted against each other: every text is used once before the first is used again
        pairs = (
            (up, downs[(i + shift) % len(downs)]) for shift in range(len(downs)) for i, up in enumerate(ups)
        )
        different = [pair for pair, _ in zip((p for p in pairs if p[0] != p[1]), range(max_pairs_per_prompt))]
        for chosen, rejected in different:
            rows["prompt"].append(prompt)
            rows["chosen"].append(chosen)
            rows["rejected"].append(rejected)
    return Dataset.from_dict(rows)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-to-pairs", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("to-pairs", to_pairs)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("to-pairs", to_pairs)
### END HIDDEN TESTS

# %% [markdown]
# These pairs are weaker than real comparisons. "Liked by A" and "disliked by B" compares two answers *and* two people. Where few prompts come twice, all pairs come from the likes of "hi" and "thanks". Report how many pairs there are, and from how many prompts.
#
# ### Exercise: the weights of the two classes
#
# `kto-weights` · difficulty 2/5 · about 10 minutes · 3 points
#
# With two thirds thumbs up, desirable rows would pull twice as much as the others. The paper's rule:
#
# $$\frac{\lambda_D\, n_D}{\lambda_U\, n_U} \in \Big[1, \frac{3}{2}\Big]$$
#
# (Ethayarajh et al. 2024, arXiv 2402.01306, equation 9. Version 1 of the paper has $[1, \frac43]$, which manuals still quote.)
#
# - `n_desirable`, `n_undesirable`: how many rows of each, positive.
# - returns `(λ_D, λ_U)`, two floats, one of which stays 1.0. Anything within the interval is right.
#
# Graded: the ratio within the interval with more thumbs up (1), with more thumbs down (1), with about as many of each (1).
#
# Stuck? Run `hint("kto-weights")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "kto-weights", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kto_weights(n_desirable, n_undesirable):
    """(lambda_D, lambda_U), one of them 1.0, with lambda_D n_D / (lambda_U n_U) in [1, 3/2]."""
    ### BEGIN SOLUTION
    ratio = n_desirable / n_undesirable
    if ratio < 1:
        return 1.25 / ratio, 1.0  # the rarer class is weighted up, to the middle of the interval
    if ratio > 1.5:
        return 1.0, ratio / 1.25
    return 1.0, 1.0
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-kto-weights", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("kto-weights", kto_weights)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("kto-weights", kto_weights)
### END HIDDEN TESTS

# %% tags=["experiment"]
as_kto, as_pairs, weigh = use("to-kto", to_kto), use("to-pairs", to_pairs), use("kto-weights", kto_weights)

for name, frame in (("the raw log", log), ("naively cleaned", naive), ("train, cleaned", sides["train"])):
    ups = int((frame["feedback"] == "thumbs_up").sum())
    weights = weigh(ups, len(frame) - ups)
    print(f"{name:16} {ups / len(frame):.1%} up: weights {weights[0]:.2f} and {weights[1]:.2f}")

# %% [markdown]
# Count **after** cleaning and splitting, on the rows that are trained on. How the other two would do there:

# %% tags=["experiment"]
trained_ups = int((sides["train"]["feedback"] == "thumbs_up").sum())
for name, frame in (("the raw log", log), ("naively cleaned", naive)):
    ups = int((frame["feedback"] == "thumbs_up").sum())
    desirable, undesirable = weigh(ups, len(frame) - ups)
    ratio = desirable * trained_ups / (undesirable * (len(sides["train"]) - trained_ups))
    print(
        f"weights of {name:16} give {ratio:.2f} on the rows trained on; within [1, 3/2]: {1 <= ratio <= 1.5}"
    )

# %% [markdown]
# The weights of the naively cleaned rows miss the interval. Those of the raw log just pass, by luck.
#
# ### All of it, timed
#
# From the file to the trainer's rows, with your functions where they are right.

# %% tags=["experiment", "nbval-ignore-output"]
log.to_parquet(folder / "log.parquet")
clock, worked, started = {}, time.process_time(), time.perf_counter()


def lap(name):
    """Note the seconds since the last lap."""
    global started
    clock[name], started = time.perf_counter() - started, time.perf_counter()


loaded = logs.load_feedback(folder / "log.parquet", keep_empty=True)
lap("load")
cleaned = clean(loaded)
lap("clean")
sides = split(cleaned)
lap("split")
votes = {name: as_kto(side) for name, side in sides.items()}
pairs = as_pairs(sides["train"], 40)
lap("format")
worked = time.process_time() - worked
print(f"{len(log):,} rows:", ", ".join(f"{name} {seconds:.2f} s" for name, seconds in clock.items()))

# %% tags=["experiment"]
labels = votes["train"]["label"]
weights = weigh(sum(labels), len(labels) - sum(labels))
print("rows for KTO:", {name: len(rows) for name, rows in votes.items()})
print(f"pairs for DPO, at most 40 a prompt: {len(pairs):,} from {len(set(pairs['prompt']))} prompts")
print(f"weights {weights[0]:.3f} and {weights[1]:.3f}")
print("all four steps within ten seconds of processor time:", worked < 10)

# %% [markdown]
# ## 5. Choosing a model
#
# Before a model is trained it can be weighed. Everything in the next table follows from a `config.json`, without downloading a weight.
#
# - *LoRA of rank r* (low-rank adaptation; Hu et al. 2021, arXiv 2106.09685): a linear layer of $n$ inputs and $m$ outputs gets $r(n+m)$ new numbers, trained while the layer itself is frozen. The LoRA is also called the *adapter*. The reference model
#   comes free: it is the same model with the adapter switched off. Training holds 16 bytes for each of its numbers: weight, gradient and AdamW's two averages, in float32.
# - *Time*: to write one token, all weights cross the memory bus once. So a single sequence takes **at least** bytes of the weights / bandwidth for each token. Batching shares that reading between sequences and makes each of them no faster.

# %% tags=["experiment"]
from course_utils.training import BANDWIDTH, model_card

configs = {
    "Mistral-7B-v0.2": dict(
        model_type="mistral", hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8, vocab_size=32000,
    ),
    "SmolLM2-135M": dict(
        model_type="llama", hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9, num_key_value_heads=3, vocab_size=49152, tie_word_embeddings=True,
    ),
    "the text world's": models.small_model(len(text.VOCABULARY)).config,
}  # fmt: skip
table = {}
for name, config in configs.items():
    card = model_card(config, r=64 if "7B" in name else 8)
    table[name] = {
        "parameters": f"{card.parameters:,}",
        "LoRA (r = 64, or 8 for the small ones)": f"{card.lora_parameters:,}",
        "its share of base and LoRA": f"{card.lora_share:.2%}",
        "weights in bfloat16, GB": f"{card.weight_bytes() / 1e9:.3g}",
        "LoRA training without activations, GB": f"{card.training_bytes() / 1e9:.3g}",
        "keys and values kept for 1,000 tokens, MB": f"{card.kv_bytes_per_token() * 1000 / 1e6:.3g}",
    }
print(pd.DataFrame(table).to_string())

mistral = model_card(configs["Mistral-7B-v0.2"])
print("\nMistral-7B, 256 tokens of one sequence in bfloat16, seconds at least:")
print({gpu: round(mistral.seconds_at_least(256, bandwidth), 2) for gpu, bandwidth in BANDWIDTH.items()})

# %% tags=["experiment"]
small = models.small_model(len(text.VOCABULARY))
held = sum(p.numel() for p in small.parameters())
print(f"the small model, loaded: {held:,} parameters; worked out: {model_card(small.config).parameters:,}")

# %% [markdown]
# **Read it against the folklore.** The answer key of a quiz, written by a language model, from which this course grew, plans with a Mistral-7B: a LoRA of rank 64 on all seven projections is "about 200M parameters, 3 % of 7B", and the target for answers of 256 tokens is "under 500 ms at p95" (the time that 95 % of the answers keep to).
#
# - The LoRA is 167,772,160 numbers, 2.26 % of base and LoRA together.
# - The latency is out of reach on each of these GPUs, for one sequence in bfloat16 without speculative decoding (a small model proposes tokens, the large one checks several at once), whatever the software. (The bandwidths are those of NVIDIA's data sheets.) 500 ms may be meant as the time to the **first** token. Or take a smaller model, fewer bytes a weight, or shorter answers.
# - "Two 7B models, policy and reference" is waste: with a LoRA the reference is the policy with the adapter off.
# - *Licences* are part of the choice: read the licence file of the exact checkpoint, not a blog post about its family. Open weights are not the same as open source. SmolLM2 is published under Apache-2.0.
#
# ## 6. Training
#
# Now `trl`'s `KTOTrainer` with a LoRA from `peft`, behind one function: `train_kto_lora`. It puts the rows into a fixed order, writes checkpoints, and goes on where it was killed (the course's tests kill a run with SIGKILL; it ends at the same weights as one that was not).
#
# Three things that go wrong here more often than the loss:
#
# - **The template.** A chat model expects its turns marked. Prompt and answer glued together ("...France?Paris") are another language. `train_kto_lora` uses the tokenizer's chat template where there is one, and a space where there is none.
# - **The end.** If answers do not end in the end-of-sequence token, or a collator masks it because it equals the padding token, the model never learns to stop.
# - **The batch.** $z_0$ is a batch mean (notebook 03): 2 rows on a device make it noise, and accumulating gradients does not help.
#
# The settings below come from trials on other seeds and were not swept. In a product, sweep learning rate and β on `validation`.
#
# **The base model** first: the text world's, fine-tuned on example answers. It writes about as the answers of the log were written, so here the log is nearly on-policy. In a product it is not (section 1).

# %% tags=["experiment", "nbval-ignore-output"]
from course_utils import training

torch.set_num_threads(1)  # on models this small a second thread gains nothing
BALANCED = False  # section 7 asks you to set this to True and to run on from here

train_rows = sides["train"]
is_true = train_rows["prompt"].map(lambda p: text.TRUTH[tuple(p.split()[2:4])] == p.split()[4])
if BALANCED:  # as many rows on true statements as on false ones
    train_rows = train_rows.groupby(is_true).sample(is_true.value_counts().min(), random_state=0)
train_votes = as_kto(train_rows)
train_ups = sum(train_votes["label"])
weights = weigh(train_ups, len(train_votes) - train_ups)

started, runs = time.perf_counter(), Path(tempfile.mkdtemp(dir=folder))  # a fresh folder each time
asked = text.make_prompts(6000, seed=0)
base = models.small_model(len(text.VOCABULARY), seed=0)
models.train_on_examples(base, asked, text.example_answers(asked, seed=0), at_scale(20, 200), seed=0)
training.save_text_model(base, runs / "base")
print(f"supervised fine-tuning: {time.perf_counter() - started:.0f} seconds")


def report(step, loss):
    """A line now and then while a trainer runs."""
    if step == 1 or step % 20 == 0:
        print(f"  step {step:3}   loss {loss:.3f}", flush=True)


print("KTO on votes")
kto_run = training.train_kto_lora(
    runs / "base", train_votes, None, runs / "kto", weights=weights,
    beta=0.5, lr=2e-3, steps=at_scale(3, 60), batch_size=64, r=8, checkpoint_every=1000, progress=report,
)  # fmt: skip
print("DPO on made pairs")
dpo_run = training.train_dpo_lora(
    runs / "base", pairs, None, runs / "dpo",
    beta=1.0, lr=1e-3, steps=at_scale(3, 60), batch_size=32, r=8, checkpoint_every=1000, progress=report,
)  # fmt: skip
print(f"KTO {kto_run.seconds:.0f} seconds, DPO {dpo_run.seconds:.0f} seconds")


# %% tags=["experiment"]
def conclude(claim, holds):
    """Print whether a claim holds for this run; at the fast scale the run is too short to say."""
    print(f"{claim}: {'too short a run to say' if scale() == 'fast' else 'yes' if holds else 'no'}")


margins = kto_run.values("rewards/margins")[1]
share = train_ups / len(train_votes)
expected = (share * weights[0] + (1 - share) * weights[1]) / 2
print("KTO's margin at step 0 is 0:", abs(margins[0]) < 1e-5)
print(
    f"KTO's loss at step 0 is about {expected:.2f}, half the mean weight of the rows:",
    abs(kto_run.history[0]["loss"] - expected) < 0.05,
)
print("DPO's loss at step 0 is log 2:", abs(dpo_run.history[0]["loss"] - math.log(2)) < 1e-5)
conclude(
    "KTO's margin, desirable over undesirable, has grown", np.mean(margins[-10:]) > np.mean(margins[:10])
)

# %% [markdown]
# These checks catch a reference that is not the start, and dropout in one of the two. They do **not** catch a wrong template: both models read the same wrong text, and their ratio is 1. For that, print
# a row as the trainer sees it; the real model below shows one.
#
# By the way, `trl`'s loss is the one that you wrote in notebook 03: with the batch in the same order, this is the difference.

# %% tags=["experiment"]
from course_utils import measured

parity, origin = measured.read("trl_parity")
kto_row = parity[parity["trainer"] == "KTO"].iloc[0]
print(
    f"KTO, our loss {kto_row['ours']:.6f}, trl's {kto_row['trl']:.6f}; largest difference of a gradient {kto_row['gradient']:.0e}"
)
print(textwrap.fill(kto_row["note"], 110))
print(measured.told(origin))

# %% [markdown]
# **Merge, reload, measure.** The LoRA is added to the weights of its base and written as one folder, *with* the tokenizer: a server needs both. What is measured from here on is the reloaded model, the thing that will be served.

# %% tags=["experiment", "nbval-ignore-output"]
tested = text.make_prompts(at_scale(60, 600), seed=777)
policies = {"base": base}
for name, run in (("KTO", kto_run), ("DPO", dpo_run)):
    policies[name], _ = models.load_model(training.merge_adapter(run.adapter, runs / f"{name}-merged"))

drawn, gold, kl, faults = {}, {}, {}, {}
for number, (name, policy) in enumerate(policies.items()):
    drawn[name] = models.sample(policy, tested, text.MAX_RESPONSE, seed=100 + number)
    gold[name] = text.gold_rewards(tested, drawn[name])
    kl[name] = models.exact_kl(policy, base, tested, drawn[name]).mean().item()
    faults[name] = training.safety_rates(policy, samples=at_scale(3, 60))


def mean_and_interval(values):
    """Mean with its 95 % interval, as text."""
    half = 1.96 * values.std().item() / len(values) ** 0.5
    return f"{values.mean().item():.2f} ± {half:.2f}"


# prompts that no training row has, several answers each; one number a prompt, since its answers are alike
unseen = sorted(set(sides["validation"]["prompt"]) | set(sides["test"]["prompt"]))
several = at_scale(2, 40)
new_ground = torch.tensor([text.encode(f"{text.BOS} {p}") for p in unseen for _ in range(several)])
gold_unseen = {
    name: text.gold_rewards(
        new_ground, models.sample(policy, new_ground, text.MAX_RESPONSE, seed=200 + number)
    )
    .view(len(unseen), several)
    .mean(dim=1)
    for number, (name, policy) in enumerate(policies.items())
}


def percent(rate):
    """A share with its 95 % interval."""
    half = 1.96 * (rate.value * (1 - rate.value) / rate.n) ** 0.5
    return f"{rate.value:.1%} ± {half:.1%}"


table = {
    name: {
        "gold reward": mean_and_interval(gold[name]),
        "gain over the base": mean_and_interval(gold[name] - gold["base"]) if name != "base" else "",
        f"gain on the {len(unseen)} prompts held out": mean_and_interval(
            gold_unseen[name] - gold_unseen["base"]
        )
        if name != "base"
        else "",
        "KL from the base (nats)": f"{kl[name]:.2f}",
        "words": f"{np.mean([text.length(a) for a in drawn[name]]):.1f}",
        "agrees with what is false": percent(faults[name]["sycophancy"]),
        "rejects what is true": percent(faults[name]["over-refusal"]),
    }
    for name in policies
}
print(pd.DataFrame(table).to_string())

# %% tags=["experiment"]
conclude(
    "KTO's gold reward is above the base's, interval and all",
    (gold["KTO"] - gold["base"]).mean() > 1.96 * (gold["KTO"] - gold["base"]).std() / len(tested) ** 0.5,
)
conclude("KTO's answers are longer", sum(map(len, drawn["KTO"])) > sum(map(len, drawn["base"])))
conclude("the policy has moved", kl["KTO"] > 0.1)
lean = {name: faults[name]["over-refusal"].value - faults[name]["sycophancy"].value for name in faults}
conclude(
    "KTO leans further towards 'no wrong' than the base (difference of the two faults)",
    lean["KTO"] > lean["base"],
)

# %% [markdown]
# *Agrees with what is false*: the share of answers to false statements that say "yes right" somewhere; the other fault likewise. All true and all false statements are asked, many answers each.
#
# **What the first rows do not test.** This world has 96 prompts. The draws for the first row hold all of them, and four in five were in the training rows. So the row about the prompts held out is the one that asks
# what section 3 split for; it rests on few prompts, so its interval is wide (and the fine-tuning of the base saw them all). In your pipeline, evaluate on the prompts of `test`.
#
# All of it is **one** run from one log. Another seed is another model: notebook 03 has three.
#
# **What changed, clause by clause.**

# %% tags=["experiment", "nbval-ignore-output"]
clause_kinds = ["true claim", "false claim", "right verdict", "wrong verdict", "repeat", "malformed"]
per_answer = {}
for name, answers in drawn.items():
    found = Counter(c.kind for p, a in zip(tested, answers) for c in text.parse(p, a))
    per_answer[name] = [found[kind] / len(tested) for kind in clause_kinds]

fig, ax = plots.figure(size=(7.6, 3.6))
for i, (name, values) in enumerate(per_answer.items()):
    plots.bars(
        ax,
        clause_kinds,
        values,
        name,
        (i - 1) * 0.27,
        0.27,
        (plots.COLOURS[3], plots.COLOURS[0], plots.COLOURS[1])[i],
        ("", "..", "//")[i],
    )
ax.set(ylabel="clauses in an answer")
ax.legend()
plots.show(
    fig,
    "Clauses in an answer of the base, the KTO and the DPO model, by kind. Both trained models make more true claims and fewer false ones than the "
    "base, and more repeats and malformed clauses.",
)

# %% [markdown]
# **What got better:** more true claims and fewer false ones. **What got worse:** repeats, malformed clauses, length. And the verdicts: this model cannot compare a claim with a fact (notebook 02), so its "yes right" and "no wrong" are coin flips, and it cannot learn to be right. It can learn which of the two is *liked*.

# %% tags=["experiment"]
said_yes, said_no = (
    sides["train"]["response"].str.contains(verdict) for verdict in ("yes right", "no wrong")
)
up = sides["train"]["feedback"] == "thumbs_up"
print(
    f"prompts of the log that are true: {is_true.mean():.0%}; of the test prompts: {np.mean([text.TRUTH[text.statement(p)[:2]] == text.statement(p)[2] for p in tested]):.0%}"
)
for name, rows in (("yes right", said_yes), ("no wrong", said_no)):
    print(
        f'"{name}": {up[rows].mean():.0%} thumbs up; on true prompts {up[rows & is_true].mean():.0%}, on false ones {up[rows & ~is_true].mean():.0%}'
    )

# %% [markdown]
# Three quarters of the *log's* prompts are false, so "no wrong" earned more thumbs than "yes right". Both trained models agree less with what is false, and KTO rejects what is true more often. The loss does not show it and the mean gold reward hides it. The prompts of a log are those of the people who voted, not those that you will be asked.
#
# (The two columns of the table are no comparison of methods: one setting of each, other data, another β.)
#
# ### The same way with a real model
#
# Nothing above is particular to a small model: `train_kto_lora` takes any folder or hub name. SmolLM2-135M-Instruct is a
# real chat model that a laptop can hold; `make model` puts it on this machine. Look at what a vote becomes there *before* anything
# is trained. What stands in brackets is not counted in the loss.

# %% tags=["experiment", "nbval-ignore-output"]
from course_utils.testbed import smollm
from transformers import AutoTokenizer

real = smollm.smollm_folder()
if real is None:
    print("SmolLM2-135M is not on this machine. `make model` fetches it (93 MB).")
else:
    tokenizer = AutoTokenizer.from_pretrained(real)  # as its makers wrote it
    turns = [
        {"role": "user", "content": "What is the capital of France?"},
        {"role": "assistant", "content": "Paris."},
    ]
    asked_only, whole = (
        tokenizer.apply_chat_template(turns[:n], tokenize=False, add_generation_prompt=n == 1) for n in (1, 2)
    )
    print(f"[{asked_only}]{whole[len(asked_only) :]}")
    print("its turn ends with", tokenizer.eos_token, "and it pads with", tokenizer.pad_token)
    print("after models.load_model it pads with", models.load_model(real)[1].pad_token)

# %% [markdown]
# The template adds a system turn that nobody wrote, marks the turns, and lets the answer end in its own token, which is counted.
#
# The makers' file pads with the very token that ends an answer. A collator that masks padding by its id would mask the end as well, and the model would never
# learn to stop. `load_model` therefore takes another token.
#
# At `COURSE_SCALE=full` the next cell trains it for some steps on eight votes, merges, reloads, and asks how likely the liked and the disliked answers have become. Eight votes can be
# learnt by heart, so this shows that the way works, and nothing about quality.

# %% tags=["experiment", "nbval-ignore-output"]
facts = {
    "What is the capital of France?": ("Paris.", "France has many cities, and it is hard to say."),
    "How many legs has a spider?": ("Eight.", "A spider has a number of legs that it walks on."),
    "What do cows eat?": ("Grass.", "That is a good question, and cows are animals."),
    "Is the sun a star?": ("Yes.", "The sun is something that we see during the day."),
}


def answer_logps(folder):
    """Mean log-probability of the liked and of the disliked answers, in nats an answer."""
    model, tokenizer = models.load_model(folder)
    found = {0: [], 1: []}
    for question, answers in facts.items():
        turn = [{"role": "user", "content": question}]
        for i, said_so in enumerate(answers):
            start, ids = (
                tokenizer.apply_chat_template(t, add_generation_prompt=len(t) == 1, return_tensors="pt", return_dict=True)["input_ids"]
                for t in (turn, [*turn, {"role": "assistant", "content": said_so}])
            )  # fmt: skip
            with torch.no_grad():
                logps = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
            found[i].append(logps[start.shape[1] - 1 :].sum().item())
    return tuple(round(float(np.mean(found[i])), 1) for i in (0, 1))


if real is not None and scale() == "full":
    few_votes = Dataset.from_list(
        [
            {"prompt": q, "completion": a, "label": i == 0}
            for q, both in facts.items()
            for i, a in enumerate(both)
        ]
    )
    real_run = training.train_kto_lora(
        real, few_votes, None, runs / "real", weights=(1.0, 1.0),
        lr=5e-4, steps=20, batch_size=8, r=8, modules=("q_proj", "v_proj"), progress=report,
    )  # fmt: skip
    merged = training.merge_adapter(real_run.adapter, runs / "real-merged")
    print(f"{real_run.seconds:.0f} seconds for 20 steps; loss at step 0: {real_run.history[0]['loss']:.3f}")
    print("liked, disliked before:", answer_logps(real))
    print("liked, disliked after: ", answer_logps(merged))
else:
    print("Only at COURSE_SCALE=full, with the model on this machine.")

# %% [markdown]
# ## 7. Evaluation
#
# Gold rewards are a luxury of this world. A product asks people, or a model, which of two answers is better. The sheet that they get decides what the result is worth.

# %% [markdown]
# ### Exercise: a blind sheet
#
# `blind-comparison` · difficulty 2/5 · about 15 minutes · 4 points
#
# Judges who know which model wrote what are not judging answers. And judges tend to prefer a *place*, often the first. So: no names on the sheet, and a fair coin for each row decides who stands first.
#
# - `prompts`, `responses_a`, `responses_b`: lists of strings, equally long. `seed`: what the coins are drawn from.
# - returns a DataFrame with the columns `prompt`, `response_1`, `response_2`, rows in order, **nothing else**. The key is kept apart, in `attrs["key"]`: a list of `"a"` or `"b"`, whose response `response_1` is.
# - The coins are independent: not always a first, not in turns, not exactly half. Rows that are alike have coins of their own, and two seeds must not give the same coins, moved by rows or in another order.
# - "Nothing else" includes the index: it must not tell.
#
# Graded: prompt and both responses, rows in order (1), the key (1), fair, independent coins from the seed (1.5), lists unchanged (0.5).
#
# Stuck? Run `hint("blind-comparison")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "blind-comparison", "locked": false, "schema_version": 3, "solution": true, "task": false}
def blind_comparison(prompts, responses_a, responses_b, seed=0):
    """A sheet without names; attrs["key"] says whose response stands first."""
    ### BEGIN SOLUTION
    coins = np.random.default_rng(seed).random(len(prompts)) < 0.5  # True: a stands first
    sheet = pd.DataFrame(
        {
            "prompt": list(prompts),
            "response_1": [a if coin else b for a, b, coin in zip(responses_a, responses_b, coins)],
            "response_2": [b if coin else a for a, b, coin in zip(responses_a, responses_b, coins)],
        }
    )
    sheet.attrs["key"] = ["a" if coin else "b" for coin in coins]
    return sheet
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-blind-comparison", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("blind-comparison", blind_comparison)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("blind-comparison", blind_comparison)
### END HIDDEN TESTS

# %% [markdown]
# `attrs` does not survive `to_csv`. That is an advantage here: write the key into another file, which the judges do not get.
#
# ### Exercise: the win rate
#
# `win-rate` · difficulty 2/5 · about 15 minutes · 4 points
#
# With $w$ wins of a and $t$ ties among $n$ judgements the rate is $\hat p = (w + t/2)/n$. Its 95 % interval is Wilson's (1927), with $z = 1.96$ and $n$ **all** judgements, ties included:
#
# $$\frac{\hat p + \frac{z^2}{2n} \pm z\sqrt{\frac{\hat p(1-\hat p)}{n} + \frac{z^2}{4n^2}}}{1 + \frac{z^2}{n}}$$
#
# - `judgements`: a list of `"a"`, `"b"`, `"tie"`.
# - returns `(rate, low, high)`, floats, to 1e-4.
#
# Graded: the rate (1.5), the interval (2), judgements unchanged (0.5).
#
# Stuck? Run `hint("win-rate")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "win-rate", "locked": false, "schema_version": 3, "solution": true, "task": false}
def win_rate(judgements):
    """(rate, low, high): how often a wins, ties half, with Wilson's 95 % interval."""
    ### BEGIN SOLUTION
    n, z = len(judgements), 1.959964
    rate = sum({"a": 1.0, "tie": 0.5, "b": 0.0}[judgement] for judgement in judgements) / n
    centre = rate + z**2 / (2 * n)
    half = z * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return rate, (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-win-rate", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("win-rate", win_rate)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("win-rate", win_rate)
### END HIDDEN TESTS

# %% [markdown]
# **Ties and size.** 40 wins, 30 losses, 30 ties: counted as losses, ties give a "win rate" of 40 %; counted half, 55 %. And 60 % of 100 judgements is less than it sounds.

# %% tags=["experiment"]
from course_utils import evaluation

blind, rate_of = use("blind-comparison", blind_comparison), use("win-rate", win_rate)

for name, judged in (
    ("40 wins, 30 losses, 30 ties", ["a"] * 40 + ["b"] * 30 + ["tie"] * 30),
    ("60 of 100", ["a"] * 60 + ["b"] * 40),
    ("600 of 1,000", ["a"] * 600 + ["b"] * 400),
):
    print("{:28} {:.3f}   95 % interval {:.3f} to {:.3f}".format(name, *rate_of(judged)))

print("\nchance that the interval excludes one half:")
power = {
    f"true rate {r:.0%}": {n: evaluation.power_of_win_rate(n, r) for n in (50, 100, 200, 400, 800)}
    for r in (0.5, 0.55, 0.6, 0.65)
}
print(pd.DataFrame(power).rename_axis("judgements").round(2).to_string())

# %% [markdown]
# Read the table before the judges are paid, not after. (Several judgements of one prompt are not independent; then count prompts.)
#
# A gate "above 60 % in 100 judgements" lets chance decide:

# %% tags=["experiment"]
for true_rate in (0.55, 0.6, 0.65):
    print(
        f"true rate {true_rate:.0%}: more than 60 of 100 in {binom.sf(60, 100, true_rate):.0%} of the evaluations"
    )

# %% [markdown]
# **Judges with a favourite place.** Simulated ones here: they see the gold reward through noise, and give the first place a bonus. First the base against *itself*, with model a always first.

# %% tags=["experiment"]
FAVOUR, INDIFFERENT = 0.5, 0.15  # in units of the gold reward: the first place's bonus; what counts as a tie


def judge(sheet, seed):
    """For each row 1, 2 or "tie": noisy judges who favour the first place."""
    rng = np.random.default_rng(seed)
    scores = {
        column: np.array(
            [
                text.gold_reward(text.encode(f"{text.BOS} {p}"), text.encode(r))
                for p, r in zip(sheet["prompt"], sheet[column])
            ]
        )
        for column in ("response_1", "response_2")
    }
    gap = scores["response_1"] - scores["response_2"] + FAVOUR + text.NOISE * rng.logistic(size=len(sheet))
    return ["tie" if abs(g) < INDIFFERENT else 1 if g > 0 else 2 for g in gap]


def unblinded(sheet, places):
    """The judgements in terms of a and b."""
    other = {"a": "b", "b": "a"}
    return [
        "tie" if p == "tie" else key if p == 1 else other[key] for p, key in zip(places, sheet.attrs["key"])
    ]


words = [text.decode(p[1:]) for p in tested]
said = {name: [" ".join(text.words_of(a)) for a in answers] for name, answers in drawn.items()}
again = [" ".join(text.words_of(a)) for a in models.sample(base, tested, text.MAX_RESPONSE, seed=99)]

# %% tags=["experiment", "nbval-ignore-output"]
always_first = pd.DataFrame({"prompt": words, "response_1": said["base"], "response_2": again})
always_first.attrs["key"] = ["a"] * len(words)
results = {}
for name, sheet in (
    ("base against itself, a always first", always_first),
    ("base against itself, blind sheet", blind(words, said["base"], again, seed=1)),
    ("KTO against base, blind sheet", blind(words, said["KTO"], said["base"], seed=2)),
    ("DPO against base, blind sheet", blind(words, said["DPO"], said["base"], seed=3)),
):
    places = judge(sheet, seed=4)
    results[name] = rate_of(unblinded(sheet, places))
    first_place = evaluation.position_bias(places)
    print(
        "{:36} a wins {:.2f} [{:.2f}, {:.2f}]   the first place wins {:.2f} [{:.2f}, {:.2f}]".format(
            name, *results[name], *first_place
        )
    )

# %% tags=["experiment"]
conclude(
    "against itself, always first: the base 'beats' the base",
    results["base against itself, a always first"][1] > 0.5,
)
conclude(
    "against itself, blind: one half lies in the interval",
    results["base against itself, blind sheet"][1] < 0.5 < results["base against itself, blind sheet"][2],
)
conclude("KTO beats the base on a blind sheet", results["KTO against base, blind sheet"][1] > 0.5)

# %% [markdown]
# The coin does not cure the judges. It sees to it that what they give away for the place goes to both models alike, and it lets the preference be *measured* (right-hand columns). It still costs power, since part of the answers are decided by the place.
#
# **Length.** KTO's answers are longer than the base's. Would they win at the same length? The crudest control compares rows of about equal length.

# %% tags=["experiment", "nbval-ignore-output"]
sheet = blind(words, said["KTO"], said["base"], seed=2)
judged = unblinded(sheet, judge(sheet, seed=4))
gap = np.array([len(a.split()) - len(b.split()) for a, b in zip(said["KTO"], said["base"])])
for name, rows in (
    ("all rows", gap > -99),
    ("lengths within 2 words", abs(gap) <= 2),
    ("KTO's longer by more", gap > 2),
    ("KTO's shorter by more", gap < -2),
):
    chosen = [j for j, row in zip(judged, rows) if row]
    if chosen:
        print(
            "{:24} {:4} rows   KTO wins {:.2f} [{:.2f}, {:.2f}]".format(name, len(chosen), *rate_of(chosen))
        )

# %% [markdown]
# Where lengths are about equal KTO wins about as often as elsewhere: no sign here that length alone wins. But each line compares *other prompts*, so this is a look and no control. A regression does it with all rows (`length-control` in notebook 05).
#
# ### Two kinds of harm, and a gate
#
# A language of 44 words knows no harm. What stands in for safety are two faults with known answers: agreeing with a false statement (sycophancy; in place of going along with a bad request), and rejecting a true one (over-refusal; in place of turning down a harmless
# request). One is cured at the other's expense, so both are measured, beside the base.
#
# The gate was written down before: the win rate's interval above one half, and for each fault the *interval* of the increase over the base below 5 points. What was measured on too few samples does not pass.

# %% tags=["experiment", "nbval-ignore-output"]
decisions = {}
for name in ("KTO", "DPO"):
    evidence = {"win rate": results[f"{name} against base, blind sheet"]}
    evidence |= {fault: (faults[name][fault], faults["base"][fault]) for fault in faults[name]}
    decisions[name], reasons = training.release_gate(evidence, margin=0.05)
    print(f"{name}: {'may go out' if decisions[name] else 'stays here'}")
    print("".join(f"   {reason}\n" for reason in reasons))

# %% tags=["experiment"]
passed, reasons = training.release_gate(
    {"win rate": (0.62, 0.58, 0.66), "sycophancy": (training.Rate(1, 20), training.Rate(1, 20))}
)
print("a good win rate, and safety looked at in 20 answers:", "passes" if passed else "does not pass")
print(reasons[0])

# %% [markdown]
# **In the run kept here KTO stays where it is.** It wins, and it agrees less with what is false; but it rejects what is true more often than the base, and beyond chance. The reason is known from section 6.
#
# A cure to try: the training used a few thousand of 61,000 votes, so choose them such that half of their prompts are true. Set `BALANCED` to True in section 6, run on from there, and see what becomes of the verdicts, of the gold reward and of the gate. (This looks at the truth of the prompts, which a product would have to have labelled. It changes KTO's rows only.)
#
# DPO fails by a hair: no increase is shown, but one of 5 points is not ruled out either. More answers would decide that. Lowering the bar after seeing the numbers would decide nothing.
#
# A gate for a real model also holds sets of tasks that the old model could do.

# %% [markdown]
# ## 8. Deployment
#
# The new model does not meet all users at once. Some users get it (the **treatment**), the others the old one (the **control**), and votes decide how it goes on.

# %% [markdown]
# ### Exercise: who gets which model
#
# `assign-variant` · difficulty 3/5 · about 20 minutes · 5 points
#
# | argument | |
# |---|---|
# | `user_id` | a str |
# | `share` | 0 to 1, any value: nobody at 0, everybody at 1, else each user with that probability (rounded to thousandths is fine) |
# | `salt` | a str, the name of the experiment; may be empty |
# | returns | `"treatment"` or `"control"` |
#
# Four demands: the same answer **in every process and on every machine**; about the share asked for; another salt gives another, independent draw; raising the share **never moves a user back** to control.
#
# Graded: about the share, none at 0 and all at 1 (1.5), the same again in every process (1.5), raising the share moves nobody back (1), another salt, another draw (1).
#
# Stuck? Run `hint("assign-variant")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "assign-variant", "locked": false, "schema_version": 3, "solution": true, "task": false}
def assign_variant(user_id, share, salt=""):
    """ "treatment" for about `share` of the users, else "control"; always the same for one user and salt."""
    ### BEGIN SOLUTION
    # a place in [0, 1) that belongs to user and salt; the share only moves the border
    digest = hashlib.sha256(f"{salt}:{user_id}".encode()).digest()
    place = int.from_bytes(digest[:6], "big") / 2**48
    return "treatment" if place < share else "control"
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-assign-variant", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("assign-variant", assign_variant)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("assign-variant", assign_variant)
### END HIDDEN TESTS

# %% [markdown]
# **Why not Python's `hash`?** It is salted anew in each process, for strings. Two processes, the same 1,000 users, a share of 5 %:

# %% tags=["experiment", "nbval-ignore-output"]
import subprocess
import sys

code = "print(*[u for u in range(1000) if hash(f'user {u}') % 100 < 5])"
outputs = [
    subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    for _ in range(2)
]
treated = [set(output) for output in outputs]
print(
    f"treated with hash(): {len(treated[0])} and {len(treated[1])} users; in both: {len(treated[0] & treated[1])}"
)

# %% tags=["experiment"]
assign = use("assign-variant", assign_variant)

users = [f"user {u}" for u in range(1000)]
at = {
    share: {u for u in users if assign(u, share, "kto-1") == "treatment"} for share in (0.0, 0.05, 0.2, 1.0)
}
print("hash() treats other users after a restart:", treated[0] != treated[1])
print("assign_variant, treated by share:", {share: len(chosen) for share, chosen in at.items()})
print("the first 5 % are among the 20 %:", at[0.05] <= at[0.2])

# %% [markdown]
# ### Exercise: ramp, hold or roll back
#
# `rollout-decision` · difficulty 2/5 · about 15 minutes · 4 points
#
# `control` and `treatment` are `(thumbs_up, votes)`. The two-sided test of two proportions at 5 %: with the pooled rate $p$ of both arms
#
# $$z = \frac{\hat p_t - \hat p_c}{\sqrt{p(1-p)\left(\frac{1}{n_t} + \frac{1}{n_c}\right)}}$$
#
# - returns `"ramp"` if the treatment's rate is significantly higher, `"roll back"` if it is significantly lower, else `"hold"`.
#
# Graded where |z| is below 1.5 or above 2.5, so that other tests of two proportions are right too: the decision (3.5), inputs unchanged (0.5).
#
# Stuck? Run `hint("rollout-decision")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "rollout-decision", "locked": false, "schema_version": 3, "solution": true, "task": false}
def rollout_decision(control, treatment):
    """ "ramp", "hold" or "roll back", by the two-proportion test at 5 %."""
    ### BEGIN SOLUTION
    (up_c, n_c), (up_t, n_t) = control, treatment
    pooled = (up_c + up_t) / (n_c + n_t)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n_c + 1 / n_t))
    z = (up_t / n_t - up_c / n_c) / error
    if abs(z) < 1.96:
        return "hold"
    return "ramp" if z > 0 else "roll back"
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-rollout-decision", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("rollout-decision", rollout_decision)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("rollout-decision", rollout_decision)
### END HIDDEN TESTS

# %% [markdown]
# **"5 % better" is no test.** A rule that is often seen: the treatment wins if its rate is more than 1.05 times the control's. Here both arms have the *same* model, 65 % thumbs up, and a twentieth of the votes are the treatment's.

# %% tags=["experiment"]
decide = use("rollout-decision", rollout_decision)

rng = np.random.default_rng(0)
TRIALS = at_scale(500, 4000)
rows = []
for treated_votes in (100, 300, 1000):
    control_votes = 19 * treated_votes
    ups_c, ups_t = rng.binomial(control_votes, 0.65, TRIALS), rng.binomial(treated_votes, 0.65, TRIALS)
    rows.append(
        {
            "votes in the treatment": treated_votes,
            "ratio above 1.05": ((ups_t / treated_votes) > 1.05 * ups_c / control_votes).mean(),
            "the test says ramp": np.mean(
                [
                    decide((c, control_votes), (t, treated_votes)) == "ramp"
                    for c, t in zip(ups_c.tolist(), ups_t.tolist())
                ]
            ),
        }
    )
print("share of false wins, no difference between the arms")
print(pd.DataFrame(rows).round(3).to_string(index=False))

# %% [markdown]
# The test errs in 5 % of the cases, half of them as a false win, whatever the size. It keeps that promise for **one** look, and for votes that are independent. Section 9 shows what becomes of it with neither.
#
# ### Exercise: the tail of the latency
#
# `latency-percentile` · difficulty 1/5 · about 5 minutes · 2 points
#
# `p95(latencies)`: the 95th percentile of a list of numbers in any order, with linear interpolation between neighbours (numpy's default); a float.
#
# Graded: the percentile (1.5); tuples, arrays and tensors too, unchanged (0.5).
#
# Stuck? Run `hint("latency-percentile")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "latency-percentile", "locked": false, "schema_version": 3, "solution": true, "task": false}
def p95(latencies):
    """The 95th percentile, linearly interpolated."""
    ### BEGIN SOLUTION
    return float(np.percentile(np.asarray(latencies, dtype=float), 95))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-latency-percentile", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("latency-percentile", p95)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("latency-percentile", p95)
### END HIDDEN TESTS

# %% [markdown]
# A user feels the slow answers, and the mean hides them. Percentiles cannot be averaged either: the p95 of a day is not the mean of the hours' p95.
#
# ### The service
#
# `course_utils.serving` is a small FastAPI service. It keeps some promises, each the answer to a way in which such services lose data:
#
# - An answer, its prompt, its user and its **model version** are stored *before* the request id is handed out. So each vote finds what it was about.
# - A vote is one of two words, and everything else is refused. The first vote on an answer stands; sending it again does no harm, changing it is refused.
# - The answer does not say which model gave it. Users are stored as a keyed hash.
# - Generation runs in a thread, in batches, so that the event loop stays free to take votes.
# - The share of the treatment lies in the store: it grows, whatever a restarted process thinks, until a roll-back.
# - *Guardrails*: where the treatment has clearly more content warnings or failures than the control, or more than twice its p95 latency, the service rolls it back by itself, for good, and says why.
#
# Here it runs in a thread of this notebook, on a free port of this machine, with the base model as control and the KTO model as treatment. (The gate said no. Simulated users are harmed by nothing; real ones would not get this model.)

# %% tags=["experiment", "nbval-ignore-output"]
import httpx

from course_utils.serving.app import create_app
from course_utils.serving.engine import ModelEngine
from course_utils.serving.limits import Limits
from course_utils.serving.running import serve_in_thread
from course_utils.serving.store import open_store

engines = {
    "control": ModelEngine(runs / "base", max_new=text.MAX_RESPONSE, temperature=1.0, top_p=1.0),
    "treatment": ModelEngine(runs / "KTO-merged", max_new=text.MAX_RESPONSE, temperature=1.0, top_p=1.0),
}
app = create_app(
    engines, open_store(f"sqlite:///{runs}/service.db"), share=0.2, salt="kto-1", tokens={"a-token-for-the-notebook": "notebook"},
    user_key="a secret of the operator",
    limits=Limits(rate=1000, burst=1000),  # this notebook is one client and speaks for forty users
)  # fmt: skip
running = contextlib.ExitStack()  # the service ends when this is closed, in the next cell
client = httpx.Client(
    base_url=running.enter_context(serve_in_thread(app)),
    headers={"Authorization": "Bearer a-token-for-the-notebook"},
    timeout=30,
)

answer = client.post("/chat", json={"user_id": "user 7", "prompt": "i think fox eats berries . :"}).json()
print("POST /chat       ", answer)
vote = {"request_id": answer["request_id"], "vote": "thumbs_up"}
print("POST /feedback   ", client.post("/feedback", json=vote).json())
print("once more        ", client.post("/feedback", json=vote).json())
print(
    "the other thumb  ",
    (refused := client.post("/feedback", json=vote | {"vote": "thumbs_down"})).status_code,
    refused.json(),
)
print(
    "a banana         ",
    (banana := client.post("/feedback", json=vote | {"vote": "banana"})).status_code,
    banana.json(),
)
print("GET /health      ", client.get("/health").json())

# %% [markdown]
# Now forty users ask, eight at a time, and vote honestly and without noise: a thumb up for a gold reward above 0. The store then gives back what this notebook began with, a feedback log, with the model's version beside each vote. The dashboard is drawn from `/metrics` and the store (here from the traffic of a few seconds).
#
# *Stored* latency is from a request's arrival to its finished answer, from the store. *Counted* is to the stored answer, from the histogram that this process keeps; it is read between the histogram's bounds, so it is coarser. A share of 0.2 gives the treatment about eight of forty users, by chance fewer or more.

# %% tags=["experiment", "nbval-ignore-output"]
from concurrent.futures import ThreadPoolExecutor

from course_utils.serving.dashboard import dashboard


def visit(number):
    """One user asks and votes; the seconds that the answer took."""
    prompt, asked_at = words[number % len(words)], time.perf_counter()
    reply = client.post("/chat", json={"user_id": f"user {number % 40}", "prompt": prompt})
    answer = reply.raise_for_status().json()
    seconds = time.perf_counter() - asked_at
    worth = text.gold_reward(text.encode(f"{text.BOS} {prompt}"), text.encode(answer["response"]))
    word = "thumbs_up" if worth > 0 else "thumbs_down"
    client.post("/feedback", json={"request_id": answer["request_id"], "vote": word}).raise_for_status()
    return seconds


VISITS = at_scale(20, 160)
with ThreadPoolExecutor(8) as crowd:
    waited = list(crowd.map(visit, range(VISITS)))
metrics, store = client.get("/metrics").text, app.state.service.store
served = store.feedback_frame()
print(
    "\n".join(
        line
        for line in metrics.splitlines()
        if line.startswith(("service_votes_total", "service_refused_total", "service_treatment_share"))
    )
)
print(f"\n{len(served)} votes, columns {', '.join(served.columns)}")
print(
    (served["feedback"] == "thumbs_up")
    .groupby([served["variant"], served["model_version"]])
    .agg(votes="size", up="mean")
    .round(2)
    .to_string()
)
percentile = use("latency-percentile", p95)
print(
    f"\nlatency as the clients see it: mean {1000 * np.mean(waited):.0f} ms, p95 {1000 * percentile(waited):.0f} ms\n"
)

fig, numbers = dashboard(metrics, store)
plots.show(fig, f"The service's dashboard: answers over time, latency, and votes, by variant. {numbers}.")
client.close()
running.close()

# %% tags=["experiment"]
print("a vote twice is one vote, another one is refused:", refused.status_code == 409)
print("a banana is no vote:", banana.status_code == 422)
print("every vote found its answer:", len(served) == VISITS + 1 and not served.isna().any(axis=None))
print("each user saw one model only:", bool((served.groupby("user_id")["variant"].nunique() == 1).all()))

# %% [markdown]
# By command, `python -m course_utils serve` starts the same app as a process of its own, with a page of its interface under `/docs`.
#
# What a notebook cannot show is left to the tests, which do it to real processes. In `tests/test_service.py` the service is killed with SIGKILL under load and started again: no acknowledged vote is missing, and no user has changed sides.
#
# Others fill its queue, break its engine and take its store away. A service without such tests may fail there; nobody has looked.
#
# ## 9. Monitoring
#
# The service runs. Which numbers say that something is wrong, and how often do they say so for nothing?

# %% [markdown]
# ### Exercise: what has got worse?
#
# `detect-failures` · difficulty 3/5 · about 25 minutes · 6 points
#
# `window` and `baseline` are feedback frames with `content_warning`. Four measures, each one number a row:
#
# | failure | measure of a row |
# |---|---|
# | `"length_explosion"` | characters of the response |
# | `"repetition"` | 1 − distinct / all word bigrams within the response |
# | `"safety_spike"` | 1 if `content_warning`, else 0 |
# | `"feedback_drop"` | 1 for a thumb **down**, else 0 |
#
# Words are what white space separates, line ends included; a response of one word has no bigrams, and its measure is 0.
#
# A failure holds if the window's mean is above the baseline's by more than 4 standard errors,
#
# $$\frac{\bar x_w - \bar x_b}{s\sqrt{1/n_w + 1/n_b}} > 4,$$
#
# with $s$ the baseline's standard deviation, at least 0.001, so that nothing is divided by zero. (Over a baseline that never warned, a single warning is still an alarm in most windows; perhaps it should be.)
#
# - returns a list of those that hold, in the order of the table. A change for the better is no failure.
#
# Graded where that ratio is below 2 or above 6: `length_explosion` (1), `repetition` (1.5), `safety_spike` (1), `feedback_drop` (1), all that hold and no others, in order (1), frames unchanged (0.5).
#
# Stuck? Run `hint("detect-failures")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "detect-failures", "locked": false, "schema_version": 3, "solution": true, "task": false}
def detect_failures(window, baseline):
    """Names of the measures whose mean rose by over 4 standard errors, in their order."""

    ### BEGIN SOLUTION
    def repetition(response):
        words = response.split()
        bigrams = list(zip(words, words[1:]))
        return 1 - len(set(bigrams)) / len(bigrams) if bigrams else 0.0

    measures = {
        "length_explosion": lambda frame: frame["response"].str.len(),
        "repetition": lambda frame: frame["response"].map(repetition),
        "safety_spike": lambda frame: frame["content_warning"],
        "feedback_drop": lambda frame: frame["feedback"] == "thumbs_down",
    }
    found = []
    for name, measure in measures.items():
        now, before = measure(window).astype(float), measure(baseline).astype(float)
        spread = max(before.std(), 0.001)
        error = spread * math.sqrt(1 / len(now) + 1 / len(before))
        if now.mean() - before.mean() > 4 * error:
            found.append(name)
    return found
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-detect-failures", "locked": true, "points": 6, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("detect-failures", detect_failures)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("detect-failures", detect_failures)
### END HIDDEN TESTS

# %% [markdown]
# A tenth of the log's rows, drawn at random, plays this week; the other rows are the baseline. First as it is, then with something wrong.

# %% tags=["experiment"]
detect = use("detect-failures", detect_failures)

readable = log[log["response"].notna()]
this_week = readable.sample(frac=0.1, random_state=0)
earlier = readable.drop(this_week.index)


def changed(**columns):
    return detect(this_week.assign(**columns), earlier)


def downs(more, seed=0):
    """The week's votes with a share `more` of the thumbs up turned down."""
    flip = np.random.default_rng(seed).random(len(this_week)) < more
    return this_week["feedback"].mask((this_week["feedback"] == "thumbs_up") & flip, "thumbs_down")


print(f"{len(this_week):,} rows this week, {len(earlier):,} before")
print("as it is:                     ", changed())
print("every answer said twice:      ", changed(response=this_week["response"] + " " + this_week["response"]))
print(
    "answers cut to two words:     ",
    changed(response=this_week["response"].str.split().str[:2].str.join(" ")),
)
print("one in fifty with a warning:  ", changed(content_warning=np.arange(len(this_week)) % 50 == 0))
print("a tenth of the thumbs turned: ", changed(feedback=downs(0.1)))

# %% [markdown]
# Answers cut to two words go unseen: the four measures look for what *grows*. And a fixed limit ("more than 500 characters") would alarm for ever or never; what is normal is learnt from a baseline.
#
# ### False alarms
#
# Four standard errors sound safe. But the standard error above knows the sampling of rows only. Real weeks differ from each other for reasons that no sampling explains: a holiday, a new customer.
#
# A **prediction limit** takes the spread *between earlier weeks* as its yardstick (Student's t; `monitor.prediction_limit`). A **CUSUM** (cumulative sum) adds up
# small excesses to find what creeps (`monitor.cusum`).
#
# The next cell simulates services of 2,000 answers and 200 votes a week, whose weeks wobble a little: 26 quiet weeks as baseline, then 200 quiet weeks, each with four measures; and others in which something does go wrong. The row
# "sampling error" is a rule like yours, with its limit at 3.1 standard errors: the chance of an alarm that it *claims* is then the prediction limit's, one in a thousand. Yours, at 4, alarms less and misses more.

# %% tags=["experiment"]
from course_utils.serving import trials

wrong = {"length": 92.0, "repetition": 0.05, "safety": 0.006, "feedback": 0.42}
quiet = {name: measure.level for name, measure in trials.QUIET.items()}
print("level, quiet:", quiet)
print("level, wrong:", wrong)
alarms = trials.detector_trials(wrong, baseline=26, weeks=200, repeats=at_scale(20, 200), seed=0)
rows = {
    rule: {"false alarms in 200 weeks": found["false alarms"]}
    | {f"missed: {name}": share for name, share in found["missed in 4 weeks"].items()}
    for rule, found in alarms.items()
}
print(pd.DataFrame(rows).T.round(2).to_string())

# %% [markdown]
# *Missed* is the share of the services in which the rule said nothing in four weeks.
#
# - *Sampling error* alone alarms for nothing about every eighth week, nearly always for length, whose weeks wobble more than its sampling explains.
# - *The prediction limit* alarms for nothing about once in seven years. It pays where counts are small: it misses most drops in feedback and two fifths of the rises in warnings.
# - *CUSUM* stands between: a false alarm in a year and a half, and a third of the drops in feedback missed.
#
# Levels and wobbles are chosen, not measured on a real service; put in your own.
#
# ### Peeking
#
# A test at 5 % keeps its promise for one look. Here two arms with the *same* model are looked at each week for twelve weeks, and the experiment stops as soon as $|z| > 1.96$. First with independent votes, so that nothing but the looking is wrong.

# %% tags=["experiment"]
rng = np.random.default_rng(0)
LOOKS, WEEKLY = 12, 500
ups = rng.binomial(WEEKLY, 0.65, (at_scale(500, 4000), 2, LOOKS)).cumsum(axis=2)
seen = WEEKLY * np.arange(1, LOOKS + 1)
pooled = ups.sum(axis=1) / (2 * seen)
z = (ups[:, 1] - ups[:, 0]) / seen / np.sqrt(pooled * (1 - pooled) * 2 / seen)
print(f"false alarms, one look in week 12:   {(abs(z[:, -1]) > 1.96).mean():.3f}")
print(f"false alarms, a look every week:     {(abs(z) > 1.96).any(axis=1).mean():.3f}")

# %% [markdown]
# Votes are not independent either: the same people vote again. The **unit is the user**, since users were assigned. Now 500 users an arm, each with a rate of their own, some far busier than others.
#
# Two rules on users' totals:
#
# - `rollout.planned_looks_decision`: the number of looks is fixed beforehand, and early looks need more (O'Brien and Fleming 1979).
# - `rollout.always_valid_decision`: valid at any look, for ever; a mixture sequential test (Johari, Pekelis and Walsh 2015, arXiv 1512.04922). The service uses it, since nobody tells it when to stop.

# %% tags=["experiment"]
same = trials.look_trials(users=500, lift=0.0, repeats=at_scale(20, 300), seed=0)
better = {
    users: trials.look_trials(users=users, lift=0.05, repeats=at_scale(5, 50), seed=1)
    for users in (500, 2000, 8000)
}
names = {
    "votes, every look": "votes counted,\nevery week",
    "votes, last look": "votes counted,\nweek 12 only",
    "users, planned looks": "users counted,\n12 looks planned",
    "users, always valid": "users counted,\nvalid at any look",
}
print(
    "no difference, share of experiments that decided:",
    {rule: round(share, 3) for rule, share in same.items()},
)
for users, found in better.items():
    print(
        f"5 points better, {users:,} users an arm, decided: {found['users, planned looks']:.0%} with twelve looks planned, "
        f"{found['users, always valid']:.0%} valid at any look"
    )

fig, ax = plots.figure(size=(7.6, 3.6))
drawn_bars = plots.bars(ax, [names[rule] for rule in same], list(same.values()), width=0.55)
ax.bar_label(drawn_bars, fmt="%.3f")
ax.axhline(0.05, color=plots.COLOURS[2], linestyle="--", label="5 %")
ax.set(ylabel="share of false alarms")
ax.legend()
plots.show(
    fig,
    "False alarms between two arms with the same model, 500 users each, in twelve weeks: when votes are counted as independent the test alarms "
    "in every second experiment or more, at a single look as well; the rule of planned looks on users stays near 5 %, and the one that is valid at any look hardly ever alarms.",
)

# %% tags=["experiment"]
conclude(
    "votes as the unit: far more than 5 % false alarms, even at one look", same["votes, last look"] > 0.1
)
conclude("users as the unit, valid at any look: about 5 % at most", same["users, always valid"] <= 0.08)
conclude("users as the unit, twelve looks planned: below 10 %", same["users, planned looks"] < 0.1)
conclude(
    "planned looks see more than the rule that is valid at any look (500 users)",
    better[500]["users, planned looks"] > better[500]["users, always valid"],
)

# %% [markdown]
# **What got worse.** The rule that is valid at any look pays in power: see the lines above the figure. Where the looks are planned, and no more are taken, the planned rule sees far more with few users. Both need far more votes than
# the two rules that count votes; those only *seem* to know more. (The powers rest on 50 simulated experiments each, so on about ± 14 points; "decided" counts both directions.)
#
# Ramps by calendar ("5 % in week 1, 20 % in week 2, everybody in week 4") ask nobody. A ramp should wait for a decision, a *guardrail* (a bound on latency, content warnings or errors) should be able to stop it at any time, and rolling back should be one call. A larger share must hold in all replicas at the same moment: while one of them does not know of it yet, a user who is answered by both moves back and forth.

# %% [markdown]
# ## 10. The next round
#
# Next month there are new votes. What belongs to the loop, and what this section measures of it:
#
# | question | a way that holds | measured here |
# |---|---|---|
# | which reference? | a *fixed* one, from before the first round: the total drift has one price, paid to one place | rounds with a fixed and a moving reference |
# | which data? | a mix of old and new votes: new ones alone are few, old ones alone are off-policy | rounds on new votes and on all; a mix and its weights |
# | which base to train? | the same base again, on the mix: easy to repeat, and it is the fixed reference too. Going on from last month's model is cheaper | no |
# | which test set? | a **fresh** holdout each month. One that decided twelve releases has been fitted to | the monthly draw and its price |
# | what happened this week? | a report by command, always of a finished week, with what it cannot say | a report on simulated weeks |
# | who votes? | tokens and rates; the rule of section 2; a search for accounts that push one kind of answer; a cap | thirty accounts, two disguises |
# | when is it released? | the gate of section 7, then a roll-out; "better than last month's score" by any margin rewards luck | section 7 |
# | what about the loop itself? | the model is trained on votes about its own answers: keep some traffic on the old model, and some rated by people who are paid to | no |
#
# ### Rounds, and a rope
#
# In one round of **online KTO** people vote on what the model says *now*, and it is trained on these votes. Then again. Which model is the reference of the second round?
#
# - **Fixed**: the model before the first round. The implicit reward $\beta\log(\pi/\pi_{\text{ref}})$ measures the whole way that was gone. The farther the policy is, the more the loss saturates, and the pull goes back to where it began.
# - **Moving**: the model before this round. Each round starts with a reward of 0 and may go as far as the last one did. Nothing remembers the sum.
#
# The voters are honest ones as in section 1, and their standards do not change: a better model earns more thumbs. One seed, live:

# %% tags=["experiment", "nbval-ignore-output"]
from course_utils.iteration.rounds import compare_rounds

started = time.perf_counter()
live = pd.DataFrame(
    compare_rounds(
        base, seed=0, variants=("fixed, new votes", "moving, new votes"),
        rounds=at_scale(2, 4), votes=at_scale(64, 256), steps=at_scale(2, 16), batch_size=32, evaluate=at_scale(60, 300),
    )
)  # fmt: skip
for column, words in (
    ("kl", "KL from the first policy, nats"),
    ("gold", "gold reward"),
    ("liked", "thumbs up"),
):
    print(words)
    print(live.pivot(index="variant", columns="round", values=column).round(2).to_string())
print(f"{time.perf_counter() - started:.0f} seconds")

# %% [markdown]
# A policy this small wobbles from one update to the next, and one seed may show anything. The next figure is from a longer run on three seeds, kept with the course (`make full` runs it anew): the same number of votes and updates for everybody, and beside the rounds **one offline round**, in which all votes are on the first policy's answers.

# %% tags=["experiment"]
rounds_kept, rounds_origin = measured.read("online_kto")
mean = rounds_kept.groupby(["variant", "round"], sort=False)[["gold", "kl"]].mean().round(2)
styles = {
    "moving, new votes": (plots.COLOURS[1], "--", "s"),
    "fixed, new votes": (plots.COLOURS[0], "-", "o"),
    "fixed, all votes": (plots.COLOURS[2], "-.", "^"),
    "one offline round": (plots.COLOURS[3], ":", "D"),
}
fig, (drift, worth) = plots.figure(columns=2, size=(10.5, 3.8))
for name, (colour, line, marker) in styles.items():
    rows = mean.loc[name]
    if name == "one offline round":  # there is nothing between its start and its end
        drift.plot(
            rows.index[-1:], rows["kl"].iloc[-1:], color=colour, linestyle="", marker=marker, label=name
        )
    else:
        drift.plot(rows.index, rows["kl"], color=colour, linestyle=line, marker=marker, label=name)
    worth.plot(rows["kl"], rows["gold"], color=colour, linestyle=line, marker=marker, label=name)
    for _, one in rounds_kept[rounds_kept["variant"] == name].groupby("seed"):
        if name != "one offline round":
            drift.plot(one["round"], one["kl"], color=colour, linewidth=0.6, linestyle=line, alpha=0.5)
drift.set(xlabel="round", ylabel="KL from the first policy (nats)")
worth.set(xlabel="KL from the first policy (nats)", ylabel="gold reward")
drift.legend()
plots.show(
    fig,
    "Left: KL from the first policy after each round, mean of three seeds thick and each seed thin. With the moving reference it keeps growing, "
    "with the fixed one it grows less, least when all votes so far are trained on. Right: gold reward against KL. "
    "At the same KL the fixed reference has as much gold or more, on all votes the most; the moving one ends at the highest gold and by far the highest KL.",
)
print(measured.told(rounds_origin))
last = mean.groupby("variant", sort=False).tail(1).reset_index("round", drop=True)
print(last.rename(columns={"gold": "gold reward", "kl": "KL (nats)"}).to_string())

# %% tags=["experiment"]
ends = rounds_kept[rounds_kept["round"] == rounds_kept["round"].max()].pivot(
    index="seed", columns="variant", values=["kl", "gold"]
)
kl_of, gold_of = ends["kl"], ends["gold"]


def in_every_seed(claim, holds):
    """Print in how many of the kept seeds a claim holds."""
    print(f"{claim}: in {int(holds.sum())} of {len(holds)} seeds")


in_every_seed(
    "the moving reference ends farther from the first policy",
    kl_of["moving, new votes"] > kl_of["fixed, new votes"],
)
in_every_seed(
    "on all votes the fixed one drifts less than on the new ones",
    kl_of["fixed, all votes"] < kl_of["fixed, new votes"],
)
in_every_seed(
    "the moving reference ends with less gold", gold_of["moving, new votes"] < gold_of["fixed, new votes"]
)
in_every_seed(
    "rounds on new votes end with more gold than one offline round",
    gold_of["fixed, new votes"] > gold_of["one offline round"],
)

# %% [markdown]
# **What theory promised, and what was seen.** The moving reference drifts farther, as promised. It was *not* punished for it: it did not end with less gold. The voters here look at the true reward, and they vote anew on every model, so the way that is gone is mostly a good one. A rope is for the case that the votes are wrong in some way that more optimising finds (notebook 05). What the figure on the right shows is the price:
# at the same KL the fixed reference has as much gold or more. Whoever wants to go farther can lower β and say so; the moving reference goes farther unasked.
#
# **What got worse.** Rounds cost time: each is a collection of votes and a model in production.
#
# ### Old and new votes
#
# For the monthly retraining the month of each row decides. A **mix** states the share of new rows, draws without replacement, and has class weights of its own: the new votes are another model's, with another share of thumbs up. Here March is new; for the sake of the example people have become more content (one thumb down in three is turned).

# %% tags=["experiment"]
from course_utils.iteration.holdout import fresh_holdout, row_fingerprints
from course_utils.iteration.mixing import mix_votes

month = cleaned["timestamp"].dt.strftime("%Y-%m")
march = cleaned[month == "2026-03"].copy()
content_now = (march["feedback"] == "thumbs_down") & (np.random.default_rng(0).random(len(march)) < 1 / 3)
march.loc[content_now, "feedback"] = "thumbs_up"
earlier_votes = cleaned[month < "2026-03"]

table = {}
for share in (0.25, 0.5, 1.0):
    mix = mix_votes(earlier_votes, march, share_new=share, rows=at_scale(500, 5000), seed=0)
    table[f"{share:.0%} new"] = {
        "new rows": mix.new,
        "old rows": mix.old,
        "thumbs up": f"{mix.up:.1%}",
        "weights": f"{mix.weights[0]:.2f} and {mix.weights[1]:.2f}",
    }
print(pd.DataFrame(table).T.to_string())

# %% [markdown]
# ### A fresh holdout
#
# Users are drawn by a hash with the month as salt, so each month tests on other people. Prompts that both sides asked are drawn in the same way, and the rows on the wrong side are cut. Rows that any earlier model was trained on are recognised by a fingerprint of prompt, response, user and verdict, and cut too.

# %% tags=["experiment"]
draws, trained_before, table = {}, set(), {}
for name in ("2026-02", "2026-03"):
    holdout, trainable = fresh_holdout(cleaned[month <= name], name, share=0.2, trained_before=trained_before)
    trained_before |= set(row_fingerprints(trainable))
    draws[name] = set(holdout["user_id"])
    table[name] = {
        "held out": len(holdout),
        "trainable": len(trainable),
        "users on both sides": len(draws[name] & set(trainable["user_id"])),
        "prompts on both sides": len(set(holdout["prompt"]) & set(trainable["prompt"])),
        **{f"cut: {why}": count for why, count in holdout.attrs["cut"].items()},
    }
print(pd.DataFrame(table).to_string())
print(
    f"users held out in both months: {len(draws['2026-02'] & draws['2026-03'])} of {len(draws['2026-02'])} and {len(draws['2026-03'])}"
)

# %% [markdown]
# The price is plain: of what several users ask, a fifth of the users times a fifth of the prompts is held out, and about a third of all rows is in neither part. In a log where most prompts occur once, it is far cheaper. The alternative that costs nothing, the same test set each month, is not free: it has seen all your decisions.
#
# ### The week's report
#
# `python -m course_utils report --database URL --week 2026-W47 --out reports` reads the service's store and writes a page, its numbers and a figure: volume and approval by variant (intervals by user), the comparison by the rule that may be looked at weekly, each measure against the prediction limit of the weeks before, users, what to do in words, **and what it cannot say**.
# The week must be over, and votes carry their time, so the same call gives the same bytes; files are written aside and renamed, so a crash leaves no half report. Here are 27 simulated weeks in a store; in the last one, answers ramble.

# %% tags=["experiment"]
from course_utils.iteration.filling import fill_store
from course_utils.iteration.report import weekly_report
from course_utils.iteration.weeks import week_of
from course_utils.serving.store import open_store

weeks_log, _ = logs.simulate_feedback(at_scale(1500, 6000), seed=3, weeks=27, start="2026-05-18")
last_week = week_of(weeks_log["timestamp"]) == "2026-W47"
weeks_log["response"] = weeks_log["response"].mask(
    last_week, weeks_log["response"].fillna("") + " hope it helps . hope it helps ."
)
with contextlib.suppress(FileNotFoundError):
    (folder / "weeks.db").unlink()
weeks_store = open_store(f"sqlite:///{folder / 'weeks.db'}")
fill_store(weeks_store, weeks_log, unrated=2, share=0.3, salt="e1")

# a week is over when it is: the clock of the example is set to the Monday after
monday = pd.Timestamp("2026-11-23").to_pydatetime()
written = weekly_report(weeks_store, "2026-W47", 26, folder / "reports", today=monday)
bytes_before = [path.read_bytes() for path in written]
weekly_report(weeks_store, "2026-W47", 26, folder / "reports", today=monday)
print("called again, the same bytes:", [path.read_bytes() for path in written] == bytes_before)

# %% tags=["experiment", "nbval-ignore-output"]
print(written[-1].read_text())

# %% tags=["experiment", "nbval-ignore-output"]
import json

from course_utils.iteration.report_page import figure as report_figure

numbers_file = next(path for path in written if path.suffix == ".json")
plots.show(
    report_figure(json.loads(numbers_file.read_text())),
    "The figure of a weekly report. Left: share of thumbs up in each of 27 weeks, the last one with its interval by variant. Right: each watched "
    "measure as a share of its limit; length and repetition lie above it.",
)
weeks_store.close()

# %% [markdown]
# ### Who stuffs the box
#
# Somebody wants the model to say "yes right" to everything. Thirty accounts give thumbs up, 60 each, to answers that agree with a false statement. For cover they vote on other answers as everybody does: first in one vote of eight, then in one of two.
#
# A rule on rates sees the first and not the second. What remains visible is the **contrast** within an account, and that it is not alone (`coordinated_users`): for each kind of answer (here: each common pair of words) and each busy user, how much more often than others does the user like it, given the prompt and the user's own generosity? One enthusiast means nothing. A kind is suspicious where more users lie in the outermost
# thousandth than chance allows; only then are accounts named.

# %% tags=["experiment"]
from course_utils.iteration.stuffing import capped, coordinated_users

statement_true = pd.Series(
    {p: text.TRUTH[tuple(p.split()[2:4])] == p.split()[4] for p in log["prompt"].unique()}
)
agrees = log["response"].str.contains("yes right").fillna(False).astype(bool)
marked = log.assign(agrees_wrongly=agrees & ~log["prompt"].map(statement_true).astype(bool))
targets = marked[marked["agrees_wrongly"]].sample(at_scale(180, 1800), random_state=0)
accounts = [f"s{i:03d}" for i in range(30)]


def attack(cover):
    """The log with the thirty accounts' votes, and a number of votes for cover."""
    stuffed = pd.concat([targets.assign(feedback="thumbs_up"), marked.sample(cover, random_state=1)])
    stuffed["user_id"] = [accounts[i % 30] for i in range(len(stuffed))]
    stuffed["conversation_id"] = [f"s{i:06d}" for i in range(len(stuffed))]
    return pd.concat([marked, stuffed], ignore_index=True)


def approval(frame):
    """The share of thumbs up among answers that agree with something false."""
    return f"{(frame.loc[frame['agrees_wrongly'], 'feedback'] == 'thumbs_up').mean():.1%}"


rows = {}
for name, frame in (
    ("no attack", marked),
    ("one in eight for cover", attack(len(targets) // 7)),
    ("one in two for cover", attack(len(targets))),
):
    by_rate = flag(frame)
    pushed = {user for push in coordinated_users(frame) for user in push.users.index}
    searched, cleaned_only = frame[~frame["user_id"].isin(pushed)], clean(frame)
    rows[name] = {
        "accounts found by the tail rule": len(by_rate & set(accounts)),
        "by the posterior": int((logs.biased_user_posterior(frame).reindex(accounts) > 0.8).sum()),
        "by the search for a push": len(pushed & set(accounts)),
        "honest users accused by the search": len(pushed - set(accounts)),
        "false agreement liked, in the log": approval(frame),
        "cleaned": approval(cleaned_only),
        "cleaned, then at most 10 votes a user": approval(capped(cleaned_only, 10, "2026-03")),
        "at most 10, then cleaned": approval(clean(capped(frame, 10, "2026-03"))),
        "searched, then cleaned": approval(clean(searched)),
    }
print(pd.DataFrame(rows).to_string())
print(
    f"\nrows that a cap of 10 costs without an attack: {len(cleaned) - len(capped(cleaned, 10, '2026-03')):,} of {len(cleaned):,}"
)

# %% tags=["experiment"]
conclude(
    "with one vote in two for cover the tail rule finds none of the thirty",
    rows["one in two for cover"]["accounts found by the tail rule"] == 0,
)
conclude(
    "the search finds at least half of them", rows["one in two for cover"]["by the search for a push"] >= 15
)
conclude(
    "the search accuses no honest user",
    all(row["honest users accused by the search"] == 0 for row in rows.values()),
)

# %% [markdown]
# Read each row against its "no attack", not against zero. The clumsy attack is found by the tail rule, since thirty users with all those thumbs up are improbable. (The posterior, which did better in section 2, finds 8 of the thirty, since it allows for honest users with very high rates.)
#
# The covered attack passes every rule on rates, and cleaning makes it *worse*: a pushed thumb makes each honest thumb down on that answer disputed, and the cleaning then deletes both. So the search comes **before** cleaning. It leaves a small part of the damage.
#
# *A cap* of ten votes a user leaves about half of the damage if it comes after the cleaning, and little if it comes before. Its price: more than a quarter of all cleaned rows, and a shift of its own even without an attack, since busy users count for less.
# The monthly retraining keeps a higher cap, for what the search cannot see. Its rows are drawn by user and month: "the first ten" would invite whoever comes early.
#
# **What it cannot see.** In trials with this log: thirty accounts with 20 or 10 pushed votes each were not found (there is too little of each account). A log of 20,000 votes was too small for thirty votes each. A campaign of a single week by accounts with a few votes is for the weekly report's *surges* (kinds of answers that are liked, or given, more than in the quiet weeks before).
# And a hundred *honest* users who love to be agreed with look the same: nine of them were named. A person looks before anybody is called a cheat. Looking for accounts that vote on the *same answers*, the usual first idea, finds nothing here: each pushed answer got one pushed vote.
#
# ### The month's retraining
#
# `python -m course_utils retrain --month 2026-11 --database URL --base models/base --out retrain/2026-11 --previous retrain/2026-10` does it all: export, search for pushes, clean and cap, fresh holdout, mix, train from the base, merge, evaluate on the holdout, apply the gate, and write `decision.md` with the reasons. It deploys nothing.
#
# Each step writes into a folder of its own, which gets its name when it is whole, with a manifest of what it was made from. Called again, it skips what is done; killed within the training, it goes on at the last checkpoint and ends at the same weights (the course's tests kill it and compare). Called with other settings or other votes into the same folder, it refuses. Two at once: the second is told so and leaves.

# %% [markdown]
# ## 11. Find the bug
#
# Eight functions from pipelines like this one. Each is short, reads well, runs, and is wrong. You are told what it is for and what was seen in production. Find out why, mend it, and keep name, arguments and kind of result. Any right
# repair passes; a rewrite is fine too.
#
# How to go about it: build the smallest input on which you know the answer by hand, and call the function on it. Then read.

# %% [markdown]
# ### Bug 01: approval by length
#
# `bug-01` · difficulty 2/5 · about 10 minutes · 3 points
#
# **What it is for.** Do users like long answers? The votes are put into `bins` bins of about equal size, the shortest answers first, and each bin gives `(votes, share of thumbs up)`. `lengths` and `thumbs_up` are lists of equal length. Sizes may differ by a tenth, but every vote is in a bin.
#
# Equal lengths are frequent. They may leave fewer bins or uneven ones, never an error, and their votes must not decide which bin they fall into; a bin without votes is left out.
#
# **What was seen.** The report says "99.9 % of the votes in the first bin, approval there as everywhere; no effect of length". A plot of the same data shows a clear one. The report was right until last spring, when one user got an answer of 90,000 characters.
#
# Graded: bins of about equal size that hold all votes (1.5), the share of thumbs up in each and inputs unchanged (1), many equal lengths (0.5).
#
# Stuck? Run `hint("bug-01")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-01", "locked": false, "schema_version": 3, "solution": true, "task": false}
def approval_by_length(lengths, thumbs_up, bins=5):
    """The share of thumbs-up in bins of about equal size: [(votes, share), ...], the shortest first."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # bin_of = pd.cut(pd.Series(lengths), bins=bins, labels=False)
    # votes = pd.Series(thumbs_up, dtype=float).groupby(bin_of)
    # return [(int(v.size), float(v.mean())) for _, v in votes]
    ### MENDED
    # equally full, where cut makes them equally wide; by rank, since lengths may tie
    bin_of = pd.qcut(pd.Series(lengths).rank(method="first"), bins, labels=False)
    votes = pd.Series(thumbs_up, dtype=float).groupby(bin_of)
    return [(int(v.size), float(v.mean())) for _, v in votes]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-01", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-01", approval_by_length)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-01", approval_by_length)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 02: the cap on pairs
#
# `bug-02` · difficulty 2/5 · about 15 minutes · 3 points
#
# **What it is for.** Pairs for DPO. `votes` is a dict, prompt → (responses with a thumb up, responses with a thumb down). For each prompt the result, one list, holds all pairs that there are, but at most `cap`, as tuples `(prompt, chosen, rejected)`.
#
# **What was seen.** In a log of many prompts, two had forty thumbs up and forty down each. With `cap=1000` one of them got 1,000 pairs and the other a single one. After the prompts had been renamed, and so were sorted otherwise, it was the other way round.
#
# Graded: as many pairs for each prompt as the cap allows (2), distinct right pairs and votes unchanged (1).
#
# Stuck? Run `hint("bug-02")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-02", "locked": false, "schema_version": 3, "solution": true, "task": false}
def capped_pairs(votes, cap=4):
    """Pairs (prompt, chosen, rejected): for each prompt all there are, but at most `cap`."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # pairs = []
    # for prompt, (ups, downs) in votes.items():
    #     for up in ups:
    #         for down in downs:
    #             pairs.append((prompt, up, down))
    #             if len(pairs) % cap == 0:
    #                 break
    #         if len(pairs) % cap == 0:
    #             break
    # return pairs
    ### MENDED
    pairs = []
    for prompt, (ups, downs) in votes.items():
        of_prompt = [(prompt, up, down) for up in ups for down in downs]
        pairs += of_prompt[:cap]  # the cap is counted prompt by prompt, not over all pairs so far
    return pairs
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-02", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-02", capped_pairs)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-02", capped_pairs)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 03: the answer without its prompt
#
# `bug-03` · difficulty 3/5 · about 15 minutes · 3 points
#
# **What it is for.** A model gives back the prompt's tokens and its own, in one row. `output_ids` are these ids; the function returns the text of what is new, without special tokens. `tokenizer` has two methods: `encode(text)` gives ids, with the token `<s>` in front unless the text begins with it, and `decode(ids, skip_special_tokens=False)` gives text.
#
# **What was seen.** In the evaluation the answers of an instruction model begin in the middle of a word: "ris is the capital.". Human judges prefer the other model, whose prompts have no special tokens in them.
#
# Graded: the answer whole, and nothing else (3).
#
# Stuck? Run `hint("bug-03")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-03", "locked": false, "schema_version": 3, "solution": true, "task": false}
def new_text(tokenizer, prompt, output_ids):
    """The text that the model wrote after the prompt. output_ids: the prompt's ids and the new ones."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # text = tokenizer.decode(output_ids, skip_special_tokens=True)
    # return text[len(prompt) :].strip()
    ### MENDED
    # cut the ids: decoding has dropped special tokens and spaces, so the text of the prompt is shorter than `prompt`
    start = len(tokenizer.encode(prompt))
    return tokenizer.decode(output_ids[start:], skip_special_tokens=True)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-03", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-03", new_text)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-03", new_text)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 04: the approval on the dashboard
#
# `bug-04` · difficulty 1/5 · about 5 minutes · 3 points
#
# **What it is for.** The share of thumbs up among the turns that were *rated*. `log` is a list of dicts with `feedback`: `"thumbs_up"`, `"thumbs_down"`, or `None` where nobody voted. Where nothing is rated the share is not known: `nan`.
#
# **What was seen.** The dashboard shows 13 % approval, and an alarm every Monday. The week's 20 votes are 13 up and 7 down.
#
# Graded: the share among the rated turns (2), nan where nothing is rated and log unchanged (1).
#
# Stuck? Run `hint("bug-04")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-04", "locked": false, "schema_version": 3, "solution": true, "task": false}
def approval(log):
    """The share of thumbs-up among the rated turns, nan where none is rated."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # ups = [row["feedback"] == "thumbs_up" for row in log]
    # return sum(ups) / len(ups)
    ### MENDED
    votes = [
        row["feedback"] for row in log if row["feedback"] is not None
    ]  # a turn without a vote is no vote
    return votes.count("thumbs_up") / len(votes) if votes else float("nan")
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-04", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-04", approval)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-04", approval)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 05: votes joined to their answers
#
# `bug-05` · difficulty 2/5 · about 15 minutes · 4 points
#
# **What it is for.** Training rows from what a service has stored. `requests` is a dict, request id → dict with `prompt`, `response`, `model`. `votes` are dicts with `request_id` and `feedback`, in the order in which they came. The result is a list of dicts with `prompt`, `response`, `model`, `label` (True for a thumb up), in any order:
#
# - **one for each request** that has a vote. Of several votes for a request the last one counts (in the service of section 8 it is the first; either is a rule, no rule is none);
# - a vote for a request that was never made is left out;
# - so is a word other than exactly `"thumbs_up"` and `"thumbs_down"`: `"thumbs-up"`, `"THUMBS_UP"` or one with spaces is no vote;
# - two requests with the same content are two rows, and a row has these four keys only.
#
# **What was seen.** The month's data have more rows than there were answers. Some rows have no prompt. A client with a typing error ("thumbs-up") has taught the model to avoid what its users like.
#
# Graded: votes for unknown requests (1), words that are no vote (1), several votes for one request (1), all together and inputs unchanged (1).
#
# Stuck? Run `hint("bug-05")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-05", "locked": false, "schema_version": 3, "solution": true, "task": false}
def join_votes(requests, votes):
    """Training rows from votes: prompt, response, model and label, one for each request."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # rows = []
    # for vote in votes:
    #     request = requests.get(vote["request_id"], {})
    #     row = {key: request.get(key) for key in ("prompt", "response", "model")}
    #     rows.append(row | {"label": vote["feedback"] == "thumbs_up"})
    # return rows
    ### MENDED
    label = {"thumbs_up": True, "thumbs_down": False}
    last = {}
    for vote in votes:
        # nothing but a known request and a known word may write; a later vote writes over an earlier one
        if vote["request_id"] in requests and vote["feedback"] in label:
            last[vote["request_id"]] = label[vote["feedback"]]
    return [
        {key: requests[id][key] for key in ("prompt", "response", "model")} | {"label": value}
        for id, value in last.items()
    ]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-05", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-05", join_votes)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-05", join_votes)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 06: one request at a time
#
# `bug-06` · difficulty 3/5 · about 10 minutes · 3 points
#
# **What it is for.** The handler of `/chat` in an asynchronous service. `generate(prompt)` is an ordinary function that takes seconds and gives the answer, or raises. While it runs, the service must go on with other requests, votes and health checks among them. Each request asks the model anew. An error may come as it is, or wrapped so that its cause can be found (`raise ... from`, an exception group).
#
# **What was seen.** Under load all requests are answered one after the other, and while a long answer is written even `/health` does not reply. The load balancer takes the replica for dead and restarts it.
#
# Graded: other requests go on meanwhile (2), each request gets its answer (0.5), an error of the model comes through (0.5).
#
# Stuck? Run `hint("bug-06")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-06", "locked": false, "schema_version": 3, "solution": true, "task": false}
async def chat(prompt, generate):
    """Answer a request; while the model generates, the service goes on with other requests."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # return generate(prompt)
    ### MENDED
    # `async` alone runs nothing beside anything: a blocking call belongs into a thread
    return await asyncio.to_thread(generate, prompt)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-06", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-06", chat)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-06", chat)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 07: the alarm of the A/B test
#
# `bug-07` · difficulty 3/5 · about 15 minutes · 4 points
#
# **What it is for.** An experiment is looked at every week. `weeks` is a list with a row a week, `(thumbs up of control, its votes, thumbs up of treatment, its votes)`, up to the `planned` number of weeks. The function returns the first week (from 1) at which the arms differ, or None.
#
# **Without an effect at most one experiment in twenty may give an alarm in all its weeks together**; a clear effect must be found. The function is called after each week with the weeks so far, and `planned` may be 12 or another number such as 52; the promise holds for all these calls together. Votes may be taken as independent here.
#
# **What was seen.** A release committee notes that one experiment in five "wins" or "loses" even when both arms run the same model.
#
# Graded: at most about 5 % alarms in simulated experiments without an effect, all weeks at once and week by week, for 12 and 52 planned weeks, and the first week with an alarm where the effect is clear (3.5), weeks unchanged (0.5).
#
# Stuck? Run `hint("bug-07")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-07", "locked": false, "schema_version": 3, "solution": true, "task": false}
def first_alarm(weeks, planned=12):
    """The first week (from 1) at which the arms differ, or None."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # up_c = n_c = up_t = n_t = 0
    # for week, (a, b, c, d) in enumerate(weeks, start=1):
    #     up_c, n_c, up_t, n_t = up_c + a, n_c + b, up_t + c, n_t + d
    #     p = (up_c + up_t) / (n_c + n_t)
    #     z = (up_t / n_t - up_c / n_c) / math.sqrt(p * (1 - p) * (1 / n_c + 1 / n_t))
    #     if abs(z) > 1.96:
    #         return week
    # return None
    ### MENDED
    # Bonferroni: 5 % shared out among the looks. Simple and valid; bounds such as O'Brien and Fleming's waste less
    bound = norm.isf(0.025 / planned)
    up_c = n_c = up_t = n_t = 0
    for week, (a, b, c, d) in enumerate(weeks, start=1):
        up_c, n_c, up_t, n_t = up_c + a, n_c + b, up_t + c, n_t + d
        p = (up_c + up_t) / (n_c + n_t)
        z = (up_t / n_t - up_c / n_c) / math.sqrt(p * (1 - p) * (1 / n_c + 1 / n_t))
        if abs(z) > bound:
            return week
    return None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-07", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-07", first_alarm)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-07", first_alarm)
### END HIDDEN TESTS

# %% [markdown]
# ### Bug 08: rounds without a rope
#
# `bug-08` · difficulty 3/5 · about 15 minutes · 3 points
#
# **What it is for.** Online KTO. In each round votes are collected on the policy's own answers (`collect(policy)`), and the policy is trained on them against a reference (`train(policy, reference, votes)` changes the policy's weights and gives it back). `policy` is a torch module. The reference is **the policy as it was before the first round**, in every round. `train` must get a policy that can be trained: not frozen, in training mode, and not under `no_grad`. The reference shares neither weights nor buffers with it.
#
# **What was seen.** The logged KL to the reference is 0.0 in all rounds, and the loss stays at half its weight. After a few rounds the answers hardly resemble language.
#
# Graded: the reference in each round (2), the rounds otherwise (1).
#
# Stuck? Run `hint("bug-08")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-08", "locked": false, "schema_version": 3, "solution": true, "task": false}
def online_rounds(policy, collect, train, rounds=3):
    """Rounds of online KTO; the last policy. The reference is the policy before the first round."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # reference = policy
    # for _ in range(rounds):
    #     votes = collect(policy)
    #     policy = train(policy, reference, votes)
    # return policy
    ### MENDED
    reference = copy.deepcopy(
        policy
    )  # weights of its own: `reference = policy` is a second name for the same module
    for _ in range(rounds):
        votes = collect(policy)
        policy = train(policy, reference, votes)
    return policy
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-08", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-08", online_rounds)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-08", online_rounds)
### END HIDDEN TESTS

# %% [markdown]
# ## 12. What is said and what is so
#
# | what is said | what is so | source |
# |---|---|---|
# | KTO is more data-efficient | it uses data that pairs-only methods cannot. In the paper it keeps up with DPO after dropping up to 90 % of the *desirable* data, and on one answer a prompt, 72 % less data, it reaches .631 ± .036 against DPO's .600 ± .037: the intervals overlap, and the authors write that data efficiency may not be the only reason | Ethayarajh et al., version 1, sections 4.2 and 4.3 |
# | KTO matches human loss aversion | by default both weights are 1, and the value is a logistic curve; version 1 says that the range of weights that works suggests more sensitivity to gains than to losses | the same |
# | KTO's reference point is a running average | a clamped mean over the batch's mismatched pairs, without memory or gradient | Ethayarajh et al., section 4.1; notebook 03 |
# | KTO has two phases, SFT and KTO | SFT could be skipped for the paper's larger base models (Llama-13B and 30B) | Ethayarajh et al. |
# | KTO is production-validated, used at scale | no source; the text that says so calls it "newer, less validated" elsewhere | – |
# | KTO is robust to noise | its gradient vanishes for extreme rewards: it ignores noisy *and* hard examples; with little noise the authors recommend DPO | Ethayarajh et al., proposition 4.1 |
# | a LoRA of rank 64 on a 7B is about 200M parameters, 3 % | 167,772,160, 2.26 % of base and LoRA | section 5 |
# | an open model is an open-source model | the licence file of the checkpoint says what you may do | section 5 |
# | batch 2 on a device, 8 accumulated: "effective batch size 16" | times the number of processes; and KTO's $z_0$ sees 2 | notebook 03 |
# | under 500 ms at p95 for 256 tokens of a bf16 7B | the weights' reading alone takes longer on an A100, an H100 and an H200 | section 5 |
# | "about 90,000 rows remain, 65–75 % thumbs up, a win rate of 60–70 %" | numbers that nobody measured. What remains depends on how active the users are and on the rule | section 2 |
# | 65 % thumbs up is the target | the raw mix holds one-button users and bots; rated turns are self-selected; cleaning moves the rate | sections 1 and 2 |
# | thumbs are labels of your model | they are labels of the model that ran, by those who chose to press | section 1 |
# | KTO is the way to use thumbs | it is one. Others, not run here: a reward model with a pointwise logistic loss, then best-of-n or RL; fine-tuning on the liked answers alone (filtered SFT), which is the baseline to beat | – |
# | an A/B test is two rates and a p-value | it is a unit, a number of looks, and a decision rule fixed before | sections 8 and 9 |
#
# ## 13. What you have now
#
# - A pipeline from a file of votes to a service, of which you wrote the parts that decide what it learns.
# - A number for what each rule loses, since the truth was known here. In your log it is not; the simulator can be set to resemble it.
# - A service that can be asked which model gave the answer behind a vote.
#
# Run `progress()` in a new cell to see your points and what is open.

# %% [markdown] nbgrader={"grade": false, "grade_id": "practice-4-question", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## Practice question 4: a pipeline for production
#
# Your company has 100,000 dialogues with thumbs up or down, 65 % of them up, and no pairs. Design the way from this log to a better model in production, in about one page and a half: choice of method and model, data, training,
# evaluation, deployment, monitoring, iteration. Give a reason for each choice, and say what you would measure before you believe it. Code is not asked for; what you write of it must run. Write in the cell below.
#
# | | points |
# |---|---|
# | method: why KTO, and which baseline or alternative it is held against | 1 |
# | what the votes are: self-selected, users' own standards, off-policy, several turns, personal data | 1.5 |
# | cleaning that does not delete users for having few votes; a split without shared users and prompts, or by time; duplicates and disputed answers | 1.5 |
# | training: chat template, weights from the *cleaned* counts, a batch large enough for $z_0$, learning rate and β swept, the reference by switching the adapter off, KL watched | 2 |
# | evaluation: blind, random order, ties (½); two of interval, power, length (½); safety *and* over-refusal (½). Other abilities are worth a remark | 1.5 |
# | deployment: stable salted assignment, votes joined to answer and model version, validated votes, a small start with guardrails and a way back, a test that fits how often it is looked at | 1.5 |
# | iteration: feedback loops and stuffing, a fresh holdout, which reference in each round, alarms against a baseline | 1 |
#
# One point is taken off, once, for each kind of these: a claim that is false or has no source ("production-validated", "matches loss aversion"); invented targets; code that cannot run. Rows are marked in steps of half a point, and the sum is never below 0.

# %% [markdown] nbgrader={"grade": true, "grade_id": "practice-4", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# Three anchor answers for the grader.
#
# **About 3 points.** "I use KTO, which works on thumbs, is production-validated and matches loss aversion, on a 7B model with LoRA. Only some users vote, so there is selection bias. I remove users whose rate of thumbs up is below 10 % or above 90 %, answers shorter than ten
# characters and duplicates, and split 80/10/10 by user. For training I use the model's chat template, choose the weights so that λ_D n_D/(λ_U n_U) is in [1, 3/2] on the cleaned data, sweep β and the learning rate, and take the model without its adapter as the reference. The answers came from the old model. Annotators compare answers in random order
# without names. Then 5 % of the users get the new model, by a salted hash; request id, answer and model version are stored together; if errors or complaints rise, we roll back. The goal is a win rate of 65 %, 75 % thumbs up and 500 ms at p95. We alarm when a weekly rate leaves the range of earlier weeks."
#
# *3 of 10.* Method: no baseline (0 of 1). Votes: self-selected and off-policy (1 of 1½). Cleaning deletes all users with one vote; the split is by user (½ of 1½). Training: template, weights, sweep, adapter (1½ of 2). Evaluation: blind, in random order (½ of 1½). Deployment: assignment, join, way back (1 of
# 1½). Iteration: alarms against a baseline (½ of 1). That is 5; minus 1 for claims without a source ("production-validated", "matches loss aversion"), minus 1 for invented targets.
#
# **About 6 points.** "KTO, since there are single votes; the baseline is fine-tuning on the liked answers alone, and if KTO does not beat it we keep the simpler one. The votes are self-selected, each user has a standard of his own, and the answers came from the old model, so they are off-policy. I drop a user only if the rate is
# extreme and improbable by a binomial test, so nobody goes for one vote; of exact duplicates the first stays. Users and prompts are kept on one side of the split, as connected groups. Training with LoRA, the reference by switching it off, the chat template, weights by the paper's interval after cleaning, learning rate and β swept. Evaluation: a blind sheet in random order, ties
# half, Wilson's interval; a set of harmful requests and one of harmless ones that look bad. Deployment: 5 % of the users, then 20 %, then all. Each answer is stored with its request id and model version, and votes refer to it."
#
# *6 of 10.* Method (1 of 1). Votes: several turns and personal data missing (1 of 1½). Cleaning and split right; answers with both verdicts are not mentioned (1 of 1½). Training: batch for z0 and KL missing (1½ of 2). Evaluation: only the interval of interval, power and length (1 of 1½). Deployment: join to the version, but assignment, guardrails
# and the test are missing (½ of 1½). Iteration missing (0 of 1). Sum: **6**.
#
# **About 9 points.** Method, cleaning and training as above, and: "The votes are self-selected, and the answers came from the old model. Each label is from a dialogue of several turns; we keep the turns and train on the last answer. Prompts are stripped of personal data, and only of users who agreed. Answers with both verdicts are dropped and counted; with enough votes an average would be kept as a weight. The batch on one device is 32 or more, since z0 is its mean; KL to
# the base is logged, and a run whose KL passes the bound fixed beforehand is stopped. Evaluation is blind, in random order, with ties half and Wilson's interval; safety and over-refusal beside the base model, with a margin fixed before. Assignment by SHA-256 of experiment and user, so a restart moves nobody; votes are an enum, once an answer, joined to request and model version;
# 5 % first, with latency, errors and warnings as guardrails that roll back by themselves. The test is on users' totals and valid at each look. Each month: old and new votes mixed, the reference fixed at the first base, a fresh holdout, a cap on votes a user and the one-button rule again against stuffing, weekly measures against a prediction limit from 26 weeks."
#
# *9 of 10.* Method (1), cleaning (1½), training (2), deployment (1½), iteration (1). Votes: users' own standards are missing (1 of 1½). Evaluation: of interval, power and length only one (1 of 1½). Sum: **9**.
# ### END SOLUTION
