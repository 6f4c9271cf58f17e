"""02-dpo-from-scratch: log-probabilities of tokens."""

import torch
from torch.nn import functional as F

from course_utils.checks.cases import form, gradient
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.logprobs import token_logprobs


def _labels(draw, spans, length, vocabulary):
    """Labels that count from `start` to before `stop` in each row, -100 elsewhere; token 0 among them."""
    labels = torch.full((len(spans), length), -100)
    for row, (start, stop) in zip(labels, spans, strict=True):
        row[start:stop] = draw.integers(0, vocabulary - 1, stop - start)
        row[stop - 1] = 0  # a token like any other
    return labels


def draw_batch(draw, spans, length, vocabulary=6, scale=1.5):
    return draw.normal(len(spans), length, vocabulary, scale=scale), _labels(draw, spans, length, vocabulary)


def large(draw, spans, length, vocabulary=6):
    """Logits of ±1e4, with a counted token of very small probability in every row."""
    logits, labels = draw_batch(draw, spans, length, vocabulary)
    signs = draw.integers(0, 1, *logits.shape) * 2 - 1
    signs[..., 0] = 1
    for i, (_, stop) in enumerate(spans):
        labels[i, stop - 1] = 1
        signs[i, stop - 2, 1] = -1
    return logits + 1e4 * signs, labels


def both_dtypes(args, label):
    return [
        Case(args, label=label, grads=(0,)),
        Case((args[0].float(), *args[1:]), label=f"{label}, float32", grads=(0,)),
    ]


WORKED = (
    torch.tensor([[[2.0, 1.0, 0.0], [0.0, 0.0, 0.0]]], dtype=torch.float64),
    torch.tensor([[1, 0]]),
)


def _token_cases(draw):
    hole, holed = draw_batch(draw, [(1, 6), (1, 6)], 6)
    holed[0, 3] = holed[1, 2] = -100
    whole, no_prompt = draw_batch(draw, [(0, 5), (0, 3)], 5)
    strided = draw.normal(6, 5, 3, scale=1.5).permute(2, 1, 0)
    # scale 0: what is exactly 0 must come out as exactly 0
    return [
        Case(WORKED, label="one row, logits [2, 1, 0] before the label 0", scale=0.0),
        Case(
            draw_batch(draw, [(2, 5), (3, 7), (2, 4)], 7),
            label="prompts and padding with label -100",
            scale=0.0,
        ),
        Case((hole, holed), label="a label -100 between two that count", scale=0.0),
        Case((whole, no_prompt), label="a label at position 0 that is not -100", scale=0.0),
        Case(
            (strided, _labels(draw, [(1, 5), (2, 4), (3, 5)], 5, 6)), label="logits not contiguous", scale=0.0
        ),
    ]


def _all_counted(draw):
    return [
        Case(WORKED, label="one row, two positions"),
        Case(draw_batch(draw, [(0, 6), (0, 6), (0, 6)], 6), label="no label -100"),
    ]


def _token_gradients(draw):
    logits, labels = draw_batch(draw, [(2, 4), (3, 6), (1, 3)], 6)
    wild = logits.clone()
    wild[:, :-1][labels[:, 1:] == -100] *= 1e4
    wild[:, -1] *= 1e4
    return [
        Case((logits, labels), label="prompts and padding with label -100", grads=(0,)),
        Case((wild, labels), label="huge logits where the label is -100", grads=(0,), scale=10.0),
    ]


def gathered(logits, labels):
    """The log-probabilities with -100 read as token 0, before any mask."""
    logp = torch.log_softmax(logits[:, :-1], -1)
    return logp.gather(-1, labels[:, 1:].clamp(min=0).unsqueeze(-1)).squeeze(-1)


def counted(labels):
    return labels[:, 1:] != -100


def picked(scores, labels):
    """scores (B, T', V) at labels (B, T'), 0 where the label is -100."""
    values = scores.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return torch.where(labels == -100, 0.0, values)


def _minus_100_gathered(logits, labels):
    return torch.log_softmax(logits[:, :-1], -1).gather(-1, labels[:, 1:].unsqueeze(-1)).squeeze(-1)


