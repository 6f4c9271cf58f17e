"""The frame of the pages that grading writes: HTML in one file, without any script, that reads in black and white."""

from html import escape

_STYLE = """
body { font-family: sans-serif; font-size: 11pt; color: #000; background: #fff; margin: 2em; max-width: 62em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { border: 1px solid #777; padding: 3px 9px; text-align: left; vertical-align: top; }
p, h1, h2 { overflow-wrap: break-word; }
td.text { overflow-wrap: anywhere; min-width: 9em; }
td.n { text-align: right; white-space: nowrap; }
td.mark { white-space: nowrap; }
h2 { font-size: 1.15em; margin: 1.6em 0 0.4em; }
h2 + table, h2 + p { margin-top: 0.4em; }
.note { border-left: 4px solid #777; padding-left: 0.8em; }
img { max-width: 100%; }
@media (max-width: 40em) { body { margin: 0.8em; } th, td { padding: 2px 5px; } }
"""


def document(title, body):
    """A whole page. `title` is text; `body` is HTML in which everything foreign is escaped."""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{body}</body></html>\n"
    )


def table(head, rows):
    """A table. `head`: column titles as text; `rows`: each the HTML of a row's cells."""
    titles = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        "<table>" + (f"<thead><tr>{titles}</tr></thead>" if head else "") + f"<tbody>{body}</tbody></table>"
    )
