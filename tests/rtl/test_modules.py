"""Equal modules of generated Verilog are found and written once; others are not."""

from __future__ import annotations

import pytest

from cofront.errors import CofrontError
from cofront.rtl.modules import Verilog
from cofront.rtl.synthesise import occurrences, wrapped

TEXT = """module top(clk, \\in$1 , out);
  input clk;
  input [7:0] \\in$1 ;
  output [7:0] out;
  wire [7:0] middle;
  wire [7:0] last;
  \\top.a  a (
    .clk(clk),
    .\\d$2 (\\in$1 ),
    .q(middle)
  );
  \\top.b$3  \\b$3 (
    .clk(clk),
    .d(middle),
    .\\q$4 (last)
  );
  \\top.c  c (
    .clk(clk),
    .d(last),
    .q(out)
  );
endmodule

module \\top.a (clk, \\d$2 , q);
  input clk;
  input [7:0] \\d$2 ;
  output [7:0] q;
  reg [7:0] q;
  always @(posedge clk)
    q <= \\d$2  + 8'h01;
endmodule

module \\top.b$3 (clk, d, \\q$4 );
  input clk;
  input [7:0] d;
  output [7:0] \\q$4 ;
  reg [7:0] \\q$4 ;
  always @(posedge clk)
    \\q$4  <= d + 8'h01;
endmodule

module \\top.c (clk, d, q);
  input clk;
  input [7:0] d;
  output [7:0] q;
  \\top.c.inner  inner (
    .clk(clk),
    .d(d),
    .q(q)
  );
endmodule

module \\top.c.inner (clk, d, q);
  input clk;
  input [7:0] d;
  output [7:0] q;
  reg [7:0] q;
  always @(posedge clk)
    q <= d + 8'h01;
endmodule
"""


def test_equal_modules_are_written_once() -> None:
    design = Verilog.parse(TEXT, "top")
    keys = {name: module.key for name, module in design.canonical.items()}
    assert keys["\\top.a"] == keys["\\top.b$3"] == keys["\\top.c.inner"] != keys["\\top.c"]
    merged = design.merged()
    assert list(merged.bodies) == ["top", "\\top.a", "\\top.c"]
    # The second instance is now of the first one's module, and its ports have that one's names.
    text = " ".join(merged.text().split())
    assert "\\top.a \\b$3 ( .clk(clk), .\\d$2 (middle), .q (last) );" in text.replace(".q(last)", ".q (last)")
    assert "b$3 (clk" not in text
    again = Verilog.parse(merged.text(), "top")
    assert {n: m.key for n, m in again.canonical.items()} == {n: keys[n] for n in merged.bodies}
    assert merged.times == {"top": 1, "\\top.a": 3, "\\top.c": 1}
    assert merged.merged().text() == merged.text()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("d + 8'h01", "d + 8'h02"),
        ("d + 8'h01", "d - 8'h01"),
        ("d + 8'h01", "q + 8'h01"),
        ("  reg [7:0] q;\n", '  (* ram_style = "block" *)\n  reg [7:0] q;\n'),
    ],
)
def test_modules_that_differ_in_anything_but_names_are_kept_apart(old: str, new: str) -> None:
    head, inner = TEXT.split("module \\top.c.inner ")
    assert old in inner
    design = Verilog.parse(head + "module \\top.c.inner " + inner.replace(old, new), "top")
    assert design.canonical["\\top.c.inner"].key != design.canonical["\\top.a"].key


def test_only_modules_are_flattened_into_their_parents() -> None:
    design = Verilog.parse(TEXT, "top")
    assert wrapped(design) == {("\\top.c", "\\top.c.inner")}
    keys = {name: module.key for name, module in design.canonical.items()}
    # The inner one of c is mapped with c, though it equals a and b, which are mapped by themselves.
    assert occurrences(design) == {keys["top"]: 1, keys["\\top.a"]: 2, keys["\\top.c"]: 1}
    assert occurrences(design.merged()) == occurrences(design)


def test_a_missing_top_is_said() -> None:
    with pytest.raises(CofrontError, match="no module 'engine'; it has top"):
        Verilog.parse(TEXT, "engine")
