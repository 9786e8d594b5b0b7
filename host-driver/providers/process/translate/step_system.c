/* SPDX-License-Identifier: MIT */
/* Instructions that the monitor answers, and those that a guest must not meet at all. */
#include <cpuid.h>

#include "host-driver/providers/process/translate/step.h"

#define HYGON_EBX 0x6f677948 /* "Hygo", "uine": AMD's kin */
#define HYGON_ECX 0x656e6975

bool step_syscall32;

void system_init(void)
{
	uint32_t a, b, c, d;

	__cpuid(0, a, b, c, d);
	step_syscall32 = (b == signature_AMD_ebx && c == signature_AMD_ecx) ||
			 (b == HYGON_EBX && c == HYGON_ECX);
}

/* AMD's CPUs have it in 32-bit code, the others do not: programs look at CPUID's vendor. */
static enum outcome system_call32(struct step *s)
{
	regs_t *r = &s->v->regs;

	if (s->v->kernel_mode || !step_syscall32)
		return step_trap(s, VECTOR_UD, 0);
	r->rip = s->next;
	r->rflags &= ~FLAG_RF;
	r->rcx = r->rip;
	r->r11 = r->rflags | FLAG_IF | 2;
	syscall32_deliver(s->v);
	return THERE;
}

void tr_syscall(struct vcpu *v, uint64_t next)
{
	regs_t *r = &v->regs;
	const uint64_t nr = r->rax;
	long ret;

	r->rip = next;
	r->rflags &= ~FLAG_RF;
	r->rcx = r->rip;
	r->r11 = r->rflags | FLAG_IF | 2;
	if (!v->kernel_mode) {
		syscall_deliver(v);
		return;
	}
	ret = hypercall(v, nr, r->rdi, r->rsi, r->rdx, r->r10, r->r8);
	if (nr != __HYPERVISOR_iret)
		r->rax = ret;
}

static enum outcome system_call(struct step *s)
{
	tr_syscall(s->v, s->next);
	return THERE;
}

static enum outcome cpuid(struct step *s)
{
	regs_t *r = &s->v->regs;
	struct fpu_area area;
	uint32_t val[4];

	fpu_keep(&area); /* emulate.c is compiled with vector registers */
	guest_cpuid(s->v, r->rax, r->rcx, val);
	fpu_back(&area);
	r->rax = val[0];
	r->rbx = val[1];
	r->rcx = val[2];
	r->rdx = val[3];
	return NEXT;
}

static enum outcome read_tsc(struct step *s)
{
	const uint64_t tsc = rdtsc();

	if (s->v->cr4 & CR4_TSD && !s->v->kernel_mode)
		return step_trap(s, VECTOR_GP, 0);
	s->v->regs.rax = (uint32_t)tsc;
	s->v->regs.rdx = tsc >> 32;
	return NEXT;
}

/* XCR0, and with 1 what of it is not in its first state: the host may have more on. */
static enum outcome read_xcr(struct step *s)
{
	uint32_t lo = s->v->xcr0, hi = s->v->xcr0 >> 32;

	if ((uint32_t)s->v->regs.rcx > 1)
		return step_trap(s, VECTOR_GP, 0);
	if ((uint32_t)s->v->regs.rcx) {
		asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(1));
		lo &= s->v->xcr0;
		hi &= s->v->xcr0 >> 32;
	}
	s->v->regs.rax = lo;
	s->v->regs.rdx = hi;
	return NEXT;
}

