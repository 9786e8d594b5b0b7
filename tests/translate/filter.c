/* SPDX-License-Identifier: MIT */
/*
 * What cannot be compared: instructions whose result is the machine's (time, identity, descriptor
 * tables), or is not the CPU's in a PV guest (privileged ones, system calls, segment registers).
 */
#include "tests/translate/filter.h"

#define ARITHMETIC 0x8d5UL /* CF PF AF ZF SF OF */

static const ZydisMnemonic machine[] = {
	ZYDIS_MNEMONIC_CPUID,	   ZYDIS_MNEMONIC_RDTSC,    ZYDIS_MNEMONIC_RDTSCP,
	ZYDIS_MNEMONIC_RDRAND,	   ZYDIS_MNEMONIC_RDSEED,   ZYDIS_MNEMONIC_RDPID,
	ZYDIS_MNEMONIC_RDPMC,	   ZYDIS_MNEMONIC_RDPRU,    ZYDIS_MNEMONIC_XGETBV,
	ZYDIS_MNEMONIC_XSETBV,	   ZYDIS_MNEMONIC_IN,	    ZYDIS_MNEMONIC_OUT,
	ZYDIS_MNEMONIC_SGDT,	   ZYDIS_MNEMONIC_SIDT,	    ZYDIS_MNEMONIC_SLDT,
	ZYDIS_MNEMONIC_STR,	   ZYDIS_MNEMONIC_SMSW,	    ZYDIS_MNEMONIC_LAR,
	ZYDIS_MNEMONIC_LSL,	   ZYDIS_MNEMONIC_VERR,	    ZYDIS_MNEMONIC_VERW,
	ZYDIS_MNEMONIC_CLI,	   ZYDIS_MNEMONIC_STI,	    ZYDIS_MNEMONIC_LSS,
	ZYDIS_MNEMONIC_LFS,	   ZYDIS_MNEMONIC_LGS,	    ZYDIS_MNEMONIC_MONITOR,
	ZYDIS_MNEMONIC_MWAIT,	   ZYDIS_MNEMONIC_MONITORX, ZYDIS_MNEMONIC_MWAITX,
	ZYDIS_MNEMONIC_VMCALL,	   ZYDIS_MNEMONIC_VMMCALL,  ZYDIS_MNEMONIC_XBEGIN,
	ZYDIS_MNEMONIC_INVLPGB,	   ZYDIS_MNEMONIC_TLBSYNC,  ZYDIS_MNEMONIC_CLAC,
	ZYDIS_MNEMONIC_STAC,	   ZYDIS_MNEMONIC_RDPKRU,   ZYDIS_MNEMONIC_WRPKRU,
	ZYDIS_MNEMONIC_MCOMMIT,	   ZYDIS_MNEMONIC_INT,	    ZYDIS_MNEMONIC_IRET,
	ZYDIS_MNEMONIC_IRETD,	   ZYDIS_MNEMONIC_IRETQ,    ZYDIS_MNEMONIC_INT1,
	ZYDIS_MNEMONIC_SYSENTER,   ZYDIS_MNEMONIC_SYSEXIT,  ZYDIS_MNEMONIC_MOVDIR64B,
	ZYDIS_MNEMONIC_XEND,	   ZYDIS_MNEMONIC_XTEST,    ZYDIS_MNEMONIC_XABORT,
	ZYDIS_MNEMONIC_STGI,	   ZYDIS_MNEMONIC_CLGI,	    ZYDIS_MNEMONIC_SKINIT,
	ZYDIS_MNEMONIC_LGDT,	   ZYDIS_MNEMONIC_LIDT,	    ZYDIS_MNEMONIC_LLDT,
	ZYDIS_MNEMONIC_LTR,	   ZYDIS_MNEMONIC_LMSW,	    ZYDIS_MNEMONIC_CLFLUSH,
	ZYDIS_MNEMONIC_CLFLUSHOPT, ZYDIS_MNEMONIC_CLWB,	    ZYDIS_MNEMONIC_CLDEMOTE,
	ZYDIS_MNEMONIC_XRSTORS,	   ZYDIS_MNEMONIC_SWAPGS,
};

/* They store where the last x87 instruction was, which is another place in translated code. */
static const ZydisMnemonic x87_places[] = {
	ZYDIS_MNEMONIC_FXSAVE,	  ZYDIS_MNEMONIC_FXSAVE64,   ZYDIS_MNEMONIC_XSAVE,
	ZYDIS_MNEMONIC_XSAVE64,	  ZYDIS_MNEMONIC_XSAVEC,     ZYDIS_MNEMONIC_XSAVEC64,
	ZYDIS_MNEMONIC_XSAVEOPT,  ZYDIS_MNEMONIC_XSAVEOPT64, ZYDIS_MNEMONIC_XSAVES,
	ZYDIS_MNEMONIC_XSAVES64,  ZYDIS_MNEMONIC_FNSTENV,    ZYDIS_MNEMONIC_FNSAVE,
	ZYDIS_MNEMONIC_XRSTORS64,
};

static bool among(ZydisMnemonic m, const ZydisMnemonic *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == m)
			return true;
	return false;
}
#define AMONG(m, list) among(m, list, sizeof(list) / sizeof(list[0]))

bool filter_decode(const uint8_t *insn, size_t n, ZydisDecodedInstruction *i,
		   ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT])
{
	static ZydisDecoder decoder;

	if (!decoder.stack_width)
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return n && ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, insn, n, i, op));
}

