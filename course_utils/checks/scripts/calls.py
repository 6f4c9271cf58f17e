"""Many calls at once."""


def each(function, calls):
    """The results of `function` on each list of arguments."""
    return [function(*args) for args in calls]
