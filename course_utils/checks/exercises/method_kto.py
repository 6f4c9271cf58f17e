"""03-method-comparison: KTO, its reference point and its loss."""

import math

import torch
from torch.nn import functional as F

from course_utils.checks.cases import cast, form, gradient
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.losses import kto_loss, kto_reference_point


def _column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


# --- kto-reference-point ---------------------------------------------------------------------


def _mismatched(draw, batch, mean):
    """Log-probabilities of mismatched responses whose log-ratios have this mean, and both signs if batch > 1."""
    ref = draw.logprobs(batch)
    spread = draw.normal(batch, scale=3.0)
    if batch > 1:  # one far above and one far below, whatever was drawn; neither is the first
        spread[1], spread[-1] = 4.0 + abs(mean), -4.0 - 1.5 * abs(mean)
    return ref + spread - spread.mean() + mean, ref


def _point_cases(draw):
    high, low = draw.uniform(0.5, 2.5), draw.uniform(-2.5, -0.5)
    return [
        Case((_column(-10.0, -12.0), _column(-13.0, -13.0)), label="log-ratios 3 and 1"),
        Case((_column(-17.0, -12.0), _column(-13.0, -13.0)), label="log-ratios -4 and 1"),
        Case(_mismatched(draw, 5, high), label="five pairs, mean above 0"),
        Case(_mismatched(draw, 7, low), label="seven pairs, mean below 0"),
        Case(_mismatched(draw, 4, 0.2), label="four pairs, mean a little above 0"),
        Case(_mismatched(draw, 1, 1.5), label="one pair"),
        Case(_mismatched(draw, 6, 12.0), label="six pairs, far from the reference"),
    ]


def _point_no_gradients(draw):
    return [
        Case((_column(-10.0, -12.0), _column(-13.0, -13.0)), label="log-ratios 3 and 1", no_grads=(0, 1)),
        Case(_mismatched(draw, 4, 1.0), label="four pairs", no_grads=(0, 1)),
    ]


def _point_forms(draw):
    """Both dtypes, with a mean above 0 and with one below it, where the clamp acts."""
    return [
        Case(cast(_mismatched(draw, 4, mean), dtype), label=f"{name}, mean {word} 0")
        for mean, word in ((1.0, "above"), (-1.0, "below"))
        for dtype, name in ((torch.float32, "float32"), (torch.float64, "float64"))
    ]


def _of_ratios(point):
    """Another function of the log-ratios."""

    def answer(policy_kl_logp, ref_kl_logp):
        return point((policy_kl_logp - ref_kl_logp).detach())

    return answer


def _point_in_place(policy_kl_logp, ref_kl_logp):
    with torch.no_grad():
        policy_kl_logp -= ref_kl_logp
        return policy_kl_logp.mean().clamp(min=0)


def _point_numpy(policy_kl_logp, ref_kl_logp):
    ratios = policy_kl_logp.detach().numpy() - ref_kl_logp.detach().numpy()
    return torch.tensor(max(ratios.mean(), 0.0), dtype=policy_kl_logp.dtype)


def _point_loop(policy_kl_logp, ref_kl_logp):
    total = 0.0
    for p, r in zip(policy_kl_logp.tolist(), ref_kl_logp.tolist(), strict=True):
        total += p - r
    mean = total / len(policy_kl_logp)
    return policy_kl_logp.new_tensor(mean if mean > 0 else 0.0)


@torch.no_grad()
def _point_no_grad(policy_kl_logp, ref_kl_logp):
    return F.relu(policy_kl_logp.mean() - ref_kl_logp.mean())


