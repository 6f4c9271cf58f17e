"""The columns of a feedback log, and the checks of arguments that the package shares."""

import pandas as pd

from course_utils.words import type_of

UP, DOWN = "thumbs_up", "thumbs_down"
TEXTS = ("conversation_id", "prompt", "response", "user_id")
REQUIRED = (*TEXTS, "feedback", "timestamp")
WARNING = "content_warning"


def check_feedback(feedback, needs, name="feedback"):
    """A frame with the columns that a function needs, at least one row, and only the two verdicts.

    Args:
        feedback: the argument to look at.
        needs: names of the columns.
        name: the argument's name, for the message.

    Raises:
        ValueError: naming the argument, and the column or row (by position, the first is 0) at fault.
    """
    if not isinstance(feedback, pd.DataFrame):
        raise ValueError(f"{name} must be a DataFrame, not {type_of(feedback)}")
    for column in needs:
        if column not in feedback.columns:
            raise ValueError(
                f"{name} has no column {column!r}; it has {', '.join(map(str, feedback.columns))}"
            )
    if feedback.empty:
        raise ValueError(f"{name} is empty")
    for column in needs:
        if column in ("user_id", "prompt"):
            _first(feedback[column].isna(), f"{name} lacks the {column}")
    if "feedback" in needs:
        known = feedback["feedback"].isin([UP, DOWN])
        _first(~known, f"{name} has a verdict other than {UP!r} and {DOWN!r}", feedback["feedback"])


def check_texts(feedback, columns, name="feedback"):
    """Each of these columns holds a text in every row; else a ValueError with the row's position."""
    for column in columns:
        is_text = feedback[column].map(lambda value: isinstance(value, str)).astype(bool)
        _first(~is_text, f"{name} has no text in the column {column!r}", feedback[column])


def check_warnings(feedback, name="feedback"):
    """Content warnings, if there is that column, are True or False; else a ValueError: the text "False" counts as true."""
    if WARNING in feedback.columns:
        known = feedback[WARNING].isin([True, False])
        _first(~known, f"{name} has a {WARNING} that is neither True nor False", feedback[WARNING])


def check_fractions(fractions):
    """Three shares, none negative, that sum to 1, as a tuple of floats; else a ValueError."""
    shares = tuple(float(f) for f in fractions)
    if len(shares) != 3 or not min(shares) >= 0 or not abs(sum(shares) - 1) <= 1e-6:  # "not", for nan
        raise ValueError(f"fractions must be three numbers from 0 that sum to 1, not {tuple(fractions)}")
    return shares


def _first(wrong, words, values=None):
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        shown = "" if values is None else f": {values.iloc[row]!r}"
        raise ValueError(f"{words} in row {row}{shown}")
