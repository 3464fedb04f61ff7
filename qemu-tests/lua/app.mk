# Lua, less the stand-alone programs and what needs an operating system (files, processes): foreign/embed.c opens the rest.
lua := $(shell tools/sources lua5.4)
ifeq ($(lua),)
$(error qemu-tests/lua needs the sources of Lua)
endif
vendor_sources := $(filter-out %/lua.c %/luac.c %/linit.c %/liolib.c %/loslib.c %/loadlib.c,$(wildcard $(lua)/src/*.c))
app_cflags := -I$(lua)/src
$(app)/scripts.S.o: $(wildcard $(app_dir)/*.lua)
