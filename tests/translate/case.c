/* SPDX-License-Identifier: MIT */
/* A case: its instructions laid out in the code pages, and the state it starts from. */
#include <stdio.h>
#include <string.h>
#include <Zydis/Zydis.h>

#include "tests/translate/dfuzz.h"

#define JMP_LEN	  5
#define STACK_LOW (STACK_VA + PAGE)
#define INT3	  0xcc

uint64_t va_delta;

static uint8_t base_image[NR_FRAMES_USED][PAGE];

uint64_t rnd(struct rng *r) /* splitmix64 */
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15UL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
	return z ^ z >> 31;
}

/* An address that is, mostly, there and writable; `align`: a power of two that it likes. */
uint64_t case_pointer(struct rng *r, unsigned align)
{
	static const uint64_t likely[] = {DATA_VA,
					  DATA_VA + PAGE,
					  DATA_VA + 2 * PAGE,
					  DATA_VA + 5 * PAGE,
					  STACK_VA + 2 * PAGE,
					  FAR_VA};
	static const uint64_t rare[] = {DATA_VA + 3 * PAGE, DATA_VA + 4 * PAGE, DATA_VA + 6 * PAGE,
					DATA_VA + 7 * PAGE, CODE_VA + PAGE,	STACK_VA,
					CODE_VA + 2 * PAGE, CODE_VA + 3 * PAGE};
	uint64_t page = chance(r, 88) ? likely[below(r, 6)] : rare[below(r, 8)];
	unsigned how = below(r, 100);

	page += va_delta;
	if (how < 72)
		return page + (below(r, PAGE) & -align);
	if (how < 82)
		return page + below(r, PAGE);
	if (how < 92)
		return page + PAGE - 1 - below(r, 64);
	return page + below(r, 32);
}

static uint64_t value(struct rng *r)
{
	static const uint64_t edge[] = {0,	    1,		-1UL,	   0x7f,      0x80,
					0xff,	    0x7fff,	0x8000,	   0xffff,    0x7fffffff,
					0x80000000, 0xffffffff, 1UL << 63, ~0UL >> 1, 1UL << 47,
					2,	    63,		64,	   1UL << 32, -8UL};

	switch (below(r, 6)) {
	case 0: return edge[below(r, sizeof(edge) / sizeof(edge[0]))];
	case 1: return below(r, 300);
	case 2: return case_pointer(r, 8);
	case 3: return 0x3ff0000000000000UL + (rnd(r) >> 12) * (1 + below(r, 3)); /* a double */
	default: return rnd(r);
	}
}

void case_base_image(void)
{
	struct rng r = {1};

	memset(base_image, INT3, DATA_FIRST * PAGE);
	for (unsigned f = DATA_FIRST; f < NR_FRAMES_USED; f++)
		for (unsigned i = 0; i < PAGE; i += 8) {
			uint64_t v = value(&r);

			memcpy(base_image[f] + i, &v, 8);
		}
}

static void vectors(struct state *s, struct rng *r)
{
	static const uint16_t fcw[] = {0x37f, 0x27f, 0x37f, 0xf7f, 0x37f, 0x77f, 0x340};
	static const uint32_t mxcsr[] = {0x1f80, 0x1f80, 0x1f80, 0x1f80,
					 0x9fc0, 0x7f80, 0x3f80, 0x1f00};
	uint32_t m = mxcsr[below(r, 8)];
	uint64_t present = XSTATE_MASK;

	memset(s->xstate, 0, sizeof(s->xstate));
	for (unsigned i = 32; i < XSTATE_SIZE; i += 8) {
		uint64_t v = value(r);

		memcpy(s->xstate + i, &v, 8);
	}
	memset(s->xstate + 464, 0, 112);
	memcpy(s->xstate, &fcw[below(r, 7)], 2);
	s->xstate[3] = below(r, 8) << 3; /* TOP */
	s->xstate[4] = chance(r, 50) ? rnd(r) : 0;
	memcpy(s->xstate + 24, &m, 4);
	if (chance(r, 30))
		present = 3;
	memcpy(s->xstate + 512, &present, 8);
}

