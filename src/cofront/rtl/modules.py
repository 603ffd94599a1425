"""Modules of generated Verilog: which of them are the same, so that each is written, simulated and mapped once.

Amaranth writes a module for every instance, with names of its own. Two modules are the same where their texts agree
token by token when every name is replaced by the number of its first appearance, and every module inside by what that
is the same as. Only the regular Verilog that Yosys writes is understood.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from cofront.errors import CofrontError

#: Cells that generated Verilog takes from the vendor's library.
LIBRARY = frozenset({"DSP48E1", "DSP48E2"})

_MODULE = re.compile(r"^(?:\(\*[^\n]*\*\)\n)*module (\S+?) ?\(.*?^endmodule\n?", re.M | re.S)
_TOKEN = re.compile(
    r"""\\\S+|[A-Za-z_$][\w$]*|\d*'[sS]?[hbdHBD][0-9a-fA-FxXzZ_?]+|\d+|"[^"]*"|/\*.*?\*/|\s+"""
    r"""|<<<|>>>|===|!==|<<|>>|<=|>=|==|!=|&&|\|\||~&|~\||~\^|\(\*|\*\)|@\*|.""",
    re.S,
)
_WORD = re.compile(
    "module|endmodule|input|output|inout|wire|reg|signed|assign|always|posedge|negedge|begin|end|if|else|case|casez|"
    "casex|endcase|default|initial|integer|for|or|and|not|parameter|localparam"
)


@dataclass(frozen=True)
class Canonical:
    """A module with its names numbered: tokens, those of modules inside as their keys; the numbers; a digest of it."""

    tokens: tuple[str, ...]
    inside: frozenset[str]
    numbers: Mapping[str, int]
    key: str

    def text(self, names: Mapping[str, str], own: str) -> str:
        """Verilog under the name `own`, modules inside by `names` (key -> name)."""
        return " ".join({SELF: own}.get(t) or (names[t] if t in self.inside else t) for t in self.tokens) + "\n"

    def stub(self, own: str) -> str:
        """Its ports only."""
        tokens = self.tokens
        at = tokens.index(";") + 1
        out = [f"(* blackbox *) module {own}", *tokens[tokens.index("(") : at]]
        while at < len(tokens):
            end = next((i for i in range(at, len(tokens)) if tokens[i] == ";"), len(tokens))
            if tokens[at] in ("input", "output"):
                out += tokens[at : end + 1]
            at = end + 1
        return " ".join(out) + " endmodule\n"


SELF = "<self>"


@dataclass(frozen=True)
class Verilog:
    """Modules by name in the order of the text, and which of them is the top."""

    top: str
    bodies: Mapping[str, str]

    @classmethod
    def parse(cls, text: str, top: str) -> Verilog:
        bodies = {found.group(1): found.group(0) for found in _MODULE.finditer(text)}
        if top not in bodies:
            raise CofrontError(f"the Verilog has no module '{top}'; it has {', '.join(list(bodies)[:3]) or 'none'}")
        return cls(top, bodies)

    @cached_property
    def tokens(self) -> dict[str, list[str]]:
        return {name: _TOKEN.findall(body) for name, body in self.bodies.items()}

    @cached_property
    def children(self) -> dict[str, list[str]]:
        """Module -> the modules of its instances, one entry each, in the order of the text."""
        return {name: [t for t in tokens if t in self.bodies and t != name] for name, tokens in self.tokens.items()}

    @cached_property
    def bottom_up(self) -> list[str]:
        """Modules that the top is made of, children first."""
        order: dict[str, None] = {}

        def visit(name: str) -> None:
            if name not in order:
                for child in dict.fromkeys(self.children[name]):
                    visit(child)
                order[name] = None

        visit(self.top)
        return list(order)

    @cached_property
    def times(self) -> Counter[str]:
        """How often each module occurs in the top."""
        times = Counter({self.top: 1})
        for name in reversed(self.bottom_up):
            for child in self.children[name]:
                times[child] += times[name]
        return times

    @cached_property
    def canonical(self) -> dict[str, Canonical]:
        out: dict[str, Canonical] = {}
        for name in self.bottom_up:
            ids: dict[str, int] = {}
            tokens = []
            for token, owner in self._named(name):
                if owner is None:
                    tokens.append(token)
                elif owner != name:
                    child = out[owner]
                    tokens.append(child.key if token == owner else f"n{child.numbers[token]}")
                else:
                    tokens.append(SELF if token == name else f"n{ids.setdefault(token, len(ids))}")
            inside = frozenset(out[child].key for child in self.children[name])
            out[name] = Canonical(tuple(tokens), inside, ids, sha256(" ".join(tokens).encode()).hexdigest()[:24])
        return out

    def _named(self, name: str) -> Iterator[tuple[str, str | None]]:
        """Tokens without spaces, each with the module whose name it is: of an instance's port, the instance's."""
        inside, dot, attribute = "", False, False
        for token in self.tokens[name]:
            if token.isspace() or token.startswith("/*"):
                continue
            attribute = token == "(*" or (attribute and token != "*)")
            inside = token if token in LIBRARY or (token in self.bodies and token != name) else inside
            if dot:  # a port; a library cell's ports and parameters stay as they are
                yield token, inside if inside in self.bodies else None
            elif (
                attribute or token in LIBRARY or _WORD.fullmatch(token) or not (token[0] in "\\_" or token[0].isalpha())
            ):
                yield token, None
            else:
                yield token, token if token in self.bodies else name
            dot = token == "."

    def merged(self) -> Verilog:
        """The same design with every module once: instances of equal modules become those of the first."""
        canonical, first = self.canonical, dict[str, str]()
        for name in self.bodies:
            if name in canonical:
                first.setdefault(canonical[name].key, name)
        kept: dict[str, str] = {}
        for name in first.values():
            out, inside, dot = [], "", False
            for token, following in zip(self.tokens[name], (*self.tokens[name][1:], " "), strict=True):
                if dot and inside in self.bodies:
                    twin = canonical[first[canonical[inside].key]]
                    token = list(twin.numbers)[canonical[inside].numbers[token]]
                    token += " " if token.startswith("\\") and not following.isspace() else ""
                elif token in LIBRARY or (token in self.bodies and token != name):
                    inside = token
                    token = first[canonical[token].key] if token in self.bodies else token
                out.append(token)
                dot = token == "." or (dot and token.isspace())
            kept[name] = "".join(out)
        return Verilog(self.top, kept)

    def text(self) -> str:
        return "\n".join(body.strip("\n") + "\n" for body in self.bodies.values())
