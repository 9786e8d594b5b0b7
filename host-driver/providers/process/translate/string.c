/* SPDX-License-Identifier: MIT */
/*
 * movs and stos of translated code, upwards and with or without rep: the block is left for them and
 * gone on with behind them, without a look for where that is. Whatever they may trap by or have to
 * stop for is left to the step (step_string.c), which finds them as far as they came.
 */
#include "host-driver/providers/process/translate/block.h"

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Elements from va to its page's end. */
static uint64_t room(uint64_t va, unsigned size)
{
	return (PAGE_SIZE - (va & (PAGE_SIZE - 1))) / size;
}

static void fill(void *dst, uint64_t val, uint64_t n, unsigned size)
{
	switch (size) {
	case 1: asm volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(val) : "memory"); break;
	case 2: asm volatile("rep stosw" : "+D"(dst), "+c"(n) : "a"(val) : "memory"); break;
	case 4: asm volatile("rep stosl" : "+D"(dst), "+c"(n) : "a"(val) : "memory"); break;
	default: asm volatile("rep stosq" : "+D"(dst), "+c"(n) : "a"(val) : "memory");
	}
}

static void move(void *dst, const void *src, uint64_t n, unsigned size)
{
	switch (size) {
	case 1: asm volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory"); break;
	case 2: asm volatile("rep movsw" : "+D"(dst), "+S"(src), "+c"(n) : : "memory"); break;
	case 4: asm volatile("rep movsl" : "+D"(dst), "+S"(src), "+c"(n) : : "memory"); break;
	default: asm volatile("rep movsq" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
	}
}

/* At most n elements, in one page each way; 0: that is the step's. */
static uint64_t some(struct vcpu *v, const struct site *s, uint64_t n)
{
	const bool moves = s->access == SITE_MOVS;
	const unsigned size = s->size & STRING_SIZE;
	regs_t *r = &v->regs;
	uint8_t *dst, *src = NULL;

	n = least(n, room(r->rdi, size));
	if (moves)
		n = least(n, room(r->rsi, size));
	if (watch_page(r->rdi, ACCESS_WRITE) || (moves && watch_page(r->rsi, ACCESS_READ)))
		return 0;
	if (!n || (moves && !(src = tr_memory(v, r->rsi, ACCESS_READ))))
		return 0;
	dst = tr_memory(v, r->rdi, ACCESS_WRITE);
	if (!dst || !tr_enter())
		return 0;
	if (moves)
		move(dst, src, n, size);
	else
		fill(dst, r->rax, n, size);
	tr_left();
	r->rdi += n * size;
	r->rsi += moves ? n * size : 0;
	r->rcx -= s->size & STRING_REP ? n : 0;
	return n;
}

bool string_run(struct vcpu *v, const struct site *s)
{
	uint64_t left = s->size & STRING_REP ? v->regs.rcx : 1, done;

	if (v->regs.rflags & FLAG_DF)
		return false;
	for (; left; left -= done) {
		done = tr.kicked ? 0 : some(v, s, left);
		if (!done)
			return false;
	}
	v->regs.rip += s->size >> STRING_LENGTH;
	return true;
}
