/* SPDX-License-Identifier: MIT */
/*
 * Small hypercalls: vm_assist, physdev_op, multicall (public xen.h, physdev.h).
 */
#include "hypercalls/monitor/monitor.h"

#include <xen/physdev.h>

/* Locked. */
long do_vm_assist(struct vcpu *v, uint64_t cmd, uint64_t type, uint64_t a3, uint64_t a4,
		  uint64_t a5)
{
	type = (uint32_t)type;
	if (type >= 64 || !(VM_ASSISTS >> type & 1))
		return -EINVAL;
	switch ((uint32_t)cmd) {
	case VMASST_CMD_enable: v->d->vm_assist |= 1UL << type; break;
	case VMASST_CMD_disable: v->d->vm_assist &= ~(1UL << type); break;
	default: return -ENOSYS;
	}
	/* A provider may have a short way for those without. */
	for (uint32_t i = 0; i < v->d->nr_vcpus && v->d->provider->load_tables; i++)
		if (v->d->vcpu[i])
			v->d->provider->load_tables(v->d->vcpu[i]);
	return 0;
}

/*
 * PHYSDEVOP_* for a domain without physical devices: I/O privilege is recorded (the instructions
 * themselves are never let through), interrupts do not exist, the rest is the hardware domain's.
 */
long do_physdev_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4,
		   uint64_t a5)
{
	struct physdev_set_iobitmap map;
	struct physdev_set_iopl iopl;
	uint32_t irq;

	switch ((int)cmd) {
	case PHYSDEVOP_set_iopl:
		if (copy_from_guest(v, &iopl, arg, sizeof(iopl)))
			return -EFAULT;
		if (iopl.iopl > 3)
			return -EINVAL;
		v->iopl = iopl.iopl;
		return 0;
	case PHYSDEVOP_set_iobitmap:
		if (copy_from_guest(v, &map, arg, sizeof(map)))
			return -EFAULT;
		return map.nr_ports > 65536 ? -EINVAL : 0;
	case PHYSDEVOP_eoi:
	case PHYSDEVOP_irq_status_query:
		if (copy_from_guest(v, &irq, arg, sizeof(irq)))
			return -EFAULT;
		return -EINVAL;
	case PHYSDEVOP_apic_read:
	case PHYSDEVOP_apic_write:
	case PHYSDEVOP_alloc_irq_vector:
	case PHYSDEVOP_map_pirq:
	case PHYSDEVOP_unmap_pirq:
	case PHYSDEVOP_manage_pci_add:
	case PHYSDEVOP_manage_pci_remove:
	case PHYSDEVOP_manage_pci_add_ext:
	case PHYSDEVOP_restore_msi:
	case PHYSDEVOP_restore_msi_ext:
	case PHYSDEVOP_setup_gsi:
	case PHYSDEVOP_get_free_pirq:
	case PHYSDEVOP_pci_mmcfg_reserved:
	case PHYSDEVOP_pci_device_add:
	case PHYSDEVOP_pci_device_remove:
	case PHYSDEVOP_prepare_msix:
	case PHYSDEVOP_release_msix:
	case PHYSDEVOP_dbgp_op: return -EPERM;
	default: return -ENOSYS;
	}
}

/* The call before 0x00030202: command and argument in one struct physdev_op. */
long do_physdev_op_compat(struct vcpu *v, uint64_t uop, uint64_t a2, uint64_t a3, uint64_t a4,
			  uint64_t a5)
{
	uint32_t cmd;

	if (copy_from_guest(v, &cmd, uop, sizeof(cmd)))
		return -EFAULT;
	switch (cmd) {
	case PHYSDEVOP_irq_status_query:
	case PHYSDEVOP_set_iopl:
	case PHYSDEVOP_set_iobitmap:
	case PHYSDEVOP_apic_read:
	case PHYSDEVOP_apic_write:
	case PHYSDEVOP_alloc_irq_vector:
		return do_physdev_op(v, cmd, uop + offsetof(struct physdev_op, u), 0, 0, 0);
	default: return -EINVAL;
	}
}

/*
 * Each entry is read, called and answered in turn. A multicall in a multicall is -EINVAL. An
 * iret ends the batch: its registers are the guest's next. Not locked: entries lock themselves.
 */
long do_multicall(struct vcpu *v, uint64_t list, uint64_t n, uint64_t a3, uint64_t a4, uint64_t a5)
{
	const volatile struct multicall_entry *e; /* the guest may change it meanwhile */
	struct multicall_entry copy;
	uint64_t op;
	long rc = 0;

	if (v->in_multicall)
		return -EINVAL;
	v->in_multicall = true;
	for (uint32_t i = 0; i < (uint32_t)n; i++, list += sizeof(copy)) {
		/* Pausing and shutting down do not wait for the end of a long list. */
		if (vcpu_must_park(v))
			vcpu_park(v);
		rc = -EFAULT;
		e = guest_ptr(v, list, sizeof(*e));
		if (!e) { /* between two pages, or nowhere */
			if (copy_from_guest(v, &copy, list, sizeof(copy)))
				break;
			e = &copy;
		}
		op = e->op;
		copy.result = hypercall(v, op, e->args[0], e->args[1], e->args[2], e->args[3],
					e->args[4]);
		if (op == __HYPERVISOR_iret) {
			rc = copy.result;
			break;
		}
		if (copy_to_guest(v, list + offsetof(struct multicall_entry, result), &copy.result,
				  sizeof(copy.result)))
			break;
		rc = 0;
	}
	v->in_multicall = false;
	return rc;
}
