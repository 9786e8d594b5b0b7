/* SPDX-License-Identifier: MIT */
/* The instructions that only ring 0 has: what a port must do without. */
#ifndef X86_H
#define X86_H

#include <stdbool.h>
#include <stdint.h>

#define FLAGS_IF 0x200ul

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static inline void insl(uint16_t port, void *to, unsigned long count)
{
	__asm__ volatile("rep insl" : "+D"(to), "+c"(count) : "d"(port) : "memory");
}

static inline void outsl(uint16_t port, const void *from, unsigned long count)
{
	__asm__ volatile("rep outsl" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}

static inline void cli(void)
{
	__asm__ volatile("cli" ::: "memory");
}

static inline void sti(void)
{
	__asm__ volatile("sti" ::: "memory");
}

/* Nothing can come between the two: sti takes effect behind the next instruction. */
static inline void sti_hlt(void)
{
	__asm__ volatile("sti; hlt" ::: "memory");
}

/* Disables interrupts, and says whether they were enabled. */
static inline bool irq_save(void)
{
	unsigned long flags;

	__asm__ volatile("pushfq; popq %0" : "=r"(flags));
	cli();
	return flags & FLAGS_IF;
}

static inline void irq_restore(bool enabled)
{
	if (enabled)
		sti();
}

#endif
