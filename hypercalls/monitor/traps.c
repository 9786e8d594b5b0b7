/* SPDX-License-Identifier: MIT */
/*
 * Entering the guest kernel: trap tables, callbacks, bounce frames, and iret back.
 *
 * Xen public headers: arch-x86/xen.h (trap_info, vcpu_guest_context), arch-x86/xen-x86_64.h
 * (iret_context, segment bases), callback.h, nmi.h.
 */
#include "hypercalls/monitor/trace.h"

#include <xen/callback.h>
#include <xen/nmi.h>

#define IOPL_SHIFT 12

#define TRAP_MASK_EVENTS 4 /* trap_info.flags bit 2 */

static bool canonical(uint64_t va)
{
	return (int64_t)(va << 16) >> 16 == (int64_t)va;
}

/*
 * Make the guest kernel start at `handler` with Xen's bounce frame on its stack: from low
 * addresses rcx, r11, [error code or, to the failsafe callback, the data selectors], rip,
 * cs | saved mask << 32, rflags, rsp, ss, below a stack pointer aligned down to 16. A guest that
 * cannot be entered is crashed, as on Xen.
 */
#define NO_ERROR  (-1)
#define SELECTORS (-2)

/* Does the guest see its IOPL in frames, and set it by iret? */
static bool shows_iopl(const struct domain *d)
{
	return d->vm_assist >> VMASST_TYPE_architectural_iopl & 1;
}

static void bounce(struct vcpu *v, uint64_t handler, bool mask_events, int64_t error)
{
	regs_t *r = &v->regs;
	uint64_t frame[11], sp = v->kernel_mode ? r->rsp : v->kernel_sp;
	uint8_t saved_mask = v->info ? v->info->evtchn_upcall_mask : 1;
	unsigned n = 0;

	if (v->stepping)
		debug_stepped(v);
	if (!handler) {
		domain_crash(v, "trap or event without a handler");
		return;
	}
	frame[n++] = r->rcx;
	frame[n++] = r->r11;
	if (error >= 0)
		frame[n++] = error;
	if (error == SELECTORS) {
		frame[n++] = r->ds;
		frame[n++] = r->es;
		frame[n++] = r->fs;
		frame[n++] = r->gs;
	}
	frame[n++] = r->rip;
	/* The guest tells kernel from user by the low bits: Xen clears the RPL for its kernel. */
	frame[n++] = (v->kernel_mode ? r->cs & 0xfffc : r->cs) | (uint64_t)saved_mask << 32;
	frame[n++] = (r->rflags & ~(FLAG_IF | FLAG_IOPL)) | (saved_mask ? 0 : FLAG_IF) |
		     (shows_iopl(v->d) ? (uint64_t)v->iopl << IOPL_SHIFT : 0);
	frame[n++] = r->rsp;
	frame[n++] = r->ss;

	if (!v->kernel_mode) {
		v->d->provider->toggle(v);
		v->kernel_mode = true;
	}
	sp = (sp & ~15UL) - n * sizeof(frame[0]);
	if (copy_to_guest(v, sp, frame, n * sizeof(frame[0]))) {
		domain_crash(v, "no stack for a trap frame");
		return;
	}
	r->rsp = sp;
	r->rip = handler;
	r->cs = SEL_KERNEL_CS;
	r->ss = SEL_KERNEL_SS;
	r->rflags &= ~(FLAG_AC | FLAG_VM | FLAG_RF | FLAG_NT | FLAG_TF);
	if (mask_events && v->info)
		v->info->evtchn_upcall_mask = 1;
}

/* The guest state of v->regs cannot be loaded: its kernel must mend it. */
void failsafe_deliver(struct vcpu *v)
{
	bounce(v, v->failsafe_callback, v->callback_flags & VGCF_failsafe_disables_events,
	       SELECTORS);
}

/* Of a vector that has none the error code is `-`; cr2 is what the last page fault left. */
static void trace_trap(const struct vcpu *v, unsigned vector, int64_t error)
{
	if (error < 0)
		trace_line(v, "trap %lu - %lx %lx", (uint64_t)vector, v->regs.rip, v->cr2);
	else
		trace_line(v, "trap %lu %lx %lx %lx", (uint64_t)vector, (uint64_t)error,
			   v->regs.rip, v->cr2);
}

