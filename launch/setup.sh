#!/usr/bin/env bash
# Builds .venv in the project's root, or does nothing when it is already right.
# Usage: bash launch/setup.sh          bash launch/setup.sh --check   (only say whether it is right)
#        PYTHON=python3.12 bash launch/setup.sh
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=.venv/hpc-wgf.stamp
wanted=$(cat pyproject.toml launch/constraints.txt launch/setup.sh | sha256sum)
is_right() { [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted $PWD" ]; }

is_right && exit 0
[ "${1:-}" = --check ] && exit 1
exec 9>.setup.lock
flock 9                      # two launches at once: the second waits, then finds it done
is_right && exit 0

echo "setting up .venv (a few minutes the first time)" >&2
rm -rf .venv
"${PYTHON:-python3}" -m venv .venv
# As a variable the constraints also reach the build of the package itself.
PIP_CONSTRAINT="$PWD/launch/constraints.txt" \
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
echo "$wanted $PWD" > "$stamp"
