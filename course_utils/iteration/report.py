"""The weekly report: what the service's store says of a week, against the weeks before.

Same store, same week, same settings: the same bytes. The week must be over and votes carry the time at which they came,
so nothing that comes later belongs to it.
"""

from pathlib import Path

import numpy as np

from course_utils.feedback import flag_biased_users
from course_utils.feedback.columns import UP
from course_utils.iteration.files import as_json, only_one, write_if_other
from course_utils.iteration.stuffing import coordinated_users
from course_utils.iteration.surges import surges
from course_utils.iteration.weeks import (
    answers_between,
    answers_by_week,
    first_and_last,
    votes_between,
    week_bounds,
    week_of,
)
from course_utils.serving.monitor import cusum, p95, prediction_limit, repetition
from course_utils.serving.rollout import always_valid_decision, rate_interval
from course_utils.serving.store import now

READ = "Read twenty of this week's answers."
# What is watched: its kind for the limits, the words of an alarm, and what to do. All are such that more is worse.
WATCHED = {
    "length": ("amount", "answers have become longer", READ),
    "shortness": ("amount", "answers have become shorter", READ),
    "repetition": ("share", "answers repeat themselves more", READ),
    "content warnings": (
        "share",
        "more answers carry a content warning",
        "Read them, and roll back if they are right.",
    ),
    "thumbs down": ("share", "more votes are thumbs down", "Read twenty answers that were turned down."),
    "unrated": ("share", "fewer answers are rated", "Look whether the buttons and /feedback still work."),
    "p95 latency": (
        "amount",
        "the slowest answers have become slower",
        "Look at the queue, and at what was deployed.",
    ),
}
RECENT = 4  # weeks that the CUSUM adds up before this one
LEAST_WEEKS = 3  # of a baseline


def weekly_report(store, week, baseline_weeks, out, today=None):
    """Write report-WEEK.png, .json and .md into a folder; a file that is there with the same bytes is left alone.

    Args:
        store: a `Store`.
        week: an ISO week such as "2026-W47", over.
        baseline_weeks: how many weeks before it count as normal, at least 3.
        out: the folder.
        today: the time (UTC) by which a week must be over; by default now.

    Returns:
        The three paths.

    Raises:
        ValueError: `week` is no ISO week, not over, or the store holds no answers of it; `baseline_weeks` is below 3.
        Busy: another process writes into `out`.
    """
    from course_utils.iteration.report_page import page, picture

    with only_one(out, "report"):
        content = weekly_facts(store, week, baseline_weeks, today)
        name = Path(out) / f"report-{week}"
        files = {".png": picture(content), ".json": as_json(content), ".md": page(content)}
        written = []
        for ending, data in files.items():  # the page last: where it is, what it refers to is there
            written.append(name.with_name(name.name + ending))
            write_if_other(written[-1], data)
    return written


def weekly_facts(store, week, baseline_weeks=26, today=None):
    """The report's content, a dict as JSON knows it; arguments and errors as for `weekly_report`.

    "cannot say" lists what could not be judged, and why; "to do" what follows, in words.
    """
    start, end = week_bounds(week)
    if baseline_weeks < LEAST_WEEKS:
        raise ValueError(f"baseline_weeks must be at least {LEAST_WEEKS}, not {baseline_weeks}")
    if (today or now()) < end:
        raise ValueError(f"week: {week} is not over; it ends on {end:%Y-%m-%d} at midnight UTC")
    mine, first_week = answers_between(store, start, end), start - (end - start) * baseline_weeks
    if mine.empty:
        first, last = first_and_last(store)
        there = f"; its answers are from {first:%Y-%m-%d} to {last:%Y-%m-%d}" if first else ""
        raise ValueError(f"week: the store holds no answers of {week}{there}")
    votes = votes_between(store, first_week, end)
    votes["week"] = week_of(votes["timestamp"])
    cast, cannot = votes[votes["week"] == week], []
    weekly = _weekly(answers_by_week(store, first_week, end), votes)
    content = {
        "week": week,
        "baseline weeks": {"asked": baseline_weeks, "found": len(weekly) - 1},
        "variants": {name: _variant(mine, cast, name) for name in sorted(mine["variant"].unique())},
        "weeks": weekly,
        "experiments": _experiments(store, mine, end, cannot),
        "watched": _watched(weekly, week, cannot),
        "one-button users": _biased(votes, cast, cannot),
        "coordinated": _coordinated(votes, cast),
        "surges": _surges(votes, week, cannot),
    }
    return content | {"cannot say": cannot, "to do": _to_do(content)}


