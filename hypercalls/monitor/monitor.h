/* SPDX-License-Identifier: MIT */
/*
 * The monitor's own state: one domain, its vCPUs, its frame table and its event channels.
 *
 * Rules for everything under hypercalls/monitor/:
 *  - Compiled with -mgeneral-regs-only: a hypercall leaves the guest's vector registers alone.
 *    So no libc call that might use them; copies go through copy.c.
 *  - d->lock is held by the dispatcher around every handler in hypercall_table whose entry
 *    says LOCKED. A handler that calls the broker (up_call) drops it first.
 *  - Handlers return 0 or a positive result, or -errno with Xen's numbers.
 */
#ifndef PAVANE_MONITOR_H
#define PAVANE_MONITOR_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>

/* Xen 4.17's ABI; without this the headers give the names of 2005. */
#ifndef __XEN_INTERFACE_VERSION__
#define __XEN_INTERFACE_VERSION__ 0x00040e00
#endif
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/vcpu.h>
#include <xen/sched.h>

#include "host-driver/providers/provider.h"
#include "hypercalls/monitor/x86.h"
#include "hypercalls/pvdom/proto.h"
#include "hypercalls/pvdom/tsc.h"

#define PAGE_SHIFT  12
#define PAGE_SIZE   4096UL
#define PAGE_MASK   (~(PAGE_SIZE - 1))
#define INVALID_MFN (~0UL)
#define M2P_ALIGN   (2UL << 20)

/* The selectors of a 64-bit PV guest (public arch-x86/xen-x86_64.h). */
#define SEL_KERNEL_CS 0xe033
#define SEL_KERNEL_SS 0xe02b
#define SEL_USER_CS32 0xe023

/* Linear addresses a guest may use at all (canonical, outside the hypervisor's L4 slots). */
#define HYPERVISOR_START 0xffff800000000000UL
#define HYPERVISOR_END	 0xffff880000000000UL

/* Page-table entry bits; the guest's address field is bits 12..51. */
#define L1_ENTRIES   512 /* of a page table, whatever its level */
#define PTE_P	     0x001UL
#define PTE_RW	     0x002UL
#define PTE_US	     0x004UL
#define PTE_A	     0x020UL
#define PTE_D	     0x040UL
#define PTE_PS	     0x080UL
#define PTE_G	     0x100UL
#define PTE_NX	     (1UL << 63)
#define PTE_MFN_MASK 0x000ffffffffff000UL
#define pte_mfn(e)   (((e)&PTE_MFN_MASK) >> PAGE_SHIFT)

/*
 * A machine frame's type, as Xen's direct paging has them: a frame has one type at a time while
 * type_count > 0, and may change only when it falls to 0. FRAME_RAM frames hold the guest's
 * memory; the heap frames (shared_info, grant table) may be mapped but never typed.
 */
enum frame_type { FT_NONE, FT_WRITABLE, FT_L1, FT_L2, FT_L3, FT_L4, FT_SEGDESC };

#define FRAME_FREE  0 /* not part of the reservation */
#define FRAME_RAM   1
#define FRAME_HEAP  2
#define FRAME_DYING 3 /* left the reservation, still referenced */

/* frame.va_hint of an L1 table: never mirrored through; mirrored at more than one place. */
#define VA_HINT_NONE (~0UL)
#define VA_HINT_MANY (~1UL)

struct frame {
	uint8_t kind; /* FRAME_* */
	uint8_t type; /* enum frame_type, meaningful while type_count > 0 */
	uint8_t pinned;
	uint8_t last_type; /* what it was when type_count fell to 0 */
	uint32_t type_count;
	uint32_t ref_count; /* all references: mappings, pins, roots */
	uint16_t elsewhere; /* its memory is not in the memfd: see lend.c */
	int16_t linear;	    /* > 0: entries for tables of its level; < 0: such entries for it */
	uint64_t lost_at;   /* the clock of tlb.c when type_count last fell to 0 */
	uint64_t va_hint;   /* L1 only: linear base the mirror reached this table by, or ~0 */
};

/* An event channel, as the guest's port number names it. */
enum port_state { PORT_FREE, PORT_UNBOUND, PORT_INTERDOMAIN, PORT_VIRQ, PORT_IPI, PORT_RESERVED };

