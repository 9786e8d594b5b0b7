/* SPDX-License-Identifier: MIT */
/* Between the files of tr_step(): one instruction of the guest, carried out in C or natively. */
#ifndef PAVANE_STEP_H
#define PAVANE_STEP_H

/* Offsets into struct native, for step.S; asserted in step_native.c. */
#define N_RSP	   32
#define N_RFLAGS   128
#define N_CODE	   136
#define N_HOST_RSP 144
#define N_FRESH	   152

#ifndef __ASSEMBLER__
#include <Zydis/Zydis.h>

#include "host-driver/providers/process/translate/translate.h"

#define VECTOR_DB 1
#define VECTOR_BP 3
#define VECTOR_OF 4
#define VECTOR_UD 6
#define VECTOR_NM 7
#define VECTOR_NP 11
#define VECTOR_SS 12
#define VECTOR_GP 13
#define VECTOR_PF 14
#define VECTOR_AC 17

#define FLAG_CF	   0x000001UL
#define FLAG_PF	   0x000004UL
#define FLAG_AF	   0x000010UL
#define FLAG_ZF	   0x000040UL
#define FLAG_SF	   0x000080UL
#define FLAG_TF	   0x000100UL
#define FLAG_IF	   0x000200UL
#define FLAG_DF	   0x000400UL
#define FLAG_OF	   0x000800UL
#define FLAG_NT	   0x004000UL
#define FLAG_RF	   0x010000UL
#define FLAG_AC	   0x040000UL
#define FLAG_ID	   0x200000UL
#define FLAGS_ALU  (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)
#define FLAGS_POPF (FLAGS_ALU | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID)

#define CR4_TSD	     0x00004UL
#define CR4_FSGSBASE 0x10000UL
#define CR4_OSXSAVE  0x40000UL

/* Registers by the number that instructions name them with. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

/*
 * NEXT: on to the instruction behind it. WENT: it is complete (or an element of a string), and
 * v->regs.rip is where the guest goes on. THERE: so is that, by an exception or a hypercall.
 */
enum outcome { NEXT, WENT, THERE };

