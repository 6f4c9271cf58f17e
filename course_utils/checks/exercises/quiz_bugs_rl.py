"""06-final-quiz: bugs 14 to 16, in advantages and policy updates."""

import copy

import numpy as np
import torch

from course_utils.checks.beside import beside
from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Part
from course_utils.checks.exercises.bugs import find_the_bug, guarded, number
from course_utils.checks.observe import detached, quietly, same
from course_utils.checks.scripts.training import updates

# --- bug-14: groups that are not groups -------------------------------------------------------------


def group_rollouts(prompts, group_size, sample, score, eps=1e-4):
    """`group_size` answers for each prompt, each with its advantage: a list of (prompt, answer, advantage).

    The advantage is (reward - mean) / (std + eps), mean and sample standard deviation (n - 1) over the answers
    to the *same* prompt. sample(prompt) draws an answer, score(prompt, answer) gives its reward, a float.
    """
    rows = []
    for prompt in prompts:
        answers = [sample(prompt) for _ in range(group_size)]
        rewards = torch.tensor([score(prompt, answer) for answer in answers], dtype=torch.float64)
        advantages = (rewards - rewards.mean()) / (rewards.std() + eps)
        rows += zip([prompt] * group_size, answers, advantages.tolist(), strict=True)
    return rows


def _grouped(batch, normalise):
    """A variant: batch(prompts, group_size) lists the prompts; normalise(rewards (N,), group_size, eps)."""

    def answer(prompts, group_size, sample, score, eps=1e-4):
        asked = batch(list(prompts), group_size)
        answers = [sample(prompt) for prompt in asked]
        rewards = torch.tensor([score(p, a) for p, a in zip(asked, answers, strict=True)]).double()
        return list(zip(asked, answers, normalise(rewards, group_size, eps).tolist(), strict=True))

    return answer


def _repeated(prompts, group_size):
    return [prompt for prompt in prompts for _ in range(group_size)]


def _round_robin(prompts, group_size):
    return prompts * group_size


def _by_rows(rewards, group_size, eps, correction=1):
    groups = rewards.view(-1, group_size)
    mean, std = groups.mean(1, keepdim=True), groups.std(1, keepdim=True, correction=correction)
    return ((groups - mean) / (std + eps)).flatten()


def _by_columns(rewards, group_size, eps):
    groups = rewards.view(group_size, -1)
    return ((groups - groups.mean(0)) / (groups.std(0) + eps)).flatten()


def _by_round(rewards, group_size, eps):
    """Over the prompts of one round instead of the answers of one prompt."""
    groups = rewards.view(group_size, -1)
    mean, std = groups.mean(1, keepdim=True), groups.std(1, keepdim=True)
    return ((groups - mean) / (std + eps)).flatten()


def _not_turned_back(rewards, group_size, eps):
    """The groups are right, the advantages come out in the order of the groups, not of the answers."""
    return _by_rows(rewards.view(group_size, -1).T.flatten(), group_size, eps)


def _grouped_mixed_up(prompts, group_size, sample, score, eps=1e-4):
    """The answers and advantages are right, the prompts beside them are in another order."""
    rows = group_rollouts(prompts, group_size, sample, score, eps)
    return [(prompt, a, x) for prompt, (_, a, x) in zip(list(prompts) * group_size, rows, strict=True)]


def _grouped_one_answer(prompts, group_size, sample, score, eps=1e-4):
    answers = {prompt: sample(prompt) for prompt in prompts}
    return group_rollouts(prompts, group_size, answers.get, score, eps)


def _grouped_pandas(prompts, group_size, sample, score, eps=1e-4):
    import pandas as pd

    table = pd.DataFrame({"prompt": list(prompts) * group_size})
    table["answer"] = [sample(p) for p in table["prompt"]]
    table["reward"] = [score(p, a) for p, a in zip(table["prompt"], table["answer"], strict=True)]
    by = table.groupby("prompt")["reward"]
    table["advantage"] = (table["reward"] - by.transform("mean")) / (by.transform("std") + eps)
    return list(table[["prompt", "answer", "advantage"]].itertuples(index=False, name=None))


def _grouped_numpy(prompts, group_size, sample, score, eps=1e-4):
    rows = []
    for prompt in np.asarray(prompts, dtype=object):
        answers = [sample(prompt) for _ in range(group_size)]
        r = np.array([score(prompt, a) for a in answers])
        rows += [[prompt, a, x] for a, x in zip(answers, (r - r.mean()) / (r.std(ddof=1) + eps), strict=True)]
    return rows


