#!/usr/bin/env python3
"""Checks tests/LESSONS.md: each row of its table says what proves it.

The last cell of a row names, in backquotes, tests and benchmarks that exist, or says `issue N` for
what is not built yet. A name is one of
  a ctest name                 test_wal_crash
  a property of a test         test_wal_crash.acknowledged_is_there   (a function of test_wal_crash.c)
  a file of this repository    scripts/demo, bench/bench_wal.c
  a property of a script       tests/integration/x.py.some_function
Prints each offence; exit 1 if any.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "tests" / "LESSONS.md"
ROWS_MIN = 24  # a line is added or made stricter, never dropped
ISSUE = re.compile(r"\bissue \d+\b")


def ctest_names():
    """Names given to ctest in the CMakeLists.txt of tests/ and bench/, and the folder they stand in."""
    names = {}
    for path in [*ROOT.glob("tests/**/CMakeLists.txt"), *ROOT.glob("bench/**/CMakeLists.txt")]:
        text = re.sub(r"#.*", "", path.read_text())
        for call, name in re.findall(r"(tv_\w+_test\(|add_test\(\s*NAME)\s*(\w+)", text):
            names[f"integration_{name}" if call.startswith("tv_integration") else name] = path.parent
    return names


def defines(path, function):
    if not path.is_file():
        return False
    return re.search(rf"^(static void|def|function)? *{re.escape(function)}\(", path.read_text(), re.M) is not None


def exists(name, tests):
    if name in tests or (("/" in name) and (ROOT / name).is_file()):
        return True
    place, _, function = name.rpartition(".")
    if "/" in place:
        return defines(ROOT / place, function)
    if place in tests:
        return any(defines(tests[place] / f"{place}{suffix}", function) for suffix in (".c", ".py", ".sh"))
    return False


def rows(text):
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("|") and not re.match(r"^\|[\s\-:|]+$", line):
            yield number, [cell.strip() for cell in line.strip().strip("|").split("|")]


def main():
    tests = ctest_names()
    offences = []
    table = list(rows(PAGE.read_text()))[1:]  # without the head
    for number, cells in table:
        proof = cells[-1]
        named = re.findall(r"`([^`]+)`", proof)
        if not named and not ISSUE.search(proof):
            offences.append(f"line {number}: names neither a test nor an issue: {cells[0]}")
        offences += [f"line {number}: there is no test, benchmark or file `{name}`"
                     for name in named if not exists(name, tests)]
    if len(table) < ROWS_MIN:
        offences.append(f"{len(table)} rows, there were {ROWS_MIN}: a line is never dropped")
    for offence in offences:
        print(f"tests/LESSONS.md: {offence}")
    return 1 if offences else 0


sys.exit(main())
