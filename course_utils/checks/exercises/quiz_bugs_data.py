"""06-final-quiz: bugs 19 to 21, in what is fed to a model and what is taken out of it."""

import collections
import copy
import random

import torch

from course_utils.checks.beside import beside
from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Part
from course_utils.checks.exercises.bugs import find_the_bug, guarded
from course_utils.checks.observe import changed_inputs, detached, quietly
from course_utils.checks.scripts.layers import exported
from course_utils.words import type_of

# --- bug-19: mismatched pairs that match ------------------------------------------------------------


def mismatched(prompts, completions):
    """A rearrangement of `completions` in which none stands at a prompt that it, or a row of equal prompt, had.

    prompts, completions: lists of equal length, a row each; prompts can repeat, side by side or not. Each
    completion is used once. ValueError where there is no such rearrangement.
    """
    n, order = len(prompts), sorted(range(len(prompts)), key=lambda i: prompts[i])
    shift = max(collections.Counter(prompts).values())
    if 2 * shift > n:
        raise ValueError("more than half of the rows have the same prompt")
    found = list(completions)
    for place, i in enumerate(order):  # rows of one prompt stand together now: all are passed over
        found[i] = completions[order[(place + shift) % n]]
    return found


def _rolled(prompts, completions):
    return completions[1:] + completions[:1]


def _rolled_back(prompts, completions):
    return completions[-1:] + completions[:-1]


def _rolled_by_largest(prompts, completions):
    """By the size of the largest group, but without sorting."""
    k = max(collections.Counter(prompts).values())
    return completions[k:] + completions[:k]


def _rolled_until_free(prompts, completions):
    """The first shift without a conflict; there may be none although a rearrangement exists."""
    n = len(prompts)
    for k in range(1, n):
        if all(prompts[i] != prompts[(i + k) % n] for i in range(n)):
            return completions[k:] + completions[:k]
    raise ValueError("no shift")


def _reversed(prompts, completions):
    return completions[::-1]


def _shuffled(prompts, completions):
    return random.Random(0).sample(completions, len(completions))


def _sorted_rolled(prompts, completions):
    """Sorted by prompt, and rolled by one."""
    order = sorted(range(len(prompts)), key=lambda i: prompts[i])
    found = list(completions)
    for place, i in enumerate(order):
        found[i] = completions[order[(place + 1) % len(order)]]
    return found


def _next_other(prompts, completions):
    """For each row the next completion of another prompt; some are used twice."""
    n = len(prompts)
    if len(set(prompts)) < 2:
        raise ValueError("only one prompt")
    return [
        completions[next(j % n for j in range(i + 1, i + n) if prompts[j % n] != prompts[i])]
        for i in range(n)
    ]


def _greedy(prompts, completions, order=iter):
    """The first free completion of another prompt, in an order; the last rows can be left with none."""
    free, found = list(range(len(prompts))), []
    for prompt in prompts:
        j = next((j for j in order(free) if prompts[j] != prompt), None)
        if j is None:
            raise ValueError("none left")
        free.remove(j)
        found.append(completions[j])
    return found


def _greedy_from_behind(prompts, completions):
    return _greedy(prompts, completions, reversed)


def _swapped_one_sided(prompts, completions):
    """Repaired by swaps that are right for one of the two rows."""
    n, order = len(prompts), list(range(len(prompts)))
    for i in range(n):
        if prompts[order[i]] == prompts[i]:
            j = next((j for j in range(n) if prompts[order[j]] != prompts[i]), None)
            if j is None:
                raise ValueError("no such rearrangement")
            order[i], order[j] = order[j], order[i]
    return [completions[j] for j in order]


def _dropped(prompts, completions):
    """Rows that would match are left out."""
    n = len(prompts)
    return [completions[(i + 1) % n] for i in range(n) if prompts[i] != prompts[(i + 1) % n]]


def _always_something(prompts, completions):
    try:
        return mismatched(prompts, completions)
    except ValueError:
        return _rolled(prompts, completions)


def _none_where_impossible(prompts, completions):
    try:
        return mismatched(prompts, completions)
    except ValueError:
        return None


def _half_refused(prompts, completions):
    if 2 * max(collections.Counter(prompts).values()) >= len(prompts):
        raise ValueError("half of the rows have the same prompt")
    return mismatched(prompts, completions)


