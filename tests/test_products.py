"""oneDNN's products in place of MKL's: the same numbers, only where they pay, and only within the context."""

import pytest
import torch
from test_packed_attention import batch, llama
from torch.nn import functional as F

from course_utils.kernels import products
from course_utils.kernels.products import faster_products
from course_utils.logprobs import completion_rows

pytestmark = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this torch has no oneDNN"
)


@pytest.fixture
def made(monkeypatch):
    """The shapes of the products that oneDNN made, on any processor."""
    seen, product = [], products._times_transposed
    monkeypatch.setattr(products, "_pays", lambda: True)
    monkeypatch.setattr(products, "LARGE", 4 * 5 * 6 * 7)
    monkeypatch.setattr(
        products, "_times_transposed", lambda a, b: seen.append((a.shape, b.shape)) or product(a, b)
    )
    return seen


def given(bias=True, dtype=torch.float32):
    torch.manual_seed(0)
    hidden, layer = (
        torch.randn(4, 5, 6, dtype=dtype, requires_grad=True),
        torch.nn.Linear(6, 7, bias).to(dtype),
    )
    return hidden, layer


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_values_and_gradients_are_those_of_linear(made, bias, frozen):
    hidden, layer = given(bias)
    layer.weight.requires_grad_(not frozen)
    leaves = [hidden, *(p for p in layer.parameters() if p.requires_grad)]
    expected = layer(hidden)
    upstream = torch.randn_like(expected)
    with faster_products():
        result = layer(hidden)
    torch.testing.assert_close(result, expected)
    for seen, wanted in zip(
        torch.autograd.grad(result, leaves, upstream),
        torch.autograd.grad(expected, leaves, upstream),
        strict=True,
    ):
        torch.testing.assert_close(seen, wanted)
    assert [tuple(a) for a, _ in made] == [(20, 6), (20, 7)] + [(7, 20)] * (not frozen)


def test_rows_that_are_not_contiguous(made):
    hidden, layer = given()
    with faster_products():
        torch.testing.assert_close(layer(hidden.transpose(0, 1)), layer(hidden).transpose(0, 1))
    assert len(made) == 2


def test_what_is_small_of_another_dtype_or_outside_is_left_to_torch(made):
    hidden, layer = given()
    layer(hidden)
    with faster_products():
        layer(hidden[:3])
        layer(hidden[0, 0])
        F.linear(hidden, weight=layer.weight)
        for dtype in (torch.float64, torch.bfloat16):
            other, its = given(dtype=dtype)
            assert its(other).dtype == dtype
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert layer(hidden).dtype == torch.bfloat16
    assert not made


def test_other_processors_keep_what_they_have(made, monkeypatch):
    monkeypatch.setattr(products, "_pays", lambda: False)
    hidden, layer = given()
    with faster_products():
        layer(hidden)
    assert not made


def test_a_model_of_transformers_gets_them_for_its_rows(made):
    model = llama().float()
    expected = completion_rows(model.double(), batch()).hidden
    assert not made
    torch.testing.assert_close(
        completion_rows(model.float(), batch()).hidden, expected.float(), rtol=1e-4, atol=1e-4
    )
    assert len(made) > 7
