"""00-start-here: log-softmax and the KL divergence."""

import torch
from torch.nn import functional as F

from course_utils.checks.cases import form, gradient
from course_utils.checks.definition import Case, Exercise, Misconception, Part

# --- log-softmax -----------------------------------------------------------------------------


def log_softmax(logits):
    """log of softmax over the last axis."""
    return torch.log_softmax(logits, dim=-1)


def _logits_cases(draw):
    worked = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)
    small = torch.tensor([0.0, -10.0, -20.0, -27.5, -30.0], dtype=torch.float64)
    return [
        Case((worked,), label="logits [2, 1, 0]"),
        Case((draw.normal(3, 4, scale=2.0),), label="two axes"),
        Case((draw.normal(2, 3, 5, scale=3.0),), label="three axes"),
        Case((draw.normal(2, 2, 2, 3).transpose(1, 3),), label="four axes, not contiguous"),
        Case((small + draw.normal(2, 5, scale=0.3),), label="small probabilities, down to 1e-13"),
        Case((draw.normal(1, 5),), label="a single row"),
        Case((draw.normal(4, 4, scale=2.0),), label="as many rows as columns"),
    ]


def _large_logits_cases(draw):
    signs = draw.integers(0, 1, 4, 6) * 2 - 1
    signs[:, 0] = 1
    large = 1e4 * signs + draw.normal(4, 6)
    levels = torch.tensor([[1e4], [0.0], [-1e4]], dtype=torch.float64) + draw.normal(3, 5)
    return [
        Case((large,), label="logits of ±1e4", grads=(0,)),
        Case((large.float(),), label="logits of ±1e4, float32"),
        # float32 numbers near 1e4 are 1e-3 apart, and a gradient is off by as much, relative to its size
        Case((large.float(),), label="logits of ±1e4, float32", grads=(0,), rtol=4e-3),
        Case((draw.normal(2, 5) - 1e4,), label="all logits near -1e4", grads=(0,)),
        Case((draw.normal(2, 5) + 1e4,), label="all logits near +1e4", grads=(0,)),
        Case((levels,), label="rows at different levels, +1e4 to -1e4", grads=(0,)),
    ]


def _naive_log_softmax(logits):
    return torch.log(torch.exp(logits) / torch.exp(logits).sum(-1, keepdim=True))


def _log_of_softmax_mended(logits):
    p = torch.softmax(logits, -1)
    return torch.where(p > 0, torch.log(p), torch.log_softmax(logits, -1))


def _naive_mended(logits):
    naive = logits - torch.log(torch.exp(logits).sum(-1, keepdim=True))
    return torch.where(torch.isfinite(naive), naive, torch.log_softmax(logits, -1))


def _shifted(logits, shift):
    return (s := logits - shift) - torch.log(torch.exp(s).sum(-1, keepdim=True))


_EPSILON = "an epsilon inside the logarithm hides the underflow but changes the answer; stay with logarithms throughout"
_NAN_GRADIENT = (
    "the value is right, but the gradient is nan: torch.where differentiates both branches, the overflowing one too. "
    "Write one formula that is stable everywhere"
)


