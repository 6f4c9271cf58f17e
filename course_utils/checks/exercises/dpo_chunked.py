"""02-dpo-from-scratch: token log-probabilities a chunk at a time, without the logits of all rows."""

import copy
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from course_utils.checks.beside import StandIn, beside
from course_utils.checks.cases import form, gradient
from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.exercises.dpo_chunked_memory import WHOLE, fault_in_little_room
from course_utils.checks.observe import describe_error, detached, observe_call, quietly
from course_utils.checks.scripts.memory import watched
from course_utils.logprobs import chunked_token_logprobs

# --- observing memory ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Memory:
    """That a case looks at memory; `seed`: of a call that is made where memory is little, None for no such call."""

    seed: int | None = None


def _observe_memory(function, case):
    """A call, and where the case says so whether a float tensor of N·V elements was made in it.

    What is noticed beside the function tells it well, and can be forged by one that patches torch. At grading, what
    is seen from outside of its process decides.
    """
    if case.extra is None:
        return observe_call(function, case)
    try:
        seen = quietly(beside, function, watched, copy.deepcopy(case.args), case.grads)
    except Exception as error:  # whatever a student's code raises is a finding, not a crash
        return {"error": describe_error(error)}
    hidden, weight = case.args[:2]
    fault = WHOLE if seen["largest"] >= len(hidden) * len(weight) else None
    if not fault and case.extra.seed is not None and isinstance(function, StandIn):
        fault = fault_in_little_room(function, case.extra.seed)
    names = [f"gradient of argument {i + 1}" for i in case.grads]
    gradients = dict(zip(names, seen["gradients"], strict=True))
    return {
        "result": detached(seen["result"]),
        **gradients,
        "memory": Missing(fault) if fault else "no such tensor",
    }


# --- inputs ----------------------------------------------------------------------------------


def _inputs(draw, rows, width, vocabulary, chunk_size, ignored=(), scale=1.0):
    labels = draw.integers(0, vocabulary - 1, rows)
    labels[-1] = 0  # a token like any other
    labels[list(ignored)] = -100
    return (
        draw.normal(rows, width, scale=scale),
        draw.normal(vocabulary, width, scale=scale),
        labels,
        chunk_size,
    )


def _value_cases(draw):
    return [
        Case(_inputs(draw, 8, 3, 5, 4), label="8 rows, chunk_size 4"),
        Case(
            _inputs(draw, 11, 3, 7, 4, ignored=(0, 5, 9)),
            label="11 rows, chunk_size 4, labels -100",
            scale=0.0,
        ),
        Case(_inputs(draw, 9, 4, 6, 3, ignored=(3, 4, 5)), label="a whole chunk of labels -100", scale=0.0),
        Case(_inputs(draw, 6, 3, 5, 1, ignored=(2,)), label="chunk_size 1"),
        Case(_inputs(draw, 5, 3, 4, 5), label="chunk_size of all rows"),
        Case(_inputs(draw, 5, 3, 4, 64, ignored=(0,)), label="chunk_size larger than the number of rows"),
        Case(_inputs(draw, 1, 3, 4, 2), label="one row"),
    ]


def _gradient_cases(draw):
    return [
        Case(
            _inputs(draw, 11, 3, 7, 4, ignored=(0, 5, 9)),
            label="11 rows, chunk_size 4, labels -100",
            grads=(0, 1),
        ),
        Case(_inputs(draw, 5, 3, 4, 8), label="5 rows, chunk_size 8", grads=(0, 1)),
    ]


def _memory_cases(draw):
    """Shapes at which no other tensor of a right answer comes near N·V: N and V far above d and chunk_size."""
    small, large = _inputs(draw, 24, 3, 19, 1, ignored=(4,)), _inputs(draw, 70, 3, 37, 8, ignored=(0, 30, 31))
    last = _Memory(draw.integer(0, 2**31))
    return [
        Case(large, label="70 rows, chunk_size 8, forward", extra=_Memory()),
        Case(small, label="24 rows, chunk_size 1, forward and backward", grads=(0, 1), extra=_Memory()),
        Case(large, label="70 rows, chunk_size 8, forward and backward", grads=(0, 1), extra=last),
    ]


def _stable_cases(draw):
    hidden, weight, labels, chunk_size = _inputs(draw, 9, 3, 6, 4, ignored=(2,), scale=40.0)
    args = hidden, weight, labels, chunk_size
    # the size of the logits, of which the values are differences
    size = (hidden @ weight.T).abs().max().item()
    return [
        Case(args, label="large logits", grads=(0, 1), scale=size),
        Case(
            (hidden.float(), weight.float(), *args[2:]),
            label="large logits, float32",
            grads=(0, 1),
            scale=size,
        ),
    ]


