/* SPDX-License-Identifier: MIT */
/*
 * A VM without a library: 4 MiB of the process at guest-physical 0, of which the first 2 MiB hold
 * page tables and code, mapped one to one.
 */
#ifndef PVHOST_RAW_H
#define PVHOST_RAW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "host-driver/abi/pvhost.h"

#define RAW_SIZE  0x400000
#define RAW_CODE  0x10000 /* where code is copied to and starts */
#define RAW_DATA  0x20000
#define RAW_STACK 0x40000

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
/* PVHOST_RUN until it is not -EINTR. The exit reason, or -errno. */
int raw_run(struct raw *r);

/* ok/not ok lines and the count of failures. */
extern unsigned passed, failed;
void check(bool ok, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int finish(void);

#endif