def _own_sorted_in_place(prompts, completions):
    found = mismatched(prompts, completions)
    completions[:] = found
    return found


def _matched(prompts, completions):
    from scipy.optimize import linear_sum_assignment

    cost = [[float(a == b) for b in prompts] for a in prompts]
    rows, columns = linear_sum_assignment(cost)
    if sum(cost[i][j] for i, j in zip(rows, columns, strict=True)) > 0:
        raise ValueError("no such rearrangement")
    return [completions[j] for j in columns]


def _retried(prompts, completions):
    """Shuffled up to a thousand times; rearrangements that are rare are not found."""
    rng, order = random.Random(1), list(range(len(prompts)))
    for _ in range(1000):
        if all(prompts[i] != prompts[j] for i, j in enumerate(order)):
            return [completions[j] for j in order]
        rng.shuffle(order)
    raise ValueError("no such rearrangement")


def _dealt(prompts, completions):
    """Rows in order of their group, the largest first, and each takes from half of the rows further on."""
    count = collections.Counter(prompts)
    if 2 * max(count.values()) > len(prompts):
        raise ValueError("a prompt has more than half of the rows")
    places = sorted(range(len(prompts)), key=lambda i: (-count[prompts[i]], prompts[i]))
    givers = collections.deque(places)
    givers.rotate(-count[prompts[places[0]]])
    chosen = dict(zip(places, givers, strict=True))
    return [completions[chosen[i]] for i in range(len(prompts))]


def _swapped(prompts, completions):
    """Repaired by swaps."""
    n, order = len(prompts), list(range(len(prompts)))
    for i in range(n):
        if prompts[order[i]] != prompts[i]:
            continue
        for j in range(n):
            if prompts[order[j]] != prompts[i] and prompts[order[i]] != prompts[j]:
                order[i], order[j] = order[j], order[i]
                break
        else:
            raise ValueError("no such rearrangement")
    return tuple(completions[j] for j in order)


@guarded
def _observe_mismatched(function, case):
    """Which rows still match, whether each completion is there once; or what comes where there is no way."""
    prompts, completions = case.args
    args = (list(prompts), list(completions))
    if case.extra:
        try:
            result = quietly(function, *args)
        except ValueError:
            return {"refused": "ValueError"}
        return {
            "refused": Missing(f"{type_of(result)} came back" if result is not None else "None came back")
        }
    found = list(quietly(function, *args))
    written_for = dict(zip(completions, prompts, strict=True))
    wrong = [i for i, (p, c) in enumerate(zip(prompts, found, strict=False)) if written_for.get(c) == p]
    once = sorted(found, key=str) == sorted(completions)
    return {
        "rows": Missing(f"a completion of the prompt itself in rows {wrong}") if wrong else "none matches",
        "once": "each completion once" if once else Missing(f"{len(found)} rows, {len(set(found))} different completions, {len(prompts)} wanted"),
        "inputs": changed_inputs(((prompts, completions), {}), (args, {})),
    }  # fmt: skip


def _mismatch_case(pattern, start, label, extra=None):
    """pattern: a letter a row, rows of the same letter have the same prompt."""
    prompts = [f"question {ord(letter) - 97 + start}" for letter in pattern]
    return Case((prompts, [f"completion {i}" for i in range(len(pattern))]), label=label, extra=extra)


def _mismatch_cases(draw):
    start = draw.integer(10, 80)
    mixed = "".join("aabbccdef"[i] for i in draw.permutation(9))
    return [
        _mismatch_case("aabbcc", start, "three prompts with two completions each, side by side"),
        _mismatch_case("abcabdabe", start, "nine rows, prompts repeat here and there"),
        _mismatch_case("abacad", start, "every other row has the same prompt"),
        _mismatch_case("bcdaaa", start, "the last three of six rows have the same prompt"),
        _mismatch_case(mixed, start, "nine rows in any order"),
        _mismatch_case("aabacde", start, "three of seven rows have the same prompt"),
        _mismatch_case("abcdefg", start, "seven different prompts"),
        _mismatch_case(
            "dccbbcd", start, "seven rows, of which whoever takes the first that fits has none left"
        ),
        _mismatch_case("ab", start, "two rows"),
        _mismatch_case("abacadaeafagahai", start, "half of sixteen rows have the same prompt"),
    ]


