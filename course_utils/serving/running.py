"""Start the service: in a thread of this process, or as a process of its own by `python -m course_utils serve`."""

import collections
import contextlib
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time

START_SECONDS = 120  # a model takes its time to load, on a busy machine more


@contextlib.contextmanager
def serve_in_thread(app, host="127.0.0.1", port=0):
    """Serve an app from a thread, as a notebook does; yields its address, ends gracefully.

    Args:
        app: from `create_app`.
        host, port: where; port 0 takes a free one.

    Raises:
        RuntimeError: the app did not start.
    """
    import uvicorn

    listener = socket.create_server((host, port))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the app did not start; its error stands above")
        time.sleep(0.01)
    try:
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


class ServerProcess:
    """The service as a process; a context manager that ends it.

    Args:
        arguments: of `python -m course_utils serve`, as strings; the port is a free one.
        environment: variables beside this process's.

    Attributes:
        url: its address.
        process: a `subprocess.Popen`.
        output: the latest lines that it printed.

    Raises:
        RuntimeError: it did not start within two minutes; with what it printed.
    """

    def __init__(self, *arguments, **environment):
        command = [sys.executable, "-m", "course_utils", "serve", "--port", "0", *map(str, arguments)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | environment
        )
        self.output = collections.deque(maxlen=500)
        # read for as long as it lives: what it says later must not fill the pipe and stop it
        lines, said = queue.Queue(), []
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()
        self.url, end = None, time.monotonic() + START_SECONDS
        while self.url is None:
            try:
                said.append(lines.get(timeout=max(0.0, end - time.monotonic())))
            except queue.Empty:
                said.append(None)
            if said[-1] is None:
                self.kill()
                raise RuntimeError("the service did not start:\n" + "".join(said[:-1]))
            if said[-1].startswith("listening on "):
                self.url = said[-1].split()[-1]

    def _read(self, lines):
        for line in self.process.stdout:
            self.output.append(line)
            lines.put(line)
        lines.put(None)

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.stop()

    def stop(self):
        """End it gracefully: what waits is answered."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self):
        """End it at once, as kill -9 does."""
        self.process.kill()
        self.process.wait()


def write_tokens(file, tokens):
    """Write {token: client's name} where only the owner can read it; returns the file."""
    with open(file, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as stream:
        json.dump(tokens, stream)
    return file