KTO_REFERENCE_POINT = Exercise(
    id="kto-reference-point",
    function="kto_reference_point",
    reference=kto_reference_point,
    parts=(
        Part("values", 2, _point_cases),
        gradient(0.5, _point_no_gradients, "no gradient"),
        Part("dtype kept, inputs unchanged", 0.5, _point_forms, ("dtype", "inputs")),
    ),
    misconceptions=(
        Misconception(
            "not-clamped",
            _of_ratios(lambda d: d.mean()),
            "a mean below 0 is returned as it is; a KL divergence cannot be negative, so the estimate is clamped at 0",
        ),
        Misconception(
            "clamped-one-by-one",
            _of_ratios(lambda d: d.clamp(min=0).mean()),
            "each log-ratio is clamped before the mean, which pushes the estimate up; only the mean is clamped",
        ),
        Misconception(
            "clamped-one-by-one-summed",
            _of_ratios(lambda d: d.clamp(min=0).sum()),
            "each log-ratio is clamped, and they are summed; the clamp comes after, and the estimate is a mean",
        ),
        Misconception(
            "absolute-mean",
            _of_ratios(lambda d: d.mean().abs()),
            "the sign of a negative mean is turned; it should become 0",
        ),
        Misconception(
            "mean-of-absolutes",
            _of_ratios(lambda d: d.abs().mean()),
            "the log-ratios lost their signs before the mean; positive and negative ones must cancel",
        ),
        Misconception(
            "sum",
            _of_ratios(lambda d: d.sum().clamp(min=0)),
            "the log-ratios were summed; the estimate is their mean, or it would grow with the batch",
        ),
        Misconception(
            "zero",
            _of_ratios(lambda d: 0 * d.mean()),
            "the result is 0 for every batch: log-probabilities are negative, so without the reference subtracted "
            "their mean is "
            "always cut off",
        ),
        Misconception(
            "exchanged",
            _of_ratios(lambda d: (-d.mean()).clamp(min=0)),
            "reference minus policy: this estimates with the sign turned; the log-ratio is log π - log π_ref",
        ),
        Misconception(
            "clamped-above",
            _of_ratios(lambda d: d.mean().clamp(max=0)),
            "the clamp keeps the negative side (max=0); the smallest value allowed is 0",
        ),
        Misconception(
            "clamped-at-one",
            _of_ratios(lambda d: d.mean().clamp(0, 1)),
            "the mean is cut off at 1 as well; there is no upper limit",
        ),
        Misconception(
            "clamped-epsilon",
            _of_ratios(lambda d: d.mean().clamp(min=1e-2)),
            "the smallest value allowed is not 0 here; clamp at 0 exactly",
        ),
        Misconception(
            "softplus",
            _of_ratios(lambda d: F.softplus(d.mean())),
            "softplus bends the estimate everywhere; a clamp leaves a positive mean as it is",
        ),
        Misconception(
            "beta-units",
            _of_ratios(lambda d: (0.1 * d.mean()).clamp(min=0)),
            "the mean was multiplied by beta; the loss does that, the reference point is in units of the log-ratio",
        ),
        Misconception(
            "log-of-the-quotient",
            lambda p, r: torch.log(p / r).detach().mean().clamp(min=0),
            "log-probabilities were divided and the logarithm taken again; they are logarithms already",
        ),
        Misconception(
            "ratio",
            _of_ratios(lambda d: d.exp().mean().clamp(min=0)),
            "ratios of probabilities were averaged; the mean is of their *logarithms*",
        ),
        Misconception(
            "log-of-mean-ratio",
            _of_ratios(lambda d: (torch.logsumexp(d, 0) - math.log(len(d))).clamp(min=0)),
            "the ratios were averaged before the logarithm; the mean is of the log-ratios",
        ),
        Misconception(
            "weighted",
            lambda p, r: (p.exp() * (p - r)).detach().sum().clamp(min=0),
            "the log-ratios were weighted by probabilities, as in an exact KL; here they are samples, each counts the "
            "same",
        ),
        Misconception(
            "weighted-mean",
            lambda p, r: (p.exp() * (p - r)).detach().mean().clamp(min=0),
            "the log-ratios were weighted by probabilities, as in an exact KL; here they are samples, each counts the "
            "same",
        ),
        Misconception(
            "k3",
            _of_ratios(lambda d: (torch.exp(-d) - 1 + d).mean().clamp(min=0)),
            "this is another estimator of the KL (k3); KTO takes the plain mean of the log-ratios",
        ),
        Misconception(
            "k2",
            _of_ratios(lambda d: (d**2 / 2).mean().clamp(min=0)),
            "this is another estimator of the KL (k2, half the squares); KTO takes the plain mean of the log-ratios",
        ),
        Misconception(
            "median",
            _of_ratios(lambda d: d.median().clamp(min=0)),
            "this is the median; the mean is wanted",
        ),
        Misconception(
            "maximum",
            _of_ratios(lambda d: d.max().clamp(min=0)),
            "this is the largest log-ratio; their mean is wanted",
        ),
        Misconception(
            "first",
            _of_ratios(lambda d: d[0].clamp(min=0)),
            "only the first pair was used; the mean runs over the batch",
        ),
        Misconception(
            "last-left-out",
            _of_ratios(lambda d: d[: max(1, len(d) - 1)].mean().clamp(min=0)),
            "the last pair was left out; the log-probabilities given are of mismatched pairs already, all of them count",
        ),
        Misconception(
            "shifted-against-reference",
            lambda p, r: (p - r.roll(1)).clamp(min=0).detach().mean(),
            "policy and reference were shifted against each other; the pairs come mismatched already, and both models "
            "scored the same ones",
        ),
        Misconception(
            "divided-by-n-minus-1",
            _of_ratios(lambda d: (d.sum() / max(1, len(d) - 1)).clamp(min=0)),
            "the sum was divided by n - 1; a mean divides by n",
        ),
        Misconception(
            "standardised",
            _of_ratios(lambda d: (d.mean() / (d.std(unbiased=False) + 1e-8)).clamp(min=0)),
            "the mean was divided by the standard deviation; it is wanted as it is",
        ),
        Misconception(
            "one-per-example",
            _of_ratios(lambda d: d.clamp(min=0)),
            "there is still one value per pair; the reference point is one number for the batch",
        ),
        Misconception(
            "repeated",
            _of_ratios(lambda d: d.mean().clamp(min=0).expand(d.shape)),
            "the number is repeated for every pair; a tensor without dimensions is wanted",
        ),
        Misconception(
            "keepdim",
            _of_ratios(lambda d: d.mean(0, keepdim=True).clamp(min=0)),
            "the result has shape (1,); a tensor without dimensions is wanted",
        ),
        Misconception(
            "python-float",
            _of_ratios(lambda d: d.mean().clamp(min=0).item()),
            "this is a Python float; return a tensor without dimensions, which stays on its device",
        ),
        Misconception(
            "gradient-flows",
            lambda p, r: (p - r).mean().clamp(min=0),
            "the value is right, but a gradient flows: the reference point is a yardstick and must not be trained",
        ),
        Misconception(
            "gradient-into-policy",
            lambda p, r: (p - r.detach()).mean().clamp(min=0),
            "the reference is cut off, but a gradient still flows into the policy: the reference point must not be "
            "trained",
        ),
        Misconception(
            "gradient-into-reference",
            lambda p, r: (p.detach() - r).mean().clamp(min=0),
            "the policy is cut off, but a gradient still flows into the reference",
        ),
        Misconception(
            "float32-only",
            lambda p, r: kto_reference_point(p.float(), r.float()),
            "the result is float32 whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "zero-of-its-own-dtype",
            _of_ratios(lambda d: max(torch.tensor(0.0), d.mean())),
            "where the mean is below 0 the result is a new zero, in float32 whatever came in; make it from the mean "
            "(zeros_like), or clamp",
        ),
        Misconception(
            "zero-in-float64",
            _of_ratios(lambda d: max(torch.tensor(0.0, dtype=torch.float64), d.mean())),
            "where the mean is below 0 the result is a new zero, in float64 whatever came in; make it from the mean "
            "(zeros_like), or clamp",
        ),
        Misconception(
            "float64-always",
            lambda p, r: kto_reference_point(p.double(), r.double()),
            "the result is float64 whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "in-place",
            _point_in_place,
            "one of the inputs was overwritten (-= or an operation ending in _); make a new tensor",
        ),
    ),
    alternatives={
        "relu under no_grad": _point_no_grad,
        "maximum with zero": lambda policy_kl_logp, ref_kl_logp: torch.maximum(
            torch.mean(policy_kl_logp - ref_kl_logp), torch.zeros((), dtype=policy_kl_logp.dtype)
        ).detach(),
        "numpy": _point_numpy,
        "loop over floats": _point_loop,
        "Python's max": lambda policy_kl_logp, ref_kl_logp: max(
            (mean := (policy_kl_logp.detach() - ref_kl_logp.detach()).mean()), torch.zeros_like(mean)
        ),
        "dot product": lambda policy_kl_logp, ref_kl_logp: torch.where(
            (
                mean := torch.full_like(policy_kl_logp, 1 / len(policy_kl_logp))
                @ (policy_kl_logp - ref_kl_logp).data
            )
            > 0,
            mean,
            0.0,
        ),
    },
    hints=(
        "Policy minus reference, pair by pair; then one number for the batch.",
        "The mean may come out below 0, a KL divergence never does. Where does the clamp go: before the mean, or after?",
        "No gradient is to flow: .detach() the result, or compute it under torch.no_grad().",
    ),
)