@guarded
def _observe_groups(function, case):
    """Each prompt's answers with their advantages, in an order of their own: theirs is free."""
    prompts, group_size, rewards = case.args
    counts = dict.fromkeys(prompts, 0)

    def sample(prompt):
        counts[prompt] += 1
        return f"answer {counts[prompt]} to {prompt}"

    def score(prompt, answer):
        return rewards[prompt][(int(answer.split()[1]) - 1) % group_size] if answer.endswith(prompt) else -9.0

    mine = list(prompts)
    rows = quietly(function, mine, group_size, sample, score, **case.kwargs)
    found = {(prompt, answer): number(advantage) for prompt, answer, advantage in rows}
    wanted = [(p, f"answer {k + 1} to {p}") for p in prompts for k in range(group_size)]
    missing = [one for one in wanted if one not in found]
    strange = [a for p, a in found if not str(a).endswith(f"to {p}")]
    return {
        "advantages": Missing(f"{strange[0]!r} stands beside another prompt")
        if strange
        else Missing(f"{missing[0][1]!r} has no advantage")
        if missing
        else [found[one] for one in wanted],
        "rows": f"{len(rows)} rows, {len(set(found) - set(wanted))} of them for answers too many",
        "inputs": "unchanged"
        if mine == prompts
        else "`prompts` was changed by your function; work on a copy",
    }


def _group_cases(draw):
    def case(n, group_size, label, constant=False, **kwargs):
        prompts = [f"question {i}" for i in draw.permutation(90)[:n]]
        # float32 is good enough, hence the tolerance; prompts differ much more than the answers to one of them
        rewards = {p: [10 * i + float(r) for r in draw.normal(group_size)] for i, p in enumerate(prompts)}
        if constant:
            rewards[prompts[1]] = [0.25] * group_size
        return Case((prompts, group_size, rewards), kwargs, label=label, rtol=1e-4, scale=3e10)

    return [
        case(3, 4, "three prompts, four answers each"),
        case(5, 2, "five prompts, two answers each"),
        case(4, 4, "four prompts, four answers each, alike for one of them", constant=True),
        case(1, 6, "one prompt, six answers", eps=0.5),
    ]


BUG_14 = find_the_bug(
    14,
    "group_rollouts",
    group_rollouts,
    (
        Part("advantages", 1.5, _group_cases, ("advantages",)),
        Part("as many rows as wanted, prompts unchanged", 0.5, _group_cases, ("rows", "inputs")),
    ),
    (
        ("whole-batch", _grouped(_repeated, lambda r, g, eps: (r - r.mean()) / (r.std() + eps)), "mean and standard deviation are those of the whole batch"),
        ("group-mean-batch-std", _grouped(_repeated, lambda r, g, eps: (r.view(-1, g) - r.view(-1, g).mean(1, keepdim=True)).flatten() / (r.std() + eps)), "the standard deviation is that of the whole batch"),
        ("centred-only", _grouped(_repeated, lambda r, g, eps: (r.view(-1, g) - r.view(-1, g).mean(1, keepdim=True)).flatten()), "nothing is divided by the standard deviation any more"),
        ("population", _grouped(_repeated, lambda r, g, eps: _by_rows(r, g, eps, 0)), "the standard deviation divides by n; n - 1 is asked for"),
        ("by-round", _grouped(_round_robin, _by_round), "the rewards are arranged by rounds now, but still compared across prompts"),
        ("not-turned-back", _grouped(_round_robin, _not_turned_back), "the groups are right, but their advantages go to the answers in another order"),
        ("columns-of-repeated", _grouped(_repeated, _by_columns), "the prompts are repeated in another order now, and the rewards are cut in another way too: two changes that undo each other"),
        ("prompts-mixed-up", _grouped_mixed_up, "the answers stand beside other prompts than those they were drawn for"),
        ("one-answer", _grouped_one_answer, "each prompt has one answer, repeated; the answers of a group are drawn one by one"),
        ("negative", _grouped(_repeated, lambda r, g, eps: -_by_rows(r, g, eps)), "the sign is wrong: a better answer has the smaller advantage"),
        ("as-shown", _grouped(_round_robin, _by_rows), "answers to different prompts are compared: the list of prompts is repeated as a whole, and cut as if each prompt were"),
    ),
    {"columns": _grouped(_round_robin, _by_columns), "repeated": _grouped(_repeated, _by_rows), "pandas": _grouped_pandas, "numpy": _grouped_numpy},
    (
        "Print the prompts of the first group.",
        "What is [a, b] * 2, and which of its entries stand side by side?",
        "Either repeat each prompt, or arrange the rewards so that the answers to one prompt share a column.",
    ),
    _observe_groups,
)  # fmt: skip


