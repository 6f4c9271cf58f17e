"""What suddenly became popular: kinds of answers that are liked, or given, more than in any quiet week."""

from dataclasses import dataclass

import numpy as np

from course_utils.feedback.columns import UP, check_feedback
from course_utils.iteration.stuffing import common_bigrams, distinct_kinds
from course_utils.serving.monitor import prediction_limit


@dataclass(frozen=True)
class Surge:
    """A kind of answer in a week.

    Attributes:
        kind: its name.
        measure: "approval" (thumbs-up of the votes on it) or "volume" (of all votes, those on it).
        value, limit: this week's share, and what a quiet week stays below.
        carriers: users who give more thumbs-up on the kind than nineteen in twenty of its voters, the busiest first.
        carried: the share of its thumbs-up that comes from them.
    """

    kind: str
    measure: str
    value: float
    limit: float
    carriers: list
    carried: float


def surges(feedback, week, kinds=common_bigrams, alpha=0.01, least=30):
    """Kinds of answers whose approval or volume this week lies above a prediction limit from the weeks before.

    It sees a campaign of a week whoever takes part, also accounts with few votes, and it is blind to one that was there
    all the time. `alpha` is shared among all kinds and both measures.

    Args:
        feedback: votes of this week and the weeks before; any order.
        week: an array or Series with the name of each row's week; the largest is this week's.
        kinds: as for `coordinated_users`.
        alpha: the chance of any surge in a quiet week.
        least: votes on the kind in this week, and on average in a week before.

    Returns:
        A list of `Surge`, the farthest above its limit first; kinds that hold the same rows are told once.

    Raises:
        ValueError: a column is missing, the frame is empty, or there are fewer than three weeks before.
    """
    check_feedback(feedback, ("response", "user_id", "feedback"))
    week = np.asarray(week)
    names, at = np.unique(week, return_inverse=True)
    if len(names) < 4:
        raise ValueError(f"week: three weeks before are needed, there are {len(names) - 1}")
    up, total = (feedback["feedback"] == UP).to_numpy(), np.bincount(at)
    distinct, found = distinct_kinds(feedback, kinds), []
    for name, has in distinct.items():
        votes, ups = (
            np.bincount(at[has], minlength=len(names)),
            np.bincount(at[has & up], minlength=len(names)),
        )
        if votes[-1] < least or votes[:-1].mean() < least or votes.min() == 0:
            continue
        for measure, values in (("approval", ups / votes), ("volume", votes / total)):
            above, limit = prediction_limit(values[:-1], values[-1], "share", alpha / (2 * len(distinct)))
            if above:
                rows = has & up & (at == len(names) - 1)
                theirs = feedback.loc[rows, "user_id"].value_counts()
                busiest = theirs[theirs > theirs.quantile(0.95)]
                order = sorted(busiest.index, key=lambda user, n=busiest: (-n[user], user))
                carried = float(busiest.sum() / theirs.sum())
                found.append(Surge(name, measure, float(values[-1]), limit, order, carried))
    return sorted(found, key=lambda s: (s.limit - s.value, s.kind, s.measure))