struct port {
	uint8_t state;
	uint8_t vcpu; /* the vCPU it notifies */
	uint16_t remote_dom;
	uint32_t remote_port; /* interdomain; the virq for PORT_VIRQ */
	int rx, tx;	      /* eventfds to and from a remote domain, or -1 (remote_dom is us) */
};

#define MAX_PORTS PVDOM_MAX_PORTS

struct guest_trap {
	uint64_t address; /* 0: none */
	uint16_t cs;
	uint8_t flags; /* bits 0-1 DPL, bit 2 mask events */
};

/* A page of guest memory as copy.c last found it; right while root and clock are the same. */
#define KNOWN_PAGES    4
#define KNOWN_WRITABLE 1 /* in `va` */
struct known_page {
	uint64_t va, root, clock;
	uint8_t *p;
};

/* Guest registers in the order of Xen's public struct vcpu_guest_context.user_regs. */
typedef struct cpu_user_regs regs_t;

struct vcpu {
	/* The providers' entry code knows where these are: keep them first. */
	regs_t regs;
	uint64_t fs_base;
	bool kernel_mode; /* the direct provider knows no other */
	bool nmi_masked;  /* from its delivery to the next iret */
	uint32_t callback_flags;
	uint64_t kernel_sp, syscall_callback;
	uint64_t gs_base_kernel, gs_base_user;
	uint64_t user_cr3_mfn, cr2;
	struct guest_trap traps[256];

	struct domain *d;
	uint32_t id;
	bool initialised; /* has a context */
	bool online;
	volatile bool blocked, polling;
	volatile bool parked;	       /* in vcpu_park */
	bool replaced;		       /* its context, while it was blocked */
	volatile bool held;	       /* by the debugger */
	bool stepping;		       /* the debugger has it run one instruction */
	uint64_t step_rip;	       /* where that is */
	volatile uint32_t debug_event; /* why it stopped, until the debugger has asked */
	volatile uint32_t wake;	       /* futex word: bumped by whoever wants the vCPU to look */
	uint32_t poll_port;	       /* SCHEDOP_poll on one port, 0 for many, ~0 for none */

	struct vcpu_info *info; /* in shared_info or registered by the guest */
	uint64_t info_mfn;	/* registered frame; 0 or INVALID_MFN: none */
	uint64_t runstate_va;	/* registered by the guest, or 0 */
	struct vcpu_runstate_info runstate;
	uint32_t runstate_seq;	    /* odd while the owner changes runstate */
	uint64_t time_va;	    /* VCPUOP_register_vcpu_time_memory_area, or 0 */
	uint64_t time_tsc, time_ns; /* what time_publish last published; 0: nothing */
	uint32_t time_mul;
	int8_t time_shift;
	volatile bool time_busy; /* in time_publish: a signal handler stays out */

	uint64_t event_callback, failsafe_callback, sysenter_callback, syscall32_callback;
	bool sysenter_masks_events, syscall32_masks_events;
	uint64_t kernel_ss;
	uint64_t cr0, cr3_mfn, cr4, xcr0;
	uint64_t debugreg[8];
	uint64_t gdt_mfn[14];
	uint32_t gdt_entries;
	uint64_t ldt_base;
	uint32_t ldt_entries;
	uint64_t ldt_mfn[16];	 /* pages of it in use (descriptor.c), 0: not yet */
	uint64_t timer_deadline; /* ns of guest system time, 0: none */
	uint64_t periodic_ns, periodic_next;
	/* The provider's, CLOCK_MONOTONIC: its signal clears timer_armed and calls timer_check. */
	timer_t host_timer;
	volatile uint64_t timer_armed; /* the system time it is set for, 0: it is not */
	bool in_multicall;
	volatile bool nmi_pending; /* VCPUOP_send_nmi: deliver vector 2 at the next look */
	uint16_t virq_port[24];	   /* NR_VIRQS; 0: unbound */
	bool fpu_ts;
	bool fxsave_changed;	  /* by a debugger */
	uint8_t fxsave[512 + 15]; /* vcpu_fxsave() is in it */
	uint8_t iopl;		  /* the guest's, 0 to 3; the CPU's is always 0 */
	uint64_t flushed_at;	  /* the clock of tlb.c at its last full flush */
	struct known_page known[KNOWN_PAGES];
	uint32_t writes; /* to guest memory, begun and ended: odd during one (copy.c) */
	pthread_t thread;
	int tid;
	void *provider; /* the provider's own */
};

