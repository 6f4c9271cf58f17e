"""Students' text on a page that somebody else opens: feedback and formgrader. Named in nbgrader_config.py."""

import bleach
from bleach.css_sanitizer import CSSSanitizer
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors.sanitize import SanitizeHTML

_TAGS = {
    "a", "b", "blockquote", "br", "code", "dd", "del", "details", "div", "dl", "dt", "em", "h1", "h2", "h3", "h4", "h5",
    "h6", "hr", "i", "img", "li", "ol", "p", "pre", "s", "span", "strong", "sub", "summary", "sup", "table", "tbody",
    "td", "th", "thead", "tr", "ul",
}  # fmt: skip
_CSS = CSSSanitizer(allowed_css_properties=["text-align"])  # what Markdown makes of a table's columns


def harmless_markdown(source):
    """Markdown to HTML in which no script runs and no link leads into one.

    The HTML is cleaned, not the Markdown: a link such as [x](javascript:...) becomes one only when it is rendered.
    """
    html = MarkdownWithMath(renderer=IPythonRenderer(escape=False, exclude_anchor_links=True)).render(source)
    return bleach.clean(
        html, tags=_TAGS, attributes=_attribute, protocols={"http", "https", "mailto"}, css_sanitizer=_CSS
    )


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
