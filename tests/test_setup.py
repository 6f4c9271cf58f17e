"""The set-up: one set of pins, a doctor that tells the truth, no network, copies that nothing overwrites."""

import errno
import os
import re
import socket
import subprocess
import sys
import sysconfig
from importlib import metadata

import pytest
import yaml

from course_utils.commands import doctor
from course_utils.commands.lab import lay_copies
from course_utils.commands.offline import MARK
from course_utils.commands.paths import ROOT


def constraints():
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.M))


def test_conda_users_get_the_same_pins():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    assert dict(entry.split("==") for entry in pip if "==" in entry) == constraints()
    assert any(str(entry).startswith("python=3.1") for entry in listed)


def test_everything_installed_is_pinned():
    own = {"pip", "wheel", "beyond-rlhf"}
    of_cuda = re.compile(r"nvidia-|cuda-|triton$")  # torch's CUDA build names their versions itself
    normal = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in constraints().items()}
    loose = []
    for found in metadata.distributions(path=[sysconfig.get_path("purelib")]):
        name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()
        if of_cuda.match(name):
            continue
        if name not in own and normal.get(name) != found.version.split("+")[0]:
            loose.append(f"{name} {found.version}, pinned {normal.get(name)}")
    assert not loose


def test_without_network_a_connection_is_unreachable():
    if not os.environ.get(MARK):
        assert not os.environ.get("CI"), "in CI the suite must run in a network namespace"
        pytest.skip("not in a network namespace")
    with pytest.raises(OSError) as caught:
        socket.create_connection(("192.0.2.1", 80), timeout=5)
    assert caught.value.errno == errno.ENETUNREACH


@pytest.mark.parametrize(
    ("finding", "level", "words"),
    [
        (doctor.python_version((3, 10, 1)), "missing", "3.11 or 3.12"),
        (doctor.python_version((3, 12, 0)), "ok", "3.12"),
        (doctor.memory(2 * doctor.GIB), "missing", "4 GiB"),
        (doctor.memory(16 * doctor.GIB), "ok", "16 GiB"),
        (
            doctor.program("no-such-program", "the browser tests", "apt-get install it"),
            "note",
            "apt-get install it",
        ),
        (doctor.network(None), "note", "no network namespace"),
    ],
)
def test_the_doctor_says_what_is_missing(finding, level, words):
    assert finding[0] == level
    assert words in finding[1]


def test_the_doctor_names_a_wrong_package():
    found = doctor.packages({"a": "1.0", "b": None}.get, "a==2.0\nb==1.0\n")
    assert [level for level, _ in found] == ["missing", "missing"]
    assert "a 1.0, wanted 2.0" in found[0][1]
    bare = doctor.packages(lambda name: None, "".join(f"p{i}==1.0\n" for i in range(9)))
    assert len(bare) == 1
    assert "9 of 9 packages" in bare[0][1]
    assert doctor.packages({"torch": "2.13.0+cpu"}.get, "torch==2.13.0\n")[0][0] == "ok"


def test_the_doctor_knows_a_cuda_build_without_a_gpu(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor.torch_build("2.13.0+cu130")[0] == "note"
    assert doctor.torch_build("2.13.0+cpu")[0] == "ok"
    assert doctor.torch_build("")[0] == "missing"


def test_the_doctor_works_where_nothing_is_installed():
    """In a bare interpreter it must still speak in words."""
    bare = [sys.executable, "-S", "-m", "course_utils", "doctor"]  # -S: without site-packages
    done = subprocess.run(bare, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "run `make setup`" in done.stdout
    assert "notebooks not looked at" in done.stdout


def test_the_doctor_refuses_an_unknown_scale(monkeypatch):
    monkeypatch.setenv("COURSE_SCALE", "huge")
    assert doctor.dial() == (
        "missing",
        "COURSE_SCALE is 'huge'; it must be one of fast, default, full: unset it",
    )


def test_copies_are_made_once_and_never_overwritten(tmp_path):
    release = tmp_path / "notebooks" / "00-a" / "00-a.ipynb"
    release.parent.mkdir(parents=True)
    release.write_text("first")
    work = tmp_path / "work"
    assert lay_copies(tmp_path / "notebooks", work) == []
    own = work / "00-a" / "00-a.ipynb"
    own.write_text("my answers")
    assert lay_copies(tmp_path / "notebooks", work) == []
    release.write_text("second")
    (line,) = lay_copies(tmp_path / "notebooks", work)
    assert "newer release of 00-a" in line
    assert own.read_text() == "my answers"
    (beside,) = work.glob("00-a/*newer*")
    assert beside.read_text() == "second"
    assert lay_copies(tmp_path / "notebooks", work) == []
