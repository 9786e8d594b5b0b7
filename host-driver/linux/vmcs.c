// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every field of a VMCS is written here, with its reason, but for the few that change with each
 * run (vcpu.c). Names and encodings: SDM vol. 3, appendix B.
 */
#include <linux/gfp.h>

#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/segment.h>
#include <asm/vmx.h>

#include "compat.h"
#include "driver.h"

/* Access rights (SDM vol. 3, 25.4.1). */
#define AR_CODE64   0xa09b /* present, code, read, accessed; 64-bit, granular */
#define AR_DATA	    0xc093 /* present, data, written, accessed; 32-bit, granular */
#define AR_TSS	    0x008b /* present, busy 64-bit TSS */
#define AR_UNUSABLE 0x10000

void vmcs_write_failed(unsigned long field, u64 value)
{
	WARN_ONCE(1, "pvhost: vmwrite of %llx to field %lx fails: error %llu\n", value, field,
		  vmcs_read(VM_INSTRUCTION_ERROR));
}

/*
 * Reads and writes of three MSRs pass: FS and GS base are in the VMCS, the kernel's GS base is
 * switched with the vCPU. All others exit. (SDM vol. 3, 25.6.9: a bit for each MSR, four parts.)
 */
static u8 *msr_bitmap;

int vmcs_module_init(void)
{
	static const u32 pass[] = {MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE};
	unsigned int i;

	msr_bitmap = (u8 *)__get_free_page(GFP_KERNEL);
	if (!msr_bitmap)
		return -ENOMEM;
	memset(msr_bitmap, 0xff, PAGE_SIZE);
	for (i = 0; i < ARRAY_SIZE(pass); i++) {
		const u32 bit = pass[i] & 0x1fff;

		msr_bitmap[0x400 + bit / 8] &= ~(1 << (bit & 7)); /* reads, high MSRs */
		msr_bitmap[0xc00 + bit / 8] &= ~(1 << (bit & 7)); /* writes, high MSRs */
	}
	return 0;
}

void vmcs_module_exit(void)
{
	free_page((unsigned long)msr_bitmap);
}

