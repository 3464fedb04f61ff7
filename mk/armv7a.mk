BOARDS = virt
source_dirs = boot/arm arch/armv7a
target_cflags = --target=armv7a-linux-gnueabihf -mcpu=cortex-a7 -mfpu=neon-vfpv4 -mfloat-abi=hard -marm -mtp=cp15
# "hard" so that the linker lets the objects meet; with no FPU the compiler cannot touch its registers.
no_fpu_cflags = -mfpu=none
# Applications' divisions are calls of arch/armv7a/divide.S: a divisor of 0 is noticed there.
app_target_cflags = -mhwdiv=none
LD = arm-none-eabi-ld
target_ldflags =
libgcc_file = /usr/lib/gcc-cross/arm-linux-gnueabihf/*/libgcc.a
newlib_host = arm-none-eabi
extra_libs = $(NEWLIB)/lib/libfdt-read.a
