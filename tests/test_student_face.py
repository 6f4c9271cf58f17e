"""What a student sees: tables, messages with the line at fault, hints, recall questions, progress."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from course_utils import checks
from course_utils.checks import catalogue
from course_utils.checks.definition import Case
from course_utils.checks.display import as_html, as_text, lines
from course_utils.checks.judge import judge
from course_utils.checks.observe import observe_call
from course_utils.checks.scripts.service import two_requests
from course_utils.words import type_of

LOG_SOFTMAX = catalogue.exercise("log-softmax")


@pytest.fixture(autouse=True)
def own_record(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    return tmp_path / "progress.json"


def message(function):
    """All that the visible check says on a wrong log-softmax."""
    report = judge(LOG_SOFTMAX, function)
    assert not report.passed
    return as_text("title", *lines(report, LOG_SOFTMAX))


def forgets_return(logits):
    torch.log_softmax(logits, -1)


def misspells(logits):
    return torch.logsoftmax(logits, -1)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (forgets_return, "None (is there a `return`?)"),
        (misspells, "line"),
        (misspells, "return torch.logsoftmax(logits, -1)"),
        (lambda x: x.logsumexp(-1), "shape (), wanted (3,)"),
        (lambda x: torch.log_softmax(x, -1).tolist(), "a list where a tensor is wanted"),
        (lambda x: torch.log_softmax(x, -1).detach(), "no gradient arrives"),
        (lambda x: torch.log_softmax(x.float(), -1), "dtype float32, wanted float64"),
        (lambda x: x.sub_(x.logsumexp(-1, keepdim=True)), "`logits` was changed by your function"),
        (lambda x: torch.log(x.exp() / x.exp().sum(-1, keepdim=True)), "nan in"),
        (lambda x: torch.softmax(x, -1), "Looks like: these are probabilities"),
        (lambda x: 1 / 0, "ZeroDivisionError"),
        (torch, "is a module, not a function"),
    ],
)
def test_a_failure_says_what_was_seen(function, words):
    assert words in message(function)


def test_hidden_tests_do_not_show_the_wanted_numbers():
    report = judge(LOG_SOFTMAX, lambda x: torch.softmax(x, -1), seed=7, reveal=False)
    assert "wanted" not in report.rows[0].message
    assert "which is not the right value" in report.rows[0].message
    assert report.misconception == "softmax"


def test_an_error_in_a_notebook_cell_is_given_with_its_line():
    shell = InteractiveShell()
    shell.run_cell(
        "import torch\n\ndef log_softmax(logits):\n    x = logits\n    return x.no_such_thing()\n",
        silent=True,
    )
    assert "(line 5 of your cell: return x.no_such_thing())" in message(shell.user_ns["log_softmax"])
    InteractiveShell.clear_instance()


def test_an_error_in_pythons_own_library_is_given_with_the_line_of_the_cell():
    def not_callable(logits):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.exp(logits), logits).result()

    assert "of your cell: return pool.submit(torch.exp(logits), logits).result()" in message(not_callable)


def test_an_event_loop_that_waits_for_itself_is_not_waited_for():
    lock = threading.Lock()

    async def chat(prompt, generate):
        with lock:  # the second request stops the loop here, and the first can never come back
            return await asyncio.to_thread(generate, prompt)

    assert two_requests(chat, ["a", "b"], patience=0.02)["blocked"]


def test_prints_and_warnings_cost_nothing_and_stay_out_of_the_way(capsys):
    def chatty(logits):
        import sys
        import warnings

        print("here")
        print("there", file=sys.stderr)
        warnings.warn("look", stacklevel=1)
        return torch.log_softmax(logits, -1)

    assert judge(LOG_SOFTMAX, chatty).passed
    assert capsys.readouterr() == ("", "")


def test_plain_text_says_all_and_html_escapes():
    report = judge(LOG_SOFTMAX, lambda x: [][0])
    rows, last = lines(report, LOG_SOFTMAX)
    text = as_text("log-softmax", rows, last)
    assert "no  values (2): logits [2, 1, 0]: your function raised IndexError" in text
    page = as_html("<b>", [("no", "<script>", "a & b")], ["<img>"])
    assert "<script>" not in page and "<img>" not in page and "&lt;script&gt;" in page


def test_check_gives_the_points_and_unsolved_says_not_yet(capsys):
    def unsolved(logits):
        raise NotImplementedError()

    assert checks.check("log-softmax", unsolved) == 0.0
    assert "Not yet: log_softmax is unsolved" in capsys.readouterr().out
    assert checks.check("log-softmax", lambda x: torch.log_softmax(x, -1)) == 4.0
    assert "Visible checks passed; the graded ones use other inputs." in capsys.readouterr().out


def test_grading_repeats_with_its_seed(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_GRADING_SEED", "4711")
    assert checks.grade("log-softmax", lambda x: torch.log_softmax(x, -1)) == 4.0
    assert "drawn with seed 4711" in capsys.readouterr().out
    monkeypatch.delenv("COURSE_GRADING_SEED")
    checks.grade("log-softmax", lambda x: torch.log_softmax(x, -1))
    first = capsys.readouterr().out
    checks.grade("log-softmax", lambda x: torch.log_softmax(x, -1))
    assert first != capsys.readouterr().out


def test_hints_come_one_at_a_time_and_then_all(capsys):
    for number in (1, 2, 3):
        checks.hint("log-softmax")
        assert capsys.readouterr().out.startswith(f"Hint {number} of 3")
    checks.hint("log-softmax")
    assert capsys.readouterr().out.count("Hint") == 3


def test_no_hint_holds_the_solution():
    for name in catalogue.MODULES:
        for exercise in catalogue.assignment(name).values():
            assert 1 <= len(exercise.hints) <= 3, exercise.id
            assert not any("return " in text for text in exercise.hints), exercise.id


def test_progress_shows_points_and_missed_recall(own_record, capsys):
    checks.check("log-softmax", lambda x: torch.log_softmax(x, -1))
    checks.check("log-softmax", lambda x: x)  # a later failure takes nothing away
    capsys.readouterr()
    question = next(iter(catalogue.recall_questions("01-derivation").values()))
    wrong = next(letter for letter in question.choices if letter != question.right)
    checks.recall(question.id)
    assert "Put a letter" in capsys.readouterr().out
    checks.recall(question.id, wrong)
    assert question.why in capsys.readouterr().out
    checks.progress()
    text = capsys.readouterr().out
    assert "00-start-here: 4 of 10 points: open: kl-divergence" in text
    assert f"Recall questions to look at again: {question.id}" in text
    assert json.loads(own_record.read_text())["exercises"] == {"log-softmax": 4.0}
    checks.recall(question.id, question.right)
    capsys.readouterr()
    checks.progress()
    assert "No recall question missed" in capsys.readouterr().out


def test_a_broken_record_stops_nothing(own_record):
    own_record.write_text("{not json")
    checks.check("log-softmax", lambda x: torch.log_softmax(x, -1))
    assert json.loads(own_record.read_text())["exercises"] == {"log-softmax": 4.0}


def test_an_unknown_id_is_a_clear_error():
    with pytest.raises(ValueError, match="no exercise 'log-sotfmax'"):
        checks.check("log-sotfmax", abs)
    with pytest.raises(ValueError, match="no recall question '99-z'"):
        checks.recall("99-z", "a")


def test_an_experiment_goes_on_with_the_reference_and_says_so(capsys):
    def unsolved(logits):
        raise NotImplementedError()

    used = checks.use("log-softmax", unsolved)
    assert used(torch.zeros(2)).tolist() == pytest.approx([-0.6931, -0.6931], abs=1e-4)
    assert "log_softmax is not solved yet" in capsys.readouterr().out
    mine = lambda x: torch.log_softmax(x, -1)  # noqa: E731
    assert checks.use("log-softmax", mine) is mine
    assert capsys.readouterr().out == ""


def test_in_a_notebook_both_forms_are_sent():
    shell = InteractiveShell.instance()
    with capture_output() as captured:
        shell.run_cell(
            "import torch\nfrom course_utils.checks import check\ncheck('log-softmax', torch.sin);"
        )
    InteractiveShell.clear_instance()
    bundle = captured.outputs[0].data
    assert set(bundle) == {"text/plain", "text/html"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros(2), "an ndarray"),
        (1, "an int"),
        ([], "a list"),
        (np.uint8(1), "a uint8"),
        (Ellipsis, "an ellipsis"),
    ],
)
def test_a_type_is_told_with_its_article(value, words):
    assert type_of(value) == words
    report = judge(catalogue.exercise("log-softmax"), lambda logits: value)
    assert f"{words} where a tensor is wanted" in report.rows[0].message


def test_an_argument_given_twice_is_two_tensors_for_an_answer_that_overwrites_one():
    """Else the values would be wrong as well, and an input that is changed cost all of the points."""
    both = torch.ones(2)

    def overwrites(a, b):
        return a.add_(1) * b

    seen = observe_call(overwrites, Case((both, both)))
    assert seen["result"].tolist() == [2, 2] and "argument 1 was changed" in seen["inputs"]


def reference_overwritten(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    with torch.no_grad():
        ref_chosen -= ref_rejected
    return -torch.nn.functional.logsigmoid(beta * (policy_chosen - policy_rejected - ref_chosen.detach()))


def test_an_input_that_is_overwritten_costs_the_points_of_that_and_says_so():
    report = judge(catalogue.exercise("dpo-loss"), reference_overwritten, reveal=False)
    lost = [row for row in report.rows if not row.passed]
    assert [row.part for row in lost] == ["dtype kept, inputs unchanged"]
    assert "`ref_chosen` was changed by your function; work on a copy" in lost[0].message
    assert report.points == report.max_points - 0.5 and report.misconception == "in-place"


def test_progress_says_where_no_record_is_kept(tmp_path, monkeypatch, capsys):
    checks.progress()
    assert "No record is kept" not in capsys.readouterr().out
    monkeypatch.delenv("COURSE_PROGRESS")
    monkeypatch.chdir(tmp_path)
    checks.progress()
    checks.points_page()
    assert capsys.readouterr().out.count("No record is kept here") == 2
