# Each target is what a person could type; README.md says when.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export LAB_NAME ?= lab
INVENTORY ?= inventory/lab
BIN := .venv/bin
PLAYBOOK := $(BIN)/ansible-playbook
# `su` without `-` makes root with the path of a user, on which apt-cacher-ng and chroot are not.
export PATH := $(CURDIR)/$(BIN):$(PATH):/usr/sbin:/sbin
# Ansible ignores the ansible.cfg of a directory that everyone may write to, unless it is named here.
export ANSIBLE_CONFIG ?= $(CURDIR)/ansible.cfg
# ssh brings the locale of where one comes from; without it here, or with one not of UTF-8, Ansible does not start.
export LC_ALL := C.UTF-8
# A new machine may be upgrading itself: wait for that as the lab does, and ask nobody.
APT := DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300

.PHONY: test-packages help lab lab-shell lab-machines lab-down lab-secrets \
        deploy plan verify option-lists lint unit molecule test test-slow mutations bench bench-scale

help:
	@sed -n 's/^## //p' Makefile

# Python packages, locked. Debian keeps venv in a package of its own.
.venv: .venv/.complete
.venv/.complete: requirements/test.txt
	python3 -c 'import ensurepip, venv' 2>/dev/null || { $(APT) update && $(APT) install python3-venv; }
	python3 -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements/test.txt
	touch $@

## make lab            machines on this computer, a cloud on them, a test instance (LAB_SUITE, LAB_COMPUTES, LAB_NAME)
lab: lab-machines lab-secrets
	$(PLAYBOOK) -i inventory/lab playbooks/site.yml -e verify_keep=true
	@echo "A shell with credentials: LAB_NAME=$(LAB_NAME) make lab-shell"

lab-machines: .venv
	$(PLAYBOOK) playbooks/lab.yml

lab-secrets: .venv
	$(PLAYBOOK) -i inventory/lab playbooks/secrets.yml

## make lab-shell      a shell on the controller of LAB_NAME, with the administrator's credentials
lab-shell:
	@eval "$$(inventory/lab/lab.py --ssh) -t bash --rcfile /root/openrc -i"

## make lab-down       takes the machines of LAB_NAME away
lab-down: .venv
	$(PLAYBOOK) playbooks/lab_down.yml

## make deploy         the cloud of INVENTORY
deploy: .venv
	$(PLAYBOOK) -i $(INVENTORY) playbooks/site.yml

## make plan           what a deployment of INVENTORY would change; changes nothing
plan: .venv
	$(PLAYBOOK) -i $(INVENTORY) playbooks/site.yml --check --diff

## make verify         verifies the cloud of INVENTORY with a test instance and removes it
verify: .venv
	$(PLAYBOOK) -i $(INVENTORY) playbooks/verify.yml

## make option-lists   what options each release has, from its packages; needs about ten minutes a suite
SUITES ?= $(shell inventory/lab/lab.py --suites)
option-lists: .venv
	for suite in $(SUITES); do \
	  export LAB_NAME=options-$${suite:0:1} LAB_SUITE=$$suite LAB_LAYOUT=allinone; \
	  $(MAKE) lab-machines lab-secrets; \
	  $(PLAYBOOK) -i inventory/lab playbooks/option_lists.yml; \
	  $(MAKE) lab-down; \
	done

## make lint           YAML, playbooks (ansible-lint, production), Python (ruff, mypy), spelling and words (codespell)
lint: .venv
	yamllint --strict .
	ansible-lint
	ruff check .
	ruff format --check .
	mypy
	codespell -D - -D docs/words.txt

## make unit           unit tests, and the verification of KVM on this machine
unit: .venv test-packages
	$(BIN)/pytest -q -m "not slow" tests/unit tests/kvm

# The guest's image is booted for real, and so are machines of both architectures that KVM is verified in.
EMULATORS := qemu-system-x86 qemu-system-arm
test-packages:
	dpkg --status $(EMULATORS) >/dev/null 2>&1 || \
	  { $(APT) update && $(APT) install --no-install-recommends $(EMULATORS); }

## make molecule       every scenario on real machines, one after another
SCENARIOS ?= faults trixie bookworm allinone external
molecule: .venv
	for scenario in $(SCENARIOS); do $(BIN)/molecule test -s $$scenario; done

## make test-slow      the KVM verification in emulated machines, two minutes when nothing else runs
test-slow: .venv test-packages
	$(BIN)/pytest -q -m slow tests/kvm

## make test           everything above
test: lint unit test-slow molecule

## make mutations     changes the project for the worse, once for each of tests/mutations, and sees a test turn red
mutations: .venv
	$(BIN)/python tests/mutations/run.py

## make bench          times plain commands and ours on fresh lab machines, about 15 minutes (BENCH_ROUNDS, BENCH_KEEP)
bench: .venv
	$(BIN)/python tests/bench/bench.py

## make bench-scale    what a further compute costs in a run that changes nothing (BENCH_LAB, BENCH_COMPUTES)
bench-scale: .venv
	$(BIN)/python tests/bench/bench_scale.py
