"""A feedback log whose truth is known: who votes, why, and how good each response really is.

The log has what makes real ones hard: few users with many votes and many with one, users who always press
the same button, bots, people who do not read, responses voted on twice, verdicts that contradict each
other. The truth is a frame of its own, so that no step of the pipeline can look at it by accident.
"""

import numpy as np
import pandas as pd

from course_utils.feedback.columns import DOWN, UP
from course_utils.feedback.pool import text_pool
from course_utils.testbed import text

# Share of the users of each kind.
KINDS = {"honest": 0.90, "always up": 0.03, "always down": 0.02, "careless": 0.04, "bot": 0.01}
# Votes up by the kinds whose vote has nothing to do with the response; half the bots press each button.
RATES = {"always up": 0.985, "always down": 0.015, "careless": 0.5, "bot": 0.99}
# Honest users' own rates are Beta distributed with this sum of the two parameters.
CONCENTRATION = 6.0
PARETO, ACTIVITY_FLOOR, BOT_FACTOR, LARGEST_SHARE = 1.6, 0.3, 20, 0.01
# A repeated response is one that another conversation was shown before; a duplicate is a vote logged twice.
SHARES = {"repeated": 0.08, "duplicate": 0.02, "empty": 0.003, "warning": 0.004}


def simulate_feedback(
    n=100_000, seed=0, pool=None, up_rate=0.65, votes_per_user=5.0, communities=32, weeks=12,
    start="2026-01-05", kinds=None,
):  # fmt: skip
    """A log of n votes and, kept apart, the truth about each.

    An honest user votes up where the gold reward, plus logistic noise of scale `text.NOISE`, is above the
    user's own threshold, set so that the user's rate of thumbs-up is what was drawn for that user. So the
    log's labels say something of the gold reward, and a model trained on them can improve. The rates of
    honest users are Beta distributed; their mean makes the whole log's rate come out near `up_rate`.
    Activity is long-tailed (Pareto, exponent 1.6; bots twenty times as much; no user above 1 % of the rows).
    Users and prompts live in communities: a user is only ever shown the community's own prompts, which
    is what makes a split with no user and no prompt on two sides possible.

    Args:
        n: rows, at least 100.
        seed: of every draw.
        pool: responses to vote on, a frame with a row a response: "prompt", "response" (texts) and "gold"
            (float), best in random order, none twice. By default `text_pool`.
        up_rate: the share of thumbs-up in the log, about.
        votes_per_user: rows over users, about (users who happen to get no vote do not appear).
        communities: how many; at most the number of prompts. More than twenty keep each below 5 % of the rows.
        weeks: the time that the log spans, from `start` (a Monday).
        start: the first day.
        kinds: share of the users by kind, in place of KINDS; kinds left out have none.

    Returns:
        (feedback, truth), both with the index 0 ... n - 1, in order of time.
        feedback: the columns of a log: "conversation_id", "prompt", "response", "user_id" (texts),
        "feedback" ("thumbs_up" or "thumbs_down"), "timestamp", "content_warning" (bool). A few responses
        are empty, blank or missing.
        truth: "kind" of the user; "rate", the user's own probability of a thumbs-up; "community"; "week" (from 0);
        "gold" reward (nan where the response is empty); "repeated", "duplicate" (bool, the later copy).

    Raises:
        ValueError: naming the argument.
    """
    kinds = KINDS if kinds is None else kinds
    _check(n, up_rate, votes_per_user, communities, weeks, kinds)
    rng = np.random.default_rng(seed)
    copies = round(SHARES["duplicate"] * n)
    rows = n - copies
    # communities are not equally busy, so the pool has a quarter more than the mean prompt needs
    pool = text_pool(8 + round(1.25 * rows / 96), seed) if pool is None else _checked_pool(pool)
    prompts, pool_prompt = np.unique(pool["prompt"].to_numpy(dtype=object).astype(str), return_inverse=True)
    if len(prompts) < communities:
        raise ValueError(f"communities is {communities}, but pool has only {len(prompts)} prompts")

    users = _users(rng, max(2 * communities, round(n / votes_per_user)), up_rate, communities, kinds)
    user = rng.choice(len(users), rows, p=users["weight"])
    seconds = _times(rng, users, user, weeks)
    order = np.argsort(seconds, kind="stable")
    seconds, user = seconds[order], user[order]
    community = users["community"].to_numpy()[user]
    prompt = _prompts(rng, len(prompts), communities, community)
    item, repeated = _items(rng, pool_prompt, prompt)
    empty = rng.random(rows) < SHARES["empty"]
    gold = np.where(empty, np.nan, pool["gold"].to_numpy(dtype=float)[item])
    up = _votes(rng, users, user, gold)

    responses = pool["response"].to_numpy(dtype=object)[item]
    responses[empty] = rng.choice(np.array(["", "  ", None], dtype=object), int(empty.sum()))
    feedback = pd.DataFrame(
        {
            "conversation_id": [f"c{i:07d}" for i in range(rows)],
            "prompt": pool["prompt"].to_numpy(dtype=object)[item],
            "response": responses,
            "user_id": users["user_id"].to_numpy(dtype=object)[user],
            "feedback": np.where(up, UP, DOWN),
            "timestamp": pd.Timestamp(start) + pd.to_timedelta(seconds.astype(np.int64), unit="s"),
            "content_warning": rng.random(rows) < SHARES["warning"],
        }
    )
    truth = pd.DataFrame(
        {
            "kind": users["kind"].to_numpy()[user],
            "rate": users["rate"].to_numpy()[user],
            "community": community,
            "week": (seconds // (7 * 86_400)).astype(int),
            "gold": gold,
            "repeated": repeated,
            "duplicate": False,
        }
    )
    return _with_copies(rng, feedback, truth, copies)


# --- the steps ----------------------------------------------------------------------------------


def _users(rng, count, up_rate, communities, kinds):
    """A frame of users: id, kind, community, weight (share of the votes), rate of thumbs-up, home in time."""
    names = list(kinds)
    kind = rng.choice(
        np.array(names, dtype=object), count, p=np.array([kinds[k] for k in names], dtype=float)
    )
    bot, honest = kind == "bot", kind == "honest"
    weight = (rng.pareto(PARETO, count) + ACTIVITY_FLOOR) * np.where(bot, BOT_FACTOR, 1)
    weight = np.minimum(weight, max(LARGEST_SHARE, 2 / count) * weight.sum())
    weight = weight / weight.sum()
    rate = np.array([RATES.get(k, np.nan) for k in kind])
    rate[bot] = np.where(rng.random(bot.sum()) < 0.5, RATES["bot"], 1 - RATES["bot"])
    # what the honest must give so that all together give up_rate
    held = weight[honest].sum()
    mean = (up_rate - (weight * np.where(honest, 0, rate)).sum()) / held if held else 0.5
    mean = min(max(mean, 0.05), 0.95)
    rate[honest] = rng.beta(CONCENTRATION * mean, CONCENTRATION * (1 - mean), honest.sum())
    return pd.DataFrame(
        {
            "user_id": [f"u{i:06d}" for i in range(count)],
            "kind": kind,
            "community": rng.permutation(count) % communities,
            "weight": weight,
            "rate": rate,
            "home": rng.random(count),
        }
    )


def _times(rng, users, user, weeks):
    """Seconds from the start: around each user's home, bots within two days, others within some weeks."""
    spread = np.where(users["kind"].to_numpy()[user] == "bot", 1 / 7, 3.0) / weeks
    at = users["home"].to_numpy()[user] + spread * rng.uniform(-1, 1, len(user))
    at = np.abs(at)  # reflected at both ends, so that the log begins and ends as busy as it is between
    at = np.where(at > 1, 2 - at, at) % 1.0
    return at * weeks * 7 * 86_400


def _prompts(rng, count, communities, community):
    """A prompt of its own community for each row, uniformly."""
    order = rng.permutation(count)
    size = np.array([len(order[c::communities]) for c in range(communities)])
    pick = (rng.random(len(community)) * size[community]).astype(int)
    return order[community + pick * communities]


def _items(rng, pool_prompt, prompt):
    """The position in the pool of each row's response, and whether it was shown before in the log.

    Fresh rows take their prompt's responses one after the other (from the first again where there are no
    more), a repeated one any of those that were taken before it.
    """
    by_prompt = np.argsort(pool_prompt, kind="stable")
    size = np.bincount(pool_prompt)
    start = np.concatenate([[0], np.cumsum(size)[:-1]])
    fresh = rng.random(len(prompt)) >= SHARES["repeated"]
    before = pd.Series(fresh.astype(int)).groupby(prompt).cumsum().to_numpy() - fresh  # fresh rows earlier
    fresh |= before == 0
    place = np.where(fresh, before, (rng.random(len(prompt)) * before).astype(int))
    return by_prompt[start[prompt] + place % size[prompt]], ~fresh | (place >= size[prompt])


def _votes(rng, users, user, gold):
    """True for a thumbs-up. Only honest users look at the response; to an empty one they say no."""
    utility = gold + text.NOISE * rng.logistic(size=len(gold))
    standing = pd.Series(utility).rank(pct=True).to_numpy()  # uniform, so that 1 - rate is the threshold
    rate = users["rate"].to_numpy()[user]
    honest = users["kind"].to_numpy()[user] == "honest"
    return np.where(honest, standing > 1 - rate, rng.random(len(gold)) < rate)


def _with_copies(rng, feedback, truth, copies):
    """The frames with some votes logged a second time, seconds later."""
    copied = rng.choice(len(feedback), copies, replace=False)
    again = feedback.iloc[copied].copy()
    again["timestamp"] += pd.to_timedelta(rng.integers(1, 30, copies), unit="s")
    feedback = pd.concat([feedback, again], ignore_index=True)
    truth = pd.concat([truth, truth.iloc[copied].assign(duplicate=True)], ignore_index=True)
    order = feedback["timestamp"].argsort(kind="stable").to_numpy()
    return feedback.iloc[order].reset_index(drop=True), truth.iloc[order].reset_index(drop=True)


def _checked_pool(pool):
    for column in ("prompt", "response", "gold"):
        if column not in getattr(pool, "columns", ()):
            raise ValueError(f"pool must be a DataFrame with a column {column!r}")
    if len(pool) == 0 or pool[["prompt", "response", "gold"]].isna().any(axis=None):
        raise ValueError("pool must not be empty and must not lack a prompt, a response or its gold")
    return pool


def _check(n, up_rate, votes_per_user, communities, weeks, kinds):
    if not n >= 100 or int(n) != n:
        raise ValueError(f"n must be a whole number, at least 100, not {n}")
    if unknown := sorted(kinds.keys() - KINDS.keys()):
        raise ValueError(f"kinds: {unknown[0]!r} is not one of {', '.join(KINDS)}")
    if not min(kinds.values(), default=-1) >= 0 or not abs(sum(kinds.values()) - 1) <= 1e-6:
        raise ValueError(f"kinds: the shares must be from 0 and sum to 1, not {kinds}")
    if not 0 < up_rate < 1:
        raise ValueError(f"up_rate must lie between 0 and 1, not {up_rate}")
    for name, value in (("votes_per_user", votes_per_user), ("communities", communities), ("weeks", weeks)):
        if not value >= 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