/* x87 and SSE registers of a vCPU that is parked, if its provider has `vectors`: FXSAVE's image. */
#define FXSAVE_SIZE 512
static inline uint8_t *vcpu_fxsave(struct vcpu *v)
{
	return (uint8_t *)(((uintptr_t)v->fxsave + 15) & -16UL);
}

struct domain {
	uint16_t id;
	uint32_t nr_vcpus;
	struct vcpu *vcpu[PVDOM_MAX_VCPUS];
	pthread_mutex_t lock;
	const struct provider *provider;
	const struct provider *upper; /* instead, if the kernel is in the upper half; or NULL */
	const char *provider_why;     /* it is not a better one; or NULL */
	uint64_t hypercall_mfn;	      /* the hypercall page, 0: none */

	int ram_fd;
	uint8_t *ram;	    /* the whole memfd, mapped in the monitor: frame n at n << 12 */
	uint64_t nr_frames; /* frames in the memfd */
	uint64_t max_pages, tot_pages;
	struct frame *frame;  /* nr_frames entries */
	uint64_t *m2p;	      /* machine to physical, nr_frames entries, for the guest to read */
	uint64_t l4_slot[16]; /* the provider's entries of every L4 table, slots 256 to 271 */
	uint64_t tlb_clock;
	uint64_t map_clock; /* moves on when any page table changes; never 0 */
	uint64_t alloc_hint;

	struct shared_info *shared;
	struct port port[MAX_PORTS];
	uint32_t max_ports;
	uint32_t grant_frames; /* in use */
	uint64_t vm_assist;

	uint64_t boot_tsc; /* guest system time 0 */
	uint64_t boot_ns;  /* CLOCK_MONOTONIC at boot_tsc */
	uint32_t time_seq; /* line[time_seq & 1] is the domain's clock */
	struct time_line {
		uint64_t tsc, ns;
		uint32_t mul;
		int8_t shift;
	} line[2];
	uint32_t tsc_mul;
	int8_t tsc_shift;

	volatile int pause;		 /* > 0: vCPUs stop at the next look; then domain_wake() */
	volatile int shutdown;		 /* -1, or the reason */
	volatile uint32_t shutdown_tell; /* 1: the next vCPU to park sends UP_SHUTDOWN */
	char shutdown_why[128];
	bool debugging, debugged;     /* there is a debugger; there was one */
	struct vcpu *crashed;	      /* who ended the domain, which the debugger is to see */
	volatile uint32_t debug_tell; /* 1: the next vCPU to park sends UP_DEBUG */
	uint32_t shutdown_code;	      /* SCHEDOP_shutdown_code: code + 1, 0: none */
	uint8_t handle[16];	      /* the domain's UUID */
	struct e820entry_raw {
		uint64_t addr, size;
		uint32_t type;
	} __attribute__((packed)) e820[32];
	uint32_t nr_e820;
	int ctl_fd, up_fd;
	char sandbox[PVDOM_SANDBOX_TEXT]; /* what keeps this process in, for `pvctl info` */
};

/* The domain of this process, and the vCPU of this thread (NULL on the I/O thread). */
extern struct domain *the_domain;
extern __thread struct vcpu *current;

/* ---- dispatch.c ---- */
typedef long (*hypercall_fn)(struct vcpu *v, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
			     uint64_t a5);
struct hypercall {
	hypercall_fn fn; /* NULL: -ENOSYS */
	bool locked;	 /* runs with d->lock held */
};
#define NR_HYPERCALLS 64
extern const struct hypercall hypercall_table[NR_HYPERCALLS];
/* Any number, takes the lock as the table says; also for each entry of a multicall. */
long hypercall(struct vcpu *v, uint64_t nr, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
	       uint64_t a5);

