# SPDX-License-Identifier: MIT
# pvd, the broker: the only process that sees more than one domain.
PVD_SRCS := $(wildcard toolstack/pvd/*.c)
PVD_OBJS := $(PVD_SRCS:%.c=$(B)/%.o)

$(PVD_OBJS): $(B)/%.o: %.c toolstack/pvd/module.mk
	@mkdir -p $(@D)
	$(CC) $(HOSTCFLAGS) -fPIE -D__XEN_TOOLS__ -include stdint.h -c -o $@ $<

$(BIN)/pvd: $(PVD_OBJS) $(B)/toolstack/xenlibs/conn.o $(B)/hypercalls/pvdom/namespaces.o \
		$(VERSION_O)
	@mkdir -p $(@D)
	$(CC) $(SANFLAGS) -pie -Wl,-z,now -o $@ $^ -lpthread

ALL += $(BIN)/pvd

.PHONY: install-pvd
install-pvd: $(BIN)/pvd
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BIN)/pvd $(DESTDIR)$(PREFIX)/bin/
INSTALLS += install-pvd
