# SPDX-License-Identifier: MIT
# The examples. (The library's variable is not set yet where this is read: its file by name.)
EXAMPLES     := $(addprefix $(B)/host-driver/examples/,sandbox gc compartments)
SANDBOX_SRC  := $(wildcard host-driver/examples/sandbox/*.c)
EXAMPLES_LIB := $(B)/host-driver/libpavane.a

$(B)/host-driver/examples/sandbox: $(SANDBOX_SRC) $(wildcard host-driver/examples/sandbox/*.h) \
		host-driver/libpavane/pavane.h $(EXAMPLES_LIB)
	@mkdir -p $(@D)
	$(CC) $(filter-out -MMD -MP,$(HOSTCFLAGS)) -pthread -o $@ $(SANDBOX_SRC) $(EXAMPLES_LIB)

$(B)/host-driver/examples/%: host-driver/examples/%.c host-driver/libpavane/pavane.h \
		tests/pvhost/check.h $(EXAMPLES_LIB)
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -pthread -o $@ $< $(EXAMPLES_LIB)

ALL += $(EXAMPLES)
