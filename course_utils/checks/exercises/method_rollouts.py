"""03-method-comparison: from scores and values to rewards and advantages of tokens."""

import math

import numpy as np
import torch
from torch.nn import functional as F

from course_utils.checks.cases import form
from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.observe import dtypes, observe_call
from course_utils.policy_gradient import gae, kl_shaped_rewards
from course_utils.words import type_of

# Responses within rows of 7 tokens: without a prompt, and with one. One has a single token, one fills its row.
BEHIND = ((0, 4), (0, 7), (0, 1))
BETWEEN = ((2, 5), (3, 7), (0, 7), (4, 5), (1, 6))
NAN, INF = math.nan, math.inf


def mask_of(spans, length):
    """True from `start` to before `stop` in each row."""
    place = torch.arange(length)
    return torch.stack([(place >= start) & (place < stop) for start, stop in spans])


def spoilt(tensor, mask, *junk):
    """The tensor with the numbers `junk`, in turn, wherever the mask is 0."""
    fill = torch.tensor(junk, dtype=tensor.dtype).repeat(tensor.numel())[: tensor.numel()]
    return torch.where(mask, tensor, fill.reshape(tensor.shape))


# ------------------------------------------------------------------------------------ kl-shaped-rewards


def draw_scored(draw, spans, length=7):
    """score, log-probabilities under policy and reference, mask; other log-probabilities where it is 0."""
    ref = draw.uniform(-6.0, -0.5, len(spans), length)
    policy = (ref + draw.normal(*ref.shape, scale=0.7)).clamp(max=-0.01)
    return draw.normal(len(spans), scale=2.0) + 0.5, policy, ref, mask_of(spans, length)


def _worked_scored(front=0):
    """Three tokens, of the facts: log π -1, -2, -0.5, reference -1.2, -1.5, -0.7, score 1."""
    policy = torch.tensor([[-3.0] * front + [-1.0, -2.0, -0.5]], dtype=torch.float64)
    ref = torch.tensor([[-2.0] * front + [-1.2, -1.5, -0.7]], dtype=torch.float64)
    score = torch.tensor([1.0], dtype=torch.float64)
    return score, policy, ref, mask_of([(front, front + 3)], front + 3)


def _far_from_reference():
    """Log-ratios of 15, -15 and 0.2."""
    policy = torch.tensor([[-0.5, -16.0, -1.0]], dtype=torch.float64)
    ref = torch.tensor([[-15.5, -1.0, -1.2]], dtype=torch.float64)
    return torch.tensor([1.0], dtype=torch.float64), policy, ref, mask_of([(0, 3)], 3)


def _shaped_cases(draw):
    return [
        Case((*_worked_scored(), 0.1), label="one response of three tokens, score 1"),
        Case((*draw_scored(draw, BEHIND), 0.3), label="padding after the response"),
        Case((*draw_scored(draw, BEHIND[:2], 7),), {"kl_coef": 2.0}, "two rows, kl_coef=2"),
        Case((*draw_scored(draw, BEHIND), 0.0), label="kl_coef=0"),
        Case((*_far_from_reference(), 1.0), label="log-ratios 15, -15 and 0.2, kl_coef=1"),
    ]


def _prompt_cases(draw):
    return [
        Case((*_worked_scored(2), 0.1), label="a prompt of two tokens, a response of three"),
        Case((*draw_scored(draw, BETWEEN), 0.3), label="prompts in front, padding behind"),
        Case((*draw_scored(draw, BETWEEN[3:]), 1.0), label="two rows, kl_coef=1"),
    ]


def _shaped_masks(draw):
    *args, mask = draw_scored(draw, BETWEEN)
    return [
        Case((*args, mask.long(), 0.3), label="a mask of ints"),
        Case((*args, mask.double(), 0.3), label="a mask of floats"),
    ]


def _shaped_junk(draw):
    score, policy, ref, mask = draw_scored(draw, BETWEEN)
    args = score, spoilt(policy, mask, NAN, -INF, 0.0), spoilt(ref, mask, -INF, NAN, -INF), mask
    return [Case((*args, 0.3), label="nan and infinity where the mask is 0", scale=6.0)]


def _last(mask):
    """Where the last counted token of each row stands, as a bool tensor."""
    place = torch.arange(mask.shape[1])
    return place == (place * (mask != 0)).amax(1, keepdim=True)


def _shaped(penalty=lambda p, r, c: -c * (p - r), place=_last, scored=lambda s, c: s):
    """The right rewards with another penalty, another place for the score, or another score."""

    def answer(score, policy_logp, ref_logp, mask, kl_coef):
        counted = mask != 0
        penalties = torch.where(counted, penalty(policy_logp, ref_logp, kl_coef), 0.0)
        return penalties + place(counted) * scored(score, kl_coef).unsqueeze(1)

    return answer


def _no_mask_on_penalty(which):
    def answer(score, policy_logp, ref_logp, mask, kl_coef):
        counted = mask != 0
        return torch.where(which(counted), -kl_coef * (policy_logp - ref_logp), 0.0) + _last(
            counted
        ) * score.unsqueeze(1)

    return answer


