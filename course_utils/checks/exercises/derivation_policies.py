"""01-derivation, whole policies: the KL objective, log Z and the optimal policy."""

import torch
from torch.nn import functional as F

from course_utils.checks.cases import form, gradient
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.verdicts import observe_on_simplex
from course_utils.theory import kl_objective, log_partition, optimal_policy


def worked(dtype=torch.float64):
    """The fixture of the text: reference (.5, .3, .2), reward (1, 0, 2); beta is .5, never 1."""
    return torch.tensor([0.5, 0.3, 0.2], dtype=dtype), torch.tensor([1.0, 0.0, 2.0], dtype=dtype)


# --- kl-objective ----------------------------------------------------------------------------


def _rewards(draw, *shape):
    """Rewards that are mostly positive, or J and log Z could come near 0, where rounding looks large."""
    return 3.0 + draw.normal(*shape)


def _objective_cases(draw):
    q, r = worked()
    beta = draw.uniform(0.2, 0.7)
    same = draw.probabilities(2, 4)
    rare = torch.tensor([[0.4, 0.6 - 1e-13, 1e-13], [1e-13, 0.3, 0.7 - 1e-13]], dtype=torch.float64)
    return [
        Case((torch.tensor([0.2, 0.1, 0.7], dtype=torch.float64), q, r, 0.5), label="the worked example, π = (.2, .1, .7), beta .5"),
        Case((draw.probabilities(5), draw.probabilities(5), _rewards(draw, 5), beta), label="one prompt"),
        Case((draw.probabilities(3, 4), draw.probabilities(3, 4), _rewards(draw, 3, 4), 2 * beta), label="three prompts"),
        Case((draw.probabilities(2, 3, 2), draw.probabilities(2, 3, 2), _rewards(draw, 2, 3, 2), beta), label="three axes"),
        Case((draw.probabilities(1, 6), draw.probabilities(1, 6), _rewards(draw, 1, 6), 3.0), label="one row, beta 3"),
        Case((same, same.clone(), _rewards(draw, 2, 4), 0.3), label="policy = reference"),
        Case(
            (draw.probabilities(4, 3).t().contiguous().t(), draw.probabilities(4, 3), _rewards(draw, 4, 3), 0.1),
            label="beta .1, not contiguous",
        ),
        Case((draw.probabilities(3, 3), draw.probabilities(3, 3), _rewards(draw, 3, 3), 0.6), label="as many prompts as responses"),
        Case((rare[0], rare[1], _rewards(draw, 3), 0.5), label="responses of probability 1e-13"),
    ]  # fmt: skip


def _objective_gradient_cases(draw):
    return [
        Case((draw.probabilities(3, 4), draw.probabilities(3, 4), draw.normal(3, 4), 0.4), grads=(0, 2)),
        Case((draw.probabilities(5), draw.probabilities(5), draw.normal(5), 1.7), grads=(0, 2)),
    ]


def _kl(p, q):
    return (p * (p.log() - q.log())).sum(-1)


def _kl_mean(p, q):
    return (p * (p.log() - q.log())).mean(-1)


def _objective_changed(expectation=lambda pi, q, r: (pi * r).sum(-1), kl=_kl, price=lambda beta: beta):
    """The objective with one of its terms replaced."""
    return lambda pi, pi_ref, reward, beta: expectation(pi, pi_ref, reward) - price(beta) * kl(pi, pi_ref)


def _kl_epsilon(size):
    return lambda p, q: (p * torch.log((p + size) / (q + size))).sum(-1)


_EPSILON = (
    "an epsilon inside the logarithm changes the answer: probabilities are positive, but may be very small"
)


def _objective_in_place(pi, pi_ref, reward, beta):
    reward -= beta * (pi.log() - pi_ref.log())
    return (pi * reward).sum(-1)


