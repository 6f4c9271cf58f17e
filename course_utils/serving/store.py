"""What the service remembers: every answer it handed out, every vote, and how far each roll-out has gone.

Three tables by SQLAlchemy, on SQLite by default or any other database by its URL. A row of `requests` is
committed before its id leaves the service, so a vote always finds its prompt, response and model
version. On SQLite every commit waits for the disk (WAL, synchronous=FULL); PostgreSQL does so by
default. Times are UTC, without a time zone.
"""

import enum
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm


class Vote(enum.StrEnum):
    """The two votes there are."""

    UP = "thumbs_up"
    DOWN = "thumbs_down"


class Base(orm.DeclarativeBase):
    """The tables' common base."""


class Request(Base):
    """One answer; `latency` is in seconds from the request's arrival to the finished response."""

    __tablename__ = "requests"
    id: orm.Mapped[str] = orm.mapped_column(sa.String(32), primary_key=True)
    time: orm.Mapped[datetime] = orm.mapped_column(index=True)  # for a week's answers
    client: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    user_hash: orm.Mapped[str] = orm.mapped_column(sa.String(64), index=True)
    prompt: orm.Mapped[str] = orm.mapped_column(sa.Text)
    response: orm.Mapped[str] = orm.mapped_column(sa.Text)
    model_version: orm.Mapped[str] = orm.mapped_column(sa.String(128))
    variant: orm.Mapped[str] = orm.mapped_column(sa.String(16))
    salt: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    content_warning: orm.Mapped[bool]
    latency: orm.Mapped[float]
    # for `latest_answers`, which a running service asks for again and again
    __table_args__ = (sa.Index("requests_latest", "salt", "variant", "time"),)


class Feedback(Base):
    """One vote; at most one a request."""

    __tablename__ = "feedback"
    request_id: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey(Request.id), primary_key=True)
    vote: orm.Mapped[Vote] = orm.mapped_column(
        sa.Enum(Vote, values_callable=lambda votes: [v.value for v in votes], native_enum=False)
    )
    time: orm.Mapped[datetime]


class Share(Base):
    """One step of a roll-out, which holds from `time`; an experiment is known by its salt. Rows are only ever added."""

    __tablename__ = "shares"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    salt: orm.Mapped[str] = orm.mapped_column(sa.String(64), index=True)
    share: orm.Mapped[float]
    rolled_back: orm.Mapped[bool]
    time: orm.Mapped[datetime]


class Recorded(NamedTuple):
    """What became of a vote: "stored", "already" (the same vote stands), "conflict" (another vote stands)
    or "unknown" (no such request of this client); and the variant that gave the answer, None if unknown."""

    outcome: str
    variant: str | None = None


def open_store(url="sqlite:///service.db", make=True):
    """The store behind a database URL of SQLAlchemy; its tables are made where they are missing.

    Args:
        url: of the database.
        make: whether an SQLite file that is not there is made. Whoever only reads says False, so that a
            mistyped name is no empty store.

    Raises:
        ValueError: `url` is none, or of no known kind; a database in memory is asked for (each thread would have
            one of its own); there is no such file, and it is not to be made.
        sqlalchemy.exc.SQLAlchemyError: the database cannot be reached.
    """
    try:
        url = _parsed(url)
        sqlite = url.get_backend_name() == "sqlite"
        if sqlite and url.database in (None, "", ":memory:"):
            raise ValueError("url: the store needs a file, not a database in memory")
        if sqlite and not make and not Path(url.database.removeprefix("file:")).is_file():
            raise ValueError(f"url: there is no file {url.database}")
        # an error that is logged must not hold what people wrote
        engine = sa.create_engine(url, pool_pre_ping=True, hide_parameters=True)
    except (sa.exc.ArgumentError, ModuleNotFoundError) as error:  # the latter: no driver of this kind
        raise ValueError(f"url: {error}") from None
    if sqlite:
        sa.event.listen(engine, "connect", _durable)
    for attempt in range(5):
        try:
            Base.metadata.create_all(engine)
            break
        except sa.exc.DBAPIError:  # two replicas that start at once can make the same table
            if attempt == 4:
                raise
    return Store(engine)


def _parsed(url):
    """SQLAlchemy's URL. What it says of a wrong port names no argument."""
    try:
        return sa.make_url(url)
    except ValueError as error:
        raise ValueError(f"url: {error}") from None


def _durable(connection, _record):
    for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def now():
    """The time as it is stored: UTC, without a time zone."""
    return datetime.now(UTC).replace(tzinfo=None)