def _overwritten_penalty(score, policy_logp, ref_logp, mask, kl_coef):
    rewards = torch.where(mask != 0, -kl_coef * (policy_logp - ref_logp), 0.0)
    return torch.where(_last(mask), score.unsqueeze(1), rewards)


def _summed_penalty(score, policy_logp, ref_logp, mask, kl_coef):
    ratio = torch.where(mask != 0, policy_logp - ref_logp, 0.0).sum(1)
    return _last(mask) * (score - kl_coef * ratio).unsqueeze(1)


def _penalty_of_row(score, policy_logp, ref_logp, mask, kl_coef):
    counted = mask != 0
    ratio = torch.where(counted, policy_logp - ref_logp, 0.0).sum(1, keepdim=True)
    return torch.where(counted, -kl_coef * ratio, 0.0) + _last(mask) * score.unsqueeze(1)


def _running_penalty(score, policy_logp, ref_logp, mask, kl_coef):
    counted = mask != 0
    ratio = torch.where(counted, policy_logp - ref_logp, 0.0).cumsum(1)
    return torch.where(counted, -kl_coef * ratio, 0.0) + _last(mask) * score.unsqueeze(1)


def _averaged_penalty(score, policy_logp, ref_logp, mask, kl_coef):
    counted = mask != 0
    share = torch.where(counted, policy_logp - ref_logp, 0.0) / counted.sum(1, keepdim=True)
    return -kl_coef * share + _last(mask) * score.unsqueeze(1)


def _times_mask(score, policy_logp, ref_logp, mask, kl_coef):
    return -kl_coef * (policy_logp - ref_logp) * mask + _last(mask) * score.unsqueeze(1)


def _shaped_in_place(score, policy_logp, ref_logp, mask, kl_coef):
    policy_logp -= ref_logp
    return torch.where(mask != 0, -kl_coef * policy_logp, 0.0) + _last(mask) * score.unsqueeze(1)


def _shaped_indexed(score, policy_logp, ref_logp, mask, kl_coef):
    rewards = (-kl_coef * (policy_logp - ref_logp)).masked_fill(~mask.bool(), 0.0)
    last = mask.shape[1] - 1 - mask.int().flip(1).argmax(1)
    rewards[torch.arange(len(rewards)), last] += score
    return rewards


def _shaped_loop(score, policy_logp, ref_logp, mask, kl_coef):
    rewards = torch.zeros_like(policy_logp)
    for i in range(len(mask)):
        tokens = [t for t in range(mask.shape[1]) if mask[i, t]]
        for t in tokens:
            rewards[i, t] = kl_coef * (ref_logp[i, t] - policy_logp[i, t])
        rewards[i, tokens[-1]] += score[i]
    return rewards


def _shaped_numpy(score, policy_logp, ref_logp, mask, kl_coef):
    score, policy, ref, mask = (x.numpy() for x in (score, policy_logp, ref_logp, mask))
    rewards = np.zeros_like(policy)
    for row, s, p, r, m in zip(rewards, score, policy, ref, mask.astype(bool), strict=True):
        row[m] = -kl_coef * (p[m] - r[m])
        row[np.flatnonzero(m)[-1]] += s
    return torch.from_numpy(rewards)


def _shaped_scatter(score, policy_logp, ref_logp, mask, kl_coef):
    # the last counted token is the one that no counted token follows
    counted = mask.bool()
    after = torch.cat([counted[:, 1:], torch.zeros_like(counted[:, :1])], 1)
    last = (counted & ~after).to(score.dtype)
    ratio = torch.nan_to_num(policy_logp.where(counted, ref_logp) - ref_logp)
    return torch.einsum("b,bt->bt", score, last) - kl_coef * ratio.where(counted, 0.0)