# --- bug-15: a ratio that is always one -------------------------------------------------------------


def ppo_updates(policy, states, actions, advantages, optimizer, epochs=4, clip=0.2):
    """`epochs` updates of the policy on one set of rollouts, each on all of them; returns the policy.

    policy(states) gives logits (N, V); actions: int64 (N,), drawn from the policy as it comes in; advantages
    (N,). The loss is the mean of -min(ratio A, clip(ratio, 1 - clip, 1 + clip) A); the ratio is the policy's
    probability of the action now over that when the action was drawn.
    """
    with torch.no_grad():
        old_logp = _logp(policy, states, actions)
    for _ in range(epochs):
        ratio = (_logp(policy, states, actions) - old_logp).exp()
        clipped = ratio.clamp(1 - clip, 1 + clip)
        loss = -torch.minimum(ratio * advantages, clipped * advantages).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return policy


def _logp(policy, states, actions):
    return policy(states).log_softmax(-1).gather(-1, actions[:, None]).squeeze(-1)


def _surrogate(ratio, advantages, clip):
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()


def _ppo(loss_of=_surrogate, refreshed=lambda epoch: epoch == 0, steps=None, zero=True, ratio_of=None):
    """A variant: the loss, in which epochs old_logp is taken anew, how many epochs, the ratio."""

    def answer(policy, states, actions, advantages, optimizer, epochs=4, clip=0.2):
        for epoch in range(epochs if steps is None else steps):
            logp = _logp(policy, states, actions)
            if refreshed(epoch):
                old_logp = logp.detach()
            ratio = ratio_of(logp, old_logp) if ratio_of else (logp - old_logp).exp()
            loss = loss_of(ratio, advantages, clip)
            if zero:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return policy

    return answer


def _ppo_behind(policy, states, actions, advantages, optimizer, epochs=4, clip=0.2):
    """The ratio is against the epoch before."""
    with torch.no_grad():
        old_logp = _logp(policy, states, actions)
    for _ in range(epochs):
        logp = _logp(policy, states, actions)
        loss = _surrogate((logp - old_logp).exp(), advantages, clip)
        old_logp = logp.detach()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return policy


def _ppo_graph_kept(policy, states, actions, advantages, optimizer, epochs=4, clip=0.2):
    old_logp = _logp(policy, states, actions)
    for _ in range(epochs):
        loss = _surrogate((_logp(policy, states, actions) - old_logp).exp(), advantages, clip)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return policy


def _ppo_copied_policy(policy, states, actions, advantages, optimizer, epochs=4, clip=0.2):
    """The copy is trained for nothing: the optimiser holds the other one's weights."""
    old = policy
    policy = copy.deepcopy(policy)
    for _ in range(epochs):
        ratio = (_logp(policy, states, actions) - _logp(old, states, actions).detach()).exp()
        optimizer.zero_grad()
        _surrogate(ratio, advantages, clip).backward()
        optimizer.step()
    return policy


def _ppo_uniform_old(policy, states, actions, advantages, optimizer, epochs=4, clip=0.2):
    """Plain probabilities times the number of actions."""
    for _ in range(epochs):
        logp = _logp(policy, states, actions)
        loss = _surrogate(logp.exp() * policy(states).shape[-1], advantages, clip)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return policy


def _ppo_frozen_copy(policy, states, actions, advantages, optimizer, epochs=4, clip=0.2):
    old = copy.deepcopy(policy).eval().requires_grad_(False)
    for _ in range(epochs):
        new, before = (torch.distributions.Categorical(logits=p(states)) for p in (policy, old))
        ratio = torch.exp(new.log_prob(actions) - before.log_prob(actions))
        worse = torch.where(advantages > 0, ratio.clamp(max=1 + clip), ratio.clamp(min=1 - clip))
        optimizer.zero_grad(set_to_none=False)
        (-worse * advantages).mean().backward()
        optimizer.step()
    return policy


