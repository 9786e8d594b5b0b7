/* SPDX-License-Identifier: MIT */
/*
 * libpavane: a thread of an ordinary process in ring 0 of VMX non-root mode.
 *
 * After pv_enter() the same thread goes on with the same memory, stack and libc: what it calls
 * of the host still happens, by way of the driver. What it gains are page tables, exception and
 * interrupt vectors, the interrupt flag and a ring 3 below it. Functions return 0 or -errno
 * unless they say otherwise. docs/libpavane.md has a first program.
 */
#ifndef PAVANE_H
#define PAVANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- in and out --- */

/*
 * Opens /dev/pvhost for the pv_enter() of any thread: for a program that can open nothing any more
 * by then. Only needed there. -ENOENT: load pvhost.ko; -EBUSY: another hypervisor has VT-x.
 */
int pv_open(void);
/* What pv_open() says, for who has not called it; -EALREADY: inside already. */
int pv_enter(void);
/* Back to an ordinary thread. Other threads stay as they are. */
void pv_leave(void);
bool pv_inside(void);

/* --- exceptions and interrupts --- */

/* Registers at the interruption; what a handler changes is what the thread goes on with. */
struct pv_frame {
	uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
	uint64_t vector, error; /* error code, or 0 */
	uint64_t rip, cs, rflags, rsp, ss;
};

typedef void (*pv_handler)(struct pv_frame *f);

/* The handler touches no vector or x87 register, and nothing it calls does: cheaper. */
#define PV_NO_FPU 1

/*
 * Call `handler` for a vector below 256, in every thread inside; NULL takes it back. Handlers run
 * in ring 0 with interrupts off, on the interrupted stack (from ring 3: on pv_user_run's). A
 * vector without a handler prints the registers and ends the process with the signal that the
 * exception is to an ordinary process. Memory that the process does not have, or not with that
 * right, is vector 14 as well.
 */
#define PV_VECTOR_DIVIDE     0
#define PV_VECTOR_DEBUG	     1
#define PV_VECTOR_BREAKPOINT 3
#define PV_VECTOR_UNDEFINED  6
#define PV_VECTOR_PROTECTION 13
#define PV_VECTOR_PAGE_FAULT 14
/* In the error code of a page fault: the host refuses the page, whatever the page tables say. */
#define PV_FAULT_HOST (1 << 14)
int pv_on(unsigned vector, pv_handler handler, int flags);

/* The address of the last page fault. */
static inline uint64_t pv_fault_address(void)
{
	uint64_t va;

	__asm__ volatile("mov %%cr2, %0" : "=r"(va));
	return va;
}

static inline void pv_cli(void)
{
	__asm__ volatile("cli" : : : "memory");
}

static inline void pv_sti(void)
{
	__asm__ volatile("sti" : : : "memory");
}

/* Wait for an interrupt, with them enabled; returns after its handler. */
static inline void pv_halt(void)
{
	__asm__ volatile("sti; hlt" : : : "memory");
}

/* From now on a host signal `sig` of this thread or process is an interrupt vector (32 to 255). */
int pv_signal(int sig, unsigned vector);
/* Interrupt this thread after `first` ns and every `period` ns (0: once); first 0: no more. */
int pv_timer(uint64_t first, uint64_t period, unsigned vector);

/* --- page tables --- */

#define PV_READ	 1
#define PV_WRITE 2
#define PV_EXEC	 4
#define PV_USER	 8 /* ring 3 may, too */

/* Of an entry (Intel SDM vol. 3, 4.5). */
#define PV_PTE_PRESENT	(1ul << 0)
#define PV_PTE_WRITE	(1ul << 1)
#define PV_PTE_USER	(1ul << 2)
#define PV_PTE_ACCESSED (1ul << 5)
#define PV_PTE_DIRTY	(1ul << 6)
#define PV_PTE_NX	(1ul << 63)

struct pv_root;

/* The one every thread starts with: the whole process, all rights, not for ring 3. */
struct pv_root *pv_root_default(void);
/* Another like it, or empty but for what ring 0 itself needs. NULL: out of memory. */
struct pv_root *pv_root_new(void);
void pv_root_free(struct pv_root *root);
/* Give this thread another root. */
void pv_root_switch(struct pv_root *root);
struct pv_root *pv_root_current(void);
/*
 * Rights of [va, va + size) in `root`; 0: not there. Addresses and sizes are multiples of 4096.
 * pv_map_at: with the memory that the process has at `memory`. Flush afterwards.
 */
int pv_protect(struct pv_root *root, void *va, size_t size, int rights);
int pv_map_at(struct pv_root *root, void *va, void *memory, size_t size, int rights);
/* The 4 KiB entry for va, to look at accessed and dirty bits and clear them; NULL: no memory. */
uint64_t *pv_entry(struct pv_root *root, void *va);
/* What this thread's CPU has cached: of one page, of all. */
static inline void pv_flush(void *va)
{
	__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

static inline void pv_flush_all(void)
{
	uint64_t cr3;

	__asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=r"(cr3) : : "memory");
}

/* --- ring 3 --- */

/*
 * Run in ring 3 from regs (rip, rsp, general registers; cs, ss and rflags are seen to) until a
 * handler calls pv_user_stop(); then regs says where it was. `syscall` goes to the handler of
 * PV_SYSCALL, with the number in rax and its result wanted there.
 */
#define PV_SYSCALL 256
void pv_user_run(struct pv_frame *regs);
void pv_user_stop(void);
/* Did the frame come from ring 3? */
static inline bool pv_from_user(const struct pv_frame *f)
{
	return f->cs & 3;
}

/* FS base of ring 3: thread-local storage. `base` must be canonical, whoever asks for it. */
uint64_t pv_user_fs(void);
void pv_user_set_fs(uint64_t base);
/*
 * Who answers CPUID in ring 3 (eax to edx in r), instead of the CPU. Called by the thread's other
 * half, outside; it may use CPUID itself, but no libc.
 */
void pv_user_cpuid(void (*answer)(uint32_t leaf, uint32_t sub, uint32_t r[4]));
/*
 * VM exits of this thread's vCPU so far, and how many of them were for the host's own interrupts,
 * which is to say none of the thread's doing. 0 and 0 outside.
 */
void pv_exits(uint64_t *all, uint64_t *interrupts);
/* A system call of the host. Returns -errno like the kernel. From inside and outside. */
long pv_host_call(long nr, long a1, long a2, long a3, long a4, long a5, long a6);

#endif
