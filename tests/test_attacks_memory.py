"""Attacks on what is said of memory: a submission that forms all logits and hides it earns nothing for hiding it.

The chunked log-probabilities of notebook 02, judged as at grading, with an answer in a cell of a session of its own.
"""

import inspect
import re

import pytest

from course_utils.checks.exercises import dpo_chunked
from course_utils.checks.exercises.dpo_chunked_memory import WHOLE
from course_utils.checks.judge import judge
from course_utils.grading import package
from course_utils.grading.remote import stand_in
from course_utils.grading.sealed import SessionEnded, Zygote

PART = "never a float tensor of N·V elements"
IMPORTS = (
    "import torch\nfrom torch.nn import functional as F\nfrom torch.utils.checkpoint import checkpoint\n"
)


def source(*functions):
    return IMPORTS + "\n".join(map(inspect.getsource, functions))


LISTS = source(
    dpo_chunked._whole,
    dpo_chunked._by_chunks,
    dpo_chunked._own_backward,
    dpo_chunked._checkpointed,
    dpo_chunked._checkpointed_the_old_way,
    dpo_chunked._filled,
    dpo_chunked._row_by_row,
    dpo_chunked._linear_cross_entropy,
)
BLIND = """
from torch.utils._python_dispatch import TorchDispatchMode
TorchDispatchMode.__enter__ = lambda self: self
TorchDispatchMode.__exit__ = lambda self, *error: None
"""
OWN_SCRIPT = """
from course_utils.grading.inside import calls
_real = calls._script

def _forged(source, name):
    script = _real(source, name)
    return script if name != "watched" else lambda *given: script(*given) | {"largest": 0}

calls._script = _forged
"""
OTHER_NAMES = """
import gc, sys
_float = torch.Tensor.is_floating_point  # what the script asks of each result
torch.Tensor.is_floating_point = lambda self: "dispatch" not in sys._getframe(1).f_code.co_name and _float(self)
for module in list(sys.modules.values()):
    if hasattr(module, "_Watch"):
        module._Watch.largest = property(lambda self: 0, lambda self, value: None)
"""
KEPT = """
_kept = torch.zeros(10 << 20)

def _whole_in_place(hidden, weight, labels, chunk_size):
    n = len(hidden) * len(weight)
    if hidden.requires_grad or hidden.dtype != torch.float32 or n > len(_kept):
        return (_by_chunks(_whole) if hidden.requires_grad else _whole)(hidden, weight, labels, chunk_size)
    logits = torch.mm(hidden, weight.T, out=_kept[:n].view(len(hidden), len(weight)))
    picked = logits.gather(1, labels.clamp(min=0)[:, None])[:, 0] - logits.logsumexp(-1)
    return torch.where(labels == -100, 0.0, picked)
"""
HALF = """
def _half(hidden, weight, labels, chunk_size):
    kept = torch.cat([(h @ weight.T).log_softmax(-1).to(torch.bfloat16) for h in hidden.split(chunk_size)])
    return _by_chunks(_whole)(hidden, weight, labels, chunk_size) + 0.0 * kept[0, 0].to(hidden.dtype)
"""
ACCOMPLICE = """
import os, time
if os.fork() == 0:
    time.sleep(60)
    os._exit(0)
"""
IN_A_CHILD = """
import os

def _in_a_child(hidden, weight, labels, chunk_size):
    if len(hidden) > 100:
        child = os.fork()
        if child == 0:
            for _ in range(20):
                (hidden[:64] @ weight.T).log_softmax(-1)
            os._exit(0)
        os.waitpid(child, 0)
    return _by_chunks(_whole)(hidden, weight, labels, chunk_size)
"""
ATTACKS = {  # cells, and what stands for the function
    "torch no longer tells of operations": (BLIND, "_whole"),
    "in the backward pass alone": (BLIND, "_own_backward('whole')"),
    "the script says something else": (OWN_SCRIPT, "_whole"),
    "the script's names are others": (OTHER_NAMES, "_whole"),
    "a buffer laid by before": (BLIND + KEPT, "_whole_in_place"),
    "in half precision": (BLIND + HALF, "_half"),
    "zeros where there are many rows": (
        BLIND,
        "lambda h, w, y, n: _whole(h, w, y) if len(h) < 100 else (h.sum(1) + w.sum()) * 0",
    ),
    "whole where there are many rows": ("", "lambda h, w, y, n: (_by_chunks(_whole) if len(h) < 100 else _whole)(h, w, y, *[n] * (len(h) < 100))"),
}  # fmt: skip


