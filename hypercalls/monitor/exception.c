/* SPDX-License-Identifier: MIT */
/*
 * What the CPU raised while guest code ran, whoever caught it: carried out here (a privileged
 * instruction), or the guest's own by its trap table.
 */
#include "hypercalls/monitor/monitor.h"

#define GP_IDT 2 /* the error code names an IDT entry: `int n` */

/*
 * To the guest's gate when its DPL admits the mode (the guest kernel counts as ring 1), else its
 * #GP.
 */
void guest_soft_interrupt(struct vcpu *v, unsigned vector)
{
	const struct guest_trap *t = &v->traps[vector];

	if (t->address && (t->flags & 3) >= (v->kernel_mode ? 1 : 3)) {
		v->regs.rip += 2;
		trap_deliver(v, vector, -1);
	} else {
		trap_deliver(v, VECTOR_GP, vector << 3 | GP_IDT);
	}
}

void guest_page_fault(struct vcpu *v, uint64_t va, uint64_t error)
{
	if (pt_write_wanted(v, error) && pt_write(v, va)) {
		if (v->stepping)
			debug_stepped(v);
		return;
	}
	v->cr2 = va;
	/* Ring 3 is the guest's kernel mode as well, which the CPU does not know. */
	trap_deliver(v, VECTOR_PF, (error & ~PF_USER) | (v->kernel_mode ? 0 : PF_USER));
}

/* The vCPU has nowhere for it to go, so that it is a #GP: 64-bit code or 32-bit with base 0. */
static bool at_sysenter(struct vcpu *v)
{
	uint8_t insn[2];

	return !copy_from_guest(v, insn, v->regs.rip, sizeof(insn)) && insn[0] == 0x0f &&
	       insn[1] == 0x34;
}

void guest_exception(struct vcpu *v, unsigned vector, uint64_t error)
{
	if (vector == VECTOR_GP && error & GP_IDT) {
		guest_soft_interrupt(v, (error >> 3) & 0xff);
		return;
	}
	if (vector == VECTOR_GP && !v->kernel_mode && at_sysenter(v)) {
		sysenter_deliver(v);
		return;
	}
	if ((vector == VECTOR_GP || vector == VECTOR_UD) && emulate_privileged(v, vector, error)) {
		if (v->stepping)
			debug_stepped(v);
		return;
	}
	if ((vector == VECTOR_DB || vector == VECTOR_BP) && debug_trap(v, vector, error))
		return;
	if (vector == VECTOR_DB)
		v->debugreg[6] |= error & DR6_BITS;
	if (vector == VECTOR_NM)
		do_fpu_taskswitch(v, 0, 0, 0, 0, 0); /* as Xen: the guest need not ask for it */
	trap_deliver(v, vector, HAS_ERROR >> vector & 1 ? (int64_t)error : -1);
}
