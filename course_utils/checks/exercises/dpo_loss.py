"""02-dpo-from-scratch: the loss."""

import math

import torch
from torch.nn import functional as F

from course_utils.checks.cases import cast, form, gradient
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.losses import dpo_loss


def pair(chosen, rejected, ref_chosen, ref_rejected):
    numbers = (chosen, rejected, ref_chosen, ref_rejected)
    return tuple(torch.tensor([x], dtype=torch.float64) for x in numbers)


WORKED = pair(-12.0, -15.0, -13.0, -14.0)


def draw_logprobs(draw, batch):
    """Log-probabilities of a policy that has moved a few nats away from its reference."""
    ref_chosen, ref_rejected = draw.logprobs(batch), draw.logprobs(batch)
    return (
        ref_chosen + draw.normal(batch, scale=4.0),
        ref_rejected + draw.normal(batch, scale=4.0),
        ref_chosen,
        ref_rejected,
    )


def _loss_cases(draw):
    agreed = draw.logprobs(3), draw.logprobs(3)
    return [
        Case(WORKED, label="policy -12 and -15, reference -13 and -14"),
        Case(draw_logprobs(draw, 5), label="five pairs, beta left at its default"),
        Case(draw_logprobs(draw, 4), {"beta": 0.5}, "four pairs, beta=0.5"),
        Case((*draw_logprobs(draw, 1), 2.0), label="one pair, beta=2"),
        Case(agreed * 2, label="policy and reference agree"),
    ]


def _extreme_cases(draw):
    """Margins of about ±1e4, from the policy or from the reference."""
    cases = []
    for sign, word in ((1.0, "+1e4"), (-1.0, "-1e4")):
        chosen, rejected, ref_chosen, ref_rejected = draw_logprobs(draw, 3)
        rejected = rejected - sign * 1e4 * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
        ref_chosen = ref_chosen - sign * 1e4 * torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
        args = (chosen, rejected, ref_chosen, ref_rejected)
        cases += [
            Case(args, label=f"margins of {word}", grads=(0, 1)),
            Case(cast(args, torch.float32), label=f"margins of {word}, float32", grads=(0, 1)),
            Case(args, {"beta": 1.0}, f"margins of {word}, beta=1", grads=(0, 1)),
        ]
    return cases


def _policy_gradients(draw):
    return [
        Case(WORKED, label="policy -12 and -15, reference -13 and -14", grads=(0, 1)),
        Case(draw_logprobs(draw, 4), {"beta": 0.5}, "four pairs, beta=0.5", grads=(0, 1)),
    ]


def _reference_gradients(draw):
    return [
        Case(
            draw_logprobs(draw, 4),
            {"beta": 0.5},
            "gradient into the reference",
            grads=(0, 1),
            no_grads=(2, 3),
        )
    ]


