"""06-final-quiz: bugs 09, 12 and 13, in losses, their reference and their gradients."""

import copy
import random

import torch
import torch.nn.functional as F

from course_utils.checks.beside import beside
from course_utils.checks.compare import Missing
from course_utils.checks.definition import Case, Part
from course_utils.checks.exercises.bugs import find_the_bug, guarded, number
from course_utils.checks.observe import changed_inputs, detached, quietly
from course_utils.checks.scripts.layers import accumulated

# --- bug-09: the other KL divergence ----------------------------------------------------------------


def kl_to_reference(logits, ref_logits, mask):
    """KL(policy || reference) of the next token over the whole vocabulary, mean over the counted positions.

    logits, ref_logits: (B, T, V); mask: bool (B, T), True where a position counts. A scalar, with gradient
    into `logits`.
    """
    logp, ref_logp = F.log_softmax(logits, dim=-1), F.log_softmax(ref_logits, dim=-1)
    kl = (logp.exp() * (logp - ref_logp)).sum(-1)
    return (kl * mask).sum() / mask.sum()


def _kl(per_token, average=lambda kl, mask: (kl * mask).sum() / mask.sum()):
    """A variant: per_token(logp, ref_logp) and its average."""

    def answer(logits, ref_logits, mask):
        logp, ref_logp = F.log_softmax(logits, dim=-1), F.log_softmax(ref_logits, dim=-1)
        return average(per_token(logp, ref_logp), mask)

    return answer


def _kl_right(logp, ref_logp):
    return (logp.exp() * (logp - ref_logp)).sum(-1)


def _kl_turned(logp, ref_logp):
    return F.kl_div(logp, ref_logp, reduction="none", log_target=True).sum(-1)


def _kl_distributions(logits, ref_logits, mask):
    from torch.distributions import Categorical, kl_divergence

    return kl_divergence(Categorical(logits=logits), Categorical(logits=ref_logits))[mask].mean()


def _kl_probabilities(logits, ref_logits, mask):
    p = torch.softmax(logits, dim=-1)
    cross = -(p * torch.log_softmax(ref_logits, dim=-1)).sum(-1)
    entropy = -(p * torch.log_softmax(logits, dim=-1)).sum(-1)
    return ((cross - entropy) * mask.to(logits.dtype)).sum() / int(mask.sum())


def _kl_loop(logits, ref_logits, mask):
    found = []
    for b, t in mask.nonzero().tolist():
        p, q = logits[b, t].log_softmax(0), ref_logits[b, t].log_softmax(0)
        found.append(F.kl_div(q, p, log_target=True, reduction="sum"))
    return sum(found) / len(found)


def _kl_args(draw, b, t, v, scale=1.5):
    logits, ref = draw.normal(b, t, v, scale=scale), draw.normal(b, t, v, scale=scale)
    lengths = [draw.integer(1, t) for _ in range(b)]
    lengths[0] = t
    mask = torch.arange(t) < torch.tensor(lengths)[:, None]
    mask[0, 0] = t == 1  # counted positions need not begin at the first
    return logits, ref, mask


def _kl_cases(draw):
    rare = torch.log(torch.tensor([1e-6, 0.6, 0.399999])).double()
    often = torch.log(torch.tensor([0.5, 0.3, 0.2])).double()
    return [
        Case(
            (often.view(1, 1, 3), rare.view(1, 1, 3), torch.ones(1, 1, dtype=torch.bool)),
            label="a token of probability 0.5, by the reference 0.000001",
            rtol=1e-5,
        ),
        Case(_kl_args(draw, 3, 6, 5), label="three rows, unequal lengths"),
        Case(_kl_args(draw, 4, 2, 11, scale=3.0), label="four rows, eleven tokens"),
        Case(_kl_args(draw, 1, 7, 4), label="one row"),
    ]


def _kl_gradient_cases(draw):
    return [Case(_kl_args(draw, 3, 5, 6), label="three rows", grads=(0,))]


