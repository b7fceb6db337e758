#!/usr/bin/env python3
"""Checks that includes go down only and that outside libraries are met where they belong.

A file includes its own folder and the layers below it. Folders on one line are neighbours and do
not know each other. tests/ and bench/ may include anything. Prints each offence; exit 1 if any.
"""
import pathlib
import re
import sys

LAYERS = [
    ["cli"],
    ["config"],
    ["api"],
    ["node"],
    ["tiering"],
    ["snapshot"],
    ["segment"],
    ["index", "wal", "objstore", "dlq", "filter"],
    ["base"],
]
# An outside library is met in one place: header pattern -> files that may include it.
LIBRARIES = {
    r"lmdb\.h": ["base/kv.c"],
    r"cjson/cJSON\.h": ["base/json.c"],
    r"simdjson\.h": ["base/json_simd.cc"],
    r"openssl/.*": ["base/crypto.c"],
    r"zstd(_errors)?\.h": ["base/compress.c"],
    r"xxhash\.h": ["base/hash.c"],
    r"uv\.h": ["api/"],
    r"http_parser\.h": ["api/"],
    r"nghttp2/.*": ["api/"],
    r"toml\+\+/.*": ["config/toml_shim.cc"],
    r"curl/.*": ["objstore/"],
    r"expat\.h": ["objstore/s3_xml.c"],
    r"libs3\.h": ["objstore/"],
    r"roaring/.*": ["filter/"],
    r"uni(case|ctype)\.h": ["filter/words.c"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def rank_of(folder):
    for rank, names in enumerate(LAYERS):
        if folder in names:
            return rank
    return None


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    offences = []
    for folder in (name for names in LAYERS for name in names):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".c", ".h", ".cc"):
                continue
            rel = path.relative_to(root).as_posix()
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                quote, target = match.groups()
                where = f"{rel}:{number}"
                if quote == "<":
                    for pattern, homes in LIBRARIES.items():
                        if re.fullmatch(pattern, target) and not any(
                            rel == home or (home.endswith("/") and rel.startswith(home)) for home in homes
                        ):
                            offences.append(f"{where}: <{target}> belongs in {' or '.join(homes)}")
                    continue
                if "/" not in target:
                    offences.append(f'{where}: "{target}" does not carry its folder')
                    continue
                other = target.split("/")[0]
                if other == folder:
                    continue
                other_rank = rank_of(other)
                if other_rank is None:
                    offences.append(f"{where}: {other}/ is no layer")
                elif other_rank <= rank_of(folder):
                    offences.append(f"{where}: {folder}/ may not include {other}/ (not below it)")
    for offence in offences:
        print(offence)
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
