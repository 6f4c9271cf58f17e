"""How our runs talk to their kernels: by socket files; as a pytest plugin, nbval's kernels too.

jupyter_client looks for free TCP ports and lets go of them before the kernel binds them. On a busy machine another
process takes one in between, and the kernel dies at its start, with "Address already in use".
"""

import os
import tempfile
import uuid


def socket_files():
    """Options of a KernelManager that gives its kernel five files of its own; it removes them at shutdown."""
    # jupyter's own folder may lie deeper than the 107 characters that the name of a socket may have
    return {"transport": "ipc", "ip": os.path.join(tempfile.gettempdir(), f"kernel-{uuid.uuid4().hex}")}


def pytest_configure():
    """Give nbval's kernels such files; nbval has no option for it."""
    import nbval.kernel

    manager = nbval.kernel.KernelManager
    nbval.kernel.KernelManager = lambda **options: manager(**options, **socket_files())
