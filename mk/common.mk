# How each part of the tree is compiled; mk/ARCH.mk adds what the target asks for.
#
# kernel_cflags   boot/, arch/, kernel/: run in trap handlers, so no FPU or SIMD registers, and no prologue checks
# checked_cflags  runtime/ and applications: every prologue compares SP with the current stack's guard. runtime/ does
#                 without the FPU too: handlers call it
# app_target_cflags  what a target wants for all of an application besides (mk/ARCH.mk)
# foreign_cflags  an application's foreign/: as a vendor would compile it, unchecked, red zone and all

# The ABI: shared with newlib, which tools/newlib builds with these. The triple says linux because clang has
# -fsplit-stack for nothing else; what the preprocessor says of it is taken back.
abi_cflags = $(target_cflags) -O2 -fno-pic -fno-pie -fno-stack-protector -fno-omit-frame-pointer -fno-common \
	-ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -fno-unwind-tables -D__DYNAMIC_REENT__ \
	-U__linux__ -U__linux -Ulinux -U__unix__ -U__unix -Uunix -U__gnu_linux__

# Most loops here go round once: padding in front of them would cost more than it gains. .stack_sizes, which
# tools/stack-report reads, is in the file but not in memory.
common_cflags = $(abi_cflags) -fstack-size-section -falign-loops=1 -std=gnu11 -g -Wall -Wextra -nostdlibinc -isystem $(NEWLIB)/include \
	-I$(SOCLE)/include -I$(SOCLE) -I$(SOCLE)/arch/$(ARCH) -I$(SOCLE)/boards/$(BOARD) -DSOCLE_BOARD='"$(BOARD)"' $(pthread_cflags)

# newlib declares the pthreads for those who have them; what it was built with does not depend on it.
pthread_cflags = -D_POSIX_THREADS=200809L -D_UNIX98_THREAD_MUTEX_ATTRIBUTES=1

kernel_cflags = -ffreestanding $(no_fpu_cflags)
checked_cflags = -fsplit-stack
foreign_cflags =
tree_cflags = -Werror
core_cflags = $(tree_cflags) -Watomic-implicit-seq-cst # every atomic access names its order

ldflags = -static -nostdlib --gc-sections -z noexecstack -z max-page-size=4096 --no-warn-rwx-segments \
	--fatal-warnings --build-id=none $(target_ldflags)
