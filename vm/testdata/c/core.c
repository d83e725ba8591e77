// Questions about the host's layout and fields that it may lack.
#include "vmtest.h"

// Another author's idea of the same structure: fewer fields, other order.
struct pq_path___mine {
	u32 mss;
	u64 cwnd;
	u64 future_field;
	u64 narrow; // 4 bytes on the host
} CORE;

struct pq_stranger {
	u64 x;
} CORE;

extern u64 t_missing(u64) WEAK;
extern u64 t_present(u64) WEAK;

SEC("test/core_fields")
u64 core_fields(struct pq_ctx *ctx)
{
	return ctx->a + (u64)(s64)ctx->b + ctx->c + ctx->id[3] + ctx->id[19] + ctx->path->mss;
}

SEC("test/core_flavour")
u64 core_flavour(struct pq_ctx *ctx)
{
	struct pq_path___mine *p = (void *)ctx->path;
	u64 r = p->mss + p->cwnd + p->narrow;
	if (field_exists(p->future_field))
		r += p->future_field;
	return r;
}

SEC("test/core_info")
u64 core_info(struct pq_ctx *ctx)
{
	struct pq_path___mine *p = 0;
	u64 r = field_offset(p->cwnd);
	r = r * 100 + field_size(p->narrow);
	r = r * 10 + field_exists(p->narrow);
	r = r * 10 + field_exists(p->future_field);
	r = r * 10 + field_signed(ctx->b);
	r = r * 10 + field_signed(ctx->a);
	r = r * 100 + field_lshift(p->mss);
	r = r * 100 + field_rshift(p->mss);
	r = r * 1000 + type_size(struct pq_path___mine);
	r = r * 10 + type_exists(struct pq_path___mine);
	r = r * 10 + type_exists(struct pq_stranger);
	return r;
}

SEC("test/core_weak")
u64 core_weak(struct pq_ctx *ctx)
{
	u64 r = 1;
	if (t_missing)
		r += t_missing(10);
	if (t_present)
		r += t_present(20);
	return r;
}

SEC("test/core_buffer")
u64 core_buffer(struct pq_ctx *ctx)
{
	u64 s = 0;
	u8 *b = ctx->buf;
	u32 n = ctx->len;
	if (n > 256)
		n = 256;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < n; i++)
		s += b[i];
	return s;
}
