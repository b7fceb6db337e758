#!/usr/bin/env bash
# What passes before a commit: format, layers, documents, then the dev preset built and tested.
# Usage: scripts/check.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bash scripts/check_house.sh
cmake --workflow --preset dev
