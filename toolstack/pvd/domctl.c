/* SPDX-License-Identifier: MIT */
/* domctl, interface version 0x15 (Xen 4.17). */
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>
#include <xen/domctl.h>

#include "toolstack/pvd/pvd.h"

/* NULL: dom0, which is the host and has no process. */
void fill_info(struct dom *d, void *out)
{
	struct xen_domctl_getdomaininfo *g = out;
	struct pvdom_info i;

	memset(g, 0, sizeof(*g));
	g->arch_config.misc_flags = 0;
	if (!d) {
		struct timespec up;
		struct sysinfo si;

		clock_gettime(CLOCK_BOOTTIME, &up);
		sysinfo(&si);
		g->flags = XEN_DOMINF_running;
		g->nr_online_vcpus = host_cpus();
		g->max_vcpu_id = g->nr_online_vcpus - 1;
		g->max_pages = g->tot_pages = si.totalram * (uint64_t)si.mem_unit / PAGE_SIZE;
		g->cpu_time = up.tv_sec * 1000000000UL;
		return;
	}
	ctl_info(d, &i);
	pthread_mutex_lock(&state_lock);
	g->domain = d->id;
	g->flags = (d->dying ? XEN_DOMINF_dying : 0) | (d->debugger ? XEN_DOMINF_debugged : 0) |
		   (d->pauses || (d->debugger && i.held) ? XEN_DOMINF_paused : 0);
	if (d->shutdown)
		g->flags |= XEN_DOMINF_shutdown | d->reason << XEN_DOMINF_shutdownshift;
	else if (i.blocked)
		g->flags |= XEN_DOMINF_blocked;
	else if (!(g->flags & XEN_DOMINF_paused))
		g->flags |= XEN_DOMINF_running;
	g->tot_pages = i.tot_pages;
	g->max_pages = d->max_pages;
	g->shared_info_frame = PVDOM_MFN_SHARED_INFO;
	g->cpu_time = i.cpu_time_ns;
	g->nr_online_vcpus = i.online_vcpus;
	g->max_vcpu_id = d->max_vcpus - 1;
	g->ssidref = d->ssidref;
	memcpy(g->handle, d->handle, sizeof(g->handle));
	pthread_mutex_unlock(&state_lock);
	g->gpaddr_bits = 46;
}

/* All of the first n bits: every vCPU runs where the host lets it. */
void bitmap_out(struct client *c, void *bitmap, uint32_t bits)
{
	struct xenctl_bitmap *b = bitmap;
	uint8_t map[64] = {0};
	uint32_t want = b->nr_bits < bits ? b->nr_bits : bits, bytes = (b->nr_bits + 7) / 8;

	if (!b->bitmap.p)
		return;
	for (uint32_t i = 0; i < want && i < sizeof(map) * 8; i++)
		map[i / 8] |= 1U << (i % 8);
	copy_out(c, (uintptr_t)b->bitmap.p, map, bytes < sizeof(map) ? bytes : sizeof(map));
}

static long create(struct client *c, struct xen_domctl *u)
{
	struct xen_domctl_createdomain *p = &u->u.createdomain;
	const uint32_t provider = p->flags & PVD_CDF_PROVIDERS;
	uint32_t id = u->domain;
	long rc;

	if (provider & (provider - 1) || p->flags & ~(PVD_CDF_PROVIDERS | PVD_CDF_UNFINISHED) ||
	    p->arch.emulation_flags)
		return -EINVAL; /* PV only, and it needs no emulation */
	if (XEN_DOMCTL_GRANT_version(p->grant_opts) > 1)
		return -EOPNOTSUPP;
	if (p->cpupool_id)
		return -ENOENT;
	rc = dom_create(&id, p->max_vcpus, p->handle, p->ssidref,
			provider == PVD_CDF_VTX		? "vtx"
			: provider == PVD_CDF_PROCESS	? "process"
			: provider == PVD_CDF_TRANSLATE ? "translate"
							: "auto");
	if (rc)
		return rc;
	u->domain = id;
	if (p->flags & PVD_CDF_UNFINISHED)
		c->unfinished = id;
	return 0;
}

static long get_info(struct xen_domctl *u)
{
	struct dom *d = u->domain ? dom_get_from(u->domain) : NULL;

	if (u->domain && !d)
		return -ESRCH;
	fill_info(d, &u->u.getdomaininfo);
	u->domain = u->u.getdomaininfo.domain;
	if (d)
		dom_put(d);
	return 0;
}

