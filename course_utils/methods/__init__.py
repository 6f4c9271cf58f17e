"""The training loops, each on one screen: one update of DPO, and the methods on the text world."""

from course_utils.methods.constitutional import train_constitutional
from course_utils.methods.meter import Meter
from course_utils.methods.offline import train_dpo, train_ipo, train_kto, train_orpo, train_simpo
from course_utils.methods.online import train_grpo, train_online_dpo, train_ppo
from course_utils.methods.start import Start, make_start
from course_utils.methods.steps import train_step

__all__ = [
    "Meter",
    "Start",
    "make_start",
    "train_constitutional",
    "train_dpo",
    "train_grpo",
    "train_ipo",
    "train_kto",
    "train_online_dpo",
    "train_orpo",
    "train_ppo",
    "train_simpo",
    "train_step",
]
