/* How a goroutine got where it is: one listing through goroutine, foreign frames, callback, and again, to any depth. */
#include <string.h>

#include "foreign/vendor.h"
#include "qemu-tests/check.h"

static int depth;
static bool panics;

FRAME void look(void)
{
	if (panics)
		socle_panic("look at this");
	socle_traceback();
}

FRAME void second_callback(void *level)
{
	*(int *)level += 1;
	if (*(int *)level == depth)
		look();
	else
		first_call(level);
	*(int *)level -= 1;
}

FRAME void first_callback(void *level) { second_callback(level); }
FRAME void first_call(void *level) { socle_foreign_call(vendor_entry, level); }

int main(int argc, char **argv)
{
	int level = 0;

	panics = argc > 1 && strcmp(argv[1], "panic") == 0;
	depth = argc > 1 && strcmp(argv[1], "deep") == 0 ? 12 : 2;
	first_call(&level);
	CHECK(level == 0);
	return finish();
}
