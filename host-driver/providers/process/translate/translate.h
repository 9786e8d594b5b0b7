/* SPDX-License-Identifier: MIT */
/*
 * The process provider, stage 2: guest code is translated, x86-64 to x86-64, and runs from a cache.
 *
 * Guest registers are host registers, flags are host flags, and vector registers are left alone.
 * Only r14 and r15 are the translator's while translated code runs: the guest's are in `tr`. Guest
 * memory is reached through a TLB in software, one per vCPU and mode: user code's by GS, the
 * kernel's by FS, which is the thread's. A kernel in the upper half reads by GS without one.
 *
 *   insn.c     what the translator must know of an instruction
 *   lower.c    a block's translation: lower_insn.c, lower_stack.c, lower_memory.c,
 *              lower_group.c, lower_window.c
 *   block.c    blocks: found, made, forgotten
 *   chain.c    and chained
 *   page_id.c  which page is where, for jumps from one to another
 *   roots.c    whether all kernel roots have the same code
 *   softmmu.c  the TLB, filled from the guest's page tables
 *   targets.c  the IBTC and what else says where indirect jumps go
 *   changes.c  what changed in page tables, for contexts to catch up with
 *   contexts.c the two of them for each address space, and flushes
 *   spans.c    guest memory mapped where page tables show it
 *   upper.c    so, the guest kernel's upper half, to read from without it
 *   windows.c  and user code's half, while it is hot: window_pages.c
 *   step.c     one instruction, without translating it
 *   string.c   movs and stos, likewise, without leaving the block
 *   segments.c what width the code has that the guest's selectors lead to
 *   watch.c    what makes the guest go by such steps: single steps, breakpoints, AC
 *   trace.c    what of it goes to a file, if somebody asks
 *   check.c    each block compared with such steps first, if somebody asks
 *   run.c      the loop: enter the cache, see why it was left
 *   glue.S     between the two
 *   cross.S    system calls and their returns, without leaving
 */
#ifndef PAVANE_TRANSLATE_H
#define PAVANE_TRANSLATE_H

/* Offsets into struct vcpu are direct.h's R_*; these are into struct tr (asserted in run.c). */
#define T_R14		  0
#define T_R15		  8
#define T_RCX		  16
#define T_EA		  24
#define T_ARG		  32
#define T_HOST_RSP	  40
#define T_TARGET	  48
#define T_RESUME	  56
#define T_PAGE_MASK	  64
#define T_TLB_MASK	  72
#define T_IBTC_MASK	  80
#define T_FS_BASE	  88
#define T_GS_BASE	  96
#define T_SCRATCH	  104
#define T_BITS32	  112
#define T_BITS64	  120
#define T_KICKED	  128
#define T_IBTC		  136
#define T_RETURNS	  144
#define T_RET_MASK	  152
#define T_KERNEL_TLB_MASK 160
#define T_GROUP		  168
#define GROUPS		  8
#define T_RAX		  232
#define T_R11		  240
#define T_RSP		  248
#define T_CONTEXT	  256
#define T_NOW_USER	  264
#define T_NOW_KERNEL	  272
#define T_USER_CS	  280
#define T_USER_SS	  288
#define T_DESCRIPTORS	  312
#define T_CROSSES	  320
#define T_RESUME15	  328
#define T_WINDOW_MASK	  336
#define T_WINDOW_BITS	  344
#define T_USER_GS	  352

/* And these into struct vcpu, and into struct vcpu_info. */
#define V_CS		   136
#define V_SS		   160
#define V_KERNEL_MODE	   208
#define V_NMI_MASKED	   209
#define V_KERNEL_SP	   216
#define V_SYSCALL_CALLBACK 224
#define V_GS_KERNEL	   232
#define V_GS_USER	   240
#define V_INFO		   4408
#define V_NMI_PENDING	   4969
#define INFO_PENDING	   0
#define INFO_MASK	   1

#define CALL_IRET 23 /* the iret hypercall: of all others the flags stay */

#define FLAGS_HOST 0xcd5 /* OF DF SF ZF AF PF CF: the guest's others are never the host's */

