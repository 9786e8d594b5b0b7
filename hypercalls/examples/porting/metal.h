/* SPDX-License-Identifier: MIT */
/* What the kernel of the bare machine has for its drivers. */
#ifndef METAL_H
#define METAL_H

/* Calls the handler, with interrupts disabled, each time this line of the PIC is raised. */
void irq_enable(unsigned int irq, void (*handler)(void));

#endif
