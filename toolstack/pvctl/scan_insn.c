/* SPDX-License-Identifier: MIT */
/*
 * What becomes of each sensitive instruction in a PV guest's kernel, which runs in ring 3, and what
 * the PV ABI has in its place. The severity is that of a kernel with I/O privilege of its own
 * (PHYSDEVOP_set_iopl with 1, as Linux sets it): without it CLI, STI, IN and OUT fault. Intel SDM
 * vol. 2; Xen's public headers; hypercalls/monitor/emulate.c. Where Xen and Pavane differ, the
 * worse of the two.
 */
#include "toolstack/pvctl/scan.h"

enum rule {
	R_NONE,
	R_CLI,
	R_STI,
	R_PUSHF,
	R_POPF,
	R_HLT,
	R_IRET,
	R_SYSRET,
	R_SYSEXIT,
	R_SYSCALL,
	R_SYSENTER,
	R_INT,
	R_SWAPGS,
	R_LGDT,
	R_LIDT,
	R_LLDT,
	R_LTR,
	R_LMSW,
	R_CLTS,
	R_SGDT,
	R_SIDT,
	R_SLDT,
	R_STR,
	R_SMSW,
	R_LAR,
	R_LSL,
	R_VERR,
	R_VERW,
	R_RDMSR,
	R_WRMSR,
	R_RDPMC,
	R_RDTSC,
	R_CPUID,
	R_INVLPG,
	R_INVPCID,
	R_INVD,
	R_WBINVD,
	R_MOV_CR0,
	R_MOV_CR2,
	R_MOV_CR3,
	R_MOV_CR4,
	R_MOV_CR8,
	R_MOV_DR,
	R_IN,
	R_INS,
	R_SMAP,
	R_MWAIT,
	R_XSETBV,
	R_XSAVES,
	R_VIRT,
	R_RING0,
	R_FSGSBASE,
	R_SEGMENT,
	R_FAR,
};