static long set_context(struct client *c, struct dom *d, struct xen_domctl_vcpucontext *p)
{
	struct vcpu_guest_context ctx;
	long rc = copy_in(c, &ctx, (uintptr_t)p->ctxt.p, sizeof(ctx));

	return rc ? rc
		  : ctl_call(d, CTL_SET_CONTEXT, (uint64_t[4]){p->vcpu}, &ctx, sizeof(ctx), NULL,
			     NULL, NULL);
}

static long get_context(struct client *c, struct dom *d, struct xen_domctl_vcpucontext *p)
{
	struct vcpu_guest_context ctx;
	uint32_t len = sizeof(ctx);
	long rc = ctl_call(d, CTL_GET_CONTEXT, (uint64_t[4]){p->vcpu}, NULL, 0, NULL, &ctx, &len);

	if (rc < 0 || len != sizeof(ctx))
		return rc < 0 ? rc : -EIO;
	return copy_out(c, (uintptr_t)p->ctxt.p, &ctx, sizeof(ctx));
}

static long vcpu_info(struct dom *d, struct xen_domctl_getvcpuinfo *p)
{
	struct pvdom_vcpu_info i;
	uint32_t len = sizeof(i);
	long rc;

	if (p->vcpu >= d->max_vcpus)
		return -EINVAL;
	if (__atomic_load_n(&d->dead,
			    __ATOMIC_ACQUIRE)) { /* still listed: xl shows it as it was left */
		p->online = p->blocked = p->running = 0;
		return 0;
	}
	rc = ctl_call(d, CTL_VCPU_INFO, (uint64_t[4]){p->vcpu}, NULL, 0, NULL, &i, &len);
	if (rc < 0 || len != sizeof(i))
		return rc < 0 ? rc : -EIO;
	p->online = i.online;
	p->blocked = i.blocked;
	p->running = i.running;
	p->cpu_time = i.cpu_time_ns;
	p->cpu = i.cpu;
	return 0;
}

static long scheduler(struct dom *d, struct xen_domctl_scheduler_op *p)
{
	if (p->sched_id != XEN_SCHEDULER_CREDIT2)
		return -EINVAL;
	if (p->cmd == XEN_DOMCTL_SCHEDOP_getinfo) {
		p->u.credit2.weight = d->weight;
		p->u.credit2.cap = d->cap;
	} else if (p->cmd == XEN_DOMCTL_SCHEDOP_putinfo) { /* kept, not enforced */
		d->weight = p->u.credit2.weight;
		d->cap = p->u.credit2.cap;
	} else {
		return -EINVAL;
	}
	return 0;
}

static long affinity(struct client *c, struct dom *d, struct xen_domctl_vcpuaffinity *p)
{
	if (p->vcpu >= d->max_vcpus)
		return -EINVAL;
	if (p->flags & XEN_VCPUAFFINITY_HARD)
		bitmap_out(c, &p->cpumap_hard, host_cpus());
	if (p->flags & XEN_VCPUAFFINITY_SOFT)
		bitmap_out(c, &p->cpumap_soft, host_cpus());
	return 0;
}

