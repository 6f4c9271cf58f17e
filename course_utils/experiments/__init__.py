"""Experiments that are too long for a notebook cell: each module trains or simulates, and returns rows to show."""
