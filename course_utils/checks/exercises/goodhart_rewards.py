"""05-goodhart: several rewards at once: ensembles, the worst case, and fronts."""

import numpy as np
import torch

from course_utils.checks.cases import cast, form, gradient
from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.observe import observe_call
from course_utils.checks.verdicts import observe_on_simplex
from course_utils.goodhart import pareto_front, robust_value
from course_utils.reward_models import ensemble_reward
from course_utils.words import type_of

# --- ensemble-reward: cases -------------------------------------------------------------------

_RULES = ("mean", "min", "percentile25", "uwo")


def _models(draw, models, batch):
    """Rewards of several models, of different spread in each column."""
    return draw.normal(models, batch) * draw.uniform(0.3, 2.0, batch) + draw.normal(batch)


def _column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def _mean_and_min_cases(draw):
    worked = _column(1.0, 1.2, 2.6).unsqueeze(1)
    return [
        *(Case((worked, rule), label=f'rewards 1, 1.2, 2.6, "{rule}"') for rule in ("mean", "min")),
        Case((_models(draw, 4, 6), "mean"), label='four models, six responses, "mean"'),
        Case((_models(draw, 4, 6), "min"), label='four models, six responses, "min"'),
        Case((_models(draw, 3, 3) - 5, "min", 0.3), label='three models, three responses, "min", coef 0.3'),
        Case((_models(draw, 5, 2), "mean", 2.0), label='five models, two responses, "mean", coef 2'),
        Case((_models(draw, 2, 5).T.contiguous().T, "min"), label='two models, not contiguous, "min"'),
    ]


def _percentile_cases(draw):
    worked = _column(1.0, 1.2, 2.6).unsqueeze(1)
    return [
        Case((worked, "percentile25"), label='rewards 1, 1.2, 2.6, "percentile25"'),
        Case((_models(draw, 4, 6), "percentile25"), label='four models, six responses, "percentile25"'),
        Case((_models(draw, 5, 3), "percentile25"), label='five models, three responses, "percentile25"'),
        Case((_models(draw, 6, 4), "percentile25", 0.5), label='six models, "percentile25", coef 0.5'),
    ]


def _uwo_cases(draw):
    worked = _column(1.0, 1.2, 2.6).unsqueeze(1)
    return [
        Case((worked, "uwo", 0.5), label='rewards 1, 1.2, 2.6, "uwo", coef 0.5'),
        Case((_models(draw, 4, 6), "uwo"), label='four models, six responses, "uwo", no coef given'),
        Case((_models(draw, 3, 5), "uwo", 0.25), label='three models, "uwo", coef 0.25'),
        Case((_models(draw, 5, 2), "uwo", 3.0), label='five models, "uwo", coef 3'),
        Case((_models(draw, 4, 3), "uwo", 0.0), label='four models, "uwo", coef 0'),
    ]


def _single_cases(draw):
    one = _models(draw, 1, 4)
    alike = draw.normal(1, 3).expand(4, 3).contiguous()
    return [
        *(Case((one, rule, 0.7), label=f'one model, "{rule}"') for rule in _RULES),
        *(Case((_models(draw, 4, 1), rule), label=f'one response, "{rule}"') for rule in _RULES),
        Case((alike, "uwo", 2.0), label='models that agree, "uwo"'),
    ]


def _ensemble_gradients(draw):
    return [Case((_models(draw, 4, 3), rule, 0.6), label=f'"{rule}"', grads=(0,)) for rule in _RULES]


def _ensemble_form(draw):
    return [
        Case(cast((_models(draw, 4, 3), rule), dtype), label=f'{str(dtype)[6:]}, "{rule}"')
        for dtype in (torch.float32, torch.float64)
        for rule in _RULES
    ]


# --- ensemble-reward: answers -----------------------------------------------------------------


def _but(**rules):
    """The right answer, but for the rules given: each a function of rewards and coef."""

    def answer(rewards, rule, coef=1.0):
        return rules[rule](rewards, coef) if rule in rules else ensemble_reward(rewards, rule, coef)

    return answer


def _percentile(method="linear", q=0.25):
    return lambda r, coef: torch.quantile(r, q, dim=0, interpolation=method)


def _other_position(place):
    """A percentile by sorting, at place(M) counted from 0, with linear interpolation."""

    def percentile(r, coef):
        ranked = r.sort(0).values
        at = min(max(place(len(r)), 0.0), len(r) - 1.0)
        low = int(at)
        high = min(low + 1, len(r) - 1)
        return ranked[low] + (at - low) * (ranked[high] - ranked[low])

    return percentile


def _weights_exchanged(r, coef):
    ranked, at = r.sort(0).values, (len(r) - 1) / 4
    low, high = int(at), min(int(at) + 1, len(r) - 1)
    return ranked[low] * (at - low) + ranked[high] * (1 - at + low)


def _unsorted(r, coef):
    at = (len(r) - 1) / 4
    return torch.lerp(r[int(at)], r[min(int(at) + 1, len(r) - 1)], at - int(at))