/* ---- copy.c: guest memory by the guest's own page tables, as data (never faults) ---- */
/* 0, or -EFAULT; a hypervisor or non-canonical address is -EFAULT. Sizes in bytes. */
int copy_from_guest(struct vcpu *v, void *dst, uint64_t va, size_t n);
int copy_to_guest(struct vcpu *v, uint64_t va, const void *src, size_t n);
/*
 * Guest memory itself, where [va, va + n) is within one page; else, or if there is none, NULL.
 * For loads at once: no longer after any call that may change a page table. Stores are for
 * copy_to_guest(), which other vCPUs' changes of page tables wait for.
 */
const void *guest_ptr(struct vcpu *v, uint64_t va, size_t n);
/* By the kernel's root, whatever mode v is in: for areas that its kernel registered. */
int copy_to_kernel(struct vcpu *v, uint64_t va, const void *src, size_t n);
/* Walk v's current root: the leaf PTE of va with the rights of all levels ANDed in (P, RW, NX),
 * or 0. Frame number checked against d->nr_frames. */
uint64_t walk(struct vcpu *v, uint64_t va);
uint64_t walk_kernel(struct vcpu *v, uint64_t va); /* the same of the kernel's root */
uint64_t walk_any(struct vcpu *v, uint64_t va);	   /* of v's root, else of its other one */
/* The monitor's own pointer to a frame, or NULL when mfn is outside the memfd. */
void *frame_ptr(struct domain *d, uint64_t mfn);
void *memcpy(void *dst, const void *src, size_t n); /* own, general registers only */
void *memset(void *dst, int c, size_t n);

/* ---- frame.c: the frame table ---- */
int frame_init(struct domain *d);	     /* allocates d->frame, marks the heap */
size_t frame_tables(const struct domain *d); /* bytes of its own that frame_init mapped */
uint64_t frame_alloc(struct domain *d, unsigned order, uint64_t pfn); /* mfn or INVALID_MFN */
int frame_free(struct domain *d, uint64_t mfn); /* -EINVAL, -EBUSY when referenced */
bool frame_is_ram(struct domain *d, uint64_t mfn);
/* Take and drop a typed reference; validates and invalidates page tables at the edges. */
int frame_get_type(struct domain *d, uint64_t mfn, enum frame_type type);
void frame_put_type(struct domain *d, uint64_t mfn, enum frame_type type);

/* Before a write to a frame's memory by the monitor, or by another domain. */
static inline void frame_written(struct domain *d, uint64_t mfn)
{
	if (d->provider->written)
		d->provider->written(d, mfn);
}

/* ---- lend.c: pages shared with other domains; d->lock held ---- */
/* The descriptor, and the offset in it, that hold a frame's memory. */
int frame_backing(struct domain *d, uint64_t mfn, uint64_t *offset);
/* Move a frame into the one-page memfd `fd` (owned from 0 on), and back. 0 or -errno. */
int frame_lend(struct domain *d, uint64_t mfn, int fd);
int frame_return(struct domain *d, uint64_t mfn);
/* A frame number for another domain's page, or INVALID_MFN (then fd stays the caller's). */
uint64_t frame_borrow(struct domain *d, int fd, bool write);
void frame_give_back(struct domain *d, uint64_t mfn);

/* ---- mmu.c, validate.c, memory.c, descriptor.c: hypercalls ---- */
long do_mmu_update(struct vcpu *v, uint64_t ureqs, uint64_t count, uint64_t pdone, uint64_t dom,
		   uint64_t);
long do_mmuext_op(struct vcpu *v, uint64_t uops, uint64_t count, uint64_t pdone, uint64_t dom,
		  uint64_t);
long do_update_va_mapping(struct vcpu *v, uint64_t va, uint64_t val, uint64_t flags, uint64_t,
			  uint64_t);
long do_update_va_mapping_otherdomain(struct vcpu *v, uint64_t va, uint64_t val, uint64_t flags,
				      uint64_t dom, uint64_t);
long do_memory_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t, uint64_t, uint64_t);
long do_set_gdt(struct vcpu *v, uint64_t frames, uint64_t entries, uint64_t, uint64_t, uint64_t);
uint64_t descriptor_base(struct vcpu *v, uint64_t selector); /* 0: none such */
long do_update_descriptor(struct vcpu *v, uint64_t maddr, uint64_t desc, uint64_t, uint64_t,
			  uint64_t);
/* One page-table entry by the guest's wish (also for the writable-page-table path and grants). */
int pte_update(struct vcpu *v, uint64_t table_mfn, unsigned index, uint64_t new_pte,
	       bool preserve_ad);