KL_OBJECTIVE = Exercise(
    id="kl-objective",
    function="kl_objective",
    reference=kl_objective,
    observe=observe_on_simplex,
    parts=(
        Part("values", 3, _objective_cases),
        gradient(1, _objective_gradient_cases, "gradients into policy and reward"),
        form(1, lambda draw: (draw.probabilities(3, 4), draw.probabilities(3, 4), draw.normal(3, 4), 0.4)),
    ),
    misconceptions=(
        Misconception(
            "reversed-kl",
            _objective_changed(kl=lambda p, q: _kl(q, p)),
            "the KL is turned round: KL(π ‖ π_ref) is an expectation under the policy π, its first argument",
        ),
        Misconception(
            "kl-added",
            _objective_changed(price=lambda beta: -beta),
            "the KL is added; moving away from the reference must cost, not pay",
        ),
        Misconception(
            "no-beta", _objective_changed(price=lambda beta: 1.0), "the KL has lost its price beta"
        ),
        Misconception(
            "beta-divides",
            _objective_changed(price=lambda beta: 1 / beta),
            "the KL is divided by beta; a larger beta must make the KL dearer",
        ),
        Misconception(
            "beta-on-reward",
            lambda pi, q, r, beta: beta * (pi * r).sum(-1) - _kl(pi, q),
            "beta stands before the reward; it is the price of the KL",
        ),
        Misconception(
            "beta-on-both",
            lambda pi, q, r, beta: beta * kl_objective(pi, q, r, 1.0),
            "beta multiplies the reward as well; it belongs to the KL only",
        ),
        Misconception(
            "no-reference",
            _objective_changed(kl=lambda p, q: (p * p.log()).sum(-1)),
            "only the policy's entropy is there; the KL compares with the reference",
        ),
        Misconception(
            "cross-entropy",
            _objective_changed(kl=lambda p, q: -(p * q.log()).sum(-1)),
            "the penalty is the cross-entropy -Σ π log π_ref; the entropy of π still has to be taken off",
        ),
        Misconception(
            "reward-under-reference",
            _objective_changed(lambda pi, q, r: (q * r).sum(-1)),
            "the expected reward is taken under the reference; the policy π draws the responses",
        ),
        Misconception(
            "reward-unweighted",
            _objective_changed(lambda pi, q, r: r.sum(-1)),
            "the rewards are summed without weights; the expectation weighs each by π",
        ),
        Misconception(
            "reward-averaged",
            _objective_changed(lambda pi, q, r: r.mean(-1)),
            "the rewards are averaged with equal weights; the expectation weighs each by π",
        ),
        Misconception(
            "kl-unweighted",
            _objective_changed(kl=lambda p, q: (p.log() - q.log()).sum(-1)),
            "the log-ratios are summed without weights; the KL is their expectation under π",
        ),
        Misconception(
            "kl-mean",
            _objective_changed(kl=_kl_mean),
            "the KL is averaged over responses; its weights π already sum to 1, so sum",
        ),
        Misconception(
            "mean-not-sum",
            _objective_changed(lambda pi, q, r: (pi * r).mean(-1), kl=_kl_mean),
            "both terms are averaged over responses; the weights π already sum to 1, so sum",
        ),
        Misconception(
            "kl-detached",
            lambda pi, q, r, beta: (pi * r).sum(-1) - beta * _kl(pi, q).detach(),
            "no gradient flows through the KL, or its weights π were detached: the policy would not feel that moving away costs",
        ),
        Misconception(
            "only-reward",
            _objective_changed(kl=lambda p, q: 0.0),
            "this is the expected reward alone; the KL term is missing",
        ),
        Misconception(
            "advantage",
            _objective_changed(lambda pi, q, r: ((pi - q) * r).sum(-1)),
            "the reference's expected reward is taken off; equation 3 has no baseline",
        ),
        Misconception(
            "symmetric-kl",
            _objective_changed(kl=lambda p, q: (_kl(p, q) + _kl(q, p)) / 2),
            "the penalty is the average of both KLs; only KL(π ‖ π_ref) belongs here",
        ),
        Misconception(
            "bits",
            _objective_changed(kl=lambda p, q: _kl(p, q) / torch.log(torch.tensor(2.0, dtype=p.dtype))),
            "the KL is in bits (log2); the course counts in nats (natural logarithms)",
        ),
        Misconception("epsilon", _objective_changed(kl=_kl_epsilon(1e-8)), _EPSILON),
        Misconception("epsilon-1e-10", _objective_changed(kl=_kl_epsilon(1e-10)), _EPSILON),
        Misconception("epsilon-1e-12", _objective_changed(kl=_kl_epsilon(1e-12)), _EPSILON),
        Misconception(
            "clamped-probabilities",
            _objective_changed(kl=lambda p, q: (p * (p.clamp_min(1e-6) / q.clamp_min(1e-6)).log()).sum(-1)),
            "probabilities were kept above a small number; they are positive, and a rare response may carry the KL",
        ),
        Misconception(
            "divided-by-beta",
            lambda pi, q, r, beta: kl_objective(pi, q, r, beta) / beta,
            "everything is divided by beta: the same policy is best, but J is E[r] - beta KL itself",
        ),
        Misconception(
            "absolute-values",
            _objective_changed(kl=lambda p, q: (p * (p.log() - q.log()).abs()).sum(-1)),
            "the log-ratios lost their signs; single terms of a KL may be negative, only their sum never is",
        ),
        Misconception(
            "probabilities-again",
            lambda pi, q, r, beta: kl_objective(pi.softmax(-1), q.softmax(-1), r, beta),
            "a softmax was taken of the arguments; they are probabilities already",
        ),
        Misconception(
            "first-axis",
            lambda pi, q, r, beta: (pi * (r - beta * (pi / q).log())).sum(0),
            "the sum runs over the first axis; responses lie along the *last* one",
        ),
        Misconception(
            "optimum",
            lambda pi, q, r, beta: beta * log_partition(q, r, beta),
            "this is beta log Z, J of the *best* policy; J of the policy that is given is wanted",
        ),
        Misconception(
            "kl-not-logged",
            _objective_changed(kl=lambda p, q: F.kl_div(q, p, reduction="none").sum(-1)),
            "F.kl_div takes *log*-probabilities as its first argument; probabilities went in",
        ),
        Misconception(
            "reward-detached",
            lambda pi, q, r, beta: kl_objective(pi, q, r.detach(), beta),
            "no gradient reaches the reward",
        ),
        Misconception(
            "float64-always",
            lambda pi, q, r, beta: kl_objective(pi.double(), q.double(), r.double(), beta),
            "the result is float64 whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "loss",
            lambda pi, q, r, beta: -kl_objective(pi, q, r, beta),
            "the sign is turned: J is what the policy maximises, not a loss",
        ),
        Misconception(
            "probabilities-as-logs",
            _objective_changed(kl=lambda p, q: (p.exp() * (p - q)).sum(-1)),
            "the arguments are probabilities, not log-probabilities; take their logarithms first",
        ),
        Misconception(
            "everything-as-logs",
            lambda pi, q, r, beta: (pi.exp() * (r - beta * (pi - q))).sum(-1),
            "the arguments were taken for log-probabilities; they are probabilities: the weights as they stand, the "
            "log-ratio after a logarithm",
        ),
        Misconception(
            "no-logarithm",
            _objective_changed(kl=lambda p, q: (p * (p - q)).sum(-1)),
            "probabilities were subtracted; the KL weighs the difference of their *logarithms*",
        ),
        Misconception(
            "kl-div-batchmean",
            lambda pi, q, r, beta: (
                (pi * r).sum(-1) - beta * F.kl_div(q.log(), pi, reduction="batchmean").expand(pi.shape[:-1])
            ),
            "one KL for the whole batch (reduction='batchmean'); keep one value per prompt",
        ),
        Misconception(
            "scalar",
            lambda pi, q, r, beta: kl_objective(pi, q, r, beta).sum(),
            "all prompts were added up to one number; only the last axis goes",
        ),
        Misconception(
            "batch-mean",
            lambda pi, q, r, beta: kl_objective(pi, q, r, beta).mean(),
            "all prompts were averaged to one number; only the last axis goes",
        ),
        Misconception(
            "keepdim",
            lambda pi, q, r, beta: kl_objective(pi, q, r, beta).unsqueeze(-1),
            "the last axis is still there with length 1; it must go",
        ),
        Misconception(
            "not-summed",
            lambda pi, q, r, beta: pi * r - beta * pi * (pi.log() - q.log()),
            "there is still one number per response; the expectation sums over the last axis",
        ),
        Misconception(
            "detached",
            lambda pi, q, r, beta: kl_objective(pi, q, r, beta).detach(),
            "the result is cut from its graph (.detach(), .item(), .numpy() or torch.tensor), so nothing could be optimised through it",
        ),
        Misconception(
            "policy-detached",
            lambda pi, q, r, beta: kl_objective(pi.detach(), q, r, beta),
            "no gradient reaches the policy, so nothing could be optimised through this function",
        ),
        Misconception(
            "float32-only",
            lambda pi, q, r, beta: kl_objective(pi.float(), q.float(), r.float(), beta),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "in-place",
            _objective_in_place,
            "the reward itself was overwritten (-= changes the caller's tensor); make a new one",
        ),
    ),
    alternatives={
        "one expectation": lambda pi, q, r, beta: (pi * (r - beta * torch.log(pi / q))).sum(-1),
        "einsum": lambda pi, q, r, beta: torch.einsum("...y,...y->...", pi, r - beta * (pi.log() - q.log())),
        "kl_div": lambda pi, pi_ref, reward, beta: (
            torch.sum(pi * reward, dim=-1) - beta * F.kl_div(pi_ref.log(), pi, reduction="none").sum(-1)
        ),
        "distributions": lambda pi, pi_ref, reward, beta: (
            (pi * reward).sum(-1)
            - beta
            * torch.distributions.kl_divergence(
                torch.distributions.Categorical(probs=pi), torch.distributions.Categorical(probs=pi_ref)
            )
        ),
        "entropies": lambda pi, q, r, beta: (
            (pi * (r + beta * q.log())).sum(-1) + beta * torch.special.entr(pi).sum(-1)
        ),
        "loop": lambda pi, q, r, beta: torch.stack(
            [
                sum(p * (g - beta * (p.log() - s.log())) for p, s, g in zip(*rows, strict=True))
                for rows in zip(*(t.reshape(-1, t.shape[-1]) for t in (pi, q, r)), strict=True)
            ]
        ).reshape(pi.shape[:-1]),
        "gibbs": lambda pi, q, r, beta: (
            beta * torch.logsumexp(q.log() + r / beta, -1)
            - beta * (pi * (pi.log() - torch.log_softmax(q.log() + r / beta, -1))).sum(-1)
        ),
    },
    hints=(
        "E_π[r] is a weighted sum over the last axis. What are the weights?",
        "KL(π‖π_ref) = Σ π (log π - log π_ref), over the same axis. It is subtracted, at the price beta.",
        "Both terms weigh by the same π over the same axis. Can what they weigh be put into one bracket, and one sum do both?",
    ),
)

