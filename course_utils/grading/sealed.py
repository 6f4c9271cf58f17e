"""Sealed execution, seen from outside: a warm zygote in the sandbox, and a session for each submission.

    with Zygote(package) as zygote, zygote.session() as session:
        session.run_cell("def double(x): return 2 * x")
        RemoteFunction(session, "double")(3)

Nothing that a session gives back was computed by anything but the student's process: it is data to be judged.
"""

import contextlib
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

import safetensors
import safetensors.torch

from course_utils.grading import bubblewrap, outputs, wire

PRELOAD = (
    "transformers", "numpy", "pandas", "sympy", "scipy.stats", "scipy.optimize", "matplotlib.pyplot", "IPython",
)  # fmt: skip
_START = 120  # seconds; a cold disk needs them
_CALLBACKS = 10_000  # that one question may ask back
_WALL = 5  # times the seconds charged: the end, however busy the machine


class SessionEnded(Exception):
    """The submission's process has ended, or broke the rules; the text says how. The submission's own fault."""


class GraderFault(Exception):
    """Something of the grader's own failed; the text says what."""


class ZygoteDied(GraderFault):
    """The warm parent is gone, and the session with it."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use: bytes of memory and of files, processes."""

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
    """

    def __init__(self, package, sandbox=True, limits=None, preload=PRELOAD):
        self.package, self.sandbox, self.preload = package, sandbox, tuple(preload)
        self.limits = limits or Limits()
        self._process = self._control = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.close()

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
        settings = asdict(self.limits) | {"sandbox": self.sandbox, "preload": self.preload}
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
        with theirs:
            self._process = subprocess.Popen(
                words, pass_fds=[theirs.fileno()], env=surroundings,
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

    def close(self):
        """End the process and all below it."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
        self._process = self._control = None

    def session(self, seconds=60):
        """A fresh process for one submission (use it in a `with`).

        Args:
            seconds: what the whole submission may be charged.
        """
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

    def attempt(self, work, seconds=60):
        """`work(session)` in a fresh session; once more in another one, if the zygote died meanwhile."""
        try:
            with self.session(seconds) as session:
                return work(session)
        except ZygoteDied:
            self.start()
            with self.session(seconds) as session:
                return work(session)


class Session:
    """One submission's process. Made by `Zygote.session`; leaving it kills the process and all that it started."""

    def __init__(self, zygote, channel, status, seconds):
        self._zygote, self._channel, self._status = zygote, channel, status
        self._reason = None
        self._usage = {"at": time.monotonic(), "cpu": 0.0, "waited": 0.0}
        self._left, self._wall_end = seconds, time.monotonic() + _WALL * seconds
        try:
            self._wait_until_up()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        """Hang up; the warden kills the process and all that it started."""
        self._channel.close()
        self._status.close()
        self._reason = self._reason or "the session is closed"

    def run_cell(self, source, seconds=10):
        """Run one cell.

        Returns:
            A `CellResult`: outputs as nbformat has them, and the line of its error or None.

        Raises:
            SessionEnded: if the process ended or was ended meanwhile.
            GraderFault: if that was not the submission's doing.
        """
        reply, _ = self._exchange({"op": "cell", "source": source}, {}, seconds, None)
        return outputs.cell_result(reply)

    def ask(self, question, tensors=None, seconds=10, answer_callback=None):
        """Ask a question about the notebook's functions.

        Args:
            question: a dict that JSON can hold, for course_utils.grading.inside.calls.
            tensors: {name: tensor} that go with it.
            seconds: what the process may be charged for the answer.
            answer_callback: answers what the process asks back: (question, tensors) to (answer, tensors).

        Returns:
            (reply, tensors): what the process says; not to be trusted.

        Raises:
            SessionEnded, GraderFault: as `run_cell`.
        """
        return self._exchange({"op": "ask", "question": question}, tensors or {}, seconds, answer_callback)

    def _exchange(self, message, tensors, seconds, answer_callback):
        if self._reason:
            raise SessionEnded(self._reason)
        number = secrets.token_hex(16)
        clock = _Clock(self, min(seconds, self._left), seconds)
        try:
            self._send(message | {"id": number}, tensors, clock)
            for _ in range(_CALLBACKS):
                reply, tensors = self._receive(number, clock)
                if "reply" in reply:
                    self._left -= clock.charged()
                    return _dict(reply["reply"]), tensors
                if answer_callback is None or "callback" not in reply:
                    raise wire.WireError("a message that is no answer")
                with clock.stopped():
                    answer, tensors = answer_callback(_dict(reply["callback"]), tensors)
                self._send({"id": number, "answer": answer}, tensors, clock)
            raise wire.WireError(f"more than {_CALLBACKS} questions back")
        except (wire.WireError, TimeoutError) as error:
            raise self._end(error) from None

    def _send(self, message, tensors, clock):
        blob = safetensors.torch.save(tensors) if tensors else b""
        wire.send(self._channel, message, blob, clock.wait)

    def _receive(self, number, clock):
        message, blob = wire.receive(self._channel, clock.wait)
        if message.get("id") != number:
            raise wire.WireError("an answer to a question that was not asked")
        try:
            return message, safetensors.torch.load(blob) if blob else {}
        except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
            raise wire.WireError(f"tensors that are none ({type(error).__name__})") from None

    def _wait_until_up(self):
        end = time.monotonic() + _START
        while time.monotonic() < end:
            if not select.select([self._status], [], [], 0.5)[0] and self._zygote.alive:
                continue
            note = self._note()
            if note is None or "ended" in note:
                break
            if "fault" in note:
                raise GraderFault(note["fault"])
            if "up" in note:
                self._usage["at"] = time.monotonic()
                return
        if not self._zygote.alive:
            raise ZygoteDied("the warm parent died")
        raise GraderFault("the submission's process did not start")

    def _note(self):
        """The next packet of the warden, which is trusted; None where it has hung up."""
        try:
            return json.loads(self._status.recv(4096) or b"null")
        except OSError:
            return None

    def _end(self, error):
        """Kill the process; the exception that says how it ended."""
        over = str(error) if isinstance(error, TimeoutError) else None
        ended = None
        if over is None:
            # hung up or talked nonsense: the warden knows whether the process has ended
            self._channel.close()
            end = time.monotonic() + 5
            while ended is None and time.monotonic() < end and select.select([self._status], [], [], 1)[0]:
                if (note := self._note()) is None:
                    break
                ended = note.get("ended")
        fault = not self._zygote.alive
        self.close()
        if fault:
            self._reason = "the warm parent died"
            return ZygoteDied(self._reason)
        self._reason = over or _how(ended, error)
        return SessionEnded(self._reason)


