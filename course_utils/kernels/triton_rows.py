"""The passes over a buffer of logits as two Triton kernels: for GPUs, one program a row, each number read once or twice.

The matrix products stay with cuBLAS. `statistics` reads each row once (log-sum-exp with a running maximum, and the
target's logit); `into_gradient` turns the row into the gradient at the logits, in place and in the buffer's own
dtype, once what comes from above is known. So half precision needs no float32 copy of the buffer. `tiles` takes this way
for half precision on a GPU where Triton is installed; the log-sum-exp is a float32 number, finer than any such logit.

NEVER RUN ON A GPU: tested through Triton's interpreter on the CPU only, which shows that the arithmetic, the masks and
the offsets are right, not that it is fast, nor how a compiler rounds. Import this module only where Triton is.
"""

import torch
import triton
import triton.language as tl

BLOCK = 1024


def statistics(logits, targets, scale=1.0):
    """Log-probabilities of the targets and log-sum-exp of each row of scale · logits.

    Args:
        logits: (n, V), any float dtype, rows contiguous. Not changed.
        targets: (n,), int64.
        scale: 1 / temperature.

    Returns:
        (logp, lse): (n,) float32 each.
    """
    rows, vocabulary = logits.shape
    logp, lse = (torch.empty(rows, dtype=torch.float32, device=logits.device) for _ in range(2))
    if rows:
        _statistics[(rows,)](logits, logits.stride(0), targets, logp, lse, vocabulary, scale, BLOCK=BLOCK)
    return logp, lse


def into_gradient(logits, targets, lse, upstream, scale=1.0):
    """Overwrite logits (n, V) with scale · upstream · (onehot(target) - softmax(scale · logits)).

    Args:
        logits, targets, scale: as for `statistics`.
        lse, upstream: (n,), float32.

    Returns:
        `logits`.
    """
    rows, vocabulary = logits.shape
    if rows:
        grid = (rows, triton.cdiv(vocabulary, BLOCK))
        _into_gradient[grid](logits, logits.stride(0), targets, lse, upstream, vocabulary, scale, BLOCK=BLOCK)
    return logits


@triton.jit
def _statistics(logits, stride, targets, logp, lse, vocabulary, scale, BLOCK: tl.constexpr):
    # int64: n · V passes 2^31
    row = tl.program_id(0).to(tl.int64)
    start_of_row = logits + row * stride
    top = -float("inf")
    total = 0.0
    for start in range(0, vocabulary, BLOCK):
        at = start + tl.arange(0, BLOCK)
        inside = at < vocabulary
        z = tl.load(start_of_row + at, mask=inside, other=-float("inf")).to(tl.float32) * scale
        z = tl.where(inside, z, -float("inf"))
        higher = tl.maximum(top, tl.max(z, axis=0))
        total = total * tl.exp(top - higher) + tl.sum(tl.exp(z - higher), axis=0)
        top = higher
    target = tl.load(targets + row)
    picked = tl.load(start_of_row + target).to(tl.float32) * scale
    rest = tl.log(total)
    # the maximum is subtracted first: where logits are large, target and log-sum-exp would cancel
    tl.store(logp + row, (picked - top) - rest)
    tl.store(lse + row, top + rest)


@triton.jit
def _into_gradient(logits, stride, targets, lse, upstream, vocabulary, scale, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < vocabulary
    where = logits + row * stride + at
    z = tl.load(where, mask=inside, other=-float("inf")).to(tl.float32) * scale
    share = tl.exp(z - tl.load(lse + row))
    is_target = (at == tl.load(targets + row)).to(tl.float32)
    gradient = tl.load(upstream + row) * scale * (is_target - share)
    tl.store(where, gradient.to(logits.dtype.element_ty), mask=inside)
