"""Words as other programs read them. Whatever the word, what is read back is the word."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap

from numawise.errors import UsageError

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Names that shells and systemd take for environment variables."""
_WIDTH = 110
_PLAIN_SYSTEMD = re.compile(r"[A-Za-z0-9_./:=,@+-]+")


def comments(lines: Iterable[str]) -> list[str]:
    r"""Comment lines, for every format here that has comments.

    >>> comments(["two\nlines"])
    ['# two', '# lines']
    """
    return [f"# {piece}" for line in lines for part in line.splitlines() for piece in wrap(part, _WIDTH)]


def under_env(env: Mapping[str, str], words: Sequence[str]) -> list[str]:
    """The words, with `env` in front that sets the variables. Raises UsageError for a program that env cannot start.

    >>> under_env({"A": "1"}, ["serve"])
    ['env', 'A=1', 'serve']
    """
    if not env:
        return list(words)
    if "=" in words[0]:
        raise UsageError(
            f"env(1) would take the program {words[0]!r} for a variable; give it a name without ="
        )
    option = ["--"] if any(name.startswith("-") for name in env) else []
    return ["env", *option, *(f"{name}={value}" for name, value in env.items()), *words]


def shell_lines(head: Sequence[str], *lines: Sequence[str]) -> str:
    """One shell command over several lines, the words of each line together."""
    return " \\\n  ".join(shlex.join(words) for words in (head, *lines) if words)


def yaml(text: str) -> str:
    r"""A YAML double-quoted scalar (YAML 1.2, 7.3.1), for any text.

    >>> print(yaml('a "b"\n\x85'))
    "a \"b\"\n\u0085"
    """
    return f'"{_escaped(text)}"'


def yaml_list(words: Iterable[str]) -> str:
    """A YAML flow sequence."""
    return f"[{', '.join(yaml(word) for word in words)}]"


def twice(text: str) -> str:
    """Every dollar twice: how Compose and Kubernetes want one that is no variable of theirs.

    >>> twice("$HOME")
    '$$HOME'
    """
    return text.replace("$", "$$")


def systemd_word(word: str, *, command: bool) -> str:
    r"""A word of ExecStart= (`command`) or Environment=, where a dollar means nothing.

    Sources: systemd.syntax(7) "Quoting", systemd.unit(5) "Specifiers", systemd.service(5) "Command lines".

    >>> systemd_word("50% of $HOME\n", command=True), systemd_word("A=$x", command=False)
    ('"50%% of $$HOME\\n"', '"A=$x"')
    """
    if _PLAIN_SYSTEMD.fullmatch(word):
        return word
    escaped = _escaped(word).replace("%", "%%")
    return f'"{twice(escaped) if command else escaped}"'


def _escaped(text: str) -> str:
    """Between double quotes, as both YAML and systemd read it: C's escapes."""
    return "".join(map(_escape, text))


def _escape(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(letter)
    if short:
        return short
    code = ord(letter)
    # systemd takes \x for a byte, not for a letter, so it only serves below 0x80.
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
