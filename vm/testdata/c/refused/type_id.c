// refused: type identifiers are not supported
#include "../vmtest.h"

SEC("test/refused")
u64 type_id(struct pq_ctx *ctx)
{
	return __builtin_btf_type_id(*(struct pq_path *)0, 0);
}
