/* SPDX-License-Identifier: MIT */
/*
 * Instructions for test_step.c, one entry of step_forms each. rbx, rbp, rsi, rdi and r12 to r14
 * point to memory, rcx is 2, r15 is -1, rsp is on a stack, all others are anything.
 */
#define ANY   0
#define XSAVE 1 /* rdx:rax are states, memory is an area, aligned */
#define CODE  2 /* reads at its own address */
#define BITS  3 /* rax and rdx are numbers of bits nearby */

	.macro	form kind, insn:vararg
	.section .text.forms, "ax", @progbits
77:	\insn
78:
	.section step_table, "aw", @progbits
	.quad	77b, 78b, \kind
	.endm

	.macro	f insn:vararg
	form	ANY, \insn
	.endm

	.section step_table, "aw", @progbits
	.globl	step_forms, step_forms_end
step_forms:

	.irp	op, add, or, adc, sbb, and, sub, xor, cmp
	f	\op %rax, (%rbx)
	f	\op 16(%r13), %r14
	f	\op %r15d, -4(%rbp,%rcx,4)
	f	\op %dx, 0x111(%r12)
	f	\op %ah, (%rbx)
	f	\op (%rsi), %bh
	f	\op %sil, (%rdi)
	f	\op\()l $0x7f, 8(%r14,%r15,8)
	f	\op\()l $-5, 1(%rbx)
	f	\op\()q $0x12345678, (%rdi)
	f	\op\()w $0x1234, (%rdi)
	f	\op\()b $0x12, (%rdi,%rcx)
	f	\op %rax, %rdx
	f	\op %r8, %rsp
	f	\op $8, %rsp
	f	\op $0x1234, %eax
	f	\op %ch, %dl
	f	\op %gs:(%rbx), %rdx
	f	\op %eax, (%ebx,%ecx,2)
	.endr
	.irp	op, add, or, adc, sbb, and, sub, xor
	f	lock \op %rax, (%rbx)
	f	lock \op\()l $1, (%r13)
	.endr
	.irp	op, rol, ror, rcl, rcr, shl, shr, sar
	f	\op\()q %cl, (%rbx)
	f	\op\()l $5, (%r12)
	f	\op\()w (%rsi)
	f	\op\()b $3, 7(%rdi)
	f	\op $3, %rdx
	f	\op %cl, %ah
	.endr
	.irp	op, not, neg, inc, dec, mul, imul, div, idiv
	f	\op\()q (%rbx)
	f	\op\()l (%r12,%rcx,8)
	f	\op\()w 3(%r13)
	f	\op\()b (%rdi)
	f	\op %r8
	f	\op %dh
	.endr
	.irp	op, inc, dec, not, neg
	f	lock \op\()q (%rbx)
	.endr
	.irp	op, bt, bts, btr, btc
	form	BITS, \op %rcx, (%rbx)
	form	BITS, \op %r15, (%rbx)
	form	BITS, \op %r15d, (%rbx)
	form	BITS, \op %r15w, (%rbx)
	form	BITS, \op %rdx, (%rsi)
	form	BITS, \op %eax, (%rdi)
	form	BITS, \op %dx, 64(%rdi)
	form	BITS, \op\()q $33, (%rbx)
	form	BITS, \op %rdx, %rax
	.endr
	form	BITS, lock bts %r15, (%rbx)
	form	BITS, bts %rdx, %gs:(%ebx)
	form	BITS, lock btr %ecx, (%rbx)
	.irp	op, mov, test, xchg
	f	\op %rax, (%rbx)
	f	\op %r14, (%r14)
	f	\op %ah, (%rbx)
	f	\op %r10b, (%rbx)
	f	\op %edi, (%rsi)
	f	\op %r9w, 2(%rbp)
	f	\op %rsp, %rax
	f	\op %dx, %ax
	.endr
	f	mov (%rbx), %rsp
	f	mov (%rsp), %rax
	f	mov %rax, -8(%rsp)
	f	mov 4(%rsp,%rcx,2), %eax
	f	movq $-2, (%rbx)
	f	movabs $0x1122334455667788, %r11
	f	mov $0x1234, %r8d
	form	CODE, mov 77b(%rip), %rax
	form	CODE, add 77b(%rip), %ecx
	form	CODE, movups 77b(%rip), %xmm3
	form	CODE, cmpl $0x1234, 77b(%rip)
	form	CODE, lea 77b(%rip), %rax
	f	lea (%rbx,%rcx,8), %rax
	f	lea 5(%r13), %ax
	f	lea (%ebx), %rax
	f	bswap %rax
	f	bswap %r14d
	f	movbe (%rbx), %rax
	f	movbe %ax, (%r12)
	f	movzbl (%rbx), %eax
	f	movzwl 1(%rbx), %r9d
	f	movsbq (%r12), %r14
	f	movslq (%rdi), %rdi
	f	movsbw %ah, %dx
	f	movnti %rax, (%rbx)
	f	cmovz (%rbx), %rax
	f	cmovnz (%rbx), %r14
	f	cmovc %eax, %edx
	f	setz (%rbx)
	f	setg %ah
	f	cmpxchg %rdx, (%rbx)
	f	lock cmpxchg %r14, (%r12)
	f	lock cmpxchg %ah, (%rbx)
	f	cmpxchg %r8d, %edx
	f	cmpxchg8b (%rsi)
	f	lock cmpxchg8b (%rsi)
	f	cmpxchg16b (%rsi)
	f	lock cmpxchg16b (%r14)
	f	xadd %rax, (%rbx)
	f	lock xadd %r15d, (%rbx)
	f	shld $7, %rax, (%rbx)
	f	shrd %cl, %eax, (%r12)
	f	imul $100, (%rbx), %rax
	f	imul (%rbx), %r14d
	f	bsf (%rbx), %rax
	f	bsr (%rbx), %eax
	f	popcnt (%rbx), %rax
	f	lzcnt (%rbx), %rax
	f	tzcnt (%rbx), %rdx
	f	crc32q (%rbx), %rax
	f	crc32b (%rbx), %eax
	f	andn (%rbx), %rax, %rdx
	f	bextr %rcx, (%rbx), %rax
	f	blsr (%r12), %rdx
	f	bzhi %rcx, (%r14,%rcx,8), %r15
	f	mulx (%rbx), %rax, %r8
	f	pdep (%rbx), %rax, %r14
	f	pext (%rbx), %rax, %r9
	f	rorx $5, (%r13), %rax
	f	sarx %rcx, (%rbx), %rax
	f	adcx (%rbx), %rax
	f	adox (%rbx), %r14
	.irp	op, cdqe, cqo, cwd, lahf, sahf, cmc, clc, stc, cbw, cwde, cltd
	f	\op
	.endr
	f	nop
	f	nopl 8(%rax)
	f	nopw %cs:0x1000(%rax,%rax)
	f	endbr64
	f	pause
	f	mfence
	f	lfence
	f	sfence
	f	prefetcht0 (%rax)
	f	prefetchw (%rax)
	f	clflush (%rbx)
	f	clflushopt (%rbx)
	f	clwb (%r12)

