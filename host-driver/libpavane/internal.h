/* SPDX-License-Identifier: MIT */
/* What the parts of libpavane share, with their assembly. */
#ifndef PAVANE_INTERNAL_H
#define PAVANE_INTERNAL_H

#include "host-driver/abi/pvhost.h"

/* struct thread, for assembly; asserted in thread.c. */
#define THREAD_SIZE  0x4000
#define T_ENTRY	     0x40
#define T_SCRATCH    0x48
#define T_KERNEL_RSP 0x50
#define T_FS	     0x58
#define T_USER_FS    0x60
#define T_IN_USER    0x68
#define T_STOP	     0x69
#define T_ENTRY_TOP  0x400 /* of a stack for the first instructions of a system call */

/* struct pv_frame */
#define F_RAX	 0x50
#define F_VECTOR 0x78
#define F_CS	 0x90
#define F_SIZE	 0xb0

/* Selectors, in the order that syscall and sysret want them. */
#define SEL_CODE      0x08
#define SEL_DATA      0x10
#define SEL_USER_BASE 0x1b
#define SEL_USER_DATA 0x23
#define SEL_USER_CODE 0x2b
#define SEL_TSS	      0x30

#define VECTOR_STUB_SIZE 16 /* of pv_vectors */

#ifndef __ASSEMBLER__
#include <sys/types.h>

#include "host-driver/libpavane/pavane.h"
#include "host-driver/libpavane/tables.h"

/* Of a thread inside. Aligned to its size: any stack pointer within finds it. */
struct thread {
	uint8_t stub[T_ENTRY]; /* where `syscall` arrives: finds the rest relative to itself */
	void *entry;
	uint64_t scratch;    /* rsp of the caller of a system call */
	uint64_t kernel_rsp; /* where ring 3's interruptions go on */
	uint64_t fs, user_fs;
	uint8_t in_user, stop;
	bool used;
	pid_t tid;
	int vcpu;
	struct pvhost_run *run;
	struct pv_root *root;
	uint64_t pending[4]; /* vectors waiting; set by signal handlers */
	int32_t timer;	     /* kernel's id, or -1 */
	uint64_t gdt[8];
	uint8_t tss[0x68];
	uint8_t *host_stack;	 /* of the thread's other half, outside */
	uint8_t entry_stack[64]; /* and the padding up to T_ENTRY_TOP */
	/* Exceptions begin here. */
	uint8_t ist[THREAD_SIZE - T_ENTRY_TOP] __attribute__((aligned(T_ENTRY_TOP)));
};

extern __thread struct thread *pv_self;

/* Pseudo system calls from inside, for the other half. */
#define CALL_LEAVE 0x70760001
#define CALL_DIE   0x70760002 /* by signal a1 */

/* asm.S */
extern char pv_vectors[], pv_syscall_entry[];
/* Returns inside. */
void pv_go_inside(struct thread *t, struct pvhost_run *run, void *host_stack);
void pv_become(const struct pvhost_run *run) __attribute__((noreturn)); /* all registers */
long pv_clone_call(long nr, const struct pvhost_run *run, void *child_stack);

/* host.c: the other half, outside, on a stack of its own. */
void pv_outside(struct thread *t) __attribute__((noreturn));
long pv_raw(long nr, long a1, long a2, long a3, long a4, long a5, long a6);

/* paging.c */
int paging_init(int vm, unsigned gpa_bits);
uint64_t paging_cr3(const struct pv_root *root);
/* Bring in the part of the process around va. False: there is, or can be, nothing. */
bool paging_fill(struct pv_root *root, uint64_t va);
void paging_thread(const struct thread *t);
/* The pages at `va` are those at `memory` instead, in every root. Once. */
void paging_replace(uint64_t va, const void *memory, size_t size);

/* vdso.c */
void vdso_replace(void);

/* trap.c */
void traps_init(void);
extern uint64_t pv_idt[512];
void pv_dispatch(struct pv_frame *f);

/* signal.c */
void signal_inject(struct thread *t);
void signal_wait(struct thread *t);
void timer_drop(struct thread *t);

#endif
#endif