/* What CPUID does not show a guest (cpuid.c) is not there for it; nor what is not in this list. */
static bool in_list(const ZydisDecodedInstruction *i)
{
	if (i->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX ||
	    i->encoding == ZYDIS_INSTRUCTION_ENCODING_MVEX)
		return false;
	switch (i->meta.isa_ext) {
	case ZYDIS_ISA_EXT_ADOX_ADCX:
	case ZYDIS_ISA_EXT_AES:
	case ZYDIS_ISA_EXT_AMD3DNOW:
	case ZYDIS_ISA_EXT_AMD3DNOW_PREFETCH:
	case ZYDIS_ISA_EXT_AVX:
	case ZYDIS_ISA_EXT_AVX2:
	case ZYDIS_ISA_EXT_AVX2GATHER:
	case ZYDIS_ISA_EXT_AVXAES:
	case ZYDIS_ISA_EXT_BASE:
	case ZYDIS_ISA_EXT_BMI1:
	case ZYDIS_ISA_EXT_BMI2:
	case ZYDIS_ISA_EXT_CET: /* as where it is off */
	case ZYDIS_ISA_EXT_CLDEMOTE:
	case ZYDIS_ISA_EXT_CLFLUSHOPT:
	case ZYDIS_ISA_EXT_CLFSH:
	case ZYDIS_ISA_EXT_CLWB:
	case ZYDIS_ISA_EXT_CLZERO:
	case ZYDIS_ISA_EXT_F16C:
	case ZYDIS_ISA_EXT_FMA:
	case ZYDIS_ISA_EXT_GFNI:
	case ZYDIS_ISA_EXT_LONGMODE:
	case ZYDIS_ISA_EXT_LZCNT:
	case ZYDIS_ISA_EXT_MMX:
	case ZYDIS_ISA_EXT_MOVBE:
	case ZYDIS_ISA_EXT_MPX: /* likewise */
	case ZYDIS_ISA_EXT_PAUSE:
	case ZYDIS_ISA_EXT_PCLMULQDQ:
	case ZYDIS_ISA_EXT_PREFETCHWT1:
	case ZYDIS_ISA_EXT_RDRAND:
	case ZYDIS_ISA_EXT_RDSEED:
	case ZYDIS_ISA_EXT_RDWRFSGS:
	case ZYDIS_ISA_EXT_SERIALIZE:
	case ZYDIS_ISA_EXT_SHA:
	case ZYDIS_ISA_EXT_SSE:
	case ZYDIS_ISA_EXT_SSE2:
	case ZYDIS_ISA_EXT_SSE3:
	case ZYDIS_ISA_EXT_SSE4:
	case ZYDIS_ISA_EXT_SSE4A:
	case ZYDIS_ISA_EXT_SSSE3:
	case ZYDIS_ISA_EXT_VAES:
	case ZYDIS_ISA_EXT_VPCLMULQDQ:
	case ZYDIS_ISA_EXT_X87:
	case ZYDIS_ISA_EXT_XSAVE:
	case ZYDIS_ISA_EXT_XSAVEC:
	case ZYDIS_ISA_EXT_XSAVEOPT: return true;
	default: return false;
	}
}

static bool is_xsave(const ZydisDecodedInstruction *i)
{
	return i->meta.isa_ext == ZYDIS_ISA_EXT_XSAVE || i->meta.isa_ext == ZYDIS_ISA_EXT_XSAVEC ||
	       i->meta.isa_ext == ZYDIS_ISA_EXT_XSAVEOPT;
}

bool step_known(const struct step *s)
{
	return in_list(s->i) && (!is_xsave(s->i) || s->v->cr4 & CR4_OSXSAVE);
}

/* Of categories none of whose members is left to run by itself. */
static bool forbidden(const ZydisDecodedInstruction *i)
{
	switch (i->meta.category) {
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_SEGOP:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_UNCOND_BR: return true;
	default: return false;
	}
}

/* The CPU in ring 3: #GP, and guest_exception() knows which of them the guest's kernel may use. */
static bool privileged(const ZydisDecodedInstruction *i)
{
	if (i->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED ||
	    i->meta.category == ZYDIS_CATEGORY_SYSTEM || i->meta.category == ZYDIS_CATEGORY_IO ||
	    i->meta.category == ZYDIS_CATEGORY_IOSTRINGOP)
		return true;
	switch (i->mnemonic) {
	case ZYDIS_MNEMONIC_CLI:
	case ZYDIS_MNEMONIC_STI:
	case ZYDIS_MNEMONIC_RDPMC: return true;
	default: return false;
	}
}

bool step_system(struct step *s, enum outcome *o)
{
	switch (s->i->mnemonic) {
	case ZYDIS_MNEMONIC_SYSCALL:
		*o = s->code32 ? system_call32(s) : system_call(s);
		return true;
	case ZYDIS_MNEMONIC_SYSENTER: /* guest_exception() knows it; on AMD's there is none */
		*o = step_trap(s, s->code32 && step_syscall32 ? VECTOR_UD : VECTOR_GP, 0);
		return true;
	case ZYDIS_MNEMONIC_CPUID: *o = cpuid(s); return true;
	case ZYDIS_MNEMONIC_RDTSC: *o = read_tsc(s); return true;
	case ZYDIS_MNEMONIC_XGETBV: *o = read_xcr(s); return true;
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2: *o = step_trap(s, VECTOR_UD, 0); return true;
	default: break;
	}
	if (privileged(s->i))
		*o = step_trap(s, VECTOR_GP, 0);
	else if (forbidden(s->i))
		*o = step_trap(s, VECTOR_UD, 0);
	else
		return false;
	return true;
}