void trap_deliver(struct vcpu *v, unsigned vector, int64_t error)
{
	const struct guest_trap *t = &v->traps[vector & 0xff];

	if (vector == 14 && v->info)
		v->info->arch.cr2 = v->cr2;
	if (tracing(TRACE_TRAPS))
		trace_trap(v, vector, error);
	bounce(v, t->address, t->flags & TRAP_MASK_EVENTS, error);
}

/* One that finds no handler is lost, as on Xen. */
static void nmi_deliver(struct vcpu *v)
{
	__atomic_store_n(&v->nmi_pending, false, __ATOMIC_SEQ_CST);
	if (!v->traps[VECTOR_NMI].address)
		return;
	v->nmi_masked = true;
	trap_deliver(v, VECTOR_NMI, -1);
}

/* A step is of the code that the debugger looks at: events wait for its end. */
void event_deliver(struct vcpu *v)
{
	if (v->stepping)
		return;
	if (nmi_deliverable(v))
		nmi_deliver(v);
	if (event_deliverable(v))
		bounce(v, v->event_callback, true, NO_ERROR);
}

/*
 * The instruction loses the caller's selectors, and Xen shows these. None registered: as where
 * there is no such instruction.
 */
void syscall_deliver(struct vcpu *v)
{
	v->regs.cs = SEL_KERNEL_CS;
	v->regs.ss = SEL_KERNEL_SS;
	if (v->syscall_callback) {
		bounce(v, v->syscall_callback, v->callback_flags & VGCF_syscall_disables_events,
		       -1);
		v->regs.rflags &= ~FLAG_DF;
	} else {
		v->regs.rip -= 2;
		trap_deliver(v, VECTOR_UD, -1);
	}
}

/* The instruction loses the caller's selectors, as `sysenter` does. */
void syscall32_deliver(struct vcpu *v)
{
	regs_t *r = &v->regs;

	if (!v->syscall32_callback) {
		r->rip -= 2;
		trap_deliver(v, VECTOR_UD, -1);
		return;
	}
	r->cs = SEL_USER_CS32;
	r->ss = SEL_KERNEL_SS;
	bounce(v, v->syscall32_callback, v->syscall32_masks_events, NO_ERROR);
	r->rflags &= ~FLAG_DF;
}

/*
 * `sysenter` in user mode, which tells the kernel nothing of its caller. Xen has lost it as well
 * when it finds no callback.
 */
void sysenter_deliver(struct vcpu *v)
{
	regs_t *r = &v->regs;

	r->rip = r->rsp = 0;
	r->cs = 3;
	r->ss = SEL_KERNEL_SS;
	r->rflags &= ~(FLAG_TF | FLAG_NT | FLAG_RF);
	if (v->sysenter_callback)
		bounce(v, v->sysenter_callback, v->sysenter_masks_events, NO_ERROR);
	else
		trap_deliver(v, VECTOR_GP, 0);
}

long do_iret(struct vcpu *v, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct iret_context c;
	regs_t *r = &v->regs;

	v->nmi_masked = false;
	if (copy_from_guest(v, &c, r->rsp, sizeof(c))) {
		domain_crash(v, "iret: its frame cannot be read");
		return 0;
	}
	if ((c.cs & 3) == 3) {
		if (v->d->provider->one_root || !v->user_cr3_mfn) {
			domain_crash(v, "iret to user mode, and there is none");
			return 0;
		}
		v->d->provider->toggle(v);
		v->kernel_mode = false;
	}
	r->rip = c.rip;
	r->cs = c.cs | 3;
	r->ss = c.ss | 3;
	r->rsp = c.rsp;
	r->rflags = (c.rflags & FLAGS_THERE & ~(FLAG_IOPL | FLAG_VM)) | FLAG_IF | FLAG_ONE;
	if (shows_iopl(v->d))
		v->iopl = c.rflags >> IOPL_SHIFT & 3;
	r->rax = c.rax;
	if (c.flags & VGCF_in_syscall) { /* as SYSRET leaves them */
		if (r->cs != SEL_USER_CS32)
			r->cs = SEL_KERNEL_CS;
		r->ss = SEL_KERNEL_SS;
		r->rcx = r->rip;
		r->r11 = r->rflags;
	} else {
		r->rcx = c.rcx;
		r->r11 = c.r11;
	}
	if (v->info)
		v->info->evtchn_upcall_mask = !(c.rflags & FLAG_IF);
	return r->rax;
}

