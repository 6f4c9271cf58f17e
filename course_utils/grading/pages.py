"""Students' text on a page that somebody else opens: feedback and formgrader. Named in nbgrader_config.py."""

import secrets
from html import escape
from urllib.parse import unquote

import bleach
from bleach.css_sanitizer import CSSSanitizer
from jinja2 import pass_context
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors.sanitize import SanitizeHTML

from course_utils.grading.outputs import clean_pictures

_TAGS = {
    "a", "b", "blockquote", "br", "code", "dd", "del", "details", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5",
    "h6", "hr", "i", "img", "li", "ol", "p", "pre", "s", "span", "strong", "sub", "summary", "sup", "table", "tbody",
    "td", "th", "thead", "tr", "ul",
}  # fmt: skip
LONGEST = 20_000  # characters of a cell that is rendered; a hostile one takes the square of its length
_CSS = CSSSanitizer(allowed_css_properties=["text-align"])  # what Markdown makes of a table's columns


@pass_context
def harmless_markdown(context, source):
    """Markdown to HTML in which no script runs and no link leads into one; pictures pasted into the cell are shown.

    The HTML is cleaned, not the Markdown: a link such as [x](javascript:...) becomes one only when it is rendered.
    What is longer than any answer is shown as it was written.
    """
    if len(source) > LONGEST:
        return f"<pre>{escape(source)}</pre>"
    renderer = _Renderer(clean_pictures(context.get("cell", {}).get("attachments")))
    html = MarkdownWithMath(renderer=renderer).render(source)
    html = bleach.clean(
        html, tags=_TAGS, attributes=_attribute, protocols={"http", "https", "mailto"}, css_sanitizer=_CSS
    )
    for address, picture in renderer.shown.items():
        html = html.replace(address, picture)
    return html


class _Renderer(IPythonRenderer):
    """Markdown to HTML, with an address in the place of each pasted picture.

    What the pictures hold is put there after the cleaning, which knows no `data:` that is safe; nobody can guess the
    addresses. A picture is shown once in a cell, so that a page is not larger than its notebook.
    """

    def __init__(self, pictures):
        super().__init__(escape=False, exclude_anchor_links=True)
        self.pictures, self.shown = pictures, {}

    def image(self, text, url, title=None):
        """The HTML of a picture."""
        if not url.startswith("attachment:"):
            return super().image(text, url, title)
        name = unquote(url.removeprefix("attachment:"))
        if name not in self.pictures:
            return f"[the picture {escape(name)} is not there, is no PNG or JPEG, is too large, or is shown above]"
        kind, data = self.pictures.pop(name)
        address = f"https://{secrets.token_hex(16)}.invalid/"
        self.shown[address] = f"data:{kind};base64,{data}"
        return super().image(text, address, title)


def _attribute(tag, name, value):
    if name == "class":  # colours of code; others could lay one thing over another
        return tag == "span" or (tag == "div" and value == "highlight")
    return name in {
        "a": ("href", "title"),
        "img": ("src", "alt", "title"),
        "td": ("style",),
        "th": ("style",),
    }.get(tag, ())


class SanitizeAllButMarkdown(SanitizeHTML):
    """nbconvert's own step for outputs and raw cells; Markdown is `harmless_markdown`'s."""

    def preprocess_cell(self, cell, resources, cell_index):
        """Clean a cell."""
        if cell.cell_type == "markdown":
            return cell, resources
        return super().preprocess_cell(cell, resources, cell_index)