/* Why translated code was left. */
#define EXIT_KICK     0 /* somebody wants a look at the vCPU */
#define EXIT_LINK     1 /* to a block that is not chained yet: tr.arg is the link */
#define EXIT_INDIRECT 2 /* to the guest address in tr.ea, which the IBTC does not know */
#define EXIT_MEMORY   3 /* the TLB does not know tr.ea: tr.arg is the site */
#define EXIT_STEP     4 /* an instruction that step.c carries out: tr.arg is the site */
#define EXIT_TRAP     5 /* the host's CPU raised tr.vector at v->regs.rip */
#define EXIT_SYSCALL  6 /* that instruction: tr.arg is the site */
#define EXIT_UPPER    7 /* nothing was read at tr.ea (tr.vector: 14), or somewhere: tr.arg, site */
#define EXIT_WINDOW   8 /* an access to a window faulted, likewise: tr.error */

/* The TLB's entries and the IBTC's arrays in struct tr_context. */
#define TLB_BITS	13
#define TLB_SIZE	(1 << TLB_BITS)
#define TLB_SHIFT	5    /* bytes of an entry */
#define KERNEL_TLB_SIZE 2048 /* it is part of every thread, and seldom needed to read */
#define E_READ_NEG	0
#define E_READ		8
#define E_WRITE_NEG	16
#define E_WRITE		24
#define IBTC_BITS	16
#define IBTC_SHIFT	1
#define IBTC_SIZE	(1 << IBTC_BITS)
#define C_IBTC		(TLB_SIZE << TLB_SHIFT)
#define C_PAGES		(C_IBTC + 16 * IBTC_SIZE)
#define PAGE_IDS	(1 << 17)
#define C_RETURNS	(C_PAGES + PAGE_IDS)
#define RET_BITS	11
#define RET_SIZE	(1 << RET_BITS)

#ifndef __ASSEMBLER__
#include "host-driver/providers/process/translate/upper.h"
#include "hypercalls/monitor/monitor.h"

/*
 * Of this vCPU's thread; translated code addresses it by FS. While translated code runs the
 * guest's r14 and r15 are here; in C they are in v->regs like all others.
 */
struct tr {
	uint64_t r14, r15;
	uint64_t rcx;	   /* the guest's, during a lookup that keeps the flags */
	uint64_t ea;	   /* the linear address, or the target, that an exit is about */
	uint64_t arg;	   /* the link or site that an exit is about */
	uint64_t host_rsp; /* the monitor's stack */
	uint64_t target;   /* where tr_run goes */
	uint64_t resume;   /* what r14 is there; r15: resume15 */
	uint64_t page_mask, tlb_mask, ibtc_mask; /* constants for pext */
	uint64_t fs_base, gs_base;		 /* the guest's, of the mode it runs in */
	uint64_t scratch;
	uint64_t bits32, bits64; /* constants for pext: a bit's number in an operand */
	volatile uint32_t kicked;
	uint32_t vector;		   /* EXIT_TRAP */
	struct ibtc_entry *ibtc, *returns; /* the context's */
	uint64_t ret_mask;		   /* for pext: which entry a return's stack slot has */
	uint64_t kernel_tlb_mask;
	uint64_t group[GROUPS];	    /* places of a block's (lower_group.c) */
	uint64_t rax, r11, rsp;	    /* the guest's, while cross.S uses them */
	struct tr_context *context; /* of the mode the guest runs in */
	struct tr_context *now[2];  /* of the present roots: user mode, kernel mode */
	/* segments.c, of user mode and kernel mode: selectors that lead to 64-bit code, or 0. */
	struct {
		uint64_t cs, ss;
	} code64[2];
	uint64_t descriptor_changes; /* those that code64 and `other` know of */
	uint64_t crosses;	     /* system calls and their returns are cross.S' */
	uint64_t resume15, window_mask, window_bits;
	uint64_t user_gs; /* what GS is for user code */
	uint64_t error;
	volatile uint32_t in_guest, flush; /* softmmu.c */
	volatile uint64_t entries;
	struct tr_context *pool;
	bool upper;		      /* the kernel's code reads by upper.c */
	uint8_t in_window;	      /* the window that waits for us (windows.c), 0: none */
	struct tr_context *missed_in; /* whose page fault the guest has, or NULL: at `missed` */
	uint64_t missed, missed_rip;
	uint64_t faulted_at, storm; /* the last page fault; how close those in a window were */
	bool waits, window_due;	    /* for a while without page faults (windows.c) */
	uint32_t faults;	    /* page faults so far */
	uint32_t faults_then;	    /* as it began to wait, */
	uint64_t ran_then;	    /* and what the thread had run */
	uint64_t wait_more;	    /* ns, the next time */
	bool missed_write;
	struct block *cut;	 /* its way on was cut, for it to end (signal.c) */
	uint32_t cut_generation; /* the cache's, then */
	uint64_t met;		 /* data breakpoints, by the instruction at hand (watch.c) */
	uint64_t selectors;	 /* cs, ss, ds, es of other code, which `other` is about, or 0 */
	uint8_t code, other;	 /* enum code; code: of where the guest is */
	bool ran32;		 /* an IBTC may be of 32-bit code */
	bool single;	     /* the next block is to be one of MODE_SINGLE: it is compared first */
	struct check *check; /* what runs is not the guest, but is compared (check.h) */
};
extern __thread struct tr tr __attribute__((tls_model("local-exec")));