/* The stack. */
	f	push %rax
	f	push %rsp
	f	push %r14
	f	push %ax
	f	push $-3
	f	push $0x12345678
	f	pushw $3
	f	push (%rbx)
	f	pushw (%rbx)
	f	push 8(%rsp)
	f	push %fs
	f	push %gs
	f	pushf
	f	pop %rax
	f	pop %rsp
	f	pop %r15
	f	pop %cx
	f	pop (%rbx)
	f	popw (%r12)
	f	pop 8(%rsp)
	f	pop -8(%rsp)
	f	enter $32, $0
	f	enter $16, $1
	f	enter $16, $3
	f	enterw $16, $2
	f	enter $0xb00, $0
	f	leave
	f	leavew
	f	xlat
	f	xlat %gs:(%rbx)

/* Strings. */
	.irp	op, movsb, movsw, movsl, movsq, stosb, stosw, stosl, stosq, lodsb, lodsw, lodsl, lodsq
	f	\op
	f	rep \op
	.endr
	.irp	op, cmpsb, cmpsw, cmpsl, cmpsq, scasb, scasw, scasl, scasq
	f	\op
	f	repe \op
	f	repne \op
	.endr
	f	rep movsb %gs:(%rsi), (%rdi)
	f	addr32 rep movsl
	f	addr32 stosq
	f	mov %gs, %eax
	f	mov %fs, (%rbx)

