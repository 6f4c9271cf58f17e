"""One message between the grader and a student's process: two lengths, a JSON header, a blob of tensors.

Both sides use it, and the student's side is not trusted: nothing here believes what it reads.
"""

import json
import socket
import struct

HEADER_CAP = 8 << 20  # bytes
BLOB_CAP = 64 << 20
TENSORS_CAP = (
    2 << 20
)  # bytes of what a blob says of its tensors: a million of them hold nothing and take a gigabyte
_LENGTHS = struct.Struct("<II")
_PIECE = 1 << 20


class WireError(Exception):
    """The other side hung up, or sent what is no message; the text says what."""


class HungUp(WireError):
    """The other side is gone."""


def send(channel, header, blob=b"", wait=None):
    """Send one message.

    Args:
        channel: a connected stream socket.
        header: a dict that JSON can hold.
        blob: bytes that go with it.
        wait: called with (channel, "write") before each piece; returns when the channel may be written to,
            or raises. Without it the call blocks for as long as it takes.

    Raises:
        WireError: if the message is over the caps; HungUp if the other side is gone.
    """
    text = json.dumps(header).encode()
    if len(text) > HEADER_CAP or len(blob) > BLOB_CAP:
        raise WireError(f"a message of {len(text)} + {len(blob)} bytes is too large")
    for part in (_LENGTHS.pack(len(text), len(blob)) + text, blob):
        rest = memoryview(part)
        while rest:
            rest = rest[_step(channel, wait, "write", lambda flags, rest=rest: channel.send(rest, flags)) :]


def receive(channel, wait=None):
    """Receive one message; as `send`, with (channel, "read").

    Returns:
        (header, blob): a dict and bytes. Lengths are held against the caps before anything is read.

    Raises:
        WireError: if what came is no message; HungUp if the other side is gone.
    """
    lengths = _LENGTHS.unpack(_read(channel, _LENGTHS.size, wait))
    if lengths[0] > HEADER_CAP or lengths[1] > BLOB_CAP:
        raise WireError(f"a message of {lengths[0]} + {lengths[1]} bytes is too large")
    text, blob = _read(channel, lengths[0], wait), _read(channel, lengths[1], wait)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"a message that is no JSON ({type(error).__name__})") from None
    if not isinstance(header, dict):
        raise WireError("a message that is no JSON object")
    if int.from_bytes(blob[:8], "little") > TENSORS_CAP:
        raise WireError("tensors that are none, or too many")
    return header, bytes(blob)


def _read(channel, length, wait):
    data = bytearray()
    while len(data) < length:
        wanted = min(_PIECE, length - len(data))
        piece = _step(channel, wait, "read", lambda flags, wanted=wanted: channel.recv(wanted, flags))
        if not piece:
            raise HungUp("the other side hung up")
        data += piece
    return data


def _step(channel, wait, direction, act):
    """One send or receive; with `wait`, never one that blocks."""
    while True:
        if wait is not None:
            wait(channel, direction)
        try:
            return act(0 if wait is None else socket.MSG_DONTWAIT)
        except BlockingIOError:
            continue
        except OSError as error:
            raise HungUp(f"the other side hung up ({error.strerror})") from None
