"""What a student's cell showed, made safe for the pages that an instructor opens: plain text and checked pictures."""

import base64
import binascii
import re
import struct
import zlib
from dataclasses import dataclass

from nbformat.v4 import new_output

TEXT_CAP = 20_000  # characters of one cell
PICTURES_CAP = 2 << 20  # bytes of one cell
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # a JPEG's headers that tell its size
ATTACHED_CAP = 4 << 20  # bytes of a picture that was pasted into a text
_OUTPUTS = 100
_PIXELS = 4000 * 4000
_CONTROL = re.compile(r"[^\n\t\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


@dataclass(frozen=True)
class CellResult:
    """A cell's outputs as nbformat has them, and the line of its error or None."""

    outputs: list
    error: str | None


def cell_result(reply):
    """A `CellResult` from what the student's process says of a cell; what is no output is left out."""
    made, left, room = [], TEXT_CAP, PICTURES_CAP
    listed = reply.get("outputs")
    for thing in listed[:_OUTPUTS] if isinstance(listed, list) else []:
        if not isinstance(thing, dict):
            continue
        text = clean_text(thing.get("text"), left)
        left -= len(text)
        kind = thing.get("output_type")
        if kind == "stream":
            name = "stderr" if thing.get("name") == "stderr" else "stdout"
            made.append(new_output("stream", name=name, text=text))
        elif kind in ("display_data", "execute_result"):
            data = {"text/plain": text}
            picture = clean_png(thing.get("png"), room)
            if picture is not None:
                room -= len(picture)
                data["image/png"] = base64.b64encode(picture).decode()
            made.append(new_output("display_data", data=data))
        elif kind == "error":
            name, value = clean_text(thing.get("name"), 100), clean_text(thing.get("value"), 1000)
            made.append(new_output("error", ename=name, evalue=value, traceback=text.split("\n")))
    error = reply.get("error")
    return CellResult(made, None if error is None else clean_text(error, 500) or "an error")


def clean_text(text, cap):
    """`text` without control characters and lone surrogates, cut at `cap` characters; "" for what is no text."""
    if not isinstance(text, str):
        return ""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text[: max(0, cap)])


def clean_png(text, cap):
    """The bytes of a PNG given in base64, made anew from its image chunks alone; None for anything else."""
    data = _decoded(text, cap)
    if data is None or not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        if len(body) != length or (kind == b"IHDR") != (at == 8):
            return None
        if kind == b"IHDR" and (length != 13 or not 0 < _area(body) <= _PIXELS):
            return None
        if kind in _KEPT:
            crc = zlib.crc32(kind + body)
            kept.append(struct.pack(">I4s", length, kind) + body + struct.pack(">I", crc))
        at += 12 + length
        if kind == b"IEND":
            return b"".join(kept)
    return None


def clean_jpeg(text, cap):
    """The bytes of a JPEG given in base64; None for anything else, and for one of too many pixels."""
    data = _decoded(text, cap)
    if data is None or not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        kind, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if kind in _FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return data if 0 < width * height <= _PIXELS else None
        at += 2 + length
    return None


def clean_pictures(attachments, cap=ATTACHED_CAP):
    """{name: (kind, base64)} of a cell's attachments that are sound pictures of at most `cap` bytes each."""
    kept = {}
    for name, data in attachments.items() if isinstance(attachments, dict) else ():
        for kind, clean in (("image/png", clean_png), ("image/jpeg", clean_jpeg)):
            text = data.get(kind) if isinstance(data, dict) else None
            picture = clean("".join(text.split()), cap) if isinstance(text, str) else None
            if picture is not None:
                kept[name] = kind, base64.b64encode(picture).decode()
                break
    return kept


def _decoded(text, cap):
    """The bytes that a base64 text stands for; None where it is none, or too long."""
    if not isinstance(text, str) or len(text) > 2 * cap:
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if len(data) <= cap else None


def _area(header):
    width, height = struct.unpack_from(">II", header)
    return width * height
