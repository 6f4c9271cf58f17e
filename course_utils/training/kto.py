"""KTO on thumbs, with `trl`'s KTOTrainer and a LoRA."""

from course_utils.arguments import check_positive
from course_utils.training.lora import Recipe, train_lora
from course_utils.training.rows import check_votes


def train_kto_lora(
    model_name_or_folder,
    train,
    validation,
    output,
    weights=(1.0, 1.0),
    beta=0.1,
    lr=1e-4,
    steps=100,
    batch_size=16,
    checkpoint_every=50,
    resume=False,
    progress=None,
    **recipe,
):
    """KTO (Ethayarajh et al. 2024, eq. 8) on single votes; the reference is the model with its LoRA switched off.

    A completion's log-probability is the sum over its tokens, the end of sequence included; the prompt and
    padding count nothing. The reference point z0 is the mean log-ratio of mismatched pairs, each prompt of
    a device's batch with the completion of the row before it, not below 0 and without gradient. It is noisy
    when a batch is small, and accumulating gradients does not help that; two neighbours with the same prompt
    are no mismatched pair, which is rare unless few prompts make up the log.

    Everything random is seeded, and the rows' order is fixed before the training. So a run that was killed
    and goes on (`resume`) ends at the same weights as one that was not, on the same machine and versions.

    Args:
        model_name_or_folder: of a causal language model with its tokenizer; a folder, or a name on the hub.
        train: a `datasets.Dataset` with columns prompt, completion and label (True: thumbs up), as
            `course_utils.feedback.to_kto` makes it. A prompt is a string, or a list of chat messages.
        validation: the same of held-out votes, looked at with every checkpoint, or None. Its loss is no
            measure of quality and no model is chosen by it.
        output: folder for checkpoints, the record of the run, and the adapter.
        weights: (lambda_D, lambda_U), of the desirable and the undesirable votes; see
            `course_utils.feedback.kto_weights`.
        beta: of the loss.
        lr, steps: of AdamW; see `Recipe`. A LoRA takes a higher rate than the whole model would.
        batch_size: votes on one device, at least 2. With n processes an update takes n times as many.
        checkpoint_every: so many updates.
        resume: go on at the newest checkpoint in `output` if there is one, else begin.
        progress: called with (step, loss) after each update, or None.
        recipe: further fields of `Recipe`: accumulate, warmup, r, modules, max_length, seed.

    Returns:
        A `Training`; "rewards/margins" in its history is beta times the mean log-ratio of the desirable
        votes minus that of the undesirable ones.

    Raises:
        ValueError: naming the argument: wrong columns or labels, too few rows for one update, a batch of
            one, weights or settings that are not positive, a word that the tokenizer does not know, a chat
            template that closes no answer, a resumed run that was begun with other data or settings.
        FileExistsError: `output` holds a run and `resume` is False.
    """
    check_votes("train", train)
    if validation is not None and len(validation):
        check_votes("validation", validation)
    if batch_size < 2:
        raise ValueError("batch_size must be at least 2: z0 comes from mismatched pairs within a batch")
    desirable, undesirable = (float(weight) for weight in weights)
    check_positive(**{"weights[0]": desirable, "weights[1]": undesirable})
    return train_lora(
        _trainer,
        model_name_or_folder,
        train,
        validation,
        output,
        Recipe(beta, lr, steps, batch_size, **recipe),
        {"desirable_weight": desirable, "undesirable_weight": undesirable},
        checkpoint_every,
        resume,
        progress,
    )


def _trainer(model, tokenizer, rows, validation, settings, lora):
    from trl import KTOConfig, KTOTrainer

    if validation is not None and len(validation) % settings["per_device_eval_batch_size"] == 1:
        validation = validation.select(range(len(validation) - 1))  # alone in its batch, it has no mismatch
    return KTOTrainer(
        model=model,
        args=KTOConfig(**settings),
        train_dataset=rows,
        eval_dataset=validation or None,
        processing_class=tokenizer,
        peft_config=lora,
    )
