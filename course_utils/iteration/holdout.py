"""A fresh holdout each month: this month's rows, other users each time, nothing in it that any model was trained on."""

import hashlib
from collections.abc import Collection

import numpy as np
import pandas as pd

from course_utils.feedback.columns import check_feedback

COLUMNS = ("prompt", "response", "user_id", "feedback")


def month_bounds(month):
    """(first moment, first moment of the next month) of a text such as "2026-11".

    Raises:
        ValueError: it is no month.
    """
    try:
        if len(month) != 7:
            raise ValueError
        first = pd.Timestamp(f"{month}-01")
    except ValueError:
        raise ValueError(f"month must be written as 2026-11, not {month!r}") from None
    return first, first + pd.offsets.MonthBegin(1)


def row_fingerprints(feedback):
    """A Series of texts, by the log's index: the digest of prompt, response, user and verdict of each row.

    Neither the time nor the conversation's id is in it, so that a vote that was logged twice has one fingerprint, and
    two exports of the same votes have the same ones.

    Raises:
        ValueError: a column is missing, or the frame is empty.
    """
    check_feedback(feedback, COLUMNS)
    rows = zip(*(feedback[column].astype(object) for column in COLUMNS), strict=True)
    digests = [
        # the lengths stand in front, so that no two rows make the same text
        hashlib.sha256("".join(f"{len(str(v))}:{v}" for v in row).encode()).hexdigest()[:24]
        for row in rows
    ]
    return pd.Series(digests, feedback.index, dtype=object)


def fresh_holdout(feedback, month, share=0.2, trained_before: Collection = frozenset()):
    """This month's holdout and the rows that may be trained on this month, without a common user or prompt.

    Users are drawn by a hash with the month as salt: in another month they are others, in another process the same
    ones, and who joins the log moves nobody. Prompts that users of both sides asked are drawn in the same way. A row of
    a drawn user is held out if its prompt is, one of another user may be trained on if its prompt may. All else is
    cut. Older rows are never held out; those of a drawn user or prompt are cut too, so that nothing of this month's
    test is learnt from the old part of a mix. A model that is trained from the base again has then seen neither user
    nor prompt; one that goes on from last month's has, in that model's data, and only the rows are new.

    The price: of what several users ask, a holdout keeps about share² of the rows and the training (1 - share)².

    Args:
        feedback: a log, cleaned; rows of this month and before.
        month: a text such as "2026-11".
        share: of the users, and of the shared prompts, between 0 and 1.
        trained_before: fingerprints (`row_fingerprints`) of all rows that an earlier training used.

    Returns:
        (holdout, trainable): two new frames, rows unaltered and in order. `holdout.attrs["cut"]` counts the rows in
        neither, ints: "prompt held out" (the user is not), "user held out" (this month, the prompt is not), "old row of
        a held-out user" (whose prompt may be trained on or not), "trained before" (would be held out, but a model
        knows it).

    Raises:
        ValueError: a column is missing, the frame is empty, `month` is no month or has no rows, there are rows after it,
            or `share` is not between 0 and 1.
    """
    check_feedback(feedback, (*COLUMNS, "timestamp"))
    start, end = month_bounds(month)
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, not {share}")
    if (feedback["timestamp"] >= end).any():
        raise ValueError(
            f"feedback has rows after {month}; a month's holdout is made of a log that ends with it"
        )
    this_month = (feedback["timestamp"] >= start).to_numpy()
    if not this_month.any():
        raise ValueError(f"month: there are no rows of {month}")
    theirs = _drawn(feedback["user_id"], month, "user", share)
    prompts, prompt_drawn = feedback["prompt"], _drawn(feedback["prompt"], month, "prompt", share)
    # a prompt that only one side asked stays on that side; what drawn users asked earlier is not held out
    asked = pd.Series(theirs & this_month).groupby(prompts.to_numpy()).transform("any").to_numpy()
    by_others = pd.Series(~theirs).groupby(prompts.to_numpy()).transform("any").to_numpy()
    prompt_held = asked & (~by_others | prompt_drawn)
    held = theirs & this_month & prompt_held
    known = row_fingerprints(feedback).isin(set(trained_before)).to_numpy()
    holdout, trainable = feedback[held & ~known].copy(), feedback[~theirs & ~prompt_held].copy()
    holdout.attrs = {
        "cut": {
            "prompt held out": int((~theirs & prompt_held).sum()),
            "user held out": int((theirs & this_month & ~prompt_held).sum()),
            "old row of a held-out user": int((theirs & ~this_month).sum()),
            "trained before": int((held & known).sum()),
        }
    }
    trainable.attrs = {}
    return holdout, trainable


def _drawn(values, month, what, share):
    """A bool a row: whether the value's place on [0, 1), by SHA-256 of month, kind and value, is below the share."""
    codes, distinct = pd.factorize(values)
    place = [
        int.from_bytes(hashlib.sha256(f"{month}:{what}:{value}".encode()).digest()[:6], "big") / 2**48
        for value in distinct
    ]
    return (np.array(place) < share)[codes]
