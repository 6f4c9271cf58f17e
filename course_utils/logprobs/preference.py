"""The mean of a pair loss straight from hidden states and the output layer."""

import torch

from course_utils.kernels import tiles
from course_utils.kernels.pairs import PairLoss
from course_utils.logprobs.linear import linear_logprobs
from course_utils.logprobs.rows import check_chunk_size, prepared


def preference_loss(
    hidden, weight, labels, sequences, reference_logps, loss, *, bias=None, average=False, chunk_size=None
):
    """The mean over pairs of `loss`, its gradients formed in the forward pass, pair by pair.

    What a pair's loss asks of each token's log-probability is one number per sequence, known as soon as both
    sequences are scored. So no logits are formed twice (see `kernels.pairs`). A layer that needs no gradient
    takes the way of `linear_logprobs`.

    Args:
        hidden: (N, d), float, already aligned: row i predicts label i. Rows that do not count may hold anything.
        weight: (V, d), the output layer, same dtype. May be the embedding too (tied weights).
        labels: (N,), int64; -100 where a row does not count.
        sequences: (N,), int64: the sequence that a row belongs to, in any order; the chosen ones are 0 to
            B - 1, the rejected B to 2B - 1, pair i of i and B + i. Not looked at where the label is -100.
        reference_logps: (2B,), float, log-probabilities of the sequences under the reference, in the loss's
            own convention (sums, or means with `average`). No gradient.
        loss: from (policy_chosen, policy_rejected, ref_chosen, ref_rejected), vectors of one length b, to (b,);
            value i from entries i alone. Called with groups of pairs. Losses of `course_utils.losses` fit, those
            without reference behind a lambda.
        bias: (V,), same dtype, or None.
        average: give `loss` the means over a sequence's tokens in place of the sums (IPO as in `trl`, SimPO, ORPO).
        chunk_size: rows of logits held at a time; None chooses by the size of the vocabulary.

    Returns:
        A tensor without dimensions, with a gradient into hidden, weight and bias, once. float32 for half
        precision, else the inputs' dtype.

    Raises:
        ValueError: an argument has another shape or dtype, a label or a sequence is out of range, a sequence
            has no label that counts while `average` is set, or `loss` mixes pairs or returns another shape.
    """
    if chunk_size is not None:
        check_chunk_size(chunk_size)
    count = len(hidden)
    hidden, weight, labels, bias, at = prepared(hidden, weight, labels, bias)
    sequences, reference, counts = _checked(sequences, reference_logps, at, count, average)
    pairs = len(reference) // 2
    reference = reference.to(hidden.device, tiles.accumulator(hidden.dtype))

    def losses(sums, first=0, last=pairs):
        if average:
            sums = sums / counts
        found = loss(*(part[first:last] for x in (sums, reference) for part in (x[:pairs], x[pairs:])))
        if not isinstance(found, torch.Tensor) or found.shape != (last - first,):
            shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise ValueError(f"loss must return one value for each of {last - first} pairs, not {shape}")
        return found

    def judge(sums, first, last):
        with torch.enable_grad():
            sums = sums.detach().requires_grad_()
            found = losses(sums, first, last)
            return found.detach(), torch.autograd.grad(found.sum(), sums)[0]

    trained = weight.requires_grad or (bias is not None and bias.requires_grad)
    if trained and torch.is_grad_enabled():
        rows = chunk_size or tiles.rows_at_a_time(len(labels), weight)
        return PairLoss.apply(hidden, weight, bias, labels, sequences, pairs, judge, rows)
    if len(labels) == 0:
        sums = reference.new_zeros(2 * pairs) + 0 * hidden.sum()
    else:
        logp = linear_logprobs(hidden, weight, labels, bias=bias, chunk_size=chunk_size)
        sums = logp.new_zeros(2 * pairs).index_add(0, sequences, logp)
    return losses(sums).mean()


def _checked(sequences, reference, at, count, average):
    """(sequences of the rows that count, reference, tokens of each sequence)."""
    if reference.dim() != 1 or len(reference) % 2 or len(reference) == 0 or not reference.is_floating_point():
        raise ValueError(
            f"reference_logps must be (2B,) floats, not {tuple(reference.shape)} {reference.dtype}"
        )
    if sequences.shape != (count,) or sequences.dtype != torch.int64:
        raise ValueError(
            f"sequences must be ({count},) int64, not {tuple(sequences.shape)} {sequences.dtype}"
        )
    if at is not None:
        sequences = sequences[at]
    if bool(((sequences < 0) | (sequences >= len(reference))).any()):
        raise ValueError(f"sequences must be from 0 to {len(reference) - 1}")
    counts = torch.bincount(sequences, minlength=len(reference))
    if average and bool((counts == 0).any()):
        raise ValueError("labels has a sequence in which no token counts, so there is no mean")
    return sequences, reference.detach(), counts