def _minus(spread):
    return lambda r, coef: r.mean(0) - coef * spread(r)


def _over_axis_1(rewards, rule, coef=1.0):
    return ensemble_reward(rewards.T, rule, coef)


def _over_everything(rewards, rule, coef=1.0):
    return ensemble_reward(rewards.reshape(-1, 1), rule, coef)[0]


def _then(change):
    return lambda rewards, rule, coef=1.0: change(ensemble_reward(rewards, rule, coef))


def _standardised(rewards, rule, coef=1.0):
    scaled = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True, correction=0) + 1e-8)
    return ensemble_reward(scaled, rule, coef)


def _rewards_in_place(rewards, rule, coef=1.0):
    right = ensemble_reward(rewards, rule, coef)
    with torch.no_grad():
        rewards.copy_(rewards.sort(0).values)
    return right


def _by_hand(rewards, rule, coef=1.0):
    models = len(rewards)
    mean = sum(rewards) / models
    if rule == "mean":
        return mean
    if rule == "uwo":
        return mean - coef * sum((r - mean) ** 2 for r in rewards) / models
    columns = [sorted(column, key=float) for column in rewards.unbind(1)]
    if rule == "min":
        return torch.stack([c[0] for c in columns])
    low, share = divmod((models - 1) / 4, 1)
    low = int(low)
    return torch.stack([c[low] * (1 - share) + c[min(low + 1, models - 1)] * share for c in columns])


def _by_table(rewards, rule, coef=1.0):
    moments = lambda r: (r.square().mean(dim=0) - r.mean(dim=0).square()).clamp(min=0)  # noqa: E731
    table = {
        "mean": lambda r: torch.einsum("mb->b", r) / r.shape[0],
        "min": lambda r: -torch.max(-r, dim=0).values,
        "percentile25": lambda r: torch.nanquantile(r, 0.25, dim=0),
        "uwo": lambda r: r.mean(dim=0) - moments(r) * coef,
    }
    return table[rule](rewards)


def _by_topk(rewards, rule, coef=1.0):
    if rule == "mean":
        return torch.mean(rewards, 0)
    if rule == "min":
        return rewards.gather(0, rewards.argmin(0, keepdim=True)).squeeze(0)
    if rule == "percentile25":
        at = 0.25 * (rewards.size(0) - 1)
        low = torch.topk(rewards, int(at) + 1, dim=0, largest=False).values[-1]
        high = torch.topk(rewards, int(np.ceil(at)) + 1, dim=0, largest=False).values[-1]
        return torch.lerp(low, high, at % 1)
    centred = rewards - rewards.mean(0)
    return rewards.mean(0) - coef * torch.linalg.vector_norm(centred, dim=0) ** 2 / len(rewards)


def _by_var_mean(rewards, rule, coef=1.0):
    match rule:
        case "uwo":
            variance, mean = torch.var_mean(rewards, dim=0, unbiased=False)
            return torch.add(mean, variance, alpha=-coef)
        case "percentile25":
            first, *rest = rewards.sort(dim=0)[0].split(1)
            ranked = torch.cat([first, *rest])
            weights = torch.zeros(len(ranked), dtype=rewards.dtype)
            at = (len(ranked) - 1) * 0.25
            weights[int(at)] = 1 - at % 1
            if at % 1:
                weights[int(at) + 1] = at % 1
            return weights @ ranked
        case "min":
            return rewards.amin(dim=0)
        case _:
            return rewards.T.mean(dim=-1)