def _impossible_cases(draw):
    start = draw.integer(10, 80)
    return [
        _mismatch_case("abaca", start, "three of five rows have the same prompt", True),
        _mismatch_case("aaaa", start, "one prompt", True),
        _mismatch_case("a", start, "one row", True),
    ]


BUG_19 = find_the_bug(
    19,
    "mismatched",
    mismatched,
    (
        Part("no completion at a prompt it was written for, each used once", 3, _mismatch_cases, ("rows", "once")),
        Part("ValueError where there is no way", 0.5, _impossible_cases, ("refused",)),
        Part("inputs unchanged", 0.5, _mismatch_cases, ("inputs",)),
    ),
    (
        ("always-something", _always_something, "where there is no way, pairs that match come back as if they did not"),
        ("rolled-back", _rolled_back, "rolling the other way changes nothing: neighbours can have the same prompt"),
        ("rolled-by-two", lambda prompts, completions: completions[2:] + completions[:2], "a fixed shift passes over groups up to that size, and only where their rows stand together"),
        ("rolled-by-largest", _rolled_by_largest, "the shift passes over a group only where its rows stand together"),
        ("rolled-until-free", _rolled_until_free, "there may be no shift without a match, and a rearrangement all the same"),
        ("reversed", _reversed, "the middle of the batch, and whatever is symmetric, still meets its own prompt"),
        ("shuffled", _shuffled, "a random order leaves some completions with their own prompt"),
        ("retried", _retried, "a rearrangement was found by chance where there are many; where there are few, none is found in so many trials"),
        ("sorted-rolled", _sorted_rolled, "rows of the same prompt stand together now, and the shift of one goes from one to the next"),
        ("next-other", _next_other, "no row matches, but some completions are used twice and others not at all"),
        ("greedy", _greedy, "taking the first free completion can leave the last rows with only their own"),
        ("greedy-from-behind", _greedy_from_behind, "taking the last free completion can leave the last rows with only their own"),
        ("one-sided-swaps", _swapped_one_sided, "a swap must suit both rows: the other one can get a completion of its own prompt by it"),
        ("dropped", _dropped, "rows that would match are left out; all rows are wanted"),
        ("none", _none_where_impossible, "where there is no way a ValueError is wanted"),
        ("half-refused", _half_refused, "a prompt with exactly half of the rows can still be served"),
        ("completions-changed", _own_sorted_in_place, "the list that was given has been changed; work on a copy"),
        ("as-shown", _rolled, "the completion of the next row is taken, and the next row can have the same prompt"),
    ),
    {"assignment": _matched, "dealt": _dealt, "swaps": _swapped},
    (
        "Call it with two completions for each prompt, side by side.",
        "Sort the rows by prompt. How far must one shift so that the largest group passes over itself?",
        "By the size of the largest group; there is a way exactly if that is at most half of the rows.",
    ),
    _observe_mismatched,
)  # fmt: skip


# --- bug-20: the slice from minus zero --------------------------------------------------------------


def fit(prompt, completion, max_length):
    """(prompt, completion) cut to at most `max_length` tokens together.

    prompt, completion: lists of ids; max_length >= 1. The completion goes first: it keeps its first `max_length`
    tokens; the prompt then keeps as many of its last tokens as there is room for.
    """
    completion = completion[:max_length]
    room = max_length - len(completion)
    return prompt[max(len(prompt) - room, 0) :], completion


def _fit(keep, cut=lambda c, n: c[:n]):
    """A variant: keep(prompt, room)."""

    def answer(prompt, completion, max_length):
        completion = cut(completion, max_length)
        return keep(prompt, max_length - len(completion)), completion

    return answer


def _fit_one_short(prompt, completion, max_length):
    return fit(prompt, completion, max_length - 1)


def _fit_none_for_one(prompt, completion, max_length):
    """The prompt is left out already where there is room for one token."""
    completion = completion[:max_length]
    return (prompt[-(max_length - len(completion)) :] if len(completion) < max_length - 1 else []), completion


def _fit_joined(prompt, completion, max_length):
    row = (prompt + completion)[:max_length]
    return row[: len(prompt)], row[len(prompt) :]


