"""03-method-comparison: losses on pairs: IPO, SimPO, the reward model."""

import math

import torch
from torch.nn import functional as F

from course_utils.checks.cases import cast, form, gradient
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.exercises.dpo_loss import WORKED, draw_logprobs, pair
from course_utils.losses import ipo_loss, simpo_loss
from course_utils.reward_models import reward_model_loss


def _column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


# --- ipo-loss --------------------------------------------------------------------------------

PAST_TARGET = pair(-2.0, -15.0, -13.0, -14.0)
FAR_ABOVE = pair(-11.3, -37.6, -54.8, -21.1)
FAR_BELOW = pair(-54.8, -21.1, -11.3, -37.6)


def _ipo_cases(draw):
    agreed = draw.logprobs(3), draw.logprobs(3)
    return [
        Case(WORKED, label="policy -12 and -15, reference -13 and -14"),
        Case(PAST_TARGET, label="policy -2 and -15, reference -13 and -14: h is past the target"),
        Case(draw_logprobs(draw, 5), label="five pairs, tau left at its default"),
        Case(draw_logprobs(draw, 4), {"tau": 0.5}, "four pairs, tau=0.5"),
        Case((*draw_logprobs(draw, 1), 2.0), label="one pair, tau=2"),
        Case(agreed * 2, {"tau": 0.2}, "policy and reference agree, tau=0.2"),
        Case(FAR_ABOVE, label="log-ratios 43.5 and -16.5: h = 60"),
        Case(FAR_BELOW, label="log-ratios -43.5 and 16.5: h = -60"),
        Case(WORKED, {"tau": 0.01}, "policy -12 and -15, reference -13 and -14, tau=0.01"),
    ]


def _ipo_gradients(draw):
    return [
        Case(WORKED, label="policy -12 and -15, reference -13 and -14", grads=(0, 1)),
        Case(PAST_TARGET, label="h past the target", grads=(0, 1)),
        Case(draw_logprobs(draw, 4), {"tau": 0.5}, "four pairs, tau=0.5", grads=(0, 1)),
    ]


def _of_h(loss):
    """Another function of (h, tau)."""

    def answer(policy_chosen, policy_rejected, ref_chosen, ref_rejected, tau=0.1):
        h = (policy_chosen - ref_chosen.detach()) - (policy_rejected - ref_rejected.detach())
        return loss(h, tau)

    return answer


def _to_target(distance):
    """The square of the distance to the target of another difference than h."""

    def answer(policy_chosen, policy_rejected, ref_chosen, ref_rejected, tau=0.1):
        return (
            distance(policy_chosen, policy_rejected, ref_chosen.detach(), ref_rejected.detach())
            - 1 / (2 * tau)
        ) ** 2

    return answer


def _ipo_in_place(policy_chosen, policy_rejected, ref_chosen, ref_rejected, tau=0.1):
    with torch.no_grad():
        ref_chosen -= ref_rejected
    return (policy_chosen - policy_rejected - ref_chosen - 1 / (2 * tau)) ** 2


