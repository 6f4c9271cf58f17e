"""Seeded inputs: the same seed gives the same inputs, on any machine."""

import hashlib

import torch


class Draw:
    """A source of random inputs for one exercise.

    Args:
        seed: the seed of the run (0 for the visible check).
        name: mixed into the seed, so that exercises do not share their inputs.
    """

    def __init__(self, seed, name=""):
        digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
        self._generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def normal(self, *shape, scale=1.0, dtype=torch.float64):
        """Normal numbers with standard deviation `scale`."""
        return (scale * torch.randn(shape, generator=self._generator, dtype=torch.float64)).to(dtype)

    def uniform(self, low, high, *shape, dtype=torch.float64):
        """Uniform numbers between `low` and `high`; a Python float where no shape is given."""
        drawn = low + (high - low) * torch.rand(shape, generator=self._generator, dtype=torch.float64)
        return drawn.to(dtype) if shape else drawn.item()

    def integer(self, low, high):
        """A Python int from `low` to `high`, both included."""
        return int(torch.randint(low, high + 1, (), generator=self._generator))

    def integers(self, low, high, *shape):
        """int64 numbers from `low` to `high`, both included."""
        return torch.randint(low, high + 1, shape, generator=self._generator)

    def probabilities(self, *shape, dtype=torch.float64):
        """Positive numbers that sum to 1 over the last axis."""
        return torch.softmax(self.normal(*shape), dim=-1).to(dtype)

    def logprobs(self, *shape, low=-30.0, high=-1.0, dtype=torch.float64):
        """Sequence log-probabilities, between `low` and `high`."""
        return self.uniform(low, high, *shape, dtype=dtype)

    def permutation(self, n):
        """The numbers 0 to n - 1 in a random order, as a list."""
        return torch.randperm(n, generator=self._generator).tolist()
