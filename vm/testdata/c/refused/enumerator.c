// refused: enum pq_state has no value "PQ_CLOSED" here
#include "../vmtest.h"

enum pq_state { PQ_OPEN, PQ_CLOSED };

SEC("test/refused")
u64 enumerator(struct pq_ctx *ctx)
{
	return __builtin_preserve_enum_value(*(typeof(enum pq_state) *)PQ_CLOSED, 1);
}
