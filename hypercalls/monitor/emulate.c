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

#include "hypercalls/monitor/decode.h"

#define MSR_EFER	   0xc0000080
#define MSR_FS_BASE	   0xc0000100
#define MSR_GS_BASE	   0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_PAT		   0x277
#define EFER_PV		   0xd01 /* SCE, LME, LMA, NXE: what a 64-bit PV kernel runs under */
#define XEN_PAT		   0x050100070406UL /* Xen's fixed PAT layout */

#define CR0_TS 8UL

static const uint8_t forced_prefix[5] = {0x0f, 0x0b, 'x', 'e', 'n'};

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
		reg = insn_gpr(&v->regs, dst);
		if (!reg || !read_cr(v, src - ZYDIS_REGISTER_CR0, &val))
			return false;
		*reg = val;
		return true;
	}
	if (dst >= ZYDIS_REGISTER_CR0 && dst <= ZYDIS_REGISTER_CR15) {
		reg = insn_gpr(&v->regs, src);
		return reg && write_cr(v, dst - ZYDIS_REGISTER_CR0, *reg);
	}
	if (src >= ZYDIS_REGISTER_DR0 && src <= ZYDIS_REGISTER_DR15) {
		reg = insn_gpr(&v->regs, dst);
		if (!reg || src > ZYDIS_REGISTER_DR7)
			return false;
		*reg = do_get_debugreg(v, src - ZYDIS_REGISTER_DR0, 0, 0, 0, 0);
		return true;
	}
	if (dst >= ZYDIS_REGISTER_DR0 && dst <= ZYDIS_REGISTER_DR7) {
		reg = insn_gpr(&v->regs, src);
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

bool emulate_privileged(struct vcpu *v, unsigned vector, uint64_t error)
{
	struct insn n;
	size_t skip = 0;

	if (vector == 13 && error)
		return false;
	if (v->d->provider->save_segments)
		v->d->provider->save_segments(v);
	insn_fetch(v, &n);
	if (vector == 6) {
		for (unsigned i = 0; i < sizeof(forced_prefix); i++)
			if (n.bytes < sizeof(forced_prefix) + 2 || n.byte[i] != forced_prefix[i])
				return false;
		skip = sizeof(forced_prefix);
	}
	if (!insn_decode(&n, skip))
		return false;
	/* The prefix asks for CPUID alone. */
	if (skip && n.i.mnemonic != ZYDIS_MNEMONIC_CPUID)
		return false;
	if (vector == 13 && !v->kernel_mode && !by_iopl(n.i.mnemonic))
		return false;
	if (!emulate_one(v, &n.i, n.op))
		return false;
	insn_done(v, skip + n.i.length);
	return true;
}