IPO_LOSS = Exercise(
    id="ipo-loss",
    function="ipo_loss",
    reference=ipo_loss,
    parts=(
        Part("values", 2.5, _ipo_cases),
        gradient(1, _ipo_gradients, "gradient into the policy"),
        form(0.5, lambda draw: draw_logprobs(draw, 3)),
    ),
    misconceptions=(
        Misconception(
            "target-without-2",
            _of_h(lambda h, tau: (h - 1 / tau) ** 2),
            "the target is twice what it should be: look at the denominator of eq. 17 again",
        ),
        Misconception(
            "target-upside-down",
            _of_h(lambda h, tau: (h - tau / 2) ** 2),
            "the target is tau/2 here (1/2*tau reads as (1/2)·tau): a *smaller* tau must ask for a *larger* margin",
        ),
        Misconception(
            "target-2-tau",
            _of_h(lambda h, tau: (h - 2 * tau) ** 2),
            "the target grows with tau here: a *smaller* tau must ask for a *larger* margin",
        ),
        Misconception(
            "target-tau",
            _of_h(lambda h, tau: (h - tau) ** 2),
            "h is drawn to tau itself: a *smaller* tau must ask for a *larger* margin",
        ),
        Misconception(
            "default-tau",
            lambda c, r, rc, rr, tau=1.0: ipo_loss(c, r, rc, rr, tau),
            "tau is 1 where none is passed; its default is 0.1",
        ),
        Misconception(
            "target-half",
            _of_h(lambda h, tau: (h - 0.5) ** 2),
            "tau does not appear; it says how far from the reference the policy is to go",
        ),
        Misconception(
            "default-tau-half",
            lambda c, r, rc, rr, tau=0.5: ipo_loss(c, r, rc, rr, tau),
            "tau is 0.5 where none is passed; its default is 0.1",
        ),
        Misconception(
            "rescaled-without-2",
            _of_h(lambda h, tau: (tau * h - 1) ** 2),
            "this is a rescaled loss whose target for h is 1/tau, twice what it should be",
        ),
        Misconception(
            "target-one",
            _of_h(lambda h, tau: (h - 1) ** 2),
            "the target is 1 here, whatever tau is; tau says how far from the reference the policy is to go",
        ),
        Misconception(
            "rescaled",
            _of_h(lambda h, tau: (tau * h - 0.5) ** 2),
            "this is tau² times the loss of eq. 17: the minimum is the same, the scale (and so the step) is not",
        ),
        Misconception(
            "tau-on-h-too",
            _of_h(lambda h, tau: (tau * h - 1 / (2 * tau)) ** 2),
            "tau multiplies h as beta does in DPO, and stands in the target too; here h is a plain log-ratio",
        ),
        Misconception(
            "tau-outside",
            _of_h(lambda h, tau: tau * (h - 1 / (2 * tau)) ** 2),
            "the square is multiplied by tau; tau appears in the target only",
        ),
        Misconception(
            "divided-by-tau",
            _of_h(lambda h, tau: (h / tau - 1 / (2 * tau)) ** 2),
            "h is divided by tau; tau appears in the target only",
        ),
        Misconception(
            "no-target",
            _of_h(lambda h, tau: h**2),
            "the square of h draws the policy to the reference; what margin is it to reach?",
        ),
        Misconception(
            "target-added",
            _of_h(lambda h, tau: (h + 1 / (2 * tau)) ** 2),
            "h is drawn to *minus* the target, so that the rejected response gains: is the target added, or are chosen "
            "and rejected exchanged?",
        ),
        Misconception(
            "no-square",
            _of_h(lambda h, tau: h - 1 / (2 * tau)),
            "the square is missing: a descent on this would lower h without end",
        ),
        Misconception(
            "distance",
            _of_h(lambda h, tau: (h - 1 / (2 * tau)).abs()),
            "this is the absolute distance to the target; IPO squares it",
        ),
        Misconception(
            "half-square",
            _of_h(lambda h, tau: (h - 1 / (2 * tau)) ** 2 / 2),
            "there is a factor 1/2 too many in front of the square",
        ),
        Misconception(
            "one-sided",
            _of_h(lambda h, tau: F.relu(1 / (2 * tau) - h) ** 2),
            "nothing is lost beyond the target here; IPO pulls back a margin that is too large as well",
        ),
        Misconception(
            "square-of-difference-only",
            _of_h(lambda h, tau: h**2 - 1 / (2 * tau)),
            "h was squared before the target was subtracted; the square is taken of the whole",
        ),
        Misconception(
            "difference-of-squares",
            _of_h(lambda h, tau: h**2 - 1 / (2 * tau) ** 2),
            "h and the target were squared one by one; the square is taken of their difference",
        ),
        Misconception(
            "huber",
            _of_h(lambda h, tau: F.smooth_l1_loss(h, torch.full_like(h, 1 / (2 * tau)), reduction="none")),
            "this loss grows in a straight line far from the target; IPO has the plain square",
        ),
        Misconception(
            "dpo",
            _of_h(lambda h, tau: -F.logsigmoid(tau * h)),
            "this is DPO's loss, which always asks for more; IPO has a square with a finite target",
        ),
        Misconception(
            "no-reference",
            _to_target(lambda c, r, rc, rr: c - r),
            "the reference is missing: h says how far the policy moved *from the reference*",
        ),
        Misconception(
            "reference-added",
            _to_target(lambda c, r, rc, rr: (c + rc) - (r + rr)),
            "the reference's log-probabilities were added; log(π/π_ref) is a difference",
        ),
        Misconception(
            "rejected-reference-sign",
            _to_target(lambda c, r, rc, rr: c - r - rc - rr),
            "the rejected reference has the wrong sign: each log-ratio is policy minus reference, and the second one "
            "is subtracted as a whole",
        ),
        Misconception(
            "log-of-the-quotient",
            _to_target(lambda c, r, rc, rr: torch.log(c / rc) - torch.log(r / rr)),
            "log-probabilities were divided and the logarithm taken again; they are logarithms already",
        ),
        Misconception(
            "chosen-only",
            _to_target(lambda c, r, rc, rr: c - rc),
            "only the chosen response appears; h compares it with the rejected one",
        ),
        *(
            Misconception(
                f"h-bounded-{bound}",
                _of_h(lambda h, tau, bound=bound: (h.clamp(-bound, bound) - 1 / (2 * tau)) ** 2),
                "h was clamped: a margin far from the target counts with its whole distance",
            )
            for bound in (1, 5, 10, 20, 25, 50)
        ),
        *(
            Misconception(
                f"tau-at-least-{floor}",
                _of_h(lambda h, tau, floor=floor: (h - 1 / (2 * max(tau, floor))) ** 2),
                "a small tau was replaced by a larger one; use the tau that is passed",
            )
            for floor in (0.05, 0.1)
        ),
        Misconception(
            "log-ratios-added",
            _to_target(lambda c, r, rc, rr: (c - rc) + (r - rr)),
            "the two log-ratios were added; h is their difference",
        ),
        Misconception(
            "two-targets",
            lambda c, r, rc, rr, tau=0.1: (c - rc - 1 / (2 * tau)) ** 2 + (r - rr + 1 / (2 * tau)) ** 2,
            "each response has a target of its own here; there is one, for the difference of their log-ratios",
        ),
        Misconception(
            "tau-fixed",
            lambda c, r, rc, rr, tau=0.1: ipo_loss(c, r, rc, rr, 0.1),
            "tau is always 0.1 here, whatever is passed",
        ),
        Misconception(
            "batch-mean",
            lambda *args, **kwargs: ipo_loss(*args, **kwargs).mean(),
            "one number for the whole batch; return one loss per pair, the training loop takes the mean",
        ),
        Misconception(
            "batch-sum",
            lambda *args, **kwargs: ipo_loss(*args, **kwargs).sum(),
            "the losses were added up to one number; return one loss per pair",
        ),
        Misconception(
            "keepdim",
            lambda *args, **kwargs: ipo_loss(*args, **kwargs).unsqueeze(-1),
            "the result has shape (B, 1); one value per pair, shape (B,), is wanted",
        ),
        Misconception(
            "mean-of-h",
            _of_h(lambda h, tau: ((h.mean() - 1 / (2 * tau)) ** 2).expand(h.shape)),
            "the mean h was used for all pairs; each pair has its own",
        ),
        Misconception(
            "all-detached",
            lambda *args, **kwargs: ipo_loss(*args, **kwargs).detach(),
            "no gradient reaches the policy, so nothing would be trained",
        ),
        Misconception(
            "rejected-detached",
            lambda c, r, rc, rr, tau=0.1: ipo_loss(c, r.detach(), rc, rr, tau),
            "no gradient reaches the policy's log-probability of the rejected response; both are trained",
        ),
        Misconception(
            "chosen-detached",
            lambda c, r, rc, rr, tau=0.1: ipo_loss(c.detach(), r, rc, rr, tau),
            "no gradient reaches the policy's log-probability of the chosen response; both are trained",
        ),
        Misconception(
            "float32-only",
            lambda c, r, rc, rr, tau=0.1: ipo_loss(c.float(), r.float(), rc.float(), rr.float(), tau),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "float64-always",
            lambda c, r, rc, rr, tau=0.1: ipo_loss(c.double(), r.double(), rc.double(), rr.double(), tau),
            "the result is float64 whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "in-place-policy",
            lambda c, r, rc, rr, tau=0.1: ipo_loss(c.sub_(rc), r, torch.zeros_like(rc), rr, tau),
            "the policy's log-probabilities were overwritten (-= or an operation ending in _), which torch refuses "
            "where a gradient is wanted; make a new tensor",
        ),
        Misconception(
            "in-place",
            _ipo_in_place,
            "one of the inputs was overwritten (-= or an operation ending in _); make a new tensor",
        ),
    ),
    alternatives={
        "by model, no detach": lambda policy_chosen, policy_rejected, ref_chosen, ref_rejected, tau=0.1: (
            (policy_chosen - policy_rejected) - (ref_chosen - ref_rejected) - 0.5 / tau
        ).square(),
        "mean squared error, not reduced": _of_h(
            lambda h, tau: F.mse_loss(h, torch.full_like(h, 1 / (2 * tau)), reduction="none")
        ),
        "target minus h": _of_h(lambda h, tau: torch.pow(1 / (2 * tau) - h, 2)),
        "multiplied out": _of_h(lambda h, tau: h * h - h / tau + 1 / (4 * tau**2)),
        "scaled back": _of_h(lambda h, tau: (2 * tau * h - 1) ** 2 / (4 * tau**2)),
        "loop": lambda policy_chosen, policy_rejected, ref_chosen, ref_rejected, tau=0.1: torch.stack(
            [
                ((c - rc) - (r - rr) - 1 / (2 * tau)) ** 2
                for c, r, rc, rr in zip(policy_chosen, policy_rejected, ref_chosen, ref_rejected, strict=True)
            ]
        ),
    },
    hints=(
        "Take the worked pair, policy -12 and -15, reference -13 and -14: its log-ratios are 1 and -1, so h is 2, and at "
        "tau = 0.1 the target is 5.",
        "Eq. 17 squares the distance of h from a target that depends on tau alone. No sigmoid, no logarithm.",
        "Python reads 1 / 2 * tau as (1 / 2) * tau; put the denominator in brackets.",
    ),
)


