# Socle: builds, runs and tests images for bare machines. `make help` lists the commands.
# How it is compiled: mk/common.mk, mk/ARCH.mk, mk/apps.mk. How it is run: tools/run. What is installed: tools/setup.

MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: help run image images runtime test soak debug stack-report bench install clean FORCE

ARCH = x86_64
APP = examples/tour
ARGS =
MEM = 128M
SMP = 1
ACCEL =
BUILD = build
PREFIX = /usr/local
DESTDIR =
SOCLE := .
CC = clang
PYTHON = /usr/bin/python3

# The same variables mean the same on the command line and in the environment; no other make's defaults.
arch_list := $(filter-out common apps,$(patsubst mk/%.mk,%,$(wildcard mk/*.mk)))
app_list := $(patsubst %/,%,$(filter-out %.toml %.py %.pyc,$(wildcard examples/*.c examples/*/ qemu-tests/*.c)))

help:
	@echo 'make run      builds APP and runs it under QEMU'
	@echo 'make test     every test; with ARCH=, those of one architecture; TESTS= picks by name (pytest -k)'
	@echo 'make soak     MINUTES=n of chaos, or SEEDS=n, or until something fails; SEED= is the first one'
	@echo 'make image    builds APP; the last line is the path of the image'
	@echo 'make debug    runs APP under gdb'
	@echo 'make stack-report  how much stack each foreign entry of APP takes: worst, and measured in a run'
	@echo 'make bench    measures operations in guest instructions; JSON=1: for machines'
	@echo 'make install  installs to DESTDIR/PREFIX, with a command socle that takes the same words'
	@echo 'make clean    removes what was built'
	@echo
	@echo 'ARCH=    $(arch_list)  [$(ARCH)]'
	@echo 'BOARD=   $(foreach a,$(arch_list),$(a): $(shell sed -n "s/^BOARDS = //p" mk/$(a).mk)  )[the first]'
	@echo 'APP=     a .c file or a folder, in the tree or outside  [$(APP)]'
	@echo '         $(app_list)'
	@echo 'ARGS=    the boot command line    MEM= RAM [$(MEM)]    SMP= CPUs [$(SMP)]    ACCEL= kvm, or nothing'
	@echo '         cpus=N, chaos=SEED (short random turns) and g0guard=SIZE in it are not for main, but for Socle'
	@echo 'LIMIT=   seconds of CPU time after which a run is ended, 0: never    RUNFLAGS= more for tools/run'

goals := $(or $(MAKECMDGOALS),help)
ifneq ($(filter-out help clean install,$(goals)),)

# ---- What must be there before anything is built ----

ifeq ($(filter $(ARCH),$(arch_list)),)
$(error ARCH=$(ARCH): there are $(arch_list))
endif
include mk/$(ARCH).mk mk/common.mk
BOARD = $(firstword $(BOARDS))
ifeq ($(filter $(BOARD),$(BOARDS)),)
$(error BOARD=$(BOARD): for $(ARCH) there are $(BOARDS))
endif
ignored := $(shell tools/setup $(or $(firstword $(filter test debug stack-report,$(goals))),run) 1>&2)
ifneq ($(.SHELLSTATUS),0)
$(error the packages above are needed)
endif

NEWLIB := $(shell tools/newlib --path $(ARCH) $(newlib_host) '$(abi_cflags)')
libgcc := $(lastword $(sort $(wildcard $(libgcc_file))))
libs := $(NEWLIB)/lib/libc.a $(NEWLIB)/lib/libm.a $(extra_libs) $(libgcc)
out := $(BUILD)/$(ARCH)-$(BOARD)

# $(call stamp,file,text,command): the file changes when the text does, after the command. Without a process, so that
# nothing to do costs nothing.
same = $(and $(findstring x$(1)x,x$(2)x),$(findstring x$(2)x,x$(1)x))
stamp = $(if $(call same,$(file <$(1)),$(strip $(2))),,$(shell $(3) mkdir -p $(dir $(1)))$(file >$(1),$(strip $(2))))

# ---- The runtime: one set of objects for each ARCH-BOARD ----

find_sources = $(foreach d,$(1),$(wildcard $(d)/*.c $(d)/*.S))
objects := $(patsubst %,$(out)/%.o,$(call find_sources,$(source_dirs) kernel runtime))
$(out)/boot/% $(out)/arch/% $(out)/kernel/%: part_cflags = $(kernel_cflags) $(core_cflags)
$(out)/runtime/%: part_cflags = $(checked_cflags) $(no_fpu_cflags) $(core_cflags)
all_flags = $(common_cflags) | $(kernel_cflags) | $(checked_cflags) | $(app_target_cflags) | $(foreign_cflags) | $(ldflags)
$(call stamp,$(out)/flags,$(CC) $(all_flags))
$(call stamp,$(out)/objects,$(objects))

compile = @mkdir -p $(@D) && $(CC) $(common_cflags) $(part_cflags) -MMD -MP -c -o $@ $<
assemble = @mkdir -p $(@D) && $(CC) $(common_cflags) -MMD -MP -c -o $@ $<

$(out)/%.c.o: %.c $(out)/flags | $(libs)
	$(compile)
$(out)/%.S.o: %.S $(out)/flags | $(libs)
	$(assemble)
$(out)/linker.lds: linker.ld $(out)/flags | $(libs)
	@mkdir -p $(@D) && $(CC) $(common_cflags) -D__LINKER__ -Ui386 -E -P -x assembler-with-cpp -MMD -MP -MT $@ -o $@ $<
$(out)/no-symbols.o: tools/symbols $(out)/flags
	@mkdir -p $(@D) && tools/symbols --empty $(ARCH) > $(@:.o=.s) && $(CC) $(target_cflags) -c -o $@ $(@:.o=.s)
$(NEWLIB)/lib/libc.a:
	@tools/newlib $(ARCH) $(newlib_host) '$(abi_cflags)'
$(NEWLIB)/lib/libm.a: $(NEWLIB)/lib/libc.a
$(NEWLIB)/lib/libfdt-read.a: | $(NEWLIB)/lib/libc.a
	@tools/libfdt $(NEWLIB)

runtime: $(objects) $(out)/linker.lds $(out)/no-symbols.o

include mk/apps.mk
APPS = $(if $(filter run image debug stack-report,$(goals)),$(APP))
ifneq ($(words $(APPS)),$(words $(sort $(foreach a,$(APPS),$(call app_name,$(a))))))
$(error two applications of one name: $(APPS))
endif
$(foreach a,$(APPS),$(eval $(call app_rules,$(a))))
-include $(wildcard $(objects:.o=.d) $(out)/linker.d)

images: $(foreach a,$(APPS),$(call app_image,$(a)))
image: images
	@echo $(call app_image,$(APP))

quoted_args = $(if $(strip $(ARGS)),'$(subst ','\'',$(ARGS))')
run_flags = --board $(BOARD) --mem $(MEM) --smp $(SMP) $(if $(ACCEL),--accel $(ACCEL)) $(if $(LIMIT),--limit $(LIMIT)) \
	$(RUNFLAGS)
run: images
	@$(PYTHON) tools/run $(run_flags) $(call app_image,$(APP)) -- $(quoted_args) || \
		{ n=$$?; echo "exit status $$n"; exit $$n; }
debug: images
	@$(PYTHON) tools/run --debug $(run_flags) $(call app_image,$(APP)) -- $(quoted_args)
stack-report: images
	@$(PYTHON) tools/stack-report $(call app_image,$(APP)) $(app_objects) $(objects) -- \
		$(run_flags) $(call app_image,$(APP)) -- $(quoted_args)
bench:
	@$(PYTHON) tools/bench $(if $(filter-out file,$(origin ARCH)),--arch $(ARCH)) $(if $(JSON),--json)
test:
	@$(PYTHON) -m pytest -q -rfEs -n 2 -p no:cacheprovider $(if $(TESTS),-k '$(TESTS)') \
		$(if $(filter-out file,$(origin ARCH)),--arch $(ARCH)) qemu-tests tests
soak:
	@$(PYTHON) tools/soak $(if $(SEEDS),--seeds $(SEEDS)) $(if $(MINUTES)$(SEEDS),,--minutes 1) \
		$(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) \
		$(if $(filter-out file,$(origin ARCH)),--arch $(ARCH))
endif

clean:
	rm -rf $(BUILD)
install:
	@tools/install '$(DESTDIR)' '$(PREFIX)'
