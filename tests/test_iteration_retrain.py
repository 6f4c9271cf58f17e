"""The monthly retraining: done once, gone on with after a kill, refused where something changed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from course_utils.commands.retrain import OPTIONS
from course_utils.feedback import simulate_feedback
from course_utils.iteration import retrain as module
from course_utils.iteration.files import digest, only_one, write_whole
from course_utils.iteration.retrain import Plan, retrain
from course_utils.iteration.steps import Steps
from course_utils.testbed import models, text
from course_utils.training import save_text_model

pytest.importorskip("trl")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
MONTH = "2026-03"
PLAN = Plan(steps=6, batch_size=8, checkpoint_every=2, judgements=40, safety_samples=1, rows=400)
STEPS = ("export", "defend", "clean", "holdout", "mix", "train", "merge", "evaluate", "decision")


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    """A folder with log.parquet and base/, a model that was not trained."""
    folder = tmp_path_factory.mktemp("ground")
    simulate_feedback(3000, seed=0, weeks=12)[0].to_parquet(folder / "log.parquet")
    save_text_model(models.small_model(len(text.VOCABULARY), width=16, heads=2, seed=0), folder / "base")
    return folder


def call(ground, out, plan=PLAN, **changes):
    settings = {"log": ground / "log.parquet", "say": lambda line: None} | changes
    return retrain(MONTH, out, ground / "base", plan, **settings)


@pytest.fixture(scope="module")
def whole(ground, tmp_path_factory):
    """(decision, folder) of a retraining that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "march"
    return call(ground, out), out


def test_the_steps_leave_what_was_counted_and_a_decision_with_reasons(whole):
    decision, out = whole
    assert decision["decision"] in ("may go out", "stays") and len(decision["reasons"]) >= 3
    counts = decision["counts"]
    export, clean, split, mix = (counts[k] for k in ("export", "clean", "holdout", "mix"))
    assert export["rows"] == counts["defend"]["rows_dropped"] + clean["rows"] + sum(clean["dropped"].values())
    assert clean["rows"] == split["holdout"] + split["trainable"] + sum(split["cut"].values())
    assert (mix["new"], mix["old"]) == (200, 200)
    assert len((out / "mix" / "trained.txt").read_text().split()) == 400
    assert decision["measured"]["judgements"] <= 40
    words = (out / "decision.md").read_text()
    assert all(reason in words for reason in decision["reasons"]) and "Nothing was deployed" in words
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == sorted(STEPS)
    assert str(out.parent) not in (out / "decision.json").read_text()  # the same bytes wherever it runs


def test_a_second_call_does_nothing(ground, whole):
    before = {
        p: (p.stat().st_mtime_ns, p.stat().st_size) for p in whole[1].rglob("*") if "lock" not in p.name
    }
    said = []
    assert call(ground, whole[1], say=said.append) == whole[0]
    assert said == [f"{step}: done before" for step in STEPS]
    after = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in whole[1].rglob("*") if "lock" not in p.name}
    assert after == before


COMMAND = """
import json, os, signal, sys
from course_utils.iteration import retrain as module, steps
from course_utils.iteration.retrain import Plan, retrain
ground, out, plan, where = sys.argv[1], sys.argv[2], Plan(**json.loads(sys.argv[3])), sys.argv[4]
def say(line):
    print(line, flush=True)
    if line.strip().startswith(where):
        os.kill(os.getpid(), signal.SIGKILL)
if where == "write":  # in the midst of a step's files
    keep = module._keep
    def killed(frame, path, **counts):
        if "mix" in str(path.parent):
            (path.parent / "half").write_text("half a fi")
            os.kill(os.getpid(), signal.SIGKILL)
        keep(frame, path, **counts)
    module._keep = killed
retrain("2026-03", out, ground + "/base", plan, log=ground + "/log.parquet", say=say)
"""


