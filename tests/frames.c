/*
 * The frame allocator: from random maps of RAM, against a plain model; and giving out and taking back real memory.
 * Frames are addresses of the host's, so RAM may be anywhere; what was never given out is never touched.
 */
#include <stdlib.h>
#include <string.h>

#include "kernel/frames.c"
#include "tests/check.h"
#include "tests/host.h"

#define PAGE ((uint64_t)PAGE_SIZE)

char image_end[1];
#define IMAGE_LO ((uintptr_t)image_end - 5 * PAGE_SIZE)
struct fixed_stack fixed_stacks[] = {{"boot", 0, IMAGE_LO, 0, 0}};

void page_zero(void *page) { memset(page, 0, PAGE_SIZE); }

static void start_with(const struct boot_info *info)
{
	memset(&frames, 0, sizeof frames);
	frames_init(info);
}

/* ---- What is RAM, and what is not to be given out ---- */

enum { PAGES = 1000 }; /* around the image, which is in the middle */
static uint64_t base;

static struct boot_range random_range(uint64_t lo, uint64_t size)
{
	uint64_t offset = random_number() % size;

	return (struct boot_range){lo + offset, random_number() % (size - offset)};
}

/* Ranges of RAM, none in another, in any order, any of them empty; anything reserved. */
static void make_map(struct boot_info *info)
{
	uint64_t each = PAGES * PAGE / 32;

	*info = (struct boot_info){.nram = (int)(random_number() % 33), .nreserved = (int)(random_number() % 17)};
	for (int i = 0; i < info->nram; i++)
		info->ram[i] = random_range(base + (uint64_t)(i ^ 5) % 32 * each, each);
	for (int i = 0; i < info->nreserved; i++)
		info->reserved[i] = random_range(base, PAGES * PAGE / 8 * (random_number() % 8 + 1));
	if (info->nram == 0 || random_number() % 4 == 0) {
		info->nram = 1;
		info->ram[0] = (struct boot_range){base, PAGES * PAGE};
	}
}

static bool overlaps(uint64_t page, uint64_t lo, uint64_t hi) { return page < hi && page + PAGE > lo; }

static bool is_free(const struct boot_info *info, uint64_t page)
{
	bool ram = false;

	for (int i = 0; i < info->nram; i++)
		ram |= page >= info->ram[i].base && page + PAGE <= info->ram[i].base + info->ram[i].size;
	for (int i = 0; i < info->nreserved; i++)
		if (overlaps(page, info->reserved[i].base, info->reserved[i].base + info->reserved[i].size))
			return false;
	return ram && !overlaps(page, IMAGE_LO, (uintptr_t)image_end);
}

/* All are given out, each once, none that is not free. */
static bool as_the_model(const struct boot_info *info)
{
	size_t expected = 0, got = 0, wrong = 0;
	uint64_t frame, last = 0;

	for (int i = 0; i < PAGES; i++)
		expected += is_free(info, base + (uint64_t)i * PAGE);
	if (expected == 0)
		return true; /* frames_init() would end the image */
	start_with(info);
	wrong += frames_total() != expected || frames_free() != expected;
	frames_emergency(true);
	for (; (frame = frame_alloc()) != NO_FRAME; last = frame, got++)
		wrong += frame <= last || !is_free(info, frame) || frame % PAGE != 0;
	return wrong == 0 && got == expected && frames_free() == 0;
}

static void test_maps(void)
{
	struct boot_info info;
	int wrong = 0;

	base = page_down((uintptr_t)image_end) - PAGES / 2 * PAGE;
	for (int i = 0; i < 2000 && wrong == 0; i++) {
		make_map(&info);
		wrong += !as_the_model(&info);
	}
	CHECK(wrong == 0, "2,000 random maps");
}

static void test_ends_of_ram(void)
{
	struct boot_info info = {.nram = 2, .ram = {{0, 40 * PAGE}, {RAM_MAX - PAGE, 100 * PAGE}}};

	start_with(&info);
	CHECK(frames_total() == 40, "page 0 stays out, and what is not mapped one to one");
	CHECK(frame_alloc() == PAGE, "the lowest comes first");
}

/* ---- Giving out, taking back ---- */

enum { REAL = 500 };
static struct {
	uint64_t frame;
	uint32_t stamp;
} held[REAL];
static size_t nheld;

static void stamp(uint64_t frame)
{
	held[nheld].frame = frame;
	held[nheld].stamp = random_number();
	memset((void *)frame, (int)(held[nheld++].stamp & 0xff), PAGE_SIZE);
}

static bool intact(size_t i)
{
	const unsigned char *page = (const void *)held[i].frame;

	for (int k = 0; k < PAGE_SIZE; k++)
		if (page[k] != (held[i].stamp & 0xff))
			return false;
	return true;
}

static bool all_zero(uint64_t frame)
{
	for (int i = 0; i < PAGE_SIZE; i++)
		if (((const char *)frame)[i] != 0)
			return false;
	return true;
}

/* One step; how many things are wrong after it. */
static int change(bool growing)
{
	bool zeroed = random_number() % 2, emergency = random_number() % 8 == 0;
	size_t may_use = emergency ? REAL : REAL - FRAMES_KEPT, i;
	int wrong = 0;

	if (random_number() % 10 < (growing ? 7u : 3u)) {
		frames_emergency(emergency);
		uint64_t frame = zeroed ? frame_alloc_zero() : frame_alloc();
		frames_emergency(false);
		wrong += (frame != NO_FRAME) != (nheld < may_use);
		if (frame != NO_FRAME) {
			wrong += zeroed && !all_zero(frame);
			stamp(frame);
		}
	} else if (nheld > 0) {
		i = random_number() % nheld;
		wrong += !intact(i);
		frame_free(held[i].frame);
		held[i] = held[--nheld];
	}
	return wrong + (frames_free() != REAL - nheld);
}

static void test_changes(void)
{
	char *ram = aligned_alloc(PAGE_SIZE, REAL * PAGE_SIZE);
	struct boot_info info = {.nram = 1, .ram = {{(uintptr_t)ram, REAL * PAGE_SIZE}}};
	int wrong = 0;

	memset(ram, 0x55, REAL * PAGE_SIZE);
	start_with(&info);
	frames_emergency(false);
	for (int i = 0; i < 30000; i++)
		wrong += change(i / 2000 % 2 == 0);
	for (size_t i = 0; i < nheld; i++)
		wrong += !intact(i);
	CHECK(wrong == 0, "30,000 changes: nobody's frame was given to another, the last ones are kept");
	free(ram);
}

int main(void)
{
	test_maps();
	test_ends_of_ram();
	test_changes();
	return end_checks();
}