def _fit_joined_from_right(prompt, completion, max_length):
    """The last max_length tokens of both together: a long completion loses its beginning."""
    row = (prompt + completion)[-max_length:]
    n = min(len(completion), max_length)
    return row[: len(row) - n], row[len(row) - n :]


def _fit_prompt_first(prompt, completion, max_length):
    prompt = prompt[-max_length:]
    return prompt, completion[: max_length - len(prompt)]


def _fit_emptied(prompt, completion, max_length):
    """Where the completion fills the row, it is thrown away."""
    if len(completion) >= max_length:
        return [], []
    return _fit(lambda p, room: p[-room:])(prompt, completion, max_length)


def _fit_raising(prompt, completion, max_length):
    if len(completion) >= max_length:
        raise ValueError("the completion fills the row")
    return fit(prompt, completion, max_length)


def _fit_in_place(prompt, completion, max_length):
    del completion[max_length:]
    while len(prompt) + len(completion) > max_length:
        prompt.pop(0)
    return prompt, completion


def _fit_one_prompt_token(prompt, completion, max_length):
    completion = completion[: max_length - 1]
    return prompt[-(max_length - len(completion)) :], completion


def _fit_if(prompt, completion, max_length):
    kept = completion[:max_length]
    room = max_length - len(kept)
    return (prompt[-room:] if room else []), kept


def _fit_reversed(prompt, completion, max_length):
    completion = list(completion)[:max_length]
    return list(reversed(prompt[::-1][: max_length - len(completion)])), completion


def _fit_popping(prompt, completion, max_length):
    prompt, completion = collections.deque(prompt), list(completion)
    while len(completion) > max_length:
        completion.pop()
    while len(prompt) + len(completion) > max_length:
        prompt.popleft()
    return [list(prompt), completion]


def _fit_deque(prompt, completion, max_length):
    kept = completion[:max_length]
    return list(collections.deque(prompt, maxlen=max_length - len(kept))), kept


@guarded
def _observe_fit(function, case):
    """Both lists and the inputs."""
    args = copy.deepcopy(case.args)
    prompt, completion = quietly(function, *args)
    return {
        "result": [[int(t) for t in prompt], [int(t) for t in completion]],
        "inputs": changed_inputs((case.args, {}), (args, {})),
    }


def _fit_cases(draw):
    def case(n, m, max_length):
        ids = draw.integers(3, 900, n + m).tolist()
        label = f"prompt of {n}, completion of {m}, max_length={max_length}"
        return Case((ids[:n], ids[n:], max_length), label=label)

    a, b = draw.integer(5, 9), draw.integer(3, 7)
    return [
        case(a, b, b),
        case(a, b + 4, b),
        case(a, b, b + 3),
        case(a, b, a + b + 3),
        case(4, 6, 9),
        case(3, 2, 5),
        case(5, 1, 1),
        case(a, b, b + 1),
    ]


BUG_20 = find_the_bug(
    20,
    "fit",
    fit,
    (
        Part("what is kept", 1.5, _fit_cases),
        Part("inputs unchanged", 0.5, _fit_cases, ("inputs",)),
    ),
    (
        ("negative-start", _fit(lambda p, room: p[len(p) - room :]), "where there is more room than the prompt needs, the start of the slice is negative and cuts from the wrong side"),
        ("first-tokens", _fit(lambda p, room: p[:room]), "the prompt keeps its first tokens; its last ones are wanted"),
        ("at-least-one", _fit(lambda p, room: p[-max(room, 1) :]), "a prompt token is kept where there is no room for any"),
        ("joined", _fit_joined, "both are cut from the right: the completion is lost first"),
        ("joined-from-right", _fit_joined_from_right, "a completion that is too long loses its first tokens; it should keep them"),
        ("prompt-first", _fit_prompt_first, "the prompt goes first now; the completion should"),
        ("one-short", _fit_one_short, "one token fewer is kept than there is room for"),
        ("none-for-one", _fit_none_for_one, "where there is room for one token of the prompt, it is left out"),
        ("emptied", _fit_emptied, "a completion that fills the row is thrown away"),
        ("raising", _fit_raising, "a completion that fills the row is no error: the prompt is left out"),
        ("in-place", _fit_in_place, "the lists that were given have been cut"),
        ("one-prompt-token", _fit_one_prompt_token, "a prompt token is kept at the cost of the completion's last"),
        ("as-shown", _fit(lambda p, room: p[-room:]), "where the completion fills the row there is room for 0 tokens, and the last 0 tokens come out as all of them"),
    ),
    {"if": _fit_if, "reversed": _fit_reversed, "popping": _fit_popping, "deque": _fit_deque},
    (
        "Call it with a completion of exactly max_length tokens.",
        "What is [1, 2, 3][-0:]?",
        "Count from the front instead, and see to it that the start is never negative; or treat a room of 0 by itself.",
    ),
    _observe_fit,
)  # fmt: skip


