/* SPDX-License-Identifier: MIT */
/*
 * pvctl gdb's protocol with any bytes: the input raw, then its lines as packets with right
 * checksums; a byte 0xff of the input is a stop of the domain. The target checks what it is asked.
 */
#include <stdlib.h>
#include <string.h>

#include "toolstack/pvctl/rsp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define THREADS 3

static struct rsp rsp;

static void check(bool good)
{
	if (!good)
		__builtin_trap();
}

static bool alive(void *ctx, unsigned t)
{
	return t != 2;
}

static void describe(void *ctx, unsigned t, char *buf, size_t size)
{
	check(t >= 1 && t <= THREADS && alive(ctx, t));
	memset(buf, 'x', size - 1);
	buf[size - 1] = 0;
}

static bool regs_read(void *ctx, unsigned t, struct rsp_regs *r)
{
	check(t >= 1 && t <= THREADS && alive(ctx, t));
	memset(r, 0x5a, sizeof(*r));
	r->vectors = t & 1; /* of one thread they are not known */
	return true;
}

static bool regs_write(void *ctx, unsigned t, const struct rsp_regs *r)
{
	uint8_t sum = 0;

	check(t >= 1 && t <= THREADS && alive(ctx, t) && !rsp.running);
	check(r->cr2 == 0x5a5a5a5a5a5a5a5a);
	for (size_t i = 0; i < sizeof(*r); i++) /* for ASan to see it read */
		sum += ((const uint8_t *)r)[i];
	return sum & 1;
}

static size_t memory_read(void *ctx, unsigned t, uint64_t va, void *buf, size_t n)
{
	check(t >= 1 && t <= THREADS && n);
	n = va & 1 ? n : n / 2;
	memset(buf, (int)va, n);
	return n;
}

static size_t memory_write(void *ctx, unsigned t, uint64_t va, const void *buf, size_t n)
{
	void *copy = malloc(n);

	check(t >= 1 && t <= THREADS && n && n <= RSP_PACKET && !rsp.running);
	memcpy(copy, buf, n);
	free(copy);
	return va & 1 ? n : n / 2;
}

static int point(void *ctx, unsigned t, enum rsp_point kind, uint64_t va, uint64_t n, bool set)
{
	check(t >= 1 && t <= THREADS && kind <= RSP_ACCESS && (kind != RSP_HARDWARE || n == 1));
	return kind;
}

static bool resume(void *ctx, const enum rsp_action action[RSP_THREADS + 1])
{
	bool any = false;

	for (unsigned t = 1; t <= RSP_THREADS; t++) {
		check(action[t] <= RSP_STEP && (t <= THREADS || action[t] == RSP_STAY));
		any |= action[t] != RSP_STAY;
	}
	check(any);
	return rsp.thread == 1;
}

static void stop(void *ctx)
{
	check(rsp.running);
	rsp_stopped(&rsp, (struct rsp_stop){.why = RSP_SWBREAK, .thread = 3, .value = RSP_SIGTRAP});
	check(!rsp.running);
}

static void leave(void *ctx)
{
	check(!rsp.ended);
}

/* Acknowledgements, or one whole packet without a '$' or '#' in it. */
static void out(void *ctx, const void *bytes, size_t n)
{
	const char *p = bytes;

	check(n && n <= sizeof(rsp.out));
	if (n == 1)
		check(*p == '+' || *p == '-');
	else
		check(n >= 4 && *p == '$' && p[n - 3] == '#' && !memchr(p + 1, '$', n - 1) &&
		      memchr(p, '#', n) == p + n - 3);
}

static const struct rsp_target target = {THREADS,     alive,	    describe, regs_read, regs_write,
					 memory_read, memory_write, point,    resume,	 stop,
					 leave,	      leave,	    out};

static void begin(void)
{
	rsp_init(&rsp, &target, NULL,
		 (struct rsp_stop){.why = RSP_SIGNALLED, .thread = 1, .value = RSP_SIGTRAP});
}

static void packet(const uint8_t *text, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t sum = 0, end[3] = "#";

	for (size_t i = 0; i < n; i++)
		sum += text[i];
	end[1] = digits[sum >> 4];
	end[2] = digits[sum & 15];
	rsp_input(&rsp, (const uint8_t *)"$", 1);
	rsp_input(&rsp, text, n);
	rsp_input(&rsp, end, 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	begin();
	rsp_input(&rsp, data, size);
	begin();
	for (size_t i = 0, from = 0; i < size; i++) {
		if (data[i] == 0xff && rsp.running)
			stop(NULL);
		if (data[i] != '\n')
			continue;
		packet(data + from, i - from);
		from = i + 1;
	}
	return 0;
}
