#!/usr/bin/env python3
"""The last words of each test that failed in a ctest run: scripts/failed_tests.py build/dev [LINES]

Who reads a log of continuous integration sees its end first. Lines that tell of success are left out; what began
and did not end well is named. Prints nothing where nothing failed, or where ctest has not run.
"""
import os
import re
import sys

LINE_CHARS = 1000
FINE = re.compile(r"^(\[       OK \]|ok    |\d+: ok$)")
BEGAN, DONE = "[ RUN      ] ", "[       OK ] "
ONE = re.compile(r"^\d+/\d+ Test: (\S+)$(.*?)^\"\1\" time elapsed:", re.M | re.S)


def failed(text):
    """(name, how it ended, its output) of each."""
    for name, body in ONE.findall(text):
        output, _, end = body.rpartition("<end of output>")
        how = re.search(r"^Test (?!time)(.*)$", end, re.M)
        if how and not how.group(1).startswith(("Passed", "Skipped")):
            time = re.search(r"^Test time = +(.*)$", end, re.M)
            yield name, f"{how.group(1)} ({time.group(1) if time else '?'})", output.partition("-" * 58 + "\n")[2]


def main():
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    count = int(sys.argv[2]) if len(sys.argv) == 3 else 60
    path = os.path.join(sys.argv[1], "Testing", "Temporary", "LastTest.log")
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8", errors="replace") as f:
        text = f.read()
    for name, how, output in failed(text):
        lines = output.splitlines()
        well = {BEGAN + line[len(DONE):] for line in lines if line.startswith(DONE)}
        lines = [line for line in lines if not FINE.match(line) and line not in well]
        print(f"\n-- {sys.argv[1]}: {name}: {how}, its last lines:")
        for line in lines[-count:]:
            print(line if len(line) <= LINE_CHARS else line[:LINE_CHARS] + " ...")


if __name__ == "__main__":
    main()
