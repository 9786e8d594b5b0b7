/* SPDX-License-Identifier: MIT */
/*
 * What is written about a difference: the guest's code and its translation, the state before, what
 * the reference made of it and what the translation did.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <Zydis/Zydis.h>

#include "host-driver/providers/process/translate/check.h"
#include "host-driver/providers/process/translate/step.h"

#define TEXT	     65536
#define MEMORY_LINES 64
#define NEXT_BYTES   40 /* of code where it goes on; the last instruction may be cut off */

static char text[TEXT]; /* under check.c's lock */
static unsigned used;

static const struct {
	const char *name;
	unsigned at;
} registers[] = {
#define REGISTER(r)                     \
	{                               \
#r, offsetof(regs_t, r) \
	}
	REGISTER(rax), REGISTER(rcx), REGISTER(rdx), REGISTER(rbx), REGISTER(rsp), REGISTER(rbp),
	REGISTER(rsi), REGISTER(rdi), REGISTER(r8),  REGISTER(r9),  REGISTER(r10), REGISTER(r11),
	REGISTER(r12), REGISTER(r13), REGISTER(r14), REGISTER(r15), REGISTER(rip),
#undef REGISTER
};

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text + used, TEXT - used, format, args);
	va_end(args);
	if (n > 0)
		used += (unsigned)n < TEXT - used ? (unsigned)n : TEXT - used - 1;
}

unsigned check_code(struct vcpu *v, uint64_t va, uint8_t *bytes, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const uint8_t *p = mmu_page(v, va + i, ACCESS_FETCH);

		if (!p)
			return i;
		bytes[i] = p[(va + i) & ~PAGE_MASK];
	}
	return n;
}

bool check_vector_part(unsigned i, unsigned *from, unsigned *to)
{
	/* Not where the last x87 instruction was, nor what the header says of it all. */
	static const unsigned part[][2] = {{0, 6}, {24, 28}, {32, 416}, {0, 256}};
	const unsigned base = i == 3 ? xsave_avx_offset() : 0;

	if (i >= sizeof(part) / sizeof(part[0]))
		return false;
	*from = base + part[i][0];
	*to = base + part[i][1];
	return true;
}

/* ---- code ---- */

/* Instructions at `bytes`, which run at va; a mark before `here`. */
static void say_code(const uint8_t *bytes, unsigned n, uint64_t va, uint64_t here, bool code32)
{
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction i;
	ZydisFormatter formatter;
	ZydisDecoder decoder;
	char line[128];

	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	if (code32)
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
	else
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (unsigned at = 0; at < n; at += i.length) {
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes + at, n - at, &i, op))) {
			say("  %#lx: no instruction\n", va + at);
			return;
		}
		ZydisFormatterFormatInstruction(&formatter, &i, op, i.operand_count_visible, line,
						sizeof(line), va + at, NULL);
		say("%s %#lx ", va + at == here ? ">" : " ", va + at);
		for (unsigned k = 0; k < 11; k++)
			if (k < i.length)
				say(" %02x", bytes[at + k]);
			else
				say("   ");
		say("  %s\n", line);
	}
}

static void say_guest_code(struct vcpu *v, const struct check *c)
{
	const uint64_t rip = c->after[REFERENCE].regs.rip;
	static uint8_t bytes[BLOCK_INSNS * INSN_MAX];
	const bool code32 = c->block.mode & MODE_32;
	const unsigned n = c->block.bytes < sizeof(bytes) ? c->block.bytes : sizeof(bytes);

	say("\nguest code (> where the reference is, if that is in here)\n");
	say_code(bytes, check_code(v, c->block.rip, bytes, n), c->block.rip, rip, code32);
	if (rip - c->block.rip < n)
		return;
	say("\nwhere the reference is\n");
	say_code(bytes, check_code(v, rip, bytes, NEXT_BYTES), rip, 0, code32);
}

static void say_translation(const struct check *c)
{
	say("\ntranslation (without the parts that leave the cache)\n");
	say_code(code_write + c->block.code, c->block.size, (uint64_t)code_run + c->block.code, 0,
		 false);
}

/* ---- state ---- */

static uint64_t value(const struct check_state *s, unsigned at)
{
	uint64_t val;

	memcpy(&val, (const uint8_t *)&s->regs + at, sizeof(val));
	return val;
}

static void say_values(const char *name, uint64_t before, uint64_t reference, uint64_t translated,
		       bool differ)
{
	say("%s %-8s %#-20lx %#-20lx %#lx\n", differ ? "*" : " ", name, before, reference,
	    translated);
}

