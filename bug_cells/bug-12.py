# %% [markdown]
# ### Bug 12: the cached reference
#
# `bug-12` · difficulty 2/5 · about 10 minutes · 3 points
#
# **What it is for.** Reference log-probabilities for DPO are computed once and kept, since the reference does not change. `pairs` is a list of different tuples (prompt, chosen, rejected), in which prompts can repeat; `reference(pair)` is slow and gives a number. The function gives the batches of all epochs, a list of (batch of pairs, the reference's values of these pairs). Each epoch has every pair once, in a **new random order** drawn from `seed`; its last batch may be smaller. The reference is called once for each pair, whatever the number of epochs.
#
# **What was seen.** With the cache the run is a third faster. Its loss starts at 4.1 instead of log 2 = 0.69, which was put down to "a hard data set", and the margins of the trained model do not predict which answer people like.
#
# Graded: each pair has the reference's value of its own (2), a new order each epoch, one call a pair, and pairs unchanged (1).
#
# Stuck? Run `hint("bug-12")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-12", "locked": false, "schema_version": 3, "solution": true, "task": false}
def batches_with_reference(pairs, reference, batch_size, epochs, seed):
    """Batches of all epochs: a list of (batch of pairs, the reference's values of these pairs)."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # values = [reference(pair) for pair in pairs]
    # rng, batches = random.Random(seed), []
    # order = list(pairs)
    # for _ in range(epochs):
    #     rng.shuffle(order)
    #     for i in range(0, len(order), batch_size):
    #         batches.append((order[i : i + batch_size], values[i : i + batch_size]))
    # return batches
    ### MENDED
    rows = [(pair, reference(pair)) for pair in pairs]  # a value travels with its pair
    rng, batches = random.Random(seed), []
    for _ in range(epochs):
        rng.shuffle(rows)
        for i in range(0, len(rows), batch_size):
            batch = rows[i : i + batch_size]
            batches.append(([pair for pair, _ in batch], [value for _, value in batch]))
    return batches
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-12", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-12", batches_with_reference)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-12", batches_with_reference)
### END HIDDEN TESTS
