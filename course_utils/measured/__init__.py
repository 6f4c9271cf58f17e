"""Results of runs that take too long for a notebook, kept as JSON beside this file with their provenance.

`make full` runs them anew. A notebook shows them for what they are: measured then and there, not now.
"""

import json
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parent
LIBRARIES = ("torch", "transformers", "trl")


def keep(name, rows, settings, seconds):
    """Write rows of results, one a line, with the settings and what they were run on.

    Args:
        name: of the file, without ".json".
        rows: a list of dicts.
        settings: a dict of what was asked for, as JSON allows it.
        seconds: how long it took, wall-clock.
    """
    provenance = {
        "date": date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": {library: version(library) for library in LIBRARIES},
        "seconds": round(seconds),
        "settings": settings,
    }
    lines = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in rows)
    head = json.dumps(provenance, indent=1, ensure_ascii=False).replace("\n", "\n ")
    (FOLDER / f"{name}.json").write_text(
        f'{{\n "provenance": {head},\n "rows": [\n  {lines}\n ]\n}}\n', encoding="utf-8"
    )


def read(name):
    """(rows as a DataFrame, provenance as a dict) of kept results.

    Raises:
        ValueError: nothing is kept under this name.
    """
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        kept = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json"))) or "nothing"
        raise ValueError(f"name: {name!r} is not kept; there is {kept}")
    found = json.loads(path.read_text(encoding="utf-8"))
    return pd.DataFrame(found["rows"]), found["provenance"]


def told(provenance):
    """Where kept results come from, in a sentence."""
    versions = ", ".join(f"{library} {number}" for library, number in provenance["versions"].items())
    return (
        f"Kept results: {provenance['date']}, {provenance['machine']}, {versions}; "
        f"{provenance['seconds'] / 60:.1f} minutes."
    )
