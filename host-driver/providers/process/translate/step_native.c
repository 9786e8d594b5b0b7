/* SPDX-License-Identifier: MIT */
/*
 * Instructions that run natively, one at a time: a copy in executable memory, in which the memory
 * operand, if any, is replaced by a register that holds the host's address of it. Of the guest's
 * flags only the arithmetic ones are in the CPU meanwhile.
 *
 * Executable memory is never writable: a memfd is mapped twice, made before the sandbox closes.
 * An operand on two pages is copied and the copy worked on; if the instruction is a locked one, no
 * other vCPU uses guest memory meanwhile.
 */
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "host-driver/providers/process/translate/step.h"

#define SLOT_CODE  32 /* bytes: an instruction and the jump back */
#define CODE_BYTES (NATIVE_SLOTS * SLOT_CODE)
#define BOUNCE_MAX 2816 /* the largest operand is an XSAVE area */
#define ALIGNMENT  64UL /* the largest that an instruction asks for */

_Static_assert(offsetof(struct native, r[RSP]) == N_RSP, "step.h");
_Static_assert(offsetof(struct native, rflags) == N_RFLAGS, "step.h");
_Static_assert(offsetof(struct native, code) == N_CODE, "step.h");
_Static_assert(offsetof(struct native, host_rsp) == N_HOST_RSP, "step.h");
_Static_assert(offsetof(struct native, fresh) == N_FRESH, "step.h");

struct native_thread {
	uint8_t *rw, *rx;
	struct slot slot[NATIVE_SLOTS];
	uint8_t bounce[BOUNCE_MAX + 2 * ALIGNMENT];
};

__thread struct native *step_running;
__thread uint64_t step_saved;
static __thread struct native_thread *mine;

