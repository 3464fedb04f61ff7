# Applications: $(eval $(call app_rules,PATH)) makes the rules for one, a .c file or a folder. Its objects go to
# build/ARCH-BOARD/app/NAME/, the image to build/ARCH-BOARD/NAME.elf; another application of that name replaces both.
# A folder may have an app.mk, for what it generates: $(app) is where to put it, $(app_dir) the folder. For foreign code
# that lies elsewhere, a library, it sets vendor_sources, .c files of one folder, and app_cflags, how the library asks to
# be compiled and used: for all of the application.

app_name = $(basename $(notdir $(patsubst %/,%,$(1))))
app_image = $(out)/$(call app_name,$(1)).elf
link = $(LD) $(ldflags) -T $(out)/linker.lds -o $(1) $(2) --start-group $(libs) --end-group

define app_rules
ifeq ($(wildcard $(1)),)
$$(error APP=$(1): there is no such file or folder; in the tree there are $(app_list))
endif
app := $(out)/app/$(call app_name,$(1))
app_dir := $(patsubst %/,%,$(if $(filter %.c,$(1)),$(dir $(1)),$(1)))
app_sources := $(if $(filter %.c,$(1)),$(patsubst %/,%,$(dir $(1)))/$(notdir $(1)),$(sort $(shell find $(1) -name '*.[cS]' -not -path '*/.*')))
ifeq ($$(app_sources),)
$$(error APP=$(1): neither a .c file nor a folder with any; in the tree there are $(app_list))
endif
vendor_sources :=
app_cflags :=
$(if $(filter %.c,$(1)),,-include $$(wildcard $$(app_dir)/app.mk))
app_objects := $$(addsuffix .o,$$(app_sources:$$(app_dir)/%=$$(app)/%) \
	$$(addprefix $$(app)/vendor/,$$(notdir $$(vendor_sources))))
$$(call stamp,$$(app)/source,$(abspath $(1)) $$(app_objects) $$(vendor_sources) $$(app_cflags),rm -rf $$(app);)
$$(app)/%: part_cflags = $(app_target_cflags) -I$$(app_dir) -I$$(@D) $(checked_cflags) $$(app_cflags) \
	$(if $(filter $(CURDIR)/%,$(abspath $(1))),$(tree_cflags))
$$(app)/foreign/%: part_cflags = $(app_target_cflags) -I$$(app_dir) $(foreign_cflags) $$(app_cflags)
$$(app)/vendor/%: part_cflags = $(app_target_cflags) $(foreign_cflags) $$(app_cflags) -w -g0
$$(app)/%: app_dir := $$(app_dir)
$$(app)/%: app_cflags := $$(app_cflags)
$$(app)/%.c.o: $$(app_dir)/%.c $$(app)/source $(out)/flags | $(libs)
	$$(compile)
$$(app)/%.S.o: $$(app_dir)/%.S $$(app)/source $(out)/flags | $(libs)
	$$(assemble)
$$(app)/vendor/%.c.o: $$(firstword $$(dir $$(vendor_sources)))%.c $$(app)/source $(out)/flags | $(libs)
	$$(compile)
$(call app_image,$(1)): $$(app_objects) $(objects) $(out)/linker.lds $(out)/no-symbols.o \
		$$(app)/source $(out)/objects tools/symbols tools/frames tools/elf.py
	@tools/frames $$(filter-out $$(app)/foreign/% $$(app)/vendor/%,$$(app_objects))
	@$$(call link_twice,$$(@:.elf=),$$(filter-out %/no-symbols.o,$$(filter %.o,$$^)))
-include $$(wildcard $$(app_objects:.o=.d))
endef

# The first link has no symbol table; the second has one made from the first, and moves no code: that is checked.
define link_twice
$(call link,$(1).first,$(2) $(out)/no-symbols.o) && tools/symbols $(1).first > $(1).s && \
$(CC) $(target_cflags) -c -o $(1).symbols.o $(1).s && $(call link,$(1).elf,$(2) $(1).symbols.o) && \
tools/symbols --check $(1).elf && rm -f $(1).first $(1).s $(1).symbols.o
endef

