#!/usr/bin/env python3
"""Which tests of a ctest run did not run, and why that may be: scripts/check_skips.py build/dev

Prints their names, one a line, and fails where one is neither in EXPECTED nor in $TIERVEC_ALLOW_SKIP (names with commas
between them). A skip that nobody asked for is a test that vanished.
"""
import os
import re
import sys

# Those that run only when a person asks for them, by what is said here.
EXPECTED = {
    "every_float_reads_back": "ten minutes: TIERVEC_TEST_ALL_FLOATS=1",
    "recall_holds_on_real_embeddings": "its data are no part of the sources: TIERVEC_BENCH_DATA",
}


def skipped(build):
    """{name: why}, of cmocka's tests and of those in tests/integration."""
    with open(os.path.join(build, "Testing", "Temporary", "LastTest.log"), encoding="utf-8", errors="replace") as f:
        text = f.read()
    found = {name: EXPECTED.get(name, "it says no more") for name in re.findall(r"^\[  SKIPPED \] ([A-Za-z_]\w*)$", text, re.M)}
    found.update({name: why for _, name, why in re.findall(r"^SKIP  (\w+): (\w+): (.*)$", text, re.M)})
    found.update({name: "ctest did not run it" for name in re.findall(r"^(\w+): Not Run$", text, re.M)})
    return found


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    allowed = set(os.environ.get("TIERVEC_ALLOW_SKIP", "").split(",")) | set(EXPECTED)
    failed = False
    for name, why in sorted(skipped(sys.argv[1]).items()):
        print(f"{name} ({why})")
        if name not in allowed:
            print(f"error: {name} was skipped and nobody allowed it: mend the machine, or TIERVEC_ALLOW_SKIP={name}", file=sys.stderr)
            failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
