/* SPDX-License-Identifier: MIT */
/*
 * Pieces of 32-bit code for test_step32.c, each copied to CODE_VA. A piece may use all registers
 * and the data and stack of tests/translate/dfuzz.h: esi and edi point into the data, esp and ebp
 * into the stack. Labels 1 to 6 are its own; AT(1f) is such a one's address.
 */
#ifndef PAVANE_CASES32_H
#define PAVANE_CASES32_H

#include <stdint.h>

struct case32 {
	const char *text;
	const uint8_t *start, *end;
	uint64_t undefined; /* flags that the CPU is free to choose */
};
extern const struct case32 __start_cases32[], __stop_cases32[];

#define AT(label) "(" label " - 8b + 0x40000000)"
#define CASE(undefined, text)                                                                     \
	__asm__(".pushsection cases32, \"aw\"\n.quad 7f, 8f, 9f, " #undefined                     \
		"\n.popsection\n.pushsection .rodata\n7: .string \"" text "\"\n8: .code32\n" text \
		"\n9: .code64\n.popsection")

/* clang-format off */
/* ---- registers, and what 64-bit mode has for prefixes ---- */
CASE(0, "inc %eax");
CASE(0, "dec %edi; inc %esp; dec %bp");
CASE(0, "add %ebx, %eax; adc $5, %ecx");
CASE(0, "mov %ah, %bl; xchg %eax, %edx; bswap %ecx");
CASE(0xd4, "mul %ebx");
CASE(0, "cwde; cdq; lahf; sahf");
CASE(0, ".byte 0x82, 0xc3, 0x11");
CASE(0, "lea 5(%eax,%ecx,8), %edx; lea -3(%esp), %bx");
CASE(0, "lea 0x12345678, %eax; lea 0(,%ebx,4), %ecx");
CASE(0, ".byte 0x67, 0x8d, 0x40, 0xf0");
CASE(0, "setc %al; cmovb %esi, %edx; movzbl %ch, %edi");
CASE(0x894, "bt %eax, %ebx");
CASE(0, ".byte 0xd6");
CASE(0, "cld; std; clc; cmc");
CASE(0x810, "shl %cl, %eax; and $15, %cl; rorl $3, %edx; shld $4, %eax, %ebx");
CASE(0xd4, "mov $7, %ecx; mov $1, %edx; and $3, %dl; div %ecx");

/* ---- memory ---- */
CASE(0, "mov (%esi), %eax; mov %ebx, 4(%edi); add %ecx, (%esi)");
CASE(0, "mov 0x50000120, %eax; mov %eax, 0x50000ffe; mov %al, 0x50000100;"
	"mov 0x50000ffd, %ax");
CASE(0, "mov %edx, 0x50000ffd; mov 0x50001ffe, %ebx");
CASE(0, "mov %ah, (%esi); mov 3(%edi), %ch; addb $3, (%esi)");
CASE(0x10, "and $1023, %ecx; mov (%esi,%ecx), %eax; incl (%edi)");
CASE(0, "mov -4(%ebp), %eax; mov 8(%esp), %edx; pushl 4(%esp); popl (%esi)");
CASE(0, "xadd %eax, (%esi); lock cmpxchg8b 8(%esi); xchg %ecx, (%edi)");
CASE(0x894, "and $0x1fff, %ecx; btsl %ecx, 0x50001400; btcl $3, (%esi)");
CASE(0x894, "or $-64, %ecx; btrl %ecx, 0x50001400");
CASE(0, "movzwl (%esi), %eax; movsbl 1(%edi), %ecx");
CASE(0, ".byte 0x67, 0x8b, 0x06, 0x34, 0x12");
CASE(0, "mov %eax, 0x50003000");
CASE(0, "mov 0x50004000, %eax");
CASE(0, "movl $7, 0x50002ffe");
CASE(0, "mov $0xfffffff0, %ebx; mov 0x50001020(%ebx), %eax;"
	"mov %eax, 0x50001020(%ebx,%ebx)");
CASE(0, "fildl (%esi); fistpl (%edi)");
CASE(0, "movdqu (%esi), %xmm1; movdqu %xmm1, 16(%edi); movd %xmm1, %eax");
CASE(0, "vmovdqu (%esi), %ymm1; vmovdqu %ymm1, (%edi); vpaddd (%esi), %ymm1, %ymm2");
CASE(0x8d5, "mov %esi, %ebx; xlat; andn (%esi), %ecx, %eax; bextr %eax, (%esi), %edx");

/* ---- the stack ---- */
CASE(0, "push %eax; push $-2; push $0x12345678; pop %ecx; push %esp; pop %ebx; pop %esp");
CASE(0, "pusha; pushaw; mov %ecx, 8(%esp); popaw; popa");
CASE(0, "pusha; popa; pushw %ax; pushw $3; popw %cx");
CASE(0, "pushf; andl $0xfffffeff, (%esp); popf; pushfw; popfw");
CASE(0, "enter $32, $0; leave; enter $8, $3; leave");
CASE(0, "push %ds; push %es; push %ss; push %cs; pop %eax; pop %ebx; pop %es; pop %ds");
CASE(0, "mov $0x60001004, %esp; push %eax; push %ebx");
CASE(0, "popl 4(%esp); popl (%edi); pushl (%esi)");

