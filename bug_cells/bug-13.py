# %% [markdown]
# ### Bug 13: many small batches for a big one
#
# `bug-13` · difficulty 3/5 · about 15 minutes · 3 points
#
# **What it is for.** A batch that does not fit into memory is cut into micro-batches, whose gradients add up. `model(batch)` gives the loss of each token, (B, T); `batch["mask"]` (B, T) is 1.0 where a token counts and 0.0 elsewhere; micro-batches differ in shape, and one may hold no counted token. Afterwards the gradients of the model's parameters (None before) are to be those of **the mean loss over all counted tokens of all micro-batches together**, and that mean is returned, as a float. The optimiser's step is made elsewhere. One micro-batch's graph is alive at a time: `backward()` comes before the next one is computed.
#
# **What was seen.** The same data in the same order, with 1 × 32 and with 8 × 4 rows a step, give two different models. The one with 8 × 4 is worse on long answers and better on one-word answers. Now and then the loss is `nan`.
#
# Graded: loss and gradient of the big batch (2), a micro-batch without counted tokens (0.5), one graph at a time and batches unchanged (0.5).
#
# Stuck? Run `hint("bug-13")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-13", "locked": false, "schema_version": 3, "solution": true, "task": false}
def accumulate(model, micro_batches):
    """Fill the gradients as one big batch would; return the mean loss over all counted tokens."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # total = 0.0
    # for batch in micro_batches:
    #     mask = batch["mask"]
    #     loss = (model(batch) * mask).sum() / mask.sum() / len(micro_batches)
    #     loss.backward()
    #     total += loss.item()
    # return total
    ### MENDED
    # one divisor for all: a mean of means lets a token in a short micro-batch count more than one in a long one
    counted = sum(batch["mask"].sum() for batch in micro_batches)
    total = 0.0
    for batch in micro_batches:
        loss = (model(batch) * batch["mask"]).sum() / counted
        loss.backward()
        total += loss.item()
    return total
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-13", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-13", accumulate)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-13", accumulate)
### END HIDDEN TESTS
