"""What a training run costs, counted while it runs: passes, tokens, models, seconds, memory."""

import contextlib
import time
from collections import Counter
from pathlib import Path

import torch

from course_utils.testbed import models


class Meter:
    """Counts the passes of every model that it watches, and times the block that it is used around.

    One forward pass of one sequence counts 1, its backward pass 2 (two matrix products where the
    forward pass has one). Sampling a response with a cache counts 1 as well: each token goes through
    the model once. Models of any size count alike, so that the number belongs to the method and not to
    this world; `passes` keeps them apart by role.

        with Meter() as meter:
            policy = train_dpo(start, meter=meter)
        meter.per_example()

    Attributes:
        passes: forward-equivalents by role ("policy", "reference", "reward model", "critic").
        examples: how many examples were used: pairs, votes or sampled responses, as the loop says.
        generated: tokens sampled.
        seconds: CPU time of this process in the block.
        peak: the largest resident memory of the process in the block, in bytes (nan where the system
            does not tell).
    """

    def __init__(self):
        self.passes, self.examples, self.generated = Counter(), 0, 0
        self.seconds, self.peak = 0.0, float("nan")
        self._handles, self._sampling = [], False

    def __enter__(self):
        _reset_peak()
        self._start = time.process_time()
        return self

    def __exit__(self, *_):
        self.seconds = time.process_time() - self._start
        self.peak = _peak()
        for handle in self._handles:
            handle.remove()

    @property
    def models(self):
        """How many models the run held."""
        return len(self.passes)

    def per_example(self):
        """Forward-equivalents for each example."""
        return self.passes.total() / max(1, self.examples)

    def watch(self, role, model):
        """Count this model's passes under `role` from now on; returns the model."""
        self.passes[role] += 0

        def count(module, inputs, output):
            if self._sampling:
                return
            rows, result = len(inputs[0]), getattr(output, "logits", output)
            self.passes[role] += rows
            if result.requires_grad:
                result.register_hook(lambda gradient: self.passes.update({role: 2 * rows}))

        self._handles.append(model.register_forward_hook(count))
        return model

    def sample(self, model, prompts, max_new, seed, role="policy"):
        """`models.sample`, counted."""
        self._sampling = True
        try:
            responses = models.sample(model, prompts, max_new, seed)
        finally:
            self._sampling = False
        self.passes[role] += len(responses)
        self.generated += sum(map(len, responses))
        return responses


def _reset_peak():
    """Let the system measure the peak of resident memory anew (Linux; elsewhere nothing happens)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak():
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
