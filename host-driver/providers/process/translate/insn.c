/* SPDX-License-Identifier: MIT */
/*
 * Guest instructions, sorted by how they are translated. What is not known to be harmless is
 * INSN_STEP: a list of what runs as it is, not of what must not.
 */
#include "host-driver/providers/process/translate/insn.h"

static bool uses_evex(const ZydisDecodedInstruction *i)
{
	return i->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX ||
	       i->encoding == ZYDIS_INSTRUCTION_ENCODING_MVEX ||
	       i->encoding == ZYDIS_INSTRUCTION_ENCODING_XOP ||
	       i->encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW;
}

/* Those that a program in ring 3 runs without the kernel's knowledge, and without stack or rep. */
static bool ordinary(const ZydisDecodedInstruction *i)
{
	switch (i->meta.category) {
	case ZYDIS_CATEGORY_ADOX_ADCX:
	case ZYDIS_CATEGORY_AES:
	case ZYDIS_CATEGORY_AVX:
	case ZYDIS_CATEGORY_AVX2:
	case ZYDIS_CATEGORY_BINARY:
	case ZYDIS_CATEGORY_BITBYTE:
	case ZYDIS_CATEGORY_BMI1:
	case ZYDIS_CATEGORY_BMI2:
	case ZYDIS_CATEGORY_BROADCAST:
	case ZYDIS_CATEGORY_CMOV:
	case ZYDIS_CATEGORY_CONVERT:
	case ZYDIS_CATEGORY_DATAXFER:
	case ZYDIS_CATEGORY_FCMOV:
	case ZYDIS_CATEGORY_LOGICAL:
	case ZYDIS_CATEGORY_LOGICAL_FP:
	case ZYDIS_CATEGORY_LZCNT:
	case ZYDIS_CATEGORY_MISC:
	case ZYDIS_CATEGORY_MMX:
	case ZYDIS_CATEGORY_PCLMULQDQ:
	case ZYDIS_CATEGORY_RDRAND:
	case ZYDIS_CATEGORY_RDSEED:
	case ZYDIS_CATEGORY_ROTATE:
	case ZYDIS_CATEGORY_SEMAPHORE:
	case ZYDIS_CATEGORY_SETCC:
	case ZYDIS_CATEGORY_SHA:
	case ZYDIS_CATEGORY_SHIFT:
	case ZYDIS_CATEGORY_SSE:
	case ZYDIS_CATEGORY_STTNI:
	case ZYDIS_CATEGORY_TBM:
	case ZYDIS_CATEGORY_VAES:
	case ZYDIS_CATEGORY_VFMA:
	case ZYDIS_CATEGORY_VPCLMULQDQ:
	case ZYDIS_CATEGORY_X87_ALU: return true;
	case ZYDIS_CATEGORY_FLAGOP:
		return i->mnemonic == ZYDIS_MNEMONIC_CLC || i->mnemonic == ZYDIS_MNEMONIC_STC ||
		       i->mnemonic == ZYDIS_MNEMONIC_CMC || i->mnemonic == ZYDIS_MNEMONIC_CLD ||
		       i->mnemonic == ZYDIS_MNEMONIC_STD || i->mnemonic == ZYDIS_MNEMONIC_LAHF ||
		       i->mnemonic == ZYDIS_MNEMONIC_SAHF;
	default: return false;
	}
}

/* Of those categories, but not to be run as they are. */
static bool exception(const struct tr_insn *n)
{
	switch (n->i.mnemonic) {
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_XLAT:
	case ZYDIS_MNEMONIC_ENTER:
	case ZYDIS_MNEMONIC_BOUND:
	case ZYDIS_MNEMONIC_RDPID:
	case ZYDIS_MNEMONIC_RDPRU:
	case ZYDIS_MNEMONIC_MONITOR:
	case ZYDIS_MNEMONIC_MWAIT:
	case ZYDIS_MNEMONIC_MONITORX:
	case ZYDIS_MNEMONIC_MWAITX:
	case ZYDIS_MNEMONIC_UMONITOR:
	case ZYDIS_MNEMONIC_UMWAIT:
	case ZYDIS_MNEMONIC_TPAUSE:
	case ZYDIS_MNEMONIC_CLZERO:
	case ZYDIS_MNEMONIC_MOVDIR64B:
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
	case ZYDIS_MNEMONIC_MASKMOVQ:
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ: return true;
	default: break;
	}
	if (n->i.attributes & (ZYDIS_ATTRIB_IS_PRIVILEGED | ZYDIS_ATTRIB_HAS_REP |
			       ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE))
		return true;
	for (unsigned k = 0; k < n->i.operand_count; k++) {
		const ZydisDecodedOperand *op = &n->op[k];

		if (op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_SEGMENT ||
		     ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_CONTROL ||
		     ZydisRegisterGetClass(op->reg.value) == ZYDIS_REGCLASS_DEBUG))
			return true;
	}
	return false;
}

