/* SPDX-License-Identifier: MIT */
#ifndef MAIN_H
#define MAIN_H

/* Comes with interrupts enabled. */
void kernel_main(void);

#endif
