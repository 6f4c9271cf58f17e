"""What the trainers share: a LoRA on a causal model, a fixed order of the data, checkpoints, going on after a kill.

`trl` and `peft` are imported inside the functions, since that takes 5 to 10 seconds. On a CPU everything
is float32. On a CUDA device the base model is bfloat16 and trl's own defaults hold (bf16, activation
checkpointing); that way was not tried.
"""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from course_utils.methods.start import batches
from course_utils.testbed.models import load_model
from course_utils.training.quiet import quiet
from course_utils.training.rows import prepared
from course_utils.training.runs import ADAPTER, CHECKPOINTS, RECORD, last_checkpoint, look_at, record, write


@dataclass(frozen=True)
class Recipe:
    """How a LoRA is trained; every field changes the result, so a run goes on only under the same recipe.

    Attributes:
        beta: of the loss.
        lr: of AdamW (no weight decay, gradient norm at most 1), after `warmup` steps constant.
        steps: updates.
        batch_size: rows on one device; KTO's reference point is estimated within these.
        accumulate: batches of each device that make one update.
        r: rank of the LoRA; its scale is 2 (alpha = 2 r), its dropout 0.
        modules: names of the linear layers that get one, a tuple, or "all-linear" (all but the head).
        max_length: longest sequence in tokens; what is longer loses its end.
        seed: of the LoRA's first weights and of the order of the rows.
    """

    beta: float
    lr: float
    steps: int
    batch_size: int
    accumulate: int = 1
    warmup: int = 10
    r: int = 16
    modules: str | tuple = "all-linear"
    max_length: int = 1024
    seed: int = 0

    def __post_init__(self):
        for name in ("beta", "lr"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive and finite, not {getattr(self, name)!r}")
        if self.warmup < 0:
            raise ValueError(f"warmup must not be negative, not {self.warmup!r}")
        for name in ("steps", "batch_size", "accumulate", "r", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)!r}")


@dataclass(frozen=True)
class Training:
    """A finished training.

    Attributes:
        adapter: folder with the LoRA and the tokenizer; `merge_adapter` and `peft` read it.
        history: one dict for every update and every validation, as trl logs them: "step", "loss",
            "rewards/margins", "kl", ..., and "eval_loss", "eval_rewards/margins", ...
        went_on_at: the step of the checkpoint at which this call went on; 0 for a fresh start.
        seconds: that this call took.
    """

    adapter: Path
    history: list
    went_on_at: int
    seconds: float

    def values(self, name):
        """(steps, values) of one logged quantity, two lists."""
        rows = [row for row in self.history if name in row]
        return [row["step"] for row in rows], [row[name] for row in rows]


