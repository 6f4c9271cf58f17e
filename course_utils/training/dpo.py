"""DPO on pairs, with `trl`'s DPOTrainer and a LoRA."""

from course_utils.training.lora import Recipe, train_lora
from course_utils.training.rows import check_pairs


def train_dpo_lora(
    model_name_or_folder,
    train,
    validation,
    output,
    beta=0.1,
    lr=1e-4,
    steps=100,
    batch_size=16,
    checkpoint_every=50,
    resume=False,
    progress=None,
    **recipe,
):
    """DPO (Rafailov et al. 2023, eq. 7) on pairs; the reference is the model with its LoRA switched off.

    Log-probabilities are sums over an answer's tokens, the end of sequence included; the prompt and padding
    count nothing, and the loss is the mean over pairs.

    Args:
        train, validation: `datasets.Dataset`s with columns prompt, chosen and rejected, as
            `course_utils.feedback.to_pairs` makes them; validation may be None.
        batch_size: pairs on one device.
        The others are those of `train_kto_lora`.

    Returns:
        A `Training`; "rewards/margins" in its history is beta times the difference of the log-ratios of
        chosen and rejected, averaged over pairs.

    Raises:
        ValueError, FileExistsError: as for `train_kto_lora`.
    """
    check_pairs("train", train)
    if validation is not None and len(validation):
        check_pairs("validation", validation)
    return train_lora(
        _trainer,
        model_name_or_folder,
        train,
        validation,
        output,
        Recipe(beta, lr, steps, batch_size, **recipe),
        {},
        checkpoint_every,
        resume,
        progress,
    )


def _trainer(model, tokenizer, rows, validation, settings, lora):
    from trl import DPOConfig, DPOTrainer

    return DPOTrainer(
        model=model,
        args=DPOConfig(**settings),
        train_dataset=rows,
        eval_dataset=validation,
        processing_class=tokenizer,
        peft_config=lora,
    )
