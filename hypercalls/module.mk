# SPDX-License-Identifier: MIT
# pvdom: the monitor (general registers only), the process provider, the process around them.
TRANSLATE     := host-driver/providers/process/translate
TRANSLATE_SRCS := $(wildcard $(TRANSLATE)/*.c)
TRANSLATE_ASM  := $(wildcard $(TRANSLATE)/*.S)
MONITOR_SRCS  := $(filter-out %/emulate.c,$(wildcard hypercalls/monitor/*.c)) hypercalls/pvdom/up.c \
		 $(wildcard host-driver/providers/vtx/*.c) $(TRANSLATE_SRCS) \
		 host-driver/providers/syscall_page.c
PVDOM_SRCS    := $(wildcard hypercalls/pvdom/*.c host-driver/providers/*/*.c) \
		 hypercalls/monitor/emulate.c
PVDOM_SRCS    := $(filter-out $(MONITOR_SRCS),$(PVDOM_SRCS))
# of every program (scripts/version)
VERSION_O      = $(B)/hypercalls/pvdom/version.o
MONITOR_OBJS   = $(MONITOR_SRCS:%.c=$(B)/%.o)
PVDOM_OBJS     = $(PVDOM_SRCS:%.c=$(B)/%.o) $(B)/host-driver/providers/process/entry.o \
		 $(B)/host-driver/providers/vtx/switcher.o $(TRANSLATE_ASM:%.S=$(B)/%.S.o)

# A hypercall must not touch the guest's vector registers.
$(MONITOR_OBJS): $(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -fPIE -mfsgsbase -mgeneral-regs-only -fno-tree-loop-distribute-patterns -c -o $@ $<

$(filter %.o,$(PVDOM_SRCS:%.c=$(B)/%.o)): $(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -fPIE -mfsgsbase -c -o $@ $<

$(B)/host-driver/providers/process/entry.o: host-driver/providers/process/entry.S \
		host-driver/providers/process/direct.h
	@mkdir -p $(@D)
	$(CC) -I. -c -o $@ $<

$(TRANSLATE_ASM:%.S=$(B)/%.S.o): $(B)/%.S.o: %.S $(wildcard $(TRANSLATE)/*.h) \
		host-driver/providers/process/direct.h
	@mkdir -p $(@D)
	$(CC) -I. -c -o $@ $<

# A guest's addresses lie below everything of the monitor's: it must be position-independent.
$(B)/host-driver/providers/vtx/switcher.o: host-driver/providers/vtx/switcher.S \
		host-driver/providers/vtx/fast.S host-driver/providers/vtx/vtx.h
	@mkdir -p $(@D)
	$(CC) -I. -c -o $@ $<

$(BIN)/pvdom: $(MONITOR_OBJS) $(PVDOM_OBJS) $(B)/host-driver/libpavane.a
	@mkdir -p $(@D)
	$(CC) $(SANFLAGS) -pie -Wl,-z,now -o $@ $^ -lZydis -lseccomp -lpthread

ALL += $(BIN)/pvdom

# Asked at every build, two at once it may be, written when it is another.
$(B)/version: FORCE
	@mkdir -p $(@D)
	@scripts/version >$@.$$$$ && { cmp -s $@ $@.$$$$ && rm $@.$$$$ || mv $@.$$$$ $@; }
$(VERSION_O): $(B)/version
$(VERSION_O): HOSTCFLAGS += '-DPAVANE_VERSION="$(shell cat $(B)/version)"'
.PHONY: FORCE
