/* SPDX-License-Identifier: MIT */
/*
 * The vtx provider: the monitor in ring 0 of VMX non-root mode (libpavane), the guest in ring 3 on
 * its own page tables.
 *
 * A guest owns the lower half, where the monitor lives as well, so the two have different roots.
 * What both must see lies in L4 slot 260, an area for each vCPU: the switcher's code (switcher.S)
 * at its start, and at fixed distances behind it what that needs. The same two pages of code are
 * in every area and find the area's own data relative to themselves.
 */
#ifndef PAVANE_VTX_H
#define PAVANE_VTX_H

#define SLOT_M2P   256
#define SLOT_AREAS 260
#define AREA_BASE  0xffff820000000000

/* Within an area. */
#define AREA_CODE  0x0000
#define AREA_STATE 0x2000
#define AREA_VCPU  0x3000 /* struct vcpu, VCPU_SHIFT bytes behind */
#define AREA_INFO  0x6000 /* the page of the vCPU's struct vcpu_info */
#define AREA_IDT   0x8000
#define AREA_GDT   0x10000 /* 14 pages of the guest's, one of ours (GDT_OWN) */
#define AREA_LDT   0x20000
#define AREA_SIZE  0x40000

#define CODE_PAGES 2
#define VCPU_PAGES 3
#define GDT_OWN	   14
#define GDT_PAGES  16

/*
 * So that the frame of an exception, whose end the CPU puts on a 16-byte boundary, fills the last
 * registers of struct vcpu, which come first in it.
 */
#define VCPU_SHIFT 8

/* struct vtx_state; asserted in vtx.c. */
#define S_IN_GUEST	  0x00
#define S_DIRTY		  0x01
#define S_FLUSH		  0x04
#define S_CR3		  0x08 /* [0] user, [1] kernel */
#define S_KEEP		  0x18
#define S_MONITOR_CR3	  0x20
#define S_MONITOR_FS	  0x28
#define S_MONITOR_RSP	  0x30
#define S_VCPU		  0x38
#define S_SYSCALL	  0x40
#define S_TRAP		  0x48
#define S_FAULT		  0x50
#define S_HOST_CALL	  0x58
#define S_PV_TRAP	  0x60
#define S_CR2		  0x68
#define S_NO_IDT	  0x70
#define S_CR3_KERNEL	  0x10
#define S_IST1		  0xa4 /* in the TSS, at 0x80 */
#define S_INFO		  0xe8
#define S_STACK_TOP	  0x1000
#define S_DEBUG_STACK_TOP 0xf00 /* of debug exceptions */

/* struct vcpu */
#define V_R15		   0
#define V_RAX		   80
#define V_RCX		   88
#define V_RDX		   96
#define V_RSI		   104
#define V_RDI		   112
#define V_ERROR		   120
#define V_RIP		   128
#define V_CS		   136
#define V_RFLAGS	   144
#define V_RSP		   152
#define V_SS		   160
#define V_REGS_END	   168
#define V_ES		   168
#define V_DS		   176
#define V_FS		   184
#define V_GS		   192
#define V_FS_BASE	   0x00c8
#define V_KERNEL_MODE	   0x00d0
#define V_NMI_MASKED	   0x00d1
#define V_CALLBACK_FLAGS   0x00d4
#define V_KERNEL_SP	   0x00d8
#define V_SYSCALL_CALLBACK 0x00e0
#define V_GS_KERNEL	   0x00e8
#define V_GS_USER	   0x00f0
#define V_USER_CR3	   0x00f8
#define V_CR2		   0x0100
#define V_TRAP_PF	   0x01e8

/* Selectors of the own page, where Xen has them: what `syscall` and sysret load, the TSS, the LDT.
 */
#define SEL_MONITOR_CS 0xe008
#define SEL_MONITOR_SS 0xe010
#define SEL_GUEST_CS32 0xe023
#define SEL_GUEST_SS   0xe02b
#define SEL_GUEST_CS   0xe033
#define SEL_TSS	       0xe040
#define SEL_LDT	       0xe050

#define HYPERCALL_IRET 23 /* as in xen.h */
#define DR6_NONE       0xffff0ff0

#define VECTOR_STUB_SIZE 32
#define VECTOR_INT80	 0x80
#define VECTOR_KICK	 0xf0
#define VECTOR_TIMER	 0xf1

#ifndef __ASSEMBLER__
#include "hypercalls/monitor/monitor.h"

/* What the switcher shares with the monitor about one vCPU. */
struct vtx_state {
	volatile uint8_t in_guest; /* ring 3 runs, or is about to */
	uint8_t dirty;		   /* own thread: load_tables' work is to be done before it does */
	uint8_t ts;		   /* CR0.TS as it is */
	uint8_t debug;		   /* DR7 has breakpoints, or had them when the guest last ran */
	volatile uint32_t flush;   /* whoever sets it wants the next entry to start without a TLB */
	uint64_t cr3[2];	   /* with `keep` once loaded */
	uint64_t keep;		   /* CR3 bit 63, do not flush, where there are PCIDs */
	uint64_t monitor_cr3, monitor_fs, monitor_rsp;
	struct vcpu *vcpu;
	void *syscall, *trap, *fault, *host_call, *pv_trap;
	uint64_t cr2;
	uint8_t no_idt[16];
	uint8_t tss[0x68];
	uint64_t info;	    /* its struct vcpu_info, as the guest's roots have it; or no_info */
	uint8_t no_info[8]; /* begins like one with an event that waits */
	volatile uint64_t entries;   /* to the guest */
	regs_t before;		     /* v->regs when the way back may fault */
	uint64_t fault_va, fault_nr; /* the host had no memory there, so often */
	uint8_t stack[0];	     /* of exceptions in ring 0: the rest of the page */
};

/* A vCPU's pages. */
struct vtx_vcpu {
	union {
		struct vtx_state state;
		uint8_t page[4096];
	};
	uint64_t idt[512];
	uint64_t gdt[512]; /* GDT_OWN */
} __attribute__((aligned(4096)));

static inline struct vtx_state *state_of(const struct vcpu *v)
{
	return v->provider;
}

/* area.c. d->lock held, or before there is anybody else. -errno */
int area_init(struct vcpu *v);		/* its area, inside */
int area_memory(struct domain *d);	/* guest RAM and the machine-to-physical table */
void area_tables(struct vcpu *v);	/* GDT and LDT pages, by struct vcpu */
uint64_t area_of(const struct vcpu *v); /* linear address */

/* flush.c */
void vtx_flush(struct domain *d, uint32_t vcpus, uint64_t va);
void vtx_root_changed(struct vcpu *v);
void vtx_kick(struct vcpu *v);
extern pid_t vtx_process; /* the kicks' */

/* entry.c: called by the switcher, on the monitor's stack. True: sysret will do. */
bool vtx_syscall(struct vcpu *v);
bool vtx_trap(struct vcpu *v);
bool vtx_fault(struct vcpu *v, unsigned vector, uint64_t error);
void vtx_begin(struct vcpu *v); /* before the first entry */
void vtx_monitor_faults(void);	/* the monitor's own exceptions, for libpavane */

/* switcher.S, and fast.S in it */
extern char switcher[], switcher_vectors[], switcher_syscall[], switcher_resume[];
extern char switcher_vectors_high[];
void vtx_start(struct vtx_state *s, uint64_t resume) __attribute__((noreturn));
int vtx_load_selectors(const regs_t *r); /* ds, es, fs, gs; -1: one of them faults */
extern char vtx_load_selectors_end[], vtx_load_selectors_failed[];
#endif
#endif