# --- right and wrong answers -----------------------------------------------------------------


def _whole(hidden, weight, labels, chunk_size=None):
    """log p of the labels from the logits of all given rows at once."""
    logp = (hidden @ weight.T).log_softmax(-1)
    picked = logp.gather(1, labels.clamp(min=0)[:, None])[:, 0]
    return torch.where(labels == -100, 0.0, picked)


def _by_chunks(one, join=torch.cat):
    """`one(hidden, weight, labels)` over chunks of rows."""

    def answer(hidden, weight, labels, chunk_size):
        parts = zip(hidden.split(chunk_size), labels.split(chunk_size), strict=True)
        return join([one(h, weight, y) for h, y in parts])

    return answer


def _number_of_chunks(hidden, weight, labels, chunk_size):
    n = min(chunk_size, len(hidden))
    parts = zip(hidden.chunk(n), labels.chunk(n), strict=True)
    return torch.cat([_whole(h, weight, y) for h, y in parts])


def _last_chunk_dropped(hidden, weight, labels, chunk_size):
    chunk_size = min(chunk_size, len(hidden))
    result = torch.zeros_like(hidden[:, 0])
    for k in range(len(hidden) // chunk_size):
        at = slice(k * chunk_size, (k + 1) * chunk_size)
        result[at] = _whole(hidden[at], weight, labels[at])
    return result


def _last_chunk_cut(hidden, weight, labels, chunk_size):
    chunk_size = min(chunk_size, len(hidden))
    whole = len(hidden) // chunk_size * chunk_size
    return _by_chunks(_whole)(hidden[:whole], weight, labels[:whole], chunk_size)


def _vocabulary_chunks(hidden, weight, labels, chunk_size):
    result = torch.zeros_like(hidden[:, 0])
    for start in range(0, len(weight), chunk_size):
        logp = (hidden @ weight[start : start + chunk_size].T).log_softmax(-1)
        inside = (labels >= start) & (labels < start + chunk_size)
        picked = logp.gather(1, (labels - start).clamp(0, logp.shape[1] - 1)[:, None])[:, 0]
        result = torch.where(inside, picked, result)
    return result


def _unstable(hidden, weight, labels):
    powers = (hidden @ weight.T).exp()
    picked = (powers / powers.sum(-1, keepdim=True)).gather(1, labels.clamp(min=0)[:, None])[:, 0].log()
    return torch.where(labels == -100, 0.0, picked)


def _naive_sum(hidden, weight, labels):
    logits = hidden @ weight.T
    picked = logits.gather(1, labels.clamp(min=0)[:, None])[:, 0] - logits.exp().sum(-1).log()
    return torch.where(labels == -100, 0.0, picked)


def _own_backward(fault=""):
    """chunked_token_logprobs as a custom autograd.Function; `fault` says what its backward does wrongly."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, hidden, weight, labels, chunk_size):
            ctx.save_for_backward(hidden, weight, labels)
            ctx.chunk_size = len(hidden) if fault == "whole" else chunk_size
            return _by_chunks(_whole)(hidden, weight, labels, chunk_size)

        @staticmethod
        def backward(ctx, upstream):
            hidden, weight, labels = ctx.saved_tensors
            d_hidden, d_weight = torch.zeros_like(hidden), torch.zeros_like(weight)
            for start in range(0, len(hidden), ctx.chunk_size):
                at = slice(start, start + ctx.chunk_size)
                d_logits = -(hidden[at] @ weight.T).softmax(-1)
                if fault != "no-label-term":
                    hot = torch.zeros_like(d_logits)
                    d_logits = d_logits + hot.scatter(1, labels[at].clamp(min=0)[:, None], 1.0)
                if fault != "upstream":
                    d_logits = d_logits * upstream[at, None]
                if fault != "ignored":
                    d_logits = d_logits * (labels[at] != -100)[:, None]
                d_hidden[at] = d_logits @ weight
                product = d_logits.T @ hidden[at]
                d_weight = product if fault == "overwritten" else d_weight + product
            return d_hidden, d_weight, None, None

    return lambda hidden, weight, labels, chunk_size: Function.apply(hidden, weight, labels, chunk_size)


def _checkpointed(hidden, weight, labels, chunk_size):
    parts = zip(torch.split(hidden, chunk_size), torch.split(labels, chunk_size), strict=True)
    return torch.cat([checkpoint(_whole, h, weight, y, use_reentrant=False) for h, y in parts])


def _checkpointed_the_old_way(hidden, weight, labels, chunk_size):
    parts = zip(torch.split(hidden, chunk_size), torch.split(labels, chunk_size), strict=True)
    return torch.cat([checkpoint(_whole, h, weight, y, use_reentrant=True) for h, y in parts])


def _filled(hidden, weight, labels, chunk_size):
    result = hidden.new_zeros(len(hidden))
    for start in range(0, len(hidden), chunk_size):
        h, y = hidden[start : start + chunk_size], labels[start : start + chunk_size]
        loss = F.cross_entropy(F.linear(h, weight), y, ignore_index=-100, reduction="none")
        result[start : start + len(h)] = -loss
    return result


def _linear_cross_entropy(hidden, weight, labels, chunk_size):
    options = torch.nn.LinearCrossEntropyOptions(batch_chunk_size=chunk_size)
    return -F.linear_cross_entropy(hidden, weight, labels, reduction="none", options=options)


def _row_by_row(hidden, weight, labels, chunk_size):
    """Fewer rows at a time than allowed."""
    rows = []
    for h, y in zip(hidden, labels.tolist(), strict=True):
        z = weight @ h
        rows.append(z[y] - z.logsumexp(0) if y != -100 else h.new_zeros(()))
    return torch.stack(rows)


CHUNKED_LOGPROBS = Exercise(
    id="chunked-logprobs",
    function="chunked_token_logprobs",
    reference=chunked_token_logprobs,
    observe=_observe_memory,
    parts=(
        Part("values, and 0 where the label is -100", 2, _value_cases),
        gradient(1.5, _gradient_cases, "gradients into hidden and weight"),
        Part("never a float tensor of N·V elements", 2, _memory_cases, ("memory", "result", "gradient")),
        Part("stable for large logits", 0.5, _stable_cases, ("result", "gradient")),
        form(1, lambda draw: _inputs(draw, 7, 3, 5, 3, ignored=(1,))),
    ),
    misconceptions=(
        Misconception(
            "number-of-chunks",
            _number_of_chunks,
            "chunk_size is taken as the *number* of chunks (torch.chunk); it is the number of rows in one (torch.split)",
        ),
        Misconception(
            "whole-backward",
            _own_backward("whole"),
            "the forward pass goes by chunks, but the backward pass forms the logits of all rows at once",
        ),
        Misconception(
            "whole",
            _whole,
            "the logits of all rows are formed at once; form them for chunk_size rows, reduce them, and go on",
        ),
        Misconception(
            "last-chunk-dropped",
            _last_chunk_dropped,
            "the last, smaller chunk is missing: its rows are 0",
        ),
        Misconception(
            "last-chunk-cut",
            _last_chunk_cut,
            "the last, smaller chunk is missing: the result is shorter than the labels",
        ),
        Misconception(
            "shifted",
            lambda h, w, y, n: F.pad(_whole(h[:-1], w, y[1:]), (0, 1)) if len(h) > 1 else _whole(h, w, y),
            "labels and rows were shifted against each other; here they are aligned already",
        ),
        Misconception(
            "shifted-and-cut",
            lambda h, w, y, n: _whole(h[:-1], w, y[1:]),
            "labels and rows were shifted against each other, and one was lost; here they are aligned already",
        ),
        Misconception(
            "sign",
            lambda h, w, y, n: -_whole(h, w, y),
            "the sign is turned: this is the cross-entropy. Log-probabilities are never positive",
        ),
        Misconception(
            "probabilities",
            _by_chunks(lambda h, w, y: torch.where(y == -100, 0.0, _whole(h, w, y).exp())),
            "these are probabilities; the logarithm is missing",
        ),
        Misconception(
            "raw-logits",
            _by_chunks(lambda h, w, y: torch.where(y == -100, 0.0, (h * w[y.clamp(min=0)]).sum(1))),
            "these are the logits of the labels; the normaliser, log of the sum over the vocabulary, is missing",
        ),
        Misconception(
            "wrong-axis",
            _by_chunks(
                lambda h, w, y: torch.where(
                    y == -100, 0.0, (h @ w.T).log_softmax(0).gather(1, y.clamp(min=0)[:, None])[:, 0]
                )
            ),
            "the logits were normalised over the rows of the chunk; a distribution lies along the vocabulary",
        ),
        Misconception(
            "vocabulary-chunks",
            _vocabulary_chunks,
            "the vocabulary was cut into chunks and each normalised for itself; cut the rows, and normalise over the whole "
            "vocabulary",
        ),
        Misconception(
            "unmasked",
            _by_chunks(lambda h, w, y: _whole(h, w, y.clamp(min=0))),
            "rows with label -100 were scored as if the label were token 0; their value is 0",
        ),
        Misconception(
            "token-0-masked",
            _by_chunks(lambda h, w, y: torch.where(y <= 0, 0.0, _whole(h, w, y))),
            "token 0 is masked too. It is a token like any other; only -100 does not count",
        ),
        Misconception(
            "left-out",
            lambda h, w, y, n: _by_chunks(_whole)(h[y != -100], w, y[y != -100], n),
            "rows with label -100 are left out of the result; they stand in it, as 0",
        ),
        Misconception(
            "minus-100-gathered",
            _by_chunks(lambda h, w, y: (h @ w.T).log_softmax(-1).gather(1, y[:, None])[:, 0]),
            "-100 is no position in the vocabulary. Look up some valid id there, and put the value to 0 afterwards",
        ),
        Misconception(
            "chunk-means",
            _by_chunks(lambda h, w, y: _whole(h, w, y).mean().expand(len(h))),
            "each chunk's values were averaged; one value per row is wanted",
        ),
        Misconception(
            "sum",
            lambda h, w, y, n: _whole(h, w, y).sum(),
            "the values were added up; one value per row is wanted",
        ),
        Misconception(
            "weight-detached",
            _by_chunks(lambda h, w, y: _whole(h, w.detach(), y)),
            "no gradient reaches the weight; the output layer is trained too",
        ),
        Misconception(
            "hidden-detached",
            _by_chunks(lambda h, w, y: _whole(h.detach(), w, y)),
            "no gradient reaches the hidden states, so nothing below the output layer would be trained",
        ),
        Misconception(
            "all-detached",
            _by_chunks(lambda h, w, y: _whole(h, w, y).detach()),
            "no gradient arrives at all; under no_grad the chunks are cheap, but nothing is trained",
        ),
        Misconception(
            "weight-gradient-overwritten",
            _own_backward("overwritten"),
            "the gradient of the weight is that of the last chunk only; add up those of all chunks",
        ),
        Misconception(
            "upstream-ignored",
            _own_backward("upstream"),
            "the backward pass does not multiply by the gradient that comes in, one number for each row",
        ),
        Misconception(
            "ignored-rows-in-gradient",
            _own_backward("ignored"),
            "rows with label -100 have value 0 but still a gradient in the backward pass",
        ),
        Misconception(
            "label-term-missing",
            _own_backward("no-label-term"),
            "the gradient is that of the normaliser only; the term of the label's own logit is missing",
        ),
        Misconception(
            "unstable",
            _by_chunks(_unstable),
            "exp of a large logit is infinite; stay with logarithms (log_softmax, logsumexp)",
        ),
        Misconception(
            "overflow-in-the-sum",
            _by_chunks(_naive_sum),
            "exp of a large logit is infinite, and so is the sum; torch.logsumexp does both steps without overflow",
        ),
        Misconception(
            "float32-only",
            lambda h, w, y, n: _by_chunks(_whole)(h.float(), w.float(), y, n),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "labels-overwritten",
            lambda h, w, y, n: _by_chunks(_whole)(h, w, y.clone(), n) + 0.0 * y.clamp_(min=0),
            "the labels themselves were overwritten (an operation ending in _); make a new tensor",
        ),
    ),
    alternatives={
        "loop over chunks": _by_chunks(_whole),
        "checkpoint": _checkpointed,
        "reentrant checkpoint": _checkpointed_the_old_way,
        "own backward": _own_backward(),
        "cross-entropy into a result": _filled,
        "row by row": _row_by_row,
        "linear_cross_entropy": _linear_cross_entropy,
        "logsumexp": _by_chunks(
            lambda h, w, y: (h * w[y.clamp(min=0)]).sum(1).sub((h @ w.T).logsumexp(1)) * (y != -100)
        ),
    },
    hints=(
        "hidden.split(chunk_size) and labels.split(chunk_size) give the chunks, the smaller last one too. One chunk's "
        "values are those of the full computation on its rows; torch.cat joins the *values*, never the logits.",
        "Autograd would keep every chunk's logits for the backward pass. Look in torch.utils for what runs a function "
        "again in the backward pass, and apply it to one chunk at a time.",
        "By hand: a torch.autograd.Function whose backward forms each chunk's softmax again. d log p(y) / d logits is "
        "onehot(y) - softmax; the gradients of the weight add up over the chunks.",
    ),
)
