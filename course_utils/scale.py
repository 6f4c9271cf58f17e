"""The one dial: COURSE_SCALE says how much an experiment computes, never what a check asks."""

import os

SCALES = ("fast", "default", "full")


def scale():
    """The scale in force: "fast" (CI, grading), "default" (a laptop) or "full" (more seeds, a GPU).

    Raises:
        ValueError: if COURSE_SCALE holds another word.
    """
    name = os.environ.get("COURSE_SCALE") or "default"
    if name not in SCALES:
        raise ValueError(f"COURSE_SCALE is {name!r}; it must be one of {', '.join(SCALES)}")
    return name


def at_scale(fast, default, full=None):
    """Of three settings of an experiment, the one for the scale in force (`full` falls back to `default`)."""
    return {"fast": fast, "default": default, "full": default if full is None else full}[scale()]
