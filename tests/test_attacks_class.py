"""Attacks on a class: what submissions try with files, links and each other, graded by the command as it is used."""

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest
from grading_class import KL, LOG_SOFTMAX, NAME, answered, cells_of, hand_in
from nbgrader.api import Gradebook
from sandbox import require_sandbox

from course_utils.commands.paths import ROOT, kernel_environment

WRONG = "def log_softmax(logits):\n    return logits * 0"
SECRET = "0123456789-a-line-of-somebody-else"


def with_cell(source, answer=WRONG):
    notebook = answered(answers={"log-softmax": answer, "kl-divergence": KL})
    notebook.cells.insert(0, nbformat.v4.new_code_cell(source))
    return notebook


def read_everything(folder):
    return f"""
import glob, os
for place in ({str(folder)!r}, {str(ROOT)!r}, "..", "/proc/1/root", "/proc/self/cwd", "/root", "/home"):
    for path in [place, *glob.glob(place + "/**", recursive=True)][:1000]:
        try:
            print(open(path).read()[:2000])
        except OSError:
            pass
"""


def write_everywhere(folder):
    return f"""
import os
for path in ("{folder}/gradebook.db", "{folder}/report.json", "{folder}/out/x", "{folder}/submitted/honest/{NAME}/{NAME}.ipynb",
             "{folder}/submitted/honest/{NAME}/torch.py", "{ROOT}/course_utils/checks/judge.py", "../{NAME}.ipynb"):
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").write("mine")
    except OSError:
        pass
"""


def call_home(port):
    return f"""
import socket, urllib.request
for address in (("127.0.0.1", {port}), ("localhost", {port}), ("::1", {port})):
    try:
        socket.create_connection(address, timeout=1).sendall(b"here I am")
    except OSError as error:
        pass
try:
    urllib.request.urlopen("http://127.0.0.1:{port}/", timeout=1)
except OSError:
    pass
"""