/* ---- decimal, bounds ---- */
CASE(0x800, "daa");
CASE(0x800, "das");
CASE(0x8c4, "aaa");
CASE(0x8c4, "aas");
CASE(0x811, "aam");
CASE(0x811, "aad");
CASE(0x811, "aam $7; aad $19");
CASE(0, "aam $0");
CASE(0, "bound %ecx, 0x50000080");
CASE(0, "movl $-5, (%esi); movl $9, 4(%esi); mov $9, %eax; bound %eax, (%esi); inc %eax;"
	"bound %eax, (%esi)");
CASE(0, "arpl %ax, %bx; arpl %cx, (%esi)");

/* ---- strings ---- */
CASE(0, "and $0xff, %ecx; cld; rep movsb; movsl; lodsb; stosw");
CASE(0, "and $0x3ff, %ecx; cld; rep stosl");
CASE(0, "and $0x3f, %ecx; std; rep movsw; cld");
CASE(0x10, "and $0xff, %ecx; cld; repne scasb; cmpsl");
CASE(0x10, "and $0x3ff, %ecx; mov %esi, %edi; add $4, %edi; cld; repe cmpsl");
CASE(0x10, "mov $0x50003ff0, %edi; mov $9, %ecx; cld; mov $0x50000000, %esi;"
	"xchg %esi, %edi; rep movsl");
CASE(0, "mov $0, %ecx; rep movsb; and $3, %ax; .byte 0x67; rep stosb");

/* ---- control ---- */
CASE(0, "jz 1f; inc %eax; 1: jg 2f; dec %ebx; 2: jp 3f; nop; 3:");
CASE(0, "and $7, %ecx; inc %ecx; 1: add %ecx, %eax; loop 1b; jecxz 2f; inc %ebx; 2:");
CASE(0, "and $7, %cx; inc %cx; 1: inc %eax; .byte 0x67; loop 1b; .byte 0x67; jecxz 2f;"
	"inc %ebx; 2:");
CASE(0, "and $7, %ecx; inc %ecx; 1: dec %edx; loopne 1b; loope 2f; 2:");
CASE(0, "call 1f; jmp 2f; 1: pop %eax; push %eax; ret; 2:");
CASE(0, "call 1f; jmp 2f; 1: mov (%esp), %eax; push %edx; push %ecx; mov %eax, (%esp);"
	"ret $4; 2: inc %eax");
CASE(0, "mov $" AT("1f") ", %eax; jmp *%eax; ud2; 1: call 2f; jmp 3f; 2: inc %ebx; ret; 3:");
CASE(0, "movl $" AT("1f") ", (%esi); call *(%esi); jmp 2f; 1: inc %eax; ret; 2:");
CASE(0, "movl $" AT("1f") ", (%esi); jmp *(%esi); ud2; 1: inc %eax");
CASE(0x10, "mov $50, %ecx; 1: call 2f; dec %ecx; jnz 1b; jmp 3f; 2: push %ebp;"
	"mov %esp, %ebp;"
	   "xor %ecx, %eax; mov %eax, -8(%ebp); add (%esi), %eax; leave; ret; 3:");
CASE(0, "mov $0x12345678, %eax; jmp *%eax");
CASE(0, "int3");
CASE(0, "into");
CASE(0, "ud2");
CASE(0, "mov %eax, %cr0");
CASE(0, "hlt");

/* ---- far: the same selectors as the host's Linux has ---- */
CASE(0, "ljmp $0x23, $" AT("1f") "; ud2; 1: inc %eax");
CASE(0, "lcall $0x23, $" AT("1f") "; jmp 2f; 1: lret; 2:");
CASE(0, "push %eax; lcall $0x23, $" AT("1f") "; jmp 2f; 1: lret $4; 2:");
CASE(0, "movl $" AT("1f") ", (%esi); movl $0x23, 4(%esi); ljmp *(%esi); ud2; 1: inc %eax");
CASE(0, "movl $" AT("1f") ", (%esi); movl $0x23, 4(%esi); lcall *(%esi); jmp 2f; 1: lret;"
	"2:");
CASE(0, "pushf; andl $0xfffffeff, (%esp); push %cs; push $" AT("1f") "; iret; ud2;"
	"1: inc %eax");
CASE(0, "mov %esp, %esp; ljmp $0x33, $" AT("1f") "; 1: .code64;"
	"movabs $0x123456789abcdef0, %r9; inc %r10;"
	"pushq $0x23; pushq $" AT("2f") "; lretq; 2: .code32; inc %eax");
CASE(0, "mov %esp, %esp; lcall $0x33, $" AT("1f") "; jmp 2f; 1: .code64; inc %r11d;"
	"lretl; .code32; 2: inc %eax");
CASE(0, "mov %esp, %esp; ljmp $0x33, $" AT("1f") "; 1: .code64; mov %rsp, %rax;"
	"pushq $0x2b; push %rax; pushq $0x202;"
	"pushq $0x23; pushq $" AT("2f") "; iretq; 2: .code32; inc %ebx");
CASE(0, "ljmp $0x2b, $" AT("1f") "; 1:");
CASE(0, "push $0x10; push $0; lret");
CASE(0, "movl $0x123, (%esi); movl $0x2b, 4(%esi); les (%esi), %eax; lds (%esi), %ebx;"
	"lss (%esi), %ecx;");
CASE(0x10, "mov $0x2b, %eax; mov %eax, %es; mov %es, %ebx; mov %ds, (%esi); mov %ss, %cx;"
	   "lar %eax, %edx; and $0xf0ff00, %edx; verr %ax; lsl %eax, %ecx");
CASE(0, "xor %eax, %eax; mov %eax, %es; stosb");
/* clang-format on */

#endif
