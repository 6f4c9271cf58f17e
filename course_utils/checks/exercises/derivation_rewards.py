"""01-derivation, rewards: the implicit reward, and which rewards have the same optimal policy."""

import numpy as np
import torch

from course_utils.checks.cases import form, gradient
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.verdicts import observe_verdict
from course_utils.theory import implicit_reward, same_policy


def _tensor(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def _log2(tensor):
    return torch.log(torch.tensor(2.0, dtype=tensor.dtype))


# --- implicit-reward -------------------------------------------------------------------------


def _logp_cases(draw):
    beta = draw.uniform(0.2, 0.7)
    same = draw.logprobs(4)
    return [
        Case(
            (_tensor(-12.0, -15.0), _tensor(-13.0, -14.0), 0.1),
            label="log π (-12, -15), log π_ref (-13, -14)",
        ),
        Case((draw.logprobs(5), draw.logprobs(5), beta), label="five responses"),
        Case((draw.logprobs(3, 4), draw.logprobs(3, 4), 2 * beta), label="a table"),
        Case((draw.logprobs(2, 3, 2), draw.logprobs(2, 3, 2), 3.0), label="three axes, beta 3"),
        Case((draw.logprobs(1), draw.logprobs(1), 0.05), label="one response, beta .05"),
        Case(
            (draw.probabilities(2, 4).log(), draw.probabilities(2, 4).log(), beta),
            label="whole distributions",
        ),
        Case((same, same.clone(), beta), label="policy = reference"),
    ]


def _long_cases(draw):
    long = {"low": -3000.0, "high": -900.0}
    return [
        Case((draw.logprobs(4, **long), draw.logprobs(4, **long), 0.1), label="log-probabilities near -2000", grads=(0,)),
        Case(
            (draw.logprobs(4, **long).float(), draw.logprobs(4, **long).float(), 0.1),
            label="log-probabilities near -2000, float32", grads=(0,),
        ),
    ]  # fmt: skip


def _logp_gradient_cases(draw):
    return [
        Case((draw.logprobs(4), draw.logprobs(4), 0.3), grads=(0,)),
        Case((draw.logprobs(2, 3), draw.logprobs(2, 3), 2.0), grads=(0,)),
    ]


def _implicit_in_place(policy_logp, ref_logp, beta):
    policy_logp -= ref_logp
    return policy_logp * beta


IMPLICIT_REWARD = Exercise(
    id="implicit-reward",
    function="implicit_reward",
    reference=implicit_reward,
    parts=(
        Part("values", 2, _logp_cases),
        Part("long responses", 0.5, _long_cases, ("result", "gradient")),
        gradient(1, _logp_gradient_cases, "gradient into the policy"),
        form(0.5, lambda draw: (draw.logprobs(4), draw.logprobs(4), 0.3)),
    ),
    misconceptions=(
        Misconception(
            "no-beta",
            lambda p, q, beta: p - q,
            "this is the log-ratio, in nats; the reward is beta times that",
        ),
        Misconception(
            "beta-divides",
            lambda p, q, beta: (p - q) / beta,
            "the log-ratio is divided by beta; undo the division by beta in π*'s exponent",
        ),
        Misconception(
            "reversed",
            lambda p, q, beta: beta * (q - p),
            "the ratio is upside down: a response that the policy has made likelier must have a positive reward",
        ),
        Misconception(
            "no-reference",
            lambda p, q, beta: beta * p,
            "the reference is missing: at policy = reference every implicit reward is 0",
        ),
        Misconception(
            "reference-added",
            lambda p, q, beta: beta * (p + q),
            "the logarithm of a ratio is a difference of logarithms, not a sum",
        ),
        Misconception(
            "beta-on-policy-only",
            lambda p, q, beta: beta * p - q,
            "beta multiplies the policy's term only; it multiplies the whole log-ratio",
        ),
        Misconception(
            "ratio",
            lambda p, q, beta: beta * torch.exp(p - q),
            "this is beta times the ratio of probabilities; its logarithm is wanted",
        ),
        Misconception(
            "ratio-of-logs",
            lambda p, q, beta: beta * p / q,
            "the logarithms were divided; the logarithm of a ratio is their difference",
        ),
        Misconception(
            "log-of-logs",
            lambda p, q, beta: beta * torch.log(p / q),
            "the inputs are logarithms already; a second logarithm is too many",
        ),
        Misconception(
            "difference-of-logs-of-logs",
            lambda p, q, beta: beta * (p.log() - q.log()),
            "the inputs are logarithms already, and negative: a second logarithm gives nan",
        ),
        Misconception(
            "ratio-to-the-beta",
            lambda p, q, beta: torch.exp(beta * (p - q)),
            "this is the ratio to the power beta; its logarithm is wanted",
        ),
        Misconception(
            "weighted",
            lambda p, q, beta: beta * torch.exp(p) * (p - q),
            "each log-ratio is weighted by its probability: that is a term of the KL, not a reward",
        ),
        Misconception(
            "centred",
            lambda p, q, beta: (h := beta * (p - q)) - h.mean(-1, keepdim=True),
            "a mean over responses was subtracted. It changes no preference, but the definition has no baseline",
        ),
        Misconception(
            "normalised",
            lambda p, q, beta: beta * (torch.log_softmax(p, -1) - torch.log_softmax(q, -1)),
            "the log-probabilities were normalised once more over the batch; they are given, one per response",
        ),
        Misconception(
            "with-sigmoid",
            lambda p, q, beta: torch.sigmoid(beta * (p - q)),
            "a sigmoid is on top: that comes with Bradley-Terry, for a difference of two rewards",
        ),
        Misconception(
            "bits",
            lambda p, q, beta: beta * (p - q) / _log2(p),
            "the log-ratio is in bits (base 2); the course counts in nats",
        ),
        Misconception(
            "absolute",
            lambda p, q, beta: beta * (p - q).abs(),
            "the sign was dropped; a response that the policy has made rarer has a negative reward",
        ),
        Misconception(
            "clamped-at-zero",
            lambda p, q, beta: beta * (p - q).clamp_min(0.0),
            "negative rewards were cut off at 0; a response may be made rarer",
        ),
        Misconception(
            "sum",
            lambda p, q, beta: (beta * (p - q)).sum(),
            "all responses were added up; keep one reward each",
        ),
        Misconception(
            "mean",
            lambda p, q, beta: (beta * (p - q)).mean(),
            "all responses were averaged; keep one reward each",
        ),
        Misconception(
            "through-probabilities",
            lambda p, q, beta: beta * torch.log(torch.exp(p) / torch.exp(q)),
            "exp of a long response's log-probability is 0, and 0/0 is nan; subtract logarithms instead",
        ),
        Misconception(
            "epsilon",
            lambda p, q, beta: beta * torch.log((torch.exp(p) + 1e-12) / (torch.exp(q) + 1e-12)),
            "probabilities of whole responses are far smaller than any epsilon; subtract the logarithms that are given",
        ),
        Misconception(
            "clamped",
            lambda p, q, beta: beta * (p - q).clamp(-10, 10),
            "the log-ratio was cut off; it may be of any size",
        ),
        Misconception(
            "beta-on-reference-only",
            lambda p, q, beta: p - beta * q,
            "beta multiplies the reference's term only; it multiplies the whole log-ratio",
        ),
        Misconception(
            "difference-of-probabilities",
            lambda p, q, beta: beta * (torch.exp(p) - torch.exp(q)),
            "probabilities were subtracted; the reward is the difference of their *logarithms*",
        ),
        Misconception(
            "log-sigmoid",
            lambda p, q, beta: torch.nn.functional.logsigmoid(beta * (p - q)),
            "a log-sigmoid is on top: that comes with the loss, for a difference of two rewards",
        ),
        Misconception(
            "with-partition",
            lambda p, q, beta: beta * (p - q) + beta * torch.logsumexp(p, -1, keepdim=True),
            "something was added for log Z; the implicit reward leaves it out, and log-probabilities alone do not tell it",
        ),
        Misconception(
            "beta-squared",
            lambda p, q, beta: beta**2 * (p - q),
            "beta is in it twice",
        ),
        Misconception(
            "fixed-beta",
            lambda p, q, beta: 0.1 * (p - q),
            "beta is fixed at 0.1 here; use the argument",
        ),
        Misconception(
            "keepdim",
            lambda p, q, beta: (beta * (p - q)).unsqueeze(-1),
            "there is one axis too many; keep the shape of the inputs",
        ),
        Misconception(
            "flattened",
            lambda p, q, beta: (beta * (p - q)).reshape(-1),
            "the axes were flattened; keep the shape of the inputs",
        ),
        Misconception(
            "float64-always",
            lambda p, q, beta: beta * (p.double() - q.double()),
            "the result is float64 whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "detached",
            lambda p, q, beta: beta * (p.detach() - q),
            "no gradient reaches the policy's log-probabilities, so the policy could not be trained through its reward",
        ),
        Misconception(
            "float32-only",
            lambda p, q, beta: beta * (p.float() - q.float()),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "in-place",
            _implicit_in_place,
            "the policy's log-probabilities were overwritten (-= changes the caller's tensor); make a new one",
        ),
    ),
    alternatives={
        "two products": lambda policy_logp, ref_logp, beta: beta * policy_logp - beta * ref_logp,
        "torch.sub": lambda policy_logp, ref_logp, beta: torch.sub(policy_logp, ref_logp).mul(beta),
        "reference detached": lambda policy_logp, ref_logp, beta: (policy_logp - ref_logp.detach()) * beta,
        "log of a ratio": lambda policy_logp, ref_logp, beta: -beta * (ref_logp - policy_logp),
    },  # fmt: skip
    hints=(
        "Solve π* = π_ref exp(r/beta) / Z for r, and leave out the term that does not depend on the response.",
        "log(π/π_ref) = log π - log π_ref, and both logarithms are given.",
    ),
)

# --- reward-equivalence ----------------------------------------------------------------------


def _table_pair(draw, prompts, responses, prompt_scale=1.0, change=None):
    """Two tables that differ by a function of the prompt, and by `change` (prompts, responses)."""
    a = draw.normal(prompts, responses)
    b = a + draw.normal(prompts, 1, scale=prompt_scale)
    return a, b if change is None else b + change


def _one_cell(draw, prompts, responses, size):
    """Zeros but for one cell."""
    change = torch.zeros(prompts, responses, dtype=torch.float64)
    change[draw.integer(0, prompts - 1), draw.integer(1, responses - 1)] = size
    return change


def _two_values(draw, prompts, responses, size):
    """In each prompt half of the responses are raised by `size`."""
    half = torch.zeros(responses, dtype=torch.float64)
    half[: responses // 2] = size
    return torch.stack([half[draw.permutation(responses)] for _ in range(prompts)])


def _table_cases(draw):
    a, whole = draw.normal(3, 4), draw.integers(-9, 9, 3, 4).float()
    ranks = a + 0.3 * torch.argsort(torch.argsort(a, dim=-1), dim=-1)
    last = torch.zeros(4, 5, dtype=torch.float64)
    last[3, 2] = 0.7
    per_response = a + draw.normal(1, 4)
    best = a.clone()
    best[torch.arange(3), a.argsort(-1)[:, -2]] -= 9.0  # the second best becomes the last
    kept_mean = a + torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    return [
        Case(_table_pair(draw, 3, 4), label="b = a + a number per prompt"),
        Case((a, a.clone()), label="b = a"),
        Case((a, a + 5.0), label="b = a + 5"),
        Case((a, 2 * a), label="b = 2a"),
        Case((a, -a), label="b = -a"),
        Case((a, per_response), label="b = a + a number per response"),
        Case((a, ranks), label="the same ranking"),
        Case((a, best), label="the same best response"),
        Case((a, kept_mean), label="the same mean per prompt"),
        Case((a, a.roll(1, -1)), label="the same rewards, given to other responses"),
        Case(_table_pair(draw, 4, 5, change=last), label="only the last prompt differs"),
        Case(_table_pair(draw, 4, 5, change=last.flip(0)), label="only the first prompt differs"),
        Case(_table_pair(draw, 1, 6), label="one prompt"),
        Case(_table_pair(draw, 1, 5, change=last[3:]), label="one prompt, one reward higher"),
        Case(_table_pair(draw, 1, 5, change=-last[3:]), label="one prompt, one reward lower"),
        Case(_table_pair(draw, 5, 2, prompt_scale=3.0), label="two responses"),
        Case(_table_pair(draw, 3, 4, change=_one_cell(draw, 3, 4, 1e-3)), label="one reward off by 1e-3"),
        Case(_table_pair(draw, 3, 4, change=_one_cell(draw, 3, 4, 1.5e-3)), label="one reward off by 1.5e-3"),
        Case(_table_pair(draw, 3, 4, 1e4, _one_cell(draw, 3, 4, 0.01)), label="numbers per prompt of 1e4, one reward off by .01"),
        Case(_table_pair(draw, 8, 6, 1e3), label="numbers per prompt of 1e3"),
        Case((whole, whole + draw.integers(1, 9, 3, 1)), label="float32"),
        Case((whole, whole.flip(1) * 2 + 1), label="float32, unlike"),
    ]  # fmt: skip


def _tolerance_cases(draw):
    tol = draw.uniform(0.2, 0.6)
    small, large = 0.4 * tol, 3 * tol
    large_rewards = 1e6 * draw.normal(3, 4)
    drift = torch.linspace(0, large, 60, dtype=torch.float64).expand(2, 60)
    return [
        Case((*_table_pair(draw, 3, 4, change=_two_values(draw, 3, 4, small)), tol), label="differences within tol"),
        Case((*_table_pair(draw, 3, 4, change=_one_cell(draw, 3, 4, large)), tol), label="one reward off by 3 tol"),
        Case((*_table_pair(draw, 2, 60, change=_one_cell(draw, 2, 60, large)), tol), label="one of 60 off by 3 tol"),
        Case((*_table_pair(draw, 6, 3, change=_one_cell(draw, 6, 3, large)), tol), label="one prompt of 6 off by 3 tol"),
        Case((*(100 * t for t in _table_pair(draw, 3, 4, change=_one_cell(draw, 3, 4, large / 100))), tol), label="rewards of 100, one off by 3 tol"),
        Case((large_rewards, large_rewards + _one_cell(draw, 3, 4, 0.01)), label="rewards of 1e6, one off by .01"),
        Case((*_table_pair(draw, 2, 60, change=_two_values(draw, 2, 60, small)), tol), label="60 responses within tol"),
        Case((*_table_pair(draw, 2, 60, change=drift), tol), label="a drift of 3 tol over 60 responses"),
        Case((*_table_pair(draw, 3, 4, change=_one_cell(draw, 3, 4, -large)), tol), label="one reward off by -3 tol"),
        Case((*_table_pair(draw, 3, 4, 50.0, _two_values(draw, 3, 4, small)), tol), label="within tol, large numbers per prompt"),
        Case(_table_pair(draw, 2, 4, change=_one_cell(draw, 2, 4, 5e-6)), label="off by 5e-6, tol left at 1e-6"),
        Case(_table_pair(draw, 2, 4, change=_one_cell(draw, 2, 4, 2e-7)), label="off by 2e-7, tol left at 1e-6"),
        Case(_table_pair(draw, 2, 4, change=_one_cell(draw, 2, 4, 1e-3)), {"tol": 0.01}, label="tol by name"),
    ]  # fmt: skip


def _form_cases(draw):
    a, b = _table_pair(draw, 3, 4)
    return [Case((a, b), label="equivalent"), Case((a, 2 * b), label="not equivalent")]


def _spread(a, b, axis=-1):
    return (d := a - b).amax(axis) - d.amin(axis)


def _in_place_verdict(a, b, tol=1e-6):
    a -= b
    return (a.amax(-1) - a.amin(-1) <= tol).all()


REWARD_EQUIVALENCE = Exercise(
    id="reward-equivalence",
    function="same_policy",
    reference=same_policy,
    observe=observe_verdict,
    parts=(
        Part("equivalent or not", 2, _table_cases),
        Part("tol, in units of reward", 1, _tolerance_cases),
        Part("one bool tensor, inputs unchanged", 1, _form_cases, ("form", "inputs")),
    ),
    misconceptions=(
        Misconception(
            "neighbours",
            lambda a, b, tol=1e-6: (torch.diff(a - b, dim=-1).abs() <= tol).all(),
            "only neighbouring responses were compared; small steps can add up to a large difference",
        ),
        Misconception(
            "summed-deviation",
            lambda a, b, tol=1e-6: (((d := a - b) - d.mean(-1, keepdim=True)).abs().sum(-1) <= tol).all(),
            "the deviations were added up over responses; each of them may be off by up to tol",
        ),
        Misconception(
            "mean-over-prompts",
            lambda a, b, tol=1e-6: _spread(a, b).mean() <= tol,
            "the spread was averaged over prompts, so one that differs goes unnoticed; it must hold in every one",
        ),
        Misconception(
            "relative-tolerance",
            lambda a, b, tol=1e-6: torch.isclose((d := a - b), d[:, :1].expand_as(d), atol=tol).all(),
            "torch.isclose adds a *relative* tolerance (rtol=1e-5) by itself: with large numbers per prompt it lets "
            "differences pass that are not small",
        ),
        Misconception(
            "relative-tolerance-centred",
            lambda a, b, tol=1e-6: torch.isclose(_centred(a), _centred(b), atol=tol).all(),
            "torch.isclose and torch.allclose add a *relative* tolerance (rtol=1e-5) by themselves: with large rewards "
            "they let differences pass that are not small",
        ),
        Misconception(
            "float32-only",
            lambda a, b, tol=1e-6: (_spread(a.float(), b.float()) <= tol).all(),
            "the tables were cast to float32, whose rounding is larger than tol; keep the dtype that came in",
        ),
        Misconception(
            "sorted",
            lambda a, b, tol=1e-6: (_spread(a.sort(-1).values, b.sort(-1).values) <= tol).all(),
            "the rewards were sorted first; it matters which response gets which",
        ),
        Misconception(
            "standard-deviation",
            lambda a, b, tol=1e-6: ((a - b).std(-1) <= tol).all(),
            "a standard deviation lets one response in many be off; it must hold for every response",
        ),
        Misconception(
            "scaled-tolerance",
            lambda a, b, tol=1e-6: (_spread(a, b) <= tol * a.abs().max()).all(),
            "tol was multiplied by the size of the rewards; it is in units of reward already",
        ),
        Misconception(
            "squared",
            lambda a, b, tol=1e-6: (_centred(a - b) ** 2 <= tol).all(),
            "squares were compared with tol; it is in units of reward, not of reward squared",
        ),
        Misconception(
            "default-tolerance",
            lambda a, b, tol=1e-6: (_spread(a, b) <= 1e-6).all(),
            "the argument tol is not used",
        ),
        Misconception(
            "average-spread",
            lambda a, b, tol=1e-6: (a - b).std(-1).mean() <= tol,
            "an average deviation lets one response in many be off; it must hold for every response",
        ),
        Misconception(
            "variance",
            lambda a, b, tol=1e-6: ((a - b).var(-1) <= tol).all(),
            "a variance was compared with tol; that is in units of reward squared, and lets one response in many be off",
        ),
        Misconception(
            "first-prompt",
            lambda a, b, tol=1e-6: _spread(a, b)[0] <= tol,
            "only the first prompt was looked at; it must hold in every one",
        ),
        Misconception(
            "no-tolerance",
            lambda a, b, tol=1e-6: (_spread(a, b) == 0).all(),
            "floating-point numbers were compared exactly; differences up to tol count as equal",
        ),
        Misconception(
            "policies-compared",
            lambda a, b, tol=1e-6: ((torch.softmax(a, -1) - torch.softmax(b, -1)).abs() <= tol).all(),
            "tol is in units of reward; here it was applied to probabilities, which are much closer together",
        ),
        Misconception(
            "any-prompt",
            lambda a, b, tol=1e-6: (_spread(a, b) <= tol).any(),
            "one prompt that agrees is not enough; it must hold in all of them",
        ),
        Misconception(
            "one-sided",
            lambda a, b, tol=1e-6: ((d := a - b) - d[:, :1] <= tol).all(),
            "only differences to one side are seen; take the absolute value, or the largest and the smallest",
        ),
        Misconception(
            "one-constant",
            lambda a, b, tol=1e-6: (d := a - b).max() - d.min() <= tol,
            "this asks for one constant over all prompts; each prompt may have its own",
        ),
        Misconception(
            "equal-tables",
            lambda a, b, tol=1e-6: ((a - b).abs() <= tol).all(),
            "this asks whether the tables are equal; a number per prompt may be added without changing any policy",
        ),
        Misconception(
            "wrong-axis",
            lambda a, b, tol=1e-6: (_spread(a, b, 0) <= tol).all(),
            "this asks whether a - b is the same over *prompts* for each response; look along responses",
        ),
        Misconception(
            "correlated",
            lambda a, b, tol=1e-6: (
                ((_unit(a) * _unit(b)).sum(-1) >= 1 - max(tol, 1e-6) ** 2).all()
            ),
            "a scaled reward was taken for the same: the shift is free, the scale is not (it acts like beta)",
        ),
        Misconception(
            "same-ranking",
            lambda a, b, tol=1e-6: (a.argsort(-1) == b.argsort(-1)).all(),
            "the same ranking is not enough: π* depends on how far apart the rewards are",
        ),
        Misconception(
            "same-best",
            lambda a, b, tol=1e-6: (a.argmax(-1) == b.argmax(-1)).all(),
            "the same best response is not enough: π* gives probability to all of them",
        ),
        Misconception(
            "same-mean",
            lambda a, b, tol=1e-6: ((a.mean(-1) - b.mean(-1)).abs() <= tol).all(),
            "the same mean per prompt says nothing about the differences between responses",
        ),
        Misconception(
            "negated",
            lambda a, b, tol=1e-6: ~same_policy(a, b, tol),
            "the verdict is turned round: True must mean the same policy",
        ),
        Misconception(
            "per-prompt",
            lambda a, b, tol=1e-6: _spread(a, b) <= tol,
            "there is one verdict per prompt; one for both tables is wanted",
        ),
        Misconception(
            "python-bool",
            lambda a, b, tol=1e-6: bool(same_policy(a, b, tol)),
            "the verdict is right, but it is a Python bool; leave it a tensor (no .item(), no bool())",
        ),
        Misconception(
            "float-verdict",
            lambda a, b, tol=1e-6: same_policy(a, b, tol).to(a.dtype),
            "the verdict is right, but it is a float; a comparison gives a bool tensor by itself",
        ),
        Misconception(
            "in-place",
            _in_place_verdict,
            "the first table was overwritten (-= changes the caller's tensor); make a new one",
        ),
    ),
    alternatives={
        "first response": lambda a, b, tol=1e-6: ((d := a - b) - d[:, :1]).abs().max() <= tol,
        "mean": lambda a, b, tol=1e-6: (((d := a - b) - d.mean(-1, keepdim=True)).abs() <= tol).all(),
        "log-policies": lambda a, b, tol=1e-6: (
            (torch.log_softmax(a, -1) - torch.log_softmax(b, -1)).abs() <= tol
        ).all(),
        "all pairs": lambda a, b, tol=1e-6: (
            ((d := a - b).unsqueeze(-1) - d.unsqueeze(-2)).abs().amax() <= tol
        ),
        "loop": lambda a, b, tol=1e-6: torch.tensor(
            all(float(d.max() - d.min()) <= tol for d in (a - b))
        ),
        "numpy": lambda a, b, tol=1e-6: torch.tensor(
            bool((np.ptp(a.detach().numpy() - b.detach().numpy(), axis=-1) <= tol).all())
        ),
    },
    hints=(
        "Form a - b. In which direction must it be constant: along responses, or along prompts?",
        "A row is constant up to tol if its largest and smallest entry are at most tol apart.",
        "amax and amin along the last axis, a comparison with tol, and .all() over the prompts.",
    ),
)  # fmt: skip


def _centred(table):
    return table - table.mean(-1, keepdim=True)


def _unit(table):
    return (centred := _centred(table)) / centred.norm(dim=-1, keepdim=True)
