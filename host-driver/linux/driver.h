/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pvhost.ko from within. caps.c, ept.c, region.c and exit.c need no VMX and are what KUnit
 * tests under UML; vtx.c owns VMX of each processor; vmcs.c and vcpu.c one vCPU; vm.c the
 * process's memory; main.c the device.
 */
#ifndef PVHOST_DRIVER_H
#define PVHOST_DRIVER_H

#include <linux/cpumask.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>

#include "../abi/pvhost.h"

/* The capability MSRs (SDM vol. 3, appendix A) that choose what goes into a VMCS. */
struct vmx_msrs {
	u64 basic, pin, proc, proc2, exit, entry, ept_vpid;
	u64 cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
};

struct controls {
	u32 revision;
	u32 pin, proc, proc2, exit, entry;
	u32 features; /* PVHOST_F_* */
	bool invvpid_single;
	u64 cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
};

/* Choose controls. NULL, or the name of what this CPU lacks. */
const char *controls_choose(const struct vmx_msrs *msrs, struct controls *c);
/* The guest's own bits of `wanted`, the others as VMX and the driver need them. */
u64 controls_cr0(const struct controls *c, u64 wanted);
u64 controls_cr4(const struct controls *c, u64 wanted);
/* Bits that a guest may change without an exit. */
#define GUEST_CR0_BITS 0x5000eUL  /* AM WP TS EM MP */
#define GUEST_CR4_BITS 0x73088eUL /* PKE SMAP SMEP PCIDE FSGSBASE UMIP PGE DE TSD PVI */

/* ept.c: the table (SDM vol. 3, 29.3). Locking is the caller's. */
#define EPT_READ  (1 << 0)
#define EPT_WRITE (1 << 1)
#define EPT_EXEC  (1 << 2)
#define EPT_WB	  (6 << 3)
#define EPT_LARGE (1 << 7)
#define EPT_ALL	  (EPT_READ | EPT_WRITE | EPT_EXEC)

#define EPT_LEVELS 4

struct ept {
	u64 *root;
	bool large; /* 2 MiB pages exist */
};

/* Pages that ept_map may need, taken while sleeping is still allowed. */
struct ept_reserve {
	u64 *page[EPT_LEVELS - 1];
	unsigned int nr;
};

int ept_init(struct ept *e, bool large);
void ept_destroy(struct ept *e);
u64 ept_pointer(const struct ept *e);
int ept_reserve_fill(struct ept_reserve *r);
void ept_reserve_drop(struct ept_reserve *r);
/*
 * Map the page at gpa to hpa. `large`: its whole 2 MiB are contiguous and aligned alike; taken
 * if nothing smaller is there already. Uses up to three pages of a filled reserve.
 */
void ept_map(struct ept *e, struct ept_reserve *r, u64 gpa, u64 hpa, bool large, bool write);
/*
 * Forget [gpa, end); a large page is forgotten whole. True if a CPU may have cached something of
 * it: then INVEPT, and only after that ept_free_tables(dead).
 */
bool ept_zap(struct ept *e, u64 gpa, u64 end, struct list_head *dead);
void ept_free_tables(struct list_head *dead);
/* The entry that maps gpa, or 0. For tests. */
u64 ept_lookup(const struct ept *e, u64 gpa);

/* region.c: which part of the process is where. */
#define MAX_REGIONS 64

struct regions {
	unsigned int nr;
	struct pvhost_region r[MAX_REGIONS];
};

int region_check(const struct regions *all, const struct pvhost_region *new, u64 gpa_end,
		 u64 hva_end);
/* Index of the region that holds gpa, or -1. */
int region_find(const struct regions *all, u64 gpa);
/* Index of exactly this one, or -1. */
int region_exact(const struct regions *all, const struct pvhost_region *r);
/* May the 2 MiB around gpa be one page, as far as the region goes? */
bool region_large(const struct pvhost_region *r, u64 gpa);