/* An instruction, decoded, and its native form once there is one. */
struct slot {
	uint8_t bytes[15];
	bool decoded, emitted;
	bool fresh;	 /* the code was written since it last ran */
	bool fpu;	 /* #NM when CR0.TS is set */
	uint8_t pointer; /* the register that has the host's address in the native form */
	const ZydisDecodedOperand *memory; /* of the native form, or NULL */
	ZydisDecodedInstruction i;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

struct step {
	struct vcpu *v;
	struct slot *slot;
	const ZydisDecodedInstruction *i;
	const ZydisDecodedOperand *op;
	uint64_t next; /* behind the instruction */
	bool no_trap;  /* behind it: it loaded SS */
};

/* A linear address; `stack`: its #GP is a #SS. */
struct where {
	uint64_t va;
	bool stack;
};

/* Guest memory in the monitor: `first` bytes at p[0], what is more at p[1]. */
struct span {
	uint8_t *p[2];
	unsigned first;
};

/* ---- step.c ---- */
/* Delivers an exception at the instruction; always THERE. `error` as the CPU pushes it, or 0. */
enum outcome step_trap(struct step *s, unsigned vector, uint64_t error);
/* A control transfer, after all else of the instruction that may fault; #GP if not canonical. */
enum outcome step_jump(struct step *s, uint64_t target);

/* ---- step_memory.c ---- */
static inline bool step_canonical(uint64_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}
static inline void step_bytes(void *dst, const void *src, size_t n)
{
	asm volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
}
uint64_t *step_gpr(regs_t *r, unsigned number);
/* The number of a general register, or -1; of AH to BH that of the register they are in. */
int step_number(ZydisRegister reg);
/* Of 8 to 64 bits, zero-extended; and written as the CPU does (32 bits clear the upper ones). */
uint64_t step_get(const struct step *s, ZydisRegister reg);
void step_set(struct step *s, ZydisRegister reg, uint64_t val);
uint64_t step_segment_base(const struct step *s, ZydisRegister segment);
/* Where a memory operand is (not of gathers). */
struct where step_address(const struct step *s, const ZydisDecodedOperand *op);
/* The same of what lies `more` bytes further. */
struct where step_address_plus(const struct step *s, const ZydisDecodedOperand *op, uint64_t more);
/*
 * n bytes of guest memory, at most two pages, all of which allow the access. False: the fault was
 * delivered and nothing has changed; likewise of all below.
 */
bool step_reach(struct step *s, struct where at, unsigned n, enum access how, struct span *sp);
void span_get(const struct span *sp, void *dst, unsigned n);
void span_put(const struct span *sp, const void *src, unsigned n);
bool step_load(struct step *s, struct where at, void *dst, unsigned n);
bool step_store(struct step *s, struct where at, const void *src, unsigned n);
/* An operand of up to 8 bytes: register, memory or immediate. */
bool step_read(struct step *s, const ZydisDecodedOperand *op, uint64_t *val);
bool step_write(struct step *s, const ZydisDecodedOperand *op, uint64_t val);

/* ---- one family each: false: it is none of theirs ---- */
bool step_flow(struct step *s, enum outcome *o);    /* branches, interrupts by instruction */
bool step_stack(struct step *s, enum outcome *o);   /* push, pop, flags */
bool step_string(struct step *s, enum outcome *o);  /* movs, stos, cmps, scas, lods */
bool step_segment(struct step *s, enum outcome *o); /* selectors and their descriptors */
bool step_system(struct step *s, enum outcome *o);  /* what the monitor answers */
bool step_vector(struct step *s, enum outcome *o);  /* gathers, masked moves */
bool step_simple(struct step *s, enum outcome *o);  /* small ones that cannot run natively */

/* ---- step_system.c ---- */
/* Is there such an instruction, on the CPU that the guest is shown? Else it is a #UD. */
bool step_known(const struct step *s);

/* ---- step_segment.c ---- */
/* May the guest have it in CS? Else what the CPU raises, delivered. 64-bit code only. */
bool step_code_selector(struct step *s, uint64_t selector);
bool step_stack_selector(struct step *s, uint64_t selector);

/* ---- watch.c ---- */
/* A data breakpoint of the guest's at [va, va + n)? To be told behind the instruction. */
void watch_access(struct vcpu *v, uint64_t va, unsigned n, enum access how);

/* ---- step_native.c ---- */
#define NATIVE_SLOTS 128
struct native {
	uint64_t r[16];
	uint64_t rflags; /* into the CPU and out of it */
	uint64_t code;
	uint64_t host_rsp;
	bool fresh;		/* the code was written since it ran last */
	uint64_t vector, error; /* when it faulted */
};
/* Makes this vCPU thread's slots and their code; 0 or -errno. */
int native_init(void);
struct slot *native_slot(unsigned n);
/* Everything that is left: the instruction itself runs, its memory operand replaced. */
enum outcome step_native(struct step *s);

/* ---- step.S ---- */
bool step_enter(struct native *n); /* false: it faulted, n->r is as before */
extern char step_leave[], step_faulted[];
extern __thread struct native *step_running;
extern __thread uint64_t step_saved;

/* ---- step_xsave.c ---- */
void xsave_init(void);
/* Checks of XSAVE and its kin that the host's CPU would make by another XCR0; bytes of the area. */
bool xsave_area(struct step *s, struct where at, unsigned *bytes, uint64_t *mask);
bool xsave_is(const struct step *s);
/* Is it XRSTOR, whose area another vCPU may change behind those checks? Then a copy is restored. */
bool xsave_reads(const struct step *s);
unsigned xsave_avx_offset(void); /* of the upper halves of YMM registers */
#endif
#endif
