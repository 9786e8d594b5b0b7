/* SPDX-License-Identifier: MIT */
/*
 * A VM without a library: 4 MiB of the process at guest-physical 0, of which the first 2 MiB hold
 * page tables and code, mapped one to one.
 */
#ifndef PVHOST_RAW_H
#define PVHOST_RAW_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "host-driver/abi/pvhost.h"
#include "tests/pvhost/check.h"

#define RAW_SIZE  0x400000
#define RAW_CODE  0x10000 /* where code is copied to and starts */
#define RAW_DATA  0x20000
#define RAW_STACK 0x40000
#define RAW_FLAG  0x50000  /* guests that count end when this is not 0 */
#define RAW_COUNT 0x200000 /* where they count: an address of a page, by default */

struct raw {
	int vm, vcpu;
	uint8_t *mem;
	struct pvhost_run *run;
};

/* 0, or -1 with errno. */
int raw_open(struct raw *r);
void raw_close(struct raw *r);
/* Put code at RAW_CODE and make it next; the stack is empty. */
void raw_code(struct raw *r, const void *code, unsigned size);
/* One more vCPU of the same VM. The descriptor, or -1 with errno. */
int raw_vcpu(const struct raw *r, struct pvhost_run **run);
/* PVHOST_RUN until it is not -EINTR. The exit reason, or -errno. */
int raw_run(struct raw *r);

/* Guest code as assembly: GUEST(spin, "1: jmp 1b"), then raw_guest(r, spin). Interrupts are on. */
#define GUEST(name, code)                          \
	extern const uint8_t name[], name##_end[]; \
	__asm__(".pushsection .rodata\n" #name ": " code "\n" #name "_end: .popsection")
#define raw_guest(r, name) raw_code_on((r), (name), (name##_end) - (name))
void raw_code_on(struct raw *r, const void *code, unsigned size);

/* A thread that runs the guest until an exit; raw_guest first. */
struct runner {
	struct raw *r;
	pthread_t thread;
	int result; /* of raw_run */
};
void runner_start(struct runner *runner, struct raw *r);
int runner_join(struct runner *runner);
/* Counts at RAW_COUNT until RAW_FLAG is set; then vmcall. */
void runner_count(struct runner *runner, struct raw *r);
int runner_stop(struct runner *runner);

/* Wait until the word changes, at most a minute. */
bool goes_on(const volatile uint64_t *word);
/* How many files of the driver are open, anywhere; -1: the module is not loaded. */
int module_users(void);
/* Likewise, when those that are being closed are. */
int users_left(void);

/* Whoever had one is gone, and so is what belonged to it. */
static inline void check_released(void)
{
	const int users = users_left();

	check(users == 0, "afterwards nothing holds the driver", "%d files open", users);
}

#endif