ENSEMBLE_REWARD = Exercise(
    id="ensemble-reward",
    function="ensemble_reward",
    reference=ensemble_reward,
    parts=(
        Part("mean and worst case", 1, _mean_and_min_cases),
        Part("the 25th percentile", 1, _percentile_cases, independent=True),
        Part("mean minus variance", 1.5, _uwo_cases, independent=True),
        Part("one model, one response, models that agree", 0.5, _single_cases),
        gradient(0.5, _ensemble_gradients),
        Part("dtype kept, inputs unchanged", 0.5, _ensemble_form, ("dtype", "inputs")),
    ),
    misconceptions=(
        Misconception(
            "standard-deviation",
            _but(uwo=_minus(lambda r: r.std(0, correction=0))),
            "the standard deviation was taken off; UWO takes off the variance",
        ),
        Misconception(
            "sample-standard-deviation",
            _but(uwo=_minus(lambda r: r.std(0))),
            "the standard deviation was taken off, with n - 1; UWO takes off the population variance",
        ),
        Misconception(
            "sample-variance",
            _but(uwo=_minus(lambda r: r.var(0))),
            "this variance has n - 1 in the denominator, torch's default; the population's has n",
        ),
        Misconception(
            "second-moment",
            _but(uwo=_minus(lambda r: r.square().mean(0))),
            "the mean of the squares was taken off; the variance is about the mean",
        ),
        Misconception(
            "sum-of-squares",
            _but(uwo=_minus(lambda r: (r - r.mean(0)).square().sum(0))),
            "the squared deviations were added up and not averaged",
        ),
        Misconception(
            "mean-deviation",
            _but(uwo=_minus(lambda r: (r - r.mean(0)).abs().mean(0))),
            "the mean absolute deviation was taken off; UWO takes off the variance",
        ),
        Misconception(
            "range",
            _but(uwo=_minus(lambda r: r.amax(0) - r.amin(0))),
            "the range was taken off; UWO takes off the variance",
        ),
        Misconception(
            "variance-added",
            _but(uwo=lambda r, c: r.mean(0) + c * r.var(0, correction=0)),
            "the variance was added: that is a bonus for responses that the models disagree on",
        ),
        Misconception(
            "coef-squared",
            _but(uwo=lambda r, c: r.mean(0) - c * c * r.var(0, correction=0)),
            "coef was squared",
        ),
        Misconception(
            "default-coef",
            lambda rewards, rule, coef=0.5: ensemble_reward(rewards, rule, coef),
            "coef is 1 where none is given",
        ),
        Misconception(
            "coef-halved",
            _but(uwo=lambda r, c: r.mean(0) - c / 2 * r.var(0, correction=0)),
            "there is no half before the variance",
        ),
        Misconception(
            "coef-ignored",
            _but(uwo=lambda r, c: r.mean(0) - r.var(0, correction=0)),
            "coef plays no part; it multiplies the variance",
        ),
        Misconception(
            "coef-on-everything",
            _but(uwo=lambda r, c: c * (r.mean(0) - r.var(0, correction=0))),
            "coef multiplies the mean too; it belongs to the variance alone",
        ),
        Misconception(
            "weighted-average",
            _but(uwo=lambda r, c: (1 - c) * r.mean(0) - c * r.var(0, correction=0)),
            "the mean lost its weight of 1; only the variance is weighed, by coef",
        ),
        Misconception(
            "min-minus-variance",
            _but(uwo=lambda r, c: r.amin(0) - c * r.var(0, correction=0)),
            "the variance was taken off the worst case; UWO takes it off the mean",
        ),
        Misconception(
            "variance-over-responses",
            _but(uwo=lambda r, c: r.mean(0) - c * r.var(correction=0)),
            "this is one variance over models and responses together; each response has its own, over the models",
        ),
        Misconception(
            "variance-of-the-means",
            _but(uwo=lambda r, c: r.mean(0) - c * r.mean(0).var(correction=0)),
            "this is the variance of the means over the responses; each response has its own, over the models",
        ),
        Misconception(
            "percentile-nearest",
            _but(percentile25=_percentile("nearest")),
            "the nearest model's reward was taken; between two models the percentile is interpolated linearly",
        ),
        Misconception(
            "percentile-lower",
            _but(percentile25=_percentile("lower")),
            "the model below was taken; between two models the percentile is interpolated linearly",
        ),
        Misconception(
            "percentile-higher",
            _but(percentile25=_percentile("higher")),
            "the model above was taken; between two models the percentile is interpolated linearly",
        ),
        Misconception(
            "percentile-midpoint",
            _but(percentile25=_percentile("midpoint")),
            "the middle between two models was taken; the percentile lies where linear interpolation puts it",
        ),
        Misconception(
            "percentile-75",
            _but(percentile25=_percentile(q=0.75)),
            "this is the 75th percentile; the conservative one is the 25th",
        ),
        Misconception(
            "percentile-25-of-1",
            _but(percentile25=_percentile(q=0.0025)),
            "this is the percentile 0.25; mind whether a share or a percentage is asked for",
        ),
        Misconception(
            "median",
            _but(percentile25=_percentile(q=0.5)),
            "this is the median; the 25th percentile lies below it",
        ),
        Misconception(
            "percentile-by-M",
            _but(percentile25=_other_position(lambda m: 0.25 * m)),
            "the place was 0.25 · M; from the lowest (place 0) to the highest there are M - 1 steps",
        ),
        Misconception(
            "percentile-by-M-minus-half",
            _but(percentile25=_other_position(lambda m: 0.25 * m - 0.5)),
            "this is another definition of a percentile (Hazen's); numpy's and torch's linear one is wanted",
        ),
        Misconception(
            "percentile-by-M-plus-1",
            _but(percentile25=_other_position(lambda m: 0.25 * (m + 1) - 1)),
            "this is another definition of a percentile (Weibull's); numpy's and torch's linear one is wanted",
        ),
        Misconception(
            "percentile-of-everything",
            _but(percentile25=lambda r, c: r.quantile(0.25).expand(r.shape[1])),
            "this is one percentile of all rewards; each response has its own, over the models",
        ),
        Misconception(
            "lower-quarter",
            _but(percentile25=lambda r, c: r.sort(0).values[: max(1, round(len(r) / 4))].mean(0)),
            "this is the mean of the lowest quarter of the models; the percentile is where that quarter ends",
        ),
        Misconception(
            "max",
            _but(min=lambda r, c: r.amax(0)),
            "this is the best case; the worst case is the lowest reward",
        ),
        Misconception(
            "worst-case-detached",
            _but(min=lambda r, c: r.detach().amin(0)),
            "the worst case was cut from its graph; a gradient goes to the model that is lowest",
        ),
        Misconception(
            "percentile-weights-exchanged",
            _but(percentile25=_weights_exchanged),
            "between two models the weights are exchanged: at place k + f the upper one counts f, the lower one 1 - f",
        ),
        Misconception(
            "percentile-unsorted",
            _but(percentile25=_unsorted),
            "the models were left in their order; sort each response's rewards first",
        ),
        Misconception(
            "min-indices",
            _but(min=lambda r, c: r.argmin(0).to(r.dtype)),
            "this is which model gives the lowest reward; the reward itself is wanted",
        ),
        Misconception(
            "lowest-model",
            _but(min=lambda r, c: r[r.mean(1).argmin()]),
            "the model that is lowest on average was taken for all responses; each response has its own worst case",
        ),
        Misconception(
            "lowest-of-all",
            _but(min=lambda r, c: r.min().expand(r.shape[1])),
            "this is the lowest reward of all; each response has its own",
        ),
        Misconception(
            "sum",
            _but(mean=lambda r, c: r.sum(0)),
            "the models' rewards were added up; divide by the number of models",
        ),
        Misconception(
            "median-for-mean",
            _but(mean=lambda r, c: r.quantile(0.5, dim=0)),
            "this is the median of the models; their mean is wanted",
        ),
        Misconception(
            "over-the-responses",
            _over_axis_1,
            "the rule was applied over the responses; it goes over the models, the first axis",
        ),
        Misconception(
            "one-number",
            _over_everything,
            "one number came back; each response has a reward",
        ),
        Misconception(
            "batch-mean",
            _then(lambda r: r.mean()),
            "the rewards were averaged over the responses; return one for each",
        ),
        Misconception(
            "axis-kept",
            _then(lambda r: r.unsqueeze(0)),
            "the first axis is still there; the shape is (B,)",
        ),
        Misconception(
            "standardised",
            _standardised,
            "each model's rewards were standardised first; the rule is on the rewards as they are",
        ),
        Misconception(
            "detached",
            _then(torch.Tensor.detach),
            "no gradient reaches the rewards",
        ),
        Misconception(
            "list",
            _then(torch.Tensor.tolist),
            "a list came back; a tensor of shape (B,) is wanted",
        ),
        Misconception(
            "variance-detached",
            _but(uwo=lambda r, c: r.mean(0) - c * r.detach().var(0, correction=0)),
            "the value is right, but the variance was cut from its graph",
        ),
        Misconception(
            "float32-only",
            lambda rewards, rule, coef=1.0: ensemble_reward(rewards.float(), rule, coef),
            "the rewards were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "float64-only",
            lambda rewards, rule, coef=1.0: ensemble_reward(rewards.double(), rule, coef),
            "the result is float64, whatever came in; keep the dtype of the rewards",
        ),
        Misconception(
            "in-place",
            _rewards_in_place,
            "the rewards that were given are no longer the same; work on a copy",
        ),
    ),
    alternatives={
        "model by model": _by_hand,
        "table": _by_table,
        "topk and lerp": _by_topk,
        "var_mean and weights": _by_var_mean,
    },
    hints=(
        "Every rule goes over the models, the first axis, and leaves one number for each response.",
        "torch.quantile interpolates linearly by itself. Its first argument after the tensor is a share, not a percentage.",
        "torch.var divides by n - 1 unless told otherwise (correction=0). With one model, the variance is 0.",
    ),
)