/*
 * Entry i of the TLB is about pages whose number ends in i: adding read_neg to an address of that
 * page gives its offset in it, and for any other address 4096 or more. `read` is the host's address
 * of the page. The same for stores.
 */
struct tlb_entry {
	uint64_t read_neg, read, write_neg, write;
};
/* The kernel code's, for which GS is the upper half's base. */
extern __thread struct tlb_entry tr_kernel_tlb[KERNEL_TLB_SIZE]
	__attribute__((tls_model("local-exec")));

/* minus a guest address, and where its translation is. */
struct ibtc_entry {
	uint64_t neg;
	void *code;
};
struct tr_context {
	struct tlb_entry own[TLB_SIZE]; /* of user code: GS is there */
	struct ibtc_entry ibtc[IBTC_SIZE];
	/* By a page's number (page_id.c): 1, it is mapped here, as translated code may rely on. */
	uint8_t page_here[PAGE_IDS];
	/*
	 * Where returns are expected to go, by the stack slot they come from: what the last call
	 * left that pushed there. It leads to the caller's own code, and from there as any jump
	 * within a page: so nothing is to be done here when a block is forgotten.
	 */
	struct ibtc_entry returns[RET_SIZE];
	struct tlb_entry *tlb; /* own, or tr_kernel_tlb */

	/* Of softmmu.c: whose it is, and how much of the log of changes it has seen. */
	uint64_t root;	      /* machine frame, INVALID_MFN: free */
	bool code32;	      /* what the IBTC leads to */
	uint8_t window;	      /* its number: user code goes by that (windows.c), 0: by the TLB */
	bool cold;	      /* and never by one */
	uint16_t samples;     /* how often a kick has found user code here */
	uint64_t window_turn; /* of whom the window was then */
	uint8_t controls;     /* what that was looked for with (block_controls) */
	uint64_t seen, since; /* in the log; the domain's tlb_clock when it was last empty */
	uint64_t used;
	/* Entries of the TLB that are about something; those of them about the lower half. */
	uint64_t filled[TLB_SIZE / 64], low[TLB_SIZE / 64];
#define IBTC_LIST 4096
	uint32_t ibtc_used; /* beyond IBTC_LIST nobody knows which */
	uint16_t ibtc_list[IBTC_LIST];
	bool low_code;			 /* the IBTC leads to the lower half */
	uint32_t pages_first, pages_end; /* all of page_here that may be 1 */
	uint64_t upper[UPPER_ENTRIES];	 /* of a kernel's: the root's entries for the upper half */
	uint64_t l4_changes;		 /* as they were then */
	uint64_t code_pages[8]; /* a bit for the index, in an L1 table, of pages that the IBTC leads
				   into, or that are in page_here */
};

/*
 * While in_guest is set a flush waits: around the use of a place that tr_memory() gave, and of
 * translated code. No lock is taken in there. False: there was a flush, and no place is good. Who
 * flushes has the kernel put a fence in here (membarrier), so that we need none of our own.
 */
extern bool tr_fences; /* but where the kernel does not */
static inline void tr_left(void)
{
	__atomic_store_n(&tr.entries, tr.entries + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&tr.in_guest, 0, __ATOMIC_RELEASE);
}
static inline bool tr_enter(void)
{
	__atomic_store_n(&tr.in_guest, 1, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (tr_fences)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&tr.flush, __ATOMIC_ACQUIRE))
		return true;
	tr_left();
	return false;
}

static inline bool tr_canonical(uint64_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

/* ---- softmmu.c ---- */
/*
 * The host's address of the guest's linear address va, or NULL: that is a page fault, which the
 * caller delivers (tr_page_fault). Sets the accessed and dirty bits; good until the next exit.
 */
enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_FETCH };
uint8_t *tr_memory(struct vcpu *v, uint64_t va, enum access how);
/* Delivers the page fault of that access to the guest (or carries out a store to a page table). */
void tr_page_fault(struct vcpu *v, uint64_t va, enum access how);

