"""02-dpo-from-scratch: log-probabilities of sequences."""

import torch
from torch.nn import functional as F

from course_utils.checks.cases import form, gradient
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.exercises.dpo_tokens import (
    WORKED,
    both_dtypes,
    counted,
    draw_batch,
    gathered,
    labels_overwritten,
    large,
    picked,
)
from course_utils.logprobs import sequence_logprob, token_logprobs


def _sequence_cases(draw):
    return [
        Case(WORKED, label="one row, logits [2, 1, 0] before the label 0"),
        Case(draw_batch(draw, [(2, 5), (3, 7), (2, 4)], 7), label="rows of unequal length"),
        Case((*draw_batch(draw, [(0, 5), (0, 3)], 5), False), label="a label at position 0 that is not -100"),
    ]


def _average_cases(draw):
    certain, labels = draw_batch(draw, [(2, 6), (1, 4)], 6)
    certain[0, 2, labels[0, 3]] = certain[1, 1, labels[1, 2]] = 1e3  # log p is exactly 0 there, and it counts
    return [
        Case(
            draw_batch(draw, [(2, 5), (3, 7), (2, 4)], 7),
            {"average": True},
            "rows of unequal length, average=True",
        ),
        Case(
            (*draw_batch(draw, [(0, 5), (0, 3)], 5), True),
            label="a label at position 0 that is not -100, average=True",
        ),
        Case((certain, labels), {"average": True}, "counted tokens of probability 1, average=True"),
        Case(WORKED, {"average": True}, "one row, two positions, average=True"),
    ]


def _sequence_gradients(draw):
    args = draw_batch(draw, [(2, 5), (3, 6), (1, 3)], 6)
    return [
        Case(args, label="sums", grads=(0,)),
        Case(args, {"average": True}, "averages", grads=(0,)),
    ]


def _stable_sequences(draw):
    args = large(draw, [(2, 5), (3, 6)], 6)
    return both_dtypes(args, "logits of ±1e4") + [
        Case((*args, True), label="logits of ±1e4, average", grads=(0,))
    ]


def _divided(divisor):
    """The sum right, the average with another divisor."""
    return lambda x, y, average=False: sequence_logprob(x, y) / (divisor(x, y) if average else 1)


def _summed(tokens):
    """Sum and average over wrong token values, shape (B, T-1) or (B, T)."""

    def answer(logits, labels, average=False):
        total = tokens(logits, labels).sum(-1)
        return total / counted(labels).sum(-1) if average else total

    return answer


def _by_loop(logits, labels, average=False):
    out = []
    for row, ids in zip(logits, labels, strict=True):
        at = [t for t in range(len(ids) - 1) if ids[t + 1] != -100]
        values = [row[t, ids[t + 1]] - row[t].logsumexp(0) for t in at]
        out.append(sum(values) / (len(values) if average else 1))
    return torch.stack(out)


def _by_cross_entropy(logits, labels, average=False):
    reduction = "mean" if average else "sum"
    return torch.stack(
        [-F.cross_entropy(x[:-1], y[1:], reduction=reduction) for x, y in zip(logits, labels, strict=True)]
    )


def _masked_matmul(logits, labels, average=False):
    weights = counted(labels).to(logits.dtype)
    if average:
        weights = weights / weights.sum(-1, keepdim=True)
    return (gathered(logits, labels).unsqueeze(1) @ weights.unsqueeze(2)).reshape(-1)