# --- worst-case-reward ------------------------------------------------------------------------


def _rewards(draw, models, responses):
    return draw.probabilities(responses), draw.normal(models, responses, scale=1.5)


def _robust_cases(draw):
    policy = _column(0.5, 0.5)
    return [
        Case(
            (policy, torch.stack([_column(1.0, 0.0), _column(0.0, 0.8)])), label="two rewards, two responses"
        ),
        Case(_rewards(draw, 4, 6), label="four rewards, six responses"),
        Case(_rewards(draw, 3, 3), label="three rewards, three responses"),
        Case(_rewards(draw, 6, 2), label="six rewards, two responses"),
        Case((draw.probabilities(5), draw.normal(3, 5) + 4), label="rewards all positive"),
        Case((draw.probabilities(4), draw.normal(5, 4) - 6), label="rewards all negative"),
        Case(_rewards(draw, 1, 4), label="one reward"),
        Case((_column(0.0, 1.0, 0.0), draw.normal(4, 3)), label="a policy with one response"),
        Case((draw.probabilities(5), draw.normal(5, 4).T), label="not contiguous"),
    ]


def _policy_in_place(policy, rewards):
    right = robust_value(policy, rewards)
    with torch.no_grad():
        rewards.mul_(policy)
    return right


def _by_loop(policy, rewards):
    values = []
    for reward in rewards:
        value = 0.0
        for p, r in zip(policy, reward, strict=True):
            value = value + p * r
        values.append(value)
    return min(values)


def _by_sort(policy, rewards):
    return torch.einsum("y,my->m", policy, rewards).sort().values[0]


