"""06-final-quiz: the statements and rubrics in the notebook are those of the package; nothing is given away."""

import re
from collections import Counter

import jupytext
import nbformat
import pytest

from course_utils import checks
from course_utils.checks import catalogue
from course_utils.checks.display import as_text, lines
from course_utils.checks.exercises.final_quiz import CLAIMS
from course_utils.checks.exercises.quiz_claims import VERDICTS
from course_utils.checks.judge import judge
from course_utils.checks.points import BY_HAND, BY_HAND_POINTS, points_page, standing, write_points_page
from course_utils.checks.rubrics import RUBRICS
from course_utils.commands.paths import NOTEBOOKS, SOLUTIONS, assignments

NAME = "06-final-quiz"
CELLS = jupytext.read(SOLUTIONS / NAME / f"{NAME}.py", fmt="py:percent").cells
PROSE = "\n\n".join(cell.source for cell in CELLS if cell.cell_type == "markdown")
RELEASED = nbformat.read(NOTEBOOKS / NAME / f"{NAME}.ipynb", as_version=4)


@pytest.fixture(autouse=True)
def own_record(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))


def answering(*answer):
    return lambda: answer


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.id)
def test_a_statement_stands_in_the_notebook_as_in_the_check(claim):
    assert f"> {claim.statement}" in PROSE
    assert not claim.asked or f"*Figure*: {claim.asked}." in PROSE


def test_claims_are_numbered_and_no_verdict_is_a_good_guess():
    assert [claim.number for claim in CLAIMS] == list(range(1, len(CLAIMS) + 1))
    count = Counter(claim.verdict for claim in CLAIMS)
    assert set(count) == set(VERDICTS)
    assert min(count.values()) >= 8
    assert max(count.values()) <= 0.4 * len(CLAIMS)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.id)
def test_neither_the_visible_check_nor_a_hint_tells_the_verdict(claim):
    exercise = catalogue.exercise(claim.id)
    said = set()
    for verdict in VERDICTS:
        report = judge(exercise, answering(verdict, 1.0), graded=False)
        assert report.answered and report.points == 0
        said.add(as_text("", *lines(report, exercise)))
    assert len(said) == 1
    for text in (*said, *exercise.hints):
        assert not re.search(r'\b(true|imprecise|unsupported)\b|"false"|is false', text), text


def test_verdict_and_figure_earn_points_of_their_own():
    exercise = catalogue.exercise("claim-20")
    for answer, points in (
        (("false", 1.5), 2), (("false", 0.75), 1), (("true", 1.5), 1), (("true", 1.0), 0), ("false", 1),
        (("false", None), 1), (("no idea", 1.5), 1), (None, 0), ((False, 1.5), 1), (("false", "1.5"), 1),
        (("false", float("nan")), 1), (("false", 1.5, 2), 0),
    ):  # fmt: skip
        assert judge(exercise, lambda answer=answer: answer).points == points, answer


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_the_verdict_alone_earns_what_a_verdict_earns(claim):
    """Where no figure is asked for that is all: the None beside it says nothing."""
    exercise = catalogue.exercise(claim.id)
    bare, pair = (judge(exercise, lambda a=a: a) for a in (claim.verdict, (claim.verdict, None)))
    assert bare.points == pair.points == 1
    assert bare.passed == (claim.figure is None)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "is there a `return`?"),
        (("maybe", 1.5), "'maybe' is not a verdict"),
        ((True, 1.5), "the verdict is a bool; write a word in quotes"),
        (("false", None), "a figure is asked for, and there is none"),
        (("false", "150 %"), "return a plain number, without its unit"),
        (("false", 1j), "the figure is a complex"),
        (("false", [1.0, 2.0]), "the figure is a list"),
        (("false", float("inf")), "return a finite number"),
    ],
)
def test_the_visible_check_says_what_is_wrong_with_the_form(answer, words):
    exercise = catalogue.exercise("claim-20")
    report = judge(exercise, lambda: answer, graded=False)
    assert not report.answered
    assert words in as_text("", *lines(report, exercise))


def test_a_share_in_percent_is_told_before_it_is_graded():
    exercise = catalogue.exercise("claim-01")
    report = judge(exercise, lambda: ("true", 73.2), graded=False)
    assert "a number between 0 and 1 is asked for; 73.2 is none" in as_text("", *lines(report, exercise))
    assert judge(exercise, lambda: ("true", 0.5), graded=False).answered


def test_an_answer_is_noted_once_its_form_holds(capsys):
    assert checks.check("claim-03", lambda: "nonsense") == 0.0
    assert "claim-03: 0 of 1 points" in capsys.readouterr().out
    assert checks.check("claim-03", answering("true", None)) == 0.0
    assert "claim-03: answered" in capsys.readouterr().out
    checks.progress()
    assert f"(1 of {len(CLAIMS)} answered)" in capsys.readouterr().out


def test_the_release_tells_no_verdict_and_no_anchor():
    for cell in RELEASED.cells:
        id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if re.fullmatch(r"claim-\d+", id):
            assert cell.source.endswith("    # YOUR CODE HERE\n    raise NotImplementedError()")
            assert "return" not in cell.source
        if re.fullmatch(r"question-\d", id):
            assert cell.source.strip() == "YOUR ANSWER HERE"


def test_the_rubrics_in_the_notebook_are_those_of_the_self_check():
    for number, rubric in RUBRICS.items():
        (cell,) = [
            c for c in CELLS if c.metadata.get("nbgrader", {}).get("grade_id") == f"question-{number}-text"
        ]
        assert cell.source.startswith(f"### Question {number}: {rubric.title}\n")
        stand = re.findall(r"^\| ([\d.]+) \| (.*) \|$", cell.source, re.M)
        assert stand == [(f"{point.worth:g}", point.text) for point in rubric.points]
        assert sum(point.worth for point in rubric.points) == BY_HAND_POINTS


@pytest.mark.parametrize("name", assignments())
def test_what_is_graded_by_hand_is_on_the_page_of_points(name):
    cells = nbformat.read(SOLUTIONS / name / f"{name}.ipynb", as_version=4).cells
    marked = [c.metadata.nbgrader for c in cells if c.cell_type == "markdown" and "nbgrader" in c.metadata]
    by_hand = {m.grade_id: m.points for m in marked if m.grade}
    assert by_hand == dict.fromkeys(BY_HAND.get(name[:2], ()), BY_HAND_POINTS)


def test_the_page_of_points_has_every_exercise_and_escapes_the_name(tmp_path, capsys):
    checks.check("log-softmax", lambda x: x.log_softmax(-1))
    checks.check("claim-01", answering("false", 0.5))
    page = write_points_page(tmp_path / "points.html", name="A <b> & C").read_text()
    assert "A &lt;b&gt; &amp; C" in page and "<b>" not in page
    for line in standing():
        assert f"<span>{line.id}</span>" in page
    capsys.readouterr()
    points_page()
    text = capsys.readouterr().out
    assert re.search(r"log-softmax +4 of 4 +done", text)
    assert re.search(r"claim-01 +- of 2 +answered", text)
    assert re.search(r"question-1 +- of 10 +by hand", text)
    assert re.search(r"^00-start-here +4 +10 +0 +0$", text, re.M)