BUG_09 = find_the_bug(
    9,
    "kl_to_reference",
    kl_to_reference,
    (
        Part("values", 2, _kl_cases),
        Part("gradient into the policy's logits, inputs unchanged", 1, _kl_gradient_cases, ("gradient", "inputs")),
    ),
    (
        ("symmetric", _kl(lambda p, q: (_kl_right(p, q) + _kl_turned(p, q)) / 2), "this is the mean of both directions; one is asked for"),
        ("negative", _kl(lambda p, q: (p.exp() * (q - p)).sum(-1)), "the sign is wrong: a KL divergence is never negative"),
        ("probabilities", _kl(lambda p, q: F.kl_div(p.exp(), q, reduction="none", log_target=True).sum(-1)), "F.kl_div takes its first argument for log-probabilities"),
        ("log-target", _kl(lambda p, q: F.kl_div(q, p, reduction="none").sum(-1)), "F.kl_div takes its second argument for probabilities unless it is told otherwise"),
        ("unweighted", _kl(lambda p, q: (p - q).sum(-1)), "the log-ratios of the tokens are added up without the policy's probabilities"),
        ("mean-over-vocabulary", _kl(lambda p, q: (p.exp() * (p - q)).mean(-1)), "the terms of the vocabulary are averaged; a KL divergence is their sum"),
        ("by-rows", _kl(lambda p, q: (p.exp() * (p - q)).sum(-1), lambda kl, m: (kl * m).sum() / len(m)), "the sum is divided by the number of rows, not of counted positions"),
        ("all-positions", _kl(_kl_right, lambda kl, m: kl.mean()), "positions that do not count are averaged too"),
        ("batchmean", _kl(_kl_right, lambda kl, m: kl.sum() / len(m)), "the sum over all positions is divided by the number of rows, and positions that do not count are in it"),
        ("masked-mean", _kl(_kl_right, lambda kl, m: (kl * m).mean()), "the sum is divided by all positions, counted or not"),
        ("row-means", _kl(_kl_right, lambda kl, m: ((kl * m).sum(1) / m.sum(1)).mean()), "each row counts alike, however many positions it has; each counted position should"),
        ("summed", _kl(_kl_right, lambda kl, m: (kl * m).sum()), "the sum over counted positions came back; the mean is wanted"),
        ("greedy", _kl(lambda p, q: (p - q).gather(-1, p.argmax(-1, keepdim=True)).squeeze(-1)), "only the policy's most likely token is looked at"),
        ("entropy", _kl(lambda p, q: -(p.exp() * q).sum(-1)), "this is the cross-entropy: the policy's own entropy is still to be taken off"),
        ("cut", _kl(lambda p, q: _kl_right(p.detach(), q)), "the gradient is zero: the policy's probabilities were cut from the graph, and the log-probabilities alone have a gradient of mean zero"),
        ("as-shown", _kl(_kl_turned), "the expectation is taken under the reference; so a token that only the policy likes hardly counts"),
    ),
    {"distributions": _kl_distributions, "cross-entropy": _kl_probabilities, "loop": _kl_loop},
    (
        "Let the policy give 0.5 to a token to which the reference gives one in a million. What should come out, what does?",
        "Under which of the two distributions is the expectation of KL(policy || reference)? Under which one does F.kl_div(input, target) take it?",
        "Write the sum over the vocabulary out by hand: probability of the policy times difference of the log-probabilities.",
    ),
)  # fmt: skip


# --- bug-12: cached values joined by position -------------------------------------------------------


def batches_with_reference(pairs, reference, batch_size, epochs, seed):
    """Batches of all epochs: a list of (batch of pairs, the reference's values of these pairs).

    Each epoch has every pair once, in a new random order drawn from `seed`; its last batch may be smaller.
    `reference(pair)` is slow: it is called once for each pair, whatever the number of epochs.
    """
    values = [reference(pair) for pair in pairs]
    rng, batches = random.Random(seed), []
    order = list(range(len(pairs)))
    for _ in range(epochs):
        rng.shuffle(order)
        for i in range(0, len(order), batch_size):
            chosen = order[i : i + batch_size]
            batches.append(([pairs[k] for k in chosen], [values[k] for k in chosen]))
    return batches


def _cached(shuffle, value):
    """A variant. shuffle(order, rng, epoch) -> order; value(values, order, i, place) -> of pair i at place."""

    def answer(pairs, reference, batch_size, epochs, seed):
        values = [reference(pair) for pair in pairs]
        rng, batches, order = random.Random(seed), [], list(range(len(pairs)))
        for epoch in range(epochs):
            order = shuffle(order, rng, epoch)
            found = [value(values, order, k, place) for place, k in enumerate(order)]
            for i in range(0, len(order), batch_size):
                batch = [pairs[k] for k in order[i : i + batch_size]]
                batches.append((batch, found[i : i + batch_size]))
        return batches

    return answer