def _ppo_cross_entropy(policy, states, actions, advantages, optimizer, epochs=4, clip=0.2):
    from torch.nn.functional import cross_entropy

    old = None
    for _ in range(epochs):
        nll = cross_entropy(policy(states), actions, reduction="none")
        old = nll.detach().clone() if old is None else old
        ratio = torch.exp(old - nll)
        objective = torch.min(ratio * advantages, torch.clip(ratio, 1 - clip, 1 + clip) * advantages)
        optimizer.zero_grad()
        torch.mean(-objective).backward()
        optimizer.step()
    return policy


def _ppo_probabilities(policy, states, actions, advantages, optimizer, epochs=4, clip=0.2):
    rows = torch.arange(len(actions))
    old = policy(states).softmax(-1)[rows, actions].detach()
    while epochs > 0:
        optimizer.zero_grad()
        ratio = policy(states).softmax(-1)[rows, actions] / old
        torch.maximum(-ratio * advantages, -ratio.clamp(1 - clip, 1 + clip) * advantages).mean().backward()
        optimizer.step()
        epochs -= 1
    return policy


@guarded
def _observe_updates(function, case):
    """The weights of the policy that comes back."""
    weight, states, actions, advantages, rate = case.args
    given = [states, actions, advantages]
    seen = quietly(beside, function, updates, weight, *copy.deepcopy(given), rate, case.kwargs)
    weights = seen["weights"]
    return {
        "weights": Missing("no policy came back") if weights is None else detached(weights),
        "policy": "the one that came in" if seen["same"] else "another one than came in",
        "inputs": "unchanged"
        if same(given, seen["rollouts"])
        else "the rollouts were changed by your function; work on copies",
        "again": {"weights after as many updates again, of what came back": seen["again"]},
    }


def _ppo_case(draw, n, v, label, rate=4.0, **kwargs):
    weight, states = draw.normal(v, 3, scale=0.5), draw.normal(n, 3)
    actions = (states @ weight.T).argmax(-1)
    actions = torch.where(draw.uniform(0, 1, n) < 0.5, actions, draw.integers(0, v - 1, n))
    return Case((weight, states, actions, draw.normal(n, scale=1.5), rate), kwargs, label=label, rtol=1e-5)


def _ppo_cases(draw):
    return [
        _ppo_case(draw, 24, 4, "24 rollouts, the default epochs"),
        _ppo_case(draw, 20, 3, "20 rollouts, six epochs, clip=0.5", epochs=6, clip=0.5),
        _ppo_case(draw, 16, 5, "16 rollouts, two epochs", rate=8.0, epochs=2),
        _ppo_case(draw, 16, 4, "16 rollouts, one epoch", epochs=1),
    ]


BUG_15 = find_the_bug(
    15,
    "ppo_updates",
    ppo_updates,
    (
        Part("weights after the updates", 2.5, _ppo_cases, ("weights",)),
        Part("the policy itself comes back, rollouts unchanged", 0.5, _ppo_cases, ("policy", "inputs", "again")),
    ),
    (
        ("epoch-before", _ppo_behind, "the ratio is against the policy of the epoch before; against the one that drew the actions is wanted"),
        ("every-other-epoch", _ppo(refreshed=lambda epoch: epoch % 2 == 0), "the old log-probabilities are still taken anew, only less often"),
        ("graph-kept", _ppo_graph_kept, "the old log-probabilities are part of the graph: they are numbers"),
        ("copied-policy", _ppo_copied_policy, "no gradient reaches the policy that came in: is the loss that of a copy, or are the old log-probabilities still in the graph?"),
        ("no-clip", _ppo(lambda r, a, clip: -(r * a).mean()), "nothing is clipped any more"),
        ("clip-only", _ppo(lambda r, a, clip: -(r.clamp(1 - clip, 1 + clip) * a).mean()), "the minimum of the two is gone: a bad move beyond the clip is no longer taken back"),
        ("maximum", _ppo(lambda r, a, clip: -torch.maximum(r * a, r.clamp(1 - clip, 1 + clip) * a).mean()), "the larger of the two is taken; the smaller should be"),
        ("sign", _ppo(lambda r, a, clip: -_surrogate(r, a, clip)), "the sign of the loss is wrong: actions that were good get less likely"),
        ("clipped-logarithm", _ppo(lambda r, a, clip: -torch.minimum(r * a, r.log().clamp(-clip, clip).exp() * a).mean()), "the logarithm of the ratio is clipped; the ratio itself should be"),
        ("inverse-ratio", _ppo(ratio_of=lambda new, old: (old - new).exp()), "the ratio is upside down"),
        ("log-ratio", _ppo(ratio_of=lambda new, old: new - old), "the exponential is missing: this is the log of the ratio"),
        ("summed", _ppo(lambda r, a, clip: _surrogate(r, a, clip) * len(a)), "the loss is a sum; the mean is wanted"),
        ("no-zero-grad", _ppo(zero=False), "the gradients of earlier epochs are still there"),
        ("one-epoch", _ppo(steps=1), "there is one update, whatever `epochs` says"),
        ("probability", _ppo_uniform_old, "the probability is not divided by what it was when the action was drawn"),
        ("as-shown", _ppo(refreshed=lambda epoch: True), "the ratio is 1 in every epoch, since both log-probabilities are those of now; so nothing is ever clipped"),
    ),
    {"a frozen copy": _ppo_frozen_copy, "cross-entropy": _ppo_cross_entropy, "probabilities": _ppo_probabilities},
    (
        "Print the ratio in the second epoch.",
        "Whose log-probabilities does the ratio compare with, and when were they computed?",
        "What belongs to the rollouts is computed once, before the first update, and without a graph.",
    ),
    _observe_updates,
)  # fmt: skip


