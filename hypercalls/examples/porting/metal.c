/* SPDX-License-Identifier: MIT */
/* The bare machine's kernel, as little of it as the driver needs: a console, an IDT, the PIC. */
#include <pv/lib.h>
#include "main.h"
#include "metal.h"
#include "x86.h"

#define COM1	     0x3f8
#define COM1_LINE    0x3fb
#define COM1_8N1     0x03
#define COM1_STATUS  0x3fd
#define COM1_READY   0x20
#define PIC1	     0x20
#define PIC2	     0xa0
#define PIC_END	     0x20 /* end of interrupt */
#define FIRST_VECTOR 32
#define GATE	     0x8e00 /* present, interrupt gate */

struct gate {
	uint16_t offset0, selector, type, offset1;
	uint32_t offset2, zero;
};

static struct gate idt[FIRST_VECTOR + 16];
static void (*irq_handler)(void);

void irq_entry(void);
void irq_dispatch(void);
void metal_main(void);

/* pv-guest/lib/printf.c ends here. */
void console_write(const char *s, size_t n)
{
	for (; n--; s++) {
		while (!(inb(COM1_STATUS) & COM1_READY))
			;
		outb(COM1, (uint8_t)*s);
	}
}

void irq_dispatch(void)
{
	outb(PIC2, PIC_END);
	outb(PIC1, PIC_END);
	irq_handler();
}

/* A line of the second PIC, which is behind line 2 of the first. */
void irq_enable(unsigned int irq, void (*handler)(void))
{
	irq_handler = handler;
	outb(PIC1 + 1, (uint8_t) ~(1u << 2));
	outb(PIC2 + 1, (uint8_t) ~(1u << (irq - 8)));
}

static void pic_init(uint16_t pic, uint8_t vector, uint8_t cascade)
{
	outb(pic, 0x11);
	outb(pic + 1, vector);
	outb(pic + 1, cascade);
	outb(pic + 1, 1);
	outb(pic + 1, 0xff); /* all lines masked */
}

static void idt_init(void)
{
	uint64_t entry = (uintptr_t)irq_entry;
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = {sizeof(idt) - 1, (uintptr_t)idt};

	for (unsigned int i = FIRST_VECTOR; i < FIRST_VECTOR + 16; i++)
		idt[i] = (struct gate){.offset0 = (uint16_t)entry,
				       .selector = 8,
				       .type = GATE,
				       .offset1 = (uint16_t)(entry >> 16),
				       .offset2 = (uint32_t)(entry >> 32)};
	__asm__ volatile("lidt %0" ::"m"(pointer));
}

void metal_main(void)
{
	outb(COM1_LINE, COM1_8N1);
	pic_init(PIC1, FIRST_VECTOR, 1u << 2);
	pic_init(PIC2, FIRST_VECTOR + 8, 2);
	idt_init();
	sti();
	kernel_main();
}