static bool high_byte(const struct tr_insn *n)
{
	for (unsigned k = 0; k < n->i.operand_count; k++)
		if (n->op[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    n->op[k].reg.value >= ZYDIS_REGISTER_AH &&
		    n->op[k].reg.value <= ZYDIS_REGISTER_BH)
			return true;
	return false;
}

static unsigned temp_of(ZydisRegister reg)
{
	switch (ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg)) {
	case ZYDIS_REGISTER_R14: return 1;
	case ZYDIS_REGISTER_R15: return 2;
	default: return 0;
	}
}

static void temps(struct tr_insn *n)
{
	for (unsigned k = 0; k < n->i.operand_count; k++) {
		const ZydisDecodedOperand *op = &n->op[k];
		unsigned t = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? temp_of(op->reg.value) : 0;

		if (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
			n->temps_written |= t;
		/* What is written in part, or perhaps (bsf of 0), stays in the rest. */
		if (op->actions != ZYDIS_OPERAND_ACTION_WRITE || op->size < 32 ||
		    n->i.mnemonic == ZYDIS_MNEMONIC_BSF || n->i.mnemonic == ZYDIS_MNEMONIC_BSR)
			n->temps_read |= t;
	}
}

bool insn_may_keep_flags(const ZydisDecodedInstruction *i)
{
	return i->meta.category == ZYDIS_CATEGORY_SHIFT ||
	       i->meta.category == ZYDIS_CATEGORY_ROTATE ||
	       i->meta.category == ZYDIS_CATEGORY_STRINGOP || i->mnemonic == ZYDIS_MNEMONIC_BSF ||
	       i->mnemonic == ZYDIS_MNEMONIC_BSR;
}

/* It hands the flags to the guest's kernel, in r11 or in a frame, before it changes any. */
static bool shows_flags(const ZydisDecodedInstruction *i)
{
	return i->meta.category == ZYDIS_CATEGORY_SYSCALL ||
	       i->meta.category == ZYDIS_CATEGORY_INTERRUPT;
}

static void flags(const ZydisDecodedInstruction *i, uint32_t *read, uint32_t *killed)
{
	const ZydisAccessedFlags *f = i->cpu_flags;

	*read = shows_flags(i) ? FLAGS_ARITH : f ? f->tested & FLAGS_ARITH : 0;
	*killed = f && !insn_may_keep_flags(i)
			  ? (f->modified | f->set_0 | f->set_1 | f->undefined) & FLAGS_ARITH
			  : 0;
}

bool insn_is_absolute(const struct tr_insn *n)
{
	return n->i.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && (n->i.opcode & 0xfc) == 0xa0;
}

bool insn_is_count(const struct tr_insn *n)
{
	return n->code32 && n->i.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
	       (n->i.opcode & 0xf0) == 0x40;
}

/* Bits of a return address. */
static unsigned word(const struct tr_insn *n)
{
	return n->code32 ? 32 : 64;
}

/* An operand that lower.c finds: by ModRM; in 32-bit code also an address alone. */
static bool found(const struct tr_insn *n, const ZydisDecodedOperand *op)
{
	if (op->mem.type != ZYDIS_MEMOP_TYPE_MEM && op->mem.type != ZYDIS_MEMOP_TYPE_AGEN)
		return false;
	return op->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM ||
	       (n->code32 && insn_is_absolute(n));
}

/* The one memory operand, if the instruction has no other. */
static bool one_memory(struct tr_insn *n)
{
	for (unsigned k = 0; k < n->i.operand_count; k++) {
		const ZydisDecodedOperand *op = &n->op[k];

		if (op->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		if ((n->i.meta.category == ZYDIS_CATEGORY_CALL ||
		     n->i.meta.category == ZYDIS_CATEGORY_PUSH) &&
		    op->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN) /* the stack */
			continue;
		if (n->mem || !found(n, op))
			return false;
		n->mem = op;
		n->size = op->size / 8;
		n->writes = op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	}
	return true;
}

static enum insn_kind transfer(struct tr_insn *n)
{
	const ZydisDecodedOperand *op = &n->op[0];
	const bool call = n->i.meta.category == ZYDIS_CATEGORY_CALL;

	/* By VEX Zydis knows branches of Xeon Phi's, by mask registers. */
	if (n->i.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR || n->i.operand_width != word(n) ||
	    n->i.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return INSN_STEP;
	if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		n->target = n->rip + n->i.length + op->imm.value.s;
		if (n->code32)
			n->target = (uint32_t)n->target;
		if (n->i.meta.category == ZYDIS_CATEGORY_COND_BR)
			return n->bytes[n->i.raw.imm[0].offset - 1] >> 4 == 7 ||
					       n->i.opcode_map == ZYDIS_OPCODE_MAP_0F
				       ? INSN_BRANCH
				       : INSN_STEP; /* loop, jrcxz */
		return call ? INSN_CALL : INSN_JUMP;
	}
	if (op->type == ZYDIS_OPERAND_TYPE_REGISTER)
		return call ? INSN_CALL_REG : INSN_JUMP_REG;
	return one_memory(n) && n->mem ? (call ? INSN_CALL_MEM : INSN_JUMP_MEM) : INSN_STEP;
}

static enum insn_kind stack(struct tr_insn *n)
{
	const ZydisRegisterClass class = n->code32 ? ZYDIS_REGCLASS_GPR32 : ZYDIS_REGCLASS_GPR64;

	if (n->i.operand_width != word(n) ||
	    n->i.raw.prefix_count > !!(n->i.attributes & ZYDIS_ATTRIB_HAS_REX))
		return INSN_STEP;
	if (n->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY)
		return n->i.mnemonic == ZYDIS_MNEMONIC_PUSH && one_memory(n) ? INSN_PUSH_MEM
									     : INSN_STEP;
	if (n->i.mnemonic == ZYDIS_MNEMONIC_PUSH &&
	    (n->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE ||
	     ZydisRegisterGetClass(n->op[0].reg.value) == class))
		return INSN_PUSH;
	if (n->i.mnemonic == ZYDIS_MNEMONIC_POP &&
	    ZydisRegisterGetClass(n->op[0].reg.value) == class)
		return INSN_POP;
	return INSN_STEP;
}

static bool no_effect(const ZydisDecodedInstruction *i)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_ENDBR64:
	case ZYDIS_MNEMONIC_ENDBR32:
	case ZYDIS_MNEMONIC_CLFLUSH:
	case ZYDIS_MNEMONIC_CLFLUSHOPT:
	case ZYDIS_MNEMONIC_CLWB:
	case ZYDIS_MNEMONIC_CLDEMOTE: return true;
	default:
		return i->meta.category == ZYDIS_CATEGORY_NOP ||
		       i->meta.category == ZYDIS_CATEGORY_WIDENOP ||
		       i->meta.category == ZYDIS_CATEGORY_PREFETCH ||
		       i->meta.category == ZYDIS_CATEGORY_PREFETCHWT1;
	}
}

