"""The house keeps its shape: layers, lengths, units, citations, reasons, a test per module.

Each rule is one test over all files, which tells of every file that breaks it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tokenize
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "asyncdicom"
SOURCES = sorted(PACKAGE.rglob("*.py"))
EVERYTHING = [
    *SOURCES,
    *sorted((ROOT / "tests").rglob("*.py")),
    *sorted((ROOT / "benchmarks").rglob("*.py")),
]
PURE = [
    *sorted((PACKAGE / "protocol").glob("*.py")),
    *sorted((PACKAGE / "policy").glob("*.py")),
    *(PACKAGE / f"{name}.py" for name in ("model", "errors", "events")),
]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Parse a file once for all rules."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def functions_of(path: Path) -> Iterator[Function]:
    yield from (node for node in nodes_of(path) if isinstance(node, Function))


def offences(
    paths: Iterable[Path], found_in: Callable[[Path], Iterable[object]]
) -> dict[str, list[object]]:
    """Return what is wrong, by the file in which it is."""
    every = {name_of(path): list(found_in(path)) for path in paths}
    return {name: found for name, found in every.items() if found}


def test_the_contracts_between_the_layers_are_kept() -> None:
    # In a process of its own: it changes the path, and switches off the loggers of others.
    program = "import sys; from importlinter.cli import lint_imports as lint; "
    program += "sys.exit(lint(no_cache=True, no_logo=True))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_package_has_its_place_in_the_layers() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = (
        contract["layers"]
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    )
    placed = {module.strip() for layer in layers for module in layer.split("|")}
    there = {
        f"asyncdicom.{path.stem}"
        for path in PACKAGE.iterdir()
        if (path.is_dir() and any(path.glob("*.py"))) or path.suffix == ".py"
    }
    outside = {"asyncdicom.__init__", "asyncdicom.__main__", "asyncdicom._version"}
    assert there - outside == placed


FORBIDDEN_IN_THE_CORE = frozenset(
    ["asyncio", "os", "time", "random", "logging", "socket", "ssl", "threading", "subprocess"]
)


def imports_of(path: Path) -> set[str]:
    imported: set[str] = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    return imported


def test_the_core_imports_nothing_that_acts() -> None:
    assert offences(PURE, lambda path: imports_of(path) & FORBIDDEN_IN_THE_CORE) == {}


MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50


def test_no_file_is_longer_than_a_reader_holds() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name_of(path): n for path, n in lines.items() if n > MAX_FILE_LINES} == {}


def long_functions_of(path: Path) -> Iterator[tuple[str, int]]:
    for function in functions_of(path):
        if (lines := code_lines(function)) > MAX_FUNCTION_LINES:
            yield function.name, lines


def test_no_function_is_longer_than_a_screen() -> None:
    assert offences(SOURCES, long_functions_of) == {}


def code_lines(function: Function) -> int:
    """Count the lines of a function without its docstring."""
    assert function.end_lineno is not None
    first = function.body[0]
    documented = 0
    if ast.get_docstring(function, clean=False) is not None:
        assert first.end_lineno is not None
        documented = first.end_lineno - first.lineno + 1
    return function.end_lineno - function.lineno + 1 - documented


# A number that is named like one of these says nothing without its unit.
QUANTITY = re.compile(
    r"(?:^|_)(?:timeout|delay|size|duration|pause|interval|deadline|period|elapsed|window|wait|age|rate)$"
)
FORBIDDEN_UNIT = re.compile(r"_(?:ms|minutes|kb|kib|mb|mib|gb|gib)$")
SHARES = {"max_error_rate"}
SPELLED_AS_ON_THE_COMMAND_LINE = {
    "asyncdicom/library/client.py": {"timeout"},
    "asyncdicom/library/idc.py": {"timeout"},
    "asyncdicom/library/idc_client.py": {"get_series_size"},
    "asyncdicom/library/objects.py": {"timeout"},
    "asyncdicom/library/options.py": {
        *("connect_timeout", "part_size", "rate", "stream_window", "timeout")
    },
    "asyncdicom/library/receiving.py": {"timeout"},
}
"""Documented with their units; a user of both meets one name."""


class Named(NamedTuple):
    """A parameter, a field or a function, and what it is."""

    name: str
    annotation: str


def named_in(path: Path) -> Iterator[Named]:
    for node in nodes_of(path):
        if isinstance(node, Function):
            yield Named(node.name, unparsed(node.returns))
            arguments = node.args
            for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                yield Named(argument.arg, unparsed(argument.annotation))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield Named(node.target.id, unparsed(node.annotation))


def unparsed(annotation: ast.expr | None) -> str:
    return "" if annotation is None else ast.unparse(annotation)


def bare_quantities_of(path: Path) -> set[str]:
    allowed = SHARES | SPELLED_AS_ON_THE_COMMAND_LINE.get(name_of(path), set())
    bare = {
        one.name
        for one in named_in(path)
        if QUANTITY.search(one.name) and re.search(r"\b(?:int|float)\b", one.annotation)
    }
    return bare - allowed


def test_quantities_carry_their_units() -> None:
    assert offences(SOURCES, bare_quantities_of) == {}


def other_units_of(path: Path) -> list[str]:
    return [one.name for one in named_in(path) if FORBIDDEN_UNIT.search(one.name.lower())]


def test_times_are_seconds_and_sizes_are_bytes() -> None:
    assert offences(SOURCES, other_units_of) == {}


PART = re.compile(r"\bPS3\.\d++(?! (?:§|Annex(?:es)? |Tables? |Figures? ))")


@cache
def text_of(path: Path) -> str:
    """Return a file as running text: comment signs and line ends are blanks."""
    return re.sub(r"\s*\n\s*#?\s*", " ", path.read_text(encoding="utf-8"))


CITING = [path for path in EVERYTHING if path != Path(__file__)] + [ROOT / "README.md"]


def parts_alone_in(path: Path) -> list[str]:
    text = text_of(path)
    return [text[m.start() : m.start() + 40] for m in PART.finditer(text)]


def test_citations_name_a_section() -> None:
    assert offences(CITING, parts_alone_in) == {}


def test_citations_use_the_numbers_of_today() -> None:
    # PS3.18 was renumbered in 2019; its chapter 6 was WADO-RS before.
    old = re.compile(r"PS3\.18 §6\b.{0,20}")
    assert offences(CITING, lambda path: old.findall(text_of(path))) == {}


def test_each_module_of_the_core_has_a_test_file_of_its_own() -> None:
    modules = [path for path in [*PURE, PACKAGE / "config.py"] if path.stem != "__init__"]
    own = [path.relative_to(PACKAGE).with_name(f"test_{path.name}") for path in modules]
    assert [str(path) for path in own if not (ROOT / "tests" / path).exists()] == []


@cache
def comments_of(path: Path) -> tuple[str, ...]:
    with tokenize.open(path) as file:
        tokens = tokenize.generate_tokens(file.readline)
        return tuple(token.string for token in tokens if token.type == tokenize.COMMENT)


UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")
SUPPRESSION = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma:\s*no)\b", re.IGNORECASE)
JUSTIFIED = re.compile(
    r"# (?:noqa: [A-Z]+[0-9]+(?:, ?[A-Z]+[0-9]+)*|type: ignore\[[a-z, -]+\]  #|pragma: no \w+)"
    r" -- \S.*"
)


def test_nothing_is_left_to_do_later() -> None:
    assert offences(EVERYTHING, lambda path: filter(UNFINISHED.search, comments_of(path))) == {}


def unjustified_in(path: Path) -> list[str]:
    suppressions = [comment for comment in comments_of(path) if SUPPRESSION.match(comment)]
    return [one for one in suppressions if not JUSTIFIED.fullmatch(one)]


def test_each_suppression_names_a_code_and_a_reason() -> None:
    assert offences(EVERYTHING, unjustified_in) == {}


CATCHES_EVERYTHING = {
    "asyncdicom/library/reporting.py": "a callback is anybody's code; the job ends and raises it",
    "asyncdicom/transports/associations/connection.py": "a sink is anybody's; who waits raises it",
}


def handlers_of(path: Path, caught: str | None) -> list[ast.ExceptHandler]:
    """Return the `except` clauses that name a class, or (None) name nothing."""
    return [
        node
        for node in nodes_of(path)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None if caught is None else caught in names_in(node.type))
    ]


def names_in(expression: ast.expr | None) -> set[str]:
    return {node.id for node in ast.walk(expression or ast.Pass()) if isinstance(node, ast.Name)}


def lines_that_catch_bugs(path: Path) -> list[int]:
    handlers = handlers_of(path, None)
    if name_of(path) not in CATCHES_EVERYTHING:
        handlers += handlers_of(path, "Exception")
    return [handler.lineno for handler in handlers]


def test_bugs_are_not_caught() -> None:
    assert offences(SOURCES, lines_that_catch_bugs) == {}


def lines_that_swallow(path: Path) -> Iterator[int]:
    for handler in handlers_of(path, "BaseException"):
        last = handler.body[-1]
        if not isinstance(last, ast.Raise) or last.exc is not None:
            yield handler.lineno


def test_who_cleans_up_after_anything_raises_it_again() -> None:
    assert offences(SOURCES, lines_that_swallow) == {}