def _shuffled(order, rng, epoch):
    order = list(order)
    rng.shuffle(order)
    return order


def _right_value(values, order, i, place):
    return values[i]


def _cached_shuffled_first(pairs, reference, batch_size, epochs, seed):
    """Shuffled once, before the values are computed: right, but one order for all epochs."""
    pairs = random.Random(seed).sample(pairs, len(pairs))
    return _cached(lambda order, rng, epoch: order, _right_value)(pairs, reference, batch_size, epochs, seed)


def _cached_asking_again(pairs, reference, batch_size, epochs, seed):
    batches = batches_with_reference(pairs, lambda pair: None, batch_size, epochs, seed)
    return [(batch, [reference(pair) for pair in batch]) for batch, _ in batches]


def _cached_by_prompt(pairs, reference, batch_size, epochs, seed):
    """A cache keyed by the prompt alone."""
    values = {pair[0]: reference(pair) for pair in pairs}
    batches = batches_with_reference(pairs, lambda pair: None, batch_size, epochs, seed)
    return [(batch, [values[pair[0]] for pair in batch]) for batch, _ in batches]


def _cached_by_chosen(pairs, reference, batch_size, epochs, seed):
    """A cache keyed by prompt and chosen response."""
    values = {pair[:2]: reference(pair) for pair in pairs}
    batches = batches_with_reference(pairs, lambda pair: None, batch_size, epochs, seed)
    return [(batch, [values[pair[:2]] for pair in batch]) for batch, _ in batches]


def _cached_in_place(pairs, reference, batch_size, epochs, seed):
    """The caller's own list is shuffled together with the values."""
    values, rng, batches = [reference(pair) for pair in pairs], random.Random(seed), []
    for _ in range(epochs):
        order = rng.sample(range(len(pairs)), len(pairs))
        pairs[:], values = [pairs[k] for k in order], [values[k] for k in order]
        batches += [(pairs[i : i + batch_size], values[i : i + batch_size]) for i in range(0, len(pairs), batch_size)]  # fmt: skip
    return batches


def _cached_dropping(pairs, reference, batch_size, epochs, seed):
    batches = batches_with_reference(pairs, reference, batch_size, epochs, seed)
    return [one for one in batches if len(one[0]) == batch_size]


def _cached_moved_along(order, rng, epoch):
    """Shuffled once; then each epoch begins one place further on."""
    return _shuffled(order, rng, epoch) if epoch == 0 else order[1:] + order[:1]


def _cached_fixed_batches(pairs, reference, batch_size, epochs, seed):
    """The batches are shuffled, not the pairs in them."""
    batches = batches_with_reference(pairs, reference, batch_size, 1, seed)
    rng = random.Random(seed)
    return [batch for _ in range(epochs) for batch in rng.sample(batches, len(batches))]


def _cached_zipped(pairs, reference, batch_size, epochs, seed):
    rows = [(pair, reference(pair)) for pair in pairs]
    rng, batches = random.Random(seed), []
    for _ in range(epochs):
        rng.shuffle(rows)
        for i in range(0, len(rows), batch_size):
            batches.append(tuple(zip(*rows[i : i + batch_size], strict=True)))
    return batches


def _cached_dict(pairs, reference, batch_size, epochs, seed):
    cache, batches = {}, []
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(len(pairs), generator=generator).split(batch_size)
        for part in order:
            batch = [pairs[k] for k in part.tolist()]
            for pair in batch:
                if pair not in cache:
                    cache[pair] = reference(pair)
            batches.append([batch, [cache[pair] for pair in batch]])
    return batches


def _cached_tensor(pairs, reference, batch_size, epochs, seed):
    import numpy as np

    values, rng, batches = (
        torch.tensor([reference(pair) for pair in pairs]).double(),
        np.random.default_rng(seed),
        [],
    )
    for _ in range(epochs):
        order = rng.permutation(len(pairs))
        for i in range(0, len(pairs), batch_size):
            at = order[i : i + batch_size]
            batches.append(([pairs[k] for k in at], values[torch.from_numpy(at)]))
    return batches