static const struct scan_rule rules[] = {
	[R_CLI] = {"cli", SCAN_SILENT, "no effect (#GP while the I/O privilege level is 0)",
		   "vcpu_info.evtchn_upcall_mask = 1"},
	[R_STI] = {"sti", SCAN_SILENT, "no effect (#GP while the I/O privilege level is 0)",
		   "evtchn_upcall_mask = 0; if evtchn_upcall_pending: any hypercall"},
	[R_PUSHF] = {"pushf", SCAN_SILENT, "IF is always 1, IOPL is not the guest's",
		     "read vcpu_info.evtchn_upcall_mask"},
	[R_POPF] = {"popf", SCAN_SILENT, "IF and IOPL stay as they are, without a fault",
		    "write vcpu_info.evtchn_upcall_mask, as for sti"},
	[R_HLT] = {"hlt", SCAN_FAULTS, "#GP", "HYPERVISOR_sched_op(SCHEDOP_block)"},
	[R_IRET] = {"iret", SCAN_SILENT,
		    "stays in ring 3 and loads no IF; #GP for a selector of another ring",
		    "HYPERVISOR_iret"},
	[R_SYSRET] = {"sysret", SCAN_FAULTS, "#GP", "HYPERVISOR_iret with VGCF_in_syscall"},
	[R_SYSEXIT] = {"sysexit", SCAN_FAULTS, "#GP", "HYPERVISOR_iret"},
	[R_SYSCALL] = {"syscall", SCAN_NOTE, "a hypercall when the kernel issues it",
		       "the hypercall page"},
	[R_SYSENTER] = {"sysenter", SCAN_NOTE, "enters Xen, which calls CALLBACKTYPE_sysenter",
			"HYPERVISOR_callback_op"},
	[R_INT] = {"int", SCAN_NOTE, "by the guest's trap table, if the entry's DPL allows",
		   "HYPERVISOR_set_trap_table"},
	[R_SWAPGS] = {"swapgs", SCAN_FAULTS, "#GP",
		      "nothing: Xen swaps; HYPERVISOR_set_segment_base(SEGBASE_GS_USER)"},
	[R_LGDT] = {"lgdt", SCAN_FAULTS, "#GP", "HYPERVISOR_set_gdt, update_descriptor"},
	[R_LIDT] = {"lidt", SCAN_FAULTS, "#GP", "HYPERVISOR_set_trap_table"},
	[R_LLDT] = {"lldt", SCAN_FAULTS, "#GP", "HYPERVISOR_mmuext_op(MMUEXT_SET_LDT)"},
	[R_LTR] = {"ltr", SCAN_FAULTS, "#GP", "HYPERVISOR_stack_switch"},
	[R_LMSW] = {"lmsw", SCAN_FAULTS, "#GP", "HYPERVISOR_fpu_taskswitch"},
	[R_CLTS] = {"clts", SCAN_EMULATED, "carried out after a trap",
		    "HYPERVISOR_fpu_taskswitch(0)"},
	[R_SGDT] = {"sgdt", SCAN_SILENT, "stores Xen's table, not the guest's",
		    "remember what HYPERVISOR_set_gdt was given"},
	[R_SIDT] = {"sidt", SCAN_SILENT, "stores Xen's table, not the guest's",
		    "remember what HYPERVISOR_set_trap_table was given"},
	[R_SLDT] = {"sldt", SCAN_SILENT, "stores Xen's selector, not the guest's",
		    "remember what MMUEXT_SET_LDT was given"},
	[R_STR] = {"str", SCAN_SILENT, "stores Xen's selector: a guest has no TSS",
		   "HYPERVISOR_vcpu_op or the vCPU's own data"},
	[R_SMSW] = {"smsw", SCAN_SILENT, "stores the CPU's CR0, not the guest's",
		    "remember what HYPERVISOR_fpu_taskswitch was given"},
	[R_LAR] = {"lar", SCAN_SILENT, "answers for ring 3 and for the DPL that Xen gave",
		   "the guest's own copy of the descriptor"},
	[R_LSL] = {"lsl", SCAN_SILENT, "answers for ring 3 and for the DPL that Xen gave",
		   "the guest's own copy of the descriptor"},
	[R_VERR] = {"verr", SCAN_SILENT, "answers for ring 3 and for the DPL that Xen gave",
		    "the guest's own copy of the descriptor"},
	[R_VERW] = {"verw", SCAN_NOTE, "answers for ring 3; clears CPU buffers as ever",
		    "nothing, when it is there to clear buffers"},
	[R_RDMSR] = {"rdmsr", SCAN_EMULATED, "a few registers after a trap, #GP for all others",
		     "HYPERVISOR_platform_op, or what the ABI has for the purpose"},
	[R_WRMSR] = {"wrmsr", SCAN_EMULATED, "a few registers after a trap, #GP for all others",
		     "HYPERVISOR_set_segment_base, callback_op"},
	[R_RDPMC] = {"rdpmc", SCAN_FAULTS, "#GP", "HYPERVISOR_xenpmu_op where Xen offers it"},
	[R_RDTSC] = {"rdtsc", SCAN_NOTE, "the host's counter, which may jump or change its speed",
		     "vcpu_time_info with its version, scale and shift"},
	[R_CPUID] = {"cpuid", SCAN_SILENT, "answers for the host on CPUs that cannot fault it",
		     "XEN_CPUID: ud2; .ascii \"xen\"; cpuid"},
	[R_INVLPG] = {"invlpg", SCAN_FAULTS, "#GP",
		      "MMUEXT_INVLPG_LOCAL, or UVMF_INVLPG with update_va_mapping"},
	[R_INVPCID] = {"invpcid", SCAN_FAULTS, "#GP", "MMUEXT_TLB_FLUSH_LOCAL, INVLPG_LOCAL"},
	[R_INVD] = {"invd", SCAN_FAULTS, "#GP", "HYPERVISOR_mmuext_op(MMUEXT_FLUSH_CACHE)"},
	[R_WBINVD] = {"wbinvd", SCAN_EMULATED, "no effect unless the domain has a device",
		      "HYPERVISOR_mmuext_op(MMUEXT_FLUSH_CACHE)"},
	[R_MOV_CR0] = {"mov cr0", SCAN_EMULATED, "TS after a trap, #GP for a change of the rest",
		       "HYPERVISOR_fpu_taskswitch"},
	[R_MOV_CR2] = {"mov cr2", SCAN_EMULATED, "carried out after a trap", "vcpu_info.arch.cr2"},
	[R_MOV_CR3] = {"mov cr3", SCAN_EMULATED, "carried out after a trap; the value is an MFN's",
		       "HYPERVISOR_mmuext_op(MMUEXT_NEW_BASEPTR)"},
	[R_MOV_CR4] = {"mov cr4", SCAN_EMULATED, "a few bits after a trap, the rest is ignored",
		       "nothing: Xen owns it; HYPERVISOR_vm_assist"},
	[R_MOV_CR8] = {"mov cr8", SCAN_FAULTS, "#GP", "mask event channels"},
	[R_MOV_DR] = {"mov dr", SCAN_EMULATED, "carried out after a trap",
		      "HYPERVISOR_set_debugreg, get_debugreg"},
	[R_IN] = {"in/out", SCAN_EMULATED,
		  "ports that the domain lacks read as ones (#GP at I/O privilege level 0)",
		  "a frontend on grants and event channels"},
	[R_INS] = {"ins/outs", SCAN_FAULTS, "#GP (real Xen emulates it, port by port)",
		   "a frontend on grants and event channels"},
	[R_SMAP] = {"stac/clac", SCAN_FAULTS, "#UD outside ring 0", "nothing: CPUID shows no SMAP"},
	[R_MWAIT] = {"monitor/mwait", SCAN_FAULTS, "#UD outside ring 0",
		     "HYPERVISOR_sched_op(SCHEDOP_block or SCHEDOP_poll)"},
	[R_XSETBV] = {"xsetbv", SCAN_EMULATED, "carried out after a trap",
		      "nothing: once when the kernel starts"},
	[R_XSAVES] = {"xsaves", SCAN_FAULTS, "#GP", "xsave, xsaveopt or xsavec; xrstor"},
	[R_VIRT] = {"vmx/svm", SCAN_FAULTS, "#UD or #GP",
		    "nothing: a PV guest has no virtualization; hypercalls use syscall"},
	[R_RING0] = {"ring 0", SCAN_FAULTS, "#UD or #GP outside ring 0", "nothing"},
	[R_FSGSBASE] = {"fs/gs base", SCAN_NOTE, "works where CPUID shows FSGSBASE",
			"HYPERVISOR_set_segment_base where it does not"},
	[R_SEGMENT] = {"segment register", SCAN_NOTE,
		       "selectors have RPL 3, and name the guest's table as Xen checked it",
		       "SEGBASE_GS_USER_SEL for GS; never test the RPL of CS for the mode"},
	[R_FAR] = {"far branch", SCAN_FAULTS, "#GP unless the selector is of ring 3",
		   "a near branch, or HYPERVISOR_iret"},
};

