/* SPDX-License-Identifier: MIT */
/*
 * String instructions, as many elements at a time as the pages allow. Registers are right after
 * each such chunk, so that a fault, a kick or a flush between two needs no more.
 */
#include "host-driver/providers/process/translate/step.h"

struct string {
	unsigned size; /* of an element */
	bool rep, until_equal;
	uint64_t mask;	       /* of addresses */
	ZydisRegister segment; /* of the source */
	uint64_t step;	       /* to the next element */
};

static bool has_prefix(const struct step *s, uint8_t which)
{
	for (unsigned k = 0; k < s->i->raw.prefix_count; k++)
		if (s->i->raw.prefixes[k].value == which)
			return true;
	return false;
}

/* Only of the source may a prefix change the segment. */
static ZydisRegister source_segment(const struct step *s)
{
	for (unsigned k = 0; k < s->i->operand_count; k++)
		if (s->op[k].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    step_number(s->op[k].mem.base) == RSI)
			return s->op[k].mem.segment;
	return ZYDIS_REGISTER_DS;
}

static struct string parse(const struct step *s)
{
	const unsigned size = s->i->opcode & 1 ? s->i->operand_width / 8 : 1;

	return (struct string){
		.size = size,
		.rep = has_prefix(s, 0xf2) || has_prefix(s, 0xf3),
		.until_equal = has_prefix(s, 0xf2),
		.mask = step_address_mask(s),
		.segment = source_segment(s),
		.step = s->v->regs.rflags & FLAG_DF ? -(uint64_t)size : size,
	};
}

static struct where source(const struct step *s, const struct string *t)
{
	return step_at(s, t->segment, s->v->regs.rsi & t->mask);
}

static struct where destination(const struct step *s, const struct string *t)
{
	return step_at(s, ZYDIS_REGISTER_ES, s->v->regs.rdi & t->mask);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Elements until a register of fewer than 64 bits goes round. */
static uint64_t until_round(const struct string *t, uint64_t reg)
{
	reg &= t->mask;
	return t->step == t->size ? (t->mask - reg) / t->size + 1 : reg / t->size + 1;
}

/*
 * Elements from here on that lie within the page and the segment; 0: this one does not. `reg`
 * points to it.
 */
static uint64_t room(const struct string *t, struct where at, uint64_t reg)
{
	const unsigned off = at.va & ~PAGE_MASK;
	uint64_t n;

	if (off + t->size > PAGE_SIZE)
		return 0;
	if (t->step == t->size)
		n = least(PAGE_SIZE - off, at.room) / t->size;
	else
		n = at.room == ~0UL ? off / t->size + 1 : 0;
	return least(n, until_round(t, reg));
}

static void put(uint64_t *reg, const struct string *t, uint64_t val)
{
	*reg = t->mask == 0xffff ? (*reg & ~t->mask) | (val & t->mask) : val & t->mask;
}

static void advance(uint64_t *reg, const struct string *t, uint64_t n)
{
	put(reg, t, *reg + t->step * n);
}

static void counted(struct step *s, const struct string *t, uint64_t n)
{
	if (t->rep && n)
		put(&s->v->regs.rcx, t, s->v->regs.rcx - n);
}

static uint64_t elements(const struct step *s, const struct string *t)
{
	return t->rep ? s->v->regs.rcx & t->mask : 1;
}

/* The CPU's own instruction: overlapping chunks come out as they would. */
static void move(void *dst, const void *src, uint64_t n, const struct string *t)
{
	if (t->step != t->size)
		asm volatile("std");
	switch (t->size) {
	case 1: asm volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory"); break;
	case 2: asm volatile("rep movsw" : "+D"(dst), "+S"(src), "+c"(n) : : "memory"); break;
	case 4: asm volatile("rep movsl" : "+D"(dst), "+S"(src), "+c"(n) : : "memory"); break;
	default: asm volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
	}
	asm volatile("cld");
}

static void fill(void *dst, uint64_t val, uint64_t n, const struct string *t)
{
	if (t->step != t->size)
		asm volatile("std");
	switch (t->size) {
	case 1: asm volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(val) : "memory"); break;
	case 2: asm volatile("rep stosw" : "+D"(dst), "+c"(n) : "a"(val) : "memory"); break;
	case 4: asm volatile("rep stosl" : "+D"(dst), "+c"(n) : "a"(val) : "memory"); break;
	default: asm volatile("rep stosq" : "+D"(dst), "+c"(n) : "a"(val) : "memory");
	}
	asm volatile("cld");
}

/* Up to n elements; 0: a fault was delivered, or there was a flush. */
static uint64_t movs(struct step *s, const struct string *t, uint64_t n)
{
	const struct where from = source(s, t), to = destination(s, t);
	struct span src, dst;
	uint64_t val;

	n = least(n, least(room(t, from, s->v->regs.rsi), room(t, to, s->v->regs.rdi)));
	if (!step_reach(s, from, t->size, ACCESS_READ, &src) ||
	    !step_reach(s, to, t->size, ACCESS_WRITE, &dst) || !tr_enter())
		return 0;
	if (n) {
		move(dst.p[0], src.p[0], n, t);
	} else {
		n = 1;
		span_get(&src, &val, t->size);
		span_put(&dst, &val, t->size);
	}
	tr_left();
	advance(&s->v->regs.rsi, t, n);
	advance(&s->v->regs.rdi, t, n);
	return n;
}