# --- kto-loss --------------------------------------------------------------------------------


def _bools(*values):
    return torch.tensor(values, dtype=torch.bool)


def _votes(draw, desirable, spread=4.0):
    """The arguments up to the reference point: a policy some nats away from its reference."""
    ref = draw.logprobs(len(desirable))
    point = torch.tensor(draw.uniform(0.7, 3.0), dtype=torch.float64)
    return ref + draw.normal(len(desirable), scale=spread), ref, _bools(*desirable), point


WORKED = (
    _column(-10.0, -12.0),
    _column(-12.0, -13.0),
    _bools(True, False),
    torch.tensor(2.0, dtype=torch.float64),
)
AT_ZERO = (*WORKED[:3], torch.tensor(0.0, dtype=torch.float64))
MIXED = (False, True, True, False, True, False)


# log-ratios 60, 60, -60, -60 and 10, 10 of each kind; z0 = 12
FAR = (
    _column(-10.0, -10.0, -70.0, -70.0, -20.0, -20.0),
    _column(-70.0, -70.0, -10.0, -10.0, -30.0, -30.0),
    _bools(True, False, True, False, True, False),
    torch.tensor(12.0, dtype=torch.float64),
)


def _kto_cases(draw):
    return [
        Case(WORKED, {"beta": 0.5}, "log-ratios 2 (desirable) and 1 (undesirable), z0=2, beta=0.5"),
        Case(AT_ZERO, {"beta": 0.5}, "the same, z0=0"),
        Case(_votes(draw, MIXED), label="six examples, beta left at its default"),
        Case(_votes(draw, (True, False, False, True, False)), {"beta": 0.5}, "five examples, beta=0.5"),
        Case((*_votes(draw, (False, False, True)), 2.0), label="three examples, beta=2"),
        Case(FAR, {"beta": 0.5}, "log-ratios 60, -60 and 10 of each kind, z0=12, beta=0.5"),
    ]


