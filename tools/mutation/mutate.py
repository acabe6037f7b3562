"""Makes plausible faults of a C file: what a slip of whoever wrote it, or of whoever changes it, would look like.

Rules: it works on words of the text, knows no types, and leaves it to the compiler to refuse what makes no sense; what
the preprocessor reads, and the text of strings, stay as they are.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

WORD = re.compile(r"""
    (?P<skip>\s+ | /\*.*?\*/ | //[^\n]* | (?m:^)\#(?:[^\n\\]|\\.)*)
  | (?P<text>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*')
  | (?P<number>\d(?:[\w.]|[eE][+-])*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<sign>->|\+\+|--|<<=|>>=|<<|>>|[<>=!+\-*/%&|^]=|&&|\|\||\.\.\.|.)
""", re.VERBOSE | re.DOTALL)
OTHER_SIGN = {"==": "!=", "!=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">", "&&": "||", "||": "&&", "+": "-",
              "-": "+", "*": "/", "/": "*", "%": "/", "&": "|", "|": "&", "<<": ">>", ">>": "<<", "+=": "-=",
              "-=": "+=", "|=": "&=", "&=": "|=", "++": "--", "--": "++"}
#: Those that are prefixes, too: they are changed only behind an operand.
TWO_SIDED = {"+", "-", "*", "&"}
OPENS, CLOSES = "([{", ")]}"
#: What ends an operand of && or ||, at its own depth.
BOUNDARY = {",", ";", "?", ":", "=", "&&", "||", "return", "{", "}"}
NOT_CALLED = {"if", "while", "for", "switch", "return", "sizeof", "__attribute__", "_Alignas", "defined"}
TYPES = ("unsigned", "int", "long", "char", "void", "bool", "DIR", "FILE", "short", "signed")
WHOLE_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|\d+")


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True)
class Mutation:
    """The bytes start…end of a file become `new`; source: the line."""

    path: Path
    line: int
    source: str
    start: int
    end: int
    old: str
    new: str

    def applied(self, text: str) -> str:
        return text[: self.start] + self.new + text[self.end :]

    @property
    def change(self) -> str:
        return f"{' '.join(self.old.split())} → {' '.join(self.new.split()) or 'nothing'}"


def tokens(source: str) -> list[Token]:
    """The words of the text, without comments, blanks and the preprocessor's lines."""
    found = []
    for match in WORD.finditer(source):
        if match.lastgroup != "skip":
            found.append(Token(str(match.lastgroup), match.group(), match.start()))
    return found


class _File:
    """The tokens of one file, those inside functions, and which bracket belongs to which."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = tokens(source)
        self.partner: dict[int, int] = {}
        self.around: dict[int, int] = {}   # token → the bracket that it stands in
        self.inside = [False] * len(self.tokens)
        self._match()

    def _match(self) -> None:
        stack: list[int] = []
        function = False
        for i, token in enumerate(self.tokens):
            if token.text in OPENS:
                function = function or (not stack and token.text == "{" and self._text(i - 1) == ")")
                stack.append(i)
            elif token.text in CLOSES and stack:
                self.partner[i] = stack.pop()
                self.partner[self.partner[i]] = i
                function = function and bool(stack)
            self.inside[i] = function
            self.around[i] = stack[-1] if stack else -1

    def _text(self, i: int) -> str:
        return self.tokens[i].text if 0 <= i < len(self.tokens) else ""

    def is_operand_before(self, i: int) -> bool:
        """Whether the token before ends an operand; the bracket of a cast does not."""
        if i == 0 or (self.tokens[i - 1].text == ")" and self._is_cast(i - 1)):
            return False
        before = self.tokens[i - 1]
        if before.kind == "name":
            of = self._text(i - 2)
            return not (before.text in (*TYPES, "return", "case", "else") or before.text.endswith("_t")
                        or of in ("struct", "const", "enum"))
        return before.kind in ("number", "text") or before.text in ")]"

    def _is_cast(self, close: int) -> bool:
        words = [t.text for t in self.tokens[self.partner.get(close, close) + 1 : close]]
        before = self._text(self.partner.get(close, 0) - 1)
        is_type = bool(words) and all(re.fullmatch(r"\w+|\*", w) for w in words) and (
            words[-1] == "*" or words[-1].endswith("_t") or words[0] in (*TYPES, "struct", "const", "enum"))
        return is_type and not re.fullmatch(r"\w+", before)

    def end_of(self, i: int, step: int) -> int:
        """The last token of the operand of a logical operator that begins at i and goes on in that direction."""
        last = i
        while 0 <= i < len(self.tokens):
            text = self._text(i)
            if text in BOUNDARY or text in (CLOSES if step > 0 else OPENS):
                return last
            if text in (OPENS if step > 0 else CLOSES):
                i = self.partner.get(i, i)
            last = i
            i += step
        return last


    def begin_of(self, i: int) -> int:
        """The first token of the statement that this one belongs to."""
        while True:
            text = self._text(i)
            if text in ("]", ")") and self._text(self.partner[i] - 1) not in ("if", "while", "for", "switch"):
                i = self.partner[i]
            elif i < 0 or text in (";", "{", "}", ")", "(", "else", ":", ","):
                return i + 1
            i -= 1

    def is_size(self, i: int) -> bool:
        """Whether it says how large an array is: one that is larger is as good."""
        bracket = self.around[i]
        kinds = [token.kind for token in self.tokens[self.begin_of(bracket - 1) : bracket] if token.text != "*"]
        return self._text(bracket) == "[" and any(one == other == "name" for one, other in pairwise(kinds))

    def end_of_statement(self, i: int) -> int:
        """The last token before the semicolon; 0: it ends otherwise."""
        while self._text(i) not in (";", ""):
            if self._text(i) in OPENS:
                i = self.partner[i]
            elif self._text(i) in (*CLOSES, ","):
                return 0
            i += 1
        return i - 1


def _signs(file: _File, i: int) -> Iterator[tuple[int, int, str]]:
    token = file.tokens[i]
    if token.text == "!" or token.text == "~":
        yield i, i, ""
    elif token.text in OTHER_SIGN and (token.text not in TWO_SIDED or file.is_operand_before(i)):
        yield i, i, OTHER_SIGN[token.text]
    if token.text in ("&&", "||"):
        never = "1" if token.text == "&&" else "0"
        yield file.end_of(i - 1, -1), i - 1, never
        yield i + 1, file.end_of(i + 1, 1), never


def _constants(file: _File, i: int) -> Iterator[tuple[int, int, str]]:
    token = file.tokens[i]
    if token.kind == "number" and WHOLE_NUMBER.fullmatch(token.text) and not file.is_size(i):
        yield i, i, f"({token.text} + 1)"
    elif token.text in ("true", "false"):
        yield i, i, "false" if token.text == "true" else "true"
    elif re.fullmatch(r"E[A-Z0-9]{2,}", token.text) and file.tokens[i - 1].text == "-":
        yield i, i, "EDOM" if token.text != "EDOM" else "EPERM"


def _conditions(file: _File, i: int) -> Iterator[tuple[int, int, str]]:
    if file.tokens[i].text not in ("if", "while") or file.tokens[i + 1].text != "(":
        return
    close = file.partner[i + 1]
    condition = file.source[file.tokens[i + 1].start : file.tokens[close].end]
    yield i + 1, close, f"(0 && {condition})"
    if file.tokens[i].text == "if":
        yield i + 1, close, f"(1 || {condition})"


def _calls(file: _File, i: int) -> Iterator[tuple[int, int, str]]:
    """A call that is a statement of its own, what is assigned by a call, and a result that is one."""
    token = file.tokens[i]
    if token.kind != "name" or token.text in NOT_CALLED or file.tokens[i + 1].text != "(":
        return
    close = file.partner[i + 1]
    ends = file.tokens[close + 1].text == ";"
    before = file.tokens[i - 1].text
    if not ends:
        return
    labelled = before == ":" and "case" in (file.tokens[i - 3].text, file.tokens[i - 2].text)
    if before in ("=", "return") or (before == ":" and not labelled):
        yield i, close, "0"
    elif before in (";", "{", "}", ")", "else", "!", ":"):
        first = i
        while file.tokens[first - 1].text in ("!", ")") and first > 1:
            if file.tokens[first - 1].text == ")" and not (file._is_cast(first - 1)):
                break
            first = first - 1 if file.tokens[first - 1].text == "!" else file.partner[first - 1]
        yield first, close, ""


def _assignments(file: _File, i: int) -> Iterator[tuple[int, int, str]]:
    """One that is a statement of its own is forgotten."""
    if file.tokens[i].text not in ("=", "|=", "&=", "+=", "-="):
        return
    first, last = file.begin_of(i - 1), file.end_of_statement(i)
    words = [token.kind for token in file.tokens[first:i] if token.text != "*"]
    declares = any(one == other == "name" for one, other in pairwise(words))
    if last and words and not declares:
        yield first, last, ""


def mutations(path: Path) -> list[Mutation]:
    """All of one file, in the order of its lines."""
    source = path.read_text()
    lines = source.splitlines()
    file = _File(source)
    found: dict[tuple[int, int, str], Mutation] = {}
    for i in range(len(file.tokens) - 1):
        if not file.inside[i]:
            continue
        for makes in (_signs, _constants, _conditions, _calls, _assignments):
            for first, last, new in makes(file, i):
                start, end = file.tokens[first].start, file.tokens[last].end
                line = source.count("\n", 0, file.tokens[i].start) + 1
                old = source[start:end]
                found[start, end, new] = Mutation(path, line, lines[line - 1].strip(), start, end, old, new)
    return sorted(found.values(), key=lambda m: (m.start, m.end, m.new))
