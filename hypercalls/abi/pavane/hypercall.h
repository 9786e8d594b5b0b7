/* SPDX-License-Identifier: MIT */
/*
 * Hypercall stubs for a 64-bit PV guest, through the hypercall page.
 *
 * Freestanding C11; needs nothing but Xen's public headers. The guest provides a page-aligned
 * symbol `hypercall_page`, named in its XEN_ELFNOTE_HYPERCALL_PAGE, which the hypervisor fills:
 * entry nr lies 32 * nr bytes into it, and chooses the cheapest instruction by itself.
 *
 * Arguments travel in rdi, rsi, rdx, r10, r8; the result in rax. A debug hypervisor destroys the
 * argument registers on purpose, so every stub declares the ones it uses as changed.
 */
#ifndef PAVANE_HYPERCALL_H
#define PAVANE_HYPERCALL_H

#ifndef __XEN_INTERFACE_VERSION__
#define __XEN_INTERFACE_VERSION__ 0x00040e00
#endif

#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/callback.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

/* Offset of an entry in the hypercall page, as an assembler string. */
#define PV_HYPERCALL_ENTRY "call hypercall_page + 32 * %c[nr]"

#define PV_HYPERCALL_CLOBBERS "rcx", "r11", "memory", "cc"

#define PV_HYPERCALL0(NR)                                                                    \
	__extension__({                                                                      \
		long ret_;                                                                   \
		__asm__ volatile(PV_HYPERCALL_ENTRY                                          \
				 : "=a"(ret_)                                                \
				 : [nr] "i"(NR)                                              \
				 : "rdi", "rsi", "rdx", "r10", "r8", PV_HYPERCALL_CLOBBERS); \
		ret_;                                                                        \
	})

#define PV_HYPERCALL5(NR, A1, A2, A3, A4, A5)                                              \
	__extension__({                                                                    \
		long ret_;                                                                 \
		unsigned long a1_ = (unsigned long)(A1), a2_ = (unsigned long)(A2);        \
		unsigned long a3_ = (unsigned long)(A3);                                   \
		register unsigned long a4_ __asm__("r10") = (unsigned long)(A4);           \
		register unsigned long a5_ __asm__("r8") = (unsigned long)(A5);            \
		__asm__ volatile(PV_HYPERCALL_ENTRY                                        \
				 : "=a"(ret_), "+D"(a1_), "+S"(a2_), "+d"(a3_), "+r"(a4_), \
				   "+r"(a5_)                                               \
				 : [nr] "i"(NR)                                            \
				 : PV_HYPERCALL_CLOBBERS);                                 \
		ret_;                                                                      \
	})

#define PV_HYPERCALL4(NR, A1, A2, A3, A4)                                                 \
	__extension__({                                                                   \
		long ret_;                                                                \
		unsigned long a1_ = (unsigned long)(A1), a2_ = (unsigned long)(A2);       \
		unsigned long a3_ = (unsigned long)(A3);                                  \
		register unsigned long a4_ __asm__("r10") = (unsigned long)(A4);          \
		__asm__ volatile(PV_HYPERCALL_ENTRY                                       \
				 : "=a"(ret_), "+D"(a1_), "+S"(a2_), "+d"(a3_), "+r"(a4_) \
				 : [nr] "i"(NR)                                           \
				 : "r8", PV_HYPERCALL_CLOBBERS);                          \
		ret_;                                                                     \
	})

#define PV_HYPERCALL3(NR, A1, A2, A3)                                               \
	__extension__({                                                             \
		long ret_;                                                          \
		unsigned long a1_ = (unsigned long)(A1), a2_ = (unsigned long)(A2); \
		unsigned long a3_ = (unsigned long)(A3);                            \
		__asm__ volatile(PV_HYPERCALL_ENTRY                                 \
				 : "=a"(ret_), "+D"(a1_), "+S"(a2_), "+d"(a3_)      \
				 : [nr] "i"(NR)                                     \
				 : "r10", "r8", PV_HYPERCALL_CLOBBERS);             \
		ret_;                                                               \
	})

#define PV_HYPERCALL2(NR, A1, A2)                                                   \
	__extension__({                                                             \
		long ret_;                                                          \
		unsigned long a1_ = (unsigned long)(A1), a2_ = (unsigned long)(A2); \
		__asm__ volatile(PV_HYPERCALL_ENTRY                                 \
				 : "=a"(ret_), "+D"(a1_), "+S"(a2_)                 \
				 : [nr] "i"(NR)                                     \
				 : "rdx", "r10", "r8", PV_HYPERCALL_CLOBBERS);      \
		ret_;                                                               \
	})

#define PV_HYPERCALL1(NR, A1)                                                         \
	__extension__({                                                               \
		long ret_;                                                            \
		unsigned long a1_ = (unsigned long)(A1);                              \
		__asm__ volatile(PV_HYPERCALL_ENTRY                                   \
				 : "=a"(ret_), "+D"(a1_)                              \
				 : [nr] "i"(NR)                                       \
				 : "rsi", "rdx", "r10", "r8", PV_HYPERCALL_CLOBBERS); \
		ret_;                                                                 \
	})

