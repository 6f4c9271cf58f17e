"""Log-probabilities of given tokens and sequences under a causal language model."""

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# The label of a position that does not count: a prompt token, or padding.
IGNORE = -100


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
    count = (labels[:, 1:] != IGNORE).sum(-1)
    if (count == 0).any():
        raise ValueError("labels has a row in which no token after position 0 counts")
    return total / count if average else total


def chunked_token_logprobs(hidden, weight, labels, chunk_size):
    """log p of each label from the last hidden states, without ever holding the logits of all rows.

    The same values and gradients as log_softmax(hidden @ weight.T) picked at the labels. The logits
    are formed for `chunk_size` rows at a time, in the forward pass and, anew, in the backward pass:
    one more matrix product in exchange for N·V floats of memory. Rows with label -100 are left out.

    Args:
        hidden: (N, d), float, already aligned: row i predicts label i.
        weight: (V, d), the output layer, same dtype.
        labels: (N,), int64; -100 where a row does not count.
        chunk_size: rows of logits held at a time; the last chunk may be smaller.

    Returns:
        (N,), exactly 0 where the label is -100; a gradient into `hidden` and `weight`, once
        (there is no second derivative). Half-precision inputs give float32.

    Raises:
        ValueError: an argument has another shape or dtype, there is no row, or `chunk_size` < 1.
    """
    _check_rows(hidden, weight, labels, chunk_size)
    counted = labels != IGNORE
    logp = _ChunkedLogprobs.apply(hidden[counted], weight, labels[counted], chunk_size)
    return logp.new_zeros(labels.shape).masked_scatter(counted, logp)


class _ChunkedLogprobs(torch.autograd.Function):
    """log p of a target in every row. Keeps hidden, weight and targets for the backward pass, no logits."""

    @staticmethod
    def forward(ctx, hidden, weight, targets, chunk_size):
        ctx.save_for_backward(hidden, weight, targets)
        ctx.chunk_size = chunk_size
        parts = []
        for rows, target in zip(hidden.split(chunk_size), targets.split(chunk_size), strict=True):
            logits = _shifted_logits(rows, weight)
            picked = logits.gather(1, target[:, None]).squeeze(1)
            parts.append(picked - logits.exp_().sum(1).log_())
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream):
        hidden, weight, targets = ctx.saved_tensors
        into_hidden, into_weight = ctx.needs_input_grad[:2]
        d_hidden = torch.empty_like(hidden) if into_hidden else None
        # sums over many chunks: kept in the dtype of the result, float32 at least
        d_weight = torch.zeros_like(weight, dtype=upstream.dtype) if into_weight else None
        for start in range(0, len(targets), ctx.chunk_size):
            at = slice(start, start + ctx.chunk_size)
            scale, target = upstream[at, None], targets[at, None]
            # d log p(target) / d logits = onehot(target) - softmax(logits), built where the logits stood
            d_logits = _shifted_logits(hidden[at], weight).exp_()
            d_logits.mul_(-scale / d_logits.sum(1, keepdim=True)).scatter_add_(1, target, scale)
            d_logits = d_logits.to(weight.dtype)
            if into_hidden:
                d_hidden[at] = d_logits @ weight
            if into_weight:
                d_weight += d_logits.T @ hidden[at]
        return d_hidden, d_weight.to(weight.dtype) if into_weight else None, None, None


def _shifted_logits(rows, weight):
    """rows @ weight.T less each row's maximum, so that exp cannot overflow."""
    logits = _at_least_float32(rows @ weight.T)
    return logits.sub_(logits.amax(1, keepdim=True))


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


def _check_rows(hidden, weight, labels, chunk_size):
    if hidden.dim() != 2 or len(hidden) == 0 or not hidden.is_floating_point():
        raise ValueError(
            f"hidden must be (N, d) floats, N at least 1, not {tuple(hidden.shape)} {hidden.dtype}"
        )
    if weight.dim() != 2 or weight.shape[1] != hidden.shape[1] or weight.dtype != hidden.dtype:
        raise ValueError(
            f"weight must be (V, {hidden.shape[1]}) {hidden.dtype}, not {tuple(weight.shape)} {weight.dtype}"
        )
    if labels.shape != hidden.shape[:1] or labels.dtype != torch.int64:
        raise ValueError(f"labels must be ({len(hidden)},) int64, not {tuple(labels.shape)} {labels.dtype}")
    if isinstance(chunk_size, bool) or not isinstance(chunk_size, int) or chunk_size < 1:
        raise ValueError(f"chunk_size must be an int of at least 1, not {chunk_size!r}")
