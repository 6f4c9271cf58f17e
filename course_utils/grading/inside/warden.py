"""The warden of one submission: makes the namespaces, starts the student in them, watches, and ends them.

It stays outside the student's process namespace, so that no student can reach it; what it reports is true.
"""

import contextlib
import json
import os
import resource
import select
import signal
import socket
import time

from course_utils.grading.inside import confine, student, usage

# seconds between two looks at the student's processes, and where its memory is held
_TICK, _TICK_HELD = 0.1, 0.01
_SLACK = 16 << 20  # bytes that a process may give back of what it was forked with


def keep(channel, status, shell, settings):
    """In a fresh fork of the zygote: run one student until it ends or the grader hangs up. Never returns.

    Args:
        channel: descriptor of the student's end of the channel to the grader.
        status: descriptor of the warden's end of the status socket (one JSON object a packet): "up" when the student
            is confined, its "usage" all along, and how it "ended". A request of the grader's, {"room": bytes or None},
            is answered by "held": see `_hold`.
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
    """Until the student's end or the grader's hang-up: report usage, answer, and end what is over its limits."""
    poll, child = select.poll(), os.pidfd_open(pid)
    poll.register(child, select.POLLIN)
    poll.register(tell, select.POLLIN)
    first, held, over = usage.address_space("self"), False, None  # a fork is as large as its parent
    try:
        while not over:
            ready = dict(poll.poll(1000 * (_TICK_HELD if held else _TICK)))
            if child in ready:
                break
            if tell.fileno() in ready:
                request = tell.recv(1000)
                if not request:
                    break
                room = json.loads(request)["room"]
                held = held or room is not None
                _tell(tell, {"held": _hold(pid, room, first)}, flags=0)
            now = usage.usage(pid)
            _tell(tell, {"usage": {"at": time.monotonic(), **now}})
            over = _over(pid, now, settings) or (_evades(pid, first) if held else None)
    finally:  # whatever failed here, no student is left unwatched
        with contextlib.suppress(ProcessLookupError):  # it has ended
            if settings["sandbox"]:
                os.kill(pid, signal.SIGKILL)  # the first process of its namespace: all others go with it
            else:
                os.killpg(pid, signal.SIGKILL)
    _, how = os.waitpid(pid, 0)
    _tell(tell, {"ended": {"over": over, "code": os.waitstatus_to_exitcode(how)}}, flags=0)  # must arrive


def _hold(pid, room, first):
    """Give the student's process an end to its address space, for good: so many bytes more than it has.

    A hard limit that was lowered can be raised again by nobody in here, the warden included.

    Returns:
        {"grown": bytes that the process has more than as a fresh fork, "processes": how many there are}.
    """
    now = usage.address_space(pid)
    if room is not None:
        most, before = now + room, resource.prlimit(pid, resource.RLIMIT_AS)[1]
        most = most if before == resource.RLIM_INFINITY else min(most, before)
        with contextlib.suppress(OSError):  # it has just put an earlier end to itself, or is gone
            resource.prlimit(pid, resource.RLIMIT_AS, (most, most))
    return {"grown": now - first, "processes": len(usage.below(pid))}


def _evades(pid, first):
    """How a process that is held has got room elsewhere: in another process, or by giving up (with an exec, say) what
    it was forked with; None where it has not."""
    if len(usage.below(pid)) > 1:
        return "processes"
    return "memory" if usage.address_space(pid) < first - _SLACK else None


def _over(pid, now, settings):
    """Which limit of all processes together is passed, if one is; those of the kernel are for one process each, but
    for a control group's."""
    if now["processes"] > settings["processes"]:
        return "processes"
    if settings["grouped"]:
        return None
    if now["memory"] > settings["memory"] and usage.own_memory(pid) > settings["memory"]:
        return "memory"
    return None


def _tell(tell, message, flags=socket.MSG_DONTWAIT):
    with contextlib.suppress(OSError):  # the grader has hung up, or is behind with reading
        tell.send(json.dumps(message).encode(), flags)
