/* SPDX-License-Identifier: MIT */
/*
 * Model-specific registers, as Xen 4.17 shows them to a PV guest. Those that are not here do not
 * exist. Intel SDM vol. 4.
 */
#include "hypercalls/monitor/monitor.h"

#define MSR_TSC		    0x010
#define MSR_APIC_BASE	    0x01b
#define MSR_FEATURE_CONTROL 0x03a
#define MSR_MICROCODE	    0x08b
#define MSR_PLATFORM_INFO   0x0ce
#define MSR_MISC_FEATURES   0x140
#define MSR_MCG_CAP	    0x179
#define MSR_MCG_STATUS	    0x17a
#define MSR_MISC_ENABLE	    0x1a0
#define MSR_PAT		    0x277
#define MSR_EFER	    0xc0000080
#define MSR_FS_BASE	    0xc0000100
#define MSR_GS_BASE	    0xc0000101
#define MSR_KERNEL_GS_BASE  0xc0000102

#define APIC_DEFAULT  0xfee00800UL /* where it is, enabled */
#define APIC_BOOT_CPU 0x100UL
#define LOCKED	      1UL
#define EFER_PV	      0xd01UL	       /* SCE, LME, LMA, NXE: what a 64-bit PV kernel runs under */
#define XEN_PAT	      0x050100070406UL /* Xen's fixed layout */
/* Fast strings; no branch trace, no precise events, xTPR off. */
#define MISC_ENABLE_PV 0x801801UL

bool msr_read(struct vcpu *v, uint32_t msr, uint64_t *val)
{
	switch (msr) {
	case MSR_TSC: *val = rdtsc(); return true;
	case MSR_APIC_BASE: *val = APIC_DEFAULT | (v->id ? 0 : APIC_BOOT_CPU); return true;
	case MSR_FEATURE_CONTROL: *val = LOCKED; return true;
	/* No revision of the host's is told, no feature is switchable, no machine check banks. */
	case MSR_MICROCODE:
	case MSR_PLATFORM_INFO:
	case MSR_MISC_FEATURES:
	case MSR_MCG_CAP:
	case MSR_MCG_STATUS: *val = 0; return true;
	case MSR_MISC_ENABLE: *val = MISC_ENABLE_PV; return true;
	case MSR_EFER: *val = EFER_PV; return true;
	case MSR_PAT: *val = XEN_PAT; return true;
	case MSR_FS_BASE: *val = v->fs_base; return true;
	case MSR_GS_BASE: *val = v->gs_base_kernel; return true;
	case MSR_KERNEL_GS_BASE: *val = v->gs_base_user; return true;
	default: return false;
	}
}

bool msr_write(struct vcpu *v, uint32_t msr, uint64_t val)
{
	switch (msr) {
	case MSR_MICROCODE: /* Intel's way to ask for the revision */
	case MSR_MISC_FEATURES: return !val;
	case MSR_MCG_CAP: /* without effect */
	case MSR_MCG_STATUS:
	case MSR_MISC_ENABLE: return true;
	case MSR_EFER: return val == EFER_PV;
	case MSR_FS_BASE: return !do_set_segment_base(v, SEGBASE_FS, val, 0, 0, 0);
	case MSR_GS_BASE: return !do_set_segment_base(v, SEGBASE_GS_KERNEL, val, 0, 0, 0);
	case MSR_KERNEL_GS_BASE: return !do_set_segment_base(v, SEGBASE_GS_USER, val, 0, 0, 0);
	default: return false;
	}
}
