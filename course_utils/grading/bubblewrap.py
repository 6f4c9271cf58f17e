"""The command that starts a zygote in bubblewrap: what it may see, and nothing else of this machine."""

import functools
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import course_utils

# Where things lie inside. dill, with which datasets hashes a table, knows a library by the folder's name.
COURSE, PYTHON, LIBRARIES = "/opt/course", "/opt/python", "/opt/site-packages"

_COURSE = Path(course_utils.__file__).parent


@functools.cache
def missing():
    """Why there is no sandbox on this machine, in words; None where there is one."""
    if not sys.platform.startswith("linux"):
        return "the sandbox needs Linux (bubblewrap)"
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (on Debian or Ubuntu: apt-get install bubblewrap)"
    words = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    tried = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if tried.returncode != 0:
        return f"bubblewrap makes no namespace here: {tried.stderr.strip() or tried.returncode}"
    return None


def environment(package=COURSE):
    """The environment of a zygote; nothing of the grader's own gets in."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/home/student",
        "USER": "student",
        "LOGNAME": "student",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONPATH": f"{package}:{LIBRARIES}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": f"{package}/matplotlib",
        "COURSE_SCALE": "fast",
        "OMP_NUM_THREADS": "1",
        # where a check limits a process's memory, none may lie free in arenas or be taken in advance
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": "131072",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "JE_ARROW_MALLOC_CONF": "background_thread:false",  # pyarrow would start a thread, and the zygote may have one only
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _checkout():
    """Where this course lies: the package, and the folder above it where that holds the solutions too."""
    yield _COURSE
    if (_COURSE.parent / "solutions").is_dir():
        yield _COURSE.parent


def hidden(seen, courses):
    """What must be covered inside: folders of a course, under each name by which they would be seen.

    Args:
        seen: {folder outside: folder inside} of what is bound.
        courses: folders outside. A `course_utils` right below a bound folder is one too.
    """
    courses = {Path(c).resolve() for c in courses} | {Path(f).resolve() / "course_utils" for f in seen}
    found = set()
    for outside, inside in seen.items():
        top = Path(outside).resolve()
        found |= {f"{inside}/{c.relative_to(top)}" for c in courses if top in c.parents and c.is_dir()}
    return sorted(folder for folder in found if not any(folder.startswith(f"{other}/") for other in found))


def command(package, files):
    """The words of the command up to the interpreter; the module to run and its arguments come after them.

    Args:
        package: folder with the student-side package.
        files: bytes of files that the zygote itself may write.
    """
    base, libraries = Path(sys.base_prefix), {sysconfig.get_path(k) for k in ("purelib", "platlib")}
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--uid", "1000", "--gid", "1000"]
    words += ["--hostname", "sandbox", "--ro-bind", "/usr", "/usr"]
    for folder in ("bin", "lib", "lib64", "sbin"):
        if Path(f"/{folder}").is_symlink():
            words += ["--symlink", f"usr/{folder}", f"/{folder}"]
        elif Path(f"/{folder}").is_dir():
            words += ["--ro-bind", f"/{folder}", f"/{folder}"]
    words += ["--ro-bind", str(base), PYTHON, "--ro-bind", str(package), COURSE]
    first, *more = sorted(libraries)
    words += ["--ro-bind", first, LIBRARIES]
    for number, folder in enumerate(more):
        words += ["--ro-bind", folder, f"{LIBRARIES}{number}"]
    # a course installed or checked out in what is bound would bring its references in
    seen = {first: LIBRARIES} | {folder: f"{LIBRARIES}{n}" for n, folder in enumerate(more)}
    seen |= {str(base): PYTHON, "/usr": "/usr"}
    for folder in hidden(seen, [*_checkout(), *base.glob("**/course_utils")]):
        words += ["--tmpfs", folder, "--remount-ro", folder]
    words += ["--proc", "/proc", "--dev", "/dev"]
    for folder in ("/tmp", "/home"):
        words += ["--size", str(files // 4), "--tmpfs", folder]
    # nothing that one student could leave for the next
    words += ["--dir", "/work", "--remount-ro", "/dev", "--remount-ro", "/", "--clearenv"]
    for name, value in environment().items():
        words += ["--setenv", name, value]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    words += ["--setenv", "LD_LIBRARY_PATH", f"{PYTHON}/lib", "--chdir", "/"]
    return [*words, f"{PYTHON}/bin/{version}"]