# --- log-partition and optimal-policy --------------------------------------------------------


def _tilt_cases(draw):
    beta = draw.uniform(0.2, 0.7)
    q, r = worked()
    return [
        Case((q, r, 0.5), label="the worked example, beta .5"),
        Case((draw.probabilities(5), _rewards(draw, 5), beta), label="one prompt"),
        Case((draw.probabilities(3, 4), _rewards(draw, 3, 4), 2 * beta), label="three prompts"),
        Case((draw.probabilities(2, 3, 4), _rewards(draw, 2, 3, 4), beta), label="three axes"),
        Case((draw.probabilities(1, 6), _rewards(draw, 1, 6), 3.0), label="one row, beta 3"),
        Case((draw.probabilities(4, 4).t().contiguous().t(), _rewards(draw, 4, 4), 0.1), label="as many prompts as responses"),
        Case((torch.softmax(draw.normal(3, 4, scale=3.0), -1), _rewards(draw, 3, 4), 5.0), label="an uneven reference, beta 5"),
    ]  # fmt: skip


def _extreme(draw, size, dtype):
    """Rewards of both signs with |reward / beta| = size, give or take a few; every row holds a positive one."""
    beta = 0.1
    signs = draw.integers(0, 1, 4, 6) * 2 - 1
    signs[:, draw.integer(0, 5)] = 1
    reward = beta * (size * signs + draw.normal(4, 6, scale=2.0))
    return draw.probabilities(4, 6).to(dtype), reward.to(dtype), beta


