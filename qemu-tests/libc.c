/* The C library: numbers as text, memory, the heap's end, streams. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qemu-tests/check.h"

static void test_print(void)
{
	char text[128];

	snprintf(text, sizeof text, "%d %u %lld %zu %x %c %s", -5, 5u, -1234567890123ll, (size_t)7, 0xbeefu, 'c',
		 "str");
	CHECK(strcmp(text, "-5 5 -1234567890123 7 beef c str") == 0);
	snprintf(text, sizeof text, "%.3f %g %e %5.1f|%-8.2f|", 3.14159, 1e100, 0.1, 2.25, -1.5);
	CHECK(strcmp(text, "3.142 1e+100 1.000000e-01   2.2|-1.50   |") == 0);
	snprintf(text, sizeof text, "%.17g", 0.1);
	CHECK(strcmp(text, "0.10000000000000001") == 0);
	CHECK(snprintf(text, 4, "abcdef") == 6 && strcmp(text, "abc") == 0);
}

static void test_scan(void)
{
	int a = 0, b = 0;
	double d = 0;
	char *end;

	CHECK(sscanf("12 -7 2.5", "%d %d %lf", &a, &b, &d) == 3 && a == 12 && b == -7 && d == 2.5);
	CHECK(strtod("1e-3x", &end) == 1e-3 && *end == 'x');
	errno = 0;
	CHECK(strtol("99999999999999999999", NULL, 10) > 0 && errno == ERANGE);
}

static void test_math(void)
{
	volatile double two = 2;

	CHECK(sqrt(two) * sqrt(two) - 2 < 1e-12);
	CHECK(fabs(sin(two) * sin(two) + cos(two) * cos(two) - 1) < 1e-12);
	CHECK(pow(two, 10) == 1024);
}

static void test_memory(void)
{
	enum { BLOCKS = 200 };
	unsigned char *block[BLOCKS];
	int wrong = 0;

	for (int i = 0; i < BLOCKS; i++) {
		block[i] = malloc((size_t)i * 37 + 1);
		memset(block[i], i, (size_t)i * 37 + 1);
	}
	for (int i = 0; i < BLOCKS; i += 2) {
		free(block[i]);
		block[i] = calloc(1, 100);
	}
	for (int i = 0; i < BLOCKS; i++) {
		wrong += i % 2 ? block[i][i * 37] != i || block[i][0] != i : block[i][0] != 0 || block[i][99] != 0;
		free(block[i]);
	}
	CHECK(wrong == 0);
}

/* Asked for more than there is, malloc says so, and what there was can be had again. */
static void test_no_memory(void)
{
	void *volatile block; /* the compiler takes a malloc for granted whose result it can see unused */

	errno = 0;
	block = malloc(SIZE_MAX / 4);
	CHECK(block == NULL && errno == ENOMEM);
	errno = 0;
	block = malloc(frames_total() * (size_t)PAGE_SIZE);
	CHECK(block == NULL && errno == ENOMEM);
	block = malloc(16 << 20);
	CHECK(block != NULL);
	free(block);
}

static void test_files(void)
{
	errno = 0;
	CHECK(fopen("/nowhere", "r") == NULL && errno == ENOENT);
	CHECK(isatty(1) == 1);
	errno = 0;
	CHECK(write(7, "x", 1) == -1 && errno == EBADF);
}

static void all(void)
{
	test_print();
	test_scan();
	test_math();
	test_memory();
	test_no_memory();
	test_files();
}

int main(void)
{
	repeatedly(all);
	return finish();
}
