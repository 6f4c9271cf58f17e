"""Small Llama models: made, trained on examples, sampled from, measured against each other, loaded.

Everything here works on any causal language model of `transformers`; the defaults are those of the
text world. `transformers` is imported inside the functions, since it takes seconds.
"""

import math
import os
from pathlib import Path

import torch


def small_model(vocab_size, width=64, layers=2, heads=2, seed=0, max_length=64, special=(0, 1, 2)):
    """A small `LlamaForCausalLM` with random weights and tied embeddings (85,056 parameters for 44 words).

    Args:
        vocab_size: number of tokens.
        width: hidden size; the MLP is twice as wide.
        layers, heads: of the transformer.
        seed: of the initialisation; torch's global generator is left as it was.
        max_length: longest sequence, in tokens.
        special: ids of the padding, begin and end tokens.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    pad, bos, eos = special
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=max_length,
        tie_word_embeddings=True,
        pad_token_id=pad,
        bos_token_id=bos,
        eos_token_id=eos,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def word_tokenizer(vocabulary, pad="<pad>", bos="<bos>", eos="<eos>"):
    """A `transformers` tokenizer for words separated by spaces: token i is `vocabulary[i]`.

    It adds no special tokens of its own.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=pad))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token=pad,
        bos_token=bos,
        eos_token=eos,
        clean_up_tokenization_spaces=False,
    )


def pad_rows(rows, value, side="right"):
    """Rows of different lengths (lists of ints) as one int64 tensor, filled with `value` on one side."""
    width = max(len(row) for row in rows)
    fill = [[value] * (width - len(row)) for row in rows]
    pairs = zip(rows, fill, strict=True)
    return torch.tensor([[*row, *f] if side == "right" else [*f, *row] for row, f in pairs])


def train_on_examples(
    model, prompts, answers, steps, batch_size=64, lr=4e-3, seed=0, pad_id=0, progress=None
):
    """Supervised fine-tuning: next-token cross-entropy on the answers, given the prompts.

    AdamW, 20 steps of warm-up, cosine to 5 % of `lr`, gradient norm clipped at 1. The mean is over
    the answers' tokens of a batch; prompt and padding carry no loss. The model is left in eval mode.

    Args:
        model: trained in place.
        prompts: (N, P) token ids.
        answers: N lists of token ids.
        steps, batch_size, lr: of the training; batches are drawn with replacement.
        seed: of the batches.
        pad_id: what answers are padded with.
        progress: called with (step, loss) after each step, or None.

    Returns:
        The loss of every step, a list of floats.
    """
    if not len(prompts) == len(answers) > 0:
        raise ValueError("prompts and answers: one answer a prompt, and at least one")
    ids = torch.cat([prompts, pad_rows(answers, pad_id)], dim=1)
    labels = torch.cat([torch.full_like(prompts, -100), pad_rows(answers, -100)], dim=1)
    ends = (labels != -100).long().mul(torch.arange(ids.shape[1])).amax(1) + 1
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _warm_cosine(step, steps))
    generator = torch.Generator().manual_seed(seed)
    losses = []
    model.train()
    for step in range(steps):
        rows = torch.randint(len(ids), (batch_size,), generator=generator)
        width = int(ends[rows].max())
        # padding stands on the right, where a causal model never looks: no attention mask is needed
        batch, wanted = ids[rows, :width].to(model.device), labels[rows, :width].to(model.device)
        loss = model(batch, labels=wanted).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if progress:
            progress(step + 1, losses[-1])
    model.eval()
    return losses


def _warm_cosine(step, steps, warm=20, floor=0.05):
    if step < warm:
        return (step + 1) / warm
    share = (step - warm) / max(1, steps - warm)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share))