/* `pointers`: the registers that shall be addresses, a bit each; the others mostly are small. */
void case_state(struct testcase *c, struct rng *r, uint16_t pointers)
{
	struct state *s = c->first;

	memcpy(s->mem, base_image, sizeof(s->mem));
	for (unsigned i = 0; i < 48; i++) {
		uint64_t v = value(r);

		memcpy(s->mem[DATA_FIRST + below(r, 8)] + (below(r, PAGE) & -8), &v, 8);
	}
	for (unsigned i = 0; i < NR_GPR; i++) {
		if (pointers >> i & 1)
			s->gpr[i] = case_pointer(r, 64);
		else if (chance(r, 60))
			s->gpr[i] = below(r, 4) ? below(r, 64) : (uint64_t)-below(r, 64);
		else
			s->gpr[i] = value(r);
	}
	s->gpr[RSP] = STACK_LOW + va_delta + 512 + (below(r, 2 * PAGE - 1024) & -8);
	if (chance(r, 12)) /* near an end, or the middle */
		s->gpr[RSP] = STACK_LOW + va_delta + below(r, 3) * PAGE + (below(r, 64) & -8) - 24;
	if (chance(r, 5))
		s->gpr[RSP] += below(r, 8);
	s->rflags = 0x202 | (rnd(r) & 0x8d5) | (chance(r, 12) ? 0x400 : 0);
	s->fs = case_pointer(r, 64);
	s->gs = case_pointer(r, 64);
	s->vector = NO_VECTOR;
	vectors(s, r);
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, 4);
}

static bool fix(const struct testcase *c, const struct item *it, uint64_t at, uint8_t *p)
{
	const unsigned to = it->target < (int)c->n ? it->target : (int)c->n;
	const int64_t rel = c->at[to] + it->plus - (at + it->fix_end);

	switch (it->fix) {
	case FIX_REL8:
		/* Out of reach: on to the next instruction. */
		p[it->fix_at] = rel >= -128 && rel < 128 ? rel : 0;
		return true;
	case FIX_REL32: put32(p + it->fix_at, rel); return true;
	case FIX_ABS32: put32(p + it->fix_at, c->at[to] + it->plus); return true;
	case FIX_DATA: put32(p + it->fix_at, it->data - (at + it->fix_end)); return true;
	default: return true;
	}
}

static void jump(uint8_t *p, uint64_t from, uint64_t to)
{
	p[0] = 0xe9;
	put32(p + 1, to - (from + JMP_LEN));
}

/* jmp *0(%rip), and where to: the end, which is the CPU's alone to run. */
static void leave(uint8_t *p)
{
	const uint64_t to = LEAVE_VA;

	p[0] = 0xff;
	p[1] = 0x25;
	put32(p + 2, 0);
	memcpy(p + 6, &to, 8);
}

static uint64_t code_va(void)
{
	return CODE_VA + va_delta;
}

bool case_layout(struct testcase *c)
{
	uint8_t *code = c->first->mem[0];
	uint64_t at = code_va() + c->start, hop = 0;

	memset(code, INT3, 2 * PAGE);
	for (unsigned i = 0; i < c->n; i++) {
		if (at + c->item[i].len + JMP_LEN + END_LEN > code_va() + 2 * PAGE)
			return false;
		c->at[i] = at;
		at += c->item[i].len;
		if (c->item[i].hop && !hop) {
			hop = at;
			at = code_va() + (at < code_va() + PAGE ? PAGE : 0) + 16 * i;
			jump(code + (hop - code_va()), hop, at);
		}
	}
	if (at + END_LEN > code_va() + 2 * PAGE)
		return false;
	c->at[c->n] = c->end = at;
	leave(code + (at - code_va()));
	for (unsigned i = 0; i < c->n; i++) {
		uint8_t *p = code + (c->at[i] - code_va());

		memcpy(p, c->item[i].byte, c->item[i].len);
		fix(c, &c->item[i], c->at[i], p);
	}
	/* Not over each other: a hop backwards may have met its own start. */
	for (unsigned i = 0; i < c->n; i++)
		if (c->item[i].fix == FIX_NONE &&
		    memcmp(code + (c->at[i] - code_va()), c->item[i].byte, c->item[i].len))
			return false;
	return true;
}

void case_remove(struct testcase *c, unsigned i)
{
	memmove(&c->item[i], &c->item[i + 1], (c->n - i - 1) * sizeof(c->item[0]));
	c->n--;
	for (unsigned k = 0; k < c->n; k++)
		if (c->item[k].target > (int)i)
			c->item[k].target--;
}

void case_print(const struct testcase *c)
{
	const uint8_t *code = c->first->mem[0];

	for (unsigned i = 0; i < c->n; i++) {
		uint64_t at = c->at[i];
		const uint64_t end = at + c->item[i].len;

		while (at < end) {
			ZydisDisassembledInstruction d;

			if (!ZYAN_SUCCESS(ZydisDisassembleATT(ZYDIS_MACHINE_MODE_LONG_64, at,
							      code + (at - code_va()), end - at,
							      &d))) {
				printf("    %llx: .byte ...\n", (unsigned long long)at);
				break;
			}
			printf("    %llx: %-44s #", (unsigned long long)at, d.text);
			for (unsigned k = 0; k < d.info.length; k++)
				printf(" %02x", code[at - code_va() + k]);
			printf("%s\n", c->item[i].hop ? "  (hop)" : "");
			at += d.info.length;
		}
	}
	printf("    %llx: end\n", (unsigned long long)c->end);
}