#define M(name) [ZYDIS_MNEMONIC_##name]

static const uint8_t rule_of[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
	M(CLI) = R_CLI,
	M(STI) = R_STI,
	M(PUSHF) = R_PUSHF,
	M(PUSHFD) = R_PUSHF,
	M(PUSHFQ) = R_PUSHF,
	M(POPF) = R_POPF,
	M(POPFD) = R_POPF,
	M(POPFQ) = R_POPF,
	M(HLT) = R_HLT,
	M(IRET) = R_IRET,
	M(IRETD) = R_IRET,
	M(IRETQ) = R_IRET,
	M(SYSRET) = R_SYSRET,
	M(SYSEXIT) = R_SYSEXIT,
	M(SYSCALL) = R_SYSCALL,
	M(SYSENTER) = R_SYSENTER,
	M(INT) = R_INT,
	M(SWAPGS) = R_SWAPGS,
	M(LGDT) = R_LGDT,
	M(LIDT) = R_LIDT,
	M(LLDT) = R_LLDT,
	M(LTR) = R_LTR,
	M(LMSW) = R_LMSW,
	M(CLTS) = R_CLTS,
	M(SGDT) = R_SGDT,
	M(SIDT) = R_SIDT,
	M(SLDT) = R_SLDT,
	M(STR) = R_STR,
	M(SMSW) = R_SMSW,
	M(LAR) = R_LAR,
	M(LSL) = R_LSL,
	M(VERR) = R_VERR,
	M(VERW) = R_VERW,
	M(RDMSR) = R_RDMSR,
	M(WRMSR) = R_WRMSR,
	M(RDPMC) = R_RDPMC,
	M(RDTSC) = R_RDTSC,
	M(RDTSCP) = R_RDTSC,
	M(CPUID) = R_CPUID,
	M(INVLPG) = R_INVLPG,
	M(INVPCID) = R_INVPCID,
	M(INVD) = R_INVD,
	M(WBINVD) = R_WBINVD,
	M(IN) = R_IN,
	M(OUT) = R_IN,
	M(INSB) = R_INS,
	M(INSW) = R_INS,
	M(INSD) = R_INS,
	M(OUTSB) = R_INS,
	M(OUTSW) = R_INS,
	M(OUTSD) = R_INS,
	M(STAC) = R_SMAP,
	M(CLAC) = R_SMAP,
	M(MONITOR) = R_MWAIT,
	M(MWAIT) = R_MWAIT,
	M(XSETBV) = R_XSETBV,
	M(XSAVES) = R_XSAVES,
	M(XSAVES64) = R_XSAVES,
	M(XRSTORS) = R_XSAVES,
	M(XRSTORS64) = R_XSAVES,
	M(VMCALL) = R_VIRT,
	M(VMCLEAR) = R_VIRT,
	M(VMFUNC) = R_VIRT,
	M(VMLAUNCH) = R_VIRT,
	M(VMRESUME) = R_VIRT,
	M(VMPTRLD) = R_VIRT,
	M(VMPTRST) = R_VIRT,
	M(VMREAD) = R_VIRT,
	M(VMWRITE) = R_VIRT,
	M(VMXON) = R_VIRT,
	M(VMXOFF) = R_VIRT,
	M(INVEPT) = R_VIRT,
	M(INVVPID) = R_VIRT,
	M(VMRUN) = R_VIRT,
	M(VMLOAD) = R_VIRT,
	M(VMSAVE) = R_VIRT,
	M(VMMCALL) = R_VIRT,
	M(STGI) = R_VIRT,
	M(CLGI) = R_VIRT,
	M(SKINIT) = R_VIRT,
	M(INVLPGA) = R_VIRT,
	M(TDCALL) = R_VIRT,
	M(SEAMCALL) = R_VIRT,
	M(SEAMRET) = R_VIRT,
	M(SEAMOPS) = R_VIRT,
	M(INVLPGB) = R_RING0,
	M(TLBSYNC) = R_RING0,
	M(PSMASH) = R_RING0,
	M(PVALIDATE) = R_RING0,
	M(RMPADJUST) = R_RING0,
	M(RMPUPDATE) = R_RING0,
	M(ENCLS) = R_RING0,
	M(ENCLV) = R_RING0,
	M(GETSEC) = R_RING0,
	M(RSM) = R_RING0,
	M(PCONFIG) = R_RING0,
	M(ENQCMDS) = R_RING0,
	M(HRESET) = R_RING0,
	M(SETSSBSY) = R_RING0,
	M(CLRSSBSY) = R_RING0,
	M(WRUSSD) = R_RING0,
	M(WRUSSQ) = R_RING0,
	M(RDFSBASE) = R_FSGSBASE,
	M(RDGSBASE) = R_FSGSBASE,
	M(WRFSBASE) = R_FSGSBASE,
	M(WRGSBASE) = R_FSGSBASE,
	M(LSS) = R_SEGMENT,
	M(LFS) = R_SEGMENT,
	M(LGS) = R_SEGMENT,
};

