"""A zygote in the sandbox and its sessions: cells run, questions are answered, limits end what is over them."""

import threading
import time
from types import SimpleNamespace

import pytest
from sandbox import require_sandbox

from course_utils.grading import bubblewrap, cgroups, package
from course_utils.grading.remote import RemoteFunction
from course_utils.grading.sealed import GraderFault, Limits, SessionEnded, Zygote
from course_utils.grading.session import _Clock

LIMITS = Limits(memory=2 << 30, processes=40, files=64 << 20)
PRELOAD = ("pandas", "matplotlib.pyplot")  # the others only make it start later


@pytest.fixture(scope="module")
def zygote(tmp_path_factory):
    require_sandbox()
    folder = package.build(tmp_path_factory.mktemp("package") / "student")
    with Zygote(folder, limits=LIMITS, preload=PRELOAD) as made:
        yield made


@pytest.fixture
def session(zygote):
    with zygote.session() as made:
        yield made


def test_a_cell_runs_and_what_it_prints_comes_back(session):
    result = session.run_cell("print('to the reader')\n6 * 7")
    assert result.error is None
    assert result.outputs[0]["text"] == "to the reader\n"
    assert result.outputs[1]["data"] == {"text/plain": "42"}


def test_a_cell_that_raises_says_so_and_the_next_one_runs(session):
    result = session.run_cell("x = 1\nx / 0")
    assert result.error == "ZeroDivisionError: division by zero"
    assert (
        result.outputs[0]["ename"] == "ZeroDivisionError"
        and "----> 2 x / 0" in result.outputs[0]["traceback"]
    )
    assert session.run_cell("print(x)").outputs[0]["text"] == "1\n"
    assert session.run_cell("def broken(:").error.startswith("SyntaxError")


def test_a_question_reaches_the_notebooks_function(session):
    session.run_cell("import torch\ndef double(x): return 2 * x")
    assert RemoteFunction(session, "double")(21) == 42


def test_sessions_share_nothing(zygote):
    with zygote.session() as first:
        first.run_cell("import torch; torch.patched = kept = 1\nopen('/tmp/left', 'w').write('x')")
    with zygote.session() as second:
        assert second.run_cell("import os, torch\nos.path.exists('/tmp/left'), hasattr(torch, 'patched'), 'kept' in vars()") \
            .outputs[0]["data"]["text/plain"] == "(False, False, False)"  # fmt: skip


def test_the_course_inside_is_the_open_part_of_it(session):
    for module in ("plots", "scale", "checks", "testbed.text", "testbed.models", "measured"):
        assert session.run_cell(f"import course_utils.{module}").error is None
    error = session.run_cell("from course_utils.losses import dpo_loss").error
    assert error == "ImportError: course_utils.losses is not there at grading: write the steps yourself"


def test_a_figure_comes_back_as_a_picture(session):
    cell = (
        "from course_utils import plots\nfig, ax = plots.figure()\nax.plot([1, 2])\nplots.show(fig, 'a line')"
    )
    outputs = session.run_cell(cell).outputs
    assert set(outputs[0]["data"]) == {"text/plain", "image/png"}


def test_a_cell_that_does_not_end_is_ended(zygote):
    with zygote.session() as session:
        with pytest.raises(SessionEnded, match=r"took more than 0.5 s"):
            session.run_cell("while True: pass", seconds=0.5)
        with pytest.raises(SessionEnded, match=r"took more than 0.5 s"):
            session.run_cell("1")


def test_a_cell_that_sleeps_is_ended_too(session):
    with pytest.raises(SessionEnded, match=r"took more than 0.5 s"):
        session.run_cell("import time; time.sleep(60)", seconds=0.5)


def test_the_warden_sees_what_is_used(session):
    session.run_cell("import time\nend = time.process_time() + 0.7\nwhile time.process_time() < end: pass")
    usage = session._usage
    assert 0.3 < usage["cpu"] < 2 and usage["processes"] == 1
    assert 50 << 20 < usage["memory"] < LIMITS.memory


def test_a_busy_machine_costs_nothing():
    begin = time.monotonic()
    made = SimpleNamespace(_usage={"at": begin, "cpu": 1.0, "waited": 2.0}, _wall_end=begin + 1000)
    clock = _Clock(made, 10, 10)
    made._usage = {
        "at": begin + 30,
        "cpu": 4.0,
        "waited": 27.0,
    }  # 30 s by the clock on the wall, 25 of them in a queue
    assert clock.charged() == pytest.approx(5, abs=0.1)
    made._usage = {"at": begin + 30, "cpu": 21.0, "waited": 27.0}  # its children worked
    assert clock.charged() == pytest.approx(20, abs=0.1)
    made._usage = {"at": begin + 30, "cpu": 1.0, "waited": 2.0}  # it slept
    assert clock.charged() == pytest.approx(30, abs=0.1)
    made._usage = {"at": begin + 30, "cpu": 4.0, "waited": None}  # nobody knows
    assert clock.charged() == pytest.approx(3, abs=0.1)


