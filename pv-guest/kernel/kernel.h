/* SPDX-License-Identifier: MIT */
/* What the parts of the pv-guest kernel tell each other. */
#ifndef KERNEL_H
#define KERNEL_H

#include <pv/arch.h>
#include <pv/lib.h>

/* main.c */
const char *xen_version_string(void); /* "4.17.7" */

/* edit.c: waits for one edited line, without its end; empty if the process is to end. */
void edit_line(const char *prompt, char *buf, size_t size);
void edit_init(void);

/* shell.c */
void shell_run(void) __attribute__((noreturn));
void shell_command(char *line);

/* power.c: obeys the toolstack's requests in control/shutdown. */
void power_init(void);

/* disk.c, diskbench.c, diskstress.c: the command `disk`. */
void disk_command(int argc, char **argv);
long disk_stress(const char *name, uint64_t seed, unsigned int threads, uint64_t ms);
void disk_bench(const char *name, uint64_t bytes, uint64_t ms, const char *only);

/* bench.c */
void bench_run(const char *only);

/* usertest.c: the programs of the ramdisk that test user mode. */
void usertest_run(void);

/* selftest.c: returns the number of failures. */
unsigned int selftest_run(void);
void check(const char *name, bool ok);
void check_eq(const char *name, long got, long want);

/* One part of the self-test each. */
void selftest_hypercalls(void);
void selftest_vcpu(void);
void selftest_events(void);
void selftest_time(void);
void selftest_traps(void);
void selftest_mm(void);
void selftest_pin(void);
void selftest_grants(void);
void selftest_threads(void);

#endif
