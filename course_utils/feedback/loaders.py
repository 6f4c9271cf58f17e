"""Reading feedback logs from files. Nothing is lost silently: what cannot be read stops with file, row and column.

Rows are records, counted from 1; the header of a CSV file and blank lines do not count.
"""

import csv
import gzip
import json
import zlib
from datetime import date
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from course_utils.feedback.columns import DOWN, REQUIRED, TEXTS, UP, WARNING

# The words that a file may use for its verdicts: one pair of them, never two mixed.
VOCABULARIES = ((UP, DOWN), ("1", "0"), ("1", "-1"), ("+1", "-1"), ("true", "false"), ("up", "down"))
BOOLS = {"true": True, "false": False, "1": True, "0": False}
BOM = b"\xef\xbb\xbf"  # which some editors put before the first character
UNREADABLE = (
    OSError,
    EOFError,
    zlib.error,
)  # of a file: not there, not compressed as its name says, cut short


def load_feedback(path, keep_empty=False):
    """A feedback log from a CSV, Parquet or JSON-lines file (by its ending; .csv.gz and .jsonl.gz too).

    Columns of the file beyond the log's own are kept as they are. A verdict may also be 1 and 0, 1 and -1,
    true and false, or up and down, throughout the file; it is translated. Numbers as user or conversation ids become
    texts. Timestamps are ISO 8601; with a time zone they are turned to UTC.

    Args:
        path: of the file.
        keep_empty: let empty and missing responses through, for `clean_feedback` to drop and count.

    Returns:
        A frame with the columns "conversation_id", "prompt", "response", "user_id", "feedback", "timestamp", and
        "content_warning" (bool) where the file has it; index 0 ... n - 1.

    Raises:
        ValueError: naming the file, and the row and column: a column is missing or there twice; a text is empty
            or no text; a verdict is unknown, or from another pair of words than those before it; a
            timestamp or a content warning cannot be read; the file is empty, broken, or of another kind.
    """
    return pd.concat(stream_feedback(path, rows=50_000, keep_empty=keep_empty), ignore_index=True)


def stream_feedback(path, rows=10_000, keep_empty=False):
    """A log in pieces, for files larger than memory: yields frames of at most `rows` rows, checked as in `load_feedback`.

    The index goes on from piece to piece.

    Args:
        path, keep_empty: as in `load_feedback`.
        rows: of a piece, at least 1.

    Raises:
        ValueError: as `load_feedback`; what is wrong further on is found when it is reached.
    """
    check_rows(rows)
    verdicts, start = Verdicts(path), 0
    for piece in _pieces(path, rows):
        yield _checked(piece, path, start, verdicts, keep_empty)
        start += len(piece)
    if start == 0:
        raise ValueError(f"{path}: there are no rows")


def check_rows(rows):
    """`rows` of a piece is a whole number from 1; else a ValueError."""
    if isinstance(rows, bool) or not isinstance(rows, (int, np.integer)) or rows < 1:
        raise ValueError(f"rows must be at least 1 and a whole number, not {rows!r}")


def read_lines(path):
    """(row, record) of each line of a JSON-lines file that is not blank; a ValueError names a row that is no record."""
    row = 0
    try:
        with _opened(path, "rb") as file:
            for number, line in enumerate(file):
                line = line if number else line.removeprefix(BOM)
                if line.strip():
                    row += 1
                    yield row, _record(line, f"{path}, row {row}")
    except UNREADABLE as error:
        raise ValueError(f"{path}{f', after row {row}' if row else ''}: {error}") from None


def _record(line, where):
    """The record of one line, in bytes."""
    try:
        record = json.loads(line.decode())
    except RecursionError:
        raise ValueError(f"{where}: it is nested too deeply") from None
    except ValueError as error:  # no UTF-8, or no JSON
        raise ValueError(f"{where}: {error}") from None
    if not isinstance(record, dict):
        raise ValueError(f"{where}: a record in braces is wanted")
    if b"\\u" in line:  # only an escape can spell half a character, which no file and no tokenizer takes
        for column, value in record.items():
            try:
                json.dumps([column, value], ensure_ascii=False).encode()
            except UnicodeEncodeError:
                raise ValueError(f"{where}, column {column!r}: a lone surrogate is no character") from None
    return record


