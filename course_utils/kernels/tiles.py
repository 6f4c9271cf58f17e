"""What the kernels share: how many rows of logits at a time, and what is done to them in place."""

import importlib.util
from functools import cache
from typing import NamedTuple

import torch

# The one buffer of logits that a kernel works in, by device: large enough that the matrix products run at
# full speed (on the CPU a few hundred rows of 50,000 words), small beside the gradient of such a head.
BUFFER_BYTES = {"cpu": 48 * 2**20}
ELSEWHERE = 2**29

# A bias of -inf forbids a token. In an entropy 0 · -inf would be nan, while 0 times this is 0.
FORBIDDEN = -1e30


class Head(NamedTuple):
    """An output layer: logits = (hidden @ weight.T + bias) / temperature.

    Attributes:
        weight: (V, d).
        bias: (V,) or None.
        temperature: > 0.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    temperature: float


def rows_at_a_time(count, weight):
    """How many of `count` rows of logits are held at a time: never all of them, but for a handful."""
    size = buffer(0, weight).element_size()
    fitting = BUFFER_BYTES.get(weight.device.type, ELSEWHERE) // (len(weight) * size)
    return max(1, min(fitting, -(-count // 2)))


def accumulator(dtype):
    """The dtype in which sums of `dtype` are kept: float32 at least."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def buffer(rows, weight, with_entropy=False):
    """(rows, V), not initialised, for the logits of as many rows: float32 at least, but where Triton takes them."""
    in_half = not with_entropy and uses_triton(weight)
    return weight.new_empty(rows, len(weight), dtype=weight.dtype if in_half else accumulator(weight.dtype))


def uses_triton(weight):
    """Half precision on a GPU, and Triton is there: one kernel reads a row in place of five operations."""
    return weight.is_cuda and is_half(weight.dtype) and _triton_is_there()


def is_half(dtype):
    """Whether sums of this dtype are kept in a wider one."""
    return accumulator(dtype) != dtype


@cache
def _triton_is_there():
    return importlib.util.find_spec("triton") is not None


def shifted_logits(hidden, head, out):
    """Fill `out` (n, V) with the logits of hidden (n, d), each row less its maximum, so that exp cannot overflow."""
    weight, bias, temperature = head
    if weight.dtype == out.dtype:
        # the temperature costs nothing inside the product; with beta=0 what stood in `out` is not read
        torch.addmm(out, hidden, weight.T, beta=0, alpha=1 / temperature, out=out)
    else:
        out.copy_(hidden @ weight.T).div_(temperature)
    if bias is not None:
        out.add_(bias.to(out.dtype) / temperature)
    return out.sub_(out.amax(1, keepdim=True))


def exponentials(hidden, head, targets, out):
    """Fill `out` (n, V) with what `gradient_at_logits` wants: exp of the shifted logits; in half precision, the logits.

    Returns:
        (n,) log-probabilities of the targets, and (n,) the sums of the rows of `out`; in half precision, the
        log-sum-exps.
    """
    if is_half(out.dtype):
        from course_utils.kernels import triton_rows

        return triton_rows.statistics(_logits_in_half(hidden, head, out), targets, 1 / head.temperature)
    shifted_logits(hidden, head, out)
    picked = out.gather(1, targets[:, None])[:, 0]
    total = out.exp_().sum(1)
    return picked - total.log(), total


def exponentials_again(hidden, head, out):
    """Fill `out` as `exponentials` has done."""
    if is_half(out.dtype):
        return _logits_in_half(hidden, head, out)
    return shifted_logits(hidden, head, out).exp_()


def _logits_in_half(hidden, head, out):
    torch.mm(hidden, head.weight.T, out=out)
    return out if head.bias is None else out.add_(head.bias)


def entropies(hidden, head, targets, out):
    """As `exponentials`, with the entropies (n,) in nats between the two, and `out` still the shifted logits."""
    shifted_logits(hidden, head, out)
    picked = out.gather(1, targets[:, None])[:, 0]
    powers = out.clamp_(min=FORBIDDEN).exp()
    total = powers.sum(1)
    # the mean of the shifted logits, without a product as large as they are
    mean = torch.bmm(powers[:, None], out[:, :, None])[:, 0, 0] / total
    return picked - total.log(), total.log() - mean, total


def gradient_at_logits(out, total, targets, upstream, temperature=1.0):
    """What `exponentials` left in `out` -> gradient by weight and bias' product, in place.

    It is upstream (onehot - softmax) / temperature.
    """
    if is_half(out.dtype):
        from course_utils.kernels import triton_rows

        return triton_rows.into_gradient(out, targets, total, upstream, 1 / temperature)
    upstream = upstream / temperature
    out.mul_(-(upstream / total)[:, None])
    return out.scatter_add_(1, targets[:, None], upstream[:, None])


def into_logits_with_entropy(out, total, targets, upstream, entropy, into_entropy, temperature=1.0):
    """Shifted logits in `out` -> gradient at the logits, in place, of log-probability and entropy.

    d entropy / d logit v = -p_v (log p_v + entropy).
    """
    upstream, into_entropy = upstream / temperature, into_entropy / temperature
    share = out.clamp_(min=FORBIDDEN).exp().div_(total[:, None])
    out.add_((entropy - total.log())[:, None]).mul_(into_entropy[:, None]).add_(upstream[:, None])
    out.mul_(share).neg_()
    return out.scatter_add_(1, targets[:, None], upstream[:, None])


def gradients_from(powers, total, targets, upstream, hidden, head, sums):
    """The gradients of the rows in `powers`, exp(shifted logits), which stay as they are: all in one dtype.

    Scaling and subtracting after the products spares a pass over all logits.

    Args:
        powers, total, targets, upstream: (n, V), and (n,) each.
        hidden, head: (n, d), a `Head`.
        sums: (d_hidden, d_weight, d_bias), each may be None: the first (n, d) is written, the others are added to.
    """
    d_hidden, d_weight, d_bias = sums
    upstream = upstream[:, None] / head.temperature
    factor = -upstream / total[:, None]
    if d_hidden is not None:
        torch.mm(powers, head.weight, out=d_hidden)
        d_hidden.mul_(factor).addcmul_(head.weight[targets], upstream)
    if d_weight is not None:
        d_weight.addmm_(powers.T, factor * hidden).index_add_(0, targets, upstream * hidden)
    if d_bias is not None:
        d_bias.addmv_(powers.T, factor[:, 0]).index_add_(0, targets, upstream[:, 0])


def add_outer(total, factor, rows):
    """total (V, d) += factor.T @ rows; `total` is float32 where `rows` are in half precision.

    A product that is rounded to half precision before it is added would bias the sum over many chunks.
    """
    if total.is_cuda and is_half(rows.dtype):  # never run on a GPU
        torch.addmm(total, factor.T.to(rows.dtype), rows, out_dtype=total.dtype, out=total)
    else:
        total.addmm_(factor.T.to(total.dtype), rows.to(total.dtype))
