"""Splits of a feedback log that a model cannot cheat on: no user and no prompt on two sides, or no future."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from course_utils.feedback.columns import check_feedback, check_fractions

SIDES = ("train", "validation", "test")


def split_feedback(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
    """Train, validation and test with no user and no prompt on two sides.

    Rows that share a user or a prompt must stay together, and so must rows that are linked by a chain of
    such rows: the connected groups of the graph with users and prompts as nodes and rows as edges. The
    groups, in an order drawn from `seed`, go one by one to the side that lacks most rows.

    In a log of a public assistant nearly all rows hang together through prompts such as "hi", and one side
    gets them all: look at `largest_group` first, and use `split_by_user` there.

    Args:
        feedback: a log, any index; "user_id" and "prompt" are read.
        fractions: shares of the rows for train, validation and test, summing to 1.
        seed: of the order.

    Returns:
        A dict of new frames "train", "validation", "test", rows unaltered and in order. Where no group holds over
        5 % of the rows, each is within 0.1 of its share.

    Raises:
        ValueError: a column is missing, the frame is empty, or `fractions` is not three shares.
    """
    check_feedback(feedback, ("user_id", "prompt"))
    group = connected_groups(feedback)
    side = _dealt(np.bincount(group), check_fractions(fractions), seed)[group]
    return _frames(feedback, side)


def connected_groups(feedback):
    """The number, from 0, of the connected group of users and prompts of each row: an int array (rows,)."""
    check_feedback(feedback, ("user_id", "prompt"))
    user, users = pd.factorize(feedback["user_id"])
    prompt, prompts = pd.factorize(feedback["prompt"])
    nodes = len(users) + len(prompts)
    edges = coo_matrix((np.ones(len(user), dtype=bool), (user, prompt + len(users))), shape=(nodes, nodes))
    return connected_components(edges, directed=False)[1][user]


def largest_group(feedback):
    """The share of the rows that hang together through users and prompts, in the largest such group."""
    return float(np.bincount(connected_groups(feedback)).max() / len(feedback))


def split_by_user(feedback, fractions=(0.8, 0.1, 0.1), seed=0):
    """For logs whose rows all hang together: a split by user, and the rows cut whose prompt is on another side.

    Users are dealt as the groups in `split_feedback` are. A prompt that only one side's users asked stays there.
    The prompts that several sides asked are dealt in the same way, and their rows on the other sides are cut.
    So no user and no prompt is on two sides, at a price that is counted: of common prompts the test side keeps
    only its share of the prompts from its share of the users, at (0.8, 0.1, 0.1) one row in a hundred.

    Args:
        feedback, fractions, seed: as in `split_feedback`.

    Returns:
        A dict of new frames "train", "validation", "test". The `attrs["cut"]` of each is the number of rows cut
        from that side.

    Raises:
        ValueError: as `split_feedback`.
    """
    check_feedback(feedback, ("user_id", "prompt"))
    shares = check_fractions(fractions)
    user, users = pd.factorize(feedback["user_id"])
    prompt, prompts = pd.factorize(feedback["prompt"])
    side = _dealt(np.bincount(user), shares, seed)[user]
    rows = np.zeros((len(prompts), len(SIDES)), dtype=int)
    np.add.at(rows, (prompt, side), 1)
    home, shared = rows.argmax(1), (rows > 0).sum(1) > 1
    home[shared] = _dealt(rows[shared].sum(1), shares, seed)
    kept = home[prompt] == side
    frames = _frames(feedback, np.where(kept, side, -1))
    for number, frame in enumerate(frames.values()):
        frame.attrs["cut"] = int(((side == number) & ~kept).sum())
    return frames


def split_by_time(feedback, fractions=(0.8, 0.1, 0.1)):
    """Train on the past, validate and test on the future, as the model will be used.

    The borders lie between two moments: rows of the same timestamp are never parted. Users and prompts may be
    on two sides; how many rows of a side have a user that an earlier side has too is said.

    Args:
        feedback: a log with "timestamp".
        fractions: shares of the rows, in order of time.

    Returns:
        A dict of new frames "train", "validation", "test", rows unaltered and in the log's order.
        The `attrs["known_users"]` of each is the share of its rows whose user is on an earlier side (nan where
        the side is empty).

    Raises:
        ValueError: a column is missing, the frame is empty, a timestamp is missing, or `fractions` is not three shares.
    """
    check_feedback(feedback, ("user_id", "timestamp"))
    shares = check_fractions(fractions)
    if feedback["timestamp"].isna().any():
        raise ValueError("feedback lacks a timestamp in some rows")
    first = feedback["timestamp"].rank(method="min").to_numpy() - 1  # the rows before this moment
    borders = np.cumsum(shares)[:2] * len(feedback)
    frames = _frames(feedback, np.searchsorted(borders, first + 1e-6))
    seen = set()
    for frame in frames.values():
        known = frame["user_id"].isin(seen)
        frame.attrs["known_users"] = float(known.mean()) if len(frame) else float("nan")
        seen |= set(frame["user_id"])
    return frames


def _dealt(sizes, shares, seed):
    """The side (0, 1, 2) of each group: in random order, each to the side that lacks most rows."""
    lacking = np.array(shares) * sizes.sum()
    side = np.empty(len(sizes), dtype=int)
    for group in np.random.default_rng(seed).permutation(len(sizes)).tolist():
        side[group] = lacking.argmax()
        lacking[side[group]] -= sizes[group]
    return side


def _frames(feedback, side):
    frames = {name: feedback[side == number].copy() for number, name in enumerate(SIDES)}
    for frame in frames.values():
        frame.attrs = {}  # what is written there of the whole log is not true of a side
    return frames
