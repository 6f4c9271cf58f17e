"""System calls that a student's process may not make, as a filter for the kernel (Linux on x86-64 and arm64)."""

import ctypes
import errno
import os
import platform
import struct

# (x86-64, arm64), None where the machine has no such call
_NUMBERS = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "memfd_create": (319, 279),  # memory that no limit of a process counts
    "memfd_secret": (447, 447),
    "shmget": (29, 194),  # memory that stays when no process holds it
    "msgget": (68, 186),
    "semget": (64, 190),
    "syslog": (103, 116),
    "quotactl": (179, 60),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "init_module": (175, 105),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "modify_ldt": (154, None),
    "iopl": (172, None),
    "ioperm": (173, None),
}
_CLONE, _CLONE3, _SOCKET = (56, 220), (435, 435), (41, 198)
_ARCH = (0xC000003E, 0xC00000B7)
_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW... flag that clone takes (in clone, CLONE_NEWTIME is no flag)
_FAMILIES = (1, 2, 10)  # unix, inet, inet6: a network namespace holds those; others (vsock) it does not

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000
_X32 = 0x40000000


def install():
    """Put the filter on this process and all that it starts; it cannot be taken off. Needs no_new_privs.

    Raises:
        OSError: if the machine is another one, or the kernel refuses.
    """
    try:
        column = ("x86_64", "aarch64").index(platform.machine())
    except ValueError:
        raise OSError(errno.ENOSYS, f"no filter for a machine {platform.machine()!r}") from None
    steps = program(column)
    code = b"".join(struct.pack("<HBBI", *step) for step in steps)
    buffer = ctypes.create_string_buffer(code, len(code))
    head = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(steps), ctypes.addressof(buffer)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(22, 2, head, 0, 0) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")


def program(column):
    """The filter's steps (code, jump if true, jump if false, value) for one machine: 0 x86-64, 1 arm64."""
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, _ARCH[column]), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    if column == 0:
        steps += _when(_AT_LEAST, _X32, errno.ENOSYS)
    for numbers in _NUMBERS.values():
        if numbers[column] is not None:
            steps += _when(_EQUAL, numbers[column], errno.EPERM)
    steps += _when(
        _EQUAL, _CLONE3[column], errno.ENOSYS
    )  # its flags lie in memory; the C library goes back to clone
    # the last two look at their first argument's lower half
    steps += [(_EQUAL, 0, 4, _CLONE[column]), (_LOAD, 0, 0, 16)]
    steps += [*_when(_ANY_BIT, _NEW_NAMESPACES, errno.EPERM), (_RETURN, 0, 0, _ALLOW)]
    steps += [(_EQUAL, 0, 5, _SOCKET[column]), (_LOAD, 0, 0, 16)]
    steps += [(_EQUAL, 3 - i, 0, family) for i, family in enumerate(_FAMILIES)]
    steps += [(_RETURN, 0, 0, _FAIL | errno.EAFNOSUPPORT), (_RETURN, 0, 0, _ALLOW)]
    return steps


def _when(test, value, error):
    return [(test, 0, 1, value), (_RETURN, 0, 0, _FAIL | error)]
