/* SPDX-License-Identifier: MIT */
/*
 * Privileged instructions of a guest kernel, decoded with Zydis and carried out as Xen does for
 * a PV domU: control registers, MSRs, CPUID behind the forced-emulation prefix, port I/O by
 * virtual IOPL, CLI/STI, CLTS. What is not in here is the guest's own #GP or #UD.
 *
 * Runs only from a trap, where the host kernel has already saved the guest's vector registers,
 * so Zydis may use them.
 */
#include <cpuid.h>
#include <Zydis/Zydis.h>

#include "hypercalls/monitor/monitor.h"

#define MSR_EFER	   0xc0000080
#define MSR_FS_BASE	   0xc0000100
#define MSR_GS_BASE	   0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_PAT		   0x277
#define EFER_PV		   0xd01 /* SCE, LME, LMA, NXE: what a 64-bit PV kernel runs under */
#define XEN_PAT		   0x050100070406UL /* Xen's fixed PAT layout */

#define CR0_TS 8UL

static const uint8_t forced_prefix[5] = {0x0f, 0x0b, 'x', 'e', 'n'};

/* The user_regs member that a 64-bit general register lives in, or NULL. */
static uint64_t *gpr(regs_t *r, ZydisRegister reg)
{
	switch (ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg)) {
	case ZYDIS_REGISTER_RAX: return &r->rax;
	case ZYDIS_REGISTER_RCX: return &r->rcx;
	case ZYDIS_REGISTER_RDX: return &r->rdx;
	case ZYDIS_REGISTER_RBX: return &r->rbx;
	case ZYDIS_REGISTER_RSP: return &r->rsp;
	case ZYDIS_REGISTER_RBP: return &r->rbp;
	case ZYDIS_REGISTER_RSI: return &r->rsi;
	case ZYDIS_REGISTER_RDI: return &r->rdi;
	case ZYDIS_REGISTER_R8: return &r->r8;
	case ZYDIS_REGISTER_R9: return &r->r9;
	case ZYDIS_REGISTER_R10: return &r->r10;
	case ZYDIS_REGISTER_R11: return &r->r11;
	case ZYDIS_REGISTER_R12: return &r->r12;
	case ZYDIS_REGISTER_R13: return &r->r13;
	case ZYDIS_REGISTER_R14: return &r->r14;
	case ZYDIS_REGISTER_R15: return &r->r15;
	default: return NULL;
	}
}

/* Leaves as a PV guest of this machine sees them: Xen's own at 0x40000000, no VMX, no MONITOR. */
static void emulate_cpuid(regs_t *r)
{
	uint32_t leaf = r->rax, sub = r->rcx, a = 0, b = 0, c = 0, d = 0;

	switch (leaf) {
	case 0x40000000:
		a = 0x40000002;
		b = 0x566e6558; /* "XenVMMXenVMM" */
		c = 0x65584d4d;
		d = 0x4d4d566e;
		break;
	case 0x40000001: a = 4 << 16 | 17; break;
	case 0x40000002:
		a = 1; /* hypercall pages */
		b = 0x40000000;
		break;
	default:
		if (leaf >= 0x40000000 && leaf < 0x40010000)
			break;
		__cpuid_count(leaf, sub, a, b, c, d);
		if (leaf == 1) {
			/* MONITOR, VMX, SMX, PCID, TSC-deadline; it is a guest */
			c &= ~(1U << 3 | 1U << 5 | 1U << 6 | 1U << 17 | 1U << 24);
			c |= 1U << 31;
			/* VME, PSE, MTRR, PGE, PSE36: Xen has these only for HVM */
			d &= ~(1U << 1 | 1U << 3 | 1U << 12 | 1U << 13 | 1U << 17);
		}
		if (leaf == 7 && !sub) {
			b &= ~(1U << 7 | 1U << 10 | 1U << 20); /* SMEP, INVPCID, SMAP */
			c &= ~(1U << 2 | 1U << 3 | 1U << 4);   /* UMIP, PKU, OSPKE */
		}
		if (leaf == 0x80000001)
			c &= ~(1U << 2); /* SVM */
		break;
	}
	r->rax = a;
	r->rbx = b;
	r->rcx = c;
	r->rdx = d;
}

