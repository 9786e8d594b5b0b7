/* SPDX-License-Identifier: MIT */
/* The machine as a PV guest sees it: boot data, traps, the virtual interrupt flag. */
#ifndef PV_ARCH_H
#define PV_ARCH_H

#include <stdbool.h>
#include <pavane/hypercall.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE  4096ul
#define PAGE_MASK  (~(PAGE_SIZE - 1))

#define barrier()	 __asm__ volatile("" ::: "memory")
#define mb()		 __asm__ volatile("lock; addl $0, -4(%%rsp)" ::: "memory", "cc")
#define READ_ONCE(x)	 (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))
#define ARRAY_SIZE(a)	 (sizeof(a) / sizeof((a)[0]))

/* Xen's own definitions of these need its errno.h dance; the shell needs only the numbers. */
#define XEN_EPERM  1
#define XEN_ENOENT 2
#define XEN_ESRCH  3
#define XEN_EINTR  4
#define XEN_E2BIG  7
#define XEN_EBADF  9
#define XEN_ECHILD 10
#define XEN_EAGAIN 11
#define XEN_ENOMEM 12
#define XEN_EFAULT 14
#define XEN_EBUSY  16
#define XEN_EEXIST 17
#define XEN_EINVAL 22
#define XEN_EMFILE 24
#define XEN_EPIPE  32
#define XEN_ENOSYS 38

extern struct start_info *start_info;
extern struct shared_info pv_shared_info;

/* ---- what each vCPU has for itself ---- */

/*
 * An image with several vCPUs is built with PV_SMP: the GS base of each is then 64 times its
 * number, and %gs: in front of the first element of an array of 64-byte things makes it this
 * vCPU's own, in one instruction, which a move to another vCPU cannot tear. Without PV_SMP there
 * is one vCPU, and GS is the guest's to play with.
 */
#ifdef PV_SMP
#define PER_VCPU __seg_gs
#else
#define PER_VCPU
#endif
#define MAX_VCPUS  XEN_LEGACY_MAX_VCPUS
#define VCPU_BYTES 64

struct thread;

struct percpu {
	unsigned int id;
	unsigned int timer, ipi; /* ports */
	struct thread *thread, *idle;
	uint64_t slice_end, alarm;
	struct space *space; /* whose roots are loaded; NULL: the kernel's own */
} __attribute__((aligned(VCPU_BYTES)));

_Static_assert(sizeof(struct percpu) == VCPU_BYTES, "one per GS step");
_Static_assert(sizeof(struct vcpu_info) == VCPU_BYTES, "one per GS step");

extern struct percpu percpu[MAX_VCPUS];
#define this_vcpu ((struct vcpu_info PER_VCPU *)(uintptr_t)pv_shared_info.vcpu_info)
#define this_cpu  ((struct percpu PER_VCPU *)(uintptr_t)percpu)

/* The same at its ordinary address, for those who stay on this vCPU while they use it. */
static inline struct vcpu_info *vcpu_info_here(void)
{
	return &pv_shared_info.vcpu_info[this_cpu->id];
}

static inline bool is_initial_domain(void)
{
	return start_info->flags & SIF_INITDOMAIN;
}

/* ---- traps ---- */

/* Uniform frame; entry.S builds it. vector is -1 for an event upcall. */
struct trap_regs {
	uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
	uint64_t vector, error;
	uint64_t rip;
	uint64_t cs; /* selector in bits 0-15, saved upcall mask in bits 32-39 */
	uint64_t rflags, rsp, ss;
};

typedef bool (*trap_handler_t)(struct trap_regs *regs);

/*
 * A handler returns true when it dealt with the trap; otherwise the guest dumps and crashes.
 * Returns the handler of before.
 */
trap_handler_t trap_set_handler(unsigned int vector, trap_handler_t handler);
/* A kernel with a user mode gets the traps and system calls of its users here. */
extern void (*trap_from_user)(struct trap_regs *regs);
extern void (*syscall_from_user)(struct trap_regs *regs);
/* Registers the system call entry of this vCPU. */
void trap_init_syscall(void);
/* Leaves the kernel through this frame, which lies on the stack. */
void trap_return(struct trap_regs *regs) __attribute__((noreturn));

static inline bool from_user(const struct trap_regs *regs)
{
	return regs->cs & 3;
}

/* On each vCPU. */
void trap_init(void);
/* Puts another entry point behind one vector; entry == 0 restores the usual one. */
long trap_set_entry(uint8_t vector, uint8_t flags, unsigned long entry);
int trap_catch(void (*fn)(void *), void *arg, struct trap_regs *regs);

/* ---- virtual interrupt flag ---- */

static inline void upcalls_disable(void)
{
	WRITE_ONCE(this_vcpu->evtchn_upcall_mask, 1);
	barrier();
}

static inline void upcalls_enable(void)
{
	barrier();
	WRITE_ONCE(this_vcpu->evtchn_upcall_mask, 0);
	barrier();
	/* Whatever came in while masked is delivered at the end of any hypercall. */
	if (READ_ONCE(this_vcpu->evtchn_upcall_pending))
		HYPERVISOR_xen_version(XENVER_version, NULL);
}

static inline bool upcalls_save(void)
{
	bool was_enabled = !READ_ONCE(this_vcpu->evtchn_upcall_mask);

	upcalls_disable();
	return was_enabled;
}

static inline void upcalls_restore(bool enabled)
{
	if (enabled)
		upcalls_enable();
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}

/* ---- start and end ---- */

void arch_main(struct start_info *si) __attribute__((noreturn));
/* Each image's own part. Upcalls are masked on entry; returning powers off (0) or crashes. */
int guest_main(void);
void shutdown(unsigned int reason) __attribute__((noreturn));

#endif