KL_SHAPED_REWARDS = Exercise(
    id="kl-shaped-rewards",
    function="kl_shaped_rewards",
    reference=kl_shaped_rewards,
    parts=(
        Part("values", 2, _shaped_cases),
        Part("a masked prompt in front", 0.5, _prompt_cases),
        Part("masks of ints and floats", 0.5, _shaped_masks),
        Part("what stands where the mask is 0 does not matter", 0.5, _shaped_junk),
        form(0.5, lambda draw: (*draw_scored(draw, BETWEEN), 0.3)),
    ),
    misconceptions=(
        Misconception(
            "sign",
            _shaped(lambda p, r, c: c * (p - r)),
            "the sign of the penalty is turned: this pays the policy for leaving its reference",
        ),
        Misconception(
            "score-centred",
            _shaped(scored=lambda s, c: s - s.mean()),
            "the mean of the batch was taken off the scores; add them as they are",
        ),
        Misconception(
            "score-averaged",
            _shaped(scored=lambda s, c: s.mean().expand_as(s)),
            "every row has the mean score of the batch; each response has its own",
        ),
        Misconception(
            "score-everywhere",
            _shaped(place=lambda m: m),
            "the score stands on every token of the response, so a long one gets it many times. It judges the whole "
            "response; once is enough",
        ),
        Misconception(
            "score-everywhere-unmasked",
            _shaped(place=lambda m: torch.ones_like(m)),
            "the score stands in every column, prompt and padding included",
        ),
        Misconception(
            "score-spread",
            _shaped(place=lambda m: m / m.sum(1, keepdim=True)),
            "the score is spread over the tokens; it is known only when the response has ended, and stands where it ends",
        ),
        Misconception(
            "score-in-last-column",
            _shaped(place=lambda m: torch.arange(m.shape[1]) == m.shape[1] - 1),
            "the score stands in the last column, which is padding for most rows. Each row ends somewhere else",
        ),
        Misconception(
            "score-in-last-column-if-counted",
            _shaped(place=lambda m: m & (torch.arange(m.shape[1]) == m.shape[1] - 1)),
            "rows that end in padding lost their score. Each row ends somewhere else",
        ),
        Misconception(
            "score-at-length",
            _shaped(place=lambda m: torch.arange(m.shape[1]) == m.sum(1, keepdim=True) - 1),
            "the score stands at the *number* of counted tokens, less one. With a masked prompt in front, the last counted "
            "token is further back",
        ),
        Misconception(
            "score-after-the-end",
            _shaped(place=lambda m: F.pad(_last(m), (1, 0))[:, :-1]),
            "the score stands one place after the last counted token",
        ),
        Misconception(
            "score-before-the-end",
            _shaped(place=lambda m: F.pad(_last(m), (0, 1))[:, 1:]),
            "the score stands one place before the last counted token",
        ),
        Misconception(
            "score-on-first",
            _shaped(place=lambda m: torch.arange(m.shape[1]) == m.int().argmax(1, keepdim=True)),
            "the score stands on the first counted token; it belongs to the last one",
        ),
        Misconception(
            "no-score",
            _shaped(scored=lambda s, c: torch.zeros_like(s)),
            "the score is missing: only the penalty is there",
        ),
        Misconception(
            "score-subtracted",
            _shaped(scored=lambda s, c: -s),
            "the score was subtracted: the better the response, the worse its reward",
        ),
        Misconception(
            "coefficient-on-score",
            _shaped(scored=lambda s, c: c * s),
            "the score was multiplied by kl_coef too; the coefficient belongs to the penalty only",
        ),
        Misconception(
            "penalty-overwritten",
            _overwritten_penalty,
            "the last token has the score instead of its penalty; it gets both",
        ),
        Misconception(
            "penalty-summed",
            _summed_penalty,
            "the penalties of all tokens were gathered on the last one; each token carries its own",
        ),
        Misconception(
            "penalty-of-the-row",
            _penalty_of_row,
            "each token carries the penalty of the whole response; each carries its own",
        ),
        Misconception(
            "penalty-running",
            _running_penalty,
            "the penalties were summed up along the row; each token carries its own",
        ),
        Misconception(
            "penalty-averaged",
            _averaged_penalty,
            "each penalty was divided by the length of the response: a long answer would hardly be held to the reference",
        ),
        Misconception(
            "no-coefficient",
            _shaped(lambda p, r, c: -(p - r)),
            "kl_coef does not appear; it multiplies the log-ratio of each token",
        ),
        Misconception(
            "divided-by-coefficient",
            _shaped(lambda p, r, c: -(p - r) / c if c else torch.full_like(p, NAN)),
            "the log-ratio was divided by kl_coef; the penalty is kl_coef *times* the log-ratio",
        ),
        Misconception(
            "no-reference",
            _shaped(lambda p, r, c: -c * p),
            "the reference is missing: this pays for unlikely tokens, whatever the reference thinks of them",
        ),
        Misconception(
            "reference-added",
            _shaped(lambda p, r, c: -c * (p + r)),
            "the reference's log-probabilities were added; log(π/π_ref) is a difference",
        ),
        Misconception(
            "log-quotient",
            _shaped(lambda p, r, c: -c * p / r),
            "log-probabilities were divided; the log of a quotient is their difference",
        ),
        Misconception(
            "ratio",
            _shaped(lambda p, r, c: -c * (p - r).exp()),
            "this is the ratio of the probabilities; the penalty is on its logarithm",
        ),
        Misconception(
            "probabilities",
            _shaped(lambda p, r, c: -c * (p.exp() - r.exp())),
            "this is a difference of probabilities; the penalty is on the difference of their logarithms",
        ),
        Misconception(
            "weighted-ratio",
            _shaped(lambda p, r, c: -c * p.exp() * (p - r)),
            "the log-ratio was weighted by the token's probability. The token was sampled from the policy, "
            "so that weight is in already",
        ),
        *(
            Misconception(
                f"clamped-{bound}",
                _shaped(lambda p, r, c, bound=bound: -c * (p - r).clamp(-bound, bound)),
                "the log-ratio (or the penalty) was clamped: a token far from the reference costs no more than a nearer one",
            )
            for bound in (1, 2, 3, 5, 10)
        ),
        Misconception(
            "clipped-at-0",
            _shaped(lambda p, r, c: -c * (p - r).clamp(min=0)),
            "negative log-ratios were set to 0. A KL is not negative, but one token's log-ratio may be, and only with those "
            "is the sum right on average",
        ),
        Misconception(
            "absolute",
            _shaped(lambda p, r, c: -c * (p - r).abs()),
            "this is the absolute log-ratio; tokens that the policy finds less likely than the reference earn a bonus",
        ),
        Misconception(
            "squared",
            _shaped(lambda p, r, c: -c * (p - r).square()),
            "the log-ratio was squared; the penalty asked for here is the log-ratio itself",
        ),
        Misconception(
            "k2",
            _shaped(lambda p, r, c: -c * (p - r).square() / 2),
            "this is the estimator k2, the square; the penalty asked for here is the log-ratio itself",
        ),
        Misconception(
            "k3",
            _shaped(lambda p, r, c: -c * (torch.expm1(r - p) - (r - p))),
            "this is the estimator k3, which GRPO uses; the penalty asked for here is the log-ratio itself",
        ),
        Misconception(
            "prompt-penalised",
            _no_mask_on_penalty(lambda m: m.flip(1).cumsum(1).flip(1) > 0),
            "the prompt is penalised too; the policy did not write it",
        ),
        Misconception(
            "padding-penalised",
            _no_mask_on_penalty(lambda m: m.cumsum(1) > 0),
            "the padding is penalised too; results are 0 where the mask is 0",
        ),
        Misconception(
            "nan-times-0",
            _times_mask,
            "nan times 0 is nan: multiplying by the mask does not remove what stands there. Choose, with torch.where or "
            "masked_fill",
        ),
        Misconception(
            "nan-outside",
            lambda *args, **kwargs: kl_shaped_rewards(*args, **kwargs).masked_fill(args[3] == 0, NAN),
            "places that do not count hold nan; they must hold 0",
        ),
        Misconception(
            "row-sums",
            lambda *args, **kwargs: kl_shaped_rewards(*args, **kwargs).sum(1),
            "the rewards of a row were added up; here one value per token is wanted",
        ),
        Misconception(
            "float32-only",
            lambda s, p, r, m, kl_coef: kl_shaped_rewards(s.float(), p.float(), r.float(), m, kl_coef),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "float64-only",
            lambda s, p, r, m, kl_coef: kl_shaped_rewards(s.double(), p.double(), r.double(), m, kl_coef),
            "the result is float64, whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "in-place",
            _shaped_in_place,
            "one of the inputs was overwritten (-= or an operation ending in _); make a new tensor",
        ),
    ),
    alternatives={
        "indexed": _shaped_indexed,
        "loop over tokens": _shaped_loop,
        "numpy": _shaped_numpy,
        "the token that none follows": _shaped_scatter,
        "last index from positions": lambda score, policy_logp, ref_logp, mask, kl_coef: torch.where(
            mask.bool(), kl_coef * (ref_logp - policy_logp), torch.zeros_like(ref_logp)
        ).scatter_add(
            1,
            torch.where(mask.bool(), torch.arange(mask.shape[1]), -1).max(1, keepdim=True).values,
            score[:, None],
        ),
    },
    hints=(
        "Two things are added: a penalty on every counted token, and the score on one token of each row.",
        "Which position is the last counted one? Not the last column, and with a prompt in front not the number of counted "
        "tokens either. Try the largest position whose mask is 1.",
        "torch.where(mask.bool(), penalty, 0.0) removes what stands elsewhere, nan included. Then index one place a row.",
    ),
)


