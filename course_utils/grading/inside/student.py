"""The student's process: takes cells and questions from the grader, one at a time, and answers."""

import os

import safetensors.torch
import torch

from course_utils.grading import wire
from course_utils.grading.inside import calls


def live(channel, shell):
    """Answer until the grader hangs up.

    Args:
        channel: a stream socket to the grader.
        shell: a `course_utils.grading.inside.shell.Shell`.
    """
    # After a fork torch's first use in a thread makes its pool anew, and without a lock: of two threads that come at
    # once one may find none and raise "Invalid thread pool!". So it is made here, before there are threads.
    torch.set_num_threads(1)
    while True:
        try:
            message, blob = wire.receive(channel)
        except wire.WireError:
            os._exit(0)
        if message["op"] == "cell":
            wire.send(channel, {"id": message["id"], "reply": shell.run(message["source"])})
        else:
            _answer(channel, shell, message, blob)


def _answer(channel, shell, message, blob):
    """One question about the notebook's functions; while it is answered it may ask back."""
    number = message["id"]

    def ask_outside(question, tensors=None):
        wire.send(channel, {"id": number, "callback": question}, pack(tensors))
        answer, blob = wire.receive(channel)
        return answer["answer"], unpack(blob)

    with shell.silenced():
        reply, tensors = calls.answer(message["question"], unpack(blob), shell.user_ns, ask_outside)
    wire.send(channel, {"id": number, "reply": reply}, pack(tensors))


def pack(tensors):
    """{name: tensor} as bytes; none at all as no bytes."""
    return safetensors.torch.save(tensors) if tensors else b""


def unpack(blob):
    """The tensors in what `pack` made."""
    return safetensors.torch.load(blob) if blob else {}
