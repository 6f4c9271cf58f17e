"""Guardrails: bounds that the treatment keeps whatever its votes say; where one breaks, it is rolled back."""

import math
from dataclasses import dataclass

from course_utils.serving.monitor import p95

SURE = 4.0  # standard errors beyond a margin, since the guardrails are looked at again and again


@dataclass(frozen=True)
class Guardrails:
    """How much worse than the control the treatment may be, as shares and a ratio.

    Attributes:
        warnings: points by which its share of answers with a content warning may be higher (0.02 is 2 %).
        failures: points by which its share of prompts whose generation failed may be higher.
        slowdown: how many times the control's p95 latency its own may be.
        least: answers of each variant before anything is concluded; the latest `recent` of each are looked at.
        recent: see there.
        every: seconds between two looks.
    """

    warnings: float = 0.02
    failures: float = 0.02
    slowdown: float = 2.0
    least: int = 100
    recent: int = 1000
    every: float = 10.0

    def __post_init__(self):
        for name in ("warnings", "failures"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {getattr(self, name)}")
        if self.slowdown < 1:
            raise ValueError(f"slowdown must be at least 1, not {self.slowdown}")
        if not 1 <= self.least <= self.recent:
            raise ValueError(f"least must be from 1 to recent = {self.recent}, not {self.least}")
        if self.every <= 0:
            raise ValueError(f"every must be positive, not {self.every}")


@dataclass(frozen=True)
class Tally:
    """What is known of a variant's latest prompts.

    Attributes:
        warned: a bool for each answer, whether it has a content warning.
        latencies: seconds for each answer.
        failed, asked: prompts whose generation failed, of so many.
    """

    warned: list
    latencies: list
    failed: int
    asked: int


def broken(rails, control, treatment):
    """The guardrails that the treatment breaks, {name: a sentence with the numbers}; {} where none.

    A share breaks its bound where it exceeds the control's by more than the margin and, beyond that, by `SURE`
    standard errors (each share with one event and one non-event added, so that none is certain). Latency breaks
    its bound where the p95 does; answers are taken as independent, which users who come again make a little bold.

    Args:
        rails: a `Guardrails`.
        control, treatment: `Tally`s.
    """
    found = {}
    if min(control.asked, treatment.asked) >= rails.least and _exceeds(
        treatment.failed, treatment.asked, control.failed, control.asked, rails.failures
    ):
        found["failures"] = (
            f"failed: {treatment.failed} of {treatment.asked} prompts, control {control.failed} of {control.asked}"
        )
    ours, theirs = len(treatment.warned), len(control.warned)
    if min(ours, theirs) < rails.least:
        return found
    warned, before = sum(treatment.warned), sum(control.warned)
    if _exceeds(warned, ours, before, theirs, rails.warnings):
        found["warnings"] = f"content warnings: {warned} of {ours} answers, control {before} of {theirs}"
    slow, usual = (p95(tally.latencies) for tally in (treatment, control))
    if slow > rails.slowdown * usual:
        found["latency"] = f"p95 latency: {slow:.3g} s, control {usual:.3g} s"
    return found


def _exceeds(events, n, other_events, other_n, margin):
    difference = events / n - other_events / other_n - margin
    rates = (events + 1) / (n + 2), (other_events + 1) / (other_n + 2)
    error = math.sqrt(sum(rate * (1 - rate) / k for rate, k in zip(rates, (n, other_n), strict=True)))
    return difference > SURE * error