@torch.no_grad()
def sample(model, prompts, max_new, seed, temperature=1.0, eos_id=2):
    """Sample one response a prompt, token by token, each step on the new token alone (KV cache).

    Args:
        model: a causal language model; its mode is put back afterwards.
        prompts: (N, P) token ids of equal length, not padded.
        max_new: the most tokens a response may have.
        seed: of the draw.
        temperature: divides the logits; 0 takes the likeliest token.
        eos_id: ends a response.

    Returns:
        N lists of token ids, each up to and including its <eos>; without one where `max_new` came first.

    Raises:
        ValueError: the model's logits are nan.
    """
    was_training = model.training
    model.eval()
    generator = torch.Generator(model.device).manual_seed(seed)
    tokens = torch.full((len(prompts), max_new), eos_id, device=model.device)
    rows = torch.arange(len(prompts), device=model.device)  # of which the model still has to read something
    cache, step = None, prompts.to(model.device)
    done = torch.zeros(len(prompts), dtype=torch.bool, device=model.device)
    for position in range(max_new):
        output = model(step, past_key_values=cache, use_cache=True)
        cache, logits = output.past_key_values, output.logits[:, -1].float()
        if temperature == 0:
            token = logits.argmax(-1)
        else:
            # an exponential race, as in torch.multinomial. Rows that have ended draw too, so that no row's
            # draws depend on when the others end
            noise = torch.empty(len(prompts), logits.shape[1], device=model.device)
            noise.exponential_(generator=generator)
            probabilities = (logits / temperature).softmax(-1)
            if probabilities.isnan().any():
                raise ValueError("model: its logits are not numbers, so nothing can be drawn from them")
            token = (probabilities / noise[rows]).argmax(-1)
        tokens[rows, position] = token
        done[rows] |= token == eos_id
        going = ~done[rows]
        if not going.any():
            break
        if going.float().mean() < 0.75:  # most answers are short: those that have ended leave the batch
            left = going.nonzero()[:, 0]
            cache.batch_select_indices(left)
            rows, token = rows[left], token[left]
        step = token[:, None]
    model.train(was_training)
    answers = tokens[:, : position + 1].tolist()
    return [row[: row.index(eos_id) + 1] if eos_id in row else row for row in answers]


@torch.no_grad()
def exact_kl(policy, reference, prompts, responses, pad_id=0):
    """KL(policy || reference) along given responses: the whole distribution at each token, summed over a response.

    Averaged over responses that the policy itself has sampled, this estimates the KL divergence of the
    two sequence distributions, with less noise than the log-ratio of the samples.

    Args:
        policy, reference: causal language models over the same vocabulary.
        prompts: (N, P) token ids of equal length.
        responses: N lists of token ids.
        pad_id: fills short responses; those positions count nothing.

    Returns:
        (N,), in nats.
    """
    ids = torch.cat([prompts, pad_rows(responses, pad_id)], dim=1).to(policy.device)
    counted = pad_rows([[1] * len(row) for row in responses], 0).to(policy.device)
    start = prompts.shape[1] - 1
    p = policy(ids).logits[:, start:-1].float().log_softmax(-1)
    q = reference(ids).logits[:, start:-1].float().log_softmax(-1)
    return ((p.exp() * (p - q)).sum(-1) * counted).sum(-1)


def load_model(name_or_folder, dtype=torch.float32):
    """A causal language model and its tokenizer, from a local folder or by its name on the Hugging Face hub.

    A name is looked up in the local cache first; where it is not there, it is downloaded, unless
    HF_HUB_OFFLINE=1 forbids it. A tokenizer that pads with its <eos>, or has no padding token, gets its
    <unk> for that, if it has one: collators that mask padding by its id would mask the end of an answer.

    Args:
        name_or_folder: a folder that `save_pretrained` wrote, or a name such as "org/model".
        dtype: of the weights.

    Returns:
        (model, tokenizer), the model in eval mode.

    Raises:
        ValueError: if a path is meant and there is no such folder, or the folder holds no model.
        OSError: (from transformers) if a hub name cannot be had.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    name = os.fspath(name_or_folder)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ValueError(f"name_or_folder: {name} holds no config.json, so no model")
        name = str(folder)
    elif isinstance(name_or_folder, Path) or name.startswith((".", "~", "/")) or name.count("/") > 1:
        raise ValueError(f"name_or_folder: there is no folder {name}")
    tokenizer = AutoTokenizer.from_pretrained(name)
    model = AutoModelForCausalLM.from_pretrained(name, dtype=dtype).eval()
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    return model, tokenizer


def save_model(model, tokenizer, folder):
    """Write a model and its tokenizer into a folder that `load_model` reads."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