static bool emulate_rdmsr(struct vcpu *v)
{
	uint64_t val;

	switch ((uint32_t)v->regs.rcx) {
	case MSR_EFER: val = EFER_PV; break;
	case MSR_PAT: val = XEN_PAT; break;
	case MSR_FS_BASE: val = v->fs_base; break;
	case MSR_GS_BASE: val = v->gs_base_kernel; break;
	case MSR_KERNEL_GS_BASE: val = v->gs_base_user; break;
	default: return false;
	}
	v->regs.rax = (uint32_t)val;
	v->regs.rdx = val >> 32;
	return true;
}

static bool emulate_wrmsr(struct vcpu *v)
{
	uint64_t val = (uint32_t)v->regs.rax | v->regs.rdx << 32;
	unsigned which;

	switch ((uint32_t)v->regs.rcx) {
	case MSR_FS_BASE: which = SEGBASE_FS; break;
	case MSR_GS_BASE: which = SEGBASE_GS_KERNEL; break;
	case MSR_KERNEL_GS_BASE: which = SEGBASE_GS_USER; break;
	case MSR_EFER: return val == EFER_PV;
	default: return false;
	}
	return do_set_segment_base(v, which, val, 0, 0, 0) == 0;
}

static bool read_cr(struct vcpu *v, unsigned cr, uint64_t *val)
{
	switch (cr) {
	case 0: *val = v->cr0; return true;
	case 2: *val = v->info ? v->info->arch.cr2 : v->cr2; return true;
	case 3: *val = v->cr3_mfn << PAGE_SHIFT; return true;
	case 4: *val = v->cr4; return true;
	default: return false;
	}
}

static bool write_cr(struct vcpu *v, unsigned cr, uint64_t val)
{
	int rc;

	switch (cr) {
	case 0: /* only TS is the guest's */
		if ((val ^ v->cr0) & ~CR0_TS)
			return false;
		do_fpu_taskswitch(v, !!(val & CR0_TS), 0, 0, 0, 0);
		return true;
	case 2:
		v->cr2 = val;
		if (v->info)
			v->info->arch.cr2 = val;
		return true;
	case 3:
		pthread_mutex_lock(&v->d->lock);
		rc = root_load(v, val >> PAGE_SHIFT);
		pthread_mutex_unlock(&v->d->lock);
		return rc == 0;
	case 4: return val == v->cr4;
	default: return false;
	}
}

/* As far as IOPL is concerned a guest kernel runs in ring 1, or 0 if it asked for that. */
static bool iopl_ok(const struct vcpu *v)
{
	const bool ring0 = v->d->vm_assist >> VMASST_TYPE_architectural_iopl & 1;

	return v->iopl >= (v->kernel_mode ? !ring0 : 3);
}

/* What a user program may do as well. */
static bool by_iopl(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_IN || m == ZYDIS_MNEMONIC_OUT || m == ZYDIS_MNEMONIC_CLI ||
	       m == ZYDIS_MNEMONIC_STI;
}

/* A port that no one gave the domain: reads are all ones, writes vanish. */
static bool emulate_port_read(struct vcpu *v, unsigned bits)
{
	if (!iopl_ok(v))
		return false;
	if (bits == 8)
		v->regs.rax |= 0xff;
	else if (bits == 16)
		v->regs.rax |= 0xffff;
	else
		v->regs.rax = 0xffffffff;
	return true;
}

