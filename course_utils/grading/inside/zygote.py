"""The warm parent: has imported what notebooks import, and forks once for each submission.

Started by course_utils.grading.sealed as `python -m course_utils.grading.inside.zygote FD SETTINGS`. FD is its control
socket: each message on it brings two descriptors, the channel of a new student and the status socket of its warden.
"""

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys

from course_utils.grading.inside import shell, warden

# The first gradient of a process imports the third of these and sympy (half a second a submission), its first optimiser
# the last (more than a second).
ALWAYS = ("torch", "safetensors.torch", "torch.fx.experimental.symbolic_shapes", "torch._dynamo")


def main():
    control = socket.socket(fileno=int(sys.argv[1]))
    settings = json.loads(sys.argv[2])
    made = shell.make_shell()
    warm_up([*ALWAYS, *settings["preload"]])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # wardens need no burial
    threads = os.listdir("/proc/self/task")
    control.send(json.dumps({"ready": True, "threads": len(threads)}).encode())
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 16, 2)
        if not message:
            os._exit(0)
        with contextlib.suppress(
            OSError
        ):  # no room for a process: the descriptors close, and the grader sees it
            if os.fork() == 0:
                control.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                warden.keep(*descriptors, made, settings)
        for descriptor in descriptors:
            os.close(descriptor)


def warm_up(modules):
    """Import what a notebook will import, and do once what a library does late, without ever starting a thread."""
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    for module in modules:
        with contextlib.suppress(
            ImportError
        ):  # a library that the notebook's author has and the grader has not
            importlib.import_module(module)
    torch.ones(4, 4) @ torch.ones(4, 4)  # reads /proc/cpuinfo, which no student will see
    gc.collect()
    gc.freeze()  # so that a collection in a child copies no page


if __name__ == "__main__":
    main()
