/* SPDX-License-Identifier: MIT */
/*
 * What Pavane has beyond Xen's ABI, all of it under one hypercall: __HYPERVISOR_arch_7, a command
 * and a pointer. No guest needs it. Whether a command exists its result tells: -ENOSYS where it is
 * not known, and on Xen, which knows none.
 */
#ifndef PAVANE_EXTENSION_H
#define PAVANE_EXTENSION_H

#include <stdint.h>

/*
 * What the calling vCPU has cost its host in VM exits, for benchmarks. -EOPNOTSUPP: the provider
 * uses no VT-x.
 */
#define PAVANE_OP_vm_exits 1
struct pavane_vm_exits {
	uint64_t all;	     /* since the vCPU started */
	uint64_t interrupts; /* of these, for the host's interrupts: none of the guest's doing */
};

#endif
