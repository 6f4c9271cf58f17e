"""What a student's processes use, read by the warden from its own /proc, where the student has no hand in it."""

import contextlib
import os
import signal
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def usage(pid):
    """What the process `pid` and all below it use now.

    Returns:
        A dict: `processes`, `memory` (bytes, pages shared with the zygote and among them counted for each, so an upper
        bound), `cpu` (seconds, of the dead children that were waited for too), `waited` (seconds in which the first
        process stood ready and no core took it; None where the kernel does not say).
    """
    family = below(pid)
    return {
        "processes": sum(
            int(fields[17]) for fields in family.values()
        ),  # threads, as the kernel's own limit counts
        "memory": sum(int(fields[21]) for fields in family.values()) * os.sysconf("SC_PAGE_SIZE"),
        "cpu": sum(sum(map(int, fields[11:15])) for fields in family.values()) / _TICKS,
        "waited": _waited(pid),
    }


def address_space(pid):
    """Bytes of address space of the process `pid` (or "self"), which is what RLIMIT_AS counts; 0 where it has ended."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[0]) * os.sysconf("SC_PAGE_SIZE")


def own_memory(pid):
    """Bytes of the process `pid` and all below it, each shared page divided among those that share it.

    They are stopped meanwhile: a hundred that fork on would never be counted.
    """
    members, total = _stopped(pid), 0
    for member in members:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
            total += sum(
                int(line.split()[1]) << 10 for line in lines if line.startswith(("Pss:", "SwapPss:"))
            )
    for member in members:
        with contextlib.suppress(OSError):
            os.kill(member, signal.SIGCONT)
    return total


def _stopped(pid):
    """Stop a process and all below it, those too that were started meanwhile; returns them."""
    members = set()
    while new := set(below(pid)) - members:
        for member in new:
            with contextlib.suppress(OSError):
                os.kill(member, signal.SIGSTOP)
        members |= new
    return members


def below(pid):
    """{process: fields of its stat from the state on} for the process `pid` and all below it."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):  # ended meanwhile
                # bytes: a process may give itself any name
                table[int(name)] = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()
    family, todo = {}, [pid]
    while todo:
        member = todo.pop()
        if member in table and member not in family:
            family[member] = table[member]
            todo += [other for other, fields in table.items() if int(fields[1]) == member]
    return family


def _waited(pid):
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return None
