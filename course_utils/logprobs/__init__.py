"""Log-probabilities of tokens and sequences under a causal language model: the one place that computes them.

From logits: `token_logprobs`, `sequence_logprob`. From hidden states, without the logits of all rows:
`linear_logprobs`, `chunked_token_logprobs`, and `preference_loss`, which knows the loss too.
"""

from course_utils.logprobs.linear import chunked_token_logprobs, linear_logprobs
from course_utils.logprobs.preference import preference_loss
from course_utils.logprobs.rows import IGNORE
from course_utils.logprobs.tokens import sequence_logprob, token_logprobs

__all__ = [
    "IGNORE",
    "chunked_token_logprobs",
    "linear_logprobs",
    "preference_loss",
    "sequence_logprob",
    "token_logprobs",
]