def _weighted_cases(draw):
    both = {"beta": 0.5, "desirable_weight": 1.2, "undesirable_weight": 0.7}
    return [
        Case(WORKED, {"beta": 0.5, "undesirable_weight": 1.5}, "undesirable_weight=1.5"),
        Case(_votes(draw, MIXED), {"desirable_weight": 1.33}, "six examples, desirable_weight=1.33"),
        Case(_votes(draw, MIXED), both, "six examples, both weights, beta=0.5"),
        Case((*_votes(draw, MIXED), 0.3, 0.6, 1.8), label="six examples, all arguments by position"),
    ]


def _alike_cases(draw):
    weights = {"beta": 0.5, "desirable_weight": 1.2, "undesirable_weight": 0.7}
    return [
        Case(_votes(draw, [True] * 4), {"beta": 0.5}, "four examples, all desirable"),
        Case(_votes(draw, [False] * 4), {"beta": 0.5}, "four examples, none desirable"),
        Case(_votes(draw, [True]), label="one example, desirable"),
        Case(_votes(draw, [False]), label="one example, undesirable"),
        Case(_votes(draw, [True] * 3), weights, "three examples, all desirable, weights", grads=(0,)),
        Case(_votes(draw, [False] * 3), weights, "three examples, none desirable, weights", grads=(0,)),
    ]


def _kto_gradients(draw):
    weights = {"beta": 0.5, "desirable_weight": 1.2, "undesirable_weight": 0.7}
    return [
        Case(WORKED, {"beta": 0.5}, "log-ratios 2 and 1, z0=2, beta=0.5", grads=(0,)),
        Case(_votes(draw, MIXED), label="six examples", grads=(0,)),
        Case(_votes(draw, MIXED), weights, "six examples, weights", grads=(0,)),
    ]


def _point_gradients(draw):
    return [
        Case(_votes(draw, MIXED), {"beta": 0.5}, "gradient into reference_point", grads=(0,), no_grads=(3,)),
        Case(_votes(draw, (True, True)), label="gradient into reference_point", grads=(0,), no_grads=(3,)),
    ]


def _kto(desirable_loss, undesirable_loss=None):
    """The loss from another formula, in (log-ratio, z0, beta, weight), for each kind of example."""
    undesirable_loss = undesirable_loss or desirable_loss

    def answer(
        policy_logp,
        ref_logp,
        desirable,
        reference_point,
        beta=0.1,
        desirable_weight=1.0,
        undesirable_weight=1.0,
    ):
        ratio, z0 = policy_logp - ref_logp.detach(), reference_point.detach()
        return torch.where(
            desirable,
            desirable_loss(ratio, z0, beta, desirable_weight),
            undesirable_loss(ratio, z0, beta, undesirable_weight),
        )

    return answer


def _kto_both(value):
    """The right case distinction with another function of s = ±β(log-ratio - z0) and the weight."""
    return _kto(
        lambda d, z, beta, w: value(beta * (d - z), w), lambda d, z, beta, w: value(beta * (z - d), w)
    )


def _kto_shift(shifted):
    """The right loss of another (log-ratio, z0, beta) -> β(log-ratio - z0)."""
    return _kto(
        lambda d, z, beta, w: w * torch.sigmoid(-shifted(d, z, beta)),
        lambda d, z, beta, w: w * torch.sigmoid(shifted(d, z, beta)),
    )


def _with(change):
    """The right loss of other arguments: `change` maps the full list to another."""

    def answer(
        policy_logp,
        ref_logp,
        desirable,
        reference_point,
        beta=0.1,
        desirable_weight=1.0,
        undesirable_weight=1.0,
    ):
        args = (policy_logp, ref_logp, desirable, reference_point, beta, desirable_weight, undesirable_weight)
        return kto_loss(*change(*args))

    return answer


def _kto_afterwards(change):
    """The right loss, changed by (losses, desirable)."""
    return lambda p, r, desirable, *args, **kwargs: change(
        kto_loss(p, r, desirable, *args, **kwargs), desirable
    )


def _other_class(p, r, desirable, z0, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0):
    d = p - r.detach()
    good = desirable_weight * (1 - torch.sigmoid(beta * (d - d[~desirable].mean().detach().clamp(min=0))))
    bad = undesirable_weight * (1 - torch.sigmoid(beta * (d[desirable].mean().detach().clamp(min=0) - d)))
    return torch.where(desirable, good, bad)


def _with_losses(change):
    """The right loss, changed by (losses, desirable weight, undesirable weight)."""

    def answer(p, r, desirable, z0, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0):
        loss = kto_loss(p, r, desirable, z0, beta, desirable_weight, undesirable_weight)
        return change(loss, desirable_weight, undesirable_weight)

    return answer


