/* SPDX-License-Identifier: MIT */
/*
 * Isolation of windows, by what is emitted: made-up bytes are translated as a user's code and read
 * again. Whatever they were, memory is reached by FS at a constant address, or by GS and r14 or r15
 * that the mask was the last to write to; where there is no window, by r14 or r15.
 */
#include <stdio.h>
#include <time.h>
#include <Zydis/Zydis.h>

#include "host-driver/providers/process/translate/windows.h"
#include "host-driver/providers/process/translate/translate.h"
#include "tests/translate/dfuzz.h"

#define MAX_BYTES   96
#define DOWN	    4096L /* as far as a displacement leads */
#define UP	    (1L << 30)
#define PLACE_SLACK 1024 /* of several pushes or pops */

static ZydisDecoder decoder;
static bool windowed; /* the code at hand: 32-bit code goes by the TLB */

static bool is_temp(ZydisRegister reg)
{
	return reg == ZYDIS_REGISTER_R14 || reg == ZYDIS_REGISTER_R15;
}

static ZydisRegister whole(ZydisRegister reg)
{
	return ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
}

static bool is_slot(const ZydisDecodedOperand *op, unsigned slot)
{
	return op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->mem.segment == ZYDIS_REGISTER_FS &&
	       op->mem.base == ZYDIS_REGISTER_NONE && op->mem.index == ZYDIS_REGISTER_NONE &&
	       (int32_t)op->mem.disp.value == (int32_t)guest_slot(slot);
}

/* Does the instruction leave an address in the window in its first operand? */
static bool masks(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *op)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_AND: return is_slot(&op[1], T_WINDOW_MASK);
	case ZYDIS_MNEMONIC_PEXT: return is_slot(&op[2], T_WINDOW_BITS);
	case ZYDIS_MNEMONIC_PDEP: return is_slot(&op[2], T_WINDOW_MASK);
	case ZYDIS_MNEMONIC_MOV: /* of 32 bits it is zero-extended */
		return op[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
		       (op[0].size == 32 || !(op[1].imm.value.u >> WINDOW_BITS));
	default: return false;
	}
}

/* The context's, for what is chained: of which page a jump is, and where a return goes. */
static bool is_context(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *op)
{
	const int64_t disp = op->mem.disp.value;

	if (op->mem.base != ZYDIS_REGISTER_R15 || op->mem.index != ZYDIS_REGISTER_NONE)
		return false;
	return (i->mnemonic == ZYDIS_MNEMONIC_MOVZX && disp >= C_PAGES &&
		disp < C_PAGES + PAGE_IDS) ||
	       (i->mnemonic == ZYDIS_MNEMONIC_MOV && (disp == 0 || disp == 8) && op->size == 64);
}

static const char *reaches(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *op,
			   unsigned masked)
{
	const ZydisRegister base = op->mem.base;
	const int64_t disp = op->mem.disp.value;

	if (op->mem.type == ZYDIS_MEMOP_TYPE_AGEN || i->mnemonic == ZYDIS_MNEMONIC_NOP)
		return NULL;
	if (op->mem.type != ZYDIS_MEMOP_TYPE_MEM || op->encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM)
		return "memory that no operand names";
	if (i->address_width != 64 || op->mem.index != ZYDIS_REGISTER_NONE)
		return "an index, or 32 bits";
	if (!windowed && is_temp(base))
		return NULL;
	if (op->mem.segment == ZYDIS_REGISTER_FS)
		return base == ZYDIS_REGISTER_NONE ? NULL : "FS and a register";
	if (op->mem.segment != ZYDIS_REGISTER_GS)
		return is_context(i, op) ? NULL : "no segment";
	if (base == ZYDIS_REGISTER_NONE)
		return disp < 0 ? "a negative address" : NULL;
	if (!is_temp(base) || !(masked >> (base == ZYDIS_REGISTER_R15) & 1))
		return "a register that is not masked";
	return disp < -DOWN || disp >= UP + PLACE_SLACK ? "too far" : NULL;
}

static bool may_be_there(const ZydisDecodedInstruction *i)
{
	if (i->mnemonic == ZYDIS_MNEMONIC_RDTSC)
		return true;
	switch (i->meta.category) {
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_POP:
	case ZYDIS_CATEGORY_PUSH:
	case ZYDIS_CATEGORY_RDWRFSGS:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_SEGOP:
	case ZYDIS_CATEGORY_STRINGOP:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_SYSTEM: return false;
	case ZYDIS_CATEGORY_UNCOND_BR: return i->raw.imm[0].is_relative;
	default: return !(i->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED);
	}
}

