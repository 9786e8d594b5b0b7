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

#define FLAGS_POPF (FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID)

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
	bool code32;	 /* what it was decoded as */
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
	/* Compatibility mode: its code segment. 0, ~0 in 64-bit code, where it has no effect. */
	bool code32;
	uint64_t cs_base, cs_limit;
	bool no_trap; /* behind it: it loaded SS */
};

/* A linear address; `stack`: its #GP is a #SS. */
struct where {
	uint64_t va;
	uint64_t room; /* bytes that its segment has from there on */
	bool stack, readonly;
};

/* Guest memory in the monitor: `first` bytes at p[0], what is more at p[1]. */
struct span {
	uint8_t *p[2];
	unsigned first;
};

/* ---- step.c ---- */
/* Delivers an exception at the instruction; always THERE. `error` as the CPU pushes it, or 0. */
enum outcome step_trap(struct step *s, unsigned vector, uint64_t error);
/* Is it in the code segment, or canonical? */
bool step_target_ok(const struct step *s, uint64_t target);
/* A control transfer, after all else of the instruction that may fault; #GP if not there. */
enum outcome step_jump(struct step *s, uint64_t target);

/* ---- step_memory.c ---- */
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
/* As wide as addresses are in the instruction. */
uint64_t step_address_mask(const struct step *s);
/* Where that offset in the segment is. */
struct where step_at(const struct step *s, ZydisRegister segment, uint64_t offset);
/* Where n bytes behind that is. */
struct where step_behind(const struct step *s, struct where at, unsigned n);
/* The offset that a memory operand names (not of gathers), and where that is. */
uint64_t step_offset(const struct step *s, const ZydisDecodedOperand *op);
struct where step_address(const struct step *s, const ZydisDecodedOperand *op);
/* Bytes of what a push pushes. */
unsigned step_stack_width(const struct step *s);
/* `delta` bytes from the stack pointer, as wide as that is; and the pointer moved there. */
struct where step_stack_at(const struct step *s, int64_t delta);
void step_stack_set(struct step *s, uint64_t sp);
void step_stack_move(struct step *s, int64_t delta);
/* The same of what lies `more` bytes further. */
struct where step_address_plus(const struct step *s, const ZydisDecodedOperand *op, uint64_t more);
/*
 * n bytes of guest memory, at most two pages, all of which allow the access; to be used between
 * tr_enter() and tr_left(). False: the fault was delivered, or (of those below, which do so
 * themselves) there was a flush and the instruction begins again; nothing has changed.
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
bool step_legacy(struct step *s, enum outcome *o);  /* what 64-bit mode has no more */
bool step_system(struct step *s, enum outcome *o);  /* what the monitor answers */
bool step_vector(struct step *s, enum outcome *o);  /* gathers, masked moves */
bool step_simple(struct step *s, enum outcome *o);  /* small ones that cannot run natively */

/* ---- step_system.c ---- */
/* Is there such an instruction, on the CPU that the guest is shown? Else it is a #UD. */
bool step_known(const struct step *s);

/* ---- step_segment.c ---- */
uint64_t step_selector(const regs_t *r, ZydisRegister segment);
/* Of FS and GS, also in 64-bit code; 0 of the others. */
uint64_t step_segment_base(const struct step *s, ZydisRegister segment);
/*
 * May the guest have it in CS, and go to `target` there? In SS? Else what the CPU raises,
 * delivered. No code of 16 bits.
 */
bool step_code_selector(struct step *s, uint64_t selector, uint64_t target);
bool step_stack_selector(struct step *s, uint64_t selector);

/* ---- step_descriptor.c: Intel SDM vol. 3, 3.4.5 ---- */
#define DESC_P		(1UL << 47)
#define DESC_S		(1UL << 44)
#define DESC_CODE	(1UL << 43)
#define DESC_CONFORMING (1UL << 42)
#define DESC_DOWN	(1UL << 42) /* of data: expands down */
#define DESC_RW		(1UL << 41) /* readable code, writable data */
#define DESC_L		(1UL << 53)
#define DESC_D		(1UL << 54) /* 32 bits: code, a stack's pointer */
#define DESC_G		(1UL << 55)
#define desc_dpl(e)	((e) >> 45 & 3)
#define desc_type(e)	((e) >> 40 & 15)
static inline bool selector_null(uint64_t selector)
{
	return !(selector & 0xfffc);
}
/* The guest's, or Xen's flat ones of ring 3. FAULT: its page of the LDT is not there. */
enum lookup { LOOKUP_NONE, LOOKUP_ONE, LOOKUP_FAULT };
enum lookup descriptor_get(struct vcpu *v, uint64_t selector, uint64_t *e);
uint32_t descriptor_start(uint64_t e); /* its base */
uint64_t descriptor_limit(uint64_t e); /* the last byte's offset */
/* 0, or the vector of what loading it into CS or SS raises. */
unsigned descriptor_code_fault(struct vcpu *v, uint64_t selector, uint64_t *e);
unsigned descriptor_stack_fault(struct vcpu *v, uint64_t selector);

/* ---- step_system.c ---- */
void system_init(void);
extern bool step_syscall32; /* 32-bit code has syscall, and no sysenter: as on AMD's CPUs */

/* ---- watch.c ---- */
/* A data breakpoint of the guest's, or of the debugger's, at [va, va + n)? To be told behind the
 * instruction. */
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
