"""What the kernels share: how many rows of logits at a time, and what is done to them in place."""

from typing import NamedTuple

import torch

# The one buffer of logits that a kernel works in, by device: large enough that the matrix products run at
# full speed (on the CPU a few hundred rows of 50,000 words), small beside the gradient of such a head.
BUFFER_BYTES = {"cpu": 48 * 2**20}
ELSEWHERE = 2**29


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
    size = torch.finfo(accumulator(weight.dtype)).bits // 8
    fitting = BUFFER_BYTES.get(weight.device.type, ELSEWHERE) // (len(weight) * size)
    return max(1, min(fitting, -(-count // 2)))


def accumulator(dtype):
    """The dtype in which sums of `dtype` are kept: float32 at least."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def buffer(rows, weight):
    """(rows, V), not initialised, for the logits of as many rows."""
    return weight.new_empty(rows, len(weight), dtype=accumulator(weight.dtype))


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
    """Fill `out` with exp of the shifted logits.

    Returns:
        (n,) log-probabilities of the targets and (n,) the sums of the rows of `out`.
    """
    shifted_logits(hidden, head, out)
    picked = out.gather(1, targets[:, None])[:, 0]
    total = out.exp_().sum(1)
    return picked - total.log(), total


def entropies(hidden, head, targets, out):
    """As `exponentials`, with the entropies (n,) in nats between the two, and `out` still the shifted logits."""
    shifted_logits(hidden, head, out)
    powers = out.exp()
    total = powers.sum(1)
    # the mean of the shifted logits, without a product as large as they are
    mean = torch.bmm(powers[:, None], out[:, :, None])[:, 0, 0] / total
    picked = out.gather(1, targets[:, None])[:, 0]
    return picked - total.log(), total.log() - mean, total


def into_logits(out, total, targets, upstream):
    """exp(shifted logits) in `out` -> gradient at the logits, in place: upstream (onehot - softmax)."""
    out.mul_(-(upstream / total)[:, None])
    return out.scatter_add_(1, targets[:, None], upstream[:, None])


def into_logits_with_entropy(out, total, entropy, targets, upstream, into_entropy):
    """Shifted logits in `out` -> gradient at the logits, in place, of log-probability and entropy.

    d entropy / d logit v = -p_v (log p_v + entropy).
    """
    share = out.exp().div_(total[:, None])
    out.add_((entropy - total.log())[:, None]).mul_(into_entropy[:, None]).add_(upstream[:, None])
    out.mul_(share).neg_()
    return out.scatter_add_(1, targets[:, None], upstream[:, None])


def add_outer(total, factor, rows):
    """total (V, d) += factor.T @ rows. Half precision is multiplied as such and summed in `total`'s float32."""
    if factor.dtype == rows.dtype == total.dtype:
        total.addmm_(factor.T, rows)
        return
    # a part of the vocabulary at a time: the product is not as large as `total`
    for at in range(0, len(total), 8192):
        part = slice(at, at + 8192)
        total[part] += factor[:, part].to(rows.dtype).T @ rows