def _divided_by_weights(p, r, desirable, z0, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0):
    loss = kto_loss(p, r, desirable, z0, beta, desirable_weight, undesirable_weight)
    weights = desirable * desirable_weight + ~desirable * undesirable_weight
    return loss * len(loss) / weights.sum()


def _class_balanced(loss, desirable):
    counts = torch.where(desirable, desirable.sum(), (~desirable).sum())
    return loss / counts


def _kto_in_place(p, r, *args, **kwargs):
    with torch.no_grad():
        r.neg_()
    return kto_loss(p, -r, *args, **kwargs)


def _kto_signs(p, r, desirable, z0, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0):
    sign = 2 * desirable.to(p.dtype) - 1
    weight = undesirable_weight + (desirable_weight - undesirable_weight) * desirable.to(p.dtype)
    return weight - weight * torch.sigmoid(sign * beta * (p - r - z0.detach()))


def _kto_index(
    policy_logp,
    ref_logp,
    desirable,
    reference_point,
    beta=0.1,
    desirable_weight=1.0,
    undesirable_weight=1.0,
):
    rewards = beta * (policy_logp - ref_logp.detach())
    z0 = beta * reference_point.detach()
    losses = torch.empty_like(rewards)
    losses[desirable] = desirable_weight * (1 - torch.sigmoid(rewards[desirable] - z0))
    losses[~desirable] = undesirable_weight * (1 - torch.sigmoid(z0 - rewards[~desirable]))
    return losses


def _kto_loop(
    policy_logp,
    ref_logp,
    desirable,
    reference_point,
    beta=0.1,
    desirable_weight=1.0,
    undesirable_weight=1.0,
):
    z0, losses = float(reference_point), []
    for p, r, good in zip(policy_logp, ref_logp, desirable.tolist(), strict=True):
        if good:
            losses.append(desirable_weight - desirable_weight * torch.sigmoid(beta * (p - r - z0)))
        else:
            losses.append(undesirable_weight - undesirable_weight * torch.sigmoid(beta * (z0 - (p - r))))
    return torch.stack(losses)


def _kto_gather(
    policy_logp,
    ref_logp,
    desirable,
    reference_point,
    beta=0.1,
    desirable_weight=1.0,
    undesirable_weight=1.0,
):
    x = beta * (policy_logp - ref_logp - reference_point.item())
    table = torch.stack([undesirable_weight * torch.sigmoid(x), desirable_weight * torch.sigmoid(-x)], dim=1)
    return table.gather(1, desirable.long().unsqueeze(1)).squeeze(1)


_BOUNDED = "a log-ratio far from z0 was clamped; the sigmoid saturates by itself, and no later than it should"

