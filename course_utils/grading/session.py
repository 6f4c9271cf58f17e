"""One submission's process, seen from outside: cells and questions go in, data comes out, within its time."""

import contextlib
import json
import secrets
import select
import signal
import time

import safetensors.torch

from course_utils.grading import outputs, wire

_START = 60  # seconds for a fork; a machine short of memory needs some
_CALLBACKS = 10_000  # that one question may ask back
_WALL = 5  # times the seconds charged: the end, however busy the machine


class SessionEnded(Exception):
    """The submission's process has ended, or broke the rules; the text says how. The submission's own fault."""


class GraderFault(BaseException):
    """Something of the grader's own failed; the text says what. Not to be taken for an exception of student code."""


class ZygoteDied(GraderFault):
    """The warm parent is gone, and the session with it."""


class Session:
    """One submission's process. Made by `Zygote.session`; leaving it kills the process and all that it started.

    Attributes:
        ended: why nothing can be asked any more; None while it can.
        memory: the most bytes that the warden saw the processes hold, pages shared with the zygote included.
    """

    def __init__(self, zygote, channel, status, seconds):
        self._zygote, self._channel, self._status = zygote, channel, status
        self.ended = self._how_ended = None
        self._warden_gone, self.memory = False, 0
        self._held, self._cells = None, []
        self._usage = {"at": time.monotonic(), "cpu": 0.0, "waited": 0.0}
        self._seconds = self._left = seconds
        self._wall_end = time.monotonic() + _WALL * seconds
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
        if self._channel.fileno() >= 0:
            self._channel.close()
            self._zygote.see_off(self._status)
        self.ended = self.ended or "the session is closed"

    def run_cell(self, source, seconds=10):
        """Run one cell.

        Returns:
            A `CellResult`: outputs as nbformat has them, and the line of its error or None.

        Raises:
            SessionEnded: if the process ended or was ended meanwhile.
            GraderFault: if that was not the submission's doing.
        """
        self._cells.append((source, seconds))
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

    @contextlib.contextmanager
    def again(self, elsewhere=False):
        """Another process in which the same cells have run, while this one waits; what is asked of it is on this one's time.

        Args:
            elsewhere: whether it comes from another warm parent, where strings have other hashes.
        """
        zygote, began = self._zygote.other() if elsewhere else self._zygote, time.monotonic()
        try:
            with zygote.session(2 * self._seconds) as other:  # what just fitted once has to fit again
                for source, seconds in self._cells:
                    other.run_cell(source, 2 * seconds)
                other._left = left = self._left
                try:
                    yield other
                finally:
                    self._left -= left - other._left
        finally:
            self._wall_end += time.monotonic() - began

    def hold(self, room=None):
        """Give the process an end to its address space, for good, as its warden does it; or only look.

        Args:
            room: bytes that it may have more than now; None to look.

        Returns:
            {"grown": bytes that it has more than it began with, "processes": how many there are}.

        Raises:
            SessionEnded, GraderFault: as `run_cell`.
        """
        if self.ended:
            raise SessionEnded(self.ended)
        self._held = None
        with contextlib.suppress(OSError):  # it has ended: told by its last word
            self._status.send(json.dumps({"room": room}).encode())
        end = time.monotonic() + _START
        while self._held is None:
            if time.monotonic() > end or not self._take_note():
                raise self._end(wire.HungUp("the process is gone"))
        return self._held

    @contextlib.contextmanager
    def reading(self):
        """Within, the grader reads what the process gave back: the time that this takes is the submission's own."""
        began = time.thread_time()
        try:
            yield
        finally:
            self._left -= time.thread_time() - began

    def _exchange(self, message, tensors, seconds, answer_callback):
        if self.ended:
            raise SessionEnded(self.ended)
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
        except (wire.WireError, _TimeUp) as error:
            raise self._end(error) from None
        except BaseException:
            self.close()  # the callback's, or a stop: what comes on the channel can no longer be told apart
            raise

    def _send(self, message, tensors, clock):
        blob = safetensors.torch.save(tensors) if tensors else b""
        wire.send(self._channel, message, blob, clock.wait)

    def _receive(self, number, clock):
        with self.reading():
            message, blob = wire.receive(self._channel, clock.wait)
            if message.get("id") != number:
                raise wire.WireError("an answer to a question that was not asked")
            try:
                return message, safetensors.torch.load(blob) if blob else {}
            except Exception as error:  # whatever the library raises for nonsense
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
        raise ZygoteDied("the warm parent died, or forks no more")

    def _note(self):
        """The next packet of the warden, which is trusted; None where it has hung up."""
        try:
            return json.loads(self._status.recv(4096) or b"null")
        except OSError:
            return None

    def _end(self, error):
        """Kill the process; the exception that says how it ended."""
        if isinstance(error, wire.HungUp):
            self._wait_for_last_note()
        died = self._warden_gone or not self._zygote.alive
        if died:
            self.ended = "the warm parent died"
        elif isinstance(error, _TimeUp):
            self.ended = str(error)
        else:
            self.ended = _how(self._how_ended) if self._how_ended else f"the process broke off: {error}"
        self.close()
        return ZygoteDied(self.ended) if died else SessionEnded(self.ended)

    def _wait_for_last_note(self):
        """Until the warden said how the process ended; a process that only hung up has two seconds."""
        end = time.monotonic() + 2
        while not (self._how_ended or self._warden_gone) and time.monotonic() < end:
            if select.select([self._status], [], [], 0.5)[0]:
                self._take_note()

    def _take_note(self):
        """Read the warden's next packet and keep what it says; False where there will be none after it."""
        note = self._note()
        if note is None:
            self._warden_gone = True  # without a word: only with the zygote
            return False
        self._usage = note.get("usage", self._usage)
        self._held = note.get("held", self._held)
        self.memory = max(self.memory, self._usage.get("memory", 0))
        self._how_ended = note.get("ended")
        return self._how_ended is None


class _TimeUp(Exception):
    """A process was charged all that it had; the text says it."""


class _Clock:
    """What one question has cost so far: the larger of the time since it was asked, without that in which the
    process stood ready but no core took it, and the CPU time of all its processes. As the warden sees them; where the
    kernel does not tell how long a process stood ready, the CPU time alone."""

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
        cpu = max(0.0, now["cpu"] - began["cpu"])
        if now["waited"] is None:
            return cpu
        waited = now["waited"] - (began["waited"] or 0.0)
        return max(now["at"] - self._at - waited - self._free, cpu)

    def wait(self, channel, direction):
        """Return when the channel is ready; raise _TimeUp when the time is up."""
        reading = direction == "read"
        poll = select.poll()
        poll.register(channel, select.POLLIN if reading else select.POLLOUT)
        poll.register(self._session._status, select.POLLIN)
        while True:
            ready = dict(poll.poll(1000))
            if self._session._status.fileno() in ready and not self._session._take_note():
                poll.unregister(self._session._status)
            if self.charged() > self._seconds or time.monotonic() > self._wall_end + self._free:
                raise _TimeUp(self._words)
            if channel.fileno() in ready:
                return

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


def _how(ended):
    """How a process ended, for a teacher."""
    if ended["over"]:
        return f"the process used more {ended['over']} than it may"
    if ended["code"] == -signal.SIGKILL:
        return "the process used more memory than it may"  # nothing inside can kill it: the kernel did
    if ended["code"] < 0:
        return f"the process ended with signal {-ended['code']} ({signal.Signals(-ended['code']).name})"
    return "the process ended itself"
