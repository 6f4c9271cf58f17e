"""What a student's process loses before its first line runs: namespaces, files, limits, capabilities, system calls.

Single-threaded processes only (the kernel wants that), on Linux. Every failure raises: a student who is not
confined does not run.
"""

import contextlib
import ctypes
import os
import resource
from pathlib import Path

from course_utils.grading.inside import seccomp

_USER, _MOUNT, _PID, _IPC, _NET, _UTS = 0x10000000, 0x00020000, 0x20000000, 0x08000000, 0x40000000, 0x04000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC = 1, 2, 4, 8
_PRIVATE = (1 << 18) | (1 << 14)  # with all below it
_CAPBSET_DROP, _NO_NEW_PRIVS = 24, 38
_PAGE = os.sysconf("SC_PAGE_SIZE")
_libc = ctypes.CDLL(None, use_errno=True)


def clean_descriptors(keep):
    """0, 1 and 2 to /dev/null; close every other one but those in `keep`."""
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            with contextlib.suppress(OSError):  # the one of the listing itself
                os.close(int(name))


def new_namespaces():
    """User, mounts, network, IPC and host name anew for this process, process numbers for its children."""
    user, group = os.getuid(), os.getgid()
    _call("unshare", _USER | _MOUNT | _PID | _IPC | _NET | _UTS)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _call("mount", b"none", b"/", None, _PRIVATE, None)


def confine(settings):
    """In the student's process: empty folders, limits, no capability, no system call that makes a way out.

    Args:
        settings: `memory` and `files` in bytes, `processes`.
    """
    os.setsid()  # kill(0, ...) reaches a process group across namespaces, and this one was the zygote's
    Path("/proc/self/oom_score_adj").write_text("1000")  # short of memory, the kernel takes this one first
    used = int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE
    room = settings["files"] // 4
    _call("unshare", _MOUNT)  # the warden keeps its /proc
    for folder, size in (("/tmp", 2 * room), ("/home", room), ("/dev/shm", room)):
        _tmpfs(folder, f"size={size},nr_inodes=20000,mode=1777", _NOSUID | _NODEV)
    _tmpfs("/proc", "size=4k,nr_inodes=2,mode=555", _RDONLY | _NOSUID | _NODEV | _NOEXEC)
    os.mkdir(os.environ["HOME"])
    os.chdir(os.environ["HOME"])
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: settings["processes"],
        resource.RLIMIT_NOFILE: 512,
        resource.RLIMIT_FSIZE: 2 * room,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_AS: used + settings["memory"],
    }
    for which, value in limits.items():
        resource.setrlimit(which, (value, value))
    _drop_capabilities()
    seccomp.install()


def _tmpfs(folder, options, flags):
    _call("mount", b"tmpfs", folder.encode(), b"tmpfs", flags, options.encode())


def _drop_capabilities():
    _call("prctl", _NO_NEW_PRIVS, 1, 0, 0, 0)
    for capability in range(64):
        if _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # past the last one that this kernel knows
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _call("capset", header, (ctypes.c_uint32 * 6)())


def _call(name, *arguments):
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
