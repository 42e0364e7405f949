#!/usr/bin/env bash
# The first session on a GPU in one command: is it right, how long do calls and kernels take, and
# how does that compare. Each part has its own limit of time (together under 8 minutes), a part that
# fails does not stop the others, and everything is saved as it comes.
#
#   benchmarks/gpu_session.sh [FOLDER]          on a GPU; FOLDER is benchmarks/results/gpu-session
#   benchmarks/gpu_session.sh --smoke [FOLDER]  a few cases of each part, on a CPU as well
#
# Needs torch, triton, numpy, Pillow, scipy, pytest and hypothesis; uses pytest-xdist,
# compute-sanitizer, kornia and torchvision where they are. The package need not be installed.
set -uo pipefail
cd "$(dirname "$0")/.."

smoke=
if [ "${1:-}" = --smoke ]; then
  smoke=1
  shift
fi
folder=${1:-benchmarks/results/gpu-session}
mkdir -p "$folder"
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
: >"$folder/summary.txt"
failed=0

part() { # NAME SECONDS COMMAND...: runs it within that time, and keeps what it prints
  local name=$1 limit=$2 start=$SECONDS code
  shift 2
  printf '\n== %s, at most %s s: %s\n' "$name" "$limit" "$*"
  timeout --kill-after=5 "$limit" "$@" 2>&1 | tee "$folder/$name.log"
  code=${PIPESTATUS[0]}
  [ "$code" = 0 ] || failed=$((failed + 1))
  printf '%-12s exit %-3s %4s s\n' "$name" "$code" $((SECONDS - start)) | tee -a "$folder/summary.txt"
}

tests=(python3 -m pytest -p no:cacheprovider -v --tb=short)
render=(python3 benchmarks/bench_render.py)
if [ "$smoke" ]; then
  all=(tests/kernels/test_triton.py -k "mask_forms_give or soft_masks_of_two")
  one=(tests/kernels/test_triton.py -k soft_masks_of_two)
  quick=(--smoke --no-peers --profile)
  full=(--smoke)
else
  all=(tests/kernels -m gpu --deselect tests/kernels/test_large.py)
  one=(tests/kernels/test_triton.py -m gpu -k "mask_forms_give and contour")
  quick=(--workload "1 x 64" --no-peers --profile)
  full=()
  if python3 -c "import xdist" 2>/dev/null; then
    all+=(-n 8) # most of the time is compilation, one kernel after the other
  fi
fi

part machine 20 python3 -c "
import torch, triton
print('torch', torch.__version__, 'triton', triton.__version__)
print(torch.cuda.get_device_properties(0) if torch.cuda.is_available() else 'no GPU')"
part right 170 "${tests[@]}" "${all[@]}"
part large 40 "${tests[@]}" tests/kernels/test_large.py
if command -v compute-sanitizer >/dev/null; then
  PYTORCH_NO_CUDA_MEMORY_CACHING=1 part sanitizer 60 \
    compute-sanitizer --tool memcheck --error-exitcode 9 "${tests[@]}" "${one[@]}"
else
  echo "sanitizer    not here: compute-sanitizer" | tee -a "$folder/summary.txt"
fi
part kernels 50 "${render[@]}" "${quick[@]}" --json "$folder/kernels.json"
part render 130 "${render[@]}" "${full[@]}" --json "$folder/render.json"

printf '\n'
cat "$folder/summary.txt"
exit $((failed > 0))