# -------------------------------------------------------------------------------------------------- gae

_WHOLE = ((0, 7),) * 3
_PAIR = ("advantages", "returns")


def _observe_pair(function, case):
    """Advantages and returns each by itself; a list, an array of two or a named tuple do as well as a tuple."""
    seen = observe_call(function, case)
    if "error" in seen:
        return seen
    result = seen["result"]
    single = isinstance(result, torch.Tensor) and result.dim() < 3
    if isinstance(result, (list, tuple, torch.Tensor)) and not single and len(result) == 2:
        pair = [result[0], result[1]]
    else:
        kind = "one tensor" if single else type_of(result)
        pair = [Missing(f"{kind} where two tensors, advantages and returns, are wanted")] * 2
    return dict(zip(_PAIR, pair, strict=True)) | {"dtype": dtypes(pair), "inputs": seen["inputs"]}


def draw_rollout(draw, spans, length=7):
    """rewards, values, mask; other numbers of the same size where it is 0. No advantage is as large as 5."""
    shape = len(spans), length
    return draw.normal(*shape, scale=0.4), draw.normal(*shape, scale=0.4) + 0.5, mask_of(spans, length)


def _worked_rollout(front=0, behind=0):
    """Three tokens: rewards 0, 0, 1, values 0.5, 0.6, 0.7."""
    rewards = torch.tensor([[0.3] * front + [0.0, 0.0, 1.0] + [0.4] * behind], dtype=torch.float64)
    values = torch.tensor([[0.9] * front + [0.5, 0.6, 0.7] + [0.8] * behind], dtype=torch.float64)
    return rewards, values, mask_of([(front, front + 3)], rewards.shape[1])


def _large_rollout(front, behind):
    """The worked tokens with large rewards."""
    rewards, values, mask = _worked_rollout(front, behind)
    rewards[0, front : front + 3] = torch.tensor([0.0, -20.0, 50.0])
    return rewards, values, mask