/* ---- contexts.c ---- */
/* Between the two no other vCPU uses a place of tr_memory(), nor runs translated code. */
void mmu_alone_begin(struct vcpu *v);
void mmu_alone_end(void);

/* ---- segments.c ---- */
/*
 * By cs, and in 32-bit code by the data segments: flat ones, so that an offset is a linear address,
 * or others, which only step.c knows. BAD: no CPU would be there with such a cs or ss.
 */
enum code { CODE_64, CODE_32_FLAT, CODE_32, CODE_BAD };
enum code tr_code_judge(struct vcpu *v);
static inline enum code tr_code(struct vcpu *v)
{
	const bool mode = v->kernel_mode;

	if (!((v->regs.cs ^ tr.code64[mode].cs) | (v->regs.ss ^ tr.code64[mode].ss)))
		return tr.code = CODE_64;
	return tr_code_judge(v);
}
/* What is known goes if a descriptor changed, as its mode is entered: then the CPU reads them. */
void tr_code_mode(void);
extern uint64_t descriptor_changes; /* how often something did, that tr_code_mode() looks at */
/* A descriptor changed, or a table of them. Any thread. */
void tr_descriptors_changed(struct domain *d);

/* ---- step.c ---- */
/* Once per vCPU thread, before the sandbox closes. 0 or -errno. */
int tr_step_init(void);
/*
 * Carries out the one instruction at v->regs.rip, whatever it is, or delivers its trap: v->regs
 * is what the guest has next. A repeated string instruction may stop half way (rip stays) when
 * tr.kicked says so, and does after each element if somebody watches. The vector state is the
 * guest's and in the CPU. True: it is complete and did not load SS, so that the traps that come
 * behind an instruction may.
 */
bool tr_step(struct vcpu *v);
/*
 * `syscall`, behind which `next` is: the guest kernel's is a hypercall; what the instruction does
 * to rcx and r11 it does in any case.
 */
void tr_syscall(struct vcpu *v, uint64_t next);
/* guest_exception() of translated code: it may decode, which takes vector registers. */
void tr_exception(struct vcpu *v, unsigned vector, uint64_t error);
/*
 * From the signal handler: the host's CPU raised `vector` at `ctx`. True: it was step.c's doing,
 * and ctx was changed so that tr_step delivers it.
 */
bool tr_step_fault(unsigned vector, uint64_t error, uint64_t cr2, void *ctx);

/* The number of the window that user code goes by where the guest is, or 0 (windows.c). */
static inline unsigned tr_window(const struct vcpu *v)
{
	return v->kernel_mode || tr.code != CODE_64 ? 0 : tr.context->window;
}

/* ---- watch.c ---- */
#define WATCH_FLAGS   0x50100UL /* AC, RF, TF */
#define WATCH_ENABLED 0xffUL	/* of DR7 */
/* Is the guest to go one instruction at a time? */
static inline bool watched(const struct vcpu *v)
{
	return v->regs.rflags & WATCH_FLAGS || v->debugreg[7] & WATCH_ENABLED;
}
/* tr_step(), and the guest's debug exceptions before and behind it. */
void watch_step(struct vcpu *v);
/* Does the debugger watch a byte of that page? Then no TLB may know it. */
static inline bool watch_page(uint64_t va, enum access how)
{
	return debug_met(va & PAGE_MASK, PAGE_SIZE, how == ACCESS_WRITE ? POINT_WRITE : POINT_READ);
}
/* Is rip at a breakpoint of the debugger's? Then the domain stops. */
bool watch_stops(struct vcpu *v);

/* ---- the vector state around C code that may use it (Zydis, libc) ---- */
struct fpu_area {
	uint8_t bytes[2688 + 64];
};
static inline void *fpu_aligned(struct fpu_area *a)
{
	/* cppcheck-suppress ctuuninitvar ; its address alone matters */
	return (void *)(((uintptr_t)a->bytes + 63) & -64UL);
}
static inline void fpu_keep(struct fpu_area *a)
{
	uint8_t *p = fpu_aligned(a);

	memset(p + 512, 0, 64);
	asm volatile("xsave64 (%0)" : : "r"(p), "a"(0xff), "d"(0) : "memory");
}
static inline void fpu_back(struct fpu_area *a)
{
	asm volatile("xrstor64 (%0)" : : "r"(fpu_aligned(a)), "a"(0xff), "d"(0) : "memory");
}
#endif
#endif
