"""What the comparisons share: two models, the first update of a loop, a trainer that needs no network."""

import contextlib
import copy
import random
import sys
import tempfile
import warnings
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch

from course_utils.methods.meter import Meter
from course_utils.methods.start import Start
from course_utils.testbed import models, text

PAIRS = 8


class Parity(NamedTuple):
    """Our loss, theirs, and the largest difference between two entries of the gradients, over all parameters."""

    ours: float
    theirs: float
    gradient: float


# --- our side ----------------------------------------------------------------------------------


def policy_and_reference():
    """Two different untrained models, so that no log-ratio is 0."""
    return _model(0), _model(1)


def _model(seed):
    """A small untrained model of the text world, with weights three times as large as usual.

    The usual ones give almost uniform probabilities, with which many a wrong convention would pass.
    """
    model = models.small_model(len(text.VOCABULARY), seed=seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    return model


def moved(policy):
    """A copy of the policy a little way off, as after some updates: random steps of 0.01 in each weight."""
    later, generator = copy.deepcopy(policy), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in later.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator))
    return later


def example_pairs():
    """8 preference pairs of example answers, dicts "prompt", "chosen", "rejected" of token ids."""
    prompts = text.make_prompts(PAIRS, seed=0)
    first, second = (text.example_answers(prompts, seed) for seed in (1, 2))
    return text.label_pairs(prompts, first, second, seed=0)


class Stage(Meter):
    """A meter that hands a loop the policy and the reference, and keeps what is sampled and how it is rewarded.

    Attributes:
        policy, reference: models.
        prompts, responses, rewards: of the last samples: (B, 8), B lists of token ids, (B,).
    """

    def __init__(self, policy, reference):
        super().__init__()
        self.policy, self.reference = policy, reference

    def watch(self, role, model):
        """The stage's own model of that role ("policy" or "reference") in place of the loop's."""
        return getattr(self, role)

    def sample(self, model, prompts, max_new, seed, role="policy"):
        """Samples as the meter draws them."""
        self.prompts, self.responses = prompts, super().sample(model, prompts, max_new, seed, role)
        return self.responses

    def reward(self, prompts, responses):
        """(B,) gold rewards, and 0.01 more from each response to the next, so that no two neighbours are equal."""
        self.rewards = text.gold_rewards(prompts, responses) + 0.01 * torch.arange(len(responses))
        return self.rewards


def first_update(train, stage, *args, **settings):
    """(loss, gradients) of the first update of a training loop, which is kept in place of being made.

    The loop runs as it stands. Only the optimiser is replaced, and the meter, by the stage.

    Args:
        train: a loop of `methods`.
        stage: a `Stage`.
        args, settings: of the loop, after its start.
    """
    kept = []

    def updates(model, lr):
        return lambda loss: kept.append(backward(loss, model))

    start = Start(stage.policy, example_pairs(), text.make_prompts(PAIRS, seed=0))
    with mock.patch.object(sys.modules[train.__module__], "updates", updates):
        train(start, *args, meter=stage, **settings)
    return kept[0]


def backward(loss, model):
    """(loss as a float, {name of parameter: gradient})."""
    model.zero_grad()
    loss.backward()
    return loss.item(), gradients(model)


def gradients(model):
    """{name: a copy of the gradient} of every parameter."""
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def compared(ours, theirs):
    """A `Parity` of two results of `backward`.

    Raises:
        RuntimeError: the two have other parameters, or our gradient is 0 all over, which would show nothing.
    """
    (our_loss, mine), (their_loss, others) = ours, theirs
    if mine.keys() != others.keys():
        raise RuntimeError(f"parameters of one side only: {sorted(mine.keys() ^ others.keys())}")
    if max(gradient.abs().max() for gradient in mine.values()) < 1e-3:
        raise RuntimeError("no gradient to compare")
    return Parity(our_loss, their_loss, max((mine[name] - others[name]).abs().max().item() for name in mine))


# --- trl's side --------------------------------------------------------------------------------


@contextlib.contextmanager
def alone():
    """Without warnings and progress bars; the trainers seed the global generators, which are put back."""
    import datasets
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    states = random.getstate(), np.random.get_state()
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        if bars:
            logging.enable_progress_bar()


@alone()
def trainer(kind, config, columns, policy, reference=None, settings=None, **arguments):
    """A trainer of trl, on the CPU, in float32, on copies of the models.

    Args:
        kind, config: classes of the trainer and its settings.
        columns: {column: list}, the training data as text.
        policy, reference: models. GRPO and RLOO take no reference, they load one from where the policy's
            configuration says that it came from: the reference is put there.
        settings: of the config, beside those that keep it on the CPU and quiet.
        arguments: further ones of the trainer.
    """
    import datasets

    policy = copy.deepcopy(policy)
    with tempfile.TemporaryDirectory() as folder:
        if reference is not None and kind.__name__ in ("GRPOTrainer", "RLOOTrainer"):
            reference.save_pretrained(folder)
            policy.config._name_or_path = folder
        elif reference is not None:
            arguments["ref_model"] = copy.deepcopy(reference)
        made = kind(
            model=policy,
            args=config(
                output_dir=folder,
                report_to="none",
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                save_strategy="no",
                disable_tqdm=True,
                remove_unused_columns=False,
                **(settings or {}),
            ),
            train_dataset=datasets.Dataset.from_dict(columns),
            processing_class=models.word_tokenizer(text.VOCABULARY),
            **arguments,
        )
    made.model.train()
    made.current_gradient_accumulation_steps = 1  # `train` would set it
    return made


@alone()
def computed(made, batch=None):
    """(loss, gradients) of a trainer's `compute_loss`; the batch is all its data through its own collator."""
    if batch is None:
        batch = made.data_collator([made.train_dataset[i] for i in range(len(made.train_dataset))])
    return backward(made.compute_loss(made.model, batch), made.model)


def pair_columns():
    """The pairs as text, as trl wants them."""
    pairs = example_pairs()
    return {
        "prompt": [text.decode(pair["prompt"]) for pair in pairs],
        "chosen": [" " + text.decode(pair["chosen"]) for pair in pairs],
        "rejected": [" " + text.decode(pair["rejected"]) for pair in pairs],
    }