SEQUENCE_LOGPROB = Exercise(
    id="sequence-logprob",
    function="sequence_logprob",
    reference=sequence_logprob,
    parts=(
        Part("sums", 2, _sequence_cases),
        Part("averages", 1.5, _average_cases, independent=True),
        Part("stable for logits of ±1e4", 0.5, _stable_sequences, ("result", "gradient")),
        gradient(0.5, _sequence_gradients),
        form(0.5, lambda draw: draw_batch(draw, [(2, 5), (1, 4)], 5)),
    ),
    misconceptions=(
        Misconception(
            "always-average",
            lambda x, y, average=False: sequence_logprob(x, y, average=True),
            "this is the mean over the tokens in either case; without `average` the sum is wanted",
        ),
        Misconception(
            "never-average",
            lambda x, y, average=False: sequence_logprob(x, y),
            "this is the sum in either case; with `average` the mean over the counted tokens is wanted",
        ),
        Misconception(
            "inverted",
            lambda x, y, average=False: sequence_logprob(x, y, average=not average),
            "sum and mean are exchanged: look at what `average` says",
        ),
        Misconception(
            "all-positions",
            _divided(lambda x, y: y.shape[1] - 1),
            "the sum was divided by all T - 1 positions, prompt and padding too; count each row's own tokens",
        ),
        Misconception(
            "row-length",
            _divided(lambda x, y: y.shape[1]),
            "the sum was divided by the length T of the rows; count each row's own tokens",
        ),
        Misconception(
            "nonzero",
            _divided(lambda x, y: (token_logprobs(x, y) != 0).sum(-1)),
            "the divisor counts values that are not 0. A token of probability 1 has log p = 0 and counts; "
            "count labels, not values",
        ),
        Misconception(
            "position-0-counted",
            _divided(lambda x, y: (y != -100).sum(-1)),
            "the divisor counts the label at position 0 too, but no value was added for it",
        ),
        Misconception(
            "batch-total",
            _divided(lambda x, y: counted(y).sum()),
            "the divisor is the number of counted tokens of the whole batch; each row has its own",
        ),
        Misconception(
            "longest-row",
            _divided(lambda x, y: counted(y).sum(-1).max()),
            "every row was divided by the length of the longest; each row has its own",
        ),
        Misconception(
            "batch-mean",
            lambda x, y, average=False: sequence_logprob(x, y, average).mean(),
            "one number for the whole batch; keep one value per row",
        ),
        Misconception(
            "all-summed",
            lambda x, y, average=False: token_logprobs(x, y).sum() / (counted(y).sum() if average else 1),
            "all rows were added up to one number; keep one value per row",
        ),
        Misconception(
            "keepdim",
            lambda x, y, average=False: sequence_logprob(x, y, average).unsqueeze(-1),
            "the result has shape (B, 1); the position axis must go",
        ),
        Misconception(
            "per-token",
            lambda x, y, average=False: token_logprobs(x, y),
            "these are the values of the single tokens; they still have to be added up along the row",
        ),
        Misconception(
            "prompt-counted",
            _summed(gathered),
            "positions with label -100 are in the sum, scored as token 0; they must not count",
        ),
        Misconception(
            "unshifted",
            _summed(lambda x, y: picked(torch.log_softmax(x, -1), y)),
            "logits and labels were paired at the same position. The logits at t are the prediction of the token *after* t",
        ),
        Misconception(
            "unshifted-cut",
            _summed(lambda x, y: picked(torch.log_softmax(x, -1), y)[:, 1:]),
            "logits and labels were paired at the same position, and only then was position 0 cut off; "
            "shift one against the other",
        ),
        Misconception(
            "wrong-way",
            _summed(lambda x, y: picked(torch.log_softmax(x[:, 1:], -1), y[:, :-1])),
            "shifted the wrong way: the logits at t + 1 were scored against the label at t, a token they have already seen",
        ),
        Misconception(
            "mask-unshifted",
            _summed(lambda x, y: gathered(x, y) * (y[:, :-1] != -100)),
            "the labels are shifted but the mask is not: it must be made from the same, shifted, labels",
        ),
        Misconception(
            "token-0-masked",
            _summed(lambda x, y: gathered(x, y) * (y[:, 1:] > 0)),
            "token 0 is left out. It is a token like any other; only -100 does not count",
        ),
        Misconception(
            "sign",
            lambda x, y, average=False: -sequence_logprob(x, y, average),
            "the sign is turned: this is the negative log-likelihood, which a loss would use",
        ),
        Misconception(
            "probability",
            lambda x, y, average=False: sequence_logprob(x, y, average).exp(),
            "this is the probability; its logarithm is wanted (probabilities of long sequences round to 0)",
        ),
        Misconception(
            "sum-of-probabilities",
            _summed(lambda x, y: token_logprobs(x, y).exp() * counted(y)),
            "probabilities were added up. Probabilities of successive tokens multiply; their logarithms add",
        ),
        Misconception(
            "raw-logits",
            _summed(lambda x, y: picked(x[:, :-1], y[:, 1:])),
            "the logits were added up without being normalised",
        ),
        Misconception(
            "log-of-softmax",
            _summed(lambda x, y: picked(torch.softmax(x[:, :-1], -1).log(), y[:, 1:])),
            "softmax has already rounded small probabilities to 0, and log 0 is -infinity; stay with logarithms throughout",
        ),
        Misconception(
            "detached",
            lambda x, y, average=False: sequence_logprob(x.detach(), y, average),
            "no gradient reaches the logits, so nothing could be trained through this function",
        ),
        Misconception(
            "float32-only",
            lambda x, y, average=False: sequence_logprob(x.float(), y, average),
            "the logits were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "labels-overwritten",
            lambda x, y, average=False: labels_overwritten(x, y).sum(-1),
            "the labels themselves were overwritten (a slice shares their memory, and an operation ending in _ changes it)",
        ),
    ),
    alternatives={
        "masked sum": lambda logits, labels, average=False: (
            (gathered(logits, labels) * counted(labels)).sum(-1) / (counted(labels).sum(-1) if average else 1)
        ),
        "clamped divisor": lambda logits, labels, average=False: (
            token_logprobs(logits, labels).sum(1) / (counted(labels).sum(1).clamp(min=1) if average else 1.0)
        ),
        "cross-entropy per row": _by_cross_entropy,
        "loop": _by_loop,
        "matrix product": _masked_matmul,
    },
    hints=(
        "Copy the lines of your token_logprobs: they give 0 where a label does not count, so a plain sum along the row "
        "is the sum over counted tokens.",
        "For the mean, count the labels of the row that are not -100. Is the label at position 0 among those you added up?",
        "Count labels, not values that are not 0: a token of probability 1 has log p = 0, and counts.",
    ),
)
