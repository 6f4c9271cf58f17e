"""03-method-comparison: pairs out of freshly judged samples."""

import contextlib

import numpy as np
import torch

from course_utils.checks.cases import cast
from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Exercise, Misconception, Part
from course_utils.checks.observe import observe_call
from course_utils.preferences import online_pairs
from course_utils.words import type_of

_NAMES = ("chosen_idx", "rejected_idx")


def _observe_pairs(function, case):
    """For each position which place its reward has in which group: of several best ones any is right."""
    seen = observe_call(function, case)
    if "error" in seen:
        return seen
    rewards, size = case.args
    result = seen["result"]
    tensor = isinstance(result, (torch.Tensor, np.ndarray))
    if not (tensor and result.ndim or isinstance(result, list)) or len(result) != 2:
        kind = "one tensor" if tensor else "None" if result is None else type_of(result)
        kind = f"{len(result)} things" if isinstance(result, list) else kind
        words = Missing(f"{kind} where chosen_idx and rejected_idx are wanted")
        return {"result": words, "dtype": words, "inputs": seen["inputs"]}
    return {
        "result": {
            n: _places(r, list(map(float, rewards)), size) for n, r in zip(_NAMES, result, strict=True)
        },
        "dtype": {n: _form(r) for n, r in zip(_NAMES, result, strict=True)},
        "inputs": seen["inputs"],
    }


def _form(positions):
    if not isinstance(positions, torch.Tensor):
        return f"of {type_of(positions)}, not of a tensor"
    axes = "" if positions.dim() == 1 else f" with {positions.dim()} axes"
    return str(positions.dtype).removeprefix("torch.") + axes


def _places(positions, rewards, size):
    with contextlib.suppress(TypeError, ValueError, RuntimeError, OverflowError):
        return [_place(p, rewards, size) for p in np.asarray(positions).reshape(-1).tolist()]
    return f"{type(positions).__name__}, no positions"


def _place(position, rewards, size):
    """A position in words: "best of group 2"."""
    if not isinstance(position, (int, float)) or position not in range(len(rewards)):
        return f"{position} is no position"
    group = int(position) // size
    own, mine = rewards[group * size : (group + 1) * size], rewards[int(position)]
    if max(own) == min(own):
        return f"one of group {group}, whose rewards are all alike"
    if mine in (max(own), min(own)):
        return f"{'best' if mine == max(own) else 'worst'} of group {group}"
    return f"number {1 + sum(r > mine for r in own)} of {size} in group {group}"


# --- cases: gaps of at least .1, but for two groups whose rewards nearly agree ---------------------


def _distinct(draw, groups, size, shift=0.0):
    """Rewards a tenth apart or more, no two of a batch alike."""
    return torch.tensor(draw.permutation(groups * size), dtype=torch.float64) / 8 + shift