# --- bug-21: an export that changes what it exports -------------------------------------------------


def merged_weights(layers):
    """The weights with their adapters merged in, {name: tensor}, for an export; training then goes on.

    layers: {name: layer} with `layer.weight` (out, in), `layer.lora_A` (r, in), `layer.lora_B` (out, r) and
    `layer.alpha`, a number. Merged: weight + alpha / r * lora_B @ lora_A. The layers stay as they are, and what
    is returned does not change when they do.
    """
    return {
        name: layer.weight.detach()
        + layer.alpha / layer.lora_A.shape[0] * (layer.lora_B @ layer.lora_A).detach()
        for name, layer in layers.items()
    }


def _update(layer):
    return layer.alpha / layer.lora_A.shape[0] * (layer.lora_B.detach() @ layer.lora_A.detach())


def _merged_aliased(layers):
    merged = {}
    for name, layer in layers.items():
        merged[name] = layer.weight.detach()
        merged[name] += _update(layer)
    return merged


def _merged_then_copied(layers):
    """The copy is made after the weights have been changed."""
    return {name: weight.clone() for name, weight in _merged_aliased(layers).items()}


def _merged_and_taken_out(layers):
    """The update is taken out again, from the tensors that are returned too."""
    merged = _merged_aliased(layers)
    for layer in layers.values():
        layer.weight.data -= _update(layer)
    return merged


def _merged_adapter_zeroed(layers):
    """Merged into the layer for good, and the adapter set to zero."""
    merged = {}
    for name, layer in layers.items():
        layer.weight.data += _update(layer)
        layer.lora_B.data.zero_()
        merged[name] = layer.weight.detach().clone()
    return merged


def _merged_with(weight_of):
    return lambda layers: {name: weight_of(layer) for name, layer in layers.items()}


def _merged_graph(layers):
    return {
        name: x.weight + x.alpha / x.lora_A.shape[0] * (x.lora_B @ x.lora_A) for name, x in layers.items()
    }


def _merged_shared_if_zero(layers):
    """A layer whose adapter is zero gives its own weight back."""
    full = merged_weights(layers)
    return {
        name: full[name] if layer.lora_B.abs().sum() > 0 else layer.weight.detach()
        for name, layer in layers.items()
    }


def _merged_deepcopy(layers):
    copies = copy.deepcopy(layers)
    with torch.no_grad():
        for layer in copies.values():
            layer.weight += layer.alpha / len(layer.lora_A) * layer.lora_B @ layer.lora_A
    return {name: layer.weight.detach() for name, layer in copies.items()}


def _merged_addmm(layers):
    with torch.no_grad():
        return {
            name: torch.addmm(x.weight, x.lora_B, x.lora_A, alpha=x.alpha / x.lora_B.shape[1])
            for name, x in layers.items()
        }


def _merged_and_unmerged(layers):
    """Merged in place, copied, and taken out again."""
    merged = {}
    for name, layer in layers.items():
        delta = (layer.alpha / layer.lora_A.shape[0]) * layer.lora_B.data @ layer.lora_A.data
        layer.weight.data += delta
        merged[name] = layer.weight.data.clone()
        layer.weight.data -= delta
    return merged


def _merged_clone(layers):
    merged = {}
    for name, layer in layers.items():
        merged[name] = layer.weight.detach().clone()
        merged[name] += torch.einsum("or,ri->oi", layer.lora_B, layer.lora_A).detach() * (layer.alpha / layer.lora_A.size(0))  # fmt: skip
    return merged