def _by_inner_minimum(policy, rewards):
    means = torch.nn.functional.linear(policy, rewards)
    return means[means.argmin()]


WORST_CASE_REWARD = Exercise(
    id="worst-case-reward",
    function="robust_value",
    reference=robust_value,
    observe=observe_on_simplex,
    parts=(
        Part("values", 2, _robust_cases),
        gradient(0.5, lambda draw: [Case(_rewards(draw, 4, 5), grads=(0, 1))]),
        form(0.5, lambda draw: _rewards(draw, 3, 4)),
    ),
    misconceptions=(
        Misconception(
            "expected-minimum",
            lambda p, r: p @ r.amin(0),
            "this is the expected minimum: another worst reward for each response. One reward must do for all of them",
        ),
        Misconception(
            "mean-over-rewards",
            lambda p, r: (r @ p).mean(),
            "this is the mean over the plausible rewards; the worst of them counts",
        ),
        Misconception(
            "best-case",
            lambda p, r: (r @ p).max(),
            "this is the best case over the rewards; the worst is wanted",
        ),
        Misconception(
            "values",
            lambda p, r: r @ p,
            "this is the expected reward under each of them; the lowest of these is wanted",
        ),
        Misconception(
            "lowest-reward",
            lambda p, r: r.min() + 0 * p.sum(),
            "this is the lowest reward of any response; weigh the responses by the policy first",
        ),
        Misconception(
            "lowest-weighted",
            lambda p, r: (r * p).min(),
            "this is the smallest single product; add up over the responses before taking the minimum",
        ),
        Misconception(
            "mean-over-responses",
            lambda p, r: (r * p).mean(1).min(),
            "the products were averaged over the responses; the probabilities are the weights already, so add up",
        ),
        Misconception(
            "policy-ignored",
            lambda p, r: r.mean(1).min() + 0 * p.sum(),
            "all responses have the same weight here; the policy's probabilities are the weights",
        ),
        Misconception(
            "greedy",
            lambda p, r: r[:, p.argmax()].min() + 0 * p.sum(),
            "only the likeliest response was looked at",
        ),
        Misconception(
            "best-response",
            lambda p, r: r.amin(0).max() + 0 * p.sum(),
            "this is the value of the response that is safest; the value of the *given* policy is wanted",
        ),
        Misconception(
            "max-min",
            lambda p, r: (p * r.amax(0)).sum(),
            "this is the expected maximum, and the best case at that",
        ),
        Misconception(
            "softmax-of-policy",
            lambda p, r: (r @ torch.softmax(p, 0)).min(),
            "the policy went through a softmax; it holds probabilities already",
        ),
        Misconception(
            "log-policy",
            lambda p, r: (r * torch.log(p.clamp(min=1e-30))).sum(1).min(),
            "the logarithm of the policy was taken; the probabilities themselves are the weights",
        ),
        Misconception(
            "exponential-of-policy",
            lambda p, r: (r @ p.exp()).min(),
            "the policy went through an exponential; it holds probabilities already",
        ),
        Misconception(
            "soft-minimum",
            lambda p, r: -torch.logsumexp(-(r @ p), 0),
            "this is a soft minimum, which lies below all the values; the minimum itself is wanted",
        ),
        Misconception(
            "absolute",
            lambda p, r: (v := r @ p)[v.abs().argmin()],
            "this is the value nearest to 0, not the lowest",
        ),
        Misconception(
            "minus",
            lambda p, r: -(r @ p).min(),
            "the sign is turned; this would be a loss",
        ),
        Misconception(
            "minimum-of-minus",
            lambda p, r: (-(r @ p)).min(),
            "the sign is turned before the minimum, so that this is minus the best case",
        ),
        Misconception(
            "regret",
            lambda p, r: ((r @ p) - r.amax(1)).min(),
            "this is a regret against the best response under each reward; the value itself is wanted",
        ),
        Misconception(
            "mean-minus-variance",
            lambda p, r: (r @ p).mean() - (r @ p).var(correction=0),
            "this is the mean minus the variance over the rewards; the worst case is wanted",
        ),
        Misconception(
            "percentile",
            lambda p, r: (r @ p).quantile(0.25),
            "this is the 25th percentile over the rewards; the worst case is wanted",
        ),
        Misconception(
            "detached",
            lambda p, r: (r @ p).min().detach(),
            "no gradient reaches the policy",
        ),
        Misconception(
            "sum-over-rewards",
            lambda policy, rewards: (rewards @ policy).sum(),
            "the values under all the rewards were added up; the lowest of them is wanted",
        ),
        Misconception(
            "median-over-rewards",
            lambda policy, rewards: (rewards @ policy).median(),
            "this is the median over the plausible rewards; the worst of them counts",
        ),
        Misconception(
            "first-reward",
            lambda policy, rewards: rewards[0] @ policy,
            "this is the value under the first reward; the lowest over all of them is wanted",
        ),
        Misconception(
            "lowest-reward-on-average",
            lambda policy, rewards: rewards[rewards.mean(1).argmin()] @ policy,
            "the reward that is lowest on average over the responses was taken; which one is worst depends on the policy",
        ),
        Misconception(
            "which",
            lambda p, r: (r @ p).argmin().to(p.dtype) + 0 * p.sum(),
            "this is which reward is the worst one; its value is wanted",
        ),
        Misconception(
            "wrong-axis",
            lambda p, r: (r.T @ p).min() if len(p) == len(r) else (r * p).sum(0).min(),
            "the sum runs over the rewards; it must run over the responses",
        ),
        Misconception(
            "one-element",
            lambda p, r: (r @ p).min().reshape(1),
            "the result has an axis of length 1; a scalar has none",
        ),
        Misconception(
            "float",
            lambda p, r: (r @ p).min().item(),
            "a Python float came back; a scalar tensor is wanted, so that a gradient can flow",
        ),
        Misconception(
            "policy-detached",
            lambda p, r: (r @ p.detach()).min(),
            "no gradient reaches the policy, which is what one would optimise",
        ),
        Misconception(
            "rewards-detached",
            lambda p, r: (r.detach() @ p).min(),
            "no gradient reaches the rewards; the course's functions let it through to every float tensor",
        ),
        Misconception(
            "float32-only",
            lambda p, r: (r.float() @ p.float()).min(),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "float64-only",
            lambda p, r: (r.double() @ p.double()).min(),
            "the result is float64, whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "in-place",
            _policy_in_place,
            "one of the inputs was overwritten (*= or an operation ending in _); make a new tensor",
        ),
    ),
    alternatives={
        "loop": _by_loop,
        "einsum and sort": _by_sort,
        "linear layer": _by_inner_minimum,
        "product and sum": lambda policy, rewards: (policy * rewards).sum(dim=-1).amin(),
        "normalised": lambda policy, rewards: -(-(rewards @ (policy / policy.sum()))).max(),
    },
    hints=(
        "Two steps over two axes: a sum weighted by the policy, then a minimum. In which order?",
        "One plausible reward is the true one, for all responses at once: take the expected reward under each first.",
    ),
)