def labels_overwritten(logits, labels):
    targets = labels[:, 1:]
    counted = targets != -100
    return picked(torch.log_softmax(logits[:, :-1], -1), targets.clamp_(min=0)) * counted


def _naive(logits, labels):
    powers = logits[:, :-1].exp()
    return picked((powers / powers.sum(-1, keepdim=True)).log(), labels[:, 1:])


def _loop(logits, labels):
    rows = []
    for row, ids in zip(logits, labels.tolist(), strict=True):
        logp = row.log_softmax(-1)
        rows.append(
            torch.stack([logp[t, y] if y != -100 else logp.new_zeros(()) for t, y in enumerate(ids[1:])])
        )
    return torch.stack(rows)


def _categorical(logits, labels):
    targets = labels[:, 1:]
    logp = torch.distributions.Categorical(logits=logits[:, :-1]).log_prob(
        targets.masked_fill(targets == -100, 0)
    )
    return logp.masked_fill(targets == -100, 0.0)


def _einsum(logits, labels):
    targets = labels[:, 1:]
    hot = F.one_hot(targets.clamp(min=0), logits.shape[-1]) * (targets != -100).unsqueeze(-1)
    return torch.einsum("btv,btv->bt", logits[:, :-1].log_softmax(-1), hot.to(logits.dtype))