_EPSILON = (
    "an epsilon inside the logarithm (or a clamp of the probability) hides the underflow, but caps the loss and loses "
    "the gradient where it matters most"
)
_LADDER = "differences of ±6, ±8, ±10, ±12, ±15"


def _ladder():
    """Differences where σ is close to 0 or 1, but not rounded."""
    steps = _column(6.0, 8.0, 10.0, 12.0, 15.0)
    return torch.cat([steps, -steps])


# --- simpo-loss ------------------------------------------------------------------------------


def _means(draw, batch):
    """Mean log-probabilities per token of two responses, near enough for a sigmoid that is not rounded away."""
    return draw.uniform(-2.3, -0.9, batch), draw.uniform(-2.3, -0.9, batch)


def _simpo_cases(draw):
    return [
        Case((_column(-2.0), _column(-1.5)), label="mean log-probabilities -2 and -1.5"),
        Case(_means(draw, 5), label="five pairs, beta and gamma left at their defaults"),
        Case(_means(draw, 4), {"beta": 2.5, "gamma": 0.5}, "four pairs, beta=2.5, gamma=0.5"),
        Case(_means(draw, 4), {"beta": 0.5}, "four pairs, beta=0.5"),
        Case(_means(draw, 4), {"gamma": 1.6}, "four pairs, gamma=1.6"),
        Case((*_means(draw, 1), 3.0, 0.3), label="one pair, beta=3, gamma=0.3"),
        Case(_means(draw, 3), {"gamma": 0.0}, "three pairs, gamma=0"),
    ]


def _simpo_extremes(draw):
    cases = []
    for low, word in ((0, "chosen"), (1, "rejected")):
        args = list(_means(draw, 4))
        args[low] = args[low] - 995.0 * _column(1.0, 1.0, 0.5, 0.0)
        label = f"mean log-probabilities of the {word} down to -1e3"
        for dtype, name in ((torch.float64, ""), (torch.float32, ", float32")):
            cases.append(Case(cast(args, dtype), label=label + name, grads=(0, 1)))
    both = tuple(a - 990.0 for a in _means(draw, 4))
    ladder = _ladder() / 2
    fixed = (
        Case(
            (ladder.clamp(max=0) - 1, (-ladder).clamp(max=0) - 1),
            {"gamma": 0.0},
            _LADDER + " in the reward",
            grads=(0, 1),
        ),
    )
    return [*cases, Case(both, label="both near -1e3", grads=(0, 1)), *fixed]


