/* SPDX-License-Identifier: MIT */
/* Operands of the guest's instruction: registers, and memory that may lie on two pages. */
#include "host-driver/providers/process/direct.h"
#include "host-driver/providers/process/translate/step.h"

uint64_t *step_gpr(regs_t *r, unsigned number)
{
	static const uint8_t offset[16] = {R_RAX, R_RCX, R_RDX, R_RBX, R_RSP, R_RBP, R_RSI, R_RDI,
					   R_R8,  R_R9,	 R_R10, R_R11, R_R12, R_R13, R_R14, R_R15};

	return (uint64_t *)((uint8_t *)r + offset[number & 15]);
}

static bool high_byte(ZydisRegister reg)
{
	return reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH;
}

int step_number(ZydisRegister reg)
{
	if (reg >= ZYDIS_REGISTER_RAX && reg <= ZYDIS_REGISTER_R15)
		return reg - ZYDIS_REGISTER_RAX;
	if (reg >= ZYDIS_REGISTER_EAX && reg <= ZYDIS_REGISTER_R15D)
		return reg - ZYDIS_REGISTER_EAX;
	if (reg >= ZYDIS_REGISTER_AX && reg <= ZYDIS_REGISTER_R15W)
		return reg - ZYDIS_REGISTER_AX;
	if (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_R15B)
		return reg - ZYDIS_REGISTER_SPL + RSP;
	if (reg >= ZYDIS_REGISTER_AL && reg <= ZYDIS_REGISTER_BH)
		return (reg - ZYDIS_REGISTER_AL) & 3;
	return -1;
}

static unsigned reg_bits(ZydisRegister reg)
{
	if (reg >= ZYDIS_REGISTER_RAX)
		return 64;
	if (reg >= ZYDIS_REGISTER_EAX)
		return 32;
	return reg >= ZYDIS_REGISTER_AX ? 16 : 8;
}

uint64_t step_get(const struct step *s, ZydisRegister reg)
{
	const uint64_t val = *step_gpr(&s->v->regs, step_number(reg));
	const unsigned bits = reg_bits(reg);

	if (high_byte(reg))
		return val >> 8 & 0xff;
	return bits == 64 ? val : val & ((1UL << bits) - 1);
}

void step_set(struct step *s, ZydisRegister reg, uint64_t val)
{
	uint64_t *p = step_gpr(&s->v->regs, step_number(reg));
	const unsigned bits = reg_bits(reg);
	uint64_t mask = bits == 64 ? ~0UL : (1UL << bits) - 1;

	val &= mask;
	if (high_byte(reg)) {
		mask <<= 8;
		val <<= 8;
	}
	*p = bits >= 32 ? val : (*p & ~mask) | val;
}

uint64_t step_address_mask(const struct step *s)
{
	return s->i->address_width == 64 ? ~0UL : (1UL << s->i->address_width) - 1;
}

/* In 32-bit code. No limit where it is the whole address space: addresses go round there. */
static struct where in_segment(const struct step *s, ZydisRegister segment, uint32_t offset)
{
	const bool base_apart = segment == ZYDIS_REGISTER_FS || segment == ZYDIS_REGISTER_GS;
	const uint64_t selector = step_selector(&s->v->regs, segment);
	struct where at = {offset, 0, segment == ZYDIS_REGISTER_SS, false};
	uint64_t e, limit;

	if (selector_null(selector) || descriptor_get(s->v, selector, &e) != LOOKUP_ONE)
		return at;
	at.va = (uint32_t)(offset +
			   (base_apart ? step_segment_base(s, segment) : descriptor_start(e)));
	at.readonly = e & DESC_CODE || !(e & DESC_RW);
	limit = descriptor_limit(e);
	if (!(e & DESC_CODE) && e & DESC_DOWN)
		at.room = offset > limit ? (e & DESC_D ? 1UL << 32 : 1UL << 16) - offset : 0;
	else if (limit == UINT32_MAX)
		at.room = ~0UL;
	else
		at.room = offset <= limit ? limit - offset + 1 : 0;
	return at;
}

struct where step_at(const struct step *s, ZydisRegister segment, uint64_t offset)
{
	if (s->code32)
		return in_segment(s, segment, offset);
	return (struct where){offset + step_segment_base(s, segment), ~0UL,
			      segment == ZYDIS_REGISTER_SS, false};
}

struct where step_behind(const struct step *s, struct where at, unsigned n)
{
	at.va += n;
	if (s->code32)
		at.va = (uint32_t)at.va;
	at.room = at.room == ~0UL ? at.room : at.room < n ? 0 : at.room - n;
	return at;
}

uint64_t step_offset(const struct step *s, const ZydisDecodedOperand *op)
{
	uint64_t ea = op->mem.disp.has_displacement ? (uint64_t)op->mem.disp.value : 0;

	if (op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP)
		ea += s->next;
	else if (op->mem.base != ZYDIS_REGISTER_NONE)
		ea += step_get(s, op->mem.base);
	if (step_number(op->mem.index) >= 0)
		ea += step_get(s, op->mem.index) * op->mem.scale;
	return ea & step_address_mask(s);
}

struct where step_address_plus(const struct step *s, const ZydisDecodedOperand *op, uint64_t more)
{
	return step_at(s, op->mem.segment, (step_offset(s, op) + more) & step_address_mask(s));
}