# --- pareto-front -----------------------------------------------------------------------------


def _observe_front(function, case):
    """Which rows are on the front, from any tensor of truth values, and apart from that its dtype."""
    seen = observe_call(function, case)
    if "error" in seen:
        return seen
    result = seen["result"]
    if not isinstance(result, torch.Tensor):
        kind = "None (is there a `return`?)" if result is None else type_of(result)
        words = Missing(f"{kind} where a bool tensor is wanted")
        return seen | {"result": words, "dtype": words}
    if result.dim() == 1 and bool(((result == 0) | (result == 1)).all()):
        seen["result"] = result.bool()
    return seen


def _grid(draw, rows, columns, top=4):
    """Points on a coarse grid: many share a coordinate, some are copies."""
    return draw.integers(0, top, rows, columns).to(torch.float64)


def _front_cases(draw):
    worked = torch.tensor([[1.0, 3.0], [2.0, 2.0], [3.0, 0.0], [1.0, 1.0], [1.5, 1.5]], dtype=torch.float64)
    dent = torch.tensor([[0.0, 10.0], [10.0, 0.0], [3.0, 3.0], [2.9, 2.9], [-1.0, 4.0]], dtype=torch.float64)
    chain = torch.arange(6, dtype=torch.float64)[draw.permutation(6)]
    return [
        Case((worked,), label="five points, two objectives"),
        Case((dent,), label="a point inside the line between two others"),
        Case((draw.normal(12, 2),), label="twelve points, two objectives"),
        Case((draw.normal(14, 3),), label="14 points, three objectives"),
        Case((draw.normal(10, 4) - 5,), label="ten points, four objectives, all negative"),
        Case(
            (torch.stack([chain, chain + draw.normal(6, scale=0.1)], 1),),
            label="six points, one above the other",
        ),
        Case((torch.stack([chain, -chain], 1),), label="six points, all on the front"),
        Case((draw.normal(3, 3),), label="three points, three objectives"),
        Case((_near_points(draw),), label="points that are near each other"),
    ]


def _near_points(draw):
    """One point on the front, one that it beats by 1e-4 everywhere, and one that it beats in all objectives but one."""
    top = draw.normal(3)
    return torch.stack([top - 1e-4, top, top + torch.tensor([-1e-4, -0.2, 1e-4], dtype=torch.float64)])