static long on_domain(struct client *c, struct dom *d, struct xen_domctl *u)
{
	switch (u->cmd) {
	case XEN_DOMCTL_destroydomain: return dom_destroy(d);
	case XEN_DOMCTL_pausedomain: return dom_pause(d, true);
	case XEN_DOMCTL_unpausedomain: return dom_pause(d, false);
	case XEN_DOMCTL_max_vcpus: return u->u.max_vcpus.max == d->max_vcpus ? 0 : -EINVAL;
	case XEN_DOMCTL_max_mem: return dom_set_max_mem(d, u->u.max_mem.max_memkb >> 2);
	case XEN_DOMCTL_set_address_size: return u->u.address_size.size == 64 ? 0 : -EOPNOTSUPP;
	case XEN_DOMCTL_get_address_size: u->u.address_size.size = 64; return 0;
	case XEN_DOMCTL_setvcpucontext: return set_context(c, d, &u->u.vcpucontext);
	case XEN_DOMCTL_getvcpucontext: return get_context(c, d, &u->u.vcpucontext);
	case XEN_DOMCTL_getvcpuinfo: return vcpu_info(d, &u->u.getvcpuinfo);
	case XEN_DOMCTL_hypercall_init:
		return ctl(d, CTL_HYPERCALL_PAGE, u->u.hypercall_init.gmfn, 0);
	case XEN_DOMCTL_settscinfo: return u->u.tsc_info.tsc_mode ? -EOPNOTSUPP : 0;
	case XEN_DOMCTL_gettscinfo: memset(&u->u.tsc_info, 0, sizeof(u->u.tsc_info)); return 0;
	case XEN_DOMCTL_set_cpu_policy:
		/* a guest sees the host's CPUID; there is nothing to apply */
		return 0;
	case XEN_DOMCTL_get_cpu_policy:
		return cpu_policy_out(c, (uintptr_t)u->u.cpu_policy.leaves.p,
				      &u->u.cpu_policy.nr_leaves, (uintptr_t)u->u.cpu_policy.msrs.p,
				      &u->u.cpu_policy.nr_msrs);
	case XEN_DOMCTL_scheduler_op: return scheduler(d, &u->u.scheduler_op);
	case XEN_DOMCTL_setvcpuaffinity:
	case XEN_DOMCTL_getvcpuaffinity: return affinity(c, d, &u->u.vcpuaffinity);
	case XEN_DOMCTL_setnodeaffinity: return 0;
	case XEN_DOMCTL_getnodeaffinity: bitmap_out(c, &u->u.nodeaffinity.nodemap, 1); return 0;
	case XEN_DOMCTL_setdomainhandle:
		memcpy(d->handle, u->u.setdomainhandle.handle, sizeof(d->handle));
		return 0;
	case XEN_DOMCTL_setdebugging:
	case XEN_DOMCTL_debug_op:
	case XEN_DOMCTL_gdbsx_guestmemio:
	case XEN_DOMCTL_gdbsx_pausevcpu:
	case XEN_DOMCTL_gdbsx_unpausevcpu:
	case XEN_DOMCTL_gdbsx_domstatus:
	case PVD_DOMCTL_breakpoint:
	case PVD_DOMCTL_point: return do_debug(c, d, u);
	case XEN_DOMCTL_settimeoffset:
		return u->u.settimeoffset.time_offset_seconds ? -EOPNOTSUPP : 0;
	default: return -ENOSYS;
	}
}

long do_domctl(struct client *c, uint64_t arg)
{
	struct xen_domctl u;
	struct dom *d;
	long rc = copy_in(c, &u, arg, sizeof(u));

	if (rc)
		return rc;
	if (u.interface_version != XEN_DOMCTL_INTERFACE_VERSION)
		return -EACCES;
	if (u.cmd == XEN_DOMCTL_createdomain) {
		rc = create(c, &u);
	} else if (u.cmd == XEN_DOMCTL_getdomaininfo) {
		rc = get_info(&u);
	} else if (!u.domain && u.cmd == XEN_DOMCTL_getvcpuinfo) {
		u.u.getvcpuinfo.online = 1;
		u.u.getvcpuinfo.running = 1;
		u.u.getvcpuinfo.blocked = 0;
		u.u.getvcpuinfo.cpu = u.u.getvcpuinfo.vcpu;
		u.u.getvcpuinfo.cpu_time = 0;
	} else if (!u.domain && u.cmd == XEN_DOMCTL_getvcpuaffinity) {
		bitmap_out(c, &u.u.vcpuaffinity.cpumap_hard, host_cpus());
		bitmap_out(c, &u.u.vcpuaffinity.cpumap_soft, host_cpus());
	} else if (!u.domain && u.cmd == XEN_DOMCTL_scheduler_op &&
		   u.u.scheduler_op.cmd == XEN_DOMCTL_SCHEDOP_getinfo) {
		u.u.scheduler_op.u.credit2.weight = 256;
		u.u.scheduler_op.u.credit2.cap = 0;
	} else if (!u.domain) {
		rc = -EPERM; /* nobody pauses or destroys the host */
	} else {
		d = dom_get(u.domain);
		if (!d)
			return -ESRCH;
		rc = on_domain(c, d, &u);
		dom_put(d);
	}
	return rc < 0 ? rc : copy_out(c, arg, &u, sizeof(u));
}
