/* SPDX-License-Identifier: MIT */
/* Between the benchmark guest's C and its assembly. */
#ifndef PV_BENCH_H
#define PV_BENCH_H

#define STORE_LENGTH 3 /* of movb $0, (%rsi) */

/* Offsets in struct shared_info, as far as the first vCPU goes; asserted in rows.c. */
#define UPCALL_PENDING 0
#define PENDING_SEL    8
#define PENDING	       2048

#ifndef __ASSEMBLER__
#include <pv/arch.h>

#define ROUNDS 31

/* Loops of n operations; bench_user() returns ticks. */
uint64_t bench_user(unsigned int n, uint64_t address, uint64_t rip);
void bench_iret(unsigned int n);
void bench_faults(unsigned int n, uint64_t address);

/* Entries of the kernel. */
extern char bench_page_fault[], bench_event[], bench_syscall[];
extern uint64_t bench_port;
extern char user_code[], user_faults[], user_code_end[];

/* space.c: two address spaces with a user mode. 0 or -errno */
#define USER_CODE    (1ul << 46)
#define USER_NOTHING (USER_CODE + 4096)
long spaces_make(void);
long space_load(unsigned int nr);
#endif
#endif
