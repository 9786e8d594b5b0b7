/* SPDX-License-Identifier: MIT */
/* Hypercalls of dom0's: the dispatcher and the small families. */
#include <string.h>
#include <xen/event_channel.h>
#include <xen/sched.h>
#include <xen/version.h>

#include "toolstack/pvd/pvd.h"

#define MAX_MULTICALL 4096
#define MAX_MMUEXT    1024

static long multicall(struct client *c, uint64_t list, uint64_t n)
{
	struct multicall_entry e;
	long rc;

	if (n > MAX_MULTICALL)
		return -E2BIG;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t at = list + i * sizeof(e), arg[5];

		rc = copy_in(c, &e, at, sizeof(e));
		if (rc)
			return rc;
		for (int k = 0; k < 5; k++)
			arg[k] = e.args[k];
		e.result = e.op == __HYPERVISOR_multicall ? -EINVAL : hypercall(c, e.op, arg);
		rc = copy_out(c, at + offsetof(struct multicall_entry, result), &e.result,
			      sizeof(e.result));
		if (rc)
			return rc;
	}
	return 0;
}

static long out_string(struct client *c, uint64_t to, const char *s, size_t size)
{
	char buf[1024] = {0};

	strncpy(buf, s, size - 1);
	return copy_out(c, to, buf, size);
}

static long xen_version(struct client *c, uint64_t cmd, uint64_t arg)
{
	struct xen_compile_info ci = {"", "pavane", "", ""};
	xen_ulong_t start = 0xffff800000000000;
	struct xen_feature_info fi;
	long rc;

	switch (cmd) {
	case XENVER_version: return 4 << 16 | 17;
	case XENVER_extraversion: return out_string(c, arg, ".7-pavane", XEN_EXTRAVERSION_LEN);
	case XENVER_compile_info:
		strncpy(ci.compiler, "gcc " __VERSION__, sizeof(ci.compiler) - 1);
		return copy_out(c, arg, &ci, sizeof(ci));
	case XENVER_capabilities:
		return out_string(c, arg, "xen-3.0-x86_64 ", XEN_CAPABILITIES_INFO_LEN);
	case XENVER_changeset: return out_string(c, arg, "pavane", XEN_CHANGESET_INFO_LEN);
	case XENVER_platform_parameters: return copy_out(c, arg, &start, sizeof(start));
	case XENVER_get_features:
		rc = copy_in(c, &fi, arg, sizeof(fi));
		if (rc)
			return rc;
		fi.submap = fi.submap_idx ? 0 : 1U << XENFEAT_mmu_pt_update_preserve_ad;
		return copy_out(c, arg, &fi, sizeof(fi));
	case XENVER_pagesize: return PAGE_SIZE;
	case XENVER_commandline: return out_string(c, arg, "", sizeof(xen_commandline_t));
	case XENVER_build_id: return -ENODATA;
	default: return -ENOSYS;
	}
}

static long mmuext_op(struct client *c, uint64_t list, uint64_t n, uint64_t pdone, uint64_t domid)
{
	struct dom *d = dom_get(domid);
	struct mmuext_op op;
	uint32_t done = 0;
	long rc = 0;

	if (!d)
		return -ESRCH;
	if (n > MAX_MMUEXT)
		n = MAX_MMUEXT;
	for (; !rc && done < n; done += !rc) {
		rc = copy_in(c, &op, list + done * sizeof(op), sizeof(op));
		if (!rc)
			rc = ctl(d, CTL_MMUEXT, op.cmd, op.arg1.mfn);
	}
	if (pdone)
		copy_out(c, pdone, &done, sizeof(done));
	dom_put(d);
	return rc;
}

static long evtchn_alloc(struct client *c, uint64_t arg)
{
	struct evtchn_alloc_unbound a;
	struct dom *d;
	long rc = copy_in(c, &a, arg, sizeof(a));

	if (rc)
		return rc;
	/* a port of dom0's needs a connection to own it: xenevtchn_bind_unbound_port */
	d = dom_get(a.dom);
	if (!d)
		return a.dom == DOMID_SELF || !a.dom ? -ENOSYS : -ESRCH;
	rc = ctl(d, CTL_EVTCHN_ALLOC, a.remote_dom == DOMID_SELF ? 0 : a.remote_dom, 0);
	dom_put(d);
	if (rc < 0)
		return rc;
	a.port = rc;
	return copy_out(c, arg, &a, sizeof(a));
}

static long evtchn_get_status(struct client *c, uint64_t arg)
{
	struct evtchn_status s, in;
	long rc = copy_in(c, &in, arg, sizeof(in));

	if (rc)
		return rc;
	if (in.dom == DOMID_SELF || !in.dom) {
		s = in;
		rc = port_status(in.port, &s);
	} else {
		struct dom *d = dom_get(in.dom);
		uint32_t len = sizeof(s);

		if (!d)
			return -ESRCH;
		rc = ctl_call(d, CTL_EVTCHN_STATUS, (uint64_t[4]){in.port}, NULL, 0, NULL, &s,
			      &len);
		dom_put(d);
		if (rc >= 0 && len != sizeof(s))
			rc = -EIO;
		s.dom = in.dom;
		s.port = in.port;
	}
	return rc < 0 ? rc : copy_out(c, arg, &s, sizeof(s));
}

static long event_channel_op(struct client *c, uint64_t cmd, uint64_t arg)
{
	switch (cmd) {
	case EVTCHNOP_alloc_unbound: return evtchn_alloc(c, arg);
	case EVTCHNOP_status: return evtchn_get_status(c, arg);
	default: return -ENOSYS;
	}
}

static long sched_op(struct client *c, uint64_t cmd, uint64_t arg)
{
	struct sched_remote_shutdown s;
	struct dom *d;
	long rc;

	if (cmd != SCHEDOP_remote_shutdown)
		return -ENOSYS;
	rc = copy_in(c, &s, arg, sizeof(s));
	if (rc)
		return rc;
	d = dom_get(s.domain_id);
	if (!d)
		return -ESRCH;
	rc = ctl(d, CTL_SHUTDOWN, s.reason & 0xff, 0);
	/* a process that does not answer is one more reason to call its domain down */
	dom_shutdown(d, s.reason & 0xff, "by the toolstack");
	dom_put(d);
	return rc < 0 && rc != -EIO ? rc : 0;
}

long hypercall(struct client *c, uint64_t nr, const uint64_t a[5])
{
	switch (nr) {
	case __HYPERVISOR_multicall: return multicall(c, a[0], a[1]);
	case __HYPERVISOR_memory_op: return do_memory_op(c, a[0], a[1]);
	case __HYPERVISOR_xen_version: return xen_version(c, a[0], a[1]);
	case __HYPERVISOR_domctl: return do_domctl(c, a[0]);
	case __HYPERVISOR_sysctl: return do_sysctl(c, a[0]);
	case __HYPERVISOR_mmuext_op: return mmuext_op(c, a[0], a[1], a[2], a[3]);
	case __HYPERVISOR_event_channel_op: return event_channel_op(c, a[0], a[1]);
	case __HYPERVISOR_sched_op: return sched_op(c, a[0], a[1]);
	default: return -ENOSYS;
	}
}
