"""What the weekly report reads: answers and votes of some weeks."""

import re
from datetime import date, datetime, timedelta

import pandas as pd
import sqlalchemy as sa

from course_utils.serving.store import Request


def week_bounds(week):
    """(Monday, next Monday) of an ISO week such as "2026-W47", datetimes at midnight UTC.

    Raises:
        ValueError: it is no week of the calendar.
    """
    found = re.fullmatch(r"(\d{4})-W(\d{2})", str(week))
    try:
        monday = date.fromisocalendar(*map(int, found.groups()), 1)
    except (AttributeError, ValueError):
        raise ValueError(f"week must be an ISO week such as 2026-W47, not {week!r}") from None
    start = datetime(monday.year, monday.month, monday.day)
    return start, start + timedelta(weeks=1)


def week_of(times):
    """The ISO week of each time, as texts such as "2026-W47"."""
    calendar = pd.to_datetime(times).dt.isocalendar()
    return calendar["year"].astype(str) + "-W" + calendar["week"].astype(str).str.zfill(2)


def answers_between(store, start, end):
    """Every answer of [start, end), voted on or not: "time", "variant", "salt", "response", "content_warning", "latency"."""
    columns = Request.time, Request.variant, Request.salt, Request.response, Request.content_warning
    query = sa.select(*columns, Request.latency).where(Request.time >= start, Request.time < end)
    frame = store._frame(query.order_by(Request.time, Request.id))
    return frame.astype({"time": "datetime64[us]", "content_warning": bool, "latency": float})


def answers_by_week(store, start, end):
    """(ISO week, its answers) of each week with answers between two Mondays; one week's are held at a time."""
    while start < end:
        rows = answers_between(store, start, start + timedelta(weeks=1))
        if not rows.empty:
            yield "{}-W{:02}".format(*start.isocalendar()), rows
        start += timedelta(weeks=1)


def votes_between(store, start, end):
    """The votes that came in [start, end), as a feedback log (see `Store.feedback_frame`)."""
    votes = store.feedback_frame(since=start)
    return votes[votes["timestamp"] < end].reset_index(drop=True)


def first_and_last(store):
    """The times of the first and the last answer, or (None, None)."""
    with store.engine.connect() as connection:
        return tuple(
            connection.execute(sa.select(sa.func.min(Request.time), sa.func.max(Request.time))).one()
        )
