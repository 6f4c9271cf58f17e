"""Who gets which variant of the service."""

import hashlib

from course_utils.words import type_of


def assign_variant(user_id, share, salt=""):
    """The variant of a user: the same in every process, on every machine, at every call.

    The user's place on [0, 1) is the SHA-256 of salt and id; the treatment is given to those below
    `share`. So raising the share only adds users, and another salt shuffles them anew. (Python's own
    hash() of a string is salted anew in every process and would move users at each restart.)

    Args:
        user_id: a str.
        share: from 0 (nobody) to 1 (everybody).
        salt: a str, one for each experiment.

    Returns:
        "treatment" or "control".

    Raises:
        ValueError: `share` is not from 0 to 1; `user_id` or `salt` is no str.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, not {share}")
    for name, text in (("user_id", user_id), ("salt", salt)):
        if not isinstance(text, str):
            raise ValueError(f"{name} must be a str, not {type_of(text)}")
    # the length of the salt stands in front, so that no two (salt, id) make the same text
    digest = hashlib.sha256(f"{len(salt)}:{salt}:{user_id}".encode()).digest()
    place = int.from_bytes(digest[:6], "big") / 2**48  # 48 bits are exact in a float, and never round up to 1
    return "treatment" if place < share else "control"
