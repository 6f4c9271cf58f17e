"""A small tokenizer, and an answer cut out with it."""


class Tokens:
    """A small tokenizer: words are tokens; decoding drops <s> and puts one space between words."""

    bos = 0

    def __init__(self, words):
        self.words = words

    def encode(self, text):
        """Token ids, with <s> in front where the text does not begin with it."""
        ids = [self.words.index(word) for word in text.split()]
        return ids if ids[:1] == [self.bos] else [self.bos, *ids]

    def decode(self, ids, skip_special_tokens=False):
        """The text of token ids."""
        words = [self.words[int(i)] for i in ids]
        return " ".join(w for w in words if not (skip_special_tokens and w in ("<s>", "</s>")))


def vocabulary(texts):
    """The words of a tokenizer that knows these texts."""
    words = dict.fromkeys(word for text in texts for word in text.split())
    return ["<s>", "</s>", *(word for word in words if word not in ("<s>", "</s>"))]


def cut(function, words, prompt, ids):
    """What a function makes of a tokenizer, a prompt and the ids of prompt and answer."""
    return function(Tokens(words), prompt, ids)