/* For the broker, on behalf of domain 0 (d->lock held by the caller). */
long toolstack_populate(struct domain *d, unsigned order, const uint64_t *pfn, uint64_t *mfn,
			unsigned n);
long toolstack_decrease(struct domain *d, unsigned order, const uint64_t *mfn, unsigned n);
long toolstack_mmuext(struct domain *d, unsigned cmd, uint64_t mfn);
int root_load(struct vcpu *v, uint64_t mfn); /* take the L4 reference, set cr3_mfn; -errno */

/* ---- evtchn.c ---- */
long do_event_channel_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t, uint64_t, uint64_t);
long do_event_channel_op_compat(struct vcpu *v, uint64_t uop, uint64_t, uint64_t, uint64_t,
				uint64_t);
int evtchn_init(struct domain *d); /* the port table; before or after d->vcpu[] */
/* Raise a local port: pending bit, selector, upcall flag, wake the vCPU. Any thread. */
void evtchn_raise(struct domain *d, uint32_t port);
void virq_raise(struct vcpu *v, uint32_t virq);
/* For ctl (d->lock held). Ports or -errno; connect takes ownership of the descriptors on 0. */
long evtchn_alloc(struct domain *d, uint16_t remote);
long evtchn_connect(struct domain *d, uint32_t port, uint16_t dom, uint32_t rport, int rx, int tx);
long evtchn_disconnect(struct domain *d, uint32_t port, uint16_t dom, uint32_t rport);
long evtchn_status(struct domain *d, uint32_t port, struct evtchn_status *st);
/* An rx eventfd became readable (I/O thread): drain and raise. */
void evtchn_rx(struct domain *d, uint32_t port);
/* True when the guest must be upcalled now: pending and not masked. */
static inline bool event_deliverable(const struct vcpu *v)
{
	return v->info && *(volatile uint8_t *)&v->info->evtchn_upcall_pending &&
	       !*(volatile uint8_t *)&v->info->evtchn_upcall_mask;
}

static inline bool nmi_deliverable(const struct vcpu *v)
{
	return v->nmi_pending && !v->nmi_masked;
}

/* ---- sched.c, vcpu.c, time.c ---- */
long do_sched_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t, uint64_t, uint64_t);
long do_sched_op_compat(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t, uint64_t, uint64_t);
long do_vcpu_op(struct vcpu *v, uint64_t cmd, uint64_t id, uint64_t arg, uint64_t, uint64_t);
long do_set_timer_op(struct vcpu *v, uint64_t deadline, uint64_t, uint64_t, uint64_t, uint64_t);
int vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *c); /* d->lock held */
void vcpu_get_context(struct vcpu *v, struct vcpu_guest_context *c);
uint64_t cr4_guest(uint64_t val);		/* what CR4 reads as once a guest has written val */
void vcpu_wake(struct vcpu *v);			/* any thread; wakes block/poll, kicks the guest */
void time_init(struct domain *d, uint32_t khz); /* the TSC's rate, or 0: measure it */
uint64_t system_time(const struct domain *d);	/* ns since boot */
void time_publish(struct vcpu *v);		/* vcpu_time_info + wallclock */
void timer_arm(struct vcpu *v);			/* program the host timer for the next deadline */
void timer_check(struct vcpu *v);		/* raise VIRQ_TIMER if a deadline passed */
/* The vCPU stops for good or for now: pause, shutdown, offline. Returns when it may run. */
void vcpu_park(struct vcpu *v);
/* After a change of what vcpu_must_park() looks at. */
void domain_wake(struct domain *d);
/* Account a change of v's runstate (its own thread) and tell the registered area. */
void runstate_set(struct vcpu *v, int state);
void runstate_get(struct vcpu *v, struct vcpu_runstate_info *out); /* any thread */
static inline bool vcpu_must_park(const struct vcpu *v)
{
	return v->d->pause || v->d->shutdown != -1 || !v->online || v->held;
}
void domain_shutdown(struct domain *d, int reason, const char *why); /* tells the broker */
/* From a vCPU's thread: the broker is told when that vCPU parks; from ctl: it is not told. */
/* A guest broke the ABI's last rule: shut the domain down as crashed. d->lock may be held or not.
 * Returns; the vCPU parks before it re-enters the guest (hypercall() sees to it, and so must the
 * provider on its other ways back). */
