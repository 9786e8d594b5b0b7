// SPDX-License-Identifier: GPL-2.0-only
/* What this CPU's VMX offers, and which of it we use. No VMX needed to run this. */
#include "compat.h"
#include "driver.h"

/*
 * Low half: bits that must be 1; high half: bits that may be (SDM vol. 3, A.3). `never` are bits
 * we cannot live with. False: the CPU insists on the wrong thing.
 */
static bool choose(u64 msr, u32 need, u32 like, u32 never, u32 *out)
{
	const u32 must = msr, may = msr >> 32;

	*out = ((need | like) & may) | must;
	return (need & may) == need && !(must & never);
}

const char *controls_choose(const struct vmx_msrs *m, struct controls *c)
{
	u32 like2 = SECONDARY_EXEC_ENABLE_VPID | SECONDARY_EXEC_ENABLE_RDTSCP |
		    SECONDARY_EXEC_ENABLE_INVPCID | SECONDARY_EXEC_WBINVD_EXITING |
		    SECONDARY_EXEC_ENCLS_EXITING;
	const u64 vpid_all = VMX_VPID_INVVPID_BIT | VMX_VPID_EXTENT_GLOBAL_CONTEXT_BIT;

	*c = (struct controls){
		.revision = m->basic & 0x7fffffff,
		.cr0_fixed0 = m->cr0_fixed0,
		.cr0_fixed1 = m->cr0_fixed1,
		.cr4_fixed0 = m->cr4_fixed0,
		.cr4_fixed1 = m->cr4_fixed1,
	};
	/* Write-back VMCS memory, of at most a page. */
	if (((m->basic >> 50) & 15) != 6 || ((m->basic >> 32) & 0x1fff) > PAGE_SIZE)
		return "an ordinary VMCS region";
	/* The host's interrupts and NMIs always leave the guest. */
	if (!choose(m->pin, PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING, 0,
		    PIN_BASED_VIRTUAL_NMIS | PIN_BASED_VMX_PREEMPTION_TIMER | PIN_BASED_POSTED_INTR,
		    &c->pin))
		return "exits for interrupts and NMIs";
	/*
	 * Exits for what would reach past the process: ports, debug registers (until they are
	 * switched), CR8 (the host's TPR), MSRs but those of the bitmap; and for what would stop
	 * the CPU: hlt, mwait.
	 * No exits for what is the process's own: CR3, invlpg, rdtsc, pause.
	 */
	if (!choose(m->proc,
		    CPU_BASED_HLT_EXITING | CPU_BASED_MWAIT_EXITING | CPU_BASED_MONITOR_EXITING |
			    CPU_BASED_RDPMC_EXITING | CPU_BASED_CR8_LOAD_EXITING |
			    CPU_BASED_CR8_STORE_EXITING | CPU_BASED_MOV_DR_EXITING |
			    CPU_BASED_UNCOND_IO_EXITING | CPU_BASED_USE_MSR_BITMAPS |
			    CPU_BASED_ACTIVATE_SECONDARY_CONTROLS,
		    0,
		    CPU_BASED_CR3_LOAD_EXITING | CPU_BASED_CR3_STORE_EXITING |
			    CPU_BASED_INVLPG_EXITING | CPU_BASED_TPR_SHADOW |
			    CPU_BASED_USE_IO_BITMAPS | CPU_BASED_INTR_WINDOW_EXITING,
		    &c->proc))
		return "the exits that keep a process in its place, or CR3 loads without one";
	if (!(m->ept_vpid & VMX_EPT_INVEPT_BIT) || !(m->ept_vpid & VMX_EPT_EXTENT_CONTEXT_BIT) ||
	    !(m->ept_vpid & VMX_EPT_PAGE_WALK_4_BIT) || !(m->ept_vpid & VMX_EPTP_WB_BIT))
		return "EPT with four levels, write-back tables and INVEPT of one context";
	/* Tags are of no use if they cannot be flushed. */
	if ((m->ept_vpid >> 32 & vpid_all) != vpid_all)
		like2 &= ~SECONDARY_EXEC_ENABLE_VPID;
	if (!choose(m->proc2, SECONDARY_EXEC_ENABLE_EPT, like2, SECONDARY_EXEC_ENABLE_XSAVES,
		    &c->proc2))
		return "EPT";
	if (!choose(m->exit, VM_EXIT_HOST_ADDR_SPACE_SIZE | VM_EXIT_SAVE_DEBUG_CONTROLS, 0,
		    VM_EXIT_ACK_INTR_ON_EXIT | VM_EXIT_SAVE_IA32_EFER | VM_EXIT_LOAD_IA32_EFER,
		    &c->exit))
		return "a 64-bit host";
	if (!choose(m->entry, VM_ENTRY_IA32E_MODE | VM_ENTRY_LOAD_DEBUG_CONTROLS, 0,
		    VM_ENTRY_SMM | VM_ENTRY_DEACT_DUAL_MONITOR | VM_ENTRY_LOAD_IA32_EFER,
		    &c->entry))
		return "a 64-bit guest";
	if (c->proc2 & SECONDARY_EXEC_ENABLE_VPID)
		c->features |= PVHOST_F_VPID;
	if (m->ept_vpid & VMX_EPT_2MB_PAGE_BIT)
		c->features |= PVHOST_F_LARGE;
	if (c->proc2 & SECONDARY_EXEC_ENABLE_INVPCID && c->proc2 & SECONDARY_EXEC_ENABLE_RDTSCP)
		c->features |= PVHOST_F_INVPCID;
	c->invvpid_single = m->ept_vpid >> 32 & VMX_VPID_EXTENT_SINGLE_CONTEXT_BIT;
	return NULL;
}

/*
 * fixed0: bits that must be 1 in VMX operation; fixed1: bits that may be. Protected mode, paging
 * and write-back caching (CD and NW clear) are not the guest's choice.
 */
u64 controls_cr0(const struct controls *c, u64 wanted)
{
	const u64 base = 0x80000031; /* PG NE ET PE */

	return (((wanted & GUEST_CR0_BITS) | base) & c->cr0_fixed1) | c->cr0_fixed0;
}

/* PAE, and SSE as the host's kernel has it; four levels of paging. */
u64 controls_cr4(const struct controls *c, u64 wanted)
{
	const u64 base = 0x40660; /* OSXSAVE OSXMMEXCPT OSFXSR MCE PAE */

	return (((wanted & GUEST_CR4_BITS) | base) & c->cr4_fixed1) | c->cr4_fixed0;
}
