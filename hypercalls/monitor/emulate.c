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

#include "hypercalls/monitor/cpuid.h"
#include "hypercalls/monitor/decode.h"

static const uint8_t forced_prefix[5] = {0x0f, 0x0b, 'x', 'e', 'n'};

/*
 * The instruction is a VM exit where the host is itself a guest, and a program's start runs dozens
 * of them: what was answered once is kept. An entry belongs to whoever takes it first.
 */
static void cpuid_machine(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	enum { FREE, TAKEN, KEPT };
	static struct {
		int state;
		uint32_t leaf, sub, r[4];
	} kept[64];
	typeof(&kept[0]) k = &kept[(leaf ^ leaf >> 26 ^ sub << 4) % 64];
	int state = __atomic_load_n(&k->state, __ATOMIC_ACQUIRE);

	if (state == KEPT && k->leaf == leaf && k->sub == sub) {
		memcpy(r, k->r, sizeof(k->r));
		return;
	}
	__cpuid_count(leaf, sub, r[0], r[1], r[2], r[3]);
	if (state != FREE || !__atomic_compare_exchange_n(&k->state, &state, TAKEN, false,
							  __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return;
	k->leaf = leaf;
	k->sub = sub;
	memcpy(k->r, r, sizeof(k->r));
	__atomic_store_n(&k->state, KEPT, __ATOMIC_RELEASE);
}

/* The machine's CPU as far as the provider gives it to guests. */
static void cpuid_host(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	cpuid_machine(leaf, sub, r);
	if (!the_domain->provider->plain_cpu)
		return;
	switch (leaf) {
	case 7:
		r[1] &= ~0xdc234810U; /* HLE RTM MPX, AVX512 F DQ IFMA PF ER CD BW VL */
		r[2] &= ~0x00005842U; /* AVX512 VBMI VBMI2 VNNI BITALG VPOPCNTDQ */
		r[3] &= ~0x0080010cU; /* AVX512 4VNNIW 4FMAPS VP2INTERSECT FP16 */
		break;
	case 0xd:
		if (!sub)
			r[0] &= ~0xf8U;
		break;
	case 0x80000001:
		r[2] &= ~0x00210800U; /* XOP FMA4 TBM */
		break;
	}
}

/* The bare instruction knows what the guest's CR4 says; the prefixed one says what could be on. */
void guest_cpuid(const struct vcpu *v, uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	cpuid_guest(cpuid_host, v->id, v->xcr0, leaf, sub, r);
	if (leaf == 1 && !(v->cr4 & CR4_OSXSAVE))
		r[2] &= ~CPUID_OSXSAVE;
}

static void emulate_cpuid(struct vcpu *v)
{
	uint32_t r[4];

	cpuid_guest(cpuid_host, v->id, v->xcr0, v->regs.rax, v->regs.rcx, r);
	v->regs.rax = r[0];
	v->regs.rbx = r[1];
	v->regs.rcx = r[2];
	v->regs.rdx = r[3];
}

/*
 * The CPU keeps all states the host has on; the guest's choice is what it is told the areas'
 * sizes for.
 */
static bool emulate_xsetbv(struct vcpu *v)
{
	const uint64_t val = (uint32_t)v->regs.rax | v->regs.rdx << 32;

	if ((uint32_t)v->regs.rcx || !xcr0_valid(cpuid_host, val))
		return false;
	v->xcr0 = val;
	return true;
}

static bool emulate_rdmsr(struct vcpu *v)
{
	uint64_t val;

	if (!msr_read(v, v->regs.rcx, &val))
		return false;
	v->regs.rax = (uint32_t)val;
	v->regs.rdx = val >> 32;
	return true;
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
	case 4:
		v->cr4 = cr4_guest(val);
		if (v->d->provider->load_tables)
			v->d->provider->load_tables(v);
		return true;
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
	case ZYDIS_MNEMONIC_WRMSR:
		return msr_write(v, v->regs.rcx, (uint32_t)v->regs.rax | v->regs.rdx << 32);
	case ZYDIS_MNEMONIC_CPUID: emulate_cpuid(v); return true;
	case ZYDIS_MNEMONIC_XSETBV: return emulate_xsetbv(v);
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

/* Another name without CR4.DE (traps.c); with it no name at all. */
static bool is_no_debugreg(const struct vcpu *v, const struct insn *n)
{
	for (unsigned k = 0; k < 2 && n->i.mnemonic == ZYDIS_MNEMONIC_MOV; k++)
		if (n->op[k].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (n->op[k].reg.value == ZYDIS_REGISTER_DR4 ||
		     n->op[k].reg.value == ZYDIS_REGISTER_DR5))
			return v->cr4 & CR4_DE;
	return false;
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
	if ((n.i.mnemonic == ZYDIS_MNEMONIC_XSETBV && !(v->cr4 & CR4_OSXSAVE)) ||
	    is_no_debugreg(v, &n)) {
		trap_deliver(v, VECTOR_UD, -1);
		return true;
	}
	if (!emulate_one(v, &n.i, n.op))
		return false;
	insn_done(v, skip + n.i.length);
	return true;
}
