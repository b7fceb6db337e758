#!/usr/bin/env bash
# Writes config.example.toml and the tables of docs/configuration.md from the table of keys
# (config/keys.c). A test compares them with what is committed.
# Usage: scripts/gen_config_example.sh [preset]     (dev if none is said)
set -euo pipefail
cd "$(dirname "$0")/.."
preset=${1:-dev}
[ -d "build/$preset" ] || cmake --preset "$preset" >/dev/null
cmake --build "build/$preset" --target config_gen >/dev/null
"build/$preset/config/config_gen" example > config.example.toml.new
mv config.example.toml.new config.example.toml
page=docs/configuration.md
{
    sed '/^<!-- keys: generated -->$/q' "$page"
    "build/$preset/config/config_gen" reference
    sed -n '/^<!-- keys: end -->$/,$p' "$page"
} > "$page.new"
mv "$page.new" "$page"