@guarded
def _observe_merged(function, case):
    """Two exports in a row, and after a change of the layers; what the layers are afterwards."""
    seen = quietly(beside, function, exported, case.args[0])
    if seen is None:
        words = Missing("not a dict of tensors")
        return dict.fromkeys(("exports", "third", "layers", "later", "graph", "fourth"), words)
    changed = [
        f"{name}.{part}"
        for name, parts in case.args[0].items()
        for part, value, now in zip(("weight", "lora_A", "lora_B"), parts, seen["layers"][name], strict=False)
        if not torch.allclose(now, value, rtol=1e-9, atol=1e-12)
    ]
    before, later = (detached(seen[f"first, {when}"]) for when in ("after the second", "later"))
    moved = any(not torch.equal(later[name], before[name]) for name in later)
    return {
        "exports": {key: seen[key] for key in ("first", "second", "first, after the second")},
        "layers": Missing(f"changed by the export: {', '.join(changed)}") if changed else "unchanged",
        "third": {"an export after training went on": seen["third"]},
        "later": Missing("what was exported changes when training goes on") if moved else "fixed",
        "graph": Missing("the exported tensors hang on the training graph") if seen["graph"] else "none",
        "fourth": {"an export after what was exported was changed": seen["fourth"]},
    }


def _layer_cases(draw):
    def parts(out, width, rank, alpha, zero=False):
        b = draw.normal(out, rank)
        return draw.normal(out, width), draw.normal(rank, width), b * (not zero), alpha

    return [
        Case(({"q": parts(4, 5, 2, 8), "v": parts(3, 5, 1, 16.0)},), label="two layers", scale=100.0),
        Case(({"o": parts(3, 3, 3, 3), "up": parts(6, 2, 2, 1)},), label="alpha equal to r, and half of it", scale=100.0),
        Case(({"q": parts(3, 4, 2, 4, zero=True), "k": parts(2, 4, 2, 4)},), label="an adapter that is still zero", scale=100.0),
    ]  # fmt: skip


BUG_21 = find_the_bug(
    21,
    "merged_weights",
    merged_weights,
    (
        Part("two exports, one after the other; layers as they were", 2, _layer_cases, ("exports", "layers", "third")),
        Part("fixed when training goes on, no graph", 1, _layer_cases, ("later", "graph", "fourth")),
    ),
    (
        ("copied-afterwards", _merged_then_copied, "what is returned is a copy now, but made of weights that had been changed before"),
        ("taken-out-again", _merged_and_taken_out, "the adapter is missing in what is returned (taken out of the layer again, it is gone from whatever shares the layer's memory)"),
        ("adapter-zeroed", _merged_adapter_zeroed, "the adapter is merged for good and its training is lost"),
        ("no-scale", _merged_with(lambda x: (x.weight + x.lora_B @ x.lora_A).detach()), "the factor alpha / r is missing"),
        ("alpha-only", _merged_with(lambda x: (x.weight + x.alpha * x.lora_B @ x.lora_A).detach()), "the update is not divided by r"),
        ("rank-of-out", _merged_with(lambda x: (x.weight + x.alpha / x.lora_A.shape[1] * x.lora_B @ x.lora_A).detach()), "the update is divided by the width of the layer; r is the other axis of lora_A"),
        ("adapter-only", _merged_with(_update), "the weight itself is missing"),
        ("subtracted", _merged_with(lambda x: x.weight.detach() - _update(x)), "the update is subtracted"),
        ("graph", _merged_graph, "what is returned hangs on the training graph"),
        ("shared-if-zero", _merged_shared_if_zero, "a layer whose adapter is still zero gives its own memory away"),
        ("as-shown", _merged_aliased, "`detach` shares the memory of the weight: each export adds the adapter to the weights that are trained on, once more each time"),
    ),
    {"deepcopy": _merged_deepcopy, "addmm": _merged_addmm, "clone": _merged_clone, "merged and unmerged": _merged_and_unmerged},
    (
        "Export twice and compare.",
        "Which memory does `layer.weight.detach()` have, and what does += do?",
        "Make a new tensor: a + b, or a clone before +=.",
    ),
    _observe_merged,
)  # fmt: skip

BUGS = (BUG_19, BUG_20, BUG_21)
