"""Lines and tokens of each folder against its budget: `make size`.

A folder over its budget loses lines by deleting something, never by squeezing. Exit status 1 if one is over.
Counts every line of `*.py`, `*.arch` and `*.lark`; tokens are Python's own, without comments, newlines and docstrings.
"""

from __future__ import annotations

import io
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# folder (or files), most lines; the first group is the compiler proper
PROPER = {
    "compiler/archc/diagnostics": 700,
    "compiler/archc/syntax": 1000,
    "compiler/archc/checker": 1100,
    "compiler/archc/ir": 1300,
    "compiler/archc/ops": 400,
    "compiler/archc/rules": 400,
    "compiler/archc/passes": 1300,
    "compiler/archc/codegen": 1800,
}
PROPER_TOTAL = 8000
AROUND = {
    "grammar": 280,
    "compiler/archc/runtime": 600,
    "compiler/archc/analyze": 1800,
    "compiler/archc/cli": 900,
    "compiler/archc/lsp": 1300,
    "compiler/archc/editor": 200,
    "compiler/archc/bench": 1200,
    "compiler/archc/train": 1800,
    "stdlib": 1500,
}
LONGEST_FILE = 400
SUFFIXES = {".py", ".arch", ".lark", ".rules"}
NOT_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
            tokenize.ENDMARKER}


def measure(path: Path) -> tuple[int, int]:
    """(lines, tokens) of a file; a file that is not Python has words for tokens."""
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    if path.suffix != ".py":
        return lines, len(text.split())
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(text).readline) if t.type not in NOT_CODE]
    return lines, sum(not (t.type == tokenize.STRING and t.string.startswith(('"""', 'r"""'))) for t in tokens)


def files_of(folder: str) -> list[Path]:
    return sorted(p for p in (ROOT / folder).rglob("*") if p.suffix in SUFFIXES and "__pycache__" not in p.parts)


def table(budgets: dict[str, int]) -> tuple[int, list[str]]:
    """Prints a row a folder; gives the sum of lines and what is over."""
    total, over = 0, []
    for folder, budget in budgets.items():
        sizes = [measure(path) for path in files_of(folder)]
        lines, tokens = sum(s[0] for s in sizes), sum(s[1] for s in sizes)
        mark = "  OVER" if lines > budget else ""
        print(f"{folder:32} {len(sizes):5} {lines:7} {budget:7} {tokens / max(lines, 1):11.1f}{mark}")
        total += lines
        if mark:
            over.append(f"{folder} has {lines} lines, its budget is {budget}")
    return total, over


def main() -> int:
    print(f"{'folder':32} {'files':>5} {'lines':>7} {'budget':>7} {'tokens/line':>11}")
    total, over = table(PROPER)
    print(f"{'the compiler proper':32} {'':5} {total:7} {PROPER_TOTAL:7}\n")
    over += table(AROUND)[1]
    if total > PROPER_TOTAL:
        over.append(f"the compiler proper has {total} lines, its budget is {PROPER_TOTAL}")
    long = [(path, lines) for path in files_of("compiler/archc") if (lines := measure(path)[0]) > LONGEST_FILE]
    over += [f"{path.relative_to(ROOT)} has {lines} lines, the most for a file is {LONGEST_FILE}" for path, lines in long]
    print("\n" + ("\n".join(over) or "everything is within its budget"))
    return bool(over)


if __name__ == "__main__":
    sys.exit(main())