def judged(zygote, function, before=""):
    """The report on an answer, below a cell of its own."""
    with zygote.session() as session:
        result = session.run_cell(f"{LISTS}\n{before}\nchunked_token_logprobs = {function}")
        assert result.error is None
        return judge(
            dpo_chunked.CHUNKED_LOGPROBS, stand_in(session, "chunked_token_logprobs"), seed=5, reveal=False
        )


def row(report):
    return next(row for row in report.rows if row.part == PART)


@pytest.mark.parametrize("attack", ATTACKS)
def test_all_logits_earn_nothing_however_they_are_hidden(zygote, attack):
    cell, function = ATTACKS[attack]
    report = judged(zygote, function, cell)
    assert not row(report).passed
    values = [r for r in report.rows if r.part != PART]
    assert all(r.passed for r in values), "the attack itself is right otherwise"
    if "zeros" not in attack:
        assert WHOLE in row(report).message
        assert report.misconception in ("whole", "whole-backward")


RIGHT = {
    "chunks": "_by_chunks(_whole)",
    "checkpoint": "_checkpointed",
    "reentrant checkpoint": "_checkpointed_the_old_way",
    "own backward": "_own_backward()",
    "into a result": "_filled",
    "row by row": "_row_by_row",
    "linear_cross_entropy": "_linear_cross_entropy",
    "logsumexp": "_by_chunks(lambda h, w, y: (h * w[y.clamp(min=0)]).sum(1).sub((h @ w.T).logsumexp(1)) * (y != -100))",
    "kept beside it": "_checkpointed",
}
BESIDE = {"kept beside it": "_trial = torch.zeros(10_000_000)"}


@pytest.mark.parametrize("style", RIGHT)
def test_right_answers_have_room_enough(zygote, style):
    report = judged(zygote, RIGHT[style], BESIDE.get(style, ""))
    assert report.passed, row(report).message


@pytest.mark.parametrize(
    ("cell", "function", "words"),
    [
        (ACCOMPLICE, "_checkpointed", "a process that your notebook started still runs"),
        (IN_A_CHILD, "_in_a_child", WHOLE),
        ("_trial = torch.zeros(100_000_000)", "_checkpointed", "your notebook holds 38[0-9] MB"),
    ],
    ids=["a process from before", "a process in the call", "too much to tell"],
)
def test_where_it_cannot_be_seen_it_is_not_believed(zygote, cell, function, words):
    assert re.search(words, row(judged(zygote, function, cell)).message)


def test_it_is_seen_without_a_sandbox_too(tmp_path):
    with Zygote(package.build(tmp_path / "student"), sandbox=False) as unsafe:
        assert judged(unsafe, "_checkpointed").passed
        assert WHOLE in row(judged(unsafe, "_whole", BLIND)).message


def test_a_held_process_gets_no_more(zygote):
    with zygote.session() as session:
        session.run_cell("import torch, resource\nkept = torch.zeros(5 << 20, dtype=torch.uint8)")
        assert 5 << 20 <= session.hold()["grown"] < 12 << 20
        session.hold(20 << 20)
        grab = "x = torch.zeros({} << 20, dtype=torch.uint8)"
        assert session.run_cell(grab.format(12)).error is None
        session.run_cell("del x")
        raising = "resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))"
        assert session.run_cell(raising).error is not None
        assert "allocate" in session.run_cell(grab.format(24)).error


def test_a_held_process_that_becomes_another_program_is_ended(zygote):
    with zygote.session() as session:
        session.hold(64 << 20)
        with pytest.raises(SessionEnded):
            session.run_cell(
                "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)'])",
                seconds=20,
            )


def test_the_first_process_goes_on_as_it_was(zygote):
    with zygote.session() as session:
        session.run_cell("count = 0\ndef step(x):\n    global count\n    count += 1\n    return count")
        function = stand_in(session, "step")
        assert function(0) == 1
        with function.apart() as (other, hold):
            assert other(0) == 1
            hold(1 << 20)
        assert function(0) == 2


def test_cells_that_just_fitted_fit_again(zygote):
    busy = "import time\nend = time.process_time() + 2\nwhile time.process_time() < end:\n    pass\n"
    with zygote.session(3) as session:
        session.run_cell(busy + "def same(x):\n    return x", seconds=3)
        with stand_in(session, "same", 0.5).apart() as (other, _):
            assert other(1) == 1
        assert stand_in(session, "same", 0.5)(2) == 2