def _of_means(logit):
    """The loss -log σ of another logit."""

    def answer(chosen_mean_logp, rejected_mean_logp, beta=2.0, gamma=1.0):
        return -F.logsigmoid(logit(chosen_mean_logp, rejected_mean_logp, beta, gamma))

    return answer


def _of_reward_margin(loss):
    """Another function of β(chosen - rejected) - γ."""

    def answer(chosen_mean_logp, rejected_mean_logp, beta=2.0, gamma=1.0):
        return loss(beta * (chosen_mean_logp - rejected_mean_logp) - gamma)

    return answer


def _simpo_in_place(chosen_mean_logp, rejected_mean_logp, beta=2.0, gamma=1.0):
    with torch.no_grad():
        chosen_mean_logp *= beta
    return -F.logsigmoid(chosen_mean_logp - beta * rejected_mean_logp - gamma)


_LOSS_WITHOUT_GAMMA = "the margin gamma is missing: the chosen reward must win by more than 0"

SIMPO_LOSS = Exercise(
    id="simpo-loss",
    function="simpo_loss",
    reference=simpo_loss,
    parts=(
        Part("values", 1.5, _simpo_cases),
        Part("stable for mean log-probabilities down to -1e3", 0.5, _simpo_extremes, ("result", "gradient")),
        gradient(0.5, lambda draw: [Case(_means(draw, 4), {"beta": 2.5, "gamma": 0.5}, grads=(0, 1))]),
        form(0.5, lambda draw: _means(draw, 3)),
    ),
    misconceptions=(
        Misconception(
            "gamma-added",
            _of_means(lambda c, r, beta, gamma: beta * (c - r) + gamma),
            "gamma was added, which makes the task easier; the chosen response has to win *by* gamma",
        ),
        Misconception(
            "gamma-times-beta",
            _of_means(lambda c, r, beta, gamma: beta * (c - r - gamma)),
            "beta multiplies gamma too; gamma is a margin between rewards, which hold beta already",
        ),
        Misconception(
            "gamma-over-beta",
            _of_means(lambda c, r, beta, gamma: beta * (c - r) - gamma / beta),
            "gamma is divided by beta outside the product; some libraries pass the ratio, this one the margin itself",
        ),
        Misconception(
            "default-gamma-0",
            lambda c, r, beta=2.0, gamma=0.0: simpo_loss(c, r, beta, gamma),
            "gamma is 0 where none is passed; its default is 1",
        ),
        Misconception("no-gamma", _of_means(lambda c, r, beta, gamma: beta * (c - r)), _LOSS_WITHOUT_GAMMA),
        Misconception(
            "gamma-outside",
            lambda c, r, beta=2.0, gamma=1.0: -F.logsigmoid(beta * (c - r)) - gamma,
            "gamma was subtracted from the loss; it belongs inside the sigmoid",
        ),
        Misconception(
            "gamma-on-the-loss",
            lambda c, r, beta=2.0, gamma=1.0: -F.logsigmoid(beta * (c - r)) + gamma,
            "gamma was added to the loss; it belongs inside the sigmoid",
        ),
        Misconception(
            "gamma-as-factor",
            lambda c, r, beta=2.0, gamma=1.0: -gamma * F.logsigmoid(beta * (c - r)),
            "gamma multiplies the loss; it is a margin inside the sigmoid",
        ),
        Misconception(
            "gamma-fixed",
            lambda c, r, beta=2.0, gamma=1.0: simpo_loss(c, r, beta, 1.0),
            "gamma is always 1 here, whatever is passed",
        ),
        Misconception(
            "beta-fixed",
            lambda c, r, beta=2.0, gamma=1.0: simpo_loss(c, r, 2.0, gamma),
            "beta is always 2 here, whatever is passed",
        ),
        Misconception(
            "default-beta",
            lambda c, r, beta=0.1, gamma=1.0: simpo_loss(c, r, beta, gamma),
            "beta is 0.1 where none is passed, as in DPO; on means per token SimPO needs a larger one, and 2 is its "
            "default",
        ),
        Misconception(
            "default-beta-1",
            lambda c, r, beta=1.0, gamma=1.0: simpo_loss(c, r, beta, gamma),
            "beta is 1 where none is passed; its default is 2",
        ),
        Misconception(
            "default-beta-2.5",
            lambda c, r, beta=2.5, gamma=1.0: simpo_loss(c, r, beta, gamma),
            "beta is 2.5 where none is passed; its default is 2",
        ),
        Misconception(
            "default-gamma",
            lambda c, r, beta=2.0, gamma=0.5: simpo_loss(c, r, beta, gamma),
            "gamma is 0.5 where none is passed; its default is 1",
        ),
        Misconception(
            "beta-and-gamma-exchanged",
            lambda c, r, beta=2.0, gamma=1.0: -F.logsigmoid(gamma * (c - r) - beta),
            "beta and gamma changed places: one scales the difference, the other is the margin",
        ),
        Misconception(
            "beta-missing",
            _of_means(lambda c, r, beta, gamma: c - r - gamma),
            "beta does not appear; it scales the mean log-probabilities to rewards",
        ),
        Misconception(
            "divided-by-beta",
            _of_means(lambda c, r, beta, gamma: (c - r) / beta - gamma),
            "the difference was divided by beta; the reward is beta *times* the mean log-probability",
        ),
        Misconception(
            "divided-by-beta-as-a-whole",
            _of_means(lambda c, r, beta, gamma: (c - r) - gamma / beta),
            "the margin was divided by beta, but the difference not multiplied: this is the logit of eq. 6 over beta",
        ),
        Misconception(
            "beta-on-chosen-only",
            _of_means(lambda c, r, beta, gamma: beta * c - r - gamma),
            "beta multiplies the chosen response only; both are multiplied",
        ),
        Misconception(
            "beta-outside",
            lambda c, r, beta=2.0, gamma=1.0: -beta * F.logsigmoid(c - r - gamma),
            "beta multiplies the loss; it belongs inside the sigmoid",
        ),
        Misconception(
            "swapped",
            _of_means(lambda c, r, beta, gamma: beta * (r - c) - gamma),
            "chosen and rejected are exchanged: this loss falls when the *rejected* response becomes more likely",
        ),
        Misconception(
            "all-negated",
            _of_means(lambda c, r, beta, gamma: gamma - beta * (c - r)),
            "the sign inside the sigmoid is turned: the loss must fall when the chosen response becomes more likely",
        ),
        Misconception(
            "added",
            _of_means(lambda c, r, beta, gamma: beta * (c + r) - gamma),
            "the mean log-probabilities were added; their difference counts",
        ),
        Misconception(
            "chosen-only",
            _of_means(lambda c, r, beta, gamma: beta * c - gamma),
            "only the chosen response appears; the loss compares it with the rejected one",
        ),
        *(
            Misconception(
                f"means-bounded-{bound}",
                lambda c, r, beta=2.0, gamma=1.0, bound=bound: simpo_loss(
                    c.clamp(min=-bound), r.clamp(min=-bound), beta, gamma
                ),
                "the mean log-probabilities were clamped from below: beyond the bound the loss is wrong and its gradient "
                "gone",
            )
            for bound in (5, 10, 20, 50, 100, 500)
        ),
        Misconception(
            "probabilities",
            _of_means(lambda c, r, beta, gamma: beta * (c.exp() - r.exp()) - gamma),
            "probabilities were compared; SimPO's reward is the mean *log*-probability",
        ),
        Misconception(
            "odds",
            _of_means(
                lambda c, r, beta, gamma: (
                    beta * ((c - r) - (torch.log(-torch.expm1(c)) - torch.log(-torch.expm1(r)))) - gamma
                )
            ),
            "this compares log-odds, as ORPO does; SimPO's reward is the mean log-probability itself",
        ),
        Misconception(
            "nll-added",
            lambda c, r, beta=2.0, gamma=1.0: simpo_loss(c, r, beta, gamma) - c,
            "the negative log-likelihood of the chosen response was added (CPO and ORPO do so); SimPO has no such term",
        ),
        Misconception(
            "sign",
            _of_reward_margin(F.logsigmoid),
            "the minus in front is missing: a descent on this would make the policy worse",
        ),
        Misconception(
            "probability",
            _of_reward_margin(torch.sigmoid),
            "this is σ itself; the loss is its negative logarithm",
        ),
        Misconception(
            "no-logarithm",
            _of_reward_margin(lambda x: torch.sigmoid(-x)),
            "this is 1 - σ; the loss is the negative *logarithm* of σ",
        ),
        Misconception(
            "log-base-2",
            _of_reward_margin(lambda x: -F.logsigmoid(x) / math.log(2.0)),
            "this is a logarithm to base 2; the course uses natural ones",
        ),
        Misconception(
            "hinge",
            _of_reward_margin(lambda x: F.relu(-x)),
            "this is a hinge, which is flat once the margin is reached; SimPO has -log σ",
        ),
        Misconception(
            "batch-mean",
            lambda *args, **kwargs: simpo_loss(*args, **kwargs).mean(),
            "one number for the whole batch; return one loss per pair, the training loop takes the mean",
        ),
        Misconception(
            "batch-sum",
            lambda *args, **kwargs: simpo_loss(*args, **kwargs).sum(),
            "the losses were added up to one number; return one loss per pair",
        ),
        Misconception(
            "keepdim",
            lambda *args, **kwargs: simpo_loss(*args, **kwargs).unsqueeze(-1),
            "the result has shape (B, 1); one value per pair, shape (B,), is wanted",
        ),
        Misconception(
            "log-of-sigmoid",
            _of_reward_margin(lambda x: -torch.log(torch.sigmoid(x))),
            "for very negative margins sigmoid rounds to 0, whose logarithm is -infinity (and exp overflows); "
            "torch has log σ as one function",
        ),
        Misconception(
            "linear-softplus",
            _of_reward_margin(lambda x: F.softplus(-x, threshold=5)),
            "log(1 + e^x) was taken for x itself where x is a little large (softplus has a threshold for that, 20 by "
            "default); at 6 that is off by 0.0025",
        ),
        *(
            Misconception(
                f"epsilon-{name}",
                _of_reward_margin(lambda x, epsilon=epsilon: -torch.log(torch.sigmoid(x) + epsilon)),
                _EPSILON,
            )
            for name, epsilon in (("1e-10", 1e-10), ("1e-12", 1e-12))
        ),
        Misconception(
            "epsilon",
            _of_reward_margin(lambda x: -torch.log(torch.sigmoid(x) + 1e-8)),
            _EPSILON,
        ),
        Misconception(
            "cross-entropy-of-probabilities",
            _of_reward_margin(
                lambda x: F.binary_cross_entropy(torch.sigmoid(x), torch.ones_like(x), reduction="none")
            ),
            "the loss is capped at 100: a clamp does that, and so does F.binary_cross_entropy (there is a variant that "
            "takes logits)",
        ),
        Misconception(
            "clamped",
            _of_reward_margin(lambda x: -F.logsigmoid(x.clamp(-50, 50))),
            "the margin is clamped: the loss of a very wrong pair is capped, and its gradient is gone",
        ),
        Misconception(
            "ratio-of-powers",
            lambda c, r, beta=2.0, gamma=1.0: (
                -torch.log(torch.exp(beta * c) / (torch.exp(beta * c) + torch.exp(beta * r + gamma)))
            ),
            "exp of a large negative number is 0, and 0/0 is nan; stay with the difference of the rewards",
        ),
        Misconception(
            "all-detached",
            lambda *args, **kwargs: simpo_loss(*args, **kwargs).detach(),
            "no gradient reaches the policy, so nothing would be trained",
        ),
        Misconception(
            "rejected-detached",
            lambda c, r, beta=2.0, gamma=1.0: simpo_loss(c, r.detach(), beta, gamma),
            "no gradient reaches the rejected response; it is the policy's too, there is no reference here",
        ),
        Misconception(
            "chosen-detached",
            lambda c, r, beta=2.0, gamma=1.0: simpo_loss(c.detach(), r, beta, gamma),
            "no gradient reaches the chosen response; both responses are the policy's",
        ),
        Misconception(
            "float32-only",
            lambda c, r, beta=2.0, gamma=1.0: simpo_loss(c.float(), r.float(), beta, gamma),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "float64-always",
            lambda c, r, beta=2.0, gamma=1.0: simpo_loss(c.double(), r.double(), beta, gamma),
            "the result is float64 whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "in-place",
            _simpo_in_place,
            "one of the inputs was overwritten (*= or an operation ending in _); make a new tensor",
        ),
    ),
    alternatives={
        "softplus": lambda chosen_mean_logp, rejected_mean_logp, beta=2.0, gamma=1.0: F.softplus(
            gamma + beta * rejected_mean_logp - beta * chosen_mean_logp
        ),
        "gamma/beta inside": lambda chosen_mean_logp, rejected_mean_logp, beta=2.0, gamma=1.0: (
            -F.logsigmoid(beta * (chosen_mean_logp - rejected_mean_logp - gamma / beta))
        ),
        "logaddexp": _of_reward_margin(lambda x: torch.logaddexp(torch.zeros_like(x), -x)),
        "binary cross-entropy": _of_reward_margin(
            lambda x: F.binary_cross_entropy_with_logits(x, torch.ones_like(x), reduction="none")
        ),
        "cross-entropy of two classes": lambda chosen_mean_logp, rejected_mean_logp, beta=2.0, gamma=1.0: (
            F.cross_entropy(
                torch.stack([beta * chosen_mean_logp - gamma, beta * rejected_mean_logp], dim=1),
                torch.zeros(len(chosen_mean_logp), dtype=torch.long),
                reduction="none",
            )
        ),
        "piecewise": _of_reward_margin(lambda x: F.relu(-x) + torch.log1p(torch.exp(-x.abs()))),
        "loop": lambda chosen_mean_logp, rejected_mean_logp, beta=2.0, gamma=1.0: torch.stack(
            [
                -F.logsigmoid(beta * (c - r) - gamma)
                for c, r in zip(chosen_mean_logp, rejected_mean_logp, strict=True)
            ]
        ),
    },
    hints=(
        "The reward of a response is beta times its mean log-probability. No reference appears.",
        "As in DPO there is a difference of two rewards inside -log σ; gamma makes it smaller, so that winning is not "
        "enough.",
        "Use the torch function that is log σ as a whole; a sigmoid of -2000 has rounded to 0.",
    ),
)


