#!/usr/bin/env bash
# The first run on a machine with a GPU: tests of tests/gpu there, the product with the metric, and
# what a step of a million samples is made of, as one record data/benchmarks/gpu-NAME.json.
# Usage: bash launch/gpu_check.sh [NAME]                    NAME: of the record [that of the GPU]
#        PYTHON=python3.12 WHEELS=wheels bash launch/gpu_check.sh
#        bash launch/gpu_check.sh --wheels FOLDER           (where there is a package index)
# It needs a Python with a torch that sees the GPU, and no package index: the torch is the machine's
# own and may be older than that of pyproject.toml, with which all was tested; the record says which
# it was. Other packages that it lacks are taken from WHEELS, a folder that --wheels has filled
# beforehand, for Python 3.12 or the version in PYTHON_VERSION; nothing is installed but in a
# temporary folder. All of them take 290 MiB, unpacked.
# SAMPLES: in place of a million in the step, and of the cases of products; ROUNDS [5]; TESTS: more
# options for pytest. DEVICE=cpu with few of all rehearses it without a GPU. About ten minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
packages=(numpy scipy zarr numcodecs pydantic typer rich matplotlib pytest)
python="${PYTHON:-python3}"

if [ "${1:-}" = --wheels ]; then
  exec "$python" -m pip download --quiet --dest "${2:?name a folder}" --only-binary=:all: \
    --python-version "${PYTHON_VERSION:-3.12}" --platform manylinux_2_28_x86_64 \
    --platform manylinux2014_x86_64 --constraint launch/constraints.txt "${packages[@]}"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH="$PWD:$work/site${PYTHONPATH:+:$PYTHONPATH}"

missing() {
  "$python" - torch "${packages[@]}" <<< '
import importlib.util, sys
print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name) is None))'
}
lacks=$(missing)
if [ -n "$lacks" ] && [ -n "${WHEELS:-}" ]; then
  # shellcheck disable=SC2086  # several words
  "$python" -m pip install --quiet --no-index --find-links "$WHEELS" --target "$work/site" \
    ${lacks//torch/}
  lacks=$(missing)
fi
if [ -n "$lacks" ]; then
  echo "error: $python lacks $lacks: torch has to be the machine's own; for the others run" \
    "bash launch/gpu_check.sh --wheels FOLDER where there is a package index, bring the folder," \
    "and set WHEELS to it" >&2
  exit 2
fi
device="${DEVICE:-cuda}" card=CPU
[ "$device" = cpu ] || card=$("$python" -c '
import torch
print(torch.cuda.get_device_name() if torch.cuda.is_available() else "")')
if [ -z "$card" ]; then
  echo "error: $("$python" -c 'import torch; print("torch", torch.__version__)') sees no GPU here:" \
    "set PYTHON to one whose torch does" >&2
  exit 2
fi
# Of a checkout that is not installed nobody else knows the version.
if ! "$python" -c 'from importlib.metadata import version; version("hpc-wgf")' 2> /dev/null; then
  number=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
  mkdir -p "$work/site/hpc_wgf-$number.dist-info"
  printf 'Metadata-Version: 2.1\nName: hpc-wgf\nVersion: %s\n' "$number" \
    > "$work/site/hpc_wgf-$number.dist-info/METADATA"
fi

echo "on $card: tests" >&2
# shellcheck disable=SC2086  # several words
"$python" -m pytest tests/gpu --gpu --quiet -p no:cacheprovider --junit-xml "$work/tests.xml" \
  ${TESTS:-} ||
  echo "some tests failed on $card: the record names them" >&2
[ -s "$work/tests.xml" ] || { echo "error: the tests did not run" >&2; exit 1; }
bench() { # NAME SUBCOMMAND [OPTION…]
  echo "on $card: $1" >&2
  "$python" -m hpc_wgf bench "${@:2}" --device "$device" --rounds "${ROUNDS:-5}" \
    --out "$work/$1.json" > /dev/null
}
size=(${SAMPLES:+--samples "$SAMPLES"})
bench device device "${size[@]}"
bench device-float32 device --dtype float32 "${size[@]}"
bench product product "${size[@]}"
bench product-float32 product --dtype float32 "${size[@]}"
name="${1:-$(tr -cs '[:alnum:]' - <<< "$card" | tr '[:upper:]' '[:lower:]')}"
out="data/benchmarks/gpu-${name%-}.json"
"$python" -m hpc_wgf.bench.gather "$out" "$work/tests.xml" \
  "$work"/{device,device-float32,product,product-float32}.json
echo "recorded in $out"
