"""The OpenAPI description as one plain page: it loads nothing from elsewhere, so it shows without internet."""

from html import escape

STYLE = "body{font:16px/1.5 sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}code{background:#eee;padding:0 .2em}td,th{text-align:left;padding:.1rem 1rem .1rem 0;vertical-align:top}h2{margin-top:2.5rem}"


def openapi_page(document):
    """HTML for an OpenAPI document: for each operation its text, the fields it takes, and all its responses.

    Args:
        document: the dict that `/openapi.json` serves.
    """
    title = escape(document["info"]["title"])
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>',
        f'<h1>{title}</h1><p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>',
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _operation(method, path, operation, document)
    return "".join(parts) + "</html>"


def _operation(method, path, operation, document):
    yield f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation.get('description', ''))}</p>"
    if operation.get("security"):
        yield "<p>Needs the header <code>Authorization: Bearer TOKEN</code>.</p>"
    if body := operation.get("requestBody"):
        yield "<p>Takes JSON:</p>" + _fields(body["content"]["application/json"]["schema"], document)
    yield "<table><tr><th scope=col>Status<th scope=col>Meaning<th scope=col>Body</tr>"
    for status, response in operation["responses"].items():
        kinds = ", ".join(_kind(kind, content) for kind, content in response.get("content", {}).items())
        yield f"<tr><td>{escape(str(status))}<td>{escape(response['description'])}<td>{escape(kinds)}</tr>"
    yield "</table>"


def _kind(kind, content):
    """A body in words: the name of its schema, or its media type."""
    reference = content.get("schema", {}).get("$ref")
    return reference.rsplit("/", 1)[-1] if reference else kind


def _fields(schema, document):
    schema = _resolved(schema, document)
    rows = []
    for name, field in schema["properties"].items():
        field = _resolved(field, document)
        limits = [
            f"{key} {value}" for key, value in field.items() if key not in ("title", "type", "description")
        ]
        rows.append(
            f"<tr><td><code>{escape(name)}</code><td>{field['type']}<td>{escape('; '.join(limits))}</tr>"
        )
    return (
        "<table><tr><th scope=col>Field<th scope=col>Type<th scope=col>Limits</tr>"
        + "".join(rows)
        + "</table>"
    )


def _resolved(schema, document):
    """A schema itself, where it is only named."""
    name = schema.get("$ref", "").rsplit("/", 1)[-1]
    return document["components"]["schemas"][name] if name else schema
