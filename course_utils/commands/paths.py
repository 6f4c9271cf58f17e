"""Where things lie in a checkout of the course, and the environment that its kernels run in."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOLUTIONS, NOTEBOOKS, WORK = ROOT / "solutions", ROOT / "notebooks", ROOT / "work"
PICTURES = NOTEBOOKS / "pictures"  # what the README shows


def assignments(root=ROOT):
    """The names of the assignments that have a source, in order."""
    return sorted(p.parent.name for p in (root / "solutions").glob("*/*.py") if p.stem == p.parent.name)


def kernel_environment():
    """The environment of kernels: two quiet threads, no network look-ups."""
    fixed = {
        "OMP_WAIT_POLICY": "PASSIVE",
        "OMP_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "1",  # numpy's matrices here are small, and waking a thread costs more than they do
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "PYTHONWARNINGS": "ignore",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        # nbgrader calls a program of the virtual environment (alembic) by its bare name
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    return os.environ | fixed