const char *filter_kind(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *op)
{
	if (i->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED)
		return "privileged";
	if (i->meta.category == ZYDIS_CATEGORY_SYSCALL ||
	    i->meta.category == ZYDIS_CATEGORY_SYSRET || i->meta.category == ZYDIS_CATEGORY_VTX ||
	    i->meta.category == ZYDIS_CATEGORY_IOSTRINGOP ||
	    i->meta.category == ZYDIS_CATEGORY_WAITPKG || i->meta.category == ZYDIS_CATEGORY_CET ||
	    i->meta.category == ZYDIS_CATEGORY_UINTR || i->meta.category == ZYDIS_CATEGORY_SGX ||
	    i->meta.category == ZYDIS_CATEGORY_ENQCMD || i->meta.category == ZYDIS_CATEGORY_PADLOCK)
		return "system";
	if (i->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX ||
	    i->encoding == ZYDIS_INSTRUCTION_ENCODING_MVEX ||
	    i->meta.category == ZYDIS_CATEGORY_KMASK)
		return "not a guest's";
	if (i->meta.isa_ext == ZYDIS_ISA_EXT_AVX_VNNI)
		return "not a guest's";
	/* Does it fault for what its mask leaves out, and is the stack a set of MMX then? */
	if (i->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ)
		return "the maker's";
	/* A hint for a register: #UD on AMD's, nothing on Intel's. */
	if (i->opcode_map == ZYDIS_OPCODE_MAP_0F && i->opcode == 0x0d && i->raw.modrm.mod == 3)
		return "the maker's";
	/* With 16 bits of rip on AMD's, 64 on Intel's. */
	if (i->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE &&
	    i->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE)
		return "the maker's";
	if (AMONG(i->mnemonic, machine))
		return "the machine's";
	if (AMONG(i->mnemonic, x87_places))
		return "where x87 was";
	if (i->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return "far branch";
	for (unsigned k = 0; k < i->operand_count; k++) {
		const ZydisDecodedOperand *o = &op[k];

		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    o->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
		    ZydisRegisterGetClass(o->reg.value) == ZYDIS_REGCLASS_SEGMENT)
			return "segment register";
		if (o->type == ZYDIS_OPERAND_TYPE_POINTER)
			return "far pointer";
	}
	return NULL;
}

/*
 * What of the flags the instruction leaves to the CPU's taste, after all that came before. With a
 * count of zero some leave them as they were. False: it reads what nobody has defined.
 */
static bool flags_of(const ZydisDecodedInstruction *i, struct trace *t)
{
	const ZydisAccessedFlags *f = i->cpu_flags;
	const bool counted = i->meta.category == ZYDIS_CATEGORY_SHIFT ||
			     i->meta.category == ZYDIS_CATEGORY_ROTATE ||
			     i->meta.category == ZYDIS_CATEGORY_STRINGOP;

	if (!f)
		return true;
	if (f->tested & t->undefined & ARITHMETIC)
		return false;
	if (!counted)
		t->undefined &= ~(f->modified | f->set_0 | f->set_1);
	t->undefined |= f->undefined;
	return true;
}

/*
 * From one name of a page to another: a fast string instruction compares linear addresses, and does
 * not see that it overtakes itself. And over the page that it is in: it goes on until an interrupt,
 * which is any time.
 */
static bool repeats_oddly(const struct vcpu *v, const ZydisDecodedInstruction *i)
{
	const uint64_t from = v->regs.rsi - DATA_VA - va_delta;
	const uint64_t to = v->regs.rdi - DATA_VA - va_delta;
	const bool moves = (i->opcode & ~1) == 0xa4, stores = (i->opcode & ~1) == 0xaa;

	if (i->meta.category != ZYDIS_CATEGORY_STRINGOP ||
	    !(i->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPNE)))
		return false;
	if (moves && from < 8 * PAGE && to < 8 * PAGE && (from >= 5 * PAGE || to >= 5 * PAGE))
		return true;
	return (moves || stores) &&
	       ((to >= 5 * PAGE && to < 8 * PAGE) || v->regs.rdi - CODE_VA - va_delta < 2 * PAGE);
}

bool filter_insn(struct vcpu *v, const uint8_t *insn, unsigned n, bool stored, struct trace *t)
{
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	uint64_t flags = 0;

	if (!filter_decode(insn, n, &i, op))
		return true; /* #UD or #PF in all three */
	t->why = filter_kind(&i, op);
	if (t->why)
		return false;
	/* The host's CPU would trap for its own sake. */
	if (i.mnemonic == ZYDIS_MNEMONIC_POPFQ || i.mnemonic == ZYDIS_MNEMONIC_POPF) {
		copy_from_guest(v, &flags, v->regs.rsp, 2);
		copy_from_guest(v, &flags, v->regs.rsp, i.operand_width / 8);
		if (flags & (FLAG_TF | FLAG_AC | FLAG_NT)) {
			t->why = "popf of TF, NT or AC";
			return false;
		}
	}
	if (repeats_oddly(v, &i)) {
		t->why = "rep over itself";
		return false;
	}
	if (stored && i.cpu_flags && i.cpu_flags->tested & ARITHMETIC) {
		t->why = "flags across a store to code";
		return false;
	}
	if (!flags_of(&i, t))
		t->why = "reads an undefined flag";
	return !t->why;
}
