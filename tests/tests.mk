# SPDX-License-Identifier: GPL-2.0-only
# Test programs: one a file, each its own process, found by name.

.PHONY: check check-unit check-kvm check-rig check-linux check-cycles check-agent

$(O)/tests/%.o: tests/%.c | $(O)/.deps-check
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(cflags) -MMD -MP -c -o $@ $<

$(O)/tests/%: $(O)/tests/%.o $(O)/libhotrail.a
	$(call say,LD)$(CC) $(cflags) -o $@ $^ -lcunit $(libs)

-include $(wildcard $(O)/tests/*/*.d)

# Where there is no usable /dev/kvm, or one without hardware virtualisation, the tests that start guests
# also run under real KVM in the nested rig, each in a boot of its own.
have-kvm := $(shell test -r /dev/kvm -a -w /dev/kvm && grep -qwE 'vmx|svm' /proc/cpuinfo && echo yes)
rig := $(foreach t,$(filter $(O)/tests/hostile/test_guest% $(O)/tests/kvm/%,$(guest-tests)),$(t:$(O)/tests/%=rig/%)=tests/rig.sh:$(t))
linux-programs := $(patsubst tests/%.c,$(O)/tests/%,$(sort $(wildcard tests/linux/test_*.c)))
linux := $(foreach t,$(sort $(wildcard tests/linux/test_*.sh)) $(linux-programs),\
	linux/$(basename $(notdir $(t)))=tests/linux.sh:$(t))

# The in-guest agent's module under QEMU's software CPU.
# Slots are changed under tasks that are preempted anywhere. Debian's 6.12, too; and kernels in which
# nothing is to be promoted: one tracks call depth, which needs a CPU with the Retbleed of Intel.
agent-program := $(O)/tests/agent/test_module $(O)/tests/agent/test_pairs $(O)/tests/agent/test_refused
agent := agent/module=tests/agent.sh agent/pairs=tests/agent.sh:$(O)/tests/agent/test_pairs:preempt=full \
	agent/module-6.12=env:AGENT_CYCLES=2:tests/agent.sh:--kernel:6.12 \
	agent/refused-call-depth=tests/agent.sh:--kernel:6.12:--cpu:Skylake-Server:--refusal:depth:$(O)/tests/agent/test_refused:retbleed=stuff \
	agent/refused-no-retpolines=tests/agent.sh:--refusal:retpolines:$(O)/tests/agent/test_refused:spectre_v2=off

# An emulated machine is slow; every test program has a time limit of its own.
rig-time = TEST_LIMIT_S=$(or $(TEST_LIMIT_S),2000)
test-env = O=$(O) HOTRAIL=$(abspath $(O))/hotrail HOTRAIL_IMAGES=$(abspath $(O))/yard

check: all $(unit) $(guest-tests) $(linux-programs) $(agent-program)
	$(Q)scripts/deps.sh rig || true
	$(Q)$(test-env) $(rig-time) tests/run.sh $(O) $(unit) $(guest-tests) $(if $(have-kvm),,$(rig)) $(linux) $(agent)

check-unit: $(unit)
	$(Q)$(test-env) tests/run.sh $(O) $(unit)

check-kvm: all $(guest-tests)
	$(Q)$(test-env) tests/run.sh $(O) $(guest-tests)

check-rig: all $(guest-tests)
	$(Q)scripts/deps.sh rig
	$(Q)$(test-env) $(rig-time) tests/run.sh $(O) $(rig)

check-linux: $(O)/hotrail $(linux-programs)
	$(Q)scripts/deps.sh rig || true
	$(Q)$(test-env) $(rig-time) tests/run.sh $(O) $(linux)

# The agent in full. Its module alone with AGENT_CYCLES unloads and loads of modules, its own and one
# with promotions; then with our monitor: CYCLES promotions and demotions, as many in turn with the
# host, and a tenth as many comings and goings of a module, under load.
AGENT_CYCLES ?= 100
CYCLES ?= 1000
check-agent: all $(agent-program) $(O)/tests/linux/test_agent
	$(Q)scripts/deps.sh rig || true
	$(Q)$(test-env) AGENT_CYCLES=$(AGENT_CYCLES) HOTRAIL_CYCLES=$(CYCLES) TEST_LIMIT_S=28000 \
		LINUX_LIMIT_S=$(or $(LINUX_LIMIT_S),9000) \
		tests/run.sh $(O) $(agent) linux/test_agent=tests/linux.sh:$(O)/tests/linux/test_agent

# All sites with a learned target promoted and demoted CYCLES times, nginx, redis and dbench running: minutes.
check-cycles: $(O)/hotrail $(O)/tests/linux/test_cycles
	$(Q)scripts/deps.sh rig || true
	$(Q)$(test-env) HOTRAIL_CYCLES=$(CYCLES) LINUX_LIMIT_S=$(or $(LINUX_LIMIT_S),3600) TEST_LIMIT_S=12000 \
		tests/run.sh $(O) linux/test_cycles=tests/linux.sh:$(O)/tests/linux/test_cycles

lint: $(O)/.deps-build
	$(Q)scripts/deps.sh lint || true
	$(Q)tests/lint/lint.sh

bench: all $(benches)
	$(Q)$(foreach b,$(benches),$(b) &&) true
	$(Q)$(O)/hotrail bench micro
	$(Q)$(O)/hotrail bench tailcall
	$(Q)$(O)/hotrail bench yard

demo: all
	$(Q)HOTRAIL=$(O)/hotrail HOTRAIL_IMAGES=$(abspath $(O))/yard scripts/demo.sh

# libFuzzer programs are built from sources by clang, apart from the ordinary objects.
FUZZ_SECONDS ?= 60
fuzzers := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
fuzz-cflags := -std=gnu11 -O1 -g -fno-omit-frame-pointer -D_GNU_SOURCE -DHOTRAIL_VERSION='"$(VERSION)"' \
	-Iinclude -Ivmm -I. -fsanitize=address,undefined -fno-sanitize-recover=undefined

$(O)/fuzz/objects/%.o: %.c | $(O)/.deps-fuzz
	@mkdir -p $(@D)
	$(call say,CLANG)clang $(fuzz-cflags) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

$(O)/fuzz/libhotrail.a: $(objects:$(O)/%=$(O)/fuzz/objects/%)
	$(call say,AR)rm -f $@ && ar rcs $@ $^

$(O)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(O)/fuzz/libhotrail.a
	$(call say,CLANG)clang $(fuzz-cflags) -fsanitize=fuzzer -o $@ $^ $(libs)

fuzz: $(fuzzers)
	$(Q)for f in $(fuzzers); do \
		n=$$(basename $$f); mkdir -p $(O)/fuzz/corpus/$$n; echo "fuzz: $$n for $(FUZZ_SECONDS) s"; \
		$$f -max_total_time=$(FUZZ_SECONDS) -timeout=5 -rss_limit_mb=2048 -print_final_stats=1 \
			-artifact_prefix=$(O)/fuzz/$$n- $(O)/fuzz/corpus/$$n $$(ls -d tests/data/$$n 2>/dev/null) \
			>$(O)/fuzz/$$n.log 2>&1 || { tail -n 30 $(O)/fuzz/$$n.log; exit 1; }; \
		grep -E 'number_of_executed_units|new_units_added' $(O)/fuzz/$$n.log | sed 's/^/  /'; done