def _together(draw, level, dtype):
    """All rewards near one extreme level, so that several responses share the probability."""
    reward = 0.1 * (level + draw.normal(3, 5))
    return draw.probabilities(3, 5).to(dtype), reward.to(dtype), 0.1


def _levels(draw):
    """One prompt's rewards far above, another's far below."""
    level = torch.tensor([[1e4], [30.0], [-1e4]], dtype=torch.float64)
    return draw.probabilities(3, 5), 0.1 * (level + draw.normal(3, 5)), 0.1


def _tilt_stable_cases(draw):
    rare = torch.tensor([1e-6, 0.4, 0.6 - 1e-6], dtype=torch.float64)
    lifted = torch.tensor([15.0, 0.0, 1.0], dtype=torch.float64)
    cases = [
        Case(_extreme(draw, 1e4, torch.float64), label="reward/beta of ±1e4", grads=(1,)),
        Case(_together(draw, 1e4, torch.float64), label="all near +1e4", grads=(1,)),
        Case(_together(draw, -1e4, torch.float64), label="all near -1e4", grads=(1,)),
        Case(_together(draw, 300.0, torch.float64), label="all near +300", grads=(1,)),
        Case(_together(draw, -100.0, torch.float64), label="all near -100", grads=(1,)),
        Case(_levels(draw), label="prompts at different levels, +1e4 to -1e4", grads=(1,)),
        Case((rare, lifted, 1.0), label="a rare response with a high reward", rtol=2e-4),
    ]
    # float32 numbers near 1e4 are 1e-3 apart: the value may be off by some of that
    cases += [
        Case(_extreme(draw, 1e4, torch.float32), label="±1e4, float32", rtol=1e-6, scale=1e4),
        Case(_together(draw, 1e4, torch.float32), label="+1e4, float32", rtol=1e-6, scale=1e4),
        Case(_together(draw, -1e4, torch.float32), label="-1e4, float32", rtol=1e-6, scale=1e4),
        Case(_together(draw, 1e4, torch.float32), label="+1e4, float32", rtol=2e-3, scale=1e4, grads=(1,)),
    ]
    return cases