def _of_logit(logit):
    """The loss -log σ of another logit."""

    def answer(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
        return -F.logsigmoid(
            logit(policy_chosen, policy_rejected, ref_chosen.detach(), ref_rejected.detach(), beta)
        )

    return answer


def _of_margin(loss):
    """Another function of beta · margin."""

    def answer(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
        margin = (policy_chosen - ref_chosen.detach()) - (policy_rejected - ref_rejected.detach())
        return loss(beta * margin)

    return answer


def _changed_in_place(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    with torch.no_grad():
        ref_chosen -= ref_rejected
    return -F.logsigmoid(beta * (policy_chosen - policy_rejected - ref_chosen.detach()))


def _binary_cross_entropy(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    with torch.no_grad():
        ref = ref_chosen - ref_rejected
    logits = beta * (policy_chosen - policy_rejected - ref)
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits), reduction="none")


DPO_LOSS = Exercise(
    id="dpo-loss",
    function="dpo_loss",
    reference=dpo_loss,
    parts=(
        Part("values", 3, _loss_cases),
        Part("stable for margins of ±1e4", 1, _extreme_cases, ("result", "gradient")),
        gradient(1, _policy_gradients, "gradient into the policy"),
        gradient(0.5, _reference_gradients, "no gradient into the reference"),
        form(0.5, lambda draw: draw_logprobs(draw, 3)),
    ),
    misconceptions=(
        Misconception(
            "no-reference",
            _of_logit(lambda c, r, rc, rr, beta: beta * (c - r)),
            "the reference is missing: what counts is how far the policy moved *from the reference*",
        ),
        Misconception(
            "swapped",
            _of_logit(lambda c, r, rc, rr, beta: -beta * ((c - rc) - (r - rr))),
            "the sign of the margin is turned: this loss falls when the *rejected* response becomes more likely",
        ),
        Misconception(
            "reference-added",
            _of_logit(lambda c, r, rc, rr, beta: beta * ((c + rc) - (r + rr))),
            "the reference's log-probabilities were added; log(π/π_ref) is a difference",
        ),
        Misconception(
            "rejected-reference-sign",
            _of_logit(lambda c, r, rc, rr, beta: beta * (c - r - rc - rr)),
            "the rejected reference has the wrong sign: each log-ratio is policy minus reference, and the second one "
            "is subtracted as a whole",
        ),
        Misconception(
            "log-of-the-quotient",
            _of_logit(lambda c, r, rc, rr, beta: beta * (torch.log(c / rc) - torch.log(r / rr))),
            "log-probabilities were divided and the logarithm taken again; they are logarithms already, and the log of "
            "a ratio is their difference",
        ),
        Misconception(
            "default-beta",
            lambda c, r, rc, rr, beta=1.0: dpo_loss(c, r, rc, rr, beta),
            "beta is 1 where none is passed; its default is 0.1",
        ),
        Misconception(
            "beta-missing",
            _of_logit(lambda c, r, rc, rr, beta: (c - rc) - (r - rr)),
            "beta does not appear; it multiplies the margin inside the sigmoid",
        ),
        Misconception(
            "beta-on-policy-only",
            _of_logit(lambda c, r, rc, rr, beta: beta * (c - r) - (rc - rr)),
            "beta multiplies the policy's part only; it belongs to the whole margin",
        ),
        Misconception(
            "beta-on-chosen-only",
            _of_logit(lambda c, r, rc, rr, beta: beta * (c - rc) - (r - rr)),
            "beta multiplies the log-ratio of the chosen response only; both are multiplied",
        ),
        Misconception(
            "divided-by-beta",
            _of_logit(lambda c, r, rc, rr, beta: ((c - rc) - (r - rr)) / beta),
            "the margin was divided by beta; the implicit reward is beta *times* the log-ratio",
        ),
        Misconception(
            "beta-twice",
            _of_logit(lambda c, r, rc, rr, beta: beta * beta * ((c - rc) - (r - rr))),
            "beta is applied twice",
        ),
        Misconception(
            "beta-outside",
            lambda c, r, rc, rr, beta=0.1: -beta * F.logsigmoid((c - rc.detach()) - (r - rr.detach())),
            "beta multiplies the loss; it belongs inside the sigmoid",
        ),
        Misconception(
            "beta-fixed",
            lambda c, r, rc, rr, beta=0.1: dpo_loss(c, r, rc, rr, 0.1),
            "beta is always 0.1 here, whatever is passed",
        ),
        Misconception(
            "chosen-only",
            _of_logit(lambda c, r, rc, rr, beta: beta * (c - rc)),
            "only the chosen response appears; the loss compares it with the rejected one",
        ),
        Misconception(
            "two-terms",
            lambda c, r, rc, rr, beta=0.1: (
                -F.logsigmoid(beta * (c - rc.detach())) - F.logsigmoid(-beta * (r - rr.detach()))
            ),
            "each response has a sigmoid of its own; there is one, of the difference of the two rewards",
        ),
        Misconception(
            "no-logarithm",
            _of_margin(lambda x: torch.sigmoid(-x)),
            "this is 1 - σ, the probability of the other order; the loss is the negative *logarithm* of σ",
        ),
        Misconception(
            "probability",
            _of_margin(torch.sigmoid),
            "this is the probability that the chosen response wins; the loss is its negative logarithm",
        ),
        Misconception(
            "sign",
            _of_margin(F.logsigmoid),
            "the minus in front is missing: a descent on this would make the policy worse",
        ),
        Misconception(
            "log-base-2",
            _of_margin(lambda x: -F.logsigmoid(x) / math.log(2.0)),
            "this is a logarithm to base 2; the course uses natural ones",
        ),
        Misconception(
            "hinge",
            _of_margin(lambda x: F.relu(1 - x)),
            "this is the hinge loss; DPO has -log σ of the same margin",
        ),
        Misconception(
            "squared",
            lambda c, r, rc, rr, beta=0.1: ((c - rc.detach()) - (r - rr.detach()) - 1 / (2 * beta)) ** 2,
            "this is IPO's squared loss; DPO has -log σ(β · margin)",
        ),
        Misconception(
            "batch-mean",
            lambda *args, **kwargs: dpo_loss(*args, **kwargs).mean(),
            "one number for the whole batch; return one loss per pair, the training loop takes the mean",
        ),
        Misconception(
            "batch-sum",
            lambda *args, **kwargs: dpo_loss(*args, **kwargs).sum(),
            "the losses were added up to one number; return one loss per pair",
        ),
        Misconception(
            "keepdim",
            lambda *args, **kwargs: dpo_loss(*args, **kwargs).unsqueeze(-1),
            "the result has shape (B, 1); one value per pair, shape (B,), is wanted",
        ),
        Misconception(
            "log-of-sigmoid",
            _of_margin(lambda x: -torch.log(torch.sigmoid(x))),
            "for very negative margins sigmoid rounds to 0, whose logarithm is -infinity (and exp overflows); "
            "torch has log σ as one function",
        ),
        Misconception(
            "epsilon",
            _of_margin(lambda x: -torch.log(torch.sigmoid(x) + 1e-8)),
            "an epsilon inside the logarithm hides the underflow, but caps the loss and loses the gradient where it "
            "matters most",
        ),
        Misconception(
            "clamped",
            _of_margin(lambda x: -F.logsigmoid(x.clamp(-50, 50))),
            "the margin is clamped: the loss of a very wrong pair is capped, and its gradient is gone",
        ),
        Misconception(
            "reference-gradient",
            lambda c, r, rc, rr, beta=0.1: -F.logsigmoid(beta * ((c - rc) - (r - rr))),
            "the value is right, but a gradient flows into the reference, which is meant to stay fixed",
        ),
        Misconception(
            "all-detached",
            lambda *args, **kwargs: dpo_loss(*args, **kwargs).detach(),
            "no gradient reaches the policy, so nothing would be trained",
        ),
        Misconception(
            "rejected-detached",
            lambda c, r, rc, rr, beta=0.1: dpo_loss(c, r.detach(), rc, rr, beta),
            "no gradient reaches the policy's log-probability of the rejected response; both are trained",
        ),
        Misconception(
            "float32-only",
            lambda c, r, rc, rr, beta=0.1: dpo_loss(c.float(), r.float(), rc.float(), rr.float(), beta),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "in-place",
            _changed_in_place,
            "one of the inputs was overwritten (-= or an operation ending in _); make a new tensor",
        ),
    ),
    alternatives={
        "by model": lambda policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1: (
            -F.logsigmoid(beta * ((policy_chosen - policy_rejected) - (ref_chosen - ref_rejected).detach()))
        ),
        "softplus": lambda policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1: F.softplus(
            beta * (policy_rejected - ref_rejected.detach()) - beta * (policy_chosen - ref_chosen.detach())
        ),
        "logaddexp": _of_margin(lambda x: torch.logaddexp(torch.zeros_like(x), -x)),
        "binary cross-entropy": _binary_cross_entropy,
        "log-softmax over two rewards": lambda policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1: (
            -torch.stack(
                [
                    beta * (policy_chosen - ref_chosen.detach()),
                    beta * (policy_rejected - ref_rejected.detach()),
                ]
            ).log_softmax(0)[0]
        ),
        "loop": lambda policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1: torch.stack(
            [
                -F.logsigmoid(beta * ((c - rc) - (r - rr)))
                for c, r, rc, rr in zip(
                    policy_chosen, policy_rejected, ref_chosen.detach(), ref_rejected.detach(), strict=True
                )
            ]
        ),
    },
    hints=(
        "Two log-ratios, chosen and rejected, each policy minus reference. The margin is their difference.",
        "-log σ(β · margin). For very negative margins sigmoid rounds to 0: look for the function that is log σ as a whole.",
        "The reference is a constant here: .detach() its log-probabilities before they enter the margin.",
    ),
)