# --- reward-model-loss -----------------------------------------------------------------------


def _rewards(draw, batch):
    """Rewards whose differences lie within ±3, where the sigmoid has all its digits."""
    return draw.uniform(-1.5, 1.5, batch), draw.uniform(-1.5, 1.5, batch)


def _comparison_cases(draw):
    equal = draw.normal(3)
    higher = draw.uniform(-1.0, 1.0, 1)
    up, down = _rewards(draw, 4), _rewards(draw, 4)
    return [
        Case((_column(2.0), _column(1.0)), label="rewards 2 and 1"),
        Case(_rewards(draw, 5), label="five pairs"),
        Case((higher, higher + draw.uniform(1.5, 3.0, 1)), label="one pair, the rejected higher"),
        Case((up[0] + 5, up[1] + 5), label="all rewards shifted by 5"),
        Case((down[0] - 5, down[1] - 5), label="all rewards shifted by -5"),
        Case(
            (_column(1.5, -1.5, 0.7, -0.2), _column(-1.5, 1.5, -0.6, 0.9)),
            label="differences of 3, -3, 1.3, -1.1",
        ),
        Case((equal, equal.clone()), label="equal rewards"),
    ]


def _comparison_extremes(draw):
    cases = [Case((_ladder() + 1, torch.ones(10, dtype=torch.float64)), label=_LADDER, grads=(0, 1))]
    for sign, word in ((1.0, "+1e4"), (-1.0, "-1e4")):
        chosen, rejected = _rewards(draw, 4)
        chosen = chosen + sign * 1e4 * _column(1.0, 0.5, 0.0, 0.0)
        rejected = rejected - sign * 1e4 * _column(0.0, 0.5, 1.0, 0.0)
        for dtype, name in ((torch.float64, ""), (torch.float32, ", float32")):
            args = cast((chosen, rejected), dtype)
            # float32 numbers near 1e4 are 1e-3 apart, and a gradient may be off by as much
            rtol = 1e-3 if dtype == torch.float32 else None
            cases.append(Case(args, label=f"differences of {word}{name}", grads=(0, 1), rtol=rtol))
    return cases


