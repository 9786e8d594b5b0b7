/* SPDX-License-Identifier: MIT */
/*
 * Isolation of windows: user code that knows where this process has a secret, and where its window
 * is, has its registers add up to it in every form of operand. It must neither find it nor change
 * it. An unmasked access by any of these would (tests/translate/run has one that is).
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/translate/dfuzz.h"

#define SECRET 0x5ec2e75ec2e75ec2UL
#define FAR    0x40000000L

/* Near the end of what a process has, where a guest kernel's text is shown, or a stack lies. */
#define TOP   (1UL << 47)
#define BELOW 0x30000000L /* the end */
#define BYTES (3 * PAGE)
#define THERE (PAGE + 0x200) /* in the secret */

static volatile uint64_t *const secret = (uint64_t *)(TOP - BELOW);

/* What reaches `to`: rax (or rcx, r14, FS, GS) is times + plus. */
static const struct form {
	const char *what;
	uint8_t byte[16], len;
	uint8_t reg, divide; /* FS, GS: 16, 17 */
	int64_t plus;
} forms[] = {
	{"mov (%rax), %rbx", {0x48, 0x8b, 0x18}, 3, RAX, 1, 0},
	{"mov (%rax), %bl", {0x8a, 0x18}, 2, RAX, 1, 0},
	{"mov %rbx, (%rax)", {0x48, 0x89, 0x18}, 3, RAX, 1, 0},
	{"mov; adc", {0x48, 0x89, 0x18, 0x48, 0x11, 0xd2}, 6, RAX, 1, 0},
	{"mov 0x3ffffff8(%rax)", {0x48, 0x8b, 0x98, 0xf8, 0xff, 0xff, 0x3f}, 7, RAX, 1, 8 - FAR},
	{"mov 0x40000000(%rax)", {0x48, 0x8b, 0x98, 0, 0, 0, 0x40}, 7, RAX, 1, -FAR},
	{"mov 0x7ffffff8(%rax)",
	 {0x48, 0x8b, 0x98, 0xf8, 0xff, 0xff, 0x7f},
	 7,
	 RAX,
	 1,
	 8 - 2 * FAR},
	{"mov -0x80000000(%rax)", {0x48, 0x8b, 0x98, 0, 0, 0, 0x80}, 7, RAX, 1, 2 * FAR},
	{"mov -0x2fffee00(%rax)", {0x48, 0x8b, 0x98, 0, 0x12, 0, 0xd0}, 7, RAX, 1, BELOW - THERE},
	{"mov %rbx, -0x2fffee00(%rax)",
	 {0x48, 0x89, 0x98, 0, 0x12, 0, 0xd0},
	 7,
	 RAX,
	 1,
	 BELOW - THERE},
	{"mov (%rax,%rdx)", {0x48, 0x8b, 0x1c, 0x10}, 4, RAX, 1, -16},
	{"mov (,%rcx,8)", {0x48, 0x8b, 0x1c, 0xcd, 0, 0, 0, 0}, 8, RCX, 8, 0},
	{"mov (%rdx,%rcx,8)", {0x48, 0x8b, 0x1c, 0xca}, 4, RCX, 8, -2},
	{"mov (%r14)", {0x49, 0x8b, 0x1e}, 3, R14, 1, 0},
	{"mov (%rdx,%r14)", {0x4a, 0x8b, 0x1c, 0x32}, 4, R14, 1, -16},
	{"mov %fs:(%rdx)", {0x64, 0x48, 0x8b, 0x1a}, 4, 16, 1, -16},
	{"mov %gs:(%rdx)", {0x65, 0x48, 0x8b, 0x1a}, 4, 17, 1, -16},
	{"mov %gs:16", {0x65, 0x48, 0x8b, 0x1c, 0x25, 16, 0, 0, 0}, 9, 17, 1, -16},
	{"lea; mov", {0x48, 0x8d, 0x40, 8, 0x48, 0x8b, 0x18}, 7, RAX, 1, -8},
	{"mov; add; mov",
	 {0x48, 0x8b, 0x18, 0x48, 0x05, 0, 0, 0, 0x40, 0x48, 0x8b, 0x18},
	 12,
	 RAX,
	 1,
	 -FAR},
	{"mov %rax, %rsp; push", {0x48, 0x89, 0xc4, 0x53}, 4, RAX, 1, 8},
	{"mov %rax, %rsp; pop", {0x48, 0x89, 0xc4, 0x5b}, 4, RAX, 1, 0},
	{"mov %rax, %rsp; pop; adc", {0x48, 0x89, 0xc4, 0x5b, 0x48, 0x11, 0xd2}, 7, RAX, 1, 0},
	{"mov %rax, %rsp; push; push; pop", {0x48, 0x89, 0xc4, 0x53, 0x51, 0x5a}, 6, RAX, 1, 8},
	{"mov %rax, %rsp; ret", {0x48, 0x89, 0xc4, 0xc3}, 4, RAX, 1, 0},
	{"mov %rax, %rbp; leave", {0x48, 0x89, 0xc5, 0xc9}, 4, RAX, 1, 0},
	{"push (%rax)", {0xff, 0x30}, 2, RAX, 1, 0},
	{"jmp *(%rax)", {0xff, 0x20}, 2, RAX, 1, 0},
	{"call *(%rax)", {0xff, 0x10}, 2, RAX, 1, 0},
	{"lock xadd %rbx, (%rax)", {0xf0, 0x48, 0x0f, 0xc1, 0x18}, 5, RAX, 1, 0},
	{"mov %cs:0x50000000 behind a REX too early",
	 {0x4a, 0x2e, 0x8b, 0x1c, 0x25, 0, 0, 0, 0x50},
	 9,
	 R12,
	 1,
	 -0x50000000L},
	{"mov %rbx, %ds:0x50000000, likewise",
	 {0x4a, 0x3e, 0x89, 0x1c, 0x25, 0, 0, 0, 0x50},
	 9,
	 R12,
	 1,
	 -0x50000000L},
	{"btc %rdx, (%rax)", {0x48, 0x0f, 0xbb, 0x10}, 4, RAX, 1, 0},
	{"btc %rcx, (%rdx)", {0x48, 0x0f, 0xbb, 0x0a}, 4, RCX, 0, -16},
	{"movups (%rax), %xmm0", {0x0f, 0x10, 0x00}, 3, RAX, 1, 0},
	{"vmovups (%rax), %ymm0", {0xc5, 0xfc, 0x10, 0x00}, 4, RAX, 1, 0},
	{"fldl (%rax)", {0xdd, 0x00}, 2, RAX, 1, 0},
	{"xlat", {0xd7}, 1, RBX, 1, -2},
	{"lodsq", {0x48, 0xad}, 2, RSI, 1, 0},
	{"stosq", {0x48, 0xab}, 2, RDI, 1, 0},
};