def train_lora(make, model_name_or_folder, train, validation, output, recipe, own, every, resume, progress):
    """Train a LoRA and keep it in `output`; see `train_kto_lora` for the arguments that it shares.

    The rows are put into their order before they are tokenised: each pass over the data is shuffled anew, and
    only the rows that `steps` updates need are prepared. The trainer then reads them one after the other, so
    that a checkpoint's step says which rows come next.

    Args:
        make: function of (model, tokenizer, rows, validation rows, settings, lora), giving a trainer of trl.
        recipe: a `Recipe`.
        own: settings of this method's own, a dict.
        every: a checkpoint after so many updates.

    Returns:
        A `Training`.
    """
    from transformers import PrinterCallback

    start, output = time.perf_counter(), Path(output).expanduser().resolve()
    if every < 1:
        raise ValueError(f"checkpoint_every must be at least 1, not {every!r}")
    name = str(Path(model_name_or_folder).expanduser())
    name = str(Path(name).resolve()) if Path(name).is_dir() else os.fspath(model_name_or_folder)
    on_cpu = not torch.cuda.is_available()
    with quiet():
        model, tokenizer = load_model(name, torch.float32 if on_cpu else torch.bfloat16)
        rows = _in_order(train, recipe)
        known = record(name, model, rows, recipe, own)
        done = look_at(output, known, resume)
        if done is not None:
            return Training(output / ADAPTER, done, recipe.steps, time.perf_counter() - start)
        held_out = prepared(validation, tokenizer) if validation is not None and len(validation) else None
        trainer = make(
            model,
            tokenizer,
            prepared(rows, tokenizer),
            held_out,
            _settings(output, recipe, every, held_out is not None, on_cpu) | own,
            _lora(recipe),
        )
        _check_tokens(trainer, tokenizer, model)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(_callback(progress))
        checkpoint = last_checkpoint(output)  # there is none unless this run goes on
        trainer.accelerator.wait_for_everyone()  # all have looked at the folder before one writes
        if trainer.accelerator.is_main_process:
            write(output / RECORD, known)
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
        history = [row for row in trainer.state.log_history if "train_runtime" not in row]
        if trainer.accelerator.is_main_process:
            # under another name first: a folder called `adapter` is whole
            partial = output / (ADAPTER + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            trainer.accelerator.unwrap_model(trainer.model).save_pretrained(partial)
            tokenizer.save_pretrained(partial)
            write(output / RECORD, known | {"history": history})
            partial.rename(output / ADAPTER)
        trainer.accelerator.wait_for_everyone()
    went_on_at = int(checkpoint.name.split("-")[1]) if checkpoint else 0
    return Training(output / ADAPTER, history, went_on_at, time.perf_counter() - start)


def _in_order(train, recipe):
    """The rows of all updates, in the order in which they are used; each pass over the data is shuffled anew."""
    devices = int(os.environ.get("WORLD_SIZE", "1"))
    a_step = recipe.batch_size * recipe.accumulate * devices
    if len(train) < a_step:
        raise ValueError(f"train has {len(train)} rows, and one update takes {a_step}")
    order = batches(len(train), a_step, recipe.steps, recipe.seed)
    return train.select([row for step in order for row in step])


def _settings(output, recipe, every, validate, on_cpu):
    """Arguments of trl's configuration."""
    settings = {
        "output_dir": str(output / CHECKPOINTS),
        "max_steps": recipe.steps,
        "per_device_train_batch_size": recipe.batch_size,
        "per_device_eval_batch_size": recipe.batch_size,
        "gradient_accumulation_steps": recipe.accumulate,
        "train_sampling_strategy": "sequential",
        "beta": recipe.beta,
        "max_length": recipe.max_length,
        "learning_rate": recipe.lr,
        "lr_scheduler_type": "constant_with_warmup",
        "warmup_steps": min(recipe.warmup, recipe.steps - 1),
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "seed": recipe.seed,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": every,
        "save_total_limit": 2,
        "eval_strategy": "steps" if validate else "no",
        "eval_steps": every,
        "ddp_find_unused_parameters": False,
        "report_to": "none",
        "disable_tqdm": True,
    }
    if on_cpu:
        settings |= {
            "use_cpu": True,
            "bf16": False,
            "gradient_checkpointing": False,
            "dataloader_pin_memory": False,
        }
    return settings


def _lora(recipe):
    from peft import LoraConfig

    modules = recipe.modules if isinstance(recipe.modules, str) else list(recipe.modules)
    return LoraConfig(
        r=recipe.r, lora_alpha=2 * recipe.r, lora_dropout=0.0, target_modules=modules, task_type="CAUSAL_LM"
    )


def _check_tokens(trainer, tokenizer, model):
    """Raise ValueError where an answer does not end in an end token, or a word became padding."""
    ends = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id not in ends else None
    for i, row in enumerate(trainer.train_dataset):
        ids_of = {k: v for k, v in row.items() if k.endswith("_ids") and not k.startswith("KL")}
        texts = [str(v) for k, v in row.items() if k not in ids_of]
        for column, ids in ids_of.items():
            # a small model may have said "<pad>" itself, so a log can hold that word
            if pad in ids and not any(tokenizer.pad_token in text for text in texts):
                words = tokenizer.decode(ids)
                raise ValueError(f"train: the tokenizer knows not all words of row {i} in order: {words!r}")
            if column != "prompt_ids" and not ends & set(ids):
                raise ValueError(
                    "train: the tokenizer's chat template does not close an answer with an end-of-sequence "
                    f"token, so the model would not learn to stop: {tokenizer.decode(ids)!r}"
                )


def _callback(progress):
    """Reports each update, and has the held-out rows looked at after the last one too."""
    from transformers import TrainerCallback

    class Callback(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == state.max_steps and args.eval_strategy != "no":
                control.should_evaluate = True

        def on_log(self, args, state, control, logs=None, **kwargs):
            if progress and state.is_world_process_zero and "loss" in (logs or {}):
                progress(state.global_step, float(logs["loss"]))

    return Callback()
