"""A kernel of ours is not lost to another process that takes its port."""

from pathlib import Path

import nbformat
import nbval.kernel

from course_utils.commands import kernel_sockets
from course_utils.commands.execute import execute


def test_a_run_listens_at_socket_files_and_leaves_none(tmp_path):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("app = get_ipython().kernel.parent\nprint(app.transport, app.ip)")]
    )
    execute(notebook, tmp_path)
    transport, place = notebook.cells[0].outputs[0].text.split()
    assert transport == "ipc"
    assert not list(Path(place).parent.glob(f"{Path(place).name}*"))


def test_two_kernels_of_nbval_listen_at_files_of_their_own(monkeypatch):
    monkeypatch.setattr(nbval.kernel, "KernelManager", nbval.kernel.KernelManager)
    kernel_sockets.pytest_configure()
    first, second = (nbval.kernel.KernelManager(kernel_name="python3") for _ in range(2))
    assert first.transport == second.transport == "ipc"
    assert first.ip != second.ip
