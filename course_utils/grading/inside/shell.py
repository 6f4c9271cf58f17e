"""The shell in which a submission's cells run; what they print and show is kept as text and pictures, up to a cap."""

import base64
import contextlib
import io

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

TEXT_CAP = 20_000  # characters of a cell's output
PICTURES_CAP = 3 << 20  # characters of a cell's pictures in base64
OUTPUTS_CAP = 100


class Collector:
    """The outputs of one cell, as plain dicts."""

    def __init__(self):
        self.outputs, self.text_left, self.pictures_left = [], TEXT_CAP, PICTURES_CAP

    def stream(self, name, text):
        text = self._cut(text)
        last = self.outputs[-1] if self.outputs else {}
        if last.get("name") == name:
            last["text"] += text
        elif text:
            self._add({"output_type": "stream", "name": name, "text": text})

    def shown(self, kind, data):
        """A display or a result: its text, and its picture if that is a PNG. Nothing else leaves."""
        output = {"output_type": kind, "text": self._cut(str(data.get("text/plain", "")))}
        picture = data.get("image/png")
        if isinstance(picture, bytes):
            picture = base64.b64encode(picture).decode()
        if isinstance(picture, str) and len(picture) <= self.pictures_left:
            self.pictures_left -= len(picture)
            output["png"] = picture
        self._add(output)

    def error(self, name, value, lines):
        traceback = self._cut("\n".join(lines))
        self._add({"output_type": "error", "name": name, "value": value[:1000], "text": traceback})

    def _add(self, output):
        if len(self.outputs) < OUTPUTS_CAP:
            self.outputs.append(output)

    def _cut(self, text):
        kept = text[: self.text_left]
        self.text_left -= len(kept)
        return kept


class _Stream(io.TextIOBase):
    """sys.stdout or sys.stderr of one cell."""

    encoding = "utf-8"

    def __init__(self, collector, name):
        self._collector, self._name = collector, name

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._collector.stream(self._name, text)
        return len(text)

    def writable(self):
        return True


class _Publisher(DisplayPublisher):
    def publish(self, data, metadata=None, **kwargs):
        self.shell.collector.shown("display_data", data)

    def clear_output(self, wait=False):
        self.shell.collector.outputs.clear()


class _Hook(DisplayHook):
    def write_output_prompt(self):
        pass

    def write_format_data(self, format_dict, md_dict=None):
        self.shell.collector.shown("execute_result", format_dict)

    def finish_displayhook(self):
        pass


class Shell(InteractiveShell):
    """An IPython shell without history, prompt or colours."""

    display_pub_class = _Publisher
    displayhook_class = _Hook
    collector = None

    def run(self, source):
        """Run one cell.

        Returns:
            {"outputs": dicts, "error": a line or None}.
        """
        self.collector = Collector()
        out, err = _Stream(self.collector, "stdout"), _Stream(self.collector, "stderr")
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            result = self.run_cell(source, store_history=False)
        error = result.error_before_exec or result.error_in_exec
        line = f"{type(error).__name__}: {error}"[:500] if error is not None else None
        return {"outputs": self.collector.outputs, "error": line}

    @contextlib.contextmanager
    def silenced(self):
        """Within, what is printed or shown goes nowhere."""
        self.collector = Collector()
        nowhere = _Stream(Collector(), "stdout")
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            yield

    def _showtraceback(self, etype, evalue, stb):
        self.collector.error(etype.__name__, str(evalue), stb)


def make_shell():
    """The one shell of this process."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "NoColor"
    config.InteractiveShell.xmode = "Context"
    return Shell.instance(config=config)
