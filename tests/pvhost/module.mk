# SPDX-License-Identifier: MIT
# Programs that try the driver without a library, for the lab.
PVHOST_TESTS := $(addprefix $(B)/tests/pvhost/,exits exit fuzz hotplug kill leak many memory others \
	poweroff pressure refused share suspend unload)

$(PVHOST_TESTS): $(B)/tests/pvhost/%: tests/pvhost/%.c tests/pvhost/raw.c tests/pvhost/raw.h tests/pvhost/check.h \
		host-driver/abi/pvhost.h
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -static -pthread -o $@ $< tests/pvhost/raw.c

ALL += $(PVHOST_TESTS)
