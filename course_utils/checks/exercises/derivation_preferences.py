"""01-derivation, pairs: Bradley-Terry, and the weight of a pair in DPO's gradient."""

import torch
from torch.nn import functional as F

from course_utils.checks.cases import form, gradient
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.theory import bradley_terry, dpo_gradient_weight


def _tensor(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


# --- bradley-terry ---------------------------------------------------------------------------


def _reward_cases(draw):
    return [
        Case((_tensor(2.0), _tensor(1.0)), label="rewards 2 and 1"),
        Case((draw.normal(5, scale=1.5), draw.normal(5, scale=1.5)), label="five pairs"),
        Case((draw.normal(3, 4), draw.normal(3, 4)), label="a table of pairs"),
        Case((draw.normal(1), draw.normal(1) + 2), label="one pair, the rejected higher"),
        Case((draw.normal(6) + 5, draw.normal(6) + 5), label="all rewards shifted by 5"),
        Case((draw.normal(4, scale=5.0), draw.normal(4, scale=5.0)), label="large differences"),
        Case((equal := draw.normal(3), equal.clone()), label="equal rewards"),
    ]


def _reward_stable_cases(draw):
    high = draw.normal(5, scale=2.0) + 1e3, draw.normal(5, scale=2.0) + 1e3
    low = draw.normal(5, scale=2.0) - 1e3, draw.normal(5, scale=2.0) - 1e3
    signs = _tensor(1.0, -1.0, 1.0, -1.0)
    apart = 1e3 * signs + draw.normal(4), -1e3 * signs + draw.normal(4)
    level = _tensor(1e3, 0.0, -1e3)
    levels = level + draw.normal(3, scale=2.0), level + draw.normal(3, scale=2.0)
    cases = []
    for dtype in (torch.float64, torch.float32):
        name = "" if dtype == torch.float64 else ", float32"
        for rewards, label in (
            (high, "both near +1e3"),
            (low, "both near -1e3"),
            (apart, "±1e3 against ∓1e3"),
            (levels, "pairs at different levels, +1e3 to -1e3"),
        ):
            args = tuple(r.to(dtype) for r in rewards)
            # gradients of float32 numbers near 1e3 are differences of rounded numbers
            rtol = 1e-3 if dtype == torch.float32 else None
            cases.append(Case(args, label=label + name, grads=(0, 1), rtol=rtol))
    return cases


def _logistic(x):
    return 1 / (1 + torch.exp(-x))


def _ratio_mended(w, v):
    ratio = torch.exp(w) / (torch.exp(w) + torch.exp(v))
    return torch.where(torch.isfinite(ratio), ratio, torch.sigmoid(w - v))


def _ratio_shifted(w, v, shift):
    return (a := torch.exp(w - shift)) / (a + torch.exp(v - shift))


BRADLEY_TERRY = Exercise(
    id="bradley-terry",
    function="bradley_terry",
    reference=bradley_terry,
    parts=(
        Part("values", 2, _reward_cases),
        Part("stable for rewards of ±1e3", 1, _reward_stable_cases, ("result", "gradient")),
        gradient(0.5, lambda draw: [Case((draw.normal(4), draw.normal(4)), grads=(0, 1))]),
        form(0.5, lambda draw: (draw.normal(4), draw.normal(4))),
    ),
    misconceptions=(
        Misconception(
            "swapped",
            lambda w, v: torch.sigmoid(v - w),
            "this is the probability that the *rejected* one is preferred; the two sum to 1",
        ),
        Misconception("difference", lambda w, v: w - v, "this is the log-odds; a probability is wanted"),
        Misconception(
            "ratio",
            lambda w, v: w / (w + v),
            "the rewards themselves were divided; Bradley-Terry divides their exponentials (rewards may be negative)",
        ),
        Misconception(
            "odds",
            lambda w, v: torch.exp(w - v),
            "these are the odds; the probability is odds / (1 + odds)",
        ),
        Misconception(
            "pointwise",
            lambda w, v: torch.sigmoid(w),
            "the rejected response plays no part; only differences count",
        ),
        Misconception(
            "difference-of-sigmoids",
            lambda w, v: torch.sigmoid(w) - torch.sigmoid(v),
            "two sigmoids were subtracted; the sigmoid is taken of the difference",
        ),
        Misconception(
            "ratio-of-sigmoids",
            lambda w, v: torch.sigmoid(w) / (torch.sigmoid(w) + torch.sigmoid(v)),
            "each reward went through a sigmoid of its own; shifting both by 5 must change nothing",
        ),
        Misconception(
            "added", lambda w, v: torch.sigmoid(w + v), "the rewards were added; their difference counts"
        ),
        Misconception(
            "log-probability",
            lambda w, v: F.logsigmoid(w - v),
            "this is the log-probability; the probability is wanted",
        ),
        Misconception(
            "loss",
            lambda w, v: -F.logsigmoid(w - v),
            "this is the loss, the negative log-probability; the probability is wanted",
        ),
        Misconception(
            "winner",
            lambda w, v: (w > v).to(w.dtype) + 0 * w,
            "1 for the higher reward, else 0: Bradley-Terry raters are noisy",
        ),
        Misconception(
            "normal",
            lambda w, v: torch.special.ndtr(w - v),
            "this is the normal distribution function (Thurstone's model); Bradley-Terry is logistic",
        ),
        Misconception(
            "tanh", lambda w, v: torch.tanh(w - v), "tanh lies between -1 and 1; a probability is wanted"
        ),
        Misconception(
            "softmax-over-batch",
            lambda w, v: torch.softmax(w - v, -1),
            "the pairs compete with each other; each pair has a probability of its own",
        ),
        Misconception(
            "all-against-all",
            lambda w, v: torch.sigmoid(w.unsqueeze(-1) - v.unsqueeze(-2)),
            "every chosen was held against every rejected; go pair by pair",
        ),
        Misconception(
            "mean",
            lambda w, v: torch.sigmoid(w - v).mean(),
            "the pairs were averaged; keep one probability each",
        ),
        Misconception(
            "mean-difference",
            lambda w, v: torch.sigmoid((w - v).mean()).expand(w.shape),
            "the mean difference was used for all pairs; each pair has its own",
        ),
        Misconception(
            "overflow",
            lambda w, v: torch.exp(w) / (torch.exp(w) + torch.exp(v)),
            "exp(1e3) is infinite and exp(-1e3) is 0; divide by the numerator first, so that only the difference is left",
        ),
        Misconception(
            "nan-gradient",
            lambda w, v: _logistic(w - v),
            "the value is right, but for a difference of -2000 exp overflows on the way and the gradient is nan; "
            "is there a torch function for this?",
        ),
        Misconception(
            "overflow-of-the-difference",
            lambda w, v: (e := torch.exp(w - v)) / (1 + e),
            "exp of a difference of 2000 is infinite, and infinity / infinity is nan; is there a torch function for this?",
        ),
        Misconception(
            "nan-replaced",
            lambda w, v: torch.nan_to_num(torch.exp(w) / (torch.exp(w) + torch.exp(v))),
            "nan was replaced by a number after the fact; keep it from arising",
        ),
        Misconception(
            "nan-gradient-of-where",
            _ratio_mended,
            "the value is right, but the gradient is nan: torch.where differentiates both branches, the overflowing "
            "one too. Write one formula that is stable everywhere",
        ),
        Misconception(
            "shifted-over-all-pairs",
            lambda w, v: _ratio_shifted(w, v, torch.maximum(w, v).max()),
            "one maximum over *all* pairs was subtracted; pairs far below it become 0/0. Each pair has its own",
        ),
        Misconception(
            "clamped-difference",
            lambda w, v: torch.sigmoid((w - v).clamp(-10, 10)),
            "the difference was cut off; a sigmoid needs no clamp",
        ),
        Misconception(
            "clamped-probability",
            lambda w, v: torch.sigmoid(w - v).clamp(1e-6, 1 - 1e-6),
            "the probability was kept away from 0 and 1; that changes the answer and kills the gradient",
        ),
        Misconception(
            "dpo-beta",
            lambda w, v: torch.sigmoid(0.1 * (w - v)),
            "the difference was multiplied by 0.1: rewards come in their own units here, without a beta",
        ),
        Misconception(
            "product-of-sigmoids",
            lambda w, v: torch.sigmoid(w) * torch.sigmoid(-v),
            "two sigmoids were multiplied, as if each response were judged alone; the sigmoid is taken of the difference",
        ),
        Misconception(
            "both",
            lambda w, v: torch.stack([torch.sigmoid(w - v), torch.sigmoid(v - w)], dim=-1),
            "there are two probabilities per pair; that of the chosen one is wanted",
        ),
        Misconception(
            "chosen-detached",
            lambda w, v: torch.sigmoid(w.detach() - v),
            "no gradient reaches the chosen response's reward",
        ),
        Misconception(
            "float64-always",
            lambda w, v: torch.sigmoid(w.double() - v.double()),
            "the result is float64 whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "epsilon",
            lambda w, v: torch.exp(w) / (torch.exp(w) + torch.exp(v) + 1e-8),
            "an epsilon in the denominator does not help against overflow, and changes the answer",
        ),
        Misconception(
            "clamped",
            lambda w, v: torch.sigmoid(w.clamp(-50, 50) - v.clamp(-50, 50)),
            "the rewards were cut off; two large rewards that differ become equal",
        ),
        Misconception(
            "detached", lambda w, v: torch.sigmoid(w - v).detach(), "no gradient reaches the rewards"
        ),
        Misconception(
            "rejected-detached",
            lambda w, v: torch.sigmoid(w - v.detach()),
            "no gradient reaches the rejected response's reward",
        ),
        Misconception(
            "float32-only",
            lambda w, v: torch.sigmoid(w.float() - v.float()),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "in-place",
            lambda w, v: torch.sigmoid(w.sub_(v)),
            "the chosen rewards were overwritten (an operation ending in _, or -=); make a new tensor",
        ),
    ),
    alternatives={
        "expit": lambda w, v: torch.special.expit(w - v),
        "softmax of a pair": lambda w, v: torch.softmax(torch.stack([w, v], dim=-1), dim=-1)[..., 0],
        "exp of logsigmoid": lambda w, v: torch.exp(F.logsigmoid(w - v)),
        "tanh": lambda w, v: 0.5 * (1 + torch.tanh((w - v) / 2)),
        "logaddexp": lambda w, v: torch.exp(w - torch.logaddexp(w, v)),
        "one minus": lambda w, v: 1 - torch.sigmoid(v - w),
        "distributions": lambda w, v: torch.distributions.Bernoulli(logits=w - v).probs,
    },  # fmt: skip
    hints=(
        "e^a / (e^a + e^b): divide numerator and denominator by e^a. What is left depends on b - a only.",
        "1 / (1 + e^(-x)) is the sigmoid of x; torch has it, stable in value and gradient.",
    ),
)

# --- dpo-gradient-weight ---------------------------------------------------------------------


def _margin_cases(draw):
    beta = draw.uniform(0.2, 0.7)
    return [
        Case((_tensor(2.0), 0.1), label="margin 2, beta .1"),
        Case((draw.normal(5, scale=2.0), beta), label="five pairs"),
        Case((draw.normal(5, scale=10.0), 0.1), label="margins of ±10, beta .1"),
        Case((draw.normal(2, 3), 2.5), label="a table, beta 2.5"),
        Case((draw.normal(1) - 3, 2 * beta), label="one pair, margin below 0"),
        Case((torch.zeros(3, dtype=torch.float64), 0.3), label="margin 0, as at the start of training"),
    ]


def _margin_stable_cases(draw):
    cases = []
    for dtype, rtol in ((torch.float64, None), (torch.float32, 1e-3)):
        name = "" if dtype == torch.float64 else ", float32"
        ends = _tensor(1e4, -1e4, 1e4, -1e4) + draw.normal(4)
        cases += [
            Case(
                (ends.to(dtype), beta),
                label=f"margins of ±1e4, beta {beta}{name}",
                grads=(0,),
                rtol=rtol,
                scale=1.0,
            )
            for beta in (0.1, 1.5)
        ]
        middle = (100 * draw.normal(5)).to(dtype)
        cases.append(
            Case((middle, 0.05), label=f"margins of ±100, beta .05{name}", grads=(0,), rtol=rtol, scale=1.0)
        )
    return cases


def _weight_mended(m, beta):
    naive = beta * (e := torch.exp(-beta * m)) / (1 + e)
    return torch.where(torch.isfinite(naive), naive, beta * torch.sigmoid(-beta * m))


DPO_GRADIENT_WEIGHT = Exercise(
    id="dpo-gradient-weight",
    function="dpo_gradient_weight",
    reference=dpo_gradient_weight,
    parts=(
        Part("values", 3, _margin_cases),
        Part("stable for margins of ±1e4", 1, _margin_stable_cases, ("result", "gradient")),
        gradient(0.5, lambda draw: [Case((draw.normal(5, scale=2.0), 0.4), grads=(0,))]),
        form(0.5, lambda draw: (draw.normal(5, scale=2.0), 0.4)),
    ),
    misconceptions=(
        Misconception(
            "no-outer-beta",
            lambda m, beta: torch.sigmoid(-beta * m),
            "the factor beta in front is lost: it comes from the chain rule, and a smaller beta means a smaller gradient",
        ),
        Misconception(
            "sign",
            lambda m, beta: beta * torch.sigmoid(beta * m),
            "the sign inside is turned: a pair that the policy already gets right must weigh *less*",
        ),
        Misconception(
            "negative",
            lambda m, beta: -beta * torch.sigmoid(-beta * m),
            "the minus of the loss's gradient is in it; the weight itself is positive",
        ),
        Misconception(
            "no-inner-beta",
            lambda m, beta: beta * torch.sigmoid(-m),
            "inside the sigmoid beta is missing: the margin is a difference of log-ratios, not yet of rewards",
        ),
        Misconception(
            "inner-beta-divides",
            lambda m, beta: beta * torch.sigmoid(-m / beta),
            "the margin is divided by beta inside the sigmoid; implicit rewards are beta *times* log-ratios",
        ),
        Misconception(
            "beta-squared",
            lambda m, beta: beta**2 * torch.sigmoid(-beta * m),
            "beta is in front twice; the chain rule gives it once",
        ),
        Misconception("no-beta", lambda m, beta: torch.sigmoid(-m), "beta is missing altogether"),
        Misconception(
            "derivative-of-sigmoid",
            lambda m, beta: beta * torch.sigmoid(beta * m) * torch.sigmoid(-beta * m),
            "this is the derivative of the sigmoid; the loss is its *negative logarithm*",
        ),
        Misconception(
            "loss",
            lambda m, beta: -F.logsigmoid(beta * m),
            "this is the loss itself; its derivative is wanted",
        ),
        Misconception(
            "beta-times-loss",
            lambda m, beta: -beta * F.logsigmoid(beta * m),
            "this is beta times the loss; the derivative of -log σ is not -log σ",
        ),
        Misconception(
            "probability",
            lambda m, beta: torch.sigmoid(beta * m),
            "this is the model's probability that the chosen is preferred; the weight is about how far it is from 1",
        ),
        Misconception(
            "exponential",
            lambda m, beta: beta * torch.exp(-beta * m),
            "the sigmoid has become an exponential: that holds for large margins only",
        ),
        Misconception(
            "hinge",
            lambda m, beta: beta * (m < 0).to(m.dtype) + 0 * m,
            "all or nothing at margin 0 is a hinge loss's weight; DPO's fades gradually",
        ),
        Misconception(
            "linear",
            lambda m, beta: beta * (0.5 - beta * m / 4),
            "this is the tangent at margin 0; the weight is a sigmoid",
        ),
        Misconception(
            "constant",
            lambda m, beta: beta / 2 + 0 * m,
            "this is the weight at margin 0; it depends on the margin",
        ),
        Misconception(
            "softmax-over-batch",
            lambda m, beta: beta * torch.softmax(-beta * m, -1),
            "the pairs compete with each other for weight; each pair has a weight of its own",
        ),
        Misconception(
            "mean",
            lambda m, beta: (beta * torch.sigmoid(-beta * m)).mean(),
            "the pairs were averaged; keep one weight each",
        ),
        Misconception(
            "overflow",
            lambda m, beta: beta * torch.exp(-beta * m) / (1 + torch.exp(-beta * m)),
            "exp overflows for large negative margins, and infinity / infinity is nan; use a stable sigmoid",
        ),
        Misconception(
            "nan-gradient",
            lambda m, beta: beta / (1 + torch.exp(beta * m)),
            "the value is right, but exp overflows on the way for large margins and the gradient is nan; "
            "is there a torch function for this?",
        ),
        Misconception(
            "clamped",
            lambda m, beta: beta * torch.sigmoid(-beta * m.clamp(-10, 10)),
            "the margin was cut off; a sigmoid needs no clamp",
        ),
        Misconception(
            "clamped-exponent",
            lambda m, beta: beta * torch.sigmoid((-beta * m).clamp(-10, 10)),
            "the exponent was cut off; a sigmoid needs no clamp",
        ),
        Misconception(
            "clamped-weight",
            lambda m, beta: beta * torch.sigmoid(-beta * m).clamp(1e-6, 1 - 1e-6),
            "the sigmoid was kept away from 0 and 1; that changes the answer and kills the gradient",
        ),
        Misconception(
            "nan-gradient-mended",
            _weight_mended,
            "the value is right, but the gradient is nan: what overflowed was replaced after the fact (torch.where, "
            "nan_to_num), and its gradient is infinity times 0. Use a stable sigmoid",
        ),
        Misconception(
            "overflow-of-the-complement",
            lambda m, beta: beta * (1 - (e := torch.exp(beta * m)) / (1 + e)),
            "exp overflows for large margins, and infinity / infinity is nan; use a stable sigmoid",
        ),
        Misconception(
            "outer-beta-divides",
            lambda m, beta: torch.sigmoid(-beta * m) / beta,
            "the weight is divided by beta; the chain rule multiplies by it",
        ),
        Misconception(
            "margin-of-rewards",
            lambda m, beta: beta * torch.sigmoid(-(beta**2) * m),
            "inside the sigmoid beta is there twice: the margin is a difference of log-ratios, and one beta makes it "
            "one of rewards",
        ),
        Misconception(
            "fixed-beta",
            lambda m, beta: 0.1 * torch.sigmoid(-0.1 * m),
            "beta is fixed at 0.1 here; use the argument",
        ),
        Misconception(
            "divided-by-batch",
            lambda m, beta: beta * torch.sigmoid(-beta * m) / m.numel(),
            "the weights are divided by the number of pairs: that comes with the mean over the batch, later",
        ),
        Misconception(
            "both",
            lambda m, beta: (beta * torch.sigmoid(-beta * m), -beta * torch.sigmoid(-beta * m)),
            "these are the derivatives by both log-probabilities; the factor itself is wanted, one tensor",
        ),
        Misconception(
            "float64-always",
            lambda m, beta: beta * torch.sigmoid(-beta * m.double()),
            "the result is float64 whatever came in; keep the dtype of the input",
        ),
        Misconception(
            "detached",
            lambda m, beta: (beta * torch.sigmoid(-beta * m)).detach(),
            "no gradient reaches the margin (it would be the curvature of the loss)",
        ),
        Misconception(
            "float32-only",
            lambda m, beta: beta * torch.sigmoid(-beta * m.float()),
            "the input was cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "in-place",
            lambda m, beta: beta * torch.sigmoid(m.mul_(-beta)),
            "the margins were overwritten (an operation ending in _, or *=); make a new tensor",
        ),
    ),
    alternatives={
        "one minus": lambda margin, beta: beta * (1 - torch.sigmoid(beta * margin)),
        "exp of logsigmoid": lambda margin, beta: beta * F.logsigmoid(-beta * margin).exp(),
        "tanh": lambda margin, beta: beta * (1 - torch.tanh(beta * margin / 2)) / 2,
        "expit": lambda margin, beta: torch.special.expit(margin * -beta) * beta,
        "softmax": lambda margin, beta: (
            beta * torch.softmax(torch.stack([beta * margin, torch.zeros_like(margin)], -1), -1)[..., 1]
        ),
        "autograd": lambda margin, beta: _by_autograd(margin, beta),
    },
    hints=(
        "Differentiate -log σ(beta · margin) by the margin. What is the derivative of log σ(x)?",
        "d/dx log σ(x) = 1 - σ(x) = σ(-x). The chain rule gives one more factor.",
    ),
)


def _by_autograd(margin, beta):
    with torch.enable_grad():
        x = margin if margin.requires_grad else margin.detach().requires_grad_()
        loss = -F.logsigmoid(beta * x).sum()
        return -torch.autograd.grad(loss, x, create_graph=True)[0]
