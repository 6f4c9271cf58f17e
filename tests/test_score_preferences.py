"""Scores of a batch of pairs under small models of `transformers`: against their own logits, by every way."""

import copy

import pytest
import torch

from course_utils.kernels import tiles
from course_utils.logprobs import (
    completion_rows,
    preference_loss,
    score_preferences,
    sequence_logprob,
    sequence_logps,
)
from course_utils.losses import dpo_loss
from course_utils.preferences import collate_preferences

VOCABULARY = 61
PAIRS = [([5, 6, 7], [8, 9, 2], [10, 2]), ([11, 12], [13, 2], [14, 15, 16, 17, 2]), ([3], [4], [2])]


def llama(seed=0, attention="sdpa", **settings):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        pad_token_id=0,
        attn_implementation=attention,
        **settings,
    )
    return larger(LlamaForCausalLM(config))


def gpt2(seed=0, attention="sdpa"):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=64,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        attn_implementation=attention,
    )
    return larger(GPT2LMHeadModel(config))


def gemma(seed=0):
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(seed)
    config = Gemma2Config(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        sliding_window=64,
        final_logit_softcapping=1.0,
    )
    return larger(Gemma2ForCausalLM(config))


def larger(model):
    """Weights three times as large as usual, in float64: usual ones give almost uniform probabilities."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    return model.double()


def adapted(seed=0):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(llama(seed), LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    return model


def batch(side="right", extra=0, pairs=PAIRS):
    made = collate_preferences(
        [dict(zip(("prompt", "chosen", "rejected"), pair, strict=True)) for pair in pairs], pad_id=0
    )
    fill = {"input_ids": 0, "attention_mask": 0, "labels": -100}
    made = {name: torch.cat([x, x.new_full((len(x), extra), fill[name])], dim=1) for name, x in made.items()}
    if side == "left":
        shifts = (made["attention_mask"] == 0).sum(1).tolist()
        made = {
            name: torch.stack([row.roll(shift) for row, shift in zip(x, shifts, strict=True)])
            for name, x in made.items()
        }
    return made


def from_logits(model, given, average=False):
    logits = model(given["input_ids"], attention_mask=given["attention_mask"]).logits
    return sequence_logprob(logits, given["labels"], average)


@pytest.fixture(params=["logits", "rows"])
def way(request, monkeypatch):
    """Small logits are taken as the model gives them; without that, every batch goes row by row."""
    if request.param == "rows":
        monkeypatch.setitem(tiles.BUFFER_BYTES, "cpu", 0)
    return request.param


def assert_close(seen, expected, tolerance=1e-6):
    """Llama's norms go through float32, so that the order of its sums shows."""
    torch.testing.assert_close(seen, expected, rtol=tolerance, atol=tolerance)


def gradients(value, model):
    return torch.autograd.grad(value, [p for p in model.parameters() if p.requires_grad])


