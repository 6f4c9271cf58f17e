"""The warden of one submission: makes the namespaces, starts the student in them, watches, and ends them.

It stays outside the student's process namespace, so that no student can reach it; what it reports is true.
"""

import contextlib
import json
import os
import select
import signal
import socket
import time

from course_utils.grading.inside import confine, student
from course_utils.grading.inside.usage import own_memory, usage

_TICK = 0.1  # seconds between two looks at the student's processes


def keep(channel, status, shell, settings):
    """In a fresh fork of the zygote: run one student until it ends or the grader hangs up. Never returns.

    Args:
        channel: descriptor of the student's end of the channel to the grader.
        status: descriptor of the warden's end of the status socket (one JSON object a packet): "up" when the student
            is confined, its "usage" all along, and how it "ended".
        shell: the shell in which cells run.
        settings: `memory` and `files` in bytes, `processes`, `sandbox` (whether to confine at all), `grouped` (whether a
            control group limits memory).
    """
    try:
        confine.clean_descriptors(keep=(channel, status))
        tell = socket.socket(fileno=status)
        try:
            if settings["sandbox"]:
                confine.new_namespaces()
            pid = os.fork()
        except OSError as error:
            _tell(tell, {"fault": f"no namespaces: {error}"})
            return
        if pid == 0:
            _become_student(channel, tell, shell, settings)
        os.close(channel)
        _watch(pid, tell, settings)
    finally:
        os._exit(0)


def _become_student(channel, tell, shell, settings):
    try:
        if settings["sandbox"]:
            confine.confine(settings)
        else:
            os.setsid()
        _tell(tell, {"up": True})
    except OSError as error:
        _tell(tell, {"fault": f"not confined: {error}"})
        os._exit(0)
    tell.close()
    try:
        student.live(socket.socket(fileno=channel), shell)
    finally:
        os._exit(0)


def _watch(pid, tell, settings):
    """Until the student's end or the grader's hang-up: report usage, and end what is over its limits."""
    poll, child = select.poll(), os.pidfd_open(pid)
    poll.register(child, select.POLLIN)
    poll.register(tell, select.POLLHUP | select.POLLRDHUP)
    over = None
    try:
        while not over and not poll.poll(1000 * _TICK):
            now = usage(pid)
            _tell(tell, {"usage": {"at": time.monotonic(), **now}})
            over = _over(pid, now, settings)
    finally:  # whatever failed here, no student is left unwatched
        with contextlib.suppress(ProcessLookupError):  # it has ended
            if settings["sandbox"]:
                os.kill(pid, signal.SIGKILL)  # the first process of its namespace: all others go with it
            else:
                os.killpg(pid, signal.SIGKILL)
    _, how = os.waitpid(pid, 0)
    _tell(tell, {"ended": {"over": over, "code": os.waitstatus_to_exitcode(how)}}, flags=0)  # must arrive


def _over(pid, now, settings):
    """Which limit of all processes together is passed, if one is; those of the kernel are for one process each, but
    for a control group's."""
    if now["processes"] > settings["processes"]:
        return "processes"
    if settings["grouped"]:
        return None
    if now["memory"] > settings["memory"] and own_memory(pid) > settings["memory"]:
        return "memory"
    return None


def _tell(tell, message, flags=socket.MSG_DONTWAIT):
    with contextlib.suppress(OSError):  # the grader has hung up, or is behind with reading
        tell.send(json.dumps(message).encode(), flags)
