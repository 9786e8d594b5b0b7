/* SPDX-License-Identifier: MIT */
/*
 * What gen.c makes up instructions of: a mnemonic, the operand sizes in bytes, and an operand each
 * letter. r register, e register or memory, m memory, i immediate, b small immediate, c %cl, 1 the
 * constant, h half-size or byte-size e (movzx), w 16-bit e, d 32-bit e, R 32- or 64-bit register;
 * of vectors: x xmm, y ymm, X xmm or 16 bytes, Y ymm or 32 bytes, f xmm or 4 bytes, F xmm or 8,
 * n mm, N mm or 8 bytes; of memory alone: 4 8 t (10) o (16) O (32) 2; s st(i), S st(0).
 */
#include "tests/translate/gen.h"

#define M(name) ZYDIS_MNEMONIC_##name

#define ALU(name)                                                               \
	{M(name), 15, "er", 6}, {M(name), 15, "re", 6}, {M(name), 15, "ei", 5}, \
	{                                                                       \
		M(name), 14, "eb", 3                                            \
	}
#define SHIFT(name)                                     \
	{M(name), 15, "eb", 2}, {M(name), 15, "ec", 3}, \
	{                                               \
		M(name), 15, "e1", 1                    \
	}
#define CC(name)                        \
	{M(CMOV##name), 14, "re", 1},   \
	{                               \
		M(SET##name), 1, "e", 1 \
	}
#define BIT(name)                    \
	{M(name), 14, "er", 2},      \
	{                            \
		M(name), 14, "eb", 2 \
	}

const struct gen_template gen_templates[] = {
	/* clang-format off */
	ALU(ADD), ALU(SUB), ALU(ADC), ALU(SBB), ALU(AND), ALU(OR), ALU(XOR), ALU(CMP),
	{M(MOV), 15, "er", 24}, {M(MOV), 15, "re", 30}, {M(MOV), 15, "ei", 8}, {M(MOV), 15, "ri", 4},
	{M(TEST), 15, "er", 6}, {M(TEST), 15, "ei", 4},
	{M(INC), 15, "e", 4}, {M(DEC), 15, "e", 4}, {M(NEG), 15, "e", 3}, {M(NOT), 15, "e", 3},
	{M(XCHG), 15, "er", 4}, {M(XADD), 15, "er", 4}, {M(CMPXCHG), 15, "er", 5},
	{M(CMPXCHG8B), 8, "8", 2}, {M(CMPXCHG16B), 8, "o", 2},
	{M(MUL), 15, "e", 2}, {M(IMUL), 15, "e", 2}, {M(DIV), 15, "e", 2}, {M(IDIV), 15, "e", 2},
	{M(IMUL), 14, "re", 3}, {M(IMUL), 14, "rei", 2}, {M(IMUL), 14, "reb", 1},
	SHIFT(SHL), SHIFT(SHR), SHIFT(SAR), SHIFT(ROL), SHIFT(ROR), SHIFT(RCL), SHIFT(RCR),
	{M(SHLD), 14, "erb", 1}, {M(SHLD), 14, "erc", 2}, {M(SHRD), 14, "erb", 1}, {M(SHRD), 14, "erc", 2},
	BIT(BT), BIT(BTS), BIT(BTR), BIT(BTC),
	{M(BSF), 14, "re", 2}, {M(BSR), 14, "re", 2}, {M(POPCNT), 14, "re", 2},
	{M(LZCNT), 14, "re", 1}, {M(TZCNT), 14, "re", 1}, {M(BSWAP), 12, "r", 2},
	{M(MOVZX), 14, "rh", 6}, {M(MOVSX), 14, "rh", 5}, {M(MOVSXD), 8, "rd", 4},
	{M(LEA), 14, "rm", 14}, {M(MOVBE), 14, "rm", 2}, {M(MOVBE), 14, "mr", 2},
	{M(MOVNTI), 12, "mr", 1}, {M(CRC32), 4, "Rh", 1}, {M(ADCX), 12, "re", 1}, {M(ADOX), 12, "re", 1},
	CC(B), CC(BE), CC(L), CC(LE), CC(NB), CC(NBE), CC(NL), CC(NLE), CC(NO), CC(NP), CC(NS), CC(NZ),
	CC(O), CC(P), CC(S), CC(Z),
	{M(PUSH), 10, "e", 10}, {M(POP), 10, "e", 10}, {M(PUSH), 8, "i", 4}, {M(PUSH), 8, "r", 10},
	{M(POP), 8, "r", 10},
	{M(ANDN), 12, "rre", 1}, {M(BEXTR), 12, "rer", 1}, {M(BLSI), 12, "re", 1},
	{M(BLSR), 12, "re", 1}, {M(BZHI), 12, "rer", 1}, {M(PDEP), 12, "rre", 1},
	{M(PEXT), 12, "rre", 1}, {M(SHLX), 12, "rer", 1}, {M(SARX), 12, "rer", 1},
	{M(RORX), 12, "reb", 1}, {M(MULX), 12, "rre", 1},
	{M(NOP), 14, "e", 1}, {M(PREFETCHT0), 1, "m", 1},
	/* vectors */
	{M(MOVAPS), 1, "xX", 3}, {M(MOVAPS), 1, "Xx", 3}, {M(MOVUPS), 1, "xX", 3},
	{M(MOVUPS), 1, "Xx", 3}, {M(MOVDQA), 1, "xX", 2}, {M(MOVDQU), 1, "Xx", 2},
	{M(MOVD), 1, "xd", 1}, {M(MOVD), 1, "dx", 1}, {M(MOVQ), 1, "xF", 1}, {M(MOVQ), 1, "Fx", 1},
	{M(MOVSS), 1, "xf", 1}, {M(MOVSS), 1, "fx", 1}, {M(MOVSD), 1, "xF", 1}, {M(MOVSD), 1, "Fx", 1},
	{M(MOVHPS), 1, "x8", 1}, {M(MOVLPD), 1, "8x", 1}, {M(MOVNTDQ), 1, "ox", 1},
	{M(ADDPS), 1, "xX", 1}, {M(MULSD), 1, "xF", 2}, {M(DIVSS), 1, "xf", 1}, {M(SQRTSD), 1, "xF", 1},
	{M(UCOMISD), 1, "xF", 1}, {M(COMISS), 1, "xf", 1}, {M(PXOR), 1, "xX", 1}, {M(PADDD), 1, "xX", 1},
	{M(PSHUFD), 1, "xXb", 1}, {M(PCMPEQB), 1, "xX", 1}, {M(PMOVMSKB), 4, "Rx", 1},
	{M(CVTSI2SD), 12, "xe", 1}, {M(CVTTSD2SI), 12, "rF", 1}, {M(PSHUFB), 1, "xX", 1},
	{M(AESENC), 1, "xX", 1}, {M(PTEST), 1, "xX", 1}, {M(PEXTRQ), 8, "exb", 1}, {M(PINSRD), 4, "xeb", 1},
	{M(MOVMSKPD), 4, "Rx", 1}, {M(LDMXCSR), 1, "4", 1}, {M(STMXCSR), 1, "4", 1},
	{M(VMOVDQU), 1, "yY", 2}, {M(VMOVDQU), 1, "Yy", 2}, {M(VMOVAPS), 1, "yY", 1},
	{M(VADDPD), 1, "yyY", 1}, {M(VPXOR), 1, "yyY", 1}, {M(VPADDQ), 1, "xxX", 1},
	{M(VPTEST), 1, "yY", 1}, {M(VPERM2F128), 1, "yyYb", 1}, {M(VZEROUPPER), 1, "", 1},
	{M(VBROADCASTSD), 1, "y8", 1}, {M(VEXTRACTI128), 1, "Xyb", 1}, {M(VINSERTI128), 1, "yyXb", 1},
	{M(VMASKMOVPS), 1, "yyO", 1}, {M(VMASKMOVPS), 1, "Oyy", 1}, {M(VFMADD231SD), 1, "xxF", 1},
	{M(VPMASKMOVD), 1, "xxo", 1},
	{M(MOVQ), 1, "nN", 1}, {M(MOVQ), 1, "Nn", 1}, {M(PADDW), 1, "nN", 1}, {M(EMMS), 1, "", 1},
	/* x87 */
	{M(FLD), 1, "4", 1}, {M(FLD), 1, "8", 2}, {M(FLD), 1, "t", 2}, {M(FSTP), 1, "8", 2},
	{M(FSTP), 1, "t", 2}, {M(FST), 1, "4", 1}, {M(FILD), 1, "2", 1}, {M(FILD), 1, "8", 1},
	{M(FISTP), 1, "8", 1}, {M(FISTTP), 1, "4", 1}, {M(FADD), 1, "8", 1}, {M(FIADD), 1, "4", 1},
	{M(FNSTCW), 1, "2", 1}, {M(FLDCW), 1, "2", 1}, {M(FNSTSW), 1, "2", 1}, {M(FLD1), 1, "", 1},
	{M(FBSTP), 1, "t", 1},
	{M(FWAIT), 1, "", 1}, {M(FNINIT), 1, "", 1}, {M(FCOMI), 1, "Ss", 1}, {M(FXCH), 1, "Ss", 1},
	/* clang-format on */
};
const unsigned gen_nr_templates = sizeof(gen_templates) / sizeof(gen_templates[0]);
