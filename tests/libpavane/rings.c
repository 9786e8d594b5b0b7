/* SPDX-License-Identifier: MIT */
/* Page tables of one's own, and a ring 3 that gets nothing but what they give it. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host-driver/libpavane/pavane.h"
#include "tests/pvhost/check.h"

#define PAGE 4096

static uint8_t *code, *data; /* of ring 3 */
static volatile unsigned vector, vectors, calls;
static volatile uint64_t error, address, call_nr;

static void on_exception(struct pv_frame *f)
{
	vectors++;
	vector = f->vector;
	error = f->error;
	address = pv_fault_address();
	if (pv_from_user(f))
		pv_user_stop();
	else
		f->rip += 3; /* of a mov */
}

static void on_call(struct pv_frame *f)
{
	calls++;
	call_nr = f->rax;
	if (f->rax == SYS_exit)
		pv_user_stop();
	else
		f->rax = pv_host_call(f->rax, f->rdi, f->rsi, f->rdx, f->r10, f->r8, f->r9);
}

static struct pv_frame user(const void *insns, size_t size)
{
	struct pv_frame r = {.rip = (uint64_t)code, .rsp = (uint64_t)data + PAGE};

	memcpy(code, insns, size);
	vectors = calls = 0;
	vector = -1;
	pv_user_run(&r);
	return r;
}

#define USER(...) user((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void expect(const char *name, unsigned want)
{
	check(vector == want && vectors == 1, name, "vector %d, %u times", (int)vector, vectors);
}

static void ring3(void)
{
	struct pv_frame r;

	r = USER(0xb8, 39, 0, 0, 0, 0x0f, 0x05,		     /* getpid */
		 0x89, 0xc3, 0xb8, 60, 0, 0, 0, 0x0f, 0x05); /* mov %eax, %ebx; exit */
	check(calls == 2 && r.rbx == (uint64_t)getpid(), "system calls of ring 3",
	      "%u calls, pid %lu", calls, (long)r.rbx);
	check(r.cs == 0x2b, "it was ring 3", "cs %lx", (long)r.cs);
	USER(0xfa);
	expect("cli faults", PV_VECTOR_PROTECTION);
	USER(0x0f, 0x01, 0xc1);
	expect("vmcall is undefined", PV_VECTOR_UNDEFINED);
	USER(0x0f, 0x22, 0xd8);
	expect("mov to cr3 faults", PV_VECTOR_PROTECTION);
	USER(0xcd, 0x80);
	expect("int $0x80 faults", PV_VECTOR_PROTECTION);
	USER(0xcc);
	expect("int3 is a breakpoint", PV_VECTOR_BREAKPOINT);
	USER(0x8b, 0x04, 0x25, 0, 0, 0, 0);
	expect("a null pointer is a page fault", PV_VECTOR_PAGE_FAULT);
	/* mov %rdi's 8 bytes: address of this program's own variable */
	r = USER(0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0xe0); /* jmp non-canonical */
	expect("a jump to a non-canonical address", PV_VECTOR_PROTECTION);
	/* Another GS must not lead ring 0 astray. */
	USER(0x31, 0xc0, 0xf3, 0x48, 0x0f, 0xae, 0xd8, 0xb8, 60, 0, 0, 0, 0x0f, 0x05);
	check(calls == 1 && call_nr == SYS_exit, "wrgsbase, then a system call", "%u", calls);
	/* syscall with a stack pointer from nowhere */
	r = USER(0x31, 0xe4, 0xb8, 60, 0, 0, 0, 0x0f, 0x05);
	check(calls == 1 && r.rsp == 0, "a system call without a stack", "rsp %lx", (long)r.rsp);
}

static void rights(void)
{
	struct pv_frame r = {.rip = (uint64_t)code, .rsp = (uint64_t)data + PAGE};
	uint8_t *secret =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(secret, 0x5a, PAGE);
	memcpy(code, (const uint8_t[]){0x8b, 0x07, 0xb8, 60, 0, 0, 0, 0x0f, 0x05}, 9);
	r.rdi = (uint64_t)secret;
	vectors = 0;
	pv_user_run(&r);
	check(vector == PV_VECTOR_PAGE_FAULT && error == 5 && address == (uint64_t)secret,
	      "ring 3 reads nothing that is not PV_USER", "vector %u, error %lx", vector,
	      (long)error);
	pv_protect(pv_root_current(), secret, PAGE, PV_READ);
	pv_flush(secret);
	vectors = 0;
	__asm__ volatile("movb $1, (%0)" : : "a"(secret) : "memory");
	check(vectors == 1 && error == 3 && secret[0] == 0x5a, "ring 0 respects a missing PV_WRITE",
	      "%u faults, error %lx", vectors, (long)error);
}

static void dirty(void)
{
	uint8_t *heap =
		mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned found = 0;

	for (int i = 0; i < 64; i++)
		*pv_entry(pv_root_current(), heap + i * PAGE) &= ~PV_PTE_DIRTY;
	pv_flush_all();
	heap[3 * PAGE] = 1;
	heap[40 * PAGE + 5] = 1;
	(void)*(volatile uint8_t *)(heap + 7 * PAGE);
	for (int i = 0; i < 64; i++)
		found += *pv_entry(pv_root_current(), heap + i * PAGE) & PV_PTE_DIRTY ? i : 0;
	check(found == 43, "dirty bits say which pages were written", "sum %u", found);
}

static void roots(void)
{
	uint8_t *a = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0),
		*b = a + PAGE;
	struct pv_root *other = pv_root_new(), *before = pv_root_current();
	uint8_t seen;

	*a = 1;
	*b = 2;
	check(!pv_map_at(other, a, b, PAGE, PV_READ), "map at", "fails");
	pv_root_switch(other);
	seen = *(volatile uint8_t *)a;
	pv_root_switch(before);
	check(seen == 2 && *(volatile uint8_t *)a == 1, "two roots, two memories at one address",
	      "%u", seen);
	pv_root_free(other);
	for (int i = 0; i < 200; i++) {
		other = pv_root_new();
		if (!other || pv_protect(other, a, PAGE, PV_READ))
			break;
		pv_root_free(other);
	}
	check(other != NULL, "roots are freed", "out of tables");
}

int main(void)
{
	const int ret = pv_enter();

	check(!ret, "enter", "%s", strerror(-ret));
	if (ret)
		return finish();
	code = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	data = code + PAGE;
	pv_protect(pv_root_current(), code, PAGE, PV_READ | PV_WRITE | PV_EXEC | PV_USER);
	pv_protect(pv_root_current(), data, PAGE, PV_READ | PV_WRITE | PV_USER);
	pv_flush_all();
	for (unsigned v = 0; v < 32; v++)
		pv_on(v, on_exception, 0);
	pv_on(PV_SYSCALL, on_call, 0);
	ring3();
	rights();
	dirty();
	roots();
	return finish();
}
