"""The weekly report: the same bytes for the same store, what it finds, what it cannot say, wrong calls."""

import json
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta

import numpy as np
import pytest

from course_utils.feedback import simulate_feedback
from course_utils.iteration import report, weeks
from course_utils.iteration.filling import fill_store
from course_utils.iteration.report import WATCHED, weekly_facts, weekly_report
from course_utils.iteration.report_page import page
from course_utils.iteration.weeks import week_bounds, week_of
from course_utils.serving.store import open_store

WEEK = "2026-W10"  # the last of ten simulated weeks


@pytest.fixture(scope="module")
def log():
    return simulate_feedback(3000, seed=0, weeks=10, start="2025-12-29", kinds={"honest": 1.0})[0]


def stored(folder, log, **settings):
    store = open_store(f"sqlite:///{folder}/service.db")
    fill_store(store, log, unrated=1, **settings)
    return store


@pytest.fixture(scope="module")
def store(log, tmp_path_factory):
    made = stored(tmp_path_factory.mktemp("store"), log, share=0.4, salt="e1")
    yield made
    made.close()


@pytest.fixture(scope="module")
def facts(store):
    return weekly_facts(store, WEEK, 26)


def test_the_numbers_are_those_of_the_log(facts, log):
    mine = log[week_of(log["timestamp"]) == WEEK]
    variants = facts["variants"]
    assert set(variants) == {"control", "treatment"}
    assert sum(v["votes"] for v in variants.values()) == len(mine) == facts["weeks"][WEEK]["votes"]
    down = (mine["feedback"] == "thumbs_down").mean()
    assert facts["weeks"][WEEK]["thumbs down"] == pytest.approx(down)
    rate = sum(v["votes"] * v["approval"][0] for v in variants.values()) / len(mine)
    assert rate == pytest.approx(1 - down)
    for v in variants.values():
        rate, low, high = v["approval"]
        assert 0 <= low < rate < high <= 1
    assert facts["baseline weeks"] == {"asked": 26, "found": 9}
    assert facts["experiments"]["e1"]["decision"] == "hold"
    assert not any(seen["alarm"] for seen in facts["watched"].values()) and set(facts["watched"]) == set(
        WATCHED
    )


def test_a_report_is_written_once_and_the_same_bytes_come_again(store, tmp_path):
    paths = weekly_report(store, WEEK, 26, tmp_path)
    assert [p.name for p in paths] == [f"report-{WEEK}{e}" for e in (".png", ".json", ".md")]
    seen = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in paths}
    weekly_report(store, WEEK, 26, tmp_path)
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in paths} == seen
    other = weekly_report(store, WEEK, 26, tmp_path / "elsewhere")
    assert [p.read_bytes() for p in other] == [data for data, _ in seen.values()]
    assert not list(tmp_path.rglob("*.partial")) and not list(tmp_path.rglob("*.new"))
    assert json.loads(paths[1].read_text())["week"] == WEEK


def test_votes_that_come_later_change_nothing(store, facts):
    early = weekly_facts(store, "2026-W06", 26)
    assert list(early["weeks"])[-1] == "2026-W06"
    until = week_bounds("2026-W06")[1]
    totals = store.votes_by_user("e1", before=until)
    assert (
        sum(early["experiments"]["e1"][v]["votes"] for v in ("control", "treatment")) == totals["votes"].sum()
    )
    assert (
        totals["votes"].sum() < 3000 == store.votes_by_user("e1", before=datetime(2030, 1, 1))["votes"].sum()
    )


def test_what_is_wrong_is_said(log, tmp_path):
    broken, last = log.copy(), week_of(log["timestamp"]) == WEEK
    rng = np.random.default_rng(0)
    broken.loc[last, "response"] = (
        broken.loc[last, "response"].fillna("") + " hope it helps . hope it helps . hope it helps ."
    )
    broken.loc[last & (rng.random(len(log)) < 0.7), "feedback"] = "thumbs_down"
    broken.loc[last & (rng.random(len(log)) < 0.2), "content_warning"] = True
    store = stored(tmp_path, broken)
    found = weekly_facts(store, WEEK, 26)
    store.close()
    alarms = {name for name, seen in found["watched"].items() if seen["alarm"]}
    assert {"length", "repetition", "content warnings", "thumbs down"} <= alarms
    assert not {"shortness", "p95 latency"} & alarms
    words = page(found)
    assert "answers have become longer" in words and "roll back if they are right" in words
    assert "a comparison: no treatment gave answers this week" in words


