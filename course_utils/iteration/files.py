"""Files that are there whole or not at all, digests of what is in them, and a lock that dies with its process."""

import contextlib
import hashlib
import json
import os
import sqlite3
from pathlib import Path

import pandas as pd


class Busy(RuntimeError):
    """Another process is at work there; to be tried again later."""


def write_whole(path, content):
    """Write a text or bytes under another name, wait for the disk, rename. A kill leaves the old file or the new."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with open(partial, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_if_other(path, content):
    """Write a text or bytes whole, unless the file holds just that."""
    path, content = Path(path), content.encode() if isinstance(content, str) else content
    if not path.is_file() or path.read_bytes() != content:
        write_whole(path, content)


def as_json(content):
    """JSON, readable and the same for the same content."""
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path, content):
    """Write `as_json`, whole."""
    write_whole(path, as_json(content))


def digest(path):
    """SHA-256 of a file, or of a folder's files with their names."""
    path, found = Path(path), hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
        found.update(f"{file.relative_to(path) if path.is_dir() else ''}:{file.stat().st_size}:".encode())
        with open(file, "rb") as content:
            while block := content.read(1 << 20):
                found.update(block)
    return found.hexdigest()


def digest_of_log(frame):
    """SHA-256 of a log's rows, in order; what the columns' types are called does not count."""
    found = hashlib.sha256(",".join(frame.columns).encode())
    # pandas hashes a row to 64 bits; the order of the rows is in the outer hash
    hashed = pd.util.hash_pandas_object(frame.astype(str), index=False)
    found.update(hashed.to_numpy().tobytes())
    return found.hexdigest()


@contextlib.contextmanager
def only_one(folder, what):
    """Hold the folder's lock for a block.

    It is a lock of the operating system on the file `lock`, taken by way of SQLite, which knows how on every
    system. So it goes with its process, however that ends: a lock that a dead process left is none. On a network
    file system it is as good as that system's locks.

    Raises:
        Busy: another process holds it.
        OSError: the lock cannot be taken for another reason, such as a full disk.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / "lock.holder"
    with contextlib.ExitStack() as held:
        try:
            connection = sqlite3.connect(folder / "lock", timeout=0, isolation_level=None)
            held.callback(connection.close)
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if "locked" not in str(error):  # a full or read-only disk is nobody at work
                raise OSError(f"{folder / 'lock'}: {error}") from None
            who = holder.read_text() if holder.is_file() else "unknown"
            raise Busy(f"{what}: another process (id {who}) is at work in {folder}") from None
        write_whole(holder, str(os.getpid()))
        yield
