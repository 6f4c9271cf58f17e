"""The kernels against float64 logits formed at once, numerical gradients, and what must not change the result."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.kernels import tiles
from course_utils.logprobs import linear_logprobs, preference_loss
from course_utils.losses import cdpo_loss, dpo_loss, ipo_loss, rdpo_loss, simpo_loss

IGNORE = -100


def rows(n=11, width=3, vocabulary=7, seed=0, dtype=torch.float64, scale=1.0):
    """hidden, weight, bias, labels with some -100."""
    generator = torch.Generator().manual_seed(seed)
    draw = partial(torch.randn, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, vocabulary, (n,), generator=generator)
    labels[::4] = IGNORE
    hidden, weight, bias = scale * draw(n, width), draw(vocabulary, width), draw(vocabulary)
    return hidden.to(dtype), weight.to(dtype), bias.to(dtype), labels


def plain(hidden, weight, labels, bias=None, temperature=1.0):
    """(log-probabilities, entropies) by the definition, all logits at once; only rows that count are read."""
    counted = labels != IGNORE
    logits = hidden[counted] @ weight.T
    logits = (logits if bias is None else logits + bias) / temperature
    logits = logits.float() if logits.dtype == torch.bfloat16 else logits
    logp = logits.log_softmax(1)
    picked = logp.gather(1, labels[counted][:, None])[:, 0]
    entropy = -(logp.exp() * logp).sum(1)
    empty = logp.new_zeros(len(labels))
    return empty.masked_scatter(counted, picked), empty.masked_scatter(counted, entropy)


def gradients(function, leaves, upstream=None):
    """(value, gradients) for the leaves that are to be trained, under a gradient from above."""
    leaves = [x.detach().clone().requires_grad_() for x in leaves]
    value = function(*leaves)
    upstream = torch.ones_like(value) if upstream is None else upstream.to(value.dtype)
    return value.detach(), *torch.autograd.grad(value, leaves, upstream)


def assert_alike(seen, expected, **tolerance):
    for a, b in zip(seen, expected, strict=True):
        torch.testing.assert_close(a, b, **({"rtol": 1e-10, "atol": 1e-12} | tolerance), check_dtype=False)


def pair_rows(pairs=3, length=4, width=3, vocabulary=7, seed=0, dtype=torch.float64):
    """hidden, weight, labels, sequences in a random order, and reference log-probabilities."""
    hidden, weight, _, labels = rows(2 * pairs * length, width, vocabulary, seed, dtype)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    sequences = torch.arange(2 * pairs).repeat_interleave(length)[order]
    reference = -5 * torch.rand(2 * pairs, generator=generator, dtype=torch.float64) * length
    return hidden, weight, labels, sequences, reference.to(dtype)


def plain_loss(hidden, weight, labels, sequences, reference, loss, bias=None, average=False):
    logp = plain(hidden, weight, labels, bias)[0]
    sums = logp.new_zeros(len(reference)).index_add(0, sequences, logp)
    if average:
        sums = sums / torch.bincount(sequences[labels != IGNORE], minlength=len(reference))
    return loss(*sums.chunk(2), *reference.to(sums.dtype).chunk(2)).mean()


# --- linear_logprobs -------------------------------------------------------------------------


@pytest.mark.parametrize("chunk_size", [1, 2, 5, 8, 50, None])
@pytest.mark.parametrize("with_entropy", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_values_and_gradients_are_those_of_the_definition_in_chunks_of_any_size(
    chunk_size, with_entropy, frozen
):
    hidden, weight, bias, labels = rows()
    upstream = torch.linspace(-1, 2, len(labels), dtype=torch.float64)

    def ours(h, w=weight, b=bias):
        found = linear_logprobs(
            h, w, labels, bias=b, temperature=0.7, with_entropy=with_entropy, chunk_size=chunk_size
        )
        return found[0] + 0.3 * found[1] if with_entropy else found

    def theirs(h, w=weight, b=bias):
        logp, entropy = plain(h, w, labels, b, 0.7)
        return logp + 0.3 * entropy if with_entropy else logp

    leaves = (hidden,) if frozen else (hidden, weight, bias)
    assert_alike(gradients(ours, leaves, upstream), gradients(theirs, leaves, upstream))


@pytest.mark.parametrize("which", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("with_entropy", [False, True])
def test_gradients_are_the_numerical_ones_whatever_is_trained(which, with_entropy):
    hidden, weight, bias, labels = rows(n=6, width=2, vocabulary=4)
    args = [
        x.clone().requires_grad_() if i in which else x.clone() for i, x in enumerate((hidden, weight, bias))
    ]

    def function(h, w, b):
        return linear_logprobs(h, w, labels, bias=b, temperature=1.3, with_entropy=with_entropy, chunk_size=2)

    assert torch.autograd.gradcheck(function, args)


@pytest.mark.parametrize("frozen", [False, True])
def test_forbidden_tokens_leave_the_values_and_gradients_of_the_others(frozen):
    hidden, weight, bias, labels = rows()
    labels[labels == 6] = 0
    bias[6] = float("-inf")
    allowed = weight[:6], bias[:6]

    def total(h, w, b):
        logp, entropy = linear_logprobs(h, w, labels, bias=b, with_entropy=True, chunk_size=4)
        return logp + 0.3 * entropy + linear_logprobs(h, w, labels, bias=b, chunk_size=4)

    leaves = 1 if frozen else 2
    seen = gradients(lambda h, w=weight: total(h, w, bias), (hidden, weight)[:leaves])
    few = gradients(lambda h, w=allowed[0]: total(h, w, allowed[1]), (hidden, allowed[0])[:leaves])
    assert_alike(seen[:2], few[:2])
    if not frozen:
        assert_alike((seen[2][:6],), few[2:])
        assert (seen[2][6] == 0).all()


def test_a_frozen_weight_takes_the_way_that_keeps_one_vector_a_row():
    hidden, weight, _, labels = rows()
    kept = []

    def keep(tensor):
        kept.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        linear_logprobs(hidden.requires_grad_(), weight, labels)
    assert weight.shape not in kept
    assert ((labels != IGNORE).sum().item(), 3) in kept


def test_without_gradients_nothing_is_kept_and_the_values_stay():
    hidden, weight, bias, labels = rows()
    trained = weight.clone().requires_grad_()
    with torch.no_grad():
        seen, entropy = linear_logprobs(hidden, trained, labels, bias=bias, with_entropy=True)
    assert not seen.requires_grad and not entropy.requires_grad
    assert_alike((seen, entropy), plain(hidden, weight, labels, bias))


def test_a_second_backward_pass_gives_the_same_gradients():
    hidden, weight, _, labels = rows()
    hidden.requires_grad_(), weight.requires_grad_()
    value = linear_logprobs(hidden, weight, labels, chunk_size=3).sum()
    first = torch.autograd.grad(value, (hidden, weight), retain_graph=True)
    assert_alike(torch.autograd.grad(value, (hidden, weight)), first, rtol=0, atol=0)


def test_changing_the_result_in_place_does_not_reach_the_gradient():
    hidden, weight, _, labels = rows()

    def function(h, w):
        value = linear_logprobs(h, w, labels)
        value.data.fill_(5.0)
        return value

    expected = gradients(lambda h, w: linear_logprobs(h, w, labels), (hidden, weight))
    assert_alike(gradients(function, (hidden, weight))[1:], expected[1:], rtol=0, atol=0)


@pytest.mark.parametrize("frozen", [False, True])
def test_rows_that_do_not_count_may_hold_nan(frozen):
    hidden, weight, _, labels = rows()
    wild = hidden.clone()
    wild[labels == IGNORE] = float("nan")
    leaves = (0,) if frozen else (0, 1)

    def run(h):
        args = [h.clone(), weight.clone()]
        for i in leaves:
            args[i].requires_grad_()
        value, entropy = linear_logprobs(*args, labels, with_entropy=True, chunk_size=2)
        (value + entropy).sum().backward()
        return value.detach(), entropy.detach(), *(args[i].grad for i in leaves)

    seen = run(wild)
    assert_alike(seen, run(hidden), rtol=0, atol=0)
    assert (seen[0][labels == IGNORE] == 0).all() and (seen[2][labels == IGNORE] == 0).all()


@pytest.mark.parametrize("frozen", [False, True])
def test_when_no_row_counts_all_is_exactly_0(frozen):
    hidden, weight, _, labels = rows()
    hidden.fill_(float("nan")).requires_grad_()
    weight.requires_grad_(not frozen)
    logp, entropy = linear_logprobs(hidden, weight, torch.full_like(labels, IGNORE), with_entropy=True)
    (logp + entropy).sum().backward()
    assert (logp == 0).all() and (entropy == 0).all() and (hidden.grad == 0).all()
    assert frozen or (weight.grad == 0).all()


@pytest.mark.parametrize("offset", [1e4, -1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_offset_of_all_logits_changes_nothing_beyond_rounding(offset, dtype):
    hidden, weight, bias, labels = rows(dtype=dtype)
    seen = gradients(lambda h, w, b: linear_logprobs(h, w, labels, bias=b), (hidden, weight, bias + offset))
    expected = gradients(lambda h, w, b: plain(h, w, labels, b)[0], (hidden, weight, bias + offset))
    assert all(torch.isfinite(x).all() for x in seen)
    # float32 numbers near 1e4 are 1e-3 apart; both sides round the same logits, and not by more than that
    assert_alike(seen, expected, atol={torch.float32: 4e-3, torch.float64: 1e-9}[dtype], rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("frozen", [False, True])
def test_no_worse_than_torch_in_the_same_dtype(dtype, frozen):
    """The error against float64 on the same inputs, in a long vocabulary; below 16 rows MKL itself rounds more."""
    hidden, weight, _, labels = rows(n=40, width=48, vocabulary=3001, dtype=dtype, scale=0.5)
    leaves = (hidden,) if frozen else (hidden, weight)

    def run(function, *values):
        fixed = weight.to(values[0].dtype)
        return [x.double() for x in gradients(lambda h, w=fixed: function(h, w), values)]

    exact = run(lambda h, w: plain(h, w, labels)[0], *(x.double() for x in leaves))
    torchs = run(lambda h, w: plain(h, w, labels)[0], *leaves)
    ours = run(lambda h, w: linear_logprobs(h, w, labels, chunk_size=16), *leaves)
    for expected, theirs, mine in zip(exact, torchs, ours, strict=True):
        size = expected.abs().max()
        error, allowed = (mine - expected).abs().max(), (theirs - expected).abs().max()
        assert error <= 1.5 * allowed + 4 * torch.finfo(torch.float32).eps * size


def test_half_precision_gives_float32_and_gradients_in_half():
    hidden, weight, _, labels = rows(dtype=torch.bfloat16)
    value = linear_logprobs(hidden.requires_grad_(), weight.requires_grad_(), labels)
    value.sum().backward()
    assert value.dtype == torch.float32
    assert hidden.grad.dtype == weight.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("frozen", [False, True])
def test_autocast_multiplies_in_half_and_gives_gradients_in_the_inputs_dtype(frozen):
    hidden, weight, _, labels = rows(n=20, width=16, vocabulary=50, dtype=torch.float32)
    hidden.requires_grad_(), weight.requires_grad_(not frozen)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = linear_logprobs(hidden, weight, labels)
    value.sum().backward()
    half = hidden.detach().bfloat16(), weight.detach().bfloat16()
    assert_alike((value.detach(),), (linear_logprobs(*half, labels),), rtol=0, atol=0)
    assert hidden.grad.dtype == torch.float32
    assert frozen or weight.grad.dtype == torch.float32
    exact = plain(hidden.detach().double(), weight.detach().double(), labels)[0]
    torch.testing.assert_close(value.detach().double(), exact, rtol=3e-2, atol=5e-2)


def test_float64_stays_float64_under_autocast():
    hidden, weight, _, labels = rows()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_alike((linear_logprobs(hidden, weight, labels),), plain(hidden, weight, labels)[:1])


@pytest.mark.parametrize("frozen", [False, True])
def test_non_contiguous_inputs(frozen):
    hidden, weight, bias, labels = rows()
    wide = torch.stack([hidden, -hidden], dim=2)[:, :, 0]
    tall = weight.T.contiguous().T
    spaced = torch.stack([bias, bias], dim=1)[:, 0]
    assert not any(x.is_contiguous() for x in (wide, tall, spaced))
    leaves = 1 if frozen else 3
    args = (hidden, weight, bias)

    def ours(kept):
        def run(*trained):
            h, w, b = (*trained, *kept[leaves:])
            return linear_logprobs(h, w, labels, bias=b, chunk_size=4)

        return run

    expected = gradients(ours(args), args[:leaves])
    values = [x.detach().requires_grad_() for x in (wide, tall, spaced)[:leaves]]
    value = ours((wide, tall, spaced))(*values)
    seen = (value.detach(), *torch.autograd.grad(value.sum(), values))
    assert_alike(seen, expected)


def test_tied_weights_collect_both_gradients():
    _, weight, _, labels = rows()
    ids = torch.arange(len(labels)) % len(weight)

    def tied(head):
        return lambda w: head(torch.tanh(w[ids]), w)

    ours = gradients(tied(lambda h, w: linear_logprobs(h, w, labels, chunk_size=3)), (weight,))
    assert_alike(ours, gradients(tied(lambda h, w: plain(h, w, labels)[0]), (weight,)))


def test_torch_compile_around_it_gives_the_same():
    hidden, weight, _, labels = rows(dtype=torch.float32)
    sequences, reference = torch.arange(len(labels)) % 4, torch.full((4,), -3.0)

    def both(h, w):
        pairs = preference_loss(2 * h, w, labels, sequences, reference, dpo_loss)
        return linear_logprobs(2 * h, w, labels).mean() + pairs

    expected = gradients(both, (hidden, weight))
    torch._dynamo.reset()
    seen = gradients(torch.compile(both, backend="eager"), (hidden, weight))
    assert_alike(seen, expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 33),
    width=st.integers(1, 9),
    vocabulary=st.integers(1, 41),
    chunk_size=st.one_of(st.none(), st.integers(1, 40)),
    seed=st.integers(0, 999),
    frozen=st.booleans(),
)
def test_any_shape(n, width, vocabulary, chunk_size, seed, frozen):
    hidden, weight, _, labels = rows(n, width, vocabulary, seed)
    leaves = (hidden,) if frozen else (hidden, weight)
    upstream = torch.linspace(-1, 1, n, dtype=torch.float64)
    seen = gradients(
        lambda h, w=weight: linear_logprobs(h, w, labels, chunk_size=chunk_size), leaves, upstream
    )
    assert_alike(seen, gradients(lambda h, w=weight: plain(h, w, labels)[0], leaves, upstream))


def test_no_more_than_half_of_the_rows_are_held_and_a_large_vocabulary_takes_few():
    weight = torch.empty(49152, 1)
    assert tiles.rows_at_a_time(2048, weight) * 49152 * 4 <= tiles.BUFFER_BYTES["cpu"]
    assert tiles.rows_at_a_time(11, weight[:7]) == 6
    assert tiles.rows_at_a_time(1, weight[:7]) == tiles.rows_at_a_time(0, weight[:7]) == 1


HIDDEN, WEIGHT, BIAS, LABELS = rows()


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ({"hidden": HIDDEN[0]}, "hidden"),
        ({"hidden": HIDDEN[:0], "labels": LABELS[:0]}, "hidden"),
        ({"weight": WEIGHT.T}, "weight"),
        ({"weight": WEIGHT.float()}, "weight"),
        ({"labels": LABELS[:5]}, "labels"),
        ({"labels": LABELS + 7}, "labels"),
        ({"labels": LABELS.clamp(min=-1)}, "labels"),
        ({"bias": BIAS[:3]}, "bias"),
        ({"bias": BIAS.float()}, "bias"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"chunk_size": 0}, "chunk_size"),
    ],
)
def test_wrong_arguments_are_refused_by_name(args, named):
    good = {"hidden": HIDDEN, "weight": WEIGHT, "labels": LABELS}
    with pytest.raises(ValueError, match=f"^{named} "):
        linear_logprobs(**(good | args))


# --- preference_loss -------------------------------------------------------------------------

LOSSES = {
    "DPO": dpo_loss,
    "IPO": partial(ipo_loss, tau=0.3),
    "cDPO": cdpo_loss,
    "rDPO": partial(rdpo_loss, beta=0.5),
    "SimPO": lambda chosen, rejected, *_: simpo_loss(chosen, rejected),
    "the chosen alone": lambda chosen, *_: -chosen,
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("chunk_size", [1, 3, 9, 16, 100, None])
@pytest.mark.parametrize("frozen", [False, True])
def test_pair_losses_and_gradients_in_groups_of_any_size(name, average, chunk_size, frozen):
    hidden, weight, *rest = pair_rows()
    leaves = (hidden,) if frozen else (hidden, weight)
    options = {"average": average, "chunk_size": chunk_size}
    seen = gradients(lambda h, w=weight: preference_loss(h, w, *rest, LOSSES[name], **options), leaves)
    expected = gradients(lambda h, w=weight: plain_loss(h, w, *rest, LOSSES[name], average=average), leaves)
    assert_alike(seen, expected)


@pytest.mark.parametrize("which", [(0,), (1,), (2,), (0, 1, 2)])
def test_gradients_of_pairs_are_the_numerical_ones(which):
    hidden, weight, *rest = pair_rows(pairs=2, length=3, width=2, vocabulary=4)
    bias = torch.linspace(-1, 1, 4, dtype=torch.float64)
    args = [
        x.clone().requires_grad_() if i in which else x.clone() for i, x in enumerate((hidden, weight, bias))
    ]
    assert torch.autograd.gradcheck(
        lambda h, w, b: preference_loss(h, w, *rest, dpo_loss, bias=b, chunk_size=4), args
    )


def test_what_comes_from_above_scales_the_gradients_of_pairs_and_a_second_pass_repeats_them():
    hidden, weight, *rest = pair_rows()
    hidden.requires_grad_(), weight.requires_grad_()
    value = preference_loss(hidden, weight, *rest, dpo_loss)
    once = torch.autograd.grad(value, (hidden, weight), retain_graph=True)
    thrice = torch.autograd.grad(3 * value, (hidden, weight))
    assert_alike(thrice, [3 * x for x in once])


def test_the_order_of_rows_does_not_matter():
    hidden, weight, labels, sequences, reference = pair_rows()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(5))

    def run(at):
        def function(h, w):
            return preference_loss(h[at], w, labels[at], sequences[at], reference, dpo_loss, chunk_size=6)

        return gradients(function, (hidden, weight))

    assert_alike(run(order), run(torch.arange(len(labels))))


def test_rows_of_pairs_that_do_not_count_may_hold_anything():
    hidden, weight, labels, sequences, reference = pair_rows()
    wild, elsewhere = hidden.clone(), sequences.clone()
    wild[labels == IGNORE], elsewhere[labels == IGNORE] = float("nan"), -1

    def run(h, s):
        return gradients(lambda h, w: preference_loss(h, w, labels, s, reference, dpo_loss), (h, weight))

    assert_alike(run(wild, elsewhere), run(hidden, sequences), rtol=0, atol=0)


@pytest.mark.parametrize("frozen", [False, True])
def test_pairs_without_a_row_that_counts(frozen):
    hidden, weight, labels, sequences, reference = pair_rows()
    hidden.fill_(float("nan")).requires_grad_()
    weight.requires_grad_(not frozen)
    labels = torch.full_like(labels, IGNORE)
    value = preference_loss(hidden, weight, labels, sequences, reference, dpo_loss)
    value.backward()
    zero = torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(value.detach(), dpo_loss(zero, zero, *reference.chunk(2)).mean())
    assert (hidden.grad == 0).all() and (frozen or (weight.grad == 0).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pairs_are_no_worse_than_torch_in_the_same_dtype(dtype):
    hidden, weight, *rest = pair_rows(pairs=4, length=12, width=48, vocabulary=2003, dtype=dtype)
    loss = partial(dpo_loss, beta=0.01)

    def run(function, change=lambda x: x):
        labels, sequences, reference = rest
        leaves = (change(hidden), change(weight))
        args = (labels, sequences, change(reference))
        return [x.double() for x in gradients(lambda h, w: function(h, w, *args, loss), leaves)]

    exact, torchs = run(plain_loss, torch.Tensor.double), run(plain_loss)
    ours = run(partial(preference_loss, chunk_size=30))
    for expected, theirs, mine in zip(exact, torchs, ours, strict=True):
        size = expected.abs().max()
        error, allowed = (mine - expected).abs().max(), (theirs - expected).abs().max()
        assert error <= 1.5 * allowed + 8 * torch.finfo(torch.float32).eps * size


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=2, max_size=10).filter(lambda s: len(s) % 2 == 0 and sum(s)),
    vocabulary=st.integers(1, 23),
    chunk_size=st.one_of(st.none(), st.integers(1, 30)),
    seed=st.integers(0, 999),
)
def test_pairs_of_any_lengths(sizes, vocabulary, chunk_size, seed):
    generator = torch.Generator().manual_seed(seed)
    sequences = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    hidden, weight, _, labels = rows(len(sequences), 3, vocabulary, seed)
    reference = torch.randn(len(sizes), generator=generator, dtype=torch.float64)
    rest = labels, sequences, reference, dpo_loss
    seen = gradients(lambda h, w: preference_loss(h, w, *rest, chunk_size=chunk_size), (hidden, weight))
    assert_alike(seen, gradients(lambda h, w: plain_loss(h, w, *rest), (hidden, weight)))


def test_a_loss_that_mixes_pairs_is_refused_and_not_computed_wrongly():
    hidden, weight, *rest = pair_rows()
    weight.requires_grad_()

    def centred(chosen, rejected, *_):
        margin = chosen - rejected
        return (margin - margin.mean()) ** 2

    with pytest.raises(ValueError, match="^loss mixes pairs"):
        preference_loss(hidden, weight, *rest, centred, chunk_size=8)


PAIR_ROWS = pair_rows()


@pytest.mark.parametrize(
    ("position", "value", "named"),
    [
        (3, PAIR_ROWS[3][:5], "sequences"),
        (3, PAIR_ROWS[3].float(), "sequences"),
        (3, PAIR_ROWS[3] + 3, "sequences"),
        (3, PAIR_ROWS[3] - 1, "sequences"),
        (4, PAIR_ROWS[4][:5], "reference_logps"),
        (4, PAIR_ROWS[4][None], "reference_logps"),
        (4, PAIR_ROWS[4].long(), "reference_logps"),
        (5, lambda *args: args[0].mean(), "loss"),
        (5, lambda *args: 0.0, "loss"),
    ],
)
def test_wrong_arguments_of_pairs_are_refused_by_name(position, value, named):
    args = [*PAIR_ROWS, dpo_loss]
    args[position] = value
    with pytest.raises(ValueError, match=f"^{named} "):
        preference_loss(*args)


def test_an_average_over_no_token_is_refused():
    hidden, weight, labels, sequences, reference = pair_rows()
    labels[sequences == 2] = IGNORE
    with pytest.raises(ValueError, match="^labels "):
        preference_loss(hidden, weight, labels, sequences, reference, dpo_loss, average=True)