int native_init(void)
{
	const int fd = memfd_create("step", MFD_CLOEXEC);
	int rc = 0;

	if (fd < 0)
		return -errno;
	mine = mmap(NULL, sizeof(*mine), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	if (mine == MAP_FAILED || ftruncate(fd, CODE_BYTES)) {
		rc = -errno;
		close(fd);
		return rc;
	}
	mine->rw = mmap(NULL, CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	mine->rx = mmap(NULL, CODE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (mine->rw == MAP_FAILED || mine->rx == MAP_FAILED)
		rc = -errno;
	close(fd);
	return rc;
}

struct slot *native_slot(unsigned n)
{
	return &mine->slot[n % NATIVE_SLOTS];
}

static bool is_segment(uint8_t b)
{
	return b == 0x26 || b == 0x2e || b == 0x36 || b == 0x3e || b == 0x64 || b == 0x65;
}

static bool is_prefix(uint8_t b)
{
	return is_segment(b) || b == 0x66 || b == 0x67 || b == 0xf0 || b == 0xf2 || b == 0xf3;
}

/*
 * A register that the instruction does not name otherwise: of the first eight, so that no prefix
 * must be added (which AH to BH would not bear), and not one that ModRM means something else by.
 * There always is one: no instruction names more than five of them.
 */
static uint8_t unused_register(const struct step *s)
{
	static const uint8_t choice[] = {RDI, RSI, RBX, RDX, RCX, RAX};
	uint32_t used = 0;
	unsigned n = 0;

	for (unsigned k = 0; k < s->i->operand_count; k++)
		if (s->op[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    step_number(s->op[k].reg.value) >= 0)
			used |= 1U << step_number(s->op[k].reg.value);
	while (n < sizeof(choice) - 1 && used >> choice[n] & 1)
		n++;
	return choice[n];
}

/* XSAVEOPT leaves out what it believes to be in the area already: ours may be a copy. */
static uint8_t modrm_of(const struct step *s, uint8_t modrm)
{
	if (s->i->mnemonic == ZYDIS_MNEMONIC_XSAVEOPT ||
	    s->i->mnemonic == ZYDIS_MNEMONIC_XSAVEOPT64)
		modrm = (modrm & ~0x38) | 4 << 3;
	return (modrm & 0x38) | s->slot->pointer;
}

/*
 * The prefixes, without those that are about the address; a REX that another prefix follows is
 * none. Returns where the opcode is.
 */
static unsigned emit_prefixes(const struct step *s, uint8_t **out)
{
	const uint8_t *b = s->slot->bytes;
	const bool memory = s->slot->memory, rex = s->i->attributes & ZYDIS_ATTRIB_HAS_REX;
	unsigned k = 0;

	for (; k + rex < s->i->raw.prefix_count; k++)
		if (is_prefix(b[k]) && !(memory && (is_segment(b[k]) || b[k] == 0x67)))
			*(*out)++ = b[k];
	if (rex) {
		*(*out)++ = memory ? b[k] & ~3 : b[k]; /* X and B */
		k++;
	}
	if (s->i->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
	    s->i->encoding == ZYDIS_INSTRUCTION_ENCODING_3DNOW)
		return k;
	if (b[k] != 0xc5) { /* in 32-bit code these bits are the same, for all are set */
		*(*out)++ = b[k++];
		*(*out)++ = memory ? b[k++] | 0x60 : b[k++]; /* the same, inverted */
	}
	return k;
}

static bool has_sib(const ZydisDecodedInstruction *i)
{
	return i->raw.modrm.rm == RSP && i->address_width != 16;
}

/* 82 is 80, in 32-bit code. */
static uint8_t opcode_of(const struct step *s, uint8_t b)
{
	return s->i->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && b == 0x82 ? 0x80 : b;
}

static void emit(struct step *s)
{
	static const uint8_t jump[6] = {0xff, 0x25}; /* jmp *0(%rip) */
	const uint64_t back = (uint64_t)step_leave;
	const ZydisDecodedInstruction *i = s->i;
	struct slot *slot = s->slot;
	const unsigned nr = slot - mine->slot;
	uint8_t *out = mine->rw + nr * SLOT_CODE;
	const uint8_t *b = slot->bytes;
	unsigned k;

	k = emit_prefixes(s, &out);
	if (s->code32 && k < i->length) {
		*out++ = opcode_of(s, b[k]);
		k++;
	}
	if (slot->memory) {
		while (k < i->raw.modrm.offset)
			*out++ = b[k++];
		*out++ = modrm_of(s, b[k++]);
		k += has_sib(i) + i->raw.disp.size / 8;
	}
	while (k < i->length)
		*out++ = b[k++];
	step_bytes(out, jump, sizeof(jump));
	step_bytes(out + sizeof(jump), &back, sizeof(back));
}

/* False: it has a memory operand that nobody knows how to replace. */
static bool prepare(struct step *s)
{
	s->slot->memory = NULL;
	for (unsigned k = 0; k < s->i->operand_count; k++) {
		if (s->op[k].type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		if (s->op[k].encoding != ZYDIS_OPERAND_ENCODING_MODRM_RM ||
		    s->op[k].mem.type != ZYDIS_MEMOP_TYPE_MEM)
			return false;
		s->slot->memory = &s->op[k];
	}
	s->slot->pointer = unused_register(s);
	emit(s);
	s->slot->emitted = s->slot->fresh = true;
	return true;
}

/* Of a bit string in memory, the register that says which bit, and thereby which byte too. */
static int bit_register(const struct step *s)
{
	switch (s->i->mnemonic) {
	case ZYDIS_MNEMONIC_BT:
	case ZYDIS_MNEMONIC_BTS:
	case ZYDIS_MNEMONIC_BTR:
	case ZYDIS_MNEMONIC_BTC:
		if (s->op[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
			return step_number(s->op[1].reg.value);
		return -1;
	default: return -1;
	}
}

/* Bytes to add to the address, by a signed number of bits; in the register stay those of them
 * that are within the operand. */
static uint64_t bit_offset(const struct step *s, struct native *n)
{
	const unsigned bits = s->op[0].size;
	const int reg = bit_register(s);
	int64_t offset;

	if (reg < 0)
		return 0;
	offset = (int64_t)(n->r[reg] << (64 - bits)) >> (64 - bits);
	n->r[reg] &= bits - 1;
	return (offset >> __builtin_ctz(bits)) * (bits / 8);
}

/* Any byte of a cache line stands for it. */
static bool is_flush(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_CLFLUSH || m == ZYDIS_MNEMONIC_CLFLUSHOPT ||
	       m == ZYDIS_MNEMONIC_CLWB;
}

struct operand {
	struct span sp;
	unsigned bytes;
	bool writes, copied;
	bool alone; /* since mmu_alone_begin() */
	uint8_t *copy;
};

#define WRITES (ZYDIS_OPERAND_ACTION_WRITE | ZYDIS_OPERAND_ACTION_CONDWRITE)

static bool is_locked(const struct step *s)
{
	return s->i->attributes & ZYDIS_ATTRIB_HAS_LOCK || s->i->mnemonic == ZYDIS_MNEMONIC_XCHG;
}

/* Its address into the pointer register. */
static bool operand_begin(struct step *s, struct native *n, struct operand *o)
{
	const ZydisDecodedOperand *op = s->slot->memory;
	const struct where at = step_address_plus(s, op, bit_offset(s, n));
	uint64_t mask;

	o->bytes = op->size / 8;
	o->writes = op->actions & WRITES;
	if (xsave_is(s)) {
		if (!xsave_area(s, at, &o->bytes, &mask))
			return false;
		n->r[RAX] = (uint32_t)mask;
		n->r[RDX] = mask >> 32;
	}
	if (is_flush(s->i->mnemonic))
		o->bytes = 1;
	o->alone = is_locked(s) && (at.va & (PAGE_SIZE - 1)) + o->bytes > PAGE_SIZE;
	if (o->alone)
		mmu_alone_begin(s->v);
	if (!step_reach(s, at, o->bytes, o->writes ? ACCESS_WRITE : ACCESS_READ, &o->sp))
		return false;
	o->copied = o->sp.first < o->bytes || xsave_reads(s);
	n->r[s->slot->pointer] = (uint64_t)o->sp.p[0];
	if (!o->copied)
		return true;
	o->copy = mine->bounce + (-(uint64_t)mine->bounce & (ALIGNMENT - 1)) +
		  (at.va & (ALIGNMENT - 1));
	span_get(&o->sp, o->copy, o->bytes);
	n->r[s->slot->pointer] = (uint64_t)o->copy;
	return true;
}

/* The registers that are the guest's again: the pointer, and what bit_offset() and XSAVE had. */
static void registers_back(struct step *s, const struct native *n)
{
	regs_t *r = &s->v->regs;
	uint32_t keep = 0;

	if (s->slot->memory) {
		keep = 1U << s->slot->pointer;
		if (xsave_is(s))
			keep |= 1U << RAX | 1U << RDX;
		else if (bit_register(s) >= 0)
			keep |= 1U << bit_register(s);
	}
	for (unsigned k = 0; k < 16; k++)
		if (!(keep >> k & 1))
			*step_gpr(r, k) = n->r[k];
	r->rflags = (r->rflags & ~FLAGS_ARITH) | (n->rflags & FLAGS_ARITH);
}

static enum outcome run(struct step *s, struct operand *o)
{
	struct native n;
	bool ran;

	if (!s->slot->emitted && !prepare(s))
		return step_trap(s, VECTOR_UD, 0);
	for (unsigned k = 0; k < 16; k++)
		n.r[k] = *step_gpr(&s->v->regs, k);
	n.rflags = (s->v->regs.rflags & FLAGS_ARITH) | FLAG_IF | 2;
	n.fresh = s->slot->fresh;
	n.code = (uint64_t)mine->rx + (s->slot - mine->slot) * SLOT_CODE;
	if (s->slot->memory && !operand_begin(s, &n, o))
		return THERE;
	if (!tr_enter())
		return THERE;
	s->slot->fresh = false;
	ran = step_enter(&n);
	if (ran && o->copied && o->writes)
		span_put(&o->sp, o->copy, o->bytes);
	tr_left();
	if (!ran)
		return step_trap(s, n.vector, n.error);
	registers_back(s, &n);
	return NEXT;
}

enum outcome step_native(struct step *s)
{
	struct operand o = {.bytes = 0};
	const enum outcome outcome = run(s, &o);

	if (o.alone)
		mmu_alone_end();
	return outcome;
}

/* A page fault there is the host's business: the monitor's memory is at fault. */
bool tr_step_fault(unsigned vector, uint64_t error, uint64_t cr2, void *ctx)
{
	greg_t *g = ((ucontext_t *)ctx)->uc_mcontext.gregs;

	if (!mine || vector == VECTOR_PF || (uint64_t)g[REG_RIP] < (uint64_t)mine->rx ||
	    (uint64_t)g[REG_RIP] >= (uint64_t)mine->rx + CODE_BYTES)
		return false;
	step_running->vector = vector;
	step_running->error = error;
	g[REG_RIP] = (greg_t)step_faulted;
	g[REG_RSP] = (greg_t)step_running->host_rsp;
	return true;
}