/* A null handle clears the table; otherwise entries up to one with address 0, each applied at once.
 */
long do_set_trap_table(struct vcpu *v, uint64_t table, uint64_t a2, uint64_t a3, uint64_t a4,
		       uint64_t a5)
{
	struct trap_info t;

	if (!table) {
		memset(v->traps, 0, sizeof(v->traps));
		return 0;
	}
	/* 256 vectors: a longer list only repeats itself. */
	for (unsigned i = 0; i < 1024; i++, table += sizeof(t)) {
		if (copy_from_guest(v, &t, table, sizeof(t)))
			return -EFAULT;
		if (!t.address)
			return 0;
		if (!canonical(t.address))
			return -EINVAL;
		v->traps[t.vector].address = t.address;
		v->traps[t.vector].cs = t.cs;
		v->traps[t.vector].flags = t.flags & 7;
	}
	return -E2BIG;
}

/* The NMI callback is vector 2 of the vCPU's trap table, and masks events. */
static long nmi_callback_set(struct vcpu *v, uint64_t address)
{
	if (!canonical(address))
		return -EINVAL;
	v->traps[VECTOR_NMI] = (struct guest_trap){address, SEL_KERNEL_CS, TRAP_MASK_EVENTS};
	return 0;
}

static void masks_events(struct vcpu *v, uint32_t which, uint16_t flags)
{
	if (flags & CALLBACKF_mask_events)
		v->callback_flags |= which;
	else
		v->callback_flags &= ~which;
}

static long callback_set(struct vcpu *v, unsigned type, uint16_t flags, uint64_t address)
{
	if (!canonical(address))
		return -EINVAL;
	switch (type) {
	case CALLBACKTYPE_event: v->event_callback = address; return 0;
	case CALLBACKTYPE_failsafe:
		v->failsafe_callback = address;
		masks_events(v, VGCF_failsafe_disables_events, flags);
		return 0;
	case CALLBACKTYPE_syscall:
		v->syscall_callback = address;
		masks_events(v, VGCF_syscall_disables_events, flags);
		return 0;
	case CALLBACKTYPE_sysenter:
		v->sysenter_callback = address;
		v->sysenter_masks_events = flags & CALLBACKF_mask_events;
		return 0;
	case CALLBACKTYPE_syscall32: /* Intel's CPUs never raise it */
		v->syscall32_callback = address;
		v->syscall32_masks_events = flags & CALLBACKF_mask_events;
		return 0;
	case CALLBACKTYPE_nmi: return nmi_callback_set(v, address);
	default: return -ENOSYS;
	}
}

long do_set_callbacks(struct vcpu *v, uint64_t event, uint64_t failsafe, uint64_t syscall,
		      uint64_t a4, uint64_t a5)
{
	callback_set(v, CALLBACKTYPE_event, 0, event);
	callback_set(v, CALLBACKTYPE_failsafe, 0, failsafe);
	callback_set(v, CALLBACKTYPE_syscall, 0, syscall);
	return 0;
}

long do_callback_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4,
		    uint64_t a5)
{
	struct callback_register reg;
	struct callback_unregister unreg;

	switch (cmd) {
	case CALLBACKOP_register:
		if (copy_from_guest(v, &reg, arg, sizeof(reg)))
			return -EFAULT;
		return callback_set(v, reg.type, reg.flags, reg.address);
	case CALLBACKOP_unregister:
		if (copy_from_guest(v, &unreg, arg, sizeof(unreg)))
			return -EFAULT;
		if (unreg.type == CALLBACKTYPE_nmi)
			return nmi_callback_set(v, 0);
		return unreg.type <= CALLBACKTYPE_syscall32 ? -EINVAL : -ENOSYS;
	default: return -ENOSYS;
	}
}

