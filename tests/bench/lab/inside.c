/* SPDX-License-Identifier: MIT */
/* Inside: vectors, page tables of one's own, a ring 3, and the exit that does nothing. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "host-driver/libpavane/internal.h"
#include "tests/bench/lab/bench.h"

#define CALLS 100 /* 0x64 */

static uint64_t (*fault_work)(uint64_t address, uint64_t rip);

static uint64_t exits(void)
{
	return pv_self->run->exits;
}

static IN_FAULT void protect(void *va, size_t pages, bool writable)
{
	pv_protect(pv_root_current(), va, pages * PAGE, PV_READ | (writable ? PV_WRITE : 0));
	if (pages > 1)
		pv_flush_all();
	else
		pv_flush(va);
}

static IN_FAULT void on_page_fault(struct pv_frame *f)
{
	f->rip = fault_work(pv_fault_address(), f->rip);
}

static void on_fault(uint64_t (*work)(uint64_t address, uint64_t rip))
{
	fault_work = work;
	pv_on(PV_VECTOR_PAGE_FAULT, on_page_fault, PV_NO_FPU);
}

static const struct side side = {
	.name = "pavane",
	.exits = exits,
	.protect = protect,
	.on_fault = on_fault,
};

/* The same, but the library saves the interrupted code's vector registers. */
static void on_fault_fpu(uint64_t (*work)(uint64_t address, uint64_t rip))
{
	fault_work = work;
	pv_on(PV_VECTOR_PAGE_FAULT, on_page_fault, 0);
}

static const struct side side_fpu = {
	.name = "pavane-fpu",
	.exits = exits,
	.protect = protect,
	.on_fault = on_fault_fpu,
};

static IN_FAULT void answer(struct pv_frame *f)
{
	if (f->rax == SYS_getpid)
		f->rax = 1;
	else
		pv_user_stop();
}

static IN_FAULT void pass_on(struct pv_frame *f)
{
	if (f->rax == SYS_getpid)
		f->rax = pv_host_call(f->rax, f->rdi, f->rsi, f->rdx, f->r10, f->r8, f->r9);
	else
		pv_user_stop();
}

/* Ring 3 makes CALLS calls of getpid, counts them in rbx, and then another call, which ends it. */
static void interception(const char *name, pv_handler handler)
{
	static const char loop[] = "\xbb\x64\0\0\0"   /* mov $CALLS, %ebx */
				   "\xb8\x27\0\0\0"   /* 1: mov $SYS_getpid, %eax */
				   "\x0f\x05"	      /* syscall */
				   "\xff\xcb\x75\xf5" /* dec %ebx; jnz 1b */
				   "\xb8\x3c\0\0\0"   /* mov $SYS_exit, %eax */
				   "\x0f\x05";	      /* syscall */
	struct row row = {.name = name, .ops = CALLS};
	uint8_t *code =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct pv_frame regs;
	struct mark since;

	memcpy(code, loop, sizeof(loop));
	pv_protect(pv_root_current(), code, PAGE, PV_READ | PV_EXEC | PV_USER);
	pv_flush(code);
	pv_on(PV_SYSCALL, handler, PV_NO_FPU);
	while (row.n < ROUNDS) {
		regs = (struct pv_frame){.rip = (uint64_t)code};
		since = mark(&side);
		pv_user_run(&regs);
		round_end(&side, &row, since);
	}
	row_print(&side, &row);
}

/* Out and in again, and nothing between. The loop's two instructions count as well. */
static void null_exit(void)
{
	struct row row = {.name = "null-exit", .ops = CALLS};
	struct mark since;

	while (row.n < ROUNDS) {
		since = mark(&side);
		for (unsigned i = 0; i < CALLS; i++)
			__asm__ volatile("vmcall" : : "a"(PVHOST_NOP) : "memory");
		round_end(&side, &row, since);
	}
	row_print(&side, &row);
}

void bench_inside(void)
{
	const int ret = pv_enter();

	if (ret) {
		errno = -ret;
		give_up("pv_enter");
	}
	rows(&side);
	row_trap(&side_fpu);
	interception("interception", answer);
	interception("interception-passed-on", pass_on);
	null_exit();
	pv_leave();
}