KILL = """
import os, signal
for group in (0, -1, os.getppid(), *range(2, 3000)):
    for number in (signal.SIGSTOP, signal.SIGKILL):
        if group != os.getpid():
            try:
                os.kill(group, number)
            except OSError:
                pass
"""
BOMB = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """(folder, entries of the report by student, what was heard on the network, hashes before and after)."""
    require_sandbox()
    folder = tmp_path_factory.mktemp("class")
    submitted = folder / "submitted"
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard = []
        threading.Thread(target=lambda: heard.append(server.accept()), daemon=True).start()
        lay(folder, submitted, server.getsockname()[1])
        before = hashes(folder)
        done = subprocess.run(
            [sys.executable, "-m", "course_utils", "grade", NAME, "--submitted", submitted, "--workers", "2",
             "--gradebook", folder / "gradebook.db", "--out", folder / "out", "--report", folder / "report.json"],
            cwd=ROOT, env=kernel_environment(), capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    entries = {e["student"]: e for e in json.loads((folder / "report.json").read_text())["submissions"]}
    return folder, entries, heard, (before, hashes(folder))


def lay(folder, submitted, port):
    """The class: honest ones first and last, attackers between them."""
    honest = with_cell(f"# {SECRET}", LOG_SOFTMAX)
    for student in ("an honest one", "honest", "zoe, honest"):
        hand_in(submitted, student, honest)
    hand_in(submitted, "reads", with_cell(read_everything(folder)))
    hand_in(submitted, "writes", with_cell(write_everywhere(folder)))
    hand_in(submitted, "calls home", with_cell(call_home(port)))
    hand_in(submitted, "kills", with_cell(KILL))
    hand_in(submitted, "bombs", with_cell(BOMB))
    for name in ("torch", "json", "course_utils", "sitecustomize", "usercustomize"):
        for place in ("shadows", "shadows by folder"):
            path = hand_in(submitted, place, with_cell("import torch, json"))
            if place == "shadows":
                path.with_name(f"{name}.py").write_text("allclose = lambda *a: True\nraise SystemExit(4)")
            else:
                path.with_name(name).mkdir(exist_ok=True)
                (path.with_name(name) / "__init__.py").write_text("raise SystemExit(4)")
    path = hand_in(
        submitted,
        "brings help",
        with_cell("from answers import log_softmax", "from answers import log_softmax"),
    )
    path.with_name("answers.py").write_text(LOG_SOFTMAX)
    path = hand_in(submitted, "links beside", with_cell("", WRONG))
    path.with_name("notes.txt").symlink_to(folder / "gradebook.db")
    os.mkfifo(path.with_name("pipe"))
    for student, target in (
        ("links the notebook", f"../../honest/{NAME}/{NAME}.ipynb"),
        ("links to all", "/etc/passwd"),
    ):
        place = submitted / student / NAME
        place.mkdir(parents=True)
        (place / f"{NAME}.ipynb").symlink_to(target)
    (submitted / "links the folder").mkdir()
    (submitted / "links the folder" / NAME).symlink_to(f"../honest/{NAME}")
    (submitted / "is a link").symlink_to("honest")
    path = hand_in(submitted, "hard to date", with_cell("", LOG_SOFTMAX))
    path.with_name("timestamp.txt").symlink_to(folder / "gradebook.db")
    points = with_cell("")
    cells_of(points)["test-log-softmax"].metadata.nbgrader.points = 10**6
    hand_in(submitted, "wants more", points)


def hashes(folder):
    """{file: digest} of what grading must leave alone."""
    files = [
        *folder.glob("submitted/**/*.*"),
        *(ROOT / "course_utils").rglob("*.py"),
        *(ROOT / "solutions").rglob("*.ipynb"),
    ]
    return {
        f: hashlib.sha256(f.read_bytes()).hexdigest() for f in files if f.is_file() and not f.is_symlink()
    }


def test_the_honest_ones_get_their_points(graded):
    _, entries, _, _ = graded
    for student in ("an honest one", "honest", "zoe, honest", "hard to date"):
        assert (entries[student]["status"], entries[student]["score"]) == ("graded", 10), entries[student]


@pytest.mark.parametrize(
    "student",
    ["reads", "writes", "calls home", "kills", "shadows", "shadows by folder", "links beside", "wants more"],
)
def test_an_attack_earns_what_its_answers_earn(graded, student):
    entry = graded[1][student]
    assert entry["status"] == "graded"
    assert {id: e["score"] for id, e in entry["exercises"].items()} == {"log-softmax": 0, "kl-divergence": 6}


def test_what_ends_itself_earns_nothing(graded):
    entry = graded[1]["bombs"]
    assert entry["status"] == "graded" and entry["score"] == 0
    assert "than it may" in entry["reason"] or "took more than" in entry["reason"]


def test_another_file_is_not_part_of_an_answer(graded):
    assert graded[1]["brings help"]["exercises"]["log-softmax"]["score"] == 0


@pytest.mark.parametrize("student", ["links the notebook", "links to all", "links the folder", "is a link"])
def test_a_link_earns_nothing_and_is_named(graded, student):
    entry = graded[1].get(student)
    if entry is None:  # not taken for a submission at all
        assert student == "is a link"
        return
    assert entry["status"] == "failed" and "link" in entry["reason"]
    assert not entry["score"]


def test_nothing_but_the_graders_own_files_changed(graded):
    before, after = graded[3]
    assert after == before


def test_nothing_of_others_and_no_link_lies_in_what_goes_back(graded):
    folder = graded[0]
    for path in (folder / "out").rglob("*"):
        assert not path.is_symlink()
        if path.is_file() and "honest" not in str(path):
            assert SECRET not in path.read_text(), path
    assert not list((folder / "out").rglob("notes.txt"))


def test_nobody_called_home(graded):
    assert graded[2] == []


def test_report_and_gradebook_agree(graded):
    folder, entries, _, _ = graded
    with Gradebook(f"sqlite:///{folder}/gradebook.db", "beyond-rlhf") as book:
        scores = {s.student.id: s.score for s in book.assignment_submissions(NAME)}
    assert {s: e["score"] for s, e in entries.items() if e["score"] is not None} == scores


def test_nothing_is_left_running(graded):
    folder = str(graded[0])
    for process in Path("/proc").glob("[0-9]*"):
        try:
            assert folder not in (process / "cmdline").read_text()
        except OSError:
            continue
