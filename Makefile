# SPDX-License-Identifier: GPL-2.0-only
# Hotrail. `make help` says what there is; V=1 shows commands, O=DIR builds elsewhere,
# SAN=address,undefined builds with sanitizers, COVERAGE=1 with gcov counters.

O ?= build
prefix ?= /usr/local
DESTDIR ?=
CC ?= gcc
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(patsubst $(O)/%,%,$@);)

VERSION := 0.1.0
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-unused-parameter
CFLAGS ?= -O2 -g
cflags := -std=gnu11 $(CFLAGS) $(WARN) -fno-strict-aliasing -fno-math-errno -pthread -D_GNU_SOURCE \
	-DHOTRAIL_VERSION='"$(VERSION)"' -DHOTRAIL_PREFIX='"$(prefix)"' -Iinclude -Ivmm -I. $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer) \
	$(if $(COVERAGE),--coverage)
# Nothing of libm is needed while the compiler has all of it built in, and it is large (vmm/show/number.c).
libs := -lZydis -ljansson -lelf -llz4 -lz -llzma -lzstd -lbz2 -lncursesw -ltinfo -pthread -Wl,--as-needed -lm

sources := $(sort $(wildcard vmm/*/*.c protocol/*.c))
objects := $(sources:%.c=$(O)/%.o) $(O)/vm-images/yard/reference.o
unit := $(patsubst tests/%.c,$(O)/tests/%,$(sort $(wildcard tests/unit/test_*.c)))
guest-tests := $(patsubst tests/%.c,$(O)/tests/%,$(sort $(wildcard tests/kvm/test_*.c tests/hostile/test_*.c)))
benches := $(patsubst tests/%.c,$(O)/tests/%,$(sort $(wildcard tests/bench/bench_*.c)))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all help deps demo lint bench fuzz install clean images

all: $(O)/hotrail images

include scripts/deps.mk vm-images/yard/yard.mk vm-images/nested/nested.mk guest-agent/agent.mk tests/tests.mk
-include vmm/machine/machine.mk vmm/guest/guest.mk vm-images/linux/linux.mk
-include $(objects:.o=.d) $(O)/vmm/main.d

$(objects) $(O)/vmm/main.o: | $(O)/.deps-build

$(O)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(cflags) -MMD -MP -c -o $@ $<

$(O)/libhotrail.a: $(objects)
	$(call say,AR)rm -f $@ && $(AR) rcs $@ $^

$(O)/hotrail: $(O)/vmm/main.o $(O)/libhotrail.a
	$(call say,LD)$(CC) $(cflags) -o $@ $^ $(libs)

install: all
	install -d $(DESTDIR)$(prefix)/bin $(DESTDIR)$(prefix)/share/hotrail \
		$(addprefix $(DESTDIR)$(prefix)/share/man/man,1 5 7)
	install -m 755 $(O)/hotrail $(DESTDIR)$(prefix)/bin/hotrail
	install -m 644 $(filter-out %/yard-hostile-high.img %/yard-hostile-low.img,$(yard-images)) $(DESTDIR)$(prefix)/share/hotrail
	install -m 644 $(wildcard docs/*.1) $(DESTDIR)$(prefix)/share/man/man1
	install -m 644 $(wildcard docs/*.5) $(DESTDIR)$(prefix)/share/man/man5
	install -m 644 $(wildcard docs/*.7) $(DESTDIR)$(prefix)/share/man/man7

clean:
	rm -rf $(O)

help:
	@echo 'make            build $(O)/hotrail and the yard guest images'
	@echo 'make demo       watch Hotrail do its job: launch, find, promote, undo'
	@echo 'make check      all tests that can run here; says what was skipped and why'
	@echo 'make check-unit / check-kvm / check-rig / check-linux   parts of it (rig: real KVM in an'
	@echo '                emulated machine; linux: Debian kernels as guests)'
	@echo 'make check-cycles   1000 promotions and demotions of a whole kernel under load'
	@echo 'make check-agent   the in-guest agent in full: 1000 cycles, modules that come and go'
	@echo 'make lint       layers, formatting, static analysis'
	@echo 'make bench      hotrail bench micro, tailcall and yard, edge table'
	@echo 'make bench-linux / bench-agent   with a Linux guest; -rig: in an emulated machine'
	@echo 'make fuzz       each fuzz target for FUZZ_SECONDS (60)'
	@echo 'make linux-images   Debian kernel and root file systems for Linux guests, under $(O)/linux'
	@echo 'make agent      the in-guest agent for the kernels of guest-agent/kernels, and its relay'
	@echo 'make install-agent  its source for DKMS under /usr/src, and the relay'
	@echo 'make deps       install the Debian packages of scripts/packages'
	@echo 'make install    prefix=$(prefix) DESTDIR='
	@echo 'V=1 show commands  O=DIR build folder  SAN=address,undefined  COVERAGE=1'
