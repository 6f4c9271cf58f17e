"""Attention of packed pairs, part by part, against torch's own with the same mask."""

import copy

import pytest
import torch

from course_utils.kernels import products
from course_utils.logprobs import packed_attention, sequence_logps
from course_utils.logprobs.packed_attention import attention, part_by_part
from course_utils.logprobs.packing import packed
from course_utils.preferences import collate_preferences

PAIRS = [
    (list(range(3, 12)), [4, 5, 2], [6, 2]),
    ([7], [2], [8, 9, 4, 2]),
    ([7], [2], [8, 5, 5, 2]),
    ([5, 5], [2], [2]),
]


def batch(pairs=PAIRS):
    return collate_preferences(
        [dict(zip(("prompt", "chosen", "rejected"), pair, strict=True)) for pair in pairs], pad_id=0
    )


def llama(**settings):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=13,
        hidden_size=24,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        **settings,
    )
    return LlamaForCausalLM(config).double()


@pytest.fixture
def calls(monkeypatch):
    """How many groups of rows were computed part by part."""
    seen, rows = [], packed_attention._rows
    monkeypatch.setattr(packed_attention, "_rows", lambda *args: seen.append(args[4]) or rows(*args))
    return seen


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_values_and_gradients_are_those_of_the_masked_kernel(groups, calls):
    inputs, _, lengths = packed(*batch().values(), torch.float64)
    mask, length = inputs["attention_mask"], inputs["input_ids"].shape[1]
    torch.manual_seed(0)
    given = [
        torch.randn(4, heads, length, 8, dtype=torch.float64, requires_grad=True)
        for heads in (6, groups, groups)
    ]
    repeated = [given[0], *(x.repeat_interleave(6 // groups, 1) for x in given[1:])]
    expected = torch.nn.functional.scaled_dot_product_attention(*repeated, attn_mask=mask).transpose(1, 2)
    mask.lengths = lengths
    result, weights = attention(None, *given, mask)
    real = (inputs["position_ids"] > 0) | (
        torch.arange(length) == 0
    )  # a padding token's own row is never looked at
    assert calls == [(9, 2, 1), (1, 0, 3), (2, 0, 0)]  # rows of the same lengths went together
    assert weights is None
    assert not result[~real].any()
    torch.testing.assert_close(result[real], expected[real])
    upstream = torch.randn(expected.shape, dtype=torch.float64) * real[..., None, None]
    for seen, wanted in zip(
        torch.autograd.grad(result, given, upstream),
        torch.autograd.grad(expected, given, upstream),
        strict=True,
    ):
        torch.testing.assert_close(seen, wanted)


def test_a_model_uses_it_for_a_shared_prompt_and_is_left_as_it_was(calls):
    model, given = llama(), batch()
    seen = sequence_logps(model, given, shared_prompt=True)
    assert len(calls) == 3 * 2
    assert model.config._attn_implementation == "sdpa"
    torch.testing.assert_close(
        seen, sequence_logps(model, given), rtol=1e-6, atol=1e-6
    )  # norms are in float32
    assert len(calls) == 3 * 2


def test_the_attention_is_set_back_after_an_error():
    model, mask = llama(), torch.zeros(1, 1, 4, 4)
    with (
        pytest.raises(ZeroDivisionError),
        part_by_part(model.config, mask, [(2, 1, 1)]),
    ):
        assert model.config._attn_implementation == packed_attention.NAME
        raise ZeroDivisionError
    assert model.config._attn_implementation == "sdpa"


def test_long_rows_half_precision_and_dropout_are_left_to_torch(calls, monkeypatch):
    given = batch()
    for model in (llama().bfloat16(), llama(attention_dropout=0.5), llama(attn_implementation="eager")):
        model.train()
        sequence_logps(model, given, shared_prompt=True).sum().backward()
    monkeypatch.setattr(packed_attention, "SHORT", 11)
    sequence_logps(llama(), given, shared_prompt=True)
    assert not calls
    monkeypatch.setattr(packed_attention, "SHORT", 12)
    sequence_logps(llama(), given, shared_prompt=True)
    assert calls


def test_activations_that_are_formed_anew_are_formed_as_they_were(calls, monkeypatch):
    """The backward pass runs outside the contexts: what it forms must be what the forward pass had."""
    monkeypatch.setattr(products, "_pays", lambda: True)
    monkeypatch.setattr(products, "LARGE", 1)
    model, given = llama().float(), batch()
    model.train()
    wanted = sequence_logps(copy.deepcopy(model), given, shared_prompt=True)
    calls.clear()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    seen = sequence_logps(model, given, shared_prompt=True)
    seen.sum().backward()
    assert not calls
    torch.testing.assert_close(seen, wanted, rtol=1e-6, atol=1e-6)
