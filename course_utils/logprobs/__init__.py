"""Log-probabilities of tokens and sequences under a causal language model: the one place that computes them.

From logits: `token_logprobs`, `sequence_logprob`. From hidden states, without the logits of all rows:
`linear_logprobs`, `chunked_token_logprobs`, and `preference_loss`, which knows the loss too. From a model and a
batch: `score_preferences`, `sequence_logps`, `completion_rows`.
"""

from course_utils.logprobs.linear import chunked_token_logprobs, linear_logprobs
from course_utils.logprobs.model import completion_rows, sequence_logps
from course_utils.logprobs.preference import preference_loss
from course_utils.logprobs.rows import IGNORE
from course_utils.logprobs.scoring import reference_scores, score_preferences
from course_utils.logprobs.tokens import sequence_logprob, token_logprobs

__all__ = [
    "IGNORE",
    "chunked_token_logprobs",
    "completion_rows",
    "linear_logprobs",
    "preference_loss",
    "reference_scores",
    "score_preferences",
    "sequence_logprob",
    "sequence_logps",
    "token_logprobs",
]
