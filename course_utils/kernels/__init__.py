"""Log-probabilities of labels from hidden states, a few rows of logits at a time: the arithmetic.

`head` trains the output layer, `frozen` keeps it, `pairs` knows the loss. They import nothing of the course and
check nothing: `course_utils.logprobs` does, and is what to call.
"""
