"""A whole step of DPO (forward and backward pass, no optimiser) against trl's trainer on the same batch (`make bench`).

The model has the architecture of SmolLM2-135M and random weights; 4 pairs, prompts of 128 tokens, completions
of 64. Every round gives each way its turn, and the table has the medians. Loss and gradient norm of every way are
compared with trl's. The second part draws how a step grows with the prompt's length.
"""

import argparse
import copy
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch

from course_utils.logprobs import (
    completion_rows,
    preference_loss,
    reference_scores,
    score_preferences,
    sequence_logprob,
    sequence_logps,
)
from course_utils.losses import dpo_loss
from course_utils.testbed import models

sys.path.insert(0, str(Path(__file__).parent))
import bench_kernels  # noqa: E402  (a script's neighbour)

BETA = 0.1


def llama(layers=30, width=576, vocabulary=49152, heads=9, kv_heads=3, seed=0):
    """A causal model with random weights; by default SmolLM2-135M's architecture."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=width * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return LlamaForCausalLM(config)


def examples(pairs, prompt, completion, vocabulary, seed=0):
    """Random pairs: dicts "prompt", "chosen", "rejected" of token ids, completions that end with token 2."""
    generator = torch.Generator().manual_seed(seed)

    def draw(length):
        return torch.randint(3, vocabulary, (length,), generator=generator).tolist()

    return [
        {"prompt": draw(prompt), **{side: [*draw(completion - 1), 2] for side in ("chosen", "rejected")}}
        for _ in range(pairs)
    ]


def trl_trainer(policy, reference, rows, vocabulary):
    """DPOTrainer of trl on these rows, and its batch."""
    import datasets
    from trl import DPOConfig, DPOTrainer

    words = ["<pad>", "<s>", "</s>", *(f"w{i}" for i in range(3, vocabulary))]
    tokenizer = models.word_tokenizer(words, "<pad>", "<s>", "</s>")
    columns = {
        name: [
            ("" if name == "prompt" else " ") + " ".join(words[t] for t in row[name] if t != 2)
            for row in rows
        ]
        for name in ("prompt", "chosen", "rejected")
    }
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = DPOTrainer(
            model=policy,
            ref_model=reference,
            args=DPOConfig(
                output_dir=folder,
                report_to="none",
                use_cpu=not torch.cuda.is_available(),
                bf16=False,
                gradient_checkpointing=False,
                save_strategy="no",
                disable_tqdm=True,
                beta=BETA,
                max_length=4096,
            ),
            train_dataset=datasets.Dataset.from_dict(columns),
            processing_class=tokenizer,
        )
    made.current_gradient_accumulation_steps = 1  # `train` would set it
    batch = made.data_collator([made.train_dataset[i] for i in range(len(rows))])
    return made, {name: x.to(policy.device) for name, x in batch.items()}


def ways(policy, reference, trainer, theirs):
    """{name: function that gives the loss}, and the batch as ours is."""
    labels = theirs["input_ids"].masked_fill(theirs["completion_mask"] == 0, -100)
    batch = {n: theirs[n] for n in ("input_ids", "attention_mask")} | {"labels": labels}
    with torch.no_grad():
        cached = batch | {"reference_logps": sequence_logps(reference, batch)}
    chosen, rejected = cached["reference_logps"].chunk(2)
    with_ref = theirs | {"ref_chosen_logps": chosen, "ref_rejected_logps": rejected}

    def trl(given, precomputed):
        trainer.precompute_ref_logps = precomputed
        return trainer.compute_loss(trainer.model, dict(given))

    def plain(given):
        logits = policy(given["input_ids"], attention_mask=given["attention_mask"]).logits
        return dpo_loss(*sequence_logprob(logits, labels).chunk(2), chosen, rejected, BETA).mean()

    def exact(given, ref):
        return dpo_loss(*score_preferences(policy, given, ref), BETA).mean()

    def fast(given, ref):
        rows = completion_rows(policy, given, shared_prompt=True)
        scores = reference_scores(policy, given, ref, shared_prompt=True)
        return preference_loss(
            rows.hidden,
            rows.weight,
            rows.labels,
            rows.sequences,
            scores,
            lambda *args: dpo_loss(*args, BETA),
        )

    return {
        "trl 1.16, online reference": lambda: trl(theirs, False),
        "score_preferences, online": lambda: exact(batch, reference),
        "shared prompt, pair loss, online": lambda: fast(batch, reference),
        "trl 1.16, cached reference": lambda: trl(with_ref, True),
        "all logits, cached": lambda: plain(batch),
        "score_preferences, cached": lambda: exact(cached, None),
        "shared prompt, pair loss, cached": lambda: fast(cached, None),
    }


def one_step(way, model):
    """(seconds, CPU seconds, loss, gradient norm) of one forward and backward pass."""
    model.zero_grad(set_to_none=True)
    bench_kernels._wait()
    start, busy = time.perf_counter(), time.process_time()
    loss = way()
    loss.backward()
    bench_kernels._wait()
    spent = time.perf_counter() - start, time.process_time() - busy
    norm = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
    return *spent, loss.item(), norm.item()


def table(layers, pairs, prompt, completion, rounds):
    """Print the medians of all ways, and how far their losses and gradients are from trl's."""
    policy = llama(layers)
    reference = llama(layers, seed=1).requires_grad_(False).eval()
    vocabulary = policy.config.vocab_size
    trainer, theirs = trl_trainer(
        policy, copy.deepcopy(reference), examples(pairs, prompt, completion, vocabulary), vocabulary
    )
    policy.train()
    found = ways(policy, reference, trainer, theirs)
    runs = {name: [] for name in found}
    for _ in range(rounds):
        for name, way in found.items():
            runs[name].append(one_step(way, policy))
            print(f"  {name}: {runs[name][-1][0]:.1f} s", file=sys.stderr, flush=True)
    print(f"\nDPO step, {layers} layers, {pairs} pairs, prompt {prompt} + completion {completion}, float32")
    print(
        f"  {'':34} seconds   trl's time / this   the same in CPU seconds   loss off by   gradient norm off by"
    )
    for name, steps in runs.items():
        anchor = runs[next(n for n in runs if n.startswith("trl") and n.split()[2] in name)]
        wall, busy = ([statistics.median(x[i] for x in run) for run in (steps, anchor)] for i in (0, 1))
        (*_, loss, norm), (*_, their_loss, their_norm) = steps[0], anchor[0]
        print(
            f"  {name:34} {wall[0]:7.2f} {wall[1] / wall[0]:19.2f} {busy[1] / busy[0]:25.2f}"
            f" {abs(loss - their_loss):13.0e} {abs(norm / their_norm - 1):22.0e}",
            flush=True,
        )


