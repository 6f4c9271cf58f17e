"""The tests of the tests: what a check lets through is told, whether the answers are its own or lie in a folder."""

from dataclasses import replace

import pytest
from sandbox import require_sandbox

from course_utils.__main__ import main
from course_utils.checks import catalogue
from course_utils.grading.assignment import load_assignment
from course_utils.grading.mutants import Outcome, answers_in, outcomes_of, own_outcomes, table

NAME = "00-start-here"
EXERCISE = catalogue.exercise("log-softmax")
FILES = {
    "right/library": "def log_softmax(logits):\n    return torch.log_softmax(logits, dim=-1)",
    "right/helper": "def shifted(x):\n    return x - x.amax(-1, keepdim=True)\n"
    "def log_softmax(logits):\n    return shifted(logits) - shifted(logits).exp().sum(-1, keepdim=True).log()",
    "right/typo": "def log_softmax(logits)\n    return logits",
    "right/another-name": "def logsoftmax(logits):\n    return logits",
    "right/in-fact-wrong": "def log_softmax(logits):\n    return logits.exp().log()",
    "wrong/in-fact-right": "def log_softmax(logits):\n    return logits - torch.logsumexp(logits, -1, keepdim=True)",
    "wrong/overflow-in-the-sum": "def log_softmax(logits):\n    return logits - logits.exp().sum(-1, keepdim=True).log()",
    "wrong/endless": "def log_softmax(logits):\n    raise SystemExit",
}


@pytest.fixture
def folder(tmp_path):
    for name, source in FILES.items():
        file = tmp_path / "log-softmax" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    return tmp_path


def test_the_command_prints_the_table_of_a_sound_check(capsys):
    assert main(["mutants", NAME, "--exercise", "log-softmax"]) == 0
    out, progress = capsys.readouterr()
    lines, wrong = out.splitlines(), len(EXERCISE.misconceptions)
    every = 1 + len(EXERCISE.alternatives) + wrong
    assert f"{every}/{every}" in progress and "left:" in progress
    assert lines[2].split() == ["log-softmax", "1/1", f"{len(EXERCISE.alternatives)}/{len(EXERCISE.alternatives)}", *[f"{wrong}/{wrong}"] * 2]  # fmt: skip
    assert lines[3].split()[0] == "all"
    assert len(lines) == 4


def test_a_check_that_lets_wrong_answers_through_is_found_out():
    blunt = replace(
        EXERCISE, parts=(replace(EXERCISE.parts[0], cases=lambda draw: EXERCISE.parts[0].cases(draw)[:1]),)
    )
    outcomes = list(own_outcomes(blunt, [0]))
    survivors = [one for one in outcomes if one.column == "wrong" and not one.holds]
    assert survivors
    assert f"log-softmax/{survivors[0].name}: survives with" in "\n".join(table(outcomes))


def test_a_check_that_rejects_a_right_answer_is_found_out():
    strict = replace(EXERCISE, alternatives={"another": lambda logits: logits.log_softmax(-1).double()})
    found = next(one for one in own_outcomes(strict, [0]) if one.column == "right")
    assert not found.holds
    assert found.words.startswith("rejected: ")


def test_the_table():
    outcomes = [
        Outcome("a", "reference", "reference", True), Outcome("a", "wrong", "x", True), Outcome("a", "wrong", "y", False, "survives"),
        Outcome("bcd", "right", "z", False, "rejected: words"),
    ]  # fmt: skip
    lines = table(outcomes)
    assert lines[2].split() == ["a", "1/1", "-", "1/2", "-"]
    assert lines[3].split() == ["bcd", "-", "0/1", "-", "-"]
    assert lines[4].split() == ["all", "1/1", "0/1", "1/2", "-"]
    assert lines[5:] == ["a/y: survives", "bcd/z: rejected: words"]


def test_answers_from_a_folder(folder):
    require_sandbox()
    answers = answers_in(folder, catalogue.assignment(NAME))
    assert len(answers) == len(FILES)
    outcomes = {(o.column, o.name): o for o in outcomes_of(answers, load_assignment(NAME), [0, 5])}
    held = {key for key, one in outcomes.items() if one.holds}
    assert held == {
        ("right", "library"),
        ("right", "helper"),
        ("wrong", "overflow-in-the-sum"),
        ("named", "overflow-in-the-sum"),
        ("wrong", "endless"),
    }
    assert "SyntaxError" in outcomes["right", "typo"].words
    assert "'log_softmax' is not defined" in outcomes["right", "another-name"].words
    assert outcomes["right", "in-fact-wrong"].words.startswith("rejected: ")
    assert outcomes["wrong", "in-fact-right"].words == "survives with 4 points"


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("no-exercise/right/a.py", "no exercise 'no-exercise'"),
        ("log-softmax/left/a.py", "not in left/"),
        ("a.py", "no answer is there"),
    ],
)
def test_a_folder_of_another_form_is_refused(tmp_path, file, words, capsys):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("")
    assert main(["mutants", NAME, "--answers", str(tmp_path)]) == 1
    assert words in capsys.readouterr().err


def test_an_unknown_exercise_is_refused(capsys):
    assert main(["mutants", NAME, "--exercise", "dpo-loss"]) == 1
    assert "has no exercise 'dpo-loss'" in capsys.readouterr().err
