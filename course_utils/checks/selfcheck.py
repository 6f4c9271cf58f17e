"""What a free-response answer has not mentioned yet: a list of gaps, and no grade."""

import os
import re
import time
from pathlib import Path

from course_utils.checks.display import show
from course_utils.checks.rubrics import RUBRICS, plain

NOTEBOOK = "06-final-quiz.ipynb"
_STUB = "YOUR ANSWER HERE"
_ANCHORS = "### BEGIN SOLUTION"


def self_check(question, text=None, notebook=None):
    """List, line by line of the rubric, what an answer has not mentioned.

    Looks for words; it understands nothing, and it does not grade. A point that is named in a false sentence
    counts as mentioned, and a point made in unusual words does not.

    Args:
        question: 1 to 5.
        text: the answer; by default it is read from the notebook as it was last saved.
        notebook: the notebook's file; by default the one that runs, else 06-final-quiz.ipynb in this folder.

    Raises:
        ValueError: if there is no such question.
    """
    if question not in RUBRICS:
        raise ValueError(f"there are questions 1 to {len(RUBRICS)}, and none {question!r}")
    note = ""
    if text is None:
        text, note = saved_answer(question, notebook)
    title = f"Question {question}, {RUBRICS[question].title}"
    if text is None:
        return show(title, [], [note])
    rows = []
    for point, missing in gaps(question, text):
        if not missing:
            rows.append(("ok", point.text, "all mentioned"))
        else:
            rows.append(("--", point.text, f"not mentioned: {'; '.join(missing)}"))
    last = [note] if note else []
    doubtful = doubts(question, text)
    if doubtful:
        last.append(f"Read again whether you mean it as it is usually said: {'; '.join(doubtful)}.")
    last.append(
        f"{len(text.split())} words. This is no grade: it looks for words, so a point named in a wrong sentence counts "
        "as mentioned, and one in unusual words does not."
    )
    return show(title, rows, last)


def gaps(question, text):
    """[(point of the rubric, [what of it the text does not mention])], in the order of the rubric."""
    answer = plain(text)
    return [
        (point, [what for what, pattern in point.mentions.items() if not re.search(pattern, answer)])
        for point in RUBRICS[question].points
    ]


def doubts(question, text):
    """Phrases of the text that are often said and wrong, in words."""
    answer = plain(text)
    return [what for what, pattern in RUBRICS[question].doubtful.items() if re.search(pattern, answer)]


def saved_answer(question, notebook=None):
    """(answer, when it was saved), or (None, why there is none), from a notebook file.

    Args:
        question: 1 to 5; the cell is known by its nbgrader id, `question-N`.
        notebook: the file; by default the one that runs, else 06-final-quiz.ipynb in this folder.
    """
    file = _running() if notebook is None else Path(notebook)
    if not file.is_file():
        return None, (
            f"There is no file {file} in the folder {Path.cwd().name}. Save the notebook (Ctrl+S), or name its file: "
            f'self_check({question}, notebook="my-copy.ipynb").'
        )
    import nbformat  # takes a moment, and is needed here only

    try:
        cells = nbformat.read(file, as_version=4).cells
    except Exception:  # whatever is wrong with a file, the lesson goes on
        return (
            None,
            f"{file.name} is not a readable notebook. Save it again (Ctrl+S), and run this cell again.",
        )
    name = f"question-{question}"
    found = [c.source for c in cells if c.metadata.get("nbgrader", {}).get("grade_id") == name]
    if not found:
        return (
            None,
            f"{file.name} has no cell `{name}`. Was it deleted? Give the answer's text: self_check({question}, text).",
        )
    saved = time.strftime("%H:%M:%S", time.localtime(file.stat().st_mtime))
    if _ANCHORS in found[0]:
        return None, "This is the solved notebook: the cell holds anchor answers for the grader."
    if not found[0].replace(_STUB, "").strip():
        return None, (
            f"The answer is empty in {file.name} as it was saved at {saved}. Write it in the cell above, save "
            "(Ctrl+S), and run this cell again."
        )
    return found[
        0
    ], f"Read from {file.name} as it was saved at {saved}; what you wrote since then is not in it."


def _running():
    """The notebook that this kernel runs, where JupyterLab says so, else the course's name for it."""
    named = Path(os.environ.get("JPY_SESSION_NAME", ""))
    here = Path(named.name)
    return here if named.suffix == ".ipynb" and here.is_file() else Path(NOTEBOOK)
