# %% [markdown]
# ### Bug 10: a model that does not stop
#
# `bug-10` · difficulty 2/5 · about 10 minutes · 3 points
#
# **What it is for.** Labels for fine-tuning. `input_ids` (B, T) hold prompt and completion of each row, right padded with `pad_id`; `attention_mask` (B, T) is 1 on prompt and completion, 0 on padding; `prompt_lengths` (B,) counts the prompt's tokens. The labels are the ids, with −100 on the prompt and on padding, **and nowhere else**. `pad_id` may also occur as a real token: many tokenizers have no pad token, and the end token is taken for it. A completion may hold several turns, each with an end token, or may have been cut off before its end.
#
# **What was seen.** After training the model answers well, and then goes on: it asks itself the next question and answers that, until `max_new_tokens`. The training loss looks as always. With another tokenizer, which has a pad token of its own, the same code trains a model that stops.
#
# Graded: labels (2.5), inputs unchanged (0.5).
#
# Stuck? Run `hint("bug-10")` in a new cell.


# %% nbgrader={"grade": false, "grade_id": "bug-10", "locked": false, "schema_version": 3, "solution": true, "task": false}
def completion_labels(input_ids, attention_mask, prompt_lengths, pad_id):
    """Labels: `input_ids`, with -100 on the prompt and on padding, and nowhere else."""
    ### BEGIN SOLUTION
    ### AS FOUND
    # labels = input_ids.clone()
    # labels[input_ids == pad_id] = -100
    # positions = torch.arange(input_ids.shape[1])
    # labels[positions < prompt_lengths[:, None]] = -100
    # return labels
    ### MENDED
    labels = input_ids.clone()
    labels[attention_mask == 0] = -100  # the place says what is padding; the id may be a real end token
    positions = torch.arange(input_ids.shape[1])
    labels[positions < prompt_lengths[:, None]] = -100
    return labels
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "test-bug-10", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
from course_utils.checks import check

check("bug-10", completion_labels)
### BEGIN HIDDEN TESTS
from course_utils.checks import grade

grade("bug-10", completion_labels)
### END HIDDEN TESTS