static bool runs_as_it_is(const ZydisDecodedInstruction *i)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_PAUSE:
	case ZYDIS_MNEMONIC_RDTSC: /* one clock for all */
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_SFENCE: return true;
	default: return false;
	}
}

/* Bytes that 64-bit code has nothing for, of instructions that it has. */
static bool other_in_32_bits(const struct tr_insn *n)
{
	return n->i.address_width == 16 ||
	       (n->i.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && n->i.opcode == 0x82);
}

/* Of 64-bit addresses without a base: not a mov of a vector register, which is also called so. */
static bool is_string(const struct tr_insn *n)
{
	if (n->i.meta.category != ZYDIS_CATEGORY_STRINGOP || n->code32 ||
	    n->i.address_width != 64 ||
	    n->i.attributes & (ZYDIS_ATTRIB_HAS_REPNE | ZYDIS_ATTRIB_HAS_SEGMENT_FS |
			       ZYDIS_ATTRIB_HAS_SEGMENT_GS))
		return false;
	switch (n->i.mnemonic) {
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVSQ:
	case ZYDIS_MNEMONIC_STOSB:
	case ZYDIS_MNEMONIC_STOSW:
	case ZYDIS_MNEMONIC_STOSD:
	case ZYDIS_MNEMONIC_STOSQ: return true;
	default: return false;
	}
}

