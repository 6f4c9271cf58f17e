"""02-dpo-from-scratch: log-probabilities, the loss, a training step."""

EXERCISES = ()
RECALL = ()
