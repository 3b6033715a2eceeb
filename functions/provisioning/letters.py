"""Mails as text and as HTML, from one template each (mails/NAME.html).

A template is a few paragraphs; its title is the subject. Values are text, or lists of texts for the items of a list;
they are escaped. The text form is made from the same paragraphs, so that both say the same.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

FOLDER = Path(__file__).parent / "mails"
LAYOUT = "layout"

_TITLE = re.compile(r"<title>(.*?)</title>\s*", re.DOTALL)
_LINK = re.compile(r'<a href="(.*?)">(.*?)</a>', re.DOTALL)
_BREAK = re.compile(r"</?(?:p|ul)>")
_TAG = re.compile(r"<[^>]*>")


class LetterRefused(Exception):
    """There is no such template, or a value that it needs is missing; the message says which."""


@dataclass(frozen=True, slots=True)
class Letter:
    subject: str
    text: str
    html: str


def names() -> list[str]:
    """The templates that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.html") if path.stem != LAYOUT)


def write(name: str, data: Mapping[str, Any], site_url: str) -> Letter:
    """The letter that template `name` and `data` make.

    Raises:
        LetterRefused: see there.
    """
    if name not in names():
        raise LetterRefused(f"there is no template {name!r}; there are {', '.join(names())}")
    values = {key: _markup(value) for key, value in data.items()} | {"site": html.escape(site_url)}
    filled = _fill(name, values)
    title = _TITLE.match(filled)
    assert title, f"mails/{name}.html begins with its title"
    body = filled[title.end() :].strip()
    page = _fill(LAYOUT, {"subject": title[1], "body": body, "site": values["site"]})
    return Letter(subject=_plain(title[1]), text=_text(body), html=page)


def _fill(name: str, values: Mapping[str, str]) -> str:
    template = Template((FOLDER / f"{name}.html").read_text(encoding="utf-8"))
    try:
        return template.substitute(values)
    except KeyError as error:
        raise LetterRefused(f"the template {name!r} needs a value for {error.args[0]!r}") from None


def _markup(value: Any) -> str:
    if isinstance(value, list):
        return "".join(f"<li>{html.escape(str(item))}</li>" for item in value)
    return html.escape(str(value))


def _text(body: str) -> str:
    """Paragraphs with an empty line between them; a link is its label and its address."""
    told = _LINK.sub(r"\2: \1", body).replace("<li>", "\n<p>- ").replace("</li>", "")
    paragraphs = (_plain(part) for part in _BREAK.split(told))
    return "\n\n".join(part for part in paragraphs if part) + "\n"


def _plain(markup: str) -> str:
    """On one line, without tags: neither a subject nor a paragraph is broken by a value."""
    return " ".join(html.unescape(_TAG.sub("", markup)).split())
