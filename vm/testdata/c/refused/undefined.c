// refused: function "t_unheard_of" is defined neither here nor by the host
#include "../vmtest.h"

extern u64 t_unheard_of(u64);

SEC("test/refused")
u64 undefined(struct pq_ctx *ctx)
{
	u64 x = ctx->a;
	return t_unheard_of(x);
}