static void init_host(void)
{
	vmcs_write(HOST_CR0, read_cr0());
	vmcs_write(HOST_CS_SELECTOR, __KERNEL_CS);
	vmcs_write(HOST_SS_SELECTOR, __KERNEL_DS);
	/* PVHOST_RUN refuses threads that have anything else in these. */
	vmcs_write(HOST_DS_SELECTOR, 0);
	vmcs_write(HOST_ES_SELECTOR, 0);
	vmcs_write(HOST_FS_SELECTOR, 0);
	vmcs_write(HOST_GS_SELECTOR, 0);
	vmcs_write(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	vmcs_write(HOST_RIP, (u64)pvhost_exit);
}

static void init_controls(const struct vcpu *v)
{
	vmcs_write(PIN_BASED_VM_EXEC_CONTROL, vmx.pin);
	vmcs_write(CPU_BASED_VM_EXEC_CONTROL, vmx.proc);
	vmcs_write(SECONDARY_VM_EXEC_CONTROL,
		   v->vpid ? vmx.proc2 : vmx.proc2 & ~SECONDARY_EXEC_ENABLE_VPID);
	vmcs_write(VM_EXIT_CONTROLS, vmx.exit);
	vmcs_write(VM_ENTRY_CONTROLS, vmx.entry);
	/*
	 * Machine checks are the host's. #DB and #AC can be made to recur for ever inside one
	 * instruction (CVE-2015-8104, CVE-2015-5307): by way of an exit interrupts get a chance.
	 */
	vmcs_write(EXCEPTION_BITMAP, BIT(1) | BIT(17) | BIT(18));
	vmcs_write(PAGE_FAULT_ERROR_CODE_MASK, 0);
	vmcs_write(PAGE_FAULT_ERROR_CODE_MATCH, 0);
	vmcs_write(CR3_TARGET_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_STORE_COUNT, 0);
	vmcs_write(VM_EXIT_MSR_LOAD_COUNT, 0);
	vmcs_write(VM_ENTRY_MSR_LOAD_COUNT, 0);
	vmcs_write(MSR_BITMAP, __pa(msr_bitmap));
	if (vmx.proc2 & SECONDARY_EXEC_ENCLS_EXITING)
		vmcs_write(ENCLS_EXITING_BITMAP, ~0ULL);
	vmcs_write(EPT_POINTER, ept_pointer(&v->vm->ept));
	if (v->vpid)
		vmcs_write(VIRTUAL_PROCESSOR_ID, v->vpid);
	vmcs_write(VMCS_LINK_POINTER, -1ULL);
	/* A 1 is a bit of the host's: reads come from the shadow, writes that differ exit. */
	vmcs_write(CR0_GUEST_HOST_MASK, ~GUEST_CR0_BITS);
	vmcs_write(CR4_GUEST_HOST_MASK, ~GUEST_CR4_BITS);
}

static void init_guest(void)
{
	/* Null segments; FS and GS have a base all the same. */
	vmcs_write(GUEST_DS_AR_BYTES, AR_UNUSABLE);
	vmcs_write(GUEST_ES_AR_BYTES, AR_UNUSABLE);
	vmcs_write(GUEST_FS_AR_BYTES, AR_UNUSABLE);
	vmcs_write(GUEST_GS_AR_BYTES, AR_UNUSABLE);
	vmcs_write(GUEST_LDTR_AR_BYTES, AR_UNUSABLE);
	vmcs_write(GUEST_TR_AR_BYTES, AR_TSS);
	vmcs_write(GUEST_CS_LIMIT, ~0U);
	vmcs_write(GUEST_SS_LIMIT, ~0U);
	vmcs_write(GUEST_DR7, 0x400); /* no breakpoints: the host's registers would trigger */
	vmcs_write(GUEST_IA32_DEBUGCTL, 0);
	vmcs_write(GUEST_SYSENTER_CS, 0); /* sysenter faults */
	vmcs_write(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	vmcs_write(GUEST_INTERRUPTIBILITY_INFO, 0);
	vmcs_write(GUEST_PENDING_DBG_EXCEPTIONS, 0);
}

void vmcs_init(struct vcpu *v)
{
	struct pvhost_state state = {.cs = 8, .ss = 16, .tr = 24, .tss_limit = 0x67};

	init_host();
	init_controls(v);
	init_guest();
	vmcs_set_state(v, &state);
}

/* Host state of this CPU, which an exit loads. */
void vmcs_host_cpu(void)
{
	const int cpu = smp_processor_id();
	struct desc_ptr idt;
	u64 value;

	store_idt(&idt);
	vmcs_write(HOST_IDTR_BASE, idt.address);
	vmcs_write(HOST_GDTR_BASE, (u64)get_cpu_gdt_ro(cpu));
	vmcs_write(HOST_TR_BASE, (u64)&get_cpu_entry_area(cpu)->tss.x86_tss);
	rdmsrl(MSR_GS_BASE, value);
	vmcs_write(HOST_GS_BASE, value);
	rdmsrl(MSR_IA32_SYSENTER_CS, value);
	vmcs_write(HOST_IA32_SYSENTER_CS, value);
	rdmsrl(MSR_IA32_SYSENTER_ESP, value);
	vmcs_write(HOST_IA32_SYSENTER_ESP, value);
	rdmsrl(MSR_IA32_SYSENTER_EIP, value);
	vmcs_write(HOST_IA32_SYSENTER_EIP, value);
}

/* Host state that may have changed since the thread last ran: PCIDs, CR4 bits, its own FS. */
void vmcs_host_now(void)
{
	u64 fs;

	vmcs_write(HOST_CR3, __read_cr3());
	vmcs_write(HOST_CR4, native_read_cr4());
	rdmsrl(MSR_FS_BASE, fs);
	vmcs_write(HOST_FS_BASE, fs);
}

void vmcs_set_state(struct vcpu *v, struct pvhost_state *s)
{
	const u64 cr0 = controls_cr0(&vmx, s->cr0), cr4 = controls_cr4(&vmx, s->cr4);

	vmcs_write(GUEST_CR0, cr0);
	vmcs_write(CR0_READ_SHADOW, cr0);
	vmcs_write(GUEST_CR3, s->cr3);
	vmcs_write(GUEST_CR4, cr4);
	vmcs_write(CR4_READ_SHADOW, cr4 & ~X86_CR4_VMXE);
	vmcs_write(GUEST_GDTR_BASE, s->gdt_base);
	vmcs_write(GUEST_GDTR_LIMIT, s->gdt_limit);
	vmcs_write(GUEST_IDTR_BASE, s->idt_base);
	vmcs_write(GUEST_IDTR_LIMIT, s->idt_limit);
	vmcs_write(GUEST_TR_BASE, s->tss_base);
	vmcs_write(GUEST_TR_LIMIT, s->tss_limit);
	vmcs_write(GUEST_TR_SELECTOR, s->tr);
	/* The ring is the selector's. */
	vmcs_write(GUEST_CS_SELECTOR, s->cs);
	vmcs_write(GUEST_CS_AR_BYTES, AR_CODE64 | (s->cs & 3) << 5);
	vmcs_write(GUEST_SS_SELECTOR, s->ss);
	vmcs_write(GUEST_SS_AR_BYTES, AR_DATA | (s->ss & 3) << 5);
	vmcs_write(GUEST_FS_BASE, s->fs_base);
	vmcs_write(GUEST_GS_BASE, s->gs_base);
	v->kernel_gs_base = s->kernel_gs_base;
	v->lstar = s->lstar;
	v->star = s->star;
	v->sfmask = s->sfmask;
}

void vmcs_get_state(struct vcpu *v, struct pvhost_state *s)
{
	*s = (struct pvhost_state){
		.cr0 = vmcs_read(GUEST_CR0),
		.cr3 = vmcs_read(GUEST_CR3),
		.cr4 = vmcs_read(GUEST_CR4) & ~X86_CR4_VMXE,
		.gdt_base = vmcs_read(GUEST_GDTR_BASE),
		.gdt_limit = vmcs_read(GUEST_GDTR_LIMIT),
		.idt_base = vmcs_read(GUEST_IDTR_BASE),
		.idt_limit = vmcs_read(GUEST_IDTR_LIMIT),
		.tss_base = vmcs_read(GUEST_TR_BASE),
		.tss_limit = vmcs_read(GUEST_TR_LIMIT),
		.tr = vmcs_read(GUEST_TR_SELECTOR),
		.cs = vmcs_read(GUEST_CS_SELECTOR),
		.ss = vmcs_read(GUEST_SS_SELECTOR),
		.fs_base = vmcs_read(GUEST_FS_BASE),
		.gs_base = vmcs_read(GUEST_GS_BASE),
		.kernel_gs_base = v->kernel_gs_base,
		.lstar = v->lstar,
		.star = v->star,
		.sfmask = v->sfmask,
	};
}
