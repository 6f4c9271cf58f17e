"""The Triton kernels through their interpreter, on the CPU, against float64. Not a word on speed or on a real GPU."""

import os

import pytest
import torch

triton = pytest.importorskip("triton", reason="triton is not installed: CI has a step of its own for it")
if os.environ.get("TRITON_INTERPRET") != "1" and not torch.cuda.is_available():
    pytest.skip("without a GPU set TRITON_INTERPRET=1 before Python starts", allow_module_level=True)

from course_utils.kernels import tiles, triton_rows  # noqa: E402  (needs triton)
from course_utils.logprobs import linear_logprobs, preference_loss  # noqa: E402
from course_utils.losses import dpo_loss  # noqa: E402

DEVICE = "cuda" if os.environ.get("TRITON_INTERPRET") != "1" else "cpu"
TOLERANCE = {torch.float32: 3e-6, torch.bfloat16: 1e-2}
SHAPES = [(1, 1), (1, 7), (3, 1023), (4, 1024), (5, 1025), (7, 2500)]


def rows(n, vocabulary, dtype, seed=0, offset=0.0):
    generator = torch.Generator().manual_seed(seed)
    logits = (3 * torch.randn(n, vocabulary, generator=generator) + offset).to(dtype)
    targets = torch.randint(vocabulary, (n,), generator=generator)
    targets[0], targets[-1] = 0, vocabulary - 1
    upstream = torch.randn(n, generator=generator)
    return [x.to(DEVICE) for x in (logits, targets, upstream)]


def exact(logits, targets, upstream, scale):
    """(logp, lse, gradient at the logits) in float64."""
    z = logits.double().requires_grad_()
    logp = (scale * z).log_softmax(1).gather(1, targets[:, None])[:, 0]
    (gradient,) = torch.autograd.grad(logp, z, upstream.double())
    return logp.detach(), (scale * z.detach()).logsumexp(1), gradient


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 1 / 0.7])
def test_statistics_and_gradient_are_those_of_the_definition(shape, dtype, scale):
    logits, targets, upstream = rows(*shape, dtype)
    logp, lse, gradient = exact(logits, targets, upstream, scale)
    kept = logits.clone()
    seen = triton_rows.statistics(logits, targets, scale)
    assert torch.equal(logits, kept)
    for a, b in zip(seen, (logp, lse), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=3e-6, atol=3e-6)
    made = triton_rows.into_gradient(logits, targets, seen[1], upstream, scale)
    assert made is logits and made.dtype == dtype
    torch.testing.assert_close(made.double(), gradient, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("offset", [1e4, -1e4])
def test_large_logits_do_not_overflow_or_cancel(offset):
    logits, targets, upstream = rows(3, 1100, torch.float32, offset=offset)
    logp, lse, gradient = exact(logits, targets, upstream, 1.0)
    seen, normaliser = triton_rows.statistics(logits, targets)
    torch.testing.assert_close(seen.double(), logp, rtol=1e-5, atol=1e-5)
    made = triton_rows.into_gradient(logits, targets, normaliser, upstream)
    # the normaliser is a float32 number near 1e4, so that it is right to 1e-3
    torch.testing.assert_close(made.double(), gradient, rtol=2e-3, atol=2e-3)


def test_rows_of_a_wider_buffer():
    wide = torch.full((5, 64), float("nan"), device=DEVICE)
    logits, targets, upstream = rows(4, 50, torch.float32)
    part = wide[:4, :50]
    part.copy_(logits)
    logp, lse, gradient = exact(logits, targets, upstream, 1.0)
    seen = triton_rows.statistics(part, targets)
    torch.testing.assert_close(seen[0].double(), logp, rtol=3e-6, atol=3e-6)
    triton_rows.into_gradient(part, targets, seen[1], upstream)
    torch.testing.assert_close(part.double(), gradient, rtol=3e-6, atol=3e-6)
    assert wide[4].isnan().all() and wide[:, 50:].isnan().all()


def test_no_row():
    empty = torch.empty(0, 7, device=DEVICE)
    targets = torch.empty(0, dtype=torch.int64, device=DEVICE)
    logp, lse = triton_rows.statistics(empty, targets)
    assert logp.shape == lse.shape == (0,)
    assert triton_rows.into_gradient(empty, targets, lse, logp).shape == (0, 7)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("pairs", [False, True])
def test_the_kernels_take_this_way_and_are_no_worse_than_torch_in_half_precision(frozen, pairs, monkeypatch):
    """On the CPU the way is forced; there it must be as near to float64 as plain torch operations are."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(24, 32, generator=generator).bfloat16().to(DEVICE)
    weight = (torch.randn(1501, 32, generator=generator) / 4).bfloat16().to(DEVICE)
    bias = torch.randn(1501, generator=generator).bfloat16().to(DEVICE)
    labels = torch.randint(1501, (24,), generator=generator).to(DEVICE)
    labels[5] = -100
    sequences, reference = torch.arange(24, device=DEVICE) % 4, torch.full((4,), -45.0, device=DEVICE)

    def run(dtype, plain):
        leaves = [
            x.to(dtype, copy=True).requires_grad_(not frozen or i == 0)
            for i, x in enumerate((hidden, weight, bias))
        ]
        if plain:
            logits = leaves[0] @ leaves[1].T + leaves[2]
            logits = logits.float() if dtype == torch.bfloat16 else logits
            logp = logits.log_softmax(1).gather(1, labels.clamp(min=0)[:, None])[:, 0] * (labels != -100)
        elif not pairs:
            logp = linear_logprobs(*leaves[:2], labels, bias=leaves[2], chunk_size=7)
        if not plain and pairs:
            value = preference_loss(
                *leaves[:2], labels, sequences, reference, dpo_loss, bias=leaves[2], chunk_size=16
            )
        elif pairs:
            sums = logp.new_zeros(4).index_add(0, sequences, logp)
            value = dpo_loss(*sums.chunk(2), *reference.to(sums.dtype).chunk(2)).mean()
        else:
            value = logp.sum()
        value.backward()
        return [value.detach().double(), *(x.grad.double() for x in leaves if x.requires_grad)]

    expected, torchs = run(torch.float64, True), run(torch.bfloat16, True)
    calls, statistics = [], triton_rows.statistics
    monkeypatch.setattr(triton_rows, "statistics", lambda *args: calls.append(1) or statistics(*args))
    monkeypatch.setattr(tiles, "uses_triton", lambda weight: tiles.is_half(weight.dtype))
    for exact_one, theirs, ours in zip(expected, torchs, run(torch.bfloat16, False), strict=True):
        size = exact_one.abs().max()
        # 2^-8 is a rounding of the result to bfloat16, which may fall either way
        assert (ours - exact_one).abs().max() <= 1.5 * (theirs - exact_one).abs().max() + 2**-8 * size
    assert calls