LOG_SOFTMAX = Exercise(
    id="log-softmax",
    function="log_softmax",
    reference=log_softmax,
    parts=(
        Part("values", 2, _logits_cases),
        Part("stable for logits of ±1e4", 1, _large_logits_cases, ("result", "gradient")),
        gradient(0.5, lambda draw: [Case((draw.normal(3, 4, scale=2.0),), grads=(0,))]),
        form(0.5, lambda draw: (draw.normal(3, 4),)),
    ),
    misconceptions=(
        Misconception(
            "softmax", lambda x: torch.softmax(x, -1), "these are probabilities; the logarithm is missing"
        ),
        Misconception(
            "first-axis",
            lambda x: torch.log_softmax(x, 0),
            "the sum runs over the first axis; every distribution lies along the *last* one",
        ),
        Misconception(
            "second-axis",
            lambda x: torch.log_softmax(x, min(1, x.dim() - 1)),
            "the sum runs over the axis of number 1; that is the last one of a matrix, but not of a tensor with "
            "more axes",
        ),
        Misconception(
            "all-axes",
            lambda x: x - x.flatten().logsumexp(0),
            "one sum over all entries; each row along the last axis is a distribution of its own",
        ),
        Misconception(
            "no-normaliser",
            lambda x: x - x.max(-1, keepdim=True).values,
            "the largest logit is subtracted, but the log of the sum of the exponentials is not",
        ),
        Misconception(
            "log-base-2",
            lambda x: torch.log_softmax(x, -1) / torch.log(torch.tensor(2.0, dtype=x.dtype)),
            "these are logarithms to base 2; the course uses natural ones",
        ),
        Misconception(
            "sign",
            lambda x: -torch.log_softmax(x, -1),
            "the sign is turned; log-probabilities are never positive",
        ),
        Misconception(
            "mean-not-sum",
            lambda x: x - (x.logsumexp(-1, keepdim=True) - torch.log(torch.tensor(float(x.shape[-1])))),
            "the normaliser is the *mean* of the exponentials; the probabilities must sum to 1",
        ),
        Misconception(
            "no-exponential",
            lambda x: torch.log(x.abs() / x.abs().sum(-1, keepdim=True)),
            "the logits were normalised without taking their exponential first",
        ),
        Misconception(
            "overflow",
            _naive_log_softmax,
            "exp(1e4) is infinite. Subtract the row's largest logit first: the result does not change",
        ),
        Misconception(
            "overflow-in-the-sum",
            lambda x: x - torch.log(torch.exp(x).sum(-1, keepdim=True)),
            "exp(1e4) is infinite, and so is the sum of the exponentials. torch.logsumexp does both steps "
            "without overflow",
        ),
        Misconception(
            "clamped-logits",
            lambda x: torch.log_softmax(x.clamp(-1000, 1000), -1),
            "large logits were clamped, which changes the answer; subtract the row's largest logit instead",
        ),
        Misconception(
            "log-of-softmax",
            lambda x: torch.log(torch.softmax(x, -1)),
            "softmax has already rounded the small probabilities to 0, and log 0 is -infinity; "
            "stay with logarithms throughout",
        ),
        Misconception(
            "epsilon",
            lambda x: torch.log(torch.softmax(x, -1) + 1e-10),
            _EPSILON,
        ),
        Misconception("epsilon-1e-8", lambda x: torch.log(torch.softmax(x, -1) + 1e-8), _EPSILON),
        Misconception("epsilon-1e-12", lambda x: torch.log(torch.softmax(x, -1) + 1e-12), _EPSILON),
        Misconception(
            "clamped-probability",
            lambda x: torch.log(torch.softmax(x, -1).clamp_min(1e-12)),
            "probabilities were kept above a small number before the logarithm; that changes the answer and kills "
            "the gradient. Stay with logarithms throughout",
        ),
        Misconception(
            "nan-replaced",
            lambda x: torch.nan_to_num(x - torch.log(torch.exp(x).sum(-1, keepdim=True))),
            "nan and infinities were replaced by a number after the fact; keep them from arising",
        ),
        Misconception("nan-gradient", _naive_mended, _NAN_GRADIENT),
        Misconception("nan-gradient-of-log-softmax", _log_of_softmax_mended, _NAN_GRADIENT),
        Misconception(
            "shifted-over-all-rows",
            lambda x: _shifted(x, x.max()),
            "one maximum over *all* rows was subtracted; rows far below it underflow to log 0. Each row has its own",
        ),
        Misconception(
            "mean-subtracted",
            lambda x: _shifted(x, x.mean(-1, keepdim=True)),
            "the row's mean was subtracted, so exp can still overflow; subtract its *largest* logit",
        ),
        Misconception(
            "maximum-in-the-sum-only",
            lambda x: x - torch.log(torch.exp(x - x.amax(-1, keepdim=True)).sum(-1, keepdim=True)),
            "the largest logit was subtracted inside the sum only; it must go from the first term too, or be added back",
        ),
        Misconception(
            "squeezed",
            lambda x: torch.log_softmax(x, -1).squeeze(),
            "an axis of length 1 got lost (squeeze() without an axis drops them all); keep the shape of the logits",
        ),
        Misconception(
            "detached",
            lambda x: torch.log_softmax(x.detach(), -1),
            "no gradient reaches the logits, so nothing could be trained through this function",
        ),
        Misconception(
            "normaliser-detached",
            lambda x: x - x.logsumexp(-1, keepdim=True).detach(),
            "the log of the sum was cut from the graph; it depends on the logits too",
        ),
        Misconception(
            "float64-always",
            lambda x: torch.log_softmax(x.double(), -1),
            "the result is float64 whatever came in; keep the dtype of the input",
        ),
        Misconception(
            "float32-only",
            lambda x: torch.log_softmax(x.float(), -1),
            "the input was cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "in-place",
            lambda x: x.sub_(x.logsumexp(-1, keepdim=True)),
            "the logits themselves were overwritten (an operation ending in _, or -=); make a new tensor",
        ),
    ),
    alternatives={
        "torch": lambda logits: F.log_softmax(logits, dim=-1),
        "logsumexp": lambda logits: logits - torch.logsumexp(logits, dim=-1, keepdim=True),
        "shift by the maximum": lambda logits: (
            (s := logits - logits.amax(-1, keepdim=True)) - s.exp().sum(-1, keepdim=True).log()
        ),
        "categorical": lambda logits: torch.distributions.Categorical(logits=logits).logits,
        "differences to each logit": lambda logits: torch.stack(
            [-(logits - logits[..., k : k + 1]).logsumexp(-1) for k in range(logits.shape[-1])], dim=-1
        ),
        "rows, then stacked": lambda logits: torch.stack(
            [row - torch.logsumexp(row, 0) for row in logits.reshape(-1, logits.shape[-1])]
        ).reshape(logits.shape),
        "cross-entropy": lambda logits: (
            -torch.stack(
                [
                    F.cross_entropy(
                        logits.reshape(-1, logits.shape[-1]),
                        torch.full((logits.numel() // logits.shape[-1],), k),
                        reduction="none",
                    ).reshape(logits.shape[:-1])
                    for k in range(logits.shape[-1])
                ],
                dim=-1,
            )
        ),
    },
    hints=(
        "log softmax(x)_i = x_i - log Σ_j exp(x_j). Which torch function gives the second term in one call?",
        "To keep the axis, so that the subtraction broadcasts, pass keepdim=True.",
        "By hand: subtract the row's maximum first; exp of the result is at most 1 and cannot overflow.",
    ),
)

# --- kl-divergence ---------------------------------------------------------------------------


def kl_divergence(p_logits, q_logits):
    """KL(p || q) over the last axis, in nats."""
    log_p, log_q = torch.log_softmax(p_logits, -1), torch.log_softmax(q_logits, -1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def _pair_cases(draw):
    same = draw.normal(2, 4)
    distant = torch.tensor([[0.0, -400.0, -200.0], [-300.0, 100.0, -250.0]], dtype=torch.float64)
    worked = torch.tensor([0.0, 1.0], dtype=torch.float64), torch.tensor([0.0, 0.0], dtype=torch.float64)
    return [
        Case(worked, label="p logits [0, 1], q logits [0, 0]"),
        Case((draw.normal(5, scale=1.5), draw.normal(5)), label="one axis"),
        Case((draw.normal(3, 4, scale=1.5), draw.normal(3, 4)), label="two axes"),
        Case((draw.normal(2, 3, 6), draw.normal(2, 3, 6, scale=2.0)), label="three axes"),
        Case((draw.normal(3, 4), draw.normal(3, 4, scale=25.0)), label="q with very small probabilities"),
        Case((draw.normal(2, 3), distant + draw.normal(2, 3)), label="log-probabilities of q near -400"),
        Case((same, same + 3.0), label="p = q (logits shifted by 3)"),
        Case((draw.normal(1, 5), draw.normal(1, 5)), label="a single row"),
        Case((draw.normal(4, 4), draw.normal(4, 4)), label="as many rows as columns"),
    ]


def _peaked_cases(draw):
    def peaked(rows, width):
        logits = torch.full((rows, width), -1e4, dtype=torch.float64) + draw.normal(rows, width)
        logits[torch.arange(rows), draw.integers(0, width - 1, rows)] = 1e4
        return logits

    p, q = peaked(4, 5), draw.normal(4, 5)
    return [
        Case((p, q), label="p logits of ±1e4", grads=(0, 1)),
        Case((p.float(), q.float()), label="p logits of ±1e4, float32", grads=(0, 1)),
        Case((p, p + 2.0), label="p = q, logits of ±1e4"),
    ]


def _both_gradients(draw):
    return [Case((draw.normal(3, 4), draw.normal(3, 4)), grads=(0, 1))]


def _kl_epsilon(size):
    def answer(p_logits, q_logits):
        p, q = torch.softmax(p_logits, -1), torch.softmax(q_logits, -1)
        return (p * torch.log((p + size) / (q + size))).sum(-1)

    return answer


def _log_ratios(p_logits, q_logits):
    return torch.log_softmax(p_logits, -1) - torch.log_softmax(q_logits, -1)


def _kl_clamped(p_logits, q_logits):
    p, q = torch.softmax(p_logits, -1).clamp_min(1e-12), torch.softmax(q_logits, -1).clamp_min(1e-12)
    return (p * (p / q).log()).sum(-1)


def _kl_nansum(p_logits, q_logits):
    p, q = torch.softmax(p_logits, -1), torch.softmax(q_logits, -1)
    return (p * (p / q).log()).nansum(-1)


def _jensen_shannon(p_logits, q_logits):
    middle = torch.log((torch.softmax(p_logits, -1) + torch.softmax(q_logits, -1)) / 2)
    return (kl_divergence(p_logits, middle) + kl_divergence(q_logits, middle)) / 2


def _kl_from_probabilities(p_logits, q_logits):
    p, q = torch.softmax(p_logits, -1), torch.softmax(q_logits, -1)
    return (p * (p / q).log()).sum(-1)


def _symmetric(p_logits, q_logits):
    return (kl_divergence(p_logits, q_logits) + kl_divergence(q_logits, p_logits)) / 2


KL_DIVERGENCE = Exercise(
    id="kl-divergence",
    function="kl_divergence",
    reference=kl_divergence,
    parts=(
        Part("values", 3, _pair_cases),
        Part("stable for very peaked p", 1, _peaked_cases, ("result", "gradient")),
        gradient(1, _both_gradients),
        form(1, lambda draw: (draw.normal(3, 4), draw.normal(3, 4))),
    ),
    misconceptions=(
        Misconception(
            "reversed",
            lambda p, q: kl_divergence(q, p),
            "this is KL(q ‖ p). KL is not symmetric: the expectation is under the first distribution, p",
        ),
        Misconception(
            "symmetrised",
            _symmetric,
            "this is the average of both directions; KL(p ‖ q) is only one of them",
        ),
        Misconception(
            "cross-entropy",
            lambda p, q: -(torch.softmax(p, -1) * torch.log_softmax(q, -1)).sum(-1),
            "this is the cross-entropy; the entropy of p still has to be taken off (it is not zero where p = q)",
        ),
        Misconception(
            "unweighted",
            lambda p, q: (torch.log_softmax(p, -1) - torch.log_softmax(q, -1)).sum(-1),
            "the log-ratios are summed without weights; KL is their expectation under p",
        ),
        Misconception(
            "mean-not-sum",
            lambda p, q: (torch.softmax(p, -1) * (torch.log_softmax(p, -1) - torch.log_softmax(q, -1))).mean(
                -1
            ),
            "the weighted log-ratios are averaged; the weights p already sum to 1, so sum them",
        ),
        Misconception(
            "scalar",
            lambda p, q: kl_divergence(p, q).sum(),
            "all rows were added up to one number; only the last axis goes",
        ),
        Misconception(
            "batch-mean",
            lambda p, q: F.kl_div(
                torch.log_softmax(q, -1), torch.log_softmax(p, -1), log_target=True, reduction="batchmean"
            ),
            "one number for the whole batch (reduction='batchmean'); keep one value per row",
        ),
        Misconception(
            "raw-logits",
            lambda p, q: (torch.softmax(p, -1) * (p - q)).sum(-1),
            "the logits were not normalised: adding 3 to all logits of one distribution must change nothing",
        ),
        Misconception(
            "absolute-values",
            lambda p, q: (
                torch.softmax(p, -1) * (torch.log_softmax(p, -1) - torch.log_softmax(q, -1)).abs()
            ).sum(-1),
            "the log-ratios lost their signs; single terms may be negative, only their sum never is",
        ),
        Misconception(
            "keepdim",
            lambda p, q: kl_divergence(p, q).unsqueeze(-1),
            "the last axis is still there with length 1; it must go",
        ),
        Misconception(
            "log-base-2",
            lambda p, q: kl_divergence(p, q) / torch.log(torch.tensor(2.0, dtype=p.dtype)),
            "these are bits; the course counts in nats (natural logarithms)",
        ),
        Misconception(
            "sign",
            lambda p, q: -kl_divergence(p, q),
            "the sign is turned; a KL divergence is never negative",
        ),
        Misconception(
            "log-target",
            lambda p, q: F.kl_div(torch.log_softmax(q, -1), torch.log_softmax(p, -1), reduction="none").sum(
                -1
            ),
            "F.kl_div takes its target as *probabilities* unless log_target=True; log-probabilities went in",
        ),
        Misconception(
            "epsilon",
            _kl_epsilon(1e-10),
            "an epsilon inside the logarithm changes the answer; stay with log_softmax instead",
        ),
        Misconception(
            "epsilon-1e-8",
            _kl_epsilon(1e-8),
            "an epsilon inside the logarithm changes the answer; stay with log_softmax instead",
        ),
        Misconception(
            "epsilon-1e-12",
            _kl_epsilon(1e-12),
            "an epsilon inside the logarithm changes the answer; stay with log_softmax instead",
        ),
        Misconception(
            "clamped-probabilities",
            _kl_clamped,
            "probabilities were kept above a small number, which changes the answer and kills the gradient; "
            "stay with log_softmax instead",
        ),
        Misconception(
            "clamped-log-ratio",
            lambda p, q: (torch.softmax(p, -1) * _log_ratios(p, q).clamp(-100, 100)).sum(-1),
            "the log-ratios were cut off; a large one is a true part of the KL, and the weights p need no help",
        ),
        Misconception(
            "nan-gradient",
            lambda p, q: F.kl_div(torch.log_softmax(q, -1), torch.softmax(p, -1), reduction="none").sum(-1),
            "the value is right, but where a probability rounds to 0 the gradient is nan: log p is taken of the "
            "rounded probability. Give F.kl_div log-probabilities and log_target=True",
        ),
        Misconception(
            "nan-skipped",
            _kl_nansum,
            "the nan of a probability that rounded to 0 was skipped in the sum, but the gradient is still nan; "
            "work with log_softmax, where none arises",
        ),
        Misconception(
            "target-not-logged",
            lambda p, q: F.kl_div(torch.softmax(q, -1), torch.softmax(p, -1), reduction="none").sum(-1),
            "F.kl_div takes *log*-probabilities as its first argument; probabilities went in",
        ),
        Misconception(
            "first-axis",
            lambda p, q: kl_divergence(p.movedim(0, -1), q.movedim(0, -1)),
            "the distributions were taken along the first axis; they lie along the *last* one",
        ),
        Misconception(
            "weights-of-q",
            lambda p, q: (torch.softmax(q, -1) * _log_ratios(p, q)).sum(-1),
            "the log-ratios log p - log q are weighted by q; the expectation is under p",
        ),
        Misconception(
            "jensen-shannon",
            _jensen_shannon,
            "this is the Jensen-Shannon divergence, from both to their average; KL compares p with q itself",
        ),
        Misconception(
            "not-summed",
            lambda p, q: torch.softmax(p, -1) * _log_ratios(p, q),
            "there is still one number per entry; the expectation sums over the last axis",
        ),
        Misconception(
            "float64-always",
            lambda p, q: kl_divergence(p.double(), q.double()),
            "the result is float64 whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "zero-times-infinity",
            _kl_from_probabilities,
            "probabilities that round to 0 give 0 · log 0 = nan; work with log_softmax and take exp only for the weights",
        ),
        Misconception(
            "q-detached",
            lambda p, q: kl_divergence(p, q.detach()),
            "no gradient reaches q; here both distributions may be trained",
        ),
        Misconception(
            "p-detached",
            lambda p, q: kl_divergence(p.detach(), q),
            "no gradient reaches p; here both distributions may be trained, and the weights p depend on the logits too",
        ),
        Misconception(
            "float32-only",
            lambda p, q: kl_divergence(p.float(), q.float()),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "in-place",
            lambda p, q: kl_divergence(p.sub_(p.logsumexp(-1, keepdim=True)), q),
            "the logits themselves were overwritten (an operation ending in _, or -=); make a new tensor",
        ),
    ),
    alternatives={
        "log_target": lambda p_logits, q_logits: F.kl_div(
            torch.log_softmax(q_logits, -1),
            torch.log_softmax(p_logits, -1),
            log_target=True,
            reduction="none",
        ).sum(-1),
        "distributions": lambda p_logits, q_logits: torch.distributions.kl_divergence(
            torch.distributions.Categorical(logits=p_logits), torch.distributions.Categorical(logits=q_logits)
        ),
        "einsum": lambda p_logits, q_logits: torch.einsum(
            "...k,...k->...",
            p_logits.softmax(-1),
            (p_logits - p_logits.logsumexp(-1, keepdim=True))
            - (q_logits - q_logits.logsumexp(-1, keepdim=True)),
        ),
        "difference of normalisers": lambda p_logits, q_logits: (
            (p_logits.softmax(-1) * (p_logits - q_logits)).sum(-1)
            - p_logits.logsumexp(-1)
            + q_logits.logsumexp(-1)
        ),
        "vmap": lambda p_logits, q_logits: torch.vmap(lambda p, q: p.exp() @ (p - q))(
            p_logits.log_softmax(-1).reshape(-1, p_logits.shape[-1]),
            q_logits.log_softmax(-1).reshape(-1, q_logits.shape[-1]),
        ).reshape(p_logits.shape[:-1]),
        "cross-entropy minus entropy": lambda p_logits, q_logits: (
            (p_logits.softmax(-1) * p_logits.log_softmax(-1)).sum(-1)
            - (p_logits.softmax(-1) * q_logits.log_softmax(-1)).sum(-1)
        ),
    },
    hints=(
        "Write log p and log q first, with the function of the exercise before (or torch.log_softmax).",
        "KL(p‖q) = Σ_y p(y) (log p(y) - log q(y)): a weighted sum over the last axis. The weights are exp(log p).",
        "For very peaked p never form log of a probability that has rounded to 0; subtract log-probabilities.",
    ),
)

EXERCISES = (LOG_SOFTMAX, KL_DIVERGENCE)