def _tilt_gradient_cases(draw):
    return [
        Case((draw.probabilities(3, 4), draw.normal(3, 4), 0.4), grads=(1,)),
        Case((draw.probabilities(5), draw.normal(5), 2.5), grads=(1,)),
    ]


def _tilt_parts(values):
    return (
        Part("values", values, _tilt_cases),
        Part("stable for reward/beta of ±1e4", 1, _tilt_stable_cases, ("result", "gradient")),
        gradient(0.5, _tilt_gradient_cases, "gradient into the reward"),
        form(0.5, lambda draw: (draw.probabilities(3, 4), draw.normal(3, 4), 0.4)),
    )


def _logits(q, r, beta):
    return q.log() + r / beta


def _log2(tensor):
    return torch.log(torch.tensor(2.0, dtype=tensor.dtype))


def _partition_mended(pi_ref, reward, beta):
    naive = torch.log((pi_ref * torch.exp(reward / beta)).sum(-1))
    return torch.where(torch.isfinite(naive), naive, log_partition(pi_ref, reward, beta))


def _partition_in_place(pi_ref, reward, beta):
    reward /= beta
    return torch.logsumexp(pi_ref.log() + reward, -1)


LOG_PARTITION = Exercise(
    id="log-partition",
    function="log_partition",
    reference=log_partition,
    parts=_tilt_parts(3),
    misconceptions=(
        Misconception(
            "overflow",
            lambda q, r, beta: torch.log((q * torch.exp(r / beta)).sum(-1)),
            "exp(1e4) is infinite and exp(-1e4) is 0. Take the largest exponent out of the sum first, or stay in logarithms",
        ),
        Misconception(
            "nan-replaced",
            lambda q, r, beta: torch.nan_to_num(torch.log((q * torch.exp(r / beta)).sum(-1))),
            "infinities were replaced by a number after the fact; keep them from arising",
        ),
        Misconception(
            "no-reference",
            lambda q, r, beta: torch.logsumexp(r / beta, -1),
            "the reference is missing: Z is an expectation of exp(r/beta) under it",
        ),
        Misconception(
            "no-logarithm",
            lambda q, r, beta: (q * torch.exp(r / beta)).sum(-1),
            "this is Z; its logarithm is wanted",
        ),
        Misconception(
            "beta-multiplies",
            lambda q, r, beta: torch.logsumexp(q.log() + beta * r, -1),
            "the reward is multiplied by beta; it is divided by it",
        ),
        Misconception(
            "no-beta",
            lambda q, r, beta: torch.logsumexp(q.log() + r, -1),
            "beta is missing: the exponent is reward/beta",
        ),
        Misconception(
            "value",
            lambda q, r, beta: beta * log_partition(q, r, beta),
            "this is beta log Z, the value of the optimum; log Z alone is wanted",
        ),
        Misconception(
            "jensen",
            lambda q, r, beta: (q * r).sum(-1) / beta,
            "this is the mean of the exponent; the logarithm goes outside the expectation (Jensen: they differ)",
        ),
        Misconception(
            "maximum",
            lambda q, r, beta: (r / beta).amax(-1),
            "this is the largest exponent; it is only the first step of a stable log-sum-exp",
        ),
        Misconception(
            "reference-as-logits",
            lambda q, r, beta: torch.logsumexp(q + r / beta, -1),
            "the reference's probabilities were added to the exponent; add their logarithms",
        ),
        Misconception(
            "reference-in-the-exponent",
            lambda q, r, beta: torch.logsumexp(q * r / beta, -1),
            "the reference multiplies the reward inside the exponential; it multiplies the exponential",
        ),
        Misconception(
            "mean-not-sum",
            lambda q, r, beta: (q * torch.exp(r / beta)).mean(-1).log(),
            "the terms are averaged; the weights π_ref already sum to 1, so sum",
        ),
        Misconception(
            "sign-of-reward",
            lambda q, r, beta: log_partition(q, -r, beta),
            "the exponent has the wrong sign: better responses must weigh more",
        ),
        Misconception(
            "sign",
            lambda q, r, beta: -log_partition(q, r, beta),
            "the sign is turned: this is -log Z",
        ),
        Misconception(
            "bits",
            lambda q, r, beta: log_partition(q, r, beta) / _log2(r),
            "this is a logarithm to base 2; the course uses natural ones",
        ),
        Misconception(
            "log-policy",
            lambda q, r, beta: torch.log_softmax(_logits(q, r, beta), -1),
            "these are the log-probabilities of π*; the normaliser alone is wanted, one number per prompt",
        ),
        Misconception(
            "all-prompts",
            lambda q, r, beta: torch.logsumexp(_logits(q, r, beta).flatten(), 0),
            "one sum over all prompts; every prompt has its own Z(x)",
        ),
        Misconception(
            "first-axis",
            lambda q, r, beta: torch.logsumexp(_logits(q, r, beta), 0),
            "the sum runs over the first axis; responses lie along the *last* one",
        ),
        Misconception(
            "keepdim",
            lambda q, r, beta: log_partition(q, r, beta).unsqueeze(-1),
            "the last axis is still there with length 1; it must go",
        ),
        Misconception(
            "epsilon",
            lambda q, r, beta: torch.log((q * torch.exp(r / beta)).sum(-1) + 1e-8),
            "an epsilon inside the logarithm hides the underflow but changes the answer; stay in logarithms",
        ),
        Misconception(
            "clamped",
            lambda q, r, beta: torch.log((q * torch.exp((r / beta).clamp(-80, 80))).sum(-1)),
            "the exponent was cut off so that exp does not overflow; that changes the answer and kills the gradient",
        ),
        Misconception(
            "reference-epsilon",
            lambda q, r, beta: torch.logsumexp(torch.log(q + 1e-8) + r / beta, -1),
            "an epsilon was added to the reference; its probabilities are positive, and a rare response may carry the sum",
        ),
        Misconception(
            "maximum-not-added-back",
            lambda q, r, beta: torch.log(
                (q * torch.exp(r / beta - (r / beta).amax(-1, keepdim=True))).sum(-1)
            ),
            "the largest exponent was taken out of the sum but not added back",
        ),
        Misconception(
            "maximum-added-back-without-beta",
            lambda q, r, beta: (
                torch.log((q * torch.exp((r - (m := r.amax(-1, keepdim=True))) / beta)).sum(-1))
                + m.squeeze(-1)
            ),
            "the largest reward was added back; what was taken out of the exponent is reward/beta",
        ),
        Misconception(
            "shifted-over-all-prompts",
            lambda q, r, beta: (
                torch.log((q * torch.exp((s := r / beta) - s.max())).sum(-1)) + (r / beta).max()
            ),
            "one maximum over *all* prompts was taken out; prompts far below it underflow to log 0",
        ),
        Misconception(
            "uniform-reference",
            lambda q, r, beta: torch.logsumexp(r / beta, -1) - torch.log(torch.tensor(float(r.shape[-1]))),
            "every response has the weight 1/Y here; the weights are the reference's probabilities",
        ),
        Misconception(
            "reference-tempered",
            lambda q, r, beta: torch.logsumexp((q.log() + r) / beta, -1),
            "log π_ref is divided by beta too; only the reward is",
        ),
        Misconception(
            "product",
            lambda q, r, beta: _logits(q, r, beta).sum(-1),
            "the logarithms were summed: that is the log of a product. Z is a *sum* of exponentials",
        ),
        Misconception(
            "divided-by-beta",
            lambda q, r, beta: log_partition(q, r, beta) / beta,
            "log Z is divided by beta once more; beta only divides the reward",
        ),
        Misconception(
            "normalised",
            lambda q, r, beta: optimal_policy(q, r, beta).sum(-1).log(),
            "the terms were normalised before they were summed, so their sum is 1 and its log 0",
        ),
        Misconception(
            "nan-gradient",
            _partition_mended,
            "the value is right, but the gradient is nan: torch.where differentiates both branches, the overflowing "
            "one too. Write one formula that is stable everywhere",
        ),
        Misconception(
            "float64-always",
            lambda q, r, beta: log_partition(q.double(), r.double(), beta),
            "the result is float64 whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "detached",
            lambda q, r, beta: log_partition(q, r.detach(), beta),
            "no gradient reaches the reward (its gradient would be π*/beta)",
        ),
        Misconception(
            "float32-only",
            lambda q, r, beta: log_partition(q.float(), r.float(), beta),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "in-place",
            _partition_in_place,
            "the reward itself was overwritten (/= changes the caller's tensor); make a new one",
        ),
    ),
    alternatives={
        "shift by the maximum": lambda q, r, beta: (
            (m := (r / beta).amax(-1, keepdim=True)).squeeze(-1) + (q * torch.exp(r / beta - m)).sum(-1).log()
        ),
        "logaddexp": lambda q, r, beta: _chain_logaddexp(q.log() + r / beta),
        "normaliser of a softmax": lambda q, r, beta: (
            (s := q.log() + r / beta)[..., 0] - torch.log_softmax(s, -1)[..., 0]
        ),
        "distributions": lambda q, r, beta: (
            (s := q.log() + r / beta) - torch.distributions.Categorical(logits=s).logits
        ).mean(-1),
    },
    hints=(
        "Z(x) is the expectation of exp(r/beta) under π_ref. Its logarithm is one log-sum-exp.",
        "A factor in front of an exponential is a summand inside it: a · exp(b) = exp(log a + b).",
        "That leaves the log of a sum of exponentials. What is each exponent now? torch has a stable function for it; mind the axis.",
    ),
)


