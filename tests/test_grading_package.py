"""What of the course lies in the sandbox: enough for the notebooks' cells, and nothing that gives an answer away."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from course_utils.checks import catalogue
from course_utils.checks.provenance import ANSWERS
from course_utils.grading import package

EXERCISES = [e for name in catalogue.MODULES for e in catalogue.assignment(name).values()]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """{path in the package: text} of all files of the student-side package."""
    folder = package.build(tmp_path_factory.mktemp("package"))
    return {
        str(f.relative_to(folder)): f.read_text(errors="replace") for f in folder.rglob("*") if f.is_file()
    }


def test_only_what_is_allowed_is_there(files):
    allowed = re.compile(
        r"course_utils/((__init__|arguments|plots|scale|words)\.py|(testbed|measured)/\w+\.(py|json)|checks/(__init__|points)\.py"
        r"|grading/(__init__|wire|values|encoder|decoder|tables|expressions)\.py|grading/inside/\w+\.py)"
    )
    assert [name for name in files if not allowed.fullmatch(name)] == []


def test_no_module_that_holds_an_answer_is_there(files):
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in files}
    for answer in ANSWERS:
        assert not [m for m in modules if f"{m}.".startswith(f"course_utils.{answer}.")]


def test_no_file_defines_what_an_exercise_asks_for(files):
    asked = {exercise.function for exercise in EXERCISES}
    for name, text in files.items():
        if name.endswith(".py"):
            defined = {n.name for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)}
            assert not defined & asked, name


def test_no_reference_misconception_or_right_choice_is_there(files):
    everything = "\n".join(files.values())
    words = [m.sentence for e in EXERCISES for m in e.misconceptions] + [
        h for e in EXERCISES for h in e.hints
    ]
    for name in catalogue.MODULES:
        words += [question.why for question in catalogue.recall_questions(name).values()]
    assert len(words) > 200
    assert [w for w in words if w and w in everything] == []
    functions = [f for e in EXERCISES for f in (e.reference, *(m.function for m in e.misconceptions))]
    bodies = {_body(f) for f in functions} - {""}
    assert len(bodies) > 100
    here = _squeezed(everything)
    assert [b for b in bodies if b in here] == []
    own = _squeezed("\n".join(f.read_text() for f in Path(catalogue.__file__).parent.rglob("*.py")))
    assert len([b for b in bodies if b in own]) > 100  # so such a search finds what is there


def _body(function):
    """The last line of a function, without spaces, where it is long enough to be its own."""
    try:
        last = _squeezed(inspect.getsource(inspect.unwrap(function)).strip().splitlines()[-1])
    except (OSError, TypeError):
        return ""
    return last if len(last) > 40 else ""


def _squeezed(text):
    return re.sub(r"[ \t]", "", text)


def test_no_seed_and_no_word_of_the_graders_is_there(files):
    for name, text in files.items():
        assert "COURSE_GRADING_SEED" not in text, name
        assert not re.search(r"\b(misconception|hidden_seed|reference answer)", text), name


def test_nothing_in_it_reaches_for_the_checks_or_the_answers(files):
    closed = {f"course_utils.{a}" for a in ANSWERS} | {
        "course_utils.checks.judge",
        "course_utils.checks.catalogue",
    }
    for name, text in files.items():
        for node in ast.walk(ast.parse(text)) if name.endswith(".py") else ():
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
            assert not closed & set(names), name