def _of_difference(loss):
    """Another function of the difference of the rewards."""
    return lambda chosen_rewards, rejected_rewards: loss(chosen_rewards - rejected_rewards)


def _two_classes(chosen_rewards, rejected_rewards):
    scores = torch.stack([rejected_rewards, chosen_rewards], dim=-1)
    return F.cross_entropy(scores, torch.ones(len(scores), dtype=torch.long), reduction="none")


def _rewards_in_place(chosen_rewards, rejected_rewards):
    with torch.no_grad():
        chosen_rewards -= rejected_rewards
    return -F.logsigmoid(chosen_rewards)


REWARD_MODEL_LOSS = Exercise(
    id="reward-model-loss",
    function="reward_model_loss",
    reference=reward_model_loss,
    parts=(
        Part("values", 1.5, _comparison_cases),
        Part("stable for differences of ±1e4", 0.5, _comparison_extremes, ("result", "gradient")),
        gradient(0.5, lambda draw: [Case(_rewards(draw, 4), grads=(0, 1))]),
        form(0.5, lambda draw: _rewards(draw, 3)),
    ),
    misconceptions=(
        Misconception(
            "pointwise",
            lambda w, v: -F.logsigmoid(w) + 0 * v,
            "the rejected response plays no part; only the *difference* of two rewards is compared",
        ),
        Misconception(
            "two-terms",
            lambda w, v: -F.logsigmoid(w) - F.logsigmoid(-v),
            "each response is judged alone, as good or bad; raising both rewards by 5 must change nothing",
        ),
        Misconception(
            "two-terms-averaged",
            lambda w, v: (-F.logsigmoid(w) - F.logsigmoid(-v)) / 2,
            "each response is judged alone, as good or bad; raising both rewards by 5 must change nothing",
        ),
        Misconception(
            "difference-of-log-sigmoids",
            lambda w, v: F.logsigmoid(v) - F.logsigmoid(w),
            "each reward went through a sigmoid of its own; the sigmoid is taken of the difference",
        ),
        Misconception(
            "swapped",
            _of_difference(lambda d: -F.logsigmoid(-d)),
            "this is the likelihood of the other order: the loss falls when the *rejected* response scores higher",
        ),
        Misconception(
            "added",
            lambda w, v: -F.logsigmoid(w + v),
            "the rewards were added; their difference counts",
        ),
        Misconception(
            "ratio",
            lambda w, v: -F.logsigmoid(w / v),
            "the rewards were divided; Bradley-Terry compares their difference (the ratio is of exponentials)",
        ),
        Misconception(
            "sign",
            _of_difference(F.logsigmoid),
            "the minus in front is missing: a descent on this would make the model worse",
        ),
        Misconception(
            "probability",
            _of_difference(torch.sigmoid),
            "this is the probability of the observed order; the loss is its negative logarithm",
        ),
        Misconception(
            "no-logarithm",
            _of_difference(lambda d: torch.sigmoid(-d)),
            "this is the probability of the other order; the loss is the negative *logarithm* of σ",
        ),
        Misconception(
            "negative-difference",
            _of_difference(lambda d: -d),
            "this falls without end as the difference grows; the Bradley-Terry likelihood has a sigmoid",
        ),
        Misconception(
            "squared-error",
            _of_difference(lambda d: (1 - d) ** 2),
            "this squared error asks for a difference of 1; Bradley-Terry's loss is -log σ of the difference",
        ),
        Misconception(
            "brier",
            _of_difference(lambda d: torch.sigmoid(-d) ** 2),
            "this is the squared error of the probability; the likelihood takes its logarithm",
        ),
        Misconception(
            "hinge",
            _of_difference(lambda d: F.relu(1 - d)),
            "this is the hinge loss; Bradley-Terry's loss is -log σ of the difference",
        ),
        Misconception(
            "margin-ranking",
            _of_difference(lambda d: F.relu(-d)),
            "this is the ranking loss with margin 0, flat for every right order; Bradley-Terry's loss is -log σ",
        ),
        Misconception(
            "normal",
            _of_difference(lambda d: -torch.special.log_ndtr(d)),
            "this is the normal distribution function (Thurstone's model); Bradley-Terry is logistic",
        ),
        Misconception(
            "beta",
            _of_difference(lambda d: -F.logsigmoid(0.1 * d)),
            "the difference was multiplied by 0.1: a reward model's scores are its own unit, without a beta",
        ),
        Misconception(
            "margin-1",
            _of_difference(lambda d: -F.logsigmoid(d - 1)),
            "a margin of 1 was subtracted; the plain Bradley-Terry likelihood has none",
        ),
        Misconception(
            "log-base-2",
            _of_difference(lambda d: -F.logsigmoid(d) / math.log(2.0)),
            "this is a logarithm to base 2; the course uses natural ones",
        ),
        Misconception(
            "both-orders",
            _of_difference(lambda d: -F.logsigmoid(d) - F.logsigmoid(-d)),
            "the other order, which was not observed, is in the likelihood too",
        ),
        Misconception(
            "softmax-over-batch",
            _of_difference(lambda d: -torch.log_softmax(d, dim=0)),
            "the pairs compete with each other; each pair has a likelihood of its own",
        ),
        Misconception(
            "all-against-all",
            lambda w, v: -F.logsigmoid(w.unsqueeze(-1) - v.unsqueeze(-2)),
            "every chosen was held against every rejected; go pair by pair",
        ),
        Misconception(
            "mean-difference",
            _of_difference(lambda d: -F.logsigmoid(d.mean()).expand(d.shape)),
            "the mean difference was used for all pairs; each pair has its own",
        ),
        Misconception(
            "log-of-mean-probability",
            _of_difference(lambda d: -torch.log(torch.sigmoid(d).mean()).expand(d.shape)),
            "the probabilities were averaged before the logarithm; each pair has a likelihood of its own",
        ),
        Misconception(
            "batch-mean",
            lambda *args: reward_model_loss(*args).mean(),
            "one number for the whole batch; return one loss per pair, the training loop takes the mean",
        ),
        Misconception(
            "batch-sum",
            lambda *args: reward_model_loss(*args).sum(),
            "the losses were added up to one number; return one loss per pair",
        ),
        Misconception(
            "keepdim",
            lambda *args: reward_model_loss(*args).unsqueeze(-1),
            "the result has shape (B, 1); one value per pair, shape (B,), is wanted",
        ),
        Misconception(
            "log-of-sigmoid",
            _of_difference(lambda d: -torch.log(torch.sigmoid(d))),
            "for very negative differences sigmoid rounds to 0, whose logarithm is -infinity, and exp overflows (in "
            "F.soft_margin_loss too); torch has log σ as one function",
        ),
        Misconception(
            "ratio-of-powers",
            lambda w, v: -torch.log(torch.exp(w) / (torch.exp(w) + torch.exp(v))),
            "exp(1e4) is infinite, and infinity / infinity is nan; stay with the difference of the rewards",
        ),
        Misconception(
            "log-of-the-sum",
            lambda w, v: torch.log(torch.exp(w) + torch.exp(v)) - w,
            "exp(1e4) is infinite, and so is the logarithm of the sum; torch has log-sum-exp as one function",
        ),
        Misconception(
            "nan-replaced",
            _of_difference(lambda d: torch.nan_to_num(-torch.log(torch.sigmoid(d)))),
            "infinity was replaced by a number after the fact; keep it from arising",
        ),
        Misconception(
            "linear-softplus",
            _of_difference(lambda d: F.softplus(-d, threshold=5)),
            "log(1 + e^x) was taken for x itself where x is a little large (softplus has a threshold for that, 20 by "
            "default); at 6 that is off by 0.0025",
        ),
        *(
            Misconception(
                f"epsilon-{name}",
                _of_difference(lambda d, epsilon=epsilon: -torch.log(torch.sigmoid(d) + epsilon)),
                _EPSILON,
            )
            for name, epsilon in (("1e-10", 1e-10), ("1e-12", 1e-12))
        ),
        Misconception(
            "epsilon",
            _of_difference(lambda d: -torch.log(torch.sigmoid(d) + 1e-8)),
            _EPSILON,
        ),
        Misconception(
            "cross-entropy-of-probabilities",
            _of_difference(
                lambda d: F.binary_cross_entropy(torch.sigmoid(d), torch.ones_like(d), reduction="none")
            ),
            "the loss is capped at 100: a clamp does that, and so does F.binary_cross_entropy (there is a variant that "
            "takes logits)",
        ),
        Misconception(
            "clamped",
            _of_difference(lambda d: -F.logsigmoid(d.clamp(-50, 50))),
            "the difference is clamped: the loss of a very wrong pair is capped, and its gradient is gone",
        ),
        Misconception(
            "all-detached",
            lambda *args: reward_model_loss(*args).detach(),
            "no gradient reaches the rewards, so nothing would be trained",
        ),
        Misconception(
            "rejected-detached",
            lambda w, v: reward_model_loss(w, v.detach()),
            "no gradient reaches the reward of the rejected response; both are trained",
        ),
        Misconception(
            "chosen-detached",
            lambda w, v: reward_model_loss(w.detach(), v),
            "no gradient reaches the reward of the chosen response; both are trained",
        ),
        Misconception(
            "float32-only",
            lambda w, v: reward_model_loss(w.float(), v.float()),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "float64-always",
            lambda w, v: reward_model_loss(w.double(), v.double()),
            "the result is float64 whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "in-place",
            _rewards_in_place,
            "one of the inputs was overwritten (-= or an operation ending in _); make a new tensor",
        ),
    ),
    alternatives={
        "softplus": lambda chosen_rewards, rejected_rewards: F.softplus(rejected_rewards - chosen_rewards),
        "log-sum-exp": lambda chosen_rewards, rejected_rewards: (
            torch.logaddexp(chosen_rewards, rejected_rewards) - chosen_rewards
        ),
        "cross-entropy of two classes": _two_classes,
        "binary cross-entropy": _of_difference(
            lambda d: F.binary_cross_entropy_with_logits(d, torch.ones_like(d), reduction="none")
        ),
        "Bernoulli": _of_difference(
            lambda d: -torch.distributions.Bernoulli(logits=d).log_prob(torch.ones_like(d))
        ),
        "log-softmax over two rewards": lambda chosen_rewards, rejected_rewards: (
            -torch.stack([chosen_rewards, rejected_rewards]).log_softmax(0)[0]
        ),
        "piecewise": _of_difference(lambda d: (-d).clamp_min(0) + torch.log1p(torch.exp(-d.abs()))),
    },
    hints=(
        "Bradley-Terry: P(chosen ≻ rejected) is the sigmoid of the difference of the two rewards.",
        "The loss of a pair is the negative logarithm of the probability of what was observed.",
        "A sigmoid of -1e4 has rounded to 0; look for the torch function that is log σ as a whole.",
    ),
)

EXERCISES = (IPO_LOSS, SIMPO_LOSS, REWARD_MODEL_LOSS)
