BOARDS = pc
source_dirs = boot/x86 arch/x86 arch/i386
target_cflags = --target=i686-linux-gnu -march=pentium4
no_fpu_cflags = -mgeneral-regs-only
LD = ld
target_ldflags = -m elf_i386
libgcc_file = /usr/lib/gcc/x86_64-linux-gnu/*/32/libgcc.a
newlib_host = i686-elf
