/* SPDX-License-Identifier: MIT */
/*
 * A 32-bit program without a library: getpid by the entry that the kernel names in AT_SYSINFO
 * and by int 0x80 must agree. Exits with 32.
 */
#define AT_SYSINFO 32
#define EXIT	   1
#define GETPID	   20

	.text
	.globl	_start
_start:
	mov	(%esp), %eax		/* argc, argv, 0, environment, 0, auxiliary vector */
	lea	8(%esp,%eax,4), %esi
1:	lodsl
	test	%eax, %eax
	jnz	1b
2:	lodsl
	mov	%eax, %ecx
	lodsl
	cmp	$AT_SYSINFO, %ecx
	je	3f
	test	%ecx, %ecx
	jnz	2b
	mov	$1, %ebx		/* none: not what we came for */
	jmp	4f
3:	mov	%eax, %edi
	mov	$100, %esi
5:	mov	$GETPID, %eax
	call	*%edi
	mov	%eax, %ebp
	mov	$GETPID, %eax
	int	$0x80
	mov	$2, %ebx
	cmp	%eax, %ebp
	jne	4f
	dec	%esi
	jnz	5b
	mov	$32, %ebx
4:	mov	$EXIT, %eax
	int	$0x80

	.section .note.GNU-stack,"",@progbits
