"""Running code that nobody vouches for under a time limit, test by test.

What stops a program that runs for ever? A timer signal (`signal.setitimer`) reaches the main thread only and, as an
exception, can be caught by the very loop that it should end. A thread can be left behind, but goes on computing. A
process can be killed. A *forked* one starts in milliseconds and needs no pickling: closures and functions from a
notebook go along as they are. So the tests run in a forked process where the system has forks (Linux, macOS), from
any thread, and in threads on Windows, where a program that waits inside a library's code is left behind.

This is a time limit, not a sandbox: the program may read files, use the network and fill the memory.
"""

import contextlib
import ctypes
import gc
import io
import multiprocessing
import os
import signal
import sys
import threading
import warnings

import torch

_BEGUN, _HELD, _FAILED = b"begun", b"held", b"failed"


def outcomes(tests, timeout):
    """Which tests hold, each within its time.

    Args:
        tests: functions without arguments, called in order; a test holds if what it returns is true.
        timeout: seconds of wall time that each may take.

    Returns:
        A list of bools. False too for a test that raises (SystemExit and KeyboardInterrupt included), takes longer,
        or ends its process. What tests print goes nowhere. With forks, whatever they change stays in the forked
        process; tests that follow a stopped one start from the state before the first.
    """
    if not hasattr(os, "fork"):
        return [_in_a_thread(test, timeout) for test in tests]
    held = []
    while len(held) < len(tests):
        held += _in_a_fork(tests[len(held) :], timeout)
    return held


def _in_a_fork(tests, timeout):
    """The outcomes of the first tests, up to and with the first that is stopped or ends its process."""
    reader, writer = multiprocessing.Pipe(duplex=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads; see _child
        child = os.fork()
    if child == 0:
        _child(tests, writer)
    writer.close()
    held = []
    try:
        for _ in tests:
            held.append(False)
            reader.recv_bytes()  # the clock starts when the test does, not with the fork
            if not reader.poll(timeout):
                break
            held[-1] = reader.recv_bytes() == _HELD
    except EOFError:  # the process is gone
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        reader.close()
    return held


def _child(tests, writer):
    """The forked process: reports before and after each test, and never returns."""
    try:
        os.setsid()  # an interrupt of the notebook is the parent's business
        gc.freeze()  # the parent's objects are not finalised here
        torch.set_num_threads(
            1
        )  # the other threads of its pool do not exist here, and waiting for them hangs
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(*of) for of in ((0, "r"), (1, "w"), (2, "w")))
        for test in tests:
            writer.send_bytes(_BEGUN)
            writer.send_bytes(_HELD if _holds(test) else _FAILED)
    finally:
        os._exit(0)


def _in_a_thread(test, timeout):
    """The outcome of one test; where time is up, its thread is asked to end at its next line of Python."""
    held = []
    thread = threading.Thread(target=lambda: held.append(_holds(test)), daemon=True)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        thread.start()
        thread.join(timeout)
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(KeyboardInterrupt)
        )
        return False
    return held == [True]


def _holds(test):
    try:
        return bool(test())
    except BaseException:  # sys.exit() is one way to end a test early
        return False
