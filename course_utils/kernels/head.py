"""log p of labels with an output layer that is trained: logits are formed anew for the backward pass, but the last.

Counted in products of N·d·V multiplications and additions: 2 for the forward pass, 4 for the two gradients, and 2
more for what is formed anew. The last buffer of exponentials is not dropped, so that of N rows R are not formed
anew, with R rows to a buffer: 8 - 2 R/N in place of 8, the same memory. Nothing exact does with less for a gradient
from above that is not known in the forward pass: the weight's gradient is a sum over rows whose factors come from
above, so each row's softmax has to be there then, kept or formed anew. Where the loss is known before, see `pairs`.
"""

import torch
from torch.autograd.function import once_differentiable

from course_utils.kernels import tiles


class Scores:
    """The log-probabilities of N rows, and what is needed to go back from them.

    Attributes:
        logp: (N,), float32 at least.
        entropy: (N,) in nats, or None.
        kept: how many of the last rows have their exponentials in the buffer.
    """

    def __init__(self, hidden, head, targets, out, with_entropy=False):
        """hidden (N, d), a `tiles.Head`, targets (N,), and the buffer (R, V) to work in."""
        like = {"dtype": tiles.accumulator(out.dtype)}
        self.total, self.logp = (out.new_empty(len(targets), **like) for _ in range(2))
        self.entropy = torch.empty_like(self.logp) if with_entropy else None
        for at in _chunks(len(targets), len(out)):
            part = out[: at.stop - at.start]
            if with_entropy:
                found = tiles.entropies(hidden[at], head, targets[at], part)
                self.logp[at], self.entropy[at], self.total[at] = found
            else:
                self.logp[at], self.total[at] = tiles.exponentials(hidden[at], head, targets[at], part)
        self.kept = len(targets) and at.stop - at.start

    def back(self, hidden, head, targets, out, upstream, sums, into_entropy=None):
        """Add the gradients to `sums`; the buffer is used up.

        Args:
            hidden, head, targets, out: as they were, `out` untouched since where `kept` is not 0.
            upstream, into_entropy: (N,), the gradients of the loss by logp and entropy.
            sums: (d_hidden, d_weight, d_bias): where to write, or to add, each may be None. d_hidden (N, d) is
                written, the others are added to.
        """
        d_hidden, d_weight, d_bias = sums
        for at in reversed(_chunks(len(targets), len(out))):
            part = out[: at.stop - at.start]
            if not self.kept and into_entropy is None:
                tiles.exponentials_again(hidden[at], head, part)
            elif not self.kept:
                tiles.shifted_logits(hidden[at], head, part)
            self.kept = 0
            into = None if d_hidden is None else d_hidden[at]
            given = part, self.total[at], targets[at], upstream[at]
            if into_entropy is None and not tiles.is_half(head.weight.dtype):
                sums = into, d_weight, d_bias
                tiles.gradients_from(*given, hidden[at], head, sums)
                continue
            if into_entropy is None:  # half precision is rounded once, after all has been put together
                tiles.gradient_at_logits(*given, head.temperature)
            else:
                more = self.entropy[at], into_entropy[at], head.temperature
                tiles.into_logits_with_entropy(*given, *more)
            if into is not None:
                torch.mm(part.to(head.weight.dtype), head.weight, out=into)
            if d_weight is not None:
                tiles.add_outer(d_weight, part, hidden[at])
            if d_bias is not None:
                d_bias += part.sum(0, dtype=d_bias.dtype)


class TrainedHead(torch.autograd.Function):
    """(logp, entropy) of rows whose labels all count; entropy is None where it is not asked for."""

    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, temperature, with_entropy, rows):
        with torch.autocast(hidden.device.type, enabled=False):
            out = tiles.buffer(min(rows, max(1, len(targets))), weight, with_entropy)
            scores = Scores(hidden, tiles.Head(weight, bias, temperature), targets, out, with_entropy)
        ctx.save_for_backward(hidden, weight, bias, targets)
        ctx.temperature, ctx.scores, ctx.rows = temperature, scores, len(out)
        ctx.out = out if any(ctx.needs_input_grad) else None
        # what leaves the function may be changed by who gets it
        return scores.logp.clone(), scores.entropy.clone() if with_entropy else None

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream, into_entropy):
        hidden, weight, bias, targets = ctx.saved_tensors
        scores, ctx.out, out = ctx.scores, None, ctx.out
        if out is None:  # a second backward pass: the buffer was used up by the first
            out, scores.kept = tiles.buffer(ctx.rows, weight, scores.entropy is not None), 0
        into_hidden, into_weight, into_bias = ctx.needs_input_grad[:3]
        sums = (
            torch.empty_like(hidden) if into_hidden else None,
            torch.zeros_like(weight, dtype=upstream.dtype) if into_weight else None,
            torch.zeros_like(bias, dtype=upstream.dtype) if into_bias else None,
        )
        with torch.autocast(hidden.device.type, enabled=False):
            scores.back(
                hidden, tiles.Head(weight, bias, ctx.temperature), targets, out, upstream, sums, into_entropy
            )
        del out, scores
        d_hidden, d_weight, d_bias = sums
        return (
            d_hidden,
            d_weight.to(weight.dtype) if into_weight else None,
            d_bias.to(bias.dtype) if into_bias else None,
            *[None] * 4,
        )


def _chunks(count, rows):
    """Slices of at most `rows`; the odd one comes first, so that the last, which is kept, is a full one."""
    first = count % rows
    edges = ([0] if first else []) + list(range(first, count + 1, rows))
    return [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]
