/* Fails in whichever operation the test attaches it to: it writes the name of
 * one over that of the section. */
#include "pquic.h"

PQ_PLUGIN("org.pquic.test.anywhere", "0.1");
PQ_HEAP(0);

PQ_OPTION_U64(after, 0, "calls that go well before");
PQ_OPTION_BOOL(late, 0, "fail after the native body");

static u64 calls;

SEC("replace/name_of_an_operation_as_long_as_any_there_is")
int fails(void *ctx)
{
	bool well = calls++ < PQ_OPTION(after);
	if (well || PQ_OPTION(late))
		pq_native();
	return well ? PQ_OK : *(volatile u64 *)(calls + (1ULL << 40));
}
