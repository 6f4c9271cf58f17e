"""02-dpo-from-scratch: what to watch beside the loss."""

import numpy as np
import torch

from course_utils.checks.cases import cast
from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.exercises.dpo_loss import WORKED, pair
from course_utils.checks.observe import observe_call
from course_utils.losses import dpo_metrics
from course_utils.words import type_of

_METRICS = ("chosen_reward", "rejected_reward", "margin", "accuracy")


def _observe_metrics(function, case):
    """Each number by itself, whatever its type; the types and the keys apart."""
    seen = observe_call(function, case)
    if "error" in seen:
        return seen
    result = seen["result"]
    if not isinstance(result, dict):
        return {key: result for key in _METRICS} | {"form": f"{type_of(result)}, not a dict"}
    missing = Missing(f"the key is missing; keys seen: {', '.join(map(str, result))}")
    found = {key: _as_number(result.get(key, missing)) for key in _METRICS}
    strange = [key for key in result if key not in _METRICS]
    kinds = [
        f"{key} is {type_of(result.get(key))}" for key in _METRICS if not isinstance(result.get(key), float)
    ]
    found["form"] = "; ".join(kinds + [f"unexpected key {key!r}" for key in strange]) or "four Python floats"
    return found | {"inputs": seen["inputs"]}


def _as_number(value):
    """A scalar tensor or array as a float, so that its type costs the points of the type only."""
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)) and value.shape == ():
        return float(value)
    return value


def _metric_args(draw, better, worse):
    """Pairs of which `better` have the larger chosen reward; by the policy alone, or by the reward's sign,
    the count is another."""
    gaps = torch.cat([draw.uniform(2.0, 6.0, better), -draw.uniform(2.0, 6.0, worse)])
    gaps[0] = 0.05  # however small, it is a pair in the right order
    batch = better + worse
    ratio = draw.uniform(-4.0, -1.0, batch)  # the chosen responses lost probability, in most pairs
    ratio[0] = 1.5
    ref_chosen = draw.logprobs(batch, low=-60.0, high=-40.0)
    ref_rejected = draw.logprobs(batch, low=-30.0, high=-15.0)
    order = draw.permutation(batch)
    args = (ref_chosen + ratio, ref_rejected + ratio - gaps, ref_chosen, ref_rejected)
    return tuple(a[order] for a in args)


def _metric_cases(draw):
    return [
        Case(WORKED, label="policy -12 and -15, reference -13 and -14"),
        Case(_metric_args(draw, 5, 3), label="eight pairs, beta left at its default", grads=(0, 1)),
        Case(_metric_args(draw, 2, 3), {"beta": 0.5}, "five pairs, beta=0.5"),
        Case((*_metric_args(draw, 4, 3), 2.0), label="seven pairs, beta=2"),
        Case(pair(-15.0, -12.0, -13.5, -14.0), label="one pair, the rejected reward the larger"),
    ]


def _metric_form(draw):
    args = _metric_args(draw, 3, 2)
    return [
        Case(args, label="float64"),
        Case(cast(args, torch.float32), label="float32"),
        Case(args, label="log-probabilities with a gradient", grads=(0, 1)),
    ]


def _rewards(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta):
    c = beta * (policy_chosen - ref_chosen)
    r = beta * (policy_rejected - ref_rejected)
    return c.detach(), r.detach()


