#!/usr/bin/env bash
# Builds our index and hnswlib from the same rows and prints their recall and speed side by side.
# Usage: bench/index_vs_hnswlib.sh BASE.npy QUERY.npy cosine|dot|l2 [options of bench_index]
# Needs the Debian package libhnswlib-dev.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 3 ] || { sed -n 2,4p "$0"; exit 2; }
[ -e /usr/include/hnswlib/hnswlib.h ] || { echo "install libhnswlib-dev first"; exit 1; }
cmake --preset release >/dev/null
cmake --build build/release --target bench_index >/dev/null
echo "command: bench_index $* --peer"
echo "machine: $(nproc) CPU, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
exec build/release/bench/bench_index "$@" --peer
