#!/bin/sh
# The suite on a GPU: every layer is compared with the one by hand in float64 first, then timed; one JSON file comes out.
#
#     sh benchmarks/gpu.sh [OUT.json] [flags of archc bench: --quick, --only TEXT, --seconds S]
#
# Needs torch that sees a GPU, and triton. PYTHON=... chooses the interpreter.
set -u
cd "$(dirname "$0")/.." || exit 1
PYTHON=${PYTHON:-python3}
PYTHONPATH=compiler${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH
case ${1:-} in "" | -*) out=benchmarks/results/gpu.json ;; *) out=$1 && shift ;; esac
"$PYTHON" - <<'PROGRAM' || exit 1
import importlib.util
import sys

missing = [name for name in ("torch", "triton", "lark") if importlib.util.find_spec(name) is None]
if missing:
    sys.exit(f"gpu.sh: {sys.executable} has no {' and no '.join(missing)}: pip install torch triton, and pip install -e . for archc")
import torch

if not torch.cuda.is_available():
    sys.exit(f"gpu.sh: torch {torch.__version__} sees no GPU here, so nothing was measured")
print(f"gpu.sh: {torch.cuda.get_device_name(0)}, torch {torch.__version__}", file=sys.stderr)
PROGRAM
"$PYTHON" -m archc bench --suite --device cuda --limit 300 --out "$out" "$@"
status=$?
[ ! -f "$out" ] || echo "gpu.sh: wrote $out" >&2
exit $status
