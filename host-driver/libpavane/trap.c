/* SPDX-License-Identifier: MIT */
/* Vectors and their handlers. Compiled without vector registers: see pv_dispatch. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "host-driver/libpavane/internal.h"

#define VECTORS 257 /* and PV_SYSCALL */

static struct {
	pv_handler handler;
	int flags;
} vectors[VECTORS];

uint64_t pv_idt[512];

/* Of the components below bit 8, up to AVX-512, in the standard form (SDM vol. 1, 13.4). */
#define FPU_SIZE 2688

void traps_init(void)
{
	for (uint64_t i = 0; i < 256; i++) {
		const uint64_t stub = (uint64_t)pv_vectors + i * VECTOR_STUB_SIZE;
		/* int3, into and int n work in ring 3; IST 1; interrupt gate. */
		const uint64_t type = i == 3 || i == 4 ? 0xee : 0x8e;

		pv_idt[2 * i] = (stub & 0xffff) | SEL_CODE << 16 | 1ul << 32 | type << 40 |
				(stub >> 16 & 0xffff) << 48;
		pv_idt[2 * i + 1] = stub >> 32;
	}
}

int pv_on(unsigned vector, pv_handler handler, int flags)
{
	if (vector >= VECTORS || flags & ~PV_NO_FPU)
		return -EINVAL;
	vectors[vector].flags = flags;
	__atomic_store_n(&vectors[vector].handler, handler, __ATOMIC_RELEASE);
	return 0;
}

static int signal_of(unsigned vector)
{
	switch (vector) {
	case 0:
	case 16:
	case 19: return SIGFPE;
	case 1:
	case 3: return SIGTRAP;
	case 6: return SIGILL;
	case 17: return SIGBUS;
	case PV_SYSCALL: return SIGSYS;
	default: return SIGSEGV;
	}
}

static void put(char *line, unsigned *n, const char *name, uint64_t value)
{
	while (*name)
		line[(*n)++] = *name++;
	for (int shift = 60; shift >= 0; shift -= 4)
		line[(*n)++] = "0123456789abcdef"[value >> shift & 15];
}

/* Nobody wants it: say where, and die of what an ordinary process would die of. */
static void unhandled(const struct pv_frame *f)
{
	static const char *const names[] = {
		" r15 ",   " r14 ",   " r13 ", " r12 ",	  "\n rbp ", " rbx ", " r11 ", " r10 ",
		"\n r9  ", " r8  ",   " rax ", " rcx ",	  "\n rdx ", " rsi ", " rdi ", "\nvector ",
		" error ", "\n rip ", " cs ",  " flags ", "\n rsp ", " ss "};
	char line[800];
	unsigned n = 0;

	put(line, &n, "libpavane: an exception without a handler; cr2 ", pv_fault_address());
	line[n++] = '\n';
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put(line, &n, names[i], ((const uint64_t *)f)[i]);
	line[n++] = '\n';
	pv_raw(SYS_write, 2, (long)line, n, 0, 0, 0);
	pv_raw(CALL_DIE, signal_of(f->vector), 0, 0, 0, 0, 0);
}

/* Called with the FPU as the interrupted code had it, which must have it back. */
static void call_with_fpu(pv_handler handler, struct pv_frame *f)
{
	const uint32_t low = 0xff, high = 0; /* not PKRU, not AMX: the compiler uses neither */
	uint64_t area[FPU_SIZE / 8] __attribute__((aligned(64)));

	for (int i = 64; i < 72; i++)
		area[i] = 0; /* the header */
	__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(low), "d"(high) : "memory");
	handler(f);
	__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(low), "d"(high) : "memory");
}

/* From every vector and from ring 3's system calls (asm.S), interrupts off. */
void pv_dispatch(struct pv_frame *f)
{
	pv_handler handler;

	if (f->vector == PV_VECTOR_PAGE_FAULT && !(f->error & 1) && !pv_from_user(f) &&
	    paging_fill(pv_self->root, pv_fault_address()))
		return;
	handler = __atomic_load_n(&vectors[f->vector].handler, __ATOMIC_ACQUIRE);
	if (!handler)
		unhandled(f);
	else if (vectors[f->vector].flags & PV_NO_FPU)
		handler(f);
	else
		call_with_fpu(handler, f);
	if (!pv_from_user(f))
		return;
	/* What iretq would fault on, and what ring 3 must not have. */
	f->cs = SEL_USER_CODE;
	f->ss = SEL_USER_DATA;
	f->rflags = (f->rflags & 0x240dd5) | 0x202;
	if ((int64_t)(f->rip << 16) >> 16 != (int64_t)f->rip)
		pv_self->stop = 1;
}