static enum insn_kind kind(struct tr_insn *n)
{
	if (uses_evex(&n->i) || (n->code32 && other_in_32_bits(n)))
		return INSN_STEP;
	switch (n->i.meta.category) {
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_UNCOND_BR:
	case ZYDIS_CATEGORY_COND_BR: return transfer(n);
	case ZYDIS_CATEGORY_RET:
		return n->i.meta.branch_type != ZYDIS_BRANCH_TYPE_FAR &&
				       n->i.mnemonic == ZYDIS_MNEMONIC_RET &&
				       n->i.operand_width == word(n)
			       ? INSN_RET
			       : INSN_STEP;
	case ZYDIS_CATEGORY_PUSH:
	case ZYDIS_CATEGORY_POP: return stack(n);
	default: break;
	}
	if (runs_as_it_is(&n->i))
		return INSN_PLAIN;
	if (no_effect(&n->i))
		return INSN_NOTHING;
	if (n->i.mnemonic == ZYDIS_MNEMONIC_LEAVE && n->i.operand_width == word(n))
		return INSN_LEAVE;
	if (is_string(n))
		return INSN_STRING;
	if (!ordinary(&n->i) || exception(n) || !one_memory(n))
		return INSN_STEP;
	if (!n->mem)
		return INSN_PLAIN;
	if (n->i.mnemonic == ZYDIS_MNEMONIC_LEA)
		return INSN_LEA;
	/* A rewritten operand takes a REX prefix and both temporaries but for one. */
	if (n->mem->mem.type != ZYDIS_MEMOP_TYPE_MEM || !n->size || n->size > 512 || high_byte(n) ||
	    (n->temps_read | n->temps_written) == 3)
		return INSN_STEP;
	/* A bit's number may lead far away from the operand. */
	if ((n->i.mnemonic == ZYDIS_MNEMONIC_BT || n->i.mnemonic == ZYDIS_MNEMONIC_BTS ||
	     n->i.mnemonic == ZYDIS_MNEMONIC_BTR || n->i.mnemonic == ZYDIS_MNEMONIC_BTC) &&
	    n->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
		return n->size >= 4 && n->i.address_width == 64 ? INSN_BIT : INSN_STEP;
	return INSN_MEMORY;
}

static const ZydisDecoder *decoder(bool code32)
{
	static ZydisDecoder d[2];

	if (!d[0].stack_width) {
		ZydisDecoderInit(&d[1], ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
		ZydisDecoderInit(&d[0], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	}
	return &d[code32];
}

bool insn_glance(struct insn_glance *g, uint64_t rip, const uint8_t *bytes, unsigned room,
		 bool code32)
{
	ZydisDecodedInstruction i;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(decoder(code32), NULL, bytes, room, &i)))
		return false;
	flags(&i, &g->flags_read, &g->flags_killed);
	g->length = i.length;
	g->target = 0;
	g->ends = i.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE || !ordinary(&i);
	if (!ordinary(&i)) /* nor has a system call, which shows them first */
		g->flags_killed = 0;
	if (i.mnemonic == ZYDIS_MNEMONIC_JMP && i.raw.imm[0].is_relative)
		g->target = rip + i.length + i.raw.imm[0].value.s;
	if (i.meta.category == ZYDIS_CATEGORY_NOP || i.meta.category == ZYDIS_CATEGORY_WIDENOP ||
	    i.meta.category == ZYDIS_CATEGORY_PUSH || i.meta.category == ZYDIS_CATEGORY_POP ||
	    i.mnemonic == ZYDIS_MNEMONIC_ENDBR64)
		g->ends = false;
	return true;
}

bool insn_read(struct tr_insn *n, uint64_t rip, const uint8_t *bytes, unsigned room, bool code32)
{
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder(code32), bytes, room, &n->i, n->op)))
		return false;
	n->rip = rip;
	n->code32 = code32;
	n->bytes = bytes;
	n->mem = NULL;
	n->target = 0;
	n->size = 0;
	n->writes = false;
	n->temps_read = n->temps_written = 0;
	temps(n);
	flags(&n->i, &n->flags_read, &n->flags_killed);
	n->kind = kind(n);
	/* A step may show them to somebody before it replaces them: a system call's frame. */
	if (n->kind == INSN_STEP)
		n->flags_killed = 0;
	return true;
}
