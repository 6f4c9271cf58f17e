"""Many calls at once."""


def each(function, calls):
    """The results of `function` on each list of arguments."""
    return [function(*args) for args in calls]


def until_one_answers(function, series, kwargs):
    """For each (items, lengths) what `function` gives for the first of the beginnings of these lengths that is not None.

    Returns:
        [(result, length)], (None, None) where all results are None.
    """
    found = []
    for items, lengths in series:
        results = ((function(list(items[:k]), **kwargs), k) for k in lengths)
        found.append(next((one for one in results if one[0] is not None), (None, None)))
    return found


# what all calls together may take at grading, where one call may take ten seconds
each.seconds = until_one_answers.seconds = 40
