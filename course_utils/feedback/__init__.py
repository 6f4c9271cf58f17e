"""Feedback logs: simulate, load, clean, split, and bring into the forms that trainers read.

A log is a DataFrame, a row a vote: "conversation_id", "prompt", "response", "user_id" (texts), "feedback"
("thumbs_up" or "thumbs_down"), "timestamp" (datetime) and sometimes "content_warning" (bool). No function
changes the frame that it is given.
"""

from course_utils.feedback.clean import (
    biased_user_posterior,
    clean_feedback,
    flag_biased_users,
    naive_clean,
)
from course_utils.feedback.dialogues import (
    load_hh_rlhf,
    load_messages,
    stream_hh_rlhf,
    stream_messages,
)
from course_utils.feedback.format import kto_weights, to_kto, to_pairs
from course_utils.feedback.loaders import load_feedback, stream_feedback
from course_utils.feedback.pool import prompt_ids, response_ids, response_pool, text_pool
from course_utils.feedback.simulate import simulate_feedback
from course_utils.feedback.split import (
    connected_groups,
    largest_group,
    split_by_time,
    split_by_user,
    split_feedback,
)

__all__ = [
    "biased_user_posterior",
    "clean_feedback",
    "connected_groups",
    "flag_biased_users",
    "kto_weights",
    "largest_group",
    "load_feedback",
    "load_hh_rlhf",
    "load_messages",
    "naive_clean",
    "prompt_ids",
    "response_ids",
    "response_pool",
    "simulate_feedback",
    "split_by_time",
    "split_by_user",
    "split_feedback",
    "stream_feedback",
    "stream_hh_rlhf",
    "stream_messages",
    "text_pool",
    "to_kto",
    "to_pairs",
]
