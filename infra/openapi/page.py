"""docs.html from the document: one page without a script that loads nothing, readable on a phone and in the dark.

It says what openapi.json says, nothing more: no text about an operation is written here.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Any

from infra.openapi.components import REF
from memories.fields import ID, NOT_BLANK
from memories.model import ID_LIMIT

Json = dict[str, Any]

STYLE = Path(__file__).with_name("page.css")
HOST = "https://HOST"
METHODS = ("get", "post", "put", "patch", "delete")
_PATTERNS = {
    ID: f"1 to {ID_LIMIT} of <code>A-Z a-z 0-9 _ . -</code>",
    NOT_BLANK: "not blank",
}
"""What is said instead of a regular expression; of others, nothing."""
_CODE = re.compile(r"`([^`]+)`")
_BOLD = re.compile(r"\*\*([^*]+)\*\*")


def page(document: Json) -> str:
    """The whole page."""
    return "\n".join(_Page(document).lines()) + "\n"


class _Page:
    def __init__(self, document: Json) -> None:
        self._document = document
        self._schemas: dict[str, Json] = document["components"]["schemas"]

    def lines(self) -> Iterator[str]:
        info = self._document["info"]
        title, summary = escape(info["title"]), escape(info["summary"])
        yield "<!doctype html>"
        yield '<html lang="en">'
        yield "<head>"
        yield '<meta charset="utf-8">'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
        yield '<meta name="color-scheme" content="light dark">'
        yield f'<meta name="description" content="{summary} The API, operation by operation.">'
        yield f"<title>{title}: API</title>"
        yield f"<style>{STYLE.read_text()}</style>"
        yield "</head>"
        yield "<body>"
        yield '<a class="skip" href="#main">Skip to the content</a>'
        yield f"<header><h1>{title}: API</h1><p>Version {escape(info['version'])} · "
        yield '<a href="openapi.json">openapi.json</a></p></header>'
        yield from self._navigation()
        yield '<main id="main">'
        yield '<section id="about"><h2>How it works</h2>'
        yield from (f"<p>{_text(paragraph)}</p>" for paragraph in info["description"].split("\n\n"))
        yield "</section>"
        for tag in self._document["tags"]:
            yield f'<section id="{_anchor(tag["name"])}"><h2>{escape(tag["name"])}</h2>'
            yield f"<p>{_text(tag['description'])}</p>"
            for path, method, operation in self._operations(tag["name"]):
                yield from self._operation(path, method, operation)
            yield "</section>"
        yield from self._errors()
        yield '<section id="schemas"><h2>Schemas</h2>'
        for name, schema in self._schemas.items():
            if not self._is_loose(name):
                yield from self._schema(name, schema)
        yield "</section>"
        yield "</main>"
        yield "</body>"
        yield "</html>"

    def _operations(self, tag: str) -> Iterator[tuple[str, str, Json]]:
        for path, methods in self._document["paths"].items():
            for method in METHODS:
                if method in methods and tag in methods[method]["tags"]:
                    yield path, method, methods[method]

    def _navigation(self) -> Iterator[str]:
        # Where there is no room beside the text, only the chapters are shown: see page.css.
        yield '<nav aria-label="Contents"><ul>'
        yield '<li><a href="#about">How it works</a></li>'
        for tag in self._document["tags"]:
            name = tag["name"]
            yield f'<li><a href="#{_anchor(name)}">{escape(name)}</a><ul>'
            for _path, method, operation in self._operations(name):
                anchor = operation["operationId"]
                yield f'<li><a href="#{anchor}">{_method(method)} <span>{_text(operation["summary"])}</span></a></li>'
            yield "</ul></li>"
        yield '<li><a href="#errors">Errors</a></li><li><a href="#schemas">Schemas</a></li>'
        yield "</ul></nav>"

    def _operation(self, path: str, method: str, operation: Json) -> Iterator[str]:
        anchor = operation["operationId"]
        shown = re.sub(r"\{(\w+)\}", r"<var>{\1}</var>", escape(path))
        yield f'<article id="{anchor}"><h3><a href="#{anchor}">{_text(operation["summary"])}</a></h3>'
        yield f'<p class="path">{_method(method)} <code>{shown}</code></p>'
        yield f"<p>{_text(operation['description'])}</p>" if operation["description"] else ""
        parameters = [self._resolved(one) for one in operation.get("parameters", [])]
        if parameters:
            yield "<h4>Parameters</h4>"
            rows = ((one, one["schema"], one.get("required", False), f"in {one['in']}") for one in parameters)
            yield from self._table(rows)
        body = operation.get("requestBody")
        if body:
            yield from self._body(body, operation["x-max-body-bytes"])
        yield f"<h4>Example</h4><pre><code>{escape(self._curl(path, method, operation, parameters))}</code></pre>"
        yield from self._answers(operation["responses"])
        yield "</article>"

    def _body(self, body: Json, most: int) -> Iterator[str]:
        yield "<h4>Body</h4>"
        needed = "Required" if body["required"] else "May be left out"
        yield f"<p>{needed}; at most {most >> 20} MiB. {_text(body.get('description', ''))}</p>"
        for media, content in body["content"].items():
            schema = content["schema"]
            name = schema.get("$ref", "").removeprefix(REF)
            yield f"<p><code>{media}</code>: {self._type(schema)}</p>"
            if name:
                yield from self._fields(self._schemas[name])

    def _answers(self, responses: Json) -> Iterator[str]:
        good = {status: one for status, one in responses.items() if "$ref" not in one}
        yield "<h4>Answers</h4>"
        for status, answer in good.items():
            kinds = ", ".join(
                f"{self._type(content['schema'])} <small>{media}</small>"
                for media, content in answer.get("content", {}).items()
            )
            etag = " Says its <code>ETag</code>." if "ETag" in answer["headers"] else ""
            yield f"<p><b>{status}</b> {_text(answer['description'])}{etag} {kinds}</p>"
            for content in answer.get("content", {}).values():
                if "example" in content:
                    yield f"<details><summary>Example of {status}</summary>{_json(content['example'])}</details>"
        yield "<h4>Errors</h4><ul class=errors>"
        for status, one in responses.items():
            if "$ref" in one:
                name = one["$ref"].rpartition("/")[2]
                text = one.get("description") or self._document["components"]["responses"][name]["description"]
                yield f'<li><a href="#error-{name}">{status}</a> <span>{_text(text)}</span></li>'
        yield "</ul>"

    def _errors(self) -> Iterator[str]:
        yield '<section id="errors"><h2>Errors</h2>'
        for name, answer in self._document["components"]["responses"].items():
            ((media, content),) = answer["content"].items()
            example = content["example"]
            status = example["status"]
            yield f'<article id="error-{name}"><h3>{status} {escape(example["title"])}</h3>'
            yield f"<p>{_text(answer['description'])} {self._type(content['schema'])} <small>{media}</small></p>"
            more = [one for one in answer["headers"] if one not in ("X-Request-Id", "Server-Timing")]
            if more:
                yield f"<p>Headers: {', '.join(f'<code>{one}</code>' for one in more)}.</p>"
            yield f"{_json(example)}</article>"
        yield "</section>"

    def _schema(self, name: str, schema: Json) -> Iterator[str]:
        yield f'<article id="schema-{name}"><h3><a href="#schema-{name}">{name}</a></h3>'
        if "description" in schema:
            yield f"<p>{self._linked(schema['description'])}</p>"
        if "enum" in schema:
            yield f"<p>One of {', '.join(f'<code>{escape(str(one))}</code>' for one in schema['enum'])}.</p>"
        yield from self._fields(schema)
        yield "</article>"

    def _fields(self, schema: Json) -> Iterator[str]:
        required = schema.get("required", [])
        rows = (
            ({"name": name, **field}, field, name in required, "")
            for name, field in schema.get("properties", {}).items()
        )
        yield from self._table(rows)

    def _table(self, rows: Iterable[tuple[Json, Json, bool, str]]) -> Iterator[str]:
        lines = [
            f"<tr><th scope=row><code>{escape(row['name'])}</code>{' <em>required</em>' if needed else ''}</th>"
            f"<td>{self._type(schema)}{_limits(schema)}{f' <small>{where}</small>' if where else ''}</td>"
            f"<td>{_text(row.get('description', ''))}</td></tr>"
            for row, schema, needed, where in rows
        ]
        if lines:
            heads = "".join(f"<th scope=col>{name}</th>" for name in ("Name", "Type", "Meaning"))
            yield f"<table><thead><tr>{heads}</tr></thead>"
            yield f"<tbody>{''.join(lines)}</tbody></table>"

    def _type(self, schema: Json) -> str:
        """In words, with links to what has a name."""
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(REF)
            if self._is_loose(name):
                return self._linked(self._schemas[name]["description"].rstrip("."))
            return f'<a href="#schema-{name}">{name}</a>'
        if "anyOf" in schema:
            options = schema["anyOf"]
            if options[0].get("format") == "date-time":
                options = [options[0], *(one for one in options if one.get("type") == "null")]
            return " or ".join(dict.fromkeys(self._type(one) for one in options))
        if schema.get("format") == "date-time":
            return "time" + (" or null" if "null" in schema["type"] else "")
        if schema.get("format") == "uuid":
            return "UUID"
        if "contentMediaType" in schema:
            return "bytes"
        if "const" in schema:
            return f"<code>{escape(json.dumps(schema['const']))}</code>"
        if "enum" in schema:
            return " or ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
        names = {"string": "text", "integer": "whole number", "boolean": "true or false"}
        kinds = schema.get("type", "anything")
        kind, *null = [kinds] if isinstance(kinds, str) else kinds
        told = names.get(kind, kind)
        if kind == "array":
            told = f"list of {self._type(schema['items'])}" if schema.get("items") else "list"
        pattern = _PATTERNS.get(schema.get("pattern", ""))
        return f"{told}{_range(schema)}{f', {pattern}' if pattern else ''}{' or null' if null else ''}"

    def _curl(self, path: str, method: str, operation: Json, parameters: list[Json]) -> str:
        examples = {one["name"]: one["example"] for one in parameters if one["in"] == "path"}
        url = HOST + path.format(**examples)
        query = "&".join(
            f"{one['name']}={_QUERIES[one['name']]}"
            for one in parameters
            if one["in"] == "query" and (one.get("required") or one["name"] == "query")
        )
        words = ["curl", url + (f"?{query}" if query else "")]
        if method != "get":
            words[1:1] = ["-X", method.upper()]
        lines = [" ".join(map(shlex.quote, words))]
        security = operation["security"]
        if security[0] == {"ApiKey": []}:
            lines.append('-H "X-API-Key: $MEMORYGRAPH_API_KEY"')
        elif {} not in security:
            lines.append('-H "Authorization: Bearer $ACCESS_TOKEN"')
        body = operation.get("requestBody")
        if body:
            media, content = next(iter(body["content"].items()))
            lines.append(f"-H 'Content-Type: {media}'")
            data = json.dumps(content["example"], indent=2, ensure_ascii=False)
            lines.append(f"-d {shlex.quote(data)}")
        return " \\\n  ".join(lines)

    def _is_loose(self, name: str) -> bool:
        """Whether a schema says only how the names of another one may be written: then that is said in its place."""
        schema = self._schemas[name]
        return "properties" not in schema and "enum" not in schema

    def _linked(self, text: str) -> str:
        """`_text`, where names of schemas are links."""
        return re.sub(
            r"<code>(\w+)</code>",
            lambda name: self._type({"$ref": REF + name[1]}) if name[1] in self._schemas else name[0],
            _text(text),
        )

    def _resolved(self, parameter: Json) -> Json:
        if "$ref" not in parameter:
            return parameter
        found: Json = self._document["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]
        return found


_QUERIES = {"query": "redis+timeout", "since": "2025-01-31T09:15:27Z"}


def _limits(schema: Json) -> str:
    """The default, and how many items a list may have."""
    found = []
    for one in (schema, *schema.get("anyOf", [])):
        if "maxItems" in one:
            least = one.get("minItems")
            found.append(f"{least} to {one['maxItems']:,} items" if least else f"at most {one['maxItems']:,} items")
    if schema.get("default") not in (None, []):
        found.append(f"default <code>{escape(json.dumps(schema['default']))}</code>")
    return f"<small>, {', '.join(found)}</small>" if found else ""


def _range(schema: Json) -> str:
    if "maxLength" in schema:
        return f", at most {schema['maxLength']:,} characters"
    if "maximum" in schema:
        return f", {schema['minimum']:g} to {schema['maximum']:,}"
    return ""


def _json(value: Any) -> str:
    return f"<pre><code>{escape(json.dumps(value, indent=2, ensure_ascii=False), quote=False)}</code></pre>"


def _method(method: str) -> str:
    return f'<span class="method {method}">{method.upper()}</span>'


def _anchor(name: str) -> str:
    return f"tag-{name.lower().replace(' ', '-')}"


def _text(text: str) -> str:
    """Our descriptions: Markdown of two kinds, code and bold."""
    return _BOLD.sub(r"<b>\1</b>", _CODE.sub(r"<code>\1</code>", escape(text, quote=False)))
