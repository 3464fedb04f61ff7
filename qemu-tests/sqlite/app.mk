# SQLite, its options as https://sqlite.org/compile.html says them: one thread, memory only, no operating system.
sqlite := $(shell $(app_dir)/amalgamation)
ifeq ($(sqlite),)
$(error qemu-tests/sqlite needs the sources of SQLite)
endif
vendor_sources := $(sqlite)/sqlite3.c
app_cflags := -I$(sqlite) -DSQLITE_OS_OTHER=1 -DSQLITE_THREADSAFE=0 -DSQLITE_TEMP_STORE=3 -DSQLITE_OMIT_LOAD_EXTENSION \
	-DSQLITE_OMIT_WAL -DSQLITE_ENABLE_MATH_FUNCTIONS
$(app)/expected.h: $(app_dir)/make-expected $(app_dir)/queries.sql
	@mkdir -p $(@D) && $^ > $@.new && mv $@.new $@
$(app)/main.c.o: $(app)/expected.h
