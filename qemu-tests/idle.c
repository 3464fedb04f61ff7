/* Sleeps for four seconds: tests.toml allows it two of CPU time. */
#include <stdio.h>

#include "socle.h"

int main(void)
{
	int64_t before = socle_now();

	for (int i = 0; i < 40; i++)
		socle_sleep(100000000);
	printf("slept %d s\n", (int)((socle_now() - before) / 1000000000));
	return 0;
}