def _tensor(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def _value_cases(draw):
    size = draw.integer(3, 6)
    tied = [_tensor(1, 0, 1, 0), _tensor(1, 1, 1, 0), _tensor(0, 0, 1, 0)]
    order = draw.permutation(3)
    return [
        Case((_tensor(0.5, 2, -3, 1, 3, 0, 1, 2), 4), label="eight rewards, groups of 4"),
        Case((_distinct(draw, 3, size), size), label=f"three groups of {size}"),
        Case((_distinct(draw, 5, 3, -20.0), 3), label="five groups of 3, all rewards negative"),
        Case((_distinct(draw, 4, 4, -1.0), 4), label="four groups of 4"),
        Case((_distinct(draw, 4, 2), 2), label="four groups of 2"),
        Case((_distinct(draw, 1, 5), 5), label="one group"),
        Case((_distinct(draw, 2, 7, 100.0).float(), 7), label="rewards near 100, float32"),
        Case((torch.cat([tied[i] for i in order]), 4), label="rewards 0 and 1, several best or worst"),
        Case(
            (_tensor(0.5, 0.5, -0.5, 1, 2, 2, 0, 1, 0, 1, 2, 3), 4),
            label="three groups of 4, two of them with ties",
        ),
    ]


def _alike(draw, size, *kinds):
    """Groups in order: a number is the reward of all its samples, None is a group with a best and a worst."""
    groups = [
        _distinct(draw, 1, size) if k is None else torch.full((size,), float(k)).double() for k in kinds
    ]
    return torch.cat(groups)


def _dropping_cases(draw):
    few = _alike(draw, 4, 1, None, 0, None, 0.5)
    return [
        Case((few, 4), label="five groups, the first, third and last without a difference"),
        Case((_alike(draw, 3, None, -2, 0, None, None), 3), label="five groups, the second and third alike"),
        Case((_alike(draw, 2, 0, 0, None, 1), 2), label="groups of 2, the third alone with a difference"),
        Case(
            (_tensor(0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 0), 4), label="rewards 0 and 1, the second group alike"
        ),
        Case((_alike(draw, 3, 1, 0), 3), label="no group with a difference"),
        Case((_tensor(1, 1, 1 + 5e-10, 0, 0, 0), 3), label="rewards 1, 1 and 1 + 5e-10, float64"),
        Case((_tensor(0.5, 0.5001, 0.5, 2, 2, 2).float(), 3), label="rewards .5, .5001 and .5, float32"),
    ]


def _form_cases(draw):
    return [
        *(
            Case(cast((_distinct(draw, 3, 4), 4), d), label=str(d)[6:])
            for d in (torch.float32, torch.float64)
        ),
        Case((_alike(draw, 3, None, 1), 3), label="one pair"),
        Case((_alike(draw, 4, 1, 0, 0.5), 4), label="no group with a difference"),
    ]


# --- answers ----------------------------------------------------------------------------------


def _groups(rewards, size):
    """(start, rewards of the group as a list), in order."""
    return [(i, list(map(float, rewards[i : i + size]))) for i in range(0, len(rewards), size)]


def _each(pick, drop=lambda g: max(g) == min(g)):
    """An answer that picks (chosen, rejected) inside every group that it does not drop."""

    def answer(rewards, group_size):
        picked = [(i, pick(g)) for i, g in _groups(rewards, group_size) if not drop(g)]
        return tuple(torch.tensor([i + p[k] for i, p in picked], dtype=torch.int64) for k in (0, 1))

    return answer


def _ends(group):
    return group.index(max(group)), group.index(min(group))


def _ranked(k, m):
    """Positions of the k-th and the m-th in the order from best to worst."""

    def pick(group):
        order = sorted(range(len(group)), key=lambda i: -group[i])
        return order[k], order[m]

    return pick


def _then(change):
    return lambda rewards, group_size: change(*online_pairs(rewards, group_size))


def _local(rewards, size):
    return tuple(i % size for i in online_pairs(rewards, size))


def _numbers_again(rewards, size):
    chosen, rejected = online_pairs(rewards, size)
    starts = torch.arange(len(chosen)) * size
    return starts + chosen % size, starts + rejected % size


def _all_pairs(rewards, size):
    pairs = [
        (i + a, i + b)
        for i, g in _groups(rewards, size)
        for a in range(size)
        for b in range(size)
        if g[a] > g[b]
    ]
    return tuple(torch.tensor([p[k] for p in pairs], dtype=torch.int64) for k in (0, 1))


def _by_gap(rewards, size):
    chosen, rejected = online_pairs(rewards, size)
    order = (rewards[chosen] - rewards[rejected]).argsort(descending=True, stable=True)
    return chosen[order], rejected[order]


def _across(rewards, size):
    """Groups taken as rewards[i::groups]."""
    groups = len(rewards) // size
    table = rewards.reshape(size, groups)
    at = torch.arange(groups)
    kept = table.amax(0) > table.amin(0)
    return (table.argmax(0) * groups + at)[kept], (table.argmin(0) * groups + at)[kept]


def _marked(rewards, size):
    kept = [max(g) > min(g) for _, g in _groups(rewards, size)]
    every = _each(_ends, lambda g: False)(rewards, size)
    return tuple(torch.where(torch.tensor(kept), positions, -1) for positions in every)


def _values(rewards, size):
    return tuple(rewards[i] for i in online_pairs(rewards, size))


def _neighbours(rewards, size):
    first = torch.arange(0, len(rewards) - 1, 2)
    turned = (rewards[first + 1] > rewards[first]).long()
    return first + turned, first + 1 - turned


def _all_ends(rewards, size):
    groups = rewards.reshape(-1, size)
    kept = (groups.amax(1) > groups.amin(1))[:, None]
    ends = ((groups == end[:, None]) & kept for end in (groups.amax(1), groups.amin(1)))
    return tuple(end.reshape(-1).nonzero()[:, 0] for end in ends)


def _marks(rewards, size):
    chosen, rejected = online_pairs(rewards, size)
    at = torch.arange(len(rewards))
    return torch.isin(at, chosen), torch.isin(at, rejected)


def _empty(make):
    """Right where there is a pair, else what `make` makes."""

    def answer(rewards, group_size):
        right = online_pairs(rewards, group_size)
        return right if len(right[0]) else make()

    return answer


def _fails_on_empty():
    return torch.stack([]), torch.stack([])


def _sorting_in_place(rewards, group_size):
    right = online_pairs(rewards, group_size)
    rewards.copy_(rewards.reshape(-1, group_size).sort(1).values.reshape(-1))
    return right


def _by_sorting(rewards, group_size):
    order = rewards.view(-1, group_size).argsort(dim=1) + torch.arange(0, len(rewards), group_size)[:, None]
    pairs = order[:, [-1, 0]]
    pairs = pairs[rewards[pairs[:, 0]] != rewards[pairs[:, 1]]]
    return pairs[:, 0], pairs[:, 1]


def _by_numpy(rewards, group_size):
    table = np.asarray(rewards).reshape(-1, group_size)
    rows = np.flatnonzero(np.ptp(table, axis=1) > 0)
    last = group_size - 1 - table[rows, ::-1].argmax(1)  # the last of several best ones
    return torch.from_numpy(rows * group_size + last), torch.from_numpy(
        rows * group_size + table[rows].argmin(1)
    )


def _by_pandas(rewards, group_size):
    import pandas as pd

    groups = pd.Series(np.asarray(rewards)).groupby(np.arange(len(rewards)) // group_size)
    kept = (groups.max() != groups.min()).to_numpy()
    return [torch.as_tensor(i.to_numpy()[kept].copy()).long() for i in (groups.idxmax(), groups.idxmin())]


def _by_loop(rewards, group_size):
    chosen, rejected = [], []
    for start in range(0, len(rewards), group_size):
        places = range(start, start + group_size)
        best = max(places, key=lambda i: float(rewards[i]))
        worst = min(reversed(places), key=lambda i: float(rewards[i]))
        if rewards[best] > rewards[worst]:
            chosen.append(best)
            rejected.append(worst)
    return torch.LongTensor(chosen), torch.LongTensor(rejected)


def _one_for_all(rewards, size):
    return rewards.argmax().reshape(1), rewards.argmin().reshape(1)


_TOLERANCE = (
    "groups with a tiny difference were dropped (by a tolerance, or by a cast to fewer digits); only no difference at "
    "all is a reason"
)

ONLINE_PAIRS = Exercise(
    id="online-pairs",
    function="online_pairs",
    reference=online_pairs,
    observe=_observe_pairs,
    parts=(
        Part("best and worst of each group", 2, _value_cases),
        Part("a group without a difference is dropped", 1.5, _dropping_cases),
        Part("two int64 tensors, rewards unchanged", 0.5, _form_cases, ("dtype", "inputs")),
    ),
    misconceptions=(
        Misconception(
            "places-in-the-group",
            _local,
            "the positions count from the start of each group; they are to count from the start of `rewards`",
        ),
        Misconception(
            "renumbered",
            _numbers_again,
            "the groups were numbered again after some were dropped; each keeps its place in `rewards`",
        ),
        Misconception(
            "start-is-number",
            lambda r, n: tuple(i // n + i % n for i in online_pairs(r, n)),
            "the number of the group was added to the place in it; group i does not begin at position i",
        ),
        Misconception(
            "swapped",
            _then(lambda chosen, rejected: (rejected, chosen)),
            "best and worst are exchanged: the chosen come first",
        ),
        Misconception(
            "alike-kept",
            _each(_ends, lambda g: False),
            "groups whose rewards are all alike give a pair too; they show no preference",
        ),
        Misconception(
            "alike-marked",
            _marked,
            "a group without a difference left a -1 behind; it is to leave nothing",
        ),
        Misconception(
            "any-tie-dropped",
            _each(_ends, lambda g: len(set(g)) < len(g)),
            "a group was dropped because some of its rewards are equal; only best = worst is a reason",
        ),
        Misconception(
            "tied-ends-dropped",
            _each(_ends, lambda g: max(g) == min(g) or g.count(max(g)) > 1 or g.count(min(g)) > 1),
            "a group with several best (or worst) was dropped; any one of them will do",
        ),
        Misconception(
            "failures-dropped",
            _each(_ends, lambda g: max(g) <= 0),
            "groups were dropped by the size of their rewards; what counts is whether they differ",
        ),
        Misconception(
            "small-gaps-dropped",
            _each(_ends, lambda g: max(g) - min(g) < 0.9),
            "groups with a small difference were dropped too; only no difference at all is a reason",
        ),
        Misconception(
            "tolerance",
            _each(_ends, lambda g: max(g) - min(g) < 1e-3),
            _TOLERANCE,
        ),
        Misconception(
            "small-tolerance",
            _each(_ends, lambda g: max(g) - min(g) < 1e-6),
            _TOLERANCE,
        ),
        Misconception(
            "one-pair-for-all",
            _one_for_all,
            "best and worst are of the whole batch; responses to different prompts were compared",
        ),
        Misconception(
            "groups-across",
            _across,
            "the groups were read across (every n-th reward); those of one prompt stand side by side",
        ),
        Misconception(
            "neighbours",
            _neighbours,
            "neighbours were compared, two by two; best and worst of a whole group are wanted",
        ),
        Misconception(
            "every-best",
            _all_ends,
            "all of several best (or worst) ones came back; one of them is wanted, so that there is a pair a group",
        ),
        Misconception(
            "axes-exchanged",
            lambda r, n: _each(_ends)(r, len(r) // n),
            "there are group_size groups; there should be groups of that size",
        ),
        Misconception(
            "every-pair",
            _all_pairs,
            "all pairs of a group with a better and a worse response are there; one a group is wanted",
        ),
        Misconception(
            "best-and-second",
            _each(_ranked(0, 1)),
            "the rejected one is the second best of its group; the worst is wanted",
        ),
        Misconception(
            "second-worst",
            _each(_ranked(0, -2)),
            "the rejected one is the second worst of its group; the worst is wanted",
        ),
        Misconception(
            "first-and-last",
            _each(lambda g: (0, len(g) - 1)),
            "the pair is the first and the last of the group, whatever their rewards",
        ),
        Misconception(
            "best-and-first",
            _each(lambda g: (_ends(g)[0], 0)),
            "the rejected one is the first of its group, whatever its reward",
        ),
        Misconception(
            "best-and-next",
            _each(lambda g: (_ends(g)[0], (_ends(g)[0] + 1) % len(g))),
            "the rejected one stands beside the best, whatever its reward",
        ),
        Misconception(
            "by-size",
            _each(lambda g: _ends([abs(r) for r in g])),
            "the rewards were compared without their signs",
        ),
        Misconception(
            "largest-gap-first",
            _by_gap,
            "the pairs are sorted by their difference; the groups' order is wanted",
        ),
        Misconception(
            "last-group-missing",
            lambda r, n: tuple(i[i < len(r) - n] for i in online_pairs(r, n)),
            "the last group is missing",
        ),
        Misconception("rewards", _values, "these are the rewards; their positions are wanted"),
        Misconception(
            "fails-on-none",
            _empty(_fails_on_empty),
            "it fails where no group has a difference; two empty tensors are wanted",
        ),
        Misconception(
            "none",
            _empty(lambda: None),
            "nothing comes back where no group has a difference; two empty tensors are wanted",
        ),
        Misconception(
            "empty-float",
            _empty(lambda: (torch.tensor([]), torch.tensor([]))),
            "torch.tensor([]) is float32; without a pair too, positions are int64 (give a dtype)",
        ),
        Misconception(
            "int32",
            _then(lambda chosen, rejected: (chosen.int(), rejected.int())),
            "the positions are int32; int64 is wanted (torch.long)",
        ),
        Misconception(
            "float",
            _then(lambda chosen, rejected: (chosen.float(), rejected.float())),
            "the positions are floats, which cannot index; int64 is wanted",
        ),
        Misconception(
            "lists",
            _then(lambda chosen, rejected: (chosen.tolist(), rejected.tolist())),
            "the positions are right but in lists; two int64 tensors are wanted",
        ),
        Misconception(
            "arrays",
            _then(lambda chosen, rejected: (chosen.numpy(), rejected.numpy())),
            "the positions are right but in arrays; two int64 tensors are wanted (torch.from_numpy)",
        ),
        Misconception(
            "rows-of-pairs",
            _then(lambda chosen, rejected: torch.stack([chosen, rejected], 1)),
            "one tensor with a row a pair; two tensors are wanted, the chosen positions and the rejected",
        ),
        Misconception(
            "marks",
            _marks,
            "the best and the worst are marked (True and False); their positions are wanted",
        ),
        Misconception(
            "listed-pairs",
            _then(lambda chosen, rejected: list(zip(chosen.tolist(), rejected.tolist(), strict=True))),
            "a list of pairs; two tensors are wanted, the chosen positions and the rejected",
        ),
        Misconception(
            "columns",
            _then(lambda chosen, rejected: (chosen[:, None], rejected[:, None])),
            "the positions stand in a column, (P, 1); (P,) is wanted",
        ),
        Misconception(
            "sorted-in-place",
            _sorting_in_place,
            "the rewards were sorted in place; work on a copy",
        ),
    ),
    alternatives={
        "sorting": _by_sorting,
        "numpy, last of the best": _by_numpy,
        "pandas": _by_pandas,
        "loop": _by_loop,
        "plain lists": lambda r, n: _each(_ends)(r.tolist(), n),
        "stacked": lambda r, n: torch.stack(_each(_ends)(r, n)),
    },
    hints=(
        "Reshape the rewards to (groups, group_size): then best and worst are argmax and argmin along one axis.",
        "Those count inside a group. Where does group i begin in `rewards`?",
        "Make a mask of the groups whose largest reward is above their smallest, and index both results with it; "
        "without any group the result is then empty by itself.",
    ),
)