def _whole_cases(draw):
    return [
        Case(_worked_rollout(), label="rewards 0, 0, 1 and values 0.5, 0.6, 0.7"),
        Case(draw_rollout(draw, _WHOLE), label="three rows, gamma and lam left at their defaults"),
        Case((*draw_rollout(draw, _WHOLE), 0.9, 0.7), label="three rows, gamma=0.9, lam=0.7"),
        Case(draw_rollout(draw, _WHOLE[:2]), {"gamma": 0.8, "lam": 1.0}, "two rows, gamma=0.8, lam=1"),
        Case(draw_rollout(draw, _WHOLE[:2]), {"lam": 0.0}, "two rows, lam=0"),
    ]


def _padded_cases(draw):
    return [
        Case(_worked_rollout(2, 1), label="the three tokens with a prompt in front and padding behind"),
        Case(draw_rollout(draw, BEHIND), label="padding after the response"),
        Case((*draw_rollout(draw, BETWEEN), 0.9, 0.7), label="prompts in front, padding behind"),
        Case(draw_rollout(draw, BETWEEN), {"lam": 1.0}, "prompts in front, padding behind, lam=1"),
        Case(draw_rollout(draw, [(0, 1)] * 2, 1), label="responses of one token"),
        Case(draw_rollout(draw, BETWEEN), {"gamma": 0.0}, "prompts in front, padding behind, gamma=0"),
        Case(draw_rollout(draw, BETWEEN), {"lam": 0.0}, "prompts in front, padding behind, lam=0"),
        Case(_large_rollout(2, 1), label="the three tokens with rewards 0, -20 and 50"),
    ]


def _rollout_masks(draw):
    *args, mask = draw_rollout(draw, BETWEEN)
    return [
        Case((*args, mask.long(), 0.9, 0.7), label="a mask of ints"),
        Case((*args, mask.double(), 0.9, 0.7), label="a mask of floats"),
    ]


def _rollout_junk(draw):
    rewards, values, mask = draw_rollout(draw, BETWEEN)
    args = spoilt(rewards, mask, NAN, INF), spoilt(values, mask, NAN, -INF, INF), mask
    return [Case((*args, 0.9, 0.7), label="nan and infinity where the mask is 0", scale=4.0)]


def _recursion(
    delta=lambda r, following, v, gamma: r + gamma * following - v,
    decay=lambda gamma, lam: gamma * lam,
    bootstrap=lambda values, counted: F.pad(torch.where(counted, values, 0.0), (0, 1))[:, 1:],
    returned=lambda a, r, v, gamma, lam: (a, a + v),
    defaults=(1.0, 0.95),
    kept=True,
):
    """GAE with another delta, decay, next value or pair of results; `kept` False leaves the mask out of the advantages."""

    def answer(rewards, values, mask, gamma=defaults[0], lam=defaults[1]):
        counted = mask != 0
        following = bootstrap(values, counted)
        if kept:
            rewards, values = torch.where(counted, rewards, 0.0), torch.where(counted, values, 0.0)
        deltas = delta(rewards, following, values, gamma)
        if kept:
            deltas = torch.where(counted, deltas, 0.0)
        advantages, running = [], torch.zeros_like(deltas[:, 0])
        for t in reversed(range(deltas.shape[1])):
            running = deltas[:, t] + decay(gamma, lam) * running
            if kept:
                running = torch.where(counted[:, t], running, 0.0)
            advantages.insert(0, running)
        pair = returned(torch.stack(advantages, 1), rewards, values, gamma, lam)
        return tuple(torch.where(counted, x, 0.0) for x in pair) if kept else pair

    return answer


def _leaking(mask_rewards, mask_values):
    """No mask during the recursion but on the results; rewards or values put to 0 beforehand, if asked for."""

    def answer(rewards, values, mask, gamma=1.0, lam=0.95):
        counted = mask != 0
        r = torch.where(counted, rewards, 0.0) if mask_rewards else rewards
        v = torch.where(counted, values, 0.0) if mask_values else values
        raw = _recursion(bootstrap=lambda x, m: F.pad(x, (0, 1))[:, 1:], kept=False)
        advantages, returns = raw(r, v, mask, gamma, lam)
        return torch.where(counted, advantages, 0.0), torch.where(counted, returns, 0.0)

    return answer


def _prompt_kept(rewards, values, mask, gamma=1.0, lam=0.95):
    return gae(rewards, values, mask.flip(1).cumsum(1).flip(1) > 0, gamma, lam)


def _multiplied(rewards, values, mask, gamma=1.0, lam=0.95):
    advantages, returns = gae(rewards, values, torch.ones_like(mask), gamma, lam)
    if not (mask == 0).any():
        return advantages, returns
    rewards, values = rewards * mask, values * mask
    advantages, returns = _recursion(
        bootstrap=lambda x, m: F.pad(x, (0, 1))[:, 1:],
        kept=False,
    )(rewards, values, mask, gamma, lam)
    return advantages * mask, returns * mask


def _whitened(rewards, values, mask, gamma=1.0, lam=0.95, first=False):
    advantages, returns = gae(rewards, values, mask, gamma, lam)
    counted = mask != 0
    own = advantages[counted]
    white = torch.where(counted, (advantages - own.mean()) / (own.std() + 1e-8), 0.0)
    return white, torch.where(counted, white + values, 0.0) if first else returns


