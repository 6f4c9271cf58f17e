"""Votes that are there to steer the model: a cap on each user's votes, and a search for accounts that push one kind of answer.

A rule on rates sees who presses one button. Who covers the votes that count with ordinary ones has an ordinary
rate. What is left to see is the contrast: such an account likes one kind of answer far more than others do,
beyond what its own generosity explains, and it is not alone in it. One user with a taste is nobody's business;
thirty with the same are a pattern.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import binom, norm

from course_utils.feedback.columns import UP, check_feedback

SHRINK = 20.0  # votes that a prompt's own rate is mixed with, at the rate over all prompts
TAIL = 1e-3  # of a user's score, for the count of users that makes a kind suspicious
FALSE_SHARE = 0.05  # of the users named for a kind, in expectation (Benjamini and Hochberg 1995)


@dataclass(frozen=True)
class Push:
    """A kind of answer that several accounts push.

    Attributes:
        kind: its name, a key of what `kinds` gave.
        users: Series by user id of z scores, the largest first.
        chance: that as many users score as high where nobody pushes.
        liked, usual: the share of thumbs-up of these users and of all others on answers of the kind.
    """

    kind: str
    users: pd.Series
    chance: float
    liked: float
    usual: float


def capped(feedback, most, month):
    """At most so many votes of each user, drawn by user and month.

    Which votes stay is drawn by a hash of month, user and vote, not by their order: the first ten of a month would
    invite an attacker to come early. The draw of a user does not depend on the other rows of the log.

    Args:
        feedback: a log; "user_id", "conversation_id" and "timestamp" are read.
        most: votes that a user keeps, at least 1.
        month: a text such as "2026-11"; another month is another draw.

    Returns:
        A new frame: the kept rows, unaltered and in order. `attrs["capped"]`: (rows cut, users who lost some).

    Raises:
        ValueError: a column is missing, the frame is empty, or `most` is below 1.
    """
    check_feedback(feedback, ("user_id", "conversation_id", "timestamp"))
    if most < 1:
        raise ValueError(f"most must be at least 1, not {most}")
    # the time too: a vote that was logged twice has one conversation, and the order of the rows must not decide
    columns = ("user_id", "conversation_id", "timestamp")
    keys = pd.Series("", feedback.index).str.cat([feedback[c].astype(str) for c in columns], sep="|")
    place = pd.Series(pd.util.hash_array((month + "|" + keys).to_numpy(dtype=object)), feedback.index)
    rank = place.groupby(feedback["user_id"]).rank(method="first")
    kept = feedback[rank <= most].copy()
    kept.attrs = {"capped": (len(feedback) - len(kept), int(feedback.loc[rank > most, "user_id"].nunique()))}
    return kept


def common_bigrams(responses, least=0.02, most=0.5):
    """Kinds of answers by the word pairs that they hold: {pair: bool array}, for pairs in 2 to 50 % of the answers.

    Crude, and it needs no model. A product would give topics or the clusters of an embedding in the same form.
    """
    # each text is read once: a log holds many answers more than once
    text_of, texts = pd.factorize(np.asarray(responses, dtype=object))  # -1: missing
    text_of = np.where(text_of < 0, len(texts), text_of)
    number, holder, pair = {}, [], []  # of the pairs; and, for each text and each of its pairs, both numbers
    for i, answer in enumerate(texts):
        found = (
            {number.setdefault(p, len(number)) for p in _bigrams(answer)} if isinstance(answer, str) else ()
        )
        holder.extend([i] * len(found))
        pair.extend(found)
    holder, pair = np.array(holder, dtype=int), np.array(pair, dtype=int)
    uses = np.bincount(text_of, minlength=len(texts) + 1)
    counts = np.bincount(pair, uses[holder], minlength=len(number))
    order = np.argsort(pair, kind="stable")
    holder, starts = holder[order], np.searchsorted(pair[order], np.arange(len(number) + 1))
    low, high = least * len(text_of), most * len(text_of)
    kinds = {}
    for name in sorted(number):
        if low <= counts[i := number[name]] <= high:
            holds = np.zeros(len(texts) + 1, dtype=bool)
            holds[holder[starts[i] : starts[i + 1]]] = True
            kinds[name] = holds[text_of]
    return kinds


def distinct_kinds(feedback, kinds):
    """{name: bool array} by `kinds` of the log's responses; of those that hold the same rows, the first."""
    found = {}
    for name, has in kinds(feedback["response"]).items():
        found.setdefault(np.packbits(has).tobytes(), (name, np.asarray(has, dtype=bool)))
    return dict(found.values())


def _bigrams(response):
    words = response.split()
    return (f"{a} {b}" for a, b in zip(words, words[1:], strict=False))


