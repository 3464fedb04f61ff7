$(app)/records.h: qemu-tests/sort/make-records
	@mkdir -p $(@D) && $< > $@.new && mv $@.new $@
$(app)/main.c.o: $(app)/records.h
