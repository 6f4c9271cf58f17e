"""Sealed execution, seen from outside: a warm zygote in the sandbox, and a session for each submission.

    with Zygote(package) as zygote, zygote.session() as session:
        session.run_cell("def double(x): return 2 * x")
        RemoteFunction(session, "double")(3)

Nothing that a session gives back was computed by anything but the student's process: it is data to be judged.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass

from course_utils.grading import bubblewrap, cgroups
from course_utils.grading.session import GraderFault, Session, SessionEnded, ZygoteDied

__all__ = ["GraderFault", "Limits", "Session", "SessionEnded", "Zygote", "ZygoteDied"]

PRELOAD = (
    "transformers", "numpy", "pandas", "sympy", "scipy.stats", "scipy.optimize", "matplotlib.pyplot", "IPython",
)  # fmt: skip
_START = 120  # seconds; a cold disk needs them
_LEAVE = 30  # seconds for a process to be gone


@dataclass(frozen=True)
class Limits:
    """What a zygote and its submission may use: bytes of memory and of files, processes (threads count)."""

    memory: int = 4 << 30
    processes: int = 128
    files: int = 2 << 30


class Zygote:
    """A warm parent of students' processes, in the sandbox; started when it is entered, and anew when it has died.

    To be started in a process's main thread: bubblewrap ends with the thread that started it.

    Args:
        package: folder with the student-side package (see course_utils.grading.package).
        sandbox: False for the same without any sandbox.
        limits: a `Limits`.
        preload: modules that it imports once for all submissions.

    Attributes:
        grouped: whether the kernel limits memory and processes of all its processes together (a control group).
    """

    def __init__(self, package, sandbox=True, limits=None, preload=PRELOAD):
        self.package, self.sandbox, self.preload = package, sandbox, tuple(preload)
        self.limits = limits or Limits()
        self._process = self._control = self._group = self._other = None
        self._leaving = []  # status sockets of sessions that were left

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.close()

    @property
    def grouped(self):
        return self._group is not None

    @property
    def alive(self):
        return self._process is not None and self._process.poll() is None

    def start(self):
        """Start the process and wait until it is warm.

        Raises:
            GraderFault: if there is no sandbox here, or the process does not come up; with its last words.
        """
        self.close()
        if self.sandbox and (reason := bubblewrap.missing()):
            raise GraderFault(reason)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._group = cgroups.make(self.limits.memory, self.limits.processes)
        settings = {"sandbox": self.sandbox, "preload": self.preload, "grouped": self.grouped}
        settings |= asdict(self.limits)
        words = [
            "-s",
            "-P",
            "-m",
            "course_utils.grading.inside.zygote",
            str(theirs.fileno()),
            json.dumps(settings),
        ]
        if self.sandbox:
            words, surroundings = [*bubblewrap.command(self.package, self.limits.files), *words], {}
            surroundings["PATH"] = os.environ.get("PATH", os.defpath)
        else:
            words = [sys.executable, *words]
            surroundings = (
                os.environ | bubblewrap.environment(self.package) | {"HOME": os.environ.get("HOME", "/")}
            )
            surroundings["PYTHONPATH"] = str(self.package)
            surroundings.pop("PYTHONHASHSEED", None)  # see `other`
        prefix = self._group.prefix if self._group else []
        with theirs:
            self._process = subprocess.Popen(
                [*prefix, *words], pass_fds=[theirs.fileno()], env=surroundings,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            )  # fmt: skip
        self._control.settimeout(_START)
        try:
            ready = json.loads(self._control.recv(1000) or b"null")
        except TimeoutError:
            ready = None
        if ready is None:
            self._process.kill()
            words = self._process.stderr.read()[-2000:].decode(errors="replace").strip()
            self.close()
            raise GraderFault(f"the sandbox did not start: {words or 'no word from it'}")
        self._process.stderr.close()
        if ready["threads"] != 1:
            self.close()
            raise GraderFault(
                f"the warm parent has {ready['threads']} threads; it must have one to be forked"
            )

    def other(self):
        """Another zygote like this one, where strings have other hashes; started when it is first asked for."""
        if self._other is None:
            self._other = Zygote(self.package, self.sandbox, self.limits, self.preload)
        return self._other  # its first session starts it

    def close(self):
        """End the process and all below it."""
        if self._other is not None:
            self._other.close()
        while self._leaving:
            self._leaving.pop().close()
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
        if self._group is not None:
            self._group.remove()
        self._process = self._control = self._group = None

    def session(self, seconds=60):
        """A fresh process for one submission (use it in a `with`).

        Args:
            seconds: what the whole submission may be charged.
        """
        self._wait_for_those_leaving()
        if not self.alive:
            self.start()
        ours, theirs = socket.socketpair()
        status, wardens = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, wardens:
            try:
                socket.send_fds(self._control, [b"fork"], [theirs.fileno(), wardens.fileno()])
            except OSError as error:
                raise ZygoteDied(f"the warm parent is gone ({error.strerror})") from None
        return Session(self, ours, status, seconds)

    def see_off(self, status):
        """Have a session's warden kill its process; `status` is our end of its status socket."""
        with contextlib.suppress(OSError):  # it has hung up
            status.shutdown(socket.SHUT_WR)
        self._leaving.append(status)

    def _wait_for_those_leaving(self):
        """So that what one submission holds (forty processes, say) is not missing for the next."""
        while self._leaving:
            with self._leaving.pop() as status, contextlib.suppress(OSError):
                status.settimeout(_LEAVE)
                while status.recv(4096):  # until the warden hangs up
                    pass

    def attempt(self, work, seconds=60):
        """`work(session)` in a fresh session; once more in another one, if the zygote died meanwhile."""
        try:
            with self.session(seconds) as session:
                return work(session)
        except ZygoteDied:
            self.start()
            with self.session(seconds) as session:
                return work(session)
