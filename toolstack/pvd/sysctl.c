/* SPDX-License-Identifier: MIT */
/* sysctl, interface version 0x15 (Xen 4.17): the host as xl and xentop want to see it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>

#include "toolstack/pvd/pvd.h"

uint32_t host_cpus(void)
{
	static uint32_t n;
	long v;

	if (!n) {
		v = sysconf(_SC_NPROCESSORS_ONLN);
		n = v > 0 && v < 512 ? v : 1;
	}
	return n;
}

static uint64_t mem(bool free_too)
{
	uint64_t kb = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, free_too ? "MemAvailable: %lu" : "MemTotal: %lu", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb << 10;
}

static void physinfo(struct xen_sysctl_physinfo *p)
{
	memset(p, 0, sizeof(*p));
	p->threads_per_core = 1;
	p->cores_per_socket = host_cpus();
	p->nr_cpus = host_cpus();
	p->max_cpu_id = host_cpus() - 1;
	p->nr_nodes = 1;
	p->cpu_khz = tsc_rate;
	/* PV, grant tables version 1: xl asks for what it reads here */
	p->capabilities = XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_gnttab_v1;
	p->total_pages = mem(false) / PAGE_SIZE;
	p->free_pages = mem(true) / PAGE_SIZE;
	p->max_mfn = p->total_pages;
}

static long domain_list(struct client *c, struct xen_sysctl_getdomaininfolist *p)
{
	struct xen_domctl_getdomaininfo g;
	uint64_t to = (uintptr_t)p->buffer.p;
	uint32_t n = 0, next = p->first_domain;
	long rc = 0;

	if (!next && p->max_domains) {
		fill_info(NULL, &g);
		rc = copy_out(c, to, &g, sizeof(g));
		n = 1;
	}
	while (!rc && n < p->max_domains) {
		struct dom *d = dom_get_from(next);

		if (!d)
			break;
		fill_info(d, &g);
		next = d->id + 1;
		dom_put(d);
		rc = copy_out(c, to + n++ * sizeof(g), &g, sizeof(g));
	}
	p->num_domains = n;
	return rc;
}

static long cpupool(struct client *c, struct xen_sysctl_cpupool_op *p)
{
	switch (p->op) {
	case XEN_SYSCTL_CPUPOOL_OP_INFO:
		if (p->cpupool_id && p->cpupool_id != XEN_SYSCTL_CPUPOOL_PAR_ANY)
			return -ENOENT; /* the next one after the only one */
		p->cpupool_id = 0;
		p->sched_id = XEN_SCHEDULER_CREDIT2;
		p->n_dom = dom_count() + 1;
		bitmap_out(c, &p->cpumap, host_cpus());
		return 0;
	case XEN_SYSCTL_CPUPOOL_OP_FREEINFO: bitmap_out(c, &p->cpumap, 0); return 0;
	default: return -EOPNOTSUPP;
	}
}

static long numainfo(struct client *c, struct xen_sysctl_numainfo *p)
{
	struct xen_sysctl_meminfo m = {mem(false), mem(true)};
	uint32_t distance = 10;
	long rc = 0;

	if (p->meminfo.p && p->num_nodes)
		rc = copy_out(c, (uintptr_t)p->meminfo.p, &m, sizeof(m));
	if (!rc && p->distance.p && p->num_nodes)
		rc = copy_out(c, (uintptr_t)p->distance.p, &distance, sizeof(distance));
	p->num_nodes = 1;
	return rc;
}

static long cputopo(struct client *c, struct xen_sysctl_cputopoinfo *p)
{
	uint32_t n = host_cpus();

	for (uint32_t i = 0; p->cputopo.p && i < n && i < p->num_cpus; i++) {
		struct xen_sysctl_cputopo t = {.core = i};
		long rc = copy_out(c, (uintptr_t)(p->cputopo.p + i), &t, sizeof(t));

		if (rc)
			return rc;
	}
	p->num_cpus = n;
	return 0;
}

static long getcpuinfo(struct client *c, struct xen_sysctl_getcpuinfo *p)
{
	struct xen_sysctl_cpuinfo i = {0};
	uint32_t n;

	for (n = 0; n < host_cpus() && n < p->max_cpus; n++) {
		long rc = copy_out(c, (uintptr_t)(p->info.p + n), &i, sizeof(i));

		if (rc)
			return rc;
	}
	p->nr_cpus = n;
	return 0;
}

static long readconsole(struct client *c, struct xen_sysctl_readconsole *p)
{
	uint32_t n = p->count < 65536 ? p->count : 65536;
	char *buf = malloc(n + 1);
	long rc;

	if (!buf)
		return -ENOMEM;
	p->count = log_read(buf, n, &p->index, p->incremental);
	rc = copy_out(c, (uintptr_t)p->buffer.p, buf, p->count);
	if (!rc && p->clear)
		log_clear();
	free(buf);
	return rc;
}

static long run(struct client *c, struct xen_sysctl *u)
{
	switch (u->cmd) {
	case XEN_SYSCTL_readconsole: return readconsole(c, &u->u.readconsole);
	case XEN_SYSCTL_physinfo: physinfo(&u->u.physinfo); return 0;
	case XEN_SYSCTL_sched_id: u->u.sched_id.sched_id = XEN_SCHEDULER_CREDIT2; return 0;
	case XEN_SYSCTL_getdomaininfolist: return domain_list(c, &u->u.getdomaininfolist);
	case XEN_SYSCTL_getcpuinfo: return getcpuinfo(c, &u->u.getcpuinfo);
	case XEN_SYSCTL_availheap: u->u.availheap.avail_bytes = mem(true); return 0;
	case XEN_SYSCTL_cputopoinfo: return cputopo(c, &u->u.cputopoinfo);
	case XEN_SYSCTL_numainfo: return numainfo(c, &u->u.numainfo);
	case XEN_SYSCTL_scheduler_op:
		if (u->u.scheduler_op.cmd != XEN_SYSCTL_SCHEDOP_getinfo ||
		    u->u.scheduler_op.sched_id != XEN_SCHEDULER_CREDIT2)
			return -EOPNOTSUPP;
		memset(&u->u.scheduler_op.u, 0, sizeof(u->u.scheduler_op.u));
		return 0;
	case XEN_SYSCTL_cpupool_op: return cpupool(c, &u->u.cpupool_op);
	case XEN_SYSCTL_get_cpu_policy:
		return cpu_policy_out(c, (uintptr_t)u->u.cpu_policy.leaves.p,
				      &u->u.cpu_policy.nr_leaves, (uintptr_t)u->u.cpu_policy.msrs.p,
				      &u->u.cpu_policy.nr_msrs);
	case XEN_SYSCTL_get_cpu_featureset:
		return featureset_out(c, (uintptr_t)u->u.cpu_featureset.features.p,
				      &u->u.cpu_featureset.nr_features);
	default: return -ENOSYS;
	}
}

long do_sysctl(struct client *c, uint64_t arg)
{
	struct xen_sysctl u;
	long rc = copy_in(c, &u, arg, sizeof(u));

	if (rc)
		return rc;
	if (u.interface_version != XEN_SYSCTL_INTERFACE_VERSION)
		return -EACCES;
	rc = run(c, &u);
	return rc < 0 ? rc : copy_out(c, arg, &u, sizeof(u));
}