void domain_crash(struct vcpu *v, const char *why);

/* ---- traps.c ---- */
long do_set_trap_table(struct vcpu *v, uint64_t table, uint64_t, uint64_t, uint64_t, uint64_t);
long do_set_callbacks(struct vcpu *v, uint64_t event, uint64_t failsafe, uint64_t syscall, uint64_t,
		      uint64_t);
long do_callback_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t, uint64_t, uint64_t);
long do_nmi_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t, uint64_t, uint64_t);
long do_stack_switch(struct vcpu *v, uint64_t ss, uint64_t sp, uint64_t, uint64_t, uint64_t);
long do_set_segment_base(struct vcpu *v, uint64_t which, uint64_t base, uint64_t, uint64_t,
			 uint64_t);
long do_fpu_taskswitch(struct vcpu *v, uint64_t set, uint64_t, uint64_t, uint64_t, uint64_t);
long do_set_debugreg(struct vcpu *v, uint64_t reg, uint64_t val, uint64_t, uint64_t, uint64_t);
long do_get_debugreg(struct vcpu *v, uint64_t reg, uint64_t, uint64_t, uint64_t, uint64_t);
long do_iret(struct vcpu *v, uint64_t, uint64_t, uint64_t, uint64_t,
	     uint64_t); /* sets v->regs whole */
/* Deliver an exception to the guest kernel by its trap table (bounce frame), or crash it.
 * `error` < 0: no error code. For #PF the caller set v->cr2. Acts on v->regs. */
void trap_deliver(struct vcpu *v, unsigned vector, int64_t error);
/* The guest's own `syscall`, or `sysenter`, from user mode; a fault of the way back to the guest.
 */
void syscall_deliver(struct vcpu *v);
void syscall32_deliver(struct vcpu *v); /* from 32-bit code */
void sysenter_deliver(struct vcpu *v);
void failsafe_deliver(struct vcpu *v);
/* Deliver an NMI if nmi_deliverable() and the event upcall if event_deliverable(). */
void event_deliver(struct vcpu *v);

/* ---- extension.c: what Xen does not have (abi/pavane/extension.h) ---- */
long do_extension(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t, uint64_t, uint64_t);
/* The types that vm_assist takes, a bit each. */
#define VM_ASSISTS                                                                         \
	(1UL << VMASST_TYPE_4gb_segments | 1UL << VMASST_TYPE_4gb_segments_notify |        \
	 1UL << VMASST_TYPE_writable_pagetables | 1UL << VMASST_TYPE_pae_extended_cr3 |    \
	 1UL << VMASST_TYPE_architectural_iopl | 1UL << VMASST_TYPE_runstate_update_flag | \
	 1UL << VMASST_TYPE_m2p_strict)

/* ---- grant.c, version.c, console.c, misc.c (vm_assist, physdev, multicall) ---- */
long do_grant_table_op(struct vcpu *v, uint64_t cmd, uint64_t uop, uint64_t count, uint64_t,
		       uint64_t);
long do_xen_version(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t, uint64_t, uint64_t);
long do_console_io(struct vcpu *v, uint64_t cmd, uint64_t count, uint64_t buf, uint64_t, uint64_t);
long do_physdev_op_compat(struct vcpu *v, uint64_t uop, uint64_t, uint64_t, uint64_t, uint64_t);
long do_vm_assist(struct vcpu *v, uint64_t cmd, uint64_t type, uint64_t, uint64_t, uint64_t);
long do_physdev_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t, uint64_t, uint64_t);
long do_multicall(struct vcpu *v, uint64_t list, uint64_t n, uint64_t, uint64_t, uint64_t);

/* ---- exception.c: what the CPU raised in guest code; acts on v->regs ---- */
/*
 * All but page faults: emulated, or delivered to the guest. `error`: as the CPU pushed it, or 0;
 * of #DB, what DR6 says.
 */
#define DR6_BS	 0x4000 /* a single step */
#define DR6_BITS 0xe00f
void guest_exception(struct vcpu *v, unsigned vector, uint64_t error);
/* A page fault that is the guest's. `error` (Intel SDM vol. 3, 4.7) by the guest's own tables. */
void guest_page_fault(struct vcpu *v, uint64_t va, uint64_t error);
void guest_soft_interrupt(struct vcpu *v, unsigned vector); /* `int n` at rip */