# --- the parts -----------------------------------------------------------------------------------


def _variant(mine, cast, name):
    """Volume, approval with its interval by users, share of answers rated, latency."""
    answers, votes = mine[mine["variant"] == name], cast[cast["variant"] == name]
    found = {
        "answers": len(answers),
        "votes": len(votes),
        "users who voted": int(votes["user_id"].nunique()),
        "votes an answer": len(votes) / len(answers),
        "p95 latency": p95(answers["latency"].tolist()),
        "mean length": float(answers["response"].str.len().mean()),
    }
    return found | {"approval": _approval(votes)}


def _approval(votes):
    """[rate, low, high], the interval by users (Student's t); the last two None for fewer than two users, None without votes."""
    if votes.empty:
        return None
    by_user = (votes["feedback"] == UP).groupby(votes["user_id"]).agg(["sum", "size"])
    if len(by_user) < 2:
        return [float((votes["feedback"] == UP).mean()), None, None]
    return list(rate_interval(by_user["sum"], by_user["size"]))


def _weekly(weeks, votes):
    """{week: {measure: value}} for each of `weeks` (name, answers); None for what a week without votes cannot have."""
    found = {}
    for week, rows in weeks:
        cast = votes[votes["week"] == week]
        length = float(rows["response"].str.len().mean())
        found[week] = {
            "answers": len(rows),
            "votes": len(cast),
            "length": length,
            "shortness": 1 / length if length else None,
            "repetition": float(np.mean([repetition(r) for r in rows["response"]])),
            "content warnings": float(rows["content_warning"].mean()),
            "thumbs down": float((cast["feedback"] != UP).mean()) if len(cast) else None,
            # late votes on an earlier week's answers may outnumber a small week's answers
            "unrated": max(0.0, 1 - len(cast) / len(rows)),
            "p95 latency": p95(rows["latency"].tolist()),
        }
    return found


def _watched(weekly, week, cannot):
    """For each measure: value, limit, alarm, and whether a small rise has lasted (CUSUM over the recent weeks)."""
    found, before = {}, [w for w in weekly if w != week]
    if len(before) < LEAST_WEEKS:
        cannot.append(
            f"alarms: there are {len(before)} weeks with answers before {week}, and at least {LEAST_WEEKS} are needed"
        )
        return found
    for name, (kind, _, _) in WATCHED.items():
        past = [weekly[w][name] for w in before if weekly[w][name] is not None]
        value = weekly[week][name]
        if value is None or len(past) < LEAST_WEEKS or (kind == "amount" and min(*past, value) <= 0):
            cannot.append(f"{name}: this week or too many weeks before have no value")
            continue
        if np.ptp(past) == 0:
            cannot.append(
                f"{name}: it was the same in all weeks before, so no week is unusual by their spread"
            )
            continue
        alarm, limit = prediction_limit(past, value, kind)
        creeps = None
        if len(past) >= RECENT + LEAST_WEEKS and np.ptp(past[:-RECENT]) > 0:
            creeps = RECENT in cusum(past[:-RECENT], [*past[-RECENT:], value], kind)
        found[name] = {"value": value, "limit": limit, "weeks": len(past), "alarm": alarm, "creeps": creeps}
    return found


