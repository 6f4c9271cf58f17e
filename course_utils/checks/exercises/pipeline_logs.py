"""04-kto-pipeline: feedback logs to hold answers against, and running an answer on one.

The engine's `observe_call` is for tensors; frames are copied, compared and put into words here.
"""

import copy
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import pandas as pd

from course_utils.checks.compare import Missing
from course_utils.checks.observe import describe_error, quietly
from course_utils.words import type_of

UP, DOWN = "thumbs_up", "thumbs_down"
INDEXES = ("plain", "repeated", "falling", "words", "shuffled")


def remembered(make):
    """Cases from a `Draw`, built once per seed (each observation works on copies); `make` gets a numpy generator."""

    @lru_cache(maxsize=16)
    def built(key):
        return tuple(make(np.random.default_rng(key)))

    return lambda draw: list(built(draw.integer(0, 2**40)))


@dataclass(frozen=True)
class Fault(Missing):
    """A `Missing` whose words name a place (a column, a share): two are the same mistake where their `kind` is."""

    words: str = field(compare=False)
    kind: str


class Log:
    """A feedback log in the making: rows with a note on each, for the messages."""

    def __init__(self, rng):
        self.rng, self.rows, self.asked = rng, [], 0

    def prompt(self):
        """A prompt that no other row has."""
        self.asked += 1
        return f"question {self.asked}"

    def add(self, user, up, prompt=None, response="own", warned=False, note="an ordinary vote"):
        """A vote; on a prompt and with a response of its own where none is given. None is a missing response."""
        prompt = self.prompt() if prompt is None else prompt
        response = f"answer {self.rng.integers(1000, 9999)} to {prompt}" if response == "own" else response
        self.rows.append((prompt, response, user, UP if up else DOWN, bool(warned), note))

    def votes(self, user, ups, downs, **kwargs):
        """`ups` and `downs` votes of a user, each on a prompt of its own."""
        for up in [True] * ups + [False] * downs:
            self.add(user, up, **kwargs)

    def crowd(self, rows, prefix="u", rate=0.65):
        """Ordinary users, 1 to 20 votes each, about `rows` together, of a rate near `rate`, no two of one prompt."""
        number = 0
        while rows > 0:
            count = int(min(rows, self.rng.choice([1, 2, 3, 8, 14, 20])))
            ups = round(count * rate) if count > 3 else int(self.rng.binomial(count, rate))
            self.votes(f"{prefix}{number:03d}", ups, count - ups)
            number, rows = number + 1, rows - count

    def frame(self, index="plain", warning=True, shuffle=True):
        """(the frame, the notes): rows in random order, timestamps different and in no order."""
        rng, count = self.rng, len(self.rows)
        order = rng.permutation(count) if shuffle else np.arange(count)
        rows = [self.rows[i] for i in order]
        minutes = rng.permutation(count) * 7 + rng.integers(0, 6, count)
        # some conversations have two votes, of different turns
        talks = np.where(
            rng.random(count) < 0.2, rng.integers(0, max(count // 4, 1), count), np.arange(count) + count
        )
        frame = pd.DataFrame(
            {
                "conversation_id": [f"c{i:05d}" for i in talks],
                "prompt": [row[0] for row in rows],
                "response": [row[1] for row in rows],
                "user_id": [row[2] for row in rows],
                "feedback": [row[3] for row in rows],
                "timestamp": pd.Timestamp("2026-01-05") + pd.to_timedelta(minutes, unit="min"),
            }
        )
        if warning:
            frame["content_warning"] = [row[4] for row in rows]
        frame.index = _index(rng, count, index)
        return frame, tuple(row[5] for row in rows)


def _index(rng, count, kind):
    if kind == "repeated":
        return pd.Index(np.arange(count) // 3)
    if kind == "falling":
        return pd.Index(np.arange(count)[::-1] + 100)
    if kind == "words":
        return pd.Index([f"row {i}" for i in rng.permutation(count)])
    if kind == "shuffled":
        return pd.Index(rng.permutation(count))
    return pd.RangeIndex(count)


def run(function, case):
    """Call an answer on copies: (result, None, what became of the inputs), or (None, the error in words, None)."""
    args, kwargs = copy.deepcopy(case.args), copy.deepcopy(case.kwargs)
    try:
        result = quietly(function, *args, **kwargs)
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return None, describe_error(error), None
    return result, None, unchanged(case.args, args)


def unchanged(before, after):
    """ "unchanged", or in words what was done to the first frame among the arguments."""
    for old, new in zip(before, after, strict=True):
        if not isinstance(old, pd.DataFrame):
            continue
        if list(old.columns) != list(new.columns):
            return "the columns of the frame given were changed by your function; work on a copy"
        if old.attrs != new.attrs:
            return "the attrs of the frame given were changed by your function; only the result's may be"
        if not (old.index.equals(new.index) and old.equals(new)):
            return "the frame given was changed by your function; work on a copy"
    return "unchanged"


def listed(column):
    """A column as a list; a column of texts is slow to go through as it is."""
    return column.to_numpy(dtype=object).tolist()


def same_values(old, new):
    """Whether two columns of equal length hold the same values, missing ones alike, whatever their dtypes."""
    pairs = zip(listed(old), listed(new), strict=True)
    return all(a == b if not (_gone(a) or _gone(b)) else _gone(a) and _gone(b) for a, b in pairs)


def _gone(value):
    return value is None or value is pd.NA or value is pd.NaT or value != value


def kept_places(frame, result):
    """The rows of `frame` that stand in `result`, as positions in its order, found by their timestamps; or a `Missing`."""
    if not isinstance(result, pd.DataFrame):
        kind = "None (is there a `return`?)" if result is None else type_of(result)
        return Missing(f"{kind} where a DataFrame is wanted")
    if "timestamp" not in result.columns:
        return Missing("the column 'timestamp' is missing")
    try:
        moments = _microseconds(result["timestamp"])
    except (TypeError, ValueError):
        return Missing("the timestamps are no longer timestamps")
    known = {moment: place for place, moment in enumerate(_microseconds(frame["timestamp"]))}
    places = [known.get(moment) for moment in moments]
    return Missing("there are rows that the frame given does not have") if None in places else places


def _microseconds(times):
    """Timestamps as whole numbers, which are quicker to look up."""
    return pd.to_datetime(times).to_numpy(dtype="datetime64[us]").astype("int64").tolist()


def form_of(frame, result, places):
    """ "unaltered", or a `Missing` that says which column of the kept rows is not as it was."""
    columns = list(map(str, result.columns))
    for column in frame.columns:
        if columns.count(column) != 1:
            return Fault(f"the column {column!r} is missing", "column missing")
    if extra := [c for c in columns if c not in frame.columns]:
        return Fault(
            f"there is a further column {extra[0]!r}; the rows are to stay as they are", "further column"
        )
    rows = frame.iloc[places]
    for column in frame.columns:
        if not same_values(rows[column], result[column]):
            return Fault(f"values in the column {column!r} were altered", f"{column} altered")
    return "unaltered"