static void aim(struct testcase *c, const struct form *f, uint64_t to)
{
	struct state *s = c->first;
	uint64_t val = f->divide ? to / f->divide + f->plus : (to + f->plus) * 8;

	s->gpr[RAX] = 2;
	s->gpr[RDX] = 16;
	s->gpr[RCX] = s->gpr[RBX] = 1;
	s->gpr[RSP] = STACK_VA + PAGE + 0x800;
	if (f->reg == 16)
		s->fs = val;
	else if (f->reg == 17)
		s->gs = val;
	else
		s->gpr[f->reg] = val;
}

/* Does anything that the case left have eight bytes of the secret? */
static bool found(const struct state *s)
{
	const uint8_t *p = (const uint8_t *)s;

	for (size_t i = 0; i + 8 <= sizeof(*s); i++)
		if (!memcmp(p + i, &(uint64_t){SECRET}, 8))
			return true;
	return s->rip == SECRET ||
	       (s->vector == NO_VECTOR && (s->gpr[RBX] & 0xff) == (SECRET & 0xff));
}

static bool changed(void)
{
	for (unsigned i = 0; i < BYTES / 8; i++)
		if (secret[i] != SECRET)
			return true;
	return false;
}

/* False: this form gets there. */
static bool out_of_reach(struct testcase *c, const struct form *f, uint64_t to)
{
	static struct state out;
	struct rng r = {1};

	*c = (struct testcase){.first = c->first, .n = 1, .start = 0x100, .user = true};
	for (unsigned i = 0; i < BYTES / 8; i++)
		secret[i] = SECRET;
	memcpy(c->item[0].byte, f->byte, f->len);
	c->item[0].len = f->len;
	case_state(c, &r, 0);
	aim(c, f, to);
	if (!case_layout(c))
		return false;
	for (unsigned k = 0; k < 2; k++)
		if (!guest_translate(c, &out, k == 0) || !guest_windowed() || found(&out) ||
		    changed())
			return false;
	return true;
}

bool reach_nothing(void)
{
	static struct state first;
	struct testcase c = {.first = &first};
	const unsigned count = sizeof(forms) / sizeof(forms[0]);
	unsigned reach = 0;

	if (mmap((void *)secret, BYTES, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)secret) {
		printf("not ok there is no place for the secret\n");
		return false;
	}
	for (unsigned i = 0; i < count; i++) {
		const uint64_t to = (uint64_t)secret + THERE - guest_window();

		if (out_of_reach(&c, &forms[i], to))
			continue;
		printf("not ok %s: it gets out of its window\n", forms[i].what);
		reach++;
	}
	printf("# %u forms of operand lead out of a window, of %u\n", reach, count);
	return !reach;
}