# --- bug-16: advantages that cross from one answer to the next ---------------------------------------


def packed_gae(rewards, values, ended, gamma=1.0, lam=0.95):
    """Generalised advantage estimation of answers packed into one row, one after the other: (T,).

    rewards, values: (T,), one a token; ended: bool (T,), True at the last token of each answer, so also at the
    last of all. The value after an answer's end is 0. Answers do not know of each other.
    """
    advantages, carry, next_value = torch.zeros_like(rewards), 0.0, 0.0
    for t in reversed(range(len(rewards))):
        if ended[t]:
            carry = next_value = 0.0
        carry = rewards[t] + gamma * next_value - values[t] + gamma * lam * carry
        advantages[t], next_value = carry, values[t]
    return advantages


def _packed(value_cut=lambda ended, t: ended[t], carry_cut=lambda ended, t: ended[t], step=None, last=0.0):
    """A variant: where the next value and the carry are cut; how a step goes; the value after the row."""

    def answer(rewards, values, ended, gamma=1.0, lam=0.95):
        advantages, carry = torch.zeros_like(rewards), torch.zeros(())
        for t in reversed(range(len(rewards))):
            next_value = values[t + 1] if t + 1 < len(rewards) else torch.as_tensor(last).to(values)
            next_value = next_value * (not value_cut(ended, t))
            delta = rewards[t] + gamma * next_value - values[t]
            keep = not carry_cut(ended, t)
            carry = step(delta, carry * keep, gamma, lam) if step else delta + gamma * lam * carry * keep
            advantages[t] = carry
        return advantages

    return answer


def _never(ended, t):
    return False


def _packed_td(rewards, values, ended, gamma=1.0, lam=0.95):
    return packed_gae(rewards, values, ended, gamma, 0.0)


def _packed_monte_carlo(rewards, values, ended, gamma=1.0, lam=0.95):
    return packed_gae(rewards, values, ended, gamma, 1.0)


def _packed_returns(rewards, values, ended, gamma=1.0, lam=0.95):
    return packed_gae(rewards, values, ended, gamma, lam) + values


def _packed_zeroed(rewards, values, ended, gamma=1.0, lam=0.95):
    """The advantages at the ends are set to 0, after the carry went on."""
    return packed_gae(rewards, values, ended, gamma, lam).masked_fill(ended, 0.0)


def _packed_whitened(rewards, values, ended, gamma=1.0, lam=0.95):
    a = packed_gae(rewards, values, ended, gamma, lam)
    return (a - a.mean()) / (a.std() + 1e-8) if len(a) > 1 else a


def _packed_first_answer(rewards, values, ended, gamma=1.0, lam=0.95):
    """Only the first end is looked at."""
    first = torch.zeros_like(ended)
    first[ended.nonzero()[0]] = True
    first[-1] = True
    return packed_gae(rewards, values, first, gamma, lam)


def _packed_in_place(rewards, values, ended, gamma=1.0, lam=0.95):
    for t in reversed(range(len(rewards))):
        last = bool(ended[t])
        rewards[t] += -values[t] + (0 if last else gamma * values[t + 1] + gamma * lam * rewards[t + 1])
    return rewards