def growth(path, rounds):
    """A picture of a step's seconds over the prompt's length, on a model of four layers."""
    import matplotlib

    matplotlib.use("Agg")
    from course_utils import plots
    from course_utils.preferences import collate_preferences

    policy = llama(4, 384, 8192, 6, 6)
    reference = llama(4, 384, 8192, 6, 6, seed=1).requires_grad_(False)
    lengths = (32, 128, 256, 512)
    curves = {}
    for length in lengths:
        batch = collate_preferences(examples(4, length, 64, 8192), pad_id=0)
        with torch.no_grad():
            batch["reference_logps"] = sequence_logps(reference, batch)
        ref = batch["reference_logps"].chunk(2)

        def plain(batch=batch, ref=ref):
            logits = policy(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            return dpo_loss(*sequence_logprob(logits, batch["labels"]).chunk(2), *ref, BETA).mean()

        named = {"all logits": plain}
        for shared in (False, True):
            name = "score_preferences" + (", shared prompt" if shared else "")
            named[name] = lambda batch=batch, shared=shared: dpo_loss(
                *score_preferences(policy, batch, shared_prompt=shared), BETA
            ).mean()
        best = dict.fromkeys(named, float("inf"))
        for _ in range(rounds):
            for name, way in named.items():
                best[name] = min(best[name], one_step(way, policy)[0])
        for name, seconds in best.items():
            curves.setdefault(name, []).append(seconds)
    fig, ax = plots.figure()
    for name, seconds in curves.items():
        ax.plot(lengths, seconds, marker="o", label=name)
    ax.set(xlabel="tokens of the prompt (completions of 64)", ylabel="seconds per step", ylim=(0, None))
    ax.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=100)
    print(f"\ncost over the prompt's length: {path}")


def main():
    """The table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--completion", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--picture", type=Path, default=Path("build/bench/prompts.png"))
    parser.add_argument("--no-picture", action="store_true")
    args = parser.parse_args()
    print(bench_kernels.machine())
    table(args.layers, args.pairs, args.prompt, args.completion, args.rounds)
    if not args.no_picture:
        growth(args.picture, args.rounds)


if __name__ == "__main__":
    main()
