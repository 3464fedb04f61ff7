/* The firmware lists a CPU that does not start, between others that do: it is named and left out, and they carry on. */
#include "qemu-tests/check.h"

static atomic_uint met;

static void meets(void *unused)
{
	(void)unused;
	met++;
	while (met < (unsigned)socle_ncpu())
		arch_pause();
}

int main(void)
{
	printf("CPUs: %d\n", socle_ncpu());
	CHECK(socle_ncpu() == 3);
	for (int i = 0; i < socle_ncpu(); i++)
		CHECK(socle_go(meets, NULL) == 0);
	wait_for_others();
	CHECK(met == 3);
	return finish();
}