static inline long HYPERVISOR_set_trap_table(const struct trap_info *table)
{
	return PV_HYPERCALL1(__HYPERVISOR_set_trap_table, table);
}

static inline long HYPERVISOR_mmu_update(struct mmu_update *req, unsigned int count,
					 unsigned int *done, domid_t domid)
{
	return PV_HYPERCALL4(__HYPERVISOR_mmu_update, req, count, done, domid);
}

static inline long HYPERVISOR_set_gdt(unsigned long *frames, unsigned int entries)
{
	return PV_HYPERCALL2(__HYPERVISOR_set_gdt, frames, entries);
}

static inline long HYPERVISOR_stack_switch(unsigned long ss, unsigned long esp)
{
	return PV_HYPERCALL2(__HYPERVISOR_stack_switch, ss, esp);
}

static inline long HYPERVISOR_set_callbacks(unsigned long event, unsigned long failsafe,
					    unsigned long syscall)
{
	return PV_HYPERCALL3(__HYPERVISOR_set_callbacks, event, failsafe, syscall);
}

static inline long HYPERVISOR_fpu_taskswitch(int set)
{
	return PV_HYPERCALL1(__HYPERVISOR_fpu_taskswitch, set);
}

static inline long HYPERVISOR_set_debugreg(int reg, unsigned long value)
{
	return PV_HYPERCALL2(__HYPERVISOR_set_debugreg, reg, value);
}

static inline unsigned long HYPERVISOR_get_debugreg(int reg)
{
	return PV_HYPERCALL1(__HYPERVISOR_get_debugreg, reg);
}

static inline long HYPERVISOR_update_descriptor(uint64_t maddr, uint64_t desc)
{
	return PV_HYPERCALL2(__HYPERVISOR_update_descriptor, maddr, desc);
}

static inline long HYPERVISOR_memory_op(unsigned int cmd, void *arg)
{
	return PV_HYPERCALL2(__HYPERVISOR_memory_op, cmd, arg);
}

static inline long HYPERVISOR_multicall(struct multicall_entry *calls, unsigned int nr)
{
	return PV_HYPERCALL2(__HYPERVISOR_multicall, calls, nr);
}

static inline long HYPERVISOR_update_va_mapping(unsigned long va, uint64_t pte, unsigned long flags)
{
	return PV_HYPERCALL3(__HYPERVISOR_update_va_mapping, va, pte, flags);
}

static inline long HYPERVISOR_set_timer_op(uint64_t abs_ns)
{
	return PV_HYPERCALL1(__HYPERVISOR_set_timer_op, abs_ns);
}

static inline long HYPERVISOR_xen_version(int cmd, void *arg)
{
	return PV_HYPERCALL2(__HYPERVISOR_xen_version, cmd, arg);
}

static inline long HYPERVISOR_console_io(int cmd, unsigned int count, char *buf)
{
	return PV_HYPERCALL3(__HYPERVISOR_console_io, cmd, count, buf);
}

static inline long HYPERVISOR_grant_table_op(unsigned int cmd, void *args, unsigned int count)
{
	return PV_HYPERCALL3(__HYPERVISOR_grant_table_op, cmd, args, count);
}

static inline long HYPERVISOR_vm_assist(unsigned int cmd, unsigned int type)
{
	return PV_HYPERCALL2(__HYPERVISOR_vm_assist, cmd, type);
}

static inline long HYPERVISOR_vcpu_op(int cmd, unsigned int vcpu, void *arg)
{
	return PV_HYPERCALL3(__HYPERVISOR_vcpu_op, cmd, vcpu, arg);
}

static inline long HYPERVISOR_set_segment_base(unsigned int which, unsigned long base)
{
	return PV_HYPERCALL2(__HYPERVISOR_set_segment_base, which, base);
}

static inline long HYPERVISOR_mmuext_op(struct mmuext_op *op, unsigned int count,
					unsigned int *done, domid_t domid)
{
	return PV_HYPERCALL4(__HYPERVISOR_mmuext_op, op, count, done, domid);
}

static inline long HYPERVISOR_sched_op(int cmd, void *arg)
{
	return PV_HYPERCALL2(__HYPERVISOR_sched_op, cmd, arg);
}

static inline long HYPERVISOR_callback_op(int cmd, void *arg)
{
	return PV_HYPERCALL2(__HYPERVISOR_callback_op, cmd, arg);
}

static inline long HYPERVISOR_event_channel_op(int cmd, void *arg)
{
	return PV_HYPERCALL2(__HYPERVISOR_event_channel_op, cmd, arg);
}

static inline long HYPERVISOR_physdev_op(int cmd, void *arg)
{
	return PV_HYPERCALL2(__HYPERVISOR_physdev_op, cmd, arg);
}

static inline long HYPERVISOR_arch_7(unsigned int cmd, void *arg)
{
	return PV_HYPERCALL2(__HYPERVISOR_arch_7, cmd, arg);
}

#endif
