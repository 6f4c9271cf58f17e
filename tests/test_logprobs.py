"""Log-probabilities against plain float64 references, numerical gradients, and what they refuse."""

import math

import pytest
import torch

from course_utils.logprobs import chunked_token_logprobs, sequence_logprob, token_logprobs

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
    ),
]


def batch(rows=3, length=7, vocabulary=6, seed=0, dtype=torch.float64):
    """Logits, and labels with a prompt, padding, token 0 and a hole of -100."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, length, vocabulary, generator=generator, dtype=torch.float64) * 2
    labels = torch.randint(0, vocabulary, (rows, length), generator=generator)
    labels[:, 4] = 0
    for i in range(rows):
        labels[i, : 1 + i % 3] = -100
    labels[0, 6:] = labels[1, 3] = -100
    return logits.to(dtype), labels


def plain(logits, labels):
    """The definition, in Python floats."""
    rows = []
    for row, ids in zip(logits.tolist(), labels.tolist(), strict=True):
        values = []
        for t in range(len(ids) - 1):
            top = max(row[t])
            normaliser = top + math.log(sum(math.exp(z - top) for z in row[t]))
            values.append(row[t][ids[t + 1]] - normaliser if ids[t + 1] != -100 else 0.0)
        rows.append(values)
    return torch.tensor(rows, dtype=torch.float64)


def rows(n=11, width=3, vocabulary=7, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(vocabulary, width, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, vocabulary, (n,), generator=generator)
    labels[::4] = -100
    return hidden.to(dtype), weight.to(dtype), labels


# --- token_logprobs --------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_token_logprobs_are_those_of_the_definition(device):
    logits, labels = batch()
    seen = token_logprobs(logits.to(device), labels.to(device))
    assert seen.device.type == device
    torch.testing.assert_close(seen.cpu(), plain(logits, labels), rtol=1e-12, atol=1e-12)


def test_token_logprobs_are_exactly_0_where_the_label_does_not_count():
    logits, labels = batch()
    assert (token_logprobs(logits, labels)[labels[:, 1:] == -100] == 0).all()


def test_the_label_at_position_0_is_never_looked_at():
    logits, labels = batch()
    other = labels.clone()
    other[:, 0] = 5
    assert torch.equal(token_logprobs(logits, labels), token_logprobs(logits, other))


def test_token_logprobs_gradient():
    logits, labels = batch(rows=2, length=5, vocabulary=4)
    assert torch.autograd.gradcheck(lambda x: token_logprobs(x, labels), logits.requires_grad_())


def test_no_gradient_comes_from_positions_that_do_not_count_whatever_stands_there():
    logits, labels = batch()
    wild = logits.clone()
    wild[:, :-1][labels[:, 1:] == -100] = float("nan")
    wild[:, -1] = float("inf")
    wild.requires_grad_()
    value = token_logprobs(wild, labels)
    assert torch.equal(value.detach(), token_logprobs(logits, labels))
    value.sum().backward()
    assert torch.isfinite(wild.grad).all()
    assert (wild.grad[:, :-1][labels[:, 1:] == -100] == 0).all()
    assert (wild.grad[:, -1] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_token_logprobs_are_stable_and_keep_the_dtype(dtype):
    logits, labels = batch()
    large = (1e4 * logits.sign()).to(dtype)
    seen = token_logprobs(large, labels)
    assert seen.dtype == dtype
    torch.testing.assert_close(seen.double(), plain(large, labels), rtol=1e-6, atol=1e-5)


def test_half_precision_is_normalised_in_float32():
    logits, labels = batch(length=200, vocabulary=500, dtype=torch.bfloat16)
    seen = sequence_logprob(logits, labels)
    assert seen.dtype == torch.float32
    torch.testing.assert_close(seen.double(), plain(logits, labels).sum(1), rtol=1e-5, atol=1e-3)


def test_inputs_are_not_changed():
    logits, labels = batch()
    kept = logits.clone(), labels.clone()
    sequence_logprob(logits, labels, average=True)
    assert torch.equal(logits, kept[0]) and torch.equal(labels, kept[1])


def test_one_row_of_two_positions():
    logits = torch.tensor([[[2.0, 1.0, 0.0], [9.0, 9.0, 9.0]]])
    seen = token_logprobs(logits, torch.tensor([[1, 0]]))
    assert seen.shape == (1, 1)
    assert seen.item() == pytest.approx(-0.407606, abs=1e-6)


@pytest.mark.parametrize(
    ("logits", "labels", "named"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64), "logits"),
        (torch.zeros(2, 3, 4, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64), "logits"),
        (torch.zeros(2, 3, 4), torch.zeros(2, 2, dtype=torch.int64), "labels"),
        (torch.zeros(2, 3, 4), torch.zeros(2, 3), "labels"),
        (torch.zeros(2, 1, 4), torch.zeros(2, 1, dtype=torch.int64), "labels"),
        (torch.zeros(0, 3, 4), torch.zeros(0, 3, dtype=torch.int64), "labels"),
    ],
)
@pytest.mark.parametrize("function", [token_logprobs, sequence_logprob])
def test_wrong_shapes_are_refused_by_name(function, logits, labels, named):
    with pytest.raises(ValueError, match=f"^{named} "):
        function(logits, labels)


# --- sequence_logprob ------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
def test_sequence_logprob_sums_and_averages_the_counted_tokens(device):
    logits, labels = batch()
    tokens = plain(logits, labels)
    count = (labels[:, 1:] != -100).sum(1)
    args = logits.to(device), labels.to(device)
    torch.testing.assert_close(sequence_logprob(*args).cpu(), tokens.sum(1))
    torch.testing.assert_close(sequence_logprob(*args, average=True).cpu(), tokens.sum(1) / count)


def test_a_token_of_probability_1_counts():
    logits = torch.zeros(1, 3, 2, dtype=torch.float64)
    logits[0, 0, 1] = 1e3
    seen = sequence_logprob(logits, torch.tensor([[-100, 1, 0]]), average=True)
    assert seen.item() == pytest.approx(-math.log(2) / 2)


@pytest.mark.parametrize("average", [False, True])
def test_sequence_logprob_gradient(average):
    logits, labels = batch(rows=3, length=5, vocabulary=4)
    labels[0, 2] = 1
    assert torch.autograd.gradcheck(lambda x: sequence_logprob(x, labels, average), logits.requires_grad_())


def test_a_row_without_a_counted_token_is_refused():
    logits, labels = batch()
    labels[1] = -100
    labels[1, 0] = 2  # position 0 does not count
    with pytest.raises(ValueError, match="^labels "):
        sequence_logprob(logits, labels)


# --- chunked_token_logprobs ------------------------------------------------------------------


def whole(hidden, weight, labels):
    logits = torch.cat([(hidden @ weight.T), hidden.new_zeros(1, len(weight))])
    return token_logprobs(logits[None], torch.cat([labels.new_tensor([-100]), labels])[None])[0]


@pytest.mark.parametrize("chunk_size", [1, 2, 4, 10, 11, 50])
@pytest.mark.parametrize("device", DEVICES)
def test_chunks_give_the_values_and_gradients_of_the_whole(chunk_size, device):
    hidden, weight, labels = (x.to(device) for x in rows())
    upstream = torch.linspace(-1, 2, len(labels), dtype=torch.float64, device=device)
    results = []
    for function in (whole, lambda *args: chunked_token_logprobs(*args, chunk_size)):
        leaves = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        value = function(*leaves, labels)
        results.append((value.detach(), *torch.autograd.grad(value, leaves, upstream)))
    for expected, seen in zip(*results, strict=True):
        torch.testing.assert_close(seen, expected, rtol=1e-12, atol=1e-12)
    assert (results[1][0][labels == -100] == 0).all()


def test_chunked_gradients_are_the_numerical_ones():
    hidden, weight, labels = rows(n=5, vocabulary=4)
    args = hidden.requires_grad_(), weight.requires_grad_()
    assert torch.autograd.gradcheck(lambda h, w: chunked_token_logprobs(h, w, labels, 2), args)


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_input_gets_no_gradient_and_the_other_keeps_its_own(frozen):
    *pair, labels = rows()
    pair[1 - frozen].requires_grad_()
    chunked_token_logprobs(*pair, labels, 4).sum().backward()
    kept = pair[1 - frozen].grad.clone()
    pair[1 - frozen].grad = None
    whole(*pair, labels).sum().backward()
    torch.testing.assert_close(kept, pair[1 - frozen].grad)
    assert pair[frozen].grad is None


def test_rows_that_do_not_count_cannot_do_harm():
    hidden, weight, labels = rows()
    wild = hidden.clone()
    wild[labels == -100] = float("nan")
    wild.requires_grad_()
    value = chunked_token_logprobs(wild, weight, labels, 3)
    torch.testing.assert_close(value.detach(), whole(hidden, weight, labels))
    value.sum().backward()
    assert torch.isfinite(wild.grad).all()


def test_no_row_that_counts():
    hidden, weight, _ = rows()
    hidden.requires_grad_()
    value = chunked_token_logprobs(hidden, weight, torch.full((11,), -100), 3)
    value.sum().backward()
    assert (value == 0).all() and (hidden.grad == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_chunks_are_stable_and_keep_the_dtype(dtype):
    hidden, weight, labels = rows(dtype=dtype)
    seen = chunked_token_logprobs(100 * hidden, 100 * weight, labels, 4)
    assert seen.dtype == dtype
    expected = whole(100 * hidden.double(), 100 * weight.double(), labels)
    # the logits are near 1e4, where float32 numbers are 1e-3 apart
    spacing = {torch.float32: 1e-2, torch.float64: 1e-9}[dtype]
    torch.testing.assert_close(seen.double(), expected, rtol=1e-5, atol=spacing)


def test_half_precision_chunks_give_float32_and_keep_the_weights_dtype_in_its_gradient():
    hidden, weight, labels = rows(dtype=torch.bfloat16)
    leaves = hidden.requires_grad_(), weight.requires_grad_()
    value = chunked_token_logprobs(*leaves, labels, 4)
    value.sum().backward()
    assert value.dtype == torch.float32
    assert hidden.grad.dtype == weight.grad.dtype == torch.bfloat16
    expected = whole(hidden.detach().double(), weight.detach().double(), labels)
    torch.testing.assert_close(value.detach().double(), expected, rtol=2e-2, atol=5e-2)


HIDDEN, WEIGHT, LABELS = rows()


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((HIDDEN[0], WEIGHT, LABELS, 4), "hidden"),
        ((HIDDEN[:0], WEIGHT, LABELS[:0], 4), "hidden"),
        ((HIDDEN.long(), WEIGHT, LABELS, 4), "hidden"),
        ((HIDDEN, WEIGHT.T, LABELS, 4), "weight"),
        ((HIDDEN, WEIGHT.float(), LABELS, 4), "weight"),
        ((HIDDEN, WEIGHT, LABELS[:5], 4), "labels"),
        ((HIDDEN, WEIGHT, LABELS.float(), 4), "labels"),
        ((HIDDEN, WEIGHT, LABELS, 0), "chunk_size"),
        ((HIDDEN, WEIGHT, LABELS, 2.0), "chunk_size"),
    ],
)
def test_wrong_arguments_of_the_chunked_one_are_refused_by_name(args, named):
    with pytest.raises(ValueError, match=f"^{named} "):
        chunked_token_logprobs(*args)
