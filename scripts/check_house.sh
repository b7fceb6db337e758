#!/usr/bin/env bash
# What can be said about the tree without building it. Every check runs; exit 1 if one of them fails.
# Usage: scripts/check_house.sh
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
failed=0

python3 scripts/check_layers.py || failed=1
python3 scripts/check_ranks.py || failed=1
python3 scripts/check_links.py || failed=1
python3 scripts/check_lessons.py || failed=1
if ! find api base bench cli config dlq filter index node objstore segment snapshot tests tiering wal \
    \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) -print0 2>/dev/null |
    xargs -0 clang-format-14 --dry-run --Werror; then
    echo "not formatted as .clang-format says: clang-format-14 -i does it"
    failed=1
fi
[ "$failed" -ne 0 ] || echo "house in order"
exit "$failed"
