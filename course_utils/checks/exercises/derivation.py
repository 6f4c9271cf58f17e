"""01-derivation: from the KL-regularised objective to the DPO loss."""

EXERCISES = ()
RECALL = ()
