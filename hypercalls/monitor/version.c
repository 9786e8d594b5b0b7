/* SPDX-License-Identifier: MIT */
/*
 * xen_version (public version.h, features.h): what an unprivileged guest of Xen 4.17 is told.
 */
#include "hypercalls/monitor/monitor.h"

#include <xen/features.h>
#include <xen/version.h>

#define VERSION (4 << 16 | 17)

static long put(struct vcpu *v, uint64_t arg, const void *what, size_t n)
{
	return copy_to_guest(v, arg, what, n) ? -EFAULT : 0;
}

static long get_features(struct vcpu *v, uint64_t arg)
{
	struct xen_feature_info fi;

	if (copy_from_guest(v, &fi, arg, sizeof(fi)))
		return -EFAULT;
	if (fi.submap_idx)
		return -EINVAL;
	fi.submap = 1U << XENFEAT_memory_op_vnode_supported |
		    1U << XENFEAT_mmu_pt_update_preserve_ad | 1U << XENFEAT_highmem_assist |
		    1U << XENFEAT_gnttab_map_avail_bits | 1U << XENFEAT_not_direct_mapped;
	if (v->d->vm_assist >> VMASST_TYPE_pae_extended_cr3 & 1)
		fi.submap |= 1U << XENFEAT_pae_pgdir_above_4gb;
	return put(v, arg, &fi, sizeof(fi));
}

/* Not locked: nothing here changes, and the guest uses it as its cheapest call. */
long do_xen_version(struct vcpu *v, uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4,
		    uint64_t a5)
{
	static const xen_extraversion_t extra = ".7-pavane";
	static const xen_capabilities_info_t caps = "xen-3.0-x86_64 ";
	static const xen_changeset_info_t changeset = "unavailable";
	static const char denied[] = "<denied>";
	static const struct xen_compile_info compile = {
		.compiler = "gcc " __VERSION__,
		.compile_by = "pavane",
		.compile_domain = "pavane",
		.compile_date = "unknown",
	};
	static const struct xen_platform_parameters platform = {.virt_start = HYPERVISOR_START};

	switch ((uint32_t)cmd) {
	case XENVER_version: return VERSION;
	case XENVER_extraversion: return put(v, arg, extra, sizeof(extra));
	case XENVER_compile_info: return put(v, arg, &compile, sizeof(compile));
	case XENVER_capabilities: return put(v, arg, caps, sizeof(caps));
	case XENVER_changeset: return put(v, arg, changeset, sizeof(changeset));
	case XENVER_platform_parameters: return put(v, arg, &platform, sizeof(platform));
	case XENVER_get_features: return get_features(v, arg);
	case XENVER_pagesize: return arg ? -EINVAL : (long)PAGE_SIZE;
	case XENVER_guest_handle: return put(v, arg, v->d->handle, sizeof(v->d->handle));
	case XENVER_commandline: /* the hypervisor's, for the privileged only */
		return put(v, arg, denied, sizeof(denied));
	case XENVER_build_id: return -EPERM;
	default: return -ENOSYS;
	}
}
