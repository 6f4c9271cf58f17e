"""The student-side package: the little of the course that student code may import while it is graded.

Made from a list of what is allowed. What holds an answer, a check, a misconception or a seed is absent: whatever lies
in the sandbox can be read there.
"""

import shutil
from pathlib import Path

import course_utils

# modules and packages of the course that hold no answer
OPEN = ("__init__.py", "arguments.py", "plots.py", "scale.py", "words.py", "testbed", "measured")
# both sides of the wire
SHARED = (
    "__init__.py",
    "wire.py",
    "values.py",
    "encoder.py",
    "decoder.py",
    "tables.py",
    "expressions.py",
    "inside",
)
_COURSE = Path(course_utils.__file__).parent

_FACE = '''"""The checks are not here while a notebook is graded; the grader looks at your functions itself."""


def check(id, function):
    return 0.0


def grade(id, function):
    return 0.0


def use(id, function):
    return function


def hint(id):
    pass


def recall(id, answer="?"):
    pass


def progress():
    pass


def points_page():
    pass


def write_points_page(*arguments, **named):
    pass


def self_check(number):
    pass
'''

_POINTS = '''"""Points are not here while a notebook is graded."""


def standing():
    return []


def totals(*arguments):
    return {}
'''

_ABSENT = '''
import importlib.abc
import importlib.machinery
import sys


class _OpenPartOnly(importlib.abc.MetaPathFinder):
    """Says of a module of the course that is not here why it is not."""

    def find_spec(self, name, path=None, target=None):
        if not name.startswith("course_utils."):
            return None
        if found := importlib.machinery.PathFinder.find_spec(name, path):
            return found
        raise ImportError(f"{name} is not there at grading: write the steps yourself", name=name)


sys.meta_path.insert(0, _OpenPartOnly())
'''


def build(folder):
    """Make the package `course_utils` in an empty folder; returns the folder."""
    folder = Path(folder)
    course = folder / "course_utils"
    course.mkdir(parents=True)
    for name in OPEN:
        _copy(_COURSE / name, course / name)
    (course / "__init__.py").write_text((course / "__init__.py").read_text() + _ABSENT)
    (course / "checks").mkdir()
    (course / "checks" / "__init__.py").write_text(_FACE)
    (course / "checks" / "points.py").write_text(_POINTS)
    (course / "grading").mkdir()
    for name in SHARED:
        if (_COURSE / "grading" / name).exists():
            _copy(_COURSE / "grading" / name, course / "grading" / name)
    return folder


def _copy(source, target):
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