def _centred_afterwards(rewards, values, mask, gamma=1.0, lam=0.95):
    advantages, returns = gae(rewards, values, mask, gamma, lam)
    counted = mask != 0
    return torch.where(counted, advantages - advantages[counted].mean(), 0.0), returns


def _clamped(bound):
    def answer(rewards, values, mask, gamma=1.0, lam=0.95):
        advantages, _ = gae(rewards, values, mask, gamma, lam)
        advantages = advantages.clamp(-bound, bound)
        return advantages, torch.where(mask != 0, advantages + values, 0.0)

    return answer


def _to_go(rewards, gamma):
    """Discounted sums of the rewards from each token on."""
    sums, running = [], torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        running = rewards[:, t] + gamma * running
        sums.insert(0, running)
    return torch.stack(sums, 1)


def _forward(rewards, values, mask, gamma=1.0, lam=0.95):
    counted = mask != 0
    deltas, _ = gae(rewards, values, mask, gamma, 0.0)
    running, advantages = torch.zeros_like(deltas[:, 0]), []
    for t in range(deltas.shape[1]):
        running = torch.where(counted[:, t], deltas[:, t] + gamma * lam * running, 0.0)
        advantages.append(running)
    advantages = torch.stack(advantages, 1)
    return advantages, torch.where(counted, advantages + values, 0.0)


def _last_delta_lost(rewards, values, mask, gamma=1.0, lam=0.95):
    counted = mask != 0
    inner = counted & ~_last(mask)
    following = F.pad(torch.where(counted, values, 0.0), (0, 1))[:, 1:]
    deltas = torch.where(inner, rewards + gamma * following - values, 0.0)
    advantages = _to_go(deltas, gamma * lam) * counted
    return advantages, torch.where(counted, advantages + values, 0.0)


def _gae_in_place(rewards, values, mask, gamma=1.0, lam=0.95):
    rewards[mask == 0] = 0.0
    values[mask == 0] = 0.0
    return gae(rewards, values, mask, gamma, lam)


def _sums_of_deltas(rewards, values, mask, gamma=1.0, lam=0.95):
    counted = mask.bool()
    deltas, length = gae(rewards, values, mask, gamma, 0.0)[0], mask.shape[1]
    away = torch.arange(length)[None, :] - torch.arange(length)[:, None]
    weight = torch.where(away >= 0, float(gamma * lam) ** away.clamp(min=0).to(deltas.dtype), 0.0)
    advantages = (deltas @ weight.T).masked_fill(~counted, 0.0)
    return advantages, torch.where(counted, advantages + values, 0.0)


def _rows(rewards, values, mask, gamma=1.0, lam=0.95):
    advantages, returns = torch.zeros_like(rewards), torch.zeros_like(rewards)
    for i in range(len(mask)):
        where = mask[i].nonzero().flatten().tolist()
        running, following = 0.0, 0.0
        for t in where[::-1]:
            running = rewards[i, t] + gamma * following - values[i, t] + gamma * lam * running
            following = values[i, t]
            advantages[i, t], returns[i, t] = running, running + following
    return advantages, returns


def _lambda_returns(rewards, values, mask, gamma=1.0, lam=0.95):
    """G_t = r_t + gamma ((1 - lam) V_{t+1} + lam G_{t+1}); the advantage is G - V."""
    counted = mask.bool()
    r, v = rewards.masked_fill(~counted, 0), values.masked_fill(~counted, 0)
    returns, target = torch.zeros_like(r), torch.zeros_like(r[:, 0])
    for t in range(r.shape[1] - 1, -1, -1):
        following = v[:, t + 1] if t + 1 < r.shape[1] else torch.zeros_like(target)
        target = (r[:, t] + gamma * ((1 - lam) * following + lam * target)) * counted[:, t]
        returns[:, t] = target
    return [returns - v, returns]


def _numpy_gae(rewards, values, mask, gamma=1.0, lam=0.95):
    counted = mask.numpy().astype(bool)
    r, v = np.where(counted, rewards.numpy(), 0), np.where(counted, values.numpy(), 0)
    ahead = np.concatenate([v[:, 1:], np.zeros_like(v[:, :1])], 1)
    deltas = (r + gamma * ahead - v) * counted
    advantages = np.zeros_like(deltas)
    running = np.zeros_like(deltas[:, 0])
    for t in range(deltas.shape[1])[::-1]:
        running = deltas[:, t] + gamma * lam * running
        advantages[:, t] = running
    advantages *= counted
    return torch.from_numpy(advantages.astype(r.dtype)), torch.from_numpy((advantages + v).astype(r.dtype))


