/* SPDX-License-Identifier: MIT */
/* PV clock: nanoseconds since the hypervisor started, from the TSC and a page of parameters. */
#ifndef PV_TIME_H
#define PV_TIME_H

#include <stdint.h>

#define MSEC 1000000ul
#define SEC  1000000000ul

uint64_t time_ns(void);
/* Nanoseconds since this guest's arch_main(). */
uint64_t time_since_boot(void);
uint64_t time_wallclock(void);
void time_init(void);
/* kHz of the TSC. */
uint64_t time_tsc_khz(void);

#endif
