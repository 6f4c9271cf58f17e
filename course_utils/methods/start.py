"""What every method starts from on the text world, and what their loops share."""

import copy
from dataclasses import dataclass

import torch

from course_utils.logprobs import IGNORE, sequence_logps
from course_utils.testbed import models, text


@dataclass(frozen=True)
class Start:
    """The same for every method.

    Attributes:
        model: the model after supervised fine-tuning; each method copies it and keeps it as reference.
        pairs: preference pairs, dicts "prompt", "chosen", "rejected" of token ids.
        prompts: (N, 8) token ids, from which on-policy methods draw.
    """

    model: torch.nn.Module
    pairs: list
    prompts: torch.Tensor

    def copy(self):
        """The model, to be trained: a copy of its own, which no meter watches yet."""
        twin = copy.deepcopy(self.model)
        twin._forward_hooks.clear()  # a copy takes the meter's hooks along, and would count twice
        return twin


def make_start(seed, sft_steps=300, pairs=1000, progress=None):
    """A fine-tuned model of the text world, and preference pairs that noisy raters gave to its samples.

    Args:
        seed: of the model, its data and the raters.
        sft_steps: of supervised fine-tuning, 64 answers each.
        pairs: how many; also the number of prompts for on-policy methods.
        progress: called with (step, loss) of the fine-tuning.
    """
    prompts = text.make_prompts(6000, seed)
    model = models.small_model(len(text.VOCABULARY), seed=seed)
    models.train_on_examples(
        model, prompts, text.example_answers(prompts, seed), sft_steps, seed=seed, progress=progress
    )
    prompts = text.make_prompts(pairs, seed=1000 + seed)
    first, second = (models.sample(model, prompts, text.MAX_RESPONSE, 2 * seed + i) for i in (0, 1))
    return Start(model, text.label_pairs(prompts, first, second, seed), prompts)


def copies(start, meter):
    """(policy, reference): a copy of the start to train, and one that is frozen; both watched."""
    reference = start.copy().requires_grad_(False)
    return meter.watch("policy", start.copy()), meter.watch("reference", reference)


def updates(model, lr, warmup=10):
    """A function that takes a loss and makes one AdamW step: no weight decay, warm-up, gradient norm at most 1."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warmup))

    def update(loss):
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()

    return update


def batches(count, size, steps, seed):
    """`steps` batches of row numbers, drawn without replacement; each pass over the data is shuffled anew."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.cat([torch.randperm(count, generator=generator) for _ in range(-(-size * steps // count))])
    return order[: size * steps].view(steps, size).tolist()


def completions(prompts, responses):
    """(ids, labels) of N prompts of equal length with their responses, right padded; -100 where nothing counts."""
    prompts = torch.as_tensor(prompts)
    ids = torch.cat([prompts, models.pad_rows(responses, text.PAD_ID)], dim=1)
    labels = torch.cat([torch.full_like(prompts, IGNORE), models.pad_rows(responses, IGNORE)], dim=1)
    return ids, labels


def scores(model, ids, labels, average=False):
    """(N,) log-probabilities of the responses, summed or averaged over their tokens.

    Padding stands on the right, where a causal model never looks, so no attention mask is needed.
    """
    batch = {"input_ids": ids, "attention_mask": None, "labels": labels}
    return sequence_logps(model, batch, average=average)