def test_the_answers_of_one_week_are_held_at_a_time(store, facts, monkeypatch):
    read, spans = weeks.answers_between, []
    for where in (weeks, report):
        monkeypatch.setattr(where, "answers_between", lambda s, a, b: spans.append(b - a) or read(s, a, b))
    assert weekly_facts(store, WEEK, 26) == facts
    assert set(spans) == {timedelta(weeks=1)} and len(spans) == 28


def test_what_cannot_be_said_is_said(store):
    first = weekly_facts(store, "2026-W01", 26)
    assert first["baseline weeks"]["found"] == 0 and first["watched"] == {}
    words = page(first)
    assert "alarms: there are 0 weeks with answers before 2026-W01, and at least 3 are needed" in words
    assert "surges: too few weeks with votes" in words
    assert first["variants"]["control"]["votes"] > 0  # the rest is there
    short = weekly_facts(store, "2026-W05", 26)
    assert {seen["creeps"] for seen in short["watched"].values()} == {None}


def test_a_week_without_votes_has_a_report(tmp_path, log):
    week_rows = week_of(log["timestamp"]) == WEEK
    store = stored(tmp_path, log)
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM feedback WHERE time >= '{week_bounds(WEEK)[0]}'")
    found = weekly_facts(store, WEEK, 26)
    store.close()
    assert week_rows.any() and found["variants"]["control"]["approval"] is None
    words = page(found)
    assert (
        "no votes" in words
        and "there are no votes this week" in words
        and found["watched"]["unrated"]["alarm"]
    )


def test_wrong_calls_are_named(store, tmp_path):
    with pytest.raises(
        ValueError, match="no answers of 2027-W01; its answers are from 2025-12-29 to 2026-03-08"
    ):
        weekly_report(store, "2027-W01", 26, tmp_path, today=datetime(2030, 1, 1))
    with pytest.raises(ValueError, match="2026-W10 is not over; it ends on 2026-03-09"):
        weekly_report(store, WEEK, 26, tmp_path, today=datetime(2026, 3, 8, 23))
    for week in ("2026-10", "2026-W00", "2026-W54", "W10", ""):
        with pytest.raises(ValueError, match="must be an ISO week such as 2026-W47"):
            weekly_report(store, week, 26, tmp_path)
    with pytest.raises(ValueError, match="baseline_weeks must be at least 3"):
        weekly_report(store, WEEK, 2, tmp_path)
    assert not list(tmp_path.glob("report*"))
    empty = open_store(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(ValueError, match="the store holds no answers of 2026-W10$"):
        weekly_report(empty, WEEK, 26, tmp_path)
    empty.close()


KILL = """
import os, signal, sys
from course_utils.iteration import files, report
from course_utils.serving.store import open_store
whole = os.fsync
def die(number):
    whole(number)
    if os.path.getsize(f"/proc/self/fd/{number}") > 2000:  # the picture, written and not yet renamed
        os.kill(os.getpid(), signal.SIGKILL)
files.os.fsync = die
report.weekly_report(open_store(sys.argv[1]), sys.argv[2], 26, sys.argv[3])
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks into /proc")
def test_a_killed_report_leaves_no_half_file(store, tmp_path):
    url = store.engine.url.render_as_string(hide_password=False)
    done = subprocess.run([sys.executable, "-c", KILL, url, WEEK, str(tmp_path)], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list(tmp_path.glob("*.partial")) and not list(tmp_path.glob("report*.png"))
    weekly_report(store, WEEK, 26, tmp_path)
    assert sorted(p.suffix for p in tmp_path.glob("report*")) == [".json", ".md", ".png"]


def test_the_command_prints_the_paths_or_what_is_wrong(store, tmp_path, capsys):
    from course_utils.__main__ import main

    url = store.engine.url.render_as_string(hide_password=False)
    assert main(["report", "--database", url, "--week", WEEK, "--out", str(tmp_path)]) == 0
    assert f"report-{WEEK}.md" in capsys.readouterr().out
    assert main(["report", "--database", url, "--week", "2027-W01", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("report: week: ")
    there = tmp_path / "mistyped.db"
    for url, words in (
        (f"sqlite:///{there}", f"url: there is no file {there}"),
        ("banana", "url: "),
        ("oracle+nothing://x", "url: "),
        ("postgresql+psycopg://127.0.0.1:1/none?connect_timeout=2", ""),
    ):
        assert main(["report", "--database", url, "--week", WEEK, "--out", str(tmp_path)]) == 1
        told = capsys.readouterr().err
        assert told.startswith(f"report: {words}") and told.count("\n") == 1
    assert not there.exists()
