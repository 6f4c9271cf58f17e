"""Find the submissions of a class and read each one's notebook, trusting nothing in their folders.

A student decides what lies there: a link to somebody else's work or to the gradebook, a pipe that never ends,
a notebook nested so deep that a parser gives up. So every level is opened without following links, only a
regular file of bounded size is read, and of a notebook only what grading needs is kept.
"""

import contextlib
import json
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from course_utils.grading.outputs import clean_pictures

MAX_BYTES = 8 * 2**20  # of a notebook file
MAX_CELLS = 2000
# what nbgrader's exchange lays beside a notebook: when it was handed in, and what feedback is addressed with
EXCHANGE_FILES = ("timestamp.txt", "submission_secret.txt")
_KINDS = ("code", "markdown", "raw")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe must not keep us waiting


class Unreadable(Exception):
    """A submission that cannot be read; the message tells a teacher what to ask for."""


@dataclass(frozen=True)
class Cell:
    """What is kept of a student's cell: kind, source, and the two names it may be known by ("" for none)."""

    kind: str
    source: str
    id: str = ""
    grade_id: str = ""
    attachments: dict = field(default_factory=dict)


def text_of(name):
    """A file name as text that any database and any JSON takes: undecodable bytes become \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def students_of(folder, assignment, others=()):
    """The names of the folders in `folder` in which somebody may have handed in `assignment`, sorted.

    Somebody who has only folders named for `others`, the further assignments, has not; a folder or a notebook
    under another name is listed, since it may be a misnamed submission.

    Raises:
        ValueError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"submitted: there is no folder {folder}")
    return sorted(name for name in os.listdir(folder) if _handed_in(Path(folder, name), assignment, others))


def _handed_in(path, assignment, others):
    if path.name.startswith("."):
        return False
    if path.is_symlink():
        return True
    if not path.is_dir():
        return False
    try:
        inside = os.listdir(path)
    except OSError:
        return True
    return assignment in inside or any(
        name not in others
        and not name.startswith(".")
        and (Path(path, name).is_dir() or name.endswith(".ipynb"))
        for name in inside
    )


def read_submission(folder, student, assignment):
    """(bytes of the notebook, {name: text} of the exchange's small files beside it) of one submission.

    Raises:
        Unreadable: with the reason.
    """
    inside = assignment + ".ipynb"
    with _Opened(folder, follow=True) as top, _Opened(student, top) as home:
        try:
            place = _Opened(assignment, home)
        except Unreadable as error:
            raise Unreadable(f"{error}; there is {_listed(home)}") from None
        with place as work:
            try:
                data = _read_file(inside, work, MAX_BYTES)
            except FileNotFoundError:
                raise Unreadable(
                    f"no {inside} in the folder; there is {_listed(work)}. Rename the notebook"
                ) from None
            beside = {}
            for name in EXCHANGE_FILES:
                with contextlib.suppress(FileNotFoundError, Unreadable):
                    beside[name] = _read_file(name, work, 1000).decode("ascii", "replace").strip()
    return data, beside


class _Opened:
    """A folder's descriptor, opened without following a link, as a context."""

    def __init__(self, name, above=None, follow=False):
        flags = _DIRECTORY & ~os.O_NOFOLLOW if follow else _DIRECTORY
        try:
            self.descriptor = os.open(name, flags, dir_fd=above)
        except FileNotFoundError:
            raise Unreadable(f"there is no folder {text_of(name)}") from None
        except OSError:
            raise Unreadable(f"{text_of(name)} is not a folder of its own (a link or a file?)") from None

    def __enter__(self):
        return self.descriptor

    def __exit__(self, *_):
        os.close(self.descriptor)


def _listed(descriptor, most=5):
    names = sorted(text_of(name) for name in os.listdir(descriptor))
    shown = ", ".join(repr(name[:80]) for name in names[:most])
    return (shown + (f" and {len(names) - most} more" if len(names) > most else "")) or "nothing"


def _read_file(name, above, limit):
    try:
        descriptor = os.open(name, _FILE, dir_fd=above)
    except FileNotFoundError:
        raise
    except OSError:
        raise Unreadable(f"{name} is a link, or cannot be opened: hand in the file itself") from None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise Unreadable(f"{name} is not a regular file (a folder, a pipe?)")
        data = b""
        # it may grow while it is read
        while about.st_size <= limit >= len(data) and (more := os.read(descriptor, limit + 1 - len(data))):
            data += more
    finally:
        os.close(descriptor)
    if (size := max(about.st_size, len(data))) > limit:
        raise Unreadable(
            f"{name} has {size / 2**20:.0f} MB, and at most {limit / 2**20:.0f} MB are read: clear its outputs and save"
        )
    return data


def parse(data):
    """(cells, remarks) of a notebook file; remarks are sentences on what is odd but hinders nothing.

    Raises:
        Unreadable: with the reason.
    """
    try:
        # a lone surrogate cannot be written to any file later
        text = data.decode("utf-8-sig")
        notebook = json.loads(text)
    except UnicodeDecodeError as error:
        raise Unreadable(f"not a notebook: byte {error.start} is no UTF-8") from None
    except RecursionError:
        raise Unreadable("not a notebook: its JSON is nested too deep") from None
    except ValueError as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "a number is too long"
        raise Unreadable(f"not a notebook: invalid JSON{where}: {reason}") from None
    if not isinstance(notebook, dict) or not isinstance(
        notebook.get("cells", notebook.get("worksheets")), list
    ):
        raise Unreadable("not a notebook: its JSON has no list of cells")
    if notebook.get("nbformat") != 4 or "cells" not in notebook:
        raise Unreadable(
            f"nbformat {str(notebook.get('nbformat'))[:20]}, and only 4 is read: open it in JupyterLab and save it again"
        )
    if len(notebook["cells"]) > MAX_CELLS:
        raise Unreadable(f"{len(notebook['cells'])} cells, and at most {MAX_CELLS} are read")
    cells = [_cell(cell, number) for number, cell in enumerate(notebook["cells"], start=1)]
    return cells, _kernel_remark(notebook.get("metadata"))


def _cell(cell, number):
    if not isinstance(cell, dict) or cell.get("cell_type") not in _KINDS:
        raise Unreadable(f"cell {number} is none of {', '.join(_KINDS)}")
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise Unreadable(f"the source of cell {number} is no text")
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return Cell(
        kind=cell["cell_type"],
        source=clean(source),
        id=_name(cell.get("id")),
        grade_id=_name(marks.get("grade_id")) if isinstance(marks, dict) else "",
        attachments=_pictures(cell.get("attachments")) if cell["cell_type"] == "markdown" else {},
    )


def clean(text):
    """Text without lone surrogates and NULs, which no file and no database takes."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _name(value):
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value) else ""


def _pictures(attachments):
    """Pictures pasted into a Markdown cell; drawings that may hold a script, and what is too large, are left out."""
    return {clean(name): {kind: text} for name, (kind, text) in clean_pictures(attachments).items()}


def _kernel_remark(metadata):
    metadata = metadata if isinstance(metadata, dict) else {}
    spec, info = (metadata.get(key) for key in ("kernelspec", "language_info"))
    spec, info = (part if isinstance(part, dict) else {} for part in (spec, info))
    language = str(spec.get("language") or info.get("name") or "python").lower()
    kernel = str(spec.get("name") or "python3")
    if language == "python" and (spec.get("language") or info.get("name") or kernel.startswith("python")):
        return []
    return [f"saved for another kernel ({clean(kernel[:40])}); it was run with Python 3"]
