// refused: section ".maps": maps are not supported
#include "../vmtest.h"

struct {
	int (*type)[1];
	int (*max_entries)[16];
} counters SEC(".maps");

SEC("test/refused")
u64 maps(struct pq_ctx *ctx)
{
	return (u64)&counters;
}