static void say_registers(const struct check *c, uint64_t flags)
{
	const struct check_state *t = &c->after[TRANSLATED], *r = &c->after[REFERENCE];

	say("\n  %-8s %-20s %-20s %s\n", "", "before", "reference", "translated");
	for (unsigned i = 0; i < sizeof(registers) / sizeof(registers[0]); i++) {
		const unsigned at = registers[i].at;

		say_values(registers[i].name, value(&c->before, at), value(r, at), value(t, at),
			   value(r, at) != value(t, at));
	}
	say_values("rflags", c->before.regs.rflags, r->regs.rflags, t->regs.rflags, flags);
	if ((t->regs.rflags ^ r->regs.rflags) & ~flags)
		say("  (rflags: differences of %#lx are in what nobody reads)\n",
		    (t->regs.rflags ^ r->regs.rflags) & ~flags);
}

static void vector_name(char *name, size_t size, unsigned at)
{
	if (at < 32)
		snprintf(name, size, at < 24 ? "x87+%u" : "mxcsr", at);
	else if (at < 160)
		snprintf(name, size, "st%u+%u", (at - 32) / 16, (at - 32) % 16);
	else if (at < 416)
		snprintf(name, size, "xmm%u+%u", (at - 160) / 16, (at - 160) % 16);
	else
		snprintf(name, size, "ymm%u+%u", (at - xsave_avx_offset()) / 16,
			 16 + (at - xsave_avx_offset()) % 16);
}

/* Words of the XSAVE area; the first and second parts are shorter than one. */
static void say_vectors(struct check *c)
{
	const uint8_t *b = fpu_aligned(&c->before.fpu), *r = fpu_aligned(&c->after[REFERENCE].fpu),
		      *t = fpu_aligned(&c->after[TRANSLATED].fpu);
	unsigned from, to;

	for (unsigned i = 0; c->block.vectors && check_vector_part(i, &from, &to); i++)
		for (unsigned at = from; at < to; at += 8) {
			const unsigned n = to - at < 8 ? to - at : 8;
			uint64_t x = 0, y = 0, z = 0;
			char name[16];

			memcpy(&x, b + at, n);
			memcpy(&y, r + at, n);
			memcpy(&z, t + at, n);
			if (y == z)
				continue;
			vector_name(name, sizeof(name), at);
			say_values(name, x, y, z, true);
		}
}

static void say_memory(struct check *c)
{
	unsigned lines = 0;

	for (unsigned i = 0; i < c->pages; i++)
		for (unsigned at = 0; at < PAGE_SIZE; at += 8) {
			uint64_t y, z;

			memcpy(&y, check_copy(c, REFERENCE, i) + at, 8);
			memcpy(&z, check_copy(c, TRANSLATED, i) + at, 8);
			if (y == z || lines++ >= MEMORY_LINES)
				continue;
			say("* memory at %#lx: reference %#lx, translated %#lx\n",
			    c->page_va[i] + at, y, z);
		}
	if (lines > MEMORY_LINES)
		say("* memory: %u words more\n", lines - MEMORY_LINES);
}

static void say_end(const char *who, const struct check_state *s)
{
	static const char *const how[] = {"read", "write", "fetch"};

	say("%s: ", who);
	switch (s->end) {
	case CHECK_LEFT: say("goes on at %#lx\n", s->regs.rip); break;
	case CHECK_STOPPED: say("stops before %#lx\n", s->regs.rip); break;
	default:
		if (s->vector == VECTOR_PF)
			say("page fault at %#lx: %s of %#lx\n", s->regs.rip, how[s->error % 3],
			    s->va);
		else
			say("exception %u, error %#lx, at %#lx\n", s->vector, s->error,
			    s->regs.rip);
	}
}

void check_report(struct vcpu *v, struct check *c, const char *what, uint64_t flags, int fd)
{
	const struct block *b = &c->block;

	used = 0;
	say("DIFFERENCE: %s\n", what);
	say("vCPU %u, block at %#lx, %s, %s-bit, machine frame %#x: %u instructions, %u bytes\n",
	    v->id, b->rip, b->mode & MODE_KERNEL ? "kernel" : "user",
	    b->mode & MODE_32 ? "32" : "64", b->mfn, b->insns, b->bytes);
	say("reference: %u instructions carried out\n", c->after[REFERENCE].insns);
	say_end("reference", &c->after[REFERENCE]);
	say_end("translated", &c->after[TRANSLATED]);
	say_guest_code(v, c);
	say_translation(c);
	say_registers(c, flags);
	say_vectors(c);
	say_memory(c);
	say("\n");
	if (write(fd, text, used) < 0)
		return; /* the disk is full: the domain's last word is all there is */
}
