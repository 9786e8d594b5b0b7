/* SPDX-License-Identifier: MIT */
/*
 * /dev/pvhost: what the driver and a process agree on. Shared by the kernel module, libpavane
 * and their assembly.
 *
 * open("/dev/pvhost") makes a VM: a guest-physical address space over regions of the opener's
 * own memory. PVHOST_CREATE_VCPU gives a vCPU, which is a descriptor too; its one page of shared
 * memory (mmap, offset 0, shared) is struct pvhost_run. PVHOST_RUN enters VMX non-root mode at
 * ring 0 and comes back with the first exit that the driver leaves to the process: all but
 * interrupts, EPT violations it can fill, and PVHOST_NOP.
 *
 * Every reserved field must be zero (-EINVAL). Every call is for the process (mm) that opened
 * the device; from another it fails with -EIO, whoever holds the descriptor.
 */
#ifndef PVHOST_H
#define PVHOST_H

#define PVHOST_VERSION 1

/* Offsets into struct pvhost_run for assembly; asserted below. */
#define PVHOST_RAX    0x00
#define PVHOST_RCX    0x08
#define PVHOST_RDX    0x10
#define PVHOST_RBX    0x18
#define PVHOST_RSP    0x20
#define PVHOST_RBP    0x28
#define PVHOST_RSI    0x30
#define PVHOST_RDI    0x38
#define PVHOST_R8     0x40
#define PVHOST_R9     0x48
#define PVHOST_R10    0x50
#define PVHOST_R11    0x58
#define PVHOST_R12    0x60
#define PVHOST_R13    0x68
#define PVHOST_R14    0x70
#define PVHOST_R15    0x78
#define PVHOST_RIP    0x80
#define PVHOST_RFLAGS 0x88
#define PVHOST_CR2    0x90
#define PVHOST_REASON 0xa4

/* vmcall with this in rax: the driver goes on behind it. For measuring, and nothing else. */
#define PVHOST_NOP 0x7076686f73740000

#ifndef __ASSEMBLER__
#ifdef __KERNEL__
#include <linux/ioctl.h>
#include <linux/types.h>
#else
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#endif

/* What the CPU and the driver can do. PVHOST_INFO on the device. */
struct pvhost_info {
	uint32_t version;     /* PVHOST_VERSION */
	uint32_t gpa_bits;    /* guest-physical addresses are below 1 << gpa_bits */
	uint32_t features;    /* PVHOST_F_* */
	uint32_t max_regions; /* per VM */
	uint64_t reserved[4];
};

#define PVHOST_F_VPID	 (1 << 0) /* TLB entries are tagged: an exit does not flush */
#define PVHOST_F_LARGE	 (1 << 1) /* EPT has 2 MiB pages */
#define PVHOST_F_INVPCID (1 << 2) /* the guest may use invpcid and rdtscp */

/*
 * Guest-physical [gpa, gpa + size) is the process's [hva, hva + size), whatever is or will be
 * mapped there. All are multiples of 4096; 2 MiB pages need gpa and hva equal modulo 2 MiB.
 * -EEXIST: overlaps another region. -ENOSPC: too many. -EINVAL: not within either space.
 * Deleting names a region by the same three numbers; -ENOENT if there is none.
 */
struct pvhost_region {
	uint64_t gpa;
	uint64_t hva;
	uint64_t size;
	uint64_t reserved;
};

/*
 * State that changes seldom: set before the first PVHOST_RUN, or with the vCPU stopped.
 * CS, SS, DS, ES are flat 64-bit segments of ring 0. Bits of cr0 and cr4 that are not the
 * guest's come back as the driver set them. -EINVAL: not canonical.
 */
struct pvhost_state {
	uint64_t cr0, cr3, cr4;
	uint64_t gdt_base, idt_base, tss_base;
	uint64_t fs_base, gs_base, kernel_gs_base;
	uint64_t lstar, star, sfmask; /* for `syscall` in the guest */
	uint16_t gdt_limit, idt_limit, tss_limit;
	uint16_t cs, ss, tr; /* selectors */
	uint32_t reserved;
};

struct pvhost_run {
	/* The general registers, in the order instructions number them: in and out. */
	uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags, cr2;