# --- the policy ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [llama, gpt2, gemma])
@pytest.mark.parametrize("average", [False, True])
def test_scores_and_gradients_are_those_of_the_logits(way, make, average):
    model, given = make(), batch()
    seen, expected = sequence_logps(model, given, average=average), from_logits(model, given, average)
    assert_close(seen, expected)
    upstream = torch.linspace(-1, 1, 6, dtype=torch.float64)
    for a, b in zip(gradients(seen @ upstream, model), gradients(expected @ upstream, model), strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize("shared_prompt", [False, True])
@pytest.mark.parametrize(("side", "extra"), [("right", 3), ("left", 0), ("left", 4)])
def test_side_and_amount_of_padding_do_not_matter(way, make, shared_prompt, side, extra):
    model = make()
    seen = sequence_logps(model, batch(side, extra), shared_prompt=shared_prompt)
    assert_close(seen, from_logits(model, batch()))


@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_shared_prompt_gives_the_same_values_and_gradients(make, attention):
    model, given = make(attention=attention), batch()
    seen, expected = sequence_logps(model, given, shared_prompt=True), from_logits(model, given)
    assert_close(seen, expected)
    upstream = torch.linspace(-1, 1, 6, dtype=torch.float64)
    for a, b in zip(gradients(seen @ upstream, model), gradients(expected @ upstream, model), strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("shared_prompt", [False, True])
def test_padding_on_the_right_needs_no_mask(way, shared_prompt):
    model, given = llama(), batch()
    seen = sequence_logps(model, given | {"attention_mask": None}, shared_prompt=shared_prompt)
    assert_close(seen, from_logits(model, given))


def test_any_number_of_rows_will_do_where_nothing_is_shared(way):
    model, given = llama(), batch()
    odd = {name: x[:5] for name, x in given.items()}
    assert_close(sequence_logps(model, odd), from_logits(model, given)[:5])


def test_a_shared_prompt_is_read_once():
    model, read = llama(), []
    model.model.register_forward_hook(lambda module, args, output: read.append(output[0].shape[:2].numel()))
    given = batch(pairs=[(list(range(3, 23)), [2], [4, 2])])
    sequence_logps(model, given)
    sequence_logps(model, given, shared_prompt=True)
    assert read == [2 * 22, 20 + 0 + 1]  # nothing is predicted from the last token of a completion


def test_only_completions_go_through_the_output_layer(monkeypatch):
    monkeypatch.setitem(tiles.BUFFER_BYTES, "cpu", 0)
    rows = completion_rows(llama(), batch())
    assert len(rows.hidden) == len(rows.labels) == sum(len(c) + len(r) for _, c, r in PAIRS)
    assert rows.labels.tolist() == [t for side in (1, 2) for pair in PAIRS for t in pair[side]]
    assert rows.sequences.tolist() == [
        i + 3 * side for side in (0, 1) for i, pair in enumerate(PAIRS) for _ in pair[1 + side]
    ]


@pytest.mark.parametrize("shared_prompt", [False, True])
def test_rows_feed_the_pair_loss(shared_prompt):
    model, given = llama(), batch()
    reference = sequence_logps(llama(1), given).detach()
    rows = completion_rows(model, given, shared_prompt=shared_prompt)
    seen = preference_loss(
        rows.hidden, rows.weight, rows.labels, rows.sequences, reference, dpo_loss, bias=rows.bias
    )
    expected = dpo_loss(*from_logits(model, given).chunk(2), *reference.chunk(2)).mean()
    assert_close(seen, expected)
    for a, b in zip(gradients(seen, model), gradients(expected, model), strict=True):
        assert_close(a, b)


# --- the reference ---------------------------------------------------------------------------


@pytest.mark.parametrize("shared_prompt", [False, True])
def test_a_reference_model_gives_the_third_and_fourth_vector_without_gradient(way, shared_prompt):
    model, reference, given = llama(), llama(1), batch()
    seen = score_preferences(model, given, reference, shared_prompt=shared_prompt)
    expected = *from_logits(model, given).chunk(2), *from_logits(reference, given).chunk(2)
    for a, b in zip(seen, expected, strict=True):
        assert a.shape == (3,)
        assert_close(a, b)
    assert [x.requires_grad for x in seen] == [True, True, False, False]


def test_cached_scores_spare_the_reference(way):
    model, given, calls = llama(), batch(), []
    expected = score_preferences(model, given, llama(1))
    with torch.no_grad():
        cached = given | {"reference_logps": sequence_logps(llama(1), given)}
    model.register_forward_hook(lambda *_: calls.append(1))
    for a, b in zip(score_preferences(model, cached), expected, strict=True):
        assert_close(a, b)
    assert len(calls) == 1


def test_without_a_reference_the_adapter_is_switched_off_and_on_again(way):
    model, given = adapted(), batch()
    seen = score_preferences(model, given)
    expected = *from_logits(model, given).chunk(2), *from_logits(llama(), given).chunk(2)
    for a, b in zip(seen, expected, strict=True):
        assert_close(a, b)
    assert not torch.allclose(seen[0], seen[2])
    assert_close(sequence_logps(model, given), torch.cat(seen[:2]))
    grads = gradients(dpo_loss(*seen).mean(), model)
    for a, b in zip(grads, gradients(dpo_loss(*expected).mean(), model), strict=True):
        assert_close(a, b)


def test_a_reference_runs_without_dropout_and_gets_its_mode_back(way):
    model, reference, given = llama(), llama(1, attention_dropout=0.5), batch()
    expected = from_logits(reference.eval(), given).chunk(2)
    reference.train()
    reference.model.layers[0].eval()
    seen = score_preferences(model, given, reference)
    assert_close(torch.stack(seen[2:]), torch.stack(expected).detach())
    assert reference.training and not reference.model.layers[0].training
    assert reference.model.layers[1].training


def test_averages_are_those_of_both_models(way):
    model, reference, given = llama(), llama(1), batch()
    seen = score_preferences(model, given, reference, average=True)
    expected = from_logits(model, given, True), from_logits(reference, given, True)
    assert_close(torch.cat(seen), torch.cat(expected))


# --- what is refused -------------------------------------------------------------------------


def test_neither_reference_nor_adapter_nor_cache():
    with pytest.raises(ValueError, match="^reference is None"):
        score_preferences(llama(), batch())


@pytest.mark.parametrize("cached", [torch.zeros(3), torch.zeros(6, 1), torch.zeros(6, dtype=torch.int64)])
def test_cached_scores_of_another_shape(cached):
    with pytest.raises(ValueError, match="reference_logps"):
        score_preferences(llama(), batch() | {"reference_logps": cached})


@pytest.mark.parametrize("key", ["input_ids", "attention_mask", "labels"])
def test_a_batch_that_lacks_a_key(key):
    given = batch()
    del given[key]
    with pytest.raises(ValueError, match=f"^batch has no '{key}'"):
        score_preferences(llama(), given, llama(1))


def test_an_odd_number_of_rows_and_a_row_without_completion():
    odd = {name: x[:5] for name, x in batch().items()}
    with pytest.raises(ValueError, match="^batch must have"):
        score_preferences(llama(), odd, llama(1))
    empty = batch()
    empty["labels"][2] = -100
    with pytest.raises(ValueError, match="^labels has a row"):
        score_preferences(llama(), empty, llama(1))


def test_prompts_that_differ_cannot_be_shared():
    given = batch()
    given["input_ids"][4, 0] = 33
    with pytest.raises(ValueError, match="prompts of pair 1 differ"):
        sequence_logps(llama(), given, shared_prompt=True)


def test_a_model_that_cannot_be_given_a_mask_is_refused_for_a_shared_prompt():
    model = llama()
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ValueError, match="^model must take a mask"):
        sequence_logps(model, batch(), shared_prompt=True)


def test_a_model_that_changes_its_logits_is_not_taken_for_a_plain_one(monkeypatch):
    with pytest.raises(ValueError, match="^model has no plain output layer"):
        completion_rows(gemma(), batch())
    model = llama()
    forward = model.forward

    def doubled(*args, logits_to_keep=0, **kwargs):
        output = forward(*args, logits_to_keep=logits_to_keep, **kwargs)
        output.logits = 2 * output.logits
        return output

    monkeypatch.setattr(model, "forward", doubled)
    with pytest.raises(ValueError, match="^model does more"):
        completion_rows(model, batch())


def test_the_batch_is_left_as_it_was(way):
    given = batch("left")
    kept = copy.deepcopy(given)
    score_preferences(llama(), given, llama(1))
    score_preferences(llama(), given, llama(1), shared_prompt=True)
    assert given.keys() == kept.keys() and all(torch.equal(given[name], kept[name]) for name in kept)
