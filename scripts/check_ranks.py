#!/usr/bin/env python3
"""Compares the ranks of base/lock.h with the table of docs/locking.md. Exit 1 if they differ."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
header = (ROOT / "base/lock.h").read_text()
page = (ROOT / "docs/locking.md").read_text()
in_header = re.findall(r"^\s*(?:enum lock_rank \{.*)?(LOCK_RANK_\w+) = (\d+),", header, re.M)
in_page = re.findall(r"^\| `(LOCK_RANK_\w+)` \| (\d+) \|", page, re.M)

failed = False
for name, number in sorted(set(in_header) ^ set(in_page)):
    where = "docs/locking.md" if (name, number) in in_page else "base/lock.h"
    print(f"only in {where}: {name} = {number}")
    failed = True
for place, ranks in (("base/lock.h", in_header), ("docs/locking.md", in_page)):
    numbers = [int(number) for _, number in ranks]
    if not numbers or numbers != sorted(set(numbers)):
        print(f"{place}: the ranks do not rise")
        failed = True
sys.exit(1 if failed else 0)
