/* SPDX-License-Identifier: MIT */
/*
 * The process provider, stage 1: the guest kernel runs natively in the domain's own process.
 *
 * Guest linear addresses are host addresses between GUEST_LO and GUEST_HI; everything of the
 * monitor's (a position-independent program and its libraries) lies above.
 */
#ifndef PAVANE_DIRECT_H
#define PAVANE_DIRECT_H

#define GUEST_LO 0x10000UL	  /* vm.mmap_min_addr of an unprivileged process */
#define GUEST_HI 0x400000000000UL /* 64 TiB */

/* Offsets into struct vcpu (its regs come first), for the entry code; asserted in direct.c. */
#define R_R15	    0
#define R_R14	    8
#define R_R13	    16
#define R_R12	    24
#define R_RBP	    32
#define R_RBX	    40
#define R_R11	    48
#define R_R10	    56
#define R_R9	    64
#define R_R8	    72
#define R_RAX	    80
#define R_RCX	    88
#define R_RDX	    96
#define R_RSI	    104
#define R_RDI	    112
#define R_RIP	    128
#define R_RFLAGS    144
#define R_RSP	    152
#define UC_STACK_SP 16 /* ucontext_t.uc_stack.ss_sp */

#ifndef __ASSEMBLER__
#include <signal.h>

#include "hypercalls/monitor/monitor.h"

/* entry.S */
extern char direct_gate[], direct_gate_iret[]; /* where the hypercall page's stubs jump */
extern char direct_trap[], direct_trap_iret[]; /* hypercalls by SIGILL */
extern char direct_entry[], direct_entry_iret[];
extern char direct_entry_saved[]; /* before this, entry reads the guest's own stack */
extern char direct_resume[], direct_resume_end[]; /* interrupted here: start again */
extern char direct_by_signal[];			  /* an instruction that raises SIGILL */
void direct_start(struct vcpu *v) __attribute__((noreturn));
void direct_signal(int sig, siginfo_t *si, void *ctx);

/* Of this vCPU thread, addressed by the entry code through FS. */
extern __thread void *direct_stack;
extern __thread uint64_t direct_scratch;
extern __thread volatile uint8_t direct_kicked;

/* Some vCPU of the domain has (had) an FS base of its own; direct.c says what follows. */
extern volatile uint8_t direct_fs_owned;
void direct_fs_give_up(void);

/* direct.c, called by entry.S */
struct vcpu *direct_hypercall(struct vcpu *v, uint64_t nr);
struct vcpu *direct_work(struct vcpu *v);

/* mirror.c: guest page tables as host mappings, filled by fault. d->lock held. */
bool mirror_fault(struct vcpu *v, uint64_t va, bool write, bool exec);
void mirror_forget(struct domain *d, uint64_t va);

/* signals.c */
uint64_t signals_handle(int sig, siginfo_t *si, void *ctx, uint64_t fs);
int signals_init(void);			 /* handlers, once per process */
int signals_thread_init(struct vcpu *v); /* alternate stack, timer */
#endif
#endif
