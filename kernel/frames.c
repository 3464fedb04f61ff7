/*
 * Physical memory in pages. Freed frames form a list through their own first words (RAM is mapped one to one);
 * frames that were never used are handed out from the ranges by a moving mark, lowest first, so that boot need
 * not touch memory that the provisional page tables do not reach, nor walk all of it.
 *
 * The caller has interrupts masked, its stack backed and memory locked (vm.c sees to all three): a stack fault between
 * two lines here would come back in through the handler.
 *
 * Rejected: a bitmap (a search), a buddy allocator (nobody asks for more than a page).
 */
#include "kernel/kernel.h"

static struct {
	struct boot_range range[64]; /* whole free pages, ascending */
	int ranges, current;
	uint64_t mark;	     /* next never-used frame in range[current] */
	uint64_t *free_list; /* each frame's first word: the next one's address */
	size_t free, total;
	size_t kept; /* FRAMES_KEPT, or 0 */
} frames;	     /* all zero, lest the ranges take room in the image */

extern char image_end[]; /* the image begins with the boot stack, and that with its guard */

static uint64_t page_down(uint64_t address) { return address & ~(uint64_t)(PAGE_SIZE - 1); }
static uint64_t page_up(uint64_t address) { return page_down(address + PAGE_SIZE - 1); }

__attribute__((minsize)) static void insert_range(uint64_t lo, uint64_t hi)
{
	int at = frames.ranges;

	if (lo >= hi || frames.ranges == (int)(sizeof frames.range / sizeof frames.range[0]))
		return;
	for (; at > 0 && frames.range[at - 1].base > lo; at--)
		frames.range[at] = frames.range[at - 1];
	frames.range[at] = (struct boot_range){lo, hi - lo};
	frames.ranges++;
	frames.total += (size_t)((hi - lo) / PAGE_SIZE);
}

/* Adds [lo, hi) less what the list of holes takes out of it. */
__attribute__((minsize)) static void add_range(uint64_t lo, uint64_t hi, const struct boot_range *holes, int n)
{
	for (; n > 0; holes++, n--) {
		uint64_t hole_lo = page_down(holes->base), hole_hi = page_up(holes->base + holes->size);

		if (hole_lo >= hi || hole_hi <= lo)
			continue;
		if (hole_lo > lo)
			add_range(lo, hole_lo, holes + 1, n - 1);
		lo = hole_hi;
		if (lo >= hi)
			return;
	}
	insert_range(lo, hi);
}

__attribute__((minsize)) void frames_init(const struct boot_info *info)
{
	struct boot_range holes[sizeof info->reserved / sizeof info->reserved[0] + 1];
	int n = 0;

	holes[n++] = (struct boot_range){fixed_stacks[0].guard, (uintptr_t)image_end - fixed_stacks[0].guard};
	for (int i = 0; i < info->nreserved; i++)
		holes[n++] = info->reserved[i];
	for (int i = 0; i < info->nram; i++) {
		uint64_t lo = page_up(info->ram[i].base), hi = page_down(info->ram[i].base + info->ram[i].size);

		if (lo < PAGE_SIZE)
			lo = PAGE_SIZE; /* frame 0 stays out: page 0 is absent */
		if (hi > RAM_MAX)
			hi = RAM_MAX;
		add_range(lo, hi, holes, n);
	}
	if (frames.ranges == 0)
		fatal("no usable RAM: the loader (%s) reported none beyond the image", info->protocol);
	frames.mark = frames.range[0].base;
	frames.free = frames.total;
	frames.kept = FRAMES_KEPT;
}

static uint64_t take_unused(void)
{
	while (frames.current < frames.ranges) {
		const struct boot_range *r = &frames.range[frames.current];

		if (frames.mark < r->base + r->size) {
			frames.mark += PAGE_SIZE;
			return frames.mark - PAGE_SIZE;
		}
		if (++frames.current < frames.ranges)
			frames.mark = frames.range[frames.current].base;
	}
	return NO_FRAME;
}

uint64_t frame_alloc(void)
{
	uint64_t frame;

	if (frames.free <= frames.kept)
		return NO_FRAME;
	if (frames.free_list != NULL) {
		frame = (uintptr_t)frames.free_list;
		frames.free_list = frame_address(*frames.free_list);
	} else {
		frame = take_unused();
	}
	if (frame != NO_FRAME)
		frames.free--;
	return frame;
}

uint64_t frame_alloc_zero(void)
{
	uint64_t frame = frame_alloc();

	if (frame != NO_FRAME)
		page_zero(frame_address(frame));
	return frame;
}

void frame_free(uint64_t frame)
{
	uint64_t *link = frame_address(frame);

	*link = (uintptr_t)frames.free_list;
	frames.free_list = link;
	frames.free++;
}

void frames_emergency(bool on) { frames.kept = on ? 0 : FRAMES_KEPT; }

size_t frames_free(void) { return frames.free; }
size_t frames_total(void) { return frames.total; }