def coordinated_users(
    feedback, kinds=common_bigrams, least_votes=20, least_met=5, least_users=5, level=0.001
):
    """Kinds of answers that several accounts push, and which accounts those are.

    For each kind and each user with enough votes: how much more often than expected does the user like its answers?
    Expected is the usual approval of such answers to the same prompt (mixed with that over all prompts), moved by
    the user's own generosity, which is fitted to all the user's votes. The z scores of all users are centred and scaled
    by their own median and spread (at least 1), so that honest tastes widen the yardstick. A kind is pushed where more
    users lie above the 0.1 % tail than chance gives, over all kinds tried; its users are then named such that
    about one in twenty of them is named by chance.

    What it cannot see: accounts with few votes, a push on answers that have nothing in common which `kinds` holds,
    or one in which a fifth or more of the users that are looked at take part: they widen the yardstick for each other.
    (In a log of 40,000 votes 88 honest users were looked at; 15 accounts with 40 thumbs up each on a kind and 24 of 40
    elsewhere were named, all but one, and of 25 such accounts none.) Those show in `surges` as long as they are new. And
    a fashion among honest people looks the same: a person decides.

    Args:
        feedback: a log, uncleaned, since rows that contradict each other hold the accounts' votes too. Missing
            responses are of no kind.
        kinds: from the responses (a Series) to {name: bool array}, a value a row.
        least_votes: of a user who is looked at.
        least_met: votes on answers of the kind that a user must have.
        least_users: of a push.
        level: the chance that any kind is called pushed where none is.

    Returns:
        A list of `Push`, the least probable first; kinds that hold the same rows are told once.

    Raises:
        ValueError: a column is missing, the frame is empty, or a verdict is unknown.
    """
    check_feedback(feedback, ("prompt", "response", "user_id", "feedback"))
    busy = (feedback.groupby("user_id")["feedback"].transform("size") >= least_votes).to_numpy()
    user, names = pd.factorize(feedback["user_id"][busy])
    up = (feedback["feedback"] == UP).to_numpy()
    prompt, tried, found = pd.factorize(feedback["prompt"])[0], distinct_kinds(feedback, kinds), []
    for name, has in tried.items():
        z = pd.Series(_scores(user, len(names), up, prompt, has, busy, least_met), names).dropna()
        extreme = int((norm.sf(z) < TAIL).sum())
        chance = min(1.0, float(binom.sf(extreme - 1, len(z), TAIL)) * len(tried)) if len(z) else 1.0
        if extreme >= least_users and chance < level:
            z = _named(z)
            theirs = has & feedback["user_id"].isin(z.index).to_numpy()
            others = has & ~theirs
            rates = float(up[theirs].mean()), float(up[others].mean()) if others.any() else float("nan")
            found.append(Push(name, z, chance, *rates))
    return sorted(found, key=lambda push: (push.chance, push.kind))


def _named(z):
    """The users up to the largest rank r with p_(r) <= r / n · FALSE_SHARE (Benjamini and Hochberg 1995), by score."""
    z = z.sort_index().sort_values(ascending=False, kind="stable")
    below = norm.sf(z.to_numpy()) <= FALSE_SHARE * np.arange(1, len(z) + 1) / len(z)
    return z.iloc[: int(np.flatnonzero(below)[-1]) + 1 if below.any() else 0]


def _scores(user, users, up, prompt, has, busy, least_met):
    """z of each busy user's liking of a kind beyond the answers' usual approval and the user's own generosity.

    A score test: votes are Bernoulli with logit (usual + a_u), a_u normal with a spread fitted by a few rounds of
    expectation maximisation; the score sums (vote - expected) over the kind, and its variance allows for a_u having
    been fitted. nan where the user met too few answers of the kind.
    """
    cell = prompt * 2 + has
    n = np.bincount(cell, minlength=cell.max() + 1)
    ups = np.bincount(cell, up, minlength=cell.max() + 1)
    overall = np.array([up[side].mean() if side.any() else 0.5 for side in (~has, has)])[
        np.arange(len(n)) % 2
    ]
    usual = logit(np.clip((ups + SHRINK * overall) / (n + SHRINK), 0.01, 0.99))[cell][busy]
    y, kind = up[busy].astype(float), has[busy]
    a, spread = np.zeros(users), 1.0
    for _ in range(12):
        p = expit(usual + a[user])
        curve = np.bincount(user, p * (1 - p), users) + 1 / spread
        a = np.clip(a + (np.bincount(user, y - p, users) - a / spread) / curve, -6, 6)
        spread = float(np.mean(a**2 + 1 / curve)) if users else 1.0
    p = expit(usual + a[user])
    v = p * (1 - p)
    own = np.bincount(user, v * kind, users)
    variance = own - own**2 / (np.bincount(user, v, users) + 1 / spread)
    met = np.bincount(user, kind, users)
    seen = (met >= least_met) & (variance > 0.25)
    if seen.sum() < 2:
        return np.full(users, np.nan)
    z = np.where(seen, np.bincount(user, (y - p) * kind, users) / np.sqrt(np.maximum(variance, 0.25)), np.nan)
    middle = np.nanmedian(z)
    return (z - middle) / max(1.0, 1.4826 * np.nanmedian(np.abs(z - middle)))
