/* SPDX-License-Identifier: MIT */
/*
 * The hypercall table (public xen.h, __HYPERVISOR_*) and the way through it.
 *
 * Entries without the lock either touch nothing shared, use atomics, take the lock for their
 * critical part, or sleep.
 */
#include "hypercalls/monitor/monitor.h"

/*
 * platform_op, sysctl, domctl: an interface version first, then the privilege that a guest does
 * not have.
 */
static long privileged(struct vcpu *v, uint64_t arg, uint32_t version)
{
	uint32_t head[2];

	if (copy_from_guest(v, head, arg, sizeof(head)))
		return -EFAULT;
	return head[1] == version ? -EPERM : -EACCES;
}

static long do_platform_op(struct vcpu *v, uint64_t arg, uint64_t a2, uint64_t a3, uint64_t a4,
			   uint64_t a5)
{
	return privileged(v, arg, 0x03000000);
}

static long do_sysctl(struct vcpu *v, uint64_t arg, uint64_t a2, uint64_t a3, uint64_t a4,
		      uint64_t a5)
{
	return privileged(v, arg, 0x15);
}

static long do_domctl(struct vcpu *v, uint64_t arg, uint64_t a2, uint64_t a3, uint64_t a4,
		      uint64_t a5)
{
	return privileged(v, arg, 0x15);
}

static long do_denied(struct vcpu *v, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
		      uint64_t a5)
{
	return -EPERM;
}

/* Performance counters are off, as on a Xen without vpmu=. */
static long do_xenpmu_op(struct vcpu *v, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
			 uint64_t a5)
{
	return -EOPNOTSUPP;
}

const struct hypercall hypercall_table[NR_HYPERCALLS] = {
	[__HYPERVISOR_set_trap_table] = {do_set_trap_table, true},
	[__HYPERVISOR_mmu_update] = {do_mmu_update, true},
	[__HYPERVISOR_set_gdt] = {do_set_gdt, true},
	[__HYPERVISOR_stack_switch] = {do_stack_switch, false},
	[__HYPERVISOR_set_callbacks] = {do_set_callbacks, false},
	[__HYPERVISOR_fpu_taskswitch] = {do_fpu_taskswitch, false},
	[__HYPERVISOR_sched_op_compat] = {do_sched_op_compat, false},
	[__HYPERVISOR_platform_op] = {do_platform_op, false},
	[__HYPERVISOR_set_debugreg] = {do_set_debugreg, false},
	[__HYPERVISOR_get_debugreg] = {do_get_debugreg, false},
	[__HYPERVISOR_update_descriptor] = {do_update_descriptor, true},
	[__HYPERVISOR_memory_op] = {do_memory_op, true},
	[__HYPERVISOR_multicall] = {do_multicall, false},
	[__HYPERVISOR_update_va_mapping] = {do_update_va_mapping, true},
	[__HYPERVISOR_set_timer_op] = {do_set_timer_op, false},
	[__HYPERVISOR_event_channel_op_compat] = {do_event_channel_op_compat, false},
	[__HYPERVISOR_xen_version] = {do_xen_version, false},
	[__HYPERVISOR_console_io] = {do_console_io, false},
	[__HYPERVISOR_physdev_op_compat] = {do_physdev_op_compat, false},
	[__HYPERVISOR_grant_table_op] = {do_grant_table_op, false},
	[__HYPERVISOR_vm_assist] = {do_vm_assist, true},
	[__HYPERVISOR_update_va_mapping_otherdomain] = {do_update_va_mapping_otherdomain, true},
	[__HYPERVISOR_iret] = {do_iret, false},
	[__HYPERVISOR_vcpu_op] = {do_vcpu_op, false},
	[__HYPERVISOR_set_segment_base] = {do_set_segment_base, false},
	[__HYPERVISOR_mmuext_op] = {do_mmuext_op, true},
	[__HYPERVISOR_nmi_op] = {do_nmi_op, true},
	[__HYPERVISOR_sched_op] = {do_sched_op, false},
	[__HYPERVISOR_callback_op] = {do_callback_op, false},
	[__HYPERVISOR_event_channel_op] = {do_event_channel_op, false},
	[__HYPERVISOR_physdev_op] = {do_physdev_op, false},
	[__HYPERVISOR_sysctl] = {do_sysctl, false},
	[__HYPERVISOR_domctl] = {do_domctl, false},
	[__HYPERVISOR_kexec_op] = {do_denied, false},
	[__HYPERVISOR_xenpmu_op] = {do_xenpmu_op, false},
	[__HYPERVISOR_hypfs_op] = {do_denied, false},
	[__HYPERVISOR_arch_0] = {do_denied, false}, /* machine checks */
	[__HYPERVISOR_arch_7] = {do_extension, false},
};

/* Apart, so that the others need not save their arguments over the locking. */
static __attribute__((noinline)) long locked(struct vcpu *v, uint64_t a1, uint64_t a2, uint64_t a3,
					     uint64_t a4, uint64_t a5, hypercall_fn fn)
{
	long rc;

	pthread_mutex_lock(&v->d->lock);
	rc = fn(v, a1, a2, a3, a4, a5);
	pthread_mutex_unlock(&v->d->lock);
	return rc;
}

long hypercall(struct vcpu *v, uint64_t nr, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
	       uint64_t a5)
{
	const struct domain *d = v->d;
	const struct hypercall *h;
	long rc;

	if (__builtin_expect(v->stepping, 0)) /* now: iret brings flags of its own */
		debug_stepped(v);
	if (nr >= NR_HYPERCALLS)
		return -ENOSYS;
	h = &hypercall_table[nr];
	if (!h->fn)
		return -ENOSYS;
	if (h->locked)
		rc = locked(v, a1, a2, a3, a4, a5, h->fn);
	else
		rc = h->fn(v, a1, a2, a3, a4, a5);
	/* The call may have ended the domain or this vCPU: then the guest runs no further. */
	if (__builtin_expect(d->shutdown != -1 || !v->online, 0))
		vcpu_park(v);
	return rc;
}
