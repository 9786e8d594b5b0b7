/* SPDX-License-Identifier: MIT */
/* Pavane's own hypercall (abi/pavane/extension.h). */
#include "hypercalls/abi/pavane/extension.h"
#include "hypercalls/monitor/monitor.h"

static long vm_exits(struct vcpu *v, uint64_t arg)
{
	struct pavane_vm_exits e;

	if (!v->d->provider->exits)
		return -EOPNOTSUPP;
	v->d->provider->exits(&e.all, &e.interrupts);
	return copy_to_guest(v, arg, &e, sizeof(e)) ? -EFAULT : 0;
}

long do_extension(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
	switch ((uint32_t)cmd) {
	case PAVANE_OP_vm_exits: return vm_exits(v, arg);
	default: return -ENOSYS;
	}
}
