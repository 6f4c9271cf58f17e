"""Answers sampled in rounds; the stub answers with the draws themselves."""


class _Salted(str):
    """A prompt whose hash differs from run to run, as that of every text does from one process to the next."""

    __slots__ = ("salt",)

    def __new__(cls, text, salt):
        self = super().__new__(cls, text)
        self.salt = salt
        return self

    def __eq__(self, other):
        return str.__eq__(self, other)

    def __hash__(self):
        return hash((self.salt, str(self)))


def rounds_of(function, plan, group_size):
    """For each (prompts, seed, salt) of a plan the groups of answers, (prompt, draw, draw) each."""

    def sample(prompt, rng):
        return (str(prompt), float(rng.random()), float(rng.random()))

    def run(prompts, seed, salt):
        groups = function([_Salted(p, salt) for p in prompts], sample, group_size, seed)
        return [[tuple(answer) for answer in group] for group in groups]

    return [run(*one) for one in plan]
