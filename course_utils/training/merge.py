"""A LoRA merged into its base: one folder that `transformers` loads, and any server that reads such folders."""

import json
import shutil
from pathlib import Path

import torch

from course_utils.testbed.models import load_model, save_model
from course_utils.training.quiet import quiet


def merge_adapter(adapter_folder, output, dtype=torch.float32):
    """Add a LoRA's products to the weights of its base and write model and tokenizer into one folder.

    W + (alpha / r) B A takes W's place in each adapted layer, so the merged model costs no more than its base and
    its logits are the adapter's, up to rounding (in bfloat16 that is coarse: merge in float32 and cast what
    is served).

    The folder is written under another name first and renamed at the end: where it is, it is whole.

    Args:
        adapter_folder: as a training leaves it (`Training.adapter`): LoRA, its settings, the tokenizer with its
            chat template. The settings name the base, a folder or a name on the hub.
        output: folder to write; must not exist yet.
        dtype: of the weights.

    Returns:
        `output` as a `Path`.

    Raises:
        ValueError: `adapter_folder` holds no adapter or no tokenizer.
        FileExistsError: `output` exists.
    """
    from peft import PeftModel
    from transformers import AutoTokenizer

    adapter_folder, output = (Path(folder).expanduser() for folder in (adapter_folder, output))
    for file, what in (("adapter_config.json", "adapter"), ("tokenizer_config.json", "tokenizer")):
        if not (adapter_folder / file).is_file():
            raise ValueError(f"adapter_folder: {adapter_folder} holds no {file}, so no {what}")
    if output.exists():
        raise FileExistsError(f"output: {output} exists")
    settings = json.loads((adapter_folder / "adapter_config.json").read_text())
    with quiet():
        base, _ = load_model(settings["base_model_name_or_path"], dtype)
        merged = PeftModel.from_pretrained(base, adapter_folder).merge_and_unload(safe_merge=True)
        tokenizer = AutoTokenizer.from_pretrained(adapter_folder)
        # what pads must be the same for both, or a server's batches differ from the training's
        merged.config.pad_token_id = merged.generation_config.pad_token_id = tokenizer.pad_token_id
        partial = output.with_name(output.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        save_model(merged, tokenizer, partial)
        partial.rename(output)
    return output