	/* In: looked at when PVHOST_RUN starts. */
	uint8_t immediate_exit; /* not 0: -EINTR before anything else. For signal handlers */
	uint8_t irq_window;	/* not 0: exit (reason 7) as soon as an interrupt may be injected */
	uint8_t shadow; /* out: the exit came in the shadow of sti or mov ss: inject no interrupt */
	uint8_t pad[5];
	/*
	 * An event for the guest to take on entry, as the SDM has it (vol. 3, 25.8.3): vector,
	 * type << 8, deliver error code << 11, valid << 31. The driver clears it once it is taken.
	 */
	uint32_t inject;

	/* Out: the exit (vol. 3, appendix C); bit 31: the entry failed, the state is not valid. */
	uint32_t exit_reason;
	uint32_t inject_error;
	uint32_t inject_length; /* in: instruction length for software interrupts */
	uint64_t qualification;
	uint64_t gpa, linear; /* of EPT violations */
	uint32_t intr_info;   /* of exceptions */
	uint32_t intr_error;
	uint32_t vectoring; /* event whose delivery the exit cut short; to inject again */
	uint32_t vectoring_error;
	uint32_t instruction_length;
	uint32_t dr6; /* in and out: #DB adds its bits, the process clears them */
	uint16_t cs;  /* its two low bits are the ring the exit came from */
	uint16_t reserved16[3];
	uint64_t exits;	     /* VM exits so far, whoever handled them */
	uint64_t interrupts; /* of these, for the host's interrupts, NMIs and machine checks */
	uint64_t reserved[7];
};

#define PVHOST_VALID (1u << 31) /* of inject, intr_info, vectoring */

/* Exit reasons a process meets. */
enum {
	PVHOST_EXIT_EXCEPTION = 0,
	PVHOST_EXIT_TRIPLE_FAULT = 2,
	PVHOST_EXIT_IRQ_WINDOW = 7,
	PVHOST_EXIT_CPUID = 10,
	PVHOST_EXIT_HLT = 12,
	PVHOST_EXIT_VMCALL = 18,
	PVHOST_EXIT_CR = 28,
	PVHOST_EXIT_IO = 30,
	PVHOST_EXIT_RDMSR = 31,
	PVHOST_EXIT_WRMSR = 32,
	PVHOST_EXIT_EPT_VIOLATION = 48, /* no region there, or the process has no such access */
};

#define PVHOST_IOC(nr, dir, type) _IOC(dir, 0xb7, nr, sizeof(type))

/* On the VM. */
#define PVHOST_INFO	   PVHOST_IOC(0, _IOC_READ, struct pvhost_info)
#define PVHOST_ADD_REGION  PVHOST_IOC(1, _IOC_WRITE, struct pvhost_region)
#define PVHOST_DEL_REGION  PVHOST_IOC(2, _IOC_WRITE, struct pvhost_region)
#define PVHOST_CREATE_VCPU _IO(0xb7, 3) /* returns the descriptor, close-on-exec */
/*
 * On a vCPU. PVHOST_RUN: 0 and exit_reason is set; -EINTR: a signal is there, or other work
 * the kernel does on its way to user mode: call again; -EBUSY: the vCPU is in use, or this CPU's
 * VMX is off; -EINVAL: `inject` is no event; -EOPNOTSUPP: the thread has non-null segment
 * registers or an LDT.
 */
#define PVHOST_RUN	 _IO(0xb7, 4)
#define PVHOST_SET_STATE PVHOST_IOC(5, _IOC_WRITE, struct pvhost_state)
#define PVHOST_GET_STATE PVHOST_IOC(6, _IOC_READ, struct pvhost_state)

#define PVHOST_ASSERT(offset, member) \
	_Static_assert(offsetof(struct pvhost_run, member) == (offset), #member)
PVHOST_ASSERT(PVHOST_RAX, rax);
PVHOST_ASSERT(PVHOST_RSP, rsp);
PVHOST_ASSERT(PVHOST_RDI, rdi);
PVHOST_ASSERT(PVHOST_R15, r15);
PVHOST_ASSERT(PVHOST_RIP, rip);
PVHOST_ASSERT(PVHOST_RFLAGS, rflags);
PVHOST_ASSERT(PVHOST_CR2, cr2);
PVHOST_ASSERT(PVHOST_REASON, exit_reason);
_Static_assert(sizeof(struct pvhost_run) == 0x130, "run page");
_Static_assert(sizeof(struct pvhost_state) == 112, "state");
_Static_assert(sizeof(struct pvhost_region) == 32, "region");
_Static_assert(sizeof(struct pvhost_info) == 48, "info");
#endif
#endif
