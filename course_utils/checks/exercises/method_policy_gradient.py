"""03-method-comparison: the clipped loss, advantages within a group, estimators of the KL."""

import math

import numpy as np
import torch
from torch.nn import functional as F

from course_utils.checks.cases import form, gradient
from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.observe import observe_call
from course_utils.policy_gradient import group_advantages, kl_estimators, ppo_loss
from course_utils.words import type_of


def tensor(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


# --------------------------------------------------------------------------------------------- ppo-loss

# Ratios below, inside and above every clip range in use, with advantages of both signs.
RATIOS = (1.5, 1.5, 0.5, 0.5, 1.04, 1.04, 0.95, 0.95, 3.0, 0.2)
SIGNS = (1.0, -1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0, -1.0, 1.0)


def draw_step(draw, rows=2):
    """logp, old_logp, advantages (rows, 10): a ratio of each kind in every row, in another order."""
    order = torch.stack([torch.tensor(draw.permutation(len(RATIOS))) for _ in range(rows)])
    ratio = tensor(*RATIOS)[order] * draw.uniform(0.99, 1.01, *order.shape)
    old = draw.uniform(-6.0, -1.5, *order.shape)
    advantages = tensor(*SIGNS)[order] * draw.uniform(0.5, 2.0, *order.shape)
    return old + ratio.log(), old, advantages


def _worked_step():
    return (
        tensor(1.5, 1.5, 0.5, 0.5).log() - 2.0,
        tensor(-2.0, -2.0, -2.0, -2.0),
        tensor(1.0, -1.0, -1.0, 1.0),
    )


def _far_step():
    """Ratios of 30 and of 1/30, with advantages of both signs: the bad token has a full gradient back."""
    return tensor(30, 30, 1 / 30, 1 / 30).log() - 5.0, tensor(-5, -5, -5, -5), tensor(-1, 1, -1, 1)


_FAR = "ratios 30, 30, 1/30, 1/30, advantages -1, 1, -1, 1"


def _step_cases(draw):
    logp, old, advantages = draw_step(draw)
    return [
        Case(_worked_step(), label="ratios 1.5, 1.5, 0.5, 0.5, advantages 1, -1, -1, 1"),
        Case((logp, old, advantages), label="two rows, clip left at its default"),
        Case((*draw_step(draw, 1), 0.1), label="one row, clip=0.1"),
        Case(draw_step(draw, 3), {"clip": 0.4}, "three rows, clip=0.4"),
        Case((old.clone(), old, advantages), label="the first step: logp equals old_logp"),
        Case(_far_step(), label=_FAR),
        Case((tensor(-2), tensor(-14), tensor(-1)), label="a log-ratio of 12, advantage -1"),
    ]


def _step_gradients(draw):
    logp, old, advantages = draw_step(draw)
    return [
        Case(_worked_step(), label="ratios 1.5, 1.5, 0.5, 0.5, advantages 1, -1, -1, 1", grads=(0,)),
        Case((logp, old, advantages), label="two rows", grads=(0,)),
        Case((*draw_step(draw, 3), 0.4), label="three rows, clip=0.4", grads=(0,)),
        Case((old.clone(), old, advantages), label="the first step: logp equals old_logp", grads=(0,)),
        Case(_far_step(), label=_FAR, grads=(0,)),
    ]


def _clipped(combine=torch.minimum, ratio=lambda new, old: (new - old).exp(), bound=None, sign=-1.0):
    """The surrogate with another ratio, another bound, or the two terms combined in another way."""
    bound = bound or (lambda rho, clip: rho.clamp(1 - clip, 1 + clip))

    def answer(logp, old_logp, advantages, clip=0.2):
        rho = ratio(logp, old_logp)
        return sign * combine(rho * advantages, bound(rho, clip) * advantages)

    return answer


def _smaller_ratio(logp, old_logp, advantages, clip=0.2):
    rho = (logp - old_logp).exp()
    return -torch.minimum(rho, rho.clamp(1 - clip, 1 + clip)) * advantages


def _clip_the_product(logp, old_logp, advantages, clip=0.2):
    surrogate = (logp - old_logp).exp() * advantages
    return -torch.minimum(surrogate, surrogate.clamp(1 - clip, 1 + clip))


def _with_advantages(change):
    return lambda logp, old_logp, advantages, clip=0.2: ppo_loss(logp, old_logp, change(advantages), clip)


def _with_logp(change):
    return lambda logp, old_logp, advantages, clip=0.2: ppo_loss(change(logp), old_logp, advantages, clip)


def _bounded_log_ratio(bound):
    return _clipped(ratio=lambda new, old: (new - old).clamp(-bound, bound).exp())


def _dual(bound):
    """The loss of a bad token capped at `bound` times its advantage."""

    def answer(logp, old_logp, advantages, clip=0.2):
        loss = ppo_loss(logp, old_logp, advantages, clip)
        return torch.where(advantages < 0, torch.minimum(loss, -bound * advantages), loss)

    return answer


def _straight_through(logp, old_logp, advantages, clip=0.2):
    loss = ppo_loss(logp, old_logp, advantages, clip)
    rho = (logp - old_logp).exp()
    return loss.detach() - (rho - rho.detach()) * advantages


def _old_from_new(logp, old_logp, advantages, clip=0.2):
    """The gradient of log pi, not of the ratio: the ratio counts as a weight."""
    rho = (logp - old_logp).exp().detach()
    loss = -torch.minimum(rho * advantages, rho.clamp(1 - clip, 1 + clip) * advantages)
    inside = torch.where(advantages > 0, rho < 1 + clip, rho > 1 - clip)
    return loss - (logp - logp.detach()) * advantages * inside


def _sequence_ratio(logp, old_logp, advantages, clip=0.2, reduced=torch.Tensor.mean):
    rho = reduced(logp - old_logp, -1, keepdim=True).exp()
    return -torch.minimum(rho * advantages, rho.clamp(1 - clip, 1 + clip) * advantages)


def _old_in_place(logp, old_logp, advantages, clip=0.2):
    with torch.no_grad():
        old = old_logp.clone()
        old_logp.copy_(logp)
    return ppo_loss(logp, old, advantages, clip)


def _bounded_by_sign(logp, old_logp, advantages, clip=0.2):
    rho = torch.exp(logp - old_logp)
    above, below = rho.clamp(max=1 + clip), rho.clamp(min=1 - clip)
    return -advantages * torch.where(advantages >= 0, above, below)


def _one_by_one(logp, old_logp, advantages, clip=0.2):
    losses = []
    for new, old, a in zip(logp.flatten(), old_logp.flatten(), advantages.flatten().tolist(), strict=True):
        rho = torch.exp(new - old)
        bounded = max(min(rho.item(), 1 + clip), 1 - clip)
        losses.append(-rho * a if rho.item() * a <= bounded * a else logp.new_tensor(-bounded * a))
    return torch.stack(losses).reshape(logp.shape)


def _bonus(logp, old_logp, advantages, clip=0.2):
    """min(ρA, A + clip · |A|): the bound that matters is above for a good token, below for a bad one."""
    return -torch.min((logp - old_logp).exp() * advantages, advantages + clip * advantages.abs())


PPO_LOSS = Exercise(
    id="ppo-loss",
    function="ppo_loss",
    reference=ppo_loss,
    parts=(
        Part("values", 2, _step_cases),
        gradient(1.5, _step_gradients, "gradient into the policy, none where it is clipped"),
        form(0.5, draw_step),
    ),
    misconceptions=(
        Misconception(
            "gradient-where-clipped",
            _straight_through,
            "the values are right, but a gradient flows where the ratio is clipped; there the policy is to stay as it is",
        ),
        Misconception(
            "ratio-detached",
            _old_from_new,
            "the values are right, but the gradient is that of log π: the ratio was cut from its graph and is missing as a "
            "factor",
        ),
        Misconception(
            "max",
            _clipped(torch.maximum),
            "of the two terms the larger was taken. The smaller is the cautious one: it never promises more than it can hold",
        ),
        Misconception(
            "clipped-only",
            _clipped(lambda raw, bounded: bounded),
            "only the clipped term is there. Then a policy that has gone too far the wrong way gets no gradient to come back",
        ),
        *(
            Misconception(
                f"log-ratio-bounded-{bound}",
                _bounded_log_ratio(bound),
                "the log-ratio was clamped before the exponential; a token far off has its whole ratio, and its gradient",
            )
            for bound in (1, 2, 3, 5, 10)
        ),
        *(
            Misconception(
                f"dual-clip-{bound}",
                _dual(bound),
                "a bad token's loss was capped (the dual clip of a later paper); here it grows with the ratio",
            )
            for bound in (3, 5, 10)
        ),
        Misconception(
            "unclipped",
            _clipped(lambda raw, bounded: raw),
            "the clipped term is missing: nothing keeps the ratio near 1",
        ),
        Misconception(
            "smaller-ratio",
            _smaller_ratio,
            "the smaller *ratio* was taken and then multiplied. With a negative advantage the order turns round: multiply "
            "first",
        ),
        Misconception(
            "product-clipped",
            _clip_the_product,
            "ratio times advantage was clipped; the bounds are for the ratio alone",
        ),
        Misconception(
            "upper-bound-only",
            _clipped(bound=lambda rho, clip: rho.clamp(max=1 + clip)),
            "the ratio has no lower bound, which matters where the advantage is negative",
        ),
        Misconception(
            "lower-bound-only",
            _clipped(bound=lambda rho, clip: rho.clamp(min=1 - clip)),
            "the ratio has no upper bound, which matters where the advantage is positive",
        ),
        Misconception(
            "bounds-of-the-logarithm",
            _clipped(bound=lambda rho, clip: rho.clamp(math.exp(-clip), math.exp(clip))),
            "the *logarithm* of the ratio was clipped to ±clip; the ratio itself is kept between 1 - clip and 1 + clip",
        ),
        Misconception(
            "bounds-inverse",
            _clipped(bound=lambda rho, clip: rho.clamp(1 / (1 + clip), 1 + clip)),
            "the lower bound is 1 / (1 + clip); it is 1 - clip",
        ),
        Misconception(
            "bounds-around-0",
            _clipped(bound=lambda rho, clip: rho.clamp(-clip, clip)),
            "the ratio was clipped to ±clip; it is 1 for an unchanged policy, and the bounds lie around that",
        ),
        Misconception(
            "default-clip",
            lambda logp, old_logp, advantages, clip=0.1: ppo_loss(logp, old_logp, advantages, clip),
            "clip is 0.1 where none is passed; its default is 0.2",
        ),
        Misconception(
            "clip-fixed",
            lambda logp, old_logp, advantages, clip=0.2: ppo_loss(logp, old_logp, advantages, 0.2),
            "clip is always 0.2 here, whatever is passed",
        ),
        Misconception(
            "sign",
            _clipped(sign=1.0),
            "the minus in front is missing: this is what PPO makes large, and an optimiser makes its loss small",
        ),
        Misconception(
            "ratio-turned",
            _clipped(ratio=lambda new, old: (old - new).exp()),
            "the ratio is upside down: the new policy over the one that sampled",
        ),
        Misconception(
            "no-exponential",
            _clipped(ratio=lambda new, old: new - old),
            "this is the logarithm of the ratio; the ratio is its exponential",
        ),
        Misconception(
            "log-quotient",
            _clipped(ratio=lambda new, old: new / old),
            "log-probabilities were divided; the ratio of the probabilities is the exponential of their difference",
        ),
        Misconception(
            "difference-of-probabilities",
            _clipped(ratio=lambda new, old: new.exp() - old.exp()),
            "probabilities were subtracted; they are to be divided",
        ),
        Misconception(
            "one-plus-log-ratio",
            _clipped(ratio=lambda new, old: 1 + new - old),
            "1 + the log-ratio is only near the ratio while the two policies hardly differ; take the exponential",
        ),
        Misconception(
            "no-old-policy",
            _clipped(ratio=lambda new, old: new.exp()),
            "the policy that sampled is missing: this is a probability, not a ratio",
        ),
        Misconception(
            "policy-gradient",
            lambda logp, old_logp, advantages, clip=0.2: -logp * advantages,
            "this is plain REINFORCE, -log π · A; PPO has the ratio and its clip in its place",
        ),
        Misconception(
            "old-is-new",
            lambda logp, old_logp, advantages, clip=0.2: ppo_loss(logp, logp.detach(), advantages, clip),
            "the ratio is 1 everywhere: the old policy is the one that sampled, not the one in training as it stands",
        ),
        Misconception(
            "sequence-ratio-summed",
            lambda logp, old_logp, advantages, clip=0.2: _sequence_ratio(
                logp, old_logp, advantages, clip, torch.Tensor.sum
            ),
            "one ratio for all tokens of a row, the product of theirs; here each token has its own",
        ),
        Misconception(
            "sequence-ratio",
            _sequence_ratio,
            "one ratio for all tokens of a row; here each token has its own",
        ),
        Misconception(
            "no-advantages",
            _with_advantages(torch.ones_like),
            "the advantages do not appear",
        ),
        Misconception(
            "absolute-advantages",
            _with_advantages(torch.abs),
            "the sign of the advantages is lost: bad tokens are encouraged too",
        ),
        Misconception(
            "sign-of-advantages",
            _with_advantages(torch.sign),
            "only the sign of the advantages counts here; their size does too",
        ),
        Misconception(
            "whitened",
            _with_advantages(lambda a: (a - a.mean()) / (a.std() + 1e-8)),
            "the advantages were normalised; that is a step of its own, not asked for here",
        ),
        Misconception(
            "centred",
            _with_advantages(lambda a: a - a.mean()),
            "the mean of the advantages was taken off; use them as they are",
        ),
        Misconception(
            "mean",
            lambda *args, **kwargs: ppo_loss(*args, **kwargs).mean(),
            "one number for all tokens; return one loss per token",
        ),
        Misconception(
            "sum",
            lambda *args, **kwargs: ppo_loss(*args, **kwargs).sum(),
            "the losses were added up to one number; return one loss per token",
        ),
        Misconception(
            "row-means",
            lambda *args, **kwargs: ppo_loss(*args, **kwargs).mean(-1),
            "the losses of a row were averaged; return one loss per token",
        ),
        Misconception(
            "keepdim",
            lambda *args, **kwargs: ppo_loss(*args, **kwargs).unsqueeze(-1),
            "the result has an axis too many; it has the shape of `logp`",
        ),
        Misconception(
            "detached",
            lambda *args, **kwargs: ppo_loss(*args, **kwargs).detach(),
            "no gradient reaches the policy, so nothing would be trained",
        ),
        Misconception(
            "float32-only",
            lambda logp, old_logp, advantages, clip=0.2: ppo_loss(
                logp.float(), old_logp.float(), advantages.float(), clip
            ),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "float64-only",
            lambda logp, old_logp, advantages, clip=0.2: ppo_loss(
                logp.double(), old_logp.double(), advantages.double(), clip
            ),
            "the result is float64, whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "in-place",
            _old_in_place,
            "one of the inputs was overwritten (-= or an operation ending in _); make a new tensor",
        ),
    ),
    alternatives={
        "max of losses": _clipped(
            lambda raw, bounded: torch.maximum(-raw, -bounded), sign=1.0, ratio=lambda a, b: a.exp() / b.exp()
        ),
        "bound by the sign": _bounded_by_sign,
        "one by one": _one_by_one,
        "a bonus of clip": _bonus,
        "stacked minimum": lambda logp, old_logp, advantages, clip=0.2: (
            -torch.stack(
                [
                    torch.exp(logp - old_logp) * advantages,
                    torch.clip(torch.exp(logp - old_logp), 1 - clip, 1 + clip) * advantages,
                ]
            )
            .min(dim=0)
            .values
        ),
    },
    hints=(
        "The ratio of two probabilities, from their logarithms: which operation turns a difference into a quotient?",
        "Two terms for each token: the ratio times the advantage, and the clipped ratio times the advantage. Multiply before "
        "you compare: a negative advantage turns the order round.",
        "torch.minimum compares two tensors element by element, and clamp has no gradient outside its bounds. The minus "
        "comes last.",
    ),
)


# ------------------------------------------------------------------------------------- group-advantages


def _unequal(draw, groups, size):
    """Rewards with gaps, none of them near the mean of its group: an advantage of about 0 has few digits."""
    steps = torch.arange(size, dtype=torch.float64) ** 1.3 / 2
    rows = [steps[draw.permutation(size)] + draw.uniform(-2.0, 1.0) for _ in range(groups)]
    return torch.cat(rows) + draw.uniform(-0.05, 0.05, groups * size)


def _group_cases(draw):
    near = 0.3 + draw.uniform(2e-4, 2e-3, 3) * tensor(-1.0, 0.3, 1.0)
    barely = 0.5 + draw.uniform(2e-5, 3e-5, 3) * tensor(-1.0, 0.4, 1.0)
    spread = tensor(3.0, 0.1, 20.0, 0.5).repeat_interleave(3)
    return [
        Case((tensor(1, 0, 0, 0), 4), label="one group, rewards 1, 0, 0, 0"),
        Case((spread * _unequal(draw, 4, 3) + 5 * spread.log(), 3), label="four groups of three"),
        Case((2 * _unequal(draw, 3, 2), 2), label="three groups of two"),
        Case((_unequal(draw, 2, 4) - 3, 4, 0.5), label="two groups of four, eps=0.5"),
        Case((torch.cat([near, barely, near.flip(0)]), 3), label="groups of nearly equal rewards"),
        Case((_unequal(draw, 2, 5), 5), {"eps": 0.01}, "two groups of five, eps=0.01"),
        Case((tensor(1, 1, 0, 1, 0, 0, 0, 1), 4), label="rewards of 0 and 1"),
    ]


def _constant_cases(draw):
    mixed = torch.cat([tensor(0, 0, 0, 0), draw.normal(4) + tensor(9, 3, -3, -9), tensor(1, 1, 1, 1)])
    # equal numbers whose mean is rounded: which ones are depends on the order of the sum, so there are several
    rounded = torch.cat(
        [tensor(number).repeat(size) for size in (6, 6, 6) for number in (0.1, 0.7, 10000.1, -1.7)]
    )
    threes = tensor(0.1, 0.7, 10000.1, -1.7).repeat_interleave(3)
    return [
        Case((tensor(1, 1, 1, 1, 0, 0, 0, 0), 4), label="all right and all wrong", scale=0.0),
        Case((mixed, 4), label="constant groups beside one that is not", scale=0.0),
        Case((tensor(-2, -2, 0.5, 0.5), 2, 0.01), label="constant groups of two", scale=0.0),
        *(
            Case(
                (rewards.to(dtype), size),
                label=f"groups of {size} equal rewards: .1, .7, 10000.1, -1.7, {name}",
                scale=0.0,
            )
            for rewards, size in ((rounded, 6), (threes, 3))
            for dtype, name in ((torch.float32, "float32"), (torch.float64, "float64"))
        ),
    ]


def _grouped(formula):
    """A formula over rows: from groups (n, group_size) and eps to advantages."""

    def answer(rewards, group_size, eps=1e-4):
        return formula(rewards.reshape(-1, group_size), eps).reshape(-1)

    return answer


def _centred(groups):
    return groups - groups.mean(1, keepdim=True)


def _std(groups, **kwargs):
    return groups.std(1, keepdim=True, **kwargs)


def _interleaved(rewards, group_size, eps=1e-4):
    groups = rewards.reshape(group_size, -1)
    return ((groups - groups.mean(0)) / (groups.std(0) + eps)).reshape(-1)


def _others_mean(groups):
    return (groups.sum(1, keepdim=True) - groups) / (groups.shape[1] - 1)


def _transposed(rewards, group_size, eps=1e-4):
    return group_advantages(rewards, group_size, eps).reshape(-1, group_size).T.reshape(-1)


def _columns_as_groups(rewards, group_size, eps=1e-4):
    if len(rewards) == group_size:
        return group_advantages(rewards, group_size, eps)
    groups = rewards.reshape(-1, group_size)
    return ((groups - groups.mean(0)) / (groups.std(0) + eps)).reshape(-1)


def _groups_in_place(rewards, group_size, eps=1e-4):
    groups = rewards.view(-1, group_size)
    groups -= groups.mean(1, keepdim=True)
    return (groups / (groups.std(1, keepdim=True) + eps)).reshape(-1)


def _by_hand(rewards, group_size, eps=1e-4):
    out = []
    values = rewards.tolist()
    for start in range(0, len(values), group_size):
        group = values[start : start + group_size]
        mean = math.fsum(group) / group_size
        std = math.sqrt(math.fsum((r - mean) ** 2 for r in group) / (group_size - 1))
        out += [(r - mean) / (std + eps) if max(group) > min(group) else 0.0 for r in group]
    return torch.tensor(out, dtype=rewards.dtype)


def _numpy_groups(rewards, group_size, eps=1e-4):
    groups = rewards.numpy().reshape(-1, group_size)
    alike = np.ptp(groups, axis=1, keepdims=True) == 0
    scaled = (groups - groups.mean(1, keepdims=True)) / (groups.std(1, ddof=1, keepdims=True) + eps)
    return torch.from_numpy(np.where(alike, 0, scaled).ravel().astype(groups.dtype))


def _pandas_groups(rewards, group_size, eps=1e-4):
    import pandas as pd

    frame = pd.Series(rewards.double().numpy()).groupby(np.arange(len(rewards)) // group_size)
    scaled = frame.transform(
        lambda group: (group - group.mean()) / (group.std() + eps) if group.nunique() > 1 else 0 * group
    )
    return torch.tensor(scaled.to_numpy(), dtype=rewards.dtype)


def _repeated(rewards, group_size, eps=1e-4):
    chunks = rewards.split(group_size)
    mean = torch.stack([c.mean() for c in chunks]).repeat_interleave(group_size)
    std = torch.stack([c.var(correction=1).sqrt() for c in chunks]).repeat_interleave(group_size)
    first = rewards[::group_size].repeat_interleave(group_size)
    alike = torch.stack([(c == c[0]).all() for c in chunks]).repeat_interleave(group_size)
    return (rewards - torch.where(alike, first, mean)) / (std + eps)


def _centring_matrix(rewards, group_size, eps=1e-4):
    groups = rewards.reshape(-1, group_size)
    groups = groups - groups[:, :1]  # 0 for a group of equal rewards, and so are its deviations
    centre = torch.eye(group_size, dtype=rewards.dtype) - 1 / group_size
    deviation = torch.einsum("ij,nj->ni", centre, groups)
    std = (deviation.square().sum(1) / (group_size - 1)).sqrt()
    return (deviation / (std + eps)[:, None]).flatten()


GROUP_ADVANTAGES = Exercise(
    id="group-advantages",
    function="group_advantages",
    reference=group_advantages,
    parts=(
        Part("values", 2.5, _group_cases),
        Part("0 for a group of equal rewards", 1, _constant_cases),
        form(0.5, lambda draw: (draw.normal(12, scale=2.0), 4)),
    ),
    misconceptions=(
        Misconception(
            "population-std",
            _grouped(lambda g, eps: _centred(g) / (_std(g, correction=0) + eps)),
            "the standard deviation has n in the denominator; the course takes the sample's, with n - 1",
        ),
        Misconception(
            "whole-batch",
            lambda rewards, group_size, eps=1e-4: (rewards - rewards.mean()) / (rewards.std() + eps),
            "mean and standard deviation are those of the whole batch; each prompt is its own group, whatever its difficulty",
        ),
        Misconception(
            "batch-std",
            lambda rewards, group_size, eps=1e-4: (
                _centred(rewards.reshape(-1, group_size)).reshape(-1) / (rewards.std() + eps)
            ),
            "the mean is the group's, but the standard deviation is that of the whole batch",
        ),
        Misconception(
            "batch-mean",
            lambda rewards, group_size, eps=1e-4: (
                (rewards - rewards.mean())
                / (rewards.reshape(-1, group_size).std(1) + eps).repeat_interleave(group_size)
            ),
            "the standard deviation is the group's, but the mean is that of the whole batch",
        ),
        Misconception(
            "interleaved",
            _interleaved,
            "the groups were taken with a stride; the rewards of one prompt stand side by side",
        ),
        Misconception(
            "across-prompts",
            _columns_as_groups,
            "the mean runs over the first answers of all prompts, then over the second ones; it belongs along a group",
        ),
        Misconception(
            "order",
            _transposed,
            "the right numbers in the wrong order: the result follows the order of `rewards`",
        ),
        Misconception(
            "not-divided",
            _grouped(lambda g, eps: _centred(g)),
            "nothing is divided by the standard deviation; this is what Dr. GRPO does",
        ),
        Misconception(
            "leave-one-out",
            _grouped(lambda g, eps: g - _others_mean(g)),
            "this is RLOO: the mean of the others is taken off, and nothing is divided",
        ),
        Misconception(
            "leave-one-out-mean",
            _grouped(lambda g, eps: (g - _others_mean(g)) / (_std(g) + eps)),
            "the mean of the *others* was taken off; GRPO's mean is over the whole group",
        ),
        Misconception(
            "not-centred",
            _grouped(lambda g, eps: g / (_std(g) + eps)),
            "the mean was not taken off: where all rewards are positive, every answer is encouraged",
        ),
        Misconception(
            "variance",
            _grouped(lambda g, eps: _centred(g) / (g.var(1, keepdim=True) + eps)),
            "divided by the variance; the square root is missing",
        ),
        Misconception(
            "eps-under-the-root",
            _grouped(lambda g, eps: _centred(g) / (g.var(1, keepdim=True) + eps).sqrt()),
            "eps was added to the variance, under the root; it is added to the standard deviation",
        ),
        Misconception(
            "eps-under-the-root-population",
            _grouped(lambda g, eps: _centred(g) / (g.var(1, keepdim=True, correction=0) + eps).sqrt()),
            "eps was added to the variance, and that has n in the denominator; eps is added to the sample's standard "
            "deviation (n - 1)",
        ),
        Misconception(
            "default-eps",
            lambda rewards, group_size, eps=1e-8: group_advantages(rewards, group_size, eps),
            "eps is 1e-8 where none is passed; its default is 1e-4",
        ),
        Misconception(
            "eps-of-its-own",
            _grouped(lambda g, eps: _centred(g) / (_std(g) + 1e-8)),
            "a fixed 1e-8 is added instead of the eps that is passed",
        ),
        Misconception(
            "unit-length",
            _grouped(lambda g, eps: F.normalize(_centred(g), dim=1)),
            "each group was scaled to length 1; divide by the standard deviation, which is that length over √(n - 1)",
        ),
        Misconception(
            "eps-as-a-floor",
            _grouped(lambda g, eps: _centred(g) / _std(g).clamp(min=eps)),
            "eps serves as the smallest standard deviation allowed; it is added",
        ),
        Misconception(
            "zero-below-eps",
            _grouped(lambda g, eps: torch.where(_std(g) < eps, 0.0, _centred(g) / (_std(g) + eps))),
            "groups of nearly equal rewards were put to 0; only those of exactly equal rewards are 0",
        ),
        Misconception(
            "no-eps",
            _grouped(lambda g, eps: _centred(g) / _std(g)),
            "eps does not appear; it is added to the standard deviation of every group, and keeps 0 / 0 away",
        ),
        Misconception(
            "eps-squared-away",
            _grouped(lambda g, eps: _centred(g) / (_std(g) + eps * eps)),
            "eps was squared; it is added to the standard deviation as it is",
        ),
        Misconception(
            "eps-above",
            _grouped(lambda g, eps: (_centred(g) + eps) / (_std(g) + eps)),
            "eps was added above the line too, which gives a group of equal rewards a signal",
        ),
        Misconception(
            "eps-fixed",
            lambda rewards, group_size, eps=1e-4: group_advantages(rewards, group_size, 1e-4),
            "eps is always 1e-4 here, whatever is passed",
        ),
        Misconception(
            "sign",
            _grouped(lambda g, eps: -_centred(g) / (_std(g) + eps)),
            "the sign is turned: the best answer of a group is discouraged",
        ),
        Misconception(
            "root-mean-square",
            _grouped(lambda g, eps: _centred(g) / (g.square().mean(1, keepdim=True).sqrt() + eps)),
            "divided by the root mean square of the rewards; the standard deviation is measured from their mean",
        ),
        Misconception(
            "mean-absolute-deviation",
            _grouped(lambda g, eps: _centred(g) / (_centred(g).abs().mean(1, keepdim=True) + eps)),
            "divided by the mean absolute deviation; the standard deviation is the root of the mean square",
        ),
        Misconception(
            "range",
            _grouped(
                lambda g, eps: (
                    (g - g.amin(1, keepdim=True)) / (g.amax(1, keepdim=True) - g.amin(1, keepdim=True) + eps)
                )
            ),
            "this scales a group from 0 to 1; advantages lie on both sides of 0",
        ),
        Misconception(
            "softmax",
            _grouped(lambda g, eps: g.softmax(1)),
            "a softmax was taken; an advantage is a distance from the mean",
        ),
        Misconception(
            "best-taken-off",
            _grouped(lambda g, eps: (g - g.amax(1, keepdim=True)) / (_std(g) + eps)),
            "the best reward was taken off, so that nothing is ever encouraged; GRPO takes the mean",
        ),
        Misconception(
            "median",
            _grouped(lambda g, eps: (g - g.median(1, keepdim=True).values) / (_std(g) + eps)),
            "the median was taken off; GRPO takes the mean",
        ),
        Misconception(
            "clamped",
            _grouped(lambda g, eps: (_centred(g) / (_std(g) + eps)).clamp(-1, 1)),
            "the advantages were clipped; only the ratio is, later, in the loss",
        ),
        Misconception(
            "mean-rounded",
            _grouped(lambda g, eps: _centred(g) / (_std(g) + eps)),
            "the mean of equal numbers is rounded, so r - mean is not exactly 0 in a group of equal rewards (and the "
            "division by eps makes it large); compare the rewards with each other",
        ),
        Misconception(
            "constant-group-kept",
            _grouped(
                lambda g, eps: torch.where(
                    (g == g[:, :1]).all(1, keepdim=True), g, _centred(g) / (_std(g) + eps)
                )
            ),
            "a group of equal rewards keeps them; there is nothing to be learnt from it, and its advantages are 0",
        ),
        Misconception(
            "constant-group-nan",
            _grouped(
                lambda g, eps: torch.where(
                    (g == g[:, :1]).all(1, keepdim=True), math.nan, _centred(g) / (_std(g) + eps)
                )
            ),
            "a group of equal rewards gives nan, and one nan spoils a whole batch; its advantages are 0",
        ),
        Misconception(
            "constant-group-dropped",
            lambda rewards, group_size, eps=1e-4: group_advantages(rewards, group_size, eps)[
                (rewards.reshape(-1, group_size).std(1) > 0).repeat_interleave(group_size)
            ],
            "groups of equal rewards were left out; the result has one value for each reward",
        ),
        Misconception(
            "table",
            lambda rewards, group_size, eps=1e-4: group_advantages(rewards, group_size, eps).reshape(
                -1, group_size
            ),
            "the result is a table, a row for each group; one value per reward, shape (B,), is wanted",
        ),
        Misconception(
            "float32-only",
            lambda rewards, group_size, eps=1e-4: group_advantages(rewards.float(), group_size, eps),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "float64-only",
            lambda rewards, group_size, eps=1e-4: group_advantages(rewards.double(), group_size, eps),
            "the result is float64, whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "in-place",
            _groups_in_place,
            "`rewards` was overwritten (a view shares its memory, and -= changes it); make a new tensor",
        ),
    ),
    alternatives={
        "python's own numbers": _by_hand,
        "numpy": _numpy_groups,
        "pandas": _pandas_groups,
        "split and repeat": _repeated,
        "centring matrix": _centring_matrix,
    },
    hints=(
        "Bring the rewards into a table with one row for each prompt; the groups stand side by side already.",
        "Mean and standard deviation along a row, with keepdim=True so that they fit back onto the table. Which denominator "
        "does torch.std take by default?",
        "eps is added to the standard deviation, not put under the root. At the end, back to shape (B,).",
    ),
)


# --------------------------------------------------------------------------------------- kl-estimators

_ESTIMATORS = ("k1", "k2", "k3")


def _observe_estimators(function, case):
    """Each estimator by itself; other keys cost nothing."""
    seen = observe_call(function, case)
    if "error" in seen:
        return seen
    result, types = seen.pop("result"), seen.pop("dtype")
    seen.pop("gradient of argument 1", None)
    if not isinstance(result, dict):
        lacking = Missing(f"{type_of(result)} where a dict with the keys k1, k2 and k3 is wanted")
        return seen | dict.fromkeys(_ESTIMATORS, lacking) | {"dtype": lacking}
    lacking = Missing(f"the key is missing; keys seen: {', '.join(map(str, result))}")
    if case.grads:  # of each by itself: in their sum one could make up for another
        for key in filter(result.__contains__, _ESTIMATORS):
            own = observe_call(lambda *args, k=key: function(*args)[k], case)
            seen[f"gradient of {key}"] = own.get("gradient of argument 1")
    return (
        seen
        | {key: result.get(key, lacking) for key in _ESTIMATORS}
        | {"dtype": {key: types.get(key, lacking) for key in _ESTIMATORS}}
    )


def draw_samples(draw, *shape):
    """Log-probabilities of the same samples under both, with log-ratios of about ±1."""
    ref = draw.uniform(-6.0, -2.5, *shape)
    return ref + draw.normal(*shape), ref


def _estimator_cases(draw):
    logp, ref = draw_samples(draw, 4)
    return [
        Case((tensor(-1.0, -2.0, -0.5), tensor(-1.2, -1.5, -0.7)), label="log-ratios 0.2, -0.5, 0.2"),
        Case(draw_samples(draw, 3, 5), label="shape (3, 5)"),
        Case((logp + tensor(-3.0, 2.0, 0.0, 0.0), ref), label="larger log-ratios, shape (4,)"),
        Case((logp, logp), label="policy and reference agree"),
        Case((tensor(-2.0, -14.0), tensor(-14.0, -2.0)), label="log-ratios 12 and -12"),
        Case(draw_samples(draw, 1), label="shape (1,)"),
        Case(draw_samples(draw, 2, 1), label="shape (2, 1)"),
    ]


def _estimator_gradients(draw):
    return [Case(draw_samples(draw, 3, 4), label="shape (3, 4)", grads=(0,))]


def _estimators(k1=lambda d: d, k2=lambda d: d * d / 2, k3=lambda d: torch.exp(-d) - 1 + d):
    """The dict with another function of the log-ratio in one place or in several."""

    def answer(logp, ref_logp):
        delta = logp - ref_logp
        return {"k1": k1(delta), "k2": k2(delta), "k3": k3(delta)}

    return answer


def _of_delta(delta):
    """The estimators of another delta."""

    def answer(logp, ref_logp):
        d = delta(logp, ref_logp)
        return {"k1": d, "k2": d * d / 2, "k3": torch.exp(-d) - 1 + d}

    return answer


def _each(change):
    return lambda logp, ref_logp: {key: change(k) for key, k in kl_estimators(logp, ref_logp).items()}


def _renamed(**names):
    def answer(logp, ref_logp):
        result = kl_estimators(logp, ref_logp)
        return {names.get(key, key): result[key] for key in result}

    return answer


def _estimators_in_place(logp, ref_logp):
    with torch.no_grad():
        ref_logp.neg_().add_(logp.detach())
    return _estimators()(logp, logp.detach() - ref_logp)


def _both_differences(logp, ref_logp):
    delta = logp - ref_logp
    return {"k1": delta, "k2": delta**2 / 2, "k3": (ref_logp - logp).exp() - 1 + delta}


def _ratio_first(logp, ref_logp):
    ratio = ref_logp.exp() / logp.exp()
    return {"k1": -ratio.log(), "k2": 0.5 * ratio.log() ** 2, "k3": ratio - 1 - ratio.log()}


def _element_by_element(logp, ref_logp):
    deltas = [a - b for a, b in zip(logp.flatten(), ref_logp.flatten(), strict=True)]
    rows = {
        "k1": deltas,
        "k2": [d.pow(2).div(2) for d in deltas],
        "k3": [torch.exp(-d) - (1 - d) for d in deltas],
    }
    return {key: torch.stack(row).reshape(logp.shape) for key, row in rows.items()}


KL_ESTIMATORS = Exercise(
    id="kl-estimators",
    function="kl_estimators",
    reference=kl_estimators,
    observe=_observe_estimators,
    parts=(
        Part("k1 and k2", 1, _estimator_cases, ("k1", "k2")),
        Part("k3", 1, _estimator_cases, ("k3",), independent=True),
        gradient(0.5, _estimator_gradients, "gradient into the policy"),
        form(0.5, lambda draw: draw_samples(draw, 2, 3)),
    ),
    misconceptions=(
        Misconception(
            "k1-turned",
            _estimators(k1=lambda d: -d),
            "k1 has the wrong sign: its mean over samples of π must be KL(π‖π_ref)",
        ),
        Misconception(
            "delta-turned",
            _of_delta(lambda p, r: r - p),
            "delta is turned: log π - log π_ref, for the samples come from π",
        ),
        Misconception(
            "delta-added",
            _of_delta(lambda p, r: p + r),
            "the log-probabilities were added; delta is their difference",
        ),
        Misconception(
            "delta-of-probabilities",
            _of_delta(lambda p, r: p.exp() - r.exp()),
            "delta is the difference of the log-probabilities, not of the probabilities",
        ),
        Misconception(
            "delta-ratio",
            _of_delta(lambda p, r: (p - r).exp()),
            "delta is the *logarithm* of the ratio; this is the ratio",
        ),
        Misconception(
            "log-quotient",
            _of_delta(lambda p, r: p / r),
            "log-probabilities were divided; the log of a quotient is their difference",
        ),
        Misconception(
            "base-2",
            _of_delta(lambda p, r: (p - r) / math.log(2)),
            "these are logarithms to base 2; the course uses natural ones",
        ),
        Misconception(
            "no-reference",
            _of_delta(lambda p, r: p),
            "the reference does not appear",
        ),
        Misconception(
            "weighted",
            lambda logp, ref_logp: {k: logp.exp() * v for k, v in kl_estimators(logp, ref_logp).items()},
            "the terms were weighted by π. The samples come from π, so that weight is in their frequency already",
        ),
        Misconception(
            "k1-absolute",
            _estimators(k1=lambda d: d.abs()),
            "k1 is the log-ratio itself; one sample of it may be negative, only the mean is not",
        ),
        Misconception(
            "k1-clipped",
            _estimators(k1=lambda d: d.clamp(min=0)),
            "negative values of k1 were set to 0, which makes its mean too large; only the mean is never negative",
        ),
        Misconception(
            "k2-not-halved",
            _estimators(k2=lambda d: d * d),
            "the half is missing in k2",
        ),
        Misconception(
            "k2-half-inside",
            _estimators(k2=lambda d: (d / 2) ** 2),
            "k2 is half of the square, not the square of the half",
        ),
        Misconception(
            "k2-not-squared",
            _estimators(k2=lambda d: d.abs() / 2),
            "k2 holds the square of the log-ratio, not its size",
        ),
        Misconception(
            "k2-difference-of-squares",
            lambda logp, ref_logp: kl_estimators(logp, ref_logp) | {"k2": (logp**2 - ref_logp**2) / 2},
            "k2 is the square of a difference, not a difference of squares",
        ),
        Misconception(
            "k2-of-the-ratio",
            _estimators(k2=lambda d: (d.exp() - 1) ** 2 / 2),
            "k2 is the square of the *log*-ratio, not of the ratio minus 1",
        ),
        Misconception(
            "k3-other-kl",
            _estimators(k3=lambda d: torch.exp(d) - 1 - d),
            "k3 belongs to samples of the other distribution here: the ratio in it is π_ref/π, not π/π_ref",
        ),
        Misconception(
            "k3-half-turned",
            _estimators(k3=lambda d: torch.exp(d) - 1 + d),
            "the exponential of k3 holds π/π_ref; it must hold π_ref/π, for only then is k3 never negative",
        ),
        Misconception(
            "k3-sign-of-delta",
            _estimators(k3=lambda d: torch.exp(-d) - 1 - d),
            "the last term of k3 has the wrong sign; its three terms must cancel to second order for small delta",
        ),
        Misconception(
            "k3-without-1",
            _estimators(k3=lambda d: torch.exp(-d) + d),
            "k3 must be 0 where the two agree; a constant is missing",
        ),
        Misconception(
            "k3-plus-1",
            _estimators(k3=lambda d: torch.exp(-d) + 1 + d),
            "k3 must be 0 where the two agree; the sign of the constant is turned",
        ),
        Misconception(
            "k3-without-delta",
            _estimators(k3=lambda d: torch.exp(-d) - 1),
            "k3 has a third term, the log-ratio; the ratio minus 1 alone is 0 in the mean, whatever the KL",
        ),
        Misconception(
            "k3-negative",
            _estimators(k3=lambda d: 1 - d - torch.exp(-d)),
            "the sign of k3 is turned; it is never negative",
        ),
        Misconception(
            "k3-halved",
            _estimators(k3=lambda d: (torch.exp(-d) - 1 + d) / 2),
            "k3 has no half; that belongs to k2",
        ),
        Misconception(
            "k3-weighted",
            _estimators(k3=lambda d: d.exp() * d - d.exp() + 1),
            "this k3 is weighted by π/π_ref, as if the samples came from the reference; they come from π",
        ),
        Misconception(
            "k3-is-k2",
            _estimators(k3=lambda d: d * d / 2),
            "this is k2 again; k3 agrees with it for small delta only",
        ),
        *(
            Misconception(
                f"delta-clamped-{bound}",
                _of_delta(lambda p, r, bound=bound: (p - r).clamp(-bound, bound)),
                "the log-ratio was clamped; these are estimators of a divergence, and the rare large terms belong to it",
            )
            for bound in (1, 2, 5, 10)
        ),
        Misconception(
            "squeezed",
            _each(torch.Tensor.squeeze),
            "an axis of length 1 was dropped (by squeeze()); the result has the shape of `logp`",
        ),
        Misconception(
            "keys-swapped",
            _renamed(k2="k3", k3="k2"),
            "k2 and k3 have changed places",
        ),
        Misconception(
            "keys",
            lambda logp, ref_logp: {k.upper(): v for k, v in kl_estimators(logp, ref_logp).items()},
            "the keys are spelled otherwise: k1, k2, k3",
        ),
        Misconception(
            "tuple",
            lambda logp, ref_logp: tuple(kl_estimators(logp, ref_logp).values()),
            "a dict is wanted, with the keys k1, k2 and k3",
        ),
        Misconception(
            "means",
            _each(torch.Tensor.mean),
            "the values were averaged; return one for each sample",
        ),
        Misconception(
            "sums",
            _each(torch.Tensor.sum),
            "the values were added up; return one for each sample",
        ),
        Misconception(
            "row-sums",
            _each(lambda k: k.sum(-1)),
            "the values of a row were added up; return one for each element",
        ),
        Misconception(
            "row-means",
            _each(lambda k: k.mean(-1)),
            "the values of a row were averaged; return one for each element",
        ),
        Misconception(
            "detached",
            _each(torch.Tensor.detach),
            "no gradient reaches the policy; the estimators serve as losses too",
        ),
        *(
            Misconception(
                f"{key}-detached",
                lambda logp, ref_logp, key=key: {
                    k: v.detach() if k == key else v for k, v in kl_estimators(logp, ref_logp).items()
                },
                f"no gradient reaches the policy from {key}; each of the three may serve as a loss",
            )
            for key in _ESTIMATORS
        ),
        Misconception(
            "ratio-detached",
            lambda logp, ref_logp: _estimators(k3=lambda d: torch.exp(-d).detach() - 1 + d)(logp, ref_logp),
            "the values are right, but the exponential in k3 was cut from its graph",
        ),
        Misconception(
            "float32-only",
            lambda logp, ref_logp: kl_estimators(logp.float(), ref_logp.float()),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "float64-only",
            lambda logp, ref_logp: kl_estimators(logp.double(), ref_logp.double()),
            "the results are float64, whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "in-place",
            _estimators_in_place,
            "one of the inputs was overwritten (-= or an operation ending in _); make a new tensor",
        ),
    ),
    alternatives={
        "exponential": _estimators(),
        "both differences": _both_differences,
        "ratio first": _ratio_first,
        "element by element": _element_by_element,
        "other functions": lambda logp, ref_logp: {
            "k3": torch.special.expm1(ref_logp - logp) - (ref_logp - logp),
            "k2": F.mse_loss(logp, ref_logp, reduction="none") / 2,
            "k1": torch.sub(logp, ref_logp),
        },
    },
    hints=(
        "All three are functions of one tensor, delta = log π - log π_ref, element by element: no mean anywhere.",
        "The exponential in k3 is the ratio π_ref/π. What does that make of the sign of delta?",
        "Try delta = 0, 0.1 and -0.1: all three are 0 at 0, and k2 and k3 are positive and almost equal at the other two.",
    ),
)
