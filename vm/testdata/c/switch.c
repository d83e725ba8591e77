// Switches: dense ones become comparisons or tables of values.
#include "vmtest.h"

SEC("test/switch_code")
u64 switch_code(struct pq_ctx *ctx)
{
	switch (ctx->a) {
	case 0: return t_add(1, 1);
	case 1: return t_now();
	case 2: return t_add(3, ctx->c);
	case 3: return 4;
	case 4: return t_add(5, 5) * 3;
	case 5: return 6 + ctx->c;
	case 6: return t_now() + 7;
	case 9: return 8;
	}
	return 99;
}

SEC("test/switch_value")
u64 switch_value(struct pq_ctx *ctx)
{
	switch (ctx->a) {
	case 0: return 17;
	case 1: return 3;
	case 2: return 1000000007;
	case 3: return 42;
	case 4: return 5;
	case 5: return 68;
	case 6: return 71;
	case 7: return 84;
	}
	return 99;
}

SEC("test/switch_string")
u64 switch_string(struct pq_ctx *ctx)
{
	const char *name;
	switch (ctx->a) {
	case 0: name = "zero"; break;
	case 1: name = "one"; break;
	case 2: name = "two"; break;
	case 3: name = "three"; break;
	case 4: name = "four"; break;
	default: name = "many"; break;
	}
	return t_log(name);
}
