"""The parse tables: Lark makes them from `grammar/arch.lark`, and they are saved beside it, keyed by the grammar's hash.

With saved tables a parse never imports Lark. Where they are missing or older than the grammar, the tables are made in
memory (0.2 s) and nothing is written. `python -m archc.syntax.tables` writes them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archc.resources import GRAMMAR, folder

FORMAT = 1
SAVED = "arch.tables.json"


@dataclass(frozen=True)
class Rule:
    """What a reduction does: pop `size` symbols, keep those that `picks` names, hand them to the action, go to `origin`.

    `picks` is a list of (index, whether its items are taken one by one, how many None stand before it); None keeps all.
    `action` is a method of the builder, "" for a list that its parent takes apart, "=" for the one kept child itself.
    """

    origin: str
    size: int
    action: str
    picks: tuple[tuple[int, bool, int], ...] | None
    trailing: int  # how many None stand after the last


@dataclass(frozen=True)
class Tables:
    """`states[s][symbol]` is the state after a shift, or `~rule` to reduce. `words` and `signs` map texts to terminals."""

    pattern: str
    words: dict[str, str]
    signs: dict[str, str]
    rules: tuple[Rule, ...]
    states: tuple[dict[str, int], ...]
    starts: dict[str, int]
    ends: dict[str, int]


def grammar_text() -> str:
    """The text of `arch.lark`."""
    return (folder(GRAMMAR) / "arch.lark").read_text(encoding="utf-8")


def key(grammar: str) -> str:
    return hashlib.sha256(grammar.encode()).hexdigest()


@functools.lru_cache(maxsize=1)
def load() -> Tables:
    """The saved tables if they belong to this grammar, else tables made now."""
    grammar = grammar_text()
    try:
        data = json.loads((folder(GRAMMAR) / SAVED).read_text(encoding="utf-8"))
        if data["format"] == FORMAT and data["grammar"] == key(grammar):
            return decode(data)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # missing, cut short or of another format: made anew, which is always right and only slower
    return decode(build(grammar))


def decode(data: dict[str, Any]) -> Tables:
    names: list[str] = data["symbols"]
    rules = tuple(
        Rule(origin, size, action, None if picks is None else tuple((i, bool(e), n) for i, e, n in picks), trailing)
        for origin, size, action, picks, trailing in data["rules"]
    )
    states = tuple({names[row[i]]: row[i + 1] for i in range(0, len(row), 2)} for row in data["states"])
    return Tables(data["pattern"], data["words"], data["signs"], rules, states, data["starts"], data["ends"])


def build(grammar: str) -> dict[str, Any]:
    """The tables as plain data. Raises lark's GrammarError for a grammar that is not LALR(1)."""
    from lark import Lark
    from lark.parsers.lalr_analysis import Shift

    made: Any = Lark(grammar, parser="lalr", lexer="basic", start=["file", "expression"], maybe_placeholders=True)
    table = made.parser.parser._parse_table
    words, signs, patterns = {}, {}, []
    for terminal in made.terminals:
        value = terminal.pattern.value
        if terminal.pattern.type == "re":
            patterns.append(f"(?P<{terminal.name}>{value})")
        elif re.fullmatch(r"[a-z]+", value):
            words[value] = terminal.name
        else:
            signs[value] = terminal.name
    longest_first = sorted(signs, key=lambda sign: (-len(sign), sign))
    patterns.append(f"(?P<SIGN>{'|'.join(map(re.escape, longest_first))})")

    number = {rule: i for i, rule in enumerate(made.rules)}
    symbols = sorted({symbol for row in table.states.values() for symbol in row})
    column = {symbol: i for i, symbol in enumerate(symbols)}
    order: dict[int, int] = {}  # Lark numbers states as its sets happen to be ordered: here, in the order of a walk
    for state in (waiting := [table.start_states[start] for start in sorted(table.start_states)]):
        if state not in order:
            order[state] = len(order)
            row = table.states[state]
            waiting.extend(row[symbol][1] for symbol in sorted(row) if row[symbol][0] is Shift)
    states = []
    for state in order:
        flat: list[int] = []
        for symbol, (action, argument) in sorted(table.states[state].items()):
            if action is Shift:
                flat += [column[symbol], order[argument]]
            elif argument in number:  # else the reduction of the whole text: the parser stops at the end state instead
                flat += [column[symbol], ~number[argument]]
        states.append(flat)
    return {
        "format": FORMAT,
        "grammar": key(grammar),
        "pattern": "|".join(patterns),
        "words": words,
        "signs": signs,
        "symbols": symbols,
        "rules": [encode_rule(rule) for rule in made.rules],
        "states": states,
        "starts": {start: order[state] for start, state in sorted(table.start_states.items())},
        "ends": {start: order[state] for start, state in sorted(table.end_states.items())},
    }


def encode_rule(rule: Any) -> list[Any]:
    """Lark's account of a rule (which tokens to drop, where an absent `[...]` leaves a None) as origin, size, action, picks."""
    empty = rule.options.empty_indices
    gaps = [len(run) for run in "".join(str(int(absent)) for absent in empty).split("0")] if empty else []
    gaps = gaps or [0] * (len(rule.expansion) + 1)
    picks: list[list[int]] = []
    nones = 0
    for i, symbol in enumerate(rule.expansion):
        nones += gaps[i]
        if symbol.is_term and symbol.filter_out:
            continue
        picks.append([i, int(not symbol.is_term and symbol.name.startswith("_")), nones])
        nones = 0
    nones += gaps[len(rule.expansion)]
    whole = picks == [[i, 0, 0] for i in range(len(rule.expansion))] and not nones
    action = rule.alias or rule.origin.name
    if rule.origin.name.startswith("_"):
        action = ""
    elif rule.options.expand1 and not rule.alias:
        if len(picks) != 1 or picks[0][1] or nones:
            raise ValueError(f"{rule}: a rule with `?` and no alias keeps one child")
        action = "="
    return [rule.origin.name, len(rule.expansion), action, None if whole else picks, nones]


def save() -> Path:
    """Write the tables beside the grammar."""
    path = folder(GRAMMAR) / SAVED
    data = build(grammar_text())
    lines = [f"{json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}" for name, value in data.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return path


if __name__ == "__main__":
    print(f"wrote {save()}")
