"""The mean of a pair loss and its gradients in one pass over the logits: six products of N·d·V, no seventh or eighth.

The derivative of a pair's loss by each token's log-probability is one number per sequence. With cached reference
log-probabilities it is known once both sequences are scored, while their exponentials are still in the
buffer: so the gradients are formed there and then, group by group of pairs, and the backward pass only
multiplies them by what comes from above. Rows of a pair that is larger than the buffer are formed anew.
"""

import torch
from torch.autograd.function import once_differentiable

from course_utils.kernels import tiles
from course_utils.kernels.head import Scores


class PairLoss(torch.autograd.Function):
    """The mean loss of B pairs."""

    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, sequences, pairs, judge, rows):
        """
        Args:
            hidden, weight, bias: (N, d), (V, d), (V,) or None.
            targets, sequences: (N,) labels, which all count, and the sequence of each row, 0 to 2B - 1.
            pairs: B.
            judge: from (sums (2B,), first pair, last pair + 1) to the losses of these pairs and the derivatives
                (2B,) by the sums, 0 for other pairs.
            rows: of logits that are held at a time.
        """
        given = hidden, weight, bias, targets, sequences
        ctx.save_for_backward(*given)
        ctx.settings = pairs, judge, rows, ctx.needs_input_grad[:3]
        losses, ctx.sums = _run(*given, *ctx.settings)
        return losses.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream):
        sums, ctx.sums = ctx.sums, None
        if sums is None:  # a second backward pass: the first gave the gradients away
            sums = _run(*ctx.saved_tensors, *ctx.settings)[1]
        if upstream != 1:
            sums = [s if s is None else s.mul_(upstream) for s in sums]
        return *sums, *[None] * 5


def _run(hidden, weight, bias, targets, sequences, pairs, judge, rows, wanted):
    """The losses (B,) and [d_hidden, d_weight, d_bias] of their mean, None where not wanted."""
    order = torch.argsort(sequences % pairs, stable=True)
    in_order = bool((order[1:] > order[:-1]).all())
    if not in_order:
        hidden, targets, sequences = hidden[order], targets[order], sequences[order]
    dtype = tiles.accumulator(weight.dtype)
    d_hidden = torch.empty_like(hidden) if wanted[0] else None
    d_weight = torch.zeros_like(weight, dtype=dtype) if wanted[1] else None
    d_bias = torch.zeros_like(bias, dtype=dtype) if wanted[2] else None
    head, losses = tiles.Head(weight, bias, 1.0), []
    all_sums = torch.zeros(2 * pairs, dtype=dtype, device=hidden.device)
    all_by_sum = torch.zeros_like(all_sums)
    with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
        out = tiles.buffer(rows, weight)
        for first, last, at in _groups(torch.bincount(sequences % pairs, minlength=pairs).tolist(), rows):
            h, y, sequence = hidden[at], targets[at], sequences[at]
            scores = Scores(h, head, y, out)
            sums = scores.logp.new_zeros(2 * pairs).index_add_(0, sequence, scores.logp)
            loss, by_sum = judge(sums, first, last)
            losses.append(loss)
            all_sums += sums
            all_by_sum += by_sum
            into_hidden = None if d_hidden is None else d_hidden[at]
            upstream = (by_sum / pairs)[sequence].to(dtype)
            scores.back(h, head, y, out, upstream, (into_hidden, d_weight, d_bias))
        del out
        if len(losses) > 1:
            _check_one_by_one(all_by_sum, judge(all_sums, 0, pairs)[1])
    if d_hidden is not None and not in_order:
        d_hidden = torch.empty_like(d_hidden).index_copy_(0, order, d_hidden)
    sums = [
        d_hidden,
        None if d_weight is None else d_weight.to(weight.dtype),
        None if d_bias is None else d_bias.to(bias.dtype),
    ]
    return torch.cat(losses), sums


def _check_one_by_one(by_group, at_once):
    """A loss that looks at other pairs (a batch mean, say) has other derivatives for a group than for all."""
    if not torch.allclose(by_group, at_once, rtol=1e-3, atol=1e-5 * float(at_once.abs().max())):
        raise ValueError("loss mixes pairs: its value for one pair must not depend on the others")


def _groups(sizes, rows):
    """(first pair, last pair + 1, slice of rows) of groups of pairs that fit into the buffer, one pair at least."""
    first, start, end = 0, 0, 0
    for pair, size in enumerate(sizes):
        if pair > first and end + size - start > rows:
            yield first, pair, slice(start, end)
            first, start = pair, end
        end += size
    yield first, len(sizes), slice(start, end)