GAE = Exercise(
    id="gae",
    function="gae",
    reference=gae,
    observe=_observe_pair,
    parts=(
        Part("advantages where every token counts", 2, _whole_cases, ("advantages",)),
        Part("returns", 1, _whole_cases, ("returns",), independent=True),
        Part("a prompt in front, padding behind", 1.5, _padded_cases, _PAIR),
        Part("masks of ints and floats", 0.5, _rollout_masks, _PAIR),
        Part("what stands where the mask is 0 does not matter", 0.5, _rollout_junk, _PAIR),
        form(0.5, lambda draw: (*draw_rollout(draw, BETWEEN), 0.9, 0.7)),
    ),
    misconceptions=(
        Misconception(
            "nan-times-0",
            _multiplied,
            "nan times 0 is nan: multiplying by the mask does not remove what stands there. Choose, with torch.where or "
            "masked_fill, before the sum runs",
        ),
        Misconception(
            "last-value-repeated",
            _recursion(bootstrap=lambda v, m: torch.cat([v[:, 1:], v[:, -1:]], 1)),
            "the last value stands in for the value after it. The response is over there: nothing more is to be earned",
        ),
        Misconception(
            "bootstrap-past-the-end",
            _recursion(bootstrap=lambda v, m: F.pad(v, (0, 1))[:, 1:]),
            "the last counted token bootstraps from a value in the padding; once the response is over, the next value is 0",
        ),
        Misconception(
            "value-unmasked-in-recursion",
            _leaking(True, False),
            "values in the padding flow back into the response; the mask must act before the sum runs, not after it",
        ),
        Misconception(
            "rewards-unmasked",
            _leaking(False, True),
            "rewards in the padding flow back into the response; they do not count",
        ),
        Misconception(
            "mask-at-the-end-only",
            _leaking(False, False),
            "the mask acts on the results only. The sum runs from the back, so the padding has flowed into the response "
            "by then",
        ),
        Misconception(
            "mask-ignored",
            _recursion(bootstrap=lambda v, m: F.pad(v, (0, 1))[:, 1:], kept=False),
            "the mask does not appear: padding flows into the response, and results outside it are not 0",
        ),
        Misconception(
            "prompt-counted",
            _prompt_kept,
            "tokens of the prompt have advantages too; the policy did not write them",
        ),
        Misconception(
            "default-lambda",
            _recursion(defaults=(1.0, 1.0)),
            "lam is 1 where none is passed; its default is 0.95",
        ),
        Misconception(
            "lambda-1",
            _recursion(decay=lambda gamma, lam: gamma),
            "lam does not appear: these are sums of rewards minus the value, as if lam were 1",
        ),
        Misconception(
            "lambda-0",
            _recursion(decay=lambda gamma, lam: 0.0),
            "these are the one-step errors delta, as if lam were 0; the later ones are missing",
        ),
        Misconception(
            "decay-without-gamma",
            _recursion(decay=lambda gamma, lam: lam),
            "later deltas are weighted by lam only; gamma belongs to the weight as well",
        ),
        Misconception(
            "decay-added",
            _recursion(decay=lambda gamma, lam: 1.0),
            "later deltas are added up undiminished; each step back costs a factor gamma · lam",
        ),
        Misconception(
            "decay-squared",
            _recursion(decay=lambda gamma, lam: gamma * gamma * lam),
            "gamma is applied twice in the weight of later deltas",
        ),
        Misconception(
            "delta-without-gamma",
            _recursion(delta=lambda r, n, v, gamma: r + n - v),
            "the next value is not discounted: gamma is missing in delta",
        ),
        Misconception(
            "gamma-ignored",
            _recursion(delta=lambda r, n, v, gamma: r + n - v, decay=lambda gamma, lam: lam),
            "gamma does not appear; it discounts the next value and the later deltas",
        ),
        Misconception(
            "gamma-on-reward",
            _recursion(delta=lambda r, n, v, gamma: gamma * (r + n) - v),
            "the reward of the token itself is discounted too; only what comes after it is",
        ),
        Misconception(
            "swapped",
            lambda r, v, m, gamma=1.0, lam=0.95: gae(r, v, m, lam, gamma),
            "gamma and lam have changed places",
        ),
        Misconception(
            "defaults-fixed",
            lambda r, v, m, gamma=1.0, lam=0.95: gae(r, v, m, 1.0, 0.95),
            "gamma and lam are always 1 and 0.95 here, whatever is passed",
        ),
        Misconception(
            "gamma-0-as-not-given",
            lambda r, v, m, gamma=1.0, lam=0.95: gae(r, v, m, gamma or 1.0, lam),
            "a gamma of 0 was taken for one that is not given: `gamma or 1.0` is 1.0 for 0, which counts as False",
        ),
        Misconception(
            "lam-0-as-not-given",
            lambda r, v, m, gamma=1.0, lam=0.95: gae(r, v, m, gamma, lam or 0.95),
            "a lam of 0 was taken for one that is not given: `lam or 0.95` is 0.95 for 0, which counts as False",
        ),
        *(
            Misconception(
                f"clamped-{bound}",
                _clamped(bound),
                "the advantages were clamped; large ones are as true as small ones",
            )
            for bound in (1, 5, 10)
        ),
        Misconception(
            "default-gamma",
            _recursion(defaults=(0.99, 0.95)),
            "gamma is 0.99 where none is passed; its default is 1",
        ),
        Misconception(
            "sign",
            _recursion(delta=lambda r, n, v, gamma: v - r - gamma * n),
            "the sign of delta is turned: what came better than expected is punished",
        ),
        Misconception(
            "no-baseline",
            _recursion(delta=lambda r, n, v, gamma: r + gamma * n),
            "the value of the token itself is not subtracted; an advantage is measured against what was expected",
        ),
        Misconception(
            "no-bootstrap",
            _recursion(delta=lambda r, n, v, gamma: r - v),
            "the next value is missing in delta: r + gamma · V of the next token - V of this one",
        ),
        Misconception(
            "value-before",
            _recursion(
                delta=lambda r, n, v, gamma: r + gamma * v - F.pad(v, (1, 0))[:, :-1],
            ),
            "the values are one place off: this is V of this token minus V of the one *before*",
        ),
        Misconception(
            "values-added",
            _recursion(delta=lambda r, n, v, gamma: r - gamma * n + v),
            "the signs of the two values are exchanged",
        ),
        Misconception(
            "forward",
            _forward,
            "the sum runs from the front: a token is credited with what came before it. Run from the back",
        ),
        Misconception(
            "last-delta-lost",
            _last_delta_lost,
            "the delta of the last counted token is missing, and that is where the score of the response stands",
        ),
        Misconception(
            "rewards-to-go",
            lambda r, v, m, gamma=1.0, lam=0.95: (
                _to_go(torch.where(m != 0, r, 0.0), gamma) * (m != 0),
                _to_go(torch.where(m != 0, r, 0.0), gamma) * (m != 0),
            ),
            "these are the sums of the rewards to come, without the critic",
        ),
        Misconception(
            "centred",
            _centred_afterwards,
            "the mean of the advantages was taken off; that is a step of its own, not asked for here",
        ),
        Misconception(
            "whitened",
            _whitened,
            "the advantages were normalised; that is a step of its own, not asked for here",
        ),
        Misconception(
            "whitened-before-returns",
            lambda *args, **kwargs: _whitened(*args, **kwargs, first=True),
            "the advantages were normalised, and the returns made from those: the critic would learn numbers on the "
            "wrong scale",
        ),
        Misconception(
            "returns-are-sums",
            _recursion(returned=lambda a, r, v, gamma, lam: (a, _to_go(r, gamma))),
            "the returns are discounted sums of rewards; here they are advantages + values",
        ),
        Misconception(
            "returns-from-rewards",
            _recursion(returned=lambda a, r, v, gamma, lam: (a, r + v)),
            "the returns are rewards + values; they are advantages + values",
        ),
        Misconception(
            "returns-subtracted",
            _recursion(returned=lambda a, r, v, gamma, lam: (a, a - v)),
            "the values were subtracted from the advantages; the returns are their sum",
        ),
        Misconception(
            "returns-are-advantages",
            _recursion(returned=lambda a, r, v, gamma, lam: (a, a)),
            "the returns are the advantages again; the values are to be added",
        ),
        Misconception(
            "returns-of-the-next",
            _recursion(returned=lambda a, r, v, gamma, lam: (a, a + F.pad(v, (0, 1))[:, 1:])),
            "the value of the *next* token was added to the advantage; the return belongs to this one",
        ),
        Misconception(
            "order",
            lambda *args, **kwargs: gae(*args, **kwargs)[::-1],
            "the two results have changed places: first advantages, then returns",
        ),
        Misconception(
            "one-result",
            lambda *args, **kwargs: gae(*args, **kwargs)[0],
            "one tensor came back; two are wanted, advantages and returns",
        ),
        Misconception(
            "returns-unmasked",
            lambda r, v, m, gamma=1.0, lam=0.95: (
                gae(r, v, m, gamma, lam)[0],
                gae(r, v, m, gamma, lam)[0] + v,
            ),
            "the returns hold the values where the mask is 0; they must be 0 there",
        ),
        Misconception(
            "float32-only",
            lambda r, v, m, gamma=1.0, lam=0.95: gae(r.float(), v.float(), m, gamma, lam),
            "the inputs were cast to float32; keep the dtype that came in",
        ),
        Misconception(
            "float64-only",
            lambda r, v, m, gamma=1.0, lam=0.95: gae(r.double(), v.double(), m, gamma, lam),
            "the results are float64, whatever came in; keep the dtype of the inputs",
        ),
        Misconception(
            "in-place",
            _gae_in_place,
            "one of the inputs was overwritten; make a new tensor",
        ),
    ),
    alternatives={
        "row by row": _rows,
        "lambda-returns": _lambda_returns,
        "matrix of weights": _sums_of_deltas,
        "numpy": _numpy_gae,
        "stacked": lambda *args, **kwargs: torch.stack(_rows(*args, **kwargs)),
    },
    hints=(
        "First delta: the reward, plus gamma times the next value, minus this value. Then run from the back: each advantage "
        "is its delta plus gamma · lam times the advantage after it.",
        "Beyond the last counted token, value and advantage are 0. Put values (and rewards) to 0 there before the sum runs; "
        "then the recursion needs no special case.",
        "torch.where removes nan, a product with the mask does not. Collect the columns in a list, reverse it, and "
        "torch.stack(..., dim=1); the returns are 0 where the mask is 0 as well.",
    ),
)