long do_nmi_op(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
	struct xennmi_callback cb;

	switch ((uint32_t)cmd) {
	case XENNMI_register_callback:
		if (copy_from_guest(v, &cb, arg, sizeof(cb)))
			return -EFAULT;
		return nmi_callback_set(v, cb.handler_address);
	case XENNMI_unregister_callback: return nmi_callback_set(v, 0);
	default: return -ENOSYS;
	}
}

long do_stack_switch(struct vcpu *v, uint64_t ss, uint64_t sp, uint64_t a3, uint64_t a4,
		     uint64_t a5)
{
	v->kernel_ss = (ss & 0xffff) | 3;
	v->kernel_sp = sp;
	return 0;
}

long do_set_segment_base(struct vcpu *v, uint64_t which, uint64_t base, uint64_t a3, uint64_t a4,
			 uint64_t a5)
{
	if (v->d->provider->save_segments) /* the others stay what they are */
		v->d->provider->save_segments(v);
	if (which == SEGBASE_GS_USER_SEL) { /* never fails: Linux would BUG() */
		v->gs_base_user = descriptor_base(v, base);
		if (!v->d->provider->save_segments) /* else the selector is the CPU's */
			v->regs.gs = base & 0xffff;
		v->d->provider->load_segments(v);
		return 0;
	}
	if (!canonical(base))
		return -EINVAL;
	switch (which) {
	case SEGBASE_FS: v->fs_base = base; break;
	case SEGBASE_GS_USER: v->gs_base_user = base; break;
	case SEGBASE_GS_KERNEL: v->gs_base_kernel = base; break;
	default: return -EINVAL;
	}
	v->d->provider->load_segments(v);
	return 0;
}

long do_fpu_taskswitch(struct vcpu *v, uint64_t set, uint64_t a2, uint64_t a3, uint64_t a4,
		       uint64_t a5)
{
	v->fpu_ts = set;
	v->cr0 = set ? v->cr0 | 8 : v->cr0 & ~8UL;
	if (v->d->provider->load_tables)
		v->d->provider->load_tables(v);
	return 0;
}

/* Without CR4.DE, which a PV guest starts without, 4 and 5 are other names for 6 and 7. */
static uint64_t debugreg_nr(const struct vcpu *v, uint64_t reg)
{
	return (reg == 4 || reg == 5) && !(v->cr4 & CR4_DE) ? reg + 2 : reg;
}

/* General detect is not for guests; a port breakpoint (type 10b) needs CR4.DE. */
static bool dr7_ok(const struct vcpu *v, uint64_t val)
{
	if (val & 0x2000)
		return false;
	for (int i = 16; i < 32 && (val & 0xff) && !(v->cr4 & CR4_DE); i += 4)
		if ((val >> i & 3) == 2)
			return false;
	return true;
}

long do_set_debugreg(struct vcpu *v, uint64_t reg, uint64_t val, uint64_t a3, uint64_t a4,
		     uint64_t a5)
{
	reg = debugreg_nr(v, reg);
	switch (reg) {
	case 0 ... 3:
		if (!canonical(val) || (val >= HYPERVISOR_START && val < HYPERVISOR_END))
			return -EPERM;
		break;
	case 6: val = (val & 0xe00f) | 0xffff0ff0; break;
	case 7:
		if (!dr7_ok(v, val))
			return -EPERM;
		val = (val & 0xffff03ff) | 0x400;
		break;
	default: return -ENODEV;
	}
	v->debugreg[reg] = val;
	if (v->d->provider->load_debug)
		v->d->provider->load_debug(v);
	return 0;
}

long do_get_debugreg(struct vcpu *v, uint64_t reg, uint64_t a2, uint64_t a3, uint64_t a4,
		     uint64_t a5)
{
	reg = debugreg_nr(v, reg);
	return reg <= 3 || reg == 6 || reg == 7 ? (long)v->debugreg[reg] : -ENODEV;
}