def _opened(path, mode, **how):
    return (gzip.open if str(path).lower().endswith(".gz") else open)(path, mode, **how)


class Verdicts:
    """Translates the verdicts of one file, piece by piece, and refuses a file that mixes two pairs of words."""

    def __init__(self, path):
        self.path, self.possible = path, VOCABULARIES

    def translate(self, values, numbers, column="feedback"):
        """`values` as thumbs_up and thumbs_down; `numbers` are the rows' numbers, for the message."""
        words = values.map(_word)
        for word in words.unique():
            left = tuple(pair for pair in self.possible if word in pair)
            if not left:
                row = numbers[int((words == word).to_numpy().argmax())]
                known = any(word in pair for pair in VOCABULARIES)
                other = " or ".join(f"{a!r} and {b!r}" for a, b in self.possible)
                what = (
                    f"{word!r} among verdicts that are {other} before it"
                    if known
                    else f"{word!r} is no known verdict"
                )
                raise ValueError(f"{self.path}, row {row}, column {column!r}: {what}")
            self.possible = left
        ups = {pair[0] for pair in self.possible}
        return words.map(lambda word: UP if word in ups else DOWN)


# --- one kind of file each ------------------------------------------------------------------------


def _pieces(path, rows):
    name = str(path).lower()
    if not Path(path).is_file():
        raise ValueError(f"{path}: there is no such file")
    if name.endswith((".csv", ".csv.gz")):
        return _csv(path, rows)
    if name.endswith(".parquet"):
        return _parquet(path, rows)
    if name.endswith((".jsonl", ".jsonl.gz")):
        return _json_lines(path, rows)
    raise ValueError(f"{path}: the name must end in .csv, .parquet or .jsonl")


def _csv(path, rows):
    """Every field as the text that it is: "NA", "null" and "nan" are words that people write."""
    try:
        head = pd.read_csv(path, dtype=str, header=None, nrows=1, keep_default_na=False)
        _each_once(path, head.iloc[0].tolist())
        with pd.read_csv(path, dtype=str, keep_default_na=False, chunksize=rows) as pieces:
            for piece in pieces:
                if not isinstance(piece.index, pd.RangeIndex):
                    raise ValueError(f"{path}{_overlong(path)}: there are more fields than in the header")
                yield piece.reset_index(drop=True)
    except UnicodeDecodeError:
        raise ValueError(f"{path}, {_undecodable(path)}") from None
    except (ValueError, *UNREADABLE) as error:  # pandas' errors are ValueErrors
        words = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise ValueError(words if words.startswith(str(path)) else f"{path}: {words}") from None


def _overlong(path):
    """The words ", row N" for the first row of a CSV file with more fields than the header; "" where another reader sees none."""
    try:
        with _opened(path, "rt", encoding="utf-8", newline="") as file:
            rows = (fields for fields in csv.reader(file) if fields)
            most = len(next(rows))
            return next((f", row {n}" for n, fields in enumerate(rows, 1) if len(fields) > most), "")
    except (csv.Error, ValueError):
        return ""


