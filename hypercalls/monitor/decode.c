/* SPDX-License-Identifier: MIT */
/* What emulation needs to know of a guest's instruction. */
#include "hypercalls/monitor/decode.h"

uint64_t *insn_gpr(regs_t *r, ZydisRegister reg)
{
	if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
		return NULL;
	switch (ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg)) {
	case ZYDIS_REGISTER_RAX: return &r->rax;
	case ZYDIS_REGISTER_RCX: return &r->rcx;
	case ZYDIS_REGISTER_RDX: return &r->rdx;
	case ZYDIS_REGISTER_RBX: return &r->rbx;
	case ZYDIS_REGISTER_RSP: return &r->rsp;
	case ZYDIS_REGISTER_RBP: return &r->rbp;
	case ZYDIS_REGISTER_RSI: return &r->rsi;
	case ZYDIS_REGISTER_RDI: return &r->rdi;
	case ZYDIS_REGISTER_R8: return &r->r8;
	case ZYDIS_REGISTER_R9: return &r->r9;
	case ZYDIS_REGISTER_R10: return &r->r10;
	case ZYDIS_REGISTER_R11: return &r->r11;
	case ZYDIS_REGISTER_R12: return &r->r12;
	case ZYDIS_REGISTER_R13: return &r->r13;
	case ZYDIS_REGISTER_R14: return &r->r14;
	case ZYDIS_REGISTER_R15: return &r->r15;
	default: return NULL;
	}
}

/* Up to 15 bytes; fewer when the next page is not mapped. */
void insn_fetch(struct vcpu *v, struct insn *n)
{
	const uint64_t rip = v->regs.rip;

	n->bytes = sizeof(n->byte);
	if (!copy_from_guest(v, n->byte, rip, n->bytes))
		return;
	n->bytes = PAGE_SIZE - (rip & (PAGE_SIZE - 1));
	if (n->bytes >= sizeof(n->byte) || copy_from_guest(v, n->byte, rip, n->bytes))
		n->bytes = 0;
}

bool insn_decode(struct insn *n, size_t skip)
{
	ZydisDecoder decoder;

	return skip < n->bytes &&
	       ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64,
					     ZYDIS_STACK_WIDTH_64)) &&
	       ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, n->byte + skip, n->bytes - skip, &n->i,
						   n->op));
}

bool insn_address(struct vcpu *v, const struct insn *n, const ZydisDecodedOperand *op, uint64_t *va)
{
	const uint64_t *reg;

	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY || op->mem.type != ZYDIS_MEMOP_TYPE_MEM ||
	    n->i.address_width != 64)
		return false;
	*va = op->mem.disp.has_displacement ? op->mem.disp.value : 0;
	if (op->mem.base == ZYDIS_REGISTER_RIP) {
		*va += v->regs.rip + n->i.length;
	} else if (op->mem.base != ZYDIS_REGISTER_NONE) {
		reg = insn_gpr(&v->regs, op->mem.base);
		if (!reg)
			return false;
		*va += *reg;
	}
	if (op->mem.index != ZYDIS_REGISTER_NONE) {
		reg = insn_gpr(&v->regs, op->mem.index);
		if (!reg)
			return false;
		*va += *reg * op->mem.scale;
	}
	if (op->mem.segment == ZYDIS_REGISTER_FS)
		*va += v->fs_base;
	else if (op->mem.segment == ZYDIS_REGISTER_GS)
		*va += v->kernel_mode ? v->gs_base_kernel : v->gs_base_user;
	return true;
}

void insn_done(struct vcpu *v, size_t length)
{
	v->regs.rip += length;
	v->regs.rflags &= ~FLAG_RF;
	if (v->regs.rflags & FLAG_TF && !v->stepping) { /* else it is the debugger's */
		v->debugreg[6] |= DR6_BS;
		trap_deliver(v, VECTOR_DB, -1);
	}
}
