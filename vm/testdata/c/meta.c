// Sections that are kept raw for the package above.
#include "vmtest.h"

static const char name[] SEC(".pquic.name") = "org.example.test";
static const u32 numbers[] SEC(".pquic.numbers") = {1, 2, 0xfedcba98};
static const char terms[] SEC("license") = "Apache-2.0";

SEC("test/meta")
u64 meta(struct pq_ctx *ctx)
{
	return 1;
}

SEC("test/meta/0x30")
u64 meta_parameter(struct pq_ctx *ctx)
{
	return 2;
}