_Static_assert(sizeof(rules) / sizeof(rules[0]) == R_FAR + 1, "one rule each");
_Static_assert(R_FAR < SCAN_RULES, "room for all");

static enum rule mov_rule(const ZydisDecodedInstruction *i)
{
	const unsigned cr = i->raw.modrm.reg | (i->raw.rex.R & 1) << 3;

	if (i->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT)
		return i->opcode == 0x8c || i->opcode == 0x8e ? R_SEGMENT : R_NONE;
	if (i->opcode_map != ZYDIS_OPCODE_MAP_0F)
		return R_NONE;
	if (i->opcode == 0x21 || i->opcode == 0x23)
		return R_MOV_DR;
	if (i->opcode != 0x20 && i->opcode != 0x22)
		return R_NONE;
	switch (cr) {
	case 0: return R_MOV_CR0;
	case 2: return R_MOV_CR2;
	case 3: return R_MOV_CR3;
	case 4: return R_MOV_CR4;
	default: return R_MOV_CR8;
	}
}

/* FS and GS, all that 64-bit code can push and pop. */
static bool push_segment(const ZydisDecodedInstruction *i)
{
	return i->opcode_map == ZYDIS_OPCODE_MAP_0F &&
	       (i->opcode == 0xa0 || i->opcode == 0xa1 || i->opcode == 0xa8 || i->opcode == 0xa9);
}

const struct scan_rule *scan_rule(const ZydisDecodedInstruction *i)
{
	enum rule r = R_NONE;

	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_MOV: r = mov_rule(i); break;
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_POP: r = push_segment(i) ? R_SEGMENT : R_NONE; break;
	case ZYDIS_MNEMONIC_JMP:
	case ZYDIS_MNEMONIC_CALL:
	case ZYDIS_MNEMONIC_RET:
		r = i->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR ? R_FAR : R_NONE;
		break;
	default:
		if (i->mnemonic <= ZYDIS_MNEMONIC_MAX_VALUE)
			r = rule_of[i->mnemonic];
	}
	return r ? &rules[r] : NULL;
}

const char *scan_severity_name(enum severity s)
{
	static const char *const names[] = {"note", "emulated", "faults", "silent"};

	return names[s];
}
