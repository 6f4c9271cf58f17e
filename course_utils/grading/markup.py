"""Text of a student's that an instructor's browser will show: made so that no part of it is markup or a program."""

import re

# what begins a tag, a comment or an automatic link; a space behind "<" makes text of it, and changes no formula
_TAG = re.compile(r"<(?=[^\s<=0-9])")
# a link that runs: its scheme, however it is written (entities, breaks and tabs between its letters)
_GAP = r"(?:\s|&(?:#x?0*(?:9|a|d|10|13);?|tab;|newline;))*"
_COLON = r"(?::|&(?:#0*58;?|#x0*3a;?|colon;))"
_SCHEME = re.compile(
    "("
    + "|".join(_GAP.join(_letters) for _letters in ("javascript", "vbscript", "data"))
    + f"){_GAP}{_COLON}(?=\\S)",
    re.IGNORECASE,
)
# a character written by its number could spell either
_NUMBERED = re.compile(r"&(?=#)")


def inert(source):
    """Markdown or raw text that shows as it did, and in which nothing is HTML or a running link."""
    source = _SCHEME.sub(r"\1 : ", _TAG.sub("< ", source))
    return _NUMBERED.sub("& ", source)
