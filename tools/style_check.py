"""Checks the names and words that `docs/style.md` asks for; `make lint` runs it.

It reports functions named by a bare participle, class names defined twice outside tests, constants such as
``MOST_ROWS`` or ``ROWS_A_PART``, and words that the glossary replaces by a term of the field.
"""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
CHECKED_SUFFIXES = {".py", ".md", ".sql", ".toml", ".sh", ".yaml", ".html", ".css", ".js"}
CHECKED_FILES = {"Makefile", "docs/openapi.json"}
EXEMPT_FILES = {"docs/style.md", "docs/glossary.md", "tools/style_check.py", "tests/unit/tools/test_style_check.py"}
"""They quote the words."""

PARTICIPLES = {
    "asked", "begun", "cut", "done", "drawn", "ended", "fallen", "found", "given", "gone", "had", "heard", "held",
    "hidden", "kept", "known", "left", "looked", "lost", "made", "meant", "met", "moved", "read_in", "said", "seen",
    "sent", "settled", "shown", "sought", "spelled", "stood", "stopped", "taken", "there", "thrown", "told", "wanted",
    "worked", "written",
}  # fmt: skip
VERBS_IN_ED = {"embed", "exceed", "feed", "need", "proceed", "seed", "shed", "speed"}

REPLACEMENTS = {
    r"whoever|whomever|somebody|someone|nobody|anybody|everybody": "the caller, the user, the operator, the worker",
    r"tell|tells|told|telling|untold": "notify, report, log, record",
    r"say|says|said|unsaid": "specify, state; given, provided",
    r"wanted": "requested; query, filter, request",
    r"ask|asks|asked|asking": "request, require; query",
    r"held": "locked, buffered, stored",
    r"mend|mends|mended|mending": "repair",
    r"spelled|spelling|spelt": "formatted, written",
    r"judge|judged|judges|judgement|judgements": "check, validate",
    r"apart": "excluded, separate",
    r"owed|owes|promise|promises|promised": "pending",
    r"patience|patient|patiently": "timeout, retry",
    r"forget|forgets|forgot|forgotten|forgetting": "delete, clear, erase",
    r"anew|whence|hence|thereby|whereupon": "again; traceback location; a shorter sentence",
    r"letter|letters": "email",
    r"story": "history, steps",
    r"stretch|stretches": "chunk range",
    r"away": "unavailable",
    r"kept": "stored, retained",
    r"gateway": "the API",
    r"begun|began": "started",
    r"sight|sighting|sightings": "claim",
}
PHRASES = {
    r"\bgo(?:es|ing)? on\b|\bwent on\b": "continue",
    r"\bat work\b": "running, active",
    r"\b(?:the|our|an) engine(?:'s)?\b": "Temporal",
    r"\bmade again\b|\bmakes? .{1,20} again\b": "re-exported",
    r"\bof its own accord\b": "automatically",
    r"\bholds? \w+ against\b": "verify, compare",
    r"(?<!\b[Aa]udit[ ./])(?<!\bimport )\b[Tt]rails?\b": "audit trail",
    r"\bstands? on\b|\bstands? for\b": "depends on",
}
ALLOWED_NAMES = frozenset({
    "apart", "apart_sheet", "rows_listed_apart",  # values and fields of stored mapping documents
    "nobody_came", "nobody_new_that_day",  # reason codes of stored mapping documents
    "header_spelling", "value_spelling", "sheet_spelling",  # codes that `stafett mapping check` prints
    "person_erasure_begun",  # an audit event
    "column_letters", "get_column_letter", "letters",  # the letters of a spreadsheet's columns
    "half_away_from_zero",  # a rounding mode of Polars
    "bad_gateway", "BAD_GATEWAY",  # HTTP
})  # fmt: skip
ALLOWED_TEXTS = re.compile(
    r"Bad Gateway"  # HTTP
    r"|Held outside Norway"  # a label of stored mapping documents
    r"|system:gateway"  # the actor of hashed audit events
    r'|"away"|`away`'  # a status of `GET /readyz`
    r"|\baway from zero\b"  # a rounding mode
    r'|"nobody"'  # the Unix user
    r"|\.tell\("  # a method of Python's files
)

_WORDS = [(re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE), hint) for words, hint in REPLACEMENTS.items()]
_PHRASES = [(re.compile(phrase), hint) for phrase, hint in PHRASES.items()]
_CAMEL_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONSTANT = re.compile(r"_?(?:MOST|LONGEST|LARGEST|FEWEST|SMALLEST)_[A-Z_]+|[A-Z][A-Z_]*_AN?_[A-Z][A-Z_]*")
_FENCE = re.compile(r"^\s*```")


class Violation(NamedTuple):
    """One line that breaks a rule."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


def check_functions(file: str, tree: ast.Module) -> Iterator[Violation]:
    """Report functions whose whole name is a participle; a property may read as an adjective."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_property(node):
            name = node.name.strip("_")
            if name in PARTICIPLES or (name.endswith("ed") and "_" not in name and name not in VERBS_IN_ED):
                yield Violation(
                    file, node.lineno, f"function `{node.name}` is a bare participle: use a verb and an object"
                )


def check_class_names(trees: Iterable[tuple[str, ast.Module]]) -> Iterator[Violation]:
    """Report classes that share their name with a class of another module."""
    places = defaultdict(list)
    for file, tree in trees:
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append((file, node.lineno))
    for name, definitions in places.items():
        for file, line in definitions[1:]:
            yield Violation(file, line, f"class `{name}` is also defined in {definitions[0][0]}")


def check_words(file: str, text: str) -> Iterator[Violation]:
    """Report words and phrases that the glossary replaces, in names, comments and prose alike."""
    for number, line in enumerate(text.splitlines(), start=1):
        for identifier in _IDENTIFIER.findall(line):
            if _CONSTANT.fullmatch(identifier):
                yield Violation(file, number, f"constant `{identifier}`: use MAX_…, MIN_… or …_PER_…")
        readable = _IDENTIFIER.sub(_split_identifier, ALLOWED_TEXTS.sub("", line))
        for pattern, hint in (*_WORDS, *_PHRASES):
            for match in pattern.finditer(readable):
                yield Violation(file, number, f"“{match.group()}”: {hint}")


def _split_identifier(match: re.Match[str]) -> str:
    name = match.group()
    return "" if name in ALLOWED_NAMES else _CAMEL_BOUNDARY.sub("_", name).replace("_", " ")


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    names = {part.id if isinstance(part, ast.Name) else getattr(part, "attr", "") for part in node.decorator_list}
    return bool(names & {"property", "cached_property", "computed_field", "setter"})


def _tracked_files() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S607 - git is found on PATH
    return [
        file
        for file in listed.splitlines()
        if (Path(file).suffix in CHECKED_SUFFIXES or file in CHECKED_FILES) and file not in EXEMPT_FILES
    ]


def main() -> int:
    texts = {file: (ROOT / file).read_text(encoding="utf-8") for file in _tracked_files() if (ROOT / file).exists()}
    trees = {file: ast.parse(text) for file, text in texts.items() if file.endswith(".py")}
    violations = [
        *(violation for file, tree in trees.items() for violation in check_functions(file, tree)),
        *check_class_names((file, tree) for file, tree in trees.items() if not file.startswith("tests/")),
        *(violation for file, text in texts.items() for violation in check_words(file, text)),
    ]
    for violation in sorted(violations):
        print(violation)  # noqa: T201 - the report of a command
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
