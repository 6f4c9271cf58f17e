"""Words for messages. Imports nothing, so that whatever is light stays light."""


def type_of(value):
    """A value's type with its article, for a message: "an int", "an ndarray", "a list"."""
    return with_article(type(value).__name__)


def with_article(name):
    """A name with "a" or "an", by how it is spoken."""
    return f"{'an' if name[:1] in 'AEIOaeio' or name.startswith('nd') else 'a'} {name}"