def killed_at(ground, out, where):
    plan = json.dumps(vars(PLAN))
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, str(ground), str(out), plan, where], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    return done.stdout


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_killed_while_writing_and_while_training_it_ends_at_the_same_weights_and_decision(
    ground, whole, tmp_path
):
    out = tmp_path / "march"
    killed_at(ground, out, "write")
    assert (out / "mix.partial" / "half").is_file() and not (out / "mix").exists()
    assert (out / "holdout" / "manifest.json").is_file()
    killed_at(ground, out, "step 5")  # of six; a checkpoint is at four
    assert (out / "mix").is_dir() and not (out / "mix" / "half").exists()
    assert (out / "train.partial").is_dir() and not (out / "train").exists()
    said = []
    assert call(ground, out, say=said.append) == whole[0]
    assert "mix: done before" in said and "train: done" in said
    steps = [line for line in said if "step" in line]
    assert len(steps) == 2 and steps[0].strip().startswith("step 5")  # it went on, and did not begin again
    assert digest(out / "merge" / "model" / "model.safetensors") == digest(
        whole[1] / "merge" / "model" / "model.safetensors"
    )
    for name in ("decision.json", "decision.md"):
        assert (out / name).read_bytes() == (whole[1] / name).read_bytes()


def test_other_settings_or_votes_are_refused_and_nothing_is_overwritten(ground, whole, tmp_path):
    before = (whole[1] / "decision.json").read_bytes()
    with pytest.raises(ValueError, match=r"the step mix .* other settings \(seed\)"):
        call(ground, whole[1], Plan(**vars(PLAN) | {"seed": 1}))
    with pytest.raises(ValueError, match=r"the step train .* other settings \(lr\)"):
        call(ground, whole[1], Plan(**vars(PLAN) | {"lr": 1e-3}))
    more = simulate_feedback(3000, seed=1, weeks=12)[0]
    more.to_parquet(tmp_path / "more.parquet")
    with pytest.raises(ValueError, match=r"the step export .* other inputs \(votes\)"):
        call(ground, whole[1], log=tmp_path / "more.parquet")
    with pytest.raises(ValueError, match=r"the step holdout .* other inputs \(trained before\)"):
        call(ground, whole[1], previous=[whole[1]])
    assert (whole[1] / "decision.json").read_bytes() == before


def test_what_was_changed_by_hand_is_noticed(tmp_path):
    steps = Steps(tmp_path, lambda line: None)
    made = steps.do("one", {}, {"a": 1}, lambda folder: write_whole(folder / "x", "1"))
    assert steps.do("one", {}, {"a": 1}, lambda folder: pytest.fail("done again")) == made
    (made / "x").write_text("2")
    with pytest.raises(ValueError, match="is not what the step one wrote"):
        steps.do("one", {}, {"a": 1}, None)
    (made / "x").unlink()
    with pytest.raises(ValueError, match="is not what the step one wrote"):
        steps.do("one", {}, {"a": 1}, None)


def test_a_step_that_fails_is_not_done(tmp_path):
    steps = Steps(tmp_path, lambda line: None)
    with pytest.raises(ZeroDivisionError):
        steps.do("one", {}, {}, lambda folder: 1 / 0)
    assert not (tmp_path / "one").exists()
    steps.do("one", {}, {}, lambda folder: write_whole(folder / "x", "1"))
    assert (tmp_path / "one" / "x").read_text() == "1"


def test_earlier_months_keep_their_rows_out_of_the_holdout(ground, whole, tmp_path):
    # a previous month that trained on what is held out now: each of those rows is cut and counted
    from course_utils.iteration.holdout import row_fingerprints

    held = module._read(whole[1] / "holdout" / "holdout.parquet")
    write_whole(tmp_path / "february" / "mix" / "trained.txt", "\n".join(row_fingerprints(held.head(5))))
    known = module._trained_before([tmp_path / "february"])
    folder = tmp_path / "split"
    folder.mkdir()
    module._hold_out(whole[1] / "clean", folder, MONTH, PLAN.holdout, known)
    counts = json.loads((folder / "counts.json").read_text())
    assert counts["cut"]["trained before"] == 5 and counts["holdout"] == len(held) - 5
    with pytest.raises(ValueError, match="holds no mix.trained.txt, so no finished mix"):
        call(ground, tmp_path / "x", previous=[tmp_path])


# --- the lock ----------------------------------------------------------------------------------

