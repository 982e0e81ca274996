# What people type. Each target is a script of the same name in scripts/, which says what it does and needs.

.DEFAULT_GOAL := help
.PHONY: help audit test bench kernel-truth kernel-truth-vm kubernetes-truth watch-demo watch-vm fuzz docs

# How many random containers `kernel-truth` starts, and how many the virtual machine does.
N ?= 1000
# What chooses them; each run prints its own.
SEED ?=
# How long each fuzz target runs.
SECONDS ?= 60

help:
	@echo 'make audit            judge this host, its containers and the files under examples/'
	@echo 'make test             install what the tests need and run all of them'
	@echo 'make bench            measure speed and memory, side by side with other tools'
	@echo 'make kernel-truth     compare predictions with a real kernel over N=$(N) random containers'
	@echo 'make kernel-truth-vm  the same on the kernels of a virtual machine, with AppArmor and cgroup v2'
	@echo 'make kubernetes-truth compare the gate with the audit through a real API server, built once'
	@echo 'make watch-demo       start two containers, make harmless attempts in both, show the alerts'
	@echo 'make watch-vm         test the sensor with its security hooks on the kernels of a virtual machine'
	@echo 'make fuzz             fuzz every reader for SECONDS=$(SECONDS) each'
	@echo 'make docs             write the generated documents anew'

audit:
	@scripts/audit

test:
	@scripts/test

bench:
	@scripts/bench

kernel-truth:
	@scripts/kernel-truth --count $(N) $(if $(SEED),--seed $(SEED))

kernel-truth-vm:
	@scripts/kernel-truth-vm $(if $(filter command line,$(origin N)),--count $(N)) $(if $(SEED),--seed $(SEED))

kubernetes-truth:
	@scripts/kubernetes-truth

watch-demo:
	@scripts/watch-demo

watch-vm:
	@scripts/watch-vm

fuzz:
	@fuzz/run $(SECONDS)

docs:
	@scripts/docs
