BOARDS = pc
source_dirs = boot/x86 arch/x86 arch/x86_64
target_cflags = --target=x86_64-linux-gnu -march=x86-64
no_fpu_cflags = -mgeneral-regs-only -mno-red-zone
LD = ld
target_ldflags = -m elf_x86_64
libgcc_file = /usr/lib/gcc/x86_64-linux-gnu/*/libgcc.a
newlib_host = x86_64-elf
