# SPDX-License-Identifier: MIT
# The translator against the CPU. What runs between the guest's vector registers and the harness's
# is compiled as the monitor is; the cache is small, so that it is full now and then.
TR_DIR   := host-driver/providers/process/translate
TRT_OUT  := $(B)/tests/translate
TRT_GPR  := $(addprefix tests/translate/,guest.c engine.c) $(wildcard $(TR_DIR)/*.c) \
	    hypercalls/monitor/copy.c hypercalls/monitor/trace.c
TRT_ANY  := $(addprefix tests/translate/,native.c case.c gen.c operand.c flow.c templates.c harvest.c \
	    filter.c compare.c fuzz.c pages.c reach.c confine.c) toolstack/pvctl/elf_image.c toolstack/pvctl/scan_unpack.c
TRT_ASM  := tests/translate/native.S $(wildcard $(TR_DIR)/*.S)
TRT_OBJS := $(TRT_GPR:%.c=$(TRT_OUT)/%.o) $(TRT_ANY:%.c=$(TRT_OUT)/%.o) $(TRT_ASM:%.S=$(TRT_OUT)/%.S.o)

$(TRT_GPR:%.c=$(TRT_OUT)/%.o): TRT_FLAGS := -DCODE_SIZE=0x100000UL -mgeneral-regs-only -fno-tree-loop-distribute-patterns
$(TRT_OUT)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -fPIE -mfsgsbase $(TRT_FLAGS) -c -o $@ $<

$(TRT_OUT)/%.S.o: %.S
	@mkdir -p $(@D)
	$(CC) -I. -Itests/translate -MMD -MP -c -o $@ $<

$(TRT_OUT)/fuzz: $(TRT_OBJS)
	$(CC) -pie -o $@ $^ -lZydis -lxenctrl -lxenguest -lxentoollog -lpthread

.PHONY: translate-tests
translate-tests: $(TRT_OUT)/fuzz
