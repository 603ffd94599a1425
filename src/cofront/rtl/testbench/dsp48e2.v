// What slices share: an operand of WIDE bits and one of 18, and D plus either of them before the multiplier. SUM_A and
// SUM_B: the sum takes that operand's place; ADD_B: it is of D and B, not of D and A. Our own model of the documented
// behaviour, for simulation only. Reset inputs, other ALU modes and the cascades of A and B are left out.
module dsp48_core #(
  parameter integer WIDE = 27, parameter integer AREG = 1, parameter integer BREG = 1,
  parameter integer SUM_A = 0, parameter integer SUM_B = 0, parameter integer ADD_B = 0
) (
  input CLK,
  input [29:0] A, input [17:0] B, input [47:0] C, input [WIDE-1:0] D, input [47:0] PCIN,
  input [2:0] Z, input [4:0] INMODE,
  input CEA1, input CEA2, input CEB1, input CEB2, input CEC, input CED, input CEAD, input CEM, input CEP,
  output [47:0] P
);
  reg signed [29:0] a1 = 0, a2 = 0;
  reg signed [17:0] b1 = 0, b2 = 0;
  reg signed [WIDE-1:0] d1 = 0, ad = 0;
  reg signed [47:0] c1 = 0, p = 0;
  reg signed [WIDE+17:0] product = 0;

  wire signed [WIDE-1:0] zero = 0;
  wire signed [WIDE-1:0] b_wide = {{(WIDE-18){b2[17]}}, b2};
  wire signed [WIDE-1:0] added = INMODE[1] ? zero : ADD_B ? b_wide : a2[WIDE-1:0];
  wire signed [WIDE-1:0] other = INMODE[2] ? d1 : zero;
  wire signed [WIDE-1:0] sum = INMODE[3] ? other - added : other + added;

  wire signed [WIDE-1:0] a_operand = SUM_A ? ad : a2[WIDE-1:0];
  wire signed [17:0] b_operand = SUM_B ? ad[17:0] : b2;

  wire signed [47:0] product_wide = {{(30-WIDE){product[WIDE+17]}}, product};
  wire signed [47:0] z = Z == 3'b001 ? PCIN : Z == 3'b010 ? p : Z == 3'b011 ? c1 : 48'd0;

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
endmodule

// DSP48E2 as this project uses it: multiplier, pre-adder on A or B, addend C, P or PCIN, all registers.
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
  dsp48_core #(
    .WIDE(27), .AREG(AREG), .BREG(BREG), .SUM_A(AMULTSEL == "AD"), .SUM_B(BMULTSEL == "AD"), .ADD_B(PREADDINSEL == "B")
  ) core (
    .CLK(CLK), .A(A), .B(B), .C(C), .D(D), .PCIN(PCIN), .Z(OPMODE[6:4]), .INMODE(INMODE), .CEA1(CEA1), .CEA2(CEA2),
    .CEB1(CEB1), .CEB2(CEB2), .CEC(CEC), .CED(CED), .CEAD(CEAD), .CEM(CEM), .CEP(CEP), .P(P)
  );
  assign PCOUT = P;
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
  dsp48_core #(.WIDE(25), .AREG(AREG), .BREG(BREG), .SUM_A(USE_DPORT == "TRUE")) core (
    .CLK(CLK), .A(A), .B(B), .C(C), .D(D), .PCIN(PCIN), .Z(OPMODE[6:4]), .INMODE(INMODE), .CEA1(CEA1), .CEA2(CEA2),
    .CEB1(CEB1), .CEB2(CEB2), .CEC(CEC), .CED(CED), .CEAD(CEAD), .CEM(CEM), .CEP(CEP), .P(P)
  );
  assign PCOUT = P;
endmodule
