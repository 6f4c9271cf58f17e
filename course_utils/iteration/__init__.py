"""The loop closed: the weekly report, the monthly retraining, and what keeps the loop from fooling itself.

`report` and `retrain` hold what the commands of the same names call. Both write files that are there whole or not at
all, so a scheduler may call them again after any crash. Nothing is imported here: each part needs other libraries.
"""