def _whose(pairs, worth, seen, found):
    """In words, whose values the pairs have."""
    close = [[pair for pair in pairs if abs(value - worth[pair]) < 1e-3] for value in found]
    owners = [here[0] if here else (None, None, None) for here in close]
    if owners == seen:
        return "each pair has its own"
    if len(owners) != len(seen):
        return Missing(f"{len(found)} values for {len(seen)} pairs")
    if owners == pairs * (len(seen) // len(pairs)):
        return Missing("the values stand in the order of the list, the pairs do not")
    if all(a[:2] == b[:2] for a, b in zip(owners, seen, strict=True)):
        return Missing("some pairs have the value of another pair with the same prompt and chosen response")
    if all(a[0] == b[0] for a, b in zip(owners, seen, strict=True)):
        return Missing("some pairs have the value of another pair of the same prompt")
    return Missing("pairs have the values of other pairs")


def _how_cut(pairs, epochs, batch_size, sizes, orders):
    """In words, whether each epoch has every pair once, in batches of the right size."""
    n, seen = len(pairs), sum(sizes)
    if seen != n * epochs:
        return Missing(f"{seen} pairs in {epochs} epochs, {n * epochs} wanted")
    if sizes != [min(batch_size, n - i) for i in range(0, n, batch_size)] * epochs:
        return Missing("batches of other sizes: only the last one of each epoch may be smaller")
    if any(sorted(order) != sorted(pairs) for order in orders):
        return Missing("in one epoch some pairs come twice and others not at all")
    return "each has every pair once, in batches of the right size"


def _how_ordered(pairs, orders):
    """In words, whether the epochs' orders are new."""
    if all(order == pairs for order in orders):
        return Missing("every epoch has the order of the list")
    if pairs in orders:
        return Missing("an epoch has the order of the list")
    if all(order == orders[0] for order in orders):
        return Missing("all epochs have the same order")
    if len({tuple(order) for order in orders}) < len(orders):
        return Missing("two epochs have the same order")
    if any(_moved(a, b) for i, a in enumerate(orders) for b in [pairs, *orders[:i]]):
        return Missing("an epoch's order is an earlier one, or the list's, moved along or turned round")
    return "all new"


def _moved(a, b):
    """Whether the list `a` is `b` moved along, or read backwards and moved along."""
    return any(a == c[k:] + c[:k] for c in (b, b[::-1]) for k in range(len(b)))


@guarded
def _observe_batches(function, case):
    """Whether each value is that of its pair, how often it was asked for, and the orders."""
    pairs, batch_size, epochs, seed = case.args
    asked, worth = [], {pair: case.extra * (i + 1) for i, pair in enumerate(pairs)}

    def reference(pair):
        asked.append(pair)
        return worth[pair]

    def run(seed):
        batches = quietly(function, mine, reference, batch_size, epochs, seed)
        return [([tuple(p) for p in b], [number(v) for v in vs]) for b, vs in batches]

    mine = list(pairs)
    batches = run(seed)
    calls, changed = len(asked), mine != pairs
    again, other = run(seed) if not changed else batches, run(seed + 1)
    seen = [pair for batch, _ in batches for pair in batch]
    found = [value for _, values in batches for value in values]
    n = len(pairs)
    orders = [seen[i : i + n] for i in range(0, len(seen), n)]
    sizes = [len(batch) for batch, _ in batches]
    return {
        "values": _whose(pairs, worth, seen, found),
        "calls": f"{calls} calls of the reference for {n} pairs",
        "epochs": _how_cut(pairs, epochs, batch_size, sizes, orders),
        "orders": _how_ordered(pairs, orders),
        "seed": "same seed, same batches; another seed, others"
        if again == batches and other[0] != batches[0]
        else "the seed does not decide",
        "inputs": "`pairs` was changed by your function; work on a copy" if changed else "unchanged",
    }  # fmt: skip


def _batch_cases(draw):
    def pairs(n):
        start = draw.integer(10, 99)
        # four pairs of one prompt: two chosen responses, each beside two rejected ones
        return [
            (f"prompt {start + i // 4}", f"chosen {i // 2}", f"rejected {i // 4 * 2 + i % 2}")
            for i in range(n)
        ]

    scale = -draw.uniform(1, 2)
    return [
        Case((pairs(12), 4, 3, draw.integer(0, 99)), label="12 pairs, batches of 4, three epochs", extra=-scale),
        Case((pairs(17), 5, 2, draw.integer(0, 99)), label="17 pairs, batches of 5, two epochs", extra=-scale),
    ]  # fmt: skip


BUG_12 = find_the_bug(
    12,
    "batches_with_reference",
    batches_with_reference,
    (
        Part("each pair has the reference's value of its own", 2, _batch_cases, ("values", "epochs")),
        Part("a new order each epoch, one call a pair, pairs unchanged", 1, _batch_cases, ("calls", "orders", "seed", "inputs")),
    ),
    (
        ("never-shuffled", _cached(lambda order, rng, epoch: order, _right_value), "the values are right, but every epoch has the order of the list now"),
        ("shuffled-once", _cached(lambda order, rng, epoch: _shuffled(order, rng, epoch) if epoch == 0 else order, _right_value), "the values are right, but all epochs have the same order"),
        ("asking-again", _cached_asking_again, "the values are right, but the slow reference is asked again in every epoch"),
        ("by-prompt", _cached_by_prompt, "the values are looked up by the prompt; several pairs can have the same one"),
        ("by-chosen", _cached_by_chosen, "the values are looked up by prompt and chosen response; pairs can differ in the rejected one alone"),
        ("moved-along", _cached(_cached_moved_along, _right_value), "an epoch's order is the one before, moved along by a place; each is to be drawn anew"),
        ("fixed-batches", _cached_fixed_batches, "the smaller batch of an epoch is not its last one: whole batches were shuffled, or epochs run into each other"),
        ("in-place", _cached_in_place, "the values are right, but the caller's list was shuffled"),
        ("dropping", _cached_dropping, "the last, smaller batch of an epoch is missing"),
        ("shuffled-otherwise", _cached(_shuffled, lambda values, order, i, place: values[order[i]]), "the values are put in another order too, but not in that of their pairs"),
        ("seedless", lambda pairs, reference, batch_size, epochs, seed: batches_with_reference(pairs, reference, batch_size, epochs, 0), "the seed is not looked at"),
        ("as-shown", _cached(_shuffled, lambda values, order, i, place: values[place]), "pairs are shuffled and the cached values are not: nearly every pair is trained against another pair's reference"),
    ),
    {"pairs and values zipped": _cached_zipped, "dict": _cached_dict, "tensor of values": _cached_tensor},
    (
        "Let the reference give the pair's own number, and print pairs and values of a batch side by side.",
        "What is shuffled, and what is not?",
        "Shuffle positions, and take pairs and values by the same positions; or keep each value with its pair.",
    ),
    _observe_batches,
)  # fmt: skip


# --- bug-13: the mean of the means ------------------------------------------------------------------


def accumulate(model, micro_batches):
    """Fill the gradients as one big batch would: of the mean loss over all counted tokens of all micro-batches.

    model(batch) gives the loss of each token (B, T); batch["mask"] (B, T) is 1.0 where a token counts, else 0.0.
    One micro-batch's graph is alive at a time. The gradients are None before. Returns the mean loss, a float.
    """
    counted = sum(batch["mask"].sum() for batch in micro_batches)
    total = 0.0
    for batch in micro_batches:
        loss = (model(batch) * batch["mask"]).sum() / counted
        loss.backward()
        total += loss.item()
    return total


def _accumulated(loss_of):
    """A variant; loss_of(losses, mask, all micro-batches) -> this micro-batch's share of the loss."""

    def answer(model, micro_batches):
        total = 0.0
        for batch in micro_batches:
            loss = loss_of(model(batch), batch["mask"], micro_batches)
            loss.backward()
            total += loss.item()
        return total

    return answer


def _counted(batches):
    return sum(batch["mask"].sum() for batch in batches)


def _accumulated_at_once(model, micro_batches):
    loss = sum((model(b) * b["mask"]).sum() for b in micro_batches) / _counted(micro_batches)
    loss.backward()
    return loss.item()


def _accumulated_value_only(model, micro_batches):
    """The reported loss is right, the gradient is as before."""
    total = 0.0
    for batch in micro_batches:
        losses, mask = model(batch), batch["mask"]
        ((losses * mask).sum() / mask.sum().clamp(min=1) / len(micro_batches)).backward()
        total += (losses * mask).sum().item()
    return total / _counted(micro_batches).item()


def _accumulated_gradient_only(model, micro_batches):
    counted, means = _counted(micro_batches), []
    for batch in micro_batches:
        loss = (model(batch) * batch["mask"]).sum()
        (loss / counted).backward()
        means.append(loss.item() / max(batch["mask"].sum().item(), 1))
    return sum(means) / len(means)


def _accumulated_sum_of_gradients(model, micro_batches):
    """The loss is divided at the end, the gradient never."""
    total = 0.0
    for batch in micro_batches:
        loss = (model(batch) * batch["mask"]).sum()
        loss.backward()
        total += loss.item()
    return total / _counted(micro_batches).item()


def _accumulated_zeroing(model, micro_batches):
    counted, total = _counted(micro_batches), 0.0
    for batch in micro_batches:
        model.zero_grad()
        loss = (model(batch) * batch["mask"]).sum() / counted
        loss.backward()
        total += loss.item()
    return total


def _accumulated_dividing_after(model, micro_batches):
    total = tokens = 0.0
    for batch in micro_batches:
        loss = (batch["mask"] * model(batch)).sum()
        loss.backward()
        total, tokens = total + float(loss), tokens + float(batch["mask"].sum())
    for p in model.parameters():
        p.grad /= tokens
    return total / tokens


def _accumulated_weights(model, micro_batches):
    sizes = [b["mask"].sum().item() for b in micro_batches]
    total = 0.0
    for batch, n in zip(micro_batches, sizes, strict=True):
        if n == 0:
            continue
        mean = model(batch)[batch["mask"].bool()].mean()
        (mean * n / sum(sizes)).backward()
        total += mean.item() * n / sum(sizes)
    return total


def _accumulated_by_hand(model, micro_batches):
    parameters = list(model.parameters())
    sums, loss = [torch.zeros_like(p) for p in parameters], torch.zeros(())
    n = torch.cat([b["mask"].flatten() for b in micro_batches]).sum()
    for batch in micro_batches:
        part = torch.einsum("bt,bt->", model(batch), batch["mask"]) / n
        for s, g in zip(sums, torch.autograd.grad(part, parameters), strict=True):
            s += g
        loss = loss + part.detach()
    for p, s in zip(parameters, sums, strict=True):
        p.grad = s
    return float(loss)


def _token_losses(weight):
    """(losses of features, the weight's gradient, {"most": graphs alive at once}) of a model with losses (x·w)²."""
    given, alive, graphs = [], set(), {"most": 0}

    def losses_of(x, kept):
        given.append(x.detach().clone() if kept else None)  # without a graph there is no way back
        if kept:
            alive.add(len(given) - 1)
            graphs["most"] = max(graphs["most"], len(alive))
        return len(given) - 1, (x.detach() @ weight) ** 2

    def gradient_of(number, upstream):
        alive.discard(number)
        return torch.einsum("bt,btd->d", 2 * upstream * (given[number] @ weight), given[number])

    return losses_of, gradient_of, graphs


@guarded
def _observe_accumulated(function, case):
    """The loss, the gradients, how many graphs were alive at once, and the batches.

    The model's numbers stay here, and the function has to ask for them: so the order of passes is seen, not told.
    """
    weight, batches = case.args
    losses_of, gradient_of, graphs = _token_losses(weight)
    asked = torch.zeros_like(weight), copy.deepcopy(batches), losses_of, gradient_of
    seen = quietly(beside, function, accumulated, *asked)
    missing = Missing("no gradient was filled in")
    return {
        "loss": number(seen["loss"]),
        "gradients": missing if seen["gradient"] is None else detached(seen["gradient"]),
        "graphs": f"{graphs['most']} alive at once",
        "inputs": changed_inputs(((None, batches), {}), ((None, seen["batches"]), {})),
    }


def _accumulate_case(draw, shapes, label):
    """shapes: for each micro-batch its rows' counted tokens."""
    batches = []
    for lengths in shapes:
        mask = (torch.arange(max(*lengths, 2)) < torch.tensor(lengths)[:, None]).double()
        batches.append({"x": draw.normal(*mask.shape, 3), "mask": mask})
    return Case((draw.normal(3), batches), label=label)


def _accumulate_cases(draw):
    return [
        _accumulate_case(draw, [(9, 7), (2, 1), (4, 4)], "16, 3 and 8 tokens"),
        _accumulate_case(draw, [(1, 1), (12, 10, 11)], "2 and 33 tokens"),
        _accumulate_case(draw, [(3, 5)], "one micro-batch"),
    ]


def _accumulate_edges(draw):
    return [_accumulate_case(draw, [(4, 2), (0, 0), (3, 1)], "a micro-batch without a counted token")]


BUG_13 = find_the_bug(
    13,
    "accumulate",
    accumulate,
    (
        Part("loss and gradient of the big batch", 2, _accumulate_cases, ("loss", "gradients")),
        Part("a micro-batch without counted tokens", 0.5, _accumulate_edges, ("loss", "gradients"), independent=True),
        Part("one graph at a time, batches unchanged", 0.5, _accumulate_cases, ("graphs", "inputs")),
    ),
    (
        ("at-once", _accumulated_at_once, "the numbers are right, but all graphs are in memory at once: micro-batches save nothing"),
        ("value-only", _accumulated_value_only, "the loss that comes back is right, the gradient is not"),
        ("gradient-only", _accumulated_gradient_only, "the gradient is right, the loss that comes back is not"),
        ("sum-of-gradients", _accumulated_sum_of_gradients, "the loss that comes back is divided by the tokens, the gradient is not"),
        ("zero-by-zero", _accumulated(lambda x, m, bs: (x * m).sum() / m.sum() * (m.sum() / _counted(bs))), "the weights are right, but a micro-batch without counted tokens has no mean of its own: 0 / 0"),
        ("zeroing", _accumulated_zeroing, "only the last micro-batch's gradient is left"),
        ("not-divided", _accumulated(lambda x, m, bs: (x * m).sum() / m.sum()), "nothing divides by the number of micro-batches, and they still count alike"),
        ("sum", _accumulated(lambda x, m, bs: (x * m).sum()), "the sum over all tokens came back; the mean is wanted"),
        ("all-positions", _accumulated(lambda x, m, bs: (x * m).sum() / sum(b["mask"].numel() for b in bs)), "the sum is divided by all positions, padding included"),
        ("by-rows", _accumulated(lambda x, m, bs: (x * m).sum() / m.sum().clamp(min=1) * len(m) / sum(len(b["mask"]) for b in bs)), "micro-batches are weighted by their rows; tokens are what counts"),
        ("row-means", _accumulated(lambda x, m, bs: ((x * m).sum(1) / m.sum(1).clamp(min=1)).sum() / sum(len(b["mask"]) for b in bs)), "each row counts alike, however long it is; each token should"),
        ("unmasked", _accumulated(lambda x, m, bs: x.sum() / sum(b["mask"].numel() for b in bs)), "padding counts as well"),
        ("divided-twice", _accumulated(lambda x, m, bs: (x * m).sum() / _counted(bs) / len(bs)), "the sum is divided by all tokens and by the number of micro-batches as well"),
        ("sum-by-batches", _accumulated(lambda x, m, bs: (x * m).sum() / len(bs)), "the sum is divided by the number of micro-batches, not of tokens"),
        ("mean-length", _accumulated(lambda x, m, bs: (x * m).sum() / m.sum().clamp(min=1) / len(bs)), "micro-batches still count alike, though one may have ten times the tokens of another (only the division by 0 is gone)"),
        ("as-shown", _accumulated(lambda x, m, bs: (x * m).sum() / m.sum() / len(bs)), "micro-batches count alike, so a token in a short one counts more than one in a long one"),
    ),
    {"dividing afterwards": _accumulated_dividing_after, "weighted means": _accumulated_weights, "autograd.grad": _accumulated_by_hand},
    (
        "Try two micro-batches, one with a single token and one with ten, and compare with all eleven in one batch.",
        "A mean of means is the mean only where all have the same size.",
        "Count the tokens of all micro-batches first, and divide each sum by that.",
    ),
    _observe_accumulated,
)  # fmt: skip

BUGS = (BUG_09, BUG_12, BUG_13)
