// DSP48E2 as this project uses it: multiplier, pre-adder on A or B, addend C, P or PCIN, all registers; our own model of
// the documented behaviour, for simulation only. Reset inputs, other ALU modes and the cascades of A and B are left out.
module DSP48E2 #(
  parameter USE_MULT = "MULTIPLY", parameter USE_SIMD = "ONE48", parameter A_INPUT = "DIRECT",
  parameter B_INPUT = "DIRECT", parameter AMULTSEL = "A", parameter BMULTSEL = "B", parameter PREADDINSEL = "A",
  parameter integer AREG = 1, parameter integer ACASCREG = 1, parameter integer BREG = 1, parameter integer BCASCREG = 1,
  parameter integer ADREG = 1, parameter integer DREG = 1, parameter integer CREG = 1, parameter integer MREG = 1,
  parameter integer PREG = 1, parameter integer OPMODEREG = 0, parameter integer ALUMODEREG = 0,
  parameter integer INMODEREG = 0, parameter integer CARRYINREG = 0, parameter integer CARRYINSELREG = 0
) (
  input CLK,
  input [29:0] A, input [29:0] ACIN, input [17:0] B, input [17:0] BCIN, input [47:0] C, input [26:0] D,
  input [47:0] PCIN, input [8:0] OPMODE, input [3:0] ALUMODE, input [4:0] INMODE, input [2:0] CARRYINSEL,
  input CARRYIN, input CARRYCASCIN, input MULTSIGNIN,
  input CEA1, input CEA2, input CEB1, input CEB2, input CEC, input CED, input CEAD, input CEM, input CEP,
  input CECTRL, input CEINMODE, input CEALUMODE, input CECARRYIN,
  input RSTA, input RSTB, input RSTC, input RSTD, input RSTM, input RSTP, input RSTCTRL, input RSTINMODE,
  input RSTALUMODE, input RSTALLCARRYIN,
  output [47:0] P, output [47:0] PCOUT
);
  reg signed [29:0] a1 = 0, a2 = 0;
  reg signed [17:0] b1 = 0, b2 = 0;
  reg signed [26:0] d1 = 0, ad = 0;
  reg signed [47:0] c1 = 0, p = 0;
  reg signed [44:0] product = 0;

  // The pre-adder: D plus A or B.
  wire signed [26:0] b_wide = {{9{b2[17]}}, b2};
  wire signed [26:0] added = INMODE[1] ? 27'd0 : PREADDINSEL == "A" ? a2[26:0] : b_wide;
  wire signed [26:0] other = INMODE[2] ? d1 : 27'd0;
  wire signed [26:0] sum = INMODE[3] ? other - added : other + added;

  wire signed [26:0] a_operand = AMULTSEL == "AD" ? ad : a2[26:0];
  wire signed [17:0] b_operand = BMULTSEL == "AD" ? ad[17:0] : b2;

  wire signed [47:0] product_wide = {{3{product[44]}}, product};
  wire signed [47:0] z = OPMODE[6:4] == 3'b001 ? PCIN : OPMODE[6:4] == 3'b010 ? p : OPMODE[6:4] == 3'b011 ? c1 : 48'd0;

  always @(posedge CLK) begin
    if (CEA1) a1 <= A;
    if (CEA2) a2 <= AREG == 2 ? a1 : A;
    if (CEB1) b1 <= B;
    if (CEB2) b2 <= BREG == 2 ? b1 : B;
    if (CED) d1 <= D;
    if (CEAD) ad <= sum;
    if (CEC) c1 <= C;
    if (CEM) product <= a_operand * b_operand;
    if (CEP) p <= product_wide + z;
  end

  assign P = p;
  assign PCOUT = p;
endmodule

// DSP48E1 likewise: A and D of 25 bits, the pre-adder on A.
module DSP48E1 #(
  parameter USE_MULT = "MULTIPLY", parameter USE_SIMD = "ONE48", parameter A_INPUT = "DIRECT",
  parameter B_INPUT = "DIRECT", parameter USE_DPORT = "FALSE",
  parameter integer AREG = 1, parameter integer ACASCREG = 1, parameter integer BREG = 1, parameter integer BCASCREG = 1,
  parameter integer ADREG = 1, parameter integer DREG = 1, parameter integer CREG = 1, parameter integer MREG = 1,
  parameter integer PREG = 1, parameter integer OPMODEREG = 0, parameter integer ALUMODEREG = 0,
  parameter integer INMODEREG = 0, parameter integer CARRYINREG = 0, parameter integer CARRYINSELREG = 0
) (
  input CLK,
  input [29:0] A, input [29:0] ACIN, input [17:0] B, input [17:0] BCIN, input [47:0] C, input [24:0] D,
  input [47:0] PCIN, input [6:0] OPMODE, input [3:0] ALUMODE, input [4:0] INMODE, input [2:0] CARRYINSEL,
  input CARRYIN, input CARRYCASCIN, input MULTSIGNIN,
  input CEA1, input CEA2, input CEB1, input CEB2, input CEC, input CED, input CEAD, input CEM, input CEP,
  input CECTRL, input CEINMODE, input CEALUMODE, input CECARRYIN,
  input RSTA, input RSTB, input RSTC, input RSTD, input RSTM, input RSTP, input RSTCTRL, input RSTINMODE,
  input RSTALUMODE, input RSTALLCARRYIN,
  output [47:0] P, output [47:0] PCOUT
);
  reg signed [29:0] a1 = 0, a2 = 0;
  reg signed [17:0] b1 = 0, b2 = 0;
  reg signed [24:0] d1 = 0, ad = 0;
  reg signed [47:0] c1 = 0, p = 0;
  reg signed [42:0] product = 0;

  wire signed [24:0] added = INMODE[1] ? 25'd0 : a2[24:0];
  wire signed [24:0] other = INMODE[2] ? d1 : 25'd0;
  wire signed [24:0] sum = INMODE[3] ? other - added : other + added;

  wire signed [24:0] a_operand = USE_DPORT == "TRUE" ? ad : a2[24:0];
  wire signed [17:0] b_operand = b2;

  wire signed [47:0] product_wide = {{5{product[42]}}, product};
  wire signed [47:0] z = OPMODE[6:4] == 3'b001 ? PCIN : OPMODE[6:4] == 3'b010 ? p : OPMODE[6:4] == 3'b011 ? c1 : 48'd0;

  always @(posedge CLK) begin
    if (CEA1) a1 <= A;
    if (CEA2) a2 <= AREG == 2 ? a1 : A;
    if (CEB1) b1 <= B;
    if (CEB2) b2 <= BREG == 2 ? b1 : B;
    if (CED) d1 <= D;
    if (CEAD) ad <= sum;
    if (CEC) c1 <= C;
    if (CEM) product <= a_operand * b_operand;
    if (CEP) p <= product_wide + z;
  end

  assign P = p;
  assign PCOUT = p;
endmodule
