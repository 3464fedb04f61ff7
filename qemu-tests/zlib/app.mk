# zlib, less what reads and writes files.
zlib := $(shell tools/sources zlib)
ifeq ($(zlib),)
$(error qemu-tests/zlib needs the sources of zlib)
endif
vendor_sources := $(addprefix $(zlib)/,adler32.c crc32.c deflate.c infback.c inffast.c inflate.c inftrees.c trees.c zutil.c)
app_cflags := -I$(zlib)
# A megabyte of text, zlib's own, as the host's zlib compresses it.
$(app)/megabyte.h: $(app_dir)/make-megabyte
	@mkdir -p $(@D) && $^ $(wildcard $(zlib)/*.[ch] $(zlib)/contrib/*/*.[ch]) > $@.new && mv $@.new $@
$(app)/main.c.o: $(app)/megabyte.h