def test_the_whole_has_a_limit(zygote):
    with (
        zygote.session(seconds=1) as session,
        pytest.raises(SessionEnded, match="the whole took more than its time"),
    ):
        for _ in range(4):
            session.run_cell("import time; time.sleep(0.5)")


def test_a_process_that_ends_itself_has_ended(session):
    with pytest.raises(SessionEnded, match="the process ended itself"):
        session.run_cell("import os; os._exit(0)")


def test_memory_over_the_limit_of_one_process_is_an_error_of_the_cell(session):
    assert session.run_cell("b = bytearray(5 << 30)").error == "MemoryError: "


def test_a_zygote_that_died_is_started_anew_and_the_work_tried_once_more(zygote):
    tries = []

    def work(session):
        tries.append(1)
        if len(tries) == 1:
            zygote._process.kill()
            zygote._process.wait()
        # what is in the sandbox dies with it, but not at once: a cell that takes no time may still be answered
        return session.run_cell("import time; time.sleep(1); print(1)").outputs[0]["text"]

    assert zygote.attempt(work) == "1\n"
    assert len(tries) == 2


def test_a_zygote_that_dies_while_a_cell_runs_is_not_the_submissions_fault(zygote):
    tries = []

    def work(session):
        tries.append(1)
        if len(tries) == 1:
            threading.Timer(0.3, zygote._process.kill).start()
        return session.run_cell("import time; time.sleep(1); print(1)").outputs[0]["text"]

    assert zygote.attempt(work) == "1\n"
    assert len(tries) == 2


def test_a_sandbox_that_cannot_start_is_the_graders_fault(tmp_path):
    require_sandbox()
    with pytest.raises(GraderFault, match="the sandbox did not start: .*No module named"):
        Zygote(tmp_path).start()


def test_a_sandbox_that_makes_no_namespace_is_told(monkeypatch, tmp_path):
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho bwrap: No permissions >&2\nexit 1\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert bubblewrap.missing.__wrapped__() == "bubblewrap makes no namespace here: bwrap: No permissions"
    monkeypatch.setenv("PATH", "/nowhere")
    assert bubblewrap.missing.__wrapped__().startswith("bubblewrap is not installed")


@pytest.mark.parametrize("status, found", [(0, True), (1, False)])
def test_where_no_folder_can_be_made_a_service_manager_is_asked_for_the_group(
    monkeypatch, tmp_path, status, found
):
    (tmp_path / "systemd-run").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexit {status}\n')
    (tmp_path / "systemd-run").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(cgroups, "_own_path", lambda controller: "no/such/group")
    assert cgroups.available() is found
    made = cgroups.make(1000, 20)
    assert (made is not None) is found
    assert (
        "MemoryMax=1000" in (tmp_path / "asked").read_text()
        and "TasksMax=36" in (tmp_path / "asked").read_text()
    )
    if found:
        assert made.prefix[0] == "systemd-run" and "--scope" in made.prefix


def test_without_a_sandbox_the_same_session(tmp_path):
    folder = package.build(tmp_path / "student")
    with Zygote(folder, sandbox=False, preload=()) as zygote, zygote.session() as session:
        assert session.run_cell("print(1)").outputs[0]["text"] == "1\n"
        assert session.run_cell("import course_utils.losses").error.startswith("ImportError")
        with pytest.raises(SessionEnded, match="took more than"):
            session.run_cell("while True: pass", seconds=0.3)


def test_a_course_that_lies_in_what_is_bound_is_covered_under_every_name(tmp_path):
    usr, libraries = tmp_path / "usr", tmp_path / "usr/local/lib/python3/site-packages"
    for folder in (
        libraries / "course_utils",
        usr / "src/course/course_utils",
        tmp_path / "home/course_utils",
    ):
        folder.mkdir(parents=True)
    (tmp_path / "python").symlink_to(usr / "local")
    seen = {str(usr): "/usr", str(tmp_path / "python"): "/opt/python", str(libraries): "/opt/site-packages"}
    courses = [usr / "src/course", usr / "src/course/course_utils", tmp_path / "home/course_utils"]
    assert bubblewrap.hidden(seen, courses) == [
        "/opt/python/lib/python3/site-packages/course_utils",
        "/opt/site-packages/course_utils",
        "/usr/local/lib/python3/site-packages/course_utils",
        "/usr/src/course",
    ]


def test_what_covers_a_course_is_empty_and_cannot_be_written(tmp_path, monkeypatch):
    require_sandbox()
    monkeypatch.setattr(bubblewrap, "hidden", lambda seen, courses: ["/usr/share"])
    with Zygote(package.build(tmp_path / "student"), preload=()) as zygote, zygote.session() as session:
        result = session.run_cell("import os\nprint(os.listdir('/usr/share'))\nopen('/usr/share/left', 'w')")
    assert result.outputs[0]["text"] == "[]\n"
    assert "Read-only file system" in result.error
