"""The loop closed: the weekly report, the monthly retraining, and what keeps the loop from fooling itself.

`report` and `retrain` are what the commands of the same names call. Both write files that are there whole or not at all,
so a scheduler may call them again after any crash.
"""

from course_utils.iteration.holdout import fresh_holdout, row_fingerprints
from course_utils.iteration.mixing import Mix, mix_votes
from course_utils.iteration.rounds import Ballots, Voters, online_kto_rounds, train_kto_round
from course_utils.iteration.stuffing import Push, capped, common_bigrams, coordinated_users

__all__ = [
    "Ballots",
    "Mix",
    "Push",
    "Voters",
    "capped",
    "common_bigrams",
    "coordinated_users",
    "fresh_holdout",
    "mix_votes",
    "online_kto_rounds",
    "row_fingerprints",
    "train_kto_round",
]
