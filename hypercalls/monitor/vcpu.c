/* SPDX-License-Identifier: MIT */
/*
 * A vCPU's context, its state over time, and vcpu_op (public vcpu.h, arch-x86/xen.h).
 */
#include "hypercalls/monitor/mm.h"

#define NS	      1000000000ULL
#define MIN_PERIOD    1000000ULL
#define MAX_PERIOD    (NS * 60 * 60 * 24 * 365)
#define EFLAGS_IF     0x200UL
#define EFLAGS_ONE    0x002UL
#define IOPL_SHIFT    12
#define EFLAGS_CLEAR  0x1a7000UL   /* IOPL, NT, VM, VIF, VIP */
#define CR0_PV	      0x80050033UL /* PE MP ET NE WP AM PG */
#define CR4_PV	      0x660UL	   /* PAE MCE OSFXSR OSXMMEXCPT, as Xen shows a PV guest */
#define CR4_OWN	      0x5000cUL	   /* TSD DE FSGSBASE OSXSAVE: the guest's own choice */
#define ASSIST_UPDATE (1UL << VMASST_TYPE_runstate_update_flag)

static bool canonical(uint64_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

static struct vcpu *vcpu_by_id(const struct domain *d, uint64_t id)
{
	return id < d->nr_vcpus ? d->vcpu[id] : NULL;
}

/* The area the guest registered, with the update flag around it if the guest asked for that. */
static void runstate_publish(struct vcpu *v)
{
	struct vcpu_runstate_info r = v->runstate;
	const uint64_t at = v->runstate_va + offsetof(struct vcpu_runstate_info, state_entry_time);

	if (!v->runstate_va)
		return;
	if (v->d->vm_assist & ASSIST_UPDATE) {
		r.state_entry_time |= XEN_RUNSTATE_UPDATE;
		if (copy_to_kernel(v, at, &r.state_entry_time, sizeof(r.state_entry_time)))
			return;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
	copy_to_kernel(v, v->runstate_va, &r, sizeof(r));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (v->d->vm_assist & ASSIST_UPDATE) {
		r.state_entry_time &= ~XEN_RUNSTATE_UPDATE;
		copy_to_kernel(v, at, &r.state_entry_time, sizeof(r.state_entry_time));
	}
}

void runstate_set(struct vcpu *v, int state)
{
	uint64_t now = system_time(v->d);
	struct vcpu_runstate_info *r = &v->runstate;

	if (r->state == state)
		return;
	__atomic_store_n(&v->runstate_seq, v->runstate_seq + 1, __ATOMIC_SEQ_CST);
	if (now > r->state_entry_time) {
		r->time[r->state & 3] += now - r->state_entry_time;
		r->state_entry_time = now;
	}
	r->state = state;
	__atomic_store_n(&v->runstate_seq, v->runstate_seq + 1, __ATOMIC_SEQ_CST);
	runstate_publish(v);
}

void runstate_get(struct vcpu *v, struct vcpu_runstate_info *out)
{
	uint32_t seq;
	uint64_t now;

	do {
		seq = __atomic_load_n(&v->runstate_seq, __ATOMIC_SEQ_CST) & ~1U;
		*out = v->runstate;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	} while (__atomic_load_n(&v->runstate_seq, __ATOMIC_SEQ_CST) != seq);
	now = system_time(v->d);
	if (now > out->state_entry_time)
		out->time[out->state & 3] += now - out->state_entry_time;
}

static void drop_gdt(struct vcpu *v)
{
	for (uint32_t i = 0; i < 14 && i * 512 < v->gdt_entries; i++)
		frame_put_type(v->d, v->gdt_mfn[i], FT_SEGDESC);
	v->gdt_entries = 0;
}

static int take_gdt(struct vcpu *v, const unsigned long *mfn, uint64_t entries)
{
	uint32_t n = (entries + 511) / 512;

	for (uint32_t i = 0; i < n; i++) {
		if (!frame_get_type(v->d, mfn[i], FT_SEGDESC)) {
			v->gdt_mfn[i] = mfn[i];
			continue;
		}
		while (i--)
			frame_put_type(v->d, v->gdt_mfn[i], FT_SEGDESC);
		return -EINVAL;
	}
	v->gdt_entries = entries;
	return 0;
}

uint64_t cr4_guest(uint64_t val)
{
	return (val & CR4_OWN) | CR4_PV;
}

static bool context_ok(const struct vcpu *v, const struct vcpu_guest_context *c)
{
	/* User mode needs a root for it, and a provider that has that mode. */
	if (!(c->flags & VGCF_in_kernel) && (!c->ctrlreg[1] || v->d->provider->one_root))
		return false;
	if (!canonical(c->user_regs.rip) || !canonical(c->event_callback_eip) ||
	    !canonical(c->failsafe_callback_eip) || !canonical(c->syscall_callback_eip) ||
	    !canonical(c->fs_base) || !canonical(c->gs_base_kernel) ||
	    !canonical(c->gs_base_user) || !canonical(c->ldt_base) || c->ldt_ents > 8192 ||
	    c->gdt_ents > 14 * 512)
		return false;
	for (int i = 0; i < 256; i++)
		if (!canonical(c->trap_ctxt[i].address))
			return false;
	return true;
}

/* Descriptor tables and roots instead of those of before. -EINVAL: it has none of them now. */
static int take_tables(struct vcpu *v, const struct vcpu_guest_context *c)
{
	const uint64_t user = xen_cr3_to_pfn(c->ctrlreg[1]);
	struct domain *d = v->d;

	if (v->initialised) {
		ldt_drop(v); /* a root that stays does not */
		drop_gdt(v);
		if (v->user_cr3_mfn && v->user_cr3_mfn != INVALID_MFN)
			frame_put_type(d, v->user_cr3_mfn, FT_L4);
		v->user_cr3_mfn = 0;
	}
	v->initialised = false;
	if (take_gdt(v, c->gdt_frames, c->gdt_ents))
		return -EINVAL;
	if (c->ctrlreg[1] && frame_get_type(d, user, FT_L4)) {
		drop_gdt(v);
		return -EINVAL;
	}
	if (root_load(v, xen_cr3_to_pfn(c->ctrlreg[3]))) {
		if (c->ctrlreg[1])
			frame_put_type(d, user, FT_L4);
		drop_gdt(v);
		return -EINVAL;
	}
	v->user_cr3_mfn = c->ctrlreg[1] ? user : 0;
	if (v->user_cr3_mfn)
		m2p_for_user(d, v->user_cr3_mfn);
	v->xcr0 = 1; /* x87 alone, as from a reset */
	return 0;
}

static bool has_vectors(const struct vcpu *v)
{
	return v->d->provider->vectors && __atomic_load_n(&v->parked, __ATOMIC_SEQ_CST);
}

/* A debugger's change of registers: what validating takes long stays, and so does what it makes. */
static bool same_tables(const struct vcpu *v, const struct vcpu_guest_context *c)
{
	if (c->gdt_ents != v->gdt_entries || c->ldt_ents != v->ldt_entries ||
	    (c->ldt_ents && c->ldt_base != v->ldt_base) ||
	    xen_cr3_to_pfn(c->ctrlreg[3]) != v->cr3_mfn ||
	    (c->ctrlreg[1] ? xen_cr3_to_pfn(c->ctrlreg[1]) : 0) != v->user_cr3_mfn ||
	    !(c->flags & VGCF_in_kernel) == v->kernel_mode)
		return false;
	for (uint64_t i = 0; i * 512 < v->gdt_entries; i++)
		if (c->gdt_frames[i] != v->gdt_mfn[i])
			return false;
	return true;
}

#define FXSAVE_MXCSR 24
#define FXSAVE_MASK  28 /* the bits of it that there are */

/* x87 and SSE registers from a debugger. The CPU does not take bits of MXCSR that there are not. */
static void take_vectors(struct vcpu *v, const struct vcpu_guest_context *c)
{
	uint8_t *image = vcpu_fxsave(v);
	uint32_t mxcsr, mask;

	memcpy(&mask, image + FXSAVE_MASK, sizeof(mask));
	memcpy(image, &c->fpu_ctxt, FXSAVE_SIZE);
	memcpy(&mxcsr, image + FXSAVE_MXCSR, sizeof(mxcsr));
	mxcsr &= mask;
	memcpy(image + FXSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
	memcpy(image + FXSAVE_MASK, &mask, sizeof(mask));
	v->fxsave_changed = true;
}

/*
 * Install a whole context (VCPUOP_initialise, XEN_DOMCTL_setvcpucontext). -EINVAL leaves the
 * vCPU without one. Does not bring it online unless VGCF_online says so. FPU contents are taken of
 * a vCPU that has run: it starts with the provider's clean state.
 */
int vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *c)
{
	struct domain *d = v->d;
	const bool same = v->initialised && same_tables(v, c);

	if (!context_ok(v, c) || (!same && take_tables(v, c)))
		return -EINVAL;
	if (same && has_vectors(v) && c->flags & VGCF_i387_valid)
		take_vectors(v, c);
	v->regs = c->user_regs;
	v->regs.cs |= 3;
	v->regs.ss |= 3;
	v->iopl = v->regs.rflags >> IOPL_SHIFT & 3;
	v->regs.rflags = (v->regs.rflags & ~EFLAGS_CLEAR) | EFLAGS_IF | EFLAGS_ONE;
	for (int i = 0; i < 256; i++) {
		v->traps[i].address = c->trap_ctxt[i].address;
		v->traps[i].cs = c->trap_ctxt[i].cs | 3;
		v->traps[i].flags = c->trap_ctxt[i].flags;
	}
	v->ldt_base = c->ldt_ents ? c->ldt_base : 0;
	v->ldt_entries = c->ldt_ents;
	v->kernel_ss = c->kernel_ss | 3;
	v->kernel_sp = c->kernel_sp;
	/* As on Xen: TS is the guest's, the rest what the machine has; builders leave both zero. */
	v->cr0 = (c->ctrlreg[0] & CR0_TS) | CR0_PV;
	v->cr4 = cr4_guest(c->ctrlreg[4]);
	/* Debug registers by the same rules as the hypercall; a bad one is dropped. */
	for (int i = 0; i < 8; i++)
		if (i != 4 && i != 5)
			do_set_debugreg(v, i, c->debugreg[i], 0, 0, 0);
	v->event_callback = c->event_callback_eip;
	v->failsafe_callback = c->failsafe_callback_eip;
	v->syscall_callback = c->syscall_callback_eip;
	v->callback_flags = c->flags &
			    (VGCF_failsafe_disables_events | VGCF_syscall_disables_events);
	v->kernel_mode = c->flags & VGCF_in_kernel;
	v->fs_base = c->fs_base;
	v->gs_base_kernel = c->gs_base_kernel;
	v->gs_base_user = c->gs_base_user;
	if (!v->id)
		d->vm_assist = c->vm_assist & VM_ASSISTS;
	v->initialised = true;
	if (!same)
		d->provider->root_changed(v);
	if (d->provider->load_tables)
		d->provider->load_tables(v);
	if (c->flags & VGCF_online)
		v->online = true;
	return 0;
}

void vcpu_get_context(struct vcpu *v, struct vcpu_guest_context *c)
{
	memset(c, 0, sizeof(*c));
	c->flags = (v->callback_flags &
		    (VGCF_failsafe_disables_events | VGCF_syscall_disables_events)) |
		   (v->kernel_mode ? VGCF_in_kernel : 0) | (v->online ? VGCF_online : 0);
	if (has_vectors(v)) {
		c->flags |= VGCF_i387_valid;
		memcpy(&c->fpu_ctxt, vcpu_fxsave(v), FXSAVE_SIZE);
	}
	c->user_regs = v->regs;
	c->user_regs.rflags |= (uint64_t)v->iopl << IOPL_SHIFT;
	for (int i = 0; i < 256; i++) {
		c->trap_ctxt[i].vector = i;
		c->trap_ctxt[i].address = v->traps[i].address;
		c->trap_ctxt[i].cs = v->traps[i].cs;
		c->trap_ctxt[i].flags = v->traps[i].flags;
	}
	c->ldt_base = v->ldt_base;
	c->ldt_ents = v->ldt_entries;
	for (int i = 0; i < 14; i++)
		c->gdt_frames[i] = v->gdt_mfn[i];
	c->gdt_ents = v->gdt_entries;
	c->kernel_ss = v->kernel_ss;
	c->kernel_sp = v->kernel_sp;
	c->ctrlreg[0] = v->cr0;
	c->ctrlreg[1] = v->user_cr3_mfn && v->user_cr3_mfn != INVALID_MFN
				? xen_pfn_to_cr3(v->user_cr3_mfn)
				: 0;
	c->ctrlreg[2] = v->cr2;
	c->ctrlreg[3] = xen_pfn_to_cr3(v->cr3_mfn);
	c->ctrlreg[4] = v->cr4;
	for (int i = 0; i < 8; i++)
		c->debugreg[i] = v->debugreg[i];
	c->event_callback_eip = v->event_callback;
	c->failsafe_callback_eip = v->failsafe_callback;
	c->syscall_callback_eip = v->syscall_callback;
	c->vm_assist = v->d->vm_assist;
	c->fs_base = v->fs_base;
	c->gs_base_kernel = v->gs_base_kernel;
	c->gs_base_user = v->gs_base_user;
}

static long op_initialise(struct vcpu *cur, struct vcpu *v, uint64_t arg)
{
	static struct vcpu_guest_context ctx; /* under d->lock */
	long rc;

	pthread_mutex_lock(&v->d->lock);
	if (copy_from_guest(cur, &ctx, arg, sizeof(ctx)))
		rc = -EFAULT;
	else if (v->initialised)
		rc = -EEXIST;
	else
		rc = vcpu_set_context(v, &ctx);
	pthread_mutex_unlock(&v->d->lock);
	return rc;
}

static long op_down(struct vcpu *v)
{
	struct domain *d = v->d;
	bool others = false;

	pthread_mutex_lock(&d->lock);
	for (uint32_t i = 0; i < d->nr_vcpus; i++)
		others |= d->vcpu[i] != v && d->vcpu[i]->online;
	if (others)
		v->online = false;
	pthread_mutex_unlock(&d->lock);
	if (!others)
		domain_shutdown(d, SHUTDOWN_poweroff, NULL);
	else
		vcpu_wake(v);
	return 0;
}

/* VCPUOP_register_vcpu_info: once per vCPU, for oneself or one that is down. */
static long register_info(struct vcpu *cur, struct vcpu *v, const struct vcpu_register_vcpu_info *r)
{
	struct vcpu_info *info;

	if (r->offset > PAGE_SIZE - sizeof(*info) || (r->offset & (sizeof(long) - 1)))
		return -ENXIO;
	if ((v->info_mfn && v->info_mfn != INVALID_MFN) || (v != cur && v->online))
		return -EINVAL;
	if (!frame_is_ram(v->d, r->mfn) || frame_get_type(v->d, r->mfn, FT_WRITABLE))
		return -EINVAL;
	info = (struct vcpu_info *)((uint8_t *)frame_ptr(v->d, r->mfn) + r->offset);
	memcpy(info, v->info, sizeof(*info));
	v->info_mfn = r->mfn;
	__atomic_store_n(&v->info, info, __ATOMIC_SEQ_CST);
	if (v->d->provider->load_tables)
		v->d->provider->load_tables(v);
	/* An event may have gone to the old place meanwhile: have the guest look at them all. */
	__atomic_store_n(&info->evtchn_pending_sel, ~0UL, __ATOMIC_SEQ_CST);
	__atomic_store_n(&info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static long op_register_info(struct vcpu *cur, struct vcpu *v, uint64_t arg)
{
	struct vcpu_register_vcpu_info r;
	long rc;

	if (copy_from_guest(cur, &r, arg, sizeof(r)))
		return -EFAULT;
	pthread_mutex_lock(&v->d->lock);
	rc = register_info(cur, v, &r);
	pthread_mutex_unlock(&v->d->lock);
	return rc;
}

static long op_timer(struct vcpu *cur, struct vcpu *v, uint32_t cmd, uint64_t arg)
{
	struct vcpu_set_singleshot_timer one;
	struct vcpu_set_periodic_timer per;

	switch (cmd) {
	case VCPUOP_set_periodic_timer:
		if (copy_from_guest(cur, &per, arg, sizeof(per)))
			return -EFAULT;
		if (per.period_ns < MIN_PERIOD || per.period_ns > MAX_PERIOD)
			return -EINVAL;
		v->periodic_next = system_time(v->d) + per.period_ns;
		__atomic_store_n(&v->periodic_ns, per.period_ns, __ATOMIC_RELEASE);
		break;
	case VCPUOP_stop_periodic_timer:
		__atomic_store_n(&v->periodic_ns, 0, __ATOMIC_RELEASE);
		break;
	case VCPUOP_set_singleshot_timer:
		if (v != cur)
			return -EINVAL;
		if (copy_from_guest(cur, &one, arg, sizeof(one)))
			return -EFAULT;
		/* Xen 4.17 fires a past deadline at once, VCPU_SSHOTTMR_future or not. */
		/* 0 is the past here, not a cancellation. */
		v->timer_deadline = one.timeout_abs_ns ? one.timeout_abs_ns : 1;
		if (v->timer_deadline <= system_time(v->d)) {
			timer_check(v);
			return 0;
		}
		break;
	default:
		if (v != cur)
			return -EINVAL;
		v->timer_deadline = 0;
	}
	timer_arm(v);
	if (v != cur) /* it may sleep till a deadline of before */
		vcpu_wake(v);
	return 0;
}

/*
 * VCPUOP_* of public vcpu.h on any vCPU of the own domain: -ENOENT if there is none of that
 * number. Not locked by the dispatcher.
 */
long do_vcpu_op(struct vcpu *cur, uint64_t cmd, uint64_t id, uint64_t arg, uint64_t a4, uint64_t a5)
{
	struct vcpu *v = vcpu_by_id(cur->d, (uint32_t)id);
	struct vcpu_runstate_info run;
	uint64_t va;

	if (!v)
		return -ENOENT;
	switch ((uint32_t)cmd) {
	case VCPUOP_initialise: return op_initialise(cur, v, arg);
	case VCPUOP_up:
		if (!v->initialised)
			return -EINVAL;
		__atomic_store_n(&v->online, true, __ATOMIC_SEQ_CST);
		vcpu_wake(v);
		return 0;
	case VCPUOP_down: return op_down(v);
	case VCPUOP_is_up: return v->online;
	case VCPUOP_get_runstate_info:
		runstate_get(v, &run);
		return copy_to_guest(cur, arg, &run, sizeof(run)) ? -EFAULT : 0;
	case VCPUOP_register_runstate_memory_area:
		if (copy_from_guest(cur, &va, arg, sizeof(va)))
			return -EFAULT;
		if (!canonical(va) || (va >= HYPERVISOR_START && va < HYPERVISOR_END))
			return -EFAULT;
		v->runstate_va = va;
		runstate_get(v, &run);
		copy_to_guest(cur, va, &run, sizeof(run));
		return 0;
	case VCPUOP_register_vcpu_time_memory_area:
		if (copy_from_guest(cur, &va, arg, sizeof(va)))
			return -EFAULT;
		if (!canonical(va) || (va >= HYPERVISOR_START && va < HYPERVISOR_END))
			return -EFAULT;
		v->time_va = va;
		if (v == cur)
			time_publish(v);
		return 0;
	case VCPUOP_register_vcpu_info: return op_register_info(cur, v, arg);
	case VCPUOP_set_periodic_timer:
	case VCPUOP_stop_periodic_timer:
	case VCPUOP_set_singleshot_timer:
	case VCPUOP_stop_singleshot_timer: return op_timer(cur, v, cmd, arg);
	case VCPUOP_send_nmi:
		if (arg)
			return -EINVAL;
		if (!__atomic_exchange_n(&v->nmi_pending, true, __ATOMIC_SEQ_CST))
			vcpu_wake(v);
		return 0;
	case VCPUOP_get_physid: /* only for a hardware domain with pinned vCPUs */ return -EINVAL;
	default: return -ENOSYS;
	}
}