def _packed_split(rewards, values, ended, gamma=1.0, lam=0.95):
    """Answer by answer, each as a sum."""
    found, start = [], 0
    for end in (ended.nonzero().flatten() + 1).tolist():
        r, v = rewards[start:end], torch.cat([values[start:end], values.new_zeros(1)])
        deltas = r + gamma * v[1:] - v[:-1]
        for t in range(len(deltas)):
            powers = (gamma * lam) ** torch.arange(len(deltas) - t, dtype=deltas.dtype)
            found.append((powers * deltas[t:]).sum())
        start = end
    return torch.stack(found)


def _packed_matrix(rewards, values, ended, gamma=1.0, lam=0.95):
    number_ = torch.cat([torch.zeros(1, dtype=torch.long), ended.long().cumsum(0)[:-1]])
    t = torch.arange(len(rewards))
    same = (number_[:, None] == number_[None, :]) & (t[None, :] >= t[:, None])
    after = torch.cat([values[1:], values.new_zeros(1)]).masked_fill(ended, 0.0)
    decay = (gamma * lam) ** (t[None, :] - t[:, None]).clamp(min=0).to(rewards.dtype)
    return (decay * same) @ (rewards + gamma * after - values)


def _packed_numpy(rewards, values, ended, gamma=1.0, lam=0.95):
    r, v, e = rewards.numpy(), values.numpy(), ended.numpy()
    a, carry = np.zeros_like(r), 0.0
    for t in range(len(r) - 1, -1, -1):
        going_on = 1.0 - e[t]
        after = v[t + 1] if t + 1 < len(r) else 0.0
        carry = r[t] + gamma * after * going_on - v[t] + gamma * lam * going_on * carry
        a[t] = carry
    return torch.from_numpy(a)


def _packed_cases(draw):
    def case(lengths, label, **kwargs):
        ended = torch.zeros(sum(lengths), dtype=torch.bool)
        ended[torch.tensor(lengths).cumsum(0) - 1] = True
        n = len(ended)
        return Case((draw.normal(n), draw.normal(n, scale=2.0), ended), kwargs, label=label)

    return [
        case([4, 3, 5], "answers of 4, 3 and 5 tokens"),
        case([1, 1, 6, 2], "answers of 1, 1, 6 and 2 tokens, gamma=0.9, lam=0.7", gamma=0.9, lam=0.7),
        case([2, 3], "two answers, lam=1", lam=1.0),
        case([5], "one answer, gamma=0.99", gamma=0.99),
    ]


BUG_16 = find_the_bug(
    16,
    "packed_gae",
    packed_gae,
    (
        Part("advantages", 2.5, _packed_cases),
        Part("inputs unchanged", 0.5, _packed_cases, ("inputs",)),
    ),
    (
        ("carry-one-late", _packed(carry_cut=lambda e, t: t > 0 and e[t - 1]), "the sum is cut at the wrong token: one beside the end"),
        ("carry-one-early", _packed(carry_cut=lambda e, t: t + 1 < len(e) and e[t + 1]), "the sum starts anew one token too far on: the end of an answer does not reach the token before it, and still hears of the next answer"),
        ("carry-cut-only", _packed(value_cut=_never), "the sum is cut now, but the value of the next answer's first token is looked at again"),
        ("nothing-cut", _packed(_never, _never), "neither the sum nor the next value ends with the answer"),
        ("ends-zeroed", _packed_zeroed, "the last token of an answer gets no advantage any more"),
        ("first-end-only", _packed_first_answer, "only the first answer's end counts"),
        ("one-step", _packed_td, "only one step is left: lam does nothing"),
        ("no-lambda", _packed_monte_carlo, "lam is not looked at"),
        ("no-gamma", _packed(step=lambda d, c, g, lam: d + lam * c), "the sum does not shrink by gamma"),
        ("delta-scaled", _packed(step=lambda d, c, g, lam: g * lam * (d + c)), "the token's own term shrinks too"),
        ("returns", _packed_returns, "the returns came back (advantages plus values)"),
        ("whitened", _packed_whitened, "the advantages were whitened"),
        ("in-place", _packed_in_place, "the rewards that were given have been overwritten"),
        ("as-shown", _packed(carry_cut=_never), "the next value is cut at an answer's end, but the running sum goes on into the answer before"),
    ),
    {"answer by answer": _packed_split, "matrix": _packed_matrix, "numpy": _packed_numpy},
    (
        "Pack an answer alone, then with another one behind it: its advantages must not change.",
        "Two things are carried from token t + 1 to token t. Which?",
        "At an answer's end both the next value and the running sum start from 0.",
    ),
)  # fmt: skip


BUGS = (BUG_14, BUG_15, BUG_16)