def _undecodable(path):
    """The first line of a file that is no UTF-8, and why: pandas knows the place in a block only."""
    with _opened(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return f"line {number}: {error}"


def _parquet(path, rows):
    try:
        file = pq.ParquetFile(path)
        _each_once(path, file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=rows):
            yield batch.to_pandas()
    except (ValueError, OSError) as error:  # pyarrow's errors are ValueErrors
        raise ValueError(str(error) if str(error).startswith(str(path)) else f"{path}: {error}") from None


def _json_lines(path, rows):
    lines = read_lines(path)
    while records := list(islice(lines, rows)):
        # object columns: no text becomes a number or a date by itself
        columns = dict.fromkeys(name for _, record in records for name in record)
        yield pd.DataFrame(
            {c: pd.Series([record.get(c) for _, record in records], dtype=object) for c in columns}
        )


def _each_once(path, names):
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{path}, header: the column {name!r} is there {names.count(name)} times")


# --- the checks --------------------------------------------------------------------------------


def _checked(piece, path, start, verdicts, keep_empty):
    """A piece as a log, or the ValueError that says what is wrong with it, and where."""
    for column in REQUIRED:
        if column not in piece.columns:
            seen = ", ".join(map(str, piece.columns))
            raise ValueError(f"{path}, header: the column {column!r} is missing; there are {seen}")
    numbers = np.arange(start + 1, start + len(piece) + 1)
    log = piece.copy()
    log.index = pd.RangeIndex(start, start + len(piece))
    for column in TEXTS:
        log[column] = _texts(piece[column], path, numbers, column, keep_empty and column == "response")
    given = piece["feedback"].astype(object)
    _refuse(given.isna() | (given.map(_word) == ""), path, numbers, "feedback", "is empty")
    log["feedback"] = pd.Series(verdicts.translate(given, numbers).to_numpy(), log.index, dtype="str")
    log["timestamp"] = _times(piece["timestamp"], path, numbers)
    if WARNING in piece.columns:
        flags = piece[WARNING].map(lambda value: BOOLS.get(_word(value)))
        _refuse(flags.isna(), path, numbers, WARNING, "is neither true nor false", piece[WARNING])
        log[WARNING] = flags.to_numpy(dtype=bool)
    return log


def _texts(values, path, numbers, column, may_be_empty):
    values = values.astype(object)
    if column.endswith("_id"):
        whole = values.map(lambda v: isinstance(v, (int, np.integer)) and not isinstance(v, bool)).astype(
            bool
        )
        values = values.where(~whole, values.map(str))
    missing = values.isna()
    is_text = values.map(lambda value: isinstance(value, str)).astype(bool)
    _refuse(~is_text & ~missing, path, numbers, column, "is no text", values)
    if not may_be_empty:
        blank = missing | (values.where(is_text, "").map(str.strip) == "")
        hint = "; keep_empty=True lets it through" if column == "response" else ""
        _refuse(blank, path, numbers, column, f"is empty{hint}")
    return pd.Series(values.to_numpy(), numbers - 1, dtype="str")


def _times(values, path, numbers):
    if pd.api.types.is_datetime64_any_dtype(values):
        times = pd.to_datetime(values, utc=True)
    else:
        texts = values.map(_time_text)
        times = pd.to_datetime(texts, errors="coerce", utc=True, format="ISO8601")
    _refuse(times.isna(), path, numbers, "timestamp", "is no date and time (ISO 8601)", values)
    return pd.Series(times.dt.tz_localize(None).to_numpy(), numbers - 1)


def _time_text(value):
    """A text as it is, a date of a Parquet file as one; None for what is neither, such as a number of unknown unit."""
    return value.isoformat() if isinstance(value, date) else value if isinstance(value, str) else None


def _refuse(wrong, path, numbers, column, words, values=None):
    wrong = wrong.to_numpy(dtype=bool)
    if wrong.any():
        at = int(wrong.argmax())
        shown = "" if values is None else f"{str(values.iloc[at])[:60]!r} "
        more = f" (and {wrong.sum() - 1} more)" if wrong.sum() > 1 else ""
        raise ValueError(f"{path}, row {numbers[at]}, column {column!r}: {shown}{words}{more}")


def _word(value):
    """A verdict or flag as a word: True, 1 and 1.0 are "true", "1" and "1", as are the texts."""
    return str(value).strip().lower().removesuffix(".0")
