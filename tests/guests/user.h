/* SPDX-License-Identifier: MIT */
/*
 * Guest user mode for tests: a root that shows the lower 512 GiB, where the image and all that
 * va_alloc() gives lie, so that a function of the test can run in it. What lies above is the
 * kernel's alone.
 */
#ifndef GUEST_USER_H
#define GUEST_USER_H

#include "common.h"

#define KERNEL_ONLY 0x8000000000ul /* an address that the user root lacks */

/* Makes the root and loads it; skips the test where there is no user mode. */
void user_init(void);
bool user_try(void); /* false where there is none */
extern uint64_t *user_root;
/*
 * fn(arg) in user mode, until it returns, makes a system call or takes a trap. Which of these,
 * and with which registers, is in *regs: vector -2 is a system call, and so is a return, with
 * rax = USER_RETURNED.
 */
void user_run(void (*fn)(void *), void *arg, struct trap_regs *regs);
#define USER_RETURNED 0x726574ul
/* The same with flags (TF) of the first instruction. */
void user_run_flags(void (*fn)(void *), void *arg, uint64_t rflags, struct trap_regs *regs);

/* What trap_from_user and syscall_from_user are; for a hook that has seen enough. */
void user_back(struct trap_regs *regs);

#endif