/* x87. */
	f	fldl (%rbx)
	f	flds (%rbx)
	f	fldt (%r12)
	f	fstpl (%rbx)
	f	fstpt 3(%rbx)
	f	fildll (%rbx)
	f	fistpl (%rbx)
	f	fistps (%r14,%rcx,2)
	f	faddl (%rbx)
	f	fdivs (%rbx)
	f	fxch %st(2)
	f	fsqrt
	f	fldz
	f	fld1
	f	fcomi %st(1), %st
	f	fnstsw %ax
	f	fnstsw (%rbx)
	f	fnstcw (%rbx)
	f	fldcw (%rbx)
	f	fbld (%rbx)
	f	fbstp (%rbx)
	f	fnclex
	f	fninit
	f	fwait
	f	fnsave (%rbx)
	f	fnstenv (%rbx)
	f	emms
	f	fisttpll (%rbx)

/* MMX, SSE, AVX. */
	f	movq (%rbx), %mm1
	f	paddd (%rbx), %mm2
	f	movq %mm3, (%rbx)
	f	pshufw $0x1b, (%rbx), %mm0
	f	maskmovq %mm1, %mm2
	f	maskmovdqu %xmm1, %xmm9
	f	vmaskmovdqu %xmm8, %xmm2
	.irp	op, movups, movaps, movupd, movapd, movdqu, movdqa
	f	\op (%rbx), %xmm1
	f	\op %xmm9, 16(%r13)
	f	v\op 32(%r12), %ymm14
	f	v\op %ymm3, (%rsi,%rcx,8)
	f	v\op %ymm13, (%r14)
	.endr
	.irp	op, movss, movsd
	f	\op (%rbx), %xmm1
	f	\op %xmm10, 3(%r12)
	f	v\op (%rbx), %xmm11
	f	v\op %xmm2, %xmm3, %xmm4
	.endr
	.irp	op, addps, mulpd, subss, divsd, minps, maxpd, andps, xorps, unpcklps
	f	\op (%rbx), %xmm1
	f	v\op (%rbx), %xmm1, %xmm12
	f	v\op 64(%r14), %xmm11, %xmm2
	.endr
	.irp	op, paddb, psubq, pxor, pand, pcmpeqd, pmulld, pshufb, pmaddwd, punpcklbw, pminud
	f	\op 16(%rbx), %xmm1
	f	\op %xmm8, %xmm15
	f	v\op (%rbx), %ymm1, %ymm12
	f	v\op 32(%r12,%rcx,8), %ymm11, %ymm2
	.endr
	f	cvtsi2sdq (%rbx), %xmm1
	f	cvttsd2si (%rbx), %rax
	f	cvtsd2si %xmm1, %r14
	f	cvtps2pd (%rbx), %xmm4
	f	ucomisd (%rbx), %xmm1
	f	comiss %xmm1, %xmm2
	f	sqrtsd (%rbx), %xmm5
	f	rcpps (%rbx), %xmm5
	f	movhps (%rbx), %xmm1
	f	movlpd %xmm1, (%rbx)
	f	movmskps %xmm1, %eax
	f	pmovmskb %xmm3, %r14d
	f	movd %xmm1, (%rbx)
	f	movq %xmm9, %r15
	f	movntdq %xmm1, (%rbx)
	f	movntdqa (%rbx), %xmm1
	f	lddqu (%rbx), %xmm1
	f	pinsrw $3, (%rbx), %xmm1
	f	pextrb $5, %xmm1, (%rbx)
	f	pextrq $1, %xmm1, %r14
	f	insertps $0x10, (%rbx), %xmm1
	f	pshufd $0x1b, (%rbx), %xmm1
	f	palignr $3, (%rbx), %xmm1
	f	pmovzxbd (%rbx), %xmm1
	f	vpmovsxwd (%rbx), %ymm9
	f	pblendvb %xmm0, (%rbx), %xmm2
	f	vblendvps %ymm1, (%rbx), %ymm2, %ymm3
	f	roundsd $3, (%rbx), %xmm1
	f	dppd $0x31, (%rbx), %xmm1
	f	ptest (%rbx), %xmm1
	f	mpsadbw $1, (%rbx), %xmm1
	f	phminposuw (%rbx), %xmm1
	f	pcmpestri $0, (%rbx), %xmm1
	f	pcmpistrm $0x44, (%rbx), %xmm1
	f	aesenc (%rbx), %xmm1
	f	aeskeygenassist $1, (%rbx), %xmm1
	f	pclmulqdq $1, (%rbx), %xmm1
	f	sha1nexte (%rbx), %xmm1
	f	sha256rnds2 %xmm0, (%rbx), %xmm1
	f	gf2p8mulb (%rbx), %xmm1
	f	vbroadcastss (%rbx), %ymm1
	f	vbroadcasti128 (%rbx), %ymm9
	f	vpbroadcastb (%rbx), %xmm9
	f	vinserti128 $1, (%rbx), %ymm1, %ymm2
	f	vextracti128 $1, %ymm1, (%rbx)
	f	vperm2i128 $0x31, (%rbx), %ymm1, %ymm2
	f	vpermq $0x1b, (%rbx), %ymm2
	f	vpermd (%rbx), %ymm1, %ymm2
	f	vpsllvd (%rbx), %ymm1, %ymm2
	f	vfmadd231pd (%rbx), %ymm1, %ymm2
	f	vfnmsub132ss (%r12), %xmm11, %xmm2
	f	vcvtph2ps (%rbx), %ymm1
	f	vcvtps2ph $0, %ymm1, (%rbx)
	f	vzeroupper
	f	vzeroall
	f	vtestps (%rbx), %ymm1
	f	vstmxcsr (%rbx)
	f	stmxcsr (%rbx)
	f	ldmxcsr (%rbx)
	.irp	op, vmaskmovps, vmaskmovpd, vpmaskmovd, vpmaskmovq
	f	\op (%rbx), %ymm1, %ymm2
	f	\op %xmm1, %xmm12, (%rdi)
	f	\op 8(%rbx), %xmm11, %xmm2
	f	\op %ymm1, %ymm2, 16(%r12,%rcx,4)
	.endr
	.irp	op, vgatherdps, vpgatherdd
	f	\op %ymm1, (%rbx,%ymm6), %ymm3
	f	\op %xmm1, 4(%r12,%xmm7,2), %xmm13
	.endr
	.irp	op, vgatherdpd, vpgatherdq
	f	\op %ymm1, (%rbx,%xmm6), %ymm3
	f	\op %xmm10, 4(%r12,%xmm7,8), %xmm13
	.endr
	.irp	op, vgatherqps, vpgatherqd
	f	\op %xmm1, (%rbx,%ymm5,4), %xmm3
	f	\op %xmm10, 4(%r12,%xmm5), %xmm13
	.endr
	.irp	op, vgatherqpd, vpgatherqq
	f	\op %ymm1, (%rbx,%ymm5,4), %ymm3
	f	\op %xmm10, 4(%r12,%xmm5), %xmm13
	.endr


/* Areas. */
	form	XSAVE, fxsave (%rbx)
	form	XSAVE, fxsave64 64(%r13)
	form	XSAVE, fxrstor (%rbx)
	form	XSAVE, fxrstor64 (%r12)
	form	XSAVE, xsave (%rbx)
	form	XSAVE, xsave64 (%r12)
	form	XSAVE, xsaveopt64 (%rbx)
	form	XSAVE, xsavec64 (%rbx)
	form	XSAVE, xsavec 64(%r14)
	form	XSAVE, xrstor (%rbx)
	form	XSAVE, xrstor64 (%r13)

/* None, or not in ring 3. */
	f	ud2
	f	ud1 (%rbx), %rax
	.section step_table, "aw", @progbits
step_forms_end:

	.section .note.GNU-stack,"",@progbits
