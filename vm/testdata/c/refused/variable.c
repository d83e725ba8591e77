// refused: load of "host_variable": the symbol is defined nowhere
#include "../vmtest.h"

extern u64 host_variable;

SEC("test/refused")
u64 variable(struct pq_ctx *ctx)
{
	return host_variable;
}
