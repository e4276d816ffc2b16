# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter language of list requests, compiled to a predicate over documents.

Two languages, never mixed (https://cloud.google.com/compute/docs/reference/rest/v1/instances/list,
parameter `filter`; https://google.aip.dev/160):

- `field OP value` with `=`, `!=`, `<`, `<=`, `>`, `>=`, `:`; parentheses, AND, OR (binds tighter
  than AND), NOT or `-`; terms side by side mean AND. `*` in a value is a wildcard, `field:*` asks
  whether the field has a value.
- `field eq regex` and `field ne regex` (RE2, whole field), alone or several in parentheses.

A field is a text, number or boolean of the resource's schema, or a key of a map (`labels.env`).
Google refuses all else: names that the resource does not have, objects, and whatever is in a list
(https://github.com/googleapis/google-api-go-client/issues/1019).

What Google leaves unsaid, decided here: a URL field equals its last segment too (clients write
`machineType = n1-standard-1`); `:` on text means "contains", whatever the case; `labels:env` asks
for a key; `!=` and `ne` are the negations, so they hold for an absent field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from cloudspill_sandbox.compute import documents, refusals
from cloudspill_sandbox.engine.call import Document
from cloudspill_sandbox.engine.errors import ApiError
from cloudspill_sandbox.engine.shapes import Shape

Predicate = Callable[[Document], bool]
_Test = Callable[[Any], bool]

_LONGEST = 2048
_DEEPEST = 50
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<symbol>\(|\)|!=|<=|>=|=|<|>|:)
      | (?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<text>[^\s()=!<>:"']+)
    )""",
    re.VERBOSE,
)
_REGEX_TERM = re.compile(r"\s*(?P<field>[\w.\-]+)\s+(?P<how>eq|ne)\s+(?P<value>.+?)\s*", re.DOTALL)
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""", re.DOTALL)
_WORD_OF_LANGUAGE = re.compile(r"\s(?:AND|OR|eq|ne)\s")
_URL = "https://"


class _SyntaxError(ValueError):
    """The expression is not in the language; the message is a sentence."""


def compile_filter(expression: str, resource: Shape) -> Predicate:
    """Return the predicate of a filter expression.

    Args:
        resource: what the documents are.

    Raises:
        ApiError: 400 as Google words it, when the expression is not in the language, or names what
            the resources cannot be filtered by.
    """
    if len(expression) > _LONGEST:
        raise _refusal(expression, f"Expression is longer than {_LONGEST} characters.")
    try:
        if terms := _regex_terms(expression):
            return _all(
                [_regex_test(_path(field, resource), how, value) for field, how, value in terms]
            )
        return _Parser(expression, resource).parse()
    except _SyntaxError as error:
        raise _refusal(expression, str(error)) from None


def _refusal(expression: str, sentence: str) -> ApiError:
    shown = expression if len(expression) <= 200 else expression[:200] + "…"
    return refusals.invalid_value("filter", shown, f"Invalid list filter expression. {sentence}")


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, expression: str, resource: Shape) -> None:
        self._tokens = list(_tokenize(expression))
        self._resource = resource
        self._at = 0
        self._depth = 0

    def parse(self) -> Predicate:
        predicate = self._conjunction()
        if self._at < len(self._tokens):
            raise _SyntaxError(f"Unexpected {self._tokens[self._at][1]!r}.")
        return predicate

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "end")

    def _take(self) -> tuple[str, str]:
        token = self._peek()
        if token[0] == "end":
            raise _SyntaxError("Unexpected end.")
        self._at += 1
        return token

    def _skip(self, word: str) -> bool:
        if self._peek() == ("text", word):
            self._at += 1
            return True
        return False

    def _conjunction(self) -> Predicate:
        terms = [self._disjunction()]
        while self._peek() != ("symbol", ")") and self._peek()[0] != "end":
            self._skip("AND")
            terms.append(self._disjunction())
        return _all(terms)

    def _disjunction(self) -> Predicate:
        terms = [self._term()]
        while self._skip("OR"):
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else lambda document: any(t(document) for t in terms)

    def _term(self) -> Predicate:
        if self._skip("NOT"):
            return _not(self._term())
        if self._peek() == ("symbol", "("):
            return self._parenthesized()
        if self._skip("-"):
            return _not(self._parenthesized())
        kind, text = self._peek()
        if kind == "text" and text.startswith("-") and len(text) > 1:
            self._tokens[self._at] = ("text", text[1:])
            return _not(self._restriction())
        return self._restriction()

    def _parenthesized(self) -> Predicate:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _SyntaxError("Parentheses are nested too deeply.")
        if self._take() != ("symbol", "("):
            raise _SyntaxError("An opening parenthesis is expected after '-'.")
        predicate = self._conjunction()
        if self._take() != ("symbol", ")"):
            raise _SyntaxError("A closing parenthesis is missing.")
        self._depth -= 1
        return predicate

    def _restriction(self) -> Predicate:
        kind, field = self._take()
        if kind == "symbol" or field in {"AND", "OR"}:
            raise _SyntaxError(f"A field is expected before {field!r}.")
        kind, comparator = self._take()
        if kind != "symbol" or comparator in "()":
            raise _SyntaxError(f"A comparison is expected after {field!r}.")
        kind, value = self._take()
        if kind == "symbol":
            raise _SyntaxError(f"A value is expected after {field!r} {comparator}.")
        path = _path(field, self._resource)
        return _restriction(path, comparator, value, quoted=kind == "quoted")


