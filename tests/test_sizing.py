"""Sizes worked out from a configuration, against peft's own count and a model that was loaded."""

import pytest
import torch

from course_utils.testbed import models, text
from course_utils.training.sizing import BANDWIDTH, PROJECTIONS, model_card

MISTRAL = {
    "model_type": "mistral",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
}
LLAMA_TIED = {
    "model_type": "llama",
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
}
WITH_BIASES = LLAMA_TIED | {"attention_bias": True, "mlp_bias": True, "num_hidden_layers": 2}
QWEN2 = MISTRAL | {"model_type": "qwen2", "num_hidden_layers": 3, "vocab_size": 1000}
QWEN3 = QWEN2 | {"model_type": "qwen3", "head_dim": 96, "tie_word_embeddings": True}
CONFIGS = [
    pytest.param(MISTRAL, id="mistral-7b"),
    pytest.param(LLAMA_TIED, id="smollm2-135m"),
    pytest.param(WITH_BIASES, id="llama with biases"),
    pytest.param(QWEN2, id="qwen2"),
    pytest.param(QWEN3, id="qwen3"),
]


def _built(config):
    """The model without memory for its weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    made = AutoConfig.for_model(**config)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(made), made


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("r, modules", [(64, PROJECTIONS), (8, ("q_proj", "v_proj"))], ids=["all", "q and v"])
def test_the_counts_are_those_of_peft(config, r, modules):
    from peft import LoraConfig, get_peft_model

    model, made = _built(config)
    parameters = model.num_parameters()
    lora = get_peft_model(model, LoraConfig(r=r, target_modules=list(modules), task_type="CAUSAL_LM"))
    trainable, everything = lora.get_nb_trainable_parameters()
    for given in (config, made):
        card = model_card(given, r, modules)
        assert card.parameters == parameters
        assert card.lora_parameters == trainable
        assert card.lora_share == pytest.approx(trainable / everything, abs=1e-12)


def test_the_figures_of_the_quiz():
    card = model_card(MISTRAL, r=64)
    assert card.parameters == 7_241_732_096
    assert card.lora_parameters == 167_772_160
    assert f"{card.lora_share:.3%}" == "2.264%"
    assert f"{card.lora_share_of_base:.3%}" == "2.317%"
    assert card.weight_bytes("bfloat16") == 14_483_464_192
    seconds = {name: card.seconds_at_least(256, bandwidth) for name, bandwidth in BANDWIDTH.items()}
    assert seconds["A100-80"] == pytest.approx(1.8, abs=0.05)
    assert seconds["H100"] == pytest.approx(1.1, abs=0.05)
    assert seconds["H200"] == pytest.approx(0.77, abs=0.005)
    assert card.tokens_per_second_at_most(BANDWIDTH["A100-80"]) == pytest.approx(1 / 7.1e-3, rel=0.01)
    # 8 key-value heads of 128 numbers, keys and values, 32 layers, 2 bytes
    assert card.kv_bytes_per_token("bfloat16") == 2 * 32 * 8 * 128 * 2
    assert card.training_bytes() == card.weight_bytes() + 16 * card.lora_parameters
    assert card.embedding / card.parameters == pytest.approx(0.018, abs=1e-3)


def test_a_loaded_model_weighs_what_the_card_says():
    model = models.small_model(len(text.VOCABULARY))
    card = model_card(model.config)
    assert card.weight_bytes("float32") == sum(p.numel() * p.element_size() for p in model.parameters())
    cache = model(text.make_prompts(1, 0), use_cache=True).past_key_values
    kept = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert kept == text.PROMPT_LENGTH * card.kv_bytes_per_token("float32")


@pytest.mark.parametrize(
    "config, arguments, named",
    [
        (MISTRAL | {"model_type": "gpt2"}, {}, "model_type"),
        ({"hidden_size": 8}, {}, "intermediate_size"),
        (MISTRAL | {"vocab_size": 0}, {}, "vocab_size"),
        (MISTRAL, {"r": -1}, "r must"),
        (MISTRAL, {"modules": ("lm_head",)}, "lm_head"),
    ],
)
def test_errors_name_what_is_wrong(config, arguments, named):
    with pytest.raises(ValueError, match=named):
        model_card(config, **arguments)
