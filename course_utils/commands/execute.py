"""Run a notebook whole in a fresh kernel, with a time limit a cell, and say what it took."""

import threading
import time
from dataclasses import dataclass

import psutil
from nbclient import NotebookClient
from traitlets.config import Config

from course_utils.commands.kernel_sockets import socket_files
from course_utils.commands.paths import kernel_environment

# The seed of the hidden inputs in the committed notebooks; a class is graded with another.
SEED = {"COURSE_GRADING_SEED": "20260101"}
CELL_TIMEOUT = 400  # seconds, enough on a busy machine; at the full scale there is none


@dataclass(frozen=True)
class Cost:
    """Wall-clock seconds, and the kernel's largest resident memory in bytes (sampled ten times a second)."""

    seconds: float
    peak_bytes: int


def execute(notebook, folder, on_cell=None, timeout=CELL_TIMEOUT, scale=None):
    """Execute `notebook` in place, in a kernel that starts in `folder`; any error output raises.

    Args:
        notebook: a NotebookNode.
        folder: the kernel's working directory.
        on_cell: called with the number of cells done.
        timeout: seconds a cell may take; None for no limit.
        scale: COURSE_SCALE for the kernel; by default what the environment says.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised (the message quotes it).
        nbclient.exceptions.CellTimeoutError: a cell took too long.
    """
    environment = kernel_environment() | SEED | ({"COURSE_SCALE": scale} if scale else {})
    client = NotebookClient(
        notebook,
        timeout=timeout,
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        kernel_name="python3",
        config=Config({"KernelManager": socket_files()}),
        # ipykernel warns that a kernel on this machine is not encrypted
        extra_arguments=["--IPKernelApp.log_level=40"],
    )
    if on_cell:
        client.on_cell_complete = lambda cell, cell_index: on_cell(cell_index + 1)
    watch = _Memory(client)
    start = time.perf_counter()
    with watch:
        client.execute(env=environment)
    return Cost(time.perf_counter() - start, watch.peak)


class _Memory(threading.Thread):
    """Watches the resident memory of a client's kernel while it runs."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.peak, self._done = client, 0, threading.Event()

    def __enter__(self):
        self.start()

    def __exit__(self, *_):
        self._done.set()
        self.join()

    def run(self):
        while not self._done.wait(0.1):
            pid = getattr(getattr(self.client.km, "provisioner", None), "pid", None)
            try:
                self.peak = max(self.peak, psutil.Process(pid).memory_info().rss) if pid else self.peak
            except psutil.Error:
                continue