class _Clock:
    """What one question has cost so far: the larger of the time since it was asked, without that in which the
    process stood ready but no core took it, and the CPU time of all its processes. As the warden sees them."""

    def __init__(self, session, seconds, asked):
        self._session, self._seconds = session, seconds
        self._words = (
            f"took more than {asked:g} s" if seconds == asked else "the whole took more than its time"
        )
        self._began, self._free = dict(session._usage), 0.0
        self._at = time.monotonic()
        self._wall_end = min(self._at + _WALL * seconds, session._wall_end)

    def charged(self):
        now, began = self._session._usage, self._began
        wall = max(0.0, now["at"] - self._at)
        if now["waited"] is not None:
            wall -= now["waited"] - (began["waited"] or 0.0)
        return max(wall - self._free, now["cpu"] - began["cpu"], 0.0)

    def wait(self, channel, direction):
        """Return when the channel is ready; raise TimeoutError when the time is up."""
        reading = direction == "read"
        poll = select.poll()
        poll.register(channel, select.POLLIN if reading else select.POLLOUT)
        poll.register(self._session._status, select.POLLIN)
        while True:
            ready = dict(poll.poll(1000))
            if self._session._status.fileno() in ready and not self._look():
                poll.unregister(self._session._status)
            if self.charged() > self._seconds or time.monotonic() > self._wall_end + self._free:
                raise TimeoutError(self._words)
            if channel.fileno() in ready:
                return

    def _look(self):
        note = self._session._note()
        if note is None or "ended" in note:
            return False
        self._session._usage = note.get("usage", self._session._usage)
        return True

    @contextlib.contextmanager
    def stopped(self):
        """Within, the grader works, and the process that waits for it is charged nothing."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._free += time.monotonic() - began


def _dict(thing):
    if not isinstance(thing, dict):
        raise wire.WireError("an answer that is no JSON object")
    return thing


def _how(ended, error):
    """How a process ended, for a teacher."""
    if ended is None:
        return f"the process broke off: {error}"
    if ended["over"] == "memory":
        return "the process used more memory than it may"
    if ended["over"] == "processes":
        return "the process started more processes than it may"
    code = ended["code"]
    if code == -signal.SIGKILL and not isinstance(error, wire.WireError):
        return "the process was killed"
    if code < 0:
        return f"the process was killed by signal {-code}"
    return f"the process ended itself: {error}"
