# %% [markdown]
# ### Bug 17: rare words from a sharp sampler
#
# `bug-17` · difficulty 3/5 · about 15 minutes · 3 points
#
# **What it is for.** Top-p (nucleus) sampling (Holtzman et al. 2019). `logits` are (B, V), without ties. The softmax of `logits / temperature` is taken; of each row the smallest set of most likely tokens is kept whose probabilities sum to at least `p` (0 < p ≤ 1); all others get 0; what is kept is scaled to sum to 1. The result is (B, V), **in the order of the vocabulary**.
#
# **What was seen.** Greedy decoding is fine. With sampling at p = 0.9 the model writes words that it holds for next to impossible, and its log-probabilities of its own answers are far below those of any other text. In a unit test with two tokens all is right.
#
# Graded: probabilities (2.5), inputs unchanged (0.5).
#
# Stuck? Run `hint("bug-17")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-17", "locked": false, "schema_version": 3, "solution": true, "task": false}
def nucleus(logits, p, temperature=1.0):
    """The probabilities that top-p sampling draws from: (B, V), in the order of the vocabulary."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # probs, order = torch.softmax(logits / temperature, dim=-1).sort(dim=-1, descending=True)
    # before = probs.cumsum(dim=-1) - probs  # the sum of all that are more likely
    # kept = torch.where(before < p, probs, 0.0)
    # kept = kept / kept.sum(dim=-1, keepdim=True)
    # return kept.gather(-1, order)
    ### MENDED
    probs, order = torch.softmax(logits / temperature, dim=-1).sort(dim=-1, descending=True)
    before = probs.cumsum(dim=-1) - probs  # the sum of all that are more likely
    kept = torch.where(before < p, probs, 0.0)
    kept = kept / kept.sum(dim=-1, keepdim=True)
    # order[k] is where the k-th was taken from, so it must be written there; gather would read from there, once more
    return torch.zeros_like(kept).scatter(-1, order, kept)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-17", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-17", nucleus)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-17", nucleus)
### END HIDDEN TESTS