def _equal_cases(draw):
    worked = torch.tensor([[1.0, 2.0], [2.0, 2.0], [2.0, 1.0], [0.0, 3.0], [0.0, 2.0]], dtype=torch.float64)
    twins = torch.tensor(
        [[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [0.5, 0.5], [0.5, 0.5], [2.0, 1.0]], dtype=torch.float64
    )
    return [
        Case((worked,), label="points that share a coordinate"),
        Case((twins,), label="copies, on the front and below it"),
        Case((twins[:, :1].expand(6, 2).contiguous(),), label="equal coordinates"),
        Case((_grid(draw, 20, 2),), label="20 points on a grid"),
        Case((_grid(draw, 25, 3),), label="25 points on a grid, three objectives"),
        Case((torch.cat([twins, twins])[draw.permutation(12)],), label="every point at least twice"),
    ]


def _small_cases(draw):
    return [
        Case((draw.normal(1, 3),), label="one point"),
        Case((_grid(draw, 9, 1),), label="one objective, with ties"),
        Case((torch.full((4, 2), 1.5).double(),), label="four copies"),
        Case((draw.normal(2, 9).T,), label="nine points, not contiguous"),
    ]


def _front_form(draw):
    return [
        Case(cast((draw.normal(7, 2),), torch.float32), label="float32"),
        Case((draw.normal(7, 3),), label="float64"),
    ]


# --- pareto-front: answers --------------------------------------------------------------------


def _pairs(dominates, collect=lambda beaten: ~beaten.any(1)):
    """An answer from `dominates(other, one)`: (N, N) for (N, N, K) each."""

    def answer(points):
        n, k = points.shape
        one, other = points[:, None].expand(n, n, k), points[None].expand(n, n, k)
        return collect(dominates(other, one))

    return answer


def _others(matrix):
    return matrix & ~torch.eye(len(matrix), dtype=torch.bool)


def _then_front(change):
    return lambda points: change(pareto_front(points), points)


def _one_copy(front, points):
    seen = set()
    rows = [tuple(row) for row in points.tolist()]
    return torch.tensor(
        [bool(f) and not (r in seen or seen.add(r)) for f, r in zip(front, rows, strict=True)]
    )


def _weighted_sums(points):
    """Best for some weighing of the objectives: misses the points in a dent."""
    generator = torch.Generator().manual_seed(0)
    weights = -torch.rand(3000, points.shape[1], generator=generator, dtype=torch.float64).log()
    weights = torch.cat([weights, torch.eye(points.shape[1], dtype=torch.float64) + 1e-9])
    scores = weights @ points.T.double()
    return (scores == scores.amax(1, keepdim=True)).any(0)


def _by_sorting(points):
    """Keeps a point, from the best in the first objective down, where its second is a new record."""
    rows = points.tolist()
    front, record = [False] * len(rows), float("-inf")
    for i in sorted(range(len(rows)), key=lambda i: rows[i], reverse=True):
        last = rows[i][-1]
        if last > record:
            front[i], record = True, last
    return torch.tensor(front)


def _first_two(points):
    return pareto_front(points[:, :2])


def _mean_only(points):
    return points.mean(1) >= points.mean(1).mean()


def _layers(points):
    """A point is dropped as soon as one before it in the list dominates it."""
    n = len(points)
    beaten = [
        [bool((points[j] >= points[i]).all() and (points[j] > points[i]).any()) for j in range(i)]
        for i in range(n)
    ]
    return torch.tensor([not any(b) for b in beaten])


def _later_ones(points):
    return _layers(points.flip(0)).flip(0)


def _nearly_equal(points):
    def dominates(other, one):
        return (other >= one - 1e-3).all(-1) & (other > one + 1e-3).any(-1)

    return _pairs(dominates)(points)


def _neighbours(points):
    before, after = points.roll(1, 0), points.roll(-1, 0)
    beaten = [(o >= points).all(1) & (o > points).any(1) for o in (before, after)]
    return ~(beaten[0] | beaten[1])


def _points_in_place(points):
    right = pareto_front(points)
    points.copy_(points.sort(0).values)
    return right


def _loops(points):
    rows = points.tolist()

    def dominated(row):
        return any(all(a >= b for a, b in zip(other, row, strict=True)) and other != row for other in rows)

    return torch.tensor([not dominated(row) for row in rows])


def _by_numpy(points):
    x = points.detach().numpy()
    keep = np.ones(len(x), dtype=bool)
    for i, row in enumerate(x):
        keep[i] = not ((x >= row).all(1) & (x != row).any(1)).any()
    return torch.from_numpy(keep)


def _by_unique(points):
    unique, inverse = torch.unique(points, dim=0, return_inverse=True)
    at_least = (unique[None] >= unique[:, None]).all(-1)
    return (at_least.sum(1) == 1)[inverse]


def _by_pandas(points):
    import pandas as pd

    frame = pd.DataFrame(points.numpy())
    flags = frame.apply(
        lambda row: not ((frame >= row).all(axis=1) & (frame > row).any(axis=1)).any(), axis=1
    )
    return torch.tensor(flags.to_numpy(dtype=bool))


def _by_elimination(points):
    alive = torch.ones(len(points), dtype=torch.bool)
    for i in range(len(points)):
        if alive[i]:
            worse = (points <= points[i]).all(dim=1) & (points < points[i]).any(dim=1)
            alive = alive & ~worse
    return alive


PARETO_FRONT = Exercise(
    id="pareto-front",
    function="pareto_front",
    reference=pareto_front,
    observe=_observe_front,
    parts=(
        Part("points that differ in every objective", 1.5, _front_cases),
        Part("equal coordinates and copies", 1.5, _equal_cases),
        Part("one point, one objective", 0.5, _small_cases),
        Part("a bool tensor, points unchanged", 0.5, _front_form, ("dtype", "inputs")),
    ),
    misconceptions=(
        Misconception(
            "beaten-everywhere",
            _pairs(lambda o, p: (o > p).all(-1)),
            "a point was dropped only where another beats it in *every* objective; equal in one and better in another is enough",
        ),
        Misconception(
            "copies-drop-each-other",
            _pairs(lambda o, p: _others((o >= p).all(-1))),
            "copies dropped each other: a point that is equalled everywhere and beaten nowhere stays",
        ),
        Misconception(
            "one-copy",
            _then_front(_one_copy),
            "only the first of several copies is marked; all of them are on the front",
        ),
        Misconception(
            "sorting",
            _by_sorting,
            "sorting by one objective and keeping records of another does for two objectives without ties only",
        ),
        Misconception(
            "beaten-anywhere",
            _pairs(lambda o, p: (o > p).any(-1)),
            "a point was dropped where another beats it in any one objective; that one must equal or beat it in all",
        ),
        Misconception(
            "itself",
            _pairs(lambda o, p: (o >= p).all(-1)),
            "every point equals itself, so that none is left; it must be beaten somewhere too",
        ),
        Misconception(
            "smaller-is-better",
            lambda points: pareto_front(-points),
            "this is the front for costs, where smaller is better; larger is better here",
        ),
        Misconception(
            "dominated",
            _then_front(lambda front, points: ~front),
            "this marks the points that are dominated; the others are wanted",
        ),
        Misconception(
            "dominating",
            _pairs(lambda o, p: (p >= o).all(-1) & (p > o).any(-1), lambda better: better.any(1)),
            "this marks the points that dominate some other one; on the front are those that none dominates",
        ),
        Misconception(
            "best-somewhere",
            lambda points: (points == points.amax(0)).any(1),
            "this marks the best in each single objective; a compromise may be on the front too",
        ),
        Misconception(
            "best-sum",
            lambda points: points.sum(1) == points.sum(1).max(),
            "this marks the best sum; the front needs no weighing of the objectives",
        ),
        Misconception(
            "some-weighing",
            _weighted_sums,
            "these are best for some weighing of the objectives; a point in a dent of the front is best for none",
        ),
        Misconception(
            "above-average",
            _mean_only,
            "this marks the points above the average",
        ),
        Misconception(
            "two-objectives",
            _first_two,
            "only the first two objectives were looked at",
        ),
        Misconception(
            "earlier-ones-only",
            _layers,
            "each point was compared with the ones before it only; one after it may dominate it too",
        ),
        Misconception(
            "nearly-equal",
            _nearly_equal,
            "near points were taken for equal ones; at least as good is meant as it stands",
        ),
        Misconception(
            "first-objective",
            lambda points: points[:, 0] == points[:, 0].max(),
            "only the first objective was looked at",
        ),
        Misconception(
            "copies-merged",
            lambda points: pareto_front(torch.unique(points, dim=0)),
            "torch.unique sorts the rows and merges copies: the marks belong to the rows as they came",
        ),
        Misconception(
            "later-ones-only",
            _later_ones,
            "each point was compared with the ones behind it only; one before it may dominate it too",
        ),
        Misconception(
            "neighbours-only",
            _neighbours,
            "each point was compared with its neighbours only",
        ),
        Misconception(
            "floats",
            _then_front(lambda front, points: front.to(points.dtype)),
            "the marks are floats; a bool tensor is wanted",
        ),
        Misconception(
            "integers",
            _then_front(lambda front, points: front.long()),
            "the marks are integers; a bool tensor is wanted, which can index the rows",
        ),
        Misconception(
            "positions",
            _then_front(lambda front, points: front.nonzero().squeeze(1)),
            "these are the positions of the points on the front; a truth value for each row is wanted",
        ),
        Misconception(
            "points",
            _then_front(lambda front, points: points[front]),
            "these are the points on the front; a truth value for each row is wanted",
        ),
        Misconception(
            "list",
            _then_front(lambda front, points: front.tolist()),
            "a list came back; a bool tensor is wanted",
        ),
        Misconception(
            "array",
            _then_front(lambda front, points: front.numpy()),
            "an array came back; a bool tensor is wanted",
        ),
        Misconception(
            "column",
            _then_front(lambda front, points: front[:, None]),
            "the result has two axes; one truth value for each row is wanted",
        ),
        Misconception(
            "in-place",
            _points_in_place,
            "the points that were given are no longer the same; work on a copy",
        ),
    ),
    alternatives={
        "loops": _loops,
        "numpy": _by_numpy,
        "unique rows": _by_unique,
        "pandas": _by_pandas,
        "elimination": _by_elimination,
    },
    hints=(
        "Write down when one point dominates another: two conditions on all their coordinates, joined by `and`.",
        "Compare every row with every other: points[:, None] against points[None] has the shape (N, N, K).",
        "Does a point dominate itself, or its copy? It must not, or nothing is left.",
    ),
)