static bool emulate_mov(struct vcpu *v, const ZydisDecodedOperand *ops)
{
	ZydisRegister dst = ops[0].reg.value, src = ops[1].reg.value;
	uint64_t *reg, val = 0;

	if (src >= ZYDIS_REGISTER_CR0 && src <= ZYDIS_REGISTER_CR15) {
		reg = gpr(&v->regs, dst);
		if (!reg || !read_cr(v, src - ZYDIS_REGISTER_CR0, &val))
			return false;
		*reg = val;
		return true;
	}
	if (dst >= ZYDIS_REGISTER_CR0 && dst <= ZYDIS_REGISTER_CR15) {
		reg = gpr(&v->regs, src);
		return reg && write_cr(v, dst - ZYDIS_REGISTER_CR0, *reg);
	}
	if (src >= ZYDIS_REGISTER_DR0 && src <= ZYDIS_REGISTER_DR15) {
		reg = gpr(&v->regs, dst);
		if (!reg || src > ZYDIS_REGISTER_DR7)
			return false;
		*reg = do_get_debugreg(v, src - ZYDIS_REGISTER_DR0, 0, 0, 0, 0);
		return true;
	}
	if (dst >= ZYDIS_REGISTER_DR0 && dst <= ZYDIS_REGISTER_DR7) {
		reg = gpr(&v->regs, src);
		return reg && !do_set_debugreg(v, dst - ZYDIS_REGISTER_DR0, *reg, 0, 0, 0);
	}
	return false;
}

static bool emulate_one(struct vcpu *v, const ZydisDecodedInstruction *i,
			const ZydisDecodedOperand *ops)
{
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_MOV: return emulate_mov(v, ops);
	case ZYDIS_MNEMONIC_RDMSR: return emulate_rdmsr(v);
	case ZYDIS_MNEMONIC_WRMSR: return emulate_wrmsr(v);
	case ZYDIS_MNEMONIC_CPUID: emulate_cpuid(&v->regs); return true;
	case ZYDIS_MNEMONIC_CLTS: do_fpu_taskswitch(v, 0, 0, 0, 0, 0); return true;
	case ZYDIS_MNEMONIC_CLI:
	case ZYDIS_MNEMONIC_STI: /* the virtual flag is upcall_mask: with IOPL, no effect */
		return iopl_ok(v);
	case ZYDIS_MNEMONIC_IN: return emulate_port_read(v, ops[0].size);
	case ZYDIS_MNEMONIC_OUT: return iopl_ok(v);
	case ZYDIS_MNEMONIC_WBINVD: return true;
	default: return false;
	}
}

/* Up to 15 bytes at rip; fewer when the next page is not mapped. Returns how many. */
static size_t fetch(struct vcpu *v, uint8_t buf[15])
{
	uint64_t rip = v->regs.rip;
	size_t n = PAGE_SIZE - (rip & (PAGE_SIZE - 1));

	if (!copy_from_guest(v, buf, rip, 15))
		return 15;
	if (n > 15 || copy_from_guest(v, buf, rip, n))
		return 0;
	return n;
}

bool emulate_privileged(struct vcpu *v, unsigned vector, uint64_t error)
{
	ZydisDecoder decoder;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	uint8_t buf[15];
	size_t n, skip = 0;

	if (vector == 13 && error)
		return false;
	if (v->d->provider->save_segments)
		v->d->provider->save_segments(v);
	n = fetch(v, buf);
	if (vector == 6) {
		for (unsigned i = 0; i < sizeof(forced_prefix); i++)
			if (n < sizeof(forced_prefix) + 2 || buf[i] != forced_prefix[i])
				return false;
		skip = sizeof(forced_prefix);
	}
	if (!ZYAN_SUCCESS(
		    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
	    !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, buf + skip, n - skip, &insn, ops)))
		return false;
	/* The prefix asks for CPUID alone. */
	if (skip && insn.mnemonic != ZYDIS_MNEMONIC_CPUID)
		return false;
	if (vector == 13 && !v->kernel_mode && !by_iopl(insn.mnemonic))
		return false;
	if (!emulate_one(v, &insn, ops))
		return false;
	v->regs.rip += skip + insn.length;
	v->regs.rflags &= ~0x10000UL; /* RF */
	if (v->regs.rflags & 0x100) { /* TF */
		v->debugreg[6] |= DR6_BS;
		trap_deliver(v, 1, -1);
	}
	return true;
}
