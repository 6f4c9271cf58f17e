"""A mix of old and new votes, with its counts and the class weights that belong to it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from course_utils.feedback.columns import UP, check_feedback
from course_utils.feedback.format import kto_weights


@dataclass(frozen=True)
class Mix:
    """Rows to train on.

    Attributes:
        rows: a log, new and old in random order; `to_kto` reads it.
        new, old: how many of each.
        weights: (lambda_D, lambda_U) for these rows.
        up: the share of thumbs-up among them.
    """

    rows: pd.DataFrame
    new: int
    old: int
    weights: tuple
    up: float


def mix_votes(old, new, share_new=0.5, rows=None, seed=0):
    """Old and new votes in a stated proportion, drawn without replacement.

    New votes are on what the present model says, but few, and a model that sees only them forgets what the old ones taught.
    The weights of the two classes are worked out on the mix: the new votes' share of thumbs-up is another one.

    Args:
        old, new: logs, cleaned, without a row in common; `old` may be empty where share_new is 1.
        share_new: of the mix, above 0, at most 1.
        rows: of the mix; by default as many as the smaller part allows.
        seed: of the draw and of the order.

    Returns:
        A `Mix`; the number of new rows is the whole number nearest to share_new · rows.

    Raises:
        ValueError: `share_new` is out of range, `rows` is below 2, there are too few rows of a part (the message says
            how many are wanted), all votes of the mix are alike, or a column is missing.
    """
    if not 0 < share_new <= 1:
        raise ValueError(f"share_new must be above 0 and at most 1, not {share_new}")
    check_feedback(new, ("prompt", "response", "feedback"), "new")
    if share_new < 1:
        check_feedback(old, ("prompt", "response", "feedback"), "old")
    if rows is None:
        rows = int(len(new) / share_new)
        if share_new < 1:
            rows = min(rows, int(len(old) / (1 - share_new)))
    if rows < 2:
        raise ValueError(f"rows must be at least 2, not {rows}")
    wanted_new = int(np.floor(share_new * rows + 0.5))
    wanted = {"new": (new, wanted_new), "old": (old, rows - wanted_new)}
    rng, parts = np.random.default_rng(seed), []
    for name, (part, count) in wanted.items():
        if count > len(part):
            raise ValueError(
                f"{name} has {len(part)} rows, and a mix of {rows} with {share_new:.0%} new takes {count}"
            )
        if count:
            parts.append(part.iloc[np.sort(rng.choice(len(part), count, replace=False))])
    mixed = pd.concat(parts)
    mixed = mixed.iloc[rng.permutation(len(mixed))].copy()
    mixed.attrs = {}
    ups = int((mixed["feedback"] == UP).sum())
    if ups in (0, len(mixed)):
        raise ValueError("all votes of the mix are alike: KTO has nothing to tell apart")
    return Mix(mixed, wanted_new, rows - wanted_new, kto_weights(ups, len(mixed) - ups), ups / len(mixed))
