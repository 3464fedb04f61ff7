/* The scripts, as they are: each between NAME and NAME_end. */
.macro script name
	.globl script_\name, script_\name\()_end
script_\name:
	.incbin "qemu-tests/lua/\name\().lua"
script_\name\()_end:
	.byte 0
.endm

	.section .rodata
	script language
	script channels
	script panic
