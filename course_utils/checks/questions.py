"""Recall questions: three at the start of a notebook, on earlier ones; never graded."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RecallQuestion:
    """A multiple-choice question.

    Attributes:
        id: assignment number and letter, e.g. "01-a".
        text: the question.
        choices: {letter: text}.
        right: the letter of the right choice.
        why: one or two sentences, shown with any answer.
    """

    id: str
    text: str
    choices: dict[str, str]
    right: str
    why: str