/* exit.c: who handles an exit. */
enum exit_action {
	EXIT_INTERRUPT, /* the host's: enable interrupts and go on */
	EXIT_NMI,
	EXIT_MCE,
	EXIT_REFLECT, /* an exception that only passes by: inject it again */
	EXIT_EPT,
	EXIT_DEBUG, /* its first use of the debug registers */
	EXIT_NOP,
	EXIT_USER,
};

enum exit_action exit_action(u32 reason, u32 intr_info, u64 rax);
/* The event to inject on the next entry after an exit that was handled here. 0: none. */
u32 exit_reinject(u32 vectoring);
bool exit_event_ok(u32 event, u32 error, u32 length);
int state_check(const struct pvhost_state *s);

/* vtx.c */
int vtx_init(void); /* once; says what is missing, -ENODEV and the like */
void vtx_exit(void);
int vtx_get(void); /* VMX on, on every CPU; -EBUSY if another hypervisor has it */
void vtx_put(void);
bool vtx_on(void);	    /* this CPU, preemption disabled */
extern struct controls vmx; /* what vtx_init chose */
extern u32 gpa_bits;
extern bool flush_l1d, flush_buffers;

/* vm.c */
struct vm;

struct region_notifier {
	struct mmu_interval_notifier mni;
	struct vm *vm;
	struct pvhost_region r;
};

struct vm {
	struct kref ref;
	struct mm_struct *mm;
	struct rw_semaphore lock; /* the regions; faults read */
	struct regions regions;
	struct region_notifier *notifier[MAX_REGIONS]; /* beside regions.r */
	spinlock_t ept_lock;
	struct ept ept;
	struct cpumask cpus; /* may have cached translations of ept */
};

struct vm *vm_create(void);
void vm_get(struct vm *vm);
void vm_put(struct vm *vm);
int vm_region_add(struct vm *vm, const struct pvhost_region *r);
int vm_region_del(struct vm *vm, const struct pvhost_region *r);
/*
 * Fill the EPT entry of gpa; what the reserve lacks is taken, what it has left stays. -EFAULT: no
 * region, or the process may not. May sleep.
 */
int vm_fault(struct vm *vm, struct ept_reserve *reserve, u64 gpa, bool write);

/* vcpu.c */
struct vcpu {
	struct vm *vm;
	struct mutex lock; /* RUN, GET_STATE and SET_STATE */
	struct pvhost_run *run;
	struct ept_reserve reserve;
	void *vmcs;
	int vpid; /* 0: none */
	int cpu;  /* whose host state the VMCS has; -1: none yet */
	u64 rip;  /* as last told to the process */
	u64 lstar, star, sfmask, kernel_gs_base;
	bool debug; /* it uses the debug registers: they are switched at each entry and exit */
	u64 dr[4];  /* DR6 is in the run page, DR7 in the VMCS */
	u32 pkru, host_pkru;
	u64 host_lstar, host_star, host_sfmask, host_kernel_gs_base, host_debugctl;
};

/* What to inject, read from the run page once: between check and use a thread may write there. */
struct event {
	u32 info, error, length;
};

int vcpu_create(struct vm *vm); /* a descriptor */

/* vmcs.c: interrupts disabled, the VMCS current. */
int vmcs_module_init(void);
void vmcs_module_exit(void);
void vmcs_init(struct vcpu *v);
void vmcs_host_cpu(void);
void vmcs_host_now(void);
void vmcs_set_state(struct vcpu *v, struct pvhost_state *s);
void vmcs_get_state(struct vcpu *v, struct pvhost_state *s);

/* entry.S: 0 after an exit; 1: VMfail, nothing was entered. */
bool pvhost_enter(struct pvhost_run *run, bool resume);
extern char pvhost_exit[];

static __always_inline u64 vmcs_read(unsigned long field)
{
	u64 value;

	asm volatile("vmread %1, %0" : "=r"(value) : "r"(field) : "cc");
	return value;
}

void vmcs_write_failed(unsigned long field, u64 value);

static __always_inline void vmcs_write(unsigned long field, u64 value)
{
	bool ok;

	asm volatile("vmwrite %2, %1" : "=@cca"(ok) : "r"(field), "r"(value));
	if (unlikely(!ok))
		vmcs_write_failed(field, value);
}

#endif
