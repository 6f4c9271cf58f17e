"""The ways from hidden states to a DPO loss and its gradients that the benchmark of the kernels compares."""

from functools import partial
from typing import NamedTuple

import torch
from torch.nn import functional as F

from course_utils.logprobs import linear_logprobs, preference_loss
from course_utils.losses import dpo_loss

LOSS = partial(dpo_loss, beta=0.01)


class Problem(NamedTuple):
    """2 B sequences of N / 2 B rows: hidden (N, d), weight (V, d), labels and sequences (N,), reference (2B,)."""

    hidden: torch.Tensor
    weight: torch.Tensor
    labels: torch.Tensor
    sequences: torch.Tensor
    reference: torch.Tensor


def problem(rows, width, vocabulary, pairs=8, dtype=torch.float32, device="cpu", seed=0):
    """Random hidden states and weights such that logits have a standard deviation of about 1."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, width, generator=generator)
    weight = torch.randn(vocabulary, width, generator=generator) / width**0.5
    labels = torch.randint(vocabulary, (rows,), generator=generator)
    sequences = torch.arange(2 * pairs).repeat_interleave(rows // (2 * pairs))
    reference = torch.full((2 * pairs,), -11.0 * rows / (2 * pairs))
    floats = (x.to(device, dtype) for x in (hidden, weight))
    return Problem(*floats, labels.to(device), sequences.to(device), reference.to(device))


def step(name, given, frozen=False):
    """(loss, gradient by hidden, gradient by weight or None) by the way called `name`."""
    hidden = given.hidden.detach().requires_grad_()
    weight = given.weight.detach().requires_grad_(not frozen)
    if name in WHOLE:
        loss = WHOLE[name](given._replace(hidden=hidden, weight=weight))
    else:
        logp = TOKENS[name](hidden, weight, given.labels)
        sums = logp.new_zeros(len(given.reference)).index_add(0, given.sequences, logp)
        loss = LOSS(*sums.chunk(2), *given.reference.to(sums.dtype).chunk(2)).mean()
    loss.backward()
    return loss.detach(), hidden.grad, weight.grad


def _naive(hidden, weight, labels):
    return torch.log_softmax(hidden @ weight.T, dim=-1).gather(1, labels[:, None])[:, 0]


def _cross_entropy(hidden, weight, labels):
    return -F.cross_entropy(hidden @ weight.T, labels, reduction="none")


def _linear_cross_entropy(hidden, weight, labels):
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=256)
    return -F.linear_cross_entropy(hidden, weight, labels, reduction="none", options=options)


def _trl(hidden, weight, labels):
    """What trl's trainer for DPO asks of its kernel, beside the log-probabilities what it logs."""
    from trl.kernels import ChunkedLogProbFunction

    outputs = ("entropy", "mean_logits", "is_top1")
    return ChunkedLogProbFunction.apply(hidden, weight, None, labels, 1.0, 32768, None, 1.0, outputs)[0]


def _cut_cross_entropy(hidden, weight, labels):
    from cut_cross_entropy import linear_cross_entropy

    on_gpu = hidden.device.type == "cuda"
    options = {"impl": "cce_exact" if on_gpu else "torch_compile", "filter_eps": None}
    return -linear_cross_entropy(hidden, weight, labels, reduction="none", **options)


def _liger(given):
    """Its loss for DPO without a reference model: it takes no cached log-probabilities, so it has less to do."""
    from liger_kernel.chunked_loss import LigerFusedLinearDPOLoss

    loss = LigerFusedLinearDPOLoss(beta=0.01, compute_nll_loss=False, compiled=False, use_ref_model=False)
    rows = len(given.reference)
    hidden = given.hidden.view(rows, -1, given.hidden.shape[1])
    return loss(given.weight, hidden, given.labels.view(rows, -1))[0]


def _preference_loss(given):
    return preference_loss(*given, LOSS)


NAIVE = "log_softmax + gather"
TOKENS = {
    NAIVE: _naive,
    "F.cross_entropy": _cross_entropy,
    "F.linear_cross_entropy, chunk 256": _linear_cross_entropy,
    "trl 1.16": _trl,
    "cut-cross-entropy": _cut_cross_entropy,
    "linear_logprobs": linear_logprobs,
}
WHOLE = {"Liger, no reference": _liger, "preference_loss": _preference_loss}


def runs_here(name, frozen):
    """Whether a way can be taken: a peer may not be installed, or not work on this machine."""
    try:
        step(
            name, problem(64, 16, 97, pairs=2, device="cuda" if torch.cuda.is_available() else "cpu"), frozen
        )
    except Exception as error:  # whatever a peer raises where it does not run
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:70] if str(error) else ''}"
    return None
