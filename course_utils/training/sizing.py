"""What a model weighs and how fast it can be at best, worked out from its configuration alone.

Sizes are exact for decoders of the families below; times are bounds, not measurements.
"""

from dataclasses import dataclass

# Bytes of a number.
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}
# Memory bandwidth in bytes a second, from the data sheets of NVIDIA's SXM modules.
BANDWIDTH = {"A100-80": 2.039e12, "H100": 3.35e12, "H200": 4.8e12}
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# Families with RMS norms, rotary positions, and those seven projections in a layer.
FAMILIES = ("llama", "mistral", "qwen2", "qwen3")


@dataclass(frozen=True)
class ModelCard:
    """A model's sizes.

    Attributes:
        parameters: of the base; tied embeddings count once.
        embedding: of the input table, which generation does not read as a whole, when it is not tied.
        lora_parameters: of a LoRA, 0 without one.
        kv_numbers_per_token: numbers that the cache keeps for one token of one sequence.
    """

    parameters: int
    embedding: int
    lora_parameters: int
    kv_numbers_per_token: int

    @property
    def lora_share(self):
        """The LoRA's share of base and LoRA together: what peft prints as "trainable%", over 100."""
        return self.lora_parameters / (self.parameters + self.lora_parameters)

    @property
    def lora_share_of_base(self):
        """The LoRA's parameters over the base's."""
        return self.lora_parameters / self.parameters

    def weight_bytes(self, dtype="bfloat16"):
        """Bytes of the base's weights."""
        return self.parameters * BYTES[dtype]

    def kv_bytes_per_token(self, dtype="bfloat16"):
        """Bytes of the key-value cache for one token of one sequence."""
        return self.kv_numbers_per_token * BYTES[dtype]

    def training_bytes(self, dtype="bfloat16"):
        """Bytes for a LoRA's training without activations: the frozen base in `dtype`, and for each of the LoRA's
        parameters weight, gradient and AdamW's two averages in float32. No second model: the reference is
        the base with the LoRA off."""
        return self.weight_bytes(dtype) + 16 * self.lora_parameters

    def seconds_at_least(self, tokens, bandwidth, dtype="bfloat16"):
        """The least time in which one sequence of so many tokens can be generated, one after the other.

        For each token all weights cross the memory bus once, and nothing else is counted: no cache, no
        arithmetic, no prompt. Only batching (many sequences share one reading), smaller numbers, or speculative
        decoding go below it. The input table is counted although a token needs one row of it, when
        it is not tied: for a Mistral-7B that is 1.8 %.

        Args:
            tokens: to generate.
            bandwidth: of the memory, bytes a second, such as BANDWIDTH["H100"].
            dtype: of the weights.
        """
        return tokens * self.weight_bytes(dtype) / bandwidth

    def tokens_per_second_at_most(self, bandwidth, dtype="bfloat16"):
        """Tokens a second of a single sequence at most; see `seconds_at_least`."""
        return 1 / self.seconds_at_least(1, bandwidth, dtype)


def model_card(config, r=0, modules=PROJECTIONS):
    """Sizes of a decoder from its configuration; nothing is loaded.

    A linear layer of n inputs and m outputs gets a LoRA of r (n + m) numbers (Hu et al. 2021, section 4.1).

    Args:
        config: a dict with the keys of a `config.json`, or a `transformers` configuration, of one of FAMILIES.
        r: rank of the LoRA; 0 for none.
        modules: names of the projections that get one.

    Returns:
        A `ModelCard`.

    Raises:
        ValueError: another family, a missing key, an unknown module, a negative rank.
    """
    get = config.get if isinstance(config, dict) else lambda key, default=None: getattr(config, key, default)
    family = get("model_type", "llama")
    if family not in FAMILIES:
        raise ValueError(f"config: model_type {family!r} is not one of {', '.join(FAMILIES)}")
    if unknown := [name for name in modules if name not in PROJECTIONS]:
        raise ValueError(f"modules: {unknown[0]!r} is not one of {', '.join(PROJECTIONS)}")
    if r < 0:
        raise ValueError(f"r must not be negative, not {r!r}")

    def size(key):
        value = get(key)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"config: {key} must be a positive whole number, not {value!r}")
        return value

    width, inner, layers = size("hidden_size"), size("intermediate_size"), size("num_hidden_layers")
    heads, vocabulary = size("num_attention_heads"), size("vocab_size")
    kv_heads = get("num_key_value_heads") or heads
    head = get("head_dim") or width // heads
    queries, keys = heads * head, kv_heads * head
    shapes = dict(
        zip(
            PROJECTIONS,
            [
                (width, queries),
                (width, keys),
                (width, keys),
                (queries, width),
                (width, inner),
                (width, inner),
                (inner, width),
            ],
            strict=True,
        )
    )
    layer = sum(n * m for n, m in shapes.values()) + 2 * width  # and the norms before attention and MLP
    if family == "qwen2":  # its queries, keys and values always have biases
        layer += queries + 2 * keys
    elif get("attention_bias", False):
        layer += queries + 2 * keys + width
    if get("mlp_bias", False):
        layer += 2 * inner + width
    if family == "qwen3":  # norms of each query's and key's head
        layer += 2 * head
    embedding = vocabulary * width
    tied = bool(get("tie_word_embeddings", False))
    return ModelCard(
        parameters=layers * layer + width + embedding * (1 if tied else 2),
        embedding=0 if tied else embedding,
        lora_parameters=layers * r * sum(sum(shapes[name]) for name in modules),
        kv_numbers_per_token=2 * layers * keys,
    )
