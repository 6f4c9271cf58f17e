"""A control group for one zygote and its students: the kernel's own limit for their memory and processes together.

A process's own limits do not add up over its children, so where no group can be had the warden's look at the
processes, ten times a second, is all there is against many at once.
"""

import contextlib
import itertools
import os
import shutil
import subprocess
import time
from pathlib import Path

_NAME = "course-grading"
_SPARE = 16  # processes beside the students': bubblewrap, the zygote, wardens
_numbers = itertools.count()


class Group:
    """A control group.

    Attributes:
        prefix: words to put before a command, so that it runs in the group.
    """

    def __init__(self, prefix, folders=()):
        self.prefix, self._folders = list(prefix), list(folders)

    def remove(self):
        """Take the group away, once its processes have ended (they are given two seconds)."""
        end = time.monotonic() + 2
        while self._folders and time.monotonic() < end:
            for folder in list(self._folders):
                with contextlib.suppress(OSError):
                    folder.rmdir()
                    self._folders.remove(folder)
            if self._folders:
                time.sleep(0.01)


def make(memory, processes):
    """A `Group` with these limits (bytes, and processes of students), or None where none can be had."""
    return _version_1(memory, processes + _SPARE) or _by_systemd(memory, processes + _SPARE)


def available():
    """Whether a group can be had here."""
    made = make(1 << 30, 100)
    if made is not None:
        made.remove()
    return made is not None


def _version_1(memory, processes):
    """Folders below this process's own groups; for whoever may write there, as root may."""
    wanted = {
        "memory": {"memory.limit_in_bytes": memory},
        "pids": {"pids.max": processes},
        "cpu": {},  # its own share: a hundred processes of one worker get no more than the one of another
    }
    made = []
    try:
        for controller, settings in wanted.items():
            parent = Path("/sys/fs/cgroup") / controller / _own_path(controller)
            _sweep(parent)
            folder = parent / f"{_NAME}-{os.getpid()}-{next(_numbers)}"
            folder.mkdir()
            made.append(folder)
            for name, value in settings.items():
                (folder / name).write_text(str(value))
    except (OSError, LookupError):
        Group((), made).remove()
        return None
    joining = "".join(f"echo $$ > '{folder}/cgroup.procs' && " for folder in made)
    return Group(["/bin/sh", "-c", joining + 'exec "$@"', "sh"], made)


def _own_path(controller):
    """This process's group of a version 1 controller, relative to the controller's mount."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return path.lstrip("/")
    raise LookupError(controller)


def _sweep(parent):
    """Take away what a grader left that was killed."""
    for folder in parent.glob(f"{_NAME}-*"):
        if not Path("/proc", folder.name.split("-")[2]).exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


def _by_systemd(memory, processes):
    """A scope of the user's service manager (version 2)."""
    if shutil.which("systemd-run") is None:
        return None
    words = ["systemd-run", "--scope", "--quiet", *([] if os.getuid() == 0 else ["--user"])]
    words += ["-p", f"MemoryMax={memory}", "-p", "MemorySwapMax=0", "-p", f"TasksMax={processes}", "--"]
    try:
        tried = subprocess.run([*words, "true"], capture_output=True, stdin=subprocess.DEVNULL, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return Group(words) if tried.returncode == 0 else None
