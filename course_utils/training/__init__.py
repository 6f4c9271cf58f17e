"""Training with `trl` and `peft`, in the text world and on real models: votes, pairs, merging, sizes, a gate."""

from course_utils.training.dpo import train_dpo_lora
from course_utils.training.kto import train_kto_lora
from course_utils.training.lora import Recipe, Training
from course_utils.training.merge import merge_adapter
from course_utils.training.rows import save_text_model
from course_utils.training.safety import Rate, release_gate, safety_rates, safety_sets
from course_utils.training.sizing import BANDWIDTH, ModelCard, model_card

__all__ = [
    "BANDWIDTH",
    "ModelCard",
    "Rate",
    "Recipe",
    "Training",
    "merge_adapter",
    "model_card",
    "release_gate",
    "safety_rates",
    "safety_sets",
    "save_text_model",
    "train_dpo_lora",
    "train_kto_lora",
]
