/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest for suites that need VMX: the test's thread borrows an address space and is a process of
 * the driver's; 4 MiB of it are guest-physical 0. guest_init and guest_exit are a suite's.
 */
#ifndef PAVANE_KUNIT_GUEST_H
#define PAVANE_KUNIT_GUEST_H

#include <kunit/test.h>

#include <linux/fs.h>

#include <asm/vmx.h>

#include "../../host-driver/linux/driver.h"

#define GUEST_SIZE    0x400000UL
#define GUEST_TABLES  0x1000 /* the first GiB one to one */
#define GUEST_CODE    0x10000
#define GUEST_DATA    0x20000
#define GUEST_STACK   0x40000
#define GUEST_SCRATCH 0x50000 /* arguments of ioctls */

struct guest {
	struct mm_struct *mm;
	unsigned long mem;
	struct vm *vm;
	struct file *file; /* the vCPU's */
	struct vcpu *v;
	struct pvhost_run *run;
};

int guest_init(struct kunit *test);
void guest_exit(struct kunit *test);
/* A vCPU for g->vm. */
int guest_vcpu(struct guest *g);
long guest_ioctl(struct guest *g, unsigned int cmd, unsigned long arg);
int guest_set_state(struct guest *g, const struct pvhost_state *s);
int guest_get_state(struct guest *g, struct pvhost_state *s);
extern const struct pvhost_state guest_flat; /* the state of a new vCPU */
/* PVHOST_RUN until something is for us: the exit reason, or an error. */
s64 guest_run(struct guest *g);
/* The same from the start of this code. */
s64 guest_run_code(struct guest *g, const u8 *code, size_t size);

/* vmx_test.c: how many CPUs have VMX on. */
unsigned int vmx_cpus(void);

#define RUN(g, ...)                                     \
	({                                              \
		static const u8 code[] = {__VA_ARGS__}; \
		guest_run_code(g, code, sizeof(code));  \
	})

#define VMCALL	     0x0f, 0x01, 0xc1
#define LE32(x)	     (u8)(x), (u8)((x) >> 8), (u8)((x) >> 16), (u8)((x) >> 24)
#define MOV_EAX(x)   0xb8, LE32(x)
#define MOV_ECX(x)   0xb9, LE32(x)
#define MOV_EDX(x)   0xba, LE32(x)
#define MOV_EBX(x)   0xbb, LE32(x)
#define LOAD_EAX(x)  0x8b, 0x04, 0x25, LE32(x)
#define STORE_EAX(x) 0x89, 0x04, 0x25, LE32(x)

#endif