/* ---- debug.c, and sched.c for who stops: the toolstack's debugger ---- */
#define DEBUG_BREAKPOINTS 256
#define DEBUG_CRASHED	  256 /* an event beside the vectors: the domain is about to end */
size_t debug_read(struct vcpu *v, uint64_t va, uint8_t *buf, size_t n);
size_t debug_write(struct vcpu *v, uint64_t va, const uint8_t *buf, size_t n);
int debug_breakpoint(struct vcpu *v, uint64_t va, bool set);
int debug_step(struct vcpu *v, bool on);
void debug_stepped(struct vcpu *v);
bool debug_trap(struct vcpu *v, unsigned vector, uint64_t error);
void debug_attach(struct domain *d, bool on);
bool debug_report(struct domain *d, uint32_t *vcpu, uint32_t *event);
/* v stands still from its next look at its flags on, or no longer. Any thread. */
void debug_hold(struct vcpu *v, bool hold);
/*
 * The domain stops for the debugger, if there is one: `event` is a vector, DEBUG_CRASHED, or
 * DEBUG_POINT and the number of one.
 */
void debug_stop(struct vcpu *v, uint32_t event);
bool debug_still(const struct domain *d); /* Does every vCPU stand still? */

/* ---- debug_point.c ---- */
#define DEBUG_POINTS 16
#define DEBUG_POINT  512
/* As gdb numbers them. READ: stores as well, as CPUs have it; gdb itself compares what is there. */
enum debug_point { POINT_EXECUTE = 1, POINT_WRITE, POINT_READ, POINT_ACCESS };
/*
 * One at [va, va + n), at most a page; set or no longer. d->lock held. Its number; -ENOSYS: this
 * provider has none; -EBUSY: a vCPU runs; -EINVAL, -ENOSPC, -ENOENT.
 */
long debug_point(struct domain *d, enum debug_point kind, uint64_t va, uint64_t n, bool set);
extern volatile uint32_t debug_points; /* a bit for each */
/* Those that are met by this: POINT_EXECUTE, _WRITE or _READ. */
uint32_t debug_points_of(uint64_t va, uint64_t n, enum debug_point how);
static inline uint32_t debug_met(uint64_t va, uint64_t n, enum debug_point how)
{
	return __builtin_expect(debug_points, 0) ? debug_points_of(va, n, how) : 0;
}

/* ---- pt_write.c: stores to page tables (Zydis) ---- */
/* May a page fault with this error code be one? Then pt_write() has to have vector registers. */
bool pt_write_wanted(const struct vcpu *v, uint64_t error);
/* The store at v->regs.rip, to va. True: done, v->regs moved on; false: the guest's page fault. */
bool pt_write(struct vcpu *v, uint64_t va);

/* ---- msr.c: RDMSR and WRMSR; false: #GP. ---- */
bool msr_read(struct vcpu *v, uint32_t msr, uint64_t *val);
bool msr_write(struct vcpu *v, uint32_t msr, uint64_t val);

/* ---- emulate.c: privileged instructions (Zydis) ---- */
/* The instruction at v->regs.rip raised #GP (`error`) or #UD. True: done, v->regs moved on (or a
 * different trap delivered); false: the caller delivers the trap. */
bool emulate_privileged(struct vcpu *v, unsigned vector, uint64_t error);
/* CPUID without the forced-emulation prefix, where it can be caught. No libc. */
void guest_cpuid(const struct vcpu *v, uint32_t leaf, uint32_t sub, uint32_t r[4]);

/* ---- hypercalls/pvdom: the broker's side ---- */
/* One request to the broker and its answer; -errno. Never with d->lock held. fds: up to 2 in. */
long up_call(struct domain *d, uint32_t op, const uint64_t arg[4], const void *out,
	     uint32_t out_len, void *in, uint32_t in_size, int fds[2]);
/* Watch an rx eventfd for evtchn_rx(d, port); and stop watching (before close). */
int io_watch(struct domain *d, int fd, uint32_t port);
void io_unwatch(struct domain *d, int fd);

#endif
