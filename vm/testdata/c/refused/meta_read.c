// refused: metadata is not part of a program's memory
#include "../vmtest.h"

const volatile u32 number SEC(".pquic.number") = 5;

SEC("test/refused")
u64 meta_read(struct pq_ctx *ctx)
{
	return number;
}
