# %% [markdown]
# ### Bug 09: the meter of the KL
#
# `bug-09` · difficulty 2/5 · about 10 minutes · 3 points
#
# **What it is for.** How far the policy has gone from the reference: $\mathrm{KL}(\pi\,\|\,\pi_\mathrm{ref})$ of the next token, summed over the whole vocabulary, and averaged over the counted positions of the batch. `logits` and `ref_logits` are (B, T, V), `mask` is bool (B, T), True where a position counts. The result is a scalar with a gradient into `logits`.
#
# **What was seen.** The policy gives one half to a word to which the reference gives one chance in a million, and shares the other half out as the reference would. By hand that is 6.2 nats. The panel shows 0.69, and so does the penalty in the loss.
#
# Graded: values (2), gradient into the policy's logits and inputs unchanged (1).
#
# Stuck? Run `hint("bug-09")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-09", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kl_to_reference(logits, ref_logits, mask):
    """KL(policy || reference) of the next token over the vocabulary, mean over the counted positions."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # logp = F.log_softmax(logits, dim=-1)
    # ref_logp = F.log_softmax(ref_logits, dim=-1)
    # kl = F.kl_div(logp, ref_logp, reduction="none", log_target=True).sum(-1)
    # return (kl * mask).sum() / mask.sum()
    ### MENDED
    logp = F.log_softmax(logits, dim=-1)
    ref_logp = F.log_softmax(ref_logits, dim=-1)
    # F.kl_div(input, target) is KL(target || input): the expectation is taken under its second argument
    kl = F.kl_div(ref_logp, logp, reduction="none", log_target=True).sum(-1)
    return (kl * mask).sum() / mask.sum()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-09", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-09", kl_to_reference)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-09", kl_to_reference)
### END HIDDEN TESTS