HOLD = """
import sys, time
from course_utils.iteration.files import only_one
with only_one(sys.argv[1], "retrain"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_at_once_are_refused_and_the_lock_of_a_dead_process_is_none(ground, tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RuntimeError, match=f"another process .id {other.pid}. is at work"):
            call(ground, tmp_path)
        assert not (tmp_path / "export").exists()
    finally:
        other.kill()
        other.wait()
    for _ in range(50):  # the system needs a moment to let go
        try:
            with only_one(tmp_path, "retrain"):
                assert (tmp_path / "lock.holder").read_text() == str(os.getpid())
            break
        except RuntimeError:
            time.sleep(0.1)
    else:
        pytest.fail("the lock outlived its process")


# --- wrong calls -------------------------------------------------------------------------------


def test_wrong_arguments_are_named(ground, tmp_path):
    with pytest.raises(ValueError, match="a database or a log"):
        call(ground, tmp_path, database="sqlite:///x.db")
    with pytest.raises(ValueError, match="a database or a log"):
        call(ground, tmp_path, log=None)
    with pytest.raises(ValueError, match="base: .* holds no config.json"):
        retrain(MONTH, tmp_path, tmp_path, PLAN, log=ground / "log.parquet")
    with pytest.raises(ValueError, match="no votes of 2027-01"):
        retrain("2027-01", tmp_path, ground / "base", PLAN, log=ground / "log.parquet")
    with pytest.raises(ValueError, match="2999-01 is not over"):
        retrain("2999-01", tmp_path, ground / "base", PLAN, database=f"sqlite:///{tmp_path}/s.db")
    with pytest.raises(ValueError, match="there are no earlier votes"):
        retrain(
            "2026-01", tmp_path / "january", ground / "base", PLAN, log=ground / "log.parquet",
            say=lambda line: None,
        )  # fmt: skip


def test_a_model_that_the_course_cannot_rate_is_left_open(whole):
    found = {"rated": False}
    counts = {step: json.loads((whole[1] / step / "counts.json").read_text()) for step in STEPS[:5]}
    text_ = module._in_words(
        {"month": MONTH, "decision": "open", "reasons": ["judge it"], "measured": found, "counts": counts}
    )
    assert "undecided" in text_ and "- judge it" in text_


def test_the_command_has_the_plan_s_defaults():
    assert {name: default for name, _, default, _ in OPTIONS} == vars(Plan())


def _torch_fails(*_given, **_named):
    raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    "settings",
    [{"share_new": 0}, {"holdout": 1}, {"cap": 0}, {"rows": 1}, {"lr": float("nan")}, {"steps": 0}, {"batch_size": 1},
     {"safety_samples": 0}, {"margin": 0}, {"seed": -1}],
)  # fmt: skip
def test_a_plan_that_no_step_would_take_is_refused_before_the_first(settings):
    with pytest.raises(ValueError, match=f"^{next(iter(settings))} must"):
        Plan(**settings)


def test_the_command_says_what_is_wrong_and_leaves(ground, tmp_path, capsys, monkeypatch):
    from course_utils.__main__ import main

    arguments = ["retrain", "--month", "2027-01", "--log", str(ground / "log.parquet")]
    arguments += ["--base", str(ground / "base"), "--out", str(tmp_path / "o")]
    assert main(arguments) == 1
    assert "retrain: month: there are no votes of 2027-01" in capsys.readouterr().err
    assert main([*arguments, "--judgements", "0"]) == 1
    assert "retrain: judgements must be at least 1, not 0" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    (tmp_path / "odd" / "lock").mkdir(parents=True)
    for folder in ("file/o", "odd"):  # no folder can be there; no lock can
        assert main([*arguments[:-1], str(tmp_path / folder)]) == 1
        told = capsys.readouterr().err
        assert told.startswith("retrain: ") and str(tmp_path / folder.split("/")[0]) in told
    with monkeypatch.context() as patched:
        patched.setattr(module, "retrain", _torch_fails)
        assert main(arguments) == 1  # 75 would have a scheduler try again for ever
    assert "retrain: out of memory" in capsys.readouterr().err
    assert not (Path(tmp_path) / "o" / "export").exists()