def _tokenize(expression: str) -> Iterator[tuple[str, str]]:
    """Yield (kind, text); a field with quoted parts (`labels."a.b"`) stays one text each part."""
    at = 0
    while at < len(expression.rstrip()):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise _SyntaxError(f"Unexpected {expression[at:].strip()[:20]!r}.")
        kind = str(match.lastgroup)
        text = match[kind]
        yield kind, (re.sub(r"\\(.)", r"\1", text[1:-1]) if kind == "quoted" else text)
        at = match.end()


def _path(field: str, resource: Shape) -> tuple[str, ...]:
    """Return the names that lead to a field.

    Raises:
        _SyntaxError: nothing is there that could be compared.
    """
    path = tuple(field.split("."))
    place: Shape | None = resource
    for name in path:
        inside, place = place, place and place.field(name)
        if inside and inside.is_map and place and place.is_scalar:
            return path  # the rest belongs to the key, which may have dots
    if place is None or not (place.is_scalar or place.is_map):
        raise _SyntaxError(f"{field!r} is no text, number or boolean of the resource.")
    return path


def _restriction(path: tuple[str, ...], comparator: str, value: str, quoted: bool) -> Predicate:
    if comparator == "!=":
        return _not(_restriction(path, "=", value, quoted))
    if comparator == ":" and value == "*" and not quoted:
        return lambda document: any(found not in (None, "") for found in _values(document, path))
    test = {":": _contains, "=": _equals}[comparator](value) if comparator in ":=" else None
    test = test or _ordering(comparator, value)
    return lambda document: any(map(test, _values(document, path)))


def _values(document: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Yield what a field path leads to; each key of a map."""
    if not path:
        if isinstance(document, dict):
            yield from document
        elif document is not None:
            yield document
    elif isinstance(document, dict):
        joined = ".".join(path)
        if joined in document:
            yield from _values(document[joined], ())
        elif path[0] in document:
            yield from _values(document[path[0]], path[1:])


def _equals(value: str) -> _Test:
    if value.lower() in {"true", "false"}:
        truth = value.lower() == "true"
        return lambda found: found is truth or found == value
    if "*" in value:
        pattern = _wildcards(value)
        return lambda found: (
            isinstance(found, str)
            and (
                pattern.fullmatch(found) is not None
                or (found.startswith(_URL) and pattern.fullmatch(_tail(found)) is not None)
            )
        )
    number = _number(value)
    return lambda found: (
        (found == value or (found.startswith(_URL) and _tail(found) == value))
        if isinstance(found, str)
        else (not isinstance(found, bool) and number is not None and found == number)
    )


def _contains(value: str) -> _Test:
    equal = _equals(value)
    pattern = _wildcards(value, re.IGNORECASE)
    return lambda found: (
        pattern.search(found) is not None if isinstance(found, str) else equal(found)
    )


def _ordering(comparator: str, value: str) -> _Test:
    number, moment = _number(value), _moment(value)

    def test(found: Any) -> bool:
        if isinstance(found, bool):
            return False
        if number is not None and (mine := _number(found)) is not None:
            return _ordered(mine, number, comparator)
        if moment is not None and (mine := _moment(found)) is not None:
            return _ordered(mine, moment, comparator)
        return isinstance(found, str) and _ordered(found, value, comparator)

    return test


def _ordered(left: Any, right: Any, comparator: str) -> bool:
    if comparator[0] == "<":
        return bool(left < right or (comparator == "<=" and left == right))
    return bool(left > right or (comparator == ">=" and left == right))


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _moment(value: Any) -> float | None:
    try:
        return documents.seconds(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _tail(url: str) -> str:
    return url.rpartition("/")[2]


def _wildcards(value: str, flags: int = 0) -> re.Pattern[str]:
    # Runs of stars are one star: a pattern without nested repetition cannot blow up.
    parts = re.sub(r"\*+", "*", value).split("*")
    return re.compile(".*".join(map(re.escape, parts)), flags | re.DOTALL)


def _all(terms: list[Predicate]) -> Predicate:
    return terms[0] if len(terms) == 1 else lambda document: all(t(document) for t in terms)


def _not(predicate: Predicate) -> Predicate:
    return lambda document: not predicate(document)


def _regex_terms(expression: str) -> list[tuple[str, str, str]] | None:
    """Return (field, eq or ne, pattern) terms, or None when this is the other language."""
    text = expression.strip()
    if match := _REGEX_TERM.fullmatch(text):
        return [(match["field"], match["how"], _unquote(match["value"]))]
    if not re.match(r"\(\s*[\w.\-]+\s+(?:eq|ne)\s", text):
        return None
    terms = []
    for part in re.split(r"\)\s*\(", text.removeprefix("(").removesuffix(")")):
        if not (match := _REGEX_TERM.fullmatch(part)):
            raise _SyntaxError("Regular and other expressions cannot be mixed.")
        terms.append((match["field"], match["how"], _unquote(match["value"])))
    return terms


def _unquote(value: str) -> str:
    """Return the pattern that stands in a term.

    Raises:
        _SyntaxError: it goes on with another term; Google has several in parentheses alone
            (https://github.com/googleapis/nodejs-compute/issues/48).
    """
    if _QUOTED.fullmatch(value):
        return value[1:-1]
    if _WORD_OF_LANGUAGE.search(value):
        raise _SyntaxError("Several regular expressions have to be in parentheses each.")
    return value


def _regex_test(path: tuple[str, ...], how: str, pattern: str) -> Predicate:
    # Google's own engine: its language is the documented one, and it cannot blow up.
    import re2

    try:
        compiled = re2.compile(pattern)
    except re2.error as error:
        raise _SyntaxError(f"Bad regular expression: {error}.") from None

    def matches(document: Document) -> bool:
        return any(compiled.fullmatch(_as_text(value)) for value in _values(document, path))

    return matches if how == "eq" else _not(matches)


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