static void written(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *op,
		    unsigned *masked)
{
	for (unsigned k = 0; k < i->operand_count; k++) {
		const ZydisRegister reg =
			op[k].type == ZYDIS_OPERAND_TYPE_REGISTER ? whole(op[k].reg.value) : 0;
		const unsigned bit = 1U << (reg == ZYDIS_REGISTER_R15);

		if (!is_temp(reg) || !(op[k].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		*masked = k == 0 && masks(i, op) ? *masked | bit : *masked & ~bit;
	}
}

/* NULL, or what is wrong with it, *at being where. */
static const char *wrong(const uint8_t *code, size_t size, size_t *at)
{
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction i;
	unsigned masked = 0;
	const char *why;
	ZyanStatus rc;

	for (*at = 0; *at < size; *at += i.length) {
		rc = ZydisDecoderDecodeFull(&decoder, code + *at, size - *at, &i, op);
		if (rc == ZYDIS_STATUS_INSTRUCTION_TOO_LONG) /* a #GP, and a step */
			return NULL;
		if (!ZYAN_SUCCESS(rc))
			return "no instruction";
		if (!may_be_there(&i))
			return "what must not run";
		for (unsigned k = 0; k < i.operand_count; k++) {
			if (op[k].type == ZYDIS_OPERAND_TYPE_MEMORY &&
			    (why = reaches(&i, &op[k], masked)))
				return why;
			if (op[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			    ZydisRegisterGetClass(op[k].reg.value) == ZYDIS_REGCLASS_SEGMENT)
				return "a segment register";
		}
		written(&i, op, &masked);
	}
	return NULL;
}

/* ---- bytes made up: mostly what might be an instruction ---- */

static unsigned prefixes(struct rng *r, uint8_t *p)
{
	static const uint8_t some[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
				       0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x66};
	const unsigned count = chance(r, 60) ? below(r, 2) : below(r, 5);

	for (unsigned k = 0; k < count; k++)
		p[k] = chance(r, 45) ? 0x40 | below(r, 16) : some[below(r, sizeof(some))];
	return count;
}

static unsigned opcode(struct rng *r, uint8_t *p)
{
	unsigned n = 0;

	switch (below(r, 8)) {
	case 0:
	case 1:
		p[n++] = 0x0f;
		if (chance(r, 20))
			p[n++] = chance(r, 50) ? 0x38 : 0x3a;
		break;
	case 2:
		p[n++] = 0xc5;
		p[n++] = rnd(r);
		break;
	case 3:
		p[n++] = 0xc4;
		p[n++] = (rnd(r) & 0xe0) | (1 + below(r, 3));
		p[n++] = rnd(r);
		break;
	default: break;
	}
	p[n++] = rnd(r);
	return n;
}

static unsigned insn(struct rng *r, uint8_t *p)
{
	static const uint8_t common[] = {0x8b, 0x89, 0x01, 0x03, 0x83, 0x8d, 0x50, 0x58,
					 0xff, 0xc7, 0x87, 0x0b, 0x41, 0x55, 0x5d, 0xc9};
	unsigned n = prefixes(r, p);

	if (chance(r, 50))
		p[n++] = common[below(r, sizeof(common))];
	else
		n += opcode(r, p + n);
	p[n++] = chance(r, 30)	 ? 5 | below(r, 8) << 3
		 : chance(r, 30) ? 4 | below(r, 8) << 3
				 : rnd(r);
	p[n++] = chance(r, 30) ? 0x25 : rnd(r);
	for (unsigned k = 0; k < 4 && chance(r, 80); k++)
		p[n++] = chance(r, 40) ? 0 : rnd(r);
	return n;
}

bool confined(uint64_t seed, unsigned seconds)
{
	const time_t end = time(NULL) + seconds;
	uint64_t done = 0, done32 = 0, none = 0;
	unsigned failed = 0;
	struct rng r = {seed};

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (; (done + none) % 256 || time(NULL) < end; done++) {
		uint8_t bytes[MAX_BYTES];
		const uint8_t *code;
		size_t size, at;
		const char *why;
		const bool code32 = chance(&r, 25);
		unsigned n = 0;

		windowed = guest_windowed() && !code32;
		while (n < MAX_BYTES - 32 && chance(&r, 85))
			n += insn(&r, bytes + n);
		if (!n || !guest_lower(bytes, n, code32, &code, &size)) {
			none++;
			done--;
			continue;
		}
		done32 += code32;
		why = wrong(code, size, &at);
		if (!why)
			continue;
		printf("not ok %s, at %zu of", why, at);
		for (size_t k = 0; k < size && k < at + 16; k++)
			printf("%s%02x", k == at ? " | " : " ", code[k]);
		printf("\n# which was made of%s", code32 ? ", in 32-bit code," : "");
		for (unsigned k = 0; k < n; k++)
			printf(" %02x", bytes[k]);
		printf("\n");
		if (++failed == 10)
			break;
	}
	printf("# %lu blocks read again, %lu of 32-bit code\n", done, done32);
	return !failed;
}