KTO_LOSS = Exercise(
    id="kto-loss",
    function="kto_loss",
    reference=kto_loss,
    parts=(
        Part("values", 2.5, _kto_cases),
        Part("weights", 1, _weighted_cases),
        Part("batches of one kind", 0.5, _alike_cases, ("result", "gradient")),
        gradient(1, _kto_gradients, "gradient into the policy"),
        gradient(0.5, _point_gradients, "no gradient into the reference point"),
        form(0.5, lambda draw: _votes(draw, MIXED)),
    ),
    misconceptions=(
        Misconception(
            "no-reference-point",
            _kto_shift(lambda d, z, beta: beta * d),
            "the reference point is missing: gains and losses are measured from z0, not from 0",
        ),
        Misconception(
            "reference-point-added",
            _kto_shift(lambda d, z, beta: beta * (d + z)),
            "z0 was added; a gain is what lies *above* the reference point",
        ),
        Misconception(
            "reference-point-sign-undesirable",
            _kto(
                lambda d, z, beta, w: w * torch.sigmoid(-beta * (d - z)),
                lambda d, z, beta, w: w * torch.sigmoid(beta * (d + z)),
            ),
            "for the undesirable the log-ratio changed its sign, but z0 did not: the whole bracket is turned",
        ),
        Misconception(
            "reference-point-without-beta",
            _kto_shift(lambda d, z, beta: beta * d - z),
            "beta multiplies the log-ratio only; z0 comes in the same units and is multiplied as well",
        ),
        Misconception(
            "beta-twice-on-reference-point",
            _kto_shift(lambda d, z, beta: beta * d - beta * beta * z),
            "beta multiplies z0 twice; it is applied once, to the whole bracket",
        ),
        Misconception(
            "beta-twice",
            _kto_shift(lambda d, z, beta: beta * beta * (d - z)),
            "beta is applied twice; version 1 of the paper holds it in r and z0, here it stands outside, once",
        ),
        Misconception(
            "default-beta",
            lambda p, r, y, z, beta=1.0, *args, **kwargs: kto_loss(p, r, y, z, beta, *args, **kwargs),
            "beta is 1 where none is passed; its default is 0.1",
        ),
        Misconception(
            "beta-missing",
            _kto_shift(lambda d, z, beta: d - z),
            "beta does not appear; it says how fast the value saturates",
        ),
        Misconception(
            "divided-by-beta",
            _kto_shift(lambda d, z, beta: (d - z) / beta),
            "the bracket was divided by beta; it is multiplied",
        ),
        Misconception(
            "beta-outside",
            _kto(
                lambda d, z, beta, w: beta * w * torch.sigmoid(z - d),
                lambda d, z, beta, w: beta * w * torch.sigmoid(d - z),
            ),
            "beta multiplies the loss; it belongs inside the sigmoid",
        ),
        Misconception(
            "beta-fixed",
            _with(lambda p, r, y, z, beta, wd, wu: (p, r, y, z, 0.1, wd, wu)),
            "beta is always 0.1 here, whatever is passed",
        ),
        Misconception(
            "reference-point-for-desirable-only",
            _kto(
                lambda d, z, beta, w: w * torch.sigmoid(-beta * (d - z)),
                lambda d, z, beta, w: w * torch.sigmoid(beta * d),
            ),
            "for the undesirable the reference point is missing; both kinds are measured from z0",
        ),
        Misconception(
            "reference-point-for-undesirable-only",
            _kto(
                lambda d, z, beta, w: w * torch.sigmoid(-beta * d),
                lambda d, z, beta, w: w * torch.sigmoid(beta * (d - z)),
            ),
            "for the desirable the reference point is missing; both kinds are measured from z0",
        ),
        Misconception(
            "bool-subtracted",
            _kto_afterwards(lambda loss, y: (1 - y) * loss),
            "`1 - desirable` is not defined for a bool tensor; ~desirable turns it round",
        ),
        Misconception(
            "bool-negated",
            _kto_afterwards(lambda loss, y: -y * loss),
            "a minus in front of a bool tensor is not defined; ~desirable turns it round",
        ),
        Misconception(
            "if-desirable",
            _kto_afterwards(lambda loss, y: loss if y else -loss),
            "a Python `if` asks for one truth value, and `desirable` has one per example; torch.where chooses example "
            "by example",
        ),
        Misconception(
            "undesirable-same-sign",
            _kto(lambda d, z, beta, w: w * torch.sigmoid(-beta * (d - z))),
            "the undesirable are treated like the desirable: their loss must *rise* with the log-ratio",
        ),
        Misconception(
            "kinds-exchanged",
            _kto_both(lambda s, w: w * torch.sigmoid(s)),
            "the loss rises where it should fall: the value itself was returned, or the two kinds (or the signs) are "
            "exchanged; a desirable response far above z0 must cost little",
        ),
        Misconception(
            "desirable-as-number",
            _kto(
                lambda d, z, beta, w: w - w * torch.sigmoid(beta * (d - z)),
                lambda d, z, beta, w: w - w * torch.sigmoid(0 * d),
            ),
            "`desirable` was multiplied in as 1 or 0, so an undesirable example always has σ(0); its sign must be minus",
        ),
        Misconception(
            "undesirable-ignored",
            _kto(lambda d, z, beta, w: w * torch.sigmoid(-beta * (d - z)), lambda d, z, beta, w: 0 * d),
            "the undesirable have a loss of 0 here; they teach the policy too",
        ),
        Misconception(
            "desirable-as-index",
            lambda p, r, y, *args, **kwargs: kto_loss(p, r, y, *args, **kwargs)[y.long()],
            "`desirable` was used as numbers 0 and 1, which pick the first two examples; a bool tensor is a mask",
        ),
        Misconception(
            "order-lost",
            _kto_afterwards(lambda loss, y: torch.cat([loss[y], loss[~y]])),
            "the desirable come first, then the others: the losses must stand in the order of the batch",
        ),
        Misconception(
            "order-lost-undesirable-first",
            _kto_afterwards(lambda loss, y: torch.cat([loss[~y], loss[y]])),
            "the undesirable come first, then the others: the losses must stand in the order of the batch",
        ),
        Misconception(
            "log-sigmoid",
            _kto_both(lambda s, w: -w * F.logsigmoid(s)),
            "this is -log σ, as in DPO (and in BCO); KTO's value is σ itself, which saturates on both sides",
        ),
        Misconception(
            "negative-value",
            _kto_both(lambda s, w: -w * torch.sigmoid(s)),
            "the constant λ is missing in front; the gradient is the same, but the loss is then below 0",
        ),
        Misconception(
            "one-minus-value",
            _kto_both(lambda s, w: 1 - w * torch.sigmoid(s)),
            "the constant in front is 1 here, whatever the weight; it is λ, the weight of the example's kind",
        ),
        Misconception(
            "weight-on-constant-only",
            _kto_both(lambda s, w: w - torch.sigmoid(s)),
            "the weight stands in front only; λ multiplies the value as well",
        ),
        Misconception(
            "no-sigmoid",
            _kto_both(lambda s, w: w * (1 - s)),
            "the sigmoid is missing: the value must saturate for very good and very bad responses",
        ),
        Misconception(
            "tanh",
            _kto_both(lambda s, w: w * (1 - torch.tanh(s))),
            "this is tanh, which goes from -1 to 1; KTO's value is a logistic sigmoid",
        ),
        Misconception(
            "hinge",
            _kto_both(lambda s, w: w * F.relu(1 - s)),
            "this is a hinge; KTO's value is a logistic sigmoid",
        ),
        Misconception(
            "squared",
            _kto_both(lambda s, w: w * torch.sigmoid(-s) ** 2),
            "1 - σ was squared; it enters as it is",
        ),
        Misconception(
            "weights-exchanged",
            _with(lambda p, r, y, z, beta, wd, wu: (p, r, y, z, beta, wu, wd)),
            "the weights changed places: desirable_weight goes with the desirable",
        ),
        Misconception(
            "weights-ignored",
            _with(lambda p, r, y, z, beta, wd, wu: (p, r, y, z, beta, 1.0, 1.0)),
            "the weights do not appear; each kind of example is multiplied by its own",
        ),
        Misconception(
            "one-weight-for-all",
            _with(lambda p, r, y, z, beta, wd, wu: (p, r, y, z, beta, wd, wd)),
            "desirable_weight is used for all examples; the undesirable have a weight of their own",
        ),
        Misconception(
            "undesirable-weight-ignored",
            _with(lambda p, r, y, z, beta, wd, wu: (p, r, y, z, beta, wd, 1.0)),
            "undesirable_weight is not used",
        ),
        Misconception(
            "desirable-weight-ignored",
            _with(lambda p, r, y, z, beta, wd, wu: (p, r, y, z, beta, 1.0, wu)),
            "desirable_weight is not used",
        ),
        Misconception(
            "weights-inside",
            _kto(
                lambda d, z, beta, w: torch.sigmoid(-w * beta * (d - z)),
                lambda d, z, beta, w: torch.sigmoid(w * beta * (d - z)),
            ),
            "the weight multiplies inside the sigmoid; λ stands outside",
        ),
        Misconception(
            "weights-squared",
            _with(lambda p, r, y, z, beta, wd, wu: (p, r, y, z, beta, wd * wd, wu * wu)),
            "the weight is applied twice",
        ),
        Misconception(
            "divided-by-weights",
            _divided_by_weights,
            "the losses were divided by the mean weight of the batch; λ multiplies, nothing is normalised",
        ),
        Misconception(
            "divided-by-sum-of-weights",
            _with_losses(lambda loss, wd, wu: loss / (wd + wu)),
            "the losses were divided by the sum of the two weights; λ multiplies, nothing is normalised",
        ),
        Misconception(
            "class-balanced",
            _kto_afterwards(_class_balanced),
            "each loss was divided by the number of examples of its kind; balance is what the weights are for",
        ),
        Misconception(
            "own-reference-point",
            _with(
                lambda p, r, y, z, beta, wd, wu: (
                    p,
                    r,
                    y,
                    (p - r).mean().detach().clamp(min=0),
                    beta,
                    wd,
                    wu,
                )
            ),
            "the reference point was taken from this batch's own (matched) log-ratios; use the argument, which comes "
            "from mismatched pairs",
        ),
        Misconception(
            "squeezed",
            _kto_afterwards(lambda loss, y: loss.squeeze()),
            "a batch of one example lost its axis (squeeze() without an axis drops all of length 1); keep shape (B,)",
        ),
        Misconception(
            "nan-for-one-kind",
            _kto_afterwards(
                lambda loss, y: loss + 0 * (loss[y].mean() + loss[~y].mean()),
            ),
            "the mean of an empty selection is nan: in a batch of one kind there are no examples of the other",
        ),
        Misconception(
            "other-kind-as-reference-point",
            _other_class,
            "the mean log-ratio of the *other* kind served as reference point: use the argument. (With a batch of one "
            "kind there is no such mean, and the result is nan.)",
        ),
        Misconception(
            "ratio-clamped",
            _kto_shift(lambda d, z, beta: beta * (d - z).clamp(min=0)),
            "the bracket was clamped at 0; only the estimate of z0 is clamped, and that is done before",
        ),
        *(
            Misconception(
                f"log-ratio-bounded-{bound}",
                _kto_shift(lambda d, z, beta, bound=bound: beta * (d.clamp(-bound, bound) - z)),
                _BOUNDED,
            )
            for bound in (5, 10, 20, 30, 50)
        ),
        *(
            Misconception(
                f"logit-bounded-{bound}",
                _kto_shift(lambda d, z, beta, bound=bound: (beta * (d - z)).clamp(-bound, bound)),
                _BOUNDED,
            )
            for bound in (5, 10, 20)
        ),
        *(
            Misconception(
                f"reference-point-bounded-{bound}",
                _kto_shift(lambda d, z, beta, bound=bound: beta * (d - z.clamp(max=bound))),
                "the reference point was cut off above; it is used as it comes",
            )
            for bound in (1, 3, 5, 10)
        ),
        Misconception(
            "no-reference",
            _with(lambda p, r, y, z, beta, wd, wu: (p, 0 * r, y, z, beta, wd, wu)),
            "the reference model is missing: KTO compares log(π/π_ref) with z0, it is not reference-free",
        ),
        Misconception(
            "reference-added",
            _with(lambda p, r, y, z, beta, wd, wu: (p, -r, y, z, beta, wd, wu)),
            "the reference's log-probabilities were added; log(π/π_ref) is a difference",
        ),
        Misconception(
            "policy-and-reference-exchanged",
            _kto_shift(lambda d, z, beta: beta * (-d - z)),
            "policy and reference changed places: the log-ratio is log π - log π_ref",
        ),
        Misconception(
            "ratio",
            _kto_shift(lambda d, z, beta: beta * (d.exp() - z)),
            "the ratio of probabilities was used; KTO's reward is its logarithm",
        ),
        Misconception(
            "log-of-the-quotient",
            lambda p, r, *args, **kwargs: kto_loss(
                torch.log(p / r.detach()), torch.zeros_like(p), *args, **kwargs
            ),
            "log-probabilities were divided and the logarithm taken again; they are logarithms already",
        ),
        Misconception(
            "batch-mean",
            _kto_afterwards(lambda loss, y: loss.mean()),
            "one number for the whole batch; return one loss per example, the training loop takes the mean",
        ),
        Misconception(
            "batch-sum",
            _kto_afterwards(lambda loss, y: loss.sum()),
            "the losses were added up to one number; return one loss per example",
        ),
        Misconception(
            "means-of-kinds",
            _kto_afterwards(lambda loss, y: loss[y].mean() + loss[~y].mean()),
            "the mean of the desirable plus that of the others: return one loss per example. (With a batch of one kind "
            "the other mean is nan.)",
        ),
        Misconception(
            "keepdim",
            _kto_afterwards(lambda loss, y: loss.unsqueeze(-1)),
            "the result has shape (B, 1); one value per example, shape (B,), is wanted",
        ),
        Misconception(
            "reference-point-gradient",
            lambda p, r, y, z, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0: torch.where(
                y,
                desirable_weight * torch.sigmoid(-beta * (p - r - z)),
                undesirable_weight * torch.sigmoid(beta * (p - r - z)),
            ),
            "the value is right, but a gradient flows into the reference point, which is only a yardstick",
        ),
        Misconception(
            "all-detached",
            _kto_afterwards(lambda loss, y: loss.detach()),
            "no gradient reaches the policy, so nothing would be trained",
        ),
        Misconception(
            "undesirable-detached",
            _kto_afterwards(lambda loss, y: torch.where(y, loss, loss.detach())),
            "no gradient reaches the policy from the undesirable examples; both kinds are trained on",
        ),
        Misconception(
            "float32-only",
            _with(lambda p, r, y, z, *rest: (p.float(), r.float(), y, z.float(), *rest)),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "float64-always",
            _with(lambda p, r, y, z, *rest: (p.double(), r.double(), y, z.double(), *rest)),
            "the result is float64 whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "in-place-policy",
            lambda p, r, *args, **kwargs: kto_loss(p.sub_(r), torch.zeros_like(r), *args, **kwargs),
            "the policy's log-probabilities were overwritten (-= or an operation ending in _), which torch refuses "
            "where a gradient is wanted; make a new tensor",
        ),
        Misconception(
            "in-place",
            _kto_in_place,
            "one of the inputs was overwritten (-= or an operation ending in _); make a new tensor",
        ),
    ),
    alternatives={
        "signs and weights as vectors": _kto_signs,
        "masked assignment": _kto_index,
        "loop": _kto_loop,
        "gather from a table": _kto_gather,
        "tanh": _kto_both(lambda s, w: w / 2 * (1 - torch.tanh(s / 2))),
        "blend": lambda p, r, desirable, z0, beta=0.1, desirable_weight=1.0, undesirable_weight=1.0: (
            desirable * (desirable_weight * (1 - (beta * (p - r - z0.detach())).sigmoid()))
            + ~desirable * (undesirable_weight * (1 - (beta * (z0.detach() - p + r)).sigmoid()))
        ),
        "through the exponential": _kto_both(lambda s, w: w - w / (1 + torch.exp(-s))),
    },
    hints=(
        "The log-ratio is policy minus reference. A gain is what lies above the reference point, a loss what lies "
        "below.",
        "Try a log-ratio equal to z0, so that the bracket is 0: what must the loss be for each kind? And far above z0, "
        "which of the two kinds is to cost little?",
        "torch.where(desirable, ..., ...) keeps the order of the batch, and works when all are alike. z0 is a constant: "
        ".detach() it.",
    ),
)

EXERCISES = (KTO_REFERENCE_POINT, KTO_LOSS)
