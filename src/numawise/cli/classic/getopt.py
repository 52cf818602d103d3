"""Options as C programs read them: getopt_long(3), with its rules and its words.

The standard library's own `getopt` knows no optional argument (`-s[NODE]`) and says other things when it refuses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

NONE, REQUIRED, OPTIONAL = 0, 1, 2


class Option(NamedTuple):
    """One option. `name` is what it is called in the program; the letter or the words may be missing."""

    name: str
    letter: str = ""
    words: tuple[str, ...] = ()
    """Its long spellings, without dashes."""
    argument: int = NONE


class BadOption(Exception):  # noqa: N818 - reads as what happened
    """What getopt_long(3) would say on standard error, without the program's name."""


class Reader:
    """Reads options one after the other, so that a program can act on each before the next is looked at.

    >>> table = [Option("all", "a", ("all",)), Option("node", "n", ("node",), REQUIRED)]
    >>> reader = Reader(["-an1", "--no=2", "-n", "3", "ls", "-a"], table)
    >>> list(reader), reader.rest
    ([('all', ''), ('node', '1'), ('node', '2'), ('node', '3')], ['ls', '-a'])
    """

    def __init__(self, words: Sequence[str], options: Sequence[Option], *, permute: bool = False) -> None:
        """Prepare to read `words`; `permute`: options may also follow other words, which else end them."""
        self.rest = list(words)
        """What is left: at the end, the words that are no options."""
        self._options = options
        self._permute = permute

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """The name and the argument (empty: none) of each option. Raises BadOption."""
        kept: list[str] = []
        while self.rest:
            word = self.rest[0]
            if word == "--":
                del self.rest[0]
                break
            if not word.startswith("-") or word == "-":
                if not self._permute:
                    break
                kept.append(self.rest.pop(0))
                continue
            del self.rest[0]
            if word.startswith("--"):
                yield self._long(word[2:])
            else:
                yield from self._letters(word[1:])
        self.rest[:0] = kept

    def _letters(self, letters: str) -> Iterator[tuple[str, str]]:
        for place, letter in enumerate(letters):
            option = next((option for option in self._options if option.letter == letter), None)
            if option is None:
                raise BadOption(f"invalid option -- '{letter}'")
            if option.argument == NONE:
                yield option.name, ""
                continue
            value = letters[place + 1 :]
            if not value and option.argument == REQUIRED:
                if not self.rest:
                    raise BadOption(f"option requires an argument -- '{letter}'")
                value = self.rest.pop(0)
            yield option.name, value
            return

    def _long(self, text: str) -> tuple[str, str]:
        given, equals, value = text.partition("=")
        spelled = {word: option for option in self._options for word in option.words}
        starts = [word for word in spelled if word.startswith(given)]
        meant = {spelled[word].name for word in starts}
        if given in spelled:
            option = spelled[given]
        elif len(meant) == 1:
            option = spelled[starts[0]]
        elif meant:
            choices = " ".join(f"'--{word}'" for word in starts)
            raise BadOption(f"option '--{given}' is ambiguous; possibilities: {choices}")
        else:
            raise BadOption(f"unrecognized option '--{given}'")
        word = given if given in spelled else starts[0]
        if option.argument == NONE and equals:
            raise BadOption(f"option '--{word}' doesn't allow an argument")
        if option.argument == REQUIRED and not equals:
            if not self.rest:
                raise BadOption(f"option '--{word}' requires an argument")
            value = self.rest.pop(0)
        return option.name, value