class Store:
    """Reads and writes; every method may be called from any thread, and blocks until the database has answered.

    Args:
        engine: a SQLAlchemy engine whose database has the tables.
    """

    def __init__(self, engine):
        self.engine = engine
        # writers of one process take turns here; SQLite's own waiting is by sleeping and trying again
        self._writing = threading.Lock()

    def ping(self):
        """Nothing, where the database answers; else its error."""
        with self.engine.connect() as connection:
            connection.execute(sa.select(1))

    def close(self):
        """Let go of all connections."""
        self.engine.dispose()

    def record_requests(self, rows):
        """Store answers in one transaction: all of them or, if it raises, none.

        Args:
            rows: dicts with the attributes of `Request`.
        """
        with self._writing, self.engine.begin() as connection:
            connection.execute(sa.insert(Request), rows)

    def record_request(self, **row):
        """Store one answer, given by the attributes of `Request`."""
        self.record_requests([row])

    def record_votes(self, votes):
        """Store votes in one transaction; a request's first vote stands, and repeating it does no harm.

        Args:
            votes: tuples (request_id, vote, client); a client of None may vote on any request.

        Returns:
            A `Recorded` for each, in order.
        """
        for attempt in range(5):
            try:
                with self._writing, self.engine.begin() as connection:
                    return self._record_votes(connection, votes)
            except sa.exc.IntegrityError:  # another replica stored one of them since we looked: look again
                if attempt == 4:
                    raise

    def record_vote(self, request_id, vote, client=None):
        """Store one vote: "stored", "already", "conflict" or "unknown" (see `Recorded`)."""
        return self.record_votes([(request_id, vote, client)])[0].outcome

    def _record_votes(self, connection, votes):
        known = sa.select(Request.id, Request.client, Request.variant, Feedback.vote).outerjoin(Feedback)
        ids = {request_id for request_id, _, _ in votes}
        found = {row.id: row for row in connection.execute(known.where(Request.id.in_(ids)))}
        standing = {key: row.vote for key, row in found.items() if row.vote is not None}
        results, new = [], []
        for request_id, vote, client in votes:
            row, vote = found.get(request_id), Vote(vote)
            if row is None or client not in (None, row.client):
                results.append(Recorded("unknown"))
            elif request_id in standing:
                outcome = "already" if standing[request_id] == vote else "conflict"
                results.append(Recorded(outcome, row.variant))
            else:
                standing[request_id] = vote
                new.append({"request_id": request_id, "vote": vote, "time": now()})
                results.append(Recorded("stored", row.variant))
        if new:
            connection.execute(sa.insert(Feedback), new)
        return results

    def set_share(self, salt, share, rolled_back=False, time=None):
        """Write down one step of a roll-out, which holds from `time` (UTC, no time zone; by default now)."""
        with self._writing, self.engine.begin() as connection:
            row = {"salt": salt, "share": share, "rolled_back": rolled_back, "time": time or now()}
            connection.execute(sa.insert(Share), [row])

    def steps(self, salt):
        """([(time from which it holds, share), ...], rolled back) of an experiment; no steps once it was rolled back."""
        query = sa.select(Share.time, Share.share, Share.rolled_back).where(Share.salt == salt)
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(Share.time, Share.id)).all()
        rolled_back = any(row.rolled_back for row in rows)
        return [] if rolled_back else [(row.time, row.share) for row in rows], rolled_back

    def share(self, salt):
        """(share, rolled back) of an experiment: the largest share ever set, also for a moment to come; 0.0 once it was
        rolled back.

        So whatever the order in which replicas write, all of them read the same, and no user moves back
        but by a roll-back.
        """
        steps, rolled_back = self.steps(salt)
        return max((share for _, share in steps), default=0.0), rolled_back

    def feedback_frame(self, since=None):
        """The votes as a feedback log, oldest first.

        Args:
            since: a datetime (UTC, no time zone); votes before it are left out.

        Returns:
            A DataFrame with the columns of a feedback log, `conversation_id` (the request's id), `prompt`,
            `response`, `user_id` (the user's hash), `feedback`, `timestamp` (of the vote),
            `content_warning`, and two more: `model_version`, `variant`.
        """
        # the text of the vote, not the enum's member: the frame is written to files too
        vote, key = sa.cast(Feedback.vote, sa.String).label("feedback"), Request.id.label("conversation_id")
        user, time = Request.user_hash.label("user_id"), Feedback.time.label("timestamp")
        query = sa.select(
            key, Request.prompt, Request.response, user, vote, time, Request.content_warning,
            Request.model_version, Request.variant,
        ).join(Feedback).order_by(Feedback.time, Request.id)  # fmt: skip
        frame = self._frame(query if since is None else query.where(Feedback.time >= since))
        return frame.astype({"content_warning": bool, "timestamp": "datetime64[us]"})

    def requests_frame(self):
        """Every answer, voted on or not, oldest first: `time`, `variant`, `latency` (seconds)."""
        frame = self._frame(sa.select(Request.time, Request.variant, Request.latency).order_by(Request.time))
        return frame.astype({"time": "datetime64[us]"})

    def latest_answers(self, salt, variant, most):
        """(content warnings, latencies in seconds) of an experiment's latest answers by one variant, at most `most`."""
        mine = (Request.salt == salt) & (Request.variant == variant)
        query = sa.select(Request.content_warning, Request.latency).where(mine)
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(Request.time.desc()).limit(most)).all()
        return [bool(row[0]) for row in rows], [row[1] for row in rows]

    def votes_by_user(self, salt, before=None):
        """An experiment's votes by variant and user: `variant`, `user_id`, `thumbs_up`, `votes`.

        A user who was moved from control to treatment by a ramp has a row in each. With `before`, a datetime (UTC, no
        time zone), votes from then on do not count.
        """
        up = sa.func.sum(sa.case((Feedback.vote == Vote.UP, 1), else_=0)).label("thumbs_up")
        key = Request.variant, Request.user_hash
        counts = sa.select(
            Request.variant, Request.user_hash.label("user_id"), up, sa.func.count().label("votes")
        )
        mine = counts.join(Feedback).where(Request.salt == salt)
        mine = mine if before is None else mine.where(Feedback.time < before)
        return self._frame(mine.group_by(*key).order_by(*key)).astype({"thumbs_up": int, "votes": int})

    def _frame(self, query):
        import pandas as pd  # a second that serving does not need

        with self.engine.connect() as connection:
            result = connection.execute(query)
            # plain tuples: pandas asks each of SQLAlchemy's rows whether it is a dataclass, which takes it long to deny
            return pd.DataFrame([tuple(row) for row in result], columns=list(result.keys()))