def _experiments(store, mine, end, cannot):
    """{salt: decision and rates} of the experiments that gave answers this week, on all their votes so far."""
    found = {}
    for salt in sorted(mine.loc[mine["variant"] == "treatment", "salt"].unique()):
        totals = store.votes_by_user(salt, before=end)
        arms = {
            v: totals.loc[totals["variant"] == v, ["thumbs_up", "votes"]] for v in ("control", "treatment")
        }
        found[salt] = {
            "decision": always_valid_decision(*(arm.to_numpy() for arm in arms.values())),
            **{
                name: {
                    "users": len(arm),
                    "votes": int(arm["votes"].sum()),
                    "approval": float(arm["thumbs_up"].sum() / arm["votes"].sum()) if len(arm) else None,
                }
                for name, arm in arms.items()
            },
        }
    if not found:
        cannot.append("a comparison: no treatment gave answers this week")
    return found


def _biased(votes, cast, cannot):
    if cast.empty:
        cannot.append("approval and users: there are no votes this week")
        return None
    users = flag_biased_users(votes)
    theirs = cast["user_id"].isin(users)
    rest = (cast.loc[~theirs, "feedback"] == UP).mean() if (~theirs).any() else None
    return {
        "users": int(cast.loc[theirs, "user_id"].nunique()),
        "share of the votes": float(theirs.mean()),
        "approval without them": None if rest is None else float(rest),
    }


def _coordinated(votes, cast):
    """Pushes in which users of this week take part, looked for in all the weeks' votes."""
    active = set(cast["user_id"])
    return [
        {
            "kind": push.kind,
            "users": sorted(push.users.index),
            "votes this week": int(cast["user_id"].isin(push.users.index).sum()),
            "liked": push.liked,
            "usual": push.usual,
        }
        for push in (coordinated_users(votes) if len(votes) else [])
        if active & set(push.users.index)
    ]


def _surges(votes, week, cannot):
    weeks = votes["week"].nunique()
    if weeks < LEAST_WEEKS + 1 or week not in set(votes["week"]):
        cannot.append("surges: too few weeks with votes")
        return []
    return [
        {"kind": s.kind, "measure": s.measure, "value": s.value, "limit": s.limit}
        | {"carriers": s.carriers[:20], "carried": s.carried}
        for s in surges(votes, votes["week"])
    ]


def _to_do(content):
    """What follows, a sentence each."""
    todo = []
    for name, seen in content["watched"].items():
        _, words, advice = WATCHED[name]
        if seen["alarm"]:
            todo.append(f"{words}: above the limit of {seen['weeks']} quiet weeks. {advice}")
        elif seen["creeps"]:
            todo.append(
                f"{words}, a little each week and for several weeks. Look at what changed since it began."
            )
    for salt, seen in content["experiments"].items():
        what = {
            "ramp": "the treatment is better by the rule that may be looked at every week. It may be ramped up.",
            "roll back": "the treatment is worse by the rule that may be looked at every week. Roll it back.",
            "hold": "not decided. Leave the share as it is and look again next week.",
        }[seen["decision"]]
        todo.append(f"experiment {salt!r}: {what}")
    for push in content["coordinated"]:
        todo.append(
            f"{len(push['users'])} accounts like answers with '{push['kind']}' together, {push['liked']:.0%} "
            f"against {push['usual']:.0%}. A person looks at them; the retraining leaves their votes out."
        )
    for surge in content["surges"][:5]:
        todo.append(
            f"answers with '{surge['kind']}': {surge['measure']} {surge['value']:.0%}, above the limit of "
            f"{surge['limit']:.0%}. {len(surge['carriers'])} users carry {surge['carried']:.0%} of its thumbs up: look at them."
        )
    if (users := content["one-button users"]) and users["share of the votes"] > 0.1:
        todo.append(
            f"{users['share of the votes']:.0%} of the votes are from users who press one button: leave them out."
        )
    return todo or ["nothing stands out."]
