#!/usr/bin/env python3
"""Checks that each link of a Markdown page to a file of this repository leads somewhere, to the
heading too when it names one, and that each folder has its README. Prints each offence; exit 1 if any."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ["api", "base", "bench", "cli", "config", "index", "node", "scripts", "segment", "snapshot",
           "tests", "tiering", "wal", "docs/decisions"]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.M | re.S)


def pages():
    for path in sorted(ROOT.rglob("*.md")):
        if not {"build", ".cache", "data", "node_modules", ".git"} & set(path.relative_to(ROOT).parts[:-1]):
            yield path


def anchors(path):
    """The names of a page's headings, as the forges make them."""
    for heading in re.findall(r"^#+ +(.*)$", path.read_text(), re.M):
        kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
        yield kept.replace(" ", "-")


def main():
    offences = [f"{folder}/README.md is missing" for folder in FOLDERS
                if not (ROOT / folder / "README.md").is_file()]
    for page in pages():
        where = page.relative_to(ROOT)
        for target in LINK.findall(CODE.sub("", page.read_text())):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            path = (page.parent / name).resolve() if name else page
            if not path.exists() or ROOT not in (path, *path.parents):
                offences.append(f"{where}: {target} does not exist")
            elif anchor and path.suffix == ".md" and anchor not in anchors(path):
                offences.append(f"{where}: {target} names no heading")
    for offence in offences:
        print(offence)
    return 1 if offences else 0


sys.exit(main())
