# SPDX-License-Identifier: MIT
# The guests' headers promise to be usable anywhere: each alone in a freestanding file, C11 and C++11,
# with nothing to warn of.
ABI_HEADERS := $(wildcard hypercalls/abi/pavane/*.h)
ABI_CHECKED := $(ABI_HEADERS:hypercalls/abi/pavane/%.h=$(B)/hypercalls/abi/%.checked)
ABI_WARN    := -ffreestanding -Wall -Wextra -Werror -pedantic -Ihypercalls/abi

$(B)/hypercalls/abi/%.checked: hypercalls/abi/pavane/%.h $(ABI_HEADERS) hypercalls/abi/module.mk
	@mkdir -p $(@D)
	@printf '#include <pavane/%s.h>\nextern int nothing;\n' $* >$(@D)/$*.c
	$(CC) -std=c11 -O2 $(ABI_WARN) -c -o $(@D)/$*.o $(@D)/$*.c
	$(CXX) -std=c++11 -O2 $(ABI_WARN) -x c++ -c -o $(@D)/$*.o $(@D)/$*.c
	@touch $@

ALL += $(ABI_CHECKED)
