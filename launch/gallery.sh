#!/usr/bin/env bash
# Solves the named problems of two cores, two at a time, and makes one page of them,
# runs/gallery/gallery.html; the pictures under data/pictures, README's among them, are drawn anew.
# Called again, it goes on where it stopped. About ten minutes.
# Usage: bash launch/gallery.sh        bash launch/gallery.sh ou-10d gmm-8d
#        OUT=elsewhere PICTURES=elsewhere/pictures JOBS=8 bash launch/gallery.sh
set -euo pipefail
cd "$(dirname "$0")/.."
bash launch/setup.sh

export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec .venv/bin/hpc-wgf gallery "$@" --out "${OUT:-runs/gallery}" --jobs "${JOBS:-2}" \
  --pictures "${PICTURES:-data/pictures}"
