/*
 * Divisions. SDIV and UDIV give 0 when the divisor is 0, and do not trap. So applications are compiled to call these
 * instead (mk/armv7a.mk), which look at the divisor first; Socle itself, and the C library, divide directly.
 */
#include "layout.h"

	.syntax	unified
	.arm

@ int name(int, int), and quotient and remainder in r0 and r1. May change r0-r3, ip and the flags (AAPCS run-time ABI 4.3.1).
	.macro	DIVISION divide, name, both
FUNCTION(\name):
	cmp	r1, #0
	beq	__aeabi_idiv0
	\divide	r0, r0, r1
	bx	lr
END(\name)
FUNCTION(\both):
	cmp	r1, #0
	beq	__aeabi_idiv0
	\divide	r2, r0, r1
	mls	r1, r2, r1, r0
	mov	r0, r2
	bx	lr
END(\both)
	.endm
	DIVISION sdiv, __aeabi_idiv, __aeabi_idivmod
	DIVISION udiv, __aeabi_uidiv, __aeabi_uidivmod

@ The divisor is 0; libgcc's divisions of 64 bits come here too. LR is whoever divided.
FUNCTION(__aeabi_idiv0):
	udf	#UDF_DIVIDE
END(__aeabi_idiv0)
FUNCTION(__aeabi_ldiv0):
	udf	#UDF_DIVIDE
END(__aeabi_ldiv0)
