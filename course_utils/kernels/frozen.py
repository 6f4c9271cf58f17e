"""log p of labels with an output layer that is not trained (LoRA, or a reference): four products in place of six.

d log p(y) / d hidden = (w_y - sum_v p_v w_v) / temperature depends on nothing that comes from above. It is
saved in the forward pass, N·d floats, and the backward pass is one multiplication.
"""

import torch
from torch.autograd.function import once_differentiable

from course_utils.kernels import tiles


class FrozenHead(torch.autograd.Function):
    """(logp, entropy) of rows whose labels all count; entropy is None where it is not asked for."""

    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, temperature, with_entropy, rows):
        head = tiles.Head(weight, bias, temperature)
        with torch.autocast(hidden.device.type, enabled=False):
            parts = _parts(hidden, head, targets, with_entropy, rows, ctx.needs_input_grad[0])
        logp, entropy, *saved = parts
        ctx.save_for_backward(*saved)
        return logp, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream, into_entropy):
        score, entropy_score = ctx.saved_tensors
        gradient = upstream[:, None] * score
        if into_entropy is not None:
            gradient = torch.addcmul(gradient, into_entropy[:, None], entropy_score)
        return gradient.to(score.dtype), *[None] * 6


def _parts(hidden, head, targets, with_entropy, rows, saving=True):
    """logp (N,), entropy (N,), and their derivatives by hidden, (N, d) each; None where not asked for."""
    weight = head.weight
    out = tiles.buffer(min(rows, max(1, len(targets))), weight, with_entropy)
    logp = out.new_empty(len(targets), dtype=tiles.accumulator(out.dtype))
    entropy = torch.empty_like(logp) if with_entropy else None
    score = torch.empty_like(hidden) if saving else None
    entropy_score = torch.empty_like(hidden) if saving and with_entropy else None
    for start in range(0, len(targets), len(out)):
        at = slice(start, start + len(out))
        h, y = hidden[at], targets[at]
        part, one = out[: len(y)], torch.ones_like(logp[at])
        if with_entropy:
            logp[at], entropy[at], total = tiles.entropies(h, head, y, part)
            if saving:
                again = part.clone()
                more = torch.zeros_like(one), entropy[at], one, head.temperature
                tiles.into_logits_with_entropy(again, total, y, *more)
                torch.mm(again.to(weight.dtype), weight, out=entropy_score[at])
                part.exp_()
        else:
            logp[at], total = tiles.exponentials(h, head, y, part)
        if not saving:
            continue
        if tiles.is_half(weight.dtype):
            tiles.gradient_at_logits(part, total, y, one, head.temperature)
            torch.mm(part.to(weight.dtype), weight, out=score[at])
        else:
            tiles.gradients_from(part, total, y, one, h, head, (score[at], None, None))
    return logp, entropy, score, entropy_score


def values(hidden, weight, bias, targets, temperature, with_entropy, rows):
    """(logp, entropy) without anything for a gradient: two products."""
    with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
        head = tiles.Head(weight, bias, temperature)
        return _parts(hidden, head, targets, with_entropy, rows, saving=False)[:2]
