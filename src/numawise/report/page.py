"""A page: one self-contained file that opens anywhere, offline, with or without JavaScript.

Everything a command printed or a person named passes `clean` and is escaped by the template; the page forbids
every outside resource and every script but its own by a content security policy (`templates/base.html.j2`).
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from numawise.report import words

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, *, styles: tuple[str, ...] = ("page.css",), **content: Any) -> str:
    """Fill a template of `templates/` that extends `base.html.j2`.

    Args:
        template: its name.
        styles: style sheets of `templates/`, in order.
        content: what the template names; `kind` and `version`, which the base names, among them.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    script = (_TEMPLATES / "page.js").read_text("utf-8").strip()
    style = "".join((_TEMPLATES / name).read_text("utf-8") for name in styles)
    return environment.get_template(template).render(
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup(style),  # noqa: S704 - our own files
        **content,
    )


def svg(text: str) -> Markup:
    """A drawing of ours as it stands: they escape what they are given, but keep characters HTML cannot hold."""
    return Markup(words.without_controls(text))  # noqa: S704


def _finalize(value: object) -> object:
    return words.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value
