# SPDX-License-Identifier: MIT
# A program of the toolstack that tests/guests/run-pair starts.
$(BIN)/test-foreign: tests/cli/foreign.c $(LIB)/libxenforeignmemory.so.1
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -D__XEN_TOOLS__ -o $@ $< $(LIB)/libxenforeignmemory.so.1 -lxentoolcore \
		-Wl,--disable-new-dtags '-Wl,-rpath,$$ORIGIN/../lib/pavane'

# Makes a domain's process call the kernel: tests/cli/isolation.
$(BIN)/test-inject: tests/cli/inject.c
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -o $@ $<

# Kill pvctl as it makes a domain, or removes one: tests/cli/faults.sh.
$(BIN)/test-%.so: tests/cli/%.c
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -fPIC -shared -o $@ $<

ALL += $(BIN)/test-foreign $(BIN)/test-inject $(BIN)/test-abandon.so $(BIN)/test-remove.so

# A pvdom that translates one kind of instruction wrongly.
PLANTED := $(B)/tests/cli/pvdom-planted
$(B)/tests/cli/plant.o: tests/cli/plant.c
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -fPIE -mfsgsbase -mgeneral-regs-only -c -o $@ $<

$(PLANTED): $(B)/tests/cli/plant.o $(MONITOR_OBJS) $(PVDOM_OBJS) $(B)/host-driver/libpavane.a
	$(CC) $(SANFLAGS) -pie -Wl,-z,now -Wl,--wrap=lower_insn -o $@ $^ -lZydis -lseccomp -lpthread

ALL += $(PLANTED)
