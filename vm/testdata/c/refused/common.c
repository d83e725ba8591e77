// refused: a common symbol; build with -fno-common
#include "../vmtest.h"

u64 tentative __attribute__((common));

SEC("test/refused")
u64 common(struct pq_ctx *ctx)
{
	return tentative;
}