def _with(**changed):
    """The right metrics, with some entries computed another way from the rewards and the arguments."""

    def answer(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
        args = (policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta)
        c, r = _rewards(*args)
        wrong = {key: float(value(c, r, *(a.detach() for a in args[:4]))) for key, value in changed.items()}
        return dpo_metrics(*args) | wrong

    return answer


def _mean_of(rewards):
    """All metrics from other rewards."""

    def answer(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
        args = [a.detach() for a in (policy_chosen, policy_rejected, ref_chosen, ref_rejected)]
        c, r = rewards(*args, beta)
        return {
            "chosen_reward": float(c.mean()),
            "rejected_reward": float(r.mean()),
            "margin": float((c - r).mean()),
            "accuracy": float((c > r).double().mean()),
        }

    return answer


def _zero_dimensional(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    c, r = _rewards(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta)
    return {
        "chosen_reward": c.mean(),
        "rejected_reward": r.mean(),
        "margin": (c - r).mean(),
        "accuracy": (c > r).double().mean(),
    }


def _per_pair(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    c, r = _rewards(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta)
    return {"chosen_reward": c, "rejected_reward": r, "margin": c - r, "accuracy": (c > r).double()}


def _metrics_in_place(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    right = dpo_metrics(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta)
    policy_chosen.data.sub_(ref_chosen)
    return right


def _renamed(*args, **kwargs):
    right = dpo_metrics(*args, **kwargs)
    return {f"rewards/{key.removesuffix('_reward')}": value for key, value in right.items()}


def _by_python(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    lists = [x.tolist() for x in (policy_chosen, policy_rejected, ref_chosen, ref_rejected)]
    pairs = [(beta * (c - rc), beta * (r - rr)) for c, r, rc, rr in zip(*lists, strict=True)]
    n = len(pairs)
    return {
        "accuracy": sum(c > r for c, r in pairs) / n,
        "margin": sum(c - r for c, r in pairs) / n,
        "chosen_reward": sum(c for c, _ in pairs) / n,
        "rejected_reward": sum(r for _, r in pairs) / n,
    }


def _by_numpy(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.1):
    c = beta * (policy_chosen - ref_chosen).detach().numpy().astype(np.float64)
    r = beta * (policy_rejected - ref_rejected).detach().numpy().astype(np.float64)
    return dict(
        chosen_reward=c.mean(), rejected_reward=r.mean(), margin=np.mean(c - r), accuracy=np.mean(c > r)
    )


DPO_METRICS = Exercise(
    id="dpo-metrics",
    function="dpo_metrics",
    reference=dpo_metrics,
    observe=_observe_metrics,
    parts=tuple(Part(key, 1, _metric_cases, (key,), independent=True) for key in _METRICS)
    + (Part("four Python floats, inputs unchanged", 1, _metric_form, ("form", "inputs")),),
    misconceptions=(
        # one wrong number first: an answer that is wrong everywhere agrees with more of the later ones
        Misconception(
            "margin-absolute",
            _with(margin=lambda c, r, *_: (c - r).abs().mean()),
            "the margin's sign was dropped; a pair that is ordered wrongly has a negative margin",
        ),
        Misconception(
            "margin-turned",
            _with(margin=lambda c, r, *_: (r - c).mean()),
            "the margin is chosen minus rejected, not the other way",
        ),
        Misconception(
            "margin-added",
            _with(margin=lambda c, r, *_: (c + r).mean()),
            "the margin is the difference of the two rewards, not their sum",
        ),
        Misconception(
            "margin-without-beta",
            _with(margin=lambda c, r, pc, pr, rc, rr: ((pc - rc) - (pr - rr)).mean()),
            "this margin is in log-ratios; the margin of *rewards* has a factor beta",
        ),
        Misconception(
            "margin-of-policy",
            _with(margin=lambda c, r, pc, pr, rc, rr: (pc - pr).mean()),
            "this is the policy's own log-probability gap; the margin is the difference of the two rewards",
        ),
        Misconception(
            "margin-of-right-pairs",
            _with(margin=lambda c, r, *_: (c - r).clamp(min=0).mean()),
            "negative margins were cut off at 0; they belong in the mean",
        ),
        Misconception(
            "accuracy-of-policy",
            _with(accuracy=lambda c, r, pc, pr, rc, rr: (pc > pr).double().mean()),
            "this asks whether the policy finds the chosen response more likely; "
            "the accuracy asks whether its *reward*, measured from the reference, is the larger",
        ),
        Misconception(
            "accuracy-of-sign",
            _with(accuracy=lambda c, r, *_: (c > 0).double().mean()),
            "this is the share of chosen rewards above 0; compare each with the rejected reward of its pair",
        ),
        Misconception(
            "accuracy-with-threshold",
            _with(accuracy=lambda c, r, *_: (c - r > 0.15).double().mean()),
            "pairs with a small margin were not counted; a pair is right where the chosen reward is the larger",
        ),
        Misconception(
            "accuracy-percent",
            _with(accuracy=lambda c, r, *_: 100 * (c > r).double().mean()),
            "this is a percentage; a share from 0 to 1 is wanted",
        ),
        Misconception(
            "accuracy-count",
            _with(accuracy=lambda c, r, *_: (c > r).sum()),
            "this is a number of pairs; a share from 0 to 1 is wanted",
        ),
        Misconception(
            "accuracy-turned",
            _with(accuracy=lambda c, r, *_: (c < r).double().mean()),
            "this is the share of pairs that are ordered wrongly",
        ),
        Misconception(
            "accuracy-of-means",
            _with(accuracy=lambda c, r, *_: (c.mean() > r.mean()).double()),
            "the means were compared; compare pair by pair, then take the share",
        ),
        Misconception(
            "accuracy-probability",
            _with(accuracy=lambda c, r, *_: torch.sigmoid(c - r).mean()),
            "this is the mean probability of the right order; the accuracy counts the pairs that are ordered right",
        ),
        Misconception(
            "beta-missing",
            _mean_of(lambda c, r, rc, rr, beta: (c - rc, r - rr)),
            "these are the log-ratios; the implicit reward is beta times the log-ratio",
        ),
        Misconception(
            "beta-fixed",
            lambda c, r, rc, rr, beta=0.1: dpo_metrics(c, r, rc, rr),
            "beta is always 0.1 here, whatever is passed",
        ),
        Misconception(
            "divided-by-beta",
            _mean_of(lambda c, r, rc, rr, beta: ((c - rc) / beta, (r - rr) / beta)),
            "the log-ratios were divided by beta; the implicit reward is beta *times* the log-ratio",
        ),
        Misconception(
            "no-reference",
            _mean_of(lambda c, r, rc, rr, beta: (beta * c, beta * r)),
            "the reference is missing: the implicit reward is measured from the reference",
        ),
        Misconception(
            "sign",
            _mean_of(lambda c, r, rc, rr, beta: (beta * (rc - c), beta * (rr - r))),
            "policy and reference are exchanged: a response that became more likely has a positive reward",
        ),
        Misconception(
            "sides-exchanged",
            _mean_of(lambda c, r, rc, rr, beta: (beta * (r - rr), beta * (c - rc))),
            "chosen and rejected are exchanged",
        ),
        Misconception(
            "probability-ratio",
            _mean_of(lambda c, r, rc, rr, beta: (beta * (c - rc).exp(), beta * (r - rr).exp())),
            "these are ratios of probabilities; the reward is beta times their *logarithm*",
        ),
        Misconception(
            "sums",
            _with(
                chosen_reward=lambda c, r, *_: c.sum(),
                rejected_reward=lambda c, r, *_: r.sum(),
                margin=lambda c, r, *_: (c - r).sum(),
                accuracy=lambda c, r, *_: (c > r).sum(),
            ),
            "these are sums over the batch; means, and a share, are wanted",
        ),
        Misconception(
            "tensors",
            _zero_dimensional,
            "the numbers are right but still tensors; .item() or float() makes Python floats, which keep no graph alive",
        ),
        Misconception("per-pair", _per_pair, "these are values pair by pair; take the mean over the batch"),
        Misconception(
            "renamed",
            _renamed,
            "the numbers are there under other keys; the keys are chosen_reward, rejected_reward, margin and accuracy",
        ),
        Misconception(
            "in-place",
            _metrics_in_place,
            "one of the inputs was overwritten (-= or an operation ending in _); make a new tensor",
        ),
    ),
    alternatives={
        "python": _by_python,
        "numpy": _by_numpy,
        "item": lambda *args, **kwargs: {k: v.item() for k, v in _zero_dimensional(*args, **kwargs).items()},
        "margin from the means": lambda *args, **kwargs: (
            (m := {k: float(v) for k, v in _zero_dimensional(*args, **kwargs).items()})
            | {"margin": m["chosen_reward"] - m["rejected_reward"]}
        ),
    },
    hints=(
        "Two vectors first: beta · (policy - reference) for the chosen and for the rejected responses.",
        "The accuracy compares these two vectors pair by pair, not the policy's log-probabilities.",
        "(a > b) is a bool tensor: make it a float before the mean. .item() turns a scalar tensor into a Python float.",
    ),
)
