"""Log-probabilities of labels straight from hidden states and the output layer."""

import torch

from course_utils.kernels import frozen, tiles
from course_utils.kernels.frozen import FrozenHead
from course_utils.kernels.head import TrainedHead
from course_utils.logprobs.rows import check_chunk_size, check_temperature, prepared, spread


def linear_logprobs(
    hidden, weight, labels, *, bias=None, temperature=1.0, with_entropy=False, chunk_size=None
):
    """log p of each label under softmax((hidden @ weight.T + bias) / temperature), never with the logits of all rows.

    A layer that needs no gradient takes the shorter way by itself: the derivative by `hidden` is then formed in
    the forward pass (see `kernels.frozen`). A trained one has its logits formed anew for the backward pass.

    Args:
        hidden: (N, d), float, already aligned: row i predicts label i. Rows that do not count may hold anything.
        weight: (V, d), the output layer, same dtype. May be the embedding too (tied weights).
        labels: (N,), int64; -100 where a row does not count.
        bias: (V,), same dtype, or None.
        temperature: > 0, divides the logits.
        with_entropy: return the entropies as well.
        chunk_size: rows of logits held at a time; None chooses by the size of the vocabulary.

    Returns:
        (N,) log-probabilities in nats, exactly 0 where the label is -100; with `with_entropy` a pair of
        these and of (N,) entropies of the whole distribution, 0 there too. float32 for half precision, else
        the inputs' dtype. A gradient into hidden, weight and bias, whatever comes from above; once (there is no
        second derivative).

    Raises:
        ValueError: an argument has another shape or dtype, there is no row, a label is not a token, or
            temperature or chunk_size is not positive.
    """
    check_temperature(temperature)
    if chunk_size is not None:
        check_chunk_size(chunk_size)
    count = len(hidden)
    hidden, weight, labels, bias, at = prepared(hidden, weight, labels, bias)
    rows = chunk_size or tiles.rows_at_a_time(len(labels), weight)
    trained = weight.requires_grad or (bias is not None and bias.requires_grad)
    if not torch.is_grad_enabled() or not (trained or hidden.requires_grad):
        run = frozen.values
    else:
        run = TrainedHead.apply if trained else FrozenHead.apply
    logp, entropy = run(hidden, weight, bias, labels, float(temperature), with_entropy, rows)
    if with_entropy:
        return spread(logp, at, count), spread(entropy, at, count)
    return spread(logp, at, count)


def chunked_token_logprobs(hidden, weight, labels, chunk_size):
    """log p of each label from the last hidden states, `chunk_size` rows of logits at a time.

    The same values and gradients as log_softmax(hidden @ weight.T) picked at the labels: `linear_logprobs`
    without its options, as notebook 02 asks for it.

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
    check_chunk_size(chunk_size)
    return linear_logprobs(hidden, weight, labels, chunk_size=chunk_size)