unsigned step_stack_width(const struct step *s)
{
	if (s->i->operand_width == 16)
		return 2;
	return s->code32 ? 4 : 8;
}

static uint64_t stack_mask(const struct step *s)
{
	uint64_t e;

	if (!s->code32)
		return ~0UL;
	if (descriptor_get(s->v, s->v->regs.ss, &e) != LOOKUP_ONE || e & DESC_D)
		return 0xffffffff;
	return 0xffff;
}

struct where step_stack_at(const struct step *s, int64_t delta)
{
	return step_at(s, ZYDIS_REGISTER_SS, (s->v->regs.rsp + delta) & stack_mask(s));
}

void step_stack_set(struct step *s, uint64_t sp)
{
	const uint64_t mask = stack_mask(s);
	regs_t *r = &s->v->regs;

	r->rsp = mask == 0xffff ? (r->rsp & ~mask) | (sp & mask) : sp & mask;
}

void step_stack_move(struct step *s, int64_t delta)
{
	step_stack_set(s, s->v->regs.rsp + delta);
}

struct where step_address(const struct step *s, const ZydisDecodedOperand *op)
{
	return step_address_plus(s, op, 0);
}

static uint8_t *page(struct step *s, uint64_t va, enum access how)
{
	uint8_t *p = tr_memory(s->v, va, how);

	if (!p)
		tr_page_fault(s->v, va, how);
	return p;
}

/* Both modes are the CPU's ring 3. What CPUs say of more than 8 bytes differs. */
static bool misaligned(const struct step *s, uint64_t va, unsigned n)
{
	return s->v->regs.rflags & FLAG_AC && n <= 8 && !(n & (n - 1)) && va & (n - 1);
}

bool step_reach(struct step *s, struct where at, unsigned n, enum access how, struct span *sp)
{
	const unsigned room = PAGE_SIZE - (at.va & ~PAGE_MASK);

	if (!tr_canonical(at.va) || !tr_canonical(at.va + n - 1) || n > at.room ||
	    (at.readonly && how == ACCESS_WRITE)) {
		step_trap(s, at.stack ? VECTOR_SS : VECTOR_GP, 0);
		return false;
	}
	if (misaligned(s, at.va, n)) {
		step_trap(s, VECTOR_AC, 0);
		return false;
	}
	if (s->v->debugreg[7] & WATCH_ENABLED || debug_points)
		watch_access(s->v, at.va, n, how);
	sp->first = n < room ? n : room;
	sp->p[0] = page(s, at.va, how);
	if (!sp->p[0])
		return false;
	if (n <= room)
		return true;
	sp->p[1] = page(s, s->code32 ? (uint32_t)(at.va + room) : at.va + room, how);
	return sp->p[1];
}

void span_get(const struct span *sp, void *dst, unsigned n)
{
	step_bytes(dst, sp->p[0], sp->first);
	if (n > sp->first)
		step_bytes((uint8_t *)dst + sp->first, sp->p[1], n - sp->first);
}

void span_put(const struct span *sp, const void *src, unsigned n)
{
	step_bytes(sp->p[0], src, sp->first);
	if (n > sp->first)
		step_bytes(sp->p[1], (const uint8_t *)src + sp->first, n - sp->first);
}

/* One access where the CPU makes one: another vCPU may look meanwhile. */
static void copy(void *dst, const void *src, unsigned n)
{
	uint64_t val;

	if (n == 8)
		asm volatile("mov (%1), %0; mov %0, (%2)"
			     : "=&r"(val)
			     : "r"(src), "r"(dst)
			     : "memory");
	else if (n == 4)
		asm volatile("mov (%1), %k0; mov %k0, (%2)"
			     : "=&r"(val)
			     : "r"(src), "r"(dst)
			     : "memory");
	else if (n == 2)
		asm volatile("mov (%1), %w0; mov %w0, (%2)"
			     : "=&r"(val)
			     : "r"(src), "r"(dst)
			     : "memory");
	else
		step_bytes(dst, src, n);
}

bool step_load(struct step *s, struct where at, void *dst, unsigned n)
{
	struct span sp;

	if (!step_reach(s, at, n, ACCESS_READ, &sp) || !tr_enter())
		return false;
	if (sp.first == n)
		copy(dst, sp.p[0], n);
	else
		span_get(&sp, dst, n);
	tr_left();
	return true;
}

bool step_store(struct step *s, struct where at, const void *src, unsigned n)
{
	struct span sp;

	if (!step_reach(s, at, n, ACCESS_WRITE, &sp) || !tr_enter())
		return false;
	if (sp.first == n)
		copy(sp.p[0], src, n);
	else
		span_put(&sp, src, n);
	tr_left();
	return true;
}

bool step_read(struct step *s, const ZydisDecodedOperand *op, uint64_t *val)
{
	*val = 0;
	switch (op->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER: *val = step_get(s, op->reg.value); return true;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE: *val = op->imm.value.u; return true;
	default: return step_load(s, step_address(s, op), val, op->size / 8);
	}
}

bool step_write(struct step *s, const ZydisDecodedOperand *op, uint64_t val)
{
	if (op->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		step_set(s, op->reg.value, val);
		return true;
	}
	return step_store(s, step_address(s, op), &val, op->size / 8);
}