static uint64_t stos(struct step *s, const struct string *t, uint64_t n)
{
	const struct where to = destination(s, t);
	struct span dst;

	n = least(n, room(t, to, s->v->regs.rdi));
	if (!step_reach(s, to, t->size, ACCESS_WRITE, &dst) || !tr_enter())
		return 0;
	if (n) {
		fill(dst.p[0], s->v->regs.rax, n, t);
	} else {
		n = 1;
		span_put(&dst, &s->v->regs.rax, t->size);
	}
	tr_left();
	advance(&s->v->regs.rdi, t, n);
	return n;
}

static const ZydisRegister accumulator[] = {
	[1] = ZYDIS_REGISTER_AL,
	[2] = ZYDIS_REGISTER_AX,
	[4] = ZYDIS_REGISTER_EAX,
	[8] = ZYDIS_REGISTER_RAX,
};

/* As if all of them were read: the last one stays. */
static uint64_t lods(struct step *s, const struct string *t, uint64_t n)
{
	struct span src;
	uint64_t val = 0;

	n = least(n, room(t, source(s, t), s->v->regs.rsi));
	if (!step_reach(s, source(s, t), t->size, ACCESS_READ, &src) || !tr_enter())
		return 0;
	if (n)
		src.p[0] += (int64_t)(t->step * (n - 1));
	else
		n = 1;
	span_get(&src, &val, t->size);
	tr_left();
	step_set(s, accumulator[t->size], val);
	advance(&s->v->regs.rsi, t, n);
	return n;
}

/* The flags of a - b. Below the red zone, which is the compiler's. */
static uint64_t compare(uint64_t a, uint64_t b, unsigned size)
{
	const unsigned shift = 64 - 8 * size;
	uint64_t flags, af;

	asm("lea -128(%%rsp), %%rsp; cmp %2, %1; pushf; pop %0; lea 128(%%rsp), %%rsp"
	    : "=r"(flags)
	    : "r"(a << shift), "r"(b << shift)
	    : "cc");
	/* Those of the lowest byte, which the shift has moved away. */
	af = (a ^ b ^ (a - b)) & FLAG_AF;
	flags &= FLAG_CF | FLAG_ZF | FLAG_SF | FLAG_OF;
	if (!__builtin_parity((a - b) & 0xff))
		flags |= FLAG_PF;
	return flags | af;
}

/* cmps and scas: up to n elements, until one ends it, which *end says. */
static uint64_t compare_some(struct step *s, const struct string *t, uint64_t n, bool two,
			     bool *end)
{
	struct span src, dst;
	uint64_t done, a = 0, b = 0, flags = 0;
	regs_t *r = &s->v->regs;

	n = least(n, room(t, destination(s, t), s->v->regs.rdi));
	if (two)
		n = least(n, room(t, source(s, t), s->v->regs.rsi));
	n = n ? n : 1;
	if ((two && !step_reach(s, source(s, t), t->size, ACCESS_READ, &src)) ||
	    !step_reach(s, destination(s, t), t->size, ACCESS_READ, &dst) || !tr_enter())
		return 0;
	if (!two)
		a = step_get(s, accumulator[t->size]);
	for (done = 0; done < n && !*end; done++) {
		if (two) {
			span_get(&src, &a, t->size);
			src.p[0] += (int64_t)t->step;
		}
		span_get(&dst, &b, t->size);
		dst.p[0] += (int64_t)t->step;
		flags = compare(a, b, t->size);
		*end = !(flags & FLAG_ZF) != t->until_equal;
	}
	tr_left();
	if (two)
		advance(&r->rsi, t, done);
	advance(&r->rdi, t, done);
	if (done) /* a fault behind them does not undo it */
		r->rflags = (r->rflags & ~FLAGS_ARITH) | flags;
	return done;
}

bool step_string(struct step *s, enum outcome *o)
{
	const bool one = s->v->regs.rflags & FLAG_TF || s->v->debugreg[7] & WATCH_ENABLED ||
			 debug_points;
	const struct string t = parse(s);
	bool end = false;
	uint64_t n = 1;

	if (s->i->meta.category != ZYDIS_CATEGORY_STRINGOP)
		return false;
	while (n && !end && elements(s, &t)) {
		n = one ? 1 : elements(s, &t);
		switch (s->i->opcode & ~1) {
		case 0xa4: n = movs(s, &t, n); break;
		case 0xa6: n = compare_some(s, &t, n, true, &end); break;
		case 0xaa: n = stos(s, &t, n); break;
		case 0xac: n = lods(s, &t, n); break;
		case 0xae: n = compare_some(s, &t, n, false, &end); break;
		default: return false;
		}
		counted(s, &t, n);
		if (!t.rep)
			break;
		if (n && !end && (one || tr.kicked || tr.flush) && elements(s, &t)) {
			s->v->regs.rflags |= FLAG_RF; /* as the CPU, between two */
			*o = WENT;
			return true;
		}
	}
	*o = n ? NEXT : THERE;
	return true;
}
