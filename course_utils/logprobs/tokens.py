"""Log-probabilities of given tokens and sequences from logits that are there."""

import torch
from torch.nn import functional as F

from course_utils.logprobs.rows import IGNORE, counted_tokens


def token_logprobs(logits, labels):
    """log p of each label given the tokens before it.

    The logits at position t are scored against the label at t + 1. The label at position 0 has
    nothing before it and is never counted.

    Args:
        logits: (B, T, V), float. Half-precision logits are normalised in float32, since a
            log-probability rounded to bfloat16 may be off by more than a nat in a long sequence.
        labels: (B, T), int64; -100 where a position does not count.

    Returns:
        (B, T-1): log p(labels[:, t+1] | tokens up to t), exactly 0 where that label is -100. No gradient
        reaches the logits of positions that do not count, whatever stands there.

    Raises:
        ValueError: `logits` or `labels` has another shape or dtype, no row, or fewer than two positions.
    """
    _check_batch(logits, labels)
    targets = labels[:, 1:]
    counted = targets != IGNORE
    # only the counted positions are normalised: less work, and the others cannot do harm
    scored = _at_least_float32(logits[:, :-1][counted])
    logp = -F.cross_entropy(scored, targets[counted], reduction="none")
    return logp.new_zeros(targets.shape).masked_scatter(counted, logp)


def sequence_logprob(logits, labels, average=False):
    """log p of each row's counted tokens: their sum, or their mean.

    Args:
        logits: (B, T, V), float.
        labels: (B, T), int64; -100 where a position does not count. Each row has at least one label
            after position 0 that counts.
        average: divide by the number of counted tokens of the row (one of probability 1 counts too).

    Returns:
        (B,), with a gradient into `logits`.

    Raises:
        ValueError: as for `token_logprobs`, or a row of `labels` has no counted token.
    """
    total = token_logprobs(logits, labels).sum(-1)
    count = counted_tokens(labels)
    return total / count if average else total


def _at_least_float32(x):
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _check_batch(logits, labels):
    if logits.dim() != 3 or not logits.is_floating_point():
        raise ValueError(f"logits must be (B, T, V) floats, not {tuple(logits.shape)} {logits.dtype}")
    if labels.shape != logits.shape[:2] or labels.dtype != torch.int64:
        wanted = tuple(logits.shape[:2])
        raise ValueError(f"labels must be {wanted} int64, not {tuple(labels.shape)} {labels.dtype}")
    if labels.shape[0] == 0 or labels.shape[1] < 2:
        raise ValueError(f"labels must have a row and two positions, not shape {tuple(labels.shape)}")