def _chain_logaddexp(s):
    total = s[..., 0]
    for k in range(1, s.shape[-1]):
        total = torch.logaddexp(total, s[..., k])
    return total


def _normalised(weights):
    return weights / weights.sum(-1, keepdim=True)


def _policy_mended(pi_ref, reward, beta):
    naive = _normalised(pi_ref * torch.exp(reward / beta))
    return torch.where(torch.isfinite(naive), naive, optimal_policy(pi_ref, reward, beta))


def _unnormalised(q, r, beta):
    """The numerators, each prompt's largest exponent taken out."""
    return q * torch.exp((r - r.amax(-1, keepdim=True)) / beta)


def _policy_in_place(pi_ref, reward, beta):
    reward /= beta
    return torch.softmax(pi_ref.log() + reward, -1)


OPTIMAL_POLICY = Exercise(
    id="optimal-policy",
    function="optimal_policy",
    reference=optimal_policy,
    parts=_tilt_parts(3),
    misconceptions=(
        Misconception(
            "overflow",
            lambda q, r, beta: _normalised(q * torch.exp(r / beta)),
            "exp(1e4) is infinite, and infinity / infinity is nan. Subtract the largest exponent first: π* does not change",
        ),
        Misconception(
            "nan-replaced",
            lambda q, r, beta: torch.nan_to_num(_normalised(q * torch.exp(r / beta))),
            "nan was replaced by a number after the fact; keep it from arising",
        ),
        Misconception(
            "no-reference",
            lambda q, r, beta: torch.softmax(r / beta, -1),
            "the reference is missing: π* re-weighs π_ref, it does not replace it",
        ),
        Misconception(
            "beta-multiplies",
            lambda q, r, beta: torch.softmax(q.log() + beta * r, -1),
            "the reward is multiplied by beta; a dearer KL must keep π* *closer* to the reference",
        ),
        Misconception(
            "no-beta",
            lambda q, r, beta: torch.softmax(q.log() + r, -1),
            "beta is missing: the exponent is reward/beta",
        ),
        Misconception(
            "not-normalised",
            lambda q, r, beta: q * torch.exp(r / beta),
            "the numerator only: the probabilities must sum to 1 in every prompt",
        ),
        Misconception(
            "normalised-without-reference",
            lambda q, r, beta: q * torch.softmax(r / beta, -1),
            "the normaliser leaves the reference out, so the probabilities do not sum to 1",
        ),
        Misconception(
            "greedy",
            lambda q, r, beta: F.one_hot(r.argmax(-1), r.shape[-1]).to(r.dtype) + 0 * r,
            "all probability on the best reward: that is the limit beta -> 0",
        ),
        Misconception(
            "reference-as-logits",
            lambda q, r, beta: torch.softmax(q + r / beta, -1),
            "the reference's probabilities were added to the exponent; add their logarithms",
        ),
        Misconception(
            "reference-tempered",
            lambda q, r, beta: torch.softmax((q.log() + r) / beta, -1),
            "log π_ref is divided by beta too; only the reward is",
        ),
        Misconception(
            "sign",
            lambda q, r, beta: torch.softmax(q.log() - r / beta, -1),
            "the exponent has the wrong sign: better responses must gain",
        ),
        Misconception(
            "log-policy",
            lambda q, r, beta: torch.log_softmax(_logits(q, r, beta), -1),
            "these are log-probabilities; probabilities are wanted",
        ),
        Misconception(
            "linear",
            lambda q, r, beta: _normalised(q * (r / beta - (r / beta).amin(-1, keepdim=True))),
            "the reference is re-weighed by the reward itself; the weight is its exponential",
        ),
        Misconception(
            "reference-squared",
            lambda q, r, beta: torch.softmax(2 * q.log() + r / beta, -1),
            "the reference is in it twice",
        ),
        Misconception(
            "mixture",
            lambda q, r, beta: (beta * q + torch.softmax(r, -1)) / (1 + beta),
            "this mixes the reference with a softmax of the reward; π* multiplies, it does not average",
        ),
        Misconception(
            "all-prompts",
            lambda q, r, beta: torch.softmax(_logits(q, r, beta).flatten(), 0).reshape(r.shape),
            "one normaliser over all prompts; every prompt has its own Z(x)",
        ),
        Misconception(
            "first-axis",
            lambda q, r, beta: torch.softmax(_logits(q, r, beta), 0),
            "the normaliser runs over the first axis; responses lie along the *last* one",
        ),
        Misconception(
            "epsilon",
            lambda q, r, beta: (w := q * torch.exp(r / beta)) / (w.sum(-1, keepdim=True) + 1e-8),
            "an epsilon in the denominator hides 0/0 but changes the answer; work with logarithms",
        ),
        Misconception(
            "clamped",
            lambda q, r, beta: _normalised(q * torch.exp((r / beta).clamp(-80, 80))),
            "the exponent was cut off so that exp does not overflow; responses beyond the cut become alike",
        ),
        Misconception(
            "reference-epsilon",
            lambda q, r, beta: torch.softmax(torch.log(q + 1e-8) + r / beta, -1),
            "an epsilon was added to the reference; its probabilities are positive, and a rare response may win",
        ),
        Misconception(
            "shifted-over-all-prompts",
            lambda q, r, beta: _normalised(q * torch.exp((s := r / beta) - s.max())),
            "one maximum over *all* prompts was subtracted; prompts far below it underflow to 0/0",
        ),
        Misconception(
            "not-normalised-after-the-shift",
            _unnormalised,
            "the largest exponent was taken out, but the probabilities were not divided by their sum",
        ),
        Misconception(
            "averaged",
            lambda q, r, beta: (w := _unnormalised(q, r, beta)) / w.mean(-1, keepdim=True),
            "the numerators were divided by their mean; divide by their sum",
        ),
        Misconception(
            "shifted-numerator-only",
            lambda q, r, beta: _unnormalised(q, r, beta) / (q * torch.exp(r / beta)).sum(-1, keepdim=True),
            "the largest exponent was taken out of the numerator only; the denominator needs the same shift",
        ),
        Misconception(
            "reference-inverted",
            lambda q, r, beta: torch.softmax(r / beta - q.log(), -1),
            "log π_ref was subtracted: a response that the reference likes must be likelier, not rarer",
        ),
        Misconception(
            "standardised",
            lambda q, r, beta: torch.softmax(
                q.log() + (r - r.mean(-1, keepdim=True)) / r.std(-1, keepdim=True) / beta, -1
            ),
            "the rewards were standardised: the shift is free, but the scale acts like beta",
        ),
        Misconception(
            "nan-gradient",
            _policy_mended,
            "the value is right, but something overflows on the way, and its gradient is nan (torch.where, for one, "
            "differentiates both branches). Write one formula that is stable everywhere",
        ),
        Misconception(
            "float64-always",
            lambda q, r, beta: optimal_policy(q.double(), r.double(), beta),
            "the result is float64 whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "detached",
            lambda q, r, beta: optimal_policy(q, r.detach(), beta),
            "no gradient reaches the reward",
        ),
        Misconception(
            "normaliser-detached",
            lambda q, r, beta: torch.exp(
                _logits(q, r, beta) - log_partition(q, r, beta).detach().unsqueeze(-1)
            ),
            "log Z is detached: raising one response must lower the others",
        ),
        Misconception(
            "float32-only",
            lambda q, r, beta: optimal_policy(q.float(), r.float(), beta),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "in-place",
            _policy_in_place,
            "the reward itself was overwritten (/= changes the caller's tensor); make a new one",
        ),
    ),
    alternatives={
        "shift by the maximum": lambda q, r, beta: (
            (w := q * torch.exp((r - r.amax(-1, keepdim=True)) / beta)) / w.sum(-1, keepdim=True)
        ),
        "exp of log-softmax": lambda q, r, beta: torch.log_softmax(q.log() + r / beta, -1).exp(),
        "log-sum-exp": lambda q, r, beta: torch.exp(
            (s := q.log() + r / beta) - torch.logsumexp(s, -1, keepdim=True)
        ),
        "distributions": lambda q, r, beta: torch.distributions.Categorical(logits=q.log() + r / beta).probs,
        "softmin": lambda q, r, beta: F.softmin(-(q.log() + (1.0 / beta) * r), dim=-1),
    },
    hints=(
        "π* is a softmax. Of which logits?",
        "π_ref · exp(r/beta) = exp(log π_ref + r/beta), and a softmax divides by the sum by itself.",
        "If you write exp yourself, subtract the row's largest exponent first; numerator and denominator shrink alike.",
    ),
)