TOKEN_LOGPROBS = Exercise(
    id="token-logprobs",
    function="token_logprobs",
    reference=token_logprobs,
    parts=(
        Part("values, and 0 where the label is -100", 2, _token_cases),
        Part("values where every label counts", 1, _all_counted, independent=True),
        Part(
            "stable for logits of ±1e4",
            1,
            lambda draw: both_dtypes(large(draw, [(2, 5), (3, 6)], 6), "logits of ±1e4"),
            ("result", "gradient"),
        ),
        gradient(0.5, _token_gradients),
        form(0.5, lambda draw: draw_batch(draw, [(2, 5), (1, 4)], 5)),
    ),
    misconceptions=(
        Misconception(
            "unshifted",
            lambda x, y: picked(torch.log_softmax(x, -1), y)[:, 1:],
            "logits and labels were paired at the same position. The logits at t are the prediction of the token *after* t",
        ),
        Misconception(
            "unshifted-first",
            lambda x, y: picked(torch.log_softmax(x, -1), y)[:, :-1],
            "logits and labels were paired at the same position, and the label at position 0 counted. Which token do the "
            "logits at t predict?",
        ),
        Misconception(
            "wrong-way",
            lambda x, y: picked(torch.log_softmax(x[:, 1:], -1), y[:, :-1]),
            "shifted the wrong way: the logits at t + 1 were scored against the label at t, a token they have already seen",
        ),
        Misconception(
            "not-cut",
            lambda x, y: picked(torch.log_softmax(x, -1), y),
            "there are T values in a row. T positions give only T - 1 predictions that can be scored",
        ),
        Misconception(
            "padded-front",
            lambda x, y: F.pad(token_logprobs(x, y), (1, 0)),
            "there is a 0 in front for position 0; the result has T - 1 values in a row, position 0 has none",
        ),
        Misconception(
            "unmasked",
            gathered,
            "labels of -100 were replaced so that they can be looked up, but their values still stand in the result",
        ),
        Misconception(
            "mask-unshifted",
            lambda x, y: gathered(x, y) * (y[:, :-1] != -100),
            "the labels are shifted but the mask is not: it must be made from the same, shifted, labels",
        ),
        Misconception(
            "token-0-masked",
            lambda x, y: gathered(x, y) * (y[:, 1:] > 0),
            "token 0 is masked too. It is a token like any other; only -100 does not count",
        ),
        Misconception(
            "minus-100-gathered",
            _minus_100_gathered,
            "-100 is no position in the vocabulary. Look up some valid id there, and put the value to 0 afterwards",
        ),
        Misconception(
            "minus-infinity",
            lambda x, y: gathered(x, y).masked_fill(~counted(y), float("-inf")),
            "positions that do not count hold -infinity; a sum over the row must not notice them",
        ),
        Misconception(
            "nan-mask",
            lambda x, y: gathered(x, y).masked_fill(~counted(y), float("nan")),
            "positions that do not count hold nan; a sum over the row must not notice them",
        ),
        Misconception(
            "probabilities",
            lambda x, y: picked(torch.softmax(x[:, :-1], -1), y[:, 1:]),
            "these are probabilities; the logarithm is missing",
        ),
        Misconception(
            "raw-logits",
            lambda x, y: picked(x[:, :-1], y[:, 1:]),
            "these are the logits themselves; they are log-probabilities only once they are normalised",
        ),
        Misconception(
            "sign",
            lambda x, y: -token_logprobs(x, y),
            "the sign is turned: this is the cross-entropy. Log-probabilities are never positive",
        ),
        Misconception(
            "wrong-axis",
            lambda x, y: picked(torch.log_softmax(x[:, :-1], 1), y[:, 1:]),
            "the logits were normalised over the positions; a distribution lies along the vocabulary, the last axis",
        ),
        Misconception(
            "log-base-2",
            lambda x, y: token_logprobs(x, y) / torch.log(torch.tensor(2.0, dtype=x.dtype)),
            "these are logarithms to base 2; the course uses natural ones",
        ),
        Misconception(
            "row-sums",
            lambda x, y: token_logprobs(x, y).sum(-1),
            "the values of a row were added up; here one value per position is wanted",
        ),
        Misconception(
            "batch-mean",
            lambda x, y: -F.cross_entropy(x[:, :-1].transpose(1, 2), y[:, 1:]),
            "one number for the whole batch (cross_entropy averages by default); keep one value per position",
        ),
        Misconception(
            "overflow",
            _naive,
            "exp(1e4) is infinite; stay with logarithms: torch has a function for log of softmax",
        ),
        Misconception(
            "log-of-softmax",
            lambda x, y: torch.where(
                counted(y),
                torch.softmax(x[:, :-1], -1)
                .gather(-1, y[:, 1:].clamp(min=0).unsqueeze(-1))
                .squeeze(-1)
                .log(),
                0.0,
            ),
            "softmax has already rounded small probabilities to 0, and log 0 is -infinity; "
            "even where it is masked, its gradient is nan",
        ),
        Misconception(
            "epsilon",
            lambda x, y: torch.where(counted(y), (gathered(x, y).exp() + 1e-12).log(), 0.0),
            "an epsilon inside the logarithm hides the underflow but changes the answer; stay with logarithms",
        ),
        Misconception(
            "detached",
            lambda x, y: token_logprobs(x.detach(), y),
            "no gradient reaches the logits, so nothing could be trained through this function",
        ),
        Misconception(
            "float32-only",
            lambda x, y: token_logprobs(x.float(), y),
            "the logits were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "labels-overwritten",
            labels_overwritten,
            "the labels themselves were overwritten (a slice shares their memory, and an operation ending in _ changes it)",
        ),
    ),
    alternatives={
        "gather and mask": lambda logits, labels: gathered(logits, labels) * counted(labels),
        "cross-entropy": lambda logits, labels: (
            -F.cross_entropy(
                logits[:, :-1].transpose(1, 2), labels[:, 1:], ignore_index=-100, reduction="none"
            )
        ),
        "logsumexp": lambda logits, labels: picked(
            logits[:, :-1] - logits[:, :-1].logsumexp(-1, keepdim=True), labels[:, 1:]
        ),
        "loop": _loop,
        "distributions": _categorical,
        "one-hot": _einsum,
    },
    hints=(
        "Which logits predict which label? Cut one position off each: one loses its last, the other its first.",
        "log_softmax over the vocabulary, then gather one value per position. gather wants an index with the same "
        "number of axes: unsqueeze(-1) the labels, squeeze(-1) the result.",
        "-100 cannot be looked up: clamp a copy of the labels to 0 first, and put 0 where the label was -100 afterwards "
        "(torch.where).",
    ),
)
